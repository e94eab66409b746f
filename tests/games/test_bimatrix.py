"""Bimatrix games over logits: expected payoffs, what the logits leave open, play, and bad matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games.bimatrix import Bimatrix
from stackjax.learners import Fixed, GradientAscent

KEY = jax.random.key(0)
DILEMMA = Bimatrix([[-1, -3], [0, -2]], [[-1, 0], [-3, -2]])


def random_game(rows=3, columns=4):
    U1, U2 = np.random.default_rng(0).normal(size=(2, rows, columns))
    return Bimatrix(U1, U2), U1, U2


def test_payoffs_are_expectations(x64):
    game, U1, U2 = random_game()
    x, y = jnp.array([0.3, -2.0, 1.0]), jnp.array([0.0, 5.0, -0.5, 1.5])
    p, q = (np.exp(z) / np.exp(z).sum() for z in (x, y))
    joint = np.outer(p, q)
    payoffs, gradient = jax.jit(lambda x: (game.payoffs(x, y), jax.grad(lambda x: game.payoffs(x, y)[0])(x)))(x)
    np.testing.assert_allclose(payoffs, ((joint * U1).sum(), (joint * U2).sum()), rtol=0, atol=1e-14)
    np.testing.assert_allclose(gradient, p * (U1 @ q - p @ U1 @ q), rtol=0, atol=1e-14)
    for ours, expected in zip(game.strategies(x, y), (p, q), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-15)


def test_the_leader_chooses_rows_and_actions_are_logits():
    game, _, _ = random_game()
    assert [space.struct(jnp.float32).shape for space in game.spaces] == [(3,), (4,)]
    assert game.levels == ((0,), (1,))
    alone = Bimatrix([[5, 7]], [[1, 2]])  # a leader without a choice
    assert [float(f) for f in alone.payoffs(jnp.zeros(1), jnp.array([0.0, 200.0]))] == [7, 2]


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_logits_of_mixed_strategies(name, request):
    if name == "float64":
        request.getfixturevalue("x64")
    game, _, _ = random_game()
    p, q = [0.25, 0.0, 0.75], [0.0, 1.0, 0.0, 0.0]
    logits = game.logits(p, q)
    assert all(bool(space.contains(z)) and z.dtype == name for space, z in zip(game.spaces, logits, strict=True))
    for back, given in zip(game.strategies(*logits), (p, q), strict=True):
        np.testing.assert_allclose(back, given, rtol=0, atol=2 * jnp.finfo(name).eps)
    assert {payoff.dtype for payoff in game.payoffs(*logits)} == {jnp.dtype(name)}


def test_no_joint_action_is_a_differential_equilibrium(x64):
    """All logits of a player can be shifted together, and a player's payoff is flat where the other makes it so."""
    game, _, _ = random_game()

    @jax.jit
    def facts(game, x, y):
        shifted = game.payoffs(x + 3.0, y - 2.0)
        hessians = [jax.hessian(lambda *z, i=i: game.payoffs(*z)[i], argnums=i)(x, y) for i in (0, 1)]
        return shifted, game.payoffs(x, y), hessians, jax.grad(lambda x: game.payoffs(x, y)[0])(x)

    x, y = jnp.array([0.3, -2.0, 1.0]), jnp.array([0.0, 5.0, -0.5, 1.5])
    shifted, payoffs, hessians, _ = facts(game, x, y)
    np.testing.assert_allclose(shifted, payoffs, rtol=0, atol=1e-14)
    for hessian in hessians:
        np.testing.assert_allclose(hessian.sum(axis=1), 0.0, atol=1e-14)
    pennies = Bimatrix([[1, -1], [-1, 1]], [[-1, 1], [1, -1]])
    _, _, hessians, gradient = facts(pennies, *pennies.logits([0.5, 0.5], [0.5, 0.5]))  # the mixed Nash equilibrium
    for flat in (gradient, *hessians):
        np.testing.assert_allclose(flat, 0.0, atol=1e-14)
    assert game.nash() is game.stackelberg() is game.best_response(1, (x, None)) is None


def test_matrices_are_leaves_and_batch():
    """Prisoners that defect, and, one game further on the batch axis, the same players in a game of agreement."""
    agreement = Bimatrix(np.eye(2), np.eye(2))
    games = jax.tree.map(lambda *leaves: jnp.stack(leaves), DILEMMA, agreement)
    trace = play(
        games,
        GradientAscent(1.0),
        GradientAscent(1.0),
        key=KEY,
        rounds=300,
        replicates=2,
        start=(jnp.array([1.0, 0.0]), jnp.array([1.0, 0.0])),
        record=Record.final(),
        in_axes=(0, None, None),
    )
    np.testing.assert_allclose(trace.payoffs[:, -1], [[-2, -2], [1, 1]], atol=0.05)


def test_a_commitment_is_played_as_logits():
    """Against a commitment to (0.4, 0.6) in the game of Conitzer and Sandholm the follower learns to play column 1."""
    game = Bimatrix([[2, 4], [1, 3]], [[1, 0], [0, 1]])
    leader = game.logits([0.4, 0.6], [0.5, 0.5])[0]
    trace = play(game, Fixed(leader), GradientAscent(1.0), key=KEY, rounds=2000, record=Record.final())
    np.testing.assert_allclose(trace.payoffs[-1], [3.4, 0.6], atol=0.05)


def test_matrices_may_be_traced():
    value = jax.jit(lambda U: Bimatrix(U, -U).payoffs(jnp.zeros(2), jnp.zeros(3))[1])(jnp.ones((2, 3)))
    assert float(value) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("leader", "follower", "error", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), ValueError, r"leader_payoffs, follower_payoffs: .*\(2, 3\) and \(3, 2\)"),
        (np.ones(3), np.ones(3), ValueError, "leader_payoffs: expected a matrix"),
        (np.ones((2, 2)), np.ones((1, 2, 2)), ValueError, "follower_payoffs: expected a matrix"),
        (np.ones((2, 0)), np.ones((2, 0)), ValueError, "leader_payoffs: expected at least one action"),
        ([[1.0, np.nan]], [[1, 2]], ValueError, "leader_payoffs: expected finite"),
        ([[1, 2]], [[1.0, -np.inf]], ValueError, "follower_payoffs: expected finite"),
        ([["a", "b"]], [[1, 2]], TypeError, "leader_payoffs: expected a matrix of"),
        ([[1, 2], [3]], np.ones((2, 2)), TypeError, "leader_payoffs: expected a matrix of"),
        ([[1, 2j]], [[1, 2]], TypeError, "leader_payoffs: expected a matrix of real"),
        (None, [[1, 2]], TypeError, "leader_payoffs: expected a matrix of"),
    ],
)
def test_bad_matrices_are_refused_by_the_argument_s_name(leader, follower, error, message):
    with pytest.raises(error, match=message):
        Bimatrix(leader, follower)
