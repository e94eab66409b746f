"""The implicit function theorem: how the level below answers, and the total derivative along its answer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from stackjax._calculus.small import SMALL, nonsingular, solve_small
from stackjax.protocols import Action, Game, level_of, partial_gradient


def hierarchical_direction(
    game: Game,
    player: int,
    actions: tuple[Action, ...],
    damping: Any = 0.0,
    solve: Callable[[Array, Array], Array] | None = None,
) -> Action:
    """`grad_x f1 - F_x^T (F_y - damping I)^-T grad_y f1`, F the first-order conditions of all levels below `player`.

    With one follower `F = grad_y f2`, `F_y = H_yy` and `F_x = H_yx`. With several, F stacks each one's gradient in its
    own action, and `F_y` isn't symmetric. Players who have levels below them in turn enter F with this same direction,
    a total derivative, not with their partial gradient. In the last level the direction is the player's own gradient.
    `solve(matrix, vector)` solves the linear systems; default `dense_solve`.
    """
    later = tuple(j for level in game.levels[level_of(game, player) + 1 :] for j in level)
    if not later:
        return partial_gradient(game, player, actions)
    y, unravel = ravel_pytree(tuple(actions[j] for j in later))

    def joint(x: Action, y: Float[Array, " d2"]) -> tuple[Action, ...]:
        return (*actions[:player], x, *actions[player + 1 : later[0]], *unravel(y))

    def conditions(x: Action, y: Float[Array, " d2"]) -> Float[Array, " d2"]:
        z = joint(x, y)
        return ravel_pytree(tuple(hierarchical_direction(game, j, z, damping, solve) for j in later))[0]

    x = actions[player]
    grad_x, grad_y = jax.grad(lambda x, y: game.payoffs(*joint(x, y))[player], argnums=(0, 1))(x, y)
    _, pull = jax.vjp(conditions, x, y)
    small = y.size <= SMALL and level_of(game, player) + 2 == len(game.levels) and solve is None
    if small:  # row by row: XLA makes more of plain arithmetic than of a batch of rows, at the cost of compilation
        jacobian = jnp.stack([pull(row)[1] for row in jnp.eye(y.size, dtype=y.dtype)])
    else:
        jacobian = jax.jacfwd(conditions, argnums=1)(x, y)
    jacobian = jacobian - damping * jnp.eye(y.size, dtype=y.dtype)
    shaping, _ = pull((solve or dense_solve)(jacobian.T, grad_y))
    return jax.tree.map(jnp.subtract, grad_x, shaping)


def dense_solve(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """Solve a general linear system; a singular one, to rounding, gives NaN.

    Systems of up to `SMALL` unknowns are eliminated in plain arithmetic, which XLA fuses over the batch; larger ones go
    through LAPACK.
    """
    return solve_small(matrix, vector) if vector.size <= SMALL else lapack_solve(matrix, vector)


def lapack_solve(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """The same by LU factors from LAPACK, whatever the size."""
    factors = jax.scipy.linalg.lu_factor(matrix)
    regular = nonsingular(jnp.diag(factors[0]), jnp.max(jnp.abs(matrix)))
    return jnp.where(regular, jax.scipy.linalg.lu_solve(factors, vector), jnp.nan)
