"""Pseudo-regret against a benchmark, from exact counts."""

from typing import Any

import numpy as np
from jaxtyping import Float

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
    if trace.block_visits is None:
        raise ValueError("trace: it has no visits; play a game of arms, with Record(visits=True)")
    values = np.asarray(getattr(benchmark, "values", benchmark), np.float64)
    if values.shape[-1:] != (2,):
        raise ValueError(f"benchmark: expected one value a player on the last axis, got the shape {values.shape}")
    visits = np.asarray(trace.block_visits, np.float64)
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
