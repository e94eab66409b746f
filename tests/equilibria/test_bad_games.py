"""Games without proper levels or derivatives are refused by name; the implicit gradient's solve is reported."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.equilibria import certify, find, implicit_gradient
from stackjax.games import from_payoffs
from stackjax.games.bandit_instances import etc_failure
from stackjax.solvers import CG
from stackjax.spaces import Euclidean

KEY = jax.random.key(0)


@pytest.mark.parametrize("use", [certify, find, implicit_gradient], ids=lambda use: use.__name__)
@pytest.mark.parametrize("levels", [((0,),), ((0,), (0,)), ((1,), (0,)), ((0,), (), (1,)), ((0,), (1, 2))], ids=str)
def test_levels_have_every_player_once_and_in_order(levels, use):
    game = from_payoffs(lambda x, y: -x * x, lambda x, y: -y * y, spaces=(Euclidean(()), Euclidean(())), levels=levels)
    arguments = (KEY,) if use is find else (1.0, 2.0)
    with pytest.raises(ValueError, match=r"^levels: expected the players 0 to 1, one for each space, in order of play"):
        use(game, *arguments)


@pytest.mark.parametrize("use", [certify, find, implicit_gradient], ids=lambda use: use.__name__)
def test_a_game_is_a_game(use):
    with pytest.raises(TypeError, match=r"^game: expected a stackjax Game, got 'duopoly'"):
        use("duopoly", KEY)


def follower_of_four(x, y):
    return -jnp.sum(jnp.arange(1.0, 5.0) * y**2) + x * jnp.sum(y)


PAIR = from_payoffs(lambda x, y: -(x**2) + jnp.sum(y), follower_of_four, spaces=(Euclidean(()), Euclidean((4,))))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ((1.0,), r"actions: expected one a player \(2\), got 1"),
        ((np.ones(3), np.ones(4)), r"actions: player 0: expected an action of shape \(\), got \(3,\)"),
        ((1.0, np.ones(5)), r"actions: player 1: expected an action of shape \(4,\), got \(5,\)"),
    ],
)
def test_actions_have_the_shapes_of_their_spaces(actions, message):
    with pytest.raises(ValueError, match=message):
        implicit_gradient(PAIR, *actions)


def test_arms_have_no_gradient():
    with pytest.raises(ValueError, match="game: expected actions to differentiate by, player 0 chooses from Arms"):
        implicit_gradient(etc_failure(), 0, 1)


def test_an_iteration_cap_that_was_reached_is_reported():
    """The follower answers x with x / (2, 4, 6, 8), so that D = -2 x + 1/2 + 1/4 + 1/6 + 1/8."""
    told = eqx.filter_jit(lambda cap: implicit_gradient(PAIR, 1, np.ones(4), solver=CG(1e-5, cap), report=True))
    capped, enough = told(jnp.int32(1)), told(jnp.int32(100))
    assert capped[1]["iterations"] == 1 and capped[1]["residual"] > 1e-2
    assert enough[1]["iterations"] <= 5 and enough[1]["residual"] <= 1e-5
    np.testing.assert_allclose(enough[0], -2 + 25 / 24, rtol=1e-4)
    last = implicit_gradient(PAIR, 1, np.ones(4), player=1, report=True)
    np.testing.assert_allclose(last[0], 1 - 2 * np.arange(1.0, 5.0), rtol=1e-6)
    assert last[1] == {"iterations": 0, "residual": 0, "weakly_active": 0}
