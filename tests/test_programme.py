"""Small constrained programmes: against SciPy, stored references and first-order conditions written out in NumPy."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from stackjax._calculus.programme import minimise
from stackjax._constraints import Constraints

STORED = json.loads((Path(__file__).parent / "golden" / "constrained_games.json").read_text())["qp"]
EYE, BOX = np.eye(3), np.concatenate([np.eye(3), -np.eye(3)])
HESSIAN, SLOPE = np.array([[2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 3]]), np.array([-1.0, 2, -3])
#: Of the data below: unknowns, inequalities, equalities.
D, M, P = 3, 6, 2
types = pytest.mark.parametrize("dtype", ["float64", "float32"])


# ---------------------------------------------------------------- linear constraints: one program for all of them


@jax.jit
@jax.vmap
def solved(Q, q, G, h, E, e, start):
    """`x'Qx/2 + q'x` with `G x <= h` and `E x = e`."""
    return minimise(lambda x: x @ Q @ x / 2 + q @ x, lambda x: Constraints(G @ x - h, E @ x - e), start)


def programme(Q=None, q=SLOPE, G=(), h=(), E=(), e=(), start=None):
    """With rows of zeros for what there isn't, and bounds of 1 on these."""
    rows, right, equal, level = np.zeros((M, D)), np.ones(M), np.zeros((P, D)), np.zeros(P)
    rows[: len(G)], right[: len(h)], equal[: len(E)], level[: len(e)] = (
        np.reshape(G, (-1, D)),
        h,
        np.reshape(E, (-1, D)),
        e,
    )
    whole = np.zeros((D, D)) if Q is None else np.asarray(Q, float)
    return whole, np.asarray(q, float), rows, right, equal, level, np.zeros(D) if start is None else np.asarray(start)


SUM = {"E": [[1, 1, 1]], "e": [1]}
TWICE = {"E": [[1, 1, 1], [2, 2, 2]], "e": [1, 2]}
CORNER = {"G": np.concatenate([EYE, [[1, 1, 0], [0, 1, 1], [1, 1, 1]]]), "h": [1, 1, 1, 2, 2, 3]}
IN_BOX = {"G": BOX, "h": np.full(6, 0.3)}
POSITIVE = {"G": -EYE, "h": np.zeros(3)}
WITH_SOLUTION = {
    "unconstrained": programme(HESSIAN),
    "box": programme(HESSIAN, **IN_BOX),
    "simplex": programme(HESSIAN, **POSITIVE, **SUM),
    "simplex, an equality twice": programme(HESSIAN, **POSITIVE, **TWICE),
    "more active than unknowns": programme(EYE, [-3, -3, -3], **CORNER),
    "one bound three times": programme(HESSIAN, G=[[1, 0, 0]] * 3 + [[0, 0, 1]] * 3, h=[-0.5] * 3 + [0.2] * 3),
    "reached, not pressed against": programme(EYE, [-1, -1, -1], G=EYE, h=[1, 1, 5]),
    "no interior": programme(HESSIAN, G=[*-EYE, [1, 1, 1], [-1, -1, -1]], h=[0, 0, 0, 1, -1]),
    "linear, box": programme(**IN_BOX),
    "linear, simplex": programme(**POSITIVE, **SUM),
    "linear, an equality twice": programme(**POSITIVE, **TWICE),
    "linear, more active than unknowns": programme(q=[-1, -1, -1], **CORNER),
    "linear, a face of solutions": programme(q=[-1, -1, 0], **IN_BOX),
    "no cost": programme(q=np.zeros(3), **IN_BOX, start=[5.0, 5, 5]),
    "from afar": programme(HESSIAN, **IN_BOX, start=[1e6, -1e6, 1e6]),
    "linear, from afar": programme(**IN_BOX, start=[1e6, -1e6, 1e6]),
    "actions of a million": programme(HESSIAN / 1e6, G=BOX, h=np.full(6, 3e5)),
    **{
        f"{name} of {size:g}": data
        for size in (1e6, 1e-6)
        for name, data in {
            "cost": programme(size * HESSIAN, size * SLOPE, **IN_BOX),
            "linear cost": programme(q=size * SLOPE, **IN_BOX),
            "unconstrained cost": programme(size * HESSIAN, size * SLOPE),
            "rows": programme(HESSIAN, G=size * BOX, h=np.full(6, 0.3 * size)),
            "one row": programme(HESSIAN, G=[[size, 0, 0], *BOX[1:]], h=[0.3 * size] + [0.3] * 5),
        }.items()
    },
}
WITHOUT = {
    "infeasible": programme(HESSIAN, G=[[1, 0, 0], [-1, 0, 0]], h=[-1, -1]),
    "infeasible, linear": programme(G=[[1, 0, 0], [-1, 0, 0]], h=[-1, -1]),
    "infeasible equalities": programme(HESSIAN, **POSITIVE, E=[[1, 1, 1], [1, 1, 1]], e=[1, 2]),
    "a row of zeros that asks for more": programme(HESSIAN, G=[[0, 0, 0]], h=[-1]),
    "unbounded": programme(**POSITIVE),
    "unbounded, no constraint": programme(),
    "unbounded, concave": programme(np.diag([-1.0, 1, 1])),
    "not a number": programme(np.full((3, 3), np.nan), **IN_BOX),
    "a start that isn't finite": programme(HESSIAN, **IN_BOX, start=[np.nan, 0, 0]),
}


