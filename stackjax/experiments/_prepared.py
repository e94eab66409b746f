"""A sweep's arguments checked, and its settings made: what is played, and how the result is labelled."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from stackjax import _entry, schedules
from stackjax._names import nearest
from stackjax.experiments import _assembly, _chunks, results
from stackjax.experiments._engine import Runs
from stackjax.experiments._groups import check_values, groups_of
from stackjax.experiments._identity import codes
from stackjax.experiments._measures import points_of, values_of
from stackjax.experiments._memory import resident
from stackjax.experiments._running import check_fits, check_seed, in_setting, labels_of, roles_of
from stackjax.experiments._segments import ends
from stackjax.experiments.axes import Over, as_over
from stackjax.experiments.compare import record_bytes
from stackjax.experiments.parts import CODE, DIGEST
from stackjax.experiments.regret import BENCHMARKS
from stackjax.experiments.settings import is_maker, materialise, parameters
from stackjax.games import StackelbergBandit
from stackjax.phases import check_phases
from stackjax.trace import Record

if TYPE_CHECKING:
    import xarray

#: What is recorded if nothing else is asked for.
RECORD = Record.log_spaced(30)
#: Settings whose values are checked at once.
_CHECKED = 256


class Prepared(NamedTuple):
    """A sweep whose arguments were checked."""

    runs: Runs
    said: dict[str, Any]  # its configuration
    lead: list[tuple[str, list[str]]]
    axes: Over
    played: Over  # what of it is played anew for each value
    labels: tuple[list[str], list[str]]
    record_bytes: tuple[int, int]

    @property
    def total(self) -> int:
        """How many runs there are."""
        return len(self.runs.settings) * self.runs.ids.size

    @property
    def settings(self) -> int:
        """How many settings there are, with those that are only measured."""
        return len(self.runs.settings) * math.prod(self.axes.shape) // math.prod(self.played.shape)

    @property
    def title(self) -> str:
        """What the result is called if nobody says."""
        return type(self.runs.settings[0].game).__name__

    def sizes(self, chunk: int | None, budget: int | None) -> _chunks.Sizes:
        """The sizes of chunks, of each group."""
        runs = self.runs
        if chunk is None:
            return _chunks.sizes(self.kinds(), budget, runs.devices, runs.before)
        # A multiple of the number of devices, so that every one has as many.
        size = -(-_entry.positive("chunk", chunk) // len(runs.devices)) * len(runs.devices)
        return _chunks.Sizes([min(size, len(group.members) * runs.ids.size) for group in runs.groups])

    def kinds(self) -> list[_chunks.Kind]:
        """The runs of each group, for the sizes of chunks."""
        runs, (bytes_, points) = self.runs, self.record_bytes
        return [
            _chunks.Kind(len(group.members) * runs.ids.size, functools.partial(runs.program, i), bytes_ * points)
            for i, group in enumerate(runs.groups)
        ]

    def cut(self, chunk: int | None, budget: int | None, checkpoint: int | None) -> tuple[list[int], list[int]]:
        """The sizes of chunks, of each group, and where the segments of all runs end."""
        rounds = self.runs.options["rounds"]
        return self.sizes(chunk, budget).each, ends(self.runs.options["record"].points(0, rounds), checkpoint)

    def dataset(self, tables: _assembly.Tables) -> "xarray.Dataset":
        """All runs, labelled."""
        runs = self.runs
        points = runs.options["record"].points(0, runs.options["rounds"])
        roles = roles_of(runs.settings[0].game)
        dataset = _assembly.dataset(tables, self.lead, self.played, runs.ids, runs.common, points, roles)
        for axis in self.axes.axes:
            if axis.dim in runs.afterwards:
                dataset = dataset.assign_coords({axis.dim: axis.labels[axis.dim]})
                dims = (*(name for name, _ in self.lead), *(each.dim for each in self.axes.axes), "replicate")
                dataset = dataset.map(functools.partial(_along, dims, axis.dim, axis.size))
        return results.labelled(dataset, *self.labels).assign_attrs(
            result="sweep",
            swept=json.dumps({axis.dim: list(axis.values) for axis in self.axes.axes}),
            programs=len(runs.groups),
        )


def prepared(
    game: Any,
    methods: Any,
    over: Any,
    *,
    rounds: Any,
    replicates: Any = 100,
    seed: Any = 0,
    key: Any = None,
    common: bool = True,
    start: Any = None,
    record: Any = None,
    nash: Any = None,
    stackelberg: Any = None,
    benchmark: Any = "tolerant",
    gamma: Any = 0.05,
    keep: Any = None,
    devices: Any = None,
    skip_phases: bool = False,
    action_labels: Any = None,
    payoff_labels: Any = None,
) -> Prepared:
    before = resident()
    games, chosen = _by_name("game", game), _by_name("methods", methods)
    axes = as_over(over)
    rounds = _entry.positive("rounds", rounds)
    if rounds > np.iinfo(np.int32).max:
        raise ValueError(f"rounds: expected at most 2^31 - 1, got {rounds}")
    record = RECORD if record is None else record
    _entry.check_record(record)
    check_seed(seed)
    schedules.number(gamma, "gamma", 0.0, open_low=False)
    for name, value in (("common", common), ("skip_phases", skip_phases)):
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name}: expected True or False, got {value!r}")
    if benchmark not in BENCHMARKS:
        raise ValueError(f"benchmark: {nearest('benchmark', str(benchmark), BENCHMARKS)}")
    if isinstance(keep, str) or (keep is not None and not isinstance(keep, Sequence)):
        raise TypeError(f"keep: expected names of variables, got {keep!r}")
    number = replicates if isinstance(replicates, int | np.integer) else _entry.replicate_ids(replicates)[0].size
    count = _entry.positive("replicates", number)
    where = local_devices(devices)
    run_key = jax.random.key(seed) if key is None else key
    _entry.check_key(run_key)

    given = {"nash": nash, "stackelberg": stackelberg}
    makers = [made for made in (*games.values(), *chosen.values(), start, *given.values()) if is_maker(made)]
    used = any("gamma" in parameters(made)[0] or parameters(made)[1] for made in makers)
    # Where random numbers are the same, runs are the same for every gamma.
    alone = common and not used and any(axis.dim == "gamma" for axis in axes.axes)  # no axis of a zip
    played = Over([axis for axis in axes.axes if not (alone and axis.dim == "gamma")])
    gammas = next(axis.values["gamma"] for axis in axes.axes if axis.dim == "gamma") if alone else [gamma]
    settings = materialise(games, chosen, start, played, rounds, given)
    if len({setting.game.levels for setting in settings}) > 1:
        raise ValueError("game: expected the same players in all settings, got other levels in some")
    kinds = {(jax.tree.structure(s.game), *map(np.shape, jax.tree.leaves(s.game))): s.game for s in settings}
    size, about = max(record_bytes(made, rounds, record) for made in kinds.values())
    check_fits({"settings": len(settings) * len(gammas), "replicates": count, "records": about}, size)
    ids, batched = _entry.replicate_ids(replicates)
    if not batched:
        raise ValueError("replicates: expected a number or ids, got None")
    if not common and len(settings) * (int(ids.max()) + 1) > 2**32:
        raise ValueError("common: settings with replicates of their own would have more than 2^32 ids")

    groups = groups_of(settings, ids.size)
    equilibria, benchmarks = [], []
    for group in groups:
        own = [settings[i] for i in group.members]
        bandit = isinstance(own[0].game, StackelbergBandit) and record.visits
        equilibria.append({} if bandit or not record.strategies else points_of(own, given))
        benchmarks.append(values_of(own, benchmark, gammas) if bandit else None)
        if skip_phases:
            with in_setting(own[0].label):
                check_phases(own[0].game, own[0].learners)
        check_values(group, settings, ids.size, min(len(group.members) * ids.size, _CHECKED))
    if "gamma" in axes.names and not used and all(values is None for values in benchmarks):
        raise ValueError("over: 'gamma': expected Stackelberg bandits, whose regret it is that tolerates it")
    options = {"key": run_key, "rounds": rounds, "record": record, "skip_phases": skip_phases}
    kept = None if keep is None else tuple(str(name) for name in keep)
    roles = roles_of(settings[0].game)
    said = {
        "game": game,
        "methods": methods,
        "over": {a.dim: a.values[a.dim] if list(a.values) == [a.dim] else a.values for a in axes.axes},
        "rounds": rounds,
        "replicates": replicates,
        "common": common,
        "start": start,
        "record": record,
        "key": run_key,
        "nash": nash,
        "stackelberg": stackelberg,
        "benchmark": benchmark,
        "gamma": gamma,
        "keep": kept,
        "skip_phases": skip_phases,
        DIGEST: _assembly.fingerprint(settings, groups),
    }
    played_by = [settings[group.members[0]] for group in groups]
    made_of = said | {"settings": [(made.game, made.learners, made.start) for made in played_by]}
    said[CODE] = codes(made_of)
    return Prepared(
        Runs(
            settings,
            groups,
            ids,
            common,
            options,
            where,
            equilibria,
            benchmarks,
            kept,
            tuple(axes.names),
            ("gamma",) if alone else (),
            before,
        ),
        said,
        [(name, list(found)) for name, found in (("games", games), ("methods", chosen)) if "" not in found],
        axes,
        played,
        (
            labels_of("action_labels", action_labels, [f"action of {role}" for role in roles]),
            labels_of("payoff_labels", payoff_labels, [f"payoff of {role}" for role in roles]),
        ),
        (size, len(record.points(0, rounds))),
    )


def _along(dims: tuple[str, ...], dim: str, size: int, variable: "xarray.DataArray") -> "xarray.DataArray":
    """A variable with all dimensions of settings, though it is the same along one of them."""
    found = variable if dim in variable.dims else variable.expand_dims({dim: size})
    return found.transpose(*dims, ...)


def _by_name(what: str, given: Any) -> dict[str, Any]:
    """Games or methods by name; one without a name by an empty one."""
    if not isinstance(given, Mapping):
        return {"": given}
    found = {str(name): made for name, made in given.items()}
    if not found or "" in found or len(found) < len(given):
        raise ValueError(f"{what}: expected at least one name, none of them empty or twice, got {list(given)}")
    return found


def local_devices(devices: Any) -> tuple[Any, ...]:
    """The devices of this process to play on."""
    here = jax.local_devices()
    if devices is None:
        return tuple(here)
    if isinstance(devices, int | np.integer):
        if isinstance(devices, bool) or not 1 <= devices <= len(here):
            raise ValueError(f"devices: expected 1 to {len(here)}, the devices of this process, got {devices}")
        return tuple(here[:devices])
    return _entry.device_list(devices) or tuple(here)
