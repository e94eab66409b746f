"""Games and learners of one's own: what they may leave out, and what is said where something is missing."""

import io
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from stackjax import Game, Learner, Record, Signal, experiments, play
from stackjax.games import CournotDuopoly, Noisy, Penalized, bandit_instances, from_payoffs
from stackjax.learners import UCB, Every, Fixed, GradientAscent, HiC, PerArm
from stackjax.spaces import Box

KEY = jax.random.key(0)
STEP = GradientAscent(0.1)


class Wage(Game):
    """Two players, who need no `levels`: the first leads."""

    wage: jax.Array | float = 0.5
    spaces = (Box(0.0, 1.0), Box(0.0, 1.0))

    def payoffs(self, x, y):
        return -((x - self.wage) ** 2), -((y - x) ** 2)


class Restless(Learner):
    """Plays its start and noise."""

    wants = Signal.PAYOFF

    def init(self, view, key):
        return view.first_action(key)

    def draw(self, view, key):
        return 0.01 * jax.random.normal(key, ())

    def act(self, view, state, noise, seen):
        return view.space.project(state + noise)


class Reporting(Restless):
    """And says what it adds noise to."""

    def strategy(self, view, state, seen):
        return state


class Greedy(Learner):
    """The best mean payoff, without a verb of `stackjax.arms`."""

    wants = Signal.PAYOFF

    def init(self, view, key):
        return jnp.zeros(view.arms), jnp.zeros(view.arms)

    def act(self, view, state, noise, seen):
        sums, pulls = state
        mean = sums / jnp.maximum(pulls, 1.0)
        return jnp.argmax(jnp.where(pulls < 1, mean + pulls.sum() + 2.0, mean)).astype(jnp.int32)

    def update(self, view, state, noise, signals):
        sums, pulls = state
        return sums.at[signals.own].add(signals.payoff), pulls.at[signals.own].add(1.0)


def test_a_game_without_levels_has_one_leader():
    assert Wage().levels == ((0,), (1,))
    three = type("Three", (Wage,), {"spaces": (Box(0.0, 1.0),) * 3})()
    assert three.levels == ((0,), (1, 2))
    trace = play(Wage(), STEP, STEP, key=KEY, rounds=100, replicates=2, record=Record.final())
    np.testing.assert_allclose(trace.strategies[1], 0.5, atol=1e-3)


def test_levels_that_are_given_count():
    class Field(Game):
        levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)
        spaces = (Box(0.0, 1.0),) * 2

    class Chain(Wage):
        levels = ((0,), (1,), (2,))
        spaces = (Box(0.0, 1.0),) * 3

    assert Field(((0, 1),)).levels == ((0, 1),) and Chain().levels == ((0,), (1,), (2,))


def test_noise_in_an_action_needs_a_strategy():
    with pytest.raises(TypeError, match=r"^player 0, Restless: .*its act needs its noise .* define strategy\(self"):
        play(Wage(), Restless(), STEP, key=KEY, rounds=2, replicates=2)
    trace = play(Wage(), Reporting(), STEP, key=KEY, rounds=2, replicates=2, start=(0.3, None))
    np.testing.assert_allclose(trace.strategies[0], 0.3)
    assert np.ptp(trace.actions[0]) > 0


def test_an_error_in_a_strategy_of_one_s_own_stays_what_it_is():
    class Wrong(Reporting):
        def strategy(self, view, state, seen):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        play(Wage(), Wrong(), STEP, key=KEY, rounds=2)


def test_per_arm_takes_a_learner_that_knows_nothing_of_rows():
    """Each of the leader's arms has its own sums and pulls, and they are those of what was played under it."""
    game = bandit_instances.aligned()
    record = Record.every(1, payoffs=None)
    for arm in range(2):
        trace = play(game, Fixed(arm), PerArm(Greedy()), key=KEY, rounds=60, replicates=5, record=record)
        sums, pulls = (np.asarray(x).reshape(5, 2, 2) for x in trace.state[1])
        assert np.all(pulls[:, 1 - arm] == 0) and np.all(sums[:, 1 - arm] == 0)
        np.testing.assert_array_equal(pulls[:, arm], trace.visits[:, -1, arm])
        assert np.all(sums[:, arm] <= pulls[:, arm]) and np.all(pulls[:, arm].sum(-1) == 60)
        # What it is shown are rewards of 0 and 1, and both arms are tried first.
        assert np.all(sums == np.rint(sums)) and np.all(pulls[:, arm] >= 1)


def test_an_error_of_a_learner_s_own_in_per_arm_is_shown():
    class Wrong(Greedy):
        def act(self, view, state, noise, seen):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        play(bandit_instances.aligned(), Fixed(0), PerArm(Wrong()), key=KEY, rounds=2)


