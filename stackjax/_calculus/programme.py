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
_PATIENCE = 3  # such steps in a row
_ROUNDS = 4  # each in the units of where the one before has ended


class Optimum(NamedTuple):
    """Where a programme's first-order conditions hold, with `cost' + nu' g' + mu' h' = 0`.

    **Attributes:** `x`; the multipliers `nu` >= 0 of the inequalities and `mu` of the equalities; `residual`: the
    largest violation of a condition, relative to the gradients there and to the terms that cancel in it (of a
    constraint: to 1, if x is smaller); `iterations`; `converged`: whether the residual is within the tolerance. Where
    it isn't, x is the last iterate, and no solution.
    """

    x: Vector
    nu: Float[Array, " m"]
    mu: Float[Array, " p"]
    residual: Scalar
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


class _Units(NamedTuple):
    """What makes x, the gradient of the cost and those of the constraints about 1."""

    length: Scalar
    cost: Scalar
    rows: Float[Array, " n"]


class _Values(NamedTuple):
    """A cost and constraints with their derivatives at a point, in units of the programme's own."""

    cost: Scalar
    slope: Vector
    g: Float[Array, " m"]
    h: Float[Array, " p"]
    by_g: Float[Array, "m d"]
    by_h: Float[Array, "p d"]
    hessian: Float[Array, "d d"]


class _Point(NamedTuple):
    """An iterate `x` (in units), slacks and multipliers."""

    x: Vector
    s: Float[Array, " m"]
    nu: Float[Array, " m"]
    mu: Float[Array, " p"]


class _Iterate(NamedTuple):
    at: _Point
    barrier: Scalar
    penalty: Scalar
    error: Scalar
    values: _Values
    steps: Int[Array, ""]
    stuck: Int[Array, ""]


