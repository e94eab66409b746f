"""`stackjax compare`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackjax.cli import _how
from stackjax.cli._common import (
    Command,
    MethodNames,
    Name,
    Option,
    Whole,
    file_name,
    game_entry,
    nearest,
    refused,
    seed_option,
    set_option,
    values_of,
)
from stackjax.cli._oracles import compare_leaders

if TYPE_CHECKING:
    from stackjax.catalogue import GameEntry
    from stackjax.protocols import Game, Learner

_MARKOV = "Of Markov games"
_SWITCHES = {
    "hidden": "Also with queries that are no part of the leader's gradient.",
    "rewarded": "Also with queries that pay the leader.",
    "recognisable": "Also with queries that the leader can tell from play.",
}


def _switches(command: Callable[..., None]) -> Callable[..., None]:
    for name, about in reversed(_SWITCHES.items()):
        command = click.option(f"--{name}", is_flag=True, cls=Option, group=_MARKOV, help=about)(command)
    return command


@click.command("compare", cls=Command)
@click.argument("game", type=Name("GAMES", "MARKOV_GAMES"))
@click.option(
    "--replicates",
    type=Whole(1, 2**32 - 1),
    help="How many runs of each method; default as in stackjax list.",
)
@click.option("--rounds", type=Whole(1, 2**31 - 1), help="How many rounds a run has; default likewise.")
@seed_option
@click.option(
    "--methods",
    type=MethodNames(several=True),
    help="Which methods, separated by commas: those of stackjax show GAME, or a learner for each player, as in "
    "lola(step=0.1,other_step=0.1)/gradient-ascent(step=0.1).",
)
@set_option
@click.option(
    "--oracle",
    "oracles",
    type=Name("ORACLES"),
    multiple=True,
    metavar="NAME",
    cls=Option,
    group=_MARKOV,
    help="A follower oracle; may be repeated.",
)
@click.option(
    "--leader",
    "leaders",
    type=Name("MARKOV_LEADERS"),
    multiple=True,
    metavar="NAME",
    cls=Option,
    group=_MARKOV,
    help="With --oracle, a leader, or a learner with its arguments; each meets every oracle that it goes with.",
)
@_switches
@_how.options("results/GAME", "comparison")
def command(
    game: str,
    replicates: int | None,
    rounds: int | None,
    seed: int,
    methods: str | None,
    sets: tuple[str, ...],
    oracles: tuple[str, ...],
    leaders: tuple[str, ...],
    how: _how.How,
    **switches: bool,
) -> None:
    """Compare methods in GAME: a table, a figure and a NetCDF file with the data.

    GAME is one of stackjax list games, or module:Class, with its arguments, if any, in brackets. Every method plays the
    same replicates: equal starts, equal noise. With --oracle, GAME is a Markov game, and leaders are compared over
    environment steps: --leader policy-gradient by default.
    """
    from stackjax import catalogue

    asked = [name for name, given in switches.items() if given]
    if oracles:
        if methods is not None:
            raise click.UsageError("--methods: expected none with --oracle; --leader names the leaders")
        sizes = {"replicates": replicates, "rounds": rounds}
        return compare_leaders(game, oracles, leaders, asked, sets=sets, **sizes, seed=seed, how=how)
    for option in [*(["leader"] if leaders else []), *asked]:
        raise click.UsageError(f"--{option}: expected an --oracle, too")
    if game not in catalogue.GAMES and game in catalogue.MARKOV_GAMES:
        message = f"{game} is a Markov game; expected an --oracle ({', '.join(catalogue.ORACLES)})"
        raise click.BadParameter(message, param_hint="'GAME'")
    entry = game_entry(game)
    replicates = entry.replicates if replicates is None else replicates
    rounds = entry.rounds if rounds is None else rounds
    from stackjax import experiments
    from stackjax.experiments.settings import set_game, set_players

    put = values_of(sets)
    with refused("--set"):
        made = set_game(entry.make(), put)
    learners = _learners(entry, made, methods, rounds)
    with refused("--set"):
        learners = set_players(learners, made, put)
    words = ["compare", game, "--replicates", str(replicates), "--rounds", str(rounds)]
    words += ["--seed", str(seed), "--methods", ",".join(learners), *(word for one in sets for word in ("--set", one))]
    driver = functools.partial(
        experiments.compare,
        made,
        learners,
        rounds=rounds,
        replicates=replicates,
        seed=seed,
        start=entry.start,
        title=entry.title,
        action_labels=entry.actions,
        payoff_labels=entry.payoffs,
    )
    out = _how.target(how, Path("results", file_name(game)), "comparison")
    _how.perform(driver, words, how, out, f"[bold]{entry.title}[/bold]: {entry.summary}")


def _learners(entry: "GameEntry", game: "Game", methods: str | None, rounds: int) -> dict[str, tuple["Learner", ...]]:
    """Name -> one learner a player: of the game's methods, or of learners' names with a slash between players."""
    from stackjax.experiments.constructed import made_players, split

    names = list(entry.default) if methods is None else list(dict.fromkeys(split(methods, ",")))
    if not names:
        own = "" if entry.methods else "; the game has none of its own"
        example = "/".join(["gradient-ascent(step=0.1)"] * len(game.spaces))
        raise click.BadParameter(f"no method given{own}; expected one such as {example}", param_hint="'--methods'")
    learners: dict[str, tuple[Learner, ...]] = {}
    for name in names:
        if name not in entry.methods and "/" not in name:
            raise click.BadParameter(nearest("method", name, entry.methods), param_hint="'--methods'")
        with refused("--methods"):
            learners[name] = (
                entry.methods[name]() if name in entry.methods else made_players(name, "methods", game, rounds)
            )
    return learners