def test_arrays_of_a_game_without_in_axes_are_pointed_to():
    many = Wage(jnp.linspace(0.1, 0.9, 50))
    with pytest.raises(
        ValueError, match=r"^payoffs: .*Wage\.wage \(50,\) is one entry a replicate, name it in in_axes"
    ):
        play(many, STEP, STEP, key=KEY, rounds=2, replicates=50)
    with pytest.raises(ValueError, match=r"^in_axes: game\.wage: expected one entry for each of the 60 replicates"):
        play(many, STEP, STEP, key=KEY, rounds=2, replicates=60, in_axes=(0, None, None))


def test_a_box_says_its_order():
    with pytest.raises(TypeError, match=r"^low: .*the order is Box\(low, high, shape\)"):
        Box((), 0, 1)


def test_payoffs_of_the_strategies_are_not_means_over_rounds():
    game = CournotDuopoly()
    trace = play(game, STEP, STEP, key=KEY, rounds=400, replicates=3, record=Record.final())
    np.testing.assert_allclose(trace.payoffs_of_strategies(game)[:, -1], [game.payoffs(*game.nash())] * 3, rtol=1e-4)
    assert np.abs(trace.payoffs - trace.payoffs_of_strategies(game)).max() > 1
    one = play(game, STEP, STEP, key=KEY, rounds=40, record=Record.every(10))
    assert one.payoffs_of_strategies(game).shape == (4, 2)
    many = Wage(jnp.array([0.2, 0.7]))
    trace = play(many, STEP, STEP, key=KEY, rounds=200, replicates=2, record=Record.final(), in_axes=(0, None, None))
    np.testing.assert_allclose(trace.payoffs_of_strategies(many, in_axes=0), 0.0, atol=1e-5)


def test_a_comparison_of_noisy_payoffs_with_exact_gradients_is_warned_of():
    def compared(variance, noise_variance, wrapped=lambda ascent: ascent):
        methods = {
            "hi-c": (HiC(0.01, 0.1, 2), STEP),
            "ascent": (wrapped(GradientAscent(0.1, noise_variance=noise_variance)), STEP),
        }
        game = Noisy(CournotDuopoly(), payoff_variance=variance)
        return experiments.compare(game, methods, rounds=2, replicates=2, record=Record.final())

    with pytest.warns(
        UserWarning, match=r"^methods: the payoffs that player 0 reads in 'hi-c' are noisy, its gradients"
    ):
        compared(1.0, 0.0)
    with pytest.warns(UserWarning, match=r"in 'hi-c' are noisy, its gradients in 'ascent' are exact"):
        compared(1.0, 0.0, lambda ascent: Every(2, ascent))
    compared(1.0, 0.5)  # warnings are errors here
    compared(0.0, 0.0)


def test_a_learner_beside_a_bandit_may_be_plain():
    """A bare learner of arms as the leader of a tuned follower."""
    pair = Greedy(), PerArm(UCB(1.0, 40))
    trace = play(bandit_instances.aligned(), *pair, key=KEY, rounds=40, replicates=3, record=Record.final())
    assert np.asarray(trace.visits).sum() == 120


def test_a_follower_that_heeds_no_constraint_is_warned_of_and_shown():
    """The follower is paid for 3, which isn't allowed; without a word its payoff would look like success."""
    budget = from_payoffs(
        lambda x, y: -((x - 1) ** 2) - y**2,
        lambda x, y: -((y - 3) ** 2),
        spaces=(Box(-2.0, 2.0), Box(-5.0, 5.0)),
        inequalities=(None, lambda x, y: x + y - 2),
    )
    said = r"^player 1, \w+: it doesn't keep to the game's constraints on this player"
    with pytest.warns(UserWarning, match=said) as caught:
        result = experiments.compare(budget, {"m": (Fixed(1.0), STEP)}, rounds=200, replicates=2)
    assert len(caught) == 1
    printed = Console(width=150, file=io.StringIO())
    printed.print(experiments.table(result, 150))
    assert "m: follower violates its constraints by up to 2: not allowed" in printed.file.getvalue()
    with pytest.warns(UserWarning, match=said):
        play(budget, Fixed(1.0), Every(2, STEP), key=KEY, rounds=2)
    play(Penalized(budget, 5.0), Fixed(1.0), STEP, key=KEY, rounds=2)


def test_a_keyword_that_an_experiment_has_is_offered():
    with pytest.raises(TypeError, match=r"unknown argument 'replicate'; did you mean 'replicates'"):
        experiments.compare(Wage(), {"m": (STEP, STEP)}, rounds=2, replicate=2)


def test_settings_of_every_structure_are_looked_at(monkeypatch):
    """However many others come before."""
    monkeypatch.setattr(sys.modules["stackjax.experiments.run"], "_WARNED_OF", 1)
    methods = {"fine": (STEP, STEP), "too short": (HiC(0.01, 0.1, 1), STEP)}
    with pytest.warns(UserWarning, match=r"^player 0, HiC: commitment: ") as caught:
        experiments.compare(Wage(), methods, rounds=2, replicates=2, record=Record.final())
    assert len(caught) == 1
