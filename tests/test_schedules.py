"""Schedules: their formulas, their numbers as leaves, and the checks of Hi-C's assumptions."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import Record, games, play
from stackjax._core.entry import warn_of
from stackjax.learners import BestResponse, GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import Constant, PowerLaw, check_spsa, check_timescales, commitment_times

COUNTERS = [0, 1, 2, 10, 1000]


def eq_28(delta, rate, bound, exponent, n):
    """Eq. 28 of Loftin et al. (2024) with its two guards, in NumPy."""
    return max(2, int(np.ceil(2 * (np.log(delta) - np.log(bound) - exponent * np.log(n + 1)) / np.log(1 - rate))))


def test_a_constant_is_constant():
    assert [float(Constant(0.25)(n)) for n in COUNTERS] == [0.25] * 5


@pytest.mark.parametrize(("scale", "exponent", "offset"), [(1.5, 1.0, 10.0), (10.0, 1 / 6, 1.0), (-2.0, 0.0, 0.5)])
def test_a_power_law(scale, exponent, offset):
    got = [float(PowerLaw(scale, exponent, offset)(n)) for n in COUNTERS]
    np.testing.assert_allclose(got, [scale / (n + offset) ** exponent for n in COUNTERS], rtol=1e-6)


def test_a_power_law_starts_at_its_scale_by_default():
    assert float(PowerLaw(3.0, 0.7)(0)) == 3.0


@pytest.mark.parametrize("schedule", [Constant(0.25), PowerLaw(1.5, 0.6, 2.0)])
def test_a_schedule_is_the_same_under_jit_and_vmap(schedule):
    counters = jnp.array(COUNTERS, jnp.int32)
    got = jax.jit(lambda s, n: jax.vmap(s)(n))(schedule, counters)
    np.testing.assert_allclose(got, [float(schedule(n)) for n in COUNTERS], rtol=1e-6)


@pytest.mark.parametrize(
    "make", [Constant, lambda v: PowerLaw(v, 0.5), lambda v: PowerLaw(1.0, v), lambda v: PowerLaw(1.0, 1.0, v)]
)
def test_numbers_are_leaves(make):
    @jax.jit
    def read(schedule, n):
        return schedule(n)

    values = [float(read(make(jnp.float32(v)), 3)) for v in (0.5, 0.75)]
    assert values[0] != values[1] and read._cache_size() == 1
    swept = jax.vmap(lambda v: make(v)(3))(jnp.array([0.5, 0.75]))
    np.testing.assert_allclose(swept, values, rtol=1e-6)
    assert np.isfinite(jax.grad(lambda v: make(v)(3))(0.5))


def test_a_sweep_may_be_over_whole_numbers():
    np.testing.assert_allclose(jax.vmap(lambda s: s(1))(PowerLaw(*jnp.array([[1, 2], [1, 1], [1, 1]]))), [0.5, 1.0])


def test_schedules_are_exact_in_float64(x64):
    np.testing.assert_allclose(float(PowerLaw(0.3, 0.7, 2.0)(11)), 0.3 / 13**0.7, rtol=1e-15)


@pytest.mark.parametrize("name", ["scale", "exponent", "offset"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, "half"])
def test_a_power_law_takes_finite_numbers(name, bad):
    with pytest.raises((ValueError, TypeError), match=f"^{name}"):
        PowerLaw(**{"scale": 1.0, "exponent": 1.0, name: bad})


@pytest.mark.parametrize("offset", [0.0, -1.0, np.array([1.0, -1.0])])
def test_a_power_law_is_finite_from_the_start(offset):
    with pytest.raises(ValueError, match=r"^offset"):
        PowerLaw(1.0, 1.0, offset)


# Commitments


@pytest.mark.parametrize(
    ("rate", "bound", "exponent"), [(0.5, 100.0, 1.0), (0.05, 3.0, 0.5), (0.99, 100.0, 2.0), (0.5, 100, 1)]
)
def test_commitment_times_are_equation_28(rate, bound, exponent):
    delta = PowerLaw(10.0, 1 / 6)
    times = commitment_times(delta, rate, bound, exponent)
    got = [int(times(n)) for n in COUNTERS]
    assert got == [eq_28(10.0 / (n + 1) ** (1 / 6), rate, bound, exponent, n) for n in COUNTERS]


def test_a_commitment_is_never_shorter_than_two_rounds():
    assert int(commitment_times(1000.0, 0.5, 0.1, 0.01)(0)) == 2


def test_commitment_times_are_integers_and_sweep():
    rates = jnp.array([0.1, 0.5])
    got = jax.vmap(lambda r: commitment_times(1.0, r, 10.0, 1.0)(4))(rates)
    assert got.dtype == jnp.int32
    assert got.tolist() == [eq_28(1.0, float(r), 10.0, 1.0, 4) for r in rates]


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_a_follower_has_answered_when_the_commitment_ends(rate, sharp):
    """What Eq. 28 is for: after the k_n - 1 updates that the leader's last round shows, the distance B (1 - rate)^(k_n
    - 1) is at most delta_n / (n + 1)^p."""
    bound, exponent, delta = 50.0, 1.0, PowerLaw(2.0, 1 / 6)
    times = commitment_times(delta, rate, bound, exponent, sharp=sharp)
    for n in COUNTERS:
        k, most = int(times(n)), float(delta(n)) / (n + 1) ** exponent
        assert bound * (1 - rate) ** (k - 1) <= most
        if sharp:  # and not a round earlier
            assert k == 2 or bound * (1 - rate) ** (k - 2) > most
        if rate == 1.0:
            assert k == 2


def test_sharp_times_are_about_half_as_long():
    printed, sharp = (commitment_times(1.0, 0.1, 10.0, 1.0, sharp=sharp) for sharp in (False, True))
    for n in (10, 1000, 100_000):
        assert abs(int(sharp(n)) - 1 - int(printed(n)) / 2) <= 1


def test_commitments_go_by_the_learner_s_perturbation(x64):
    """Whether they were made with it, with an equal one or with none; a sweep of it changes them too."""
    delta = PowerLaw(4.0, 1 / 6)
    for given in (delta, PowerLaw(4.0, 1 / 6), None):
        times = commitment_times(given, rate=0.5, bound=10.0, exponent=1.0)
        leader = HiC(PowerLaw(1e-3, 1.0), delta, times, baseline=None)  # which moves at the end of each interval
        smaller = eqx.tree_at(lambda one: one.perturbation.scale, leader, 0.125)
        for learner, scale in ((leader, 4.0), (smaller, 0.125)):
            trace = play(
                games.CournotDuopoly(),
                learner,
                GradientAscent(0.1),
                key=jax.random.key(0),
                rounds=40,
                start=(50.0, 20.0),
                record=Record.every(1),
            )
            moved = np.flatnonzero(np.diff(np.asarray(trace.strategies[0]))) + 2  # rounds after which the centre moved
            ends = np.cumsum([eq_28(scale / (n + 1) ** (1 / 6), 0.5, 10.0, 1.0, n) for n in range(40)])
            np.testing.assert_array_equal(moved, ends[(ends > 1) & (ends <= 40)])


def test_commitments_for_another_perturbation_are_refused():
    times = commitment_times(PowerLaw(2.0, 1 / 6), 0.5, 10.0, 1.0)
    with pytest.raises(ValueError, match=r"^commitment: its times are for the perturbation PowerLaw"):
        HiC(PowerLaw(1.0, 1.0), PowerLaw(4.0, 1 / 6), times)
    with pytest.raises(TypeError, match=r"^perturbation: "):
        commitment_times(None, 0.5, 10.0, 1.0)(3)
    with pytest.raises(TypeError, match=r"^rate: "):
        commitment_times(PowerLaw(2.0, 1 / 6))
    with pytest.raises(TypeError, match=r"^sharp: "):
        commitment_times(None, 0.5, 10.0, 1.0, sharp=2)


@pytest.mark.parametrize("rate", [0.0, 1.5, -0.2, np.nan, jnp.array([0.5, 1.1])], ids=str)
def test_a_contraction_rate_is_between_0_and_1(rate):
    with pytest.raises(ValueError, match=r"^rate"):
        commitment_times(1.0, rate, 10.0, 1.0)


@pytest.mark.parametrize(("name", "bad"), [("bound", 0.0), ("bound", -1.0), ("exponent", 0.0), ("exponent", "one")])
def test_bound_and_exponent_are_positive(name, bad):
    with pytest.raises((ValueError, TypeError), match=f"^{name}"):
        commitment_times(1.0, **{"rate": 0.5, "bound": 10.0, "exponent": 1.0, name: bad})


def test_a_perturbation_is_a_number_or_a_schedule():
    with pytest.raises(TypeError, match=r"^perturbation"):
        commitment_times("small", 0.5, 10.0, 1.0)


# Assumption 4.4


def test_schedules_that_satisfy_the_assumption_pass_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_spsa(PowerLaw(1.5, 1.0, 10.0), PowerLaw(10.0, 1 / 6)) == []
        assert check_spsa(PowerLaw(1.0, 0.7), PowerLaw(1.0, 0.19)) == []


@pytest.mark.parametrize(
    ("step", "perturbation", "named"),
    [
        (PowerLaw(1.0, 0.1), PowerLaw(1.0, 0.6), ["step, perturbation"]),  # the authors' own
        (PowerLaw(1.0, 1.0), PowerLaw(1.0, 0.5), ["step, perturbation"]),  # the boundary: 1/2 isn't enough
        (PowerLaw(1.0, 1.1), PowerLaw(1.0, 0.2), ["step"]),
        (0.1, 0.1, ["step", "perturbation", "step, perturbation"]),
        (PowerLaw(1.0, 1.0), Constant(0.1), ["perturbation"]),
        (lambda n: 1.0 / (n + 1), PowerLaw(1.0, 0.1), ["step"]),
    ],
    ids=["0.1 and 0.6", "1 and 0.5", "summable steps", "constants", "constant perturbation", "unknown"],
)
def test_violations_are_listed_and_warned_of(step, perturbation, named):
    with pytest.warns(UserWarning, match=r"Assumption 4\.4") as caught:
        found = check_spsa(step, perturbation)
    assert [text.split(":")[0] for text in found] == named
    assert len(caught) == len(found)
    for text, warning in zip(found, caught, strict=True):
        assert text in str(warning.message)
        assert warning.filename == __file__  # it points to the caller


def test_a_sweep_violates_it_if_one_value_does():
    with pytest.warns(UserWarning, match="step"):
        assert len(check_spsa(PowerLaw(1.0, jnp.array([1.0, 0.6])), PowerLaw(1.0, 1 / 6))) == 1


# Two timescales


def test_steps_on_two_timescales_pass_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_timescales(PowerLaw(1.0, 1.0), PowerLaw(1.0, 2 / 3)) == []


@pytest.mark.parametrize(
    ("leader", "follower", "named"),
    [
        (PowerLaw(1.0, 2 / 3), PowerLaw(1.0, 1.0), ["leader_step, follower_step"]),
        (PowerLaw(1.0, 1.0), PowerLaw(1.0, 1.0), ["leader_step, follower_step"]),
        (0.1, 0.2, ["leader_step, follower_step", "leader_step", "follower_step"]),
        (PowerLaw(1.0, 1.2), PowerLaw(1.0, 0.5), ["leader_step", "follower_step"]),
        (PowerLaw(1.0, 1.0), lambda n: 0.1, ["follower_step"]),
    ],
    ids=["reversed", "a fixed ratio", "constants", "summable, and not in squares", "unknown"],
)
def test_steps_that_are_not_on_two_timescales_are_warned_of(leader, follower, named):
    with pytest.warns(UserWarning, match="two timescales") as caught:
        found = check_timescales(leader, follower)
    assert [text.split(":")[0] for text in found] == named
    assert len(caught) == len(found) and {warning.filename for warning in caught} == {__file__}


GAME = games.CournotDuopoly()


@pytest.mark.parametrize("follower", [PowerLaw(0.1, 1.0), PowerLaw(0.1, jnp.array(0.8))])
@pytest.mark.parametrize("leader", [0.1, PowerLaw(0.1, 2 / 3)])
def test_a_hierarchical_leader_that_outruns_its_follower_is_warned_of(leader, follower):
    pair = HierarchicalAscent(leader), GradientAscent(follower)
    with pytest.warns(UserWarning, match=r"^player 0, HierarchicalAscent: step: divided by the step of player 1"):
        warn_of(GAME, pair)


@pytest.mark.parametrize(("leader", "follower"), [(0.1, 0.2), (PowerLaw(0.1, 1.0), 0.2), (0.1, optax.sgd(0.1))])
def test_leaders_that_are_not_outrunning_are_left_in_peace(leader, follower):
    how = {"optimizer": follower} if isinstance(follower, optax.GradientTransformation) else {"step": follower}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(GAME, (HierarchicalAscent(leader), GradientAscent(**how)))
        warn_of(GAME, (GradientAscent(0.1), GradientAscent(PowerLaw(0.1, 1.0))))
        warn_of(GAME, (HierarchicalAscent(leader), BestResponse()))


def test_commitments_of_a_single_round_are_warned_of_where_the_follower_learns():
    leader = HiC(0.1, 1.0, jnp.array([1, 4]))
    with pytest.warns(UserWarning, match=r"^player 0, HiC: commitment: in an interval of one round player 1 hasn't"):
        warn_of(GAME, (leader, GradientAscent(0.1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(GAME, (leader, BestResponse()))
        warn_of(GAME, (HiC(0.1, 1.0, 2), GradientAscent(0.1)))


def test_advice_comes_before_anything_is_played():
    with pytest.warns(UserWarning, match="^player 0, HiC: commitment: ") as caught:
        play(GAME, HiC(0.1, 1.0, 1), GradientAscent(0.1), key=jax.random.key(0), rounds=2, record=Record.final())
    assert [warning.filename for warning in caught] == [__file__]
