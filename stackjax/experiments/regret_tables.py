"""The table of regrets: a line for each pair and horizon, and the slopes. rich is imported when one is made."""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from stackjax.experiments.cells import fitting, short, titled
from stackjax.experiments.regret import check_regret
from stackjax.experiments.slopes import slopes
from stackjax.trace import Status

if TYPE_CHECKING:
    import xarray
    from rich.table import Table

_SUFFICES = 24  # characters of a pair's name; a longer one goes on in a second line


def mean_and_error(values: Float[np.ndarray, "... n"]) -> tuple[np.ndarray, np.ndarray]:
    """The mean over the last axis and its standard error, of what isn't NaN; NaN of nothing, and the error of one."""
    ok = np.isfinite(values)
    n = ok.sum(-1)
    mean = np.where(n > 0, np.where(ok, values, 0.0).sum(-1) / np.maximum(n, 1), np.nan)
    squares = np.where(ok, (values - mean[..., None]) ** 2, 0.0).sum(-1)
    return mean, np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1)), np.nan)


def regret_table(dataset: "xarray.Dataset", width: int) -> "Table":
    """The table of what `regret` returned, see `stackjax.experiments.table`, in lines of `width` characters.

    Where they don't suffice (below about 100) the exploration and the time are left out.
    """
    check_regret(dataset)
    fitted = slopes(dataset)
    return fitting((_table(dataset, fitted, complete) for complete in (True, False)), width)


def _table(dataset: "xarray.Dataset", fitted: "xarray.Dataset", complete: bool) -> "Table":
    from rich.markup import escape

    made = titled(f"{dataset.sizes['replicate']} replicates, {benchmark_text(dataset)}", gap=2 if complete else 1)
    names = [_broken(str(pair)) for pair in dataset["pairs"].values]
    longest = max(len(part) for name in names for part in name.splitlines())
    made.add_column("pair\n  T", overflow="fold", min_width=min(longest, 24))
    for player in dataset["player"].values:
        made.add_column(f"{player}'s\nregret", justify="right", overflow="fold")
    made.add_column("larger\n/ T^(2/3)", justify="right", overflow="fold")
    made.add_column("failed", justify="right", overflow="fold")
    if complete:
        made.add_column("exploring\n[not bold dim]leader, follower", justify="right", overflow="fold")
        made.add_column("seconds\n[not bold dim]+ compiling", justify="right", overflow="fold")
    horizons = dataset["horizon"].values
    columns = len(made.columns)
    means, errors = mean_and_error(dataset["regret"].transpose("pairs", "horizon", "player", "replicate").values)
    failed = (dataset["status"] != int(Status.OK)).sum("replicate").transpose("pairs", "horizon").values
    explored = dataset["explore_fraction"].transpose("pairs", "horizon", "player").values
    times = [dataset[name].transpose("pairs", "horizon").values for name in ("seconds", "compile_seconds")]
    for i, name in enumerate(names):
        made.add_row(f"[bold cyan]{escape(name)}", *[""] * (columns - 1))
        for j, horizon in enumerate(horizons):
            cells = [_plus_minus(m, e) for m, e in zip(means[i, j], errors[i, j], strict=True)]
            cells.append(_fixed(means[i, j].max() / float(horizon) ** (2 / 3)))
            cells.append(f"[red]{failed[i, j]}" if failed[i, j] else "0")
            if complete:
                cells.append(", ".join(_percent(share) for share in explored[i, j]))
                cells.append("{:.2f} [dim]+ {:.2f}".format(*(t[i, j] for t in times)))
            made.add_row(f"  {short(float(horizon))}", *cells)
        rest = [""] * (columns - 1 - fitted.sizes["player"])
        marks = ["*" if curved else "" for curved in fitted["curved"].values[i]]
        slope_texts = [f"[bold]{_fixed(x)}{mark}" for x, mark in zip(fitted["slope"].values[i], marks, strict=True)]
        made.add_row("  slope", *slope_texts, *rest)
        intervals = [f"[dim]{_interval(low, high)}" for low, high in fitted["interval"].values[i].tolist()]
        made.add_row(f"  {100 * fitted.attrs['confidence']:g} %", *intervals, *rest, end_section=True)
    made.caption = "\n".join([_note(complete), *_notes(fitted), *_failures(dataset)])
    return made


