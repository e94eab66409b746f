"""The settings of a sweep, made: a game, learners and starts for each combination of what is swept.

A value is put where its name says: a path such as `"leader.step.scale"` goes into the module that is there, which its
constructor makes anew, so that it is checked as if it had been written by hand; any other name is an argument of the
functions that make games, learners, starts or equilibria.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx

from stackjax import _entry
from stackjax._names import nearest
from stackjax.experiments._running import named
from stackjax.experiments.axes import Over
from stackjax.protocols import Game, Learner

#: Fields of modules that wrap another one: a path goes through them where they aren't named.
_WRAPPED = ("game", "learner")
#: Names of `sweep`'s own arguments that can be swept.
OWN = ("gamma",)


class Setting(NamedTuple):
    """One combination: which game and method, where on each axis, what it is called, what varies, what is played."""

    apart: tuple[int, ...]
    at: tuple[int, ...]
    label: str
    values: dict[str, Any]
    game: Game
    learners: tuple[Learner, ...]
    start: tuple[Any, ...]


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
    _check_used(over, [made for values in given.values() for made in values])
    found = []
    indices = [()] if not over.axes else _product(over.shape)
    for i, (game_name, game) in enumerate(games.items()):
        for j, (method_name, learners) in enumerate(methods.items()):
            lead = (i,) * (game_name != "") + (j,) * (method_name != "")
            prefix = [text for text in (game_name, method_name) if text]
            for index in indices:
                label = ", ".join([*prefix, *([over.label(index)] if index else [])])
                with named(f"the setting {label}" if label else "the only setting"):
                    values = over.at(index)
                    found.append(_setting(lead, index, label, values, game, learners, start, rounds))
    return found


def _product(shape: Sequence[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for size in shape:
        found = [(*index, i) for index in found for i in range(size)]
    return found


def _setting(
    apart: tuple[int, ...],
    index: tuple[int, ...],
    label: str,
    values: dict[str, Any],
    game: Any,
    learners: Any,
    start: Any,
    rounds: int,
) -> Setting:
    paths = {name: value for name, value in values.items() if is_path(name)}
    made = called(game, values, {"rounds": rounds}) if is_maker(game) else game
    if not isinstance(made, Game):
        raise TypeError(f"game: expected a stackjax Game or a function that returns one, got {made!r}")
    for name, value in paths.items():
        if name.startswith("game."):
            made = replaced(made, name, value)
    own = called(learners, values, {"rounds": rounds, "game": made}) if is_maker(learners) else learners
    if not isinstance(own, Sequence) or isinstance(own, str):
        raise TypeError(f"methods: expected one learner a player, as in (leader, follower), got {own!r}")
    players = list(own)
    _entry.check_players(made, tuple(players))
    for name, value in paths.items():
        if not name.startswith("game."):
            at = _player(name, made)
            players[at] = replaced(players[at], name, value)
    begin = called(start, values, {"rounds": rounds, "game": made}) if is_maker(start) else start
    begin = (None,) * len(players) if begin is None else begin
    return Setting(apart, index, label, values, made, tuple(players), begin)


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
    found = inspect.signature(make).parameters
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [name for name, parameter in found.items() if parameter.kind in by_name]
    return names, any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in found.values())


def _check_used(over: Over, made: Sequence[Any]) -> None:
    """Is every swept name a path, or an argument of something?"""
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


def _player(name: str, game: Game) -> int:
    """The player that a path begins with."""
    head = name.partition(".")[0]
    players = len(game.spaces)
    roles = {f"player {i}": i for i in range(players)}
    if players == 2:
        roles |= {"leader": 0, "follower": 1}
    if head not in roles:
        raise ValueError(f"over: {name!r}: {nearest('player', head, roles)}")
    return roles[head]


def replaced(root: Any, name: str, value: Any) -> Any:
    """A module with another value at a path, made by the constructors on the way.

    **Raises:** `ValueError` or `TypeError` that names the path, or whatever a constructor raises.
    """
    return _replaced(root, name.split(".")[1:], value, name)


def _replaced(root: Any, parts: Sequence[str], value: Any, name: str) -> Any:
    if not parts:
        return value
    head, rest = parts[0], parts[1:]
    if isinstance(root, eqx.Module):
        at = _holder(root, head)
        if at is None:
            raise ValueError(f"over: {name!r}: {type(root).__name__}: {nearest('argument', head, _arguments(root))}")
        rest = rest if at == head else parts
        return rebuilt(root, at, _replaced(getattr(root, at, None), rest, value, name), name)
    if isinstance(root, tuple | list):
        if not head.isdigit() or int(head) >= len(root):
            raise ValueError(f"over: {name!r}: expected a number below {len(root)} for {head!r}")
        entries = [_replaced(x, rest, value, name) if i == int(head) else x for i, x in enumerate(root)]
        return type(root)(*entries) if hasattr(root, "_fields") else type(root)(entries)
    if isinstance(root, Mapping):
        if head not in root:
            raise ValueError(f"over: {name!r}: {nearest('key', head, map(str, root))}")
        return {**root, head: _replaced(root[head], rest, value, name)}
    raise ValueError(f"over: {name!r}: there is nothing below a {type(root).__name__}, {root!r}, so no {head!r}")


def _holder(root: Any, head: str) -> str | None:
    """The argument that a name means: itself, or the wrapped module that has it."""
    if head in parameters(type(root))[0]:
        return head
    for inner in _WRAPPED:
        held = getattr(root, inner, None)
        if isinstance(held, eqx.Module) and _holder(held, head) is not None:
            return inner
    return None


def _arguments(root: Any) -> list[str]:
    """The arguments of a module's constructor, and of those of the modules that it wraps."""
    held = [getattr(root, inner, None) for inner in _WRAPPED]
    inner = [name for module in held if isinstance(module, eqx.Module) for name in _arguments(module)]
    return list(dict.fromkeys([*parameters(type(root))[0], *inner]))


def rebuilt(module: Any, argument: str, value: Any, name: str) -> Any:
    """A module made by its constructor from what it was made from, but for one argument.

    **Raises:** `ValueError` if it doesn't keep what its constructor takes.
    """
    takes, _ = parameters(type(module))
    lost = [parameter for parameter in takes if parameter != argument and not hasattr(module, parameter)]
    if lost:
        raise ValueError(
            f"over: {name!r}: {type(module).__name__} can't be made again: it doesn't keep {lost[0]!r}, which its "
            "constructor takes; sweep an argument of a function instead"
        )
    return type(module)(**({p: getattr(module, p) for p in takes if p != argument} | {argument: value}))
