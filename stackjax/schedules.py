"""Plain callables of a counter, which counts a learner's own updates from 0: step sizes, perturbations, commitments.

Their numbers are leaves: they sweep through `play`'s `in_axes`, and another value doesn't recompile.
"""

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Scalar

from stackjax.checks import as_number, number

Schedule = Callable[[Any], Any]


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
    """`k_n = max(2, ceil(2 (ln delta_n - ln B - p ln(n + 1)) / ln(1 - rate)))`; made by `commitment_times`."""

    perturbation: Schedule
    rate: Any
    bound: Any
    exponent: Any

    def __call__(self, n: Int[Array, ""] | int) -> Int[Array, ""]:
        """The number of rounds for which interval `n` is held."""
        delta = jnp.asarray(self.perturbation(n))
        small = jnp.log(delta) - jnp.log(self.bound) - self.exponent * jnp.log(jnp.asarray(n, delta.dtype) + 1)
        return jnp.maximum(2, jnp.ceil(2 * small / jnp.log1p(-self.rate))).astype(jnp.int32)


def commitment_times(perturbation: Schedule | float, rate: Any, bound: Any, exponent: Any) -> CommitmentTimes:
    """The commitment schedule that makes Hi-C converge with a gradient-ascent follower.

    `k_n = max(2, ceil(2 (ln delta_n - ln B - p ln(n + 1)) / ln(1 - beta mu)))`: after `k_n` rounds the follower's
    distance from its best response is at most `delta_n / (n + 1)^p`. Eq. 28 of Loftin et al. (2024), with two
    guards that the printed formula lacks: `n + 1` for `n` (it is infinite at n = 0), and at least 2 (in the first round
    of an interval the follower hasn't moved). The printed bound is kept, although the contraction is `(1 - beta mu)^k`
    and not its square root, so it is about twice as long as needed.

    **Arguments:**

    - `perturbation`: the schedule delta_n of the learner that commits, or a number.
    - `rate`: beta mu in (0, 1): the follower's step size times the strong concavity of its payoff.
    - `bound`: B > 0, of the follower's distance from its best response, in the follower's units.
    - `exponent`: p > 0.

    **Raises:** `ValueError` that names the argument which is out of its range.
    """
    number(rate, "rate", 0.0, high=1.0)
    number(bound, "bound", 0.0)
    number(exponent, "exponent", 0.0)
    delta = as_schedule(perturbation, "perturbation")
    return CommitmentTimes(delta, *(as_number(value) for value in (rate, bound, exponent)))


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
    a, d = (as_schedule(s, name) for s, name in ((step, "step"), (perturbation, "perturbation")))
    exponents = []
    for name, schedule in (("step", a), ("perturbation", d)):
        if isinstance(schedule, PowerLaw):
            exponents.append(np.asarray(schedule.exponent))
        elif isinstance(schedule, Constant):
            exponents.append(np.asarray(0.0))
        else:
            found = [f"{name}: Assumption 4.4 is only decided for PowerLaw and Constant, not {schedule!r}"]
            warnings.warn(found[0], stacklevel=2)
            return found
    alpha, delta = exponents
    rules = (
        (alpha > 0, "step: it doesn't tend to 0 (exponent {alpha}); take an exponent above 0"),
        (delta > 0, "perturbation: it doesn't tend to 0 (exponent {delta}); take an exponent above 0"),
        (alpha <= 1, "step: its sum converges (exponent {alpha}), so it may stop short; take an exponent of at most 1"),
        (
            2 * (alpha - delta) > 1,
            "step, perturbation: the sum of (step / perturbation)^2 diverges (exponents {alpha}, {delta}); "
            "the step's exponent must exceed the perturbation's by more than 1/2",
        ),
    )
    found = [text.format(alpha=alpha, delta=delta) for holds, text in rules if not np.all(holds)]
    for text in found:
        warnings.warn(f"{text} (Assumption 4.4)", stacklevel=2)
    return found
