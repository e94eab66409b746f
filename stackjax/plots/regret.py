"""The figure of regrets: both players', over the horizon, with guides for the orders of growth."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from stackjax.experiments.regret import check_regret
from stackjax.experiments.regret_tables import benchmark_text, mean_and_error
from stackjax.plots._style import COLOURS, EDGE, FAINT, INK, plain

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GUIDES = ((1 / 2, "$T^{1/2}$"), (2 / 3, "$T^{2/3}$"), (1.0, "$T$"))
_HEAD, _LEGEND_ROW, _LEGEND_COLUMNS = 0.7, 0.27, 3  # inches, and how many pairs in a row
_MARKERS = ("o", "s", "D")
_NORMAL = 1.96  # standard errors on each side, for 95 %


def plot_regret(dataset: "xarray.Dataset") -> "Figure":
    """Each player's mean regret over the horizon T, in a band of 95 %, with guides of the slopes 1/2, 2/3 and 1.

    Both axes are logarithmic and the same for both players. A mean that isn't above 0 can't be drawn: a triangle below
    marks its horizon, and the head counts them. Where a line is interrupted a mean is missing, or every replicate
    failed. Only slopes of the guides mean something: they begin at the middle of the pairs' first means.

    **Arguments:** `dataset`: what `stackjax.experiments.regret` or `load` returned.

    **Returns:** a Matplotlib figure; `figure.savefig(path)` writes it.

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't a result of `regret`.
    """
    from matplotlib.figure import Figure

    check_regret(dataset)
    names = [str(name) for name in dataset["pairs"].values]
    values = dataset["regret"].transpose("player", "pairs", "horizon", "replicate").values
    mean, error = mean_and_error(values)
    horizons = dataset["horizon"].values.astype(np.float64)
    head = _HEAD + _LEGEND_ROW * -(-len(names) // _LEGEND_COLUMNS)
    height = 4.2 + head
    figure = Figure(figsize=(10.5, height), dpi=150)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - head / height), w_pad=0.08, h_pad=0.08)
    axes = figure.subplots(1, mean.shape[0], squeeze=False, sharex=True, sharey=True)[0]
    limits = _limits(mean, error)
    for ax, player, means, errors in zip(axes, dataset["player"].values, mean, error, strict=True):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(*limits)
        if horizons.size > 1:
            _guides(ax, horizons, mean, limits)
        for j, (line, width) in enumerate(zip(means, errors, strict=True)):
            _draw(ax, horizons, line, width, j, limits[0])
        _below(ax, horizons, means, limits[0])
        ax.set_title(f"regret of the {player}", loc="left", fontsize=11, color=INK)
        ax.set_xlabel("horizon T, rounds", color=INK)
        ax.grid(True, which="major", color="#E6E6E6", linewidth=0.7)
        ax.set_axisbelow(True)
        plain(ax)
        ax.tick_params(labelleft=True)
    _head(figure, dataset, names, mean, head)
    return figure


def _limits(
    mean: Float[np.ndarray, "players pairs H"], error: Float[np.ndarray, "players pairs H"]
) -> tuple[float, float]:
    """Limits with all positive means, and half of a decade at most of what their bands add below."""
    positive = mean[mean > 0]
    if positive.size == 0:
        return 0.1, 10.0
    high = float(np.nanmax(mean + _NORMAL * np.nan_to_num(error)))
    return float(positive.min()) / 2, high * 1.6


def _style(j: int) -> tuple[str, str]:
    return COLOURS[j % len(COLOURS)], _MARKERS[j // len(COLOURS) % len(_MARKERS)]


def _draw(
    ax: "Axes", horizons: np.ndarray, mean: Float[np.ndarray, " H"], error: Float[np.ndarray, " H"], j: int, low: float
) -> None:
    colour, marker = _style(j)
    drawn = np.where(mean > 0, mean, np.nan)
    width = _NORMAL * np.nan_to_num(error)
    ax.fill_between(horizons, np.maximum(drawn - width, low / 10), drawn + width, color=colour, alpha=0.2, linewidth=0)
    ax.plot(horizons, drawn, color=colour, marker=marker, markersize=4, linewidth=1.8, zorder=3)


def _below(ax: "Axes", horizons: np.ndarray, means: Float[np.ndarray, "pairs H"], low: float) -> None:
    """A triangle for each mean that isn't above 0, those of a horizon stacked on the lower end."""
    hidden = means <= 0
    height = np.cumsum(hidden, axis=0) - 1
    for j, i in zip(*np.nonzero(hidden), strict=True):
        ax.annotate(
            "▼",
            (horizons[i], low),
            xytext=(0, 3 + 7 * height[j, i]),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            color=_style(j)[0],
            zorder=4,
        )


def _guides(ax: "Axes", horizons: np.ndarray, mean: np.ndarray, limits: tuple[float, float]) -> None:
    """Powers of T from the middle of the first means, named where they end."""
    first = mean[..., 0]
    first = first[first > 0]
    start = float(np.exp(np.log(first).mean())) if first.size else limits[0]
    for exponent, label in _GUIDES:
        end = min(start * (horizons[-1] / horizons[0]) ** exponent, limits[1])
        at = horizons[0] * (end / start) ** (1 / exponent)
        ax.plot([horizons[0], at], [start, end], color=EDGE, linestyle=(0, (4, 2)), linewidth=1.1, zorder=1.5)
        ax.annotate(
            label,
            (at, end),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=FAINT,
            annotation_clip=False,
        )


def _head(figure: "Figure", dataset: "xarray.Dataset", names: list[str], mean: np.ndarray, head: float) -> None:
    from matplotlib.lines import Line2D

    failed = (dataset["status"] != 0).sum(("horizon", "replicate")).values
    said = [f"{n} runs of {name} failed" for name, n in zip(names, failed, strict=True) if n]
    if hidden := int(np.sum(mean <= 0)):
        said.append(f"▼: {hidden} means that aren't above 0")
    text = f"mean of {dataset.sizes['replicate']} replicates in a band of 95 %; {benchmark_text(dataset)}"
    height, left = figure.get_figheight(), 0.12 / figure.get_figwidth()
    figure.text(left, 1 - 0.12 / height, dataset.attrs.get("title", ""), fontsize=14, color=INK, va="top")
    figure.text(left, 1 - 0.42 / height, "; ".join([text, *said]), fontsize=10, color=FAINT, va="top")
    styles = [_style(j) for j in range(len(names))]
    handles = [Line2D([], [], color=c, marker=m, markersize=5, linewidth=2.5) for c, m in styles]
    figure.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(left, 1 - _HEAD / height),
        ncols=min(len(names), _LEGEND_COLUMNS),
        frameon=False,
        fontsize=11,
        labelcolor=INK,
        borderaxespad=0,
        borderpad=0,
    )