def benchmark_text(dataset: "xarray.Dataset") -> str:
    """What regret is measured against."""
    kind, gamma = dataset.attrs["benchmark"], dataset.attrs.get("gamma")
    if kind == "given":
        return "regret against given values"
    return f"regret against the {kind} benchmark" + ("" if gamma is None else f", gamma = {gamma:g}")


def _broken(name: str) -> str:
    return name.replace("/", "/\n", 1) if len(name) > _SUFFICES else name


def _plus_minus(mean: float, error: float) -> str:
    """A mean with its standard error, in thousands or millions where it is large, to the error's first digit."""
    if math.isnan(mean):
        return "–"
    units = ((1e6, 1e6, "M"), (1e4, 1e3, "k"))
    scale, unit = next(((scale, unit) for least, scale, unit in units if abs(mean) >= least), (1.0, ""))
    mean, error = mean / scale, error / scale
    if error > 0:
        digits = min(max(-math.floor(math.log10(error)), 0), 4)
        return f"{mean:.{digits}f}{unit} [dim]± {error:.{digits}f}{unit}[/dim]"
    digits = max(2 - math.floor(math.log10(max(abs(mean), 0.01))), 0)
    return f"{mean:.{digits}f}{unit}" + ("" if math.isnan(error) else " [dim]± 0[/dim]")  # of one; all are alike


def _fixed(x: float) -> str:
    return "–" if math.isnan(x) else f"{x:.3f}"


def _interval(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"{low:.3f}{' to ' if low < 0 else '–'}{high:.3f}"


def _percent(share: float) -> str:
    return "0" if share == 0 else f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def _note(complete: bool) -> str:
    """What the columns mean."""
    sentences = ["Mean regret ± standard error; larger: of both players' mean regrets"]
    sentences.append("slope: of its logarithm over ln T, and below it a bootstrap interval over replicates")
    if complete:
        sentences.append("exploring: the share of the horizon that scheduled exploration takes")
        sentences.append("seconds: of all replicates")
    else:
        sentences.append("a wider terminal shows the exploration and the time")
    return f"[dim]{'. '.join(text[0].upper() + text[1:] for text in sentences)}.[/dim]"


def _notes(fitted: "xarray.Dataset") -> list[str]:
    """Why there is no slope, or one that shouldn't be trusted."""
    from rich.markup import escape

    players = [str(player) for player in fitted["player"].values]
    reasons = []
    for pair, row in zip(fitted["pairs"].values, fitted["reason"].values.tolist(), strict=True):
        # Of both players, and of the larger regret, what was said already isn't said again.
        affected = {reason: [p for p, r in zip(players, row, strict=True) if r == reason] for reason in row if reason}
        reasons += [
            f"[yellow]{escape(str(pair))}, {', '.join(who)}: {reason}[/yellow]" for reason, who in affected.items()
        ]
    notes = [
        f"[yellow]{player}: {note}; a slope across it says nothing[/yellow]"
        for player, note in zip(players[:-1], fitted["note"].values, strict=False)
        if note
    ]
    return reasons + _curved(fitted) + notes


def _curved(fitted: "xarray.Dataset") -> list[str]:
    """A line for each pair of whose regrets one is no power of T."""
    from rich.markup import escape

    lines = []
    for pair, row in zip(fitted["pairs"].values, fitted["residual"].where(fitted["curved"]).values, strict=True):
        deviations = ", ".join(f"{who} {x:.2f}" for who, x in zip(fitted["player"].values, row, strict=True) if x > 0)
        if deviations:
            lines.append(
                f"[yellow]* {escape(str(pair))}: no power of T; off the line in ln R by up to: {deviations}[/yellow]"
            )
    return lines


def _failures(dataset: "xarray.Dataset") -> list[str]:
    """A line for each pair of which replicates failed."""
    from rich.markup import escape

    lines = []
    for name, status in zip(dataset["pairs"].values, dataset["status"].transpose("pairs", ...).values, strict=True):
        kinds = [(Status(code), int(np.sum(status == code))) for code in np.unique(status[status != Status.OK])]
        if kinds:
            reasons = ", ".join(f"{n} {kind.name.lower().replace('_', ' ')}" for kind, n in kinds)
            total = sum(n for _, n in kinds)
            lines.append(f"[red]{escape(str(name))}: {total} of {status.size} runs failed, left out: {reasons}[/red]")
    return lines
