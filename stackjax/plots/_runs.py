"""What is played for a phase portrait: paths, basins, a follower's answers."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from stackjax._core.entry import common_float
from stackjax.learners import BestResponse, Every, Fixed
from stackjax.play import play
from stackjax.plots._plane import Mark, Plane, shape_of, wrapped
from stackjax.protocols import Action, Learner
from stackjax.trace import Record, Status

_RECORDS = 20_000  # of a path
_FAR = 50  # diagonals of the plane, after which a path isn't followed
_REACHED = 0.02  # of the plane's diagonal: how near an end must be to have reached a mark
_ANSWERS = 400  # actions of the leader


def unwrap(line: np.ndarray, periods: tuple[float | None, float | None]) -> np.ndarray:
    """A path that goes on where it went through the seam of a torus."""
    steps = [wrapped(np.diff(line[:, i]), period) for i, period in enumerate(periods)]
    return line[:1] + np.concatenate([np.zeros((1, 2)), np.cumsum(np.stack(steps, axis=1), axis=0)])


def spread(where: Plane, n: int) -> np.ndarray:
    """`n` starts all over the plane: the additive sequence of the plastic number, which leaves no large gaps."""
    plastic = 1.32471795724474602596
    parts = (0.5 + np.arange(1, n + 1)[:, None] / np.array([plastic, plastic**2])) % 1
    low, high = np.array(where.limits).T
    return low + (high - low) * (0.05 + 0.9 * parts)


def _played(
    where: Plane, learners: Sequence[Learner], starts: np.ndarray, rounds: int, key: PRNGKeyArray, record: Record
) -> tuple[np.ndarray, np.ndarray]:
    """Strategies `[replicates, 1 + K, 2]`, the initial ones first, and which replicates didn't fail."""
    dtype = common_float(where.game, None)
    start: tuple[Action, ...] = tuple(
        jnp.asarray(starts[:, i].reshape(-1, *shape_of(space)), dtype) for i, space in enumerate(where.game.spaces)
    )
    trace = play(where.game, *learners, key=key, rounds=rounds, replicates=len(starts), start=start, record=record)
    n = len(starts)
    columns = [
        np.concatenate([np.asarray(a, np.float64).reshape(n, 1), np.asarray(b, np.float64).reshape(n, -1)], axis=1)
        for a, b in zip(trace.initial, trace.strategies, strict=True)
    ]
    return np.stack(columns, axis=-1), np.asarray(trace.status) == Status.OK


def paths(
    where: Plane, learners: Sequence[Learner], starts: np.ndarray, rounds: int, key: PRNGKeyArray
) -> list[np.ndarray]:
    """One polyline `[m, 2]` a start, with the points at which it has gone on by a thousandth of the plane."""
    record = Record.every(-(-rounds // _RECORDS), payoffs=None)
    polylines = []
    for line in _played(where, learners, starts, rounds, key, record)[0]:
        line = unwrap(line[np.isfinite(line).all(axis=1)], where.periods)
        line = line[: 1 + np.argmin(np.append(np.hypot(*(line - line[0]).T) < _FAR * where.diagonal, False))]
        kept = [0]
        for j in range(1, len(line)):
            if np.hypot(*(line[j] - line[kept[-1]])) > 1e-3 * where.diagonal:
                kept.append(j)
        polylines.append(line[[*kept, len(line) - 1]])
    return polylines


def basins(
    where: Plane,
    learners: Sequence[Learner],
    points: Sequence[tuple[int, Mark]],
    n: int,
    rounds: int,
    key: PRNGKeyArray,
) -> np.ndarray:
    """`[n, n]` (y, x): the index of the mark that is reached from each cell's centre, -1 if none is."""
    xs, ys = where.grid(n, centres=True)
    starts = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    quiet = [_quiet(learner) for learner in learners]
    ends, fine = _played(where, quiet, starts, rounds, key, Record.final(payoffs=None))
    return reached(where, np.where(fine[:, None], ends[:, -1], np.nan), points).reshape(n, n)


def reached(where: Plane, ends: np.ndarray, points: Sequence[tuple[int, Mark]]) -> np.ndarray:
    """For each end the index of the nearest mark, -1 if it is far from all."""
    if not points:
        return np.full(len(ends), -1)
    distances = np.stack([where.distances(ends, mark.at) for _, mark in points])
    distances = np.where(np.isfinite(distances), distances, np.inf)
    indices = np.array([j for j, _ in points])
    return np.where(distances.min(0) <= _REACHED * where.diagonal, indices[distances.argmin(0)], -1)


def _quiet(learner: Any) -> Any:
    """The learner without estimator noise."""
    if isinstance(learner, Every):
        return eqx.tree_at(lambda every: every.learner, learner, _quiet(learner.learner))
    if getattr(learner, "noise_variance", None) is None:
        return learner
    return eqx.tree_at(lambda one: one.noise_variance, learner, None, is_leaf=lambda x: x is None)


def responses(where: Plane, learner: BestResponse, key: PRNGKeyArray) -> list[np.ndarray]:
    """The follower's answers to the leader's actions, as polylines that end where the answer jumps."""
    xs = where.grid(_ANSWERS)[0]
    space = where.game.spaces[0]
    leader = Fixed(jnp.asarray(xs.reshape(-1, *shape_of(space)), common_float(where.game, None)))
    record = Record.final(payoffs=None)
    trace = play(
        where.game, leader, learner, key=key, rounds=1, replicates=_ANSWERS, record=record, in_axes=(None, 0, None)
    )
    ys = np.where(
        np.asarray(trace.status) == Status.OK, np.asarray(trace.strategies[1], np.float64).reshape(-1), np.nan
    )
    line = np.stack([xs, ys], axis=1)
    low, high = where.limits[1]
    jumps = np.flatnonzero(~(np.abs(np.diff(ys)) < 0.2 * (high - low))) + 1  # the seam of a torus is one, too
    return [part for part in np.split(line, jumps) if len(part) > 1]
