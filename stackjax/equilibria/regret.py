"""Regret from exact counts: against a benchmark, and of the follower against its best answers."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from stackjax.checks import whole
from stackjax.games.bandits import StackelbergBandit
from stackjax.trace import Trace


def pseudo_regret(game: StackelbergBandit, trace: Trace, benchmark: Any) -> Float[np.ndarray, "replicates K players"]:
    """`R_i = alpha_i t - sum_(a, b) N_t(a, b) U_i(a, b)` after each record's t rounds.

    In float64 on the host from the integer counts of joint arms, so that it is as exact as that type whatever the
    length and the type of the run. (Donahue et al., 2024; their talk prints the negative.) Negative regret is possible:
    a benchmark below the Stackelberg value can be beaten.

    **Arguments:** `game`, that of the trace, whose means may have a leading axis of replicates; `trace` with `visits`;
    `benchmark`: a `Benchmark`, or the values `[..., 2]` (alpha_1, alpha_2), for all or for each replicate.

    **Returns:** `[replicates, K, 2]`, without the first axis for a run without replicates.

    **Raises:** `ValueError` for a trace without visits or shapes that don't fit.
    """
    visits = _visits(trace)
    values = np.asarray(getattr(benchmark, "values", benchmark), np.float64)
    if values.shape[-1:] != (2,):
        raise ValueError(f"benchmark: expected one value a player on the last axis, got the shape {values.shape}")
    means = np.stack([np.asarray(m, np.float64) for m in (game.leader_means, game.follower_means)], axis=-1)
    if means.shape[-3:-1] != visits.shape[-2:]:
        raise ValueError(f"game: its means are {means.shape[:-1]}, the trace's visits {visits.shape}")
    batched = means.ndim == 4
    if batched and (not trace.batched or means.shape[0] != visits.shape[0]):
        raise ValueError(f"game: means of {means.shape[0]} instances, the trace has {visits.shape[:-3]} replicates")
    pairs = visits.shape[-2] * visits.shape[-1]
    flat, means = visits.reshape(*visits.shape[:-2], pairs), means.reshape(*means.shape[:-3], pairs, 2)
    earned = np.cumsum(flat @ means, axis=-2)  # block by block: ten times less to add up than counts
    if trace.visits_before is not None:
        before = np.asarray(trace.visits_before, np.float64)
        earned += before.reshape(*before.shape[:-2], 1, pairs) @ means
    if values.ndim == 2:
        values = values[:, None]
    return np.asarray(trace.rounds, np.float64)[:, None] * values - earned


def anytime_regret(game: StackelbergBandit, trace: Trace, horizon: int) -> Float[np.ndarray, "replicates K A"]:
    """The follower's regret on each leader arm against its best answer there, over `sqrt(B n ln T)`.

    `sum_b n(a, b) gap(a, b) / sqrt(B n(a) ln T)`, n the pulls up to the record. Its largest value over records,
    arms and nearly all replicates is the constant C of a follower's high-probability anytime bound, which the
    theorem about aligned players asks for (Donahue et al., 2024; the constants are a reconstruction).

    **Arguments:** `game`, that of the trace; `trace` with `visits`; `horizon` T, in rounds, of the learners.

    **Returns:** `[replicates, K, A]`, without the first axis for a run without replicates; 0 for arms not yet pulled.

    **Raises:** `ValueError` for a trace without visits or shapes that don't fit.
    """
    gaps, counts = _gaps_and_counts(game, trace)
    counts = np.cumsum(counts, axis=-3)
    if trace.visits_before is not None:
        counts += np.asarray(trace.visits_before, np.float64)[..., None, :, :]
    pulls = counts.sum(-1)
    return (counts * gaps).sum(-1) / np.sqrt(_scale(game, horizon) * np.maximum(pulls, 1))


def instantaneous_regret(game: StackelbergBandit, trace: Trace, horizon: int) -> Float[np.ndarray, "replicates K A"]:
    """The follower's mean gap on each leader arm since the last record, times `sqrt(n / (B ln T))`.

    n the arm's pulls up to the record. With `Record.every(1)` it is that of every single answer; over longer blocks a
    mean, and so at most the largest. If it stays below a constant with high probability, the follower learns
    gracefully, which the theorem about ExploreThenUCB asks for: elimination does, and UCB doesn't, as it goes on trying
    bad arms (Donahue et al., 2024; the constants are a reconstruction).

    **Arguments, errors:** as of `anytime_regret`.

    **Returns:** `[replicates, K, A]`, without the first axis for a run without replicates; 0 for arms that weren't
    pulled since.
    """
    gaps, counts = _gaps_and_counts(game, trace)
    recent = counts.sum(-1)
    pulls = np.cumsum(recent, axis=-2)
    if trace.visits_before is not None:
        pulls += np.asarray(trace.visits_before, np.float64).sum(-1)[..., None, :]
    return (counts * gaps).sum(-1) / np.maximum(recent, 1) * np.sqrt(pulls / _scale(game, horizon))


def _scale(game: StackelbergBandit, horizon: int) -> float:
    """`B ln T`."""
    return game.follower_means.shape[-1] * math.log(whole("horizon", horizon, 2))


def _gaps_and_counts(game: StackelbergBandit, trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """The follower's gaps `[..., 1, A, B]` and the visits of every block `[..., K, A, B]`."""
    visits, means = _visits(trace), np.asarray(game.follower_means, np.float64)
    if means.shape[-2:] != visits.shape[-2:] or (means.ndim == 3 and (not trace.batched or len(means) != len(visits))):
        raise ValueError(f"game: its means are {means.shape}, the trace's visits {visits.shape}")
    return (means.max(-1, keepdims=True) - means)[..., None, :, :], visits


def _visits(trace: Trace) -> np.ndarray:
    if trace.block_visits is None:
        raise ValueError("trace: it has no visits; play a game of arms, with Record(visits=True)")
    return np.asarray(trace.block_visits, np.float64)
