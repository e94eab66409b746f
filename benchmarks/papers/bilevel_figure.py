"""The figure of `benchmarks.papers.bilevel`: how each method closes the gap, by rounds and by oracle calls."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.plots._style import FAINT, INK, colours, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Runs = dict[str, dict[str, dict[str, Any]]]


def draw(runs: Runs, enough: dict[str, float]) -> "Figure":
    """A column for each game: above, gaps over rounds; below, over the oracle calls of both players together.

    **Arguments:** `runs[game][method]` with `at` (rounds), `all calls` and `gaps` (quartiles; None where a quartile of
    the replicates failed); `enough[game]`, the gap that has the quality, a dashed line.

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(runs), 6.4), dpi=110, layout="constrained")
    panels = figure.subplots(2, len(runs), squeeze=False, sharey="col")
    names = list(dict.fromkeys(name for methods in runs.values() for name in methods))
    colour_of = dict(zip(names, colours(len(names)), strict=True))
    for column, (game, methods) in zip(panels.T, runs.items(), strict=True):
        for ax, kind, label in zip(column, ("at", "all calls"), ("completed rounds", "oracle calls"), strict=True):
            for name, one in methods.items():
                low, middle, high = np.array(one["gaps"], float)  # None becomes NaN
                colour = colour_of[name]
                ax.fill_between(one[kind], low, high, color=colour, alpha=0.2, linewidth=0)
                ax.plot(one[kind], middle, color=colour, linewidth=1.8, label=name)
            ax.axhline(enough[game], color=INK, linestyle=(0, (6, 2.5)), linewidth=1)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_ylim(enough[game] / 50, 20)
            ax.set_xlabel(label, color=INK)
            plain(ax)
        column[0].set_title(game, color=INK)
    panels[0, 0].set_ylabel("gap", color=INK)
    panels[1, 0].set_ylabel("gap", color=INK)
    handles = {h.get_label(): h for ax in panels[0] for h in ax.get_lines() if h.get_label() in names}
    figure.suptitle("Median and quartiles of the replicates; dashed: the stated quality", color=FAINT, fontsize=10)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(names), frameon=False)
    return figure
