"""Adversarial games with known solutions: a generator leads, a discriminator follows."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from stackjax.checks import as_number, concrete, number, whole
from stackjax.games._checks import check_definite, finite_array
from stackjax.protocols import Action, Game, Noise
from stackjax.spaces import Euclidean


class DiracGAN(Game):
    """The smallest generative adversarial network: one number against one number.

    The generator x (leader) puts all its mass at x and the data's is at 0; the discriminator is `D(s) = y s`, with the
    follower's slope y. `f_1 = -L` and `f_2 = L - regularisation y^2 / 2` with `L = g(x y) + g(0)`,
    `g(t) = -log(1 + e^(-t))`. (Mescheder, Geiger & Nowozin, 2018, Which Training Methods for GANs do actually
    Converge?; their gradient penalty R1 is this regulariser.)

    Both gradients vanish at the origin alone. With a regulariser it is the differential Stackelberg equilibrium and
    attracts simultaneous ascent too. Without one the field rotates around it: simultaneous ascent moves away in steps
    of any fixed length; no slope is a best response to x != 0, and the follower has no curvature at the origin. It is
    never a *differential* Nash equilibrium, as the leader's own payoff is flat at y = 0.

    **Arguments:** `regularisation` >= 0 (default 0: none).
    """

    regularisation: Any = eqx.field(default=0.0, converter=as_number)
    spaces = (Euclidean(()), Euclidean(()))
    levels = ((0,), (1,))

    def __check_init__(self) -> None:
        number(self.regularisation, "regularisation", 0.0, open_low=False)

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """`-L`, `L - regularisation y^2 / 2`."""
        x, y = actions
        told_apart = jax.nn.log_sigmoid(x * y) - math.log(2.0)
        return -told_apart, told_apart - self.regularisation * y**2 / 2

    def stackelberg(self) -> tuple[Array, Array]:
        """The origin; NaN without a regulariser."""
        origin = jnp.where(jnp.asarray(self.regularisation) > 0, 0.0, jnp.nan)
        return origin, origin


class CovarianceGAN(Game):
    """A linear generator learns the covariance of normal data from a quadratic discriminator.

    The generator V (leader, `[d, d]`) makes `V z` of standard normal z; the discriminator W (follower, `[d, d]`) is
    `D(s) = s' W s`. With `L = E[D(data)] - E[D(V z)] = tr(W (C - V V'))`, C the covariance of the data,
    `f_1 = -L` and `f_2 = L - regularisation |W|^2 / 2`. (The covariance experiment of Daskalakis et al., 2018, Training
    GANs with Optimism, with a regulariser, so that there is a best response: `(C - V V') / regularisation`.)

    The equilibria, of both kinds, are all V with `V V' = C`, and `W = 0`: none of them isolated for d > 1, as V may be
    followed by any rotation of z.

    **Arguments:**

    - `covariance`: C, symmetric and positive definite `[d, d]`.
    - `regularisation` > 0.
    - `batch`: how many data and how many z are drawn afresh in a round, the same for both players; None: expectations,
      no noise. Static.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    factor: Float[Array, "d d"]  # Cholesky's: data are factor @ normal
    regularisation: Any
    batch: int | None = eqx.field(static=True)
    levels = ((0,), (1,))

    def __init__(self, covariance: Any, regularisation: Any = 1.0, *, batch: int | None = None):
        matrix = finite_array("covariance", covariance, (None, None))
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"covariance: expected a square matrix, got the shape {list(matrix.shape)}")
        check_definite("covariance", matrix, strictly=True)
        self.factor = jnp.linalg.cholesky(matrix)
        if concrete(self.factor) and not np.all(np.isfinite(np.asarray(self.factor))):
            raise ValueError(f"covariance: too near to a singular matrix for {matrix.dtype}, got {matrix.tolist()}")
        number(regularisation, "regularisation", 0.0)
        self.regularisation = as_number(regularisation)
        self.batch = None if batch is None else whole("batch", batch)

    @property
    def spaces(self) -> tuple[Euclidean, Euclidean]:
        """Matrices."""
        space = Euclidean(self.factor.shape[-2:])
        return space, space

    @property
    def covariance(self) -> Float[Array, "d d"]:
        """C."""
        return self.factor @ self.factor.T

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """By the covariances of the data and of what is generated."""
        return self._paid(None, None, *actions)

    def draw(self, key: PRNGKeyArray) -> Noise:
        """The second moments of a batch of standard normal vectors for the data, and for z; `()` without batches."""
        if self.batch is None:
            return ()
        samples = jax.random.normal(key, (2, self.batch, self.factor.shape[0]), self.factor.dtype)
        return tuple(s.T @ s / self.batch for s in samples)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """By this round's samples; the mean over rounds is `payoffs`."""
        return self.payoffs(*actions) if self.batch is None else self._paid(*noise, *actions)

    def _paid(self, data: Array | None, latent: Array | None, *actions: Action) -> tuple[Scalar, ...]:
        generator, discriminator = actions
        told_apart = jnp.sum(discriminator * (_spread(self.factor, data) - _spread(generator, latent)))
        return -told_apart, told_apart - self.regularisation * jnp.sum(discriminator**2) / 2

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array | None:
        """`(C - V V') / regularisation`; the generator's payoff has no maximum, unless D is negative everywhere."""
        if player == 0:
            return None
        return (self.covariance - _spread(jnp.asarray(actions[0]), None)) / self.regularisation

    def nash(self) -> tuple[Array, Array]:
        """As `stackelberg`."""
        return self.stackelberg()

    def stackelberg(self) -> tuple[Array, Array]:
        """One of the equilibria: the lower triangular V, and no discriminator."""
        return self.factor, jnp.zeros_like(self.factor)

    def nash_equilibria(self) -> tuple[tuple[Array, Array], ...]:
        """None: to list one point of a continuum would mislead whoever measures distances."""
        return ()

    def stackelberg_equilibria(self) -> tuple[tuple[Array, Array], ...]:
        """None, likewise; `distance` measures how far a generator is from all of them."""
        return ()

    def distance(self, generator: Float[Array, "d d"]) -> Scalar:
        """`|C - V V'| / |C|`, in Frobenius norms."""
        error = self.covariance - _spread(generator, None)
        return jnp.linalg.norm(error) / jnp.linalg.norm(self.covariance)


def _spread(matrix: Array, moments: Array | None) -> Array:
    """`matrix moments matrix'`, the moments None for the identity."""
    return matrix @ matrix.T if moments is None else matrix @ (moments @ matrix.T)
