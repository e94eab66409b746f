"""`stackjax sweep`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from stackjax.cli import _how
from stackjax.cli._common import (
    Command,
    MethodNames,
    Name,
    Whole,
    file_name,
    named_values,
    nearest,
    refused,
    seed_option,
    set_option,
)


@click.command("sweep", cls=Command)
@click.argument("game", type=Name("GAMES", "INSTANCES"))
@click.option(
    "--over",
    "swept",
    metavar="NAME=VALUES",
    multiple=True,
    required=True,
    help="What is swept, once for each name: leader.step=0.01,0.1, or LOW:HIGH:N for N values, spaced by a factor.",
)
@set_option
@click.option(
    "--methods",
    type=MethodNames(several=True),
    help="Which methods, separated by commas; stackjax show GAME lists them. Of bandits, ucb/etc, say.",
)
@click.option("--replicates", type=Whole(1, 2**32 - 1), default=100, show_default=True, help="Of each setting.")
@click.option("--rounds", type=Whole(1, 2**31 - 1), help="How many rounds a run has; default as in stackjax list.")
@seed_option
@_how.options("results/sweep_GAME.nc")
def command(
    game: str,
    swept: tuple[str, ...],
    sets: tuple[str, ...],
    methods: str | None,
    replicates: int,
    rounds: int | None,
    seed: int,
    how: _how.How,
) -> None:
    """Play GAME in every combination of the values of some names: a table, a figure and a NetCDF file with the data.

    A name is a path to an argument: leader.step, follower.step.exponent, game.demand; of bandits also gamma. Ones that
    files can say and this command can't, such as other learners, are for stackjax run.

    The result holds its configuration as a TOML file says it. Killed, or stopped by Ctrl-C, the sweep goes on when the
    same command is given again.
    """
    from stackjax.experiments import StudyError
    from stackjax.experiments.study import parsed

    text = _configuration(game, swept, sets, methods, replicates, rounds, seed)
    try:
        study = parsed(text)
    except StudyError as error:
        raise click.UsageError(str(error)) from None
    words: list[Any] = ["sweep", game, *(word for one in swept for word in ("--over", one))]
    words += [word for one in sets for word in ("--set", one)]
    words += [] if methods is None else ["--methods", methods]
    words += ["--replicates", replicates, "--rounds", study.options["rounds"], "--seed", seed]
    out = _how.target(how, Path("results", f"sweep_{file_name(game)}.nc"))
    _how.perform(study.play, [str(word) for word in words], how, out, usage=False)


def _configuration(
    game: str,
    swept: tuple[str, ...],
    sets: tuple[str, ...],
    methods: str | None,
    replicates: int,
    rounds: int | None,
    seed: int,
) -> str:
    """The options as a configuration file."""
    from stackjax import catalogue
    from stackjax.catalogue import plugins
    from stackjax.experiments.constructed import called_table, entry_called, split

    table = called_table(game, "'GAME'")
    known = [*catalogue.GAMES, *plugins.registered("game"), *catalogue.INSTANCES]
    if table["name"] not in known and ":" not in game:
        raise click.BadParameter(nearest("game", game, known), param_hint="'GAME'")
    with refused("GAME"):
        entry = entry_called(table["name"])
    usual = list(entry.default) if entry is not None else ["/".join(pair) for pair in catalogue.PAIRS]
    if methods is None and entry is None and ":" in game:
        example = "gradient-ascent(step=0.1)/gradient-ascent(step=0.1)"
        raise click.UsageError(
            f"--methods: expected learners, such as {example}, as the game has no methods of its own"
        )
    names = usual if methods is None else split(methods, ",")
    if rounds is None:
        if entry is None:
            why = "the horizon, as the game is a bandit" if ":" not in game else "how many, as the game doesn't say"
            raise click.UsageError(f"--rounds: expected {why}")
        rounds = entry.rounds
    over = {name: _values(values) for name, values in named_values(swept, "over", "VALUES", "swept").items()}
    put = {name: _value(value) for name, value in named_values(sets).items()}
    lines = [
        f"rounds = {rounds}",
        f"replicates = {replicates}",
        f"seed = {seed}",
        f"methods = {_toml(names)}",
    ]
    made = {name: _toml(value) for name, value in table.items()}
    for title, pairs in (("game", made), ("set", put), ("over", over)):
        if pairs:
            lines += ["", f"[{title}]", *(f"{_toml(name)} = {value}" for name, value in pairs.items())]
    return "\n".join([*lines, ""])


def _values(text: str) -> str:
    """`0.1,0.2`, or `0.1:10:5`, as TOML; what is no number, true or false is a text."""
    from stackjax.experiments.constructed import split

    bounds = split(text, ":")
    if len(bounds) == 3:
        return "{{ low = {}, high = {}, log = {} }}".format(*map(_value, bounds))
    return f"[{', '.join(map(_value, split(text, ',')))}]"


def _value(text: str) -> str:
    """A value as TOML."""
    from stackjax.experiments.constructed import value_of

    return _toml(value_of(text, text))


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml(part)}' for key, part in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value).lower() if isinstance(value, bool | int | float) else json.dumps(str(value), ensure_ascii=False)
