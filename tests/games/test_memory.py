"""Players who remember: the same payoffs for who doesn't heed it, and best responses to who does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import IteratedMatrixGame, MarkovGame, with_memory

DILEMMA = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=4)


def test_a_memory_of_what_the_states_say_already_changes_nothing():
    game, states = with_memory(DILEMMA, 1)
    assert [state for state, _ in states] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(game.transitions, DILEMMA.transitions)
    np.testing.assert_array_equal(game.rewards, DILEMMA.rewards)
    assert states[3] == (3, ((1, 0),))


@pytest.mark.parametrize("discounted", [False, True])
def test_who_does_not_heed_it_is_paid_the_same(discounted):
    """Random games with random observations, in which unreachable states are left out."""
    rng = np.random.default_rng(0)
    moves = rng.dirichlet(np.ones(3), size=(3, 2, 3))
    moves[:, :, 0] = np.eye(3)[0]  # some histories lead to one state only
    seen = rng.dirichlet(np.ones(2), size=3)
    time = {"discount": 0.7} if discounted else {"horizon": 3}
    game = MarkovGame(moves, rng.normal(size=(2, 3, 2, 3)), [0.5, 0.5, 0.0], observations=(seen, None), **time)
    more, states = with_memory(game, 2)
    assert len(states) < 3 * (1 + 6 + 36)
    leader, follower = (rng.dirichlet(np.ones(n), size=game.policy_shape(i)[:-1]) for i, n in enumerate((2, 3)))
    old = np.array([state for state, _ in states])
    # The leader's observations in the order of the states in which they come first.
    places, history = [], {}
    for _, past in states:
        for o in range(2):
            if (o, past) not in history:
                history[o, past] = len(places)
                places.append(o)
    assert more.observation_counts[0] == len(places)
    ours = more.values(jnp.asarray(leader[places]), jnp.asarray(np.take(follower, old, axis=-2)))
    theirs = game.values(jnp.asarray(leader), jnp.asarray(follower))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_best_response_to_two_tats_is_that_of_a_search_over_all_histories():
    """A leader who defects only after two defections in a row, against a recursion over what happened."""
    game, states = with_memory(DILEMMA, 2)
    tats = [len(past) == 2 and all(b == 1 for _, b in past) for _, past in states]
    leader = jax.nn.one_hot(jnp.array(tats, jnp.int32), 2)
    paid = np.asarray(DILEMMA.rewards[1][0])

    @functools.cache
    def best(past, left):
        if left == 0:
            return 0.0
        a = int(len(past) >= 2 and past[-1] == past[-2] == 1)
        return max(paid[a, b] + best((*past, b), left - 1) for b in (0, 1))

    response = game.best_response(1, (leader, None))
    assert float(game.values(leader, response)[1]) == pytest.approx(best((), 4) / 4, abs=1e-6)
    assert best((), 4) / 4 > -1  # more than mutual silence: it exploits the patience


def test_bad_input():
    with pytest.raises(TypeError, match="game: expected a MarkovGame"):
        with_memory(IteratedMatrixGame.chicken(), 1)
    with pytest.raises(ValueError, match="steps: expected at least 1, got 0"):
        with_memory(DILEMMA, 0)
    with pytest.raises(ValueError, match=r"steps: a memory of 9 leads to more than \d+ states, .* 4 joint actions"):
        with_memory(DILEMMA, 9)
    with pytest.raises(ValueError, match="game: expected known numbers"):
        jax.jit(lambda r: with_memory(MarkovGame(DILEMMA.transitions, r, horizon=2), 1).game.rewards)(DILEMMA.rewards)
