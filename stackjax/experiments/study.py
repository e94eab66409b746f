"""Studies: sweeps and comparisons as TOML files, strictly read, and kept in their results."""

import inspect
import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from stackjax import catalogue
from stackjax._names import nearest
from stackjax.experiments import results
from stackjax.experiments._build import Maker, StudyError, check_keys, made_game, references, tuned
from stackjax.experiments._prepared import prepared
from stackjax.experiments.axes import Over, grid, log_uniform, zipped
from stackjax.experiments.compare import compare
from stackjax.experiments.estimates import Estimate, estimate
from stackjax.experiments.settings import called
from stackjax.experiments.sweep import check_units, sweep, target_of
from stackjax.trace import Record

if TYPE_CHECKING:
    import xarray

#: Keys of a file, with the types that they must have; the rest are tables of their own.
_PLAIN: Mapping[str, tuple[type, str]] = {
    "kind": (str, 'a text, "sweep" or "comparison"'),
    "title": (str, "a text"),
    "rounds": (int, "a whole number"),
    "replicates": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "common": (bool, "true or false"),
    "skip_phases": (bool, "true or false"),
    "benchmark": (str, "a text"),
    "gamma": (float, "a number"),
    "keep": (list, "an array of texts"),
    "start": (list, "an array with one entry a player"),
    "nash": (list, "an array with one action a player"),
    "stackelberg": (list, "an array with one action a player"),
}
_TABLES = ("game", "methods", "over", "zip", "units", "record", "figure")
_FIGURE: Mapping[str, tuple[type, str]] = {
    **{key: (str, "a text") for key in ("variable", "x", "colour", "column")},
    **{key: (list, "an array of texts") for key in ("pool", "log")},
}
_SWEEP_ONLY = ("common", "skip_phases", "benchmark", "gamma", "keep", "over", "zip", "units", "figure")
_RECORDS: Mapping[str, Callable[..., Record]] = {
    "every": Record.every,
    "log-spaced": Record.log_spaced,
    "final": Record.final,
}


class Study(NamedTuple):
    """What a configuration file says.

    **Attributes:** `kind`, "sweep" or "comparison"; `game`, `methods` and the `options` of `experiments.sweep` or
    `compare`; `text`: the file; `figure`: how its figure is drawn, the options of `stackjax.plots.plot_sweep`.
    """

    kind: str
    game: Any
    methods: Any
    options: dict[str, Any]
    figure: dict[str, Any]
    text: str

    def play(self, out: str | Path | None = None, **more: Any) -> "xarray.Dataset":
        """Do what it says. The result holds the file, and `stackjax run RESULT` does it again.

        **Arguments:** `out`: the result's file, as in `sweep`; `more`: `overwrite`, `budget`, `checkpoint`,
        `devices`, `progress`, `command` of `sweep`; of a comparison `devices`, `progress`, `command`.
        """
        attributes = {"figure": json.dumps(self.figure)}
        if self.kind == "sweep":
            attributes["study"] = self.text
            return sweep(self.game, self.methods, out=out, attributes=attributes, **self.options, **more)
        target = None if out is None else target_of(out)
        self.check()
        if target is not None:
            results.check_writable(target.parent)
        dataset = compare(self.game, self.methods, **self.options, **more).assign_attrs(study=self.text)
        if target is not None:
            results.save(dataset, target)
        return dataset

    def check(self) -> None:
        """Check everything that is checked before anything is played.

        **Raises:** `ValueError` or `TypeError` that names what is wrong.
        """
        prepared(self.game, self.methods, **self._options())

    def _options(self) -> dict[str, Any]:
        known = {"over", *inspect.signature(prepared).parameters}
        return {"over": None} | {key: value for key, value in self.options.items() if key in known}

    def estimate(self, **more: Any) -> Estimate:
        """What it would do, see `experiments.estimate`; of a comparison, which is cut in the same way."""
        return estimate(self.game, self.methods, **self._options(), **more)


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
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"not TOML: {error}") from None
    check_keys(said, [*_PLAIN, *_TABLES], "", required=("rounds", "game", "methods"))
    plain = {key: _plain(key, value) for key, value in said.items() if key in _PLAIN}
    kind = plain.pop("kind", "sweep")
    if kind not in ("sweep", "comparison"):
        raise StudyError(f"kind: {nearest('kind', kind, ('sweep', 'comparison'))}")
    if kind == "comparison":
        for key in said:
            if key in _SWEEP_ONLY:
                raise StudyError(f"{key}: it is for a sweep; a comparison has none")
    rounds = plain["rounds"]
    if rounds < 1:
        raise StudyError(f"rounds: expected at least 1, got {rounds}")
    over = _over(said)
    _check_references(said, over, kind)
    game, entry = _game(said["game"], rounds)
    methods = _methods(said["methods"], entry, game, rounds, over)
    options: dict[str, Any] = dict(plain)
    for key in ("nash", "stackelberg", "start"):
        if key in options:
            options[key] = tuple(_action(action, f"{key}[{i}]") for i, action in enumerate(options[key]))
    if "record" in said:
        options["record"] = _record(said["record"])
    if kind == "sweep":
        options["over"] = over
        try:
            units = _flat(_of_type(said.get("units", {}), dict, "units", "a table"), "units")
            options["units"] = check_units(units, over)
        except (TypeError, ValueError) as error:
            raise StudyError(str(error)) from error
    if entry is not None:
        options.setdefault("title", entry.title)
        options.setdefault("action_labels", entry.actions)
        options.setdefault("payoff_labels", entry.payoffs)
        if entry.start is not None:
            options.setdefault("start", entry.start)
    figure = _figure(said.get("figure", {}), over, plain.get("keep"))
    return Study(kind, game, methods, options, figure, text)


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


