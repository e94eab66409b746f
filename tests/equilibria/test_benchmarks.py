"""Benchmarks against golden values, the literal definitions in exact rationals, and what follows from them."""

import functools
import json
from fractions import Fraction
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.equilibria.benchmarks import (
    Benchmark,
    alignment_constant,
    self_tolerant_benchmarks,
    stackelberg_benchmarks,
    tolerant_benchmarks,
)
from stackjax.equilibria.commitment import pure_commitment
from tests.transcriptions import benchmarks as literal

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "bandit_benchmarks.json").read_text())["instances"]
TOLERANT = (tolerant_benchmarks, self_tolerant_benchmarks)
SHAPES = ((4, 2), (3, 4))
PER_SHAPE = 150  # 300 instances

each_type = pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-9), (False, 1e-6)], ids=["float64", "float32"])


def arrays(fractions):
    return np.array(fractions, dtype=float)


def everything(U1, U2, gamma):
    """What the four functions say of a batch of instances."""
    return {
        "stackelberg": stackelberg_benchmarks(U1, U2),
        "tolerant": tolerant_benchmarks(U1, U2, gamma),
        "self": self_tolerant_benchmarks(U1, U2, gamma),
        "alignment": alignment_constant(U1, U2),
    }


def check(found, name, values, epsilons, tolerance):
    assert found[name].values.dtype == (jnp.float64 if tolerance == 1e-9 else jnp.float32)
    np.testing.assert_allclose(found[name].values, values, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found[name].epsilons, epsilons, rtol=0, atol=tolerance)


def check_alignment(found, expected, instances, tolerance):
    """To what the inputs' rounding allows: a ratio of differences of payoffs up to 1, each known to `rounding`."""
    rounding = tolerance / 4
    for ours, exact, matrices in zip(found["alignment"], expected, instances, strict=True):
        differences = np.concatenate([np.abs(np.subtract.outer(U, U)).ravel() for U in map(np.ravel, matrices)])
        smallest = np.min(differences[differences > 1e-6], initial=1.0)
        assert float(ours) == pytest.approx(exact, rel=rounding / smallest)


@functools.cache
def rational(rows, columns):
    """Instances in small rationals, most of them with many ties, and gamma often exactly at a breakpoint."""
    rng = np.random.default_rng([rows, columns])
    instances = []
    for _ in range(PER_SHAPE):
        scale = int(rng.choice([2, 3, 5, 6, 7, 10]))
        low = -scale if rng.random() < 0.3 else 0
        denominators = (scale, scale if rng.random() < 0.7 else 2 * scale)
        U1, U2 = (
            [[Fraction(int(n), d) for n in row] for row in rng.integers(low, scale + 1, (rows, columns))]
            for d in denominators
        )
        if rng.random() < 0.1:  # in effect one row
            U1, U2 = U1[:1] * rows, U2[:1] * rows
        elif rng.random() < 0.1:  # in effect one column
            U1, U2 = ([row[:1] * columns for row in U] for U in (U1, U2))
        instances.append((U1, U2, Fraction(int(rng.integers(0, scale + 1)), int(rng.choice([1, 2])) * scale)))
    return instances


@functools.cache
def batch(rows=3, columns=4):
    return tuple(arrays(part) for part in zip(*rational(rows, columns), strict=True))


# What is known


def named_instances():
    """The spec's table: `(U1, U2, gamma, values)` with the values that it says."""
    for d in (0.01, 0.04, 0.1):
        for reply, stackelberg in ((0.0, (0.6, d)), (2 * d, (0.5, 0.6))):  # impossibility I, J
            u = [[0.6, 0.2], [0.5, 0.4]], [[d, reply], [0.6, 0.4]]
            yield *u, 0.05, {"stackelberg": stackelberg}
        for reply, tolerant in ((0.0, (0.5 + d, d)), (2 * d, (0.5, 3 * d))):  # lower_bound I, J
            u = [[0.5 + d, 0], [0.5, 0.5]], [[d, reply], [3 * d, 3 * d]]
            yield *u, 0.05, {"stackelberg": tolerant, "tolerant": tolerant}
    for u2 in ([[0.4, 0.2], [0.3, 0.1]], [[0.4, 0], [0.2, 0.1]]):  # etc_failure, etc_failure2
        values = (0.6, 0.4)
        yield [[0.6, 0.2], [0.5, 0.4]], u2, 0.05, {"stackelberg": values, "tolerant": values}
    trap = [[1, 0], [0.8, 0.8]], [[0.5, 0.4], [0, 0]]  # self_trap2
    yield *trap, 0.2, {"stackelberg": (1, 0.5), "tolerant": (0.9, 0.1), "self": (0.1, 0.1)}
    yield [[0.9, 0.3], [0.6, 0.5]], [[0.7, 0.4], [0.55, 0.5]], 0.05, {"alignment": 2}  # aligned


