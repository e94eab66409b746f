"""What the papers claim of the coupled learners, on small games: who spirals in, who keeps the equilibria, who leaves.

Everything here is deterministic, in float64.
"""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import CournotDuopoly, Hamiltonian, Tandem, ZeroSumPolynomial, ZeroSumQuartic
from stackjax.learners import (
    LOLA,
    CompetitiveGradient,
    ConsensusOptimization,
    Extragradient,
    FollowTheRidge,
    GradientAscent,
    HierarchicalAscent,
    LocalSymplecticSurgery,
    LookAhead,
    OptimisticAscent,
    StableOpponentShaping,
    SymplecticGradientAdjustment,
    Unrolled,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "differentiable_games.json").read_text())
H, ETA = 0.1, 0.2


def field(learners, game, z):
    actions = tuple(z)
    return jnp.stack([learner.direction(game, i, actions) for i, learner in enumerate(learners)])


@eqx.filter_jit
def fields(learners, game, points):
    return jax.vmap(lambda z: field(learners, game, z))(points)


@eqx.filter_jit
def after(learners, game, start, rounds):
    return jax.lax.fori_loop(0, rounds, lambda _, z: z + H * field(learners, game, z), start)


def jacobians(learners, game, points):
    """Central differences of the joint direction, [points, 2, 2]."""
    points, h = np.asarray(points), 1e-6
    shifts = h * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    values = fields(learners, game, jnp.asarray((points[:, None] + shifts).reshape(-1, 2)))
    values = np.asarray(values).reshape(len(points), 4, 2)
    return np.stack([values[:, 0] - values[:, 1], values[:, 2] - values[:, 3]], axis=2) / (2 * h)


@pytest.mark.parametrize(
    ("learner", "squared"),
    [
        (GradientAscent(H), 1 + H**2),
        (LookAhead(H, ETA), (1 - H * ETA) ** 2 + H**2),
        (LOLA(H, ETA, lookahead=False), (1 - H * ETA) ** 2 + H**2),
        (LOLA(H, ETA), (1 - 2 * H * ETA) ** 2 + H**2),
        (ConsensusOptimization(H, 0.5), (1 - H * 0.5) ** 2 + H**2),
        (SymplecticGradientAdjustment(H), (1 - H) ** 2 + H**2),
        (CompetitiveGradient(H), 1 / (1 + H**2)),
        (Extragradient(H), (1 - H**2) ** 2 + H**2),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, eqx.Module) else "",
)
def test_the_rotation_is_left_or_damped_at_the_predicted_rate(x64, learner, squared):
    """The Hamiltonian game, where a step multiplies the distance from the origin by a constant."""
    (M,) = jacobians((learner, learner), Hamiltonian(), [[0.3, -0.2]])
    growth = np.abs(np.linalg.eigvals(np.eye(2) + H * M)) ** 2
    np.testing.assert_allclose(growth, squared, rtol=1e-7)
    assert (growth < 1).all() != isinstance(learner, GradientAscent)


def test_shaping_damps_the_rotation_with_a_longer_look_ahead(x64):
    """Look-ahead and LOLA need eta > step / 2, and step / 4 with both terms, about."""
    for learner, inwards in ((LookAhead(H, 0.04), False), (LookAhead(H, 0.06), True), (LOLA(H, 0.03), True)):
        (M,) = jacobians((learner, learner), Hamiltonian(), [[0.3, -0.2]])
        assert (np.abs(np.linalg.eigvals(np.eye(2) + H * M)) < 1).all() == inwards


def test_optimism_spirals_in_and_surgery_stands_still(x64):
    start = jnp.asarray(0.6), jnp.asarray(0.8)
    options = {"key": jax.random.key(0), "rounds": 400, "start": start, "record": Record.final(payoffs=None)}
    norm = lambda trace: float(np.hypot(trace.strategies[0][-1], trace.strategies[1][-1]))  # noqa: E731  (used twice)
    assert norm(play(Hamiltonian(), *[OptimisticAscent(H)] * 2, **options)) < 0.2
    assert norm(play(Hamiltonian(), *[GradientAscent(H)] * 2, **options)) > 5
    # The symmetric part of the Jacobian, all that surgery leaves, is 0.
    (direction,) = fields([LocalSymplecticSurgery(H)] * 2, Hamiltonian(), jnp.array([[0.6, 0.8]]))
    assert np.abs(direction).max() < 1e-3


#: Learners, and where x + y ends in the tandem game.
TANDEM = [
    (GradientAscent(H), 1.0),
    (LookAhead(H, 0.1), 1.0),
    (StableOpponentShaping(H, 0.1), 1.0),
    (ConsensusOptimization(H, 0.1), 1.0),
    (SymplecticGradientAdjustment(H), 1.0),
    (CompetitiveGradient(H), 1.0),
    (Extragradient(H), 1.0),
    (LocalSymplecticSurgery(H), 1.0),
    (LOLA(H, 0.1), 0.8 / 0.6),
]


