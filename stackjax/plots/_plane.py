"""The plane of a phase portrait: two actions within limits, on a torus or not, and the points that are marked in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from stackjax._core.entry import check_players
from stackjax.protocols import Game, Learner
from stackjax.spaces import Box, Euclidean, Torus

KINDS = ("Nash and Stackelberg", "Nash", "Stackelberg", "neither")
Limits = tuple[tuple[float, float], tuple[float, float]]

_SAME = 1e-4  # of the coordinates' size, or absolute below 1: marks that are nearer are one


@dataclass(frozen=True)
class Mark:
    """An equilibrium or another critical point, by its two coordinates."""

    at: tuple[float, float]
    nash: bool
    stackelberg: bool

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return KINDS[(0 if self.stackelberg else 1) if self.nash else 2 if self.stackelberg else 3]


@dataclass(frozen=True)
class Plane:
    """Two one-dimensional actions within limits; `periods` are None where an action isn't an angle."""

    game: Game
    limits: Limits
    periods: tuple[float | None, float | None]

    @property
    def diagonal(self) -> float:
        """Its length."""
        (x0, x1), (y0, y1) = self.limits
        return float(np.hypot(x1 - x0, y1 - y0))

    def grid(self, n: int, *, centres: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """`n` coordinates along each side: from end to end, or the centres of as many cells."""
        parts = (np.arange(n) + 0.5) / n if centres else np.linspace(0.0, 1.0, n)
        (x0, x1), (y0, y1) = self.limits
        return x0 + (x1 - x0) * parts, y0 + (y1 - y0) * parts

    def distances(self, points: np.ndarray, at: tuple[float, float]) -> np.ndarray:
        """From every point `[..., 2]`, round the torus by the shorter way."""
        gaps = [wrapped(points[..., i] - at[i], period) for i, period in enumerate(self.periods)]
        return np.hypot(*gaps)

    def copies(self, points: np.ndarray) -> list[np.ndarray]:
        """Points `[m, 2]` as often as they show within the limits: on a torus moved by whole turns."""
        shifts = []
        for i, (period, (low, high)) in enumerate(zip(self.periods, self.limits, strict=True)):
            first, last = float(np.nanmin(points[:, i])), float(np.nanmax(points[:, i]))
            slack = 1e-9 * (high - low)
            turns = (
                np.arange(np.ceil((low - last - slack) / period), (high - first + slack) // period + 1)
                if period
                else [0]
            )
            shifts.append([float(turn) * (period or 0.0) for turn in turns])
        return [points + np.array([dx, dy]) for dx in shifts[0] for dy in shifts[1]]


def wrapped(difference: np.ndarray, period: float | None) -> np.ndarray:
    """The shorter way round, where there is a round."""
    return difference if period is None else (difference + period / 2) % period - period / 2


def check_game(game: Game, learners: Sequence[Learner]) -> None:
    """Are there two players in spaces that can be drawn, with a learner each?"""
    check_players(game, tuple(learners))
    check_spaces(game)


def check_spaces(game: Game) -> None:
    """Are there two one-dimensional players in spaces that can be drawn?"""
    if len(game.spaces) != 2:
        raise ValueError(f"game: a phase portrait has two players, {type(game).__name__} has {len(game.spaces)}")
    for i, space in enumerate(game.spaces):
        shape = getattr(space.struct(jnp.float32), "shape", None)
        if not isinstance(space, Box | Torus | Euclidean) or shape not in ((), (1,)):
            raise ValueError(
                "game: a phase portrait has one-dimensional players, whose actions are numbers or arrays of shape "
                f"(1,) in a Box, Torus or Euclidean space; player {i}'s space is {space}"
            )


def plane(game: Game, limits: Any, marks: Sequence[Mark]) -> Plane:
    """The plane to draw: within `limits`, else the box, a turn of the torus, or the surroundings of the marks."""
    periods = [2 * np.pi if isinstance(space, Torus) else None for space in game.spaces]
    if limits is None:
        shown = [mark for mark in marks if mark.kind != "neither"] or marks
        ranges = [_limits(space, [mark.at[i] for mark in shown], i) for i, space in enumerate(game.spaces)]
    else:
        try:
            array = np.asarray(limits, np.float64)
        except (TypeError, ValueError):
            array = np.zeros(0)
        if array.shape != (2, 2) or not np.isfinite(array).all() or (array[:, 0] >= array[:, 1]).any():
            raise ValueError(f"limits: expected ((x low, x high), (y low, y high)), finite, low < high; got {limits!r}")
        ranges = [(float(low), float(high)) for low, high in array]
        for i, (space, (low, high)) in enumerate(zip(game.spaces, ranges, strict=True)):
            inside = [bool(space.contains(jnp.full(shape_of(space), end))) for end in (low, high)]
            if not all(inside):
                raise ValueError(f"limits: expected limits inside player {i}'s space, {space}; got {(low, high)}")
    return Plane(game, (ranges[0], ranges[1]), (periods[0], periods[1]))


def shape_of(space: Any) -> tuple[int, ...]:
    return tuple(space.struct(jnp.float32).shape)


def _limits(space: Any, marked: list[float], player: int) -> tuple[float, float]:
    if isinstance(space, Torus):
        return -np.pi, np.pi
    if isinstance(space, Box):
        return float(np.ravel(space.low)[0]), float(np.ravel(space.high)[0])
    if not marked:
        raise ValueError(f"limits: player {player}'s space has no bounds and no equilibria are known; give limits")
    low, high = min(marked), max(marked)
    margin = max(0.35 * (high - low), 0.5 * max(abs(low), abs(high))) or 1.0
    return low - margin, high + margin


def marks(game: Game, equilibria: Any) -> list[Mark]:
    """What is to be marked, each point once with all that it is."""
    if equilibria is None:
        given = [(actions, True, False) for actions in game.nash_equilibria()]
        given += [(actions, False, True) for actions in game.stackelberg_equilibria()]
    else:
        given = [_given(entry) for entry in _entries(equilibria)]
    merged: list[Mark] = []
    for actions, nash, stackelberg in given:
        try:
            x, y = (np.asarray(action, np.float64).reshape(()) for action in actions)
        except (TypeError, ValueError):
            raise ValueError(f"equilibria: expected joint actions of two numbers, got {actions!r}") from None
        at = (float(x), float(y))
        if not np.isfinite(at).all():
            if equilibria is None:
                continue  # a game says so that it has none
            raise ValueError(f"equilibria: expected finite actions, got {actions!r}")
        periods = [2 * np.pi if isinstance(space, Torus) else None for space in game.spaces]
        near = _SAME * max(1.0, *map(abs, at))
        for i, mark in enumerate(merged):
            gaps = [wrapped(np.asarray(a - b), p) for a, b, p in zip(at, mark.at, periods, strict=True)]
            if np.hypot(*gaps) < near:
                merged[i] = Mark(mark.at, mark.nash or nash, mark.stackelberg or stackelberg)
                break
        else:
            merged.append(Mark(at, nash, stackelberg))
    return merged


def _entries(equilibria: Any) -> list[Any]:
    if hasattr(equilibria, "critical"):  # what `equilibria.find` returned
        return [*equilibria.equilibria, *equilibria.critical]
    if not isinstance(equilibria, Iterable) or isinstance(equilibria, str):
        raise TypeError(
            "equilibria: expected what stackjax.equilibria.find returned, certificates, or pairs of a joint action and "
            f"its kind, got {equilibria!r}"
        )
    return list(equilibria)


def _given(entry: Any) -> tuple[Any, bool, bool]:
    if hasattr(entry, "is_nash"):
        return entry.actions, bool(entry.is_nash), bool(entry.is_stackelberg)
    if not isinstance(entry, tuple | list) or len(entry) != 2 or entry[1] not in KINDS:
        raise ValueError(
            f"equilibria: expected certificates, or pairs of a joint action and its kind, one of {KINDS}; got {entry!r}"
        )
    return entry[0], "Nash" in entry[1].split(), "Stackelberg" in entry[1]
