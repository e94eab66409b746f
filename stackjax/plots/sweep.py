"""The figure of a sweep: what was measured over what was swept, in facets."""

import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.checks import nearest
from stackjax.experiments.reductions import MEASURED, check_result, settings_dims, summary
from stackjax.experiments.sweep_tables import labels_at
from stackjax.plots._style import COLOURS, INK, below_a_head, gridded, write_head

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS, _COLOURS = 24, 12
_MARKERS = ("o", "s")
_TEXTS = {"distance_to_nash": "distance to Nash", "distance_to_stackelberg": "distance to Stackelberg"}


def plot_sweep(
    dataset: "xarray.Dataset",
    *,
    variable: str | None = None,
    x: str | None = None,
    colour: str | None = None,
    column: str | None = None,
    pool: Sequence[str] | None = None,
    log: Sequence[str] | None = None,
) -> "Figure":
    """What was measured of each player, at the last record, over one of the swept values.

    A line is a median over the replicates that didn't fail, in a band from the lower to the upper quartile. A row for
    each player, a colour for each value of one dimension, a column for each combination of all others. Settings of a
    `zipped` are points. The head counts failures and values that aren't finite.

    **Arguments:**

    - `dataset`: what `stackjax.experiments.sweep` (or `compare`) or `load` returned.
    - `variable`: default the distance to the Stackelberg equilibrium, else to Nash, else regret, else payoffs.
    - `x`: a swept name, or "rounds"; default the one with the most numbers, "rounds" if none has numbers.
    - `colour`, `column`: dimensions; default the methods, or what else there are few values of, and all others.
    - `pool`: dimensions whose settings count as replicates, random instances for example.
    - `log`: which axes are logarithmic, of "x" and "y"; default: "x" if its values are spaced so, "y" for distances.

    The attribute `figure` (JSON) of a dataset has these options where none are given.

    **Returns:** a Matplotlib figure; `figure.savefig(path)` writes it.

    **Raises:** `TypeError` or `ValueError` that names the argument; also if there would be too many panels.
    """
    check_result(dataset)
    dataset = dataset.isel({dim: 0 for dim in settings_dims(dataset) if dataset.sizes[dim] == 1})
    given = {"variable": variable, "x": x, "colour": colour, "column": column, "pool": pool, "log": log}
    options = json.loads(dataset.attrs.get("figure", "{}")) | {k: v for k, v in given.items() if v is not None}
    return _Sweep(dataset, **options).figure()


