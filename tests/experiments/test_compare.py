"""Comparisons, their reduction, and their files."""

import errno
import json
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray

from stackjax import Learner, Record, Signal, Status, experiments, play
from stackjax.experiments import results
from stackjax.games import CournotDuopoly, TorusLocation, from_payoffs
from stackjax.learners import BestResponse, Fixed, GradientAscent, HierarchicalAscent
from stackjax.schedules import PowerLaw
from stackjax.spaces import Euclidean

DUOPOLY = CournotDuopoly()
METHODS = {
    "ascent": (GradientAscent(0.1, noise_variance=1.0), GradientAscent(0.2)),
    "fiez": (HierarchicalAscent(0.1, noise_variance=1.0), BestResponse()),
}


@pytest.fixture(scope="module")
def duopoly():
    return experiments.compare(DUOPOLY, METHODS, rounds=30, replicates=6, seed=3, command="a command")


def trees():
    """A leader with a pytree of an action, whose equilibrium is where its target and its follower's are."""
    spaces = (Euclidean({"w": (2, 3), "b": ()}), Euclidean((2,)))
    return from_payoffs(
        lambda x, y: -jnp.sum((x["w"] - 1) ** 2) - (x["b"] - 2) ** 2,
        lambda x, y: -jnp.sum((y - x["b"]) ** 2),
        spaces=spaces,
    )


def quartic():
    """Ascent with the step 0.1 converges from within |x| < sqrt(5), and leaves all bounds from outside."""
    return from_payoffs(lambda x, y: -(x**4), lambda x, y: -((y - x) ** 2), spaces=(Euclidean(()),) * 2)


def test_it_is_what_play_plays_with_common_random_numbers(duopoly):
    assert dict(duopoly.sizes) == {"methods": 2, "replicate": 6, "rounds": 30, "player": 2}
    assert duopoly["methods"].values.tolist() == ["ascent", "fiez"]
    assert duopoly["player"].values.tolist() == ["leader", "follower"]
    for name, learners in METHODS.items():
        trace = play(
            DUOPOLY,
            *learners,
            key=jax.random.key(3),
            rounds=30,
            replicates=6,
            record=Record.log_spaced(150),
        )
        one = duopoly.sel(methods=name)
        np.testing.assert_array_equal(one["rounds"], trace.rounds)
        for i in range(2):
            np.testing.assert_array_equal(one[f"strategy_{i}"], trace.strategies[i])
        np.testing.assert_array_equal(one["payoffs"], trace.payoffs)
        np.testing.assert_array_equal(one["solves_calls"][..., 0], trace.calls[0].solves)
    np.testing.assert_array_equal(*duopoly["initial_0"].values)
    assert len(set(duopoly["initial_0"].values[0].tolist())) == 6


def test_distances_are_each_players_to_the_games_equilibria(duopoly):
    for name, equilibrium in {"nash": (92 / 3, 101 / 3), "stackelberg": (46, 26)}.items():
        distance = duopoly[f"distance_to_{name}"]
        assert distance.dims == ("methods", "replicate", "rounds", "player")
        for i, (player, at) in enumerate(zip(("leader", "follower"), equilibrium, strict=True)):
            expected = np.abs(duopoly[f"strategy_{i}"] - at)
            np.testing.assert_allclose(distance.sel(player=player), expected, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(duopoly[f"{name}_{i}"], at, rtol=1e-6)
    np.testing.assert_allclose(duopoly["stackelberg_payoffs"], [1058, 676], rtol=1e-5)


def test_distances_are_those_of_the_players_spaces():
    class Circle(Euclidean):
        def difference(self, a, b):
            return jnp.mod(a - b + jnp.pi, 2 * jnp.pi) - jnp.pi

    game = from_payoffs(lambda x, y: jnp.cos(x[0]), lambda x, y: jnp.cos(y), spaces=(Circle((2,)), Euclidean(())))
    methods = {"a": (Fixed(jnp.array([3.0, -3.0])), Fixed(3.0))}
    data = experiments.compare(game, methods, rounds=1, replicates=1, nash=(jnp.array([-3.0, -3.0]), -3.0))
    np.testing.assert_allclose(data["distance_to_nash"][0, 0, 0], [2 * math.pi - 6, 6], rtol=1e-5)


def test_chunks_change_nothing():
    """Two chunks of three: the last one is filled up with a copy, which is dropped."""
    methods = {"ascent": METHODS["ascent"]}
    ids = [7, 3, 11, 2, 5]
    options = {"rounds": 10, "replicates": ids, "start": (jnp.linspace(10.0, 60.0, 5), 30.0)}
    whole = experiments.compare(DUOPOLY, methods, **options)
    pieces = experiments.compare(DUOPOLY, methods, chunk=3, **options)
    assert pieces["replicate"].values.tolist() == ids
    np.testing.assert_allclose(pieces["initial_0"][0], np.linspace(10, 60, 5), rtol=1e-6)
    for name in ("strategy_0", "strategy_1", "payoffs", "distance_to_nash", "gradients_calls"):
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-5)


