"""Elimination in phases whose boundaries depend on the number of pulls alone."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, largest, pick, put
from stackjax.learners._bandit import Arm, Bandit, Problem, fresh, log_horizon, positive
from stackjax.protocols import Learner, Noise, Seen, Signals, View
from stackjax.schedules import as_number


class EliminationState(NamedTuple):
    """The phase, the slot in it and the pull in that; this phase's statistics; which arms are eliminated (1, else 0).

    `since` is the phase that an arm's statistics are of: those of an earlier phase are forgotten when they are touched.
    """

    phase: Any
    slot: Any
    pull: Any
    arms: Arm
    since: Any
    out: Any


class ActiveArmElimination(Bandit):
    """Phase p is a slot of `M_p` consecutive pulls for each arm; at its end arms are eliminated for ever.

    Slot j plays arm j if it is active, else the next active arm cyclically, so that phase boundaries depend on the
    number of pulls only. An arm stays if `mean + rad >= max_b (mean_b - rad_b)` over the active arms, with `rad = width
    sqrt(ln T / n)` and the n pulls of that phase alone. After Donahue et al. (2024), ComputeActiveArms; the layout of
    slots is a reconstruction.

    **Arguments:** `phases` `[P]`: M_1, ..., M_P, whole and positive; the last one repeats. `width` c > 0 and `horizon`
    T as in `UCB`.
    """

    phases: Any
    width: Any
    horizon: Any

    def __init__(self, phases: Any, width: Any, horizon: Any, *, see_others: bool = False):
        self.phases = phase_lengths(phases)
        self.width, self.horizon, self.see_others = as_number(width), horizon, see_others

    def hyper_parameters(self) -> dict[str, Any]:
        """Positive ones."""
        return {
            "phases: expected positive lengths": jnp.all(positive(self.phases)),
            "width: expected a positive number": positive(self.width),
            "horizon: expected at least one round": positive(self.horizon),
        }

    def init(self, view: View, key: PRNGKeyArray) -> EliminationState:
        """All arms are active."""
        zero, n = jnp.int32(0), view.arms
        since, out = jnp.zeros(n, jnp.int32), jnp.zeros(n, view.dtype)
        return EliminationState(zero, zero, zero, fresh(n, view.dtype), since, out)

    def act(self, view: View, state: EliminationState, noise: Noise, seen: Seen) -> Array:
        """The slot's arm, or the next active one."""
        arms = jnp.arange(view.arms, dtype=jnp.int32)
        after = arms - state.slot + jnp.where(arms < state.slot, view.arms, 0)
        # The order after the slot, active arms first.
        return best(-(after.astype(view.dtype) + state.out[:] * view.arms))

    def update(self, view: View, state: EliminationState, noise: Noise, signals: Signals) -> EliminationState:
        """One more pull; at the end of a phase, the elimination."""
        n, arm = view.arms, signals.own
        length = self.phases[jnp.minimum(state.phase, self.phases.shape[0] - 1)]
        stale = pick(state.since, arm) != state.phase
        old, blank = pick(state.arms, arm), Arm(*(x[0] for x in fresh(1, view.dtype)))
        cell = Arm(*(jnp.where(stale, b, a) for a, b in zip(old, blank, strict=True))).observe(signals.payoff)
        arms, since = put(state.arms, arm, cell), put(state.since, arm, state.phase)
        pull = state.pull + 1
        slot_ended = pull == length
        slot = jnp.where(slot_ended, state.slot + 1, state.slot)
        ended = slot == n
        mean = arms.mean[:]
        radius = jnp.asarray(self.width) * jnp.sqrt(log_horizon(self.horizon, view.dtype)) * arms.width[:]
        gone = state.out[:]  # its statistics are of an earlier phase
        highest = largest(mean - radius - gone * 1e30)
        out = jnp.where(ended & (mean + radius < highest), jnp.ones_like(gone), gone)
        return EliminationState(
            jnp.where(ended, state.phase + 1, state.phase),
            jnp.where(ended, 0, slot),
            jnp.where(slot_ended, 0, pull),
            arms,
            since,
            out,
        )

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        return cls(problem.phases(), problem.width, problem.horizon)


def phase_lengths(phases: Any) -> Array:
    """Whole numbers `[P]`."""
    array = jnp.asarray(phases)
    if array.ndim < 1 or array.shape[-1] == 0 or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"phases: expected a sequence of whole numbers, the phases' lengths, got {phases!r}")
    return array.astype(jnp.int32)
