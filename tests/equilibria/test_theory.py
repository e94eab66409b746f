"""Sampled assumptions, limit laws, who would lead, and followers' regrets, against closed forms and against runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.equilibria import (
    anytime_regret,
    assumptions,
    asymptotic_covariance,
    diagonal_concavity,
    instantaneous_regret,
    roles,
)
from stackjax.games import CournotDuopoly, CournotOligopoly, Quadratic, TorusLocation, bandit_instances, from_payoffs
from stackjax.learners import UCB, ActiveArmElimination, Fixed, GradientAscent, HierarchicalAscent, PerArm
from stackjax.schedules import PowerLaw
from stackjax.spaces import Box, Euclidean

KEY = jax.random.key(0)
DUOPOLY = CournotDuopoly()
LINE = (Euclidean(()),) * 2


def test_constants_of_quadratic_games_are_their_matrices():
    game = Quadratic.random(jax.random.key(3), (2, 3))
    found = assumptions(game, None, KEY, samples=16)
    q1, q2 = (np.asarray(q, np.float64) for q in game.Q)
    curvature = np.linalg.eigvalsh(q2[2:, 2:])
    response = np.linalg.solve(q2[2:, 2:], q2[2:, :2])
    total = q1[:2] - response.T @ q1[2:]
    ours = (found.leader_smoothness, found.follower_smoothness, found.concavity, found.response_lipschitz)
    expected = (np.linalg.norm(q1, 2), curvature[-1], curvature[0], np.linalg.norm(response, 2))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    np.testing.assert_allclose(found.total_lipschitz, np.linalg.norm(total, 2), rtol=1e-6)
    assert found.contraction(0.1) == pytest.approx(max(abs(1 - 0.1 * curvature)))
    assert found.samples == found.finite == 16


def test_samples_are_lower_bounds_and_see_what_is_violated():
    small, large = (assumptions(DUOPOLY, (Box(0.0, s), Box(0.0, s)), KEY, samples=256) for s in (10.0, 100.0))
    assert small.leader_lipschitz <= np.hypot(95, 10) + 1e-9  # at (0, 0) and (0, 10), the steepest corners
    assert large.leader_lipschitz > 1.5 * small.leader_lipschitz  # f_1 isn't Lipschitz on all of the line
    torus = assumptions(TorusLocation(), None, KEY)
    assert torus.concavity < 0 and torus.total_bound > 100  # its follower isn't concave, its direction has poles


def test_rosens_condition():
    """Firms' Jacobian is -(I + 11'), whose least eigenvalue is 1; with a weight w for one it is that of the mean."""
    oligopoly = CournotOligopoly((5.0, 2.0, 4.0))
    assert diagonal_concavity(oligopoly, None, KEY, samples=4) == pytest.approx(1.0)
    assert diagonal_concavity(oligopoly, None, KEY, players=(0, 1, 2), samples=4) == pytest.approx(1.0)
    weighted = np.array([[2.0, 2.0], [2.0, 6.0]])  # diag(1, 3) (I + 11'), symmetrised
    found = diagonal_concavity(oligopoly, None, KEY, weights=(1.0, 3.0), samples=4)
    assert found == pytest.approx(np.linalg.eigvalsh(weighted)[0])
    against = from_payoffs(lambda x, y: -(x**2) + 5 * x * y, lambda x, y: -(y**2) + 5 * x * y, spaces=LINE)
    assert diagonal_concavity(against, None, KEY, players=(0, 1), samples=4) == pytest.approx(-3.0)


METHODS = {
    "two timescales": (HierarchicalAscent, 2 / 3, DUOPOLY.stackelberg()),
    "one timescale": (GradientAscent, 1.0, DUOPOLY.nash()),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.optimized
def test_runs_on_the_duopoly_spread_by_the_law(name):
    """After 1e5 rounds, 1000 replicates: their standard deviations have standard errors of 2.2 %, the law's next order
    is about 2 % for the follower of two timescales; the tolerance is 10 %, false alarms below 1e-3."""
    learner, exponent, point = METHODS[name]
    steps = PowerLaw(1.0, 1.0), PowerLaw(1.0, exponent)
    law = asymptotic_covariance(DUOPOLY, point, steps, (10.0, 10.0), hierarchical=learner is HierarchicalAscent)
    assert law.two_timescales == (name == "two timescales")
    players = learner(steps[0], noise_variance=10.0), GradientAscent(steps[1], noise_variance=10.0)
    trace = play(DUOPOLY, *players, key=KEY, rounds=100_000, replicates=1000, record=Record.final(payoffs=None))
    measured = [np.asarray(s)[:, -1].std() for s in trace.raise_if_failed().strategies]
    np.testing.assert_allclose(measured, np.concatenate(law.deviations(100_000)), rtol=0.1)


@pytest.mark.parametrize("hierarchical", [True, False])
@pytest.mark.parametrize(("slow", "fast"), [(1.0, 0.6), (1.0, 1.0), (0.8, 0.8)])
def test_covariances_in_several_dimensions_tend_to_the_law(slow, fast, hierarchical):
    """The covariances of a linear recursion, exactly, round by round: without sampling. What is left falls like the
    next order, k^(fast - slow) or 1/k, and k^(slow - 1) below 1. More than half of what moves the leader is the
    follower's noise."""
    game = Quadratic.random(jax.random.key(4), (2, 1), coupling=1.5)
    point = game.stackelberg() if hierarchical else game.nash()
    steps, noise = (PowerLaw(1.0, slow), PowerLaw(1.0, fast)), (0.01, 0.4)
    law = asymptotic_covariance(game, point, steps, noise, hierarchical=hierarchical)
    q1, q2 = (np.asarray(q, np.float64) for q in game.Q)
    response = -np.linalg.solve(q2[2:, 2:], q2[2:, :2]) if hierarchical else np.zeros((1, 2))
    jacobian = -np.concatenate([q1[:2] + response.T @ q1[2:], q2[2:]])
    covariance, driven, left = np.zeros((3, 3)), np.diag([0.01, 0.01, 0.4]), []
    for k in range(1, 20_001):
        step = np.array([k**-slow, k**-slow, k**-fast])
        onward = np.eye(3) + step[:, None] * jacobian
        covariance = onward @ covariance @ onward.T + step[:, None] * driven * step
        if k in (2000, 20_000):
            expected = law.at(k)
            left.append(
                [np.linalg.norm(covariance[i] - e) / np.linalg.norm(e) for i, e in zip(BLOCKS, expected, strict=True)]
            )
    first, last = np.array(left)
    assert np.all(last < 0.7 * first) and np.all(last < (0.02 if slow == 1 else 0.15))


