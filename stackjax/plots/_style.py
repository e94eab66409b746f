"""What all figures share: colours, inks, the look of axes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe and Ito's colours, which people with any kind of colour vision tell apart; yellow is left out, being too light.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK, FAINT, EDGE = "#333333", "#777777", "#BBBBBB"


def plain(ax: "Axes") -> None:
    """Faint ticks, no frame but the two axes."""
    ax.tick_params(colors=FAINT, which="both", labelcolor=INK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(EDGE)


def roles(levels: tuple[tuple[int, ...], ...]) -> list[str]:
    """What the players are called."""
    return ["leader", "follower"] if levels == ((0,), (1,)) else [f"player {i}" for i in range(sum(map(len, levels)))]