@pytest.mark.parametrize(("learner", "total"), TANDEM, ids=[type(learner).__name__ for learner, _ in TANDEM])
def test_only_lola_misses_the_equilibria_of_the_tandem_game(x64, learner, total):
    """It ends at x + y = (1 - 2 eta) / (1 - 4 eta), where both get less ("arrogance", Letcher et al., 2019)."""
    z = after((learner, learner), Tandem(), jnp.array([0.9, -0.3]), 500)
    np.testing.assert_allclose(z.sum(), total, atol=1e-4)
    paid = sum(Tandem().payoffs(*z))
    assert abs(paid) < 1e-3 if total == 1 else paid < -0.5


def test_lola_diverges_in_the_tandem_game_where_it_looks_far_ahead(x64):
    z = after((LOLA(H, 0.3),) * 2, Tandem(), jnp.array([0.9, -0.3]), 500)
    assert abs(float(z.sum())) > 1e3


def test_what_the_stackelberg_equilibrium_that_is_no_nash_equilibrium_attracts(x64):
    """The origin of the quartic zero-sum game: all but surgery settle there, and along the ridge nothing turns."""
    game, origin = ZeroSumQuartic(), [[0.0, 0.0]]
    for learner in (
        GradientAscent(H),
        ConsensusOptimization(H),
        SymplecticGradientAdjustment(H),
        CompetitiveGradient(H),
        Extragradient(H),
        LookAhead(H, 0.1),
        StableOpponentShaping(H, 0.1),
    ):
        (M,) = jacobians((learner, learner), game, origin)
        assert np.linalg.eigvals(M).real.max() < -0.1, learner
    (J,) = jacobians((GradientAscent(H),) * 2, game, origin)
    (M,) = jacobians((LocalSymplecticSurgery(H),) * 2, game, origin)
    np.testing.assert_allclose(M, J + J.T, atol=1e-6)  # Mazumdar et al. (2019): the symmetric part is left
    assert np.linalg.eigvalsh(M).max() > 1
    (M,) = jacobians((GradientAscent(H), FollowTheRidge(H, total=False)), game, origin)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(M)), [-2.0, -1.0], atol=1e-6)
    assert np.linalg.eigvals(J).imag.any()


def test_surgery_finds_nash_and_the_ridge_stackelberg_equilibria_and_no_others(x64):
    """Nine critical points of a zero-sum game: 2 Nash and Stackelberg equilibria, 2 Stackelberg ones, 5 neither."""
    game, critical = ZeroSumPolynomial(), GOLDEN["zero_sum_fiez2020"]["critical"]
    points = np.array([[e["x"][0], e["y"][0]] for e in critical])
    for learners, kind, count in (
        ((LocalSymplecticSurgery(H),) * 2, "differential_nash", 2),
        ((GradientAscent(H), FollowTheRidge(H, total=False)), "differential_stackelberg", 4),
    ):
        assert sum(e[kind] for e in critical) == count
        np.testing.assert_allclose(fields(learners, game, jnp.asarray(points)), 0.0, atol=1e-7)
        spectra = np.linalg.eigvals(jacobians(learners, game, points))
        assert np.abs(spectra.imag).max() < 1e-3  # nothing turns
        assert (spectra.real.max(axis=1) < 0).tolist() == [e[kind] for e in critical]


def test_unrolling_to_the_best_response_is_the_total_derivative(x64):
    """A step of half the inverse curvature is the duopoly follower's best response; a shorter one isn't."""
    game = CournotDuopoly()
    x, y = (jnp.asarray(a) for a in game.stackelberg())
    for learner, expected in (
        (Unrolled(H, 0.5, 1), 0.0),
        (Unrolled(H, 0.1, 60), 0.0),
        (Unrolled(H, 0.1, 1), HierarchicalAscent(H).direction(game, 0, (x, y)) - (0.5 - 0.1) * x),
    ):
        np.testing.assert_allclose(learner.direction(game, 0, (x, y)), expected, atol=1e-3)


def test_a_few_unrolled_steps_end_between_nash_and_stackelberg(x64):
    """The duopoly in closed form: the follower's slope -1/2 is seen but for a factor 1 - (1 - 2 step)^depth.

    So neither simultaneous ascent (none of it) nor K differentiated steps find the commitment, and the implicit
    gradient does.
    """
    game, step = CournotDuopoly(100.0, (5.0, 2.0)), 0.1

    def ends(leader):
        record = Record.final(payoffs=None)
        learners = leader, GradientAscent(step)
        start = (jnp.asarray(10.0), jnp.asarray(10.0))
        return float(
            play(game, *learners, key=jax.random.key(0), rounds=3000, start=start, record=record).actions[0][-1]
        )

    np.testing.assert_allclose(ends(GradientAscent(0.02)), game.nash()[0], atol=1e-8)
    for depth in (1, 3, 10):
        seen = 1 - (1 - 2 * step) ** depth
        np.testing.assert_allclose(ends(Unrolled(0.02, step, depth)), 46 / (1.5 - 0.5 * seen), atol=1e-8)
    np.testing.assert_allclose(ends(HierarchicalAscent(0.02)), game.stackelberg()[0], atol=1e-8)
