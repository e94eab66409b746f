"""What a researcher writes, from a game in five lines to a resumed run: every public name, used as its user would."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import stackjax as sj
from stackjax import Calls, Game, Learner, Record, Signal, Status, View, play
from stackjax.games import CournotDuopoly, Noisy, Quadratic, from_costs, from_payoffs
from stackjax.learners import BestResponse, Every, Fixed, GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import Constant, PowerLaw, check_spsa, commitment_times
from stackjax.spaces import Box, Euclidean


def test_a_game_in_five_lines():
    def leader(x, y):
        return -((x - 1.0) ** 2) + x * y

    def follower(x, y):
        return -((y - x) ** 2)

    game = from_payoffs(leader, follower, spaces=(Euclidean(()), Box(-5.0, 5.0, ())))
    same = from_costs(lambda x, y: -leader(x, y), lambda x, y: -follower(x, y), spaces=game.spaces, levels=((0,), (1,)))
    np.testing.assert_allclose(game.payoffs(0.3, 0.7), same.payoffs(0.3, 0.7))

    trace = play(game, HierarchicalAscent(0.02), GradientAscent(0.2), key=jax.random.key(0), rounds=400, replicates=8)
    # x -> f1(x, x) = 2x - 1 has no maximum: the follower hits its box, and the leader goes on from there.
    assert trace.strategies[0].shape == (8, len(trace.rounds))
    assert bool((trace.status == Status.OK).all())


def test_coupled_against_uncoupled_on_the_duopoly():
    game = CournotDuopoly(demand=100.0, costs=(5.0, 2.0), slope=1.0)
    nash, stackelberg = game.nash(), game.stackelberg()
    np.testing.assert_allclose(stackelberg, (46.0, 26.0), rtol=1e-6)

    simultaneous = (
        GradientAscent(PowerLaw(1.0, 1.0), noise_variance=10.0),
        GradientAscent(PowerLaw(1.0, 1.0), noise_variance=10.0),
    )
    two_timescale = (
        HierarchicalAscent(PowerLaw(1.0, 1.0), damping=0.0, noise_variance=10.0),
        GradientAscent(PowerLaw(1.0, 2 / 3), noise_variance=10.0),
    )
    perturbation = PowerLaw(10.0, 1 / 6)
    step = PowerLaw(1.5, 1.0, offset=10.0)
    check_spsa(step, perturbation)
    uncoupled = (
        HiC(step, perturbation, commitment_times(perturbation, rate=0.5, bound=100.0, exponent=1.0)),
        GradientAscent(Constant(0.25)),
    )
    key = jax.random.key(1)
    distance = {}
    for name, learners, played in [
        ("simultaneous", simultaneous, game),
        ("two-timescale", two_timescale, game),
        ("hi-c", uncoupled, Noisy(game, payoff_variance=10.0)),
    ]:
        trace = play(
            played,
            *learners,
            key=key,
            rounds=2000,
            replicates=50,
            start=(jnp.linspace(20.0, 60.0, 50), 30.0),
            record=Record.log_spaced(20, metrics=lambda x, y: {"total": x + y}),
        ).raise_if_failed()
        distance[name] = float(jnp.median(jnp.abs(trace.strategies[0][:, -1] - stackelberg[0])))
        assert trace.metrics["total"].shape == (50, len(trace.rounds))
    assert distance["simultaneous"] > 10  # it goes to Nash
    assert abs(float(nash[0]) - 30.667) < 1e-3
    assert distance["two-timescale"] < 0.5 and distance["hi-c"] < 3.0


def test_hyper_parameters_and_games_share_one_batch_axis():
    steps = jnp.array([0.02, 0.05, 0.1, 0.2])
    games = Quadratic.random(jax.random.key(2), dims=(1, 2), batch=4)
    trace = play(
        games,
        HierarchicalAscent(steps),
        GradientAscent(0.1),
        key=jax.random.key(3),
        rounds=3000,
        replicates=jnp.array([7, 8, 9, 10]),
        in_axes=(0, 0, None),
        chunk=2,
        record=Record.final(),
    )
    x, y = games.stackelberg()
    np.testing.assert_allclose(trace.strategies[0][:, -1], x, atol=2e-3)
    np.testing.assert_allclose(trace.strategies[1][:, -1], y, atol=2e-3)


def test_a_learner_and_a_game_of_ones_own():
    class SignAscent(Learner):
        """Moves by a fixed amount in the direction of the gradient's sign."""

        step: float
        wants = Signal.GRADIENT

        def init(self, view: View, key):
            return view.first_action(key)

        def act(self, view, state, noise, seen):
            return state

        def update(self, view, state, noise, signals):
            return view.space.project(state + self.step * jnp.sign(signals.gradient))

    class Crowding(Game):
        """Three players: one leader, two followers; each wants to be near its target and far from the mean."""

        targets: jax.Array
        spaces = (Euclidean(()), Euclidean(()), Euclidean(()))
        levels = ((0,), (1, 2))

        def payoffs(self, *actions):
            mean = sum(actions) / 3
            return tuple(-((a - t) ** 2) + 0.1 * (a - mean) ** 2 for a, t in zip(actions, self.targets, strict=True))

    trace = play(
        Crowding(jnp.array([0.0, 1.0, 2.0])),
        SignAscent(0.01),
        Every(2, SignAscent(0.01)),
        Fixed(2.5),
        key=jax.random.key(0),
        rounds=1000,
        start=(5.0, -5.0, None),
        record=Record.every(100),
    )
    np.testing.assert_array_equal(trace.rounds, np.arange(100, 1001, 100))
    np.testing.assert_allclose(trace.strategies[0][:2], [4.0, 3.0], atol=1e-4)
    np.testing.assert_allclose(trace.strategies[1][:2], [-4.5, -4.0], atol=1e-4)
    np.testing.assert_array_equal(trace.calls[1].gradients, np.arange(50, 501, 50))


