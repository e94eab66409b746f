"""Learning in leader-follower (Stackelberg) games: a game, learners, and one loop in which they meet.

`stackjax.play` is that loop; `stackjax.games`, `stackjax.learners`, `stackjax.spaces` and `stackjax.schedules` are what
goes into it; `stackjax.equilibria` certifies and finds equilibria, `stackjax.experiments` compares methods. A game
subclasses `Game` (or comes from `games.from_payoffs`), a learner subclasses `Learner` and declares in `wants` which
`Signal`s it is shown.
"""

import importlib
from typing import Any

from stackjax import games as games
from stackjax import learners as learners
from stackjax import schedules as schedules
from stackjax import spaces as spaces
from stackjax.play import play as play
from stackjax.protocols import Calls as Calls
from stackjax.protocols import Game as Game
from stackjax.protocols import Learner as Learner
from stackjax.protocols import Seen as Seen
from stackjax.protocols import Signal as Signal
from stackjax.protocols import Signals as Signals
from stackjax.protocols import UndeclaredSignalError as UndeclaredSignalError
from stackjax.protocols import View as View
from stackjax.trace import FailedReplicatesError as FailedReplicatesError
from stackjax.trace import Record as Record
from stackjax.trace import Status as Status
from stackjax.trace import Trace as Trace

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """What isn't needed to play is imported when it is asked for."""
    if name in ("catalogue", "equilibria", "experiments", "plots"):
        return importlib.import_module(f"stackjax.{name}")
    raise AttributeError(f"module 'stackjax' has no attribute {name!r}")
