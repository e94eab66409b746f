"""The table of a meta-game: its bimatrix with standard errors, and its solutions. rich is imported when one is made."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.experiments.cells import short, titled
from stackjax.experiments.solutions import DOMINANCE, check_metagame

if TYPE_CHECKING:
    import xarray
    from rich.table import Table

#: How pairs are marked, here and in the figure: pure Nash equilibria, and the Stackelberg outcome.
MARKS = {"pure_nash": "●", "stackelberg": "◆"}
#: Pairs that aren't, but are in so many of the resamples, have a hollow mark.
HOLLOW = {"pure_nash": "○", "stackelberg": "◇"}
OFTEN = 0.05
_WIDE = 100  # characters of the text below, if the line has them
_PLAYED = 5e-4  # a smaller probability isn't shown


def lines(name: str, length: int = 14) -> list[str]:
    """A name broken at its hyphens."""
    return textwrap.wrap(name, length) or [name]


def metagame_table(dataset: "xarray.Dataset", width: int) -> "Table":
    """The table of what `metagame` returned, see `stackjax.experiments.table`, in lines of `width` characters.

    Where they don't suffice standard errors are left out.
    """
    from rich.console import Console

    check_metagame(dataset)
    console, room = Console(width=10 * width), min(width, _WIDE)
    for errors in (True, False):
        made = _table(dataset, errors)
        natural = console.measure(made).maximum
        if natural <= width:
            break
    if natural + 2 < room:  # an empty column, for the sake of the text below
        made = _table(dataset, errors, fill=True)
        made.width = room
    return made


def best_replies(dataset: "xarray.Dataset") -> "xarray.DataArray":
    """Whether an algorithm is its player's best one against the other's, `[leader, follower, player]`."""
    mean = dataset["mean"].transpose("leader", "follower", "player")
    best = mean.copy(data=np.zeros(mean.shape, bool))
    for player, own in enumerate(("leader", "follower")):
        theirs = mean.isel(player=player)
        best[..., player] = theirs == theirs.max(own)
    return best


def population(dataset: "xarray.Dataset") -> str:
    """What the standard errors and the frequencies are about."""
    replicates, instances = dataset.sizes["replicate"], dataset.sizes["instance"]
    played = (
        f"{replicates} replicates of {_count(instances, 'instance')} to T = {short(float(dataset.attrs['horizon']))}"
    )
    return f"{played}; {dataset.attrs['resamples']} bootstrap resamples of the {dataset.attrs['resample']}"


def percent(share: float) -> str:
    """A share, which is 0 % or 100 % only if it is exactly."""
    if math.isnan(share):
        return "–"
    return "< 1 %" if 0 < share < 0.01 else "> 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def _table(dataset: "xarray.Dataset", errors: bool, fill: bool = False) -> "Table":
    from rich.markup import escape

    made = titled(population(dataset), gap=2 if errors else 1)
    made.add_column("leader\n  follower", overflow="fold")
    for name in dataset["follower"].values:
        made.add_column(f"\n[cyan]{escape(chr(10).join(lines(str(name))))}", justify="right", overflow="fold")
    if fill:
        made.add_column("", ratio=1)
    both = ("leader", "follower")
    mean, error = (dataset[name].transpose(*both, "player").values for name in ("mean", "standard_error"))
    best = best_replies(dataset).values
    marks = {kind: [dataset[name].transpose(*both).values for name in (kind, f"{kind}_frequency")] for kind in MARKS}
    for i, name in enumerate(dataset["leader"].values):
        row = []
        for j in range(len(dataset["follower"])):
            cell = [
                _number(*x) for x in zip(mean[i, j], error[i, j] if errors else [np.nan] * 2, best[i, j], strict=True)
            ]
            symbols = [_mark(kind, bool(is_one[i, j]), float(often[i, j])) for kind, (is_one, often) in marks.items()]
            row.append("\n".join([*cell, " ".join(filter(None, symbols))]))
        made.add_row(f"[bold cyan]{escape(chr(10).join(lines(str(name))))}", *row)
    made.caption = "\n".join([_note(dataset, errors), *_solved(dataset), *_failures(dataset)])
    return made


def _number(mean: float, error: float, best: bool) -> str:
    """A mean with its standard error, in bold if it is that of a best reply."""
    if math.isnan(mean):
        return "–"
    text = f"[bold]{mean:.3f}[/bold]" if best else f"{mean:.3f}"
    return text if math.isnan(error) else f"{text} [dim]± {error:.3f}[/dim]"


def _mark(kind: str, is_one: bool, often: float) -> str:
    if is_one:
        return f"[green]{MARKS[kind]} {percent(often)}[/green]"
    return f"[dim]{HOLLOW[kind]} {percent(often)}[/dim]" if often >= OFTEN else ""


def _note(dataset: "xarray.Dataset", errors: bool) -> str:
    """What the numbers mean."""
    sentences = ["In a cell the average utility of the leader, and below it of the follower"]
    sentences[0] += ", ± standard error; bold: a best reply" if errors else "; bold: a best reply"
    nash, stackelberg = (
        f"{mark} {what}" for mark, what in zip(MARKS.values(), ("pure Nash", "Stackelberg"), strict=True)
    )
    sentences.append(
        f"{nash}, {stackelberg}, with the share of resamples in which the pair is that (hollow: only in these)"
    )
    times = [float(dataset[name].sum()) for name in ("seconds", "compile_seconds")]
    sentences.append("played in {:.1f} s, compiled in {:.1f} s".format(*times))
    if not errors:
        sentences.append("a wider terminal shows standard errors")
    return f"[dim]{'. '.join(text[0].upper() + text[1:] for text in sentences)}.[/dim]"


def _solved(dataset: "xarray.Dataset") -> list[str]:
    """A line for each solution concept."""
    from rich.markup import escape

    if dataset.attrs["unsolved"]:
        return [f"[red]not solved: {escape(dataset.attrs['unsolved'])}[/red]"]
    concepts = [_pure(dataset, "pure_nash"), mixed_nash(dataset), _pure(dataset, "stackelberg"), committed(dataset)]
    concepts += [_dominated(dataset, player) for player in ("leader", "follower")]
    return [f"[bold]{escape(what)}:[/bold] {escape(answer)}" for what, answer in concepts]


def _pure(dataset: "xarray.Dataset", kind: str) -> tuple[str, str]:
    names = [
        f"{leader}/{follower}"
        for i, leader in enumerate(dataset["leader"].values)
        for j, follower in enumerate(dataset["follower"].values)
        if bool(dataset[kind].transpose("leader", "follower")[i, j])
    ]
    what = {"pure_nash": "Pure Nash equilibria", "stackelberg": "Stackelberg, one algorithm"}[kind]
    same = "the same" if kind == "stackelberg" else "the same ones" if names else "none, too,"
    return what, f"{', '.join(names) or 'none'}; {same} in {percent(float(dataset[f'{kind}_same']))} of the resamples"


def mixed_nash(dataset: "xarray.Dataset", most: int = 6) -> tuple[str, str]:
    """What isn't seen from the pairs: the equilibria in which somebody mixes, at `most` so many."""
    what = "Mixed Nash equilibria"
    if "nash_utility" not in dataset:
        return what, "too many algorithms to enumerate them"
    strategies = [dataset[f"nash_{own}"].transpose("equilibrium", own).values for own in ("leader", "follower")]
    mixed = [i for i, row in enumerate(zip(*strategies, strict=True)) if any(np.sum(x > 0) > 1 for x in row)]
    if not mixed:
        return what, "none"
    equilibria = [
        f"{mixture(dataset['leader'].values, strategies[0][i])} / "
        f"{mixture(dataset['follower'].values, strategies[1][i])}, {_paid(dataset['nash_utility'][i])}"
        for i in mixed[:most]
    ]
    rest = len(mixed) - len(equilibria)
    return what, "; ".join(equilibria + [f"{rest} more"] * (rest > 0))


