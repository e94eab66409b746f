"""The numerical search for a best response."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optimistix
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Scalar

from stackjax.protocols import Action
from stackjax.spaces import Box, Space


def best_reply(
    payoff: Callable[[Action], Scalar], space: Space, guess: Action, tolerance: Any, max_steps: int
) -> Action:
    """A local maximum of `payoff` in the space, searched from `guess`; NaN if the search doesn't converge.

    BFGS where the space has no boundary. Else projected gradient ascent, whose step for coordinate j is in a `Box`
    `1 / sum_k |H_jk|`, H the Hessian, and in other spaces the smallest of these.
    """
    first, unravel = ravel_pytree(guess)

    def cost(y: Float[Array, " d"], _: Any = None) -> Float[Array, ""]:
        return -payoff(unravel(y))

    if not space.bounded:
        bfgs: Any = optimistix.BFGS(rtol=tolerance, atol=tolerance)
        found: Any = optimistix.minimise(cost, bfgs, first, max_steps=max_steps, throw=False)
        converged = (found.result == optimistix.RESULTS.successful) | _flat(cost, found.value)
    else:

        def climb(y: Float[Array, " d"], _: Any) -> Float[Array, " d"]:
            # The row sums bound the Hessian, and a box lets every coordinate have its own step.
            bounds = jnp.sum(jnp.abs(jax.hessian(cost)(y)), axis=1)
            bounds = bounds if isinstance(space, Box) else jnp.max(bounds)
            step = 1 / (bounds + jnp.finfo(y.dtype).tiny)
            return ravel_pytree(space.project(unravel(y - step * jax.grad(cost)(y))))[0]

        iteration: Any = optimistix.FixedPointIteration(rtol=tolerance, atol=tolerance)
        found = optimistix.fixed_point(climb, iteration, first, max_steps=max_steps, throw=False)
        converged = found.result == optimistix.RESULTS.successful
    return space.project(unravel(jnp.where(converged, found.value, jnp.nan)))


def _flat(cost: Callable[[Array], Scalar], y: Float[Array, " d"]) -> Array:
    """Whether the best step along the gradient would gain no more than rounding.

    There a line search that compares costs finds no improvement, and goes on until it may no more.
    """
    value, slope = jax.value_and_grad(cost)(y)
    length = jnp.linalg.norm(slope)
    unit = slope / jnp.where(length > 0, length, 1)
    curvature = unit @ jax.jvp(jax.grad(cost), (y,), (unit,))[1]
    gain = length**2 / (2 * jnp.where(curvature > 0, curvature, 1))
    return (length == 0) | (curvature > 0) & (gain <= 4 * jnp.finfo(y.dtype).eps * jnp.abs(value))
