"""The verbs of a bandit learner: `pick`, `put`, `best`, and `rarely` for what seldom happens.

A learner keeps statistics of its arms as pytrees of arrays with a leading axis of arms, and is written for one
replicate: `cell = pick(stats, arm)` reads one arm's, `put(stats, arm, cell)` returns the statistics with them replaced,
`x[:]` reads all of an array `x` of them, `best(x)` is the arm with its largest entry. Plain indexing computes the same;
what the verbs add is how they are done over a batch of replicates: by selects where arms are few, and by flat gathers
and scatters where they are many. `PerArm` hands its learner views of one row of its tables; verbs and `[:]` work on
them too.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Int, PyTree, Scalar

#: Tables of up to so many entries are kept with the replicates last, and written by selects.
SMALL = 16
#: Tables of up to so many entries are read by selects.
TINY = 4
_BLOCK = 8  # neighbouring replicates that `rarely` changes together


class Row:
    """A view of one row of a flat table `[rows * n]`: `row[:]` reads it, `pick` and `put` touch one entry."""

    def __init__(self, table: Array, row: Int[Array, ""], n: int):
        self.table, self.row, self.n = table, row, n

    def __getitem__(self, everything: slice) -> Array:
        if everything != slice(None):
            raise TypeError("a row of statistics is read as a whole, by x[:]; one arm's entry by pick(stats, arm)")
        if self.table.size <= SMALL:
            return jnp.stack([read(self.table, self.row * self.n + j) for j in range(self.n)])
        return self.table.reshape(-1, self.n).at[self.row.astype(jnp.uint32)].get(mode="promise_in_bounds")

    def __eq__(self, other: Any) -> Any:  # else a comparison without [:] would be False
        return self[:] == other

    def __ne__(self, other: Any) -> Any:
        return self[:] != other


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
    leaves, structure = jax.tree.flatten(stats, is_leaf=is_row)
    tables = [x.table if is_row(x) else jnp.asarray(x) for x in leaves]
    cells = jax.tree.leaves(jax.tree.map(lambda _, value: jnp.asarray(value), stats, cell, is_leaf=is_row))
    values = [v.astype(t.dtype) for v, t in zip(cells, tables, strict=True)]
    places = [x.row * x.n + arm if is_row(x) else arm for x in leaves]
    if len(tables) > 2 and len({(t.shape, t.dtype) for t in tables}) == 1 and tables[0].size <= TINY:
        written = write_alike(tables, places[0], values)
    else:
        written = [write(t, i, v) for t, i, v in zip(tables, places, values, strict=True)]
    new = [Row(t, x.row, x.n) if is_row(x) else t for x, t in zip(leaves, written, strict=True)]
    return jax.tree.unflatten(structure, new)


@custom_vmap
def best(x: Array) -> Int[Array, ""]:
    """The arm with the largest entry of `x [arms]`, ties to the lowest index."""
    return jnp.argmax(x).astype(jnp.int32)


@best.def_vmap
def _best_of_many(size: int, batched: Sequence[bool], x: Array) -> tuple[Array, bool]:
    if x.shape[1] > TINY:
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
        few = x.shape[0] <= TINY
        return _select(x, i) if few else x.at[i].get(mode="promise_in_bounds"), batched[1]
    x, i = _full(size, batched, x, i)
    n, replicates = x.shape[1], jnp.arange(size, dtype=i.dtype)
    if n <= TINY:
        return _select(jnp.moveaxis(x, 0, -1), i), True
    if n <= SMALL:
        return jnp.moveaxis(x, 0, -1).reshape(-1).at[_place(i, size, replicates)].get(mode="promise_in_bounds"), True
    return x.reshape(-1).at[_place(replicates, n, i)].get(mode="promise_in_bounds"), True


def _place(row: Array, n: int, column: Array) -> Array:
    """In a flat table; unsigned, lest JAX looks for negative ones."""
    return (row * n + column).astype(jnp.uint32)


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
    flat = _place(jnp.arange(size, dtype=i.dtype), n, i)
    return x.reshape(-1).at[flat].set(value, mode="promise_in_bounds", unique_indices=True).reshape(x.shape), True


@custom_vmap
def write_alike(tables: list[Array], i: Int[Array, ""], values: list[Array]) -> list[Array]:
    """Several tables of the same shape and type, with entry i of each replaced."""
    return [x.at[i].set(value) for x, value in zip(tables, values, strict=True)]


@write_alike.def_vmap
def _write_many_alike(size: int, batched: Any, tables: Any, i: Array, values: Any) -> tuple[list[Array], list[bool]]:
    full = [_full(size, (b, True, True), x, i, i)[0] for b, x in zip(batched[0], tables, strict=True)]
    i, *columns = _full(size, (batched[1], *batched[2]), i, *values)
    n, several = full[0].shape[1], len(full)
    # One after the other in one table: that is how `play` carries them, and it makes one kernel of all.
    x = jnp.concatenate([jnp.moveaxis(each, 0, -1) for each in full])
    hit = jnp.arange(n, dtype=i.dtype)[:, None] == i[None]
    new = jnp.where(hit[None], jnp.stack(columns)[:, None], x.reshape(several, n, size)).reshape(x.shape)
    return [jnp.moveaxis(new[k * n : (k + 1) * n], -1, 0) for k in range(several)], [True] * several


@custom_vmap
def count(x: Array, i: Int[Array, ""]) -> Array:
    """`x` with entry i, in bounds, greater by one."""
    return x.at[i].add(1)


@count.def_vmap
def _count_many(size: int, batched: Sequence[bool], x: Array, i: Array) -> tuple[Array, bool]:
    x, i = _full(size, batched, x, i)
    n = x.shape[1]
    if n <= SMALL:  # entry by entry, so that it is done in place
        x = jnp.moveaxis(x, 0, -1)
        return jnp.moveaxis(x + (jnp.arange(n, dtype=i.dtype)[:, None] == i[None]).astype(x.dtype), -1, 0), True
    flat = _place(jnp.arange(size, dtype=i.dtype), n, i)
    return x.reshape(-1).at[flat].add(1, mode="promise_in_bounds", unique_indices=True).reshape(x.shape), True


def write_row(table: Array, row: Int[Array, ""], values: Array) -> Array:
    """A flat table `[rows * n]` with one row replaced by `values [n]`; by a number, if n is 1."""
    return _write_row(table, row, values) if values.ndim else write(table, row, values)


@custom_vmap
def _write_row(table: Array, row: Int[Array, ""], values: Array) -> Array:
    return jax.lax.dynamic_update_slice(table, values, (row * values.shape[0],))


@_write_row.def_vmap
def _write_rows(size: int, batched: Sequence[bool], table: Array, row: Array, values: Array) -> tuple[Array, bool]:
    table, row, values = _full(size, batched, table, row, values)
    n = values.shape[1]
    if table.shape[1] > SMALL:
        return jax.vmap(lambda t, r, v: jax.lax.dynamic_update_slice(t, v, (r * n,)))(table, row, values), True
    rows = jnp.arange(table.shape[1], dtype=row.dtype)[:, None] // n
    new = jnp.tile(jnp.moveaxis(values, 0, -1), (table.shape[1] // n, 1))
    return jnp.moveaxis(jnp.where(rows == row[None], new, jnp.moveaxis(table, 0, -1)), -1, 0), True


def rarely(happens: Bool[Array, ""], change: Callable[[PyTree], PyTree], stats: PyTree) -> PyTree:
    """`change(stats)` where it `happens`, else `stats`; for what few replicates meet in a round, and reads whole rows.

    Over a batch of replicates on a CPU only those are changed in which it happens, unless tables are small.

    **Arguments:** `happens`: whether; `change`: from statistics to statistics of the same structure, shapes and types;
    it sees arrays where `stats` has rows of tables.
    """
    leaves, structure = jax.tree.flatten(stats, is_leaf=is_row)
    leaves = [x if is_row(x) else jnp.asarray(x) for x in leaves]
    tables = [x.table if is_row(x) else x for x in leaves]
    rows = [x.row if is_row(x) else None for x in leaves]
    # As `change` will see them: over several devices an array's type also says how it lies on them.
    seen = [jax.eval_shape(lambda t, r, n=x.n: Row(t, r, n)[:], x.table, x.row) if is_row(x) else x for x in leaves]
    closed = eqx.filter_closure_convert(change, jax.tree.unflatten(structure, seen))
    captured, rest = eqx.partition(closed, eqx.is_array)

    def changed(captured: Any, tables: list[Array], rows: list[Any]) -> list[Array]:
        values = [Row(t, r, x.n)[:] if is_row(x) else t for x, t, r in zip(leaves, tables, rows, strict=True)]
        new = eqx.combine(captured, rest)(jax.tree.unflatten(structure, values))
        new = [jnp.asarray(v).astype(t.dtype) for v, t in zip(jax.tree.leaves(new), tables, strict=True)]
        return [v if r is None else write_row(t, r, v) for v, t, r in zip(new, tables, rows, strict=True)]

    def everywhere(happens: Array, captured: Any, tables: list[Array], rows: list[Any]) -> list[Array]:
        new = changed(captured, tables, rows)
        return [jnp.where(happens, v, t) for v, t in zip(new, tables, strict=True)]

    @custom_vmap
    def apply(happens: Array, captured: Any, tables: list[Array], rows: list[Any]) -> list[Array]:
        return jax.lax.cond(happens, changed, lambda _, tables, rows: tables, captured, tables, rows)

    @apply.def_vmap
    def _apply_to_many(size: int, batched: Any, *arguments: Any) -> tuple[list[Array], list[bool]]:
        # What all replicates share stays one: to copy it for each could cost more than the rest of the round.
        own = [True, batched[1], [True] * len(batched[2]), batched[3]]
        full = jax.tree.map(
            lambda b, o, x: jnp.broadcast_to(x, (size, *x.shape)) if o and not b else x,
            list(batched),
            own,
            list(arguments),
        )
        if max(t.size // size for t in full[2]) <= SMALL:
            # Plain arithmetic with the replicates last, in rounds in which it happens at all.
            all_ = jax.vmap(everywhere, jax.tree.map(lambda o: -1 if o else None, own), -1)
            last = jax.tree.map(lambda o, x: jnp.moveaxis(x, 0, -1) if o else x, own, full)

            def if_any(happens: Array, *rest: Any) -> list[Array]:
                return jax.lax.cond(jnp.any(happens), all_, lambda *same: same[2], happens, *rest)

            new = [jnp.moveaxis(x, -1, 0) for x in jax.lax.platform_dependent(*last, cpu=if_any, default=all_)]
        else:
            axes = jax.tree.map(lambda o: 0 if o else None, own)
            some = functools.partial(_where_pending, everywhere, axes)
            new = jax.lax.platform_dependent(*full, cpu=some, default=jax.vmap(everywhere, axes))
        return new, [True] * len(new)

    new = apply(happens, captured, tables, rows)
    found = [Row(t, x.row, x.n) if is_row(x) else t for x, t in zip(leaves, new, strict=True)]
    return jax.tree.unflatten(structure, found)


def _where_pending(
    change: Callable[..., list[Array]], axes: Any, pending: Array, captured: Any, tables: Any, rows: Any
) -> Any:
    """Change blocks of replicates, one after the other, as long as something is pending in one."""
    size = pending.shape[0]
    block = min(_BLOCK, size)

    def step(carry: tuple[Array, list[Array]]) -> tuple[Array, list[Array]]:
        pending, tables = carry
        first = jnp.minimum(jnp.argmax(pending), size - block)

        def cut(axis: int | None, x: Array) -> Array:
            return x if axis is None else jax.lax.dynamic_slice_in_dim(x, first, block)

        mine = jax.tree.map(cut, axes, [pending, captured, tables, rows], is_leaf=lambda x: x is None)
        # Everything is read here and not again: else XLA copies the tables before it writes to them.
        mine = jax.lax.cond(first >= 0, lambda x: x, lambda x: jax.tree.map(jnp.zeros_like, x), mine)
        new = jax.vmap(change, axes)(*mine)
        tables = [jax.lax.dynamic_update_slice_in_dim(t, v, first, 0) for t, v in zip(tables, new, strict=True)]
        return jax.lax.dynamic_update_slice_in_dim(pending, jnp.zeros(block, bool), first, 0), tables

    return jax.lax.while_loop(lambda carry: jnp.any(carry[0]), step, (pending, tables))[1]


def _full(size: int, batched: Sequence[bool], *arrays: Array) -> list[Array]:
    """Every array with the batch axis."""
    return [x if b else jnp.broadcast_to(x, (size, *x.shape)) for x, b in zip(arrays, batched, strict=True)]
