"""The command line: `stackjax list | compare | certify | plot`. What a command needs is imported when it runs."""

import contextlib
import difflib
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import stackjax

if TYPE_CHECKING:
    import xarray
    from rich.console import Console

    from stackjax.catalogue import GameEntry
    from stackjax.equilibria import Certificate
    from stackjax.protocols import Game, Learner

#: Where the output isn't a terminal there is no width to fit.
_WIDTH = 120
_SEES = {
    "PAYOFF": "own payoff",
    "GRADIENT": "own gradient",
    "OTHERS": "others' actions",
    "COMMITMENT": "earlier players' actions",
    "OWN_PAYOFF": "own payoff function",
    "QUERY": "earlier players' answers",
    "GAME": "the whole game",
}


class _Whole(click.IntRange):
    """An integer in a range, which may be written as 1e5."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        with contextlib.suppress(ValueError, TypeError):
            if float(value).is_integer() and abs(float(value)) < 2**53:  # else not exact
                value = int(float(value))
        return super().convert(value, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(stackjax.__version__, message="stackjax %(version)s")
def main() -> None:
    """Learning in leader-follower (Stackelberg) games."""


def _nearest(kind: str, name: str, names: Iterable[str]) -> str:
    names = list(names)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    return f"unknown {kind} {name!r}" + (f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}")


def _entry(game: str) -> "GameEntry":
    from stackjax import catalogue

    if game not in catalogue.GAMES:
        raise click.BadParameter(_nearest("game", game, catalogue.GAMES), param_hint="'GAME'")
    return catalogue.GAMES[game]


def _writable(folder: Path, option: str) -> None:
    from stackjax.experiments.results import check_writable

    try:
        check_writable(folder)
    except OSError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


@main.command("list")
def list_() -> None:
    """List the games with their methods, and the learners with what each of them sees."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from stackjax import catalogue

    console = _console()
    console.print("[bold]Games[/bold] (a star marks the methods that are compared by default)")
    for name, entry in catalogue.GAMES.items():
        size = f" ({entry.replicates} replicates of {entry.rounds} rounds)"
        console.print(Text.assemble(("\n" + name, "bold cyan"), f"  {entry.title}: {entry.summary}", (size, "dim")))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        for method, make in entry.methods.items():
            players = " with ".join(type(learner).__name__ for learner in make())
            table.add_row("", method + ("*" if method in entry.default else ""), players, make.summary)
        console.print(table)
    console.print("\n[bold]Learners[/bold]")
    table = Table("name", "class", "what it sees", "", box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.padding = (0, 1, 0, 0)
    for name, learner in catalogue.LEARNERS.items():
        table.add_row(f"[cyan]{name}[/cyan]", learner.__name__, *_sees(learner))
    console.print(table)
    console.print("uncoupled: sees neither the game nor a payoff function; oracle: sees its own payoff function")


def _sees(learner: "type[Learner]") -> tuple[str, str]:
    """What a learner is shown, and what that makes it."""
    from stackjax.protocols import Signal

    wants = getattr(learner, "usually", learner.wants)
    if not isinstance(wants, Signal):  # a property: it depends on the instance
        return "as the learner that it holds", "as that one"
    kind = "coupled" if Signal.GAME in wants else "oracle" if Signal.OWN_PAYOFF in wants else "uncoupled"
    return ", ".join(_SEES[str(signal.name)] for signal in wants) or "nothing", kind


@main.command()
@click.argument("game")
@click.option(
    "--replicates",
    type=_Whole(1, 2**32 - 1),
    help="How many runs of each method; default as in stackjax list.",
)
@click.option("--rounds", type=_Whole(1, 2**31 - 1), help="How many rounds a run has; default likewise.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of all randomness.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for comparison.nc and comparison.png, which are replaced.  [default: results/GAME]",
)
@click.option("--methods", help="Which methods, separated by commas; stackjax list shows them.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def compare(
    game: str,
    replicates: int | None,
    rounds: int | None,
    seed: int,
    out: Path | None,
    methods: str | None,
    quiet: bool,
) -> None:
    """Compare methods in GAME: a table, a figure and a NetCDF file with the data.

    Every method plays the same replicates: equal starts, equal noise.
    """
    entry = _entry(game)
    names = list(entry.default)
    if methods is not None:
        names = list(dict.fromkeys(name.strip() for name in methods.split(",") if name.strip()))
        for name in names:
            if name not in entry.methods:
                raise click.BadParameter(_nearest("method", name, entry.methods), param_hint="'--methods'")
        if not names:
            raise click.BadParameter("no method given", param_hint="'--methods'")
    replicates = entry.replicates if replicates is None else replicates
    rounds = entry.rounds if rounds is None else rounds
    from stackjax import experiments
    from stackjax.experiments.compare import check_memory

    try:
        check_memory(entry.make(), len(names), rounds, replicates)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    out = Path("results", game) if out is None else out
    _writable(out, "--out")

    command = ["stackjax", "compare", game, "--replicates", str(replicates), "--rounds", str(rounds)]
    command += ["--seed", str(seed), "--methods", ",".join(names)]
    dataset = experiments.compare(
        entry.make(),
        {name: entry.methods[name]() for name in names},
        rounds=rounds,
        replicates=replicates,
        seed=seed,
        start=entry.start,
        progress=False if quiet else None,
        title=entry.title,
        action_labels=entry.actions,
        payoff_labels=entry.payoffs,
        command=shlex.join(command),
    )
    data, figure = out / "comparison.nc", out / "comparison.png"
    try:
        experiments.save(dataset, data)
        _save_comparison(dataset, figure)
    except OSError as error:
        raise click.ClickException(str(error)) from None
    if not quiet:
        console = _console()
        console.print(f"\n[bold]{entry.title}[/bold]: {entry.summary}")
        console.print(experiments.table(dataset, console.width))
        console.print(f"data   {data}\nfigure {figure}", highlight=False, soft_wrap=True)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="A .png, .pdf or .svg.  [default: FILE as .png]")