@functools.cache
def outcome(dtype):
    """Of all of them, in one batch, and of those with a solution in a batch of their own, with the same lanes."""
    both = WITH_SOLUTION | WITHOUT
    spare = [WITH_SOLUTION["box"]] * len(WITHOUT)
    with jax.enable_x64(dtype == "float64"):
        run = [
            solved(*(jnp.asarray(np.stack(part), dtype) for part in zip(*lanes, strict=True)))
            for lanes in (both.values(), [*WITH_SOLUTION.values(), *spare])
        ]
    mixed, alone = (jax.tree.map(np.asarray, found) for found in run)
    return {name: jax.tree.map(lambda x, i=i: x[i], mixed) for i, name in enumerate(both)}, mixed, alone


def reference(Q, q, G, h, E, e, _):
    """The least cost: HiGHS for linear programmes; SLSQP for others, in units in which it works."""
    keep = np.any(E, axis=1)
    keep &= np.arange(len(E)) == 0  # a second one says the same
    if not Q.any():
        return linprog(q, G, h, E[keep], e[keep], bounds=(None, None)).fun
    unit, length = np.abs(Q).max() * max(1, h.max()) ** 2, max(1, h.max())
    rows = np.maximum(np.abs(G).max(1), 1e-9)
    limits = [{"type": "ineq", "fun": lambda z: (h - G @ z * length) / rows / length}]
    limits += [{"type": "eq", "fun": lambda z: E[keep] @ z * length - e[keep]}] if keep.any() else []
    found = minimize(
        lambda z: (length**2 * z @ Q @ z / 2 + length * q @ z) / unit,
        np.full(D, 0.01),
        jac=lambda z: (length**2 * Q @ z + length * q) / unit,
        method="SLSQP",
        constraints=limits,
        options={"ftol": 1e-16, "maxiter": 1000},
    )
    return found.fun * unit


def conditions(data, found):
    """The largest violation of a first-order condition relative to the data's sizes, in NumPy."""
    Q, q, G, h, E, e, _ = data
    x, nu, mu = (np.asarray(part, np.float64) for part in found[:3])
    size, rows = np.abs(q).max() or 1, np.where(np.any(G, 1), np.abs(G).max(1), 1)
    length = max(1, np.abs(x).max())
    slack = (h - G @ x) / rows / length
    dual = (Q @ x + q + G.T @ nu + E.T @ mu) / size
    parts = dual, np.minimum(slack, 0), (E @ x - e) / length, np.minimum(slack, nu * rows / size), np.minimum(nu, 0)
    return max(np.abs(part).max() for part in parts)


