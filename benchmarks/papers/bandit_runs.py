"""Regrets of pairs of bandit learners at several horizons, for `benchmarks.papers.bandits` and its quick tests.

Every horizon is a run of its own, since learners are tuned to it. All games here have 2 x 2 arms.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from stackjax import Record, play
from stackjax.equilibria import pseudo_regret
from stackjax.games import StackelbergBandit
from stackjax.learners import ActiveArmElimination, ExploreThenUCB, PerArm, PhasedUCB

A = B = 2
#: Of normal rewards: c = 2 sigma is then 1, as it is for Bernoulli ones.
SIGMA = 0.5
# Two points that aren't equally spaced: one program serves all horizons.
_RECORD = Record.log_spaced(2, strategies=False, payoffs=None)

Games = Callable[[int], Sequence[StackelbergBandit]]
Pair = Callable[[int], tuple[Any, Any]]


class Measured(NamedTuple):
    """Mean regrets `[T, instances, 2]` at the horizons `[T]`, and their standard errors."""

    horizons: np.ndarray
    regret: np.ndarray
    error: np.ndarray

    @property
    def worst(self) -> np.ndarray:
        """The largest of both players' in any instance, `[T]`."""
        return self.regret.max((1, 2))

    def slope(self, regret: np.ndarray) -> float:
        """Of ln regret `[T]` on ln T, by least squares; NaN if a regret isn't positive."""
        if np.any(regret <= 0):
            return math.nan
        return float(np.polyfit(np.log(self.horizons), np.log(regret), 1)[0])

    @property
    def slopes(self) -> list[float]:
        """Of both players, each in the instance where it is largest."""
        return [self.slope(self.regret[..., i].max(1)) for i in range(2)]

    @property
    def k23(self) -> np.ndarray:
        """`K_{2/3} = worst / (T^(2/3) (A B ln T)^(1/3))`, `[T]`."""
        return self.worst / (self.horizons ** (2 / 3) * (A * B * np.log(self.horizons)) ** (1 / 3))

    @property
    def k12(self) -> np.ndarray:
        """`K_{1/2} = worst / sqrt(A B T ln T)`, `[T]`."""
        return self.worst / np.sqrt(A * B * self.horizons * np.log(self.horizons))

    def of(self, instance: int) -> "Measured":
        """One instance."""
        return Measured(self.horizons, self.regret[:, [instance]], self.error[:, [instance]])

    def record(self) -> dict[str, list]:
        """For a file: of each player the largest over the instances, with its standard error."""
        at = self.regret.argmax(1)[:, None]
        found = {"regret": self.regret, "standard_error": self.error}
        values = {name: np.take_along_axis(x, at, 1)[:, 0] for name, x in found.items()}
        rounded = {name: [[float(f"{v:.6g}") for v in pair] for pair in x] for name, x in values.items()}
        return {"horizons": self.horizons.astype(int).tolist(), **rounded}


def measured(
    games: Games,
    pair: Pair,
    horizons: Sequence[int],
    benchmark: Callable[[Any, Any], Any],
    replicates: int,
) -> Measured:
    """Regrets against `benchmark(U1, U2)`; the games of a horizon are played at once, and meet the same noise."""
    found = []
    for horizon in horizons:
        instances = games(horizon)
        several = len(instances) > 1
        means = np.stack([[np.asarray(m) for m in (g.leader_means, g.follower_means)] for g in instances], axis=1)
        alpha = np.asarray(benchmark(*means).values)
        if several:
            means, alpha = np.repeat(means, replicates, axis=1), np.repeat(alpha, replicates, axis=0)
        else:
            means, alpha = means[:, 0], alpha[0]
        game = StackelbergBandit(means[0], means[1], instances[0].noise, float(instances[0].sigma))
        trace = play(
            game,
            *pair(horizon),
            key=jax.random.key(2024),
            rounds=horizon,
            replicates=list(range(replicates)) * len(instances),
            record=_RECORD,
            in_axes=(0, None, None) if several else None,
        ).raise_if_failed()
        found.append(pseudo_regret(game, trace, alpha)[:, -1].reshape(len(instances), replicates, 2))
    regrets = np.stack(found)
    return Measured(np.array(horizons, float), regrets.mean(2), regrets.std(2, ddof=1) / math.sqrt(replicates))


def always(*games: StackelbergBandit) -> Games:
    """The same at every horizon."""
    return lambda horizon: games


def shared_payoffs(best_first: bool = True) -> Games:
    """Both players are paid alike (L* = 1): one outcome is better than the other three, by five different gaps.

    It is (a1, b1), which ties and round robin favour, or else (a2, b2). The gaps are 1 to 16 times
    `sqrt(A B ln T / T)`, at most 1.
    """
    better = np.full((A, B), -0.5)
    better[(0, 0) if best_first else (-1, -1)] = 0.5

    def games(horizon: int) -> list[StackelbergBandit]:
        gaps = [min(1.0, m * math.sqrt(A * B * math.log(horizon) / horizon)) for m in (1, 2, 4, 8, 16)]
        return [StackelbergBandit(0.5 + gap * better, 0.5 + gap * better, "bernoulli") for gap in gaps]

    return games


def leads(learner: Any, horizon: int, noise: str = "bernoulli") -> Any:
    """A tuned leader."""
    return learner.tuned(horizon, A, B, "leader", noise=noise, sigma=SIGMA)


def tuned(leader: Any, follower: Any, noise: str = "bernoulli") -> Pair:
    """A tuned leader and a tuned follower."""
    return lambda horizon: (
        leads(leader, horizon, noise),
        follower.tuned(horizon, A, B, "follower", noise=noise, sigma=SIGMA),
    )


def elimination(horizon: int, width: float = 1.0) -> PerArm:
    """The follower ActiveArmElimination, with c = `width`."""
    return PerArm(ActiveArmElimination(_phases(horizon), width, horizon))


def waits_for_elimination(width: float = 1.0) -> Pair:
    """ExploreThenUCB against ActiveArmElimination, both with c = `width`."""
    return lambda T: (ExploreThenUCB(leads(ExploreThenUCB, T).explore, width, T), elimination(T, width))


def phased(horizon: int) -> tuple[PhasedUCB, PerArm]:
    """`PhasedUCB` and the follower whose phases it knows."""
    return PhasedUCB(_phases(horizon), B, 1.0, horizon), elimination(horizon)


def phase_means(horizon: int) -> tuple[PhasedUCB, PerArm]:
    """A control: the index is the mean of the last phase, not of its best slot, and the radius is the same.

    That is `PhasedUCB` with a single slot, of all the phase's pulls.
    """
    return PhasedUCB(B * _phases(horizon), 1, math.sqrt(B), horizon), elimination(horizon)


def _phases(horizon: int) -> Any:
    return leads(ActiveArmElimination, horizon).phases
