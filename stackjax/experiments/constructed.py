"""Games, learners and schedules from tables of a configuration file: names and arguments, strictly checked.

`{class = "PowerLaw", scale = 1.0, exponent = 0.5}` calls that constructor; `{name = "duopoly"}` is what the catalogue
has under that name; `module:Class` in place of either is whatever that module has. A text `"$step"` stands for the
swept value of that name, so that one value may stand in several places.

In one line, as a command has it, the same is `PowerLaw(scale=1.0, exponent=0.5)`: `called_table` reads it.
"""

import ast
import contextlib
import functools
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from stackjax import catalogue, games, learners, schedules
from stackjax.catalogue import plugins
from stackjax.catalogue.bandits import tuned as tuned_learner
from stackjax.catalogue.learners import is_tuned
from stackjax.checks import nearest
from stackjax.experiments.run import roles_of
from stackjax.experiments.settings import parameters, set_game, set_players
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.protocols import Game, Learner, Signal

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

    **Attributes:** `said`: that part; `where` it stands; `kind`: "game" or "players"; `values`: what is put into it,
    by paths.
    """

    said: Any
    where: str
    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)

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
            return set_game(made_game(part, self.where, values["rounds"]), self.values)
        made = made_players(part, self.where, values["game"], values["rounds"])
        return set_players({"": made}, values["game"], self.values, needed=False)[""]  # another method may have it


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
        return _checked(_called(_plugged(name, f"{where}.name", "game", known), rest, where), "game", where)
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


def game_entry(text: str) -> catalogue.GameEntry:
    """A game as it is compared: the catalogue's or another package's by its name, `module:Class`, or a class.

    `duopoly`, `mypackage.games:Auction(bidders=3)`, `Quadratic.random(seed=1, dims=[2, 3])`; of what is no `GameEntry`
    the methods are left to be said.

    **Raises:** `StudyError`, a `ValueError`, with the nearest name.
    """
    table = called_table(text, "game")
    name = table["name"]
    known = [*catalogue.GAMES, *plugins.registered("game")]
    entry = entry_called(name)
    if entry is not None and len(table) == 1:
        return entry
    if name in constructors("game"):
        table["class"] = table.pop("name")
    elif ":" not in name and name not in known:
        raise StudyError(nearest("game", name, known))
    game = made_game(table, name, 1)
    roles = roles_of(game)
    about = (inspect.getdoc(type(game)) or "").partition("\n\n")[0].replace("\n", " ").rstrip(".")
    about = "" if about.startswith(f"{type(game).__name__}(") else about  # a dataclass's own
    return catalogue.GameEntry(
        make=lambda: game,
        title=type(game).__name__,
        summary=about,
        methods={},
        default=(),
        actions=tuple(f"action of {role}" for role in roles),
        payoffs=tuple(f"payoff of {role}" for role in roles),
    )


def entry_called(name: Any) -> catalogue.GameEntry | None:
    """The `GameEntry` of that name, if it is one: the catalogue's, another package's or `module:NAME`.

    **Raises:** `StudyError` for a `module:NAME` that isn't there.
    """
    try:
        found = isinstance(name, str) and (catalogue.GAMES.get(name) or plugins.plugged(name, "game"))
    except ValueError as error:
        raise StudyError(f"{name}: {error}") from error
    return found if isinstance(found, catalogue.GameEntry) else None


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
    """`"ucb/etc"`, both tuned to the bandit and the horizon; `"hi-c(step=0.1, ...)/gradient-ascent(step=0.1)"`."""
    parts, players = split(text, "/"), len(game.spaces)
    if len(parts) != players:
        example = "/".join(["ucb" if isinstance(game, StackelbergBandit) else "gradient-ascent(step=0.1)"] * players)
        raise StudyError(f"{where}: expected one learner a player, such as {example!r}, got {text!r}")
    if isinstance(game, StackelbergBandit):
        roles = ("leader", *["follower"] * (players - 1))
        return tuple(tuned_by_name(part, role, where)(game, rounds) for part, role in zip(parts, roles, strict=True))
    return tuple(_one_learner(called_table(part, where), f"{where}, {part}") for part in parts)


def leader_entry(text: str, where: str) -> catalogue.LeaderEntry:
    """A leader of a Markov game: the catalogue's, or any learner, `module:Class(step=0.1)`, for 1000 rounds.

    **Raises:** `StudyError` that says where.
    """
    if text in catalogue.MARKOV_LEADERS:
        return catalogue.MARKOV_LEADERS[text]
    if not set(text) & set(":("):
        raise StudyError(f"{where}: {nearest('leader', text, catalogue.MARKOV_LEADERS)}")
    learner = _one_learner(called_table(text, where), where)
    return catalogue.LeaderEntry(lambda: learner, "a learner of one's own", 1000)


def tuned_by_name(text: str, role: str, where: str) -> Callable[[StackelbergBandit, int], Learner]:
    """A function of a bandit and a horizon that makes a leader or a follower.

    One of the catalogue's by its name; `module:Class`, tuned if it has a `tuned`; or any learner with its arguments,
    `epsilon-greedy(epsilon=0.1)`, to which the horizon is added if it takes one. If it doesn't see the leader's arm, a
    follower learns for each of them.

    **Raises:** `StudyError` that says where.
    """
    return _tuned(called_table(text, where), role, where)


def _tuned(table: Mapping[str, Any], role: str, where: str) -> Callable[[StackelbergBandit, int], Learner]:
    known = catalogue.LEADERS if role == "leader" else catalogue.FOLLOWERS
    name = catalogue.ALIASES.get(table["name"], table["name"])
    given = {key: value for key, value in table.items() if key != "name"}
    if not given and name in known:
        return known[name]
    if given:
        make = _learner_called(name, where)
    else:
        aliases = [alias for alias, target in catalogue.ALIASES.items() if target in known]
        make = _plugged(name, where, f"tuned {role}", [*known, *aliases])

    def made(game: StackelbergBandit, horizon: int) -> Learner:
        if not given and is_tuned(make):
            return tuned_learner(make, role, game, horizon)
        arguments = {"horizon": horizon} if "horizon" in parameters(make)[0] else {}
        learner = _checked(_called(make, arguments | given, where), "learner", where)
        alone = role == "follower" and Signal.COMMITMENT not in learner.wants
        return learners.PerArm(learner) if alone else learner

    return made


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
    make = _tuned({"name": str(table["name"])}, role, where)
    if not isinstance(game, StackelbergBandit):
        raise StudyError(
            f"{where}: only learners of Stackelberg bandits are tuned, the game is a {type(game).__name__}"
        )
    return make(game, rounds)


def _constructed(table: Mapping[str, Any], where: str, kind: str) -> Any:
    """What a table with `class` says; of learners also one with `name`."""
    rest = {key: value for key, value in table.items() if key not in ("class", "name")}
    if kind == "learner" and "name" in table and "class" not in table:
        return _one_learner(table, where, ".name")
    if "class" not in table or "name" in table:
        raise StudyError(f"{where}: expected a table with either a class or a name, got the keys {list(table)}")
    name, known = table["class"], constructors(kind)
    if kind == "learner":
        make = _learner_called(name, f"{where}.class")
    else:
        make = (isinstance(name, str) and known.get(name)) or _plugged(name, f"{where}.class", kind, known)
    return _checked(_called(make, rest, where), kind, where)


def _one_learner(table: Mapping[str, Any], where: str, key: str = "") -> Learner:
    """The learner of a table with a name, which stands in `key`."""
    make = _learner_called(table["name"], f"{where}{key}")
    made = _called(make, {name: value for name, value in table.items() if name != "name"}, where)
    return _checked(made, "learner", where)


def _learner_called(name: Any, where: str) -> Callable[..., Any]:
    """A learner's class by its name in the catalogue, in Python, or `module:Class`."""
    name = str(name)
    known: dict[str, Callable[..., Any]] = {**constructors("learner"), **catalogue.LEARNERS}
    return known.get(catalogue.ALIASES.get(name, name)) or _plugged(name, where, "learner", known)


