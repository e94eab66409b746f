"""Hi-C: hierarchical learning with commitments, the uncoupled leader."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree, Scalar

from stackjax.checks import as_number, concrete, number
from stackjax.protocols import Action, Calls, Game, Learner, Noise, Seen, Signal, Signals, View, level_of, tree_where
from stackjax.schedules import CommitmentTimes, Constant, PowerLaw, Schedule, as_schedule, check_spsa


class HiCState(NamedTuple):
    """The centre `x_n`, the signs `Delta_n`, the counter n, the rounds left in the interval, and what was read."""

    x: Action
    signs: PyTree
    n: Int[Array, ""]
    left: Int[Array, ""]
    baseline: Scalar  # running mean of the readings; of two measurements: the first of the pair
    second: Bool[Array, ""]  # whether the second half of a pair is being played


class HiC(Learner):
    """A leader that perturbs its strategy, commits to it for an interval, and ascends by what it was paid at the end.

    Interval n plays `x~_n = x_n + delta_n Delta_n`, `Delta_n` uniform on {-1, 1}^d, for `k_n` rounds, then
    `x_{n+1} = project(x_n + alpha_n (s - b) / (delta_n Delta_n))` with `s` the payoff of the interval's last round:
    Algorithm 1 of Loftin et al. (2024), simultaneous-perturbation stochastic approximation whose every measurement
    waits for the follower. It sees its own payoffs only: uncoupled.

    Two things are added to Algorithm 1, both from the leader's own payoffs. The baseline b is a running mean of the
    readings that starts at the first of them; without it (`baseline=None`, the algorithm as printed) the payoff's
    level, divided by delta, drowns its differences. And in a `Box`, `x_n` is projected to the box shrunk by `delta_n`,
    so that the perturbed action stays inside and isn't clipped, which would bias the estimate.

    **Arguments:**

    - `step`: alpha_n; `perturbation`: delta_n > 0, in the units of the action; numbers or schedules of the counter n of
      the leader's updates. Power laws that violate Assumption 4.4 warn (`stackjax.schedules.check_spsa`).
    - `commitment`: k_n >= 1 rounds; an integer or a schedule such as `stackjax.schedules.commitment_times`,
      which goes by this learner's perturbation. A fixed one leads beside the Stackelberg equilibrium:
      `stackjax.equilibria.short_commitment_point` says where to, `commitment_for` how long it has to be.
    - `baseline`: the decay of the running mean, in [0, 1), or None for none.
    - `measurements`: 1, or 2 for an antithetic pair: `x + delta Delta` and then `x - delta Delta`, each for `k_n`
      rounds, and `x_{n+1} = x_n + alpha_n (s+ - s-) / (2 delta_n Delta_n)`; n counts pairs, and no baseline is needed
      or used.

    **Raises:** `ValueError` at construction for values out of range; from `play` if `delta_0` exceeds half of a box's
    width or isn't positive, and on a `Simplex`. `play` warns (`UserWarning`) of commitments of one round.
    """

    step: Schedule
    perturbation: Schedule
    commitment: Schedule
    baseline: Any
    measurements: int = eqx.field(static=True)
    wants = Signal.PAYOFF

    def __init__(self, step: Any, perturbation: Any, commitment: Any, *, baseline: Any = 0.9, measurements: int = 1):
        self.step = as_schedule(step, "step")
        self.perturbation = as_schedule(perturbation, "perturbation")
        if not callable(commitment):
            number(commitment, "commitment", 1, open_low=False, whole=True)
        if isinstance(commitment, CommitmentTimes):
            commitment = commitment.shared(self.perturbation)
        self.commitment = as_schedule(commitment, "commitment")
        if baseline is not None:
            number(baseline, "baseline", 0.0, open_low=False, high=1.0)
        if measurements not in (1, 2):
            raise ValueError(f"measurements: expected 1 or 2, got {measurements!r}")
        if isinstance(self.step, PowerLaw) and isinstance(self.perturbation, PowerLaw):
            check_spsa(self.step, self.perturbation)
        self.baseline = as_number(baseline)
        self.measurements = measurements

    def requires(self, view: View) -> dict[str, Any]:
        """Positive schedules, and a perturbation that fits the box."""
        zero = jnp.int32(0)
        delta = jnp.asarray(self.perturbation(zero))
        return {
            "step: expected a positive step": jnp.asarray(self.step(zero)) > 0,
            "perturbation: expected a positive perturbation": delta > 0,
            "commitment: expected at least 1 round": self._rounds(zero) >= 1,
            "perturbation: delta_0 is wider than half of the box": view.space.fits(delta),
        }

    def advice(self, player: int, game: Game, learners: Sequence[Learner]) -> list[str]:
        """Against commitments of one round, in which followers that learn don't yet answer."""
        below = [j for level in game.levels[level_of(game, player) + 1 :] for j in level]
        learns = Signal.PAYOFF | Signal.GRADIENT | Signal.GAME
        learn = [j for j in below if learners[j].wants & learns and Signal.COMMITMENT not in learners[j].wants]
        k = self.commitment.value if isinstance(self.commitment, Constant) else None
        if not learn or k is None or not concrete(k) or not bool(np.any(np.asarray(k) < 2)):
            return []
        return [
            f"commitment: in an interval of one round player {learn[0]} hasn't answered what is tried, so that this "
            "goes where simultaneous learning goes; expected 2 rounds or more (stackjax.schedules.commitment_times)"
        ]

    def _rounds(self, n: Int[Array, ""]) -> Int[Array, ""]:
        times = self.commitment
        rounds = times(n, self.perturbation) if isinstance(times, CommitmentTimes) else times(n)
        return jnp.asarray(rounds).astype(jnp.int32)

    def _bits(self, view: View, key: PRNGKeyArray) -> PyTree:
        leaves, structure = jax.tree.flatten(view.space.struct(view.dtype))
        keys = [key] if len(leaves) == 1 else jax.random.split(key, len(leaves))
        bits = [jax.random.bernoulli(k, 0.5, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
        return jax.tree.unflatten(structure, bits)

    def _signs(self, view: View, bits: PyTree) -> PyTree:
        return jax.tree.map(lambda bit: jnp.where(bit, 1, -1).astype(view.dtype), bits)

    def init(self, view: View, key: PRNGKeyArray) -> HiCState:
        """The start or a sample of the space, inside the box by `delta_0`, and the first signs."""
        n = jnp.int32(0)
        x = view.space.shrunk(self.perturbation(n)).project(view.first_action(key))
        signs = self._signs(view, self._bits(view, jax.random.fold_in(key, 1)))
        return HiCState(x, signs, n, self._rounds(n), jnp.zeros((), view.dtype), jnp.asarray(False))

    def draw(self, view: View, key: PRNGKeyArray) -> PRNGKeyArray:
        """The key of the signs of the interval that starts next round, if one does: only then they are drawn."""
        return key

    def act(self, view: View, state: HiCState, noise: Noise, seen: Seen) -> Action:
        """The perturbed action of the current interval."""
        delta = jnp.asarray(self.perturbation(state.n), view.dtype)
        if self.measurements == 2:
            delta = jnp.where(state.second, -delta, delta)
        return jax.tree.map(lambda x, s: x + delta * s, state.x, state.signs)

    def strategy(self, view: View, state: HiCState, seen: Seen) -> Action:
        """The centre `x_n`."""
        return state.x

    def update(self, view: View, state: HiCState, noise: PRNGKeyArray, signals: Signals) -> HiCState:
        """Count the round down; at the end of an interval (or of a pair) move the centre and start the next one."""
        # Where the replicates share a schedule they end together, and between the ends there is nothing to compute.
        return jax.lax.cond(
            state.left <= 1,
            functools.partial(self._end, view),
            lambda state, *_: state._replace(left=state.left - 1),
            state,
            noise,
            signals.payoff.astype(view.dtype),
        )

    def _end(self, view: View, state: HiCState, key: PRNGKeyArray, payoff: Scalar) -> HiCState:
        """The end of an interval, whose last round paid this."""
        moves: Any = True
        if self.measurements == 2:
            moves = state.second
            gain, baseline = (state.baseline - payoff) / 2, payoff
        elif self.baseline is None:
            gain, baseline = payoff, state.baseline
        else:
            mean = jnp.where(state.n == 0, payoff, state.baseline)
            gain = payoff - mean  # subtracted before the division by delta, which would magnify rounding
            baseline = self.baseline * mean + (1 - self.baseline) * payoff
        scale = gain * jnp.asarray(self.step(state.n) / self.perturbation(state.n), view.dtype)
        n = jnp.where(moves, state.n + 1, state.n)
        room = view.space.shrunk(jnp.asarray(self.perturbation(n), view.dtype))
        moved = room.project(jax.tree.map(lambda x, s: x + scale * s, state.x, state.signs))
        return HiCState(
            x=tree_where(moves, moved, state.x),
            signs=tree_where(moves, self._signs(view, self._bits(view, key)), state.signs),
            n=n,
            left=self._rounds(n),
            baseline=jnp.asarray(baseline, view.dtype),
            second=~state.second if self.measurements == 2 else state.second,
        )

    def calls(self, view: View, before: HiCState, after: HiCState) -> Calls:
        """One payoff reading for every interval that ended: the others are not used."""
        return Calls(payoffs=(before.left <= 1).astype(jnp.int32))
