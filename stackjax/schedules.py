"""Plain callables of a counter, which counts a learner's own updates from 0: step sizes, perturbations, commitments.

Their numbers are leaves: they sweep through `play`'s `in_axes`, and another value doesn't recompile.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Scalar

from stackjax.checks import as_number, concrete, flag, number

Schedule = Callable[[Any], Any]
Rules = list[tuple[Array, str]]  # what must hold, and what is said where it doesn't


class Constant(eqx.Module):
    """The same `value` always."""

    value: Any = eqx.field(converter=as_number)

    def __call__(self, n: Int[Array, ""] | int) -> Scalar:
        """The value at counter `n`."""
        return jnp.asarray(self.value)


class PowerLaw(eqx.Module):
    """`scale / (n + offset) ** exponent`, n from 0: with the default offset 1 the papers' `scale / k ** exponent`.

    **Arguments:** `scale` (in the units of what is scheduled), `exponent`, `offset` > 0: numbers or, to sweep, arrays.
    """

    scale: Any = eqx.field(converter=as_number)
    exponent: Any = eqx.field(converter=as_number)
    offset: Any = eqx.field(converter=as_number, default=1.0)

    def __check_init__(self) -> None:
        number(self.scale, "scale", -float("inf"))
        number(self.exponent, "exponent", -float("inf"))
        number(self.offset, "offset", 0.0)

    def __call__(self, n: Int[Array, ""] | int) -> Scalar:
        """The value at counter `n`."""
        scale = jnp.asarray(self.scale)
        return scale / (jnp.asarray(n, scale.dtype) + self.offset) ** self.exponent


class CommitmentTimes(eqx.Module):
    """The rounds for which interval n is held, so that a gradient-ascent follower settles; made by `commitment_times`.

    **Attributes:** as there; `perturbation` is None where it is that of the learner which commits.
    """

    perturbation: Schedule | None
    rate: Any
    bound: Any
    exponent: Any
    sharp: bool = eqx.field(static=True)

    def __call__(self, n: Int[Array, ""] | int, perturbation: Schedule | None = None) -> Int[Array, ""]:
        """The number of rounds for which interval `n` is held; `perturbation` is the learner's, if it has no own."""
        delta_of = perturbation if self.perturbation is None else self.perturbation
        if delta_of is None:
            raise TypeError("perturbation: these commitment times have none of their own, expected the learner's")
        delta = jnp.asarray(delta_of(n))
        small = jnp.log(delta) - jnp.log(self.bound) - self.exponent * jnp.log(jnp.asarray(n, delta.dtype) + 1)
        updates = small / jnp.log1p(-self.rate)
        return jnp.maximum(2, jnp.ceil(1 + updates if self.sharp else 2 * updates)).astype(jnp.int32)

    def shared(self, perturbation: Schedule) -> "CommitmentTimes":
        """These times for a learner with that perturbation: without one of their own, so that both change together.

        **Raises:** `ValueError` if they have another one.
        """
        own = self.perturbation
        if own is None or own is perturbation:
            return CommitmentTimes(None, self.rate, self.bound, self.exponent, self.sharp)
        leaves = jax.tree.leaves((own, perturbation))
        if not all(concrete(x) for x in leaves) or not all(isinstance(x, eqx.Module) for x in (own, perturbation)):
            return self  # traced numbers and functions can't be compared
        if not eqx.tree_equal(own, perturbation):
            raise ValueError(
                f"commitment: its times are for the perturbation {own}, the learner's is {perturbation}; leave it out "
                "of commitment_times, which then take the learner's"
            )
        return CommitmentTimes(None, self.rate, self.bound, self.exponent, self.sharp)


def commitment_times(
    perturbation: Schedule | float | None = None,
    rate: Any = None,
    bound: Any = None,
    exponent: Any = None,
    *,
    sharp: bool = False,
) -> CommitmentTimes:
    """The commitment schedule that makes Hi-C converge with a gradient-ascent follower.

    `k_n = max(2, ceil(2 (ln delta_n - ln B - p ln(n + 1)) / ln(1 - beta mu)))`: after `k_n` rounds the follower's
    distance from its best response is at most `delta_n / (n + 1)^p`. Eq. 28 of Loftin et al. (2024), with two
    guards that the printed formula lacks: `n + 1` for `n` (it is infinite at n = 0), and at least 2 (in the first round
    of an interval the follower hasn't moved).

    The printed bound allows for a contraction by the square root of 1 - beta mu an update, and the contraction is
    1 - beta mu. `sharp=True` reckons with that and with the k - 1 updates that are seen in the last of k rounds: `k_n =
    max(2, ceil(1 + (ln delta_n - ln B - p ln(n + 1)) / ln(1 - beta mu)))`, about half as long, with the same guarantee.

    **Arguments:**

    - `perturbation`: the schedule delta_n, or a number. None, or that of the learner which commits: the learner's,
      whatever it is changed to later.
    - `rate`: beta mu in (0, 1]: the follower's step size times the strong concavity of its payoff. At 1 the follower
      is at its best response after one update, and k_n is 2.
    - `bound`: B > 0, of the follower's distance from its best response, in the follower's units.
    - `exponent`: p > 0.
    - `sharp`: whether the times are as short as the contraction allows; default as printed.

    **Raises:** `ValueError` that names the argument which is out of its range.
    """
    number(rate, "rate", 0.0, high=1.0, open_high=False)
    number(bound, "bound", 0.0)
    number(exponent, "exponent", 0.0)
    delta = None if perturbation is None else as_schedule(perturbation, "perturbation")
    rate, bound, exponent = (as_number(value) for value in (rate, bound, exponent))
    return CommitmentTimes(delta, rate, bound, exponent, flag("sharp", sharp))


