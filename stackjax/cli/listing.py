"""`stackjax list`."""

import json
from collections.abc import Callable
from typing import Any

import click

from stackjax.cli._common import Command, json_option, terminal
from stackjax.cli._sees import sees
from stackjax.cli._studies import studies


@click.command("list", cls=Command)
@click.argument("kind", type=click.Choice(["games", "learners", "methods", "studies"]), required=False)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """List games, learners with what each of them sees, the methods of games, or studies; without a KIND all of them.

    stackjax show GAME says more of a game.
    """
    kinds: dict[str, tuple[Callable[[], Any], Callable[[Any, Any], None]]] = {
        "games": (_games, _print_games),
        "methods": (_methods, _print_methods),
        "studies": (_studies, _print_studies),
        "learners": (_learners, _print_learners),
    }
    chosen = kinds if kind is None else {kind: kinds[kind]}
    found = {name: collect() for name, (collect, _) in chosen.items()}
    if as_json:
        click.echo(json.dumps(found if kind is None else found[kind]))
        return
    console = terminal()
    for i, (name, (_, show)) in enumerate(chosen.items()):
        console.print("\n" * (i > 0), end="")
        show(console, found[name])


def _games() -> dict[str, Any]:
    from stackjax import catalogue
    from stackjax.catalogue import plugins

    about = ("title", "summary")
    rooms: dict[str, tuple[Any, tuple[str, ...]]] = {
        "games": (catalogue.GAMES, (*about, "rounds", "replicates")),
        "bandits": (catalogue.INSTANCES, (*about, "gamma")),
        "markov": (catalogue.MARKOV_GAMES, (*about, "replicates")),
    }
    found: dict[str, Any] = {
        room: {name: {key: getattr(entry, key) for key in keys} for name, entry in entries.items()}
        for room, (entries, keys) in rooms.items()
    }
    return found | {"families": dict(catalogue.FAMILIES), "registered": dict(plugins.registered("game"))}


def _print_games(console: Any, found: dict[str, Any]) -> None:
    console.print("[bold]Games[/bold] (stackjax show GAME says more)\n")
    size = " [dim]({replicates} replicates of {rounds} rounds)"
    console.print(_lines({name: _about(one, size) for name, one in found["games"].items()}))
    if found["registered"]:
        console.print("\n[bold]Games of other packages[/bold]\n")
        console.print(_lines(found["registered"]))
    console.print("\n[bold]Bandits[/bold] (for stackjax regret and metagame)\n")
    families = {name: f"A random family, for stackjax metagame: {one}" for name, one in found["families"].items()}
    console.print(_lines({name: _about(one) for name, one in found["bandits"].items()} | families))
    console.print("\n[bold]Markov games[/bold] (for stackjax compare GAME --oracle NAME)\n")
    markov = {name: _about(one, " [dim]({replicates} replicates)") for name, one in found["markov"].items()}
    console.print(_lines(markov))


def _methods() -> dict[str, Any]:
    from stackjax import catalogue

    return {
        "games": {
            name: {
                method: {
                    "players": [type(learner).__name__ for learner in make()],
                    "summary": make.summary,
                    "default": method in entry.default,
                }
                for method, make in entry.methods.items()
            }
            for name, entry in catalogue.GAMES.items()
        },
        "oracles": {name: oracle.summary for name, oracle in catalogue.ORACLES.items()},
        "leaders": {
            name: {"summary": leader.summary, "rounds": leader.rounds}
            for name, leader in catalogue.MARKOV_LEADERS.items()
        },
    }


def _print_methods(console: Any, found: dict[str, Any]) -> None:
    console.print("[bold]Methods[/bold] (a star marks those that are compared by default)")
    for name, methods in found["games"].items():
        console.print(f"\n[bold cyan]{name}[/bold cyan]")
        rows = _grid()
        for method, one in methods.items():
            rows.add_row("", method + "*" * one["default"], " with ".join(one["players"]), one["summary"])
        console.print(rows)
    console.print("\n[bold]Methods of Markov games[/bold]\n")
    oracles = {f"--oracle {name}": summary for name, summary in found["oracles"].items()}
    leaders = {f"--leader {k}": "{summary} [dim]({rounds} rounds)".format(**v) for k, v in found["leaders"].items()}
    console.print(_lines(oracles | leaders))


def _learners() -> dict[str, Any]:
    from stackjax import catalogue
    from stackjax.catalogue import plugins

    return {
        "learners": {
            name: dict(zip(("class", "sees", "kind"), (learner.__name__, *sees(learner)), strict=True))
            for name, learner in catalogue.LEARNERS.items()
        },
        "registered": dict(plugins.registered("learner")),
        "aliases": dict(catalogue.ALIASES),
    }


def _print_learners(console: Any, found: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    console.print("[bold]Learners[/bold]")
    table = Table("name", "class", "what it sees", "", box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.padding = (0, 1, 0, 0)
    for name, one in found["learners"].items():
        table.add_row(f"[cyan]{name}[/cyan]", *one.values())
    console.print(table)
    if found["registered"]:
        console.print("[bold]Learners of other packages[/bold]\n")
        console.print(_lines(found["registered"]))
    short = ", ".join(f"{alias}: {name}" for alias, name in found["aliases"].items())
    console.print(f"short names, for stackjax regret and metagame: {short}")
    console.print(
        "uncoupled: sees neither the game nor a payoff function; oracle: sees its own payoff function, or responds to "
        "the answers of who moved earlier"
    )


def _studies() -> dict[str, str]:
    import tomllib

    return {name: str(tomllib.loads(path.read_text()).get("title", "")) for name, path in studies().items()}


def _print_studies(console: Any, found: dict[str, str]) -> None:
    console.print("[bold]Studies[/bold] (for stackjax run NAME)\n")
    console.print(_lines(found))


def _about(one: dict[str, Any], size: str = "") -> str:
    return f"{one['title']}: {one['summary']}" + size.format(**one)


def _grid() -> Any:
    from rich.table import Table

    return Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)


def _lines(rows: dict[str, str]) -> Any:
    grid = _grid()
    for name, text in rows.items():
        grid.add_row(f"[cyan]{name}[/cyan]", text)
    return grid
