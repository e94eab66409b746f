"""What each learner promises, in small runs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import FailedReplicatesError, Record, Status, play
from stackjax.games import CournotDuopoly, Noisy, Quadratic, from_payoffs
from stackjax.learners import BestResponse, Every, Fixed, GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import PowerLaw
from stackjax.solvers import Dense
from stackjax.spaces import Box, Euclidean

KEY = jax.random.key(0)
DUOPOLY = CournotDuopoly()


def final(trace, player=0):
    return np.asarray(trace.strategies[player])[..., -1]


def test_a_step_is_optax_sgd():
    runs = [
        play(DUOPOLY, leader, GradientAscent(0.2), key=KEY, rounds=20, start=(10.0, 20.0), record=Record.every(5))
        for leader in (GradientAscent(0.1), GradientAscent(optimizer=optax.sgd(0.1)))
    ]
    np.testing.assert_allclose(runs[0].strategies[0], runs[1].strategies[0], rtol=1e-6)


def test_estimator_noise_has_the_stated_variance():
    """Fixed actions but for the noise; false-alarm rate 1e-6 (a chi-square of 4000 draws is within 4.9 sd = 11 %)."""
    flat = from_payoffs(lambda x, y: 0.0 * x, lambda x, y: 0.0 * y, spaces=(Euclidean(()), Euclidean(())))
    learners = (GradientAscent(1.0, noise_variance=9.0), Fixed(0.0))
    trace = play(flat, *learners, key=KEY, rounds=1, replicates=4000, start=(0.0, None))
    assert abs(np.var(final(trace)) / 9.0 - 1) < 0.11
    assert abs(np.mean(final(trace))) < 4.9 * 3 / 4000**0.5


def test_the_best_response_in_closed_form_is_the_numerical_one():
    game = Quadratic.random(jax.random.key(3), (1, 2))
    hidden = from_payoffs(*(lambda x, y, i=i: game.payoffs(x, y)[i] for i in (0, 1)), spaces=game.spaces)
    start = (jnp.array([1.0]), jnp.zeros(2))
    traces = [
        play(g, HierarchicalAscent(0.1), BestResponse(), key=KEY, rounds=30, start=start, record=Record.final())
        for g in (game, hidden)
    ]
    for player in (0, 1):
        np.testing.assert_allclose(traces[0].strategies[player], traces[1].strategies[player], atol=2e-3)
    np.testing.assert_array_equal(traces[1].calls[1].solves, [30])


def test_a_best_response_reports_the_answer_to_the_leader_s_strategy_and_plays_the_answer_to_its_action():
    leader = HiC(PowerLaw(0.5, 1.0, offset=10.0), 3.0, 2)
    trace = play(Noisy(DUOPOLY, 1.0), leader, BestResponse(), key=KEY, rounds=50, replicates=4, record=Record.every(7))
    answer = lambda x: np.clip((98.0 - x) / 2, 0.0, 100.0)  # noqa: E731
    np.testing.assert_allclose(trace.actions[1], answer(np.asarray(trace.actions[0])), rtol=1e-5)
    np.testing.assert_allclose(trace.strategies[1], answer(np.asarray(trace.strategies[0])), rtol=1e-5)
    assert np.max(np.abs(trace.actions[0] - trace.strategies[0])) > 2.9


def test_a_numerical_best_response_stops_at_the_box():
    game = from_payoffs(
        lambda x, y: -jnp.sum(x**2),
        lambda x, y: -jnp.sum((y - 3.0 * x) ** 2) - 0.5 * y[0] * y[1],
        spaces=(Box(-2.0, 2.0, (2,)), Box(-1.0, 1.0, (2,))),
    )
    trace = play(game, Fixed(jnp.array([1.0, 0.1])), BestResponse(), key=KEY, rounds=3, start=(None, jnp.zeros(2)))
    np.testing.assert_allclose(trace.strategies[1][-1], [1.0, 0.3 - 0.25], atol=1e-3)


def test_a_best_response_that_does_not_exist_is_a_status_and_no_answer():
    game = from_payoffs(lambda x, y: -(x**2), lambda x, y: x * y, spaces=(Euclidean(()), Euclidean(())))
    trace = play(
        game, Fixed(1.0), BestResponse(max_steps=20), key=KEY, rounds=3, start=(None, 0.0), record=Record.every(1)
    )
    assert trace.status == Status.NON_FINITE and trace.failed_at == 1


def test_a_singular_follower_hessian_is_a_status_not_silence():
    # f2 = x y^3: the Hessian 6 x y is singular at y = 0 or x = 0, and fine elsewhere
    game = from_payoffs(lambda x, y: -((x - 1) ** 2) + y, lambda x, y: x * y**3, spaces=(Euclidean(()), Box(-1.0, 1.0)))
    start = (jnp.array([1.0, 0.0, 1.0]), jnp.array([0.5, 0.5, 0.0]))
    trace = play(game, HierarchicalAscent(0.01), Fixed(0.5), key=KEY, rounds=2, replicates=3, start=start)
    np.testing.assert_array_equal(trace.status, [Status.OK, Status.NON_FINITE, Status.OK])
    with pytest.raises(FailedReplicatesError, match="1 of 3 replicates failed"):
        trace.raise_if_failed()
    assert np.isfinite(np.asarray(trace.strategies[0])).all()  # frozen where it was
    damped = HierarchicalAscent(0.01, damping=0.1)
    assert (play(game, damped, Fixed(0.5), key=KEY, rounds=2, replicates=3, start=start).status == Status.OK).all()


@pytest.mark.parametrize("d2", [2, 3, pytest.param(8, marks=pytest.mark.slow), 12])
def test_a_hessian_that_is_singular_to_rounding_is_found_out(d2):
    """20 followers of rank d2 - 1, whose elimination rarely meets an exact zero."""
    weights = np.random.default_rng(d2).normal(size=(20, d2, d2)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def direction(w):
        game = from_payoffs(
            lambda x, y: -(x**2) + jnp.sum(y),
            lambda x, y: -jnp.sum((w @ y - x) ** 2),
            spaces=(Euclidean(()), Euclidean((d2,))),
        )
        leader = HierarchicalAscent(1.0, solver=Dense())
        return leader.direction(game, 0, (jnp.asarray(1.0), jnp.linspace(-1.0, 1.0, d2)))

    assert np.isfinite(direction(weights)).all()
    weights[:, -1] = 0.0
    assert np.isnan(direction(weights)).all()


def test_calls_count_the_level_below_and_acting():
    """Two leaders with one follower: 2 columns of its Hessian and a product for H_yx. Best responses: one a round."""
    spaces = tuple(Euclidean((d,)) for d in (1, 2, 2))
    game = from_payoffs(
        *(lambda *z, i=i: -sum(jnp.sum((a - i) ** 2) for a in z) for i in range(3)),
        spaces=spaces,
        levels=((0, 1), (2,)),
    )
    options = {"key": KEY, "rounds": 9, "start": (jnp.ones(1), jnp.ones(2), jnp.ones(2)), "record": Record.final()}
    leaders = (HierarchicalAscent(0.01), HierarchicalAscent(0.01))
    trace = play(game, *leaders, Every(3, BestResponse()), **options)
    assert [int(c.hessian_vector_products[-1]) for c in trace.calls] == [27, 27, 0]
    assert int(trace.calls[2].solves[-1]) == 9

    two_followers = from_payoffs(*game.functions, spaces=spaces)
    trace = play(two_followers, HierarchicalAscent(0.01), HierarchicalAscent(0.01), Fixed(jnp.ones(2)), **options)
    assert [int(c.hessian_vector_products[-1]) for c in trace.calls] == [9 * 5, 0, 0]
    assert int(trace.calls[1].gradients[-1]) == 9


def test_a_box_s_best_response_copes_with_coordinates_of_different_curvature():
    weights = jnp.array([1.0, 1000.0])
    game = from_payoffs(
        lambda x, y: -(x**2),
        lambda x, y: -jnp.sum(weights * (y - x) ** 2),
        spaces=(Euclidean(()), Box(-1.0, 1.0, (2,))),
    )
    trace = play(game, Fixed(0.3), BestResponse(), key=KEY, rounds=3, replicates=3).raise_if_failed()
    np.testing.assert_allclose(trace.strategies[1][:, -1], 0.3, atol=1e-3)


def test_a_commitment_schedule_that_falls_to_nothing_holds_for_a_round():
    trace = play(DUOPOLY, HiC(0.01, 1.0, lambda n: 3 - n), Fixed(30.0), key=KEY, rounds=50, record=Record.final())
    assert int(trace.state[0].n) == 3 + 2 + 1 + 44 - 3  # 3, 2 and 1 rounds, then one each


def test_power_laws_that_violate_the_assumption_warn():
    with pytest.warns(UserWarning, match=r"Assumption 4\.4"):
        HiC(PowerLaw(1.0, 0.6), PowerLaw(1.0, 0.1), 3)


@pytest.mark.slow
def test_large_followers_are_solved_like_small_ones():
    entries = jax.random.normal(jax.random.key(1), (14, 14)) / 4 + jnp.diag(jnp.arange(1.0, 15.0))
    game = Quadratic((entries, entries.T), (jnp.ones(14), jnp.ones(14)), (2, 12))
    z = game.stackelberg()
    np.testing.assert_allclose(HierarchicalAscent(1.0).direction(game, 0, z), 0.0, atol=1e-4)


def test_every_updates_in_its_turn_only_and_counts_its_own_updates():
    leader = Every(4, GradientAscent(PowerLaw(0.4, 1.0)))
    trace = play(DUOPOLY, leader, Fixed(30.0), key=KEY, rounds=12, start=(10.0, None), record=Record.every(1))
    q, expected = 10.0, []
    for t in range(12):
        if t % 4 == 3:
            q += 0.4 / (t // 4 + 1) * (95.0 - 2 * q - 30.0)
        expected.append(q)
    np.testing.assert_allclose(trace.strategies[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(trace.calls[0].gradients, np.arange(1, 13) // 4)


def test_directions_are_the_signals_that_learners_are_shown():
    actions = (jnp.asarray(20.0), jnp.asarray(35.0))
    trace = play(DUOPOLY, GradientAscent(1e-3), Fixed(35.0), key=KEY, rounds=1, start=(20.0, None))
    moved = (float(trace.strategies[0][-1]) - 20.0) / 1e-3
    assert abs(moved - float(GradientAscent(1e-3).direction(DUOPOLY, 0, actions))) < 0.05
    follower = HierarchicalAscent(1.0).direction(DUOPOLY, 1, actions)  # nobody is below: its own gradient
    np.testing.assert_allclose(follower, GradientAscent(1.0).direction(DUOPOLY, 1, actions))


@pytest.mark.parametrize(("rate", "commitment"), [(0.05, 5), (0.25, 2)])
def test_a_commitment_that_is_too_short_converges_where_the_formula_says(rate, commitment):
    """Zero of grad_x f1 + R (1 - (1 - beta C)^(k-1)) grad_y f1; 64 noise-free replicates at 4e4 rounds.

    Over the keys 0 to 19 the median was within .015; the tolerance is .05, and k for k - 1 would be off by .88 and 4.1.
    """
    lag = 1 - (1 - 2 * rate) ** (commitment - 1)  # R = -1/2, C = 2
    # 95 - 2 x - y + lag x / 2 = 0 with y = (98 - x) / 2
    predicted = (95 - 49) / (2 - 0.5 - lag / 2)
    leader = HiC(PowerLaw(1.5, 1.0, offset=10.0), PowerLaw(10.0, 1 / 6), commitment)
    trace = play(
        DUOPOLY, leader, GradientAscent(rate), key=KEY, rounds=40_000, replicates=64, record=Record.final(payoffs=None)
    )
    assert abs(np.median(final(trace)) - predicted) < 0.05


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: GradientAscent(), "step, optimizer"),
        (lambda: GradientAscent(0.1, optimizer=optax.sgd(0.1)), "step, optimizer"),
        (lambda: GradientAscent("fast"), "step"),
        (lambda: GradientAscent(optimizer=0.1), "optimizer"),
        (lambda: GradientAscent(0.1, noise_variance=-1.0), "noise_variance"),
        (lambda: HierarchicalAscent(0.1, damping=-1.0), "damping"),
        (lambda: HiC(0.1, 0.1, 0), "commitment"),
        (lambda: HiC(0.1, 0.1, 2, baseline=1.0), "baseline"),
        (lambda: HiC(0.1, 0.1, 2, measurements=3), "measurements"),
        (lambda: BestResponse(tolerance=0.0), "tolerance"),
        (lambda: Every(0, GradientAscent(0.1)), "k"),
        (lambda: Every(2, GradientAscent), "learner"),
    ],
)
def test_bad_learners_are_refused_by_the_argument_s_name(make, name):
    with pytest.raises((ValueError, TypeError), match=name):
        make()


@pytest.mark.parametrize(
    ("leader", "message"),
    [
        (HiC(0.1, 60.0, 2), "perturbation: .*wider"),
        (HiC(0.1, -1.0, 2), "perturbation: .*positive"),
        (HiC(-0.1, 1.0, 2), "step: .*positive"),
        (GradientAscent(PowerLaw(-0.1, 1.0)), "step: .*positive"),
        (Fixed(101.0), "action: .*outside"),
    ],
)
def test_learners_that_do_not_fit_the_game_are_refused_before_it_runs(leader, message):
    with pytest.raises(ValueError, match=message):
        play(DUOPOLY, leader, GradientAscent(0.1), key=KEY, rounds=2)


def test_a_batch_of_learners_names_the_replicate_that_does_not_fit():
    leaders = HiC(0.1, jnp.array([1.0, 60.0, 2.0]), 2)
    with pytest.raises(ValueError, match=r"perturbation.*replicates \[1\]"):
        play(DUOPOLY, leaders, GradientAscent(0.1), key=KEY, rounds=2, replicates=3, in_axes=(None, 0, None))
