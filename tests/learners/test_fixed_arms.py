"""Learners that don't learn, in games of arms: fixed arms, best responses, and where they start."""

import jax
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import StackelbergBandit
from stackjax.learners import BestResponse, EpsilonGreedy, Fixed

KEY = jax.random.key(3)
MEANS = np.random.default_rng(0).uniform(size=(2, 3, 4)).astype(np.float32)
GAME = StackelbergBandit(*MEANS, sigma=0.5)


def test_fixed_arms_and_best_responses():
    trace = play(GAME, Fixed(2), BestResponse(), key=KEY, rounds=5, replicates=2, record=Record.every(5))
    best = MEANS[1][2].argmax()
    assert np.unique(trace.actions[1]) == best and np.unique(trace.strategies[1]) == best
    assert trace.visits[0, -1, 2, best] == 5
    assert trace.calls[1].solves[0, -1] == 5


def test_a_best_response_searches_the_arms_of_a_game_without_a_closed_form():
    class Plain(StackelbergBandit):
        def best_response(self, player, actions):
            return None

    trace = play(
        Plain(*MEANS), EpsilonGreedy(1.0), BestResponse(), key=KEY, rounds=12, replicates=3, record=Record.every(1)
    )
    a, b = trace.actions
    np.testing.assert_array_equal(b, MEANS[1].argmax(1)[np.asarray(a)])


@pytest.mark.parametrize("arm", [3, -1, 0.5, np.nan], ids=str)
def test_a_fixed_arm_is_one_of_the_arms(arm):
    with pytest.raises(ValueError, match="player 0, Fixed: action: it lies outside the space"):
        play(GAME, Fixed(arm), Fixed(0), key=KEY, rounds=1)


def test_a_start_is_an_arm():
    start = (None, 3)
    trace = play(GAME, Fixed(0), BestResponse(), key=KEY, rounds=1, start=start, record=Record.final())
    assert trace.actions[1].dtype == np.int32
    with pytest.raises(ValueError, match="start: player 1: the action lies outside its space Arms"):
        play(GAME, Fixed(0), BestResponse(), key=KEY, rounds=1, start=(None, 4))
    with pytest.raises(TypeError, match="start: player 1: expected whole numbers"):
        play(GAME, Fixed(0), BestResponse(), key=KEY, rounds=1, start=(None, 0.5))