def _game(said: Any, rounds: int) -> tuple[Any, Any]:
    """The game, or what makes it; and the catalogue's entry, if it is one."""
    said = _of_type(said, dict, "game", "a table")
    entry = catalogue.GAMES.get(said.get("name", "")) if isinstance(said.get("name"), str) else None
    if list(references(said)):
        return Maker(said, "game", "game"), entry
    return made_game(said, "game", rounds), entry


def _methods(said: Any, entry: Any, game: Any, rounds: int, over: Over) -> dict[str, Any]:
    """Name -> learners, or what makes them; all are made once, with the first of what is swept."""
    if isinstance(said, list):
        names = [_of_type(name, str, "methods", "names") for name in said]
        said = {name: name for name in names}
        if len(said) < len(names):
            raise StudyError("methods: two have the same name")
    said = _of_type(said, dict, "methods", "an array of names or a table of tables")
    if not said or "" in said:
        raise StudyError("methods: expected at least one, and no empty name")
    values = over.at((0,) * len(over.axes))
    first = called(game, values, {"rounds": rounds}) if isinstance(game, Maker) else game
    found: dict[str, Any] = {}
    for name, table in said.items():
        where = f"methods.{name}" if table != name else "methods"
        if entry is not None and isinstance(table, str):
            if table not in entry.methods:
                raise StudyError(f"{where}: {nearest('method', table, entry.methods)}")
            found[name] = entry.methods[table]()
            continue
        make = Maker(table, where, "players")
        found[name] = called(make, values, {"game": first, "rounds": rounds})
        if list(references(table)) or (isinstance(game, Maker) and tuned(table)):
            found[name] = make
    return found


def _over(said: Mapping[str, Any]) -> Over:
    """The axes: a grid and zips."""
    zips = _of_type(said.get("zip", []), list, "zip", "an array of tables, [[zip]]")
    found = Over(())
    try:
        if "over" in said:
            table = _of_type(said["over"], dict, "over", "a table")
            found = grid({name: _column(value, f"over.{name}") for name, value in _flat(table, "over").items()})
        for i, one in enumerate(zips):
            one = dict(_of_type(one, dict, f"zip[{i}]", "a table"))
            dim = _of_type(one.pop("dim", "setting" if i == 0 else f"setting_{i}"), str, f"zip[{i}].dim", "a text")
            columns = {name: _column(value, f"zip[{i}].{name}") for name, value in _flat(one, f"zip[{i}]").items()}
            found = found * zipped(columns, dim=dim)
    except (TypeError, ValueError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(str(error)) from error
    return found


def _flat(table: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    """`leader.step = [...]` without quotes is a table in a table: the same name."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        nested = isinstance(value, Mapping) and bool(value) and not set(value) & {*_SPACINGS, "low", "high"}
        for inner, each in (_flat(value, where, f"{name}.") if nested else {name: value}).items():
            if inner in found:
                raise StudyError(f"{where}: {inner!r} stands there twice, with and without quotes")
            found[inner] = each
    return found


_SPACINGS = ("log", "linear", "sample")
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


def _record(said: Any) -> Record:
    table = dict(_of_type(said, dict, "record", "a table"))
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


def _figure(said: Any, over: Over, keep: Sequence[str] | None) -> dict[str, Any]:
    """How the figure is drawn, as far as that can be told before there is a result."""
    table = _of_type(said, dict, "figure", "a table")
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


def _check_references(said: Mapping[str, Any], over: Over, kind: str) -> None:
    """Does every `"$name"` refer to something that is swept?"""
    for place in ("game", "methods"):
        for name in references(said[place]):
            if kind != "sweep" or name not in over.names:
                known = over.names
                what = nearest("swept name", name, known) if known else f"nothing is swept, so no {name!r}"
                raise StudyError(f"{place}: '${name}': {what}")
