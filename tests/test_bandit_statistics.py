"""What pairs of bandit learners show: the quick part of `benchmarks/papers/bandits.py`, up to T = 3e4.

A fixed key. Standard errors are below 2 % of the mean regrets (`benchmarks/results/bandits.json` holds most of them),
and every threshold is at least 4 of them away from what is expected: by the normal law a correct implementation would
fail with another key at a rate below 1e-4 in each test.
"""

import numpy as np
import pytest

from benchmarks.papers.bandit_runs import (
    SIGMA,
    B,
    always,
    elimination,
    leads,
    measured,
    phase_means,
    phased,
    shared_payoffs,
    tuned,
    waits_for_elimination,
)
from stackjax import catalogue
from stackjax.equilibria import self_tolerant_benchmarks, tolerant_benchmarks
from stackjax.equilibria.benchmarks import stackelberg_benchmarks
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.learners import (
    EXP3,
    UCB,
    BestResponse,
    ExploreThenCommit,
    ExploreThenCommitThrowOut,
    ExploreThenUCB,
    LipschitzUCB,
)

pytestmark = pytest.mark.optimized

HORIZONS = (3_000, 10_000, 30_000)


def tolerant(U1, U2):
    return tolerant_benchmarks(U1, U2, 0.05)


def test_both_exploring_then_committing_is_linear():
    """While the follower explores, the leader's worse arm looks better."""
    games = always(bandit_instances.etc_failure())
    found = measured(games, tuned(ExploreThenCommit, ExploreThenCommit), HORIZONS, tolerant, 400)
    share = found.regret[:, 0, 0] / found.horizons
    assert np.all((share > 0.09) & (share < 0.115)) and min(found.slopes) > 0.95


@pytest.mark.parametrize(
    ("leader", "instance", "low", "high"),
    [(ExploreThenCommitThrowOut, "etc_failure2", 0.66, 0.73), (ExploreThenUCB, "etc_failure", 0.60, 0.72)],
)
def test_leaders_that_wait_are_sublinear(leader, instance, low, high):
    """T^(2/3) (ln T)^(1/3) has a slope of .70 here."""
    games = always(getattr(bandit_instances, instance)())
    found = measured(games, tuned(leader, ExploreThenCommit), HORIZONS, tolerant, 400)
    assert min(found.slopes) > low and max(found.slopes) < high


def test_a_follower_that_eliminates_must_do_so_while_the_leader_waits():
    """With c = .5 it does; with c = 1 it can't at this horizon."""
    games = always(bandit_instances.etc_failure2())
    fast, slow = (measured(games, waits_for_elimination(c), (10_000,), tolerant, 400) for c in (0.5, 1.0))
    assert fast.k23[0] < 0.25 and slow.k23[0] > 1.0


@pytest.mark.parametrize("learner", [UCB, pytest.param(EXP3, marks=pytest.mark.slow)])  # the same trap again
def test_leaders_that_trust_a_learning_follower_are_linear(learner):
    """A follower that rarely errs is enough. (Below 1e4 the leader's regret isn't linear yet.)"""
    games = always(bandit_instances.ucb_trap2())
    benchmark = lambda U1, U2: tolerant_benchmarks(U1, U2, 0.01)  # noqa: E731  (used once, in the next line)
    assert min(measured(games, tuned(learner, learner), HORIZONS[1:], benchmark, 400).slopes) > 0.95


def test_a_pair_whose_follower_learns_pays_the_lower_bound():
    """In one of two instances. Who follows with the best response escapes it."""

    def games(horizon):
        return [bandit_instances.lower_bound(member, horizon ** (-1 / 3), sigma=SIGMA) for member in ("I", "J")]

    def paid(pair):
        found = measured(games, pair, (10_000,), tolerant, 200)
        return found.worst[0] / found.horizons[0] ** (2 / 3)

    assert paid(tuned(UCB, UCB, "gaussian")) > 0.5
    assert paid(lambda T: (leads(UCB, T, "gaussian"), BestResponse())) < 0.5


def test_a_leader_that_believes_in_phase_means_ruins_its_follower():
    """One that believes in the best slot doesn't. Against the self-tolerant benchmark, R <= sqrt(A B T ln T)."""
    games = always(bandit_instances.self_trap2())
    benchmark = lambda U1, U2: self_tolerant_benchmarks(U1, U2, 0.2)  # noqa: E731  (used once, in the next line)
    slots, means = (measured(games, pair, HORIZONS, benchmark, 400) for pair in (phased, phase_means))
    assert slots.k12.max() < 1
    assert means.k12[-1] > 1 and means.slopes[1] > 0.95


def test_aligned_players_pay_the_square_root_of_the_horizon():
    """The worst of five gaps; a leader at the wrong arm would have 16."""
    pair = lambda T: (LipschitzUCB(1.0, T, 1.0, B, 1.0), elimination(T))  # noqa: E731  (used once, in the next line)
    assert measured(shared_payoffs(), pair, (10_000,), stackelberg_benchmarks, 100).k12[0] < 1.3


@pytest.mark.optimized
def test_a_radius_for_too_small_an_alignment_constant_is_linear_for_ever():
    """u_2 = .4 + u_1 / 8 is aligned with the constant 8: with it the share of rounds lost falls, with 1 it doesn't.

    Regret over T at T = 1e6. A replicate with L = 1 plays the wrong arm all the time.
    """
    u1 = np.array([[0.9, 0.1], [0.6, 0.6]])
    game = StackelbergBandit(u1, 0.4 + u1 / 8, "bernoulli")
    T = 1_000_000

    def lost(leader):
        found = measured(always(game), lambda T: (leader, elimination(T)), (T,), stackelberg_benchmarks, 8)
        return found.regret[0, 0, 0] / T

    right = catalogue.LEADERS["lipschitz-ucb"](game, T)
    assert right.lipschitz == pytest.approx(8.0, rel=1e-5)
    assert lost(right) < 0.06
    assert lost(LipschitzUCB.tuned(T, 2, 2, "leader", noise="bernoulli", lipschitz=1.0)) > 0.25


def test_without_alignment_the_catalogue_makes_no_aligned_learner():
    game = StackelbergBandit([[0.9, 0.1], [0.6, 0.6]], [[0.5, 0.5], [0.4, 0.6]], "bernoulli")
    with pytest.raises(ValueError, match=r"^lipschitz-ucb: expected aligned utilities"):
        catalogue.LEADERS["lipschitz-ucb"](game, 100)
