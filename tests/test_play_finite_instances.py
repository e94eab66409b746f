"""Games of arms in the loop: batches of instances, more players, types, compilations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Game, Record, play
from stackjax.games import StackelbergBandit
from stackjax.learners import UCB, ActiveArmElimination, EpsilonGreedy, ExploreThenUCB, PerArm
from stackjax.spaces import Arms
from tests.dice import GAME, KEY, A, B, need_devices


def test_what_happens_rarely_happens_on_every_device_too():
    """Elimination in the rows of its tables."""
    need_devices(2)
    game = StackelbergBandit([[1.0, 0.0], [0.0, 0.5]], [[0.0, 1.0], [0.5, 0.0]], sigma=0.1)
    learners = UCB(0.2, 100), PerArm(ActiveArmElimination((2, 4), 0.2, 100))
    options = {"key": jax.random.key(0), "rounds": 50, "replicates": 4, "record": Record.final(payoffs=None)}
    one, two = (play(game, *learners, devices=n, **options) for n in (1, 2))
    np.testing.assert_array_equal(one.visits, two.visits)
    assert (one.state[1].out == 1).any()


def test_games_batch_and_each_is_the_game_alone():
    rng = np.random.default_rng(1)
    U = jnp.asarray(rng.uniform(size=(2, 3, A, B)), jnp.float32)
    games = jax.vmap(StackelbergBandit)(*U)
    learners = UCB(jnp.array([0.5, 1.0, 2.0]), 30), PerArm(UCB(1.0, 30))
    options = {"key": KEY, "rounds": 30, "record": Record.every(10)}
    batch = play(games, *learners, replicates=[7, 8, 9], in_axes=(0, 0, None), **options)
    for k in range(3):
        alone = play(
            StackelbergBandit(*U[:, k]), UCB(learners[0].width[k], 30), learners[1], replicates=[7 + k], **options
        )
        np.testing.assert_array_equal(batch.visits[k], alone.visits[0])
        np.testing.assert_allclose(batch.payoffs[k], alone.payoffs[0], rtol=1e-5)
    blocks = np.diff(batch.visits, axis=1, prepend=0)
    np.testing.assert_allclose(batch.payoffs, np.einsum("rkab,irab->rki", blocks, U) / 10, rtol=1e-5)


@pytest.mark.slow
def test_three_players_and_a_follower_of_two():
    U = np.random.default_rng(2).uniform(size=(3, 2, 3, 4)).astype(np.float32)

    class Chain(Game):
        means: jax.Array
        spaces = (Arms(2), Arms(3), Arms(4))
        levels = ((0,), (1,), (2,))

        def payoffs(self, a, b, c):
            return tuple(self.means[i, a, b, c] for i in range(3))

        def draw(self, key):
            return jax.random.normal(key, (3,))

        def realise(self, noise, *actions):
            return tuple(p + 0.1 * e for p, e in zip(self.payoffs(*actions), noise, strict=True))

    learners = EpsilonGreedy(1.0), PerArm(EpsilonGreedy(1.0)), PerArm(EpsilonGreedy(0.5))
    trace = play(Chain(jnp.asarray(U)), *learners, key=KEY, rounds=60, replicates=2, record=Record.every(1))
    trace.raise_if_failed()
    a, b, c = np.asarray(trace.actions)
    for r in range(2):
        counts = np.zeros((2, 3, 4), int)
        np.add.at(counts, (a[r], b[r], c[r]), 1)
        np.testing.assert_array_equal(trace.visits[r, -1], counts)
        np.testing.assert_array_equal(trace.state[2].arms.pulls[r].reshape(2, 3, 4), counts)
        np.testing.assert_array_equal(trace.state[1].arms.pulls[r].reshape(2, 3), counts.sum(2))
        np.testing.assert_array_equal(trace.state[2].t[r].reshape(2, 3), counts.sum(2))
    np.testing.assert_allclose(trace.payoffs, np.moveaxis(U[:, a, b, c], 0, -1), rtol=1e-6)


def test_the_games_arrays_decide_the_type(x64):
    trace = play(GAME, UCB(1.0, 100), PerArm(EpsilonGreedy(0.1)), key=KEY, rounds=9, replicates=2)
    floats = [x for x in jax.tree.leaves((trace.state, trace.payoffs)) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {x.dtype for x in floats} == {np.dtype(np.float32)}
    assert {x.dtype for x in jax.tree.leaves((trace.actions, trace.strategies))} == {np.dtype(np.int32)}


# ---------------------------------------------------------------- one program


def test_other_values_compile_nothing():
    traced = []

    class Watched(ExploreThenUCB):
        def act(self, view, state, noise, seen):
            traced.append(1)
            return super().act(view, state, noise, seen)

    def run(seed, sigma, explore, width, horizon):
        means = np.random.default_rng(seed).uniform(size=(2, 2, 2)).astype(np.float32)
        learners = Watched(explore, width, horizon), PerArm(ExploreThenUCB(explore, width, horizon))
        options = {"key": jax.random.key(seed), "rounds": 4, "replicates": 2, "record": Record.final()}
        return play(StackelbergBandit(*means, sigma=sigma), *learners, **options)

    run(0, 1.0, 3, 1.0, 100)
    assert traced
    traced.clear()
    run(1, 0.5, 7, 2.0, 10_000)
    run(2, 2, 1, 1, 10_000_000)
    assert not traced
