"""`stackjax show`."""

import inspect
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from stackjax.cli._common import (
    Command,
    Name,
    game_entry,
    instance_entry,
    json_option,
    refused,
    set_option,
    terminal,
    values_of,
)
from stackjax.cli._sees import sees

if TYPE_CHECKING:
    from stackjax.catalogue import GameEntry
    from stackjax.protocols import Game, Learner

_HORIZON = 10_000  # of bandits whose gaps are those of a horizon
_MANY = 12  # entries of an array that aren't shown


@click.command("show", cls=Command)
@click.argument("game", type=Name("GAMES", "INSTANCES", "MARKOV_GAMES"))
@set_option
@json_option
def command(game: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Say what GAME is: parameters, spaces, levels, known equilibria, methods and what each player of them sees.

    GAME is one of stackjax list games, or module:Class. --set changes what is shown as game.NAME, and the arguments of
    the methods' learners, such as leader.step.
    """
    from stackjax import catalogue
    from stackjax.experiments.settings import set_game, set_players

    put = values_of(sets)
    entry, made, about = _found(game)
    with refused("--set"):
        made = set_game(made, put)
        learners = {} if entry is None else {name: method() for name, method in entry.methods.items()}
        learners = set_players(learners, made, put)
    document = {"name": game, "class": _class(made)} | about | _of_game(made)
    if entry is not None:
        document["methods"] = {
            name: {
                "default": name in entry.default,
                "summary": entry.methods[name].summary,
                "players": [_of_learner(*one) for one in zip(players, document["players"], strict=True)],
            }
            for name, players in learners.items()
        }
    if game in catalogue.MARKOV_GAMES:
        document["oracles"] = list(catalogue.ORACLES)
    if as_json:
        from stackjax.experiments.records import plain

        click.echo(json.dumps(plain(document)))
    else:
        _print(document)


def _found(game: str) -> "tuple[GameEntry | None, Game, dict[str, Any]]":
    """The entry with its methods, if it has one, the game, and what the catalogue says of it."""
    from stackjax import catalogue

    about: tuple[str, ...] = ("title", "summary")
    if game in catalogue.INSTANCES:
        bandit = instance_entry(game)
        return None, bandit.make(_HORIZON), {key: getattr(bandit, key) for key in (*about, "gamma")}
    if game in catalogue.MARKOV_GAMES and game not in catalogue.GAMES:
        markov = catalogue.MARKOV_GAMES[game]
        about = (*about, "replicates", "states", "actions")
        return None, markov.make(), {key: getattr(markov, key) for key in about}
    entry = game_entry(game)
    return entry, entry.make(), {key: getattr(entry, key) for key in (*about, "rounds", "replicates")}


def _of_game(game: "Game") -> dict[str, Any]:
    """Parameters, players and known equilibria."""
    from stackjax.experiments.results import describe
    from stackjax.experiments.run import roles_of
    from stackjax.experiments.settings import values_in

    defaults = _defaults(game)
    parameters = {
        path: {"value": describe(value)} | ({"default": describe(defaults[path])} if path in defaults else {})
        for path, value in values_in(game, "game").items()
    }
    level = {player: i for i, members in enumerate(game.levels) for player in members}
    players = {
        role: {"level": level[i], "space": describe(space)}
        for i, (role, space) in enumerate(zip(roles_of(game), game.spaces, strict=True))
    }
    equilibria = {"nash": game.nash_equilibria(), "stackelberg": game.stackelberg_equilibria()}
    return {"parameters": parameters, "players": players, "equilibria": describe(equilibria)}


def _class(game: Any) -> str:
    inner = getattr(game, "game", None)
    return type(game).__name__ + ("" if inner is None else f" of a {_class(inner)}")


def _defaults(game: Any) -> dict[str, Any]:
    """Path -> default of the arguments that have one, those of a game that is wrapped among them."""
    inner = getattr(game, "game", None)
    found = {} if inner is None else _defaults(inner)
    given = inspect.signature(type(game)).parameters.items()
    return found | {f"game.{name}": one.default for name, one in given if one.default is not inspect.Parameter.empty}


def _of_learner(learner: "Learner", role: str) -> dict[str, Any]:
    """A learner, what it sees and what `--set` may change."""
    from stackjax.experiments.results import describe
    from stackjax.experiments.settings import values_in

    what, kind = sees(learner)
    values = {path: describe(value) for path, value in values_in(learner, role).items()}
    return {"role": role, "learner": type(learner).__name__, "sees": what, "kind": kind, "parameters": values}


def _print(document: dict[str, Any]) -> None:
    """The same for people."""
    from rich.markup import escape
    from rich.table import Table

    console = terminal()

    def say(text: str) -> None:
        console.print(text, highlight=False)

    def rows(title: str, lines: Iterable[tuple[str, ...]]) -> None:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2), pad_edge=False)
        for name, *cells in lines:
            table.add_row(f"[cyan]{escape(name)}[/cyan]", *map(escape, cells))
        say(title)
        console.print(table)

    say(f"[bold cyan]{escape(document['name'])}[/bold cyan]  {escape(document['title'])}")
    say(f"{escape(document['summary'])} [dim]({document['class']})[/dim]")
    parameters = []
    for path, one in document["parameters"].items():
        value, default = _short(one["value"]), _short(one.get("default"))
        parameters.append((path, value, f"default {default}" if "default" in one and default != value else ""))
    rows("\n[bold]Parameters[/bold] (--set changes them)", parameters)
    players = document["players"].items()
    rows("\n[bold]Players[/bold]", ((role, f"level {one['level']}", _short(one["space"])) for role, one in players))
    known = [
        (kind, "; ".join(map(_short, point)))
        for kind, name in (("Nash", "nash"), ("Stackelberg", "stackelberg"))
        for point in document["equilibria"][name]
    ]
    rows("\n[bold]Known equilibria[/bold]", known or [("none", "")])
    if "states" in document:
        told = ((name, ", ".join(document[name])) for name in ("states", "actions"))
        rows("\n[bold]States, and actions of the leader[/bold]", told)
    if document.get("methods"):
        say("\n[bold]Methods[/bold] (a star marks those that are compared by default)")
    for name, method in document.get("methods", {}).items():
        lines = []
        for one in method["players"]:
            given = {path.rpartition(".")[2]: value for path, value in one["parameters"].items() if value is not None}
            text = ", ".join(f"{argument}={_short(value)}" for argument, value in given.items())
            lines.append((f"  {one['role']}", f"{one['learner']}({text})", f"sees {one['sees']}"))
        rows(f"  [bold]{name}{'*' * method['default']}[/bold]  {escape(method['summary'])}", lines)
    if document.get("methods") == {}:
        example = "/".join(["gradient-ascent(step=0.1)"] * len(players))
        say(f"\nIt has no methods of its own; expected learners, as in --methods '{example}'.")
    if "oracles" in document:
        say(f"\nThe Markov game of that name is for stackjax compare --oracle NAME: {', '.join(document['oracles'])}")
    if "gamma" in document:
        say("\nFor stackjax regret and metagame; stackjax list learners has who plays.")


def _short(value: Any) -> str:
    """A described value in a line."""
    if isinstance(value, dict):
        if set(value) == {"class", "value"}:  # a constant schedule
            return _short(value["value"])
        fields = [f"{key}={_short(part)}" for key, part in value.items() if key != "class" and part not in (None, [])]
        return f"{value.get('class') or ''}({', '.join(fields)})"
    if isinstance(value, list):
        if _leaves(value) > _MANY:
            return f"{' x '.join(map(str, _shape(value)))} numbers"
        return f"({', '.join(map(_short, value))})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _leaves(value: Any) -> int:
    return sum(map(_leaves, value)) if isinstance(value, list) else 1


def _shape(value: Any) -> tuple[int, ...]:
    return (len(value), *_shape(value[0])) if isinstance(value, list) and value else ()
