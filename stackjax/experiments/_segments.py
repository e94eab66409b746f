"""Long runs played in segments that end at record points, so that they go on from there when they were killed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from stackjax import _entry
from stackjax.experiments.parts import Arrays
from stackjax.protocols import Calls
from stackjax.trace import Record, Trace


class Reached(NamedTuple):
    """How far a chunk's runs are: completed rounds, what was recorded and measured up to there, and how they go on."""

    rounds: int
    arrays: Arrays
    ending: Trace | None  # None at the end


class _At(Record):
    """A record at given points, which another record has chosen for the whole run."""

    at: tuple[int, ...] = eqx.field(static=True, default=())

    def points(self, begin: int, end: int) -> Int[np.ndarray, " K"]:
        return np.asarray([point for point in self.at if begin < point <= end])


def between(record: Record, begin: int, end: int, ends: Sequence[int], fill: bool = True) -> tuple[Record, int]:
    """The record of a segment: the points in it of the whole run, with `ends` of segments; and how many these are.

    Where points aren't equally spaced and it is to `fill` them up, every segment has as many, so that one program plays
    all of them: the end is recorded again and again. Nothing is played in between.
    """
    points = [int(point) for point in record.points(0, ends[-1])]
    if len(ends) == 1:
        return record, len(points)
    counts = np.diff(np.searchsorted(points, [0, *ends], side="right"))
    at = [point for point in points if begin < point <= end]
    evenly = np.unique(np.diff([0, *points[:-1]])).size <= 1  # the last one may come sooner
    # With one more at least no segment's points are equally spaced, which would be another program.
    more = int(counts.max()) + 1 - len(at) if fill and not evenly else 0
    switches = (record.metrics, record.strategies, record.payoffs, record.visits)
    return _At(record.kind, record.number, *switches, (*at, *[end] * more)), len(at)


def ends(points: Sequence[int], most: int | None) -> list[int]:
    """Where the segments of a run end: at the last record point within `most` rounds, or at the next one."""
    if most is None:
        return [int(points[-1])]
    found, begin = [], 0
    for point, after in zip(points, [*points[1:], None], strict=True):
        if after is None or after - begin > most:
            found.append(int(point))
            begin = point
    return found


def ending(trace: Trace) -> Trace:
    """A trace without its records: what `play` goes on from, off the device.

    It is the same whether it comes from `play` or from a file, so that the same program goes on from it.
    """
    last = jax.tree.map(lambda x: np.asarray(x)[..., -1], trace.calls)
    visits = jax.tree.map(lambda x: np.asarray(x)[:, -1], trace.visits)
    return _ending(trace.structure, trace.key, np.asarray(trace.ids), int(trace.rounds[-1]), _last(trace), last, visits)


def _last(trace: Trace) -> Any:
    return jax.tree.map(_off_the_device, (trace.state, trace.status, trace.failed_at))


def _off_the_device(x: Any) -> Any:
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)  # NumPy has no keys


def _ending(structure: Any, key: Any, ids: Any, rounds: int, last: Any, calls: Any, visits: Any) -> Trace:
    state, status, failed_at = last
    none = np.zeros(1, np.int32)  # of the one record point that it has
    return Trace(
        rounds=np.asarray([rounds]),
        initial=(),
        strategies=(),
        actions=(),
        payoffs=None,
        metrics={},
        reports=(),
        status=status,
        failed_at=failed_at,
        state=state,
        key=key,
        ids=ids,
        block_visits=jax.tree.map(lambda x: np.zeros_like(x)[:, None], visits),
        visits_before=visits,
        block_calls=jax.tree.map(lambda _: none, (calls, calls)),
        calls_before=calls,
        structure=structure,
        batched=True,
    )


def blank(program: jax.stages.Lowered) -> Trace:
    """A trace with what a program records, of one replicate at one record point, and of 0: for its names."""

    def cut(x: Any, at: tuple[int, ...]) -> np.ndarray:
        return np.zeros((*at, *x.shape[len(at) :]), x.dtype)

    initial, rows, calls, (_, status, _) = program.out_info
    rows = jax.tree.map(lambda x: cut(x, (1, 1)), rows)
    none: Any = cut(status, (1,))
    return Trace(
        **rows,
        rounds=np.ones(1, np.int64),
        initial=jax.tree.map(lambda x: cut(x, (1,)), initial),
        status=none,
        failed_at=none,
        state=(),
        key=none,
        ids=none,
        visits_before=None,
        block_calls=jax.tree.map(lambda x: cut(x, (1,) * x.ndim), calls),
        calls_before=None,
        structure=(),
        batched=True,
    )


def cut(arrays: Arrays, points: int) -> Arrays:
    """What was recorded at so many points."""
    found: Arrays = {}
    for name, (dims, array) in arrays.items():
        found[name] = (dims, array[tuple(slice(points if dim == "rounds" else None) for dim in ("", *dims))])
    return found


def joined(first: Arrays | None, then: Arrays) -> Arrays:
    """What was recorded of two segments, one after the other; what isn't recorded at points, of the later one.

    Initial strategies are those of the first one.
    """
    if first is None:
        return then
    found: Arrays = {}
    for name, (dims, array) in then.items():
        before = first[name][1]
        if "rounds" in dims:
            array = np.concatenate([before, array], axis=1 + dims.index("rounds"))
        elif name.startswith("initial_"):
            array = before
        found[name] = (dims, array)
    return found


def stored(trace: Trace) -> Arrays:
    """The ending of a run as named arrays for a file."""
    found: Arrays = {}
    for i, leaf in enumerate(jax.tree.leaves(_held(trace))):
        typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        name = f"{i} {jax.random.key_impl(leaf)}" if typed else str(i)
        found[name] = ((), np.asarray(jax.random.key_data(leaf) if typed else leaf))
    return found


def restored(
    arrays: Arrays, rounds: int, players: tuple[Any, ...], options: dict[str, Any], program: jax.stages.Lowered
) -> Trace:
    """The ending of a run from a file.

    **Arguments:** `arrays`: as `stored` gave them; `rounds` completed; `players`: the game and the learners, and the
    `options` of `play`; `program`: that of the run.
    """
    leaves: list[Any] = []
    for name, (_, array) in arrays.items():
        _, typed, impl = name.partition(" ")
        leaves.append(jax.random.wrap_key_data(jnp.asarray(array), impl=impl) if typed else array)
    _, rows, _, last = program.out_info
    calls = tuple(Calls(*[0] * len(Calls._fields)) for _ in players[1:])
    structure = jax.tree.structure((last, calls, rows["block_visits"]))
    ids, _ = _entry.replicate_ids(options["replicates"])
    kind = _entry.structure(players[0], players[1:])
    return _ending(kind, options["key"], ids, rounds, *jax.tree.unflatten(structure, leaves))


def _held(trace: Trace) -> Any:
    return (trace.state, trace.status, trace.failed_at), trace.calls_before, trace.visits_before
