"""Bandits under `play` against scalar Numba: 1000 replicates, 10,000 rounds, normal rewards, 154 records.

Both return how often each joint arm was played between records, of which regret is made. They draw different random
numbers, so before anything is timed both players' mean regrets are shown to agree. Thompson sampling with Bernoulli
rewards against a loop in NumPy.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import stats

from benchmarks.speed.harness import compiled, interleaved, ratio, spread
from stackjax import Record, play
from stackjax.equilibria import stackelberg_benchmarks
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.learners import UCB, ActiveArmElimination, ExploreThenCommit, ExploreThenUCB, ThompsonSampling

REPLICATES, ROUNDS = 1000, 10_000
RECORD = Record.log_spaced(200, payoffs=None, strategies=False)
#: Of two means, in standard errors of their difference. It is asked of 14 figures with fixed keys; with others, 4 and
#: more come up in one of 1100 sets of 14.
AGREEMENT = 4.0


class Case(NamedTuple):
    """A pair of learners by its classes, with the parameters for which bounds are shown, on one instance."""

    leader: type
    follower: type
    scalar: str  # the maker of the same pair in `scalar_bandits`
    parameters: Callable[[Any, Any], tuple]  # what that takes of the leader and of the learner in the follower
    arms: tuple[int, int]

    @property
    def name(self) -> str:
        """The pair and the numbers of arms."""
        return f"{self.leader.__name__}/{self.follower.__name__} {self.arms[0]}x{self.arms[1]}"

    @property
    def game(self) -> StackelbergBandit:
        """`aligned`, else means drawn uniformly from [0, 1]; normal rewards of variance 1."""
        rewards: dict[str, Any] = {"noise": "gaussian", "sigma": 1.0}
        if self.arms == (2, 2):  # of few random arms the best is plain to see: all replicates would commit to the same
            return bandit_instances.aligned(**rewards)
        return bandit_instances.uniform(jax.random.key(0), *self.arms, **rewards)

    @property
    def learners(self) -> tuple[Any, Any]:
        """The leader and the follower, in its `PerArm`."""
        return self.leader.tuned(ROUNDS, *self.arms, "leader"), self.follower.tuned(ROUNDS, *self.arms, "follower")

    def ours(self, rounds: int = ROUNDS, record: Record = RECORD) -> Callable:
        """`play`, as a function without arguments."""
        game, learners = self.game, self.learners
        options = {"rounds": rounds, "replicates": REPLICATES, "record": record}
        return lambda: play(game, *learners, key=jax.random.key(0), **options)

    def numba(self, *options: bool) -> Callable:
        """The scalar code, as a function without arguments, with the learners' own parameters."""
        from benchmarks.speed import scalar_bandits  # Numba comes with the extra `bench`

        leader, follower = self.learners
        parameters = self.parameters(leader, follower.learner)
        run, points = getattr(scalar_bandits, self.scalar)(*self.arms, *options), RECORD.points(0, ROUNDS)
        rewards, sigma = means(self.game), float(self.game.sigma)
        return lambda: run(rewards, sigma, points, 1, REPLICATES, *parameters)


def _widths(leader: Any, follower: Any) -> np.ndarray:
    return np.array([leader.width, follower.width], np.float64)


PAIRS: tuple[tuple[type, type, str, Callable], ...] = (
    (UCB, UCB, "ucb_ucb", lambda leader, follower: (_widths(leader, follower),)),
    (
        ExploreThenUCB,
        ActiveArmElimination,
        "explore_then_ucb_elimination",
        lambda leader, follower: (_widths(leader, follower), leader.explore, np.asarray(follower.phases, np.int64)),
    ),
    (
        ExploreThenCommit,
        ExploreThenCommit,
        "commit_commit",
        lambda leader, follower: (np.array([leader.keep, follower.keep]),),
    ),
)
CASES = tuple(Case(*pair, arms) for arms in ((2, 2), (10, 10)) for pair in PAIRS)


def means(game: StackelbergBandit) -> np.ndarray:
    """Both players' mean rewards `[2, A B]` in float64."""
    return np.stack([np.asarray(U, np.float64).ravel() for U in (game.leader_means, game.follower_means)])


def regrets(game: StackelbergBandit, visits: Any) -> np.ndarray:
    """Against the Stackelberg value at the end `[replicates, 2]`, of the counts between records."""
    counts = np.asarray(visits).sum(axis=1).reshape(len(visits), -1)
    values = np.asarray(stackelberg_benchmarks(game.leader_means, game.follower_means).values, np.float64)
    return counts.sum(axis=1, keepdims=True) * values - counts @ means(game).T


def check_agreement(
    name: str, ours: np.ndarray, theirs: np.ndarray, peer: str = "numba"
) -> dict[str, dict[str, float]]:
    """Both means, if they agree."""
    error = np.sqrt((ours.var(axis=0, ddof=1) + theirs.var(axis=0, ddof=1)) / REPLICATES)
    apart = (ours.mean(axis=0) - theirs.mean(axis=0)) / error
    if not np.all(np.abs(apart) < AGREEMENT):
        both = f"{ours.mean(axis=0)} and {theirs.mean(axis=0)}"
        raise AssertionError(f"{name}: mean regrets are {apart} standard errors apart: {both}")
    players = ("leader", "follower")
    return {
        "mean_regret_play": dict(zip(players, ours.mean(axis=0).tolist(), strict=True)),
        f"mean_regret_{peer}": dict(zip(players, theirs.mean(axis=0).tolist(), strict=True)),
        "standard_errors_apart": dict(zip(players, apart.tolist(), strict=True)),
    }


