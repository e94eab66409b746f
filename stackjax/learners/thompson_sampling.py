"""Sample a mean for every arm from its posterior, and play the best sample."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.arms import best, pick, put
from stackjax.checks import as_number
from stackjax.learners._bandit import Arm, Bandit, Problem, fresh, unpulled_first
from stackjax.protocols import Learner, Noise, Seen, Signals, View

_BISECTIONS = 50


class ThompsonSampling(Bandit):
    """Thompson (1933) sampling.

    With "gaussian" rewards of known standard deviation sigma and a flat prior the sample is `mean + sigma z / sqrt(n)`,
    unpulled arms first. With "bernoulli" ones it is a quantile of `Beta(1 + successes, 1 + failures)` at a uniform
    number, found by bisection (slow); payoffs are clipped to [0, 1] and count as fractions of a success.

    **Arguments:** `noise`: "gaussian" or "bernoulli", static; `sigma` > 0, in units of payoff.
    """

    sigma: Any
    noise: Literal["gaussian", "bernoulli"] = eqx.field(static=True)

    def __init__(self, noise: str = "gaussian", sigma: Any = 1.0, *, see_others: bool = False):
        if noise not in ("gaussian", "bernoulli"):
            raise ValueError(f'noise: expected "gaussian" or "bernoulli", got {noise!r}')
        self.noise = noise  # type: ignore[assignment]  # one of the two, as was just checked
        self.sigma, self.see_others = as_number(sigma), see_others

    def hyper_parameters(self) -> dict[str, Any]:
        """A positive standard deviation."""
        return {"sigma: expected a positive number": jnp.asarray(self.sigma) > 0}

    def init(self, view: View, key: PRNGKeyArray) -> Arm:
        """No pulls."""
        return fresh(view.arms, view.dtype)

    def draw(self, view: View, key: PRNGKeyArray) -> Array:
        """A standard normal or a uniform number for each arm."""
        law = jax.random.normal if self.noise == "gaussian" else jax.random.uniform
        return law(key, (view.arms,), view.dtype)

    def act(self, view: View, state: Arm, noise: Array, seen: Seen) -> Array:
        """The best sample."""
        if self.noise == "gaussian":
            return best(unpulled_first(state, state.mean[:] + jnp.asarray(self.sigma) * noise * state.width[:]))
        successes = state.pulls[:] * state.mean[:]
        return best(_beta_quantile(1 + successes, 1 + state.pulls[:] - successes, noise))

    def strategy(self, view: View, state: Arm, seen: Seen) -> Array:
        """The best mean, unpulled arms first."""
        return best(unpulled_first(state, state.mean[:]))

    def update(self, view: View, state: Arm, noise: Noise, signals: Signals) -> Arm:
        """One more pull of its arm."""
        payoff = signals.payoff if self.noise == "gaussian" else jnp.clip(signals.payoff, 0, 1)
        return put(state, signals.own, pick(state, signals.own).observe(payoff))

    @classmethod
    def _tuned(cls, problem: Problem, noise: str, sigma: float) -> Learner:
        return cls(noise, sigma)


def _beta_quantile(a: Array, b: Array, u: Array) -> Array:
    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = jax.scipy.special.betainc(a, b, middle) < u
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (jnp.zeros_like(u), jnp.ones_like(u)))
    return (low + high) / 2