class _Round(NamedTuple):
    """The end of a solve in some units, and the units and the residual there. Multipliers in the caller's units."""

    x: Vector
    nu: Float[Array, " m"]
    mu: Float[Array, " p"]
    units: _Units
    residual: Scalar
    steps: Int[Array, ""]
    rounds: Int[Array, ""]
    again: Bool[Array, ""]


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
    rounding, where it can. Cost and constraints are taken relative to their derivatives at the start; where these are
    others at the end, and the conditions don't hold relative to those, once more from there. Not differentiable.
    `tolerance` of the residual; default: the square root of the resolution.
    """
    dtype = start.dtype
    eps = float(jnp.finfo(dtype).eps)
    tolerance = jnp.asarray(eps**0.5 if tolerance is None else tolerance, dtype)
    first = constraints(start)
    m, p = first.inequalities.size, first.equalities.size

    def functions(x: Vector) -> Float[Array, " n"]:
        return jnp.concatenate([jnp.reshape(jnp.asarray(cost(x), dtype), (1,)), *constraints(x)])

    def measured(x: Vector, nu: Array, mu: Array, curved: float) -> tuple[_Units, Scalar]:
        """The units at x, the Hessians weighed by `curved` beside the gradients; and the residual in these."""
        values, slopes, hessians = functions(x), jax.jacfwd(functions)(x), jax.hessian(functions)(x)
        length = jnp.max(jnp.abs(x), initial=1.0)
        straight, bent = jnp.max(jnp.abs(slopes), 1, initial=0.0), jnp.max(jnp.abs(hessians), (1, 2), initial=0.0)
        steep = jnp.maximum(length * straight, curved * length**2 * bent)
        scale = 1 / jnp.where((steep > 0) & jnp.isfinite(steep), jnp.maximum(steep, 1e-8), 1)
        # Relative to the terms that cancel, line by line: what grows without end in one must not hide another.
        slope, rows = scale[0] * length * slopes[0], scale[1:, None] * length * slopes[1:]
        found, multipliers = scale[1:] * length * values[1:], jnp.concatenate([nu, mu]) * scale[0] / scale[1:]
        dual = (slope + rows.T @ multipliers) / jnp.maximum(1, jnp.abs(rows).T @ jnp.abs(multipliers))
        relative = found / jnp.maximum(1, jnp.abs(rows) @ jnp.abs(x))
        s, nu = jnp.maximum(-relative[:m], 0), multipliers[:m]
        parts = [dual, jnp.maximum(relative[:m], 0), relative[m:], s * nu / jnp.maximum(1, nu)]
        error = jnp.where(jnp.all(jnp.isfinite(jnp.concatenate([x, found, multipliers]))), _largest(parts), jnp.inf)
        return _Units(length, scale[0], scale[1:]), error

    def round_from(last: _Round) -> _Round:
        units = last.units

        def scaled(x: Vector) -> tuple[Scalar, Array, Array]:
            found = functions(units.length * x)
            g, h = jnp.split(units.rows * found[1:], [m])
            return units.cost * found[0], g, h

        x, nu, mu, count = _solve(scaled, last.x / units.length, (m, p), tolerance, max_steps, last.steps)
        x, small = units.length * x, units.rows / units.cost
        nu, mu = nu * small[:m], mu * small[m:]
        new, residual = measured(x, nu, mu, 1e3 * eps**0.5)
        better = (residual < last.residual) | (last.rounds == 0)
        x, nu, mu, residual = jax.tree.map(
            lambda a, b: jnp.where(better, a, b), (x, nu, mu, residual), (last.x, last.nu, last.mu, last.residual)
        )
        changes = [jnp.abs(jnp.log(jnp.ravel(a / b))) for a, b in zip(new, units, strict=True)]
        again = better & (residual > tolerance) & (jnp.max(jnp.concatenate(changes)) > 1) & jnp.all(jnp.isfinite(x))
        return _Round(x, nu, mu, new, residual, count, last.rounds + 1, again)

    def going(last: _Round) -> Bool[Array, ""]:
        return last.again & (last.rounds < _ROUNDS) & (last.steps < max_steps)

    no_nu, no_mu = jnp.zeros(m, dtype), jnp.zeros(p, dtype)
    units, residual = measured(start, no_nu, no_mu, 1.0)
    begin = _Round(start, no_nu, no_mu, units, residual, jnp.int32(0), jnp.int32(0), jnp.asarray(True))
    end = jax.lax.while_loop(going, round_from, begin)
    return Optimum(end.x, end.nu, end.mu, end.residual, end.steps, end.residual <= tolerance)


def _largest(parts: list[Array]) -> Scalar:
    """The largest entry in size; infinite if one isn't finite: a maximum over a large batch passes over NaN."""
    entries = jnp.concatenate(parts)
    return jnp.where(jnp.all(jnp.isfinite(entries)), jnp.max(jnp.abs(entries), initial=0.0), jnp.inf)


