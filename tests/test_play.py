"""The round, its order of play and its noise; batches of games and hyper-parameters; starts; precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from stackjax import Learner, Record, Signal, play
from stackjax.games import CournotDuopoly, Noisy, Quadratic, from_payoffs
from stackjax.learners import BestResponse, Every, Fixed, GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import PowerLaw
from stackjax.spaces import Euclidean
from tests.clock import LINE, Clock, linear

KEY = jax.random.key(0)
DUOPOLY = CournotDuopoly()


# The round


def duopoly_in_numpy(x, y, steps, rounds, best_response=False):
    """Simultaneous gradient ascent on the default duopoly, or against a follower that answers at once."""
    path = []
    for _ in range(rounds):
        if best_response:
            y = (98 - x) / 2
        gx, gy = 95 - 2 * x - y, 98 - 2 * y - x
        x, y = x + steps[0] * gx, y if best_response else y + steps[1] * gy
        path.append((x, y))
    return np.array(path)


def test_learners_without_commitment_act_simultaneously(x64):
    trace = play(
        DUOPOLY,
        GradientAscent(0.05),
        GradientAscent(0.2),
        key=KEY,
        rounds=30,
        start=(40.0, 20.0),
        record=Record.every(1),
    )
    expected = duopoly_in_numpy(40.0, 20.0, (0.05, 0.2), 30)
    np.testing.assert_allclose(np.stack(trace.strategies, -1), expected, rtol=1e-12)
    np.testing.assert_allclose(trace.actions[0][1:], expected[:-1, 0], rtol=1e-12)
    assert trace.strategies[0].dtype == trace.payoffs.dtype == jnp.float64


def test_a_best_response_answers_this_rounds_action():
    trace = play(
        DUOPOLY, GradientAscent(0.05), BestResponse(), key=KEY, rounds=30, start=(40.0, None), record=Record.every(1)
    )
    np.testing.assert_allclose(trace.actions[1], (98 - trace.actions[0]) / 2, rtol=1e-6)
    np.testing.assert_allclose(trace.strategies[1], (98 - trace.strategies[0]) / 2, rtol=1e-6)
    expected = duopoly_in_numpy(40.0, None, (0.05,), 30, best_response=True)
    np.testing.assert_allclose(trace.strategies[0], expected[:, 0], rtol=1e-5)


@pytest.mark.parametrize(
    "levels", [((0,),), ((0, 1, 2),), ((0,), (1,), (2,)), ((0, 1), (2, 3, 4)), ((0,), (1,), (2, 3), (4,))], ids=str
)
def test_any_number_of_players_and_levels(levels):
    players = sum(map(len, levels))
    game = linear(players, levels=levels)
    trace = play(
        game, *[Clock(10.0 * i) for i in range(players)], key=KEY, rounds=3, replicates=2, record=Record.every(1)
    )
    assert len(trace.strategies) == len(trace.actions) == len(trace.calls) == players
    for i in range(players):
        np.testing.assert_array_equal(trace.actions[i], [[10.0 * i, 10.0 * i + 1, 10.0 * i + 2]] * 2)
    assert trace.payoffs.shape == (2, 3, players)
    np.testing.assert_array_equal(
        trace.payoffs[0, :, 0], sum(10.0 * i for i in range(players)) + players * np.arange(3)
    )


def test_a_plain_number_is_an_action_and_a_state():
    class Plain(Learner):
        wants = Signal(0)

        def init(self, view, key):
            return 0

        def act(self, view, state, noise, seen):
            return 1.0

        def update(self, view, state, noise, signals):
            return state + 1

    game = from_payoffs(lambda x, y: 3.0, lambda x, y: x + y, spaces=(LINE, LINE))
    trace = play(game, Plain(), Fixed(2.0), key=KEY, rounds=4, replicates=2, record=Record.final())
    np.testing.assert_array_equal(trace.state[0], [4, 4])
    np.testing.assert_array_equal(trace.payoffs, [[[3.0, 3.0]]] * 2)


def test_a_strategy_is_what_a_learner_reports_not_what_it_plays():
    trace = play(DUOPOLY, HiC(0.1, 2.0, 3), Fixed(20.0), key=KEY, rounds=9, replicates=4, record=Record.every(1))
    moved = np.abs(np.asarray(trace.actions[0][:, 1:]) - np.asarray(trace.strategies[0][:, :-1]))
    np.testing.assert_allclose(moved, 2.0, rtol=1e-4)
    assert trace.initial[0].shape == (4,)
    np.testing.assert_allclose(np.abs(trace.actions[0][:, 0] - trace.initial[0]), 2.0, rtol=1e-4)


# Every


def test_every_updates_in_every_kth_round_only():
    trace = play(linear(2), Every(3, Clock()), Every(2, Every(2, Clock())), key=KEY, rounds=9, record=Record.every(1))
    np.testing.assert_array_equal(trace.strategies[0], [0, 0, 1, 1, 1, 2, 2, 2, 3])
    np.testing.assert_array_equal(trace.strategies[1], [0, 0, 0, 1, 1, 1, 1, 2, 2])


def test_every_first_round_is_the_learner_itself():
    def run(leader, follower=Fixed(20.0), rounds=6):
        return play(DUOPOLY, leader, follower, key=KEY, rounds=rounds, start=(40.0, None), record=Record.final())

    learner = GradientAscent(PowerLaw(0.2, 0.5))
    np.testing.assert_array_equal(run(Every(1, learner)).strategies[0], run(learner).strategies[0])
    # Against a fixed opponent one update in three rounds is the same as one in each of a third of the rounds.
    np.testing.assert_allclose(run(Every(3, learner), rounds=18).strategies[0], run(learner).strategies[0], rtol=1e-6)


def test_how_often_may_differ_between_replicates():
    trace = play(
        linear(2), Every(jnp.array([1, 2, 5]), Clock()), Clock(), key=KEY, rounds=10, replicates=3,
        in_axes=(None, 0, None), record=Record.final(),
    )  # fmt: skip
    np.testing.assert_array_equal(trace.strategies[0][:, -1], [10, 5, 2])


# Noise


def test_the_noise_of_a_round_may_be_its_key():
    class Sampler(Clock):
        def draw(self, view, key):
            return key

        def act(self, view, state, noise, seen):
            return jax.random.normal(noise, (), view.dtype)

        def strategy(self, view, state, seen):
            return jnp.zeros((), view.dtype)

    trace = play(linear(2), Sampler(), Sampler(), key=KEY, rounds=3, replicates=2, record=Record.every(1))
    assert np.unique(np.stack(trace.actions)).size == 12


def test_a_state_may_hold_a_key():
    class Walker(Clock):
        def init(self, view, key):
            return key

        def act(self, view, state, noise, seen):
            return jax.random.normal(state, (), view.dtype)

        def update(self, view, state, noise, signals):
            return jax.random.fold_in(state, 0)

    game = linear(2)

    def run(rounds, **options):  # 4 and 8 rounds have the same number of records, and one program
        record = Record.log_spaced(3)
        return play(game, Walker(), Clock(), key=KEY, rounds=rounds, replicates=3, record=record, **options)

    whole = run(8)
    assert np.unique(whole.actions[0]).size == 9
    np.testing.assert_array_equal(run(8, chunk=2).actions[0], whole.actions[0])
    np.testing.assert_array_equal(run(4, resume=run(4)).actions[0][:, -1], whole.actions[0][:, -1])


def test_a_noisy_game_pays_noise_of_its_variance_and_records_none():
    """Chi-square of 4000 payments a player, correlation between players. False alarms: 3e-6."""

    class Reads(Clock):
        wants = Signal.PAYOFF

        def init(self, view, key):
            return jnp.zeros(200, view.dtype), jnp.int32(0)

        def act(self, view, state, noise, seen):
            return jnp.zeros((), view.dtype)

        def update(self, view, state, noise, signals):
            return state[0].at[state[1]].set(signals.payoff), state[1] + 1

    game = Noisy(linear(2), payoff_variance=9.0)
    trace = play(game, Reads(), Reads(), key=KEY, rounds=200, replicates=20, record=Record.every(50))
    np.testing.assert_array_equal(trace.payoffs, np.zeros((20, 4, 2)))
    paid = np.stack([np.asarray(state[0]).ravel() for state in trace.state]).astype(float) / 3
    for squares in np.sum(paid**2, axis=1):
        assert scipy.stats.chi2.isf(1 - 5e-7, 4000) < squares < scipy.stats.chi2.isf(5e-7, 4000)
    assert abs(np.sum(paid[0] * paid[1])) / np.sqrt(4000) < scipy.stats.norm.isf(5e-7)


# Batches of games and of hyper-parameters


def quadratics(n, dims=(1, 2)):
    """A batch of random concave games."""
    rng, d = np.random.default_rng(1), sum(dims)
    arrays = [rng.normal(size=(n, d, d)) / d + 3 * np.eye(d) for _ in dims], [rng.normal(size=(n, d)) for _ in dims]
    matrices, vectors = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), arrays)
    return jax.vmap(lambda Q, b: Quadratic(Q, b, dims))(matrices, vectors)


def run_quadratic(game, step, ids, in_axes=None, start=None):
    return play(
        game, HierarchicalAscent(step, noise_variance=0.1), GradientAscent(0.2, noise_variance=0.1),
        key=KEY, rounds=6, replicates=ids, in_axes=in_axes, start=start, record=Record.every(3),
    )  # fmt: skip


def test_a_batch_is_the_same_as_separate_runs():
    games = quadratics(4)
    steps = jnp.array([0.01, 0.02, 0.05, 0.1])
    ids = [3, 8, 0, 8]
    together = run_quadratic(games, steps, ids, in_axes=(0, 0, None))
    for i in (1, 3):  # both meet the noise of replicate 8
        alone = run_quadratic(jax.tree.map(lambda x, i=i: x[i], games), steps[i], ids[i : i + 1])
        for name in ("strategies", "actions", "payoffs", "state"):
            for a, b in zip(
                jax.tree.leaves(getattr(together, name)), jax.tree.leaves(getattr(alone, name)), strict=True
            ):
                np.testing.assert_allclose(a[i : i + 1], b, rtol=1e-4, atol=1e-5)


def test_axes_are_a_prefix_and_may_be_any_axis():
    games = quadratics(4)
    steps = jnp.array([0.01, 0.02, 0.05, 0.1])
    expected = run_quadratic(games, steps, 4, in_axes=(0, 0, None)).payoffs
    last = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), games.Q)
    moved = eqx.tree_at(lambda g: g.Q, games, last)
    axes = eqx.tree_at(lambda g: g.Q, jax.tree.map(lambda _: 0, games), jax.tree.map(lambda _: -1, games.Q))
    np.testing.assert_array_equal(run_quadratic(moved, steps, 4, in_axes=(axes, 0, None)).payoffs, expected)
    np.testing.assert_array_equal(run_quadratic(games, steps, 4, in_axes=[0, 0, None]).payoffs, expected)
    # One axis for all: Python numbers are shared wherever they stand.
    np.testing.assert_array_equal(run_quadratic(games, steps, 4, in_axes=0).payoffs, expected)


# Starts


def starts_of(start, replicates, spaces=(LINE, Euclidean((3,)))):
    game = from_payoffs(lambda x, y: x, lambda x, y: jnp.sum(y), spaces=spaces)
    trace = play(
        game,
        GradientAscent(0.1),
        GradientAscent(0.1),
        key=KEY,
        rounds=1,
        replicates=replicates,
        start=start,
        record=Record.final(),
    )
    return [np.asarray(x) for x in trace.initial]


def test_a_start_is_shared_or_each_replicates_own():
    one, vector = np.float32(0.5), np.arange(3, dtype=np.float32)
    own = np.array([1.0, 2.0, 3.0], np.float32)
    x, y = starts_of((own, vector), 3)  # as many replicates as coordinates: the shape decides
    np.testing.assert_array_equal(x, own)
    np.testing.assert_array_equal(y, [vector] * 3)
    x, y = starts_of((one, jnp.eye(3)), 3)
    np.testing.assert_array_equal(x, [0.5] * 3)
    np.testing.assert_array_equal(y, np.eye(3))
    x, y = starts_of([0.5, vector], None)
    assert x == 0.5 and y.tolist() == [0, 1, 2]


def test_without_a_start_every_replicate_samples_its_own():
    x, y = starts_of(None, 3)
    assert np.unique(x).size == 3 and np.unique(y).size == 9
    again, given = starts_of((None, np.zeros(3, np.float32)), 3)
    np.testing.assert_array_equal(again, x)
    assert not given.any()


def test_starts_are_pytrees_like_the_actions():
    network = Euclidean({"w": (2, 3), "b": (2,)})
    game = from_payoffs(lambda n, y: jnp.sum(n["w"]), lambda n, y: y, spaces=(network, LINE))
    start = {"w": jnp.stack([jnp.ones((2, 3)), jnp.zeros((2, 3))]), "b": jnp.ones(2)}  # a start each, and a shared one
    options = {"rounds": 1, "replicates": 2, "start": (start, None), "record": Record.final()}
    x = play(game, GradientAscent(0.1), Fixed(0.0), key=KEY, **options).initial[0]
    np.testing.assert_array_equal(x["w"], start["w"])
    np.testing.assert_array_equal(x["b"], np.ones((2, 2)))


def test_arrays_decide_the_type_and_numbers_follow(x64):
    def dtype(game, start=None):
        trace = play(
            game, GradientAscent(0.1), GradientAscent(0.1), key=KEY, rounds=2, start=start, record=Record.final()
        )
        assert trace.payoffs.dtype == trace.strategies[0].dtype == trace.state[1].action.dtype
        return trace.payoffs.dtype

    assert dtype(DUOPOLY) == jnp.float64
    assert dtype(DUOPOLY, (jnp.float32(40.0), 20.0)) == jnp.float32
    single = Quadratic([jnp.eye(2, dtype=jnp.float32)] * 2, [jnp.ones(2, jnp.float32)] * 2, (1, 1))
    assert dtype(single) == jnp.float32
    assert dtype(jax.tree.map(lambda x: x.astype(jnp.float64), single)) == jnp.float64


@pytest.mark.parametrize("precision", [jnp.float32, jnp.float64])
def test_every_kind_of_learner_runs_in_either_precision(x64, precision):
    game = Noisy(
        jax.tree.map(lambda x: jnp.asarray(x, precision), DUOPOLY), payoff_variance=jnp.asarray(1.0, precision)
    )
    pairs = [
        (HiC(PowerLaw(0.1, 1.0), PowerLaw(5.0, 1 / 6), 3), Every(2, GradientAscent(optimizer=optax.sgd(0.1)))),
        (HierarchicalAscent(PowerLaw(0.1, 1.0), damping=0.1, noise_variance=0.1), BestResponse()),
    ]
    for pair in pairs:
        trace = play(game, *pair, key=KEY, rounds=6, replicates=2, record=Record.every(3))
        floats = [
            x.dtype for x in jax.tree.leaves((trace.strategies, trace.payoffs, trace.state)) if x.dtype.kind == "f"
        ]
        assert set(floats) == {jnp.dtype(precision)} and not np.any(trace.status)
