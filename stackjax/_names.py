"""What to say of a name that isn't known."""

import difflib
from collections.abc import Iterable


def nearest(kind: str, name: str, names: Iterable[str]) -> str:
    """What to say of a name that isn't known: the nearest one, or all."""
    names = list(names)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    return f"unknown {kind} {name!r}" + (f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}")
