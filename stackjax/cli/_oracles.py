"""`stackjax compare GAME --oracle NAME`: leaders of a Markov game against follower oracles."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackjax.cli import _how
from stackjax.cli._common import nearest, plain, refused, values_of

if TYPE_CHECKING:
    from stackjax.catalogue import LeaderEntry, MarkovEntry
    from stackjax.experiments import Leading
    from stackjax.games import MarkovGame

#: Leaders that are compared if none are asked for: the first that goes with an oracle.
_DEFAULT = ("policy-gradient", "evolution-strategies")


def compare_leaders(
    game: str,
    oracles: Sequence[str],
    leaders: Sequence[str],
    switches: Sequence[str],
    *,
    sets: Sequence[str] = (),
    replicates: int | None,
    rounds: int | None,
    seed: int,
    how: _how.How,
) -> None:
    """Run `experiments.lead`, write leading.nc and leading.png, and print the table.

    **Arguments:** `switches`: of "hidden", "rewarded" and "recognisable", each of which is compared beside a method
    with none of them.
    """
    from stackjax import catalogue

    entry = _entry(plain(game))
    chosen = {
        option: [_known(option, name, known) for name in dict.fromkeys(plain(name) for name in names)]
        for option, names, known in (
            ("oracle", oracles, catalogue.ORACLES),
            ("leader", leaders, catalogue.MARKOV_LEADERS),
        )
    }
    from stackjax import experiments
    from stackjax.experiments.settings import set_game

    put = values_of(sets)
    if own := [name for name in put if not name.startswith("game.")]:
        raise click.BadParameter(f"expected game.ARGUMENT with --oracle, got {own[0]!r}", param_hint="'--set'")
    with refused("--set"):
        made = set_game(entry.make(), put)
    methods: dict[str, Leading] = {}
    many: dict[str, int] = {}
    pairs, skipped = _pairs(entry, made, chosen["oracle"], chosen["leader"])
    for leader, oracle in pairs:
        for name, method in _methods(entry, made, leader, oracle, switches).items():
            methods[name] = method
            many[name] = _leader(leader).rounds if rounds is None else rounds
    if switches and not any(method.ascends for method in methods.values()):
        raise click.UsageError(f"--{switches[0]}: expected a --leader who follows a gradient, got none")
    number = entry.replicates if replicates is None else replicates
    if skipped and not how.quiet:
        click.echo(f"left out, as they don't go together: {', '.join(skipped)}", err=True)
    words = ["compare", plain(game)]
    words += [word for option, names in chosen.items() for name in names for word in (f"--{option}", name)]
    words += [f"--{switch}" for switch in switches]
    words += [] if rounds is None else ["--rounds", str(rounds)]
    words += ["--replicates", str(number), "--seed", str(seed)]
    words += [word for one in sets for word in ("--set", one)]
    driver = functools.partial(
        experiments.lead,
        made,
        methods,
        rounds=many,
        replicates=number,
        seed=seed,
        title=entry.title,
        states=entry.states,
        actions=entry.actions,
    )
    out = _how.target(how, Path("results", plain(game)), "leading")
    _how.perform(driver, words, how, out, f"[bold]{entry.title}[/bold]: {entry.summary}")


def _entry(game: str) -> "MarkovEntry":
    from stackjax import catalogue

    if game not in catalogue.MARKOV_GAMES:
        message = nearest("game", game, catalogue.MARKOV_GAMES)
        if game in catalogue.GAMES:
            message = (
                f"{game} is no Markov game, and has no oracles; expected one of {', '.join(catalogue.MARKOV_GAMES)}"
            )
        raise click.BadParameter(message, param_hint="'GAME'")
    return catalogue.MARKOV_GAMES[game]


def _known(option: str, name: str, known: Any) -> str:
    if option == "leader" and set(name) & set(":("):
        _leader(name)
    elif name not in known:
        raise click.BadParameter(nearest(option, name, known), param_hint=f"'--{option}'")
    return name


def _leader(name: str) -> "LeaderEntry":
    from stackjax.experiments.constructed import leader_entry

    with refused("--leader"):
        return leader_entry(name, name)


def _pairs(
    entry: "MarkovEntry", game: "MarkovGame", oracles: Sequence[str], leaders: Sequence[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """The pairs of a leader and an oracle that go together, and the names of those that don't.

    A `UsageError` if an oracle or a leader is left without a partner.
    """
    from stackjax.catalogue import leading

    if not leaders:
        return [(_fitting(entry, game, oracle), oracle) for oracle in oracles], []
    every = [(leader, oracle) for oracle in oracles for leader in leaders]
    complaints = {(one, oracle): _complaint(leading(entry, game, _leader(one), oracle)) for one, oracle in every}
    good = [pair for pair in every if complaints[pair] is None]
    bad = [pair for pair in every if pair not in good]
    partnered = {name for pair in good for name in pair}
    for leader, oracle in bad:
        if not {leader, oracle} <= partnered:
            raise click.UsageError(f"--leader {leader}, --oracle {oracle}: {complaints[leader, oracle]}")
    return good, [f"{leader}/{oracle}" for leader, oracle in bad]


def _fitting(entry: "MarkovEntry", game: "MarkovGame", oracle: str) -> str:
    """The first of the default leaders that goes with an oracle."""
    from stackjax.catalogue import leading

    return next(leader for leader in _DEFAULT if _complaint(leading(entry, game, leader, oracle)) is None)


def _complaint(method: "Leading") -> str | None:
    try:
        method.check()
    except ValueError as error:
        return str(error)
    return None


def _methods(
    entry: "MarkovEntry", game: "MarkovGame", leader: str, oracle: str, switches: Sequence[str]
) -> dict[str, "Leading"]:
    """The method that keeps the reduction's conditions; if it follows a gradient, others that violate one each."""
    from stackjax.catalogue import leading

    leads = _leader(leader)
    plain = leading(entry, game, leads, oracle)
    name = f"{leader}/{oracle}"
    varied = switches if plain.ascends else ()
    return {name: plain} | {f"{name}, {switch}": leading(entry, game, leads, oracle, switch) for switch in varied}
