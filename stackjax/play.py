"""`play`: the loop in which a game and its learners meet, over one batch axis."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PRNGKeyArray, PyTree

from stackjax import checks
from stackjax._constraints import check_constraints
from stackjax._core import batch, derivatives, entry, loop, players
from stackjax._core.noise import stream_words
from stackjax.checks import concrete
from stackjax.phases import check_phases
from stackjax.protocols import Game, Learner, arms_of
from stackjax.trace import FailedReplicatesError, Record, Status, Trace

__all__ = ["FailedReplicatesError", "Record", "Status", "Trace", "play"]


class _Program(NamedTuple):
    """Everything that a compiled run depends on beside shapes and types."""

    layout: entry.Layout
    dtype: Any
    spacing: int | None
    recording: loop.Recording
    alike: tuple[bool, ...]  # of a resumed run: which leaves of the states are the same in every replicate
    devices: tuple[Any, ...] | None
    freeze: loop.Freeze
    finite: bool
    skip_phases: bool
    pace: loop.Pace | None
    platform: str
    kernel: loop.Kernel


@functools.partial(jax.jit, static_argnames="program")
def _run(shared: Any, mapped: Any, ids: Any, words: Any, begin: Any, points: Any, carry: Any, program: _Program) -> Any:
    def local(shared: Any, mapped: Any, ids: Any, words: Any, begin: Any, points: Any, carry: Any) -> Any:
        def make(shared: Any, mapped: Any) -> players.Players:
            game, learners, start = program.layout.build(shared[0], mapped)
            return players.Players(game, learners, shared[1], start, program.dtype)

        carry = None if carry is None else (*carry, program.alike)
        how = (program.freeze, program.finite, program.skip_phases, program.pace, program.platform, program.kernel)
        plan = loop.Plan(begin, points, program.spacing, program.recording, *how)
        initial, rows, calls, last = loop.run(make, (shared, words), mapped, ids, carry, plan)
        if program.devices is not None:  # every output is sharded
            calls = jax.tree.map(lambda x: jnp.broadcast_to(x.T, (*ids.shape, *points.shape)).T, calls)
        calls = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1) if x.ndim > 1 else x, calls)
        return initial, rows, calls, last

    if program.devices is not None:
        mesh = Mesh(np.array(program.devices), ("replicates",))
        each, all_ = PartitionSpec("replicates"), PartitionSpec()
        specs = (all_, each, each, all_, all_, all_, each)
        local = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=each, check_vma=False)
    return local(shared, mapped, ids, words, begin, points, carry)


@functools.lru_cache(maxsize=256)
def _state_bytes(layout: entry.Layout, dtype: Any, shared: tuple[Any, ...], mapped: tuple[Any, ...], words: Any) -> int:
    """About what one replicate needs at hand in a round: its states, and its counts or a matrix of derivatives."""

    def first(shared: Any, mapped: Any, words: Any) -> Any:
        game, learners, start = layout.build(shared, mapped)
        made = players.Players(game, learners, words, start, dtype)
        if made.finite:
            return made.init(jnp.uint32(0)), jnp.zeros([arms_of(space) for space in game.spaces], jnp.int32)
        numbers = sum(x.size for x in jax.tree.leaves([space.struct(dtype) for space in game.spaces]))
        return made.init(jnp.uint32(0)), jnp.zeros((numbers, numbers), dtype)

    one = tuple(jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in mapped)
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(first, shared, one, words)))


def play(
    game: Game,
    *learners: Learner,
    key: PRNGKeyArray,
    rounds: int,
    replicates: int | Sequence[int] | Array | None = None,
    start: tuple[Any, ...] | None = None,
    record: Record | None = None,
    resume: Trace | None = None,
    in_axes: PyTree = None,
    chunk: int | None = None,
    devices: Sequence[Any] | int | None = None,
    skip_phases: bool = False,
    kernel: bool | None = None,
) -> Trace:
    """Let learners play a game for a number of rounds, in many replicates at once.

    In every round, in order of play, each learner acts (later levels may have asked to see earlier ones), the game
    pays, each learner is shown the signals in its `wants` and updates. The round is written for one replicate, vmapped
    over all of them and compiled; the same program serves other hyper-parameters, keys and starts.

    The noise that replicate r meets in round t depends on the key, r and t alone: not on `replicates`, `chunk`,
    `devices`, `record` or `resume`. Results are bit-identical where the compiled chunk is the same, and equal to
    rounding otherwise.

    **Arguments:**

    - `game`, `learners`: one learner a player, in order of play.
    - `key`: a `jax.random` key.
    - `rounds`: how many rounds to play, a Python integer.
    - `replicates`: None (one run without a batch axis), a number, or a sequence of replicate ids (non-negative, below
      2^32; equal ids meet equal noise).
    - `start`: None, or one entry a player: None (the learner samples its space) or an action, each leaf of the space's
      shape (shared by all replicates) or with one leading axis of replicates.
    - `record`: when and what to record; default `Record.log_spaced(200)`.
    - `resume`: a trace to go on from, with the same key, replicates and kinds of game and learners; rounds and oracle
      calls are counted on, and only the new part is returned. It goes on from where the trace ended, whatever `start`
      is, so that the same call with `resume` added goes on.
    - `in_axes`: which leaves of `(game, *learners)` carry the batch axis, as a prefix pytree of axes like in
      `jax.vmap`: `(0, None, None)` is one game a replicate. Python numbers are shared wherever they stand.
    - `chunk`: at most this many replicates at once on each device, which bounds memory; the results then come as NumPy
      arrays. Default: on a CPU as many as have states that stay in its cache (500 to 16,000 a core), elsewhere all.
    - `skip_phases`: play phases in which no player heeds its payoffs in one step, where learners (`phases.Phased`) and
      the game (`Game.total`) allow it: equal in distribution to a play of every round, and it costs nothing in their
      length, but the noise isn't that of the rounds.
    - `devices`: devices to shard the replicates over, or a number of them; default: the default device.
    - `kernel`: whether all rounds between two record points are played in one GPU kernel, with the states in registers.
      Default: on a GPU where they fit. That is where a round is arithmetic on at most 128 numbers a replicate, without
      loops of unknown length, in float32 or float64; `True` raises for any other, saying why, and is interpreted on a
      CPU, which is for tests. `False`: rounds are scanned. Noise, arms and counts are the same either way, and numbers
      are equal to rounding. There are no derivatives through a kernel. `Trace.in_kernel` says what was done.

    **Returns:** a `Trace`. Replicates that fail are frozen and marked in `status`; `raise_if_failed()` raises for them.
    Failures are taken to be rare: the replicates that fail are computed a second time to freeze them, with up to a
    sixteenth of the call (or chunk), or all of it if more fail.
    In games of arms replicates are checked at record points and aren't frozen: their rows from there on are invalid.

    **Raises:** `ValueError` or `TypeError` that names the argument. Inside `jax.grad`, a `ValueError` unless the record
    points are equally spaced (`Record.every(k)` with `rounds` a multiple of k, or `Record.final()`); forward mode
    works always.
    """
    return _call(
        game, learners, key, rounds, replicates, start, record, resume, in_axes, chunk, devices, skip_phases, kernel
    ).run()


def _kernel(asked: Any, platform: str, skip_phases: bool, known: bool) -> loop.Kernel:
    """Whether to play in one, by what was asked for; unasked only with `known` values, lest there are derivatives."""
    if asked is not None and not isinstance(asked, bool):
        raise TypeError(f"kernel: expected True, False or None, got {asked!r}")
    if asked and skip_phases:
        raise ValueError("kernel: expected a play of every round, got skip_phases as well")
    if asked and platform not in ("cpu", "gpu"):
        raise ValueError(f"kernel: expected a GPU, or a CPU on which it is interpreted, got {platform!r}")
    if asked:
        return "always"
    return "where it fits" if asked is None and platform == "gpu" and known and not skip_phases else "never"


def lowered(game: Game, *learners: Learner, **options: Any) -> jax.stages.Lowered:
    """The program of a chunk of the same call of `play`, which is not run: for its memory and its cost.

    Once it is compiled (`lowered(...).compile()`), that call doesn't compile it again.
    """
    call: dict[str, Any] = dict.fromkeys(
        ("replicates", "start", "record", "resume", "in_axes", "chunk", "devices", "kernel"), None
    ) | {"skip_phases": False}
    found = _call(game, learners, **(call | {"chunk": 2**32} | options))
    return _run.lower(*found.arguments(found.parts[0]), program=found.program)


def let_go(most: int) -> None:
    """Empty JAX's caches if `play` has more programs than these: each takes about 10 MB and 100 memory maps."""
    if _run._cache_size() > most:  # type: ignore[attr-defined]  # of a jitted function
        jax.clear_caches()


