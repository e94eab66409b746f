"""The tuned parameters of the bandit learners in `bandits`, and the loop in which a leader and a follower meet."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.transcriptions.bandits import Bandit

# ---------------------------------------------------------------- tuned parameters


@dataclass(frozen=True)
class Tuned:
    """The parameters of the table of algorithms for horizon T, A leader arms, B follower arms."""

    explore_leader: int  # E1 = ceil(A^(-2/3) lg^(1/3) T^(2/3)), ExploreThenCommit
    explore_follower: int  # E2 = ceil((AB)^(-2/3) lg^(1/3) T^(2/3)), ExploreThenCommit for every leader arm
    discard: int  # B * E2, ThrowOut
    keep: int  # E1, ThrowOut
    explore_ucb: int  # ceil(A^(-2/3) B^(1/3) lg^(1/3) T^(2/3)), ExploreThenUCB
    width: float  # c: 1 for Bernoulli, 2 sigma for Gaussian. OPEN: said of ExploreThenUCB; taken for every c
    phases: tuple[int, ...]  # M_p = 8 * 2^(p-1), truncated by T
    rate_leader: float  # EXP3 over A arms
    rate_follower: float  # EXP3 over B arms. OPEN: with the global horizon although n_a is shorter


def tuned(horizon: int, leader_arms: int, follower_arms: int, noise: str = "gaussian", sigma: float = 1.0) -> Tuned:
    A, B = leader_arms, follower_arms
    scale = math.log(horizon) ** (1 / 3) * horizon ** (2 / 3)

    def at_least_one(value: float) -> int:  # OPEN: lg = 0 at T = 1 would give no exploration at all
        return max(1, math.ceil(value))

    E1, E2 = at_least_one(A ** (-2 / 3) * scale), at_least_one((A * B) ** (-2 / 3) * scale)
    return Tuned(
        explore_leader=E1,
        explore_follower=E2,
        discard=B * E2,
        keep=E1,
        explore_ucb=at_least_one(A ** (-2 / 3) * B ** (1 / 3) * scale),
        width={"bernoulli": 1.0, "gaussian": 2.0 * sigma}[noise],
        phases=phase_lengths(horizon, B),
        rate_leader=exp3_rate(horizon, A),
        rate_follower=exp3_rate(horizon, B),
    )


def exp3_rate(horizon: int, arms: int) -> float:
    """sqrt(2 ln K / (K T))."""
    return math.sqrt(2.0 * math.log(arms) / (arms * horizon))


def phase_lengths(horizon: int, slots: int) -> tuple[int, ...]:
    """M_p = 8 * 2^(p-1), the last truncated by T."""
    return truncate((8 * 2 ** (p - 1) for p in itertools.count(1)), horizon, slots)


def truncate(phases: Iterable[int], horizon: int, slots: int) -> tuple[int, ...]:
    """The phases that `horizon` pulls of one arm can enter, the last only as long as it takes to reach the horizon.

    OPEN: what remains for the last phase is shared evenly by its slots, rounded up: M_P = ceil(left / B). (The pull
    number B (M_1 + ... + M_P) is then at or up to B - 1 beyond the horizon; before it the phase isn't complete.)
    """
    kept: list[int] = []
    for M in phases:
        left = horizon - slots * sum(kept)
        if left <= 0:
            break
        kept.append(min(M, math.ceil(left / slots)))
    return tuple(kept)


# ---------------------------------------------------------------- the interaction


class Follower(Protocol):
    """Sees the leader's arm of this round before it acts."""

    margin: float

    def act(self, noise: Any, leader_arm: int) -> int: ...

    def update(self, arm: int, reward: float, leader_arm: int) -> None: ...


@dataclass(frozen=True)
class Played:
    actions: NDArray[np.int64]  # [T, 2]
    rewards: NDArray[np.float64]  # [T, 2]
    margin: float  # the smallest of both players

    def visits(self, leader_arms: int, follower_arms: int) -> NDArray[np.int64]:
        """N[a, b], of which the pseudo-regret is made: R_i = alpha_i T - sum N U_i."""
        counts = np.zeros((leader_arms, follower_arms), np.int64)
        np.add.at(counts, (self.actions[:, 0], self.actions[:, 1]), 1)
        return counts


def play(
    leader: Bandit,
    follower: Follower,
    U1: ArrayLike,
    U2: ArrayLike,
    reward_noise: ArrayLike,
    leader_noise: Sequence[Any] | NDArray[Any] | None = None,
    follower_noise: Sequence[Any] | NDArray[Any] | None = None,
    *,
    sigma: float = 1.0,
    bernoulli: bool = False,
) -> Played:
    """As many rounds as `reward_noise` [T, 2] has rows (may be fewer than the learners' horizon).

    The leader picks a, the follower sees it and picks b, and each sees its own reward alone: U_i(a, b) + sigma z, or
    with `bernoulli` 1 if u < U_i(a, b) else 0, z or u from `reward_noise`. `leader_noise` and `follower_noise` have a
    row a round with what the learners need.
    """
    means = [np.asarray(U, float).tolist() for U in (U1, U2)]
    actions, rewards = [], []
    for t, row in enumerate(np.asarray(reward_noise, float).tolist()):
        a = leader.act(None if leader_noise is None else leader_noise[t])
        b = follower.act(None if follower_noise is None else follower_noise[t], a)
        r1, r2 = (
            float(noise < U[a][b]) if bernoulli else U[a][b] + sigma * noise
            for U, noise in zip(means, row, strict=True)
        )
        leader.update(a, r1)
        follower.update(b, r2, a)
        actions.append((a, b))
        rewards.append((r1, r2))
    return Played(np.array(actions), np.array(rewards), min(leader.margin, follower.margin))
