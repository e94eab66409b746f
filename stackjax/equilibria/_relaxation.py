"""The leader's local optima as one programme: the follower's answer stands in it by its first-order conditions.

What comes out are candidates. A point at which the follower's conditions hold needn't be its global answer.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from stackjax._calculus.programme import minimise
from stackjax._constraints import of_player
from stackjax.equilibria import _local
from stackjax.protocols import Action, Game

#: By how much the products of multipliers and slacks may be above 0, from solve to solve.
RELAXATIONS = (1.0, 1e-1, 1e-2, 1e-4, 1e-6, 1e-8)
_BEYOND = 1e-7  # by how much an answer must be better than another one
_FEASIBLE = 1e-6  # violations of conditions that are let pass, relative to the gradients where there are such


def relaxed(
    game: Game,
    starts: tuple[Action, ...],
    *,
    answers: Any = None,
    relaxations: tuple[float, ...] = RELAXATIONS,
    max_steps: int = 100,
) -> tuple[tuple[Any, ...], np.ndarray]:
    """Local optima of a leader against the first-order conditions of its follower, one from each start.

    With the follower's constraints `g(x, y) <= 0`, `h(x, y) = 0` (those of its space and of the game) it solves

    `max f1(x, y)` over x, y, nu >= 0, mu, where the leader keeps its own constraints, `g <= 0`, `h = 0`,
    `-grad_y f2 + g_y' nu + h_y' mu = 0` and `-nu_j g_j <= tau` for each j,

    for a sequence of tau that tends to 0 (Scholtes, 2001, Convergence properties of a regularization scheme for
    mathematical programs with complementarity constraints), by `minimise`, each from the solution for the tau before.
    At the end each inequality is held where its multiplier is larger than its slack, else the multiplier is held at 0,
    and one more solve takes the point to rounding. Starts serve best if the follower's action is an answer.

    **Arguments:**

    - `game`: two players, one leader and one follower; payoffs with three derivatives.
    - `starts`: one action a player with a leading axis.
    - `answers`: actions of the follower with two leading axes, one row of them for each start, NaN for none. The
      follower's action must pay it more than each other one of them that is open to it: cuts that keep the leader from
      sham answers. Default: none.
    - `relaxations`: tau, in the product of the units of multiplier and constraint.
    - `max_steps` of each solve.

    **Returns:** the joint actions, one a player with a leading axis (float64); and for each whether all conditions but
    the leader's optimality hold there to 1e-6, those with gradients relative to them.
    """
    with jax.enable_x64(True):
        wide = _local.in_float64(game)
        first = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tuple(starts))
        n = jax.tree.leaves(first)[0].shape[0]
        none = jax.tree.map(lambda a: jnp.zeros((n, 0, *a.shape[1:]), jnp.float64), first[1])
        cuts = none if answers is None else jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), answers)
        found = _relaxed(wide, first, cuts, jnp.asarray(relaxations, jnp.float64), max_steps)
        actions, good = jax.tree.map(np.asarray, found)
    return actions, good


@eqx.filter_jit
def _relaxed(
    game: Game, starts: tuple[Any, ...], cuts: Any, relaxations: Float[Array, " k"], max_steps: Any
) -> tuple[tuple[Any, ...], Bool[Array, " n"]]:
    return jax.vmap(lambda z, c: _from(game, z, c, relaxations, max_steps))(starts, cuts)


def _from(
    game: Game, start: tuple[Any, ...], cuts: Any, relaxations: Float[Array, " k"], max_steps: Any
) -> tuple[tuple[Any, ...], Bool[Array, ""]]:
    x_flat, of_x = ravel_pytree(start[0])
    y_flat, of_y = ravel_pytree(start[1])
    own = of_player(game, 1, start)
    m, p = own.inequalities.size, own.equalities.size
    ends = np.cumsum([x_flat.size, y_flat.size, m])

    def parts(z: Array) -> Any:
        x, y, nu, mu = jnp.split(z, ends.tolist())
        return x, y, nu, mu, (of_x(x), of_y(y))

    def follower_cost(x: Array, y: Array) -> Any:
        return -jnp.asarray(game.payoffs(of_x(x), of_y(y))[1])

    def leader_cost(z: Array) -> Any:
        return -jnp.asarray(game.payoffs(*parts(z)[-1])[0])

    def kept(x: Array, y: Array) -> Any:
        return of_player(game, 1, (of_x(x), of_y(y)))

    def conditions(z: Array) -> tuple[Any, Any, Array]:
        x, y, nu, mu, actions = parts(z)

        def lagrangian(y: Array) -> Any:
            c = kept(x, y)
            return follower_cost(x, y) + nu @ c.inequalities + mu @ c.equalities

        return of_player(game, 0, actions), kept(x, y), jax.grad(lagrangian)(y)

    def better(z: Array) -> Array:
        x, y, *_ = parts(z)
        here = follower_cost(x, y)

        def one(other: Any) -> Any:
            other = ravel_pytree(other)[0]
            there = jnp.all(jnp.isfinite(other))
            other = jnp.where(there, other, y)
            apart = jnp.sum(jnp.square(other - y))
            c = kept(x, other)
            outside = jnp.sum(jnp.square(jnp.maximum(c.inequalities, 0))) + jnp.sum(jnp.square(c.equalities))
            less = here - follower_cost(x, other) + _BEYOND * apart / (1 + apart) - 1e4 * outside
            return jnp.where(there, less, -1.0)

        return jax.vmap(one)(cuts)

    def solve(z: Array, tau: Any, held: Array, last: Any) -> Any:
        def constraints(z: Array) -> Any:
            leader, follower, slope = conditions(z)
            g, h, nu = follower.inequalities, follower.equalities, parts(z)[2]
            # One program for both kinds of solves: what the one lacks is constant there.
            inequalities = [
                leader.inequalities,
                jnp.where(last & held, -1, g),
                jnp.where(last & ~held, -1, -nu),
                jnp.where(last, -1, -nu * g - tau),
                better(z),
            ]
            equalities = [leader.equalities, slope, h, jnp.where(last, jnp.where(held, g, nu), 0)]
            return type(follower)(jnp.concatenate(inequalities), jnp.concatenate(equalities))

        return minimise(leader_cost, constraints, z, max_steps=max_steps)

    def violation(z: Array) -> Any:
        leader, follower, slope = conditions(z)
        x, y, nu, *_ = parts(z)
        size = jnp.maximum(1, jnp.max(jnp.abs(jax.grad(follower_cost, 1)(x, y)), initial=0.0))
        products = jnp.minimum(jnp.abs(nu / size), jnp.abs(follower.inequalities))
        rest = jnp.concatenate([slope / size, products, jnp.minimum(nu / size, 0), better(z) * 0.1])
        worst = jnp.max(jnp.abs(rest[: slope.size + 2 * m]), initial=0.0)
        over = jnp.max(rest[slope.size + 2 * m :], initial=0.0)
        return jnp.max(jnp.stack([leader.violation, follower.violation, worst, over]))

    # Multipliers that leave least of the follower's slope, the less so the more room their constraints leave.
    def lengths(y: Array) -> Array:
        return kept(x_flat, y).all

    rows, slope, values = jax.jacfwd(lengths)(y_flat), jax.grad(follower_cost, 1)(x_flat, y_flat), lengths(y_flat)
    room = jnp.where(jnp.arange(m + p) < m, jnp.maximum(-values, 0), 0) + 1e-3
    guess = -jnp.linalg.solve(rows @ rows.T + jnp.diag(room**2), rows @ slope)
    guess = jnp.where(jnp.arange(m + p) < m, jnp.clip(guess, 1e-3, 1e4), jnp.clip(guess, -1e4, 1e4))
    begin = jnp.concatenate([x_flat, y_flat, jnp.nan_to_num(guess)])
    no, yes = jnp.asarray(False), jnp.asarray(True)

    def stage(z: Array, options: tuple[Any, Any]) -> tuple[Array, None]:
        tau, last = options
        _, follower, _ = conditions(z)
        found = solve(z, tau, parts(z)[2] > -follower.inequalities, last)
        # A solve that fails may run away: the next one starts where the last good one ended.
        closer = violation(found.x) <= jnp.where(last, jnp.maximum(_FEASIBLE, violation(z)), violation(z))
        fine = jnp.all(jnp.isfinite(found.x)) & (closer | (found.converged & ~last))
        return jnp.where(fine, found.x, z), None

    taus = jnp.append(relaxations, 0.0)
    lasts = jnp.append(jnp.broadcast_to(no, relaxations.shape), yes)
    z, _ = jax.lax.scan(stage, begin, (taus, lasts))
    return parts(z)[-1], violation(z) <= _FEASIBLE
