"""What the catalogue says of a game and of a method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stackjax.protocols import Game, Learner


@dataclass(frozen=True)
class Method:
    """A method by its name in a table: `make`, called, makes one learner a player; `summary` tells it from others."""

    make: Callable[[], tuple[Learner, ...]]
    summary: str

    def __call__(self) -> tuple[Learner, ...]:
        """One learner a player, in order of play."""
        return self.make()


@dataclass(frozen=True)
class GameEntry:
    """A game as it is compared, with the methods that are compared in it.

    **Attributes:**

    - `make`: makes the game, with whatever noise it is compared under.
    - `title`, `summary`: its name, and a line about it.
    - `methods`: name -> a `Method`; called, it makes one learner a player, in order of play.
    - `default`: the names of those methods that are compared if none are asked for.
    - `actions`, `payoffs`: what figures call the players' actions and payoffs, with units if any.
    - `start`: as in `stackjax.play`; None if every replicate starts from a sample of the spaces.
    - `rounds`, `replicates`: how many are played if nothing else is asked for.
    - `limits`: in a game without bounds, numbers between which its equilibria are searched and pictured.
    """

    make: Callable[[], Game]
    title: str
    summary: str
    methods: Mapping[str, Method]
    default: tuple[str, ...]
    actions: tuple[str, ...]
    payoffs: tuple[str, ...]
    start: tuple[Any, ...] | None = None
    rounds: int = 100_000
    replicates: int = 1000
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.default if name not in self.methods]
        if unknown:
            raise ValueError(f"default: {unknown} are not among the methods {list(self.methods)}")
