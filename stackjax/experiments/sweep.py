"""`sweep`: any number of any game, learner or schedule, times replicates, as one labelled result that survives."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax import checks
from stackjax._core import entry
from stackjax.checks import nearest
from stackjax.experiments import results
from stackjax.experiments.measure import BENCHMARKS, distances_to, regret_against
from stackjax.experiments.memory import check_fits, record_bytes
from stackjax.experiments.over import Over, as_over
from stackjax.experiments.run import (
    Experiment,
    How,
    Measure,
    relabelled,
    replicate_count,
    replicate_ids,
    roles_of,
    run,
    run_key,
    spent,
    target_of,
)
from stackjax.experiments.settings import Setting, is_maker, materialise, parameters
from stackjax.games import StackelbergBandit
from stackjax.protocols import Action, Game, Learner
from stackjax.trace import Record

if TYPE_CHECKING:
    import xarray

#: What is recorded if nothing else is asked for.
RECORD = Record.log_spaced(30)
Maker = Callable[..., Any]


def sweep(
    game: Game | Maker | Mapping[str, Game | Maker],
    methods: Sequence[Learner] | Maker | Mapping[str, Sequence[Learner] | Maker],
    over: Mapping[str, Any] | Over | None = None,
    *,
    rounds: int,
    replicates: int | Sequence[int] | Array = 100,
    seed: int = 0,
    key: PRNGKeyArray | None = None,
    common: bool = True,
    start: tuple[Any, ...] | Maker | None = None,
    record: Record | None = None,
    nash: tuple[Action, ...] | list[tuple[Action, ...]] | Maker | None = None,
    stackelberg: tuple[Action, ...] | list[tuple[Action, ...]] | Maker | None = None,
    benchmark: str = "tolerant",
    gamma: float = 0.05,
    keep: Sequence[str] | None = None,
    skip_phases: bool = False,
    action_labels: Sequence[str] | None = None,
    payoff_labels: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    **how: Unpack[How],
) -> "xarray.Dataset":
    """Play a game with learners in every setting of what is swept, each in many replicates.

    Settings of one structure, which differ in numbers only, are played by one program, along its one batch axis:
    settings x replicates, in chunks that keep to a budget of memory, on all devices. What changes shapes or the
    program (numbers of arms, depths, solvers, other schedules) is compiled once for each value.

    Random numbers: with `common` replicate r meets the same noise in every setting, so that differences between
    settings can be taken within a replicate. They depend neither on chunks nor on devices nor on processes.

    **Arguments:**

    - `game`: a game, or a pure function of swept names that makes one, called once for each set of values that it
      takes; or several by name, a dimension `games`.
    - `methods`: one learner a player, or a function of swept names (and of `game` and `rounds`, if it takes them) that
      makes them; or several by name, a dimension `methods`.
    - `over`: what is swept: name -> values, as in `grid`, or a product of `grid` and `zipped`. A name is a path
      (`"game.demand"`, `"leader.step"`, `"follower.step.exponent"`, `"player 2.step"`) to an argument of a constructor,
      which is called again with that value; or an argument of a function above; or `gamma`.
    - `rounds`, `replicates`, `skip_phases`: as in `stackjax.play`; `replicates` is a number or ids.
    - `seed`: an integer in [0, 2^32); or, instead, `key`: a `jax.random` key.
    - `common`: whether settings share their random numbers; else each has replicates of its own (`replicate_id`).
    - `start`: as in `stackjax.play`, or a function of swept names.
    - `record`: default `Record.log_spaced(30)`.
    - `nash`, `stackelberg`: an equilibrium, a list of them, or a function of swept names that returns these; default:
      those that each setting's game knows.
    - `benchmark`, `gamma`: of Stackelberg bandits, what `regret` is measured against: "tolerant", "self-tolerant" or
      "stackelberg", see `stackjax.equilibria`. A `gamma` that is swept is played once, and measured with each value.
    - `keep`: the variables to keep, beside `status` and `failed_at`; default: all.
    - for each player `action_labels` and `payoff_labels` (with units): how figures call them.
    - `units`: swept name -> unit, an attribute of its coordinate.
    - `how`: where it is kept, in which chunks it is played, on which devices, ...: see `How`. `title`: default the
      game's class.

    **Returns:** a dataset with a dimension and a coordinate for each swept name (of a `zipped`: one dimension with
    several coordinates), then `replicate`, `rounds` and `player`, with everything of `Trace.to_xarray`,
    `distance_to_nash`, `distance_to_stackelberg` (each player's, to its part of the nearest equilibrium of its
    setting's game, in its own space), or for bandits `regret` (exact pseudo-regret, NaN where a replicate failed).
    Arrays of settings whose shapes are smaller are filled up with NaN (whole numbers with 0). Attributes: configuration
    (JSON), versions, device, seed, command, date, and what all chunks took, `seconds` without and `compile_seconds` of
    compilation.

    **Raises:** `ValueError` or `TypeError` that names the argument, with a note that names the setting, before anything
    is played; `OtherConfigurationError`, a `ValueError`; `OSError` if a file can't be written: what was finished is
    kept.
    """
    games, chosen = _by_name("game", game), _by_name("methods", methods)
    axes = as_over(over)
    rounds = checks.whole("rounds", rounds)
    if rounds > np.iinfo(np.int32).max:
        raise ValueError(f"rounds: expected at most 2^31 - 1, got {rounds}")
    record = RECORD if record is None else record
    entry.check_record(record)
    own_seed, key = seed if key is None else None, run_key(seed, key)
    checks.number(gamma, "gamma", 0.0, open_low=False)
    checks.flag("common", common)
    checks.flag("skip_phases", skip_phases)
    checks.choice("benchmark", benchmark, BENCHMARKS)
    unit_of = check_units(units, axes)
    if isinstance(keep, str) or (keep is not None and not isinstance(keep, Sequence)):
        raise TypeError(f"keep: expected names of variables, got {keep!r}")
    kept = None if keep is None else tuple(str(name) for name in keep)
    count = replicate_count(replicates)

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
    bandits = [isinstance(setting.game, StackelbergBandit) and record.visits for setting in settings]
    if "gamma" in axes.names and not used and not any(bandits):
        raise ValueError("over: 'gamma': expected Stackelberg bandits, whose regret it is that tolerates it")
    # Of what is to be made of the replicates nothing is made if they are too many.
    largest = max(record_bytes(made, record, rounds) for made in {id(s.game): s.game for s in settings}.values())
    words = {"settings": len(settings) * len(gammas)}
    check_fits({**words, "replicates": count, "records": largest[1]}, largest[0])
    ids = replicate_ids(replicates)
    if not common:
        if len(settings) * (int(ids.max()) + 1) > 2**32:
            raise ValueError("common: settings with replicates of their own would have more than 2^32 ids")
        settings = [made._replace(offset=i * (int(ids.max()) + 1)) for i, made in enumerate(settings)]
    settings = [made._replace(skip_phases=bool(skip_phases)) for made in settings]
    roles = roles_of(settings[0].game)
    labels = (
        checks.one_each("action_labels", action_labels, [f"strategy of {role}" for role in roles]),
        checks.one_each("payoff_labels", payoff_labels, [f"payoff of {role}" for role in roles]),
    )
    lead = {name: list(entries) for name, entries in (("games", games), ("methods", chosen)) if "" not in entries}

    def measures(own: Sequence[Setting]) -> list[Measure]:
        if isinstance(own[0].game, StackelbergBandit) and record.visits:
            return [regret_against(own, benchmark, gammas, ("gamma",) if alone else ())]
        return distances_to(own, given) if record.strategies else []

    def finish(dataset: "xarray.Dataset") -> "xarray.Dataset":
        dataset = dataset.assign_coords({name: names for name, names in lead.items()} | played.coordinates())
        if alone:
            dataset = _measured_with(dataset, axes, [*lead, *(axis.dim for axis in axes.axes), "replicate"])
        dataset = results.labelled(spent(dataset), *labels)
        for name, unit in unit_of.items():
            dataset[name].attrs["units"] = unit
        return dataset.assign_attrs(swept=json.dumps({axis.dim: list(axis.values) for axis in axes.axes}))

    experiment = Experiment(
        kind="sweep",
        settings=settings,
        dims={name: len(names) for name, names in lead.items()} | {axis.dim: axis.size for axis in played.axes},
        ids=ids,
        key=key,
        record=record,
        configuration={
            "game": game,
            "methods": methods,
            "over": {a.dim: a.values[a.dim] if list(a.values) == [a.dim] else a.values for a in axes.axes},
            "rounds": rounds,
            "replicates": replicates,
            "common": common,
            "start": start,
            "record": record,
            "key": key,
            "nash": nash,
            "stackelberg": stackelberg,
            "benchmark": benchmark,
            "gamma": gamma,
            "keep": kept,
            "skip_phases": skip_phases,
        },
        measures=measures,
        keep=kept,
        finish=finish,
        seed=own_seed,
        title=type(settings[0].game).__name__,
        taken=tuple(axes.names),
        words=words,
        axes={name: len(names) for name, names in lead.items()} | {axis.dim: axis.size for axis in axes.axes},
        everywhere=True,
    )
    dataset = run(experiment, how)
    # A result that was there has the units of another call.
    target = None if how.get("out") is None else target_of(how["out"])
    return relabelled(dataset, {}, unit_of, target)


def _measured_with(dataset: "xarray.Dataset", axes: Over, dims: Sequence[str]) -> "xarray.Dataset":
    """With a dimension for each gamma that the same runs were measured with, also where it makes no difference."""
    (axis,) = (axis for axis in axes.axes if axis.dim == "gamma")
    times = dataset[["seconds", "compile_seconds"]]

    def along(variable: "xarray.DataArray") -> "xarray.DataArray":
        widened = variable if "gamma" in variable.dims else variable.expand_dims({"gamma": axis.size})
        return widened.transpose(*dims, ...)

    dataset = dataset.drop_vars(times).assign_coords(gamma=axis.labels["gamma"]).map(along)
    return dataset.assign(times)


def _by_name(what: str, given: Any) -> dict[str, Any]:
    """Games or methods by name; one without a name by an empty one."""
    if not isinstance(given, Mapping):
        return {"": given}
    entries = {str(name): made for name, made in given.items()}
    if not entries or "" in entries or len(entries) < len(given):
        raise ValueError(f"{what}: expected at least one name, none of them empty or twice, got {list(given)}")
    return entries


def check_units(units: Any, over: Over) -> dict[str, str]:
    """Units of swept names, no more.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    checked = checks.texts("units", units, "swept name -> unit")
    for name in checked:
        if name not in over.names:
            known = over.names
            raise ValueError(f"units: {nearest('swept name', name, known) if known else f'{name!r} is not swept'}")
    return checked
