"""Bandit learners of Stackelberg games (Donahue et al., ICML 2024, arXiv 2403.00188) in plain Python, one replicate.

Every learner has `act(noise) -> arm` and `update(arm, reward)`; its randomness comes from the caller:

    EpsilonGreedy               2 uniforms: explore?, which arm
    EXP3                        1 uniform
    ThompsonGaussian            K standard normals
    ThompsonBeta                K uniforms
    all others                  nothing (None)

Throughout: lg = ln T with T the horizon of the whole game, also for one of a follower's learners; ties go to the lowest
index; an unpulled arm has mean and index +inf; round robin is t mod K, t the learner's own number of updates.
`margin` is the smallest distance so far at which another decision would have been taken (gap of an argmax, of an
elimination, of a uniform to its threshold): where it is above rounding errors, actions must agree with another
implementation's. Choices that the specification leaves open are marked OPEN. The tuned parameters and the loop are in
`bandit_play`.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv


class Bandit:
    """K arms, what was counted of their rewards, and the smallest margin of a decision."""

    def __init__(self, arms: int):
        self.arms = arms
        self.t = 0
        self.margin = math.inf
        self.forget()

    def forget(self) -> None:
        self.pulls = [0] * self.arms
        self.sums = [0.0] * self.arms

    def count(self, arm: int, reward: float) -> None:
        self.pulls[arm] += 1
        self.sums[arm] += reward

    def means(self) -> list[float]:
        return [s / n if n else math.inf for s, n in zip(self.sums, self.pulls, strict=True)]

    def round_robin(self) -> int:
        return self.t % self.arms

    def best(self, index: Sequence[float]) -> int:
        top = max(index)
        arm = index.index(top)
        if top < math.inf:  # between unpulled arms nothing is compared that could be rounded
            self.note(top - max((value for k, value in enumerate(index) if k != arm), default=-math.inf))
        return arm

    def note(self, gap: float) -> None:
        self.margin = min(self.margin, gap)

    def act(self, noise: Any = None) -> int:
        raise NotImplementedError

    def update(self, arm: int, reward: float) -> None:
        """Count every reward."""
        self.count(arm, reward)
        self.t += 1


class FixedArm(Bandit):
    def __init__(self, arms: int, arm: int):
        super().__init__(arms)
        self.arm = arm

    def act(self, noise: Any = None) -> int:
        return self.arm


class ExploreThenCommit(Bandit):
    """1. Round robin for E K pulls, then the best empirical mean for ever."""

    def __init__(self, arms: int, explore: int):
        super().__init__(arms)
        self.explore = explore

    def act(self, noise: Any = None) -> int:
        if self.t < self.explore * self.arms:
            return self.round_robin()
        return self.best(self.means())

    def update(self, arm: int, reward: float) -> None:
        if self.t < self.explore * self.arms:  # "for ever": the means are those of the exploration alone
            self.count(arm, reward)
        self.t += 1


class ExploreThenCommitThrowOut(Bandit):
    """2. Round robin for `discard` pulls an arm, forgotten, then for `keep` pulls an arm, then commit."""

    def __init__(self, arms: int, discard: int, keep: int):
        super().__init__(arms)
        self.discard, self.keep = discard, keep

    def act(self, noise: Any = None) -> int:
        if self.t < (self.discard + self.keep) * self.arms:
            return self.round_robin()
        return self.best(self.means())

    def update(self, arm: int, reward: float) -> None:
        if self.discard * self.arms <= self.t < (self.discard + self.keep) * self.arms:
            self.count(arm, reward)
        self.t += 1


class UCB(Bandit):
    """The index mean + c sqrt(lg / n)."""

    def __init__(self, arms: int, width: float, horizon: int):
        super().__init__(arms)
        self.width, self.lg = width, math.log(horizon)

    def index(self) -> list[float]:
        return [
            s / n + self.width * math.sqrt(self.lg / n) if n else math.inf
            for s, n in zip(self.sums, self.pulls, strict=True)
        ]

    def act(self, noise: Any = None) -> int:
        return self.best(self.index())


class ExploreThenUCB(UCB):
    """3. E A rounds of round robin, forgotten; then UCB from empty statistics.

    OPEN: n counts the pulls after the forgetting, lg stays ln T of the whole horizon; the first A rounds of UCB are
    therefore the arms in order.
    """

    def __init__(self, arms: int, explore: int, width: float, horizon: int):
        super().__init__(arms, width, horizon)
        self.explore = explore

    def act(self, noise: Any = None) -> int:
        if self.t < self.explore * self.arms:
            return self.round_robin()
        return self.best(self.index())

    def update(self, arm: int, reward: float) -> None:
        if self.t >= self.explore * self.arms:
            self.count(arm, reward)
        self.t += 1


class LipschitzUCB(UCB):
    """4. UCB on all own rewards with radius (c + L C sqrt(B)) sqrt(lg / n)."""

    def __init__(
        self, arms: int, width: float, lipschitz: float, follower_arms: int, horizon: int, constant: float = 1.0
    ):
        super().__init__(arms, width + lipschitz * constant * math.sqrt(follower_arms), horizon)


class PhasedUCB(Bandit):
    """5. The index of a: max over the B slots of the last completed phase on a of slot mean + c sqrt(lg / M_p).

    OPEN: phase p on a is completed by pull number B (M_1 + ... + M_p) of a, whatever was played in between; a phase in
    progress doesn't count. So no index moves between completions, and the leader stays for whole phases. Beyond the
    schedule's end phases of length M_P follow.
    """

    def __init__(self, arms: int, slots: int, phases: Sequence[int], width: float, horizon: int):
        super().__init__(arms)
        self.slots, self.phases, self.width, self.lg = slots, phases, width, math.log(horizon)
        self.phase = [0] * arms  # number of completed phases
        self.current: list[list[float]] = [[] for _ in range(arms)]  # rewards of the phase in progress
        self.index = [math.inf] * arms

    def act(self, noise: Any = None) -> int:
        return self.best(self.index)

    def update(self, arm: int, reward: float) -> None:
        self.current[arm].append(reward)
        M = length(self.phases, self.phase[arm])
        if len(self.current[arm]) == self.slots * M:
            slot_means = [sum(self.current[arm][j * M : (j + 1) * M]) / M for j in range(self.slots)]
            self.index[arm] = self.summary(slot_means, M)
            self.phase[arm] += 1
            self.current[arm] = []
        self.t += 1

    def summary(self, slot_means: list[float], M: int) -> float:
        # Which slot attains the maximum is no decision: no margin.
        return max(slot_means) + self.width * math.sqrt(self.lg / M)


class ActiveArmElimination(Bandit):
    """7. Phase p is K slots of M_p pulls; slot j plays arm j if it is active, else the next active arm cyclically.

    6. ComputeActiveArms as a carry: the pulls and sums of the phase in progress and the active arms.
    Beyond the schedule's end phases of length M_P follow (OPEN).
    """

    def __init__(self, arms: int, phases: Sequence[int], width: float, horizon: int):
        super().__init__(arms)
        self.phases, self.width, self.lg = phases, width, math.log(horizon)
        self.active = [True] * arms
        self.phase = 0
        self.position = 0  # in the phase

    def act(self, noise: Any = None) -> int:
        arm = self.position // length(self.phases, self.phase)
        while not self.active[arm]:
            arm = (arm + 1) % self.arms
        return arm

    def update(self, arm: int, reward: float) -> None:
        self.count(arm, reward)
        self.position += 1
        if self.position == self.arms * length(self.phases, self.phase):
            upper, lower = [-math.inf] * self.arms, [-math.inf] * self.arms
            for b in range(self.arms):
                if self.active[b]:  # an active arm has its own slot: it was pulled
                    mean, radius = self.sums[b] / self.pulls[b], self.width * math.sqrt(self.lg / self.pulls[b])
                    upper[b], lower[b] = mean + radius, mean - radius
            # OPEN: an eliminated arm has no samples in the phase; it stays eliminated. Equality keeps an arm.
            highest = max(lower)
            for b in range(self.arms):
                if self.active[b]:
                    self.note(abs(upper[b] - highest))
            self.active = [u >= highest for u in upper]
            self.forget()
            self.phase, self.position = self.phase + 1, 0
        self.t += 1


def compute_active_arms(
    history: Sequence[tuple[int, float]], arms: int, phases: Sequence[int], width: float, horizon: int
) -> list[bool]:
    """6. ComputeActiveArms, literally: replay a history of (arm, reward), one completed phase after the other."""
    lg, active, start = math.log(horizon), list(range(arms)), 0
    for p in itertools.count():
        end = start + arms * length(phases, p)
        if end > len(history):
            return [b in active for b in range(arms)]
        samples = {b: [reward for arm, reward in history[start:end] if arm == b] for b in active}
        mean = {b: sum(samples[b]) / len(samples[b]) for b in active}
        rad = {b: width * math.sqrt(lg / len(samples[b])) for b in active}
        active = [b for b in active if mean[b] + rad[b] >= max(mean[other] - rad[other] for other in active)]
        start = end
    raise AssertionError


def length(phases: Sequence[int], p: int) -> int:
    """M of phase p, counted from 0. OPEN: after the last one its length repeats."""
    return phases[min(p, len(phases) - 1)]


class EpsilonGreedy(Bandit):
    """With probability epsilon any arm, else the best empirical mean. Noise: (u, v) uniform.

    OPEN: it explores iff u < epsilon and then plays floor(v K); a schedule is read at the number of its own updates,
    from 0 (at n_a, for a follower). An exploring round finds any arm, a greedy one takes unpulled arms first.
    """

    def __init__(self, arms: int, epsilon: float | Callable[[int], float]):
        super().__init__(arms)
        self.epsilon = epsilon if callable(epsilon) else lambda n: epsilon

    def act(self, noise: Any = None) -> int:
        u, v = noise
        epsilon = self.epsilon(self.t)
        self.note(abs(u - epsilon))
        if u < epsilon:
            scaled = float(v) * self.arms
            self.note(min((abs(scaled - k) for k in range(1, self.arms)), default=math.inf))
            return min(int(scaled), self.arms - 1)
        return self.best(self.means())


class EXP3(Bandit):
    """p ~ exp(-rate * estimated loss). Noise: u uniform.

    OPEN: losses 1 - clip(reward, 0, 1), over the probability with which the arm was drawn (the form whose regret bound
    has the rate sqrt(2 ln K / (K T))); no uniform exploration mixed in; the arm is the first whose cumulative
    probability exceeds u.
    """

    def __init__(self, arms: int, rate: float):
        super().__init__(arms)
        self.rate = rate
        self.losses = [0.0] * arms

    def probabilities(self) -> list[float]:
        least = min(self.losses)
        weights = [math.exp(-self.rate * (loss - least)) for loss in self.losses]
        return [weight / sum(weights) for weight in weights]

    def act(self, noise: Any = None) -> int:
        u = float(noise)
        cumulative = list(itertools.accumulate(self.probabilities()))[:-1]  # the last is 1
        self.note(min((abs(u - value) for value in cumulative), default=math.inf))
        return next((k for k, value in enumerate(cumulative) if u < value), self.arms - 1)

    def update(self, arm: int, reward: float) -> None:
        self.losses[arm] += (1.0 - clip(reward)) / self.probabilities()[arm]
        self.t += 1


class ThompsonGaussian(Bandit):
    """Samples mean + sigma z / sqrt(n). Noise: K normals z.

    OPEN: the posterior under a flat prior and known sigma; so an unpulled arm's sample is +inf.
    """

    def __init__(self, arms: int, sigma: float = 1.0):
        super().__init__(arms)
        self.sigma = sigma

    def act(self, noise: Any = None) -> int:
        return self.best(
            [
                s / n + self.sigma * float(z) / math.sqrt(n) if n else math.inf
                for s, n, z in zip(self.sums, self.pulls, noise, strict=True)
            ]
        )


class ThompsonBeta(Bandit):
    """Samples the quantile u of Beta(1 + sum of rewards, 1 + sum of (1 - rewards)). Noise: K uniforms u.

    OPEN: the uniform prior is proper, so an unpulled arm's sample is u itself, not +inf. Rewards are clipped to [0, 1]
    and count as fractions of a success.
    """

    def act(self, noise: Any = None) -> int:
        s, n = np.array(self.sums), np.array(self.pulls, float)
        return self.best(betaincinv(1.0 + s, 1.0 + n - s, np.asarray(noise, float)).tolist())

    def update(self, arm: int, reward: float) -> None:
        self.count(arm, clip(reward))
        self.t += 1


def clip(reward: float) -> float:
    return min(max(reward, 0.0), 1.0)


# ---------------------------------------------------------------- followers


class PerArm:
    """One independent learner a leader arm, made by `make()`; its clock is n_a, its horizon (and lg) the game's.

    One round's noise serves the learner that acts; the others neither draw nor update.
    """

    def __init__(self, leader_arms: int, make: Callable[[], Bandit]):
        self.learners = [make() for _ in range(leader_arms)]

    @property
    def margin(self) -> float:
        return min(learner.margin for learner in self.learners)

    def act(self, noise: Any, leader_arm: int) -> int:
        return self.learners[leader_arm].act(noise)

    def update(self, arm: int, reward: float, leader_arm: int) -> None:
        self.learners[leader_arm].update(arm, reward)


class BestResponse:
    """Knows U2: the lowest b that maximises U2(a, b)."""

    margin = math.inf

    def __init__(self, U2: ArrayLike):
        self.arm = np.argmax(np.asarray(U2, float), axis=1).tolist()

    def act(self, noise: Any, leader_arm: int) -> int:
        return self.arm[leader_arm]

    def update(self, arm: int, reward: float, leader_arm: int) -> None:
        pass
