"""The numerical search for best responses: of one player, within constraints, and of several who move together."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optimistix
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Scalar

from stackjax._calculus.programme import minimise
from stackjax._cones import without_rows
from stackjax._constraints import Constraints, of_player
from stackjax.protocols import Action, Game, partial_gradient
from stackjax.spaces import Box, Space


def best_reply(
    payoff: Callable[[Action], Scalar], space: Space, guess: Action, tolerance: Any, max_steps: int
) -> Action:
    """A local maximum of `payoff` in the space, searched from `guess`; NaN if the search doesn't converge.

    BFGS where the space has no boundary. Else projected gradient ascent, whose step for coordinate j is in a `Box`
    `1 / sum_k |H_jk|`, H the Hessian, and in other spaces the smallest of these; where the payoff is nearly linear
    it is as long as a thousand times the action.
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
            bounds, slope = jnp.sum(jnp.abs(jax.hessian(cost)(y)), axis=1), jax.grad(cost)(y)
            far = 1000 * jnp.maximum(1, jnp.max(jnp.abs(y)))
            bounds = jnp.maximum(bounds, jnp.abs(slope) / far)
            bounds = bounds if isinstance(space, Box) else jnp.max(bounds)
            return ravel_pytree(space.project(unravel(y - slope / (bounds + jnp.finfo(y.dtype).tiny))))[0]

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


def constrained_reply(
    payoff: Callable[[Action], Scalar],
    constraints: Callable[[Action], Constraints],
    guess: Action,
    tolerance: Any,
    max_steps: Any,
) -> Action:
    """A local maximum of `payoff` where the constraints are kept, searched from `guess`; NaN where none is found."""
    first, unravel = ravel_pytree(guess)
    found = minimise(
        lambda y: -payoff(unravel(y)),
        lambda y: constraints(unravel(y)),
        first,
        tolerance=tolerance,
        max_steps=max_steps,
    )
    return unravel(jnp.where(found.converged, found.x, jnp.nan))


def joint_reply(
    game: Game, players: tuple[int, ...], actions: tuple[Any, ...], tolerance: Any, max_steps: int
) -> tuple[Action, ...]:
    """An equilibrium of `players` among themselves, the others' actions given, searched from their own; else NaN.

    By their first-order conditions, with multipliers, in the equations of Fischer (1992): `a + b = sqrt(a^2 + b^2)` for
    a multiplier a and what is left to its constraint b. Levenberg and Marquardt's method (Optimistix), and Newton steps
    on the active constraints at the end. It is verified: the conditions hold, and along its free directions nobody's
    payoff curves upwards.
    """
    own, unravel = ravel_pytree(tuple(actions[j] for j in players))
    dtype, d = own.dtype, own.size

    def joint(y: Array) -> tuple[Any, ...]:
        new = dict(zip(players, unravel(y), strict=True))
        return tuple(new.get(j, a) for j, a in enumerate(actions))

    def split(v: Array) -> list[Array]:
        return jnp.split(v, list(itertools.accumulate(counts))[:-1])

    def constraints(y: Array) -> list[Constraints]:
        return [of_player(game, j, joint(y)) for j in players]

    shapes = jax.eval_shape(constraints, own)
    counts = [each.inequalities.size + each.equalities.size for each in shapes]
    signed = jnp.concatenate([jnp.asarray(each.signed) for each in shapes]) if sum(counts) else jnp.zeros(0, bool)

    def conditions(z: Array) -> tuple[Array, Array]:
        """The players' gradients less their multipliers' sums, and the constraints' values."""
        y, nu = z[:d], z[d:]
        at = joint(y)
        parts, values = [], []
        for j, multipliers in zip(players, split(nu), strict=True):
            space_action, pull = jax.vjp(lambda a, j=j: of_player(game, j, (*at[:j], a, *at[j + 1 :])).all, at[j])
            slope = jax.tree.map(jnp.subtract, partial_gradient(game, j, at), pull(multipliers)[0])
            parts.append(ravel_pytree(slope)[0])
            values.append(space_action)
        return jnp.concatenate(parts), jnp.concatenate(values)

    def fischer(z: Array, _: Any = None) -> Array:
        slope, value = conditions(z)
        nu = z[d:]
        smooth = jnp.sqrt(nu**2 + value**2 + jnp.finfo(dtype).eps ** 2)
        return jnp.concatenate([slope, jnp.where(signed, value, nu - value - smooth)])

    method: Any = optimistix.LevenbergMarquardt(rtol=tolerance, atol=tolerance)
    begin = jnp.concatenate([own, jnp.zeros(sum(counts), dtype)])
    z = optimistix.least_squares(fischer, method, begin, max_steps=max_steps, throw=False).value

    def active_set(z: Array) -> Array:
        active = signed | (z[d:] > -conditions(z)[1])

        def square(z: Array) -> Array:
            slope, value = conditions(z)
            return jnp.concatenate([slope, jnp.where(active, value, z[d:])])

        new = z - jnp.linalg.solve(jax.jacfwd(square)(z), square(z))
        better = jnp.max(jnp.abs(fischer(new))) < jnp.max(jnp.abs(fischer(z)))
        return jnp.where(better, new, z)

    z = jax.lax.fori_loop(0, 3, lambda _, z: active_set(z), z)
    y = jnp.concatenate(
        [ravel_pytree(game.spaces[j].project(a))[0] for j, a in zip(players, unravel(z[:d]), strict=True)]
    )
    scale = jnp.maximum(1, jnp.max(jnp.abs(z)))
    solved = jnp.max(jnp.abs(fischer(z))) <= 10 * jnp.asarray(tolerance, dtype) * scale
    for j, multipliers in zip(players, split(z[d:]), strict=True):
        solved = solved & _is_peak(game, j, joint(y), multipliers)
    return unravel(jnp.where(solved, y, jnp.nan))


def _is_peak(game: Game, player: int, actions: tuple[Any, ...], multipliers: Array) -> Array:
    """Whether the player's Lagrangian doesn't curve upwards along the directions that its active constraints leave."""
    own, unravel = ravel_pytree(actions[player])

    def lagrangian(y: Array) -> Scalar:
        at = (*actions[:player], unravel(y), *actions[player + 1 :])
        return game.payoffs(*at)[player] - multipliers @ of_player(game, player, at).all

    def values(y: Array) -> Array:
        return of_player(game, player, (*actions[:player], unravel(y), *actions[player + 1 :])).all

    hessian, rows = jax.hessian(lagrangian)(own), jax.jacrev(values)(own)
    small = jnp.sqrt(jnp.finfo(own.dtype).eps)
    active = jnp.abs(multipliers) > small
    free = jax.vmap(lambda v: without_rows(rows, active, v))(jnp.eye(own.size, dtype=own.dtype))
    curvature = free @ hessian @ free
    return jnp.max(jnp.linalg.eigvalsh((curvature + curvature.T) / 2)) <= small * jnp.maximum(
        1, jnp.max(jnp.abs(hessian))
    )
