"""Games, learners and schedules from tables of a configuration file: names and arguments, strictly checked.

`{class = "PowerLaw", scale = 1.0, exponent = 0.5}` calls that constructor; `{name = "duopoly"}` is what the catalogue
has under that name. A text `"$step"` stands for the swept value of that name, so that one value may stand in several
places.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from stackjax import catalogue, games, learners, schedules
from stackjax.checks import nearest
from stackjax.experiments.settings import parameters
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.protocols import Game, Learner

_SCHEDULES: Mapping[str, Callable[..., Any]] = {
    "CommitmentTimes": schedules.commitment_times,
    "Constant": schedules.Constant,
    "PowerLaw": schedules.PowerLaw,
}


def _constructors(room: Any, kind: type) -> dict[str, Callable[..., Any]]:
    """The classes of a room, and what else makes one of them: `Quadratic.random`."""
    makers: dict[str, Callable[..., Any]] = {}
    for name, value in vars(room).items():
        if isinstance(value, type) and issubclass(value, kind) and not name.startswith("_"):
            makers[name] = value
            for other, make in vars(value).items():
                made = inspect.signature(make.__func__).return_annotation if hasattr(make, "__func__") else None
                if not other.startswith("_") and made == name:
                    makers[f"{name}.{other}"] = getattr(value, other)
    return makers


@functools.cache
def constructors(kind: str) -> Mapping[str, Callable[..., Any]]:
    """What makes a "game", a "learner" or a "schedule", by its name in Python."""
    if kind == "game":
        left_out = ("FunctionGame",)  # made of functions, which a file can't hold
        return {name: make for name, make in _constructors(games, Game).items() if name not in left_out}
    return _constructors(learners, Learner) if kind == "learner" else _SCHEDULES


class StudyError(ValueError):
    """What is wrong in a configuration file, and where."""


def references(value: Any) -> Iterator[str]:
    """The names of swept values that a part of a configuration refers to."""
    if isinstance(value, str) and value.startswith("$"):
        yield value[1:]
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from references(inner)


def substituted(value: Any, values: Mapping[str, Any]) -> Any:
    """A part of a configuration with values in place of references."""
    if isinstance(value, str) and value.startswith("$"):
        return values[value[1:]]
    if isinstance(value, Mapping):
        return {key: substituted(inner, values) for key, inner in value.items()}
    return [substituted(inner, values) for inner in value] if isinstance(value, list) else value


def tuned(part: Any) -> bool:
    """Whether learners depend on the game: a pair by name, or one that is tuned."""
    players = list(part.values()) if isinstance(part, Mapping) else part
    return isinstance(part, str) or any(isinstance(one, Mapping) and bool(one.get("tuned")) for one in players)


@dataclass(frozen=True)
class FromTable:
    """A function of swept values that makes what a part of a configuration says.

    **Attributes:** `said`: that part; `where` it stands; `kind`: "game" or "players".
    """

    said: Any
    where: str
    kind: str

    @property
    def __signature__(self) -> inspect.Signature:
        names = dict.fromkeys(
            [*references(self.said), *{"game": ("rounds",), "players": ("game", "rounds")}[self.kind]]
        )
        return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])

    def __call__(self, **values: Any) -> Any:
        """The game, or one learner a player."""
        part = substituted(self.said, values)
        if self.kind == "game":
            return made_game(part, self.where, values["rounds"])
        return made_players(part, self.where, values["game"], values["rounds"])


def made_game(part: Any, where: str, rounds: int, batches: bool = False) -> Game:
    """The game of a table; with `batches`, of a family also `instances` of them.

    **Raises:** `StudyError` that says where.
    """
    table = _table(part, where)
    if "name" not in table:
        return _constructed(table, where, "game")
    if "class" in table:
        raise StudyError(f"{where}: expected a table with either a class or a name, got the keys {list(table)}")
    name, rest = table["name"], {key: value for key, value in table.items() if key != "name"}
    known = [*catalogue.GAMES, *catalogue.INSTANCES, *catalogue.FAMILIES]
    if not isinstance(name, str) or name not in known:
        raise StudyError(f"{where}.name: {nearest('game', str(name), known)}")
    if name in catalogue.GAMES:
        return _called(catalogue.GAMES[name].make, rest, where)
    if name in catalogue.INSTANCES:
        make: Callable[..., Any] = functools.partial(catalogue.INSTANCES[name].make, rounds)
        return _called(make, rest, where, ("noise", "sigma"))
    make = getattr(bandit_instances, name.replace("-", "_"))
    if batches and "instances" in rest:
        make = functools.partial(make, batch=rest.pop("instances"))
    takes = [p for p in parameters(make)[0] if p != "batch"]
    return _called(make, rest, where, (*takes, "noise", "sigma"))


def made_players(part: Any, where: str, game: Game, rounds: int) -> tuple[Learner, ...]:
    """One learner a player: of a table with `leader` and `follower`, of an array, or of a name in the catalogue.

    **Raises:** `StudyError` that says where.
    """
    if isinstance(part, str):
        return _named_players(part, where, game, rounds)
    if isinstance(part, Mapping):
        check_keys(part, ("leader", "follower"), where, required=("leader", "follower"))
        part = [part["leader"], part["follower"]]
        places = [f"{where}.leader", f"{where}.follower"]
    elif isinstance(part, list):
        places = [f"{where}[{i}]" for i in range(len(part))]
    else:
        raise StudyError(f"{where}: expected a table with leader and follower, or an array of learners, got {part!r}")
    return tuple(
        made_learner(one, place, role, game, rounds)
        for one, place, role in zip(part, places, ("leader", *["follower"] * len(part)), strict=False)
    )


def _named_players(text: str, where: str, game: Game, rounds: int) -> tuple[Learner, ...]:
    """`"ucb/etc"`, both tuned to the bandit and the horizon."""
    if not isinstance(game, StackelbergBandit) or text.count("/") != 1:
        raise StudyError(f"{where}: expected LEADER/FOLLOWER for a Stackelberg bandit, such as 'ucb/ucb', got {text!r}")
    pair = zip(("leader", "follower"), text.split("/"), strict=True)
    return tuple(made_learner({"name": name, "tuned": True}, where, role, game, rounds) for role, name in pair)


def made_learner(part: Any, where: str, role: str, game: Game, rounds: int) -> Learner:
    """The learner of a table.

    **Raises:** `StudyError` that says where.
    """
    table = _table(part, where)
    if not isinstance(table.get("tuned", False), bool):
        raise StudyError(f"{where}.tuned: expected true or false, got {table['tuned']!r}")
    if not table.get("tuned", False):
        return _constructed({k: v for k, v in table.items() if k != "tuned"}, where, "learner")
    check_keys(table, ("name", "tuned"), where, required=("name",))
    known = catalogue.LEADERS if role == "leader" else catalogue.FOLLOWERS
    name = catalogue.ALIASES.get(str(table["name"]), str(table["name"]))
    if name not in known:
        names = [*known, *(alias for alias, target in catalogue.ALIASES.items() if target in known)]
        raise StudyError(f"{where}: {nearest('tuned ' + role, name, names)}")
    if not isinstance(game, StackelbergBandit):
        raise StudyError(
            f"{where}: only learners of Stackelberg bandits are tuned, the game is a {type(game).__name__}"
        )
    return known[name](game, rounds)


def _constructed(table: Mapping[str, Any], where: str, kind: str) -> Any:
    """What a table with `class` says; of learners also one with `name`."""
    rest = {key: value for key, value in table.items() if key not in ("class", "name")}
    if kind == "learner" and "name" in table and "class" not in table:
        name = catalogue.ALIASES.get(table["name"], table["name"]) if isinstance(table["name"], str) else ""
        if name not in catalogue.LEARNERS:
            raise StudyError(f"{where}.name: {nearest('learner', str(table['name']), catalogue.LEARNERS)}")
        return _called(catalogue.LEARNERS[name], rest, where)
    if "class" not in table or "name" in table:
        raise StudyError(f"{where}: expected a table with either a class or a name, got the keys {list(table)}")
    known = constructors(kind)
    if not isinstance(table["class"], str) or table["class"] not in known:
        raise StudyError(f"{where}.class: {nearest(kind, str(table['class']), known)}")
    return _called(known[table["class"]], rest, where)


def _called(make: Callable[..., Any], table: Mapping[str, Any], where: str, takes: Sequence[str] | None = None) -> Any:
    """A constructor's result, its arguments made and checked against its signature."""
    declared = inspect.signature(make).parameters
    takes = parameters(make)[0] if takes is None else takes
    table = dict(table)
    if "key" in takes:  # a file says an integer
        takes = [name if name != "key" else "seed" for name in takes]
    unknown = [name for name in table if name not in takes]
    if unknown:
        what = nearest("argument", unknown[0], takes) if takes else f"unknown argument {unknown[0]!r}; there are none"
        raise StudyError(f"{where}: {what}")
    missing = [
        name
        for name in takes
        if name not in table
        and (p := declared.get("key" if name == "seed" and "key" in declared else name)) is not None
        and p.default is inspect.Parameter.empty
    ]
    if missing:
        raise StudyError(f"{where}: the argument {missing[0]!r} is missing")
    arguments = {name: _argument(value, f"{where}.{name}", name) for name, value in table.items()}
    if "key" in declared and "seed" in arguments:
        seed = arguments.pop("seed")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise StudyError(f"{where}.seed: expected a whole number in [0, 2^32), got {seed!r}")
        arguments["key"] = jax.random.key(seed)
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:
        raise StudyError(f"{where}: {error}") from error


def _argument(value: Any, where: str, name: str) -> Any:
    """A number, a text, an array, or what a table says."""
    if isinstance(value, Mapping):
        if name in ("game", "learner"):
            return _constructed(value, where, name)
        return _constructed(value, where, "schedule")
    if name == "action" and isinstance(value, list):  # a pytree of numbers otherwise
        return jnp.asarray(value)
    return value


def _table(part: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise StudyError(f"{where}: expected a table, such as {{name = ...}} or {{class = ...}}, got {part!r}")
    return part


def check_keys(table: Mapping[str, Any], known: Sequence[str], where: str, required: Sequence[str] = ()) -> None:
    """Are all keys of a table known, and those that must be there, there?

    **Raises:** `StudyError` with the nearest name.
    """
    at = f"{where}: " if where else ""
    for key in table:
        if key not in known:
            raise StudyError(f"{at}{nearest('key', key, known)}")
    for key in required:
        if key not in table:
            raise StudyError(f"{at}the key {key!r} is missing")
