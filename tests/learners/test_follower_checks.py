"""What followers refuse: tables that aren't probabilities, networks that don't chain, numbers out of their range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import IteratedMatrixGame, MarkovGame
from stackjax.learners import ContextualFollower, NeuralFollower, QLearning
from stackjax.schedules import PowerLaw

KEY = jax.random.key(0)
GAME = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=2)
ALONE = MarkovGame(np.ones((1, 2, 1)), np.zeros((1, 1, 2)), horizon=1)
TABLE = np.full((2, 1, 2), 0.5)  # two contexts of one query
LAYERS = [(np.ones((3, 4)), np.ones(4)), (np.ones((4, 2)), np.ones(2))]  # inputs: a time, an observation, an answer


def with_entry(value):
    table = TABLE.copy()
    table[1, 0] = value
    return table


def table(*policies):
    return lambda: ContextualFollower(policies, 2)


def network(networks=None, actions=1, queries=(0,), clocks=(None,)):
    """A network of one answer, one time and one observation, unless an argument says otherwise."""
    return lambda: NeuralFollower((LAYERS,) if networks is None else networks, actions, queries, clocks)


def train(kind=NeuralFollower, game=GAME, **options):
    return lambda: kind.train(game, KEY, **({"episodes": 64} | options))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (table(-TABLE), ValueError, r"policies\[0\]: expected probabilities, got the negative"),
        (table(TABLE, 2 * TABLE), ValueError, r"policies\[1\]: expected rows that sum to 1"),
        (table(with_entry([1.5, -0.5])), ValueError, r"policies\[0\]: expected probabilities"),
        (table(with_entry(np.nan)), ValueError, r"policies\[0\]: expected finite probabilities, got nan"),
        (table(with_entry(np.inf)), ValueError, r"policies\[0\]: expected finite"),
        (table(np.ones((2, 1, 2), int)), ValueError, r"policies\[0\]: expected rows"),
        (table(TABLE > 1), TypeError, r"policies\[0\]: expected probabilities, got the type bool"),
        (table(TABLE + 0j), TypeError, r"policies\[0\]: expected probabilities, got the type complex"),
        (table(np.array([["a", "b"]])), TypeError, r"policies\[0\]: expected probabilities, got the type"),
        (network(networks=()), ValueError, "networks: expected a tuple"),
        (network(networks=((),)), ValueError, r"networks\[0\]: expected layers"),
        (network(networks=(3,)), ValueError, r"networks\[0\]: expected layers"),
        (network(networks=((np.ones((3, 4)),),)), ValueError, r"networks\[0\]: expected layers"),
        (network(networks=([LAYERS[0], LAYERS[0]],)), ValueError, r"networks\[0\]: expected weights .* that chain"),
        (network(networks=([(np.ones((3, 4)), np.ones(3))],)), ValueError, r"networks\[0\]: expected weights"),
        (network(networks=([(np.ones(3), np.ones(3))],)), ValueError, r"networks\[0\]: expected weights"),
        (network(networks=([(np.full((3, 2), np.nan), np.ones(2))],)), ValueError, r"networks\[0\]: expected finite"),
        (network(actions=0), ValueError, "actions: expected at least 1, got 0"),
        (network(actions="two"), TypeError, "actions: expected a whole number"),
        (network(queries=None), TypeError, "queries: expected whole numbers"),
        (network(clocks=(0,)), ValueError, r"clocks\[0\]: expected at least 1, got 0"),
        (network(clocks=None), ValueError, "clocks: expected one a network"),
        (network(clocks=(2,)), ValueError, "networks: the first layer has 3 inputs"),
        (train(hidden=64), ValueError, "hidden: expected a tuple"),
        (train(hidden=(0,)), ValueError, r"hidden\[0\]: expected at least 1, got 0"),
        (train(hidden=(4, -1)), ValueError, r"hidden\[1\]: expected"),
        (train(hidden=(1.5,)), TypeError, r"hidden\[0\]: expected a whole number"),
        (train(group=8.0), TypeError, "group: expected a whole number"),
        (train(group="a"), TypeError, "group: expected a whole number"),
        (train(group=3), ValueError, "group: expected parallel=64"),
        (train(parallel="a"), TypeError, "parallel: expected a whole number"),
        (train(queries=["a"]), TypeError, "queries: expected whole numbers"),
        (train(queries=[[0], [1, 2]]), TypeError, "queries: expected whole numbers"),
        (train(game=ALONE), ValueError, "game: expected a leader and at least one follower"),
        (train(ContextualFollower, ALONE), ValueError, "game: expected a leader and at least one follower"),
        (train(ContextualFollower, queries=["a"]), TypeError, "queries: expected whole numbers"),
        (train(ContextualFollower, step=1.5), ValueError, "step: expected at most 1, got 1.5"),
        (train(ContextualFollower, step=0.0), ValueError, "step"),
        (lambda: ContextualFollower.exact(ALONE), ValueError, "game: expected a leader"),
        (lambda: QLearning(8, step=2), ValueError, "step: expected at most 1"),
        (lambda: QLearning(8, step=np.nan), ValueError, "step: expected"),
        (lambda: QLearning(8, warm="no"), TypeError, "warm: expected True or False"),
        (lambda: QLearning(8, length=0), ValueError, "length: expected at least 1, got 0"),
        (lambda: QLearning(8, length=1.5), TypeError, "length: expected a whole number"),
    ],
)
def test_bad_input(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_what_is_accepted():
    """Whole numbers as probabilities, traced tables, steps up to 1 and schedules of any size, a network that fits."""
    ones = ContextualFollower((np.eye(2, dtype=int)[:, None],), 2)
    assert ones.policies[0].dtype == jnp.result_type(float)
    np.testing.assert_array_equal(ones.respond(jnp.array([1]))[0], [[0.0, 1.0]])
    traced = jax.jit(lambda t: ContextualFollower((t,), 2).respond(jnp.array([1]))[0])(-jnp.asarray(TABLE))
    np.testing.assert_array_equal(traced, [[-0.5, -0.5]])
    single = np.asarray(jax.nn.softmax(jnp.array([[[0.3, 2.1, 7.0]]])), float)  # rounded to float32 before
    ContextualFollower((single,), 1, [0])
    QLearning(8, step=1, length=3)
    QLearning(8, step=PowerLaw(2.0, 1.0))
    assert network()().respond(jnp.array([0]))[0].shape == (1, 2)