def as_schedule(value: Any, name: str) -> Schedule:
    """A number as a constant schedule, a callable as it is; a `TypeError` that names `name` for anything else."""
    if callable(value):
        return value
    if eqx.is_array_like(value) and not isinstance(value, bool):
        return Constant(value)
    raise TypeError(f"{name}: expected a number or a schedule (a callable of the update counter), got {value!r}")


def check_spsa(step: Schedule | float, perturbation: Schedule | float) -> list[str]:
    """Check a step and a perturbation schedule against Assumption 4.4 of Loftin et al. (2024), and warn.

    The assumption: both tend to 0, the steps' sum diverges, and the sum of `(step / perturbation)^2` converges. It is
    decided analytically for power laws and constants; other schedules are not decided, and said to be.

    **Returns:** the violations, or that they couldn't be decided, as texts that were also warned of (`UserWarning`); an
    empty list if all is well.
    """

    def rules(alpha: Array, delta: Array) -> Rules:
        return [
            (alpha > 0, "step: it doesn't tend to 0 (exponent {step}); take an exponent above 0"),
            (delta > 0, "perturbation: it doesn't tend to 0 (exponent {perturbation}); take an exponent above 0"),
            (
                alpha <= 1,
                "step: its sum converges (exponent {step}), so it may stop short; take an exponent of at most 1",
            ),
            (
                2 * (alpha - delta) > 1,
                "step, perturbation: the sum of (step / perturbation)^2 diverges (exponents {step}, {perturbation}); "
                "the step's exponent must exceed the perturbation's by more than 1/2",
            ),
        ]

    return _violations({"step": step, "perturbation": perturbation}, rules, "Assumption 4.4")


def check_timescales(leader_step: Schedule | float, follower_step: Schedule | float) -> list[str]:
    """Check a leader's and a follower's step against the two timescales of Fiez et al. (2019), Sec. 3, and warn.

    What convergence under noise assumes there: the sum of each player's steps diverges, that of their squares
    converges, and the leader's step divided by the follower's tends to 0. It is decided analytically for power laws and
    constants; other schedules are not decided, and said to be. Constant steps violate it, though without noise a small
    enough fixed ratio does: `play` itself warns only where the ratio of a `HierarchicalAscent` tends to infinity.

    **Returns:** the violations, or that they couldn't be decided, as texts that were also warned of (`UserWarning`); an
    empty list if all is well.
    """

    def rules(leads: Array, follows: Array) -> Rules:
        found: Rules = [
            (
                leads > follows,
                "leader_step, follower_step: their ratio doesn't tend to 0 (exponents {leader_step}, {follower_step}); "
                "the leader's exponent must exceed the follower's",
            )
        ]
        for name, exponent in (("leader_step", leads), ("follower_step", follows)):
            said = f"(exponent {{{name}}})"
            found.append((exponent <= 1, f"{name}: its sum converges {said}; take an exponent of at most 1"))
            found.append((2 * exponent > 1, f"{name}: the sum of its squares diverges {said}; take more than 1/2"))
        return found

    return _violations({"leader_step": leader_step, "follower_step": follower_step}, rules, "two timescales")


def exponent_of(schedule: Schedule) -> Any:
    """The exponent of a power law, 0 of a constant, None of what can't be decided."""
    if isinstance(schedule, PowerLaw):
        return schedule.exponent
    return 0.0 if isinstance(schedule, Constant) else None


def _violations(schedules: Mapping[str, Any], rules: Callable[..., Rules], source: str) -> list[str]:
    """The rules about exponents that don't hold, or the first schedule whose exponent isn't known; each warned of."""
    found: list[str] = []
    exponents: dict[str, Any] = {}
    for name, given in schedules.items():
        schedule = as_schedule(given, name)
        known = exponent_of(schedule)
        exponents[name] = None if known is None else np.asarray(known)  # of numbers on the host no program is made
        if known is None and not found:
            found = [f"{name}: only decided for PowerLaw and Constant, not {schedule!r}"]
    if not found:
        broken = [text for holds, text in rules(*exponents.values()) if not np.all(holds)]
        found = [text.format(**exponents) for text in broken]
    for text in found:
        warnings.warn(f"{text} ({source})", stacklevel=3)
    return found
