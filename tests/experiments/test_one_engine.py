"""The same runs asked for in five ways have the same numbers: `compare`, `sweep`, `regret`, `metagame`, `lead`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, experiments
from stackjax.experiments import Leading
from stackjax.games import CournotDuopoly, IteratedMatrixGame, MarkovGame, Noisy, OracleGame
from stackjax.games.bandit_instances import aligned, etc_failure
from stackjax.learners import UCB, BestResponse, ExploreThenCommit, GradientAscent, HierarchicalAscent, PerArm
from stackjax.play import play
from tests.experiments.test_oracles import train

GAME = Noisy(CournotDuopoly(), payoff_variance=1.0)
METHODS = {
    "ascent": (GradientAscent(0.1, noise_variance=1.0), GradientAscent(0.2)),
    "hierarchical": (HierarchicalAscent(0.1), BestResponse()),
}
PAIRS = {"ucb": (UCB(1.0, 60), PerArm(UCB(1.0, 60))), "etc": (ExploreThenCommit(3), PerArm(ExploreThenCommit(2)))}


def test_a_comparison_is_a_sweep_of_methods():
    options = {"rounds": 40, "replicates": [0, 3, 4, 9, 11], "seed": 2, "record": Record.log_spaced(12), "devices": 1}
    options["start"] = (jnp.linspace(10.0, 50.0, 5), None)
    one, other = (ask(GAME, METHODS, **options) for ask in (experiments.compare, experiments.sweep))
    shared = sorted(name for name in one.data_vars if name in other)
    assert {"distance_to_nash", "payoffs", "strategy_0", "initial_1", "gradients_calls", "failed_at"} <= set(shared)
    for name in shared:
        assert one[name].dims == other[name].dims
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert {"seconds", "compile_seconds", "nash_0"} <= set(one.data_vars) - set(shared)


@pytest.mark.parametrize("benchmark", ["tolerant", pytest.param("stackelberg", marks=pytest.mark.slow)])
def test_regret_is_a_sweeps_at_its_end(benchmark):
    options = {"replicates": 6, "seed": 4, "gamma": 0.1, "benchmark": benchmark, "devices": 1}
    found = experiments.regret(etc_failure(), PAIRS, horizons=[20, 60], **options)
    for horizon in (20, 60):
        swept = experiments.sweep(etc_failure(), PAIRS, rounds=horizon, record=Record.final(), **options)
        one = found.sel(horizon=horizon)
        np.testing.assert_array_equal(one["regret"], swept["regret"].isel(rounds=-1).rename(methods="pairs"))
        np.testing.assert_array_equal(one["utility"], one["benchmark"].values - one["regret"] / horizon)
        np.testing.assert_array_equal(one["status"], swept["status"])


def test_utilities_of_a_meta_game_are_those_of_sweeps():
    """Of two instances, whose replicates alternate."""
    instances = {"a": etc_failure(), "b": aligned()}
    leaders, followers = ({name: pair[i] for name, pair in PAIRS.items()} for i in range(2))
    found = experiments.metagame(leaders, followers, instances, 60, replicates=5, seed=4, resamples=3, devices=1)
    for i, (name, game) in enumerate(instances.items()):
        ids = [2 * r + i for r in range(5)]
        methods = {f"{a}/{b}": (leaders[a], followers[b]) for a in leaders for b in followers}
        swept = experiments.sweep(game, methods, rounds=60, replicates=ids, seed=4, record=Record.final(), devices=1)
        visits = swept["visits"].isel(rounds=-1)
        for player, means in enumerate((game.leader_means, game.follower_means)):
            earned = (visits * np.asarray(means, np.float64)).sum(("arm_0", "arm_1")) / 60
            mine = found["utility"].sel(instance=name)[..., player].values.reshape(4, 5)
            np.testing.assert_allclose(mine, earned, rtol=1e-15, atol=1e-15)


def test_leaders_against_oracles_are_plays_of_their_games():
    """Each replicate has the follower that its own key trains."""
    game = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=2)
    ids = [3, 0]
    methods = {"a": Leading(GradientAscent(3.0), train, episodes=2)}
    found = experiments.lead(game, methods, rounds=9, replicates=ids, points=4, seed=1, truths=False, spread=0.5)
    key = jax.random.key(1)
    for place, one in enumerate(ids):
        own = jax.random.fold_in(key, one)
        start = 0.5 * jax.random.normal(jax.random.fold_in(own, 2), (5, 2))
        played = OracleGame(game, train(game, jax.random.fold_in(own, 1)), episodes=2)
        record = Record.log_spaced(4, payoffs=None)
        trace = play(played, GradientAscent(3.0), key=key, rounds=9, replicates=[one], start=(start,), record=record)
        policy = jax.nn.softmax(trace.strategies[0][0])
        np.testing.assert_allclose(found["policy"][0, place], policy, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(found["rounds"][0], trace.rounds)
