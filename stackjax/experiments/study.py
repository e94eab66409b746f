"""Studies: experiments as TOML files, strictly read, and kept in their results."""

import functools
import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax.numpy as jnp
import numpy as np

from stackjax import catalogue
from stackjax.checks import nearest
from stackjax.experiments import results
from stackjax.experiments.compare import compare
from stackjax.experiments.constructed import (
    FromTable,
    StudyError,
    check_keys,
    entry_called,
    leader_entry,
    made_game,
    made_learner,
    made_players,
    made_value,
    references,
    tuned,
)
from stackjax.experiments.estimate import Estimate, estimated
from stackjax.experiments.lead import lead
from stackjax.experiments.metagame import metagame
from stackjax.experiments.over import Over, grid, log_uniform, zipped
from stackjax.experiments.regret import regret
from stackjax.experiments.run import How, check_experiment, planned
from stackjax.experiments.settings import (
    PathError,
    called,
    check_used,
    is_path,
    set_game,
    set_players,
    set_sides,
)
from stackjax.experiments.sweep import check_units, sweep
from stackjax.trace import Record

if TYPE_CHECKING:
    import xarray

#: Keys of a file, with the types that they must have; the rest are tables of their own.
_PLAIN: Mapping[str, tuple[type, str]] = {
    "kind": (str, 'a text, such as "sweep" or "comparison"'),
    "title": (str, "a text"),
    "rounds": (int, "a whole number"),
    "horizons": (list, "an array of whole numbers"),
    "horizon": (int, "a whole number"),
    "replicates": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "common": (bool, "true or false"),
    "skip_phases": (bool, "true or false"),
    "benchmark": (str, "a text"),
    "gamma": (float, "a number"),
    "resample": (str, "a text"),
    "resamples": (int, "a whole number"),
    "spread": (float, "a number"),
    "points": (int, "a whole number"),
    "truths": (bool, "true or false"),
    "keep": (list, "an array of texts"),
    "start": (list, "an array with one entry a player"),
    "nash": (list, "an array with one action a player"),
    "stackelberg": (list, "an array with one action a player"),
}
#: What each kind of study may say beside its kind, title, replicates, seed and game; and what it must.
_ANY = ("kind", "title", "replicates", "seed", "game")
_PLAYED = ("rounds", "methods", "record", "start", "nash", "stackelberg")
_KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sweep": (
        (*_PLAYED, "set", "common", "skip_phases", "benchmark", "gamma", "keep", "over", "zip", "units", "figure"),
        ("rounds", "game", "methods"),
    ),
    "comparison": ((*_PLAYED, "set"), ("rounds", "game", "methods")),
    "regret": (("horizons", "methods", "set", "gamma", "benchmark", "skip_phases"), ("horizons", "game", "methods")),
    "metagame": (
        ("horizon", "leaders", "followers", "set", "resample", "resamples"),
        ("horizon", "game", "leaders", "followers"),
    ),
    "leading": (("rounds", "methods", "spread", "points", "truths"), ("game", "methods")),
}
_FIGURE: Mapping[str, tuple[type, str]] = {
    **{key: (str, "a text") for key in ("variable", "x", "colour", "column")},
    **{key: (list, "an array of texts") for key in ("pool", "log")},
}
_RECORDS: Mapping[str, Callable[..., Record]] = {
    "every": Record.every,
    "log-spaced": Record.log_spaced,
    "final": Record.final,
}


