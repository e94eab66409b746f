"""The implicit function theorem: how the level below answers, and the total derivative along its answer."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from stackjax._calculus.linear import Past, Solution, Solve, System, solve_automatically
from stackjax.protocols import Action, Game, level_of, partial_gradient


def hierarchical_direction(
    game: Game, player: int, actions: tuple[Action, ...], damping: Any = 0.0, solve: Solve | None = None
) -> Action:
    """The direction alone of `total_derivative`."""
    return total_derivative(game, player, actions, damping, solve)[0]


def total_derivative(
    game: Game,
    player: int,
    actions: tuple[Action, ...],
    damping: Any = 0.0,
    solve: Solve | None = None,
    past: Past | None = None,
) -> tuple[Action, tuple[Solution, Array] | None]:
    """`grad_x f1 - F_x^T (F_y - damping I)^-T grad_y f1`, F the first-order conditions of all levels below `player`.

    With one follower `F = grad_y f2`, `F_y = H_yy` and `F_x = H_yx`. With several, F stacks each one's gradient in its
    own action, and `F_y` isn't symmetric. Players who have levels below them in turn enter F with this same direction,
    a total derivative, not with their partial gradient. In the last level the direction is the player's own gradient.
    `solve` solves the linear systems (default: automatically), this one with what is left of `past` ones. Its solution
    `(F_y - damping I)^-T grad_y f1` is returned too, and what the matrix makes of it; None in the last level.
    """
    below = followers(game, player)
    if not below:
        return partial_gradient(game, player, actions), None
    y, unravel = ravel_pytree(tuple(actions[j] for j in below))

    def joint(x: Action, y: Float[Array, " d2"]) -> tuple[Action, ...]:
        return (*actions[:player], x, *actions[player + 1 : below[0]], *unravel(y))

    def conditions(x: Action, y: Float[Array, " d2"]) -> Float[Array, " d2"]:
        z = joint(x, y)
        return ravel_pytree(tuple(hierarchical_direction(game, j, z, damping, solve) for j in below))[0]

    x = actions[player]
    grad_x, grad_y = jax.grad(lambda x, y: game.payoffs(*joint(x, y))[player], argnums=(0, 1))(x, y)
    _, pull = jax.vjp(conditions, x, y)

    def matrix(unrolled: bool) -> Float[Array, "d2 d2"]:
        if unrolled and level_of(game, player) + 2 == len(game.levels):
            # Row by row: XLA makes more of plain arithmetic than of a batch of rows, at the cost of compilation.
            jacobian = jnp.stack([pull(row)[1] for row in jnp.eye(y.size, dtype=y.dtype)])
        else:
            jacobian = jax.jacfwd(conditions, argnums=1)(x, y)
        return (jacobian - damping * jnp.eye(y.size, dtype=y.dtype)).T

    system = System(lambda u: pull(u)[1] - damping * u, grad_y, matrix, negative=len(below) == 1)
    solution = (solve or solve_automatically)(system, past)
    at_x, at_y = pull(solution.x)
    # By the product that F_x takes anyway: what the steps keep drifts away from it where the matrix is nearly singular.
    image = at_y - damping * solution.x
    left, right = jax.lax.stop_gradient((grad_y - image, grad_y))
    length = jnp.linalg.norm(right)
    solution = solution._replace(residual=jnp.linalg.norm(left) / jnp.where(length > 0, length, 1))
    return jax.tree.map(jnp.subtract, grad_x, at_x), (solution, image)


def followers(game: Game, player: int) -> tuple[int, ...]:
    """All players of later levels."""
    return tuple(j for level in game.levels[level_of(game, player) + 1 :] for j in level)


def unknowns(game: Game, player: int) -> int:
    """The number of their coordinates."""
    return sum(game.spaces[j].size for j in followers(game, player))