def test_any_optax_optimiser_and_any_pytree():
    def payoff(network, y):
        out = jnp.tanh(network["w"] @ jnp.ones(3) + network["b"])
        return -jnp.sum((out - y) ** 2)

    space = Euclidean({"w": (2, 3), "b": (2,)})
    game = from_payoffs(payoff, lambda network, y: -jnp.sum((y - 0.5) ** 2), spaces=(space, Euclidean((2,))))
    with jax.numpy_dtype_promotion("standard"):  # Optax multiplies floats by integers
        trace = play(
            game,
            GradientAscent(optimizer=optax.adam(0.05)),
            BestResponse(),
            key=jax.random.key(0),
            rounds=300,
            replicates=3,
        )
    assert trace.strategies[0]["w"].shape == (3, len(trace.rounds), 2, 3)
    assert float(trace.payoffs[:, -1, 0].min()) > -1e-3


def test_stop_resume_and_differentiate():
    game = CournotDuopoly()
    key = jax.random.key(4)

    def run(step, rounds=60, **options):
        return play(
            game,
            HierarchicalAscent(step),
            GradientAscent(0.3),
            key=key,
            rounds=rounds,
            replicates=None,
            start=(40.0, 30.0),
            record=Record.every(10),
            **options,
        )

    whole = run(0.1)
    first = run(0.1, rounds=30)
    rest = run(0.1, rounds=30, resume=first)
    np.testing.assert_array_equal(rest.rounds, whole.rounds[3:])
    np.testing.assert_array_equal(rest.strategies[0], whole.strategies[0][3:])
    np.testing.assert_array_equal(rest.calls[0].solves, whole.calls[0].solves[3:])

    def final(step):
        return run(step).strategies[0][-1]

    slope = jax.grad(final)(0.1)
    np.testing.assert_allclose(slope, jax.jvp(final, (0.1,), (1.0,))[1], rtol=1e-4)


def test_a_learner_sees_only_what_it_declared():
    class Curious(Learner):
        wants = Signal.PAYOFF

        def init(self, view, key):
            return view.first_action(key)

        def act(self, view, state, noise, seen):
            return state

        def update(self, view, state, noise, signals):
            return state + signals.gradient

    with pytest.raises(ValueError, match=r"Curious.*GRADIENT.*wants"):
        play(CournotDuopoly(), Curious(), Fixed(20.0), key=jax.random.key(0), rounds=2)


def test_what_it_cost_is_counted():
    trace = play(
        CournotDuopoly(),
        HierarchicalAscent(0.1),
        GradientAscent(0.3),
        key=jax.random.key(0),
        rounds=10,
        replicates=2,
        record=Record.final(),
    )
    leader, follower = trace.calls
    assert isinstance(leader, Calls)
    np.testing.assert_array_equal(leader.solves[:, -1], [10, 10])
    np.testing.assert_array_equal(follower.gradients[:, -1], [10, 10])
    np.testing.assert_array_equal(follower.solves[:, -1], [0, 0])
    assert {"rounds", "strategy_0", "payoffs"} <= set(trace.to_xarray().variables)


def test_the_top_level_names():
    assert sj.play is play and issubclass(Game, eqx.Module) and isinstance(trace_fields := sj.Trace.__doc__, str)
    assert trace_fields
