"""Skipped phases: every learner absorbs what it would have been updated with, and runs have the same distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from stackjax import Record, games, play, spaces
from stackjax.learners import (
    UCB,
    ActiveArmElimination,
    ExploreThenCommit,
    ExploreThenCommitThrowOut,
    Fixed,
    PerArm,
    PhasedUCB,
)
from stackjax.protocols import Game, Seen, Signals, View

T, ARMS, PHASES = 400, 3, [2, 5, 11]
PHASED = {
    "ExploreThenCommit": ExploreThenCommit(40),
    "ThrowOut": ExploreThenCommitThrowOut(11, 30),
    "elimination": ActiveArmElimination(PHASES, 0.3, T),
    "PhasedUCB": PhasedUCB(PHASES, 2, 0.4, T),
    "Fixed": Fixed(1),
}


def alone(learner, rewards):
    """Everything that it plays, and its states, from the first to the one after the last round."""
    game = games.StackelbergBandit(np.zeros((ARMS, 2)), np.zeros((ARMS, 2)))
    view = View(learner, game, 0, None, jnp.float32)

    def step(state, rewards):
        arm = learner.act(view, state, (), Seen(view, (None, None), None))
        after = learner.update(view, state, (), Signals(view, (arm, 0), (rewards[arm], 0.0)))
        return after, (state, arm, rewards[arm])

    last, (states, arms, paid) = jax.lax.scan(step, learner.init(view, jax.random.key(0)), rewards)
    states = jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), states, last)
    return view, states, arms, paid


@pytest.mark.parametrize("name", PHASED)
def test_absorbing_is_as_good_as_every_update(name):
    learner, rng = PHASED[name], np.random.default_rng(1)
    rewards = rng.normal(size=(T, ARMS)).astype(np.float32) + np.linspace(0, 0.6, ARMS, dtype=np.float32)

    @jax.jit
    def run(rewards, shares):
        view, states, arms, paid = alone(learner, rewards)
        hot = jax.nn.one_hot(arms, ARMS, dtype=jnp.float32)
        played, earned = (jnp.concatenate([jnp.zeros((1, ARMS)), jnp.cumsum(x, 0)]) for x in (hot, hot * paid[:, None]))

        def skip(t, share):
            state = jax.tree.map(lambda x: x[t], states)
            free = jnp.minimum(jnp.asarray(learner.committed(view, state)), T - t)
            n = jnp.round(share * free.astype(jnp.float32)).astype(jnp.int32)
            pulls = learner.pulls(view, state, n)
            new = learner.absorb(view, state, pulls, earned[t + n] - earned[t])
            return free, pulls, played[t + n] - played[t], new, jax.tree.map(lambda x: x[t + n], states)

        return jax.vmap(jax.vmap(skip, (None, 0)), (0, None))(jnp.arange(T), shares)

    free, pulls, expected_pulls, new, expected = run(rewards, jnp.array([0.0, 0.3, 0.7, 1.0]))
    assert free.min() >= 1 and free.max() > 5
    np.testing.assert_array_equal(pulls, expected_pulls)
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4)  # sums of float32 in another order


@pytest.mark.parametrize("noise", ["gaussian", "bernoulli"])
def test_totals_have_the_distribution_of_sums(noise):
    """Kolmogorov-Smirnov and chi-square tests of 4000 draws: 8 at 1e-4 each, false alarms in less than 1 of 1000."""
    means = np.array([[0.0, 0.3], [1.0, 0.55]])
    game = games.StackelbergBandit(means, means[::-1], noise, 0.7)
    counts = np.array([[5, 40], [7, 3000]])
    keys = jax.random.split(jax.random.key(3), 4000)
    totals = jax.jit(jax.vmap(lambda key: game.total(key, jnp.asarray(counts))))(keys)
    for paid, mean in zip(totals, (means, means[::-1]), strict=True):
        for index in np.ndindex(2, 2):
            x, n, p = np.asarray(paid[:, *index], float), counts[index], mean[index]
            if noise == "gaussian":
                assert scipy.stats.kstest(x, scipy.stats.norm(n * p, 0.7 * np.sqrt(n)).cdf).pvalue > 1e-4
            elif p in (0.0, 1.0):
                assert np.all(x == n * p)
            else:
                law = scipy.stats.binom(n, p)
                edges = np.unique(law.ppf(np.linspace(0, 1, 13)[1:-1]))
                observed = np.histogram(x, np.concatenate([[-np.inf], edges + 0.5, [np.inf]]))[0]
                chances = np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]]))
                assert scipy.stats.chisquare(observed, chances * len(x)).pvalue > 1e-4
    nothing = game.total(jax.random.key(0), jnp.zeros((2, 2), jnp.int32))
    assert all(np.all(np.asarray(total) == 0) for total in nothing)


def runs(leader, follower, skip, key=0, game=None, **options):
    game = games.bandit_instances.etc_failure("gaussian") if game is None else game
    options = {"rounds": 3000, "replicates": 1500, "record": Record.log_spaced(6)} | options
    return play(game, leader, follower, key=jax.random.key(key), skip_phases=skip, **options)


PAIRS = {
    "ETC/ETC": (ExploreThenCommit(100), PerArm(ExploreThenCommit(60))),
    "ThrowOut/AAE": (ExploreThenCommitThrowOut(50, 120), PerArm(ActiveArmElimination([8, 16, 32, 64], 1.0, 3000))),
    "PhasedUCB/ETC": (PhasedUCB([8, 16, 32], 2, 1.0, 3000), PerArm(ExploreThenCommit(60))),
}


@pytest.mark.parametrize(
    "pair", ["ThrowOut/AAE", *(pytest.param(n, marks=pytest.mark.slow) for n in ("ETC/ETC", "PhasedUCB/ETC"))]
)
def test_runs_have_the_same_distribution(pair):
    """Two-sample Kolmogorov-Smirnov tests of all joint counts at 3 of 6 records, 36 in all at 2e-5: 1 of 1000."""
    every, skipped = (runs(*PAIRS[pair], skip) for skip in (False, True))
    np.testing.assert_array_equal(every.rounds, skipped.rounds)
    np.testing.assert_array_equal(every.visits.sum((2, 3)), skipped.visits.sum((2, 3)))
    np.testing.assert_array_equal(every.calls[1].payoffs, skipped.calls[1].payoffs)
    for k in (3, 4, 5):
        for index in np.ndindex(2, 2):
            a, b = (np.asarray(run.visits[:, k, *index]) for run in (every, skipped))
            assert scipy.stats.ks_2samp(a, b, method="asymp").pvalue > 2e-5
    assert np.std(every.visits[:, 5, 0, 0]) > 100  # there is something to compare


def test_records_in_a_phase_and_the_actions_at_them():
    leader, follower = PAIRS["ETC/ETC"]
    options = {"record": Record.every(17), "rounds": 170, "replicates": 3}  # all of it exploration: nothing is random
    every, skipped = (runs(leader, follower, skip, **options) for skip in (False, True))
    np.testing.assert_array_equal(every.visits, skipped.visits)
    for a, b in zip(every.actions, skipped.actions, strict=True):
        np.testing.assert_array_equal(a, b)


def test_chunks_and_resumed_runs_are_the_same_run():
    leader, follower = PAIRS["ETC/ETC"]
    options = {"record": Record.every(1000, strategies=False), "replicates": 20}
    whole = runs(leader, follower, True, rounds=2000, chunk=10, **options)
    half = runs(leader, follower, True, rounds=1000, **options)
    rest = runs(leader, follower, True, rounds=1000, resume=half, **options)
    np.testing.assert_array_equal(rest.visits[:, -1], whole.visits[:, -1])


def test_realised_payoffs_are_the_totals():
    """The mean of 1500 averages of 3000 rewards with sigma 1: 5 standard errors, false alarms in less than 1e-6."""
    leader, follower = ExploreThenCommit(1000), PerArm(Fixed(0))
    record = Record.final(payoffs="realised")
    run = runs(leader, follower, True, record=record)
    game = games.bandit_instances.etc_failure()
    means = np.stack([game.leader_means, game.follower_means], -1)
    difference = np.asarray(run.payoffs)[:, 0] - np.einsum("rab,abp->rp", run.visits[:, 0], means) / 3000
    assert np.all(np.abs(difference.mean(0)) < 5 / np.sqrt(3000 * 1500))
    np.testing.assert_allclose(difference.std(0), 1 / np.sqrt(3000), rtol=0.15)


class Chain(Game):
    """Three players with two, three and two arms, who move one after the other."""

    spaces = (spaces.Arms(2), spaces.Arms(3), spaces.Arms(2))
    levels = ((0,), (1,), (2,))

    def payoffs(self, *actions):
        return tuple(jnp.float32(action) for action in actions)

    def total(self, key, counts):
        arms = jnp.meshgrid(*(jnp.arange(n) for n in counts.shape), indexing="ij")
        return tuple((each * counts).astype(jnp.float32) for each in arms)


def test_a_chain_of_three():
    learners = (ExploreThenCommit(50), PerArm(ExploreThenCommit(10)), PerArm(ActiveArmElimination([2, 4], 0.1, 400)))
    options = {"key": jax.random.key(0), "rounds": 400, "replicates": 2, "record": Record.every(40, strategies=False)}
    every, skipped = (play(Chain(), *learners, skip_phases=skip, **options) for skip in (False, True))
    np.testing.assert_array_equal(every.visits, skipped.visits)  # payoffs are certain
    np.testing.assert_allclose(every.payoffs, skipped.payoffs, rtol=1e-6)


def test_who_cannot_skip_is_told():
    etc = ExploreThenCommit(10)
    with pytest.raises(ValueError, match="skip_phases: player 1: UCB decides anew in every round"):
        runs(etc, PerArm(UCB(1.0, 3000)), True)
    with pytest.raises(ValueError, match="skip_phases: expected a game of arms"):
        runs(etc, etc, True, game=games.CournotDuopoly())

    class NoTotal(Chain):
        total = Game.total

    with pytest.raises(ValueError, match="NoTotal doesn't define total"):
        play(NoTotal(), etc, PerArm(etc), PerArm(etc), key=jax.random.key(0), rounds=3, skip_phases=True)
