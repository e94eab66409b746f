"""The figure of a meta-game: what each pair of algorithms pays both players, and which pairs are equilibria."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from stackjax.experiments.metagame_tables import (
    HOLLOW,
    MARKS,
    OFTEN,
    best_replies,
    committed,
    lines,
    mixed_nash,
    percent,
    population,
)
from stackjax.experiments.solutions import check_metagame
from stackjax.plots._style import COLOURS, EDGE, FAINT, INK, write_title

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = (1.12, 0.8)  # inches
_LINE, _LETTER = 0.17, 0.078  # inches, of the names beside the cells
_HEAD, _HEAD_LINE, _HEAD_LETTER = 0.42, 0.185, 0.077  # inches
_DEEPEST = 0.62  # how far the colour of the largest utility is from white: ink is read on it


def plot_metagame(dataset: "xarray.Dataset") -> "Figure":
    """A panel for each player: its average utility, with its standard error, for each pair of algorithms.

    The deeper the colour the larger the utility, on a scale of each player's own. Bold numbers are those of the
    player's best replies, so that a cell which is bold in both panels is a pure Nash equilibrium: a circle marks it. A
    diamond marks the Stackelberg outcome of commitments to one algorithm. Beside them stands in which share of the
    bootstrap resamples the cell is that; hollow marks stand in cells that are it only in some resamples, at least 5 %.
    The names of strictly dominated algorithms are faint, with a dagger.

    **Arguments:** `dataset`: what `stackjax.experiments.metagame`, `solutions` or `load` returned.

    **Returns:** a Matplotlib figure; `figure.savefig(path)` writes it.

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't a result of `metagame`.
    """
    from matplotlib.figure import Figure

    check_metagame(dataset)
    both = ("leader", "follower")
    mean, error = (dataset[name].transpose(*both, "player").values for name in ("mean", "standard_error"))
    best = best_replies(dataset).values
    names = [_names(dataset, player) for player in both]
    left = 0.6 + _LETTER * max(len(line) for name in names[0] for line in name.splitlines())
    below = 0.45 + _LINE * max(len(name.splitlines()) for name in names[1])
    panel = max(_CELL[0] * len(names[1]), 3.6), _CELL[1] * len(names[0])
    width = left + 2 * panel[0] + 0.55
    head_lines = [line for text in _remarks(dataset) for line in textwrap.wrap(text, int(width / _HEAD_LETTER))]
    head = _HEAD + _HEAD_LINE * len(head_lines) + 0.5
    height = head + panel[1] + below
    figure = Figure(figsize=(width, height), dpi=150)
    for i, player in enumerate(both):
        ax = figure.add_axes(
            ((left + i * (panel[0] + 0.35)) / width, below / height, panel[0] / width, panel[1] / height)
        )
        _heat(ax, mean[..., i], COLOURS[i])
        for row, column in np.ndindex(best.shape[:2]):
            _write(ax, row, column, mean[row, column, i], error[row, column, i], bool(best[row, column, i]))
        _marks(ax, dataset)
        ax.set_title(f"average utility of the {player}", loc="left", fontsize=11, color=INK, pad=8)
        _label(ax, names, first=i == 0)
    write_title(figure, dataset.attrs.get("title", ""))
    for line, text in enumerate(head_lines):
        at = 1 - (_HEAD + _HEAD_LINE * line) / height
        figure.text(0.12 / width, at, text, fontsize=9.5, color=FAINT, va="top")
    return figure


def _names(dataset: "xarray.Dataset", player: str) -> list[str]:
    strictly = dataset[f"{player}_dominated"].sel(dominance="strictly").values
    names = ["\n".join(lines(str(name))) for name in dataset[player].values]
    return [f"{name} †" if out else name for name, out in zip(names, strictly, strict=True)]


def _heat(ax: "Axes", values: Float[np.ndarray, "L F"], colour: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    deepest = 1 - _DEEPEST * (1 - np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]))
    colours = LinearSegmentedColormap.from_list("utility", [(1, 1, 1), tuple(deepest.tolist())])
    ax.set_facecolor("#F2F2F2")  # where nothing is drawn
    shown = np.ma.masked_invalid(values)
    ax.imshow(shown, cmap=colours, vmin=low, vmax=high if high > low else low + 1, aspect="auto")
    for side in ax.spines.values():
        side.set_color(EDGE)
    ax.set_xticks(np.arange(values.shape[1] - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(values.shape[0] - 1) + 0.5, minor=True)
    ax.grid(True, which="minor", color="white", linewidth=1.5)


def _write(ax: "Axes", row: int, column: int, mean: float, error: float, best: bool) -> None:
    text = "failed" if np.isnan(mean) else f"{mean:.3f}"
    weight = "bold" if best else "normal"
    ax.text(column, row - 0.2, text, ha="center", va="center", fontsize=10.5, color=INK, fontweight=weight)
    if not np.isnan(error):
        ax.text(column, row + 0.04, f"± {error:.3f}", ha="center", va="center", fontsize=7.5, color=INK, alpha=0.75)


def _marks(ax: "Axes", dataset: "xarray.Dataset") -> None:
    """At a cell's foot whether it is a Nash equilibrium or the Stackelberg outcome, with the frequencies."""
    both = ("leader", "follower")
    cells: dict[tuple[int, int], list[str]] = {}
    for kind, full in MARKS.items():
        often = dataset[f"{kind}_frequency"].transpose(*both).values
        for at, is_one in np.ndenumerate(dataset[kind].transpose(*both).values):
            if is_one or often[at] >= OFTEN:
                cells.setdefault((at[0], at[1]), []).append(
                    f"{full if is_one else HOLLOW[kind]} {percent(float(often[at]))}"
                )
    for (row, column), texts in cells.items():
        ax.text(column, row + 0.33, "  ".join(texts), ha="center", va="center", fontsize=7.5, color=INK)


def _label(ax: "Axes", names: list[list[str]], first: bool) -> None:
    rows, columns = names
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows if first else [""] * len(rows))
    ax.tick_params(which="both", length=0, labelsize=9.5)
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_color(FAINT if label.get_text().endswith("†") else INK)
    ax.set_xlabel("follower", color=INK)
    if first:
        ax.set_ylabel("leader", color=INK)


def _remarks(dataset: "xarray.Dataset") -> list[str]:
    """What the numbers are about and what the marks mean, and what no cell can show: mixtures."""
    remarks = [population(dataset)]
    if dataset.attrs["unsolved"]:
        return [*remarks, f"not solved: {dataset.attrs['unsolved']}"]
    marks = f"{MARKS['pure_nash']} pure Nash equilibrium, {MARKS['stackelberg']} Stackelberg outcome"
    remarks.append(f"{marks}, and in how many resamples (hollow: only there); bold: best reply; † strictly dominated")
    mixed = [mixed_nash(dataset, most=1)]
    if (dataset["commitment_leader"] > 0).sum() > 1:
        mixed.append(committed(dataset))
    return remarks + [f"{what}: {answer}" for what, answer in mixed if answer != "none"]