def check_normals(count: int = 1_000_000) -> None:
    """The scalar code's numbers are normal, those of the tail too; with other seeds it fails once in a million."""
    from benchmarks.speed import scalar_bandits  # as above

    z = np.concatenate([scalar_bandits.normals(1, replicate, count // 10) for replicate in range(10)])
    tail = stats.binomtest(int(np.sum(np.abs(z) > scalar_bandits.EDGE)), count, 2 * stats.norm.sf(scalar_bandits.EDGE))
    found = stats.kstest(z, "norm").pvalue, tail.pvalue
    if min(found) < 5e-7:
        raise AssertionError(f"the scalar code's normal numbers: p-values {found} of all and of the tail")


def program(case: Case) -> dict[str, float]:
    """The compiled program; for 100 times as many rounds and as many records its memory is shown to be the same."""
    few = Record.log_spaced(20, payoffs=None, strategies=False)
    short, long = (compiled(case.ours(rounds, few))["temporaries_bytes"] for rounds in (ROUNDS, 100 * ROUNDS))
    if long != short:
        raise AssertionError(f"{case.name}: {short} bytes of temporaries grow to {long} with the number of rounds")
    sizes = {"temporaries_bytes_at_1e4_rounds_20_records": short, "temporaries_bytes_at_1e6_rounds_20_records": long}
    return {**compiled(case.ours()), **sizes}


def skipping(repetitions: int) -> dict[str, Any]:
    """Explore-then-commit phase by phase: seconds, for ten times as many replicates and rounds."""
    found = {}
    for arms in ((2, 2), (10, 10)):
        case = next(case for case in CASES if case.arms == arms)
        rounds, replicates = 10 * ROUNDS, 10 * REPLICATES
        learners = [ExploreThenCommit.tuned(rounds, *arms, role) for role in ("leader", "follower")]
        options = {"rounds": rounds, "replicates": replicates, "record": Record.final(payoffs=None, strategies=False)}
        run = functools.partial(play, case.game, *learners, key=jax.random.key(0), skip_phases=True, **options)
        seconds = spread(interleaved({"run": run}, repetitions)["run"])
        name = f"ExploreThenCommit/ExploreThenCommit {arms[0]}x{arms[1]}, phases skipped"
        found[name] = {"replicates": replicates, "rounds": rounds, "seconds": seconds}
    return found


def _thompson_numpy(game: StackelbergBandit, rounds: int) -> np.ndarray:
    """Thompson sampling as one writes it in NumPy, all replicates at once: how often each joint arm was played."""
    rng, each = np.random.default_rng(1), np.arange(REPLICATES)
    rewards = means(game).reshape(2, *game.leader_means.shape)
    A, B = rewards.shape[1:]
    leader, follower = np.ones((2, REPLICATES, A)), np.ones((2, REPLICATES, A, B))  # successes and failures, plus 1
    visits = np.zeros((REPLICATES, A, B))
    for _ in range(rounds):
        a = rng.beta(*leader).argmax(1)
        b = rng.beta(*follower[:, each, a]).argmax(1)
        visits[each, a, b] += 1
        lost = (rng.random((2, REPLICATES)) >= rewards[:, a, b]).astype(int)
        leader[lost[0], each, a] += 1
        follower[lost[1], each, a, b] += 1
    return visits[:, None]


def thompson(repetitions: int) -> dict[str, Any]:
    """Thompson sampling with Bernoulli rewards on `aligned`, 1000 rounds: microseconds a step, two in a round."""
    game, rounds = bandit_instances.aligned(noise="bernoulli"), 1000
    leader, follower = (
        ThompsonSampling.tuned(rounds, 2, 2, role, noise="bernoulli") for role in ("leader", "follower")
    )
    options = {"rounds": rounds, "replicates": REPLICATES, "record": RECORD}
    calls: dict[str, Callable[[], Any]] = {
        "play": lambda: play(game, leader, follower, key=jax.random.key(0), **options).block_visits,
        "numpy": lambda: _thompson_numpy(game, rounds),
    }
    name = "thompson, bernoulli 2x2"
    agreement = check_agreement(name, *(regrets(game, run()) for run in calls.values()), peer="numpy")
    seconds = interleaved(calls, repetitions)
    steps = {
        f"{who}_microseconds_a_step": spread([1e6 * s / (2 * REPLICATES * rounds) for s in values])
        for who, values in seconds.items()
    }
    return {name: {**steps, "speed_over_numpy": ratio(seconds, "numpy", "play"), **agreement}}


def main(repetitions: int = 9) -> dict[str, Any]:
    """Measure all cases."""
    check_normals()
    found: dict[str, Any] = {}
    for case in CASES:
        calls = {"play": case.ours(), "numba": case.numba()}
        if case.scalar != "commit_commit":  # as one writes it at first
            calls["numba_without_kept_answers"] = case.numba(False)
        results = regrets(case.game, calls["play"]().block_visits), regrets(case.game, calls["numba"]())
        agreement = check_agreement(case.name, *results)
        seconds = interleaved(calls, repetitions)
        rates = {
            f"{who}_million_rounds_per_second": spread([REPLICATES * ROUNDS / 1e6 / s for s in values])
            for who, values in seconds.items()
        }
        # Their time over ours: above 1 we are faster.
        ratios = {f"speed_over_{peer}": ratio(seconds, peer, "play") for peer in calls if peer != "play"}
        found[case.name] = {**rates, **ratios, **agreement}
    found |= thompson(repetitions) | skipping(repetitions)
    for case in CASES:
        found[f"compiled program, {case.name}"] = program(case)
    return found
