"""The field of a phase portrait: both players' directions, and where they vanish."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stackjax._core.entry import common_float
from stackjax.learners import Every
from stackjax.plots._plane import Mark, Plane, shape_of
from stackjax.protocols import Game

_CHUNK = 4096  # points at which the field is evaluated at once: one program for all of them
GRID = 240  # points a side of the grid on which zero sets are looked for; 239 intervals seldom meet one exactly
_HALVINGS = 24
_SMALL = 0.01  # of an edge's larger end: a value that vanishes is less, in the end
_AT_REST = 1e-3  # of the field's typical length

Field = Callable[[np.ndarray], np.ndarray]


def directed(learner: Any) -> bool:
    """Has it a direction?"""
    return directed(learner.learner) if isinstance(learner, Every) else callable(getattr(learner, "direction", None))


def field_of(game: Game, learners: Sequence[Any]) -> Field:
    """A function of points `[m, 2]`: both players' directions there, `[m, 2]`; NaN for who has none."""
    known = tuple(learner if directed(learner) else None for learner in learners)
    dtype = common_float(game, None)

    def field(points: np.ndarray) -> np.ndarray:
        m = len(points)
        padded = np.zeros((-(-m // _CHUNK) * _CHUNK, 2))
        padded[:m] = points
        parts = [_directions(game, known, jnp.asarray(part, dtype)) for part in np.split(padded, len(padded) // _CHUNK)]
        return np.concatenate([np.asarray(part, np.float64) for part in parts])[:m]

    return field


@eqx.filter_jit
def _directions(game: Game, learners: tuple[Any, ...], points: Array) -> Array:
    def at(point: Array) -> Array:
        actions = tuple(point[i].reshape(shape_of(space)) for i, space in enumerate(game.spaces))
        directions = [
            jnp.asarray(jnp.nan, point.dtype) if learner is None else learner.direction(game, i, actions).reshape(())
            for i, learner in enumerate(learners)
        ]
        return jnp.stack(directions).astype(point.dtype)

    return jax.vmap(at)(points)


def weights(learners: Sequence[Any]) -> np.ndarray:
    """Each player's first step, by which its direction is multiplied; 1 if one of them has none."""

    def step(learner: Any) -> float:
        if isinstance(learner, Every):
            return step(learner.learner) / float(learner.k)
        schedule = getattr(learner, "step", None)
        return float(schedule(0)) if callable(schedule) else np.nan

    steps = np.array([step(learner) for learner in learners])
    return steps if np.isfinite(steps).all() else np.ones(2)


@dataclass(frozen=True)
class SignChanges:
    """Polylines `[m, 2]` along which a direction vanishes, and along which it changes its sign but doesn't vanish."""

    zeros: list[np.ndarray]
    breaks: list[np.ndarray]


def sign_changes(where: Plane, field: Field) -> list[SignChanges]:
    """For each player, where its direction changes its sign.

    Contours on a grid, whose vertices lie on the grid's edges. Each of these is halved until the change is located: a
    direction that vanishes there is small, one that has a pole or jumps isn't, and the contour is cut there.
    """
    xs, ys = where.grid(GRID)
    points = np.stack(np.meshgrid(xs, ys), axis=-1)
    values = field(points.reshape(-1, 2)).reshape(GRID, GRID, 2)
    return [_sign_changes(xs, ys, values[..., i], lambda points: field(points)[:, i]) for i in (0, 1)]  # noqa: B023


def _sign_changes(
    xs: np.ndarray, ys: np.ndarray, values: np.ndarray, value: Callable[[np.ndarray], np.ndarray]
) -> SignChanges:
    from matplotlib.figure import Figure

    finite = np.isfinite(values)
    if not (finite & (values > 0)).any() or not (finite & (values < 0)).any():
        return SignChanges([], [])
    drawn = Figure().subplots().contour(xs, ys, np.ma.masked_invalid(values), levels=[0.0])
    lines = [np.asarray(line, np.float64) for line in drawn.allsegs[0] if len(line) > 1]
    if not lines:
        return SignChanges([], [])
    points, zero = _located(np.concatenate(lines), xs, ys, value)
    ends = np.cumsum([len(line) for line in lines])[:-1]
    parts = list(zip(np.split(points, ends), np.split(zero, ends), strict=True))
    return SignChanges(
        *([run for line, kept in parts for run in _runs(line, kept == wanted)] for wanted in (True, False))
    )


def _located(
    points: np.ndarray, xs: np.ndarray, ys: np.ndarray, value: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Points on edges of the grid moved to where the sign changes, and whether the value vanishes there."""
    origin, step = np.array([xs[0], ys[0]]), np.array([xs[1] - xs[0], ys[1] - ys[0]])
    cells = (points - origin) / step
    off = np.abs(cells - np.rint(cells))
    row, along = np.arange(len(points)), np.argmax(off, axis=1)  # the coordinate in which its edge extends
    low = np.rint(cells)
    low[row, along] = np.floor(cells[row, along])
    high = low.copy()
    high[row, along] += 1
    edge = off.max(axis=1, keepdims=True) > 1e-9  # else it is a point of the grid
    low, high = (np.where(edge, origin + step * ends, points) for ends in (low, high))
    at_low, at_high = value(low), value(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        same = ((value(middle) > 0) == (at_low > 0))[:, None]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    crossings = (low + high) / 2
    largest = np.maximum(np.abs(at_low), np.abs(at_high))
    return crossings, np.abs(value(crossings)) <= _SMALL * largest + np.finfo(np.float32).tiny


def _runs(line: np.ndarray, kept: np.ndarray) -> list[np.ndarray]:
    """The parts of a polyline whose points are kept."""
    runs = np.split(np.arange(len(line)), np.flatnonzero(np.diff(kept)) + 1)
    return [line[run] for run in runs if kept[run[0]] and len(run) > 1]


def at_rest(field: Field, mark: Mark, typical: np.ndarray) -> bool:
    """Does the field vanish at the mark? Yes, if that can't be told."""
    values = np.abs(field(np.array([mark.at]))[0])
    return bool(np.all(~(values > _AT_REST * typical)))
