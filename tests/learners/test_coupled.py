"""The coupled learners against dense NumPy transcriptions of their papers, which know nothing of stackjax.

Games are random polynomials of degree four, general-sum, with d1 different from d2: any transpose, any block of another
player's Hessian and any derivative taken along that should be held fixed shows. The leader's action is a pytree.
"""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import IteratedMatrixGame
from stackjax.learners import (
    LOLA,
    CompetitiveGradient,
    ConsensusOptimization,
    Extragradient,
    FollowTheRidge,
    LocalSymplecticSurgery,
    LookAhead,
    OptimisticAscent,
    StableOpponentShaping,
    SymplecticGradientAdjustment,
    Unrolled,
)
from stackjax.spaces import Box
from tests.learners.polynomial_games import THREE, TWO, actions_of, case, directions, game_of
from tests.transcriptions import coupled

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "differentiable_games.json").read_text())
ETA, STEP = 0.3, 0.2

#: Learner; rule, and its options.
RULES = {
    "LOLA": (LOLA(STEP, ETA), coupled.lola, {"eta": ETA}),
    "LOLA, shaping": (LOLA(STEP, ETA, lookahead=False), coupled.lola_shaping, {"eta": ETA}),
    "LookAhead": (LookAhead(STEP, ETA), coupled.look_ahead, {"eta": ETA}),
    "SOS": (StableOpponentShaping(STEP, ETA), coupled.sos, {"eta": ETA}),
    "SOS, bold": (StableOpponentShaping(STEP, ETA, a=0.9, b=0.8), coupled.sos, {"eta": ETA, "a": 0.9, "b": 0.8}),
    "consensus": (ConsensusOptimization(STEP, 0.7), coupled.consensus, {"weight": 0.7}),
    "SGA": (SymplecticGradientAdjustment(STEP), coupled.sga, {}),
    "SGA, not aligned": (
        SymplecticGradientAdjustment(STEP, weight=0.7, align=False),
        coupled.sga,
        {"weight": 0.7, "align": False},
    ),
    "competitive": (CompetitiveGradient(STEP), coupled.competitive, {"eta": STEP}),
    "extragradient": (Extragradient(STEP), coupled.extragradient, {"step": STEP}),
    "optimistic": (OptimisticAscent(STEP), coupled.optimistic, {}),
    "surgery": (LocalSymplecticSurgery(STEP), coupled.surgery, {}),
    "surgery, strong": (LocalSymplecticSurgery(STEP, xi1=0.3, xi2=0.2), coupled.surgery, {"xi_1": 0.3, "xi_2": 0.2}),
}


