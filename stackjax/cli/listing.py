"""`stackjax list`."""

from typing import TYPE_CHECKING

import click

from stackjax.cli._common import terminal

if TYPE_CHECKING:
    from stackjax.protocols import Learner

_SEES = {
    "PAYOFF": "own payoff",
    "GRADIENT": "own gradient",
    "OTHERS": "others' actions",
    "COMMITMENT": "earlier players' actions",
    "OWN_PAYOFF": "own payoff function",
    "QUERY": "earlier players' answers",
    "GAME": "the whole game",
}


@click.command("list")
def command() -> None:
    """List the games with their methods, the bandits, and the learners with what each of them sees."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from stackjax import catalogue

    console = terminal()
    console.print("[bold]Games[/bold] (a star marks the methods that are compared by default)")
    for name, entry in catalogue.GAMES.items():
        size = f" ({entry.replicates} replicates of {entry.rounds} rounds)"
        console.print(Text.assemble(("\n" + name, "bold cyan"), f"  {entry.title}: {entry.summary}", (size, "dim")))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        for method, make in entry.methods.items():
            players = " with ".join(type(learner).__name__ for learner in make())
            table.add_row("", method + ("*" if method in entry.default else ""), players, make.summary)
        console.print(table)
    console.print("\n[bold]Bandits[/bold] (for stackjax regret and metagame)\n")
    instances = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for name, instance in catalogue.INSTANCES.items():
        instances.add_row(f"[cyan]{name}[/cyan]", f"{instance.title}: {instance.summary}")
    for name, summary in catalogue.FAMILIES.items():
        instances.add_row(f"[cyan]{name}[/cyan]", f"A random family, for stackjax metagame: {summary}")
    console.print(instances)
    console.print("\n[bold]Markov games[/bold] (for stackjax compare GAME --oracle NAME)\n")
    markov = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for name, game in catalogue.MARKOV_GAMES.items():
        summary = f"{game.title}: {game.summary} [dim]({game.replicates} replicates)"
        markov.add_row(f"[cyan]{name}[/cyan]", summary)
    for name, oracle in catalogue.ORACLES.items():
        markov.add_row(f"--oracle [cyan]{name}[/cyan]", oracle.summary)
    for name, leader in catalogue.MARKOV_LEADERS.items():
        markov.add_row(f"--leader [cyan]{name}[/cyan]", f"{leader.summary} [dim]({leader.rounds} rounds)")
    console.print(markov)
    console.print("\n[bold]Learners[/bold]")
    table = Table("name", "class", "what it sees", "", box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.padding = (0, 1, 0, 0)
    for name, learner in catalogue.LEARNERS.items():
        table.add_row(f"[cyan]{name}[/cyan]", learner.__name__, *_sees(learner))
    console.print(table)
    short = ", ".join(f"{alias}: {name}" for alias, name in catalogue.ALIASES.items())
    console.print(f"short names, for stackjax regret and metagame: {short}")
    console.print(
        "uncoupled: sees neither the game nor a payoff function; oracle: sees its own payoff function, or responds to "
        "the answers of who moved earlier"
    )


def _sees(learner: "type[Learner]") -> tuple[str, str]:
    """What a learner is shown, and what that makes it."""
    from stackjax.protocols import Signal

    wants = getattr(learner, "usually", learner.wants)
    if not isinstance(wants, Signal):  # a property: it depends on the instance
        return "as the learner that it holds", "as that one"
    kind = (
        "coupled" if Signal.GAME in wants else "oracle" if wants & (Signal.OWN_PAYOFF | Signal.QUERY) else "uncoupled"
    )
    return ", ".join(_SEES[str(signal.name)] for signal in wants) or "nothing", kind
