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
    else:

        def climb(y: Float[Array, " d"], _: Any) -> Float[Array, " d"]:
            # The row sums bound the Hessian, and a box lets every coordinate have its own step.
            bounds = jnp.sum(jnp.abs(jax.hessian(cost)(y)), axis=1)
            bounds = bounds if isinstance(space, Box) else jnp.max(bounds)
            step = 1 / (bounds + jnp.finfo(y.dtype).tiny)
            return ravel_pytree(space.project(unravel(y - step * jax.grad(cost)(y))))[0]

        iteration: Any = optimistix.FixedPointIteration(rtol=tolerance, atol=tolerance)
        found = optimistix.fixed_point(climb, iteration, first, max_steps=max_steps, throw=False)
    answer = jnp.where(found.result == optimistix.RESULTS.successful, found.value, jnp.nan)
    return space.project(unravel(answer))
