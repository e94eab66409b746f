"""Sample a mean for every arm from its posterior, and play the best sample."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, PRNGKeyArray, Scalar

from stackjax.arms import best, pick, put
from stackjax.checks import as_number
from stackjax.learners._bandit import Arm, Bandit, Problem, fresh, unpulled_first
from stackjax.protocols import Learner, Noise, Seen, Signals, View


class ThompsonSampling(Bandit):
    """Thompson (1933) sampling.

    With "gaussian" rewards of known standard deviation sigma and a flat prior the sample is `mean + sigma z / sqrt(n)`,
    unpulled arms first. With "bernoulli" ones it is the quantile of `Beta(1 + successes, 1 + failures)` at a uniform
    number; payoffs are clipped to [0, 1] and count as fractions of a success. In float32 the quantile's probability is
    off by at most 4 eps sqrt(n), eps = 1.2e-7 and n the smaller parameter, in float64 by 1e-14 for parameters up to 200
    (measured). It is found in a fixed number of steps, a construction of our own, and compared as log odds: quantiles
    next to 1 would round to ties.

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
        return best(jax.vmap(_beta_log_odds)(1 + successes, 1 + state.pulls[:] - successes, noise))

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


def _beta_log_odds(a: Scalar, b: Scalar, u: Scalar) -> Scalar:
    """The log odds `log(x / (1 - x))` of the quantile x of Beta(a, b) at u, for a and b from 1.

    With a <= b, else mirrored, the density of `w = log(x / (1 - x)) - log(a / b)` is `exp(phi(w)) / Z`, where
    `phi(w) = a w - (a + b) log(1 + p (exp(w) - 1))`, p = a / (a + b), is concave with its maximum 0 at 0. Z and the
    tail beyond w are integrals over about the width in which it falls by `depth` (`ends`), by Gauss and Legendre's rule
    in the root of the distance. The tail's normal score z is almost linear in w: twice, w moves along the third-order
    Taylor series of w(z). It starts where a normal density with the same mode would have fallen as far.
    """
    depth, nodes, weights = _rule(u.dtype)
    z = ndtri(jnp.maximum(u, jnp.finfo(u.dtype).eps / 2))  # uniform numbers are multiples of eps, and may be 0
    mirrored = a > b
    a, b, z = jnp.where(mirrored, b, a), jnp.where(mirrored, a, b), jnp.where(mirrored, -z, z)
    r = a + b
    p, s = a / r, jnp.sqrt(a * b / r)

    def phi(w: Array) -> Array:
        return a * w - r * jnp.log1p(p * jnp.expm1(w))

    def ends(depth: Any) -> tuple[Array, Array]:
        width = jnp.sqrt(2 * depth) / s
        return -depth / a - jnp.log1p(width), depth / b + jnp.log1p(width + depth / a)

    def integral(w: Any, width: Array) -> Array:
        return jnp.abs(width) * jnp.sum(weights * jnp.exp(phi(w + width * nodes)))

    low, high = ends(depth)
    Z = integral(0.0, low) + integral(0.0, high)
    start = z - (b - a) / (3 * r * s)  # less the mode's score, to first order
    w = jnp.where(start < 0, *ends(start**2 / 2))
    for _ in range(2):
        score = ndtri(integral(w, jnp.where(w < 0, low, high)) / Z)
        score = jnp.where(w < 0, score, -score)
        x = p * jnp.exp(w) / (1 + p * jnp.expm1(w))
        slope, curvature = a - r * x, -r * x * (1 - x)  # of phi
        first = jnp.exp(-(score**2) / 2 - phi(w)) * Z / math.sqrt(2 * math.pi)  # dw/dz
        second = -score - slope * first  # over the first, as the third
        third = second**2 - 1 - first * (curvature * first + slope * second)
        d = z - score
        w = w + first * d * (1 + d / 2 * (second + d / 3 * third))
    w = w + jnp.log(a / b)
    return jnp.where(mirrored, -w, w)


def _rule(dtype: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """The depth and the rule of `_beta_log_odds`: what is left out, and the rule's error, are below rounding."""
    depth, n = (17.0, 16) if jnp.finfo(dtype).bits <= 32 else (37.0, 40)
    x, weights = np.polynomial.legendre.leggauss(n)
    x = (x + 1) / 2
    return depth, (x**2).astype(dtype), (weights * x).astype(dtype)
