"""Exponential weights on estimated losses."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, pick, put
from stackjax.checks import as_number
from stackjax.learners._bandit import Bandit, Problem, is_positive
from stackjax.protocols import Learner, Noise, Seen, Signals, View


class EXP3(Bandit):
    """Draws its arm from `p ~ exp(-rate L)`, L the sums of estimated losses `(1 - clip(payoff, 0, 1)) / p(arm)`.

    Auer et al. (2002, The Nonstochastic Multiarmed Bandit Problem) in the form with losses, without uniform
    exploration.

    **Arguments:** `rate` > 0; `tuned`: `sqrt(2 ln K / (K T))` for K own arms.
    """

    rate: Any

    def __init__(self, rate: Any, *, see_others: bool = False):
        self.rate, self.see_others = as_number(rate), see_others

    def hyper_parameters(self) -> dict[str, Any]:
        """A positive rate."""
        return {"rate: expected a positive number": is_positive(self.rate)}

    def init(self, view: View, key: PRNGKeyArray) -> Array:
        """No losses."""
        return jnp.zeros(view.arms, view.dtype)

    def draw(self, view: View, key: PRNGKeyArray) -> Array:
        """A uniform number."""
        return jax.random.uniform(key, (), view.dtype)

    def probabilities(self, losses: Array) -> Array:
        """Of the arms."""
        return jax.nn.softmax(-jnp.asarray(self.rate) * losses)

    def act(self, view: View, state: Any, noise: Array, seen: Seen) -> Array:
        """The first arm whose cumulative probability exceeds the number."""
        below = jnp.cumsum(self.probabilities(state[:]))[:-1] <= noise
        return jnp.sum(below, dtype=jnp.int32)

    def strategy(self, view: View, state: Any, seen: Seen) -> Array:
        """The likeliest arm."""
        return best(-state[:])

    def update(self, view: View, state: Any, noise: Noise, signals: Signals) -> Any:
        """The estimated loss of its arm."""
        probability = pick(self.probabilities(state[:]), signals.own)
        loss = (1 - jnp.clip(signals.payoff, 0, 1)) / probability
        return put(state, signals.own, pick(state, signals.own) + loss)

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        k = max(problem.arms, 2)
        return cls(math.sqrt(2 * math.log(k) / (k * problem.horizon)))
