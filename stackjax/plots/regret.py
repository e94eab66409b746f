"""The figure of regrets: both players', over the horizon, with guides for the orders of growth."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from stackjax.experiments.regret import check_regret
from stackjax.experiments.regret_tables import benchmark_text, mean_and_error
from stackjax.plots._style import COLOURS, EDGE, FAINT, INK, below_a_head, gridded, head_height, name_beside, write_head

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GUIDES = ((1 / 2, "$T^{1/2}$"), (2 / 3, "$T^{2/3}$"), (1.0, "$T$"))
_LEGEND_COLUMNS = 3  # how many pairs in a row
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
    check_regret(dataset)
    names = [str(name) for name in dataset["pairs"].values]
    values = dataset["regret"].transpose("player", "pairs", "horizon", "replicate").values
    mean, error = mean_and_error(values)
    horizons = dataset["horizon"].values.astype(np.float64)
    head = head_height(len(names), _LEGEND_COLUMNS)
    figure = below_a_head(10.5, 4.2 + head, head)
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
        gridded(ax)
        ax.tick_params(labelleft=True)
    _head(figure, dataset, names, mean)
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
        name_beside(ax, label, (at, end), fontsize=10, color=FAINT)


def _head(figure: "Figure", dataset: "xarray.Dataset", names: list[str], mean: np.ndarray) -> None:
    failed = (dataset["status"] != 0).sum(("horizon", "replicate")).values
    remarks = [f"{n} runs of {name} failed" for name, n in zip(names, failed, strict=True) if n]
    if hidden := int(np.sum(mean <= 0)):
        remarks.append(f"▼: {hidden} means that aren't above 0")
    text = f"mean of {dataset.sizes['replicate']} replicates in a band of 95 %; {benchmark_text(dataset)}"
    styles = [_style(j) for j in range(len(names))]
    looks = [{"color": colour, "marker": marker, "markersize": 5} for colour, marker in styles]
    write_head(figure, dataset.attrs.get("title", ""), "; ".join([text, *remarks]), names, looks, _LEGEND_COLUMNS)
