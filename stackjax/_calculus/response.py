"""The numerical search for best responses: of one player, within constraints, and of several who move together."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Scalar

from stackjax._calculus.programme import minimise
from stackjax._cones import without_rows
from stackjax._constraints import Constraints, of_player
from stackjax._core.dependence import as_varying
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
    import optimistix  # here, as it takes long to import

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
    a multiplier a and what is left to its constraint b. Levenberg and Marquardt's steps, and at the end Newton's on the
    active constraints, which take bounds to the last bit. (Spelled out, as both phases are one loop that way, which
    compiles in less than half of the time of Optimistix' method and a second loop.) It is verified: the conditions
    hold, and along its free directions nobody's payoff curves upwards.
    """
    own, unravel = ravel_pytree(tuple(actions[j] for j in players))
    dtype, d = own.dtype, own.size
    tolerance = jnp.asarray(tolerance, dtype)

    def joint(y: Array) -> tuple[Any, ...]:
        new = dict(zip(players, unravel(y), strict=True))
        return tuple(new.get(j, a) for j, a in enumerate(actions))

    shapes = jax.eval_shape(lambda y: [of_player(game, j, joint(y)) for j in players], own)
    counts = [each.inequalities.size + each.equalities.size for each in shapes]
    signed = np.concatenate([np.zeros(0, bool), *(each.signed for each in shapes)])
    multipliers = np.cumsum([d, *counts])

    def conditions(z: Array) -> tuple[Array, Array]:
        """The players' gradients less their multipliers' sums, and the constraints' values."""
        at, slopes, values = joint(z[:d]), [], []
        for j, first, last in zip(players, multipliers[:-1], multipliers[1:], strict=True):
            value, pull = jax.vjp(lambda a, j=j: of_player(game, j, (*at[:j], a, *at[j + 1 :])).all, at[j])
            slope = jax.tree.map(jnp.subtract, partial_gradient(game, j, at), pull(z[first:last])[0])
            slopes.append(ravel_pytree(slope)[0])
            values.append(value)
        return jnp.concatenate(slopes), jnp.concatenate(values)

    def equations(z: Array, polish: Array, active: Array) -> tuple[Array, Array]:
        """What vanishes: while it is polished, with the active set as it is; and the values themselves."""
        slope, value = conditions(z)
        nu = z[d:]
        # Where both are 0 its slope is that of equal parts.
        fischer = nu - value - jnp.sqrt(nu**2 + value**2 + jnp.finfo(dtype).eps ** 2)
        left = jnp.where(polish, jnp.where(active, value, nu), fischer)
        return jnp.concatenate([slope, jnp.where(signed, value, left)]), value

    def step(carry: Any) -> Any:
        z, best, damping, polish, active, _, count = carry
        residual, value = equations(z, polish, active)
        jacobian = jax.jacfwd(lambda z: equations(z, polish, active)[0])(z)
        normal = jacobian.T @ jacobian
        normal = normal + damping * jnp.diag(jnp.diag(normal) + jnp.finfo(dtype).eps * jnp.trace(normal))
        matrix = jnp.where(polish > 0, jacobian, normal)
        change = jnp.linalg.solve(matrix, -jnp.where(polish > 0, residual, jacobian.T @ residual))
        new = z + change
        worth = jnp.sum(equations(new, polish, active)[0] ** 2)
        better = worth < best
        z, best = jnp.where(better, new, z), jnp.where(better, worth, best)
        damping = jnp.clip(jnp.where(better, damping / 5, damping * 4), jnp.finfo(dtype).eps ** 2, 1e8)
        near = jnp.max(jnp.abs(residual)) <= tolerance * jnp.maximum(1, jnp.max(jnp.abs(z)))
        begins = near & (polish == 0)
        active = jnp.where(begins, signed | (z[d:] > -value), active)
        best = jnp.where(begins, jnp.inf, best)
        return z, best, damping, jnp.where(near | (polish > 0), polish + 1, 0), active, jacobian, count + 1

    n = d + int(sum(counts))
    z, infinite = jnp.zeros(n, dtype).at[:d].set(own), jnp.asarray(jnp.inf, dtype)
    begin = (
        z,
        infinite,
        jnp.asarray(1e-3, dtype),
        jnp.int32(0),
        jnp.asarray(signed),
        jnp.eye(n, dtype=dtype),
        jnp.int32(0),
    )
    begin = as_varying(begin, conditions(z)[0])
    z, _, _, polish, _, jacobian, _ = jax.lax.while_loop(lambda c: (c[3] < 4) & (c[-1] < max_steps), step, begin)
    answers = [game.spaces[j].project(a) for j, a in zip(players, unravel(z[:d]), strict=True)]
    solved, start = polish > 0, 0
    for j, first, last in zip(players, multipliers[:-1], multipliers[1:], strict=True):
        end = start + game.spaces[j].size
        hessian, rows = jacobian[start:end, start:end], -jacobian[start:end, first:last].T
        solved, start = solved & _is_peak(hessian, rows, z[first:last]), end
    return jax.tree.map(lambda a: jnp.where(solved, a, jnp.nan), tuple(answers))


def _is_peak(hessian: Float[Array, "d d"], rows: Float[Array, "n d"], multipliers: Float[Array, " n"]) -> Array:
    """Whether a Lagrangian doesn't curve upwards along the directions that its active constraints leave."""
    small = jnp.sqrt(jnp.finfo(hessian.dtype).eps)
    free = jax.vmap(lambda v: without_rows(rows, jnp.abs(multipliers) > small, v))(
        jnp.eye(len(hessian), dtype=hessian.dtype)
    )
    curvature = free @ hessian @ free
    largest = jnp.max(jnp.linalg.eigvalsh((curvature + curvature.T) / 2))
    return largest <= small * jnp.maximum(1, jnp.max(jnp.abs(hessian)))
