"""Least squares over the rows of active constraints: against NumPy, and against SciPy's non-negative least squares."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls

from stackjax._cones import multipliers_of, nonnegative_multipliers, shortest_change, without_rows

N, M, D = 200, 8, 5
types = pytest.mark.parametrize("dtype", ["float64", "float32"])


@functools.cache
def problems(kind):
    """Rows `[N, M, D]`, which of them count, and vectors; "dependent": rows that are sums of others, and repeated."""
    rng = np.random.default_rng(1)
    rows, vectors, active = rng.normal(size=(N, M, D)), rng.normal(size=(N, D)), rng.random((N, M)) < 0.4
    if kind == "dependent":
        rows[:, 1], rows[:, 2], rows[:, 3] = rows[:, 0], 2 * rows[:, 0], rows[:, 0] + rows[:, 4]
        rows[:, 5] = 0
        active |= rng.random((N, M)) < 0.4  # more than unknowns
    elif kind == "scaled":
        rows *= 10.0 ** rng.uniform(-3, 3, (N, M, 1))
    else:
        active &= np.cumsum(active, 1) <= D - 1
    return rows, active, vectors


@functools.cache
def found(kind, dtype):
    rows, active, vectors = problems(kind)
    values = np.random.default_rng(2).normal(size=(N, M))
    with jax.enable_x64(dtype == "float64"):
        rows, vectors, values = (jnp.asarray(part, dtype) for part in (rows, vectors, values))

        @jax.jit
        @jax.vmap
        def all_of(rows, active, vector, values):
            return {
                "multipliers": multipliers_of(rows, active, vector),
                "without": without_rows(rows, active, vector),
                "change": shortest_change(rows, active, values),
                "nonnegative": nonnegative_multipliers(rows, vector, active),
                "signed": nonnegative_multipliers(rows, vector, active, jnp.arange(M) % 4 == 0),
            }

        return jax.tree.map(np.asarray, all_of(rows, active, vectors, values)), np.asarray(values, np.float64)


@types
@pytest.mark.parametrize("kind", ["independent", "dependent"])
def test_least_squares(kind, dtype):
    ours, values = found(kind, dtype)
    near = {"float64": 1e-8, "float32": 2e-3}[dtype]
    for i, (rows, active, vector) in enumerate(zip(*problems(kind), strict=True)):
        kept = rows[active]
        singular = np.linalg.svd(kept, compute_uv=False) if len(kept) else np.ones(1)
        if singular[singular > 1e-9 * singular[0]][-1] < 0.1:  # ill-conditioned: in its own test
            continue
        inverse = np.linalg.pinv(kept, rcond=1e-9)
        shortest, nu = inverse.T @ vector, np.asarray(ours["multipliers"][i][active], np.float64)
        np.testing.assert_allclose(kept.T @ nu, kept.T @ shortest, rtol=near, atol=10 * near)
        if kind == "independent":
            np.testing.assert_allclose(nu, shortest, rtol=near, atol=10 * near)
        assert np.linalg.norm(nu) <= 1.2 * np.linalg.norm(shortest) + near
        assert np.all(ours["multipliers"][i][~active] == 0)
        np.testing.assert_allclose(ours["without"][i], vector - kept.T @ inverse.T @ vector, rtol=near, atol=near)
        if kind == "independent":
            np.testing.assert_allclose(ours["change"][i], inverse @ values[i][active], rtol=10 * near, atol=10 * near)
            np.testing.assert_allclose(kept @ ours["change"][i], values[i][active], rtol=10 * near, atol=10 * near)


@types
@pytest.mark.parametrize("kind", ["independent", "dependent"])
def test_a_projection_is_one(kind, dtype):
    """Idempotent, and orthogonal to what counts."""
    ours, _ = found(kind, dtype)
    near = {"float64": 1e-7, "float32": 5e-3}[dtype]
    rows, active, vectors = problems(kind)
    across = np.einsum("nmd,nd->nm", rows, ours["without"])
    assert np.abs(across[active]).max() < near
    assert np.all(np.linalg.norm(ours["without"], axis=1) <= np.linalg.norm(vectors, axis=1) + near)


@types
@pytest.mark.parametrize("kind", ["independent", "dependent", "scaled"])
def test_nonnegative_multipliers(kind, dtype):
    """What is left of the vector is unique; the multipliers too where rows are independent."""
    ours, _ = found(kind, dtype)
    near = {"float64": 1e-9, "float32": 2e-4}[dtype]
    for i, (rows, active, vector) in enumerate(zip(*problems(kind), strict=True)):
        nu = np.asarray(ours["nonnegative"][i], np.float64)
        assert np.all(nu >= 0) and np.all(nu[~active] == 0)
        theirs, left = nnls(rows[active].T, vector) if active.any() else (np.zeros(0), np.linalg.norm(vector))
        rest = vector - rows.T @ nu
        assert abs(np.linalg.norm(rest) - left) < near
        assert (
            np.max(rows[active] @ rest / np.maximum(1e-9, np.linalg.norm(rows[active], axis=1)), initial=0) < 5 * near
        )
        assert np.linalg.matrix_rank(rows[nu > 0]) == np.sum(nu > 0)
        if kind == "independent" and dtype == "float64":
            np.testing.assert_allclose(nu[active], theirs, rtol=1e-7, atol=1e-7)


@types
def test_some_of_either_sign(dtype):
    ours, _ = found("independent", dtype)
    near = {"float64": 1e-9, "float32": 2e-4}[dtype]
    signed = np.arange(M) % 4 == 0
    for i, (rows, active, vector) in enumerate(zip(*problems("independent"), strict=True)):
        nu = np.asarray(ours["signed"][i], np.float64)
        assert np.all(nu[active & ~signed] >= 0) and np.all(nu[~active] == 0)
        if active.any():
            low = np.where(signed[active], -np.inf, 0)
            best = lsq_linear(rows[active].T, vector, (low, np.inf), tol=1e-14, method="bvls")
            assert np.linalg.norm(vector - rows.T @ nu) <= np.sqrt(2 * best.cost) + near


def test_a_corner_of_more_bounds_than_coordinates(x64):
    """The bounds of a square, one three times and a corner cut: the vector lies in the cone, or it doesn't."""
    rows = jnp.array([[1.0, 0], [0, 1], [1, 1], [1, 0], [1, 0], [-1, 0], [0, -1]])
    everything = jnp.ones(7, bool)
    inside, outside = jnp.array([2.0, 1.0]), jnp.array([-1.0, 2.0])
    corner = everything.at[5:].set(False)
    nu = nonnegative_multipliers(rows, inside, corner)
    np.testing.assert_allclose(rows.T @ nu, inside, atol=1e-12)
    nu = nonnegative_multipliers(rows, outside, corner)
    np.testing.assert_allclose(outside - rows.T @ nu, [-1, 0], atol=1e-12)
    np.testing.assert_allclose(rows.T @ nonnegative_multipliers(rows, outside, everything), outside, atol=1e-12)


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_units_do_not_matter(x64, size):
    rows, active, vectors = (jnp.asarray(part[0]) for part in problems("independent"))
    plain = nonnegative_multipliers(rows, vectors, active)
    np.testing.assert_allclose(nonnegative_multipliers(size * rows, vectors, active), plain / size, rtol=1e-9)
    np.testing.assert_allclose(nonnegative_multipliers(rows, size * vectors, active), plain * size, rtol=1e-9)