def _solve(
    scaled: Callable[[Vector], tuple[Scalar, Array, Array]],
    start: Vector,
    sizes: tuple[int, int],
    tolerance: Any,
    max_steps: Any,
    count: Any,
) -> tuple[Vector, Array, Array, Int[Array, ""]]:
    """x, nu, mu of cost, inequalities and equalities `scaled(x)`, in these units, and the number of steps so far."""
    dtype, (m, p) = start.dtype, sizes
    eps, tiny = float(jnp.finfo(dtype).eps), float(jnp.finfo(dtype).tiny)

    def values_at(x: Vector, nu: Array, mu: Array) -> _Values:
        def lagrangian(x: Vector) -> Scalar:
            c, g, h = scaled(x)
            return c + nu @ g + mu @ h

        (c, g, h), (slope, by_g, by_h) = scaled(x), jax.jacrev(scaled)(x)
        return _Values(c, slope, g, h, by_g, by_h, jax.hessian(lagrangian)(x))

    def error_of(v: _Values, z: _Point, barrier: Any) -> Scalar:
        dual = v.slope + v.by_g.T @ z.nu + v.by_h.T @ z.mu
        length = jnp.max(jnp.abs(z.x), initial=1.0)
        size = jnp.maximum(1, (jnp.sum(z.nu) + jnp.sum(jnp.abs(z.mu))) / (100.0 * max(1, m + p)))
        parts = [dual / size, (v.g + z.s) / length, v.h / length, (z.s * z.nu - barrier) / size]
        return jnp.where(jnp.all(jnp.isfinite(jnp.concatenate([z.x, z.s, z.nu, z.mu]))), _largest(parts), jnp.inf)

    def merit(values: tuple[Scalar, Array, Array], s: Array, barrier: Any, penalty: Any) -> Scalar:
        c, g, h = values
        broken = jnp.sum(jnp.abs(g + s)) + jnp.sum(jnp.abs(h))
        return c - barrier * jnp.sum(jnp.log(s)) + penalty * broken

    def newton(v: _Values, z: _Point, barrier: Any) -> _Point:
        """The step on the conditions with the barrier."""
        dual, r_g = v.slope + v.by_g.T @ z.nu + v.by_h.T @ z.mu, v.g + z.s
        centre = z.s * z.nu - barrier
        curvature = v.hessian + v.by_g.T @ ((z.nu / z.s)[:, None] * v.by_g)
        right = -dual - v.by_g.T @ ((z.nu * r_g - centre) / z.s)
        # Along the equalities' rows the curvature doesn't matter: made positive there, what is left decides.
        strong = jnp.maximum(jnp.max(jnp.abs(curvature)), 1)
        curvature, right = curvature + strong * v.by_h.T @ v.by_h, right - strong * v.by_h.T @ v.h
        values, vectors = jnp.linalg.eigh((curvature + curvature.T) / 2)
        values = jnp.maximum(jnp.abs(values), jnp.maximum(jnp.max(jnp.abs(values)) * eps, tiny))

        def solve(b: Float[Array, "d k"]) -> Float[Array, "d k"]:
            return vectors @ ((vectors.T @ b) / values[:, None])

        dx, dmu = solve(right[:, None])[:, 0], jnp.zeros_like(z.mu)
        if p:
            across = solve(v.by_h.T)
            sizes, basis = jnp.linalg.eigh(v.by_h @ across)
            # Of equalities that depend on each other the least multipliers.
            kept = sizes > 32 * p * eps * jnp.max(sizes) + tiny
            dmu = basis @ jnp.where(kept, basis.T @ (v.by_h @ dx + v.h) / jnp.where(kept, sizes, 1), 0)
            dx = dx - across @ dmu
        ds = -r_g - v.by_g @ dx
        return _Point(dx, ds, (-centre - z.nu * ds) / z.s, dmu)

    def step(it: _Iterate) -> _Iterate:
        z, v, barrier = it.at, it.values, it.barrier
        by = newton(v, z, barrier)
        keep = jnp.maximum(0.99, 1 - barrier).astype(dtype)

        def room(value: Array, change: Array) -> Scalar:
            limit = jnp.where(change < 0, -keep * value / jnp.where(change < 0, change, 1), 1)
            return jnp.minimum(1, jnp.min(limit, initial=1.0))

        most, most_nu = room(z.s, by.s), room(z.nu, by.nu)
        broken = jnp.sum(jnp.abs(v.g + z.s)) + jnp.sum(jnp.abs(v.h))
        falls = v.slope @ by.x - barrier * jnp.sum(by.s / z.s)
        bends = jnp.maximum(by.x @ v.hessian @ by.x, 0) + jnp.sum(z.nu / z.s * by.s**2)
        # The merit function's model goes down along the step (Nocedal & Wright, 18.36).
        least = (falls + bends / 2) / (0.9 * jnp.where(broken > 0, broken, 1))
        penalty = jnp.where(broken > 64 * eps, jnp.maximum(it.penalty, 1.5 * least), it.penalty)
        here = merit((v.cost, v.g, v.h), z.s, barrier, penalty)
        enough = 1e-4 * jnp.minimum(falls - penalty * broken, 0)
        allowance = 16 * eps * jnp.maximum(jnp.abs(here), 1)

        def along(share: Any) -> tuple[Vector, Array, Scalar]:
            x = z.x + share * by.x
            values = scaled(x)
            # A constraint that is kept has its own slack: its curvature costs no step.
            s = jnp.where(-values[1] > (1 - keep) * z.s, -values[1], z.s + share * by.s)
            return x, s, merit(values, s, barrier, penalty)

        def worse(carry: Any) -> Bool[Array, ""]:
            share, halvings = carry
            return ~(along(share)[2] <= here + share * enough + allowance) & (halvings < _HALVINGS)

        share, halvings = jax.lax.while_loop(worse, lambda c: (c[0] / 2, c[1] + 1), (most, jnp.int32(0)))
        found = halvings < _HALVINGS
        x, s, _ = along(share)
        nu, mu = z.nu + most_nu * by.nu, z.mu + by.mu * jnp.where(found, 1, share)
        # Multipliers stay near the central path, lest a bad step spoil all those that follow.
        nu = jnp.clip(nu, barrier / (1e10 * s), 1e10 * barrier / s)
        new = values_at(x, nu, mu)
        at = _Point(x, s, nu, mu)
        lower = jnp.maximum(tolerance / 20, jnp.minimum(barrier / 5, barrier**1.5))
        lower = jnp.where(error_of(new, at, barrier) <= 10 * barrier, lower, barrier)
        error = error_of(new, at, 0)
        moved = _Iterate(at, lower, penalty, error, new, it.steps + 1, jnp.where(found, 0, it.stuck + 1))
        stay = it._replace(steps=it.steps + 1, stuck=jnp.int32(_PATIENCE))  # it would only fail again
        return jax.tree.map(lambda a, b: jnp.where(jnp.isfinite(error), a, b), moved, stay)

    def going(it: _Iterate) -> Bool[Array, ""]:
        return (it.error > tolerance) & (it.steps < max_steps) & (it.stuck < _PATIENCE)

    barrier, one, far = (jnp.asarray(number, dtype) for number in (0.1, 1.0, jnp.inf))
    v = values_at(start, jnp.zeros(m, dtype), jnp.zeros(p, dtype))
    s = jnp.maximum(-v.g, 0.01).astype(dtype)
    begin = _Point(start, s, barrier / s, jnp.zeros(p, dtype))
    end = jax.lax.while_loop(going, step, _Iterate(begin, barrier, one, far, v, count, jnp.int32(0)))

    def residual_of(v: _Values, z: _Point) -> Scalar:
        return error_of(v, z._replace(s=jnp.maximum(-v.g, 0)), 0)

    def polish(carry: Any) -> Any:
        z, v, best, error, times, misses = carry
        # The active constraints' values and the others' multipliers are 0: one square system, regular by a little.
        little, active = 32 * eps, z.nu + v.g > 0
        own = jnp.diag(jnp.where(active, -little, 1.0).astype(dtype))
        columns = jnp.concatenate([jnp.where(active[:, None], v.by_g, 0), v.by_h])
        corner = jax.scipy.linalg.block_diag(own, -little * jnp.eye(p, dtype=dtype))
        top = jnp.concatenate([v.hessian + little * jnp.eye(z.x.size, dtype=dtype), v.by_g.T, v.by_h.T], 1)
        left = jnp.concatenate([v.slope + v.by_g.T @ z.nu + v.by_h.T @ z.mu, jnp.where(active, v.g, z.nu), v.h])
        change = jnp.linalg.solve(jnp.concatenate([top, jnp.concatenate([columns, corner], 1)]), -left)
        dx, dnu, dmu = jnp.split(change, [z.x.size, z.x.size + m])
        # One that turns out negative, or broken, changes sides in the next step.
        new = _Point(z.x + dx, z.s, z.nu + dnu, z.mu + dmu)
        valid = new._replace(nu=jnp.maximum(new.nu, 0))
        v_new = values_at(new.x, valid.nu, new.mu)
        error_new = residual_of(v_new, valid)
        better = error_new < error
        best, error = jax.tree.map(lambda a, b: jnp.where(better, a, b), (valid, error_new), (best, error))
        return new, v_new, best, error, times + 1, misses + jnp.where(better, 0, 1)

    def polishing(carry: Any) -> Bool[Array, ""]:
        *_, error, times, misses = carry
        return (error > eps) & (error <= 1e4 * tolerance) & (times < 8) & (misses < 3)

    error = residual_of(end.values, end.at)
    carry = (end.at, end.values, end.at, error, jnp.int32(0), jnp.int32(0))
    _, _, z, *_ = jax.lax.while_loop(polishing, polish, carry)
    return z.x, z.nu, z.mu, end.steps
