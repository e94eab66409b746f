"""Derivatives through `play`: forward mode always, reverse mode where the record points are equally spaced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import CournotDuopoly, from_payoffs
from stackjax.learners import Fixed, GradientAscent, HierarchicalAscent
from stackjax.schedules import PowerLaw
from stackjax.spaces import Box, Euclidean

KEY = jax.random.key(0)
ROUNDS = 6
EQUAL = Record.every(2)
UNEQUAL = Record.log_spaced(4)  # 1, 2, 3, 6


@jax.jit  # one small program instead of twenty
def combined(recorded):
    return jnp.sum(jnp.sin(0.1 * jnp.concatenate([jnp.ravel(x) for x in recorded])))


def outcome(
    step=0.1,
    exponent=0.5,
    demand=100.0,
    start=40.0,
    noise=1.0,
    *,
    leader=GradientAscent,
    record=EQUAL,
    rounds=ROUNDS,
    **options,
):
    """A number that depends on everything that a run returns as a float."""
    trace = play(
        CournotDuopoly(demand=demand),
        leader(PowerLaw(step, exponent), noise_variance=noise),
        GradientAscent(0.2),
        key=KEY,
        rounds=rounds,
        start=(start, 30.0),
        record=record,
        **options,
    )
    return combined((*trace.strategies, *trace.actions, *trace.initial, 0.01 * trace.payoffs, trace.state[1].action))


ARGUMENTS = (0.1, 0.5, 100.0, 40.0, 1.0)


def differences(function, arguments, step=1e-6):
    """Central finite differences in each argument."""
    found = []
    for i, value in enumerate(arguments):
        low, high = (
            (*arguments[:i], value + sign * step * max(1, abs(value)), *arguments[i + 1 :]) for sign in (-1, 1)
        )
        found.append((function(*high) - function(*low)) / (2 * step * max(1, abs(value))))
    return np.array(found, float)


def test_gradients_in_every_number_are_right(x64):
    def run(*arguments):
        return outcome(*arguments, leader=HierarchicalAscent)

    gradient = jax.grad(run, argnums=tuple(range(5)))(*ARGUMENTS)
    np.testing.assert_allclose(gradient, differences(run, ARGUMENTS), rtol=1e-5, atol=1e-7)
    assert np.all(np.abs(gradient) > 1e-4)


def test_forward_mode_works_with_any_record(x64):
    def run(step):
        return outcome(step, record=UNEQUAL)

    expected = differences(run, (0.1,))[0]
    np.testing.assert_allclose(jax.jvp(run, (0.1,), (1.0,))[1], expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(run)(0.1), expected, rtol=1e-5)


@pytest.mark.slow
def test_forward_mode_is_vectorised_with_any_record():
    def derivative(step):
        return jax.jvp(lambda s: outcome(s, record=UNEQUAL), (step,), (1.0,))[1]

    many = jax.vmap(derivative)(jnp.array([0.05, 0.1]))
    np.testing.assert_allclose(many[1], derivative(0.1), rtol=1e-3)


@pytest.mark.parametrize(
    ("record", "rounds"), [(UNEQUAL, ROUNDS), (Record.every(4), ROUNDS)], ids=["log-spaced", "a shorter last block"]
)
def test_reverse_mode_refuses_what_it_cannot_do_and_says_what_it_can(record, rounds):
    with pytest.raises(
        ValueError, match=r"^record: reverse-mode.*Record\.every.*multiple.*Record\.final.*forward mode"
    ):
        jax.eval_shape(jax.grad(lambda step: outcome(step, record=record, rounds=rounds)), 0.1)


@pytest.mark.slow
def test_the_values_are_those_of_a_run_that_is_not_differentiated():
    def run(step):
        return outcome(step, record=Record.final())

    value, gradient = jax.value_and_grad(run)(0.1)
    again, tangent = jax.jvp(run, (0.1,), (1.0,))
    np.testing.assert_allclose([value, again], run(0.1), rtol=1e-5)
    np.testing.assert_allclose(gradient, tangent, rtol=1e-3)


@pytest.mark.slow
def test_replicates_have_gradients_of_their_own_in_every_layout():
    def run(steps, **options):
        return play(
            CournotDuopoly(), GradientAscent(steps), GradientAscent(0.2), key=KEY, rounds=4, replicates=3,
            in_axes=(None, 0, None), start=(40.0, 30.0), record=Record.final(), **options,
        ).strategies[0][:, -1]  # fmt: skip

    steps = jnp.array([0.1, 0.2, 0.3])
    jacobian = jax.jacrev(run)(steps)
    assert np.count_nonzero(jacobian) == 3 and np.all(np.diag(jacobian) != 0)
    layouts = [{"chunk": 2}] + [{"devices": 2}] * (jax.device_count() >= 2)
    for options in layouts:
        gradient = jax.grad(lambda s, options=options: jnp.sum(run(s, **options)))(steps)
        np.testing.assert_allclose(gradient, np.diag(jacobian), rtol=1e-5)


def test_gradients_go_through_an_interruption(x64):
    def run(step, halves):
        def part(rounds, resume=None):
            return play(
                CournotDuopoly(), GradientAscent(step), GradientAscent(0.2), key=KEY, rounds=rounds, start=(40.0, 30.0),
                record=Record.final(), resume=resume,
            )  # fmt: skip

        return (part(4, part(4)) if halves else part(8)).strategies[0][-1]

    whole, halves = (jax.value_and_grad(lambda s, h=h: run(s, h))(0.1) for h in (False, True))
    np.testing.assert_allclose(halves, whole, rtol=1e-10)


def test_play_may_be_compiled_into_a_larger_program(x64):
    value, gradient = jax.jit(jax.value_and_grad(outcome))(0.1)
    np.testing.assert_allclose(value, outcome(0.1), rtol=1e-10)
    np.testing.assert_allclose(gradient, differences(outcome, (0.1,))[0], rtol=1e-5)


def test_a_trace_comes_out_of_a_larger_program():
    def run(step):
        return play(
            CournotDuopoly(), GradientAscent(step), GradientAscent(0.2), key=KEY, rounds=4, replicates=2, record=UNEQUAL
        )

    inside, outside = jax.jit(run)(0.1), run(0.1)
    np.testing.assert_allclose(inside.strategies[0], outside.strategies[0], rtol=1e-5)
    np.testing.assert_array_equal(inside.calls[1].gradients, outside.calls[1].gradients)
    np.testing.assert_array_equal(inside.status, outside.status)


def test_play_runs_in_jit_whatever_is_traced():
    """Only the key, nothing at all, and values that the game's or the learner's functions hold."""
    key, steps = jax.random.key(3), (GradientAscent(0.1), GradientAscent(0.2))

    def final(key, learners=steps, game=CournotDuopoly()):
        return play(game, *learners, key=key, rounds=30, start=(3.0, 4.0), record=Record.final()).strategies[0][-1]

    expected = final(key)
    np.testing.assert_allclose(jax.jit(final)(key), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda: final(key))(), expected, rtol=1e-6)

    def of_function(target):
        spaces = (Euclidean(()), Euclidean(()))
        game = from_payoffs(lambda x, y: -((x - target) ** 2), lambda x, y: -((y - x) ** 2), spaces=spaces)
        return final(key, game=game)

    def of_schedule(scale):
        return final(key, learners=(GradientAscent(lambda n: scale / (jnp.float32(n) + 1.0)), steps[1]))

    for function in (of_function, of_schedule):
        together = jax.vmap(function)(jnp.array([0.1, 0.2]))
        np.testing.assert_allclose(together[1], function(0.2), rtol=1e-5)
        assert together[0] != together[1]


def test_a_failed_replicate_spoils_no_derivative_of_the_others():
    game = from_payoffs(lambda x, y: jnp.sqrt(x) - 0.1 * x, lambda x, y: -(y**2), spaces=(Euclidean(()), Euclidean(())))

    def first(step):
        start = (jnp.array([1.0, -1.0]), None)
        learners = (GradientAscent(step), Fixed(0.0))
        trace = play(game, *learners, key=jax.random.key(0), rounds=6, replicates=2, start=start, record=Record.final())
        return trace.strategies[0][0, -1]

    slope = (first(0.101) - first(0.099)) / 0.002
    np.testing.assert_allclose(jax.grad(first)(0.1), slope, rtol=1e-2)
    np.testing.assert_allclose(jax.jacfwd(first)(0.1), slope, rtol=1e-2)


@pytest.mark.slow
def test_payoffs_may_be_made_of_compiled_pieces():
    """`jnp.clip`, `jax.nn.relu` and the like are programs of their own, in each of which derivatives must agree."""

    def final(target):
        def leader(x, y):
            return -jnp.clip((x - target) ** 2, 0.0, 50.0) + jax.nn.softplus(y * target)

        def follower(x, y):
            return -((y - x) ** 2) - 0.1 * jax.nn.relu(y - target)

        game = from_payoffs(leader, follower, spaces=(Box(-3.0, 3.0), Box(-2.0, 2.0)))
        learners = (HierarchicalAscent(0.05), GradientAscent(0.1))
        options = {"key": jax.random.key(0), "replicates": 2, "record": Record.every(3)}
        trace = play(game, *learners, rounds=6, start=(0.5, 0.3), **options)
        return jnp.sum(trace.strategies[0]) + jnp.sum(trace.payoffs)

    slope = (final(1.21) - final(1.19)) / 0.02
    np.testing.assert_allclose(jax.grad(final)(1.2), slope, rtol=1e-2)
    np.testing.assert_allclose(jax.jacfwd(final)(1.2), slope, rtol=1e-2)
