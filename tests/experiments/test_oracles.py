"""`experiments.lead`: what it counts, what it values, what it keeps, and its errors."""

import itertools
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import catalogue, experiments, play
from stackjax.equilibria import deterministic_leaders, ground_truths, myopic_leader
from stackjax.experiments import Leading, lead, steps_to_reach
from stackjax.games import IteratedMatrixGame, MarkovGame
from stackjax.learners import BestResponse, ContextualFollower, Fixed, GradientAscent, QLearning

ENGINE = sys.modules[experiments.run.__module__]
MODULE = sys.modules[experiments.lead.__module__]
HORIZON = 2
GAME = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=HORIZON)
ROUNDS, SEEDS = {"sampled": 20, "inner": 5}, [3, 0]
INNER = {"inner": Leading(Fixed(jnp.zeros((5, 2))), QLearning(8))}
#: Shared, as each would compile its own programs.
OPTIONS = {"rounds": ROUNDS, "replicates": SEEDS, "points": 6, "seed": 1, "progress": False, "truths": False}


def train(game, key):
    """Random policies, which stand for a training of 512 episodes."""
    policies = jax.nn.softmax(3 * jax.random.normal(key, (32, HORIZON, 5, 2)))
    return ContextualFollower((policies,), 2, environment_steps=512 * (HORIZON + 5))


@pytest.fixture(scope="module")
def data():
    """Both kinds of leaders, small."""
    return lead(GAME, {"sampled": Leading(GradientAscent(3.0), train, episodes=2)} | INNER, **OPTIONS)


def test_its_layout(data):
    assert dict(data.sizes) == {"methods": 2, "replicate": 2, "record": 6, "observation": 5, "leader_action": 2}
    assert data["rounds"].values[:, -1].tolist() == list(ROUNDS.values())
    assert data["rounds"].sel(methods="inner").values.tolist() == [1, 2, 3, 4, 5, 5]  # the last one repeated
    assert not np.any(data["status"])
    np.testing.assert_allclose(data["policy"].sum("leader_action"), 1, atol=1e-6)
    assert data.attrs["result"] == "leading" and data.attrs["ties"] == "optimistic"


def test_all_steps_are_counted(data):
    """512 episodes of 2 steps and 5 queries before; then 2 such episodes a round; 8 of practice and one of play."""
    before = 512 * (2 + 5)
    np.testing.assert_array_equal(data["training_steps"], [[before] * 2, [0] * 2])
    steps = data["environment_steps"].isel(replicate=0)
    np.testing.assert_array_equal(steps.sel(methods="sampled"), before + data["rounds"].sel(methods="sampled") * 14)
    np.testing.assert_array_equal(steps.sel(methods="inner"), data["rounds"].sel(methods="inner") * 18)


def test_values_are_those_of_the_recorded_policies_and_the_replicate_s_own_follower(data):
    """Trained again from the key of the replicate; seed and id are all that it takes."""
    patterns = np.array(list(itertools.product([0, 1], repeat=5)))

    @jax.jit
    def value(policy, key):
        follower = train(GAME, jax.random.fold_in(key, 1))
        likely = jnp.prod(jnp.take_along_axis(policy[None], patterns[:, :, None], 2)[..., 0], 1)
        return likely @ jax.vmap(lambda y: GAME.payoffs(policy, y)[0])(follower.policies[0])

    last = data.sel(methods="sampled").isel(record=-1)
    for i, seed in enumerate(SEEDS):
        found = value(jnp.asarray(last["policy"].values[i]), jax.random.fold_in(jax.random.key(1), seed))
        np.testing.assert_allclose(found, last["value"].values[i], atol=1e-5)


def test_an_even_leader_s_commitment_is_answered_by_defection(data):
    """The leader is paid -3 or -2, half of the time each."""
    np.testing.assert_allclose(data["commitment_value"].sel(methods="inner"), -2.5, atol=1e-6)
    np.testing.assert_allclose(data["policy"].sel(methods="inner"), 0.5)