class _Call(NamedTuple):
    """A call of `play` whose arguments were checked: its program, what that takes of some replicates, and the rest."""

    program: _Program
    arguments: Callable[[np.ndarray | None], tuple[Any, ...]]
    parts: list[np.ndarray | None]
    run: Callable[[], Trace]


def _call(
    game: Game,
    learners: tuple[Learner, ...],
    key: PRNGKeyArray,
    rounds: int,
    replicates: Any,
    start: Any,
    record: Record | None,
    resume: Trace | None,
    in_axes: Any,
    chunk: int | None,
    devices: Any,
    skip_phases: bool,
    kernel: bool | None,
) -> _Call:
    record = Record.log_spaced(200) if record is None else record
    entry.check_players(game, learners)
    entry.check_record(record)
    entry.check_key(key)
    rounds = checks.whole("rounds", rounds)
    if skip_phases:
        check_phases(game, learners)
    start = (None,) * len(learners) if start is None else start
    ids, batched = entry.replicate_ids(replicates)
    begin, carry, alike, calls_before, visits_before = entry.resumed(resume, key, ids, batched, game, learners)
    if begin + rounds > np.iinfo(np.int32).max:
        raise ValueError(f"rounds: at most 2^31 - 1 in all, got {begin + rounds}")
    if in_axes is not None and not batched:
        raise ValueError("in_axes: there is no batch axis with replicates=None; give replicates")

    dtype = entry.common_float(game, start)
    layout, shared, mapped = entry.lay_out(game, learners, start, in_axes, dtype, ids.size if batched else None)
    check_constraints(game, dtype)
    entry.check_values(layout, shared, mapped, dtype)
    entry.warn_of(game, learners)
    points = record.points(begin, begin + rounds)
    gaps = np.unique(np.diff(np.concatenate([[begin], points])))
    spacing = int(gaps[0]) if gaps.size == 1 and not skip_phases else None
    payoffs = game.recorded_payoffs if record.payoffs == "game" else record.payoffs
    finite = players.is_finite(game)
    visits = finite and record.visits and (resume is None or resume.block_visits is not None)
    recording = loop.Recording(payoffs, record.strategies, visits, record.metrics)
    where = entry.device_list(devices)
    platform = entry.platform(where)
    host_free = platform != "cpu" and spacing is None and not skip_phases
    pace = loop.pace(begin, points) if host_free else None
    in_one = _kernel(kernel, platform, skip_phases, concrete(shared, mapped, ids, key, carry))
    how = (finite, bool(skip_phases), pace, platform, in_one)
    program = _Program(layout, dtype, spacing, recording, alike, where, "no", *how)

    words = stream_words(key, len(learners) + 1)
    clock = (jnp.int32(begin), jnp.asarray(points, jnp.int32))

    def arguments(part: np.ndarray | None) -> tuple[Any, ...]:
        cut = functools.partial(jax.tree.map, lambda x: x if part is None else x[part])
        return shared, cut(mapped), cut(ids), words, *clock, cut(carry)

    shards = len(where or (None,))

    def run_part(part: np.ndarray | None) -> Any:
        def run_as(freeze: loop.Freeze, part: np.ndarray | None) -> Any:
            return _run(*arguments(part), program=program._replace(freeze=freeze))

        if finite:  # nothing to freeze: failures are found at record points
            return run_as("no", part)
        if not concrete(shared, mapped, ids, words, carry):
            return run_as("with derivatives", part)
        return batch.freeze_failed(run_as, part, ids.size, shards)

    most = chunk
    if chunk is None and platform == "cpu" and ids.size > batch.in_cache(2**31, shards) * shards:
        structs = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), x.dtype), (shared, mapped, words))
        if concrete(shared, mapped, ids, words, carry):
            state = _state_bytes(layout, dtype, tuple(structs[0]), tuple(structs[1]), structs[2])
            most = batch.even(-(-ids.size // shards), batch.in_cache(state, shards))
    parts = batch.chunks(ids.size, most, shards)

    def run() -> Trace:
        initial, rows, calls, (states, status, failed_at, in_kernel) = batch.join(run_part, parts, ids.size)
        if chunk is None and len(parts) > 1:  # as if they had been played at once
            initial, rows, states, status, failed_at, in_kernel = jax.tree.map(
                jnp.asarray, (initial, rows, states, status, failed_at, in_kernel)
            )
            calls = jax.tree.map(jnp.asarray, calls)
        if spacing is None:
            initial, rows, states = derivatives.forward_only((initial, rows, states))
        own_ids = ids
        if not batched:
            initial, rows, states, status, failed_at, in_kernel, own_ids = jax.tree.map(
                lambda x: x[0], (initial, rows, states, status, failed_at, in_kernel, ids)
            )
            calls = jax.tree.map(lambda x: x[0] if x.ndim > 1 else x, calls)
        return Trace(
            **rows,
            rounds=points,
            initial=initial,
            visits_before=visits_before,
            status=status,
            failed_at=failed_at,
            in_kernel=in_kernel,
            state=states,
            key=key,
            ids=own_ids,
            block_calls=calls,
            calls_before=calls_before,
            structure=entry.structure(game, learners),
            batched=batched,
        )

    return _Call(program, arguments, parts, run)
