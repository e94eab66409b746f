"""Mostly the best empirical mean, sometimes any arm."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, pick, put
from stackjax.learners._bandit import Bandit, Clocked, fresh, unpulled_first
from stackjax.protocols import Noise, Seen, Signals, View
from stackjax.schedules import Schedule, as_schedule


class EpsilonGreedy(Bandit):
    """With probability epsilon(n) a uniformly random arm, else the best empirical mean, unpulled arms first.

    **Arguments:** `epsilon`: a number in [0, 1], or a schedule of the learner's own update counter.
    """

    epsilon: Schedule

    def __init__(self, epsilon: Any, *, see_others: bool = False):
        self.epsilon, self.see_others = as_schedule(epsilon, "epsilon"), see_others

    def hyper_parameters(self) -> dict[str, Any]:
        """A probability."""
        first = jnp.asarray(self.epsilon(jnp.int32(0)))
        return {"epsilon: expected a probability": (first >= 0) & (first <= 1)}

    def init(self, view: View, key: PRNGKeyArray) -> Clocked:
        """No pulls."""
        return Clocked(jnp.int32(0), fresh(view.arms, view.dtype))

    def draw(self, view: View, key: PRNGKeyArray) -> Array:
        """Whether to explore, and where: two uniform numbers."""
        return jax.random.uniform(key, (2,), view.dtype)

    def act(self, view: View, state: Clocked, noise: Array, seen: Seen) -> Array:
        """Any arm, or the greedy one."""
        n = view.arms
        anything = jnp.minimum((noise[1] * n).astype(jnp.int32), n - 1)
        explores = noise[0] < jnp.asarray(self.epsilon(state.t)).astype(view.dtype)
        return jnp.where(explores, anything, self.strategy(view, state, seen))

    def strategy(self, view: View, state: Clocked, seen: Seen) -> Array:
        """The greedy arm."""
        return best(unpulled_first(state.arms, state.arms.mean[:]))

    def update(self, view: View, state: Clocked, noise: Noise, signals: Signals) -> Clocked:
        """One more pull of its arm."""
        arms = put(state.arms, signals.own, pick(state.arms, signals.own).observe(signals.payoff))
        return Clocked(state.t + 1, arms)