def test_given_equilibria_take_the_place_of_the_games():
    data = experiments.compare(
        DUOPOLY,
        {"a": (Fixed(3.0), Fixed(4.0))},
        rounds=1,
        replicates=2,
        nash=(0.0, 0.0),
        stackelberg=(3.0, 5.0),
    )
    np.testing.assert_allclose(data["distance_to_nash"][0, 0, 0], [3.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(data["distance_to_stackelberg"][0, 0, 0], [0.0, 1.0], rtol=1e-6)


def test_an_equilibrium_that_the_game_marks_as_absent_gives_no_distance():
    game = TorusLocation(phi=(0.1, 0.2))  # known for equal angles alone
    data = experiments.compare(game, {"a": (Fixed(3.0), Fixed(4.0))}, rounds=1, replicates=1)
    assert not [name for name in data.variables if "nash" in str(name) or "stackelberg" in str(name)]


def test_summary_leaves_failed_replicates_out():
    start = (jnp.array([0.5, 1.0, 4.0, 1.5, 5.0]), 0.0)
    follower = GradientAscent(0.1)
    methods = {"some": (GradientAscent(0.1), follower), "all": (GradientAscent(10.0), follower)}
    data = experiments.compare(
        quartic(), methods, rounds=12, replicates=5, start=start, nash=(0.0, 0.0), record=Record.every(3)
    )
    np.testing.assert_array_equal(data["status"][0] != Status.OK, [False, False, True, False, True])
    found = experiments.summary(data)
    assert found["failed"].values.tolist() == [2, 5]
    assert int(found["replicates"]) == 5 and int(found["rounds"]) == 12
    assert found["distance_to_nash"].dims == ("methods", "quantile", "player")
    for player in ("leader", "follower"):
        good = data["distance_to_nash"].sel(methods="some", player=player).values[[0, 1, 3], -1]
        quartiles = found["distance_to_nash"].sel(methods="some", player=player)
        np.testing.assert_allclose(quartiles, np.quantile(good, [0.25, 0.5, 0.75]), rtol=1e-6)
    assert bool(np.isnan(found["distance_to_nash"][1]).all()) and bool(np.isnan(found["payoffs"][1]).all())
    np.testing.assert_array_equal(found["gradients_calls"][0], [12, 12])


def test_values_that_are_not_finite_are_left_out_and_counted():
    """The leader's payoff, which nobody is shown, is NaN or infinite in three of five replicates; none fails."""
    game = from_payoffs(lambda x, y: jnp.log(y), lambda x, y: 0 * y - x, spaces=(Euclidean(()),) * 2)
    start = (1.0, jnp.array([-1.0, 1.0, 0.0, 4.0, -2.0]))
    methods = {"some": (Fixed(1.0), GradientAscent(0.1)), "none": (Fixed(1.0), Fixed(-1.0))}
    data = experiments.compare(game, methods, rounds=4, replicates=5, start=start, record=Record.every(2))
    found = experiments.summary(data)
    assert found["failed"].values.tolist() == [0, 0] and found["left_out"].values.tolist() == [3, 5]
    expected = np.quantile(np.log([1.0, 4.0]), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(found["payoffs"].sel(methods="some", player="leader"), expected, rtol=1e-6)
    np.testing.assert_allclose(found["payoffs"].sel(player="follower"), -1.0)
    assert bool(np.isnan(found["payoffs"].sel(methods="none", player="leader")).all())


def test_learners_with_other_reports_stand_side_by_side():
    class Reporting(Learner):
        wants = Signal(0)

        def init(self, view, key):
            return jnp.int32(0)

        def act(self, view, state, noise, seen):
            return jnp.asarray(20.0)

        def update(self, view, state, noise, signals):
            return state + 1

        def report(self, view, state):
            return {"turns": state}

    data = experiments.compare(
        DUOPOLY,
        {"plain": (Fixed(1.0), Fixed(2.0)), "reporting": (Reporting(), Fixed(2.0))},
        rounds=4,
        replicates=2,
        record=Record.every(2),
    )
    np.testing.assert_array_equal(data["turns_0"][1], [[2, 4], [2, 4]])
    assert bool(np.isnan(data["turns_0"][0]).all())


def test_compilation_is_told_apart():
    methods = {"a": (GradientAscent(PowerLaw(0.1, 0.3, 2.0)), GradientAscent(0.3))}
    options = {"rounds": 9, "replicates": 3, "record": Record.every(4)}
    first, second = (experiments.compare(DUOPOLY, methods, **options) for _ in range(2))
    assert float(first["compile_seconds"][0]) > 0.02
    assert float(second["compile_seconds"][0]) < 0.5 * float(first["compile_seconds"][0])
    assert float(second["seconds"][0]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": {}}, "methods: expected at least one"),
        ({"rounds": 0}, "rounds: expected at least 1"),
        ({"replicates": 0}, "replicates: expected at least 1"),
        ({"replicates": None}, "replicates: expected a number or ids"),
        ({"seed": -1}, "seed: expected"),
        ({"seed": 2**32}, "seed: expected"),
        ({"replicates": 2**40}, r"^replicates: 2 methods x 1099511627776 replicates x 5 records .* GiB; the limit is"),
        ({"rounds": 2**31 - 1, "replicates": 10**6, "record": Record.every(1)}, "^replicates: .* x 2147483647 records"),
        ({"nash": (1.0,)}, "nash: expected one action a player"),
        ({"stackelberg": (1.0, [1.0, 2.0])}, "stackelberg: player 1: expected an action"),
        ({"action_labels": ("q",)}, "action_labels: expected one label a player"),
    ],
)
def test_bad_arguments_are_named(options, message):
    arguments = {"methods": METHODS, "rounds": 5, "replicates": 2} | options
    with pytest.raises(ValueError, match=message):
        experiments.compare(DUOPOLY, **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": {"a": GradientAscent(0.1)}}, "^methods: 'a': expected one learner a player"),
        ({"methods": {"a": "ascent"}}, "^methods: 'a': expected one learner a player"),
        ({"seed": "a"}, r"^seed: expected an integer in \[0, 2\^32\), got 'a'"),
        ({"seed": 1.5}, "^seed: expected an integer"),
        ({"record": "final"}, "^record: expected a Record"),
        ({"replicates": 1e5}, "^replicates: expected a whole number"),
    ],
)
def test_arguments_of_other_types_are_named(options, message):
    with pytest.raises(TypeError, match=message):
        experiments.compare(DUOPOLY, **({"methods": METHODS, "rounds": 5, "replicates": 2} | options))


def test_an_error_names_its_method():
    with pytest.raises(ValueError, match="2 players, got 1") as caught:
        experiments.compare(DUOPOLY, METHODS | {"alone": (Fixed(1.0),)}, rounds=5, replicates=2)
    assert caught.value.__notes__ == ["(in the method 'alone')"]


def test_files_keep_everything(duopoly, tmp_path):
    experiments.save(duopoly, tmp_path / "a.nc")
    again = experiments.load(tmp_path / "a.nc")
    xarray.testing.assert_identical(again, duopoly)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]
    assert again.attrs["seed"] == 3 and again.attrs["command"] == "a command"
    assert again.attrs["jax_version"] == jax.__version__
    leader = json.loads(again.attrs["configuration"])["methods"]["fiez"][0]
    assert leader["class"] == "HierarchicalAscent" and leader["noise_variance"] == 1.0
    assert leader["step"] == {"class": "Constant", "value": 0.1}