class _Sweep:
    """A figure in the making."""

    def __init__(
        self,
        dataset: "xarray.Dataset",
        variable: Any = None,
        x: Any = None,
        colour: Any = None,
        column: Any = None,
        pool: Any = None,
        log: Any = None,
    ):
        pooled = _pooled_dims(dataset, pool)
        self.replicates = dataset.sizes["replicate"]
        self.pooled = " and ".join(f"{dim} ({dataset.sizes[dim]})" for dim in pooled)
        self.dataset = dataset = _pooled(dataset, pooled)
        known = [str(n) for n, v in dataset.data_vars.items() if {"replicate", "rounds", "player"} <= set(v.dims)]
        order = ("distance_to_stackelberg", *MEASURED)
        self.variable = next((name for name in order if name in known), "") if variable is None else str(variable)
        if self.variable not in known or dataset[self.variable].ndim > len(dataset["status"].dims) + 2:
            raise ValueError(f"variable: {nearest('variable', self.variable, known)}")
        self.dims = settings_dims(dataset)
        self.x = self._x(x)
        self.along = "rounds" if self.x == "rounds" else str(dataset[self.x].dims[0])
        rest = [dim for dim in self.dims if dim != self.along]
        for name, dim in (("colour", colour), ("column", column)):
            if dim is not None and dim not in rest:
                raise ValueError(
                    f"{name}: {nearest('dimension', str(dim), rest) if rest else 'there is no dimension left'}"
                )
        few = [dim for dim in rest if dataset.sizes[dim] <= _COLOURS and dim != column]
        first = "methods" if "methods" in few else min(few, key=lambda dim: dataset.sizes[dim], default=None)
        self.colour = first if colour is None else colour
        self.columns = [dim for dim in rest if dim != self.colour]
        combinations = itertools.product(*(range(dataset.sizes[dim]) for dim in self.columns))
        self.facets = [dict(zip(self.columns, at, strict=True)) for at in combinations]
        self.players = [str(player) for player in dataset["player"].values]
        if len(self.facets) * len(self.players) > _PANELS:
            listed = ", ".join(f"{dim} ({dataset.sizes[dim]})" for dim in self.columns)
            raise ValueError(f"dataset: too many panels, a column for each of {listed}; pick some with dataset.sel")
        self.log = self._log(log)
        self.reduced = summary(dataset, self.variable)

    def _x(self, x: Any) -> str:
        numbers = {
            str(name): self.dataset.sizes[coord.dims[0]]
            for name, coord in self.dataset.coords.items()
            if len(coord.dims) == 1 and coord.dims[0] in self.dims and coord.dtype.kind in "iuf"
        }
        zips = [n for n in numbers if any(c.dims == (n,) and str(k) != n for k, c in self.dataset.coords.items())]
        numbers = {name: size for name, size in numbers.items() if name not in zips}
        if x is None:
            return max(numbers, key=lambda name: numbers[name], default="rounds")
        if x != "rounds" and x not in numbers:
            raise ValueError(f"x: {nearest('swept value', str(x), [*numbers, 'rounds'])}")
        return str(x)

    def _log(self, log: Any) -> set[str]:
        if log is not None:
            if isinstance(log, str) or not set(log) <= {"x", "y"}:
                raise ValueError(f'log: expected some of "x" and "y", got {log!r}')
            return set(log)
        values = np.sort(np.asarray(self.dataset[self.x].values, float))
        logarithmic = {"y"} if self.variable.startswith("distance") else set()
        if self.x == "rounds" or (values[0] > 0 and values.size > 2 and values[-1] / values[0] >= 10):
            logarithmic.add("x")
        return logarithmic

    def figure(self) -> "Figure":
        """The figure, drawn."""
        rows, columns = len(self.players), len(self.facets)
        labels = self._labels()
        width = 1.4 + max(3.6 * columns, 6.0)
        across = max(int(width // (0.75 + 0.085 * max(map(len, labels)))), 1)
        head = 0.75 + (0.25 * -(-len(labels) // across) if len(labels) > 1 else 0.0)
        figure = below_a_head(width, head + 0.4 + 2.7 * rows, head)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey="row")
        for i, player in enumerate(self.players):
            for ax, facet in zip(axes[i], self.facets, strict=True):
                self._draw(ax, i, facet)
                if i == 0 and facet:
                    facet_labels = labels_at(self.dataset, facet)
                    ax.set_title("\n".join(f"{name} = {v}" for name, v in facet_labels.items()), fontsize=10, color=INK)
                if i == rows - 1:
                    ax.set_xlabel(self._xlabel(), color=INK)
            axes[i, 0].set_ylabel(self._ylabel(i, player), color=INK)
        self._head(figure, labels, across)
        return figure

    def _labels(self) -> list[str]:
        if self.colour is None:
            return [""]
        sizes = range(self.dataset.sizes[self.colour])
        labels = [", ".join(labels_at(self.dataset, {self.colour: j}).values()) for j in sizes]
        return labels if self.colour == "methods" else [f"{self.colour} = {label}" for label in labels]

    def _xlabel(self) -> str:
        unit = self.dataset[self.x].attrs.get("units")
        return "completed rounds" if self.x == "rounds" else f"{self.x} ({unit})" if unit else self.x

    def _ylabel(self, i: int, player: str) -> str:
        if self.variable == "payoffs":
            return str(self.dataset["payoff_label"].values[i])
        return f"{player}'s {_TEXTS.get(self.variable, self.variable.replace('_', ' '))}"

    def _draw(self, ax: "Axes", player: int, facet: dict[str, int]) -> None:
        at = self.reduced[self.variable].isel({"player": player, **facet})
        at = at if self.x == "rounds" else at.isel(rounds=-1)
        values = np.asarray(self.dataset[self.x].values)
        order = np.argsort(values, kind="stable")
        zipped = self.x != self.along
        for j in range(1 if self.colour is None else self.dataset.sizes[self.colour]):
            one = at if self.colour is None else at.isel({self.colour: j})
            low, middle, high = one.transpose("quantile", self.along).values[:, order]
            colour, marker = _style(j)
            if zipped:
                spread = np.nan_to_num([middle - low, high - middle])
                ax.errorbar(
                    values[order], middle, spread, fmt=marker, color=colour, markersize=3, linewidth=0.8, alpha=0.8
                )
                continue
            ax.fill_between(values[order], low, high, color=colour, alpha=0.2, linewidth=0)
            dots = None if self.x == "rounds" else marker
            ax.plot(values[order], middle, color=colour, marker=dots, markersize=4, linewidth=1.8)
        if "x" in self.log:
            ax.set_xscale("log")
            if self.x != "rounds" and values.min() > 0 and values.max() / values.min() < 100 and values.size < 10:
                ax.set_xticks(values, [f"{value:.3g}" for value in values])
                ax.set_xticks([], minor=True)
        if "y" in self.log and bool((at.values > 0).any()):
            ax.set_yscale("log")
        gridded(ax)

    def _head(self, figure: "Figure", labels: list[str], across: int) -> None:
        failed, ignored = int(self.reduced["failed"].sum()), int(self.reduced["left_out"].sum())
        runs = int(np.prod(self.dataset["status"].shape))
        remarks = [f"median and quartiles of {self.replicates} replicates"]
        if self.x != "rounds":
            remarks[0] += f" after {int(self.dataset['rounds'][-1])} rounds"
        remarks[0] += f", pooled over {self.pooled}" if self.pooled else ""
        remarks += [f"{failed} of {runs} runs failed"] * (failed > 0) + [f"{ignored} values not finite"] * (ignored > 0)
        labels = [] if self.colour is None or len(labels) < 2 else labels
        looks = [{"color": c, "marker": m, "markersize": 5} for c, m in map(_style, range(len(labels)))]
        title = self.dataset.attrs.get("title", "")
        write_head(figure, title, "; ".join(remarks), labels, looks, across, fontsize=10)


def _style(j: int) -> tuple[str, str]:
    return COLOURS[j % len(COLOURS)], _MARKERS[j // len(COLOURS) % len(_MARKERS)]


def _pooled_dims(dataset: "xarray.Dataset", pool: Any) -> list[str]:
    """The dimensions that are reduced together with the replicates; those of one setting aren't there any more."""
    if isinstance(pool, str) or not all(isinstance(dim, str) for dim in pool or ()):
        raise ValueError(f"pool: expected names of dimensions, got {pool!r}")
    known = list(dict.fromkeys([*settings_dims(dataset), *json.loads(dataset.attrs.get("swept", "{}"))]))
    for dim in pool or ():
        if dim not in known:
            raise ValueError(f"pool: {nearest('dimension', dim, known)}")
    return [dim for dim in pool or () if dim in dataset.dims]


def _pooled(dataset: "xarray.Dataset", dims: Sequence[str]) -> "xarray.Dataset":
    """Settings along some dimensions as so many more replicates."""
    if not dims:
        return dataset
    bare = dataset.drop_vars([name for name, coord in dataset.coords.items() if {"replicate", *dims} & set(coord.dims)])
    return bare.rename(replicate="_replicate").stack(replicate=("_replicate", *dims), create_index=False)
