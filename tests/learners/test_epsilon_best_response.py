"""The follower that errs by up to epsilon: what it costs a committed leader, and that it plays any such arm alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, Signal, play
from stackjax.equilibria import tolerant_benchmarks
from stackjax.games import StackelbergBandit, from_payoffs
from stackjax.learners import EpsilonBestResponse, Fixed
from stackjax.spaces import Box

KEY = jax.random.key(4)
GAME = StackelbergBandit(np.zeros((2, 4)), [[0.5, 0.45, 0.1, 0.4], [0.0, 0.0, 0.0, 0.0]])


def test_against_a_committed_leader_it_attains_the_tolerant_benchmark(x64):
    """`min_{b in B_eps(a)} U_1(a, b)` for every a; with the best a and eps that is the benchmark's infimum."""
    n, A, B = 20, 3, 4
    U1, U2 = np.random.default_rng(0).uniform(size=(2, n, A, B))
    benchmark = tolerant_benchmarks(U1, U2, 0.3)
    epsilon = np.asarray(benchmark.epsilons)[:, 0]
    assert (epsilon == 0).any() and (epsilon > 0.01).any()
    trace = play(
        StackelbergBandit(*(np.repeat(U, A, axis=0) for U in (U1, U2))),
        Fixed(jnp.tile(jnp.arange(A), n)),
        EpsilonBestResponse(jnp.repeat(epsilon, A), ties="against"),
        key=KEY,
        rounds=2,
        replicates=n * A,
        in_axes=(0, 0, 0),
        record=Record.final(payoffs="exact"),
    ).raise_if_failed()
    tolerated = U2.max(-1, keepdims=True) - U2 <= epsilon[:, None, None] + 1e-9
    expected = np.where(tolerated, U1, np.inf).min(-1)
    found = trace.payoffs[:, -1, 0].reshape(n, A)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(found.max(1) + epsilon, benchmark.values[:, 0], rtol=1e-8)
    np.testing.assert_array_equal(trace.strategies[1], trace.actions[1])
    assert trace.calls[1].solves.max() == 2 and trace.calls[1].gradients.max() == 0


def test_random_ties_are_uniform_among_the_arms_within_epsilon():
    """Chi-square of the counts, 6 degrees of freedom in all: another key fails at a rate of 1e-3.

    Gaps of epsilon are meant to be in the set, although .5 - .45 is above .05 in float32.
    """
    sets = [[0], [0, 1], [0, 1, 3], [0, 1, 2, 3]]
    epsilon = jnp.array([0.0, 0.05, 0.1, 0.4])
    assert float(GAME.follower_means[0, 0] - GAME.follower_means[0, 1]) > float(epsilon[1])
    rounds = 3000
    trace = play(
        GAME,
        Fixed(0),
        EpsilonBestResponse(epsilon),
        key=KEY,
        rounds=rounds,
        replicates=4,
        in_axes=(None, None, 0),
        record=Record.final(),
    ).raise_if_failed()
    counts = trace.visits[:, -1, 0]
    statistic = 0.0
    for one, arms in zip(counts, sets, strict=True):
        assert one[arms].sum() == rounds
        mean = rounds / len(arms)
        statistic += ((one[arms] - mean) ** 2 / mean).sum()
    assert statistic < 22.46
    np.testing.assert_array_equal(trace.strategies[1], 0)


def test_it_sees_the_leaders_payoffs_only_to_play_against_them():
    assert EpsilonBestResponse(0.1).wants == Signal.OWN_PAYOFF | Signal.COMMITMENT
    assert EpsilonBestResponse(0.1, ties="against").wants == Signal.OWN_PAYOFF | Signal.COMMITMENT | Signal.GAME


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((-0.1,), ValueError, "epsilon: expected values in"),
        ((np.nan,), ValueError, "epsilon: expected values in"),
        (("a",), TypeError, "epsilon: expected a number"),
        ((0.1, "for"), ValueError, 'ties: expected "random" or "against"'),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=f"^{match}"):
        EpsilonBestResponse(*arguments)


def test_it_moves_last_and_has_arms():
    with pytest.raises(ValueError, match=r"^EpsilonBestResponse: player 0 can't see the actions of players \[1\]"):
        play(GAME, EpsilonBestResponse(0.1), Fixed(0), key=KEY, rounds=1)
    market = from_payoffs(lambda x, y: x, lambda x, y: y, spaces=(Box(0.0, 1.0), Box(0.0, 1.0)))
    with pytest.raises(ValueError, match="player 1: EpsilonBestResponse chooses from arms, its space is Box"):
        play(market, Fixed(0.5), EpsilonBestResponse(0.1), key=KEY, rounds=1)
