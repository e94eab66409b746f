"""Games and learners that aren't the library's: `module:Class`, and what other packages register.

A package registers them by entry points of the groups `stackjax.games` and `stackjax.learners`:

```toml
[project.entry-points."stackjax.games"]
auction = "mypackage.games:Auction"
```
"""

import functools
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from typing import Any

from stackjax.catalogue._entries import GameEntry
from stackjax.checks import nearest
from stackjax.protocols import Game, Learner

#: What may stand for each kind, the first being that of a class.
_KINDS: Mapping[str, tuple[type, ...]] = {"game": (Game, GameEntry), "learner": (Learner,), "schedule": (object,)}


@functools.cache
def registered(kind: str) -> Mapping[str, str]:
    """Name -> `module:Class` of the games or learners that other packages register."""
    return {point.name: point.value for point in importlib.metadata.entry_points(group=f"stackjax.{kind}s")}


def plugged(name: str, kind: str) -> Any:
    """What a name stands for if it is `module:Class` or registered by another package, else None.

    **Raises:** as `imported`.
    """
    place = name if ":" in name else registered(kind).get(name) if kind in ("game", "learner") else None
    return None if place is None else imported(place, kind)


def imported(name: str, kind: str) -> Any:
    """What `module:Class` stands for: a class, or else a function that returns one of a kind, or one itself.

    The current folder is looked into, too, as with `python -m`.

    **Arguments:** `kind`: "game", which may also be a `GameEntry`, "learner" or "schedule".

    **Raises:** `ValueError` that says what isn't there, can't be imported or is of another kind.
    """
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"there is no module {error.name!r}, here or installed") from None
        raise ValueError(f"{module_name} can't be imported: {error}") from error
    except Exception as error:  # whatever the user's module raises
        raise ValueError(f"{module_name} can't be imported: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"in {module_name}: {nearest('name', part, _public(found))}")
        found = getattr(found, part)
    wanted = _KINDS[kind]
    if not (issubclass(found, wanted[0]) if isinstance(found, type) else callable(found) or isinstance(found, wanted)):
        raise ValueError(f"expected a {kind}'s class, a function that returns one, or one itself; got {found!r}")
    return found


def _public(room: Any) -> list[str]:
    return [name for name in vars(room) if not name.startswith("_")]