def nearly_tied(dtype):
    """`(U1, U2, gamma), scale` with what is equal but for the last bits: gaps, the leader's values, eps and gamma.

    If no one errs, both rows are worth 0.25 to the leader, and the follower's first three replies are tied.
    """
    noise = (1 + 2 * np.finfo(dtype).eps * np.arange(-2, 3).astype(dtype)).astype(dtype)
    for scale in (1e-6, 1.0, 1e6):
        for up, down in ((1, 3), (3, 1), (0, 4), (4, 0)):
            u1 = np.array([[0.75, 0.25, 0], [0.25, 1, 0.25]], dtype) * noise[[[2, up, 2], [down, 2, down]]]
            u2 = np.array([[1, 1, 0.5], [0.5, 0.5, 0.5]], dtype) * noise[[[up, down, 2], [down, 2, up]]]
            yield tuple(dtype(scale) * x for x in (u1, u2, noise[down] / 2)), scale


def hardly_different(tolerance):
    """`(U1, U2, gamma)` with a better reply that counts as a tie, and with one that doesn't."""
    for gap in (tolerance / 2, 2 * tolerance):
        yield [[1, 0], [0, 0]], [[1, 1 - gap], [1, 1]], 0.0


@functools.cache
def known(x64):
    """All four functions of golden, named, nearly tied, and hardly different instances: one batch, split again."""

    def padded(U):  # to one shape, by arms that are there already
        return np.pad(np.array(U, float), [(0, 8 - n) for n in np.shape(U)], "edge")

    parts = [
        [(golden["U1"], golden["U2"], golden["gamma"]) for golden in GOLDEN],
        [row[:3] for row in named_instances()],
        [instance for instance, _ in nearly_tied(np.float64 if x64 else np.float32)],
        list(hardly_different(1e-9 if x64 else 1e-6)),
    ]
    U1, U2, gamma = zip(*(instance for part in parts for instance in part), strict=True)
    with jax.enable_x64(x64):
        found = everything(np.array([*map(padded, U1)]), np.array([*map(padded, U2)]), np.array(gamma, float))
    ends = np.cumsum([len(part) for part in parts])[:-1]
    leaves, structure = jax.tree.flatten(found)
    split = zip(*(np.split(np.asarray(leaf), ends) for leaf in leaves), strict=True)
    return [jax.tree.unflatten(structure, part) for part in split]


@each_type
def test_golden_values(x64, tolerance):
    found, *_ = known(x64)
    take = lambda field: [golden[field] for golden in GOLDEN]  # noqa: E731
    check(found, "stackelberg", [(g["u1"], g["u2"]) for g in take("stackelberg")], 0, tolerance)
    check(found, "tolerant", take("tol"), take("tol_eps"), tolerance)
    check(found, "self", take("self_tol"), take("self_eps"), tolerance)
    expected = [np.inf if constant is None else constant for constant in take("Lstar")]
    check_alignment(found, expected, zip(take("U1"), take("U2"), strict=True), tolerance)


@each_type
def test_named_instances(x64, tolerance):
    _, found, *_ = known(x64)
    for i, (*_, values) in enumerate(named_instances()):
        for name, value in values.items():
            ours = found[name][i] if name == "alignment" else found[name].values[i]
            np.testing.assert_allclose(ours, value, rtol=0, atol=(10 if name == "alignment" else 1) * tolerance)


@each_type
def test_ties_survive_rounding(x64, tolerance):
    *_, found, _ = known(x64)
    scale = np.array([scale for _, scale in nearly_tied(np.float32)])[:, None]
    for name, values in (("stackelberg", (0.25, 1)), ("tolerant", (0.25, 0.5)), ("self", (0.25, 0.5))):
        values = np.tile(values, (len(scale), 1))
        np.testing.assert_allclose(found[name].values / scale, values, rtol=0, atol=tolerance)
        np.testing.assert_allclose(found[name].epsilons / scale, 0, rtol=0, atol=tolerance)
    assert np.isinf(found["alignment"]).all()  # the leader isn't indifferent between two outcomes that are tied in U2


