"""Small dense programmes: the local minima of a smooth function under smooth constraints, many of them at once.

Written here since, of libraries that are kept up, qpax (0.1.4) is for quadratic programmes, for which it takes half of
the time, and claims impossible ones; slsqp-jax (0.21.1) takes any smooth one, and solved at most 55 % of the
benchmark's in 20 to 3000 ms each, where this solves 95 to 100 % in less than 1 ms (`programmes` in
`benchmarks/results/speed.json`). Optimistix has no general constraints, and JAXopt isn't developed any more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Scalar

from stackjax._constraints import Constraints
from stackjax._core.dependence import as_varying

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
    """Where the next step starts, the start of the one before, and how the search goes on."""

    at: _Point
    last: _Point
    barrier: Scalar
    penalty: Scalar
    steps: Int[Array, ""]
    stuck: Int[Array, ""]
    ended: Bool[Array, ""]


class _Polish(NamedTuple):
    """Where the next step starts, and the best point so far."""

    at: _Point
    best: _Point
    error: Scalar
    times: Int[Array, ""]
    misses: Int[Array, ""]


class _Round(NamedTuple):
    """The end of a solve and the units that it was in; and the best end so far. In the caller's units."""

    end: tuple[Vector, Array, Array]
    units: _Units
    best: tuple[Vector, Array, Array]
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

    def measured(x: Vector, nu: Array, mu: Array, curved: Any) -> tuple[_Units, Scalar]:
        """The units at x, the Hessians weighed by `curved` beside the gradients; and the residual in these."""
        values, slopes = _with_slopes(functions, x)
        hessians = jax.jacfwd(lambda x: _with_slopes(functions, x)[1])(x)
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
        """Measure the end of the last round; and solve again from there if other units are called for."""
        first = last.rounds == 0
        units, residual = measured(*last.end, jnp.where(first, 1.0, 1e3 * eps**0.5).astype(dtype))
        better = first | (last.rounds == 1) | (residual < last.residual)
        best, residual = jax.tree.map(
            lambda a, b: jnp.where(better, a, b), (last.end, residual), (last.best, last.residual)
        )
        changes = [jnp.abs(jnp.log(jnp.ravel(a / b))) for a, b in zip(units, last.units, strict=True)]
        other = (jnp.max(jnp.concatenate(changes)) > 1) & jnp.all(jnp.isfinite(best[0]))
        again = (last.rounds < _ROUNDS) & (last.steps < max_steps) & better & (residual > tolerance) & other
        again = again | first

        def scaled(x: Vector) -> Float[Array, " n"]:
            return jnp.concatenate([units.cost[None], units.rows]) * functions(units.length * x)

        x, nu, mu, count = _solve(scaled, best[0] / units.length, (m, p), tolerance, max_steps, last.steps, again)
        small = units.rows / units.cost
        end = (units.length * x, nu * small[:m], mu * small[m:])
        return _Round(end, units, best, residual, count, last.rounds + 1, again)

    start_ = (start, jnp.zeros(m, dtype), jnp.zeros(p, dtype))
    one = jnp.ones((), dtype)
    begin = _Round(
        start_, _Units(one, one, jnp.ones(m + p, dtype)), start_, one, jnp.int32(0), jnp.int32(0), jnp.asarray(True)
    )
    begin = as_varying(begin, functions(start))
    end = jax.lax.while_loop(lambda last: last.again, round_from, begin)
    x, nu, mu = end.best
    return Optimum(x, nu, mu, end.residual, end.steps, end.residual <= tolerance)


def _with_slopes(functions: Callable[[Vector], Array], x: Vector) -> tuple[Float[Array, " n"], Float[Array, "n d"]]:
    """Values, and their derivatives."""
    values, pull = jax.vjp(functions, x)
    return values, jax.vmap(lambda unit: pull(unit)[0])(jnp.eye(values.size, dtype=values.dtype))


def _largest(parts: list[Array]) -> Scalar:
    """The largest entry in size; infinite if one isn't finite: a maximum over a large batch passes over NaN."""
    entries = jnp.concatenate(parts)
    return jnp.where(jnp.all(jnp.isfinite(entries)), jnp.max(jnp.abs(entries), initial=0.0), jnp.inf)


