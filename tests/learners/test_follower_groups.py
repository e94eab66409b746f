"""Several followers at once: what they learn independently, against the equilibria that a leader induces among them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.equilibria import induced_nash
from stackjax.games import incentives
from stackjax.learners import ContextualFollower, Fixed, NeuralFollower, QLearning

KEY = jax.random.key(0)
GAME = incentives.toll_roads()
LEADERS = jnp.eye(3)[:, None]  # a toll for neither road, the first one, the second one
EQUILIBRIA = [{tuple(joint) for joint in np.argmax(np.hstack(induced_nash(GAME, x).policies), -1)} for x in LEADERS]


def are_equilibria(roads):
    """Whether the drivers' roads `[3 leaders, ..., 2]` are equilibria, `[3, ...]`."""
    return [[tuple(joint) in found for joint in each.tolist()] for found, each in zip(EQUILIBRIA, roads, strict=True)]


def test_the_drivers_part_only_where_the_first_road_is_charged():
    assert [{(0, 0)}, {(0, 1), (1, 0)}, {(0, 0)}] == EQUILIBRIA


@pytest.mark.parametrize(("kind", "episodes"), [(ContextualFollower, 16_384), (NeuralFollower, 16_384)])
def test_trained_followers_end_in_equilibrium(kind, episodes):
    """By default, from eight seeds. With one follower's defaults both took the first road whatever it cost."""

    @jax.vmap
    def roads(key):
        follower = kind.train(GAME, key, episodes=episodes)
        return jax.vmap(lambda a: jnp.stack([jnp.argmax(p[0]) for p in follower.respond(a)]))(jnp.arange(3)[:, None])

    found = np.asarray(jax.jit(roads)(jax.random.split(KEY, 8)))
    np.testing.assert_array_equal(are_equilibria(found.swapaxes(0, 1)), True)


def test_followers_who_practise_against_each_other_settle_in_equilibrium():
    """Eight replicates of each leader stay there from round 40 on.

    While the drivers share a road that they would both leave they part with probability 1/2 a round, so one of 8
    replicates fails with probability 8 / 2^39, were the practice exact; 64 episodes tell apart payoffs that differ by
    0.25 or more.
    """
    follower = QLearning(64, others=True)
    leaders = Fixed(jnp.repeat(LEADERS, 8, 0))
    options = {"rounds": 60, "replicates": 24, "in_axes": (None, 0, None, None), "record": Record.every(1)}
    trace = play(GAME, leaders, follower, follower, key=KEY, **options).raise_if_failed()
    roads = np.stack([np.argmax(np.asarray(a), -1)[..., 0] for a in trace.actions[1:]], -1)  # [24, 60, 2]
    settled = roads[:, 40:].reshape(3, -1, 2)
    np.testing.assert_array_equal(are_equilibria(settled), True)
    assert np.all(roads[:, 40:] == roads[:, -1:])
    np.testing.assert_array_equal(roads[:, 0], 0)  # the best against anybody in round 1, which nobody sits out


def test_alone_a_follower_answers_every_round_whatever_others_is():
    game = incentives.corridor()
    idle = Fixed(jax.nn.one_hot(jnp.zeros(game.observation_counts[0], int), 2))
    learners = [QLearning(8, parallel=4, others=others) for others in (False, True)]
    runs = [play(game, idle, q, key=KEY, rounds=6, record=Record.every(1)) for q in learners]
    np.testing.assert_array_equal(runs[0].actions[1], runs[1].actions[1])
