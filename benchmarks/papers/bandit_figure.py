"""The figure of `benchmarks.papers.bandits`: regret against the horizon, a panel for each row of the table."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.plots._style import COLOURS, FAINT, INK, name_beside, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS, _HEAD = 4, 0.8  # panels in a row, inches
_GUIDES = ((1 / 2, "$T^{1/2}$"), (2 / 3, "$T^{2/3}$"), (1.0, "$T$"))
#: Of each row of the table what its panel is called, and where and against what its regret is measured.
_PANELS = {
    "etc": ("Both explore, then commit", "etc_failure"),
    "throw-out": ("The leader throws out what it explored first", "etc_failure2"),
    "explore-then-ucb": ("The leader waits, then runs UCB", "etc_failure"),
    "elimination": ("The same, and the follower eliminates", "etc_failure2, ExploreThenUCB / AAE"),
    "traps": ("Leaders that trust a learning follower", "ucb_trap2"),
    "lower-bound": ("What every pair pays whose follower learns", "lower_bound I and J, $d = T^{-1/3}$"),
    "phased-ucb": ("A leader that knows the follower's phases", "tolerant, and for self_trap2 self-tolerant benchmark"),
    "envelope": ("Aligned players", "largest over five gaps, Stackelberg benchmark"),
}


def draw(content: dict[str, Any]) -> "Figure":
    """The rows that were measured, in panels with the same axes: in each the larger of both players' regrets.

    **Arguments:** `content`: what the result file holds.

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    names = [name for name in _PANELS if name in content]
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(0.6 + 3.9 * max(columns, 2), _HEAD + 0.2 + 3.9 * rows), dpi=120)
    width, height = figure.get_size_inches()
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - _HEAD / height), w_pad=0.1, h_pad=0.1)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax, name in zip(axes.ravel(), names, strict=False):
        _draw(ax, *_PANELS[name], content[name]["curves"])
    for ax in axes.ravel()[len(names) :]:
        ax.remove()
    for column in axes.T:
        last = [ax for ax in column if ax.figure is not None][-1]
        last.set_xlabel("horizon T", color=INK)
        last.tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("regret", color=INK)
    figure.text(
        0.12 / width, 1 - 0.12 / height, "Two bandits that learn from each other", fontsize=15, color=INK, va="top"
    )
    text = (
        "larger of both players' mean regrets ± 2 standard errors, and the slope of its logarithm over that of T; "
        "a run for each horizon, to which learners are tuned; 2 × 2 arms"
    )
    figure.text(0.12 / width, 1 - 0.46 / height, text, fontsize=10.5, color=FAINT, va="top")
    return figure


def _draw(ax: "Axes", title: str, subtitle: str, curves: dict[str, Any]) -> None:
    below = []
    for j, (label, curve) in enumerate(curves.items()):
        both, horizons = np.asarray(curve["regret"]), np.asarray(curve["horizons"], float)
        larger, at = both.argmax(1), np.arange(len(both))
        regret, error = both[at, larger], np.asarray(curve["standard_error"])[at, larger]
        if np.any(regret <= 0):
            below.append(label)
            continue
        slope = np.polyfit(np.log(horizons), np.log(regret), 1)[0]
        wide = 2.8 if j == 0 else 1.6  # what is covered shows at its edges
        style = {"color": COLOURS[j], "linewidth": wide, "markersize": wide + 2.6, "label": f"{label}: {slope:.2f}"}
        ax.errorbar(horizons, regret, 2 * error, fmt="o-", elinewidth=1.2, capsize=3, **style)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(0.8e3, 1.25e6)
    ax.set_ylim(1e1, 2e7)
    horizons = np.array([1e3, 1e6])
    for power, label in _GUIDES:
        values = 14.0 * (horizons / horizons[0]) ** power
        ax.plot(horizons, values, color="#C4C4C4", linewidth=1.0, zorder=1)
        name_beside(ax, label, (horizons[1], values[1]), gap=4, color=FAINT)
    ax.legend(loc="upper left", frameon=False, fontsize=9.5, labelcolor=INK, borderaxespad=0.1, handlelength=1.6)
    text = "\n".join(f"{label}: below 0" for label in below)
    ax.text(0.98, 0.03, text, transform=ax.transAxes, ha="right", fontsize=9, color=FAINT)
    ax.set_title(title + "\n", loc="left", fontsize=11.5, color=INK)
    ax.text(0, 1.02, subtitle, transform=ax.transAxes, fontsize=9.5, color=FAINT)
    ax.grid(True, which="major", color="#EEEEEE", linewidth=0.7)
    ax.set_axisbelow(True)
    plain(ax)