@each_type
def test_the_tolerance_is_what_it_is_said_to_be(x64, tolerance):
    *_, found = known(x64)
    for name in ("stackelberg", "tolerant", "self"):
        np.testing.assert_allclose(found[name].values[:, 0], [0, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_random_instances_against_the_definitions_in_rationals(x64, shape):
    instances = rational(*shape)
    found = everything(*batch(*shape))
    pairs = [instance[:2] for instance in instances]
    check(found, "stackelberg", arrays([literal.stackelberg(*pair) for pair in pairs]), 0, 1e-9)
    check_alignment(found, [float(literal.alignment(*pair)) for pair in pairs], map(arrays, pairs), 1e-9)
    for name, definition in (("tolerant", literal.tolerant), ("self", literal.self_tolerant)):
        expected = np.array([definition(*instance) for instance in instances])
        assert not any(eps is None for eps in expected[..., 1].flat)  # infima are attained
        check(found, name, arrays(expected[..., 0]), arrays(expected[..., 1]), 1e-9)


def test_the_equilibrium_is_the_weak_pure_commitment(x64):
    U1, U2, _ = batch()
    values = [
        (found.leader_value, found.follower_value)
        for found in (pure_commitment(*pair, "weak") for pair in zip(U1, U2, strict=True))
    ]
    np.testing.assert_allclose(stackelberg_benchmarks(U1, U2).values, values, rtol=0, atol=1e-12)


# What follows from the definitions


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_grid_of_epsilons_errs_upward_by_less_than_its_step(x64, steps):
    """If gamma is on the grid: else what is attained beyond its last point may be missed by more."""
    errors = []
    U1, U2, gammas = batch()
    ours = [np.asarray(method(U1, U2, gammas).values) for method in TOLERANT]
    for i, (u1, u2, gamma) in enumerate(rational(3, 4)[:20]):
        grid = [gamma * k / steps for k in range(steps + 1)]
        objectives = (
            functools.partial(literal.leader_objective, u1, u2),
            functools.partial(literal.follower_objective, u1, u2),
            functools.partial(literal.self_objective, u1, u1, u2),
            functools.partial(literal.self_objective, u2, u1, u2),
        )
        for objective, exact in zip(objectives, np.concatenate([values[i] for values in ours]), strict=True):
            errors.append(float(min(objective(eps) + eps for eps in grid)) - exact)
            assert -1e-9 <= errors[-1] < max(float(gamma) / steps, 1e-9)
    assert max(errors) > 1e-3  # the grid does err


def test_order_and_monotonicity_in_gamma(x64):
    U1, U2, _ = batch()
    stackelberg = np.asarray(stackelberg_benchmarks(U1, U2).values)
    gamma = np.concatenate([np.linspace(0, 1, 21), [2, 3, 100]])
    found = [method(U1[:, None], U2[:, None], gamma) for method in TOLERANT]
    tolerant, self_tolerant = (jax.tree.map(np.asarray, each) for each in found)
    for found in (tolerant, self_tolerant):
        assert found.values.shape == found.epsilons.shape == (PER_SHAPE, len(gamma), 2)
        changes = np.diff(found.values, axis=1)
        assert changes.max() <= 1e-9 and changes.min() < -0.1
        assert (found.epsilons >= 0).all() and (found.epsilons <= gamma[:, None]).all()
        assert (found.epsilons[:, 0] == 0).all()
        np.testing.assert_array_equal(found.values[:, -1], found.values[:, -2])  # beyond all differences of payoffs
    assert (self_tolerant.values <= tolerant.values + 1e-9).all()
    assert (tolerant.values <= stackelberg[:, None] + 1e-9).all()
    np.testing.assert_allclose(tolerant.values[:, 0, 0], stackelberg[:, 0], atol=1e-12)  # not so for the follower


def test_affine_changes(x64):
    """Of payoffs and gamma together by a factor, of either player's payoffs by a constant, of U2 by one a row."""
    U1, U2, gamma = batch()
    rows = np.random.default_rng(0).uniform(-1, 1, (PER_SHAPE, 3, 1))  # a constant for each row
    for method in TOLERANT:
        values, epsilons = (np.asarray(part) for part in method(U1, U2, gamma))
        same = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-9)
        for factor in (1e-6, 3.0, 1e6):
            scaled = method(factor * U1, factor * U2, factor * gamma)
            same(np.asarray(scaled.values) / factor, values)
            same(np.asarray(scaled.epsilons) / factor, epsilons)
        shifted = method(U1 - 0.7, U2 + 2.3, gamma)
        same(np.asarray(shifted.values) - [-0.7, 2.3], values)
        same(shifted.epsilons, epsilons)
        shifted = method(U1, U2 + rows, gamma)
        same(shifted.values[:, 0], values[:, 0])
        same(shifted.epsilons[:, 0], epsilons[:, 0])
        assert np.abs(shifted.values[:, 1] - values[:, 1]).max() > 0.1  # the follower compares rows
        assert np.abs(method(U1, 2 * U2, gamma).values[:, 0] - values[:, 0]).max() > 0.1  # eps is in units of both
    values = stackelberg_benchmarks(U1, U2).values  # here units don't matter
    changed = stackelberg_benchmarks(1e3 * U1 + 1, 1e-3 * U2 - 1).values
    np.testing.assert_allclose((np.asarray(changed) - [1, -1]) / [1e3, 1e-3], values, rtol=0, atol=1e-9)


def test_the_order_of_actions_does_not_matter(x64):
    U1, U2, gamma = batch()
    rng = np.random.default_rng(1)
    order = rng.permuted(np.tile(np.arange(4), (PER_SHAPE, 3, 1)), axis=2)  # another one in each row
    rows = np.argsort(rng.random((PER_SHAPE, 3)), axis=1)
    moved = [np.take_along_axis(np.take_along_axis(U, order, axis=2), rows[..., None], axis=1) for U in (U1, U2)]
    for method in TOLERANT:
        for ours, expected in zip(method(*moved, gamma), method(U1, U2, gamma), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_alignment_constant():
    rng = np.random.default_rng(2)
    U = rng.integers(-8, 9, (PER_SHAPE, 3, 4)).astype(float)
    for ratio in (0.25, 1.0, 4.0):
        np.testing.assert_array_equal(alignment_constant(U, 2 - ratio * U), max(ratio, 1 / ratio))
    V = U + rng.integers(1, 4, U.shape) / 8
    found = alignment_constant(U, V)
    np.testing.assert_array_equal(found, alignment_constant(V, U))
    np.testing.assert_allclose(found, alignment_constant(8 * U - 1, 8 * V + 3), rtol=1e-6)
    for U1, U2, expected in (
        ([[1, 1]], [[2, 2]], 1),  # no pair to compare
        ([[5]], [[7]], 1),
        ([[1, 2]], [[3, 3]], np.inf),
        ([[3, 3]], [[1, 2]], np.inf),
        ([[0, 1, 1]], [[0, 3, 3]], 3),  # 0/0 is skipped,
        ([[0, 1, 1 + 2**-22]], [[0, 3, 3]], 3),  # and so is what is 0/0 but for rounding
    ):
        assert float(alignment_constant(U1, U2)) == expected


# Batches, transformations and types


mapped = jax.jit(jax.vmap(everything))


def test_a_batch_is_a_loop(x64):
    instances = batch()
    together = everything(*instances)
    assert all(isinstance(together[name], Benchmark) for name in ("stackelberg", "tolerant", "self"))
    jitted = jax.jit(everything)
    one_by_one = [jitted(*instance) for instance in zip(*instances, strict=True)]
    for other in (jax.tree.map(lambda *x: np.array(x), *one_by_one), mapped(*instances)):
        chex.assert_trees_all_close(other, together, rtol=0, atol=1e-12)
    nothing = everything(*(part[:0] for part in instances))
    assert {x.shape for x in jax.tree.leaves(nothing)} == {(0, 2), (0,)}


def test_inside_of_jit_what_cannot_be_refused_is_nan(x64):
    U1, U2, gamma = (part.copy() for part in batch())
    U1[0, 1, 1], U1[1, 0, 0], U2[2, 2, 3], gamma[3] = np.nan, np.inf, -np.inf, -0.1
    found = mapped(U1, U2, gamma)
    for name, invalid in (("tolerant", 4), ("self", 4), ("stackelberg", 3), ("alignment", 3)):
        for part in jax.tree.leaves(found[name]):
            assert np.isnan(part[:invalid]).all() and not np.isnan(part[invalid:]).any()


def test_types(x64):
    U1, U2, gamma = batch()
    whole = np.ones((PER_SHAPE, 3, 4), int)
    for first, second, errors, expected in (
        (U1.tolist(), U2, gamma.tolist(), jnp.float64),
        (whole, jnp.asarray(whole), whole[:, 0, 0], jnp.float64),
        (jnp.float32(U1), U2, jnp.float32(gamma), jnp.float64),
        (np.float32(U1), jnp.float32(U2), 0.25, jnp.float32),
        (jnp.bfloat16(U1), jnp.float16(U2), np.float64(0.1), jnp.float32),
    ):
        found = tolerant_benchmarks(first, second, errors)
        assert found.values.dtype == found.epsilons.dtype == expected
        assert found.values.shape == found.epsilons.shape == (PER_SHAPE, 2)


# Bad input

SQUARE = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("method", [*TOLERANT, stackelberg_benchmarks, alignment_constant])
@pytest.mark.parametrize(
    ("U1", "U2", "error", "message"),
    [
        (SQUARE, [[1.0, 0.0]], ValueError, r"U1, U2: expected the same shape .* got \(2, 2\) and \(1, 2\)"),
        (np.ones((3, 2, 2)), SQUARE, ValueError, r"U1, U2: expected the same shape"),
        ([1.0, 2.0], SQUARE, ValueError, r"U1: expected an array \[..., A, B\], got the shape \(2,\)"),
        (SQUARE, 1.0, ValueError, r"U2: expected an array \[..., A, B\], got the shape \(\)"),
        (np.ones((2, 0)), np.ones((2, 0)), ValueError, r"U1: expected at least one action a player"),
        ([[np.nan, 1], [0, 1]], SQUARE, ValueError, r"U1: expected finite numbers"),
        (SQUARE, jnp.array([[1, 2], [3, -jnp.inf]]), ValueError, r"U2: expected finite numbers"),
        ([[1, 2], [3]], SQUARE, TypeError, r"U1: expected an array of numbers"),
        (SQUARE, [[1, 2j], [0, 1]], TypeError, r"U2: expected real numbers"),
        (SQUARE, np.eye(2, dtype=bool), TypeError, r"U2: expected real numbers"),
        ("payoffs", SQUARE, TypeError, r"U1: expected real numbers"),
        (None, SQUARE, TypeError, r"U1: expected real numbers"),
    ],
)
def test_bad_payoffs_are_refused_by_name(method, U1, U2, error, message):
    with pytest.raises(error, match=message):
        method(U1, U2, 0.1) if method in TOLERANT else method(U1, U2)


@pytest.mark.parametrize("method", TOLERANT)
@pytest.mark.parametrize(
    ("gamma", "error", "message"),
    [
        (-0.1, ValueError, r"gamma: expected values in \[0, inf\)"),
        ([0.1, -0.1, 0.1], ValueError, r"gamma: expected values in \[0, inf\)"),
        (jnp.array([0.1, jnp.nan, 0.1]), ValueError, r"gamma: expected values in \[0, inf\)"),
        (np.inf, ValueError, r"gamma: expected values in \[0, inf\)"),
        ([0.1, 0.2], ValueError, r"gamma: .* broadcasts against the instances' leading axes \(3,\), got .* \(2,\)"),
        (True, TypeError, r"gamma: expected real numbers"),
        (1j, TypeError, r"gamma: expected real numbers"),
        ("small", TypeError, r"gamma: expected real numbers"),
        (None, TypeError, r"gamma: expected real numbers"),
    ],
)
def test_bad_gamma_is_refused_by_name(method, gamma, error, message):
    with pytest.raises(error, match=message):
        method(np.ones((3, 2, 2)), np.ones((3, 2, 2)), gamma)


def test_shapes_are_checked_inside_of_jit_too():
    with pytest.raises(ValueError, match="U1, U2: expected the same shape"):
        jax.jit(stackelberg_benchmarks)(jnp.ones((2, 2)), jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"gamma: .* broadcasts"):
        jax.jit(tolerant_benchmarks)(jnp.ones((2, 2, 2)), jnp.ones((2, 2, 2)), jnp.ones(3))