BLOCKS = (np.s_[:2, :2], np.s_[2:, 2:])


def test_laws_that_there_are_not():
    steps = PowerLaw(1.0, 1.0), PowerLaw(1.0, 2 / 3)
    with pytest.raises(ValueError, match=r"^point: the direction there isn't 0 but 23"):
        asymptotic_covariance(DUOPOLY, DUOPOLY.stackelberg(), steps, (1.0, 1.0), hierarchical=False)
    with pytest.raises(ValueError, match=r"^steps: 1/k by that scale is too small: .* -1, and below -1.25"):
        asymptotic_covariance(DUOPOLY, DUOPOLY.stackelberg(), (PowerLaw(0.4, 1.0), steps[1]), (1.0, 1.0))
    with pytest.raises(ValueError, match=r"^steps: expected exponents in \(1/2, 1\], .* got 0.6 and 0.9"):
        asymptotic_covariance(DUOPOLY, DUOPOLY.stackelberg(), (PowerLaw(1.0, 0.6), PowerLaw(1.0, 0.9)), (1.0, 1.0))
    with pytest.raises(ValueError, match=r"^noise: player 1: expected a variance or a covariance of shape \(1, 1\)"):
        asymptotic_covariance(DUOPOLY, DUOPOLY.stackelberg(), steps, (1.0, -1.0))
    saddle = from_payoffs(lambda x, y: x**2, lambda x, y: -(y**2), spaces=LINE)
    with pytest.raises(ValueError, match=r"^point: the dynamics don't lead there"):
        asymptotic_covariance(saddle, (0.0, 0.0), steps, (1.0, 1.0))


