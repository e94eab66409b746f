"""The implicit function theorem: how the level below answers, and the total derivative along its answer.

At a bound or an active constraint an answer moves along its free directions alone. With the orthogonal projection P to
these, the rows G of the active constraints' derivatives in y and their values c, what vanishes at a follower's answer
is `F = P grad_y f2 - G^+ c`. At the answer its Jacobian is `F_y = P L_yy - (I - P)` and `F_x = P L_yx - G^+ c_x`, L the
Lagrangian: the system of the active constraints' first-order conditions with its multipliers eliminated. A product with
it costs one with `L_yy`, and `P F_y' P - (I - P)` is symmetric where `L_yy` is.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Scalar

from stackjax._calculus.active import stationarity
from stackjax._calculus.linear import Past, Solution, Solve, System, solve_automatically
from stackjax._constraints import is_constrained
from stackjax.protocols import Action, Game, level_of
from stackjax.spaces import FreeDirections


def hierarchical_direction(
    game: Game, player: int, actions: tuple[Action, ...], damping: Any = 0.0, solve: Solve | None = None
) -> Action:
    """The direction alone of `total_derivative`."""
    return total_derivative(game, player, actions, damping, solve)[0]


class Answered(NamedTuple):
    """What a total derivative found of its system: the `solution` u, what the matrix makes of it, `weakly_active`.

    The last is how many bounds and constraints the followers reach without pressing against them, where the derivative
    is one-sided.
    """

    solution: Solution
    image: Float[Array, " d2"]
    weakly_active: Int[Array, ""]


def total_derivative(
    game: Game,
    player: int,
    actions: tuple[Action, ...],
    damping: Any = 0.0,
    solve: Solve | None = None,
    past: Past | None = None,
    paid: Callable[..., Scalar] | None = None,
) -> tuple[Action, Answered | None]:
    """`grad_x f1 - F_x^T (F_y - damping I)^-T grad_y f1`, F the first-order conditions of all levels below `player`.

    With one follower inside its space `F = grad_y f2`, `F_y = H_yy` and `F_x = H_yx`. With several, F stacks each one's
    gradient in its own action, and `F_y` isn't symmetric. Players who have levels below them in turn enter F with this
    same direction, a total derivative, not with their partial gradient. In the last level the direction is the player's
    own gradient. `solve` solves the linear systems (default: automatically), this one with what is left of `past` ones.
    What became of it is returned too; None in the last level. `paid`, a function of the joint action, takes the place
    of the player's payoff f1.
    """
    f1 = paid or (lambda *z: game.payoffs(*z)[player])
    below = followers(game, player)
    if not below:
        return jax.grad(lambda x: f1(*actions[:player], x, *actions[player + 1 :]))(actions[player]), None
    y, unravel = ravel_pytree(tuple(actions[j] for j in below))

    def joint(x: Action, y: Float[Array, " d2"]) -> tuple[Action, ...]:
        return (*actions[:player], x, *actions[player + 1 : below[0]], *unravel(y))

    def conditions(x: Action, y: Float[Array, " d2"]) -> tuple[Float[Array, " d2"], tuple[Any, ...]]:
        pairs = _first_order(game, below, joint(x, y), damping, solve)
        return ravel_pytree(tuple(residual for residual, _ in pairs))[0], tuple(free for _, free in pairs)

    x = actions[player]
    grad_x, grad_y = jax.grad(lambda x, y: f1(*joint(x, y)), argnums=(0, 1))(x, y)
    _, pull, free = jax.vjp(conditions, x, y, has_aux=True)
    inside = all(each is None for each in free)
    sizes = [game.spaces[j].size for j in below]
    ends = list(itertools.accumulate(sizes))[:-1]
    mask = None if inside else _mask(free, sizes)

    def project(v: Float[Array, " d2"]) -> Float[Array, " d2"]:
        """To the free directions of all followers."""
        parts = zip(jnp.split(v, ends), free, strict=True)
        return jnp.concatenate([part if each is None else each.project(part) for part, each in parts])

    def product(u: Float[Array, " d2"]) -> Float[Array, " d2"]:
        if inside:
            return pull(u)[1] - damping * u
        along = project(u)
        return project(pull(along)[1]) - (u - along) - damping * u

    def matrix(unrolled: bool) -> Float[Array, "d2 d2"]:
        unit = jnp.eye(y.size, dtype=y.dtype)
        if unrolled and level_of(game, player) + 2 == len(game.levels):
            # Row by row: XLA makes more of plain arithmetic than of a batch of rows, at the cost of compilation.
            jacobian = jnp.stack([pull(row)[1] for row in unit])
        else:
            jacobian = jax.jacfwd(lambda y: conditions(x, y)[0])(y)
        if mask is not None:
            jacobian = jnp.where(mask[:, None] & mask[None], jacobian, -unit)  # the same in fewer steps
        elif not inside:
            both = jax.vmap(project)(jax.vmap(project)(jacobian.T).T)  # P J P: F has one projection, this the other
            jacobian = both - (unit - jax.vmap(project)(unit))
        return (jacobian - damping * unit).T

    right = grad_y if inside else project(grad_y)
    system = System(product, right, matrix, negative=len(below) == 1)
    solution = (solve or solve_automatically)(system, past)
    if inside:
        at_x, at_y = pull(solution.x)
        # By the product that F_x takes anyway: what the steps keep drifts away from it where the matrix is nearly
        # singular.
        image = at_y - damping * solution.x
    else:
        along = project(solution.x)
        solution = solution._replace(x=along)
        at_x, at_y = pull(along)
        image = project(at_y) - damping * along
        if any(is_constrained(game, j, actions) for j in below):  # their constraints move, and take the answer along
            held = at_y - grad_y
            at_x = pull(along + held - project(held))[0]
    left, length = jax.lax.stop_gradient((right - image, jnp.linalg.norm(right)))
    residual = jnp.linalg.norm(left) / jnp.where(length > 0, length, 1)
    # A system without a solution leaves NaN, which a derivative that is 0 for structural reasons would swallow; or
    # iterations that think that they are there, or go on after they have seen all directions several times.
    nothing = (residual > 0.1) & ((solution.residual < 0.01) | (solution.iterations >= 4 * y.size))
    lost = jnp.where(nothing & (solution.iterations > 0), jnp.nan, 0).astype(y.dtype) + 0 * jnp.sum(solution.x)
    solution = solution._replace(residual=residual)
    direction = jax.tree.map(lambda a, b: a - b + lost.astype(a.dtype), grad_x, at_x)
    return direction, Answered(solution, image, _count(free))


def weakly_active(
    game: Game, player: int, actions: tuple[Action, ...], damping: Any = 0.0, solve: Solve | None = None
) -> Int[Array, ""]:
    """How many bounds and constraints the players below reach without pressing against them."""
    pairs = _first_order(game, followers(game, player), actions, damping, solve)
    return _count([free for _, free in pairs])


def _first_order(
    game: Game, below: tuple[int, ...], actions: tuple[Action, ...], damping: Any, solve: Solve | None
) -> list[tuple[Float[Array, " d"], FreeDirections | None]]:
    """What vanishes where each of the players `below` answers best, and its free directions."""
    slopes = [hierarchical_direction(game, j, actions, damping, solve) for j in below]
    return [stationarity(game, j, actions, slope) for j, slope in zip(below, slopes, strict=True)]


def _mask(free: Sequence[FreeDirections | None], sizes: list[int]) -> Bool[Array, " d2"] | None:
    """The free coordinates, if nothing else tells the free directions."""
    found = [jnp.ones(n, bool) if f is None else f.only_mask for f, n in zip(free, sizes, strict=True)]
    masks = [mask for mask in found if mask is not None]
    return jnp.concatenate(masks) if len(masks) == len(found) else None


def _count(free: Sequence[FreeDirections | None]) -> Int[Array, ""]:
    return sum((each.weakly_active for each in free if each is not None), jnp.int32(0))


def followers(game: Game, player: int) -> tuple[int, ...]:
    """All players of later levels."""
    return tuple(j for level in game.levels[level_of(game, player) + 1 :] for j in level)


def unknowns(game: Game, player: int) -> int:
    """The number of their coordinates."""
    return sum(game.spaces[j].size for j in followers(game, player))
