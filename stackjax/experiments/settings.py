"""The settings of a sweep, made: a game, learners and starts for each combination of what is swept.

A value is put where its name says: a path such as `"leader.step.scale"` goes into the module that is there, which its
constructor makes anew, so that it is checked as if it had been written by hand; any other name is an argument of the
functions that make games, learners, starts or equilibria.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import equinox as eqx

from stackjax._core import entry
from stackjax.checks import nearest
from stackjax.experiments.over import Over
from stackjax.experiments.progress import named
from stackjax.protocols import Game, Learner

_Game = TypeVar("_Game", bound=Game)
#: Fields of modules that wrap another one: a path goes through them where they aren't named.
_WRAPPED = ("game", "learner")
#: Names of `sweep`'s own arguments that can be swept.
OWN = ("gamma",)
#: Other names of players in paths, where there are two.
_ROLES = {"leader": "player 0", "follower": "player 1"}


class Setting(NamedTuple):
    """What is played in many replicates.

    **Attributes:**

    - `game`, `learners`, `start`, `rounds`, `skip_phases`, `in_axes`: as in `stackjax.play`; what has a leading axis of
      replicates has it for those of the experiment.
    - `label`: what it is called; `place`: the same for messages of errors, default "the setting ...".
    - `values`: what varies, by name, for what is measured.
    - `apart`: settings that differ in it are never played by one program.
    - `offset`: replicate r meets the noise of `play`'s replicate r + offset.
    """

    game: Game
    learners: tuple[Learner, ...]
    start: tuple[Any, ...]
    rounds: int
    label: str = ""
    place: str = ""
    values: Mapping[str, Any] = MappingProxyType({})
    apart: tuple[int, ...] = ()
    offset: int = 0
    skip_phases: bool = False
    in_axes: Any = None

    def named(self, several: bool = False) -> contextlib.AbstractContextManager[None]:
        """An error in here goes on, with a note that says in which setting it happened, or in `several` from it on."""
        place = self.place or (f"the setting {self.label}" if self.label else "the only setting")
        return named(f"{place} and those after it" if several else place)


def is_path(name: str) -> bool:
    """Whether it says where in the game or in a learner its values go."""
    head, dot, _ = name.partition(".")
    return bool(dot) and (head in ("game", "leader", "follower") or head.startswith("player "))


def materialise(
    games: Mapping[str, Any], methods: Mapping[str, Any], start: Any, over: Over, rounds: int, more: Mapping[str, Any]
) -> list[Setting]:
    """All settings: games x methods x what is swept, the last fastest.

    **Arguments:** `games`, `methods`: by name, each what it says or a function of swept names (`rounds` and, for
    learners, `game` are known to it too); `start`: likewise; `more`: whatever else may be a function of them, by name.

    **Raises:** `ValueError` or `TypeError` that names what is wrong, with a note that says in which setting.
    """
    given = {"game": list(games.values()), "methods": list(methods.values()), "start": [start]}
    given |= {name: [value] for name, value in more.items()}
    check_used(over, [made for values in given.values() for made in values])
    settings = []
    sampled: dict[int, tuple[Any, ...]] = {}  # for so many players; what settings share, they share by identity
    indices = [()] if not over.axes else _product(over.shape)
    for i, (game_name, game) in enumerate(games.items()):
        made_games = _Games(game, over, rounds)
        for j, (method_name, learners) in enumerate(methods.items()):
            made_players = _Players(learners, over, rounds, made_games)
            lead = (i,) * (game_name != "") + (j,) * (method_name != "")
            prefix = [text for text in (game_name, method_name) if text]
            for index in indices:
                label = ", ".join([*prefix, *([over.label(index)] if index else [])])
                with named(f"the setting {label}" if label else "the only setting"):
                    values = over.at(index)
                    played = made_games(index, values)
                    players = made_players(index, values)
                    begin = called(start, values, {"rounds": rounds, "game": played}) if is_maker(start) else start
                    begin = sampled.setdefault(len(players), (None,) * len(players)) if begin is None else begin
                    setting = Setting(played, players, begin, rounds, label, values=values, apart=lead)
                    settings.append(setting)
    return settings


def _product(shape: Sequence[int]) -> list[tuple[int, ...]]:
    indices: list[tuple[int, ...]] = [()]
    for size in shape:
        indices = [(*index, i) for index in indices for i in range(size)]
    return indices


class _Made:
    """What a module or a function gives in each setting: made once for all settings in which it is the same.

    **Arguments:** `given`: the module or function; `over`: what is swept; `own`: whether a name is a path into it.
    """

    def __init__(self, given: Any, over: Over, rounds: int, own: Callable[[str], bool]):
        self.given, self.rounds = given, rounds
        takes, anything = parameters(given) if is_maker(given) else ([], False)
        self.takes = takes
        paths = [name for name in over.names if is_path(name) and own(name)]
        self.paths = _by_depth(dict.fromkeys(paths))
        used = {*self.paths, *takes}
        self.axes = [
            at
            for at, axis in enumerate(over.axes)
            if any(name in used or (anything and not is_path(name)) for name in axis.values)
        ]
        self.made: dict[tuple[int, ...], Any] = {}

    def key(self, index: Sequence[int]) -> tuple[int, ...]:
        """Where a setting lies on the axes that make a difference."""
        return tuple(index[at] for at in self.axes)


class _Games(_Made):
    """The game of each setting."""

    def __init__(self, given: Any, over: Over, rounds: int):
        super().__init__(given, over, rounds, lambda name: name.startswith("game."))

    def __call__(self, index: Sequence[int], values: Mapping[str, Any]) -> Game:
        """The game of one of them."""
        if (key := self.key(index)) not in self.made:
            made = called(self.given, values, {"rounds": self.rounds}) if is_maker(self.given) else self.given
            if not isinstance(made, Game):
                raise TypeError(f"game: expected a stackjax Game or a function that returns one, got {made!r}")
            for name in self.paths:
                made = _swept(made, name, values)
            self.made[key] = made
        return self.made[key]


class _Players(_Made):
    """The learners of each setting, which may depend on its game."""

    def __init__(self, given: Any, over: Over, rounds: int, games: _Games):
        super().__init__(given, over, rounds, lambda name: not name.startswith("game."))
        self.games = games
        if "game" in self.takes:
            self.axes = sorted({*self.axes, *games.axes})
        self.fit: set[tuple[tuple[int, ...], int]] = set()  # games with so many learners that were checked

    def __call__(self, index: Sequence[int], values: Mapping[str, Any]) -> tuple[Learner, ...]:
        """The learners of one of them."""
        game, key = self.games(index, values), self.key(index)
        if new := key not in self.made:
            known = {"rounds": self.rounds, "game": game}
            made = called(self.given, values, known) if is_maker(self.given) else self.given
            if not isinstance(made, Sequence) or isinstance(made, str):
                raise TypeError(f"methods: expected one learner a player, as in (leader, follower), got {made!r}")
        players = list(made if new else self.made[key])
        if new or (self.games.key(index), len(players)) not in self.fit:
            entry.check_players(game, tuple(players))
            self.fit.add((self.games.key(index), len(players)))
        if new:
            for name in self.paths:
                at = _player(name, game)
                players[at] = _swept(players[at], name, values)
            self.made[key] = tuple(players)
        return self.made[key]


def is_maker(value: Any) -> bool:
    """Whether it is a function that makes something, and not a module that happens to be callable."""
    return callable(value) and not isinstance(value, eqx.Module)


def called(make: Callable[..., Any], values: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """What a function returns, given those of the names that it takes."""
    takes, anything = parameters(make)
    swept = {name: value for name, value in values.items() if name in takes or (anything and not is_path(name))}
    return make(**{name: value for name, value in known.items() if name in takes}, **swept)


def parameters(make: Callable[..., Any]) -> tuple[list[str], bool]:
    """The names that a function takes, and whether it takes any other."""
    return _of_class(make) if isinstance(make, type) else _parameters(make)


def _parameters(make: Callable[..., Any]) -> tuple[list[str], bool]:
    declared = inspect.signature(make).parameters
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [name for name, parameter in declared.items() if parameter.kind in by_name]
    return names, any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in declared.values())


_of_class = functools.cache(_parameters)  # asked for in every setting


def check_used(over: Over, made: Sequence[Any]) -> None:
    """Is every swept name a path, or an argument of something?

    **Raises:** `ValueError` with the nearest name.
    """
    takes, anything = list(OWN), False
    for value in made:
        if is_maker(value):
            names, more = parameters(value)
            takes, anything = takes + names, anything or more
    for name in over.names:
        if not is_path(name) and name not in takes and not anything:
            below = name.partition(".")[2] or "ARGUMENT"
            known = [*dict.fromkeys(takes), *(f"{head}.{below}" for head in ("game", "leader", "follower", "player 0"))]
            raise ValueError(f"over: {nearest('name', name, known)}")
    same: dict[str, str] = {}
    for name in filter(is_path, over.names):
        head, _, rest = name.partition(".")
        if (first := same.setdefault(f"{_ROLES.get(head, head)}.{rest}", name)) != name:
            raise ValueError(f"over: {first!r} and {name!r} are the same argument")


def _player(name: str, game: Game) -> int:
    """The player that a path begins with."""
    head = name.partition(".")[0]
    players = len(game.spaces)
    roles = {f"player {i}": i for i in range(players)}
    if players == 2:
        roles |= {role: roles[player] for role, player in _ROLES.items()}
    if head not in roles:
        raise ValueError(f"over: {name!r}: {nearest('player', head, roles)}")
    return roles[head]


def _swept(root: Any, name: str, values: Mapping[str, Any]) -> Any:
    try:
        return replaced(root, name, values[name])
    except PathError as error:
        raise PathError(f"over: {error}") from None


class PathError(ValueError):
    """Nothing can be put where a path leads.

    **Attributes:** `unknown`: of a name that isn't there what stands before it, itself, and what there is.
    """

    unknown: tuple[str, str, list[str]] | None = None


def _no_such(above: str, head: str, names: Iterable[str]) -> PathError:
    names = list(names)
    error = PathError(nearest("name", head, names, above))
    error.unknown = above, head, names
    return error


def replaced(root: Any, name: str, value: Any) -> Any:
    """A module with another value at a path, made by the constructors on the way.

    **Raises:** `PathError`, a `ValueError`, with the nearest path; or whatever a constructor raises.
    """
    return _replaced(root, name.split(".")[1:], value, name)


def _replaced(root: Any, parts: Sequence[str], value: Any, name: str) -> Any:
    if not parts:
        return value
    head, rest = parts[0], parts[1:]
    above = name[: len(name) - len(".".join(parts))]
    if isinstance(root, eqx.Module):
        at = _holder(root, head)
        if at is None:
            raise _no_such(above, head, arguments_of(root))
        rest = rest if at == head else parts
        return rebuilt(root, at, _replaced(getattr(root, at, None), rest, value, name), name)
    if isinstance(root, tuple | list):
        if not head.isdigit() or int(head) >= len(root):
            raise PathError(f"{name!r}: expected a number below {len(root)} for {head!r}")
        entries = [_replaced(x, rest, value, name) if i == int(head) else x for i, x in enumerate(root)]
        return type(root)(*entries) if hasattr(root, "_fields") else type(root)(entries)
    if isinstance(root, Mapping):
        if head not in root:
            raise _no_such(above, head, map(str, root))
        return {**root, head: _replaced(root[head], rest, value, name)}
    raise PathError(f"{name!r}: there is nothing below a {type(root).__name__}, {root!r}, so no {head!r}")


def _holder(root: Any, head: str) -> str | None:
    """The argument that a name means: itself, or the wrapped module that has it."""
    if head in parameters(type(root))[0]:
        return head
    for inner in _WRAPPED:
        held = getattr(root, inner, None)
        if isinstance(held, eqx.Module) and _holder(held, head) is not None:
            return inner
    return None


def arguments_of(root: Any) -> list[str]:
    """The arguments of a module's constructor, and of those of the modules that it wraps."""
    held = [getattr(root, inner, None) for inner in _WRAPPED]
    inner = [name for module in held if isinstance(module, eqx.Module) for name in arguments_of(module)]
    return [name for name in dict.fromkeys([*parameters(type(root))[0], *inner]) if name not in _WRAPPED]


