"""Games of arms in the loop: counts of joint arms, payoffs from them, noise, failures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import FailedReplicatesError, Record, Status, play
from stackjax.games import StackelbergBandit
from stackjax.learners import UCB, EpsilonGreedy, ExploreThenUCB, Fixed, PerArm
from tests.dice import GAME, KEY, MEANS, REPLICATES, ROUNDS, A, B, Dice, counted, dice, met, need_devices


@pytest.fixture(scope="module")
def reference():
    return dice()


@pytest.fixture(scope="module")
def visits(reference):
    return counted(met(reference)[..., :2])


@pytest.fixture(scope="module")
def uncounted():
    return dice(record=Record.every(4, payoffs="realised", visits=False))


def assert_means(trace, visits, rtol=1e-6):
    """Exact payoffs are the means of the joint arms that were counted since the last record."""
    points = np.r_[0, trace.rounds]
    blocks = np.diff(visits, axis=-3, prepend=0)
    expected = np.einsum("...ab,iab->...i", blocks, MEANS.astype(np.float64)) / np.diff(points)[:, None]
    np.testing.assert_allclose(trace.payoffs, expected, rtol=rtol)


# ---------------------------------------------------------------- what is recorded


def test_visits_count_the_joint_arms_that_were_played(reference, visits):
    np.testing.assert_array_equal(np.stack(reference.actions, -1), met(reference)[..., :2])
    np.testing.assert_array_equal(reference.visits, visits)
    assert np.issubdtype(reference.visits.dtype, np.integer)
    assert np.all(visits[:, -1].sum((-2, -1)) == ROUNDS)
    assert np.unique(visits[:, -1], axis=0).shape[0] == REPLICATES


def test_exact_payoffs_are_the_means_of_the_arms_that_were_counted(reference, visits):
    assert_means(reference, visits)
    played = np.stack([MEANS[i][reference.actions] for i in (0, 1)], -1)
    np.testing.assert_allclose(reference.payoffs, played, rtol=1e-6)


@pytest.mark.parametrize(
    "record",
    [Record.every(5), Record.log_spaced(4)],
    ids=["every 5", "log-spaced"],
)
def test_records_agree(reference, visits, record):
    trace = dice(record=record)
    np.testing.assert_array_equal(met(trace), met(reference))
    at = visits[:, trace.rounds - 1]
    np.testing.assert_array_equal(trace.visits, at)
    assert_means(trace, at)
    np.testing.assert_array_equal(trace.actions, np.stack(reference.actions)[:, :, trace.rounds - 1])


def test_realised_payoffs_are_what_was_paid(reference, uncounted):
    np.testing.assert_array_equal(met(uncounted), met(reference))
    paid = met(reference)[..., 2:].reshape(REPLICATES, -1, 4, 2).mean(2)
    np.testing.assert_allclose(uncounted.payoffs, paid, rtol=1e-5, atol=1e-6)
    assert uncounted.visits is None
    noise = met(reference)[..., 2:] - np.stack(np.asarray(reference.payoffs, np.float64))
    assert 0.3 < noise.std() < 0.7  # sigma = .5; 120 draws: 4 standard errors are .13


@pytest.mark.slow
def test_less_can_be_recorded(reference, visits):
    only = dice(record=Record.every(4, payoffs=None, metrics=lambda a, b: {"a": a}))
    np.testing.assert_array_equal(only.visits, visits[:, 3::4])
    assert only.payoffs is None and only.metrics["a"].shape == (REPLICATES, 3)
    means = dice(record=Record.every(4, visits=False, strategies=False))
    assert means.visits is None and means.actions == means.strategies == ()
    np.testing.assert_array_equal(met(means), met(reference))
    assert_means(means, visits[:, 3::4])


def test_payoffs_of_arms_that_nobody_played_do_not_matter():
    class Poles(StackelbergBandit):
        def payoffs(self, *actions):
            return tuple(1 / p for p in super().payoffs(*actions))

    game = Poles([[0.5, 0.0], [0.0, 0.0]], [[0.25, 0.0], [0.0, 0.0]])
    trace = play(game, Fixed(0), Fixed(0), key=KEY, rounds=3, record=Record.final())
    np.testing.assert_array_equal(trace.payoffs, [[2.0, 4.0]])


def test_a_trace_of_arms_is_a_labelled_dataset(reference, visits):
    data = reference.to_xarray()
    assert data["visits"].dims == ("replicate", "rounds", "arm_0", "arm_1")
    np.testing.assert_array_equal(data["visits"], visits)
    assert data["action_0"].dims == ("replicate", "rounds") and data["action_0"].dtype == np.int32


# ---------------------------------------------------------------- noise


def test_one_run_alone_is_replicate_0(reference, visits):
    alone = dice(replicates=None)
    np.testing.assert_array_equal(met(alone), met(reference)[0])
    np.testing.assert_array_equal(alone.visits, visits[0])
    assert alone.visits.shape == (ROUNDS, A, B) and alone.payoffs.shape == (ROUNDS, 2)
    assert_means(alone, visits[0])
    assert alone.to_xarray()["visits"].dims == ("rounds", "arm_0", "arm_1")


@pytest.mark.parametrize(
    "options",
    [pytest.param({"chunk": 2}, marks=pytest.mark.slow), {"devices": 2, "chunk": 1}],  # an interruption has a chunk too
    ids=str,
)
def test_noise_and_counts_do_not_depend_on_how_replicates_are_cut(reference, visits, options):
    need_devices(options.get("devices", 1))
    trace = dice(**options)
    np.testing.assert_array_equal(met(trace), met(reference))
    np.testing.assert_array_equal(trace.visits, visits)
    np.testing.assert_allclose(trace.payoffs, reference.payoffs, rtol=1e-6)


def test_noise_and_counts_belong_to_the_id_of_a_replicate(reference, visits):
    ids = [4, 0, 4, 2, 1]
    trace = dice(replicates=ids)
    np.testing.assert_array_equal(met(trace), met(reference)[ids])
    np.testing.assert_array_equal(trace.visits, visits[ids])


def test_counts_go_on_over_interruptions_of_every_kind(reference, visits):
    need_devices(2)
    first = dice(rounds=6, record=Record.log_spaced(4))  # the program of 12 rounds with four records
    second = dice(rounds=1, resume=first, devices=2, record=Record.log_spaced(9))
    third = dice(rounds=5, resume=second, record=Record.every(3), chunk=3)
    np.testing.assert_array_equal(met(third), met(reference))
    assert third.rounds.tolist() == [9, 12]
    for trace in (first, second, third):
        np.testing.assert_array_equal(trace.visits, visits[:, trace.rounds - 1])
    np.testing.assert_array_equal(third.calls[0].payoffs, [[9, 12]] * REPLICATES)


def test_counts_that_were_not_recorded_from_the_first_round_on_are_not_made_up(uncounted):
    trace = dice(rounds=5, record=Record.final(visits=True), resume=uncounted)
    assert trace.visits is None and trace.payoffs is not None


def test_noise_depends_on_the_key(reference):
    assert not np.array_equal(met(dice(key=jax.random.key(4)))[..., :2], met(reference)[..., :2])


def learning(**options):
    learners = ExploreThenUCB(1, 1.0, 100), PerArm(EpsilonGreedy(0.2))
    common = {"key": KEY, "rounds": 20, "replicates": 4, "record": Record.every(5, strategies=False, payoffs=None)}
    return play(GAME, *learners, **{**common, **options})


@pytest.mark.slow
def test_learners_go_on_over_an_interruption():
    whole = learning()
    resumed = learning(rounds=10, resume=learning(rounds=10))
    np.testing.assert_array_equal(resumed.visits, whole.visits[:, 2:])
    for one, two in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(whole.state), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    assert whole.status.tolist() == [0] * 4


# ---------------------------------------------------------------- failures


class Strays(Dice):
    """Plays `arm` from round `when` on in replicates for which that is set."""

    when: object = 99
    arm: int = -1

    def act(self, view, state, noise, seen):
        return jnp.where(state["n"] >= self.when, self.arm, noise)


@pytest.mark.parametrize(("player", "arms"), [(0, (-1, 1000)), (1, (4, -(2**31)))])
def test_an_arm_out_of_bounds_ends_a_replicate_and_touches_no_other(reference, visits, player, arms):
    def run(arm, **options):
        whens = [[99] * 5, [99, 5, 99, 0, 99]]
        learners = [Strays(jnp.array(whens[i == player]), arm) for i in (0, 1)]
        common = {"key": KEY, "rounds": ROUNDS, "replicates": 5, "record": Record.every(4)}
        return play(GAME, *learners, in_axes=(None, 0, 0), **{**common, **options})

    for arm in arms:
        trace = run(arm)
        assert trace.status.tolist() == [0, Status.LEFT_SPACE, 0, Status.LEFT_SPACE, 0]
        assert trace.failed_at.tolist() == [-1, 8, -1, 4, -1]
        assert np.isnan(trace.payoffs[..., 0]).tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0]]
        good = np.array([0, 2, 4])
        np.testing.assert_array_equal(met(trace)[good], met(reference)[good])
        np.testing.assert_array_equal(trace.visits[good], visits[good, 3::4])
        np.testing.assert_array_equal(trace.visits[1, 0], visits[1, 3])  # valid until it fails
        assert np.all(trace.visits[:, -1].sum((-2, -1)) == ROUNDS)
    with pytest.raises(FailedReplicatesError, match="2 LEFT_SPACE"):
        trace.raise_if_failed()
    resumed = run(0, rounds=4, resume=trace)
    assert resumed.status.tolist() == trace.status.tolist()
    assert resumed.failed_at.tolist() == trace.failed_at.tolist()


def test_a_state_that_is_not_finite_ends_a_replicate_at_the_next_record():
    class Poisoned(StackelbergBandit):
        """Pays the leader more for one joint arm."""

        poison: object

        def __init__(self, poison):
            super().__init__(*MEANS, sigma=0.5)
            self.poison = poison

        def realise(self, noise, a, b):
            one, two = super().realise(noise, a, b)
            return jnp.where((a == 2) & (b == 3), one + self.poison, one), two

    def run(poison):
        game, options = Poisoned(poison), {"rounds": 12, "replicates": 16, "record": Record.every(3, strategies=False)}
        return play(game, UCB(1.0, 100), PerArm(EpsilonGreedy(0.5)), key=KEY, **options)

    good, bad = run(0.0), run(np.nan)
    touched = good.visits[:, :, 2, 3] > 0
    fails = touched[:, -1]
    assert 0 < fails.sum() < 16
    np.testing.assert_array_equal(bad.status, np.where(fails, int(Status.NON_FINITE), 0))
    np.testing.assert_array_equal(bad.failed_at, np.where(fails, good.rounds[touched.argmax(1)], -1))
    np.testing.assert_array_equal(bad.visits[~fails], good.visits[~fails])
    for one, two in zip(jax.tree.leaves(bad.state), jax.tree.leaves(good.state), strict=True):
        np.testing.assert_array_equal(one[~fails], two[~fails])


@pytest.mark.parametrize(
    ("action", "match"),
    [
        (lambda: jnp.float32(1.0), r"player 0, Wrong.act: expected int32\[\]"),
        (lambda: jnp.zeros(2, jnp.int32), r"player 0, Wrong.act: expected int32\[\]"),
        (lambda: (jnp.int32(0),), r"player 0, Wrong.act: expected a pytree"),
        (lambda: None, r"player 0, Wrong.act: expected a pytree"),
    ],
    ids=["a float", "two arms", "a tuple", "nothing"],
)
def test_an_arm_is_one_int32(action, match):
    class Wrong(Dice):
        def act(self, view, state, noise, seen):
            return action()

    with pytest.raises(ValueError, match=match):
        play(GAME, Wrong(), Fixed(0), key=KEY, rounds=1)