def test_it_saves_loads_and_prints(data, tmp_path):
    from rich.console import Console

    experiments.save(data.assign_attrs(optimum_optimistic=-1.25), tmp_path / "a.nc")
    again = experiments.load(tmp_path / "a.nc")
    np.testing.assert_array_equal(again["value"], data["value"])
    for width in (140, 60):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(experiments.table(again, width))
        printed = captured.get()
        assert "sampled" in printed and "best deterministic leader: -1.25" in printed


def test_steps_to_reach_is_where_it_stays():
    import xarray

    dims = ("methods", "replicate", "record")
    values = np.array([[[0, 2, 0, 2, 2], [0, 0, 0, 0, 2], [2, 2, 2, 2, 0], [np.nan] * 5]], float)
    steps = np.broadcast_to(np.arange(5.0), values.shape).copy()
    steps[0, 3] = np.nan
    dataset = xarray.Dataset(
        {"value": (dims, values), "environment_steps": (dims, steps), "status": (dims[:2], np.zeros((1, 4), np.int8))}
    )
    np.testing.assert_array_equal(steps_to_reach(dataset, 1.0), [[3, 4, np.inf, np.nan]])
    with pytest.raises(ValueError, match="variable"):
        steps_to_reach(dataset, 1.0, "policy")
    with pytest.raises(ValueError, match="without record"):
        steps_to_reach(dataset.isel(record=0), 1.0)
    for target, error in ((np.nan, ValueError), ("a", TypeError), (np.ones(2), ValueError), (None, TypeError)):
        with pytest.raises(error, match="target"):
            steps_to_reach(dataset, target)


def test_failed_replicates_are_counted_and_nothing_else_is_nan(monkeypatch, data):
    """One of two is said to have failed."""

    def failing(*players, **options):
        trace = play(*players, **options)
        return eqx.tree_at(lambda t: t.status, trace, trace.status.at[1].set(1))

    monkeypatch.setattr(ENGINE, "play", failing)
    found = lead(GAME, INNER, **OPTIONS | {"rounds": ROUNDS["inner"]})
    assert found["status"].values.tolist() == [[0, 1]]
    for name in ("value", "commitment_value", "policy", "environment_steps"):
        assert np.all(np.isnan(found[name][0, 1])), name
        np.testing.assert_array_equal(found[name][0, 0], data[name].sel(methods="inner")[0, :5])


def test_a_myopic_leader_has_a_dominant_action():
    np.testing.assert_array_equal(myopic_leader(GAME), [[0, 1]] * 5)
    np.testing.assert_array_equal(myopic_leader(catalogue.MARKOV_GAMES["corridor"].make()), [[1, 0]] * 5)
    assert myopic_leader(MarkovGame.repeated(IteratedMatrixGame.chicken(), horizon=2)) is None
    blind = MarkovGame.repeated(IteratedMatrixGame.chicken(), horizon=2, observations=([0] * 5, None))
    assert myopic_leader(blind) is None


@pytest.mark.slow
def test_the_ground_truths_of_the_prisoner_s_dilemma():
    """Golden: the optimum, and the ceiling of an independent search at p = [0, .838, 0, 1, 0]."""
    found = ground_truths(catalogue.MARKOV_GAMES["prisoners-dilemma"].make())
    expected = {"optimum_optimistic": -1.1, "optimum_pessimistic": -1.1, "ceiling": -1.0697, "myopic": -2.0}
    assert found == pytest.approx(expected, abs=1e-4)


def test_ground_truths_need_a_game_that_can_be_enumerated():
    wide = MarkovGame(np.ones((17, 2, 2, 17)) / 17, np.zeros((2, 17, 2, 2)), horizon=1)
    with pytest.raises(ValueError, match="at most 65536 deterministic leaders"):
        deterministic_leaders(wide)
    with pytest.raises(TypeError, match="MarkovGame"):
        myopic_leader(IteratedMatrixGame.chicken())


def test_what_the_catalogue_names_goes_together():
    for entry in catalogue.MARKOV_GAMES.values():
        game = entry.make()
        assert len(entry.states) == game.observation_counts[0] and len(entry.actions) == game.action_counts[0]
        assert entry.query_rewards().shape == (5, 2)
    names = [*catalogue.MARKOV_GAMES, *catalogue.ORACLES, *catalogue.MARKOV_LEADERS]
    assert all(name == name.lower() and " " not in name for name in names)