class Study(NamedTuple):
    """What a configuration file says.

    **Attributes:** `kind`: "sweep", "comparison", "regret", "metagame" or "leading"; `game`, `methods` (of a meta-game
    by role) and the `options` of `experiments.sweep`, `compare`, `regret`, `metagame` or `lead`; `text`: the file;
    `figure`: how its figure is drawn, the options of `stackjax.plots.plot_sweep`.
    """

    kind: str
    game: Any
    methods: Any
    options: dict[str, Any]
    figure: dict[str, Any]
    text: str

    def play(self, out: str | Path | None = None, **how: Any) -> "xarray.Dataset":
        """Do what it says. The result holds the file, and `stackjax run RESULT` does it again.

        **Arguments:** `out`: the result's file; `how`: see `experiments.How`.
        """
        own = {"study": self.text} | ({"figure": json.dumps(self.figure)} if self.kind == "sweep" else {})
        how["attributes"] = own | dict(how.get("attributes") or {})
        return self._driver()(out=out, **(self.options | how))

    def check(self) -> None:
        """Check everything that is checked before anything is played.

        **Raises:** `ValueError` or `TypeError` that names what is wrong.
        """
        check_experiment(*planned(self._driver(), **self.options))

    def estimate(self, **how: Unpack[How]) -> Estimate:
        """What it would do, see `experiments.estimate`."""
        return estimated(*planned(self._driver(), **(self.options | how)))

    def _driver(self) -> Callable[..., "xarray.Dataset"]:
        if self.kind == "metagame":
            return functools.partial(metagame, self.methods["leaders"], self.methods["followers"], self.game)
        drivers: dict[str, Callable[..., Any]] = {
            "sweep": sweep,
            "comparison": compare,
            "regret": regret,
            "leading": lead,
        }
        return functools.partial(drivers[self.kind], self.game, self.methods)


def read_study(path: str | Path) -> Study:
    """A study from a TOML file, or from the result of one.

    **Raises:** `FileNotFoundError`; `StudyError`, a `ValueError`, that says what is wrong and where: what isn't TOML,
    unknown keys and names (with the nearest one), wrong types, arguments that a constructor doesn't take.
    """
    path = Path(path)
    if path.suffix == ".nc":
        text = results.load(path).attrs.get("study")
        if text is None:
            raise StudyError(f"{path} is a result, but not one of a configuration file")
    else:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (UnicodeDecodeError, OSError) as error:
            raise StudyError(f"{path} can't be read as a TOML file: {error}") from None
    try:
        return parsed(text)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from error


def parsed(text: str) -> Study:
    """A study from the text of a TOML file.

    **Raises:** as `read_study`, without the path.
    """
    try:
        configuration = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"not TOML: {error}") from None
    kind = _of_type(configuration.get("kind", "sweep"), str, "kind", _PLAIN["kind"][1])
    if kind not in _KINDS:
        raise StudyError(f"kind: {nearest('kind', kind, _KINDS)}")
    known, required = _KINDS[kind]
    everything = {key for keys, _ in _KINDS.values() for key in keys}
    for key in configuration:
        if key in everything and key not in known:
            whose = next(name for name, (keys, _) in _KINDS.items() if key in keys)
            raise StudyError(f"{key}: it is for a {whose}; a {kind} has none")
    check_keys(configuration, [*_ANY, *known], "", required=required)
    plain = {key: _plain(key, value) for key, value in configuration.items() if key in _PLAIN and key != "kind"}
    for key in ("rounds", "horizon"):
        if key in plain and plain[key] < 1:
            raise StudyError(f"{key}: expected at least 1, got {plain[key]}")
    parse = {"regret": _regret, "metagame": _metagame, "leading": _leading}
    if kind in parse:
        try:
            return Study(kind, *parse[kind](configuration, plain), {}, text)
        except StudyError:
            raise
        except (TypeError, ValueError) as error:
            raise StudyError(str(error)) from error
    rounds = plain["rounds"]
    over = _over(configuration)
    _check_references(configuration, over, kind)
    put = _set(configuration)
    if both := [name for name in put if name in over.names]:
        raise StudyError(f"set: {both[0]!r} is swept, too; expected one of both")
    game, entry = _game(configuration["game"], rounds, put)
    methods, first, learners = _methods(configuration["methods"], entry, game, rounds, over, put)
    options: dict[str, Any] = dict(plain)
    for key in ("nash", "stackelberg", "start"):
        if key in options:
            options[key] = tuple(_action(action, f"{key}[{i}]") for i, action in enumerate(options[key]))
    if "record" in configuration:
        options["record"] = _record(configuration["record"])
    if kind == "sweep":
        options["over"] = over
        try:
            units = _flat(_of_type(configuration.get("units", {}), dict, "units", "a table"), "units", _RANGE)
            options["units"] = check_units(units, over)
        except (TypeError, ValueError) as error:
            raise StudyError(str(error)) from error
    if entry is not None:
        options.setdefault("title", entry.title)
        options.setdefault("action_labels", entry.actions)
        options.setdefault("payoff_labels", entry.payoffs)
        if entry.start is not None:
            options.setdefault("start", entry.start)
    _check_paths(over, first, learners, [game, *methods.values()])
    figure = _figure(configuration.get("figure", {}), over, plain.get("keep"))
    return Study(kind, game, methods, options, figure, text)


