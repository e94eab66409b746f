"""The field of all players' gradients, and products with its Jacobian: what coupled learners are made of.

`v(z) = (grad_1 f_1, ..., grad_n f_n)` is the field of simultaneous ascent at the joint action `z`, `J = dv / dz` its
Jacobian. Papers that minimise costs call `xi` or `omega` what is `-v` here, and `-J` its Jacobian. Nothing here forms a
matrix: each product costs a Hessian-vector product for each payoff that it goes through.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Scalar

from stackjax.protocols import Action, Game, partial_gradient

Joint = tuple[Action, ...]


def arrays(actions: Sequence[Action]) -> Joint:
    """A joint action of arrays, whatever numbers it was given in."""
    return tuple(jax.tree.map(jnp.asarray, action) for action in actions)


def plus(a: Action, factor: Any, b: Action) -> Action:
    """`a + factor b`, leaf by leaf, in the types of `b`."""
    return jax.tree.map(lambda x, y: x + jnp.asarray(factor).astype(y.dtype) * y, a, b)


def inner(a: Action, b: Action) -> Scalar:
    """The sum of all products of entries."""
    products = [jnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return sum(products[1:], products[0])


def size_of(joint: Joint) -> int:
    """The number of all coordinates of a joint action."""
    return sum(leaf.size for leaf in jax.tree.leaves(joint))


def without(joint: Joint, player: int) -> tuple[Action | None, ...]:
    """The joint action of everybody else: None for `player`."""
    return (*joint[:player], None, *joint[player + 1 :])


def driven(game: Game, player: int, action: Action, velocity: Action, step: Any) -> tuple[Action, Any]:
    """How a gradient step moves the player's action: `(project(action + step velocity) - action) / step`.

    And the map from a gradient at its end back to one of its velocity. Where the space has no boundary these are the
    velocity itself and the identity.
    """
    space = game.spaces[player]
    if not space.bounded:
        return velocity, lambda gradient: gradient
    end, pull = jax.vjp(lambda v: space.project(plus(action, step, v)), velocity)
    change = space.difference(end, action)
    size = jnp.asarray(step)
    return (
        jax.tree.map(lambda d: d / size.astype(d.dtype), change),
        lambda gradient: jax.tree.map(lambda g: g / size.astype(g.dtype), pull(gradient)[0]),
    )


def free_of(game: Game, player: int, action: Action, velocity: Action) -> Any:
    """The projection of a pytree like the action to the directions in which the player's space lets it move."""
    free = game.spaces[player].free(action, velocity)
    if free is None:
        return lambda v: v
    unravel = ravel_pytree(action)[1]
    return lambda v: unravel(free.project(ravel_pytree(v)[0]))


def field(game: Game, actions: Joint) -> Joint:
    """`v`: every player's gradient of its own payoff in its own action."""
    return tuple(partial_gradient(game, i, actions) for i in range(len(actions)))


def slopes(game: Game, player: int, actions: Joint) -> Joint:
    """The gradient of one player's payoff in everybody's action."""
    return jax.grad(lambda z: game.payoffs(*z)[player])(actions)


def moved(game: Game, player: int, actions: Joint, along: tuple[Action | None, ...]) -> Action:
    """`(J along)_i`: how the player's gradient changes as the others, or all, move `along`. None: who stays."""
    who = [j for j, tangent in enumerate(along) if tangent is not None]

    def gradient(some: Joint) -> Action:
        return partial_gradient(game, player, _put(actions, who, some))

    return jax.jvp(gradient, (tuple(actions[j] for j in who),), (tuple(along[j] for j in who),))[1]


def pulled(game: Game, player: int, actions: Joint, weights: tuple[Action | None, ...]) -> Action:
    """`(J^T weights)_i = sum_j (d grad_j f_j / d z_i)^T weights_j`. None: a j that the sum leaves out."""
    who = [j for j, weight in enumerate(weights) if weight is not None]

    def gradients(own: Action) -> Joint:
        z = _put(actions, [player], (own,))
        return tuple(partial_gradient(game, j, z) for j in who)

    _, pull = jax.vjp(gradients, actions[player])
    return pull(tuple(weights[j] for j in who))[0]


def look_ahead(game: Game, player: int, actions: Joint, at: Joint, step: Any) -> Action:
    """`sum_j (d grad_i f_i / d z_j) grad_j f_j` over the others j; `at` is the field at `actions`.

    At bounds what a step of the others makes of their gradients when it is projected (`driven`).
    """
    along = tuple(
        None if j == player else driven(game, j, action, velocity, step)[0]
        for j, (action, velocity) in enumerate(zip(actions, at, strict=True))
    )
    return moved(game, player, actions, along)


def shaping(game: Game, player: int, actions: Joint, at: Joint, step: Any) -> Action:
    """`sum_j (d grad_j f_j / d z_i)^T grad_j f_i` over the others j: what the player gains by turning their steps.

    At bounds through the projections of their steps, as in `look_ahead`.
    """
    weights = tuple(
        None if j == player else driven(game, j, action, velocity, step)[1](slope)
        for j, (action, velocity, slope) in enumerate(zip(actions, at, slopes(game, player, actions), strict=True))
    )
    return pulled(game, player, actions, weights)


def _put(actions: Joint, who: Sequence[int], some: Joint) -> Joint:
    new = dict(zip(who, some, strict=True))
    return tuple(new.get(j, action) for j, action in enumerate(actions))
