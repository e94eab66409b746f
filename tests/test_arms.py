"""The verbs of bandit learners do what plain indexing does, for tables of every size, however they are batched."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.arms import Row, best, is_row, largest, pick, put, rarely, read, write

SIZES = [1, 2, 4, 5, 16, 17, 100]  # up to 4, 16 and more are treated differently
R = 6  # replicates
each_size = pytest.mark.parametrize("n", SIZES)


def everyway(function, *arguments, ways=None):
    """Axes, arguments and values for every way to batch the arguments, and some to batch them twice: one program.

    An argument that isn't batched is the first of its batch.
    """
    k = len(arguments)
    once = [w for w in (ways or itertools.product((0, None), repeat=k)) if 0 in w]
    nested = [(w, w) for w in once[:2]]
    if k > 1:  # one batch around another one: of the first argument, and of the others
        nested += [((0, *[None] * (k - 1)), (None, *[0] * (k - 1))), ((None, *[0] * (k - 1)), (0, *[None] * (k - 1)))]

    def given(*axes):
        return [
            np.stack([x, x[::-1]]) if all(a) and len(a) == 2 else x if any(a) else x[0]
            for x, a in zip(arguments, zip(*[[a == 0 for a in way] for way in axes], strict=True), strict=True)
        ]

    plain = [x[0] for x in arguments]
    cases = [((), plain)] + [((w,), given(w)) for w in once] + [((u, v), given(u, v)) for u, v in nested]

    def values(given):
        return [
            functools.reduce(lambda f, axes: jax.vmap(f, axes), reversed(ways), function)(*some)
            for (ways, _), some in zip(cases, given, strict=True)
        ]

    return zip(cases, jax.tree.map(np.asarray, jax.jit(values)([some for _, some in cases])), strict=True)


def in_loops(function, ways, arguments):
    """What `vmap`s in these axes stand for, from the outermost on."""
    if not ways:
        return function(*[np.asarray(x) for x in arguments])
    axes, *inner = ways
    size = next(len(x) for a, x in zip(axes, arguments, strict=True) if a == 0)
    rows = [[x[r] if a == 0 else x for a, x in zip(axes, arguments, strict=True)] for r in range(size)]
    return jax.tree.map(lambda *xs: np.stack(xs), *[in_loops(function, inner, row) for row in rows])


def assert_everyway(function, plain, *arguments, ways=None):
    """That the function is what `plain` is on NumPy arrays, one replicate after the other."""
    for (axes, some), got in everyway(function, *arguments, ways=ways):
        got, expected = jax.tree.leaves(got), jax.tree.leaves(in_loops(plain, axes, [np.asarray(x) for x in some]))
        assert len(got) == len(expected)
        for x, y in zip(got, expected, strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            np.testing.assert_array_equal(x, y, err_msg=str(axes))


def data(n, dtype=np.float32):
    """A table for each replicate, arms of which the first and the last are some, and values."""
    rng = np.random.default_rng(n)
    i = rng.integers(0, n, R).astype(np.int32)
    i[0], i[1] = n - 1, 0
    if dtype == np.bool_:
        return rng.uniform(size=(R, n)) < 0.5, i, rng.uniform(size=R) < 0.5
    return (100 * rng.normal(size=(R, n))).astype(dtype), i, (100 * rng.normal(size=R)).astype(dtype)


def replaced(x, i, value):
    x = x.copy()
    x[i] = value
    return x


@each_size
def test_an_entry_is_read_and_written(n):
    assert_everyway(lambda x, i, v: (read(x, i), write(x, i, v)), lambda x, i, v: (x[i], replaced(x, i, v)), *data(n))


@pytest.mark.parametrize(("n", "dtype"), [(3, np.int32), (9, np.bool_), (20, np.float64), (7, np.float64)], ids=str)
def test_tables_keep_their_type(x64, n, dtype):
    def both(x, i, v):
        return read(x, i), write(x, i, v)

    ways = [(0, 0, 0), (None, 0, 0)]
    assert_everyway(both, lambda x, i, v: (x[i], replaced(x, i, v)), *data(n, dtype), ways=ways)


@each_size
def test_the_best_arm_is_the_first_of_the_largest(n):
    rng = np.random.default_rng(n)
    ties = rng.integers(-1, 2, size=(R, n)).astype(np.float32)
    ties[0] = 0.0
    ties[1, -1] = np.inf
    ties[2] = -np.inf
    ties[3, :: max(1, n // 2)] = 1e30
    whole = ties.clip(-9, 9).astype(np.int32)
    plain = np.random.default_rng(1).normal(size=(R, n)).astype(np.float32)
    for x in (ties, whole, plain) if n < 6 else (ties,):
        assert_everyway(
            lambda x: (best(x), largest(x)) if n < 20 else (best(x), x[0]),
            lambda x: (np.argmax(x).astype(np.int32), x.max() if n < 20 else x[0]),
            x,
        )


@pytest.mark.parametrize("n", [2, 5])
def test_zeros_of_either_sign_are_a_tie(n):
    x = np.zeros((R, n), np.float32)
    x[::2, 0] = -0.0
    np.testing.assert_array_equal(jax.vmap(best)(x), np.zeros(R, np.int32))


class Stats(NamedTuple):
    count: object
    mean: object


@each_size
def test_pick_and_put_are_of_every_array_of_a_pytree(n):
    x, i, value = data(n)
    counts = np.arange(R * n, dtype=np.int32).reshape(R, n)

    def verbs(counts, x, i, value):
        stats = Stats(counts, {"a": x, "b": (x + 1,)})
        cell = pick(stats, i)
        new = Stats(cell.count + 1, {"a": value, "b": (value,)})
        return cell, put(stats, i, new)

    def plain(counts, x, i, value):
        cell = Stats(counts[i], {"a": x[i], "b": (x[i] + np.float32(1),)})
        more = replaced(x + np.float32(1), i, value)
        full = Stats(replaced(counts, i, counts[i] + 1), {"a": replaced(x, i, value), "b": (more,)})
        return cell, full

    got = jax.jit(jax.vmap(verbs))(counts, x, i, value)
    expected = [plain(*row) for row in zip(counts, x, i, value, strict=True)]
    jax.tree.map(lambda a, *b: np.testing.assert_array_equal(a, np.stack(b)), got, *expected)


def test_values_take_the_type_of_their_table(x64):
    table = {"n": jnp.zeros(3, jnp.int32), "mean": jnp.zeros(3, jnp.float32)}
    new = put(table, jnp.int32(1), {"n": 2, "mean": np.float64(0.5)})
    assert (new["n"].dtype, new["mean"].dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(new["n"], [0, 2, 0])
    np.testing.assert_array_equal(new["mean"], [0, 0.5, 0])


@pytest.mark.parametrize(("rows", "n"), [(1, 1), (2, 2), (3, 5), (4, 4), (17, 1), (1, 17), (10, 10)])
def test_a_row_is_read_and_written_like_a_table_of_its_own(rows, n):
    rng = np.random.default_rng(10 * rows + n)
    tables = rng.normal(size=(R, rows * n)).astype(np.float32)
    arms, values = data(n)[1:]
    at = rng.integers(0, rows, R).astype(np.int32)
    at[0] = rows - 1

    def verbs(table, row, arm, value):
        view = Row(table, row, n)
        assert is_row(view) and not is_row(table)
        new = put({"x": view}, arm, {"x": value})["x"]
        assert is_row(new)
        return view[:], pick({"x": view}, arm)["x"], new.table, new[:]

    def plain(table, row, arm, value):
        grid = table.reshape(rows, n)
        new = grid.copy()
        new[row, arm] = value
        return grid[row], grid[row, arm], new.ravel(), new[row]

    ways = [(0, 0, 0, 0), (None, 0, 0, 0), (0, None, 0, 0)]
    assert_everyway(verbs, plain, tables, at, arms, values, ways=ways)


def test_a_row_is_read_as_a_whole():
    row = Row(jnp.arange(6.0), jnp.int32(1), 3)
    for wrong in (0, slice(0, 2), jnp.int32(1)):
        with pytest.raises(TypeError, match=r"x\[:\].*pick"):
            row[wrong]
    with pytest.raises(TypeError, match="pick"):
        sum(row)
    np.testing.assert_array_equal(row == 4, [False, True, False])
    np.testing.assert_array_equal(row != 4, [True, False, True])


def test_what_is_not_a_number_does_not_reach_other_replicates():
    @jax.jit
    @jax.vmap
    def verbs(x, i, value):
        return write(x, i, value), read(x, i), best(x)

    for n in (3, 9, 30):
        x, i, value = data(n)
        bad = x.copy()
        bad[2] = np.nan
        for got, wanted in zip(verbs(bad, i, value), verbs(x, i, value), strict=True):
            np.testing.assert_array_equal(np.delete(got, 2, 0), np.delete(wanted, 2, 0))


@pytest.mark.parametrize("size", [1, 7, 50])
@pytest.mark.parametrize("arms", [3, 20])
def test_rarely_changes_those_in_which_it_happens(size, arms):
    rng = np.random.default_rng(size)
    x = rng.normal(size=(size, arms)).astype(np.float32)
    happens, shift = rng.uniform(size=size) < 0.3, rng.normal(size=size).astype(np.float32)

    @jax.jit
    @jax.vmap
    def run(happens, shift, x):
        def change(stats):
            return {"x": stats["x"][:] * 0 + jnp.max(stats["x"][:]) + shift, "n": stats["n"] + 1}

        return rarely(happens, change, {"x": x, "n": jnp.int32(0)})

    found = run(happens, shift, x)
    expected = np.where(happens[:, None], x.max(1, keepdims=True) + shift[:, None], x)
    np.testing.assert_array_equal(found["x"], expected)
    np.testing.assert_array_equal(found["n"], happens.astype(int))


@pytest.mark.parametrize("arms", [2, 9])
def test_rarely_changes_one_row_of_a_table(arms):
    rng, size, rows = np.random.default_rng(0), 30, 4
    x = rng.normal(size=(size, rows, arms)).astype(np.float32)
    row, happens = rng.integers(rows, size=size), rng.uniform(size=size) < 0.5

    @jax.jit
    @jax.vmap
    def run(happens, row, x):
        view = Row(x.ravel(), row, arms)
        return rarely(happens, lambda view: -view[:], view).table.reshape(rows, arms)

    expected = x.copy()
    expected[happens, row[happens]] *= -1
    np.testing.assert_array_equal(run(happens, row, x), expected)


def test_rarely_without_a_batch_is_a_branch():
    stats = jnp.arange(3.0)
    np.testing.assert_array_equal(jax.jit(lambda h: rarely(h, lambda x: x + 1, stats))(True), stats + 1)
    np.testing.assert_array_equal(rarely(jnp.asarray(False), lambda x: x + 1, stats), stats)