@dataclass(frozen=True)
class AtHorizon:
    """A function of the horizon that makes a game, or the learners of a game.

    **Attributes:** `make`: a `FromTable`; `game`: of learners, the function of the horizon that makes their game.
    """

    make: FromTable
    game: Any = None

    def __call__(self, horizon: int) -> Any:
        """The game, or one learner a player."""
        return self.make(rounds=horizon, **({} if self.game is None else {"game": self.game(horizon)}))


def _regret(configuration: Mapping[str, Any], options: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """A bandit, pairs of learners and options of `regret`; all are made once, for the first horizon."""
    horizons = options["horizons"]
    if not horizons or not all(isinstance(T, int) and not isinstance(T, bool) and T > 0 for T in horizons):
        raise StudyError(f"horizons: expected numbers of rounds, as in [1000, 10000], got {horizons!r}")
    _no_references(configuration["game"], "game")
    table, put = _of_type(configuration["game"], dict, "game", "a table"), _set(configuration)
    game = AtHorizon(FromTable(table, "game", "game", put))
    first = _put(set_game, made_game(table, "game", horizons[0]), put)
    pairs, firsts = {}, {}
    for name, table in _by_name(configuration["methods"], "methods").items():
        where = f"methods.{name}" if table != name else "methods"
        _no_references(table, where)
        pairs[name] = AtHorizon(FromTable(table, where, "players", put), game)
        firsts[name] = made_players(table, where, first, horizons[0])
    _put(set_players, firsts, first, put)
    entry = catalogue.INSTANCES.get(str(configuration["game"].get("name")))
    if entry is not None:
        options = {"title": entry.title, "gamma": entry.gamma} | options
    return game, pairs, options


def _metagame(configuration: Mapping[str, Any], options: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Instances, learners by role and options of `metagame`."""
    horizon = options["horizon"]
    _no_references(configuration["game"], "game")
    put = _set(configuration)
    game = made_game(_of_type(configuration["game"], dict, "game", "a table"), "game", horizon, batches=True)
    game = _put(set_game, game, put)
    methods: dict[str, dict[str, Any]] = {}
    for key in ("leaders", "followers"):
        methods[key] = {}
        for name, table in _by_name(configuration[key], key).items():
            where = f"{key}.{name}" if table != name else key
            _no_references(table, where)
            asked = {"name": table, "tuned": True} if isinstance(table, str) else table
            methods[key][name] = made_learner(asked, where, key[:-1], game, horizon)
    methods["leaders"], methods["followers"] = _put(set_sides, methods["leaders"], methods["followers"], game, put)
    entry = catalogue.INSTANCES.get(str(configuration["game"].get("name")))
    return game, methods, ({} if entry is None else {"title": entry.title}) | options


def _leading(configuration: Mapping[str, Any], options: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """A Markov game of the catalogue, leaders with their oracles and options of `lead`."""
    table = dict(_of_type(configuration["game"], dict, "game", "a table"))
    check_keys(table, ("name",), "game", required=("name",))
    if table["name"] not in catalogue.MARKOV_GAMES:
        raise StudyError(f"game.name: {nearest('game', str(table['name']), catalogue.MARKOV_GAMES)}")
    entry = catalogue.MARKOV_GAMES[table["name"]]
    game, methods, rounds = entry.make(), {}, {}
    for name, one in _by_name(configuration["methods"], "methods").items():
        where = f"methods.{name}" if one != name else "methods"
        if isinstance(one, str):
            leader, slash, oracle = one.rpartition("/")
            if not slash:
                raise StudyError(f"{where}: expected LEADER/ORACLE, such as 'policy-gradient/q-learning', got {one!r}")
            one = {"leader": leader, "oracle": oracle}
        one = dict(_of_type(one, dict, where, "a text, or a table with leader and oracle"))
        switches = ("hidden", "rewarded", "recognisable")
        check_keys(one, ("leader", "oracle", *switches), where, required=("leader", "oracle"))
        leads = leader_entry(str(one["leader"]), f"{where}.leader")
        if one["oracle"] not in catalogue.ORACLES:
            raise StudyError(f"{where}.oracle: {nearest('oracle', str(one['oracle']), catalogue.ORACLES)}")
        asked = [key for key in switches if _of_type(one.get(key, False), bool, f"{where}.{key}", "true or false")]
        methods[name] = catalogue.leading(entry, game, leads, one["oracle"], *asked)
        rounds[name] = leads.rounds
    own = {"title": entry.title, "states": entry.states, "actions": entry.actions, "rounds": rounds}
    return game, methods, own | {"replicates": entry.replicates} | options


def _by_name(part: Any, where: str) -> dict[str, Any]:
    """Name -> what is meant: of an array of names, of a table of tables."""
    if isinstance(part, list):
        names = [_of_type(name, str, where, "names") for name in part]
        if len(set(names)) < len(names):
            raise StudyError(f"{where}: two have the same name")
        part = {name: name for name in names}
    part = _of_type(part, dict, where, "an array of names or a table of tables")
    if not part or "" in part:
        raise StudyError(f"{where}: expected at least one, and no empty name")
    return dict(part)


def _no_references(part: Any, where: str) -> None:
    for name in references(part):
        raise StudyError(f"{where}: '${name}': nothing is swept, so no {name!r}")


def _plain(key: str, value: Any) -> Any:
    kind, expected = _PLAIN[key]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if key == "keep" and isinstance(value, list) and not all(isinstance(name, str) for name in value):
        raise StudyError(f"keep: expected {expected}, got {value!r}")
    return _of_type(value, kind, key, expected)


def _of_type(value: Any, kind: type, where: str, expected: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise StudyError(f"{where}: expected {expected}, got {value!r}")
    return value


def _action(value: Any, where: str) -> Any:
    try:
        number = not isinstance(value, str | bool) and jnp.asarray(value, jnp.result_type(float))
    except (TypeError, ValueError, OverflowError):
        number = False
    if number is False:
        raise StudyError(f"{where}: expected a number or an array of numbers, got {value!r}")
    return number if isinstance(value, list) else value


def _set(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What is put at paths, in all settings alike."""
    flat = _flat(_of_type(configuration.get("set", {}), dict, "set", "a table"), "set", ("class",))
    return {name: made_value(value, f"set.{name}") for name, value in flat.items()}


def _put(setter: Callable[..., Any], *given: Any) -> Any:
    """What `set_game` or `set_players` returns; what they complain of is in the table `set`."""
    try:
        return setter(*given)
    except (TypeError, ValueError) as error:
        raise StudyError(f"set: {error}") from error


def _game(table: Any, rounds: int, put: Mapping[str, Any]) -> tuple[Any, Any]:
    """The game, or what makes it; and the catalogue's entry, if it is one."""
    table = _of_type(table, dict, "game", "a table")
    if list(references(table)):
        return FromTable(table, "game", "game", put), entry_called(table.get("name"))
    game = _put(set_game, made_game(table, "game", rounds), put)
    return game, entry_called(table.get("name"))


def _methods(
    part: Any, entry: Any, game: Any, rounds: int, over: Over, put: Mapping[str, Any]
) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """Name -> learners, or what makes them; and the game and all learners, made with the first of what is swept."""
    tables = _by_name(part, "methods")
    values = over.at((0,) * len(over.axes))
    first = called(game, values, {"rounds": rounds}) if isinstance(game, FromTable) else game
    makers: dict[str, FromTable] = {}
    firsts: dict[str, Any] = {}
    for name, table in tables.items():
        where = f"methods.{name}" if table != name else "methods"
        if entry is not None and isinstance(table, str) and (table in entry.methods or "/" not in table):
            if table not in entry.methods:
                raise StudyError(f"{where}: {nearest('method', table, entry.methods)}")
            firsts[name] = entry.methods[table]()
            continue
        make = FromTable(table, where, "players", put)
        firsts[name] = called(make, values, {"game": first, "rounds": rounds})
        if list(references(table)) or (isinstance(game, FromTable) and tuned(table)):
            makers[name] = make
    firsts = _put(set_players, firsts, first, put)
    return firsts | makers, first, firsts


def _check_paths(over: Over, game: Any, methods: Mapping[str, Any], makers: Sequence[Any]) -> None:
    """Does every swept name lead somewhere, in all methods, as it must?"""
    values = over.at((0,) * len(over.axes))
    try:
        check_used(over, makers)
    except ValueError as error:
        raise StudyError(str(error)) from error
    try:
        set_game(game, {name: value for name, value in values.items() if name.startswith("game.")})
        for learners in methods.values():
            own = {name: value for name, value in values.items() if is_path(name) and not name.startswith("game.")}
            set_players({"": learners}, game, own)
    except PathError as error:
        raise StudyError(f"over: {error}") from error
    except (TypeError, ValueError):
        pass  # of a value, which is told with its setting


def _over(configuration: Mapping[str, Any]) -> Over:
    """The axes: a grid and zips."""
    zips = _of_type(configuration.get("zip", []), list, "zip", "an array of tables, [[zip]]")
    axes = Over(())
    try:
        if "over" in configuration:
            table = _of_type(configuration["over"], dict, "over", "a table")
            axes = grid({name: _column(value, f"over.{name}") for name, value in _flat(table, "over", _RANGE).items()})
        for i, one in enumerate(zips):
            one = dict(_of_type(one, dict, f"zip[{i}]", "a table"))
            dim = _of_type(one.pop("dim", "setting" if i == 0 else f"setting_{i}"), str, f"zip[{i}].dim", "a text")
            flat = _flat(one, f"zip[{i}]", _RANGE)
            columns = {name: _column(value, f"zip[{i}].{name}") for name, value in flat.items()}
            axes = axes * zipped(columns, dim=dim)
    except (TypeError, ValueError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(str(error)) from error
    return axes


def _flat(table: Mapping[str, Any], where: str, last: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """`leader.step = [...]` without quotes is a table in a table: the same name.

    **Arguments:** `last`: keys of tables that are values themselves.
    """
    flattened: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        nested = isinstance(value, Mapping) and bool(value) and not set(value) & set(last)
        for inner, each in (_flat(value, where, last, f"{name}.") if nested else {name: value}).items():
            if inner in flattened:
                raise StudyError(f"{where}: {inner!r} stands there twice, with and without quotes")
            flattened[inner] = each
    return flattened


_SPACINGS = ("log", "linear", "sample")
_RANGE = (*_SPACINGS, "low", "high")
#: Values of one name.
_MOST = 10**6


def _column(value: Any, where: str) -> Any:
    """Values: an array, or `{low, high, log | linear | sample = n}`."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping) or not value:
        raise StudyError(f"{where}: expected an array of values, or a table with low and high, got {value!r}")
    check_keys(value, ("low", "high", *_SPACINGS, "seed"), where, required=("low", "high"))
    spacings = [name for name in _SPACINGS if name in value]
    if len(spacings) != 1 or ("seed" in value) != (spacings == ["sample"]):
        raise StudyError(f"{where}: expected log = n, linear = n, or sample = n with a seed, got {dict(value)}")
    for name in ("low", "high"):
        if isinstance(value[name], bool) or not isinstance(value[name], int | float):
            raise StudyError(f"{where}.{name}: expected a number, got {value[name]!r}")
    n = _of_type(value[spacings[0]], int, f"{where}.{spacings[0]}", "how many values")
    low, high = value["low"], value["high"]
    if not 1 <= n <= _MOST or not -math.inf < low < high < math.inf or (spacings != ["linear"] and low <= 0):
        limits = f"low < high (0 < low unless linear) and 1 to {_MOST} values"
        raise StudyError(f"{where}: expected {limits}, got {dict(value)}")
    if spacings == ["sample"]:
        seed = _of_type(value["seed"], int, f"{where}.seed", "a whole number")
        if seed < 0:
            raise StudyError(f"{where}.seed: expected 0 or more, got {seed}")
        return log_uniform(low, high, n, seed)
    space = np.geomspace if spacings == ["log"] else np.linspace
    return space(low, high, n)


def _record(part: Any) -> Record:
    table = dict(_of_type(part, dict, "record", "a table"))
    check_keys(table, ("kind", "number", "strategies", "payoffs", "visits"), "record", required=("kind",))
    kind = table.pop("kind")
    if not isinstance(kind, str) or kind not in _RECORDS:
        raise StudyError(f"record.kind: {nearest('kind', str(kind), _RECORDS)}")
    number = table.pop("number", None)
    if (number is None) != (kind == "final"):
        raise StudyError(f"record: expected a number of rounds or of points for {kind!r}, got {number!r}")
    for name in ("strategies", "visits"):
        if name in table:
            _of_type(table[name], bool, f"record.{name}", "true or false")
    if table.get("payoffs") == "none":
        table["payoffs"] = None
    try:
        return _RECORDS[kind](*([] if number is None else [number]), **table)
    except (TypeError, ValueError) as error:
        raise StudyError(f"record: {error}") from error


def _figure(part: Any, over: Over, keep: Sequence[str] | None) -> dict[str, Any]:
    """How the figure is drawn, as far as that can be told before there is a result."""
    table = _of_type(part, dict, "figure", "a table")
    check_keys(table, list(_FIGURE), "figure")
    swept = list(dict.fromkeys([*over.names, *(axis.dim for axis in over.axes)]))
    known = {key: [*swept, "methods"] for key in ("colour", "column", "pool")}
    known |= {"x": [*swept, "rounds"], "log": ["x", "y"]} | ({} if keep is None else {"variable": list(keep)})
    for key, value in table.items():
        _of_type(value, _FIGURE[key][0], f"figure.{key}", _FIGURE[key][1])
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str):
                raise StudyError(f"figure.{key}: expected {_FIGURE[key][1]}, got {value!r}")
            if key in known and one not in known[key]:
                raise StudyError(f"figure.{key}: {nearest('name', one, known[key])}")
    return dict(table)


def _check_references(configuration: Mapping[str, Any], over: Over, kind: str) -> None:
    """Does every `"$name"` refer to something that is swept?"""
    for place in ("game", "methods"):
        for name in references(configuration[place]):
            if kind != "sweep" or name not in over.names:
                known = over.names
                what = nearest("swept name", name, known) if known else f"nothing is swept, so no {name!r}"
                raise StudyError(f"{place}: '${name}': {what}")
