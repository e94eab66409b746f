"""Elimination in phases whose boundaries depend on the number of pulls alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, pick, put, rarely
from stackjax.checks import as_number
from stackjax.learners._bandit import Bandit, Problem, in_turn, is_positive, log_horizon
from stackjax.phases import Phased
from stackjax.protocols import Learner, Noise, Seen, Signals, View


class EliminationState(NamedTuple):
    """The phase, a slot's length in it, the slot, its pulls so far; the phase's sums of payoffs; which arms are out."""

    phase: Any
    length: Any
    slot: Any
    pull: Any
    total: Any
    out: Any


class ActiveArmElimination(Phased, Bandit):
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
            "phases: expected positive lengths": jnp.all(is_positive(self.phases)),
            "width: expected a positive number": is_positive(self.width),
            "horizon: expected at least one round": is_positive(self.horizon),
        }

    def init(self, view: View, key: PRNGKeyArray) -> EliminationState:
        """All arms are active."""
        count, zero = jnp.int32(0), jnp.zeros(view.arms, view.dtype)
        return EliminationState(count, self.phases[0], count, count, zero, zero)

    def act(self, view: View, state: EliminationState, noise: Noise, seen: Seen) -> Array:
        """The slot's arm, or the next active one."""
        return self._arm(view, state.slot, state.out[:])

    def _arm(self, view: View, slot: Array, out: Array) -> Array:
        arms = jnp.arange(view.arms, dtype=jnp.int32)
        after = arms - slot + jnp.where(arms < slot, view.arms, 0)
        # The order after the slot, active arms first.
        return best(-(after.astype(view.dtype) + out * view.arms))

    def update(self, view: View, state: EliminationState, noise: Noise, signals: Signals) -> EliminationState:
        """One more pull; at the end of a phase, the elimination."""
        total = put(state.total, signals.own, pick(state.total, signals.own) + signals.payoff)
        pull = state.pull + 1
        slot_ended = pull == state.length
        slot, pull = jnp.where(slot_ended, state.slot + 1, state.slot), jnp.where(slot_ended, 0, pull)
        state = state._replace(slot=slot, pull=pull, total=total)
        return rarely(slot == view.arms, lambda state: self._eliminate(view, state), state)

    def exploration(self, arms: int) -> Any:
        """The first phase: nothing is eliminated before its end."""
        return np.asarray(self.phases[..., 0], float) * arms

    def committed(self, view: View, state: EliminationState) -> Array:
        """To its phase."""
        return in_turn(state.length, view.arms) - state.slot * state.length - state.pull

    def pulls(self, view: View, state: EliminationState, plays: Array) -> Array:
        """Those of this slot and the next ones."""
        slots = jnp.arange(view.arms, dtype=jnp.int32)
        left = jnp.where(slots < state.slot, 0, state.length - jnp.where(slots == state.slot, state.pull, 0))
        first = jnp.cumsum(left) - left
        arms = jax.vmap(lambda slot: self._arm(view, slot, state.out[:]))(slots)
        pulls = jnp.clip(plays - first, 0, left)
        return jnp.sum(jnp.where(arms[:, None] == slots[None], pulls[:, None], 0), axis=0)

    def absorb(self, view: View, state: EliminationState, pulls: Array, totals: Array) -> EliminationState:
        """They end at most this phase."""
        done = state.slot * state.length + state.pull + jnp.sum(pulls)
        slot, pull = done // state.length, done % state.length
        state = state._replace(slot=slot, pull=pull, total=state.total[:] + totals)
        return rarely(slot == view.arms, lambda state: self._eliminate(view, state), state)

    def _eliminate(self, view: View, state: EliminationState) -> EliminationState:
        """The end of a phase."""
        arms = jnp.arange(view.arms, dtype=jnp.int32)
        active = state.out == 0
        # An arm has its own slot and those right before it whose arms are out.
        before = jnp.where(active[None], (arms[:, None] - arms[None] - 1) % view.arms, view.arms)
        pulls = (state.length * (jnp.min(before, axis=1) + 1)).astype(view.dtype)
        mean = state.total / pulls
        radius = jnp.asarray(self.width) * jnp.sqrt(log_horizon(self.horizon, view.dtype) / pulls)
        highest = jnp.max(jnp.where(active, mean - radius, -jnp.inf))
        stays = active & (mean + radius >= highest)
        phase = state.phase + 1
        length = self.phases[jnp.minimum(phase, self.phases.shape[0] - 1)]
        zero, none = jnp.int32(0), jnp.zeros_like(state.total)
        return EliminationState(phase, length, zero, zero, none, jnp.where(stays, 0, 1).astype(state.out.dtype))

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        return cls(problem.phases(), problem.width, problem.horizon)


def phase_lengths(phases: Any) -> Array:
    """Whole numbers `[P]`."""
    array = jnp.asarray(phases)
    if array.ndim < 1 or array.shape[-1] == 0 or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"phases: expected a sequence of whole numbers, the phases' lengths, got {phases!r}")
    return array.astype(jnp.int32)
