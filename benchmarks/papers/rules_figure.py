"""The figure of `benchmarks.papers.rules`: where each rule ends, game by game."""

from typing import TYPE_CHECKING

from stackjax.plots._style import COLOURS, EDGE, INK, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Shares = dict[str, dict[str, dict[str, float]]]


def draw(shares: Shares) -> "Figure":
    """A panel for each game: a bar for each rule, divided by where its replicates ended.

    **Arguments:** `shares[game][rule][end]`, which add up to 1 for each rule.

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(shares), 5.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for ax, (game, rules) in zip(panels, shares.items(), strict=True):
        names = list(rules)
        ends = list(next(iter(rules.values())))
        left = [0.0] * len(names)
        for end, colour in zip(ends, (*COLOURS[: len(ends) - 1], EDGE), strict=True):  # the last: those that failed
            widths = [rules[name][end] for name in names]
            ax.barh(names, widths, left=left, color=colour, label=end, height=0.7)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        ax.set_title(game, color=INK)
        ax.set_xlabel("share of the replicates", color=INK)
        ax.set_xlim(0, 1)
        plain(ax)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False, labelcolor=INK, fontsize=9)
    panels[0].invert_yaxis()
    return figure