@pytest.mark.slow
def test_actions_that_are_pytrees(tmp_path):
    target = ({"w": jnp.ones((2, 3)), "b": 2.0}, jnp.array([2.0, 2.0]))
    data = experiments.compare(
        trees(),
        {"ascent": (GradientAscent(0.1), BestResponse())},
        rounds=5,
        replicates=3,
        stackelberg=target,
    )
    squares = (data["strategy_0['w']"] - 1) ** 2
    expected = squares.sum(("strategy_0['w']_0", "strategy_0['w']_1"))
    leader = np.sqrt(expected + (data["strategy_0['b']"] - 2) ** 2)
    follower = np.sqrt(((data["strategy_1"] - 2) ** 2).sum("strategy_1_0"))
    for player, expected in (("leader", leader), ("follower", follower)):
        np.testing.assert_allclose(data["distance_to_stackelberg"].sel(player=player), expected, rtol=1e-5)
    experiments.save(data, tmp_path / "trees.nc")
    xarray.testing.assert_identical(experiments.load(tmp_path / "trees.nc"), data)


def test_nothing_half_written_is_left(duopoly, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.nc"
    path.write_text("what was there")
    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"can't write .*a\.nc: No space left"):
        patch.setattr(results.os, "fsync", full)
        experiments.save(duopoly, path)
    assert path.read_text() == "what was there"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_a_folder_that_is_not_there_is_made(duopoly, tmp_path):
    experiments.save(duopoly, tmp_path / "new" / "er" / "a.nc")
    assert [p.name for p in (tmp_path / "new" / "er").iterdir()] == ["a.nc"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^can't write in the folder .*/file: it is a file$"):
        experiments.save(duopoly, tmp_path / "file" / "a.nc")
    (tmp_path / "a.nc").mkdir()
    with pytest.raises(OSError, match=r"^can't write .*/a\.nc: Is a directory$"):
        experiments.save(duopoly, tmp_path / "a.nc")


def test_a_trace_is_no_dataset_but_makes_one(tmp_path):
    trace = play(DUOPOLY, *METHODS["ascent"], key=jax.random.key(0), rounds=3)
    with pytest.raises(
        TypeError, match=r"^dataset: expected a dataset from .*experiments or .*to_xarray\(\), got a Trace$"
    ):
        experiments.save(trace, tmp_path / "a.nc")
    for function, kind in (
        (experiments.summary, "a comparison or a sweep, got one without replicate"),
        (experiments.table, "a comparison, got one without methods or replicate"),
    ):
        with pytest.raises(TypeError, match=r"^dataset: expected a dataset from .*compare, got a Trace$"):
            function(trace)
        with pytest.raises(ValueError, match=f"expected the result of {kind}"):
            function(trace.to_xarray())
    experiments.save(trace.to_xarray(), tmp_path / "a.nc")
    np.testing.assert_array_equal(experiments.load(tmp_path / "a.nc")["strategy_0"], trace.strategies[0])
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing\.nc"):
        experiments.load(tmp_path / "nothing.nc")
    (tmp_path / "text.nc").write_text("no data")
    with pytest.raises(ValueError, match=r"text\.nc can't be read as a NetCDF file"):
        experiments.load(tmp_path / "text.nc")
    xarray.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="not a result of stackjax"):
        experiments.load(tmp_path / "other.nc")


def test_a_folder_is_tried_before_it_is_needed(tmp_path):
    assert results.check_writable(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below"):
        with pytest.raises(OSError, match=f"can't write in the folder .*{folder}"):
            results.check_writable(tmp_path / folder)


def test_a_description_has_all_the_numbers():
    described = results.describe((GradientAscent(optimizer=optax.adam(0.25, b1=0.7)), DUOPOLY, trees()))
    text = json.dumps(described)
    assert "-0.25" in text and '"b1": 0.7' in text and "0x" not in text
    assert described[1]["costs"] == [5.0, 2.0]
    assert described[2]["spaces"][0]["shapes"] == [[], [2, 3]]
    big = results.describe(jnp.arange(20_000))
    assert big["shape"] == [20_000] and len(big["sha256"]) == 64
    assert results.describe(math.pi) == math.pi


def test_importing_is_light():
    code = (
        "import sys, stackjax, stackjax.catalogue, stackjax.experiments, stackjax.plots, stackjax.cli\n"
        "print([m for m in ('xarray', 'matplotlib', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
