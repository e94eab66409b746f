"""What commands share: kinds of options and names, checks with their messages, the console, a figure's file."""

import contextlib
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from stackjax.checks import nearest as nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from stackjax.catalogue import GameEntry, InstanceEntry

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


class Option(click.Option):
    """An option in a group of the help."""

    def __init__(self, *arguments: Any, group: str = "Options", **options: Any):
        super().__init__(*arguments, **options)
        self.group = group


class Command(click.Command):
    """A command that helps with its options in groups, and says where the parameters of a game are set."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a section for each group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
                groups.setdefault(getattr(parameter, "group", "Options"), []).append(record)
        for title in sorted(groups, key=lambda title: title != "Options"):
            with formatter.section(title):
                formatter.write_dl(groups[title])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments; of an option that is a parameter of the game or of a learner, how it is set."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            settable = any(isinstance(one, click.Option) and "--set" in one.opts for one in self.params)
            path = _path_of(error.option_name, given) if settable else None
            if path is None:
                raise
            said = f"No such option {error.option_name!r}; to set that of the {path.partition('.')[0]}: --set {path}"
            raise click.UsageError(said, ctx) from None


def _path_of(option: str, words: list[str]) -> str | None:
    """`game.demand=80` for `--demand 80`, if some word is a game that has it, or whose learners have."""
    from stackjax.experiments.settings import arguments_of

    name = option.lstrip("-").replace("-", "_")
    at = next((i for i, word in enumerate(words) if word.partition("=")[0] == option), len(words) - 1)
    following = [*words[at + 1 :], "VALUE"]
    value = words[at].partition("=")[2] or (following[0] if not following[0].startswith("-") else "VALUE")
    for word in words:
        with contextlib.suppress(click.BadParameter, TypeError, ValueError):
            entry = game_entry(word)
            if name in arguments_of(entry.make()):
                return f"game.{name}={value}"
            for method in entry.default:
                for role, learner in zip(("leader", "follower"), entry.methods[method](), strict=False):
                    if name in arguments_of(learner):
                        return f"{role}.{name}={value}"
    return None


class Name(click.ParamType):
    """A name in the catalogue, or `module:Class`; what a shell completes.

    **Arguments:** `rooms`: the catalogue's mappings that have it; `several`: whether commas separate more of them.
    """

    name = "name"

    def __init__(self, *rooms: str, several: bool = False):
        self.rooms, self.several = rooms, several

    def known(self, ctx: click.Context) -> Iterable[str]:
        """The names that there are."""
        from stackjax import catalogue

        return dict.fromkeys(name for room in self.rooms for name in getattr(catalogue, room))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that begin with what was typed."""
        before, comma, begin = incomplete.rpartition(",") if self.several else ("", "", incomplete)
        return [CompletionItem(before + comma + name) for name in self.known(ctx) if name.startswith(begin)]


class MethodNames(Name):
    """Names of the methods of the game that was named before."""

    def known(self, ctx: click.Context) -> Iterable[str]:
        """Its methods."""
        try:
            game = ctx.params.get("game") or "".join(ctx.args[:1])  # the latter if the option has no value yet
            return game_entry(game).methods
        except click.BadParameter:
            return ()


def game_entry(game: str) -> "GameEntry":
    """The game of a name or `module:Class`, or a `BadParameter` with the nearest name."""
    from stackjax import catalogue

    if game in catalogue.GAMES:  # without what experiments need
        return catalogue.GAMES[game]
    from stackjax.experiments.constructed import game_entry as named

    with refused("GAME"):
        return named(game)


set_option = click.option(
    "--set",
    "sets",
    multiple=True,
    cls=Option,
    metavar="NAME=VALUE",
    help="Another value, once for each name: game.demand=80, leader.step=0.1 of the methods that have one.",
)
json_option = click.option("--json", "as_json", is_flag=True, cls=Option, help="Print JSON and nothing else.")


def named_values(given: Iterable[str], option: str = "set", what: str = "VALUE", done: str = "set") -> dict[str, str]:
    """The texts of an option that is given as NAME=VALUE, once for each name."""
    pairs: dict[str, str] = {}
    for one in given:
        name, equals, text = (part.strip() for part in one.partition("="))
        if not equals or not name or not text:
            raise click.BadParameter(f"expected NAME={what}, got {one!r}", param_hint=f"'--{option}'")
        if name in pairs:
            raise click.BadParameter(f"{name!r} is {done} twice", param_hint=f"'--{option}'")
        pairs[name] = text
    return pairs


def values_of(sets: Iterable[str]) -> dict[str, Any]:
    """The values of `--set` by their names."""
    if not (pairs := named_values(sets)):
        return {}
    from stackjax.experiments.constructed import made_value, value_of

    with refused("--set"):
        return {name: made_value(value_of(text, name), name) for name, text in pairs.items()}


@contextlib.contextmanager
def refused(option: str) -> Iterator[None]:
    """An error in here is a `BadParameter` of that option or argument."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def instance_entry(name: str, *others: str) -> "InstanceEntry":
    """The bandit of a name or `module:Class`, or a `BadParameter` with the nearest name, of the `others`, too."""
    from stackjax import catalogue
    from stackjax.catalogue import plugins

    if name in catalogue.INSTANCES:
        return catalogue.INSTANCES[name]
    known = [*catalogue.INSTANCES, *others]
    if not set(name) & set(":(") and name not in plugins.registered("game"):
        said = nearest("instance", name, known)
        if name in catalogue.FAMILIES and name not in others:
            said = f"{name} is a family of random instances, and regret is about one; stackjax metagame plays families"
        raise click.BadParameter(said, param_hint="'INSTANCE'")
    from stackjax.experiments.constructed import called_table, made_game
    from stackjax.experiments.settings import set_game
    from stackjax.games import StackelbergBandit

    def make(horizon: int, **rewards: Any) -> StackelbergBandit:
        game = made_game(called_table(name, name), "game", horizon)
        if not isinstance(game, StackelbergBandit):
            raise ValueError(f"{name}: expected a StackelbergBandit, got a {type(game).__name__}")
        return set_game(game, {f"game.{key}": value for key, value in rewards.items()})

    with refused("INSTANCE"):
        make(1)
    return catalogue.InstanceEntry(make, name.partition(":")[2] or name, "a bandit of one's own")


def file_name(game: str) -> str:
    """What a result of a game is called: `module:Class(n=2)` without what file names can't have."""
    return re.sub(r"[^\w.-]+", "-", game).strip("-")


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
    """With dashes for underscores, and no capitals; `module:Class` and what has arguments as it is."""
    return name.strip() if set(name) & set(":(") else name.strip().lower().replace("_", "-")


def learner_named(role: str, name: str, known: Mapping[str, Any], option: str) -> str:
    """The learner's name in the catalogue, or `module:Class` or a name with arguments if there is such a learner."""
    from stackjax import catalogue
    from stackjax.catalogue import plugins

    if set(name) & set(":(") or name.strip() in plugins.registered("learner"):
        from stackjax.experiments.constructed import tuned_by_name

        with refused(option):
            tuned_by_name(name, role, name)
        return name.strip()
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