def test_nothing_to_press_against(x64):
    vector, none = jnp.array([1.0, -2.0]), jnp.zeros((0, 2))
    assert nonnegative_multipliers(none, vector, jnp.zeros(0, bool)).shape == (0,)
    np.testing.assert_array_equal(without_rows(none, jnp.zeros(0, bool), vector), vector)
    rows, inactive = jnp.eye(2), jnp.zeros(2, bool)
    np.testing.assert_array_equal(nonnegative_multipliers(rows, vector, inactive), [0, 0])
    np.testing.assert_array_equal(without_rows(rows, inactive, vector), vector)
    np.testing.assert_array_equal(shortest_change(rows, inactive, vector), [0, 0])
    np.testing.assert_array_equal(nonnegative_multipliers(rows, jnp.zeros(2), ~inactive), [0, 0])
    np.testing.assert_array_equal(nonnegative_multipliers(jnp.zeros((2, 2)), vector, ~inactive), [0, 0])


@pytest.mark.parametrize("f", [multipliers_of, without_rows], ids=lambda f: f.__name__)
def test_derivatives(x64, f):
    """Against central differences, in rows and vector."""
    rows, active, vectors = (part[:5] for part in problems("independent"))
    rng, h = np.random.default_rng(3), 1e-6
    for A, a, v in zip(rows, active, vectors, strict=True):
        to_A, to_v = rng.normal(size=A.shape), rng.normal(size=v.shape)
        _, slope = jax.jvp(lambda A, v, a=a: f(A, a, v), (A, v), (to_A, to_v))
        ahead, behind = (f(A + s * h * to_A, a, v + s * h * to_v) for s in (1, -1))
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-6)
        w = rng.normal(size=np.shape(slope))
        by_A, by_v = jax.grad(lambda A, v, a=a, w=w: w @ f(A, a, v), (0, 1))(A, v)
        np.testing.assert_allclose(np.sum(by_A * to_A) + by_v @ to_v, w @ slope, rtol=1e-9, atol=1e-10)


def test_which_bounds_press_has_no_derivative(x64):
    rows, active, vectors = (jnp.asarray(part[0]) for part in problems("independent"))
    slope = jax.jacfwd(lambda v: nonnegative_multipliers(rows, v, active))(vectors)
    np.testing.assert_array_equal(slope, np.zeros((M, D)))
