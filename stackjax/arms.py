"""The verbs of a bandit learner: `pick`, `put`, `best`.

A learner keeps statistics of its arms as pytrees of arrays with a leading axis of arms, and is written for one
replicate: `cell = pick(stats, arm)` reads one arm's, `put(stats, arm, cell)` returns the statistics with them replaced,
`x[:]` reads all of an array `x` of them, `best(x)` is the arm with its largest entry. Plain indexing computes the same;
what the verbs add is how they are done over a batch of replicates: by selects where arms are few, and by flat gathers
and scatters where they are many. `PerArm` hands its learner views of one row of its tables; verbs and `[:]` work on
them too.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Int, PyTree, Scalar

#: Tables of up to so many entries are kept with the replicates last, and written by selects.
SMALL = 16
_TINY = 4  # tables of up to so many entries are read by selects


class Row:
    """A view of one row of a flat table `[rows * n]`: `row[:]` reads it, `pick` and `put` touch one entry."""

    def __init__(self, table: Array, row: Int[Array, ""], n: int):
        self.table, self.row, self.n = table, row, n

    def __getitem__(self, everything: slice) -> Array:
        if everything != slice(None):
            raise TypeError("a row of statistics is read as a whole, by x[:]; one arm's entry by pick(stats, arm)")
        if self.table.size <= SMALL:
            return jnp.stack([read(self.table, self.row * self.n + j) for j in range(self.n)])
        return self.table.reshape(-1, self.n).at[self.row].get(mode="promise_in_bounds")

    def __eq__(self, other: Any) -> Any:  # else a comparison without [:] would be False
        return self[:] == other

    def __ne__(self, other: Any) -> Any:
        return self[:] != other

    __hash__ = None  # type: ignore[assignment]  # like an array


def is_row(x: Any) -> bool:
    """Whether it is such a view."""
    return isinstance(x, Row)


def pick(stats: PyTree, arm: Int[Array, ""]) -> PyTree:
    """One arm's statistics: of every array `[arms]` its entry."""

    def one(x: Any) -> Array:
        return read(x.table, x.row * x.n + arm) if is_row(x) else read(x, arm)

    return jax.tree.map(one, stats, is_leaf=is_row)


def put(stats: PyTree, arm: Int[Array, ""], cell: PyTree) -> PyTree:
    """The statistics with one arm's replaced by `cell`."""

    def one(x: Any, value: Array) -> Any:
        value = jnp.asarray(value)
        if is_row(x):
            return Row(write(x.table, x.row * x.n + arm, value.astype(x.table.dtype)), x.row, x.n)
        return write(x, arm, value.astype(x.dtype))

    return jax.tree.map(one, stats, cell, is_leaf=is_row)


@custom_vmap
def best(x: Array) -> Int[Array, ""]:
    """The arm with the largest entry of `x [arms]`, ties to the lowest index."""
    return jnp.argmax(x).astype(jnp.int32)


@best.def_vmap
def _best_of_many(size: int, batched: Sequence[bool], x: Array) -> tuple[Array, bool]:
    if x.shape[1] > _TINY:
        return jnp.argmax(x, axis=1).astype(jnp.int32), True
    x = jnp.moveaxis(x, 0, -1)
    arm, top = jnp.zeros(size, jnp.int32), x[0]
    for j in range(1, x.shape[0]):
        arm, top = jnp.where(x[j] > top, j, arm), jnp.maximum(x[j], top)
    return arm, True


def largest(x: Array) -> Scalar:
    """The largest of a few entries; a reduction over a short axis costs more."""
    return functools.reduce(jnp.maximum, [x[j] for j in range(x.shape[0])])


@custom_vmap
def read(x: Array, i: Int[Array, ""]) -> Array:
    """`x[i]`, i in bounds."""
    return x[i]


@read.def_vmap
def _read_many(size: int, batched: Sequence[bool], x: Array, i: Array) -> tuple[Array, bool]:
    if not batched[0]:
        few = x.shape[0] <= _TINY
        return _select(x, i) if few else x.at[i].get(mode="promise_in_bounds"), batched[1]
    x, i = _full(size, batched, x, i)
    n, replicates = x.shape[1], jnp.arange(size, dtype=i.dtype)
    if n <= _TINY:
        return _select(jnp.moveaxis(x, 0, -1), i), True
    if n <= SMALL:
        return jnp.moveaxis(x, 0, -1).reshape(-1).at[i * size + replicates].get(mode="promise_in_bounds"), True
    return x.reshape(-1).at[replicates * n + i].get(mode="promise_in_bounds"), True


def _select(x: Array, i: Array) -> Array:
    return functools.reduce(
        lambda out, j: jnp.where(i == j, x[j], out), range(1, x.shape[0]), x[0] + jnp.zeros_like(i, x.dtype)
    )


@custom_vmap
def write(x: Array, i: Int[Array, ""], value: Array) -> Array:
    """`x` with entry i, in bounds, replaced."""
    return x.at[i].set(value)


@write.def_vmap
def _write_many(size: int, batched: Sequence[bool], x: Array, i: Array, value: Array) -> tuple[Array, bool]:
    x, i, value = _full(size, batched, x, i, value)
    n = x.shape[1]
    if n <= SMALL:
        x = jnp.where(jnp.arange(n, dtype=i.dtype)[:, None] == i[None], value[None], jnp.moveaxis(x, 0, -1))
        return jnp.moveaxis(x, -1, 0), True
    flat = jnp.arange(size, dtype=i.dtype) * n + i
    return x.reshape(-1).at[flat].set(value, mode="promise_in_bounds", unique_indices=True).reshape(x.shape), True


def _full(size: int, batched: Sequence[bool], *arrays: Array) -> list[Array]:
    """Every array with the batch axis."""
    return [x if b else jnp.broadcast_to(x, (size, *x.shape)) for x, b in zip(arrays, batched, strict=True)]
