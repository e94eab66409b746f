"""What tables have in common: how they look, which of them fits, counts in few digits."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def fitting(tables: Iterable["Table"], width: int) -> "Table":
    """The first table that fits in lines of `width` characters, else the last one."""
    from rich.console import Console

    console = Console(width=10 * width)
    for made in tables:
        if console.measure(made).maximum <= width:
            break
    return made


def titled(title: str, gap: int = 1, caption_style: str = "") -> "Table":
    """An empty table as all of them look, with `gap` characters between columns."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        caption_style=caption_style,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, gap, 0, 0),
        header_style="bold",
    )


def short(n: float) -> str:
    """A count in at most four digits: 100k, 1.5M, 1812."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size and (n >= 1e4 or n % size == 0):
            return f"{n / size:.3g}{unit}"
    return f"{n:.4g}"
