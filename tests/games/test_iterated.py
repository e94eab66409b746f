"""Iterated 2x2 games: golden values, the chain simulated, derivatives, precision, batches, bad input."""

import functools
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import IteratedMatrixGame
from stackjax.learners import GradientAscent, HierarchicalAscent
from tests.transcriptions import iterated

DIRECTORY = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((DIRECTORY / "differentiable_games.json").read_text())
TABLES = json.loads((DIRECTORY / "iterated_matrix_games.json").read_text())["games"]
NAMED = {
    "prisoners_dilemma": IteratedMatrixGame.prisoners_dilemma,
    "matching_pennies": IteratedMatrixGame.matching_pennies,
    "stag_hunt": IteratedMatrixGame.stag_hunt,
    "chicken": IteratedMatrixGame.chicken,
    "battle_of_sexes": IteratedMatrixGame.battle_of_the_sexes,
}


def gradient(game, x, y):
    return jax.jacrev(game.payoffs, (0, 1))(x, y)


@jax.jit
def derivatives(game, x, y):
    """Payoffs, and first and second derivatives, each in forward and in reverse mode."""
    modes = [lambda f, mode=mode: mode(f, (0, 1)) for mode in (jax.jacfwd, jax.jacrev)]
    first, second = zip(*((d(game.payoffs)(x, y), d(d(game.payoffs))(x, y)) for d in modes), strict=True)
    return game.payoffs(x, y), first, second


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0, 0, 0))
def direction(game, x, y, damping):
    return HierarchicalAscent(1.0, damping=damping).direction(game, 0, (x, y))


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0, 0))
def values(game, x, y):
    """Payoffs [2] and their gradients [2, 2, 5]; always of 1024 pairs, so that it is compiled once a precision."""
    return jnp.stack(game.payoffs(x, y)), jnp.stack([jnp.stack(g) for g in gradient(game, x, y)])


def in_float64(game, x, y):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, values(game, *(jnp.asarray(np.asarray(z, np.float64)) for z in (x, y))))


def deterministic_pairs():
    """All pairs of deterministic policies, the follower's changing fastest, as probabilities."""
    every = np.array(list(itertools.product([1, 0], repeat=5)))
    return np.repeat(every, 32, axis=0), np.tile(every, (32, 1))


def logits(probabilities):
    """Logits of probabilities, up to 1e-18."""
    p = np.asarray(probabilities, float)
    return jnp.asarray(np.log(np.maximum(p, 1e-18)) - np.log(np.maximum(1 - p, 1e-18)))


