"""Where commitments that are too short lead, against closed forms and against Hi-C itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.equilibria import commitment_for, short_commitment_point
from stackjax.games import CournotDuopoly, Quadratic, StackelbergBandit, from_payoffs
from stackjax.learners import GradientAscent, HiC
from stackjax.schedules import PowerLaw
from stackjax.spaces import Box, Euclidean

DUOPOLY = CournotDuopoly()
LINE = (Euclidean(()),) * 2


@pytest.mark.parametrize(("step", "k"), [(0.05, 1), (0.05, 5), (0.05, 20), (0.1, 3), (0.25, 2), (0.5, 2), (0.7, 3)])
def test_the_duopoly_s_points_are_those_of_the_closed_form(step, k):
    """R = -1/2 and C = 2: 95 - 2x - y + lag x / 2 = 0 and y = (98 - x) / 2."""
    lag = 1 - (1 - 2 * step) ** (k - 1)
    found = short_commitment_point(DUOPOLY, k, step)
    x = 46 / (1.5 - lag / 2)
    np.testing.assert_allclose(found.actions, (x, (98 - x) / 2), rtol=1e-12)
    assert found.distance == pytest.approx(abs(x - 46), abs=1e-9) and found.residual < 1e-9


def test_one_round_is_nash_and_many_are_stackelberg():
    game = Quadratic.random(jax.random.key(2), (2, 3))
    nash, stackelberg = game.critical_points()
    for k, point in ((1, nash), (5000, stackelberg)):
        found = short_commitment_point(game, k, 0.1)
        for a, b in zip(found.actions, point, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_hi_c_goes_there_in_several_dimensions():
    """60 replicates without payoff noise; the signs alone are random. Standard errors of the means are .0003, the
    tolerance is 30 of them (perturbations are still .09). Nash is .17 away in the first coordinate, Stackelberg .29."""
    game = Quadratic.random(jax.random.key(5), (2, 2))
    point = short_commitment_point(game, 3, 0.15)
    leader = HiC(PowerLaw(1.0, 1.0, offset=20.0), PowerLaw(0.5, 1 / 6), 3)
    trace = play(
        game, leader, GradientAscent(0.15), key=jax.random.key(0), rounds=30_000, replicates=60, record=Record.final()
    ).raise_if_failed()
    found = np.asarray(trace.strategies[0][:, -1])
    np.testing.assert_allclose(found.mean(0), point.actions[0], atol=0.01)


@pytest.mark.parametrize(("step", "distance"), [(0.25, 0.1), (0.05, 1.0), (0.5, 1e-6), (0.25, 9.0)])
def test_the_shortest_commitment_that_is_near_enough(step, distance):
    k = commitment_for(DUOPOLY, step, distance)
    assert short_commitment_point(DUOPOLY, k, step).distance <= distance
    assert k == 2 or short_commitment_point(DUOPOLY, k - 1, step).distance > distance


def test_what_cannot_be_said_is_an_error():
    with pytest.raises(ValueError, match=r"^follower_step: with 1.5 the follower doesn't settle"):
        short_commitment_point(DUOPOLY, 3, 1.5)
    with pytest.raises(ValueError, match=r"^follower_step: .*curvatures \(-2\)"):
        short_commitment_point(
            from_payoffs(lambda x, y: -(x**2) + x * y, lambda x, y: y**2, spaces=LINE), 3, 0.1, (0.0, 0.0)
        )
    with pytest.raises(ValueError, match=r"^near: commitments of inf rounds rest at the point .* lead away"):
        hilltop = from_payoffs(lambda x, y: x**2 + y, lambda x, y: -((y - x**2) ** 2), spaces=LINE)  # a minimum of V
        short_commitment_point(hilltop, 3, 0.1, (0.1, 0.0))
    with pytest.raises(ValueError, match=r"^game: expected no constraints"):
        held = (None, lambda x, y: y - 0.1)
        bound = from_payoffs(
            lambda x, y: -(x**2) + x * y, lambda x, y: -((y - x - 1) ** 2), spaces=LINE, inequalities=held
        )
        short_commitment_point(bound, 3, 0.1, (0.0, 0.0))
    with pytest.raises(ValueError, match=r"^game: commitments of .* rounds lead to a bound"):
        bounded = from_payoffs(lambda x, y: -((x - 2) ** 2) + y, lambda x, y: -((y - x) ** 2), spaces=(Box(0, 1),) * 2)
        short_commitment_point(bounded, 3, 0.1, (0.5, 0.5))
    with pytest.raises(ValueError, match=r"^near: no point"):
        endless = from_payoffs(lambda x, y: jnp.exp(x) + y, lambda x, y: -((y - x) ** 2), spaces=LINE)
        short_commitment_point(endless, 3, 0.1, (0.0, 0.0))
    with pytest.raises(ValueError, match=r"^near: expected a joint action"):
        short_commitment_point(from_payoffs(lambda x, y: -(x**2), lambda x, y: -(y**2), spaces=LINE), 3, 0.1)
    with pytest.raises(ValueError, match=r"^game: expected a leader and one follower"):
        short_commitment_point(from_payoffs(*[lambda *z: -(z[0] ** 2)] * 3, spaces=(*LINE, LINE[0])), 3, 0.1)
    with pytest.raises(ValueError, match=r"^game: expected actions to differentiate by"):
        short_commitment_point(StackelbergBandit(np.eye(2), np.eye(2)), 3, 0.1)
    with pytest.raises(ValueError, match=r"^distance: 3 rounds aren't enough"):
        commitment_for(DUOPOLY, 0.01, 0.1, longest=3)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"commitment": 0}, "^commitment: "),
        ({"commitment": 2.0}, "^commitment: "),
        ({"follower_step": 0.0}, "^follower_step: "),
        ({"follower_step": jnp.ones(2)}, "^follower_step: expected a number"),
        ({"near": (0.0,)}, "actions"),
    ],
)
def test_wrong_arguments_are_named(wrong, match):
    with pytest.raises((ValueError, TypeError), match=match):
        short_commitment_point(**{"game": DUOPOLY, "commitment": 3, "follower_step": 0.1, **wrong})
