"""`stackjax sweep`."""

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from stackjax.cli import _how
from stackjax.cli._common import Whole, nearest, seed_option


@click.command("sweep")
@click.argument("game")
@click.option(
    "--over",
    "swept",
    metavar="NAME=VALUES",
    multiple=True,
    required=True,
    help="What is swept, once for each name: leader.step=0.01,0.1, or LOW:HIGH:N for N values, spaced by a factor.",
)
@click.option(
    "--methods", help="Which methods, separated by commas; stackjax list shows them. Of bandits, ucb/etc, say."
)
@click.option("--replicates", type=Whole(1, 2**32 - 1), default=100, show_default=True, help="Of each setting.")
@click.option("--rounds", type=Whole(1, 2**31 - 1), help="How many rounds a run has; default as in stackjax list.")
@seed_option
@_how.options("results/sweep_GAME.nc")
def command(
    game: str,
    swept: tuple[str, ...],
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

    text = _configuration(game, swept, methods, replicates, rounds, seed)
    try:
        study = parsed(text)
    except StudyError as error:
        raise click.UsageError(str(error)) from None
    words: list[Any] = ["sweep", game, *(word for one in swept for word in ("--over", one))]
    words += [] if methods is None else ["--methods", methods]
    words += ["--replicates", replicates, "--rounds", study.options["rounds"], "--seed", seed]
    out = _how.target(how, Path("results", f"sweep_{game}.nc"))
    _how.perform(study.play, [str(word) for word in words], how, out, usage=False)


def _configuration(
    game: str, swept: tuple[str, ...], methods: str | None, replicates: int, rounds: int | None, seed: int
) -> str:
    """The options as a configuration file."""
    from stackjax import catalogue

    known = [*catalogue.GAMES, *catalogue.INSTANCES]
    if game not in known:
        raise click.BadParameter(nearest("game", game, known), param_hint="'GAME'")
    entry = catalogue.GAMES.get(game)
    usual = ["/".join(pair) for pair in catalogue.PAIRS] if entry is None else list(entry.default)
    names = usual if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    if rounds is None:
        if entry is None:
            raise click.UsageError("--rounds: expected the horizon, as the game is a bandit")
        rounds = entry.rounds
    over: dict[str, str] = {}
    for one in swept:
        name, equals, values = one.partition("=")
        if not equals or not name.strip() or not values.strip():
            raise click.BadParameter(f"expected NAME=VALUES, got {one!r}", param_hint="'--over'")
        if name.strip() in over:
            raise click.BadParameter(f"{name.strip()!r} is swept twice", param_hint="'--over'")
        over[name.strip()] = _values(values)
    lines = [
        f"rounds = {rounds}",
        f"replicates = {replicates}",
        f"seed = {seed}",
        f"methods = {_text(names)}",
    ]
    lines += ["", "[game]", f"name = {_text(game)}", "", "[over]"]
    return "\n".join([*lines, *(f"{_text(name)} = {values}" for name, values in over.items()), ""])


def _values(text: str) -> str:
    """`0.1,0.2`, or `0.1:10:5`, as TOML; what is no number, true or false is a text."""
    bounds = [_value(each) for each in text.split(":")]
    if len(bounds) == 3:
        return f"{{ low = {bounds[0]}, high = {bounds[1]}, log = {bounds[2]} }}"
    return f"[{', '.join(_value(each) for each in text.split(','))}]"


def _value(text: str) -> str:
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        value = None
    return repr(value).lower() if isinstance(value, bool | int | float) else _text(text)


def _text(value: str | list[str]) -> str:
    """A text, or an array of them, as TOML has it."""
    return json.dumps(value, ensure_ascii=False)
