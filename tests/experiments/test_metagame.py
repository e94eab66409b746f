"""The meta-game by hand, its noise, its solutions on known games, their bootstrap frequencies, and the table."""

import itertools
import math
import sys
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, Status, experiments, play
from stackjax.games import CournotDuopoly, StackelbergBandit
from stackjax.games.bandit_instances import aligned, etc_failure, etc_failure2
from stackjax.learners import ExploreThenCommit, Fixed, PerArm
from tests.experiments import synthetic_metagame as synthetic
from tests.experiments.straying import Straying
from tests.experiments.synthetic_metagame import printed

ENGINE = sys.modules[experiments.run.__module__]
MODULE = sys.modules[experiments.metagame.__module__]
T, R = 60, 4
LEADERS = {"short": ExploreThenCommit(1), "long": lambda horizon: ExploreThenCommit(horizon // 10)}
FOLLOWERS = {"short": PerArm(ExploreThenCommit(1)), "long": PerArm(ExploreThenCommit(5))}
INSTANCES = {"a": etc_failure(), "b": etc_failure2(), "c": aligned()}


@pytest.fixture(scope="module")
def data():
    """One program plays all four pairs: their parameters are numbers."""
    return experiments.metagame(LEADERS, FOLLOWERS, INSTANCES, horizon=T, replicates=R, seed=3, title="Three bandits")


def test_utilities_are_those_of_the_arms_that_were_played(data):
    """Of runs of one's own of each instance, summed in exact rationals; replicate r of instance i of N is `N r + i`."""
    assert data["utility"].dims == ("leader", "follower", "instance", "replicate", "player")
    record = Record.final(strategies=False, payoffs=None)
    for i, (name, game) in enumerate(INSTANCES.items()):
        ids = [3 * r + i for r in range(R)]
        for leader, follower in (("short", "short"), ("long", "short")):
            learners = ExploreThenCommit({"short": 1, "long": T // 10}[leader]), FOLLOWERS[follower]
            visits = play(game, *learners, key=jax.random.key(3), rounds=T, replicates=ids, record=record).visits[:, -1]
            for r, player in itertools.product(range(R), range(2)):
                U = np.asarray((game.leader_means, game.follower_means)[player])
                outcomes = itertools.product(range(2), range(2))
                earned = sum(int(visits[r, a, b]) * Fraction(float(U[a, b])) for a, b in outcomes)
                found = data["utility"].sel(leader=leader, follower=follower, instance=name)[r, player]
                assert float(found) == pytest.approx(float(earned / T), abs=1e-12)


def test_what_else_is_in_the_dataset(data):
    assert {name: data.sizes[name] for name in synthetic.SIZES} == {
        "leader": 2,
        "follower": 2,
        "instance": 3,
        "replicate": R,
    }
    assert data["instance"].values.tolist() == ["a", "b", "c"] and data["follower"].values.tolist() == ["short", "long"]
    np.testing.assert_array_equal(data["status"], int(Status.OK))
    np.testing.assert_allclose(data["mean"], data["utility"].mean(("instance", "replicate")))
    assert (data["seconds"].values > 0).all() and (data["compile_seconds"].values >= 0).all()
    assert float(data["compile_seconds"].values.ravel()[1:].max()) < 0.2 * float(data["compile_seconds"][0, 0])
    attrs = data.attrs
    said = [
        attrs[name] for name in ("result", "title", "horizon", "seed", "resample", "resamples", "left_out", "unsolved")
    ]
    assert said == ["metagame", "Three bandits", T, 3, "replicates", 1000, 0, ""]
    assert '"keep": 6' in attrs["configuration"] and '"horizon": 60' in attrs["configuration"]


def test_pairs_share_their_random_numbers_and_a_batch_is_the_same_as_instances_by_name(data):
    """The same learners under other names, in another order: equal to the bit."""
    leaders = {"x": ExploreThenCommit(6), "y": ExploreThenCommit(1), "z": ExploreThenCommit(1)}
    batch = StackelbergBandit(
        *(jnp.stack([getattr(g, name) for g in INSTANCES.values()]) for name in ("leader_means", "follower_means")),
        "bernoulli",
    )
    again = experiments.metagame(
        leaders, {"long": FOLLOWERS["long"]}, batch, horizon=T, replicates=R, key=jax.random.key(3), resamples=10
    )
    old = data["utility"].sel(leader=["long", "short", "short"], follower=["long"])
    np.testing.assert_array_equal(again["utility"], old)
    assert again["instance"].values.tolist() == [0, 1, 2] and "seed" not in again.attrs
    for kind in (again["pure_nash_frequency"][:, 0], again["leader_dominated_frequency"].sel(dominance="weakly")):
        assert float(kind[1]) == float(kind[2])  # alike, in every resample


def test_ids_of_replicates():
    joint = MODULE._joint_ids(np.array([0, 5], np.uint32), 3)
    assert joint.tolist() == [0, 15, 1, 16, 2, 17]
    with pytest.raises(
        ValueError, match=r"^replicates: expected ids below 2\^32 / 3, the number of instances, got 2000"
    ):
        MODULE._joint_ids(np.array([2_000_000_000], np.uint32), 3)


def test_each_instance_has_its_own_noise():
    several = {str(sigma): StackelbergBandit([[1.0]], [[0.0]], sigma=sigma) for sigma in (0.5, 2.0)}
    batch = MODULE._Batch.of(several)
    assert batch.repeated(2).sigma.tolist() == [0.5, 0.5, 2.0, 2.0] and float(batch.first.sigma) == 0.5
    alike = MODULE._Batch.of({name: several["0.5"] for name in "ab"})
    assert alike.repeated(2).sigma == 0.5 and alike.repeated(2).leader_means.shape == (4, 1, 1)
    given = StackelbergBandit(np.ones((3, 1, 2)), np.ones((3, 1, 2)), sigma=np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(MODULE._Batch.of(given).repeated(2).sigma, [1, 1, 2, 2, 3, 3])


def test_failed_replicates_are_nan_counted_and_left_out_of_means():
    instances = {"a": INSTANCES["a"], "b": INSTANCES["a"]}
    found = experiments.metagame({"strays": Straying()}, {"0": PerArm(Fixed(0))}, instances, horizon=9, replicates=8)
    failed = found["status"].values == Status.LEFT_SPACE
    assert 0 < failed.sum() < 16 and int(found["failed"][0, 0]) == failed.sum()
    np.testing.assert_array_equal(np.isnan(found["utility"]).all("player"), failed)
    np.testing.assert_array_equal(np.isnan(found["utility"]).any("player"), failed)
    np.testing.assert_allclose(found["mean"][0, 0], [0.5, 0.3], rtol=1e-6)  # of (a2, b1), always
    assert f"strays/0: {failed.sum()} of 16 runs failed, left out" in printed(found)


def cells(dataset, name):
    return [tuple(cell) for cell in np.argwhere(dataset[name].values).tolist()]


@pytest.mark.parametrize(
    ("game", "pure", "stackelberg", "nash", "dominated"),
    [
        # Committed to, silence isn't answered by silence.
        (synthetic.DILEMMA, [(1, 1)], (1, 1), 1, ([True, False], [True, False])),
        (synthetic.SEXES, [(0, 0), (1, 1)], (0, 0), 3, ([False] * 2, [False] * 2)),
        (synthetic.PENNIES, [], (0, 1), 1, ([False] * 2, [False] * 2)),
    ],
)
def test_known_games_without_noise(game, pure, stackelberg, nash, dominated):
    """Replicates that are all the same: every frequency is that of the point estimate."""
    found = experiments.solutions(synthetic.noisy(*game, 0.0, replicates=3), resamples=20)
    assert cells(found, "pure_nash") == pure and cells(found, "stackelberg") == [stackelberg]
    for name in ("pure_nash", "stackelberg"):
        np.testing.assert_array_equal(found[f"{name}_frequency"], found[name])
        assert float(found[f"{name}_same"]) == 1
    for player, expected in zip(("leader", "follower"), dominated, strict=True):
        kinds = found[f"{player}_dominated"]
        assert [kinds.sel(dominance=kind).values.tolist() for kind in kinds["dominance"].values] == [expected] * 3
        often = found[f"{player}_dominated_frequency"]
        np.testing.assert_array_equal(often[:2], kinds[:2])
        assert bool(np.isnan(often.sel(dominance="by a mixture")).all())
    assert found.sizes["equilibrium"] == nash
    for x, y, paid in zip(found["nash_leader"], found["nash_follower"], found["nash_utility"], strict=True):
        np.testing.assert_allclose(paid, [x.values @ np.asarray(U) @ y.values for U in game])
    np.testing.assert_array_equal(found["standard_error"], 0.0)


def test_the_best_mixture_to_commit_to():
    """Of Conitzer and Sandholm's (2006) example: mixing evenly is worth 3.5 to the leader, the pure commitment 3."""
    found = experiments.solutions(synthetic.noisy([[2, 4], [1, 3]], [[1, 0], [0, 1]], 0.0, replicates=2), resamples=2)
    np.testing.assert_allclose(found["commitment_leader"], [0.5, 0.5], atol=1e-9)
    assert found["commitment_follower"].values.tolist() == [False, True]
    np.testing.assert_allclose(found["commitment_utility"], [3.5, 0.5])
    assert cells(found, "stackelberg") == [(1, 1)]


def test_ties_are_equilibria_and_the_first_commitment_is_chosen():
    found = experiments.solutions(synthetic.noisy(np.ones((2, 2)), np.zeros((2, 2)), 0.0, replicates=2), resamples=5)
    assert found["pure_nash_frequency"].values.tolist() == [[1, 1], [1, 1]]
    assert cells(found, "stackelberg") == [(0, 0)] and found.sizes["equilibrium"] == 4
    assert not found["leader_dominated"].any() and not found["follower_dominated"].any()


def normal(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


@pytest.mark.parametrize("resample", ["replicates", "instances"])
def test_frequencies_know_what_pairs_have_in_common(resample):
    """Two leaders, one follower: how often the first is better is Phi(mean / error) of their paired difference.

    A common error that is ten times larger changes nothing, as all pairs are resampled together; resampled by
    themselves it would be near 1/2. Fixed random numbers. The frequency of 2000 resamples has the standard error .011
    at most, and differs by that of the normal approximation: a margin of .05 is more than four of these, so that at
    most one in 10^4 other seeds would fail.
    """
    rng = np.random.default_rng(4)
    axis = {"replicates": (1, 100), "instances": (100, 1)}[resample]
    spread = (1, 1, *axis, 1)
    common = rng.normal(size=spread) * 10
    gap = np.concatenate([np.full(spread, 0.12), np.zeros(spread)]) + rng.normal(size=(2, *spread[1:])) * 0.7
    utility = np.broadcast_to(common + gap, (2, 1, *axis, 2))
    found = experiments.solutions(synthetic.metagame(utility), resample=resample, resamples=2000, seed=1)
    difference = (utility[0] - utility[1])[0, ..., 0].ravel()
    share = normal(difference.mean() / (difference.std() / math.sqrt(difference.size)))
    assert 0.6 < share < 0.999
    for name in ("pure_nash", "stackelberg"):
        frequency = found[f"{name}_frequency"].values.ravel()
        assert frequency.sum() == pytest.approx(1) and abs(frequency[0] - share) < 0.05
        assert float(found[f"{name}_same"]) == frequency[0]
    dominated = found["leader_dominated_frequency"].sel(dominance="strictly").values
    assert dominated.tolist() == pytest.approx([1 - frequency[0], frequency[0]])


def test_instances_or_their_family():
    """With luck in the instances, not in the replicates: errors of the former are those of a sample of means."""
    rng = np.random.default_rng(5)
    utility = rng.normal(size=(2, 2, 30, 1, 2)) + 0.01 * rng.normal(size=(2, 2, 30, 5, 2))
    data = synthetic.metagame(utility)
    these, family = (experiments.solutions(data, resample=kind, resamples=50) for kind in ("replicates", "instances"))
    np.testing.assert_array_equal(these["mean"], family["mean"])
    np.testing.assert_allclose(these["standard_error"], np.sqrt((utility.var(3, ddof=1) / 5).sum(2)) / 30)
    np.testing.assert_allclose(family["standard_error"], utility.mean(3).std(2, ddof=1) / np.sqrt(30))
    assert float(these["pure_nash_same"]) == 1 > float(family["pure_nash_same"])
    again = experiments.solutions(these, resample="instances", resamples=50)
    assert again.identical(family) and list(again) == list(family)


def test_replicates_are_resampled_within_each_instance():
    """The first leader is paid 1 and 0, the second .4 and .5: in these instances the first is always the better one.

    Of two instances the second is drawn twice in a quarter: 500 +- 19 of 2000, of which five errors are allowed.
    """
    utility = np.broadcast_to(np.array([[1.0, 0.0], [0.4, 0.5]])[:, None, :, None, None], (2, 1, 2, 3, 2))
    often = [
        experiments.solutions(synthetic.metagame(utility), resample=kind, resamples=2000)["pure_nash_frequency"].values
        for kind in ("replicates", "instances")
    ]
    assert often[0].tolist() == [[1], [0]] and abs(often[1][1, 0] - 0.25) < 5 * 0.0097


def test_an_instance_without_replicates_leaves_no_game():
    utility = np.ones((2, 2, 2, 3, 2))
    utility[0, 1, 1] = np.nan
    utility[1, 1, 0, 0] = np.nan
    found = experiments.solutions(synthetic.metagame(utility), resamples=5)
    assert found.attrs["unsolved"] == "all replicates of an instance failed: l0/f1"
    assert found["failed"].values.tolist() == [[0, 3], [0, 1]]
    assert np.isnan(found["mean"]).any("player").values.tolist() == [[False, True], [False, False]]
    assert not found["pure_nash"].any() and np.isnan(found["stackelberg_frequency"]).all()
    assert "nash_leader" not in found and "commitment_leader" not in found
    text = printed(found)
    assert "not solved: all replicates of an instance failed: l0/f1" in text and "nan" not in text
    assert "l1/f1: 1 of 6 runs failed, left out" in text


def test_resamples_without_a_replicate_are_left_out_and_counted():
    """The one replicate of two that is left isn't drawn in a quarter: 500 +- 19 of 2000; five errors are allowed."""
    utility = np.ones((2, 1, 1, 2, 2))
    utility[0, 0, 0, 1] = np.nan
    found = experiments.solutions(synthetic.metagame(utility), resamples=2000)
    assert abs(found.attrs["left_out"] - 500) < 5 * 19.4
    assert float(found["pure_nash_same"]) == 1
    assert f"{found.attrs['left_out']} resamples had only failed runs" in printed(found)


def test_more_algorithms_than_mixed_equilibria_are_enumerated_for():
    found = experiments.solutions(
        synthetic.noisy(*np.random.default_rng(0).normal(size=(2, 10, 9)), 0.0, replicates=2), resamples=2
    )
    assert "nash_leader" not in found and "commitment_leader" in found
    assert "Mixed Nash equilibria: too many algorithms" in printed(found)


def test_it_is_kept_in_a_file_and_solved_again_in_part(data, tmp_path):
    experiments.save(data, tmp_path / "a.nc")
    loaded = experiments.load(tmp_path / "a.nc")
    assert loaded.equals(data)
    part = loaded.sel(leader=["long"], instance=["a", "c"])
    with pytest.raises(ValueError, match=r"^dataset: its solutions are those of another choice of algorithms"):
        experiments.table(part)
    found = experiments.solutions(part, resample="instances", resamples=7, seed=2)
    np.testing.assert_allclose(found["mean"], part["utility"].mean(("instance", "replicate")))
    assert found["pure_nash"].shape == (1, 2) and found.attrs["resamples"] == 7 and found.attrs["horizon"] == T
    assert "7 bootstrap resamples of the instances" in printed(found)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"leaders": {}}, ValueError, "leaders: expected at least one name with its learner, got {}"),
        ({"followers": [Fixed(0)]}, ValueError, "followers: expected at least one name with its learner, got"),
        ({"leaders": {"a": 3}}, TypeError, "leaders: 'a': expected a learner, or a function of the horizon, got 3"),
        (
            {"leaders": {"a": lambda T: None}},
            TypeError,
            "leaders: 'a': expected a learner, or a function of the horizon",
        ),
        ({"followers": {"a": ExploreThenCommit(1)}}, ValueError, "player 1 follows, so ExploreThenCommit would mix up"),
        ({"leaders": {"a": ExploreThenCommit(0)}}, ValueError, "player 0, ExploreThenCommit: explore"),
        ({"instances": CournotDuopoly()}, TypeError, "instances: expected a StackelbergBandit, or names with one each"),
        ({"instances": {}}, ValueError, "instances: expected at least one, got none"),
        ({"instances": {"a": 3}}, TypeError, "instances: 'a': expected a StackelbergBandit, got 3"),
        (
            {"instances": {"a": StackelbergBandit(np.ones((2, 1, 1)), np.ones((2, 1, 1)))}},
            ValueError,
            r"instances: 'a': expected a single instance, got means of the shape \(2, 1, 1\)",
        ),
        (
            {"instances": {"a": etc_failure(), "b": StackelbergBandit([[1.0]], [[1.0]], "bernoulli")}},
            ValueError,
            r"instances: expected equal shapes and noise, got \(1, 1\) bernoulli, \(2, 2\) bernoulli",
        ),
        (
            {"instances": StackelbergBandit(np.ones((2, 1, 1)), np.ones((2, 1, 1)), sigma=np.ones(3))},
            ValueError,
            r"instances: expected one sigma, or one for each of 2, got the shape \(3,\)",
        ),
        ({"horizon": 0}, ValueError, "horizon: expected at least 1, got 0"),
        ({"horizon": 1e3}, TypeError, "horizon: expected a whole number, got 1000.0"),
        ({"horizon": 2**31}, ValueError, r"horizon: expected at most 2\^31 - 1 rounds"),
        ({"replicates": 0}, ValueError, "replicates: expected at least 1, got 0"),
        ({"replicates": None}, ValueError, "replicates: expected a number or ids, got None"),
        ({"replicates": 4_000_000_000}, ValueError, "replicates: 1 pairs x 1 instances x 4000000000 replicates of"),
        ({"replicates": 1}, ValueError, "resample: expected at least two replicates to resample, got 1"),
        ({"resample": "instances"}, ValueError, "resample: expected at least two instances to resample, got 1"),
        ({"resample": "pairs"}, ValueError, 'resample: expected "replicates" or "instances", got \'pairs\''),
        ({"resamples": 0}, ValueError, "resamples: expected at least 1, got 0"),
        ({"seed": -1}, ValueError, r"seed: expected an integer in \[0, 2\^32\), got -1"),
        ({"devices": 1000}, ValueError, "devices: expected 1 to"),
    ],
)
def test_errors_come_before_anything_is_played(change, error, message, monkeypatch):
    monkeypatch.setattr(ENGINE, "play", None)  # a call would be another TypeError
    given = {"leaders": {"a": Fixed(0)}, "followers": {"b": PerArm(Fixed(0))}, "instances": etc_failure(), "horizon": 9}
    with pytest.raises(error, match=f"^{message}"):
        experiments.metagame(**(given | change))


def test_solutions_refuse_other_input(data):
    with pytest.raises(TypeError, match=r"^dataset: expected a dataset from stackjax.experiments.metagame, got a str$"):
        experiments.solutions("metagame.nc")
    with pytest.raises(
        ValueError, match=r"got one without leader; to pick one algorithm, name it in a list: dataset.sel"
    ):
        experiments.solutions(data.sel(leader="long"))
    with pytest.raises(ValueError, match=r"got one without utility$"):
        experiments.solutions(data.drop_vars("utility").assign(status=data["status"].expand_dims(player=2)))
    for options, message in (
        ({"resample": "leaders"}, "resample: expected"),
        ({"resamples": 0}, "resamples: expected at least 1"),
        ({"seed": -1}, "seed: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            experiments.solutions(data, **options)
