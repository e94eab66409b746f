"""The figure of a comparison: strategies, distances and payoffs over the rounds."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.checks import choice
from stackjax.experiments.reductions import check_comparison, left_out, over_replicates
from stackjax.plots._style import COLOURS, INK, below_a_head, gridded, head_height, name_beside, write_head

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)))
_EQUILIBRIA = {"nash": ("Nash", (0, (1, 1.6))), "stackelberg": ("Stackelberg", (0, (6, 2.5)))}
_LEGEND_COLUMNS = 6  # how many methods in a row
_COLUMNS = 4  # more players than that take another row


@dataclass
class _Panel:
    """One quantity: `values [methods, 3, rounds]` (lower end, line, upper end), and at the equilibria of each kind."""

    label: str
    values: np.ndarray
    lines: dict[str, list[float]] = field(default_factory=dict)
    log: bool = False


#: The kinds of panels, from above.
PANELS = ("strategies", "distances", "payoffs")


def plot_comparison(
    dataset: "xarray.Dataset",
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    panels: Sequence[str] = PANELS,
    axes: Any = None,
    size: tuple[float, float] | None = None,
) -> "Figure":
    """A comparison's strategies, distances and payoffs over the completed rounds; the equilibria drawn in.

    Every line is a median over the replicates that didn't fail, in a band from the lower to the upper
    quartile. A column for each player: above, its strategy (for Hi-C the centre that it perturbs); then its
    distance to its part of the Stackelberg equilibrium, or of the Nash equilibrium if no other is known;
    below, its payoff. Where a player's action isn't a scalar, its distance to the Nash equilibrium stands in
    for its strategy, if both equilibria are known, and else nothing; so it does if several equilibria of a kind
    are known, as medians over replicates that end at different ones say little. Values that aren't finite are
    left out; the head counts them.

    The ranges show how methods end: what lies far outside in the first rounds is cut off.

    **Arguments:**

    - `dataset`: what `stackjax.experiments.compare` or `load` returned.
    - `methods`: which of them, in this order; default all.
    - `labels`: method -> what it is called; default its name.
    - `panels`: of "strategies", "distances" and "payoffs" those that are drawn; distances that stand in for strategies
      count as distances.
    - `axes`: Matplotlib axes to draw into, one a panel, row by row; no head is drawn then, and `ax.legend()` names the
      methods. Default a new figure.
    - `size`: of a new figure, width and height in inches; default by the number of panels.

    **Returns:** the Matplotlib figure; `figure.savefig(path)` writes it.

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't a comparison, or that names the argument.
    """
    check_comparison(dataset)
    played = [str(name) for name in dataset["methods"].values]
    for argument, given, kind, known in (
        ("panels", panels, "panel", PANELS),
        ("methods", methods or (), "method", played),
        ("labels", labels or {}, "method", played),
    ):
        for name in given:
            choice(argument, name, known, kind)
    if methods is not None:
        dataset = dataset.sel(methods=list(methods))
    rows = _panels(dataset, panels)
    names = [(labels or {}).get(str(name), str(name)) for name in dataset["methods"].values]
    rounds = dataset["rounds"].values
    if axes is not None:
        return _drawn_into(axes, [panel for row in rows for panel in row if panel is not None], rounds, names)
    columns = max(len(row) for row in rows)
    head = head_height(len(names), _LEGEND_COLUMNS)
    figure = below_a_head(*(size or (1.2 + 4.7 * max(columns, 2), head + 0.4 + 2.9 * len(rows))), head)
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True)
    for row_axes, row in zip(grid, rows, strict=True):
        for ax, panel in itertools.zip_longest(row_axes, row):
            if panel is None:
                ax.remove()
            else:
                _draw(ax, panel, rounds, names)
    for column in grid.T:
        if drawn := [ax for ax in column if ax.figure is not None]:
            drawn[-1].set_xlabel("completed rounds", color=INK)
            drawn[-1].tick_params(labelbottom=True)
    _head(figure, dataset, names)
    return figure


def _is_scalar(dataset: "xarray.Dataset", player: int) -> bool:
    name = f"strategy_{player}"
    return name in dataset and dataset[name].ndim == 3


def _drawn_into(axes: Any, panels: list[_Panel], rounds: np.ndarray, names: list[str]) -> "Figure":
    """The figure of given axes."""
    given = list(np.ravel(np.asarray(axes, object)))
    if len(given) != len(panels):
        shown = ", ".join(panel.label for panel in panels)
        raise ValueError(f"axes: expected {len(panels)}, one for each of the panels ({shown}), got {len(given)}")
    for ax, panel in zip(given, panels, strict=True):
        _draw(ax, panel, rounds, names)
        ax.set_xlabel("completed rounds", color=INK)
    return given[0].figure


def _panels(dataset: "xarray.Dataset", asked: Sequence[str]) -> list[list[_Panel | None]]:
    """Rows of one panel a player, None where there is nothing to show."""
    players = range(dataset.sizes["player"])
    known = [name for name in _EQUILIBRIA if f"{name}_payoffs" in dataset or f"distance_to_{name}" in dataset]
    measured = [name for name in known if f"distance_to_{name}" in dataset]
    several = len(measured) == 2 and any(f"{name}_equilibrium" in dataset.dims for name in known)
    scalars = [i for i in players if _is_scalar(dataset, i) and not several]
    if len(scalars) == len(players):
        measured = measured[-1:]

    def lines(variable: str, *at: int) -> dict[str, list[float]]:
        names = {e: variable.format(e) for e in known}
        values = {e: dataset[name].values for e, name in names.items() if name in dataset}
        return {e: np.ravel(array[..., at[0]] if at else array).tolist() for e, array in values.items()}

    kinds: list[list[_Panel | None]] = [[None] * len(players)]
    for equilibrium in measured if "distances" in asked else ():
        distances = _quantiles(dataset, f"distance_to_{equilibrium}")
        labels = [f"{player}'s distance to {_EQUILIBRIA[equilibrium][0]}" for player in dataset["player"].values]
        kinds.append([_Panel(labels[i], distances[..., i], log=True) for i in players])
    if len(kinds) == 3:
        del kinds[0]  # the distances to Nash stand in for strategies
    for i in scalars if "strategies" in asked else ():
        name = f"strategy_{i}"
        label = dataset[name].attrs.get("long_name", name)
        kinds[0][i] = _Panel(label, _quantiles(dataset, name), lines(f"{{}}_{i}"))
    if "payoffs" in dataset and "payoffs" in asked:
        payoffs = _quantiles(dataset, "payoffs")
        labels = [str(label) for label in dataset["payoff_label"].values]
        kinds.append([_Panel(labels[i], payoffs[..., i], lines("{}_payoffs", i)) for i in players])
    rows = [panels[i : i + _COLUMNS] for panels in kinds for i in range(0, len(panels), _COLUMNS)]
    rows = [row for row in rows if any(row)]
    if not rows:
        raise ValueError("dataset: it has nothing to show of what was asked for")
    return rows


def _quantiles(dataset: "xarray.Dataset", name: str) -> np.ndarray:
    """Lower quartile, median and upper quartile of each record: `[methods, 3, rounds, ...]`."""
    return over_replicates(dataset, name, (0.25, 0.5, 0.75)).transpose("methods", "quantile", "rounds", ...).values


def _draw(ax: "Axes", panel: _Panel, rounds: np.ndarray, names: list[str]) -> None:
    for j, (name, values) in enumerate(zip(names, panel.values, strict=True)):
        colour, dash = _style(j)
        ax.fill_between(rounds, values[0], values[2], color=colour, alpha=0.2, linewidth=0)
        marker = "o" if rounds.size == 1 else None
        ax.plot(rounds, values[1], color=colour, linestyle=dash, marker=marker, linewidth=1.8, zorder=3, label=name)
    ax.set_xscale("log")
    if rounds.size > 1:
        ax.set_xlim(rounds[0], rounds[-1])
    if panel.log and bool((panel.values > 0).any()):  # else all are exactly there, or all failed
        ax.set_yscale("log")
    else:
        low, high = _range(panel, rounds)
        ax.set_ylim(low, high)
        _equilibria(ax, panel.lines, high - low)
    ax.set_title(panel.label, loc="left", fontsize=11, color=INK)
    gridded(ax)


def _equilibria(ax: "Axes", lines: dict[str, list[float]], height: float) -> None:
    """Horizontal lines with their names at the right end; names that would overlap stand below each other."""
    groups: list[tuple[list[float], list[str]]] = []
    for name, value in sorted(((e, v) for e, values in lines.items() for v in values), key=lambda item: item[1]):
        label, dash = _EQUILIBRIA[name]
        ax.axhline(value, color=INK, linestyle=dash, linewidth=1.1, zorder=2.5)
        if not groups or value - groups[-1][0][-1] >= 0.06 * height:
            groups.append(([], []))
        values, labels = groups[-1]
        values.append(value)
        labels += [label] if label not in labels else []
    for values, labels in groups:
        at = (1.0, (values[0] + values[-1]) / 2)
        name_beside(ax, "\n".join(reversed(labels)), at, x="axes fraction", gap=4, color=INK)


def _range(panel: _Panel, rounds: np.ndarray) -> tuple[float, float]:
    """Limits that show the equilibria, three quarters of the lines and half of the bands."""
    at = np.log(rounds) / max(np.log(rounds[-1]), 1.0)
    seen = np.concatenate([panel.values[:, 1, at >= 0.25].ravel(), panel.values[:, :, at >= 0.5].ravel()])
    seen = np.concatenate([seen[np.isfinite(seen)], [value for values in panel.lines.values() for value in values]])
    if seen.size == 0:
        return 0.0, 1.0
    low, high = float(seen.min()), float(seen.max())
    margin = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _style(j: int) -> tuple[str, Any]:
    return COLOURS[j % len(COLOURS)], _DASHES[j // len(COLOURS) % len(_DASHES)]


def _head(figure: "Figure", dataset: "xarray.Dataset", names: list[str]) -> None:
    replicates = dataset.sizes["replicate"]
    failed = (dataset["status"] != 0).sum("replicate").values
    remarks = [f"{n} of {name} failed" for name, n in zip(names, failed, strict=True) if n]
    shown = [f"strategy_{i}" for i in range(dataset.sizes["player"]) if _is_scalar(dataset, i)]
    shown += [name for name in ("distance_to_nash", "distance_to_stackelberg", "payoffs") if name in dataset]
    ignored = left_out(dataset, shown).values
    remarks += [f"{n} values of {name} not finite, left out" for name, n in zip(names, ignored, strict=True) if n]
    text = f"median and quartiles of {replicates} replicates" + (f" ({', '.join(remarks)})" if remarks else "")
    looks = [{"color": colour, "linestyle": dash} for colour, dash in map(_style, range(len(names)))]
    write_head(figure, dataset.attrs.get("title", ""), text, names, looks, _LEGEND_COLUMNS)