@types
@pytest.mark.parametrize("name", WITH_SOLUTION)
def test_linear_constraints(name, dtype):
    found, data = outcome(dtype)[0][name], WITH_SOLUTION[name]
    near = 1e-9 if dtype == "float64" else 1e-2 if name == "no interior" else 1e-3  # multipliers without end
    assert found.converged and found.x.dtype == found.nu.dtype == dtype
    assert conditions(data, found) < near
    x = np.asarray(found.x, np.float64)
    value, least = x @ data[0] @ x / 2 + data[1] @ x, reference(*data)
    assert abs(value - least) <= (1e-7 if dtype == "float64" else 1e-3) * max(abs(least), abs(data[1]).max())


@types
@pytest.mark.parametrize("name", WITHOUT)
def test_without_a_solution_nothing_is_claimed(name, dtype):
    found = outcome(dtype)[0][name]
    assert not found.converged and not found.residual <= 1e-2


@types
def test_programmes_without_a_solution_do_not_touch_the_others(dtype):
    _, mixed, alone = outcome(dtype)
    for one, other in zip(mixed, alone, strict=True):
        np.testing.assert_array_equal(one[: len(WITH_SOLUTION)], other[: len(WITH_SOLUTION)])


@pytest.mark.optimized  # it is the optimised code that passes over NaN
@types
def test_large_batches_claim_no_more_than_small_ones(dtype):
    """A maximum over 1000 lanes passes over NaN on a CPU: what breaks down must not look solved for it.

    Ten unknowns and fifteen bounds, as fewer don't show it; a lane is infeasible, one has NaN in it.
    """
    rng, n, d, m = np.random.default_rng(0), 1000, 10, 15
    root, G, x = rng.normal(size=(n, d, d)), rng.normal(size=(n, m, d)), rng.normal(size=(n, d))
    active = np.argsort(rng.random((n, m)), axis=1) < rng.integers(d // 2, d, (n, 1))
    nu, slack = np.where(active, rng.uniform(0.1, 2, (n, m)), 0), np.where(active, 0, rng.uniform(0.1, 2, (n, m)))
    Q = root @ np.swapaxes(root, 1, 2) / d + 0.1 * np.eye(d)
    q, h = -np.einsum("nij,nj->ni", Q, x) - np.einsum("nmi,nm->ni", G, nu), np.einsum("nmi,ni->nm", G, x) + slack
    G[0, :2], h[0, :2] = 0, -1
    G[0, :2, 0] = 1, -1
    q[1, 0] = np.nan

    @jax.jit
    @jax.vmap
    def solve(Q, q, G, h):
        none, start = jnp.zeros(0, q.dtype), jnp.zeros(d, q.dtype)
        return minimise(lambda x: x @ Q @ x / 2 + q @ x, lambda x: Constraints(G @ x - h, none), start, max_steps=200)

    with jax.enable_x64(dtype == "float64"):
        found = jax.tree.map(np.asarray, solve(*(jnp.asarray(part, dtype) for part in (Q, q, G, h))))
    assert found.converged.tolist() == [False, False] + [True] * (n - 2)
    assert not np.any(found.residual[:2] <= 1e-2)
    assert np.abs(found.x - x)[2:].max() < (1e-6 if dtype == "float64" else 1e-2)


@types
def test_dependent_equalities_have_the_least_multipliers(dtype):
    found = outcome(dtype)[0]["simplex, an equality twice"]
    np.testing.assert_allclose(found.mu, [0.12, 0.24], rtol=0, atol=1)
    single = outcome(dtype)[0]["simplex"].mu[0]
    np.testing.assert_allclose(found.mu @ [1, 2], single, rtol=1e-4)
    assert np.abs(found.mu).max() <= abs(single)


@types
def test_stored_responses(dtype):
    """Ten followers of two to four unknowns: response, active constraints and multipliers."""
    near, zero = (1e-9, 1e-9) if dtype == "float64" else (1e-3, 1e-4)
    with jax.enable_x64(dtype == "float64"):
        for stored in STORED:
            C, B, c, A, b, E, x = (np.asarray(stored[key]) for key in ("C", "B", "c", "A", "b", "E", "x"))
            slope, right = B @ x + c, b + E @ x
            found = _response(
                *(
                    jnp.asarray(_filled(part, shape, fill), dtype)
                    for part, shape, fill in (
                        (C, (4, 4), np.eye(4)),
                        (slope, (4,), 0),
                        (A, (4, 4), 0),
                        (right, (4,), 1),
                    )
                )
            )
            d, m = len(c), len(b)
            nu = np.zeros(m)
            nu[stored["active"]] = stored["multipliers"]
            np.testing.assert_allclose(found.x[:d], stored["response"], rtol=near, atol=near)
            np.testing.assert_allclose(found.nu[:m], nu, rtol=near, atol=near)
            assert np.flatnonzero(found.nu[:m] > zero).tolist() == stored["active"] and found.converged


def _filled(values, shape, fill):
    whole = np.broadcast_to(np.asarray(fill, float), shape).copy()
    whole[tuple(slice(n) for n in values.shape)] = values
    return whole


@jax.jit
def _response(C, slope, A, right):
    none = jnp.zeros(0, C.dtype)
    return minimise(
        lambda y: y @ C @ y / 2 - y @ slope, lambda y: Constraints(A @ y - right, none), jnp.zeros(4, C.dtype)
    )


# ---------------------------------------------------------------- smooth costs and constraints


def smooth_cost(data, x):
    rows, target, tilt, *_ = data
    return jnp.sum(jnp.exp(rows @ x)) + jnp.sum((x - target) ** 4) / 4 + tilt @ x


def smooth_bounds(data, x):
    *_, steep, centre, right = data
    return jnp.exp(steep @ x) + jnp.sum((x[None] - centre) ** 2, -1) / 2 - right


def smooth_programmes(n=100, d=5, m=8):
    """Convex, with solutions that are known: the right sides and a linear term are chosen for them, 1 to 4 active."""
    rng = np.random.default_rng(5)
    x, active = rng.normal(size=(n, d)), np.argsort(rng.random((n, m)), 1) < rng.integers(1, d, (n, 1))
    nu, slack = np.where(active, rng.uniform(0.1, 2, (n, m)), 0), np.where(active, 0, rng.uniform(0.1, 2, (n, m)))
    rows, target = rng.normal(size=(n, 6, d)) / 2, rng.normal(size=(n, d))
    steep, centre = rng.normal(size=(n, m, d)) / 2, rng.normal(size=(n, m, d))
    away = x[:, None] - centre
    right = np.exp(np.einsum("nmd,nd->nm", steep, x)) + np.sum(away**2, -1) / 2 + slack
    by_bounds = np.exp(np.einsum("nmd,nd->nm", steep, x))[..., None] * steep + away
    by_cost = np.einsum("nkd,nk->nd", rows, np.exp(np.einsum("nkd,nd->nk", rows, x))) + (x - target) ** 3
    tilt = -by_cost - np.einsum("nm,nmd->nd", nu, by_bounds)
    apart = np.array([np.linalg.svd(b[a], compute_uv=False)[-1] for a, b in zip(active, by_bounds, strict=True)])
    return (rows, target, tilt, steep, centre, right), x, nu, apart > 0.1


@jax.jit
@jax.vmap
def smooth_solved(data, start):
    none = jnp.zeros(0, start.dtype)
    return minimise(lambda x: smooth_cost(data, x), lambda x: Constraints(smooth_bounds(data, x), none), start)


@types
@pytest.mark.parametrize("far", [0.0, pytest.param(1.0, marks=pytest.mark.slow), 10.0])
def test_convex_programmes_from_near_and_far(dtype, far):
    data, x, nu, independent = smooth_programmes()
    start = far * np.random.default_rng(6).normal(size=x.shape)
    with jax.enable_x64(dtype == "float64"):
        found = smooth_solved(*jax.tree.map(lambda part: jnp.asarray(part, dtype), (data, start)))
    found = jax.tree.map(np.asarray, found)
    ours, multipliers = np.abs(found.x - x).max(1), np.abs(found.nu - nu).max(1)
    ok = found.converged
    assert ok.mean() >= (1 if far < 10 else 0.97)  # from 10 away the exponentials are up to 1e10
    if dtype == "float64":
        assert ours[ok].max() < 1e-6 and ours[ok & independent].max() < 1e-9
        assert multipliers[ok & independent].max() < 1e-8
        assert np.array_equal((found.nu > 1e-6)[ok & independent], (nu > 0)[ok & independent])
    else:
        assert np.mean(ours < 1e-3) >= 0.95
    assert np.all(found.nu >= 0)


def test_convex_programmes_against_slsqp(x64):
    """Without the solution being built in: the same lanes with other linear terms."""
    data, x, *_ = smooth_programmes(n=20)
    data = (*data[:2], data[2] + np.random.default_rng(7).normal(size=x.shape), *data[3:])
    found = smooth_solved(data, np.zeros_like(x))
    assert found.converged.all()
    for i in range(len(x)):
        own = jax.tree.map(lambda part, i=i: part[i], data)
        rows, target, tilt, steep, centre, right = own
        theirs = minimize(
            lambda z: np.sum(np.exp(rows @ z)) + np.sum((z - target) ** 4) / 4 + tilt @ z,  # noqa: B023
            x[i],
            jac=lambda z: rows.T @ np.exp(rows @ z) + (z - target) ** 3 + tilt,  # noqa: B023
            constraints={
                "type": "ineq",
                "fun": lambda z: right - np.exp(steep @ z) - np.sum((z - centre) ** 2, -1) / 2,  # noqa: B023
                "jac": lambda z: -np.exp(steep @ z)[:, None] * steep - (z - centre),  # noqa: B023
            },
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(found.x[i], theirs.x, atol=1e-5)
        np.testing.assert_allclose(smooth_cost(own, found.x[i]), theirs.fun, rtol=1e-8)


NONLINEAR = {
    # cost, constraints, start, solution, nu, mu
    "along a circle": (
        lambda x: 2 * (x @ x - 1) - x[0],
        lambda x: Constraints(jnp.zeros(0, x.dtype), (x @ x - 1)[None]),
        [0.8, 0.6], [1, 0], [], [-1.5],
    ),
    "a valley in a disc": (
        lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
        lambda x: Constraints((x @ x - 2)[None], jnp.zeros(0, x.dtype)),
        [-1.9, 2.0], [1, 1], [0], [],
    ),
    "a valley, no constraint": (
        lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
        lambda x: Constraints(jnp.zeros(0, x.dtype), jnp.zeros(0, x.dtype)),
        [-1.2, 1.0], [1, 1], [], [],
    ),
    "a fourth power from afar": (
        lambda x: jnp.sum((x - 2) ** 4),
        lambda x: Constraints(x - 1, jnp.zeros(0, x.dtype)),
        [1e3, -1e3], [1, 1], [4, 4], [],
    ),
    "a fourth power from afar, no constraint": (
        lambda x: jnp.sum((x - 2) ** 4 + (x - 2) ** 2),
        lambda x: Constraints(jnp.zeros(0, x.dtype), jnp.zeros(0, x.dtype)),
        [1e3, -1e3], [2, 2], [], [],
    ),
    "a saddle is left": (
        lambda x: -(x[0] ** 2) + x[1] ** 2 + 0.1 * x[0],
        lambda x: Constraints(jnp.concatenate([x - 1, -1 - x]), jnp.zeros(0, x.dtype)),
        [0.0, 0.5], [-1, 0], [0, 0, 2.1, 0], [],
    ),
}  # fmt: skip


@types
@pytest.mark.parametrize("name", NONLINEAR)
def test_known_minima(name, dtype):
    cost, constraints, start, x, nu, mu = NONLINEAR[name]
    with jax.enable_x64(dtype == "float64"):
        found = jax.jit(lambda start: minimise(cost, constraints, start))(jnp.asarray(start, dtype))
    near = 1e-6 if dtype == "float64" else 2e-3
    assert found.converged
    for ours, expected in ((found.x, x), (found.nu, nu), (found.mu, mu)):
        np.testing.assert_allclose(ours, expected, rtol=near, atol=near)


def test_local_minima_of_a_wavy_cost(x64):
    """From 200 starts, inside and outside of a disc cut by a line: first-order conditions, no worse than the start."""

    def cost(x):
        return jnp.sum(jnp.cos(3 * x)) + x[0] * x[1] + 0.1 * x @ x

    def bounds(x):
        return jnp.stack([x @ x - 4, x[0] + x[1] - 1, -(x[0] ** 2) - x[1] + 1 - 2.5])

    starts = 3 * np.random.default_rng(8).normal(size=(200, 2))
    none = jnp.zeros(0)
    solve = lambda z: minimise(cost, lambda x: Constraints(bounds(x), none), z)  # noqa: E731
    found = jax.jit(jax.vmap(solve))(starts)
    assert found.converged.mean() >= 0.98
    nearest = jax.jit(
        jax.vmap(lambda z: minimise(lambda x: jnp.sum((x - z) ** 2), lambda x: Constraints(bounds(x), none), z))
    )(starts)
    found, nearest = (jax.tree.map(np.asarray, part) for part in (found, nearest))
    ends = found.x[found.converged]
    assert len(np.unique(ends.round(4), axis=0)) >= 3
    # The way to a minimum leads through the inside, so a few end in another valley than the start's.
    better = [cost(x) <= cost(begin) + 1e-6 for x, begin in zip(ends, nearest.x[found.converged], strict=True)]
    assert np.mean(better) >= 0.9
    for x, nu in zip(ends, found.nu[found.converged], strict=True):
        g, by_g = np.asarray(bounds(x)), np.stack([2 * x, [1.0, 1.0], [-2 * x[0], -1.0]])
        slope = -3 * np.sin(3 * x) + x[::-1] + 0.2 * x
        assert np.abs(slope + by_g.T @ nu).max() < 1e-7 and g.max() < 1e-7 and nu.min() >= 0
        assert np.abs(np.minimum(-g, nu)).max() < 1e-6
        # A minimum, not a saddle: no curvature that is negative along what keeps the active constraints.
        hessian = np.diag(-9 * np.cos(3 * x) + 0.2) + np.array([[0, 1], [1, 0]])
        hessian = hessian + 2 * nu[0] * np.eye(2) + nu[2] * np.diag([-2.0, 0])
        _, sizes, rows = np.linalg.svd(np.concatenate([by_g[nu > 1e-6], np.zeros((2, 2))]))
        along = rows[np.sum(sizes > 1e-9) :]
        assert len(along) == 0 or np.linalg.eigvalsh(along @ hessian @ along.T).min() > -1e-6


def test_a_batch_is_its_lanes(x64):
    """As by itself, to rounding: other shapes sum in another order."""
    data, x, *_ = smooth_programmes(n=6)
    together = smooth_solved(data, np.zeros_like(x))
    for i in range(len(x)):
        alone = smooth_solved(*jax.tree.map(lambda part, i=i: part[i : i + 1], (data, np.zeros_like(x))))
        np.testing.assert_allclose(together.x[i], alone.x[0], rtol=0, atol=1e-12)


def test_steps_and_tolerance(x64):
    cost, constraints, start, *_ = NONLINEAR["a valley, no constraint"]
    solve = jax.jit(lambda z, n, tol: minimise(cost, constraints, z, max_steps=n, tolerance=tol))
    few, many, loose = (solve(jnp.array(start), n, tol) for n, tol in ((3, 1e-8), (100, 1e-8), (100, 1e-2)))
    assert few.iterations == 3 and not few.converged and few.residual > 1e-8
    assert many.converged and loose.converged and loose.iterations <= many.iterations
