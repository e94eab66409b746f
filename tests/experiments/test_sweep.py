"""Sweeps: what is played in which setting, how it is grouped, cut and labelled, and what is wrong with bad ones."""

import itertools
import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sweep_example
import xarray

from stackjax import Record, Status, catalogue, experiments, play
from stackjax.equilibria import pseudo_regret, tolerant_benchmarks
from stackjax.experiments import grid, log_uniform, zipped
from stackjax.experiments.settings import materialise, parameters, rebuilt, replaced
from stackjax.games import CournotDuopoly, CournotOligopoly, Noisy, bandit_instances, from_payoffs
from stackjax.learners import UCB, Fixed, GradientAscent, HierarchicalAscent, PerArm
from stackjax.play import _run
from stackjax.schedules import PowerLaw
from stackjax.spaces import Euclidean

ENGINE = sys.modules[experiments.run.__module__]

PAIR = (GradientAscent(0.05), GradientAscent(0.2))


def sweep(over=None, game=None, methods=PAIR, **options):
    """Short, on one device."""
    game = CournotDuopoly() if game is None else game
    return experiments.sweep(game, methods, over, **({"rounds": 40, "replicates": 4, "devices": 1} | options))


@pytest.fixture(scope="module")
def example():
    return sweep_example.played()


def test_every_setting_is_what_play_plays(example):
    """Leaves of the learner and of the game, two structures, common random numbers; chunks cut across settings."""
    assert list(example.sizes)[:4] == ["methods", "leader.step", "game.demand", "replicate"]
    assert example.attrs["programs"] == 2 and example.attrs["result"] == "sweep"
    noises = {"slow": 1.0, "noiseless": 0.0}
    for name, step, demand in itertools.product(noises, [0.05, 0.3], [90.0, 100.0]):
        trace = play(
            Noisy(CournotDuopoly(demand), 1.0),
            GradientAscent(step, noise_variance=noises[name]),
            GradientAscent(0.2),
            key=jax.random.key(5),
            rounds=40,
            replicates=4,
            record=Record.log_spaced(30),
        )
        one = example.sel({"methods": name, "leader.step": step, "game.demand": demand})
        np.testing.assert_array_equal(one["rounds"], trace.rounds)
        np.testing.assert_array_equal(one["initial_0"], trace.initial[0])
        for i in range(2):
            np.testing.assert_allclose(one[f"strategy_{i}"], trace.strategies[i], rtol=1e-5)
        np.testing.assert_allclose(one["payoffs"], trace.payoffs, rtol=1e-4)
        np.testing.assert_array_equal(one["gradients_calls"][..., 1], trace.calls[1].gradients)
        target = (demand + 2 - 2 * 5) / 2  # the leader's Stackelberg quantity
        distance = one["distance_to_stackelberg"].sel(player="leader")
        np.testing.assert_allclose(distance, np.abs(trace.strategies[0] - target), rtol=1e-4, atol=1e-3)


def test_chunks_and_devices_change_no_random_number(example):
    """2 runs on each of two devices, and of eight: the same bit for bit; 2 on one device: the same to rounding."""
    example = example.sel(methods=["slow"])
    two, eight = (sweep_example.played(methods=("slow",), chunk=2 * n, devices=n) for n in (2, 8))
    for name in two.data_vars:
        if not name.startswith("distance"):  # measured of a whole chunk at once
            np.testing.assert_array_equal(eight[name], two[name])
    for other in (two, eight):
        for i in range(2):  # samples of the spaces: random numbers and nothing else
            np.testing.assert_array_equal(other[f"initial_{i}"], example[f"initial_{i}"])
        xarray.testing.assert_allclose(other.drop_attrs(), example.drop_attrs(), rtol=1e-4, atol=1e-3)


