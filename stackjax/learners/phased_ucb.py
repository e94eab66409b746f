"""A leader that knows how its follower's phases are laid out."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, pick, put
from stackjax.checks import as_number
from stackjax.learners._bandit import FAR, Bandit, Problem, is_positive, is_whole, log_horizon
from stackjax.learners.active_arm_elimination import phase_lengths
from stackjax.phases import Phased
from stackjax.protocols import Learner, Noise, Seen, Signals, View


class PhasedArm(NamedTuple):
    """An arm's completed phases, its slot and pull, the slot's sum, the phase's largest slot mean so far, the index."""

    phase: Any
    slot: Any
    pull: Any
    total: Any
    top: Any
    index: Any


class PhasedUCB(Phased, Bandit):
    """Plays the arm with the largest `max_slots (slot mean) + width sqrt(ln T / M_p)` over its last completed phase p.

    Phase p of an arm is completed by pull `slots (M_1 + ... + M_p)` of it, whatever was played in between; arms without
    a completed phase come first. Against a follower that plays `ActiveArmElimination` with the same phases, a slot
    holds the pulls of one of its arms. After Donahue et al. (2024), of whose rule only the principle is known: the form
    is a reconstruction of low confidence.

    **Arguments:** `phases` `[P]`: M_1, ..., M_P, whole and positive; the last one repeats. `slots` B >= 1, the
    follower's arms; `width` c > 0 and `horizon` T as in `UCB`.
    """

    phases: Any
    slots: Any
    width: Any
    horizon: Any
    follows = False

    def __init__(self, phases: Any, slots: Any, width: Any, horizon: Any, *, see_others: bool = False):
        self.phases, self.slots = phase_lengths(phases), slots
        self.width, self.horizon, self.see_others = as_number(width), horizon, see_others

    def hyper_parameters(self) -> dict[str, Any]:
        """Positive ones."""
        return {
            "phases: expected positive lengths": jnp.all(is_positive(self.phases)),
            "slots: expected a whole number, at least 1": is_whole(self.slots, 1),
            "width: expected a positive number": is_positive(self.width),
            "horizon: expected at least one round": is_positive(self.horizon),
        }

    def init(self, view: View, key: PRNGKeyArray) -> PhasedArm:
        """No phase is complete."""
        count, zero = jnp.zeros(view.arms, jnp.int32), jnp.zeros(view.arms, view.dtype)
        return PhasedArm(count, count, count, zero, zero - FAR, zero + FAR)

    def act(self, view: View, state: PhasedArm, noise: Noise, seen: Seen) -> Array:
        """The arm with the largest index."""
        return best(state.index[:])

    def update(self, view: View, state: PhasedArm, noise: Noise, signals: Signals) -> PhasedArm:
        """One more pull; at the end of a phase a new index."""
        return put(state, signals.own, self._observe(view, pick(state, signals.own), jnp.int32(1), signals.payoff))

    def exploration(self, arms: int) -> Any:
        """The first phase of every arm."""
        return np.asarray(self.phases[..., 0], float) * np.asarray(self.slots, float) * arms

    def committed(self, view: View, state: PhasedArm) -> Array:
        """To its arm's slot."""
        cell = pick(state, best(state.index[:]))
        return self._length(cell) - cell.pull

    def pulls(self, view: View, state: PhasedArm, plays: Array) -> Array:
        """All of one arm."""
        return jnp.where(jnp.arange(view.arms, dtype=jnp.int32) == best(state.index[:]), plays, 0)

    def absorb(self, view: View, state: PhasedArm, pulls: Array, totals: Array) -> PhasedArm:
        """They end at most its slot."""
        arm = best(state.index[:])
        return put(state, arm, self._observe(view, pick(state, arm), jnp.sum(pulls), jnp.sum(totals)))

    def _length(self, cell: PhasedArm) -> Array:
        return self.phases[jnp.minimum(cell.phase, self.phases.shape[0] - 1)]

    def _observe(self, view: View, cell: PhasedArm, pulls: Array, payoffs: Array) -> PhasedArm:
        """An arm after so many pulls in a slot."""
        length = self._length(cell)
        size = length.astype(view.dtype)
        total, pull = cell.total + payoffs, cell.pull + pulls
        slot_ended = pull == length
        top = jnp.where(slot_ended, jnp.maximum(cell.top, total / size), cell.top)
        slot = jnp.where(slot_ended, cell.slot + 1, cell.slot)
        ended = slot == self.slots
        index = top + jnp.asarray(self.width) * jnp.sqrt(log_horizon(self.horizon, view.dtype) / size)
        return PhasedArm(
            jnp.where(ended, cell.phase + 1, cell.phase),
            jnp.where(ended, 0, slot),
            jnp.where(slot_ended, 0, pull),
            jnp.where(slot_ended, 0, total),
            jnp.where(ended, -FAR, top),
            jnp.where(ended, index, cell.index),
        )

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        return cls(problem.phases(), problem.follower_arms, problem.width, problem.horizon)
