"""Small dense programmes: the local minima of a smooth function under smooth constraints, many of them at once.

Written here since no library that is kept up solves nonlinear constrained programmes under `vmap`: qpax and MPAX are
for quadratic and linear ones, JAXopt isn't developed any more and has none, Optimistix none with general constraints.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Scalar

from stackjax._constraints import Constraints

Vector = Float[Array, " d"]
#: Steps of a solve, at most, where nobody says otherwise.
MAX_STEPS = 100
_HALVINGS = 20  # of a step that doesn't get on


class Optimum(NamedTuple):
    """Where a programme's first-order conditions hold, with `cost' + nu' g' + mu' h' = 0`.

    **Attributes:** `x`; the multipliers `nu` >= 0 of the inequalities and `mu` of the equalities; `residual`: the
    largest violation of a condition, relative to the sizes of gradients and constraints; `iterations`; `converged`:
    whether the residual is within the tolerance. Where it isn't, x is the last iterate, and no solution.
    """

    x: Vector
    nu: Float[Array, " m"]
    mu: Float[Array, " p"]
    residual: Scalar
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


class _Values(NamedTuple):
    """A cost and constraints with their derivatives at a point, in the programme's own units."""

    cost: Scalar
    slope: Vector
    g: Float[Array, " m"]
    h: Float[Array, " p"]
    by_g: Float[Array, "m d"]
    by_h: Float[Array, "p d"]
    hessian: Float[Array, "d d"]


class _Iterate(NamedTuple):
    x: Vector
    s: Float[Array, " m"]
    nu: Float[Array, " m"]
    mu: Float[Array, " p"]
    barrier: Scalar
    penalty: Scalar
    error: Scalar
    values: _Values
    count: Int[Array, ""]
    stuck: Int[Array, ""]


def minimise(
    cost: Callable[[Vector], Scalar],
    constraints: Callable[[Vector], Constraints],
    start: Vector,
    *,
    tolerance: Any = None,
    max_steps: Any = MAX_STEPS,
) -> Optimum:
    """A local minimum of `cost(x)` where `constraints(x)` are kept, searched from `start`, which needn't keep them.

    A primal-dual interior-point method (Nocedal & Wright, 2006, Numerical Optimization, ch. 19): Newton steps on the
    conditions with a barrier that fades, in which the Hessian's negative curvature is turned round, and a line search
    on the l1 merit function. At the end Newton's method on the conditions of the active constraints alone takes it to
    rounding, where they are independent. Not differentiable. `tolerance` of the residual; default: the square root of
    the resolution.
    """
    dtype = start.dtype
    eps = jnp.finfo(dtype).eps
    tolerance = jnp.sqrt(eps) if tolerance is None else jnp.asarray(tolerance, dtype)
    first = constraints(start)
    m, p = first.inequalities.size, first.equalities.size

    rows = jax.jacfwd(lambda x: constraints(x).all)(start)
    steep = jnp.max(jnp.abs(jax.grad(cost)(start)), initial=0.0)
    unit = 1 / jnp.clip(jnp.nan_to_num(steep), 1.0, None)
    lengths = jnp.max(jnp.abs(rows), axis=1, initial=0.0)
    weights = 1 / jnp.clip(jnp.nan_to_num(lengths), 1.0, None)

    def scaled(x: Vector) -> tuple[Scalar, Array, Array]:
        found = constraints(x)
        return unit * cost(x), weights[:m] * found.inequalities, weights[m:] * found.equalities

    def at(x: Vector, nu: Array, mu: Array) -> _Values:
        def lagrangian(x: Vector) -> Scalar:
            c, g, h = scaled(x)
            return c + nu @ g + mu @ h

        (c, g, h), (slope, by_g, by_h) = scaled(x), jax.jacrev(scaled)(x)
        return _Values(c, slope, g, h, by_g, by_h, jax.hessian(lagrangian)(x))

    def error_of(v: _Values, s: Array, nu: Array, mu: Array, barrier: Any) -> Scalar:
        dual = v.slope + v.by_g.T @ nu + v.by_h.T @ mu
        size = jnp.maximum(1, (jnp.sum(jnp.abs(nu)) + jnp.sum(jnp.abs(mu))) / (100.0 * max(1, m + p)))
        parts = [dual / size, v.g + s, v.h, (s * nu - barrier) / size]
        return jnp.max(jnp.stack([jnp.max(jnp.abs(part), initial=0.0) for part in parts]))

    def merit(x: Vector, s: Array, barrier: Any, penalty: Any) -> Scalar:
        c, g, h = scaled(x)
        broken = jnp.sum(jnp.abs(g + s)) + jnp.sum(jnp.abs(h))
        return c - barrier * jnp.sum(jnp.log(s)) + penalty * broken

    def step(z: _Iterate) -> _Iterate:
        v = z.values
        dual, r_g = v.slope + v.by_g.T @ z.nu + v.by_h.T @ z.mu, v.g + z.s
        centre = z.s * z.nu - z.barrier
        ratio = z.nu / z.s
        curvature = v.hessian + (v.by_g.T * ratio) @ v.by_g
        right = -dual - v.by_g.T @ ((z.nu * r_g - centre) / z.s)
        # Along the equalities' rows the curvature doesn't matter: made positive there, what is left decides.
        strong = jnp.maximum(jnp.max(jnp.abs(curvature)), 1)
        curvature, right = curvature + strong * v.by_h.T @ v.by_h, right - strong * v.by_h.T @ v.h
        values, vectors = jnp.linalg.eigh((curvature + curvature.T) / 2)
        floor = jnp.maximum(jnp.max(jnp.abs(values)) * eps, jnp.finfo(dtype).tiny)
        values = jnp.maximum(jnp.abs(values), floor)

        def solve(b: Array) -> Array:
            return vectors @ ((vectors.T @ b).T / values).T

        dx = solve(right)
        dmu = jnp.zeros_like(z.mu)
        if p:
            across = solve(v.by_h.T)
            schur = v.by_h @ across
            schur = schur + 8 * eps * jnp.maximum(jnp.trace(schur), jnp.finfo(dtype).tiny) * jnp.eye(p, dtype=dtype)
            dmu = jnp.linalg.solve(schur, v.by_h @ dx + v.h)
            dx = dx - across @ dmu
        ds = -r_g - v.by_g @ dx
        dnu = (-centre - z.nu * ds) / z.s

        keep = jnp.maximum(0.99, 1 - z.barrier).astype(dtype)

        def room(value: Array, change: Array) -> Scalar:
            limit = jnp.where(change < 0, -keep * value / jnp.where(change < 0, change, 1), 1)
            return jnp.minimum(1, jnp.min(limit, initial=1.0))

        most, most_nu = room(z.s, ds), room(z.nu, dnu)
        largest = jnp.max(jnp.abs(jnp.concatenate([z.nu + most_nu * dnu, z.mu + dmu])), initial=0.0)
        penalty = jnp.maximum(z.penalty, 2 * largest)
        here = merit(z.x, z.s, z.barrier, penalty)
        broken = jnp.sum(jnp.abs(r_g)) + jnp.sum(jnp.abs(v.h))
        slope = v.slope @ dx - z.barrier * jnp.sum(ds / z.s) - penalty * broken
        enough = 1e-4 * jnp.minimum(slope, 0)
        allowance = 16 * eps * jnp.maximum(jnp.abs(here), 1)

        def worse(carry: Any) -> Bool[Array, ""]:
            share, halvings = carry
            there = merit(z.x + share * dx, z.s + share * ds, z.barrier, penalty)
            return ~(there <= here + share * enough + allowance) & (halvings < _HALVINGS)

        share, halvings = jax.lax.while_loop(worse, lambda c: (c[0] / 2, c[1] + 1), (most, jnp.int32(0)))
        x, s = z.x + share * dx, z.s + share * ds
        nu, mu = z.nu + most_nu * dnu, z.mu + dmu * jnp.where(halvings < _HALVINGS, 1, share)
        # Multipliers stay near the central path, lest a bad step spoil all those that follow.
        nu = jnp.clip(nu, z.barrier / (1e10 * s), 1e10 * z.barrier / s)
        s = jnp.maximum(s, jnp.where(-scaled(x)[1] > 0, -scaled(x)[1], 0) * (halvings < _HALVINGS))
        new = at(x, nu, mu)
        inner = error_of(new, s, nu, mu, z.barrier)
        lowest = tolerance / 20
        lower = jnp.maximum(lowest, jnp.minimum(z.barrier / 5, z.barrier**1.5))
        barrier = jnp.where(inner <= 10 * z.barrier, lower, z.barrier)
        error = error_of(new, s, nu, mu, 0)
        stuck = jnp.where((halvings >= _HALVINGS) | ~jnp.isfinite(error), z.stuck + 1, 0)
        return _Iterate(x, s, nu, mu, barrier, penalty, error, new, z.count + 1, stuck)

    def going(z: _Iterate) -> Bool[Array, ""]:
        return (z.error > tolerance) & (z.count < max_steps) & (z.stuck < 3)

    barrier, no_mu = jnp.asarray(0.1, dtype), jnp.zeros(p, dtype)
    v = at(start, jnp.zeros(m, dtype), no_mu)
    s = jnp.maximum(-v.g, 0.01).astype(dtype)
    one, far = jnp.asarray(1.0, dtype), jnp.asarray(jnp.inf, dtype)
    begin = _Iterate(start, s, barrier / s, no_mu, barrier, one, far, v, jnp.int32(0), jnp.int32(0))
    end = jax.lax.while_loop(going, step, begin)

    def residual_of(v: _Values, nu: Array, mu: Array) -> Scalar:
        error = error_of(v, jnp.maximum(-v.g, 0), nu, mu, 0)
        return jnp.where(jnp.isfinite(error), error, jnp.inf)

    def polish(carry: Any) -> Any:
        x, nu, mu, error, v, active, count, _ = carry
        # The active constraints' multipliers and the others' values are 0: one square system.
        rows = jnp.where(active[:, None], v.by_g, 0)
        top = jnp.concatenate([v.hessian, v.by_g.T, v.by_h.T], 1)
        middle = jnp.concatenate(
            [rows, jnp.diag(jnp.where(active, 0.0, 1.0).astype(dtype)), jnp.zeros((m, p), dtype)], 1
        )
        bottom = jnp.concatenate([v.by_h, jnp.zeros((p, m + p), dtype)], 1)
        left = jnp.concatenate([v.slope + v.by_g.T @ nu + v.by_h.T @ mu, jnp.where(active, v.g, nu), v.h])
        change = jnp.linalg.solve(jnp.concatenate([top, middle, bottom]), -left)
        new = x + change[: x.size], jnp.maximum(nu + change[x.size : x.size + m], 0), mu + change[x.size + m :]
        v_new = at(*new)
        error_new = residual_of(v_new, *new[1:])
        better = error_new < error
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), (*new, error_new, v_new), (x, nu, mu, error, v))
        return *kept, active, count + 1, better

    error = residual_of(end.values, end.nu, end.mu)
    carry = (end.x, end.nu, end.mu, error, end.values, end.nu > end.s, jnp.int32(0), error <= 1e4 * tolerance)
    x, nu, mu, error, *_ = jax.lax.while_loop(lambda c: c[-1] & (c[-2] < 8) & (c[3] > eps), polish, carry)
    return Optimum(x, nu * weights[:m] / unit, mu * weights[m:] / unit, error, end.count, error <= tolerance)