def plot(file: Path, out: Path | None) -> None:
    """Draw the figure of the result in FILE again."""
    from stackjax import experiments

    out = file.with_suffix(".png") if out is None else out
    _figure_name(out, "--out")
    try:
        dataset = experiments.load(file)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'FILE'") from None
    _writable(out.parent, "--out")
    try:
        _save_comparison(dataset, out)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(out)


@main.command()
@click.argument("game")
@click.option(
    "--at",
    metavar="NUMBERS",
    help="Certify this joint action instead: numbers separated by commas, in order of play (players also by ;).",
)
@click.option("--starts", type=_Whole(1, 10**6), default=256, show_default=True, help="From how many points to search.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of all randomness.")
@click.option(
    "--timescale",
    type=click.FloatRange(0.0, min_open=True),
    default=1.0,
    show_default=True,
    help="The follower's step over the leader's, in both dynamics.",
)
@click.option(
    "--portrait",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw both dynamics of two one-dimensional players, as a .png, .pdf or .svg.",
)
@click.option("--json", "data", type=click.Path(path_type=Path), metavar="FILE", help="Write the certificates as JSON.")
def certify(
    game: str, at: str | None, starts: int, seed: int, timescale: float, portrait: Path | None, data: Path | None
) -> None:
    """Find the equilibria of GAME: a table of its critical points, and a certificate of each equilibrium.

    All differential Nash and Stackelberg equilibria that are found, with residuals, curvatures, and the stability of
    the simultaneous and of the hierarchical dynamics.
    """
    entry = _entry(game)
    exact = _exact(entry.make())
    point = None if at is None else _joint_action(exact, at)
    for file, option in ((portrait, "--portrait"), (data, "--json")):
        if file is not None:
            if option == "--portrait":
                _figure_name(file, option)
                _drawable(exact)
            _writable(file.parent, option)
    import jax

    from stackjax import equilibria

    marked: Any
    if point is None:
        found = equilibria.find(exact, jax.random.key(seed), starts, limits=entry.limits, timescale=timescale)
        certificates, marked = found.critical, found
        click.echo("\n\n".join(map(str, (found, *found.equilibria))))
    else:
        certificates = (equilibria.certify(exact, *point, key=jax.random.key(seed), timescale=timescale),)
        known = [(z, "Nash") for z in exact.nash_equilibria()] + [
            (z, "Stackelberg") for z in exact.stackelberg_equilibria()
        ]
        marked = [*certificates, *known]
        click.echo(certificates[0])
    if portrait or data:
        click.echo()
    try:
        if data is not None:
            _save_certificates(certificates, data, game, seed)
            click.echo(f"certificates {data}")
        if portrait is not None:
            _save_portrait(entry, certificates, marked, timescale, portrait)
            click.echo(f"portrait     {portrait}")
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _exact(game: "Game") -> "Game":
    """The game without its payoff noise."""
    from stackjax.games import Noisy

    return _exact(game.game) if isinstance(game, Noisy) else game


