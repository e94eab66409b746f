"""`stackjax compare`."""

import functools
from collections.abc import Callable
from pathlib import Path

import click

from stackjax.cli import _how
from stackjax.cli._common import Whole, game_entry, nearest, seed_option
from stackjax.cli._oracles import compare_leaders

_SWITCHES = {
    "hidden": "With --oracle, also with queries that are no part of the leader's gradient.",
    "rewarded": "With --oracle, also with queries that pay the leader.",
    "recognisable": "With --oracle, also with queries that the leader can tell from play.",
}


def _switches(command: Callable[..., None]) -> Callable[..., None]:
    for name, about in reversed(_SWITCHES.items()):
        command = click.option(f"--{name}", is_flag=True, help=about)(command)
    return command


@click.command("compare")
@click.argument("game")
@click.option(
    "--replicates",
    type=Whole(1, 2**32 - 1),
    help="How many runs of each method; default as in stackjax list.",
)
@click.option("--rounds", type=Whole(1, 2**31 - 1), help="How many rounds a run has; default likewise.")
@seed_option
@click.option("--methods", help="Which methods, separated by commas; stackjax list shows them.")
@click.option(
    "--oracle", "oracles", multiple=True, metavar="NAME", help="A follower oracle of a Markov game; may be repeated."
)
@click.option(
    "--leader",
    "leaders",
    multiple=True,
    metavar="NAME",
    help="With --oracle, a leader; each meets every oracle that it goes with.",
)
@_switches
@_how.options("results/GAME", "comparison")
def command(
    game: str,
    replicates: int | None,
    rounds: int | None,
    seed: int,
    methods: str | None,
    oracles: tuple[str, ...],
    leaders: tuple[str, ...],
    how: _how.How,
    **switches: bool,
) -> None:
    """Compare methods in GAME: a table, a figure and a NetCDF file with the data.

    Every method plays the same replicates: equal starts, equal noise. With --oracle, GAME is a Markov game, and leaders
    are compared over environment steps: --leader policy-gradient by default.
    """
    from stackjax import catalogue

    asked = [name for name, given in switches.items() if given]
    if oracles:
        if methods is not None:
            raise click.UsageError("--methods: expected none with --oracle; --leader names the leaders")
        sizes = {"replicates": replicates, "rounds": rounds}
        return compare_leaders(game, oracles, leaders, asked, **sizes, seed=seed, how=how)
    for option in [*(["leader"] if leaders else []), *asked]:
        raise click.UsageError(f"--{option}: expected an --oracle, too")
    if game not in catalogue.GAMES and game in catalogue.MARKOV_GAMES:
        message = f"{game} is a Markov game; expected an --oracle ({', '.join(catalogue.ORACLES)})"
        raise click.BadParameter(message, param_hint="'GAME'")
    entry = game_entry(game)
    names = list(entry.default)
    if methods is not None:
        names = list(dict.fromkeys(name.strip() for name in methods.split(",") if name.strip()))
        for name in names:
            if name not in entry.methods:
                raise click.BadParameter(nearest("method", name, entry.methods), param_hint="'--methods'")
        if not names:
            raise click.BadParameter("no method given", param_hint="'--methods'")
    replicates = entry.replicates if replicates is None else replicates
    rounds = entry.rounds if rounds is None else rounds
    from stackjax import experiments

    words = ["compare", game, "--replicates", str(replicates), "--rounds", str(rounds)]
    words += ["--seed", str(seed), "--methods", ",".join(names)]
    driver = functools.partial(
        experiments.compare,
        entry.make(),
        {name: entry.methods[name]() for name in names},
        rounds=rounds,
        replicates=replicates,
        seed=seed,
        start=entry.start,
        title=entry.title,
        action_labels=entry.actions,
        payoff_labels=entry.payoffs,
    )
    out = _how.target(how, Path("results", game), "comparison")
    _how.perform(driver, words, how, out, f"[bold]{entry.title}[/bold]: {entry.summary}")
