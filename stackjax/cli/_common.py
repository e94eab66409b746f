"""What commands share: kinds of options, checks with their messages, the console, a figure's file."""

import contextlib
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackjax.checks import nearest as nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from stackjax.catalogue import GameEntry

#: Where the output isn't a terminal there is no width to fit.
_WIDTH = 120


class Whole(click.IntRange):
    """An integer in a range, which may be written as 1e5."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The integer."""
        with contextlib.suppress(ValueError, TypeError):
            if float(value).is_integer() and abs(float(value)) < 2**53:  # else not exact
                value = int(float(value))
        return super().convert(value, param, ctx)


class Real(click.FloatRange):
    """A finite number in a range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, got {value!r}", param, ctx)
        return number


def game_entry(game: str) -> "GameEntry":
    """The catalogue's game, or a `BadParameter` with the nearest name."""
    from stackjax import catalogue

    if game not in catalogue.GAMES:
        raise click.BadParameter(nearest("game", game, catalogue.GAMES), param_hint="'GAME'")
    return catalogue.GAMES[game]


def writable(folder: Path, option: str) -> None:
    """Make a folder and try to write in it, or a `BadParameter`."""
    from stackjax.experiments.results import check_writable

    try:
        check_writable(folder)
    except OSError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def figure_name(path: Path, option: str) -> None:
    """Is it a name of a figure's file? A `BadParameter` otherwise."""
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise click.BadParameter(f"expected a name in .png, .pdf or .svg, got {path}", param_hint=f"'{option}'")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure: whole, or not at all."""
    from stackjax.experiments.results import replacing

    with replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:])


def terminal() -> "Console":
    """The standard output, as wide as the terminal or as COLUMNS says."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_WIDTH)


seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of all randomness."
)
noise_option = click.option(
    "--noise", type=click.Choice(["gaussian", "bernoulli"]), help="Of the rewards; default the instance's."
)
sigma_option = click.option("--sigma", type=Real(0.0, min_open=True), help="Of normal rewards; default the instance's.")


def plain(name: str) -> str:
    """With dashes for underscores, and no capitals."""
    return name.strip().lower().replace("_", "-")


def learner_named(role: str, name: str, known: Mapping[str, Any], option: str) -> str:
    """The learner's name in the catalogue."""
    from stackjax import catalogue

    canonical = catalogue.ALIASES.get(plain(name), plain(name))
    if canonical not in known:
        names = [*known, *(alias for alias, target in catalogue.ALIASES.items() if target in known)]
        raise click.BadParameter(nearest(role, name.strip(), names), param_hint=f"'{option}'")
    return canonical


@contextlib.contextmanager
def noted_already() -> Iterator[None]:
    """Of long exploration `tuned` has warned, and it is among the notes: it isn't warned of again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* explores in more than half of the rounds")
        yield
