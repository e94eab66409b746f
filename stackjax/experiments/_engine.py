"""The runs of a sweep, played chunk by chunk: here, in parts that survive, or by several processes."""

import contextlib
import functools
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stackjax._names import nearest
from stackjax.experiments import _segments, results
from stackjax.experiments._assembly import Tables
from stackjax.experiments._groups import Group
from stackjax.experiments._measures import Points, distances, regrets
from stackjax.experiments._memory import give_back
from stackjax.experiments._running import Advance, in_setting
from stackjax.experiments._segments import Reached
from stackjax.experiments.parts import Arrays, OtherConfigurationError, Parts, differences, read, refusal
from stackjax.experiments.settings import Setting, is_path
from stackjax.play import lowered, play
from stackjax.trace import Status, Trace

if TYPE_CHECKING:
    import xarray

_POLL = 0.1


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a computation at the end of a chunk; the message says how it goes on."""


class Chunk(NamedTuple):
    """Some runs of a group: which ones, filled up with copies of the last one, and how many there are without them."""

    group: int
    runs: np.ndarray
    size: int


class Runs(NamedTuple):
    """All that is played: settings, in groups of one program each, times replicates."""

    settings: list[Setting]
    groups: list[Group]
    ids: np.ndarray
    common: bool
    options: dict[str, Any]  # of `play`
    devices: tuple[Any, ...]
    equilibria: list[dict[str, Points]]  # of each group
    benchmarks: list[np.ndarray | None]
    keep: tuple[str, ...] | None
    swept: tuple[str, ...]  # names of coordinates
    afterwards: tuple[str, ...]  # what is swept by measuring the same runs again
    before: int  # bytes that the process had when the sweep began
    sparing: bool = False  # whether freed memory is given back before each chunk

    def arguments(self, group: int, runs: np.ndarray) -> tuple[Any, dict[str, Any]]:
        """Game, learners and what else `play` gets of some runs of a group, which are numbered setting by setting."""
        at, replicate = np.divmod(runs, self.ids.size)
        given = self.groups[group].arguments(at, replicate)
        ids = self.ids[replicate].astype(np.int64)
        if not self.common:
            ids += self.groups[group].members[at] * (int(self.ids.max()) + 1)
        devices = None if self.devices == (jnp.zeros(()).device,) else self.devices
        more = {"replicates": ids, "start": given.start, "in_axes": given.in_axes, "devices": devices}
        return (given.game, *given.learners), self.options | more

    def play(self, chunk: Chunk) -> Arrays:
        """What is recorded and measured of a chunk's runs."""
        (whole,) = self.segments(chunk, [self.options["rounds"]])
        return whole.arrays

    def segments(self, chunk: Chunk, ends: Sequence[int], reached: Reached | None = None) -> Iterator[Reached]:
        """A chunk's runs up to each of the `ends`, the last of which is that of the runs.

        **Arguments:** `reached`: where they go on; default: from the first round.
        """
        players, options = self.arguments(chunk.group, chunk.runs)
        begin, arrays, before = (0, None, None) if reached is None else reached
        first = self.settings[self.groups[chunk.group].members[chunk.runs[0] // self.ids.size]].label
        rounds = options["rounds"]
        for end in (end for end in ends if end > begin):
            # A phase that is skipped ends with a round that is played, also if the phase has no rounds.
            record, points = _segments.between(options["record"], begin, end, ends, fill=not options["skip_phases"])
            own = {"rounds": end - begin, "record": record, "resume": before}
            if self.sparing:
                give_back()
            with in_setting(f"{first} and those after it" if first else ""):
                trace = play(*players, **(options | own))
                found = _segments.cut(self._measured(chunk, players[0], trace), points)
            arrays = _segments.joined(arrays, found)
            if end == rounds and "regret" in arrays:  # what was measured before a replicate failed counts no more
                arrays["regret"][1][arrays["status"][1] != Status.OK] = np.nan
            before = None if end == rounds else _segments.ending(trace)
            begin = end
            yield Reached(end, arrays, before)

    def _measured(self, chunk: Chunk, game: Any, trace: Trace) -> Arrays:
        """What was recorded in a trace of a chunk's runs, and how far it is from equilibria or benchmarks."""
        at = chunk.runs // self.ids.size
        recorded = trace.to_xarray()
        found: Arrays = {
            str(name): (tuple(map(str, v.dims[1:])), v.values[: chunk.size]) for name, v in recorded.data_vars.items()
        }
        if jax.tree.leaves(trace.strategies):
            for name, points in self.equilibria[chunk.group].items():
                each = jax.tree.map(lambda x, which=points.which[at]: x[which], points.actions)
                measured = distances(game, trace.strategies, each)
                found[f"distance_to_{name}"] = (("rounds", "player"), measured[: chunk.size])
        values = self.benchmarks[chunk.group]
        if values is not None:
            measured = regrets(game, trace, values[at])[: chunk.size]
            found["regret"] = ((*self.afterwards, "rounds", "player"), measured if self.afterwards else measured[:, 0])
        if self.keep is None:
            return found
        return {name: entry for name, entry in found.items() if name in (*self.keep, "status", "failed_at")}

    def check_names(self, sizes: Sequence[int]) -> None:
        """Does each group of runs, of so many at once, record what is to be kept, under names that are free?

        **Raises:** `ValueError` that names `keep` or `over`.
        """
        free = [name for name in self.swept if not is_path(name)]
        for group, size in enumerate(sizes if free or self.keep is not None else ()):
            recorded = _segments.blank(self.program(group, size)).to_xarray()
            names = {*map(str, recorded.data_vars), *(f"distance_to_{name}" for name in self.equilibria[group])}
            names |= {"regret"} if self.benchmarks[group] is not None else set()
            if unknown := [name for name in self.keep or () if name not in names]:
                raise ValueError(f"keep: {nearest('variable', unknown[0], sorted(names))}")
            if taken := [name for name in free if name in {*names, *map(str, recorded.dims)}]:
                raise ValueError(f"over: the name {taken[0]!r} is taken by a variable of the result; choose another")

    def program(self, group: int, size: int) -> jax.stages.Lowered:
        """The program of so many runs of a group, not compiled."""
        runs = len(self.groups[group].members) * self.ids.size
        players, options = self.arguments(group, np.minimum(np.arange(size), runs - 1))
        return lowered(*players, **options)

    def chunks(self, sizes: Sequence[int]) -> list[Chunk]:
        """All chunks, of so many runs in each group; their numbers are their places."""
        found = []
        for i, (group, size) in enumerate(zip(self.groups, sizes, strict=True)):
            runs = len(group.members) * self.ids.size
            starts = range(0, runs, size)
            found += [Chunk(i, np.minimum(np.arange(a, a + size), runs - 1), min(size, runs - a)) for a in starts]
        return found


def here(runs: Runs, sizes: Sequence[int], advance: Advance) -> Tables:
    """Play everything, and keep it in memory."""
    runs.check_names(sizes)
    tables = Tables(runs.groups, runs.ids.size)
    for chunk in runs.chunks(sizes):
        for reached in runs.segments(chunk, [runs.options["rounds"]]):
            tables.fill(chunk.group, int(chunk.runs[0]), reached.arrays)
            _said(runs, chunk, reached, advance)
        del reached  # not beside the next chunk
    return tables


def in_parts(
    runs: Runs, cut: Any, parts: Parts, done_elsewhere: Any, overwrite: bool, advance: Advance
) -> "Tables | xarray.Dataset":
    """Play what isn't finished, this process' share of it, and keep it in parts; the first process returns all of it.

    **Arguments:** `cut()`: the sizes of chunks and the ends of segments, asked for if nothing is begun;
    `done_elsewhere()`: the result if it is in its place, which the other processes wait for and return.
    """
    process, processes = jax.process_index(), jax.process_count()
    plan = parts.begun(overwrite and process == 0)
    while plan is None:
        if process == 0:
            runs.check_names((plan := cut())[0])
            parts.begin(plan)
        else:
            time.sleep(_POLL)
            if (there := done_elsewhere()) is not None:
                return there
            plan = parts.begun(False)
    sizes, ends = plan
    chunks = runs.chunks(sizes)
    done = parts.done()
    if process and (there := done_elsewhere()) is not None:
        return there
    finished = sum(chunks[number].size for number in done)
    advance("resumed" if done else "", finished)
    with _boundary() as stopping:
        try:
            for number, chunk in enumerate(chunks):
                if number in done or number % processes != process:
                    continue
                left = sum(c.size for n, c in enumerate(chunks) if n >= number and n not in done)
                interrupted = Interrupted(f"stopped with {left} runs to go; the same call goes on from {parts.folder}")
                if stopping():
                    raise interrupted
                left_at = None if len(ends) == 1 else _reached(runs, chunk, parts.reached(number))
                before = 0 if left_at is None else left_at.rounds
                advance("resumed" if before else "", chunk.size * before / ends[-1])
                for reached in runs.segments(chunk, ends, left_at):
                    _said(runs, chunk, reached, advance, (reached.rounds - before) / ends[-1])
                    before = reached.rounds
                    if reached.ending is None:
                        parts.keep(number, reached.arrays)
                        continue
                    state = functools.partial(_segments.stored, reached.ending)
                    parts.reach(number, reached.rounds, reached.arrays, state, stopping())
                    if stopping():
                        raise interrupted
                del reached  # not beside the next chunk
            parts.flush()
        except BaseException:  # whatever it is, what is finished is kept
            with contextlib.suppress(OSError):
                parts.flush()
            raise
        while process or len(done := parts.done()) < len(chunks):  # others are still at it
            if process and (there := done_elsewhere()) is not None:
                return there
            if stopping():
                raise Interrupted(f"stopped while other processes play; the same call goes on from {parts.folder}")
            time.sleep(_POLL)
    tables = Tables(runs.groups, runs.ids.size)
    for path in sorted(set(done.values())):
        for number, arrays in read(path):
            tables.fill(chunks[number].group, int(chunks[number].runs[0]), arrays)
    return tables


def _reached(runs: Runs, chunk: Chunk, found: tuple[int, Arrays, Arrays] | None) -> Reached | None:
    """How far a chunk was when it was left, by what is in its file."""
    if found is None:
        return None
    rounds, arrays, state = found
    players, options = runs.arguments(chunk.group, chunk.runs)
    return Reached(rounds, arrays, _segments.restored(state, rounds, players, options, lowered(*players, **options)))


def _said(runs: Runs, chunk: Chunk, reached: Reached, advance: Advance, share: float = 1.0) -> None:
    """Show that this share of a chunk's rounds was played, and at their end how many runs failed."""
    last = runs.settings[runs.groups[chunk.group].members[chunk.runs[chunk.size - 1] // runs.ids.size]]
    failed = 0 if reached.ending is not None else int(np.sum(reached.arrays["status"][1] != Status.OK))
    advance(last.label, chunk.size * share, failed)


@contextlib.contextmanager
def _boundary() -> Iterator[Any]:
    """Yields a function: whether Ctrl-C was pressed. A second time it interrupts at once, as it would without this."""
    pressed = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def finished(path: Path, configuration: Mapping[str, Any], overwrite: bool) -> "xarray.Dataset | None":
    """The result in a file, if it is one of this configuration; None if there is no file.

    **Raises:** `OtherConfigurationError` with the difference, unless it is to be overwritten.
    """
    try:
        if not path.exists():
            return None
    except OSError as error:  # a name that is too long
        raise OSError(f"can't write {path}: {error.strerror}") from None
    if path.is_dir():
        raise OtherConfigurationError(f"out: {path} is a folder; choose another name")
    try:
        there = results.load(path)
    except (OSError, ValueError) as error:
        raise OtherConfigurationError(f"out: {error}; choose another name") from None
    if "configuration" not in there.attrs:
        raise OtherConfigurationError(f"out: {path} holds a trace, not the result of a sweep; choose another name")
    lines = differences(json.loads(there.attrs["configuration"]), configuration)
    if not lines:
        return there
    if not overwrite:
        raise OtherConfigurationError(refusal(path, "is a result of", lines))
    return None