def test_who_would_lead():
    """Quantities are strategic substitutes: both would lead. `f_i = -z_i^2 + z_1 z_2 + z_j` has spillovers: by leading
    a player gains less than the one who follows, and both would follow. A leader at its minimum leads nowhere."""
    quantities, spill, lowest = (
        Quadratic([np.array(q, float) for q in Q], [np.array(v, float) for v in b], (1, 1))
        for Q, b in (
            (([[2, 1], [1, 0]], [[0, 1], [1, 2]]), ([95, 0], [0, 98])),
            (([[2, -1], [-1, 0]], [[0, -1], [-1, 2]]), ([0, 1], [1, 0])),
            (([[-2, 0], [0, 0]], [[0, 0], [0, 2]]), ([0, 0], [0, 0])),
        )
    )
    found = roles(quantities, KEY, 4, replies=0)
    np.testing.assert_allclose(found.payoffs, [(1058, 676), (89**2 / 16, 101**2 / 8)])
    np.testing.assert_allclose(found.nash, [(92**2 / 9, 101**2 / 9)])
    assert found.kind == "both would lead" and found.preferred == (0, 1)
    found = roles(spill, KEY, 4, replies=0)
    assert found.kind == "both would follow" and found.preferred == (1, 0)
    np.testing.assert_allclose(found.payoffs, found.payoffs[::-1, ::-1], rtol=1e-6)
    with pytest.raises(ValueError, match="no Stackelberg equilibrium was found in which player 0 leads"):
        roles(lowest, KEY, 4, replies=0)


def test_followers_regrets():
    """A fixed leader arm, gap .4, T = 1e4, 20 replicates. Elimination's last answer to be eliminated comes where its
    radius is about the gap, so that gap * sqrt(n / (B ln T)) stays near 4; UCB tries the bad arm as late as n = T,
    where that is 9. Both have anytime bounds. Of 20 replicates the latest try decides: no false alarm to speak of."""
    horizon, game = 10_000, bandit_instances.etc_failure2()
    worst = {}
    for name, follower in {
        "elimination": ActiveArmElimination.tuned(horizon, 2, 2, "follower", noise="bernoulli"),
        "UCB": PerArm(UCB(1.0, horizon)),
    }.items():
        record = Record.every(1, strategies=False, payoffs=None)
        trace = play(game, Fixed(0), follower, key=KEY, rounds=horizon, replicates=20, record=record)
        now, ever = (measure(game, trace, horizon) for measure in (instantaneous_regret, anytime_regret))
        assert now.shape == ever.shape == (20, horizon, 2) and not now[..., 1].any()
        worst[name] = now.max(), ever.max()
        gaps = 0.4 * np.asarray(trace.visits, np.float64)[..., 0, 1]  # U_2 = [[.4, 0], ...]
        np.testing.assert_allclose(ever[..., 0], gaps / np.sqrt(2 * np.asarray(trace.rounds) * np.log(horizon)))
    assert worst["elimination"][0] < 5 and worst["UCB"][0] > 6
    assert max(each[1] for each in worst.values()) < 3
    with pytest.raises(ValueError, match=r"^horizon: expected at least 2"):
        anytime_regret(game, trace, 1)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"^region: expected one space a player \(2\)"):
        assumptions(DUOPOLY, (Box(0.0, 1.0),), KEY)
    with pytest.raises(ValueError, match=r"^region: player 0: expected actions like those of"):
        assumptions(DUOPOLY, (Euclidean((2,)), Euclidean(())), KEY)
    with pytest.raises(ValueError, match=r"^game: expected a leader and one follower"):
        assumptions(CournotOligopoly((1.0, 2.0, 3.0)), None, KEY)
    with pytest.raises(ValueError, match=r"^game: player 0 has arms"):
        assumptions(bandit_instances.aligned(), None, KEY)
    with pytest.raises(ValueError, match=r"^game: at none of the samples"):
        assumptions(from_payoffs(lambda x, y: x * y, lambda x, y: jnp.sin(x) * y, spaces=LINE), None, KEY, samples=4)
    with pytest.raises(ValueError, match=r"^players: expected some of"):
        diagonal_concavity(DUOPOLY, None, KEY, players=(0, 2))
    with pytest.raises(ValueError, match=r"^weights: expected 2 positive numbers"):
        diagonal_concavity(DUOPOLY, None, KEY, players=(0, 1), weights=(1.0, 0.0))