def policies(count, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(scale=scale, size=(2, count, 5))


@pytest.mark.parametrize("name", ["ipd", "imp"])
def test_golden_values(x64, name):
    golden = GOLDEN[name]
    make = {"ipd": IteratedMatrixGame.prisoners_dilemma, "imp": IteratedMatrixGame.matching_pennies}[name]
    game = make(golden["gamma"])
    np.testing.assert_array_equal((game.leader_payoffs, game.follower_payoffs), (golden["R1"], golden["R2"]))
    x, y = jnp.asarray(golden["x"]), jnp.asarray(golden["y"])
    found, firsts, seconds = derivatives(game, x, y)
    np.testing.assert_allclose(found, (golden["f1"], golden["f2"]), rtol=0, atol=1e-9)
    for first in firsts:
        for player in (0, 1):
            for axis in (0, 1):
                expected = golden[f"grad_{'xy'[axis]}_f{player + 1}"]
                np.testing.assert_allclose(first[player][axis], expected, rtol=0, atol=1e-9)
    for second in seconds:
        np.testing.assert_allclose(second[1][1][1], golden["hess_yy_f2"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(second[1][1][0], golden["hess_yx_f2"], rtol=0, atol=1e-9)
    two = jnp.stack([x, x]), jnp.stack([y, y])
    plain, damped = direction(game, *two, jnp.array([0.0, 0.1]))
    np.testing.assert_allclose(plain, golden["D"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(damped, golden["D_damped_minus_0p1"], rtol=0, atol=1e-9)


def test_the_chain_of_outcomes_stage_by_stage(x64):
    rng = np.random.default_rng(1)
    for discount, x, y in zip((0.0, 0.3, 0.9, 0.99), *policies(4, 2.0), strict=True):
        leader, follower = rng.normal(size=(2, 2, 2))
        game = IteratedMatrixGame(leader, follower, discount)
        shares = game.outcomes(jnp.asarray(x), jnp.asarray(y))
        np.testing.assert_allclose(np.ravel(shares), iterated.outcomes(x, y, discount), rtol=0, atol=1e-13)
        expected = iterated.payoffs(x, y, leader, follower, discount)
        np.testing.assert_allclose(game.payoffs(jnp.asarray(x), jnp.asarray(y)), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NAMED)
def test_known_leaders_against_best_responses(x64, name):
    table = TABLES[name]
    game = NAMED[name]()
    np.testing.assert_array_equal((game.leader_payoffs, game.follower_payoffs), (table["RL"], table["RF"]))
    found = in_float64(game, *map(logits, deterministic_pairs()))[0].reshape(32, 32, 2)
    best = np.max(found[..., 1], axis=1)
    optimal = found[..., 1] > best[:, None] - 1e-9
    leader = np.max(np.where(optimal, found[..., 0], -np.inf), axis=1)  # ties are broken for the leader
    np.testing.assert_allclose(np.stack([leader, best], 1), table["disc96_det_table"], rtol=0, atol=1e-9)

    stochastic = table["disc96_sto"]
    reply = logits([1 - action for action in stochastic["follower_policy"]])
    paid = game.payoffs(logits(stochastic["p"]), reply)
    np.testing.assert_allclose(paid, (stochastic["leader"], stochastic["follower"]), rtol=0, atol=1e-9)


def test_derivatives_by_finite_differences(x64):
    (x,), (y,) = policies(1, seed=2)
    game = IteratedMatrixGame([[2.0, -1.0], [0.5, 1.0]], [[0.3, 1.0], [-2.0, 0.7]], 0.9)
    h, steps = 1e-5, 1e-5 * np.eye(10)

    def at(z):
        return derivatives(game, jnp.asarray(z[:5]), jnp.asarray(z[5:]))

    z = np.concatenate([x, y])
    _, firsts, seconds = at(z)
    around = [(at(z + e), at(z - e)) for e in steps]
    numeric = [[(a[0][i] - b[0][i]) / (2 * h) for a, b in around] for i in (0, 1)]
    for first in firsts:
        np.testing.assert_allclose([np.concatenate(first[i]) for i in (0, 1)], numeric, rtol=0, atol=1e-9)
    numeric = [
        np.stack([(np.concatenate(a[1][0][i]) - np.concatenate(b[1][0][i])) / (2 * h) for a, b in around], axis=1)
        for i in (0, 1)
    ]
    for second in seconds:
        ours = [np.block([[np.asarray(block) for block in row] for row in second[i]]) for i in (0, 1)]
        np.testing.assert_allclose(ours, numeric, rtol=0, atol=1e-9)


def test_derivatives_in_the_matrices_and_the_discount(x64):
    (x,), (y,) = (jnp.asarray(z) for z in policies(1, seed=3))
    game = IteratedMatrixGame(jnp.array([[1.0, -2.0], [0.5, 3.0]]), jnp.eye(2), jnp.asarray(0.8))
    slopes = jax.jit(jax.grad(lambda game: game.payoffs(x, y)[0]))(game)
    np.testing.assert_allclose(slopes.leader_payoffs, game.outcomes(x, y), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(slopes.follower_payoffs, 0.0)
    up, down = (iterated.payoffs(x, y, game.leader_payoffs, np.eye(2), g)[0] for g in (0.8 + 1e-5, 0.8 - 1e-5))
    np.testing.assert_allclose(slopes.discount, (up - down) / 2e-5, rtol=0, atol=1e-8)


def test_discount_zero_is_the_game_played_once(x64):
    (x,), (y,) = policies(1, seed=4)
    p, q = 1 / (1 + np.exp(-x[0])), 1 / (1 + np.exp(-y[0]))
    game = IteratedMatrixGame.chicken(discount=0)
    once = [
        np.array([p, 1 - p]) @ np.asarray(m) @ np.array([q, 1 - q])
        for m in (game.leader_payoffs, game.follower_payoffs)
    ]
    np.testing.assert_allclose(game.payoffs(jnp.asarray(x), jnp.asarray(y)), once, rtol=0, atol=1e-14)
    slopes = np.asarray(gradient(game, jnp.asarray(x), jnp.asarray(y)))
    assert (slopes[..., 0] != 0).all() and (slopes[..., 1:] == 0).all()


@pytest.mark.parametrize("discount", [0.96, 0.99, 0.999])
def test_float32_loses_nothing_near_discount_1(discount):
    """1024 fixed pairs of policies: errors in units of the largest payoff (3) and of a pair's largest derivative."""
    game = IteratedMatrixGame.prisoners_dilemma(discount)
    x, y = (jnp.asarray(z, jnp.float32) for z in policies(1024, 2.0, seed=5))
    paid, slopes = values(game, x, y)
    exact_paid, exact_slopes = in_float64(game, x, y)
    assert paid.dtype == slopes.dtype == jnp.float32
    assert np.max(np.abs(paid - exact_paid)) / 3 < 5e-6
    largest = np.max(np.abs(exact_slopes), axis=(1, 2, 3))
    error = np.max(np.abs(slopes - exact_slopes), axis=(1, 2, 3)) / largest
    assert np.median(error) < 1e-6 and np.max(error) < 5e-5


def test_saturated_policies_have_finite_derivatives():
    """Logits that round to probabilities of 0 and 1 exactly, where some outcomes are never left."""
    x, y = (jnp.asarray(200.0 * (p - 0.5), jnp.float32) for p in deterministic_pairs())
    game = IteratedMatrixGame.prisoners_dilemma(0.99)
    paid, slopes = values(game, x, y)
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(paid, in_float64(game, x, y)[0], rtol=0, atol=2e-5)


def test_discounts_and_matrices_batch_through_play():
    """Three games at once are the three games one by one."""
    rounds, step = 20, 2.0
    matrices = np.random.default_rng(6).normal(size=(2, 3, 2, 2)).astype(np.float32)
    discounts = jnp.array([0.0, 0.5, 0.96], jnp.float32)
    start = tuple(jnp.asarray(z[0], jnp.float32) for z in policies(1, seed=7))
    many = IteratedMatrixGame(jnp.asarray(matrices[0]), jnp.asarray(matrices[1]), discounts)
    learners = GradientAscent(step), GradientAscent(step)
    options = {"key": jax.random.key(0), "rounds": rounds, "start": start, "record": Record.final()}
    trace = play(many, *learners, replicates=3, in_axes=(0, None, None), **options).raise_if_failed()

    @jax.jit
    def one_round(game, x, y):
        (gx, _), (_, gy) = gradient(game, x, y)
        return x + step * gx, y + step * gy

    for i in range(3):
        game = IteratedMatrixGame(jnp.asarray(matrices[0][i]), jnp.asarray(matrices[1][i]), discounts[i])
        x, y = start
        for _ in range(rounds):
            x, y = one_round(game, x, y)
        np.testing.assert_allclose(trace.strategies[0][i, -1], x, rtol=0, atol=1e-5)
        np.testing.assert_allclose(trace.strategies[1][i, -1], y, rtol=0, atol=1e-5)


def test_discounts_alone_batch_with_the_matrices_shared():
    """From even chances everywhere a first move of C costs 1 in (1 - discount) of the stages, and nothing later."""
    discounts = jnp.array([0.1, 0.9], jnp.float32)
    game, start = IteratedMatrixGame.prisoners_dilemma(discounts), (jnp.zeros(5), jnp.zeros(5))
    options = {"rounds": 1, "replicates": 2, "start": start, "in_axes": (0, None, None), "record": Record.final()}
    trace = play(game, GradientAscent(1.0), GradientAscent(1.0), key=jax.random.key(0), **options)
    np.testing.assert_allclose(trace.payoffs[:, 0], -1.5, rtol=0, atol=1e-6)
    np.testing.assert_allclose(trace.strategies[0][:, 0, 0], -0.25 * (1 - discounts), rtol=0, atol=1e-6)


def test_arrays_and_numbers_are_the_same_game():
    rows = [[1, 2], [3, 4]]
    (x,), (y,) = (jnp.asarray(z, jnp.float32) for z in policies(1, seed=8))
    for matrix in (np.array(rows), np.array(rows, np.float32), jnp.array(rows), [jnp.array([1.0, 2.0]), (3, 4)]):
        np.testing.assert_allclose(
            IteratedMatrixGame(matrix, rows).payoffs(x, y), IteratedMatrixGame(rows, rows).payoffs(x, y), rtol=1e-6
        )


TWO = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ((TWO, TWO, 1.0), ValueError, "discount"),
        ((TWO, TWO, -0.1), ValueError, "discount"),
        ((TWO, TWO, float("nan")), ValueError, "discount"),
        ((TWO, TWO, jnp.array([0.5, 1.5])), ValueError, "discount"),
        ((TWO, TWO, "often"), TypeError, "discount"),
        ((TWO, np.ones((2, 3)), 0.9), ValueError, "follower_payoffs: expected a 2x2 matrix"),
        ((np.ones((3, 3)), np.ones((3, 3)), 0.9), ValueError, "leader_payoffs: expected a 2x2 matrix"),
        ((jnp.ones((3, 2)), TWO, 0.9), ValueError, "leader_payoffs"),
        ((jnp.ones((4, 2, 2)), jnp.ones((5, 2, 2)), 0.9), ValueError, "leader_payoffs, follower_payoffs"),
        ((jnp.ones((2, 2)), jnp.ones((5, 2, 2)), 0.9), ValueError, "leader_payoffs, follower_payoffs"),
        ((np.ones((5, 2, 3)), np.ones((5, 2, 3)), 0.9), ValueError, "leader_payoffs"),
        ((TWO, 3.0, 0.9), ValueError, "follower_payoffs"),
        ((TWO, [1.0, 2.0], 0.9), ValueError, "follower_payoffs"),
        ((TWO, [[1.0, 2.0], [3.0]], 0.9), ValueError, "follower_payoffs"),
        ((TWO, [[1.0, 2.0], [3.0, np.inf]], 0.9), ValueError, "follower_payoffs"),
        ((TWO, [[1.0, 2.0], [3.0, "4"]], 0.9), TypeError, "follower_payoffs"),
        ((TWO, "cooperate", 0.9), ValueError, "follower_payoffs"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, error, name):
    with pytest.raises(error, match=name):
        IteratedMatrixGame(*arguments)
