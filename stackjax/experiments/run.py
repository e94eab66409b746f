"""`run`: the engine of all experiments. Settings x replicates are played in chunks that survive, and become a dataset.

A driver (`compare`, `sweep`, `regret`, `metagame`, `lead`, or one of your own) makes an `Experiment`: what is played,
what is measured of it, and what becomes of the dataset in the end.
"""

import contextlib
import contextvars
import copy
import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stackjax import checks
from stackjax._core import entry
from stackjax.checks import nearest
from stackjax.experiments import results
from stackjax.experiments.identity import codes
from stackjax.experiments.memory import Workload, check_fits, chunk_size, record_bytes
from stackjax.experiments.programs import check_values, fingerprint, groups_of
from stackjax.experiments.progress import Advance, compilation, progress_bar
from stackjax.experiments.settings import Setting
from stackjax.experiments.store import CODE, DIGEST, Arrays, OtherConfigurationError, Parts, differences, refusal
from stackjax.phases import check_phases
from stackjax.play import let_go, lowered, play
from stackjax.protocols import Calls, Game
from stackjax.trace import Record, Status, Trace, blank, ended

if TYPE_CHECKING:
    import xarray

#: What decides the data beside the configuration, bit for bit.
_ENVIRONMENT = ("stackjax_version", "jax_version", "jaxlib_version", "numpy_version", "platform", "device")
#: Settings whose values are checked at once.
_CHECKED = 256
_POLL = 0.1
#: Compiled programs that a process keeps from one experiment to the next.
MOST_PROGRAMS = 64
#: What experiments take beside `How`, for whoever misspells it.
_TAKEN = ("rounds", "replicates", "seed", "key", "start", "record")
#: Settings of each structure that are looked at for what speaks against them.
_WARNED_OF = 256
#: What a run took: shares of its chunk's wall time, without and of compilation.
_SPENT = ("seconds", "compile_seconds")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a computation at the end of a chunk; the message says how it goes on."""


class How(TypedDict, total=False):
    """How an experiment is played and kept: keywords of `compare`, `sweep`, `regret`, `metagame`, `lead` and `run`.

    - `out`: a file, in .nc. Finished chunks are written beside it (`OUT.parts/`), and the same call goes on where one
      that was interrupted or killed had stopped, with the same data in the end. A file or parts of another
      configuration are refused, with the difference. That is of values, and of code: every function, class and global
      value that the computation reaches outside of installed libraries; what can't be looked into is named in a
      warning. Ctrl-C stops at the end of a chunk. One process writes at a time; a second one is told who is at it.
      Several processes (`jax.distributed.initialize`, one `out` on a file system that they share) each play their share
      of the chunks, and the first one writes the file. If one of them is killed JAX ends the others after its
      `heartbeat_timeout_seconds`.
    - `overwrite`: whether a result or parts of another configuration there are replaced.
    - `budget`: bytes that what is played at once may take on each device, by the compiler's own account; on a CPU in
      all, with what the host makes of the results. Default: a quarter of a CPU's memory, four fifths of an
      accelerator's. `chunk`: instead, so many runs at once.
    - `checkpoint`: with `out`, of long runs: they are played in segments of so many rounds, each up to a record point
      (longer where record points are farther apart), and go on from the end of the last segment that was written.
      Data are bit-identical whether they were interrupted or not; equal to rounding with other segments.
    - `devices`: devices to shard over, or a number of them; default: of a sweep all of this process, else the default
      device.
    - `progress`: whether to show a progress bar on the standard error; default: if that is a terminal.
    - `title`: how figures call it; `command`: the command line, if this is part of one; `attributes`: of the result,
      more of them, name -> text.
    """

    out: str | Path | None
    overwrite: bool
    budget: int | None
    chunk: int | None
    checkpoint: int | None
    devices: Sequence[Any] | int | None
    progress: bool | None
    title: str | None
    command: str | None
    attributes: Mapping[str, str] | None


class Measure(NamedTuple):
    """Something that is measured of every run beside what `play` records.

    **Attributes:**

    - `names`: of the variables that it gives.
    - `function`: of the game as it was played, the trace and, for each run, the place of its setting among those of its
      program; it returns name -> (dimensions, array `[runs, ...]`). What has no dimension `rounds` is that of the end.
    - `complete`: whether it counts only for replicates that played all of their rounds, and is NaN for others.
    """

    names: tuple[str, ...]
    function: Callable[[Any, Trace, np.ndarray], Arrays]
    complete: bool = False


class Experiment(NamedTuple):
    """What is played and measured.

    **Attributes:**

    - `kind`: what it is, the attribute `result` of the dataset; `title`: what it is called if `How` doesn't say.
    - `settings`: what is played, or a function that makes it, which is called if anything has to be played; `dims`: the
      dimensions of settings with their sizes, of which the last one is the fastest.
    - `ids`: of replicates; `key`: a `jax.random` key; `record`: of `play`.
    - `configuration`: what decides the data, by name; a result of another one isn't taken for this one.
    - `measures`: a function of the settings that one program plays: what is measured of them.
    - `keep`: the variables that are kept, beside how runs ended; default: all.
    - `finish`: a function of the dataset `[dims..., replicate, ...]`, with `seconds` and `compile_seconds` of each run,
      that returns the result.
    - `seed`: what the key was made of; `taken`: names that no variable may have; `words`: what error messages call the
      settings in a product of sizes; `axes`: the result's dimensions of settings, if not `dims`; `everywhere`: whether
      it is played on all devices if nothing is said.
    """

    kind: str
    settings: Sequence[Setting] | Callable[[], Sequence[Setting]]
    dims: Mapping[str, int]
    ids: np.ndarray
    key: Any
    record: Record
    configuration: Mapping[str, Any]
    measures: Callable[[Sequence[Setting]], Sequence[Measure]] = lambda settings: ()
    keep: tuple[str, ...] | None = None
    finish: Callable[["xarray.Dataset"], "xarray.Dataset"] = lambda dataset: spent(dataset)
    seed: int | None = None
    title: str = ""
    taken: tuple[str, ...] = ()
    words: Mapping[str, int] | None = None
    axes: Mapping[str, int] | None = None
    everywhere: bool = False


def replicate_ids(replicates: Any) -> np.ndarray:
    """The ids of an experiment's replicates.

    **Raises:** `ValueError` or `TypeError` that names `replicates`.
    """
    ids, batched = entry.replicate_ids(replicates)
    if not batched:
        raise ValueError("replicates: expected a number or ids, got None")
    return ids


def replicate_count(replicates: Any) -> int:
    """How many replicates there are, whatever their number: to be checked before their ids are made."""
    if isinstance(replicates, int | np.integer):
        return checks.whole("replicates", replicates)
    return int(replicate_ids(replicates).size)


def run_key(seed: Any, key: Any) -> Any:
    """The key, or that of the seed.

    **Raises:** `ValueError` or `TypeError` that names what is wrong.
    """
    key = jax.random.key(checks.seed(seed)) if key is None else key
    checks.seed(seed)
    entry.check_key(key)
    return key


def roles_of(game: Game) -> list[str]:
    """What a game's players are called."""
    if game.levels == ((0,), (1,)):
        return ["leader", "follower"]
    return [f"player {i}" for i in range(len(game.spaces))]