def test_a_leader_who_follows_a_gradient_against_an_inner_loop():
    """Its value is estimated: between those of a follower who knows the game's best and worst answers."""
    data = lead(GAME, {"a": Leading(GradientAscent(1.0), QLearning(4), episodes=3)}, **OPTIONS | {"rounds": 10})
    assert not np.any(data["status"]) and np.all(np.isfinite(data["value"]))
    np.testing.assert_array_equal(data["environment_steps"].isel(methods=0, replicate=0), data["rounds"][0] * 3 * 5 * 2)
    again = lead(GAME, {"a": Leading(GradientAscent(1.0), QLearning(4), episodes=3)}, **OPTIONS | {"rounds": 10})
    np.testing.assert_array_equal(data["value"], again["value"])
    values = data["value"].values
    assert np.all((values >= -3) & (values <= 0)) and np.ptp(values) > 0


def test_too_many_queries_are_refused_before_training(monkeypatch):
    """The training isn't compiled, nor are ground truths sought."""

    def curious(game, key):
        table = jax.random.uniform(key, (2**14, HORIZON, 5, 2))
        return ContextualFollower((table / table.sum(-1, keepdims=True),), 2, queries=[0, 1] * 7)

    monkeypatch.setattr(MODULE, "_Followers", None)  # a call would be another TypeError
    monkeypatch.setattr(MODULE, "ground_truths", None)
    with pytest.raises(ValueError, match="14 queries of 2 actions have 16384 patterns of answers, too many"):
        lead(GAME, {"a": Leading(GradientAscent(1.0), curious)}, rounds=1, progress=False)


def test_bad_input():
    ascent, exact = GradientAscent(1.0), train(GAME, jax.random.key(0))
    good = {"a": Leading(ascent, exact)}
    unclocked = MarkovGame.repeated(IteratedMatrixGame.chicken(), horizon=2, clocked=(False, False))
    two = MarkovGame(np.ones((1, 2, 2, 2, 1)), np.zeros((3, 1, 2, 2, 2)), horizon=1)
    for arguments, error, match in (
        ({"game": IteratedMatrixGame.chicken()}, TypeError, "game: expected a MarkovGame"),
        ({"game": two}, ValueError, "one follower"),
        ({"game": unclocked}, ValueError, "player 1 has no clock"),
        ({"methods": {}}, ValueError, "methods"),
        ({"methods": {"a": (ascent, exact)}}, TypeError, "Leading"),
        ({"methods": {"a": Leading(exact, 3)}}, TypeError, "follower"),
        ({"methods": {"a": Leading(ascent, BestResponse())}}, ValueError, "BestResponse is no oracle"),
        ({"methods": {"a": Leading(ascent, QLearning(8))}}, ValueError, "episodes: QLearning is random"),
        ({"methods": {"a": Leading(Fixed(0.0), exact, visible=False)}}, ValueError, "visible"),
        ({"rounds": 0}, ValueError, "rounds"),
        ({"rounds": {"b": 1}}, ValueError, r"rounds.*\['a'\]"),
        ({"rounds": {"a": 2, "b": 3}}, ValueError, r"rounds.*unknown \['b'\]"),
        ({"replicates": [1, 1]}, ValueError, "replicates: expected different ids"),
        ({"methods": {"a": Leading(ascent, lambda game, key: 3)}}, TypeError, "follower.*returns 3"),
        (
            {"methods": {"a": Leading(Fixed(0.0), lambda game, key: BestResponse())}},
            TypeError,
            "follower.*BestResponse",
        ),
        ({"replicates": None}, ValueError, "replicates"),
        ({"spread": -1.0}, ValueError, "spread"),
        ({"points": 0}, ValueError, "points"),
        ({"seed": -1}, ValueError, "seed"),
        ({"states": ["one"]}, ValueError, "states"),
    ):
        with pytest.raises(error, match=match):
            lead(**({"game": GAME, "methods": good, "rounds": 1, "progress": False} | arguments))