def _solve(
    scaled: Callable[[Vector], Float[Array, " n"]],
    start: Vector,
    sizes: tuple[int, int],
    tolerance: Any,
    max_steps: Any,
    count: Any,
    go: Any,
) -> tuple[Vector, Array, Array, Int[Array, ""]]:
    """x, nu, mu of cost, inequalities and equalities `scaled(x)`, in these units, and the number of steps so far.

    Each loop takes derivatives at one place, where its next step starts: the program is half as long. Nothing unless
    `go`.
    """
    dtype, (m, p) = start.dtype, sizes
    eps, tiny = float(jnp.finfo(dtype).eps), float(jnp.finfo(dtype).tiny)

    def split(values: Float[Array, " n"]) -> tuple[Scalar, Array, Array]:
        return values[0], values[1 : m + 1], values[m + 1 :]

    def values_at(z: _Point) -> _Values:
        weights = jnp.concatenate([jnp.ones(1, dtype), z.nu, z.mu])
        values, slopes = _with_slopes(scaled, z.x)
        hessian = jax.jacfwd(jax.grad(lambda x: weights @ scaled(x)))(z.x)
        (c, g, h), (slope, by_g, by_h) = split(values), split(slopes)
        return _Values(c, slope, g, h, by_g, by_h, hessian)

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
        z, v = it.at, values_at(it.at)
        error = error_of(v, z, 0)
        finite = jnp.isfinite(error)
        ended = ~finite | (error <= tolerance) | (it.steps >= max_steps) | (it.stuck >= _PATIENCE)
        v = jax.tree.map(lambda x: jnp.where(finite, x, 0), v)  # the decomposition of NaN may not end
        lower = jnp.maximum(tolerance / 20, jnp.minimum(it.barrier / 5, it.barrier**1.5))
        lowered = (it.steps > count) & (error_of(v, z, it.barrier) <= 10 * it.barrier)
        barrier = jnp.where(lowered, lower, it.barrier)
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
        least_gain = 1e-4 * jnp.minimum(falls - penalty * broken, 0)
        allowance = 16 * eps * jnp.maximum(jnp.abs(here), 1)

        def trial(carry: Any) -> Any:
            share, halvings, *_ = carry
            x = z.x + share * by.x
            values = split(scaled(x))
            # A constraint that is kept has its own slack: its curvature costs no step.
            s = jnp.where(-values[1] > (1 - keep) * z.s, -values[1], z.s + share * by.s)
            enough = merit(values, s, barrier, penalty) <= here + share * least_gain + allowance
            return jnp.where(enough, share, share / 2), halvings + 1, enough, x, s

        def worse(carry: Any) -> Bool[Array, ""]:
            _, halvings, enough, *_ = carry
            return ~enough & (halvings <= _HALVINGS)

        share, _, found, x, s = jax.lax.while_loop(worse, trial, as_varying((most, jnp.int32(0), ended, z.x, z.s), z.x))
        nu, mu = z.nu + most_nu * by.nu, z.mu + by.mu * jnp.where(found, 1, share)
        # Multipliers stay near the central path, lest a bad step spoil all those that follow.
        nu = jnp.clip(nu, barrier / (1e10 * s), 1e10 * barrier / s)
        stuck = jnp.where(found, 0, it.stuck + 1)
        moved = _Iterate(_Point(x, s, nu, mu), z, barrier, penalty, it.steps + 1, stuck, it.ended)
        # From where it isn't finite another step would only fail again.
        at = jax.tree.map(lambda a, b: jnp.where(finite, a, b), z, it.last)
        return jax.tree.map(lambda a, b: jnp.where(ended, a, b), it._replace(at=at, ended=ended), moved)

    barrier, one = (jnp.asarray(number, dtype) for number in (0.1, 1.0))
    g = split(scaled(start))[1]
    s = jnp.maximum(-g, 0.01).astype(dtype)
    begin = _Point(start, s, barrier / s, jnp.zeros(p, dtype))
    first = _Iterate(begin, begin, barrier, one, count, jnp.int32(0), ~go)
    end = jax.lax.while_loop(lambda it: ~it.ended, step, as_varying(first, begin.x))

    def residual_of(v: _Values, z: _Point) -> Scalar:
        return error_of(v, z._replace(s=jnp.maximum(-v.g, 0)), 0)

    def polish(it: _Polish) -> _Polish:
        z = it.at
        # A multiplier that turned out negative, or a constraint that is broken, changes sides in this step.
        valid = z._replace(nu=jnp.maximum(z.nu, 0))
        v = values_at(valid)
        error = residual_of(v, valid)
        better = error < it.error
        best, error = jax.tree.map(lambda a, b: jnp.where(better, a, b), (valid, error), (it.best, it.error))
        # The active constraints' values and the others' multipliers are 0: one square system, regular by a little.
        little, active = 32 * eps, z.nu + v.g > 0
        own = jnp.diag(jnp.where(active, -little, 1.0).astype(dtype))
        columns = jnp.concatenate([jnp.where(active[:, None], v.by_g, 0), v.by_h])
        corner = jax.scipy.linalg.block_diag(own, -little * jnp.eye(p, dtype=dtype))
        top = jnp.concatenate([v.hessian + little * jnp.eye(z.x.size, dtype=dtype), v.by_g.T, v.by_h.T], 1)
        left = jnp.concatenate([v.slope + v.by_g.T @ z.nu + v.by_h.T @ z.mu, jnp.where(active, v.g, z.nu), v.h])
        change = jnp.linalg.solve(jnp.concatenate([top, jnp.concatenate([columns, corner], 1)]), -left)
        dx, dnu, dmu = jnp.split(change, [z.x.size, z.x.size + m])
        new = _Point(z.x + dx, z.s, z.nu + dnu, z.mu + dmu)
        return _Polish(new, best, error, it.times + 1, it.misses + jnp.where(better, 0, 1))

    def polishing(it: _Polish) -> Bool[Array, ""]:
        useful = (it.error > eps) & (it.error <= 1e4 * tolerance) & (it.times <= 8) & (it.misses < 3)
        return go & (useful | (it.times == 0))

    begun = _Polish(end.at, end.at, jnp.asarray(jnp.inf, dtype), jnp.int32(0), jnp.int32(0))
    z = jax.lax.while_loop(polishing, polish, as_varying(begun, end.at.x)).best
    return z.x, z.nu, z.mu, end.steps