def spent(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """What all runs took, as attributes in place of variables."""
    totals = {name: float(dataset[name].sum()) for name in _SPENT}
    return dataset.drop_vars(_SPENT).assign_attrs(totals)


class Chunk(NamedTuple):
    """Some runs of a group: which ones, filled up with copies of the last one, and how many there are without them."""

    group: int
    runs: np.ndarray
    size: int


class Reached(NamedTuple):
    """How far a chunk's runs are: completed rounds, what was recorded and measured up to there, and how they go on."""

    rounds: int
    arrays: Arrays
    ending: Trace | None  # None at the end


class Plan(NamedTuple):
    """How runs are cut: the number of runs in a chunk and the ends of segments, for each group."""

    sizes: list[int]
    ends: list[list[int]]


class Runs:
    """All that is played: an experiment's settings, in groups of one program each, times replicates."""

    def __init__(self, experiment: Experiment, settings: Sequence[Setting], devices: tuple[Any, ...] | None):
        self.experiment, self.settings, self.devices = experiment, list(settings), devices
        ids = experiment.ids.size
        words = experiment.words or {"settings": len(settings)}
        of_kind = {(id(made.game), made.rounds): made for made in settings}.values()
        sizes = [record_bytes(made.game, experiment.record, made.rounds, experiment.keep) for made in of_kind]
        size, points = max(sizes)
        check_fits({**words, "replicates": ids, "records": points}, size)
        if (
            any(made.offset for made in settings)
            and max(made.offset for made in settings) + int(experiment.ids.max()) >= 2**32
        ):
            raise ValueError("replicates: settings with replicates of their own would have more than 2^32 ids")
        self._offsets = np.asarray([made.offset for made in settings], np.int64)
        self.groups = groups_of(self.settings, ids)
        self._compiling = [0.0] * len(self.groups)  # seconds, until a chunk has told them
        for group in self.groups:
            own = [self.settings[i] for i in group.members]
            if group.skip_phases:
                with own[0].named():
                    check_phases(own[0].game, own[0].learners)
            check_values(group, self.settings, ids, min(len(group.members) * ids, _CHECKED))

    @functools.cached_property
    def measures(self) -> list[Sequence[Measure]]:
        """What is measured of each group. Known equilibria take programs to find, which a finished result does without.

        **Raises:** what `Experiment.measures` raises.
        """
        return [self.experiment.measures([self.settings[i] for i in group.members]) for group in self.groups]

    def kept(self, name: str) -> bool:
        """Whether a variable is kept."""
        keep = self.experiment.keep
        return keep is None or name in (*keep, "status", "failed_at")

    @property
    def total(self) -> int:
        """How many runs there are."""
        return len(self.settings) * int(self.experiment.ids.size)

    def count(self, group: int) -> int:
        """How many runs a group has."""
        return len(self.groups[group].members) * int(self.experiment.ids.size)

    def arguments(self, group: int, runs: np.ndarray) -> tuple[Any, dict[str, Any]]:
        """Game, learners and what else `play` gets of some runs of a group, which are numbered setting by setting."""
        made, experiment = self.groups[group], self.experiment
        at, replicate = np.divmod(runs, experiment.ids.size)
        given = made.arguments(at, replicate)
        options = {
            "key": experiment.key,
            "rounds": made.rounds,
            "record": experiment.record,
            "skip_phases": made.skip_phases,
            "replicates": experiment.ids[replicate].astype(np.int64) + self._offsets[made.members[at]],
            "chunk": runs.size,  # as many as are given fit
            "start": given.start,
            "in_axes": given.in_axes,
            "devices": None if self.devices == (jnp.zeros(()).device,) else self.devices,
        }
        return (given.game, *given.learners), options

    def shortened(self, group: int, rounds: int) -> "Runs":
        """The same with so many rounds in a group."""
        shorter = copy.copy(self)
        shorter.groups = [g._replace(rounds=rounds) if i == group else g for i, g in enumerate(self.groups)]
        return shorter

    def play(self, chunk: Chunk) -> Arrays:
        """What is recorded and measured of a chunk's runs."""
        (whole,) = self.segments(chunk, [self.groups[chunk.group].rounds])
        return whole.arrays

    def segments(self, chunk: Chunk, ends: Sequence[int], reached: Reached | None = None) -> Iterator[Reached]:
        """A chunk's runs up to each of the `ends`, the last of which is that of the runs.

        **Arguments:** `reached`: where they go on; default: from the first round.
        """
        players, options = self.arguments(chunk.group, chunk.runs)
        begin, arrays, before = (0, None, None) if reached is None else reached
        at = self.groups[chunk.group].members[chunk.runs // self.experiment.ids.size]
        first, several = self.settings[at[0]], bool(at[-1] != at[0])
        for end in (end for end in ends if end > begin):
            # A phase that is skipped ends with a round that is played, also if the phase has no rounds.
            record, points = between(options["record"], begin, end, ends, fill=not options["skip_phases"])
            own = {"rounds": end - begin, "record": record, "resume": before}
            with first.named(several), compilation() as compiled:
                began = time.perf_counter()
                trace = play(*players, **(options | own))
                jax.block_until_ready(trace)
                compiling = compiled()
                seconds = time.perf_counter() - began - compiling
            compiling += self._compiling[chunk.group]
            self._compiling[chunk.group] = 0.0
            measured = _cut(self._measured(chunk, players[0], trace), points)
            for name, value in zip(_SPENT, (seconds, compiling), strict=True):
                measured[name] = ((), np.full(chunk.size, value / chunk.size))
            arrays = _joined(arrays, measured)
            if end == ends[-1]:
                for measure in self.measures[chunk.group]:
                    for name in (n for n in measure.names if measure.complete and n in arrays):
                        arrays[name][1][arrays["status"][1] != Status.OK] = np.nan
            before = None if end == ends[-1] else trace.ending()
            begin = end
            yield Reached(end, arrays, before)

    def _measured(self, chunk: Chunk, game: Any, trace: Trace) -> Arrays:
        """What was recorded in a trace of a chunk's runs, and what is measured of them."""
        keep = self.experiment.keep
        recorded: Arrays = {
            name: (dims[1:], array[: chunk.size])
            for name, (dims, array) in trace.variables(None if keep is None else (*keep, "status", "failed_at")).items()
        }
        at = chunk.runs // self.experiment.ids.size
        for measure in self.measures[chunk.group]:
            if any(map(self.kept, measure.names)):
                for name, (dims, array) in measure.function(game, trace, at).items():
                    if self.kept(name):
                        recorded[name] = (dims, np.array(array[: chunk.size]))
        return recorded

    def check_names(self, sizes: Sequence[int]) -> None:
        """Does each group of runs, of so many at once, record what is to be kept, under names that are free?

        **Raises:** `ValueError` that names `keep` or `over`.
        """
        keep, taken = self.experiment.keep, self.experiment.taken
        for group, size in enumerate(sizes if taken or keep is not None else ()):
            measured = {name for measure in self.measures[group] for name in measure.names}
            if not taken and keep is not None and measured.issuperset(keep):
                continue
            recorded = blank(self.program(group, size)).variables()
            names = {*recorded, *measured}
            if unknown := [name for name in keep or () if name not in names]:
                raise ValueError(f"keep: {nearest('variable', unknown[0], sorted(names))}")
            dims = {"replicate", *(dim for dims, _ in recorded.values() for dim in dims)}
            if same := [name for name in taken if name in {*names, *dims}]:
                raise ValueError(f"over: the name {same[0]!r} is taken by a variable of the result; choose another")

    def program(self, group: int, size: int) -> jax.stages.Lowered:
        """The program that plays `size` runs of a group, not compiled."""
        players, options = self.arguments(group, np.minimum(np.arange(size), self.count(group) - 1))
        return lowered(*players, **options)

    def where(self) -> tuple[Any, ...]:
        """The devices that it is played on."""
        return self.devices or (jnp.zeros(()).device,)

    def workload(self, group: int) -> Workload:
        """The runs of a group, for the size of chunks."""
        made = self.settings[self.groups[group].members[0]]
        bytes_, points = record_bytes(made.game, self.experiment.record, made.rounds)
        return Workload(self.count(group), functools.partial(self.program, group), bytes_ * points)

    def sizes(self, chunk: int | None, budget: int | None) -> list[int]:
        """The number of runs in a chunk, for each group."""
        few = len(self.where())
        if chunk is None:
            sizes = []
            for group in range(len(self.groups)):
                with compilation() as compiled:
                    sizes.append(chunk_size(self.workload(group), budget, self.where()))
                self._compiling[group] = compiled()
            return sizes
        size = -(-chunk // few) * few  # a multiple of the number of devices, so that every one has as many
        return [min(size, -(-self.count(group) // few) * few) for group in range(len(self.groups))]

    def cut(self, chunk: int | None, budget: int | None, checkpoint: int | None) -> Plan:
        """How it is played."""
        ends = [segment_ends(self.experiment.record.points(0, g.rounds), checkpoint) for g in self.groups]
        return Plan(self.sizes(chunk, budget), ends)

    def chunks(self, sizes: Sequence[int]) -> list[Chunk]:
        """All chunks, of so many runs in each group; their numbers are their places."""
        chunks = []
        for group, size in enumerate(sizes):
            runs = self.count(group)
            starts = range(0, runs, size)
            chunks += [Chunk(group, np.minimum(np.arange(a, a + size), runs - 1), min(size, runs - a)) for a in starts]
        return chunks

    def restored(self, chunk: Chunk, checkpoint: tuple[int, Arrays, Arrays] | None) -> Reached | None:
        """How far a chunk was when it was left, by what is in its file."""
        if checkpoint is None:
            return None
        rounds, arrays, state = checkpoint
        players, options = self.arguments(chunk.group, chunk.runs)
        _, rows, _, last = lowered(*players, **options).out_info
        calls = tuple(Calls(*[0] * len(Calls._fields)) for _ in players[1:])
        structure = jax.tree.structure((last[:3], calls, rows["block_visits"]))  # as `Trace.ending` has them
        kind = entry.structure(players[0], players[1:])
        parts = jax.tree.unflatten(structure, list(from_arrays(state)))
        return Reached(rounds, arrays, ended(kind, options["key"], options["replicates"], rounds, *parts))

    def dataset(self, tables: "Tables") -> "xarray.Dataset":
        """All runs with named dimensions: those of settings, replicates, and what a trace has."""
        import xarray

        experiment = self.experiment
        dims, shape = tuple(experiment.dims), tuple(experiment.dims.values())
        variables = {
            name: ((*dims, "replicate", *inner), array.reshape(*shape, *array.shape[1:]))
            for name, inner, array in tables.whole()
        }
        coordinates: dict[str, Any] = {"replicate": experiment.ids.astype(np.int64)}
        if len({made.rounds for made in self.settings}) == 1:
            coordinates["rounds"] = experiment.record.points(0, self.settings[0].rounds)
        coordinates["player"] = roles_of(self.settings[0].game)
        used = {dim for dims, _ in variables.values() for dim in dims}
        dataset = xarray.Dataset(variables, {name: v for name, v in coordinates.items() if name in used})
        dataset.attrs["programs"] = len(self.groups)
        if any(made.offset for made in self.settings):
            offsets = np.asarray([made.offset for made in self.settings]).reshape(*shape, 1)
            dataset["replicate_id"] = ((*dims, "replicate"), offsets + experiment.ids.astype(np.int64))
        return dataset


class Tables:
    """What was recorded of every run, group by group: name -> (dimensions, array `[runs, ...]`)."""

    def __init__(self, members: Sequence[np.ndarray], replicates: int):
        self.members, self.replicates = members, replicates
        self.arrays: list[Arrays] = [{} for _ in members]

    def fill(self, group: int, first: int, arrays: Arrays) -> None:
        """Put in the results of some runs, from the `first` on."""
        table = self.arrays[group]
        runs = len(self.members[group]) * self.replicates
        for name, (dims, array) in arrays.items():
            shape = (runs, *array.shape[1:])
            if name not in table:
                whole = np.broadcast_to(array[0], shape) if _repeats(array) else np.empty(shape, array.dtype)
                table[name] = (dims, whole)
            known = table[name][1]
            if _repeats(known):
                if _repeats(array) and np.array_equal(array[0], known[0]):
                    continue
                known = np.array(known)
                table[name] = (dims, known)
            known[first : first + array.shape[0]] = array

    def whole(self) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
        """Each variable with its dimensions, `[settings, replicates, ...]`. The tables are used up."""
        names = list(dict.fromkeys(name for table in self.arrays for name in table))
        for name in names:
            tables = [table.pop(name, None) for table in self.arrays]
            dims = next(variable[0] for variable in tables if variable is not None)
            yield name, dims, self._joined([None if variable is None else variable[1] for variable in tables])

    def _joined(self, arrays: list[np.ndarray | None]) -> np.ndarray:
        there = [array for array in arrays if array is not None]
        if len(arrays) == 1:
            (only,) = there
            return only.reshape(-1, self.replicates, *only.shape[1:])
        # What a setting doesn't have is NaN; an arm that it doesn't have was never played.
        shape = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in there), strict=True))
        dtype = np.result_type(*there)
        if len(there) < len(arrays) and dtype.kind != "f":
            dtype = np.dtype(np.float64)
        settings = sum(map(len, self.members))
        joined = np.full((settings, self.replicates, *shape), np.nan if dtype.kind == "f" else 0, dtype)
        for members, array in zip(self.members, arrays, strict=True):
            if array is not None:
                where: Any = (members, slice(None), *(slice(size) for size in array.shape[1:]))
                joined[where] = array.reshape(-1, self.replicates, *array.shape[1:])
        return joined


def _repeats(array: np.ndarray) -> bool:
    """Whether it is a view that repeats one entry, as of oracle calls that are the same in all runs."""
    return array.ndim > 1 and array.shape[0] > 0 and array.strides[0] == 0


def run(experiment: Experiment, how: How) -> "xarray.Dataset":
    """Play an experiment, or what of it isn't there yet.

    Compiled programs are kept for the next call, up to 64 of them; after an experiment that leaves more of them,
    `jax.clear_caches()` lets all go, as a script may do itself between calls of `play`.

    **Arguments:** `how`: see `How`, whose keys are keywords of every driver.

    **Returns:** what `experiment.finish` makes of the dataset, with the attributes of every result: its kind, title,
    configuration (JSON), versions, device, seed, command and date.

    **Raises:** `ValueError` or `TypeError` that names the argument, with a note that names the setting, before anything
    is played; `OtherConfigurationError`, a `ValueError`; `OSError` if a file can't be written: what was finished is
    kept.
    """
    if _PLANNING.get():
        raise _Planned(experiment, how)
    check_how(how)
    devices = device_list(how.get("devices"), experiment.everywhere)
    target = None if how.get("out") is None else target_of(how["out"])
    if target is None and jax.process_count() > 1:
        raise ValueError("out: expected a file on a file system that all processes share, got None")
    if how.get("checkpoint") is not None and target is None:
        raise ValueError("checkpoint: expected a file, out, beside which to keep it, got None")
    configuration = dict(experiment.configuration)
    made = None
    if not callable(experiment.settings):
        made = Runs(experiment, experiment.settings, devices)
        configuration[DIGEST] = fingerprint(made.settings, made.groups)
    played = [] if made is None else [made.settings[group.members[0]] for group in made.groups]
    reached = configuration | {"settings": [(s.game, s.learners, s.start) for s in played]}
    configuration[CODE] = codes(reached, warn=target is not None)  # without a file nothing is taken up again
    provenance = results.provenance(
        configuration,
        seed=experiment.seed,
        command=how.get("command"),
        device=(devices or (jnp.zeros(()).device,))[0],
    )
    configuration = json.loads(provenance["configuration"])
    attributes = _attributes(how, provenance)
    title = how.get("title")

    def there(overwrite: bool) -> "xarray.Dataset | None":
        return None if target is None else finished(target, configuration, overwrite)

    overwrite = bool(how.get("overwrite", False))
    if (whole := there(overwrite)) is not None:
        if how.get("progress") is not False:
            print(f"{target} is there already, of {whole.attrs.get('date')}: nothing is played", file=sys.stderr)
        return relabelled(whole, attributes | ({} if title is None else {"title": title}), {}, target)
    runs = Runs(experiment, experiment.settings(), devices) if callable(experiment.settings) else made
    assert runs is not None
    _ = runs.measures  # what is wrong with them is told before anything is played
    for group in runs.groups:
        for setting in (runs.settings[i] for i in group.members[:_WARNED_OF]):
            entry.warn_of(setting.game, setting.learners)
    rounds = sum(made.rounds for made in runs.settings) * experiment.ids.size
    unit, scale = ("million rounds", 1e6) if rounds >= 1e7 else ("rounds", 1)
    cut = functools.partial(runs.cut, how.get("chunk"), how.get("budget"), how.get("checkpoint"))
    with progress_bar(how.get("progress"), rounds / scale, unit) as bar, contextlib.ExitStack() as stack:
        stack.enter_context(entry.warned_already())

        def advance(what: str, played: float = 0.0, failed: int = 0) -> None:
            bar(what, played / scale, failed)

        if target is None:
            tables = _here(runs, cut, advance)
        else:
            environment = configuration | {name: provenance[name] for name in _ENVIRONMENT}
            parts = Parts(target, environment, jax.process_index())
            if jax.process_index() == 0:
                stack.enter_context(parts.claimed())
                if (whole := there(overwrite)) is not None:  # it was made while this process waited
                    parts.finish()
                    return whole
            outcome = _in_parts(runs, cut, parts, functools.partial(there, overwrite), overwrite, advance)
            if not isinstance(outcome, Tables):  # another process wrote the file
                return outcome
            tables = outcome
        dataset = experiment.finish(runs.dataset(tables))
        dataset = dataset.assign_attrs(
            {"title": experiment.title if title is None else title, "result": experiment.kind} | attributes | provenance
        )
        if target is not None:
            results.save(dataset, target)
            parts.finish()
    let_go(MOST_PROGRAMS)
    return dataset


_PLANNING = contextvars.ContextVar("planning", default=False)


class _Planned(Exception):
    """What would have been played."""

    def __init__(self, experiment: Experiment, how: How):
        super().__init__()
        self.experiment, self.how = experiment, how


def planned(driver: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Experiment, How]:
    """What a driver would play with these arguments, which isn't played.

    **Raises:** what the driver raises.
    """
    token = _PLANNING.set(True)
    try:
        driver(*arguments, **options)
    except _Planned as plan:
        return plan.experiment, plan.how
    finally:
        _PLANNING.reset(token)
    raise TypeError(f"driver: expected one that calls `run`, got {driver!r}")


def check_experiment(experiment: Experiment, how: How) -> None:
    """Check everything that is checked before anything is played.

    **Raises:** what `run` raises.
    """
    check_how(how)
    if not callable(experiment.settings):
        _ = Runs(experiment, experiment.settings, device_list(how.get("devices"), experiment.everywhere)).measures


def check_how(how: Mapping[str, Any]) -> None:
    """Are the keys those of `How`, with values that make sense?

    **Raises:** `ValueError` or `TypeError` that names the keyword.
    """
    for name in how:
        if name not in How.__annotations__:
            raise TypeError(f"unexpected keyword: {nearest('argument', name, [*_TAKEN, *How.__annotations__])}")
    for name in ("budget", "chunk", "checkpoint"):
        if how.get(name) is not None:
            checks.whole(name, how[name])
    for name in ("title", "command"):
        checks.text(name, how.get(name))
    checks.flag("overwrite", how.get("overwrite", False))
    checks.texts("attributes", how.get("attributes"), "name -> text")


def _attributes(how: How, provenance: Mapping[str, Any]) -> dict[str, str]:
    """The attributes that were asked for, as NetCDF can hold them."""
    attributes = checks.texts("attributes", how.get("attributes"), "name -> text")
    if own := sorted(attributes.keys() & {"title", *_SPENT, "seed", "command", "result", *provenance}):
        raise ValueError(f"attributes: expected names that a result doesn't have by itself, got {own}")
    for name, text in {"title": how.get("title"), "command": how.get("command"), **attributes}.items():
        if "\0" in (text or "") or not name or "/" in name or "\0" in name:
            raise ValueError(f"{name!r}: expected a name without '/' and a text without NUL, got {text!r}")
    return attributes


def device_list(devices: Any, everywhere: bool = False) -> tuple[Any, ...] | None:
    """The devices of this process to play on; None is the default device."""
    here = jax.local_devices()
    if devices is None:
        return tuple(here) if everywhere else None
    if isinstance(devices, int | np.integer):
        if isinstance(devices, bool) or not 1 <= devices <= len(here):
            raise ValueError(f"devices: expected 1 to {len(here)}, the devices of this process, got {devices}")
        return tuple(here[:devices])
    return entry.device_list(devices)


def target_of(out: Any) -> Path:
    """Where a result goes: a link is followed.

    **Raises:** `ValueError` that names `out`.
    """
    path = Path(out) if isinstance(out, str | os.PathLike) else Path()
    if path.suffix != ".nc":
        raise ValueError(f"out: expected a file name in .nc, got {str(out)!r}")
    with contextlib.suppress(OSError, RuntimeError):  # a name that is too long, a link to itself
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    return path


def relabelled(
    dataset: "xarray.Dataset", attributes: Mapping[str, str], units: Mapping[str, str], target: Path | None
) -> "xarray.Dataset":
    """A result that was there, with the title, the figure, the units that it has now; and so in its file."""
    old = {name: dataset[name].attrs.get("units") for name in units}
    if dict(units) == old and all(dataset.attrs.get(name) == value for name, value in attributes.items()):
        return dataset
    dataset = dataset.assign_attrs(**attributes)
    for name, unit in units.items():
        dataset[name].attrs["units"] = unit
    if target is not None and jax.process_index() == 0:
        results.save(dataset, target)
    return dataset


def _here(runs: Runs, cut: Callable[[], Plan], advance: Advance) -> Tables:
    """Play everything, and keep it in memory."""
    plan = cut()
    runs.check_names(plan.sizes)
    tables = Tables([group.members for group in runs.groups], runs.experiment.ids.size)
    for chunk in runs.chunks(plan.sizes):
        for reached in runs.segments(chunk, [runs.groups[chunk.group].rounds]):
            tables.fill(chunk.group, int(chunk.runs[0]), reached.arrays)
            _tell(runs, chunk, reached, advance)
        del reached  # not beside the next chunk
    return tables


def _in_parts(
    runs: Runs,
    cut: Callable[[], Plan],
    parts: Parts,
    done_elsewhere: Callable[[], Any],
    overwrite: bool,
    advance: Advance,
) -> "Tables | xarray.Dataset":
    """Play what isn't finished, this process' share of it, and keep it in parts; the first process returns all of it.

    **Arguments:** `cut()`: the plan, asked for if nothing is begun; `done_elsewhere()`: the result if it is in its
    place, which the other processes wait for and return.
    """
    process, processes = jax.process_index(), jax.process_count()
    begun = parts.begun(overwrite, mine=process == 0)
    while begun is None:
        if process == 0:
            plan = cut()
            runs.check_names(plan.sizes)
            parts.begin(begun := [*plan])
        else:
            time.sleep(_POLL)
            if (there := done_elsewhere()) is not None:
                return there
            begun = parts.begun(overwrite, mine=False)
    sizes, ends = begun
    chunks = runs.chunks(sizes)
    done = parts.done()
    if process and (there := done_elsewhere()) is not None:
        return there
    advance("resumed" if done else "", sum(chunks[n].size * runs.groups[chunks[n].group].rounds for n in done))

    def interrupted(number: int) -> Interrupted:
        left = sum(c.size for n, c in enumerate(chunks) if n >= number and n not in done)
        return Interrupted(f"stopped with {left} runs to go; the same call goes on from {parts.folder}")

    with _boundary() as stopping:
        try:
            for number, chunk in enumerate(chunks):
                if number in done or number % processes != process:
                    continue
                if stopping():
                    raise interrupted(number)
                own = ends[chunk.group]
                left_at = None if len(own) == 1 else runs.restored(chunk, parts.reached(number))
                before = 0 if left_at is None else left_at.rounds
                advance("resumed" if before else "", chunk.size * before)
                for reached in runs.segments(chunk, own, left_at):
                    _tell(runs, chunk, reached, advance, before)
                    before = reached.rounds
                    if reached.ending is None:
                        parts.keep(number, reached.arrays)
                        continue
                    state = functools.partial(to_arrays, reached.ending)
                    parts.reach(number, reached.rounds, reached.arrays, state, stopping())
                    if stopping():
                        raise interrupted(number)
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
    tables = Tables([group.members for group in runs.groups], runs.experiment.ids.size)
    for number, arrays in parts.read(done):
        tables.fill(chunks[number].group, int(chunks[number].runs[0]), arrays)
    return tables


def _tell(runs: Runs, chunk: Chunk, reached: Reached, advance: Advance, before: int = 0) -> None:
    """Show that a chunk's rounds were played up to here, and at their end how many runs failed."""
    last = runs.settings[runs.groups[chunk.group].members[chunk.runs[chunk.size - 1] // runs.experiment.ids.size]]
    failed = 0 if reached.ending is not None else int(np.sum(reached.arrays["status"][1] != Status.OK))
    advance(last.label, chunk.size * (reached.rounds - before), failed)


@contextlib.contextmanager
def _boundary() -> Iterator[Callable[[], bool]]:
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
    try:
        lines = differences(results.configuration(there), configuration)
    except ValueError as error:
        raise OtherConfigurationError(f"out: {path}: {error}; choose another name") from None
    if not lines:
        return there
    if not overwrite:
        raise OtherConfigurationError(refusal(path, "is a result of", lines))
    return None


class _At(Record):
    """A record at given points, which another record has chosen for the whole run."""

    at: tuple[int, ...] = eqx.field(static=True, default=())

    def points(self, begin: int, end: int) -> np.ndarray:
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


def segment_ends(points: Any, most: int | None) -> list[int]:
    """Where the segments of a run end: at the last record point within `most` rounds, or at the next one."""
    if most is None:
        return [int(points[-1])]
    ends, begin = [], 0
    for point, after in zip(points, [*points[1:], None], strict=True):
        if after is None or after - begin > most:
            ends.append(int(point))
            begin = point
    return ends


def _cut(arrays: Arrays, points: int) -> Arrays:
    """What was recorded at so many points."""
    recorded: Arrays = {}
    for name, (dims, array) in arrays.items():
        recorded[name] = (dims, array[tuple(slice(points if dim == "rounds" else None) for dim in ("", *dims))])
    return recorded


def _joined(first: Arrays | None, then: Arrays) -> Arrays:
    """What was recorded of two segments, one after the other; what isn't recorded at points, of the later one.

    Initial strategies are those of the first one, and times are added up.
    """
    if first is None:
        return then
    joined: Arrays = {}
    for name, (dims, array) in then.items():
        before = first[name][1]
        if "rounds" in dims:
            array = np.concatenate([before, array], axis=1 + dims.index("rounds"))
        elif name.startswith("initial_"):
            array = before
        elif name in _SPENT:
            array = before + array
        joined[name] = (dims, array)
    return joined


def to_arrays(ending: Trace) -> Arrays:
    """What a run goes on from as named arrays for a file."""
    held = (ending.state, ending.status, ending.failed_at), ending.calls_before, ending.visits_before
    arrays: Arrays = {}
    for i, leaf in enumerate(jax.tree.leaves(held)):
        typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        name = f"{i} {jax.random.key_impl(leaf)}" if typed else str(i)
        arrays[name] = ((), np.asarray(jax.random.key_data(leaf) if typed else leaf))
    return arrays


def from_arrays(arrays: Arrays) -> Iterator[Any]:
    """The leaves that `to_arrays` named."""
    for name, (_, array) in arrays.items():
        _, typed, impl = name.partition(" ")
        yield jax.random.wrap_key_data(jnp.asarray(array), impl=impl) if typed else array
