"""Explore in turn, then play the best empirical mean for ever."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, pick, put
from stackjax.learners._bandit import Bandit, Clocked, Problem, in_turn, is_whole
from stackjax.phases import LONGEST, Phased
from stackjax.protocols import Learner, Noise, Seen, Signals, View


class ExploreThenCommitThrowOut(Phased, Bandit):
    """Round robin for `discard` pulls an arm, which are forgotten, then for `keep` pulls an arm; then the best mean.

    A leader that throws out what it saw while its follower was still exploring. After Donahue et al. (2024), from a
    summary that leaves the lengths open: `discard = B E_2` and `keep = E_1`, E_1 and E_2 the explorations of
    `ExploreThenCommit` as leader and as follower, are a reconstruction.

    **Arguments:** `discard` >= 0, `keep` >= 1: pulls of each arm.
    """

    discard: Any
    keep: Any
    follows = False

    def hyper_parameters(self) -> dict[str, Any]:
        """Something to commit on."""
        return {
            "discard: expected a whole number, 0 or more": is_whole(self.discard, 0),
            "keep: expected a whole number, at least one pull an arm": is_whole(self.keep, 1),
        }

    def init(self, view: View, key: PRNGKeyArray) -> Clocked:
        """Sums of payoffs: every arm is pulled equally often before they are compared."""
        return Clocked(jnp.int32(0), jnp.zeros(view.arms, view.dtype))

    def act(self, view: View, state: Clocked, noise: Noise, seen: Seen) -> Array:
        """Round robin, then the best mean."""
        _, end = self.kept(view)
        return jnp.where(state.t < end, state.t % view.arms, best(state.arms[:]))

    def update(self, view: View, state: Clocked, noise: Noise, signals: Signals) -> Clocked:
        """A payoff counts between the two phases' ends."""
        begin, end = self.kept(view)
        counts = (state.t >= begin) & (state.t < end)
        total = pick(state.arms, signals.own) + jnp.where(counts, signals.payoff, 0)
        return Clocked(state.t + 1, put(state.arms, signals.own, total))

    def committed(self, view: View, state: Clocked) -> Array:
        """To each of the two explorations, and then for ever."""
        begin, end = self.kept(view)
        return jnp.where(state.t < end, jnp.where(state.t < begin, begin, end) - state.t, LONGEST)

    def pulls(self, view: View, state: Clocked, plays: Array) -> Array:
        """Round robin, or all on the best mean."""
        arms = jnp.arange(view.arms, dtype=jnp.int32)
        rounds = jnp.stack([state.t, state.t + plays])[:, None] - arms[None]
        begun, ended = -(-rounds // view.arms)  # the first so many rounds of a round robin
        return jnp.where(state.t < self.kept(view)[1], ended - begun, jnp.where(arms == best(state.arms[:]), plays, 0))

    def absorb(self, view: View, state: Clocked, pulls: Array, totals: Array) -> Clocked:
        """What was paid between the two phases' ends."""
        begin, end = self.kept(view)
        counts = (state.t >= begin) & (state.t < end)
        return Clocked(state.t + jnp.sum(pulls), state.arms[:] + jnp.where(counts, totals, 0))

    def kept(self, view: View) -> tuple[Array, Array]:
        """The first round whose payoff counts, and the first after the exploration."""
        begin = in_turn(self.discard, view.arms)
        return begin, begin + jnp.minimum(in_turn(self.keep, view.arms), LONGEST - begin)

    def exploration(self, arms: int) -> Any:
        """Both phases."""
        return (np.asarray(self.discard, float) + np.asarray(self.keep, float)) * arms

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        a, b = problem.leader_arms, problem.follower_arms
        return cls(discard=b * problem.explore(a * b), keep=problem.explore(a))


class ExploreThenCommit(ExploreThenCommitThrowOut):
    """Round robin for `explore` pulls an arm, then the best empirical mean for ever.

    **Arguments:** `explore` >= 1, pulls of each arm. `tuned`: `ceil(A^(-2/3) (ln T)^(1/3) T^(2/3))` for a leader with A
    arms, `ceil((A B)^(-2/3) (ln T)^(1/3) T^(2/3))` for its follower: constants are a reconstruction.
    """

    follows = True

    def __init__(self, explore: Any, *, see_others: bool = False):
        self.discard, self.keep, self.see_others = 0, explore, see_others

    @property
    def explore(self) -> Any:
        """Pulls of each arm before it commits."""
        return self.keep

    def hyper_parameters(self) -> dict[str, Any]:
        """Something to commit on."""
        return {"explore: expected a whole number, at least one pull an arm": is_whole(self.keep, 1)}

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        pairs = problem.leader_arms * (1 if problem.role == "leader" else problem.follower_arms)
        return cls(problem.explore(pairs))