def test_one_program_for_all_numbers():
    before = _run._cache_size()
    found = sweep(
        grid({"leader.step": [0.1, 0.2]}) * zipped({"game.demand": [80, 90.0], "game.costs.1": [1.0, 2.0]}, dim="m"),
        game=Noisy(CournotDuopoly(), 2.0),
        record=Record.final(),
        chunk=16,
    )
    assert _run._cache_size() - before == 1 and found.attrs["programs"] == 1
    assert found.sizes["leader.step"] == found.sizes["m"] == 2
    np.testing.assert_array_equal(found["game.costs.1"], [1.0, 2.0])
    assert found["game.demand"].dims == ("m",) and found.indexes["m"].tolist() == [0, 1]
    assert json.loads(found.attrs["swept"]) == {"leader.step": ["leader.step"], "m": ["game.demand", "game.costs.1"]}


def test_what_settings_share_is_made_once():
    """A game for each demand, learners for each step: not for each setting; and each setting gets its own."""
    made = []

    def pair(step, game):
        made.append((step, game.demand))
        return (GradientAscent(step), GradientAscent(0.2))

    over = grid({"game.demand": [90.0, 100.0], "step": [0.1, 0.2, 0.3], "follower.step": [0.2, 0.4]})
    found = materialise({"": CournotDuopoly()}, {"": pair}, None, over, 10, {})
    values = [(s.game.demand, s.learners[0].step.value, s.learners[1].step.value) for s in found]
    assert values == list(itertools.product([90.0, 100.0], [0.1, 0.2, 0.3], [0.2, 0.4]))
    assert len({id(s.game) for s in found}) == 2 and len(made) == 12
    found = materialise({"": CournotDuopoly()}, {"": PAIR}, None, grid({"game.demand": [90.0, 100.0]}), 10, {})
    assert found[0].learners is found[1].learners and found[0].game is not found[1].game
    oligopoly = CournotOligopoly((1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="CournotOligopoly has 3 players, got 2 learners"):
        materialise({"": lambda g: g}, {"": PAIR}, None, grid(g={"two": CournotDuopoly(), "three": oligopoly}), 10, {})


def test_random_numbers_of_their_own():
    options = {"record": Record.final(), "chunk": 16}
    apart = sweep({"leader.step": [0.1, 0.2]}, common=False, replicates=[1, 7], **options)
    np.testing.assert_array_equal(apart["replicate_id"], [[1, 7], [9, 15]])
    together = sweep({"leader.step": [0.1, 0.2]}, replicates=[1, 7, 9, 15], **options)
    assert "replicate_id" not in together
    np.testing.assert_array_equal(apart["initial_0"].values.ravel(), together["initial_0"].values[0])


def test_functions_of_what_is_swept(monkeypatch):
    """Other shapes are other programs; values that nobody plays with are measured with; arrays are filled up."""

    def game(arms):
        return bandit_instances.uniform(jax.random.key(3), arms, arms)

    def learners(game, rounds):
        arms = [space.n for space in game.spaces]
        pair = [UCB.tuned(rounds, *arms, role, noise="bernoulli") for role in ("leader", "follower")]
        return tuple(pair)

    over, played = {"gamma": [0.0, 0.2], "arms": [2, 3]}, []
    monkeypatch.setattr(ENGINE, "play", lambda *a, **k: played.append(len(k["replicates"])) or play(*a, **k))
    found = sweep(over, game=game, methods={"ucb": learners}, rounds=50, chunk=8)
    assert found["visits"].shape[-2:] == (3, 3) and found.attrs["programs"] == 2
    assert played == [4, 4]  # gamma is only what the same runs are measured with
    assert found["regret"].dims == ("methods", "gamma", "arms", "replicate", "rounds", "player")
    assert found["visits"].dims[:4] == found["status"].dims == ("methods", "gamma", "arms", "replicate")
    made = game(2)
    key, record = jax.random.key(0), Record.log_spaced(30)
    trace = play(made, UCB(1.0, 50), PerArm(UCB(1.0, 50)), key=key, rounds=50, replicates=4, record=record)
    assert (found["visits"].isel(rounds=-1).sum(("arm_0", "arm_1")) == 50).all()
    for gamma in (0.0, 0.2):
        one = found.sel(arms=2, gamma=gamma, methods="ucb")
        np.testing.assert_array_equal(one["visits"][..., :2, :2], trace.visits)
        benchmark = tolerant_benchmarks(made.leader_means, made.follower_means, gamma)
        np.testing.assert_allclose(one["regret"], pseudo_regret(made, trace, benchmark), atol=1e-9)


def test_several_games_and_learners_without_names():
    games = {"two": CournotDuopoly(costs=(5.0, 3.0)), "noisy": Noisy(CournotDuopoly(), 1.0)}
    found = sweep(
        {"start": [10.0, 40.0]}, game=games, start=lambda start: (start, jnp.full(4, 20.0)), keep=["initial_0"]
    )
    assert found.sizes["games"] == 2 and "methods" not in found.dims
    np.testing.assert_array_equal(found["initial_0"].sel(games="noisy"), [[10.0] * 4, [40.0] * 4])
    assert set(found.data_vars) == {"initial_0", "status", "failed_at"}


def test_three_players_and_other_equilibria():
    """Equilibria that depend on what is swept; one setting has none."""

    def point(value):
        return (1.0, 2.0, value if value else np.nan)

    found = sweep(
        {"player 2.action": [3.0, 5.0], "value": [0.0, 5.0]},
        game=CournotOligopoly(costs=(1.0, 1.0, 1.0)),
        methods=(Fixed(1.0), Fixed(3.0), Fixed(0.0)),
        stackelberg=point,
        rounds=2,
    )
    assert found["player"].values.tolist() == ["player 0", "player 1", "player 2"]
    distance = found["distance_to_stackelberg"].sel(value=5.0).isel(replicate=0, rounds=-1)
    np.testing.assert_allclose(distance, [[0.0, 1.0, 2.0], [0.0, 1.0, 0.0]], atol=1e-6)
    assert bool(np.isnan(found["distance_to_stackelberg"].sel(value=0.0)).all())


def test_failures_stay_where_they_are():
    """Ascent on -x^4 with the step .1 fails from beyond sqrt(5), and no setting fails because of another."""
    game = from_payoffs(lambda x, y: -(x**4), lambda x, y: -((y - x) ** 2), spaces=(Euclidean(()),) * 2)
    methods = (GradientAscent(0.1), GradientAscent(0.1))
    found = sweep({"begin": [1.0, 4.0]}, game=game, start=lambda begin: (begin, 0.0), methods=methods, rounds=12)
    np.testing.assert_array_equal(found["status"] != Status.OK, [[False] * 4, [True] * 4])
    x = 1.0
    for _ in range(12):
        x -= 0.4 * x**3
    np.testing.assert_allclose(found["strategy_0"].sel(begin=1.0)[:, -1], x, rtol=1e-5)


def test_settings_are_named_by_what_differs():
    over = grid({"leader.step": {"fast": 0.3, "slowing": PowerLaw(1.0, 1.0)}, "follower.step": np.array([1, 2])})
    assert over.axes[0].labels["leader.step"].tolist() == ["fast", "slowing"]
    assert over.axes[1].labels["follower.step"].dtype.kind == "i" and over.at((1, 0))["follower.step"] == 1
    assert over.label((0, 1)) == "leader.step = fast, follower.step = 2"
    assert grid(a=[PowerLaw(1.0, 0.5)]).axes[0].labels["a"].tolist() == ["PowerLaw(scale=1.0, exponent=0.5)"]
    assert repr(grid(a=[1, 2]) * zipped(b=[1, 2, 3])) == "Over(a: 2 x setting: 3)"


def test_random_samples_are_log_uniform():
    """Of 4000, the share below the geometric mean is within 4.9 standard errors of a half: false alarms, 1e-6."""
    found = log_uniform(1e-3, 10.0, 4000, seed=1)
    assert found.min() >= 1e-3 and found.max() <= 10.0
    assert abs(np.mean(found < 0.1) - 0.5) < 4.9 * 0.5 / 4000**0.5
    np.testing.assert_array_equal(found, log_uniform(1e-3, 10.0, 4000, seed=1))
    assert found[0] != log_uniform(1e-3, 10.0, 4000, seed=2)[0]


def modules(value):
    """A module and all that it is made of."""
    if isinstance(value, eqx.Module):
        yield value
        value = [getattr(value, name) for name in parameters(type(value))[0]]
    if isinstance(value, tuple | list):
        for inner in value:
            yield from modules(inner)


def test_whatever_is_in_the_catalogue_can_be_made_again():
    """By its constructor, from what it keeps: what a path needs."""
    seen = set()
    for entry in (catalogue.GAMES[name] for name in ("duopoly", "torus", "tandem", "zero-sum-polynomial", "chicken")):
        for module in modules([entry.make(), *(make() for make in entry.methods.values())]):
            if type(module).__name__ in seen:
                continue
            seen.add(type(module).__name__)
            for name in parameters(type(module))[0]:
                again = rebuilt(module, name, getattr(module, name), name)
                assert jax.tree.structure(again) == jax.tree.structure(module)
                for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(module), strict=True):
                    assert a is b or np.array_equal(np.asarray(a), np.asarray(b)), (module, name)
    assert {"HiC", "CommitmentTimes", "PowerLaw", "LOLA", "CournotDuopoly", "TorusLocation"} <= seen