def _plugged(name: Any, where: str, kind: str, known: Iterable[str]) -> Callable[..., Any]:
    """What makes the thing that `module:Class` or a registered name stands for."""
    sort = kind.rpartition(" ")[2]
    try:
        found = plugins.plugged(str(name), sort if sort in ("game", "schedule") else "learner")
    except ValueError as error:
        raise StudyError(f"{where}: {error}") from error
    if found is None:
        raise StudyError(f"{where}: {nearest(kind, str(name), known)}")
    if isinstance(found, catalogue.GameEntry):
        return found.make
    return (lambda: found) if isinstance(found, Game | Learner) else found


def _checked(made: Any, kind: str, where: str) -> Any:
    """What a user's own function returned, if it is of the kind."""
    wanted = {"game": Game, "learner": Learner}.get(kind)
    if wanted is not None and not isinstance(made, wanted):
        raise StudyError(f"{where}: expected a stackjax {wanted.__name__}, got {made!r}")
    return made


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
    arguments = {name: made_value(value, f"{where}.{name}", name) for name, value in table.items()}
    if "key" in declared and "seed" in arguments:
        seed = arguments.pop("seed")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise StudyError(f"{where}.seed: expected a whole number in [0, 2^32), got {seed!r}")
        arguments["key"] = jax.random.key(seed)
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:
        raise StudyError(f"{where}: {error}") from error


def made_value(value: Any, where: str, name: str = "") -> Any:
    """A number, a text, an array, or what a table says.

    **Arguments:** `name`: of the argument.

    **Raises:** `StudyError` that says where.
    """
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


_CALL = re.compile(r"\s*([A-Za-z_][\w.:-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)


def called_table(text: str, where: str) -> dict[str, Any]:
    """`hi-c(step=PowerLaw(scale=1, exponent=1), commitment=5)` as a table: `{"name": "hi-c", "step": {"class": ...}}`.

    **Raises:** `StudyError` that says where.
    """
    call = _CALL.fullmatch(text)
    if call is None:
        raise StudyError(f"{where}: expected a name, or NAME(ARGUMENT=VALUE, ...), got {text!r}")
    table: dict[str, Any] = {"name": call[1]}
    for part in split(call[2] or "", ","):
        argument, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not argument.isidentifier() or not value or argument in table:
            raise StudyError(f"{where}: expected ARGUMENT=VALUE, each once, in {text.strip()!r}, got {part.strip()!r}")
        table[argument] = value_of(value, where)
    return table


def value_of(text: str, where: str) -> Any:
    """A value as a command has it: a number, true, false, an array, a call; anything else is a text.

    **Raises:** `StudyError` that says where.
    """
    text = text.strip()
    with contextlib.suppress(tomllib.TOMLDecodeError):
        value = tomllib.loads(f"value = {text}").get("value")
        if isinstance(value, bool | int | float | list):
            return value
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    if text.endswith(")") and _CALL.fullmatch(text):
        table = called_table(text, where)
        return {"class": table.pop("name"), **table}
    return text


def split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that are in no brackets; empty ones are left out."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


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
