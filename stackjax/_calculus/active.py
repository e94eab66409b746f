"""Active constraints: what vanishes at an answer that bounds or constraints hold, and in which directions it moves."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Scalar

from stackjax._cones import nonnegative_multipliers, shortest_change, without_rows
from stackjax._constraints import Constraints, is_constrained, of_player
from stackjax.protocols import Action, Game
from stackjax.spaces import FreeDirections, weak


def stationarity(
    game: Game, player: int, actions: tuple[Action, ...], slope: Action
) -> tuple[Float[Array, " d"], FreeDirections | None]:
    """What vanishes where the player answers best, and the directions in which its answer moves (None: all).

    `slope` is the gradient that it follows. That is what vanishes inside the space; at a bound the projection of it to
    the free directions; with constraints of the game `P slope - G^+ c` (see `implicit`), c the values of those that are
    held, whose derivatives G depend on the joint action. Which ones are held doesn't change by a little.
    """
    flat = ravel_pytree(slope)[0]
    if not is_constrained(game, player, actions):
        free = game.spaces[player].free(actions[player], slope)
        return (flat if free is None else free.project(flat)), free
    values, rows, held, reached = held_constraints(game, player, actions, flat)
    residual = without_rows(rows, held, flat) - shortest_change(rows, held, values)
    at_rest = jnp.sum(reached & ~held, dtype=jnp.int32)
    free = FreeDirections(None, at_rest, rows=jax.lax.stop_gradient(rows), held=held)
    return residual, free


def held_constraints(
    game: Game, player: int, actions: tuple[Action, ...], slope: Float[Array, " d"]
) -> tuple[Float[Array, " n"], Float[Array, "n d"], Bool[Array, " n"], Bool[Array, " n"]]:
    """All constraints of a player: values, derivatives in its action, which are held, and which are reached.

    Held are the equalities, and the inequalities that the slope presses against: those with a positive multiplier. A
    constraint is reached if its value is, in the units of the action, within the 0.4th power of the resolution of the
    action's size or 1: within 6e-7 in float64 and 2e-3 in float32.
    """

    def constraints(action: Action) -> Constraints:
        return of_player(game, player, (*actions[:player], action, *actions[player + 1 :]))

    values, rows, nu, reached, signed = _multipliers(constraints, actions[player], slope)
    return values, rows, signed | (nu * jnp.linalg.norm(rows, axis=1) > weak(slope)), reached


def first_order_residual(
    payoff: Callable[[Action], Scalar], constraints: Callable[[Action], Constraints], action: Action
) -> Scalar:
    """What the multipliers leave of the payoff's gradient, or the largest violation: 0 at a constrained maximum."""
    slope = ravel_pytree(jax.grad(payoff)(action))[0]
    _, rows, nu, _, _ = _multipliers(constraints, action, slope)
    return jnp.maximum(jnp.max(jnp.abs(slope - rows.T @ nu)), constraints(action).violation)


def _multipliers(constraints: Callable[[Action], Constraints], action: Action, slope: Float[Array, " d"]) -> Any:
    """Values, derivatives, multipliers (no derivatives), which are reached, and which are equalities."""
    own, unravel = ravel_pytree(action)

    def values_at(y: Float[Array, " d"]) -> Float[Array, " n"]:
        return constraints(unravel(y)).all

    values, rows = values_at(own), jax.jacrev(values_at)(own)
    signed: Any = jnp.asarray(constraints(action).signed)
    value, row, y = jax.lax.stop_gradient((values, rows, own))
    near = jnp.finfo(y.dtype).eps ** 0.4 * jnp.maximum(1, jnp.max(jnp.abs(y), initial=0.0))
    reached = signed | (value >= -near * jnp.linalg.norm(row, axis=1))
    nu = nonnegative_multipliers(row, jax.lax.stop_gradient(slope), reached, signed)
    return values, rows, nu, reached, signed
