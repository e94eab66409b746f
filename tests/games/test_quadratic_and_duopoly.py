"""Closed forms against golden values in float64, and what makes an equilibrium one."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import CournotDuopoly, CournotOligopoly, Noisy, Quadratic
from stackjax.learners import GradientAscent, HierarchicalAscent
from stackjax.protocols import partial_gradient
from tests.transcriptions import gradient

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "differentiable_games.json").read_text())


def quadratic(entry, levels=None):
    if "dims" in entry:
        return Quadratic(entry["Q"], entry["b"], entry["dims"], levels)
    return Quadratic((entry["Q1"], entry["Q2"]), (entry["b1"], entry["b2"]), (3, 4))


@functools.partial(jax.jit, static_argnums=2)
def direction(learner, game, player, actions):
    return learner.direction(game, player, actions)


def test_duopoly_golden_values(x64):
    game = CournotDuopoly()
    for known, entry in [(game.nash(), "nash"), (game.stackelberg(), "stackelberg")]:
        golden = GOLDEN["duopoly"][entry]
        np.testing.assert_allclose(known, (golden["x"][0], golden["y"][0]), rtol=0, atol=1e-9)
        np.testing.assert_allclose(game.payoffs(*known), (golden["f1"], golden["f2"]), rtol=0, atol=1e-9)


def test_duopoly_slope_and_corners(x64):
    game = CournotDuopoly(demand=50.0, costs=(4.0, 7.0), slope=2.5)
    for equilibrium, leader in [(game.nash(), GradientAscent(1.0)), (game.stackelberg(), HierarchicalAscent(1.0))]:
        assert abs(leader.direction(game, 0, equilibrium)) < 1e-9
        assert abs(GradientAscent(1.0).direction(game, 1, equilibrium)) < 1e-9
    assert float(game.best_response(1, (jnp.asarray(20.0), None))) == 0.0  # the market is full
    assert [float(q) for q in CournotDuopoly(costs=(5.0, 90.0)).nash()] == [47.5, 0.0]  # firm 2 stays out


@pytest.mark.parametrize(
    ("costs", "stackelberg", "profit"),
    [
        ((5, 2), (46, 26), 1058),  # both sell
        ((5, 35), (62.5, 1.25), 1953.125),  # the follower little
        ((5, 40), (60, 0), 2100),  # deterred: with a bit less from the leader it would sell
        ((5, 60), (47.5, 0), 2256.25),  # blockaded: the leader does as if it were alone
        ((52, 2), (0, 49), 0),  # the leader stays out, where 51 is the price that the follower would choose alone
        ((50, 2), (1, 48.5), 0.5),
    ],
)
def test_duopolies_in_which_a_firm_stays_out(x64, costs, stackelberg, profit):
    game = CournotDuopoly(100, costs)
    np.testing.assert_allclose(game.stackelberg(), stackelberg, rtol=0, atol=1e-12)
    np.testing.assert_allclose(game.payoffs(*game.stackelberg())[0], profit, rtol=0, atol=1e-9)


def test_constrained_duopolies_golden_values(x64):
    golden = json.loads((Path(__file__).parents[1] / "golden" / "constrained_games.json").read_text())["cournot"]
    deterred = 0
    for entry in golden:
        game = CournotDuopoly(entry["demand"], tuple(entry["costs"]))
        leader, follower = game.stackelberg()
        profit, expected = game.payoffs(leader, follower)[0], (entry["leader"], entry["follower"])
        kept_out = entry["demand"] - entry["costs"][1]
        if abs(entry["leader"] - kept_out) > 1e-5:
            np.testing.assert_allclose((leader, follower), expected, rtol=0, atol=1e-9)
            np.testing.assert_allclose(profit, entry["leader_payoff"], rtol=0, atol=1e-9)
        else:  # A search in one dimension comes no closer to a kink.
            deterred += 1
            assert float(leader) == pytest.approx(kept_out, abs=1e-12) and float(follower) == 0.0
            np.testing.assert_allclose((leader, follower), expected, rtol=0, atol=1e-6)
            assert entry["leader_payoff"] - 1e-9 < profit < entry["leader_payoff"] + 1e-5
    assert len(golden) == 6 and deterred == 2


@pytest.mark.parametrize("index", range(len(GOLDEN["quadratic"]["games"])))
def test_quadratic_golden_values(x64, index):
    entry = GOLDEN["quadratic"]["games"][index]
    game = quadratic(entry)
    terms = gradient.quadratic_terms(entry["Q1"], entry["Q2"], entry["b1"], entry["b2"], 3)
    for name, ours, reference in [
        ("nash", game.nash(), gradient.nash(terms)),
        ("stackelberg", game.stackelberg(), gradient.stackelberg(terms)),
    ]:
        for player, axis in enumerate("xy"):
            np.testing.assert_allclose(ours[player], entry[name][axis], rtol=0, atol=1e-9)
            np.testing.assert_allclose(ours[player], reference[player], rtol=0, atol=1e-9)
        np.testing.assert_allclose(game.payoffs(*ours), (entry[name]["f1"], entry[name]["f2"]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(game.best_response(1, (ours[0], None)), ours[1], rtol=0, atol=1e-9)


def test_the_direction_is_the_transcriptions_and_the_total_derivative(x64):
    entry = GOLDEN["quadratic"]["games"][0]
    rng = np.random.default_rng(0)
    q1, q2 = (np.asarray(entry[q]) + 0.3 * rng.normal(size=(7, 7)) for q in ("Q1", "Q2"))  # not symmetric
    game, terms = (
        Quadratic((q1, q2), (entry["b1"], entry["b2"]), (3, 4)),
        gradient.quadratic_terms(q1, q2, entry["b1"], entry["b2"], 3),
    )
    x, y = rng.normal(size=3), rng.normal(size=4)
    for damping in (0.0, 0.3):
        ours = direction(HierarchicalAscent(1.0, damping=damping), game, 0, (x, y))
        np.testing.assert_allclose(ours, gradient.hierarchical_direction(terms, x, y, damping), rtol=0, atol=1e-10)

    response = game.best_response(1, (x, None))
    total = jax.jit(jax.grad(lambda x: game.payoffs(x, game.best_response(1, (x, None)))[0]))(x)
    np.testing.assert_allclose(direction(HierarchicalAscent(1.0), game, 0, (x, response)), total, rtol=0, atol=1e-10)


def test_three_levels_and_two_followers_golden_values(x64):
    three = quadratic(GOLDEN["three_level"], ((0,), (1,), (2,)))
    np.testing.assert_allclose(np.concatenate(three.stackelberg()), GOLDEN["three_level"]["z"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(three.payoffs(*three.stackelberg()), GOLDEN["three_level"]["f"], rtol=0, atol=1e-9)

    entry = GOLDEN["two_nash_followers"]
    two = quadratic(entry, ((0,), (1, 2)))
    z = two.stackelberg()
    np.testing.assert_allclose(np.concatenate(z), entry["z"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(direction(HierarchicalAscent(1.0), two, 0, z), 0.0, rtol=0, atol=1e-9)
    one_by_one = quadratic(entry, ((0,), (1,), (2,)))  # another hierarchy, for which z isn't an equilibrium
    assert np.max(np.abs(np.concatenate(one_by_one.stackelberg()) - np.concatenate(z))) > 1e-3


def chain(dims, levels=((0,), (1,), (2,))):
    """Small: the program of a chain grows fast with the number of coordinates."""
    rng, d = np.random.default_rng(0), sum(dims)
    Q = [rng.normal(size=(d, d)) / 2 + 2 * np.eye(d) for _ in dims]
    return Quadratic(Q, list(rng.normal(size=(3, d))), dims, levels)


def test_total_derivatives_go_all_the_way_down(x64):
    three = chain((1, 2, 1))
    z = three.stackelberg()
    for player in range(3):
        np.testing.assert_allclose(direction(HierarchicalAscent(1.0), three, player, z), 0.0, rtol=0, atol=1e-8)
    # What a leader sees that takes the middle player for the last one, or everybody for fixed.
    flat = chain((1, 2, 1), ((0,), (1, 2)))
    assert np.max(np.abs(direction(HierarchicalAscent(1.0), flat, 0, z))) > 1e-3
    assert np.max(np.abs(partial_gradient(three, 0, z))) > 1e-3


def test_a_chain_of_learners_finds_its_equilibrium():
    three = chain((1, 1, 1))
    learners = HierarchicalAscent(0.005), HierarchicalAscent(0.03), GradientAscent(0.2)
    run = play(three, *learners, key=jax.random.key(0), rounds=3000, record=Record.final()).raise_if_failed()
    for found, expected in zip(run.strategies, three.stackelberg(), strict=True):
        np.testing.assert_allclose(found[-1], expected, atol=2e-3)


@pytest.mark.parametrize("followers", [1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (7, 9, 50))])
def test_oligopoly(x64, followers):
    game = CournotOligopoly((2.2, *np.linspace(2.0, 2.1, followers)), demand=90.0, slope=0.5)
    nash, stackelberg = game.nash(), game.stackelberg()
    assert np.all(np.isfinite(nash)) and np.all(np.isfinite(stackelberg))
    for i in range(followers + 1):
        np.testing.assert_allclose(partial_gradient(game, i, nash), 0.0, rtol=0, atol=1e-8)
        np.testing.assert_allclose(game.best_response(i, nash), nash[i], rtol=1e-12)
    direction = jax.jit(lambda z: HierarchicalAscent(1.0).direction(game, 0, z))
    np.testing.assert_allclose(direction(stackelberg), 0.0, rtol=0, atol=1e-8)
    np.testing.assert_allclose(partial_gradient(game, 1, stackelberg), 0.0, rtol=0, atol=1e-8)
    assert abs(partial_gradient(game, 0, stackelberg)) > 0.1 and abs(direction(nash)) > 0.1
    if followers == 1:
        duopoly = CournotDuopoly(90.0, (2.2, 2.0), 0.5)
        np.testing.assert_allclose(stackelberg, duopoly.stackelberg())


def test_oligopoly_bad_input():
    for costs in (5.0, (5.0,)):
        with pytest.raises(ValueError, match="costs: expected one unit cost for each of two firms or more"):
            CournotOligopoly(costs)
    with pytest.raises(ValueError, match="costs: expected less than demand"):
        CournotOligopoly((1.0, 2.0, 300.0))
    with pytest.raises(ValueError, match="demand"):
        CournotOligopoly((1.0, 2.0), demand=-1.0)


def test_random_quadratics_are_what_they_say(x64):
    games = Quadratic.random(jax.random.key(0), (2, 3), concavity=0.5, coupling=2.0, batch=50)

    @jax.jit
    @jax.vmap
    def facts(game, stackelberg, nash):
        def response(x):
            return game.best_response(1, (x, None))

        hessian = jax.hessian(lambda x: game.payoffs(x, response(x))[0])(stackelberg[0])
        zeros = {
            "leader": HierarchicalAscent(1.0).direction(game, 0, stackelberg),
            "follower": response(stackelberg[0]) - stackelberg[1],
            "nash": [GradientAscent(1.0).direction(game, player, nash) for player in (0, 1)],
        }
        return zeros, jnp.linalg.eigvalsh(game.Q[1][2:, 2:])[0], jnp.linalg.eigvalsh(hessian)[-1]

    zeros, follower, leader = facts(games, games.stackelberg(), games.nash())
    for zero in jax.tree.leaves(zeros):
        np.testing.assert_allclose(zero, 0.0, atol=1e-8)
    assert (follower > 0.5 - 1e-9).all() and (leader < -0.5 + 1e-6).all()


def test_a_convex_payoff_has_no_best_response():
    game = Quadratic((np.eye(2), -np.eye(2)), (np.ones(2), np.ones(2)), (1, 1))
    assert np.isnan(game.best_response(1, (jnp.ones(1), None))).all()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: CournotDuopoly(demand=-1.0), "demand"),
        (lambda: CournotDuopoly(slope=0.0), "slope"),
        (lambda: CournotDuopoly(costs=(5.0, 200.0)), "costs"),
        (lambda: CournotDuopoly(costs=(5.0,)), "costs"),
        (lambda: Quadratic((np.eye(3), np.eye(2)), (np.ones(3), np.ones(3)), (1, 2)), "Q"),
        (lambda: Quadratic((np.eye(3), np.eye(3)), (np.ones(3), np.full(3, np.nan)), (1, 2)), "b"),
        (lambda: Noisy(CournotDuopoly(), -1.0), "payoff_variance"),
        (lambda: Noisy("duopoly", 1.0), "game"),
    ],
)
def test_bad_games_are_refused_by_the_argument_s_name(make, name):
    with pytest.raises((ValueError, TypeError), match=name):
        make()
