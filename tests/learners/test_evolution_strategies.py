"""Evolution strategies: the estimate, its transcription, projection, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import Record, Signal, play
from stackjax.games import CournotDuopoly, from_payoffs
from stackjax.learners import BestResponse, EvolutionStrategies, Fixed
from stackjax.schedules import PowerLaw
from stackjax.spaces import Arms, Box, Euclidean, Simplex

KEY = jax.random.key(0)
WEIGHTS = jnp.array([1.0, -2.0, 0.5])


def linear(space):
    return from_payoffs(lambda x, y: jnp.sum(WEIGHTS * x), lambda x, y: 0.0 * y, spaces=(space, Euclidean(())))


def test_it_sees_its_payoff_only():
    assert EvolutionStrategies(0.1, 0.1).wants == Signal.PAYOFF


def test_it_plays_pairs_and_steps_along_their_mean():
    """A linear payoff, two pairs: the centre's step is recomputed from the actions that were played."""
    learner = EvolutionStrategies(PowerLaw(0.5, 1.0), 0.25, 2)
    start = (jnp.zeros(3), 0.0)
    trace = play(linear(Euclidean((3,))), learner, Fixed(0.0), key=KEY, rounds=8, start=start, record=Record.every(1))
    played, centres = np.asarray(trace.actions[0]), np.asarray(trace.strategies[0])
    before = np.concatenate([np.zeros((1, 3)), centres[:-1]])
    normals = (played - before)[::2] / 0.25
    np.testing.assert_allclose(
        played - before, np.repeat(normals, 2, 0) * np.tile([[0.25], [-0.25]], (4, 1)), atol=1e-6
    )
    for n, step in enumerate((0.5, 0.25)):
        estimate = np.mean([e * (np.asarray(WEIGHTS) @ e) for e in normals[2 * n : 2 * n + 2]], 0)
        np.testing.assert_allclose(centres[4 * n + 3] - before[4 * n], step * estimate, atol=1e-5)
        np.testing.assert_allclose(centres[4 * n : 4 * n + 3], before[4 * n : 4 * n + 3], atol=1e-7)
    np.testing.assert_array_equal(trace.calls[0].payoffs, np.arange(1, 9))
    assert len(np.unique(normals.round(5), axis=0)) == 4


def test_the_estimate_is_unbiased_and_an_optimizer_gets_its_negative():
    """The mean of 4000 first steps of size 1; false-alarm rate 1e-5: 4.9 sd of a coordinate, sqrt(2 x 5.25) / 63."""
    start = (jnp.zeros(3), 0.0)
    options = {"key": KEY, "rounds": 2, "start": start, "replicates": 4000, "record": Record.final()}
    game = linear(Euclidean((3,)))
    found = play(game, EvolutionStrategies(1.0, 0.1, 1), Fixed(0.0), **options)
    by_optax = play(game, EvolutionStrategies(None, 0.1, 1, optimizer=optax.sgd(1.0)), Fixed(0.0), **options)
    steps = np.asarray(found.strategies[0])[:, -1]
    np.testing.assert_allclose(steps.mean(0), WEIGHTS, atol=4.9 * (2 * 5.25) ** 0.5 / 4000**0.5)
    np.testing.assert_allclose(np.asarray(by_optax.strategies[0])[:, -1], steps, atol=1e-4)


def test_it_finds_the_stackelberg_point_of_the_duopoly_against_an_oracle():
    """(46, 26), within 0.5; all of 8 replicates, whose sd at the end is about a twentieth of that."""
    learner = EvolutionStrategies(PowerLaw(20.0, 1.0, offset=20.0), 1.0, 4)
    trace = play(CournotDuopoly(), learner, BestResponse(), key=KEY, rounds=2000, replicates=8, record=Record.final())
    trace.raise_if_failed()
    np.testing.assert_allclose(np.asarray(trace.strategies[0])[:, -1], 46.0, atol=0.5)
    np.testing.assert_allclose(np.asarray(trace.strategies[1])[:, -1], 26.0, atol=0.5)


@pytest.mark.parametrize(("space", "corner"), [(Box(-1.0, 1.0, (3,)), [1, -1, 1]), (Simplex(3), [1, 0, 0])])
def test_actions_stay_in_the_space(space, corner):
    """And end in its best corner; false-alarm rate below 1e-3 (excursions have an exponential tail of .07)."""
    learner = EvolutionStrategies(0.05, 0.3, 4)
    start = (jnp.full(3, 1 / 3), 0.0)
    options = {"rounds": 3200, "replicates": 4, "start": start, "record": Record.every(1)}
    trace = play(linear(space), learner, Fixed(0.0), key=KEY, **options)
    trace.raise_if_failed()
    assert np.all(jax.vmap(jax.vmap(space.contains))(trace.actions[0]))
    np.testing.assert_allclose(np.asarray(trace.strategies[0])[:, -1], np.tile(corner, (4, 1)), atol=0.6)


def test_bad_input():
    for arguments, error, match in (
        ((0.1, 0.0), ValueError, "sd"),
        ((0.1, 0.1, 0), ValueError, "pairs"),
        ((0.1, 0.1, 1.5), TypeError, "pairs"),
        ((None, 0.1), ValueError, "step, optimizer"),
        (("fast", 0.1), TypeError, "step"),
    ):
        with pytest.raises(error, match=match):
            EvolutionStrategies(*arguments)
    arms = from_payoffs(lambda x, y: 1.0 * x, lambda x, y: 1.0 * y, spaces=(Arms(2), Arms(2)))
    with pytest.raises(ValueError, match="EvolutionStrategies follows gradients"):
        play(arms, EvolutionStrategies(0.1, 0.1), Fixed(0), key=KEY, rounds=1)
    with pytest.raises(ValueError, match="positive sd"):
        play(linear(Euclidean((3,))), EvolutionStrategies(0.1, PowerLaw(-1.0, 1.0)), Fixed(0.0), key=KEY, rounds=1)
