"""What all figures share: colours, inks, the look of axes, the head."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours, which people with any kind of colour vision tell apart; yellow is left out, being too light.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK, FAINT, EDGE = "#333333", "#777777", "#BBBBBB"
_TITLE, _TEXT, _LEGEND, _LEGEND_ROW = 0.12, 0.42, 0.7, 0.27  # inches from the top, and of a row
_LEFT = 0.12  # inches
_BESIDE = 4.8  # a legend's line and gaps beside a label, in its font sizes


def plain(ax: "Axes") -> None:
    """Faint ticks, no frame but the two axes."""
    ax.tick_params(colors=FAINT, which="both", labelcolor=INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(EDGE)


def gridded(ax: "Axes") -> None:
    """Plain, with a faint grid behind what is drawn."""
    ax.grid(True, which="major", color="#E6E6E6", linewidth=0.7)
    ax.set_axisbelow(True)
    plain(ax)


def name_beside(
    ax: "Axes", text: str, at: tuple[float, float], *, x: str = "data", gap: int = 5, fontsize: float = 9, color: str
) -> None:
    """The name of a line, to the right of where it ends; `x`: what the first coordinate of `at` is of."""
    ax.annotate(
        text,
        at,
        xycoords=(x, "data"),
        xytext=(gap, 0),
        textcoords="offset points",
        va="center",
        fontsize=fontsize,
        color=color,
        annotation_clip=False,
    )


def colours(n: int) -> list[str]:
    """So many colours: `COLOURS`, then those of Matplotlib's tab20b, darkest first; they repeat after 26."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    more = colormaps["tab20b"]
    palette = [*COLOURS, *(to_hex(more(4 * hue + shade)) for shade in range(4) for hue in range(5))]
    return [palette[i % len(palette)] for i in range(n)]


def columns_within(labels: Sequence[str], width: float, most: int, fontsize: float = 11) -> int:
    """How many columns of a legend, at most so many, fit into a head of `width` inches."""
    from matplotlib.textpath import TextPath

    widths = [TextPath((0, 0), label, size=fontsize).get_extents().width for label in labels if label.strip()]
    column = (max(widths, default=0) + _BESIDE * fontsize) / 72  # points in an inch
    return int(min(max((width - 2 * _LEFT) // column, 1), most))


def head_height(labels: int, columns: int) -> float:
    """The inches that a head takes with so many labels, in rows of `columns`."""
    return _LEGEND + _LEGEND_ROW * -(-labels // columns)


def below_a_head(width: float, height: float, head: float) -> "Figure":
    """An empty figure whose upper `head` inches are left free."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - head / height), w_pad=0.08, h_pad=0.08)
    return figure


def write_title(figure: "Figure", title: str) -> None:
    """The title of a figure, in its upper left corner."""
    width, height = figure.get_size_inches()
    figure.text(_LEFT / width, 1 - _TITLE / height, title, fontsize=14, color=INK, va="top")


def write_head(
    figure: "Figure",
    title: str,
    text: str,
    labels: Sequence[str],
    looks: Sequence[Mapping[str, Any]],
    columns: int,
    fontsize: float = 11,
) -> None:
    """The head of a figure.

    **Arguments:** `title`, and below it a `text` about what is drawn; `labels` of a legend in rows of `columns`, none
    without any, in letters of `fontsize`; `looks`: what Matplotlib's `Line2D` takes for each of them.
    """
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    write_title(figure, title)
    figure.text(_LEFT / width, 1 - _TEXT / height, text, fontsize=10, color=FAINT, va="top")
    if not labels:
        return
    figure.legend(
        [Line2D([], [], linewidth=2.5, **look) for look in looks],
        labels,
        loc="upper left",
        bbox_to_anchor=(_LEFT / width, 1 - _LEGEND / height),
        ncols=min(len(labels), columns),
        frameon=False,
        fontsize=fontsize,
        labelcolor=INK,
        borderaxespad=0,
        borderpad=0,
    )


def roles(levels: tuple[tuple[int, ...], ...]) -> list[str]:
    """What the players are called."""
    return ["leader", "follower"] if levels == ((0,), (1,)) else [f"player {i}" for i in range(sum(map(len, levels)))]