@pytest.mark.parametrize("name", RULES)
def test_direction_is_the_papers(x64, name):
    learner, rule, options = RULES[name]
    costs, points = case(TWO)
    game = game_of(costs)
    for z in points:
        ours = directions(learner, game, actions_of(z, TWO), (0, 1))
        np.testing.assert_allclose(ours, coupled.ascent(rule, costs, z, **options), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "name",
    ["LOLA", "SOS", "SGA", "surgery"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("LookAhead", "consensus", "extragradient")],
)
def test_direction_among_three_players(x64, name):
    """A leader and two followers, whom these rules take for players like any other."""
    learner, rule, options = RULES[name]
    costs, points = case(THREE)
    game = game_of(costs)
    for z in points:
        ours = directions(learner, game, actions_of(z, THREE), (0, 1, 2))
        np.testing.assert_allclose(ours, coupled.ascent(rule, costs, z, **options), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dims", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("depth", [1, 4])
def test_unrolled_is_the_papers(x64, dims, depth):
    costs, points = case(dims)
    game, learner = game_of(costs), Unrolled(STEP, 0.05, depth)
    for z in points:
        ours = directions(learner, game, actions_of(z, dims), (0,))
        expected = coupled.ascent(coupled.unrolled, costs, z, eta=0.05, depth=depth)
        np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


def test_unrolled_last_players_follow_their_gradient(x64):
    """Nobody is left to unroll."""
    costs, points = case(TWO)
    ours = directions(Unrolled(STEP, 0.05, 4), game_of(costs), actions_of(points[1], TWO), (1,))
    np.testing.assert_allclose(ours, -costs.xi(points[1])[3:], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("total", [True, False])
def test_follow_the_ridge_is_the_papers(x64, total):
    costs, points = case(TWO)
    for learner, ratio in (
        (FollowTheRidge(STEP, total=total), 1.0),
        (FollowTheRidge(STEP, leader_step=0.05, total=total), 0.25),
    ):
        for z in points:
            ours = directions(learner, game_of(costs), actions_of(z, TWO), (1,))
            expected = coupled.ascent(coupled.follow_the_ridge, costs, z, ratio=ratio, total=total)
            np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


def test_follow_the_ridge_of_two_followers(x64):
    """Both at once, by the joint Jacobian of their gradients, which is not symmetric."""
    costs, points = case(THREE)
    for z in points:
        ours = directions(FollowTheRidge(STEP), game_of(costs), actions_of(z, THREE), (1, 2))
        expected = coupled.ascent(coupled.follow_the_ridge, costs, z)
        np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


def test_the_points_tell_the_branches_apart():
    """Stable opponent shaping at p1 = 1, p1 < 1 and p2 < 1; both signs of the symplectic adjustment."""
    for costs, points in map(case, (TWO, THREE)):
        weights = np.array([coupled.sos_weights(costs, z, ETA) for z in points])
        assert (weights[:, 0] == 1).any() and (weights[:, 0] < 1).any(), weights
        assert (weights[:, 1] == 1).any() and (weights[0, 1] < weights[0, 0]), weights
        assert {coupled.sga_sign(costs, z) for z in points} == {-1.0, 1.0}
        moved = [np.abs(coupled.surgery(costs, z) - coupled.surgery(costs, z, 0.0, 0.0)).max() for z in points]
        assert max(moved) > 1e-4, moved


def test_transcriptions_are_derivatives_of_what_they_say():
    """Against central differences of the functions that the papers differentiate."""
    costs, points = case(TWO)
    z, h, eta = points[1], 1e-5, 1e-3
    x, y = costs.own

    def difference(f, where):
        basis = np.eye(len(z))[where]
        return np.array([(f(z + h * e) - f(z - h * e)) / (2 * h) for e in basis])

    for i, (own, other) in enumerate(((x, y), (y, x))):

        def shaped(at, eta, held=None, i=i, other=other):
            """L_i where the other has taken a step from `at`, or from there with its gradient `held`."""
            after = at.copy()
            after[other] -= eta * (costs.xi(at)[other] if held is None else held)
            return costs.value(i, after)

        slope = [difference(lambda at, e=e: shaped(at, e), own) for e in (eta, -eta)]
        full = coupled.lola(costs, z, 1.0) - costs.xi(z)
        np.testing.assert_allclose((slope[0] - slope[1]) / (2 * eta), full[own], rtol=1e-4, atol=1e-4)
        fixed = costs.xi(z)[other]
        slope = [difference(lambda at, e=e, fixed=fixed: shaped(at, e, fixed), own) for e in (eta, -eta)]
        ahead = coupled.look_ahead(costs, z, 1.0) - costs.xi(z)
        np.testing.assert_allclose((slope[0] - slope[1]) / (2 * eta), ahead[own], rtol=1e-4, atol=1e-4)

    def after_unrolling(at):
        at = at.copy()
        for _ in range(3):
            at[y] -= 0.05 * costs.gradient(1, at)[y]
        return costs.value(0, at)

    np.testing.assert_allclose(
        coupled.unrolled(costs, z, 0.05, 3), difference(after_unrolling, x), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        coupled.consensus(costs, z, 2.0) - costs.xi(z),
        difference(lambda at: costs.xi(at) @ costs.xi(at), slice(None)),
        rtol=1e-6,
        atol=1e-6,
    )
    # Competitive: each minimises its part of the bilinear game whose Nash equilibrium the step is.
    dx, dy = np.split(-STEP * coupled.competitive(costs, z, STEP), [3])
    f_xy, g_yx = costs.hessian(0, z)[x, y], costs.hessian(1, z)[y, x]
    np.testing.assert_allclose(costs.gradient(0, z)[x] + f_xy @ dy + dx / STEP, 0.0, atol=1e-10)
    np.testing.assert_allclose(costs.gradient(1, z)[y] + g_yx @ dx + dy / STEP, 0.0, atol=1e-10)


@pytest.mark.parametrize("name", ["ipd", "imp"])
def test_lola_golden_terms(x64, name):
    golden = {k: np.array(v) for k, v in GOLDEN[name].items() if k not in ("desc", "damping_convention")}
    game = IteratedMatrixGame(golden["R1"], golden["R2"], float(golden["gamma"]))
    actions = jnp.asarray(golden["x"]), jnp.asarray(golden["y"])
    for learner, terms in (
        (LOLA(1.0, 2.0, lookahead=False), golden["lola_shaping"]),
        (LookAhead(1.0, 2.0), golden["lola_lookahead"]),
    ):
        ours = directions(learner, game, actions, (0,))
        np.testing.assert_allclose(ours, golden["grad_x_f1"] + 2.0 * terms, rtol=0, atol=1e-10)


def test_extragradient_projects_its_half_step(x64):
    costs, points = case(TWO)
    low, high = -0.2, 0.25
    spaces = Box(low, high, (3,)), Box(low, high, (2,))
    z = np.clip(points[1], low, high)
    half = z - 0.5 * costs.xi(z)
    assert ((half[:3] < low) | (half[:3] > high)).any() and ((half[3:] < low) | (half[3:] > high)).any()
    expected = coupled.ascent(coupled.extragradient, costs, z, step=0.5, project=lambda z: np.clip(z, low, high))
    actions = jnp.asarray(z[:3]), jnp.asarray(z[3:])
    ours = directions(Extragradient(0.5), game_of(costs, spaces), actions, (0, 1))
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("learner", "rule", "options", "players"),
    [
        (CompetitiveGradient(0.05), coupled.competitive, {"eta": 0.05}, (0, 1)),
        (LocalSymplecticSurgery(0.05, xi1=0.3, xi2=1e-3), coupled.surgery, {"xi_1": 0.3, "xi_2": 1e-3}, (0, 1)),
        (FollowTheRidge(0.05), coupled.follow_the_ridge, {}, (1,)),
    ],
    ids=["competitive", "surgery", "ridge"],
)
def test_large_systems_are_solved_too(x64, learner, rule, options, players):
    """Sizes at which no matrix is formed."""
    rng = np.random.default_rng(3)
    costs = coupled.random_costs(rng, (70, 66), bowl=40.0)
    z = 0.1 * rng.normal(size=136)
    ours = directions(learner, game_of(costs), actions_of(z, (70, 66)), players)
    np.testing.assert_allclose(ours, coupled.ascent(rule, costs, z, **options), rtol=1e-8, atol=1e-8)