def committed(dataset: "xarray.Dataset") -> tuple[str, str]:
    """The best mixture to commit to."""
    leader, follower = (
        mixture(dataset[own].values, dataset[f"commitment_{own}"].values) for own in ("leader", "follower")
    )
    return "Stackelberg, a mixture", f"{leader}, replied to by {follower}, {_paid(dataset['commitment_utility'])}"


def mixture(names: Iterable[Any], probabilities: Sequence[float] | np.ndarray) -> str:
    """A mixed strategy in words."""
    played = [(str(name), p) for name, p in zip(names, probabilities, strict=True) if p > _PLAYED]
    return played[0][0] if len(played) == 1 else " + ".join(f"{p:.3f} {name}" for name, p in played)


def _paid(utility: "xarray.DataArray") -> str:
    return "which pays {:.3f} and {:.3f}".format(*utility.sel(player=["leader", "follower"]).values)


def _dominated(dataset: "xarray.Dataset", player: str) -> tuple[str, str]:
    """Each dominated algorithm by the strongest word that holds, and how often it holds."""
    kinds = dataset[f"{player}_dominated"].transpose("dominance", player).values
    often = dataset[f"{player}_dominated_frequency"].transpose("dominance", player).values
    descriptions = []
    for j, name in enumerate(dataset[player].values):
        strictly, weakly, mixed = range(len(DOMINANCE))
        kind = next((k for k in (strictly, mixed, weakly) if kinds[k, j]), None)
        if kind is not None:
            share = "" if math.isnan(often[kind, j]) else f", {percent(often[kind, j])}"
            descriptions.append(f"{name} ({DOMINANCE[kind]}{share})")
    return f"Dominated {player}s", ", ".join(descriptions) or "none"


def _failures(dataset: "xarray.Dataset") -> list[str]:
    """A line for each pair of which replicates failed, and one for resamples without a game."""
    from rich.markup import escape

    failed = dataset["failed"].transpose("leader", "follower").values
    total = dataset.sizes["instance"] * dataset.sizes["replicate"]
    pairs = itertools.product(dataset["leader"].values, dataset["follower"].values)
    messages = [
        f"[red]{escape(f'{leader}/{follower}')}: {n} of {total} runs failed, left out[/red]"
        for (leader, follower), n in zip(pairs, failed.ravel(), strict=True)
        if n
    ]
    left_out = dataset.attrs["left_out"]
    if left_out and not dataset.attrs["unsolved"]:
        messages.append(f"[red]{left_out} resamples had only failed runs of an instance and are left out[/red]")
    return messages


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