def set_game(game: _Game, values: Mapping[str, Any]) -> _Game:
    """A game with those of the values that are its own: `{"game.demand": 80}`.

    **Raises:** as `replaced`, with the path in place of the argument.
    """
    for name in _by_depth(values):
        if name.startswith("game."):
            with _said_as(name):
                game = replaced(game, name, values[name])
    return game


def set_players(
    methods: Mapping[str, Sequence[Learner]], game: Game, values: Mapping[str, Any], needed: bool = True
) -> dict[str, tuple[Learner, ...]]:
    """Methods with those of the values that aren't the game's; each takes the values that it has a place for.

    **Arguments:** `methods`: name -> one learner a player of the `game`; `values`: `{"leader.step": 0.1}`; `needed`:
    whether some method must have a place for each.

    **Raises:** as `replaced`, with the path in place of the argument.
    """
    players = len(game.spaces)
    roles = [[f"player {i}"] for i in range(players)]
    roles = [[role, *names] for role, names in zip(_ROLES, roles, strict=True)] if players == 2 else roles
    made = {name: list(learners) for name, learners in methods.items()}
    for path in _by_depth(values):
        head = path.partition(".")[0]
        if head == "game":
            continue
        known = [role for names in roles for role in names]
        if head not in known or "." not in path:
            raise PathError(f"{nearest('name', path, [f'{role}.ARGUMENT' for role in ('game', *known)])}")
        at = next(i for i, names in enumerate(roles) if head in names)
        missing: list[PathError] = []
        for learners in made.values():
            try:
                with _said_as(path):
                    learners[at] = replaced(learners[at], path, values[path])
            except PathError as error:
                missing.append(error)
        if needed and missing and len(missing) == len(made):
            unknown = [error.unknown for error in missing if error.unknown is not None]
            if not unknown:
                raise missing[0]
            above, name, _ = max(unknown, key=lambda one: len(one[0]))  # some method has what stands before it
            names = [known for place, _, each in unknown if place == above for known in each]
            raise _no_such(above, name, dict.fromkeys(names))
    return {name: tuple(learners) for name, learners in made.items()}