def _joint_action(game: "Game", text: str) -> tuple[Any, ...]:
    """Numbers, read one after the other into the players' actions."""
    import jax
    import numpy as np

    structs = [space.struct(np.float64) for space in game.spaces]
    sizes = [space.size for space in game.spaces]
    shape = "; ".join(f"{n} for player {i}" for i, n in enumerate(sizes))
    try:
        parts = [[float(x) for x in part.split(",")] for part in text.strip().strip(";").split(";")]
    except ValueError:
        raise click.BadParameter(f"expected numbers ({shape}), got {text!r}", param_hint="'--at'") from None
    flat = np.concatenate(parts)
    if flat.size != sum(sizes) or not np.isfinite(flat).all() or (len(parts) > 1 and list(map(len, parts)) != sizes):
        raise click.BadParameter(f"expected {sum(sizes)} finite numbers ({shape}), got {text!r}", param_hint="'--at'")
    leaves, structure = jax.tree.flatten(structs)
    cuts = np.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1])
    made = jax.tree.unflatten(structure, [cut.reshape(leaf.shape) for cut, leaf in zip(cuts, leaves, strict=True)])
    return tuple(made)


def _drawable(game: "Game") -> None:
    from stackjax.plots.portrait import check_drawable

    try:
        check_drawable(game)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--portrait'") from None


def _save_certificates(certificates: "Iterable[Certificate]", path: Path, game: str, seed: int) -> None:
    import jax.numpy as jnp

    from stackjax.experiments.results import describe, provenance, replacing

    about = provenance({"game": game}, seed=seed, command=None, device=jnp.zeros(()).device)
    found = [{"kind": certificate.kind} | describe(certificate) for certificate in certificates]
    with replacing(path) as part:
        part.write_text(json.dumps(about | {"points": found}, indent=1, default=lambda z: [z.real, z.imag]))


def _save_portrait(
    entry: "GameEntry", certificates: "tuple[Certificate, ...]", marked: Any, timescale: float, path: Path
) -> None:
    """Both dynamics in steps that are a tenth of what their fastest motion at an equilibrium allows."""
    import numpy as np

    from stackjax.experiments.results import replacing
    from stackjax.learners import GradientAscent, HierarchicalAscent
    from stackjax.plots import plot_portrait

    equilibria = [c for c in certificates if c.is_nash or c.is_stackelberg] or certificates
    jacobians = [d.jacobian for c in equilibria for d in (c.simultaneous, c.hierarchical)]
    rates = [float(np.linalg.norm(j, 2)) for j in jacobians if np.isfinite(j).all()]
    step = 0.1 / max([*rates, 0.01])
    follower = GradientAscent(step * timescale)
    pairs = {
        "simultaneous": (GradientAscent(step), follower),
        "hierarchical": (HierarchicalAscent(step), follower),
    }
    game = _exact(entry.make())
    limits = None if entry.limits is None else (entry.limits, entry.limits)
    figure = plot_portrait(
        game, pairs, limits=limits, equilibria=marked, rounds=3000, title=entry.title, action_labels=entry.actions
    )
    with replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:])


def _figure_name(path: Path, option: str) -> None:
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise click.BadParameter(f"expected a name in .png, .pdf or .svg, got {path}", param_hint=f"'{option}'")


def _save_comparison(dataset: "xarray.Dataset", path: Path) -> None:
    from stackjax.experiments.results import replacing
    from stackjax.plots import plot_comparison

    with replacing(path) as part:
        plot_comparison(dataset).savefig(part, format=path.suffix[1:])


def _console() -> "Console":
    from rich.console import Console

    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_WIDTH)