def test_paths_go_through_wrappers_and_constructors():
    leader = HierarchicalAscent(PowerLaw(1.0, 1.0), damping=0.5)
    assert replaced(leader, "leader.step.exponent", 0.7).step.exponent == 0.7
    assert replaced(leader, "leader.step", 2).step.value == 2.0  # a number becomes what the constructor makes of it
    assert replaced(Noisy(CournotDuopoly(), 1.0), "game.costs.0", 3.0).game.costs == (3.0, 2.0)
    assert replaced(PerArm(UCB(1.0, 10)), "follower.width", 2.0).learner.width == 2.0


@pytest.mark.parametrize(
    ("options", "message", "note"),
    [
        (
            {"over": {"leader.stp": [1]}},
            "over: unknown name 'leader.stp'; did you mean 'leader.step'",
            "",
        ),
        ({"over": {"leadr.step": [1]}}, "over: unknown name 'leadr.step'; did you mean 'leader.step'?", None),
        (
            {"over": {"player 2.step": [1]}},
            "over: 'player 2.step': unknown player 'player 2'; did you mean 'player 1'",
            "",
        ),
        ({"over": {"game.costs.2": [1]}}, "over: 'game.costs.2': expected a number below 2", ""),
        (
            {"over": {"leader.step.scale": [1]}},
            "over: unknown name 'leader.step.scale'; did you mean 'leader.step.value'",
            "",
        ),
        ({"over": {"leader.step.value.x": [1]}}, "there is nothing below a float, 0.05, so no 'x'", ""),
        ({"over": {"zz": [1]}}, "over: unknown name 'zz'; known: gamma, game.ARGUMENT, leader.ARGUMENT", None),
        ({"over": {"leader.step": []}}, "over: 'leader.step': expected at least one value", None),
        ({"over": {"leader.step": [0.1, 0.1]}}, "over: two settings have the same label: leader.step = 0.1", None),
        ({"over": {"leader.step": [0.1, float("nan")]}}, "over: 'leader.step': expected finite numbers", None),
        ({"over": {"methods": [1]}}, "over: the name 'methods' is taken", None),
        (
            {"over": {"game.demand": [10.0, -1.0]}},
            "demand: expected values in (0, inf), got -1.0",
            "game.demand = -1.0",
        ),
        ({"over": {"leader.step": [0.1, -0.1]}}, "player 0, GradientAscent: step: expected a positive", "step = -0.1"),
        ({"methods": {}}, "methods: expected at least one name", None),
        ({"game": {}}, "game: expected at least one name", None),
        ({"methods": {"a": PAIR[:1]}}, "2 players, got 1 learners", "the setting a"),
        ({"rounds": 0}, "rounds: expected at least 1", None),
        ({"replicates": None}, "replicates: expected a number or ids, got None", None),
        ({"replicates": 10**9}, "replicates: 1 settings x 1000000000 replicates x 30 records", None),
        ({"replicates": [0, 2**31], "common": False, "over": {"leader.step": [1, 2, 3]}}, "more than 2^32 ids", None),
        ({"seed": -1}, "seed: expected an integer", None),
        ({"benchmark": "tolerent"}, "benchmark: unknown benchmark 'tolerent'; did you mean 'tolerant'?", None),
        ({"devices": 9}, "devices: expected 1 to 8", None),
        ({"chunk": 0}, "chunk: expected at least 1", None),
        ({"out": "a.csv"}, "out: expected a file name in .nc, got 'a.csv'", None),
        ({"nash": (1.0,)}, "nash: expected one action a player", None),
        ({"game": {"a": CournotDuopoly(), "b": CournotOligopoly((1.0, 1.0, 1.0))}}, "got 3 players", None),
    ],
)
def test_bad_sweeps_are_named_before_anything_is_played(options, message, note, monkeypatch):
    monkeypatch.setattr(ENGINE, "play", None)
    with pytest.raises(ValueError) as caught:
        sweep(**({"over": None} | options))
    if message != "got 3 players":
        assert message in str(caught.value)
    if note:
        assert any(note in said for said in caught.value.__notes__)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": [1]}, "over: expected a mapping name -> values"),
        ({"over": {"leader.step": 1.0}}, "over: 'leader.step': expected a sequence of values"),
        ({"over": {"leader.step": np.ones((2, 2))}}, "over: 'leader.step': expected a one-dimensional array"),
        ({"over": {1: [1.0]}}, "over: expected the name of a swept value"),
        ({"over": {"leader.step": ["fast"]}}, "step: expected a number or a schedule"),
        ({"game": lambda: 1}, "game: expected a stackjax Game or a function"),
        ({"methods": lambda: 1}, "methods: expected one learner a player"),
        ({"keep": "payoffs"}, "keep: expected names of variables"),
    ],
)
def test_arguments_of_other_types_are_named(options, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        sweep(**({"over": None} | options))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid(a=[1]) * grid(a=[2]), "over: 'a' is swept twice"),
        (lambda: grid({"a": [1]}, a=[2]), "over: 'a' is swept twice"),
        (lambda: zipped(a=[1, 2], b=[1]), "over: expected as many values of each name"),
        (lambda: zipped(a=[1, 1], b=[2, 2]), "two settings have the same label: a = 1, b = 2"),
        (zipped, "over: expected at least one name"),
        (lambda: log_uniform(0.0, 1.0, 3, 0), "low, high: expected 0 < low < high"),
        (lambda: log_uniform(0.1, 1.0, 0, 0), "n: expected at least 1"),
    ],
)
def test_bad_axes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_estimate_says_what_a_sweep_would_do():
    over = {"leader.step": [0.05, 0.1], "game.demand": [90.0, 100.0]}
    found = experiments.estimate(
        sweep_example.GAME, sweep_example.METHODS, over, rounds=40, replicates=4, chunk=2, devices=1, progress=False
    )
    assert found.axes == {"methods": 2, "leader.step": 2, "game.demand": 2}
    assert (found.settings, found.replicates, found.programs, found.chunks, found.chunk) == (8, 4, 2, 16, 2)
    assert found.seconds > 0 and found.sample_rounds == 40 and len(found.devices) == 1
    data = sweep(over, game=sweep_example.GAME, methods=sweep_example.METHODS, chunk=2)
    recorded = sum(v.nbytes for v in data.data_vars.values() if "rounds" in v.dims)
    assert found.result_bytes == recorded