def set_sides(
    leaders: Mapping[str, Learner], followers: Mapping[str, Learner], game: Game, values: Mapping[str, Any]
) -> tuple[dict[str, Learner], dict[str, Learner]]:
    """As `set_players`, of leaders each of whom meets every follower."""
    sides: dict[str, tuple[Any, Any]] = {f"leader {name}": (one, None) for name, one in leaders.items()}
    sides |= {f"follower {name}": (None, one) for name, one in followers.items()}
    made = set_players(sides, game, values)
    return (
        {name: made[f"leader {name}"][0] for name in leaders},
        {name: made[f"follower {name}"][1] for name in followers},
    )


def _by_depth(values: Mapping[str, Any]) -> list[str]:
    return sorted(values, key=lambda name: name.count("."))  # parts of what another one puts there come later


@contextlib.contextmanager
def _said_as(path: str) -> Iterator[None]:
    """A constructor's complaint of its argument is one of what was typed."""
    last = path.rpartition(".")[2]
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(error).startswith(f"{last}: "):
            raise type(error)(path + str(error).removeprefix(last)) from error
        raise


def values_in(root: Any, above: str) -> dict[str, Any]:
    """Path -> value of every argument that a module was made from, those of the modules that it wraps among them.

    **Arguments:** `above`: what the paths begin with, "game".
    """
    values = {}
    for name in arguments_of(root):
        holder = root
        while (at := _holder(holder, name)) != name:
            holder = getattr(holder, str(at))
        if hasattr(holder, name):
            values[f"{above}.{name}"] = getattr(holder, name)
    return values


def rebuilt(module: Any, argument: str, value: Any, name: str) -> Any:
    """A module made by its constructor from what it was made from, but for one argument.

    **Raises:** `ValueError` if it doesn't keep what its constructor takes.
    """
    takes, _ = parameters(type(module))
    lost = [parameter for parameter in takes if parameter != argument and not hasattr(module, parameter)]
    if lost:
        raise PathError(
            f"{name!r}: {type(module).__name__} can't be made again: it doesn't keep {lost[0]!r}, which its "
            "constructor takes; sweep an argument of a function instead"
        )
    return type(module)(**({p: getattr(module, p) for p in takes if p != argument} | {argument: value}))
