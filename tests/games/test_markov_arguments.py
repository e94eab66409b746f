"""Arguments of Markov games and of their methods: errors that name the argument, and what is taken in other types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import play
from stackjax.equilibria import induced_nash, leaders
from stackjax.games import IteratedMatrixGame, MarkovGame
from stackjax.learners import Fixed

UNIFORM = np.full((2, 2, 2, 2), 0.5)
REWARDS = np.zeros((2, 2, 2, 2))
THREE = np.ones((1, 2, 2, 2, 1)), np.zeros((3, 1, 2, 2, 2))


def game(**options):
    return MarkovGame(UNIFORM, REWARDS, **({"horizon": 2} | options))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MarkovGame(UNIFORM, 3.0, horizon=2), ValueError, r"rewards: expected one array a player \(2\)"),
        (lambda: game(ties=["optimistic"]), ValueError, r"ties: expected one of .* got \['optimistic'\]"),
        (lambda: game(levels=(0, 1)), ValueError, r"levels: expected the players 0 to 1, .* got \(0, 1\)"),
        (lambda: game(levels=3), ValueError, "levels: expected the players 0 to 1, .* got 3"),
        (lambda: game(levels=((0,), (), (1,))), ValueError, "levels: .* at least one a level"),
        (lambda: game(levels=((False,), (True,))), ValueError, "levels: expected the players"),
        (lambda: game(logits=(True,)), ValueError, r"logits: expected players among 0 to 1, got \(True,\)"),
        (lambda: game(sampled="no"), TypeError, "sampled: expected True or False, got 'no'"),
        (lambda: game(clocked=(0, 1)), TypeError, r"clocked\[0\]: expected True or False, got 0"),
        (lambda: game(clocked=(False,)), TypeError, "clocked: expected 2 booleans"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_numpy_s_types_are_taken():
    same = game(clocked=(np.bool_(False), np.bool_(True)), logits=(np.int64(0),), levels=([np.int32(0)], range(1, 2)))
    expected = game(clocked=(False, True), logits=(0,), levels=((0,), (1,)))
    assert jax.tree.structure(same) == jax.tree.structure(expected)
    assert game(sampled=np.bool_(True), levels=np.array([[0], [1]]).tolist()).sampled is True


@pytest.mark.parametrize("player", [-1, 2, 7, True, 1.0])
def test_players_that_there_are_not(player):
    one, policy = game(), np.full((2, 2), 0.5)
    for ask in (
        lambda: one.best_response(player, (policy, policy)),
        lambda: one.model(player),
        lambda: one.policy_shape(player),
        lambda: one.policy(player, policy),
        lambda: one.answer((), player, policy, 0),
    ):
        with pytest.raises(ValueError, match="player: expected 0 to 1, got"):
            ask()
    with pytest.raises(ValueError, match=r"actions: expected one a player \(2\), got 1"):
        one.best_response(1, (policy,))


def test_values_of_many_say_what_they_need():
    one, leader, follower = game(), np.full((2, 2), 0.5), np.full((3, 2, 2, 2), 0.5)
    assert one.values_of_many(leader, (follower,)).shape == (3,)
    clocked, alone = game(clocked=(True, True)), MarkovGame(np.ones((1, 2, 1)), np.zeros((1, 1, 2)), horizon=2)
    for call, message in (
        (lambda: clocked.values_of_many(leader, (follower,)), "leader: expected one without a clock"),
        (lambda: one.values_of_many(leader[:1], (follower,)), r"leader: expected a policy of the shape \[2, 2\]"),
        (lambda: one.values_of_many(leader, ()), "followers: expected as many policies"),
        (lambda: one.values_of_many(leader, (follower[:0],)), "followers: expected as many policies"),
        (lambda: one.values_of_many(leader, (follower[0],)), "followers: .* shapes"),
        (lambda: alone.values_of_many(leader[:1], ()), "followers: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    three, each = MarkovGame(*THREE, discount=0.5), np.full((4, 1, 2), 0.5)
    with pytest.raises(ValueError, match="followers: expected as many policies"):
        three.values_of_many(each[0], (each, each[1:]))


def test_the_numbers_of_observations_make_a_table_of_as_many_rows_as_states():
    """Not of as many as observations, whose square would be 1e10 numbers here."""
    one = MarkovGame(np.ones((1, 2, 1)), np.zeros((1, 1, 2)), horizon=2, observations=([99_999],))
    assert one.observation_counts == (100_000,)
    table = np.asarray(one.observations[0])
    assert table.shape == (1, 100_000) and table.sum() == table[0, -1] == 1
    for many in (10**8, np.iinfo(np.int64).max):
        with pytest.raises(ValueError, match=r"observations\[0\]: expected a table .* of at most 100000000 numbers"):
            MarkovGame(np.ones((1, 2, 1)), np.zeros((1, 1, 2)), horizon=2, observations=([many],))


def test_a_batch_of_games_is_checked_where_it_is_played():
    """Values inside `vmap` are unknown to the constructor: it checks the shapes, and `play` the values."""
    wrong = jnp.stack([UNIFORM, UNIFORM + 0.1])
    games = jax.vmap(lambda moves: MarkovGame(moves, REWARDS, horizon=2))(wrong)
    assert games.transitions.shape == (2, 2, 2, 2, 2)
    learners = Fixed(jnp.full((2, 2), 0.5)), Fixed(jnp.full((2, 2, 2), 0.5))
    with pytest.raises(ValueError, match=r"MarkovGame: transitions: expected rows that sum to 1.*1") as caught:
        play(games, *learners, key=jax.random.key(0), rounds=1, replicates=2, in_axes=(0, None, None))
    assert "0" not in str(caught.value).split("sum to 1")[1]  # the first replicate's are right
    with pytest.raises(ValueError, match=r"rewards\[0\]: expected an array of the shape"):
        jax.vmap(lambda moves: MarkovGame(moves, REWARDS[:, :1], horizon=2))(wrong)


def test_a_repeated_game_takes_the_same_options():
    stage = IteratedMatrixGame.chicken(0.9)
    assert MarkovGame.repeated(stage, clocked=[np.bool_(False)] * 2).clocked == (False, False)


def test_bad_arguments_of_what_is_said_of_a_game():
    one = game()
    for call, error, message in (
        (lambda: induced_nash("x", None), TypeError, "game: expected a stackjax Game, got 'x'"),
        (lambda: leaders.answered_optimum(one, None, rounds=-1), ValueError, "rounds: expected at least 1, got -1"),
        (lambda: leaders.answered_optimum(one, None, rounds=1.5), TypeError, "rounds: expected a whole number"),
        (lambda: leaders.answered_optimum(one, None, step=np.nan), ValueError, "step: expected values in"),
        (lambda: leaders.answered_optimum(one, None, step=np.ones(2)), ValueError, "step: expected a number, got an"),
    ):
        with pytest.raises(error, match=message):
            call()
