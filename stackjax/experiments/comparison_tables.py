"""The table of a comparison: a line for each player. rich is imported when one is made."""

from typing import TYPE_CHECKING

import numpy as np

from stackjax.experiments.cells import fitting, short, titled
from stackjax.experiments.reductions import check_comparison, summary
from stackjax.protocols import Calls
from stackjax.trace import Status

if TYPE_CHECKING:
    import xarray
    from rich.table import Table

_CALLS = dict(zip(Calls._fields, ("payoff", "grad", "HVP", "solve"), strict=True))
_FAILURES = {Status.NON_FINITE: "not finite", Status.LEFT_SPACE: "left its space", Status.DIVERGED: "diverged"}

_MET = 1e-3  # in units of the constraint: such a violation isn't mentioned


def comparison_table(dataset: "xarray.Dataset", width: int) -> "Table":
    """The table of a comparison, see `table`, in lines of `width` characters."""
    check_comparison(dataset)
    return fitting((_table(dataset, between) for between in (" ", "\n", None)), width)


def _table(dataset: "xarray.Dataset", between: str | None) -> "Table":
    """The table, with something between a median and its quartiles; short, without quartiles, if it is None."""
    from rich.markup import escape

    reduced = summary(dataset)
    players = [str(player) for player in reduced["player"].values]
    replicates = int(reduced["replicates"])
    names = [escape(str(name)) for name in reduced["methods"].values]
    kinds = [name for name in ("distance_to_nash", "distance_to_stackelberg", "payoffs") if name in reduced]

    made = titled(f"{replicates} replicates of {int(reduced['rounds'])} rounds")
    made.add_column("method\n  player", overflow="fold")
    for kind in kinds:
        header = kind.replace("_to_", " to\n").replace("nash", "Nash").replace("stackelberg", "Stackelberg")
        made.add_column(header.replace("payoffs", "payoff"), justify="right", overflow="fold")
    made.add_column("oracle\ncalls", overflow="fold")
    made.add_column("failed", justify="right", overflow="fold")
    compiling = "" if between is None else "\n[not bold dim]+ compiling"
    made.add_column("seconds" + compiling, justify="right", overflow="fold")

    for i, name in enumerate(names):
        failed = int(reduced["failed"][i])
        seconds, more = (f"{float(reduced[kind][i]):.2f}" for kind in ("seconds", "compile_seconds"))
        end = [f"[red]{failed}" if failed else "0", f"{seconds} [dim]+ {more}" if compiling else seconds]
        made.add_row(f"[bold cyan]{name}", *[""] * len(kinds), "", *end)
        for j, player in enumerate(players):
            cells = ["–"] * (len(kinds) + 1)
            if failed < replicates:
                cells = [_quantiles(reduced[kind].values[i, :, j], kind == "payoffs", between) for kind in kinds]
                cells.append(_calls({kind: float(reduced[f"{kind}_calls"][i, j]) for kind in _CALLS}))
            made.add_row(f"  {player}", *cells)
    left = [
        f"[red]{name}: values that aren't finite, left out of the quantiles: {int(n)}[/red]"
        for name, n in zip(names, reduced["left_out"].values, strict=True)
        if n
    ]
    said = [*_failures(dataset, names), *_violations(dataset, names, players), *left]
    made.caption = "\n".join([_note(dataset, between is not None), *said])
    return made


def _note(dataset: "xarray.Dataset", quartiles: bool) -> str:
    """What the columns mean."""
    points = dataset["rounds"].values
    block = int(points[-1] - (points[-2] if points.size > 1 else 0))
    sentences = [f"Medians{' (quartiles)' * quartiles} over the replicates that didn't fail"]
    if "payoffs" in dataset:
        sentences.append(f"payoff: mean of the last {block} rounds" if block > 1 else "payoff: of the last round")
    sentences.append(
        "oracle calls: of one replicate (HVP: Hessian-vector products; solve: linear systems, best responses)"
    )
    sentences.append("seconds: of all replicates")
    if not quartiles:
        sentences.append("a wider terminal shows quartiles")
    return f"[dim]{'. '.join(text[0].upper() + text[1:] for text in sentences)}.[/dim]"


def _failures(dataset: "xarray.Dataset", names: list[str]) -> list[str]:
    """A line for each method that failed in some replicates."""
    lines = []
    for name, status in zip(names, dataset["status"].values, strict=True):
        counts = {why: int(np.sum(status == code)) for code, why in _FAILURES.items()}
        if failed := int(np.sum(status != Status.OK)):
            reasons = ", ".join(f"{n} {why}" for why, n in counts.items() if n)
            lines.append(f"[red]{name}: {failed} of {status.size} replicates failed: {reasons}[/red]")
    return lines


def _violations(dataset: "xarray.Dataset", names: list[str], players: list[str]) -> list[str]:
    """A line for each method and player whose last strategies violate the game's constraints in some replicate."""
    lines = []
    for j, player in enumerate(players):
        if f"violation_{j}" not in dataset:
            continue
        last = dataset[f"violation_{j}"].isel(rounds=-1).where(dataset["status"] == Status.OK)
        for name, worst in zip(names, last.max("replicate").values, strict=True):
            if worst > _MET:
                lines.append(f"[red]{name}: {player} violates its constraints by up to {worst:.3g}: not allowed[/red]")
    return lines


def _quantiles(values: "np.ndarray", payoff: bool, between: str | None) -> str:
    if np.isnan(values).all():  # none was finite
        return "–"
    low, middle, high = (_digits(x, 5 if payoff else 3) for x in values.tolist())
    to = f" to{between}" if low.startswith("-") else "–"
    return middle if between is None else f"{middle}{between}[dim]({low}{to}{high})[/dim]"


def _digits(x: float, n: int) -> str:
    """Significant digits, one less below 1, two of what is tiny."""
    return f"{x:#.{n if abs(x) >= 1 else n - 1 if abs(x) >= 1e-4 else 2}g}".rstrip(".") if x else "0"


def _calls(counts: dict[str, float]) -> str:
    return "\n".join(f"{short(n)} {_CALLS[kind]}" for kind, n in counts.items() if n) or "none"
