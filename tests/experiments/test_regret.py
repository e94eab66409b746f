"""Regrets by hand, common random numbers, one program for all horizons, failures and the table."""

import contextlib
import itertools
import sys
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from rich.console import Console

from stackjax import Record, Status, experiments, play
from stackjax.equilibria import self_tolerant_benchmarks, stackelberg_benchmarks, tolerant_benchmarks
from stackjax.games import CournotDuopoly, StackelbergBandit
from stackjax.games.bandit_instances import etc_failure
from stackjax.learners import ExploreThenCommit, Fixed, PerArm
from tests.experiments.straying import Straying

ENGINE = sys.modules[experiments.run.__module__]
MODULE = sys.modules[experiments.regret.__module__]
HORIZONS = [10, 30, 90]
PAIRS = {
    "given": (ExploreThenCommit(2), PerArm(ExploreThenCommit(1))),
    "tuned": lambda T: (ExploreThenCommit(T // 10), PerArm(ExploreThenCommit(T // 10))),
}


@pytest.fixture(scope="module")
def data():
    return experiments.regret(etc_failure(), PAIRS, horizons=HORIZONS, replicates=8, seed=3, title="A failure")


@contextlib.contextmanager
def compilations():
    """Counts the programs that XLA compiles."""
    found = []

    def listen(event, duration_secs, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_regret_and_utility_are_those_of_the_arms_that_were_played(data):
    """Of a run of one's own, summed in exact rationals, round by round of the counts."""
    game = etc_failure()
    means = [np.asarray(U) for U in (game.leader_means, game.follower_means)]
    for name, horizon in itertools.product(PAIRS, HORIZONS):
        learners = PAIRS[name](horizon) if callable(PAIRS[name]) else PAIRS[name]
        record = Record.log_spaced(2, strategies=False, payoffs=None)
        trace = play(game, *learners, key=jax.random.key(3), rounds=horizon, replicates=8, record=record)
        visits = trace.visits[:, -1]
        for player, U in enumerate(means):
            alpha = Fraction(float(np.float32([0.6, 0.4][player])))  # both benchmarks, at eps = 0
            for r in range(8):
                outcomes = itertools.product(range(2), range(2))
                earned = sum(int(visits[r, a, b]) * Fraction(float(U[a, b])) for a, b in outcomes)
                at = {"pairs": name, "horizon": horizon, "replicate": r}
                found = data.isel(player=player).sel(at)
                assert float(found["regret"]) == pytest.approx(float(alpha * horizon - earned), abs=1e-9)
                assert float(found["utility"]) == pytest.approx(float(earned / horizon), abs=1e-12)


def test_what_else_is_in_the_dataset(data):
    assert dict(data.sizes) == {"pairs": 2, "horizon": 3, "replicate": 8, "player": 2}
    np.testing.assert_allclose(data["benchmark"], [[0.6, 0.4]] * 3, rtol=1e-6)
    np.testing.assert_array_equal(data["epsilon"], 0.0)
    np.testing.assert_array_equal(data["status"], int(Status.OK))
    # 2 E of T rounds for the leader, 2 x 2 E for the follower, at most all.
    np.testing.assert_allclose(data["explore_fraction"].sel(pairs="given"), [[4 / t, 4 / t] for t in HORIZONS])
    np.testing.assert_allclose(data["explore_fraction"].sel(pairs="tuned"), [[0.2, 0.4]] * 3)
    assert (data["seconds"].values > 0).all() and (data["compile_seconds"].values >= 0).all()
    attrs = data.attrs
    assert (attrs["result"], attrs["title"], attrs["benchmark"], attrs["gamma"]) == (
        "regret",
        "A failure",
        "tolerant",
        0.05,
    )
    assert attrs["seed"] == 3 and '"horizons": [10, 30, 90]' in attrs["configuration"]


def test_one_program_serves_all_horizons_and_parameters(data):
    """The instance and the learners' parameters are numbers, too."""
    assert float(data["compile_seconds"][:, 1:].max()) < 0.2 * float(data["compile_seconds"][0, 0])
    other = StackelbergBandit([[0.5, 0.1], [0.7, 0.4]], [[0.4, 0.2], [0.3, 0.6]], "bernoulli")
    pairs = {"other": lambda T: (ExploreThenCommit(2), PerArm(ExploreThenCommit(T // 11)))}
    with compilations() as found:
        experiments.regret(other, pairs, horizons=[11, 45], replicates=8, seed=4)
    assert found == []


def test_pairs_and_horizons_share_their_random_numbers(data):
    """The same learners under another name, in another order, with other horizons beside: equal to the bit."""
    pairs = {"a": PAIRS["tuned"], "b": PAIRS["given"]}
    again = experiments.regret(etc_failure(), pairs, horizons=[30, 90], replicates=8, key=jax.random.key(3))
    old = data["regret"].sel(horizon=[30, 90], pairs=["tuned", "given"])
    np.testing.assert_array_equal(again["regret"], old)
    assert "seed" not in again.attrs


def crossing(T):
    """The follower's smaller gap, 0.8 / T, is tolerated from T = 16 on."""
    return StackelbergBandit([[0.6, 0.2], [0.5, 0.4]], [[0.4, 0.4 - 0.8 / T], [0.3, 0.1]], "bernoulli")


def test_a_game_of_the_horizon_has_its_own_benchmark_at_each():
    found = experiments.regret(crossing, PAIRS, horizons=HORIZONS, replicates=8)
    games = [crossing(T) for T in HORIZONS]
    expected = [tolerant_benchmarks(g.leader_means, g.follower_means, 0.05) for g in games]
    np.testing.assert_allclose(found["benchmark"], [b.values for b in expected])
    np.testing.assert_allclose(found["epsilon"], [b.epsilons for b in expected])
    assert found["epsilon"].sel(player="leader").values.tolist() == pytest.approx([0, 0.8 / 30, 0.8 / 90], rel=1e-5)
    notes = experiments.slopes(found)["note"]
    assert str(notes.sel(player="leader").values) == "gamma crosses a gap between T = 10 and 30"
    assert str(notes.sel(player="larger").values) == str(notes.sel(player="leader").values)


@pytest.mark.parametrize(
    ("benchmark", "expected"),
    [
        ("self-tolerant", lambda a, b: self_tolerant_benchmarks(a, b, 0.2).values),
        ("stackelberg", lambda a, b: stackelberg_benchmarks(a, b).values),
        ((0.55, 0.25), lambda a, b: jnp.array([0.55, 0.25])),
    ],
)
def test_other_benchmarks(data, benchmark, expected):
    game = etc_failure()
    found = experiments.regret(game, PAIRS, horizons=HORIZONS, replicates=8, seed=3, benchmark=benchmark, gamma=0.2)
    alpha = np.asarray(expected(game.leader_means, game.follower_means), np.float64)
    np.testing.assert_allclose(found["benchmark"], [alpha] * 3)
    moved = (alpha - data["benchmark"]) * data["horizon"]
    np.testing.assert_allclose(found["regret"], data["regret"] + moved, atol=1e-9)
    np.testing.assert_allclose(found["utility"], data["utility"], atol=1e-12)
    given = not isinstance(benchmark, str)
    assert found.attrs["benchmark"] == ("given" if given else benchmark)
    assert bool(np.isnan(found["epsilon"]).all()) == given and ("gamma" in found.attrs) == (benchmark[0:4] == "self")


def test_given_values_may_depend_on_the_horizon(data):
    values = [[0.6, 0.4], [0.5, 0.3], [0.4, 0.2]]
    found = experiments.regret(etc_failure(), PAIRS, horizons=HORIZONS, replicates=8, benchmark=values)
    np.testing.assert_allclose(found["benchmark"], values, rtol=1e-6)


def test_phases_are_skipped_where_the_learners_allow_it(monkeypatch):
    """`play` is asked to, and plays every round here: its own tests show that it skips them."""
    asked = []

    def spy(game, *learners, skip_phases, **options):
        asked.append((type(learners[0]), skip_phases))
        return play(game, *learners, **options)

    monkeypatch.setattr(ENGINE, "play", spy)
    pairs = {"phases": PAIRS["tuned"], "rounds": (Straying(), PerArm(Fixed(0)))}
    for asks in (True, False):
        found = experiments.regret(etc_failure(), pairs, horizons=[10], replicates=8, skip_phases=asks)
        assert found["skipped"].values.tolist() == [asks, False]
    assert asked == [(ExploreThenCommit, True), (Straying, False), (ExploreThenCommit, False), (Straying, False)]


def test_failed_replicates_are_nan_and_counted():
    pairs = {"strays": (Straying(), PerArm(Fixed(0)))}
    found = experiments.regret(etc_failure(), pairs, horizons=[10, 30], replicates=8)
    status = found["status"].values[0]
    failed = status == Status.LEFT_SPACE
    assert 0 < failed[0].sum() < 8 and set(np.unique(status)) == {Status.OK, Status.LEFT_SPACE}
    np.testing.assert_array_equal(np.isnan(found["regret"][0]).any("player"), failed)
    np.testing.assert_array_equal(np.isnan(found["utility"][0]).all("player"), failed)
    kept = found["regret"].values[0][~failed]
    np.testing.assert_allclose(np.unique(kept[:, 0]), [1, 3], rtol=1e-5)  # (0.6 - 0.5) T
    assert f"strays: {failed.sum()} of 16 runs failed, left out: {failed.sum()} left space" in printed(found, 120)
    assert experiments.slopes(found)["slope"].sel(player="leader").item() == pytest.approx(1.0)


def synthetic(regret, horizons, epsilon=0.0):
    """What `regret` returns, from values `[pairs, horizon, replicate, player]`."""
    pairs, _, replicates, _ = np.shape(regret)
    runs = ("pairs", "horizon")
    status = np.where(np.isnan(regret).any(-1), int(Status.NON_FINITE), int(Status.OK))
    variables = {
        "regret": ((*runs, "replicate", "player"), np.asarray(regret, np.float64)),
        "status": ((*runs, "replicate"), status),
        "epsilon": (("horizon", "player"), np.full((len(horizons), 2), epsilon)),
        "explore_fraction": ((*runs, "player"), np.zeros((pairs, len(horizons), 2))),
        "seconds": (runs, np.zeros((pairs, len(horizons)))),
        "compile_seconds": (runs, np.zeros((pairs, len(horizons)))),
    }
    coordinates = {
        "pairs": [f"pair {i}" for i in range(pairs)],
        "horizon": list(horizons),
        "replicate": range(replicates),
        "player": ["leader", "follower"],
    }
    return xarray.Dataset(variables, coordinates, {"benchmark": "tolerant", "gamma": 0.05, "result": "regret"})


def test_slopes_refuse_other_input(data):
    with pytest.raises(TypeError, match=r"^dataset: expected a dataset from stackjax.experiments.regret, got a str$"):
        experiments.slopes("regret.nc")
    with pytest.raises(ValueError, match=r"got one without pairs; to pick one pair, name it in a list: dataset.sel"):
        experiments.slopes(data.sel(pairs="given"))
    for options, message in (
        ({"confidence": 1.0}, "confidence: expected values"),
        ({"resamples": 0}, "resamples: expected at least 1"),
        ({"seed": -1}, "seed: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            experiments.slopes(data, **options)


def printed(dataset, width):
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(experiments.table(dataset, width))
    assert max(len(line) for line in captured.get().splitlines()) <= width
    return captured.get()


def rows(text):
    return {" ".join(line.split()[:1]): line.split() for line in text.splitlines() if line.split()}


def test_the_table_has_means_errors_slopes_and_times(data):
    text = printed(data, 120)
    assert text.splitlines()[0].strip() == "8 replicates, regret against the tolerant benchmark, gamma = 0.05"
    last = rows(text)["90"]  # of the pair "tuned"
    values = data["regret"].sel(pairs="tuned", horizon=90).values
    for place, player in ((1, 0), (4, 1)):
        mean, error = values[:, player].mean(), values[:, player].std(ddof=1) / np.sqrt(8)
        shown = [float(last[place]), float(last[place + 2])]
        assert last[place + 1] == "±" and shown == pytest.approx([mean, error], abs=0.5)
    larger = values.mean(0).max() / 90 ** (2 / 3)
    assert float(last[7]) == pytest.approx(larger, abs=5e-4)
    assert last[8] == "0" and " ".join(last[9:13]) == "20 %, 40 %"
    slopes = experiments.slopes(data)
    shown = rows(text)["slope"][1:]
    expected = slopes["slope"].sel(pairs="tuned").values
    marks = np.where(slopes["curved"].sel(pairs="tuned").values, "*", "")
    assert shown == [f"{x:.3f}{mark}" for x, mark in zip(expected, marks, strict=True)]
    low, high = slopes["interval"].sel(pairs="tuned", player="larger").values
    assert f"{low:.3f}–{high:.3f}" in text
    assert "given" in rows(text) and "nan" not in text


def test_a_narrow_table_leaves_out_the_times(data):
    renamed = data.assign_coords(pairs=["[all]/explore-then-commit-throw-out", "b"])
    text = printed(renamed, 80)
    assert "[all]/" in text and "explore-then-commit-throw-out" in text and "failed" in text
    assert "seconds" not in text and "a wider terminal shows" in " ".join(text.split()).lower()


def test_the_table_says_what_is_missing():
    values = np.ones((2, 2, 3, 2)) * np.array([1e5, 2e6])[:, None, None]
    values[0, :, :, 0] = -0.25
    values[1] = np.nan
    dataset = synthetic(values, [1000, 31_623]).assign(
        epsilon=(("horizon", "player"), np.array([[0.0, 0.0], [0.0, 0.1]]))
    )
    text = printed(dataset, 120)
    said = " ".join(text.split())
    assert "-0.250 ± 0 100k ± 0" in said and "2.00M ± 0" in said and "31.6k" in said
    assert "pair 0, leader: the mean regret isn't above 0 at any horizon" in said
    assert "pair 1, leader, follower, larger: all replicates failed at every horizon" in said
    assert "follower: gamma crosses a gap between T = 1000 and 31623; a slope across it says nothing" in said
    assert "pair 1: 6 of 6 runs failed, left out: 6 non finite" in said


def test_a_file_keeps_all_of_it(data, tmp_path):
    experiments.save(data, tmp_path / "regret.nc")
    loaded = experiments.load(tmp_path / "regret.nc")
    xarray.testing.assert_identical(loaded, data)
    xarray.testing.assert_identical(experiments.slopes(loaded), experiments.slopes(data))
    assert printed(loaded, 120) == printed(data, 120)


ETC = ExploreThenCommit(1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"horizons": []}, ValueError, "horizons: expected numbers of rounds"),
        ({"horizons": "1e3:1e4"}, ValueError, "horizons: expected numbers of rounds"),
        ({"horizons": [0, 10]}, ValueError, "horizons: expected at least 1, got 0"),
        ({"horizons": [1e3]}, TypeError, "horizons: expected a whole number, got 1000.0"),
        ({"horizons": [30, 10]}, ValueError, "horizons: expected increasing"),
        ({"horizons": [10, 10]}, ValueError, "horizons: expected increasing"),
        ({"horizons": [2**31]}, ValueError, r"horizons: expected at most 2\^31 - 1"),
        ({"gamma": -0.1}, ValueError, "gamma: expected values in"),
        ({"benchmark": "nash"}, ValueError, "benchmark: expected tolerant, self-tolerant, stackelberg or values"),
        ({"benchmark": (1.0, np.nan)}, ValueError, "benchmark: expected a name or finite values of the shape"),
        ({"benchmark": np.ones((3, 2))}, ValueError, r"the shape \(2,\) or \(2, 2\)"),
        ({"benchmark": None}, ValueError, "benchmark: expected"),
        ({"pairs": {}}, ValueError, "pairs: expected at least one name"),
        ({"pairs": {"a": ETC}}, TypeError, "pairs: 'a': expected"),
        ({"pairs": {"a": lambda T: "etc"}}, TypeError, r"pairs: 'a': expected \(leader, follower\), got 'etc'"),
        ({"pairs": {"a": (ETC,)}}, ValueError, "learners: StackelbergBandit has 2 players, got 1"),
        ({"pairs": {"a": (ETC, ETC)}}, ValueError, r"player 1 follows, .* expected PerArm\(ExploreThenCommit"),
        ({"pairs": {"a": (ExploreThenCommit(0), PerArm(ETC))}}, ValueError, "explore: expected a whole number"),
        ({"game": CournotDuopoly()}, TypeError, "game: expected a StackelbergBandit, or a function"),
        (
            {"game": lambda T: None},
            TypeError,
            "game: expected a function that returns a StackelbergBandit, got None at T = 9",
        ),
        ({"replicates": 0}, ValueError, "replicates: expected at least 1"),
        ({"replicates": None}, ValueError, "replicates: expected a number or ids"),
        ({"replicates": 10**12}, ValueError, r"^replicates: 1 pairs x 2 horizons x 10+ replicates of .* the limit is"),
        ({"seed": 2**32}, ValueError, "seed: expected"),
        ({"seed": 1.0}, TypeError, "seed: expected"),
        ({"key": 3}, TypeError, "key: expected one jax.random key"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_played(changes, error, message, monkeypatch):
    monkeypatch.setattr(ENGINE, "play", None)
    arguments = {"game": etc_failure(), "pairs": {"a": (ETC, PerArm(ETC))}, "horizons": [9, 90]} | changes
    with pytest.raises(error, match=message):
        experiments.regret(arguments.pop("game"), arguments.pop("pairs"), **arguments)


def test_an_error_names_the_pair():
    with pytest.raises(ValueError, match="player 1 follows") as caught:
        experiments.regret(etc_failure(), {"bare": (ETC, ETC)}, horizons=[9])
    assert caught.value.__notes__[-1] == "(in the pair 'bare')"
