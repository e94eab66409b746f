"""Every player is shown exactly what it declared: the right values with the signal, a named error without it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Calls, Game, Learner, Record, Signal, UndeclaredSignalError, play
from stackjax.games import Noisy, from_payoffs
from stackjax.learners import Every, Fixed
from stackjax.spaces import Box, Euclidean

KEY = jax.random.key(0)
NOTHING = Signal(0)
EVERYTHING = ~NOTHING


class Bilinear(Game):
    """Four players in three levels; a round's payoffs are scaled by what it draws: `noise * a_i * (1 + sum of a)`."""

    scale: float = 1.0
    spaces = (Euclidean(()), Box(-9.0, 9.0), Euclidean(()), Euclidean(()))
    levels = ((0,), (1, 2), (3,))
    recorded_payoffs = "realised"

    def payoffs(self, *actions):
        return tuple(self.scale * a * (1 + sum(actions)) for a in actions)

    def draw(self, key):
        return 1.0 + jax.random.uniform(key)

    def realise(self, noise, *actions):
        return tuple(noise * payoff for payoff in self.payoffs(*actions))

    def best_response(self, player, actions):
        return 10.0 + player

    def answer(self, noise, player, action, observations):
        """Its action times what is observed; times the round's noise, where there is a round."""
        factor = noise if isinstance(noise, jax.Array) else 1.0
        return jax.tree.map(lambda x: factor * action * x, observations)


ACTIONS = (1.0, 2.0, 3.0, 4.0)


class Reader(Learner):
    """Plays `action`, and reads something somewhere; in `update` it keeps what it read."""

    action: float
    wants: Signal = eqx.field(static=True)
    where: str = eqx.field(static=True)
    read: Callable = eqx.field(static=True)

    def _here(self, where, *arguments):
        return self.read(*arguments) if where == self.where else None

    def init(self, view, key):
        self._here("init", view)
        return jnp.zeros(4)

    def draw(self, view, key):
        self._here("draw", view)
        return ()

    def act(self, view, state, noise, seen):
        self._here("act", view, seen)
        return self.action

    def update(self, view, state, noise, signals):
        read = self._here("update", view, signals)
        return state if read is None else jnp.broadcast_to(jnp.asarray(read, view.dtype), (4,))

    def strategy(self, view, state, seen):
        self._here("strategy", view, seen)
        return jnp.asarray(self.action, view.dtype)

    def report(self, view, state):
        self._here("report", view)
        return {}

    def calls(self, view, before, after):
        self._here("calls", view)
        return Calls()


def fixed_players():
    return [Fixed(a) for a in ACTIONS]


def run(player, wants, where, read, *, game=None, rounds=1, **options):
    learners = fixed_players()
    learners[player] = Reader(ACTIONS[player], wants, where, read)
    return play(
        Bilinear() if game is None else game, *learners, key=KEY, rounds=rounds, record=Record.final(), **options
    )


def what_is_read(player, wants, where, read, **options):
    return np.asarray(run(player, wants, where, read, **options).state[player])


def noise_of_the_round(**options):
    return float(run(0, NOTHING, "never", None, **options).payoffs[-1, 0]) / (ACTIONS[0] * (1 + sum(ACTIONS)))


VIEWED = {
    "view.game": (Signal.GAME, lambda view, *_: view.game),
    "view.payoff_function": (Signal.OWN_PAYOFF, lambda view, *_: view.payoff_function(*ACTIONS)),
    "view.best_response": (Signal.OWN_PAYOFF, lambda view, *_: view.best_response(ACTIONS)),
    "view.dynamics": (Signal.OWN_PAYOFF, lambda view, *_: view.dynamics),
}
SEEN = {
    "seen.actions": (Signal.COMMITMENT, lambda _, seen: seen.actions),
    "seen.ask": (Signal.QUERY, lambda _, seen: seen.ask(jnp.ones(2))),
}
SIGNALLED = {
    "signals.payoff": (Signal.PAYOFF, lambda _, signals: signals.payoff),
    "signals.gradient": (Signal.GRADIENT, lambda _, signals: signals.gradient),
    "signals.actions": (Signal.COMMITMENT, lambda _, signals: signals.actions and None),
    "signals.ask": (Signal.QUERY, lambda _, signals: signals.ask(jnp.ones(2))),
}
READINGS = [
    *(
        (where, *item)
        for item in VIEWED.items()
        for where in ("init", "draw", "act", "strategy", "update", "report", "calls")
    ),
    *((where, *item) for item in SEEN.items() for where in ("act", "strategy")),
    *(("update", *item) for item in SIGNALLED.items()),
]
each_reading = pytest.mark.parametrize(
    ("where", "what", "signal", "read"),
    [(w, n, *x) for w, n, x in READINGS],
    ids=[f"{n} in {w}" for w, n, _ in READINGS],
)


@each_reading
def test_what_was_not_declared_is_refused_by_name(where, what, signal, read):
    others = EVERYTHING & ~signal & ~(Signal.OTHERS if what == "signals.actions" else NOTHING)
    for wants in (NOTHING, others):
        with pytest.raises(UndeclaredSignalError, match=f"Reader.*{what}.*Signal.{signal.name}.*wants") as caught:
            run(1, wants, where, read)
        assert f"{wants} | Signal.{signal.name}" in str(caught.value)  # how to declare it


def test_the_error_is_a_value_error():
    assert issubclass(UndeclaredSignalError, ValueError)


# The right values


def test_the_payoff_is_the_rounds_own():
    noise = noise_of_the_round()
    payoff = what_is_read(1, Signal.PAYOFF, "update", lambda _, s: s.payoff)
    np.testing.assert_allclose(payoff[0], noise * 2.0 * 11.0, rtol=1e-6)
    assert not np.isclose(noise, 1.0)


def test_the_gradient_is_partial_and_shares_the_payoffs_noise():
    def read(_, signals):
        return jnp.stack([signals.gradient, signals.payoff, 0.0, 0.0])

    gradient, payoff = what_is_read(1, Signal.GRADIENT | Signal.PAYOFF, "update", read)[:2]
    noise = payoff / (2.0 * 11.0)
    np.testing.assert_allclose(gradient, noise * (1 + sum(ACTIONS) + ACTIONS[1]), rtol=1e-6)


def test_the_payoff_function_is_exact_before_the_round_and_realised_after_it():
    noise = noise_of_the_round()
    after = what_is_read(2, Signal.OWN_PAYOFF, "update", lambda view, _: view.payoff_function(0.0, 1.0, 2.0, 0.0))
    np.testing.assert_allclose(after[0], noise * 2.0 * 4.0, rtol=1e-6)

    class Reporting(Reader):
        def report(self, view, state):
            return {"exact": view.payoff_function(0.0, 1.0, 2.0, 0.0)}

    learners = fixed_players()
    learners[2] = Reporting(3.0, Signal.OWN_PAYOFF, "never", None)
    trace = play(Bilinear(), *learners, key=KEY, rounds=1, record=Record.final())
    assert trace.reports[2]["exact"].tolist() == [8.0]


def test_the_game_shows_every_realised_payoff():
    def read(view, _):
        return jnp.stack(view.game.payoffs(*(jnp.float32(a) for a in ACTIONS)))

    noise = noise_of_the_round()
    np.testing.assert_allclose(
        what_is_read(3, Signal.GAME, "update", read), [noise * a * 11.0 for a in ACTIONS], rtol=1e-6
    )


def test_the_game_is_shown_whole():
    seen = []
    run(3, Signal.GAME, "update", lambda view, _: seen.append((view.game.spaces, view.game.levels)))
    assert seen[-1][1] == Bilinear.levels and [type(s) for s in seen[-1][0]] == [type(s) for s in Bilinear.spaces]


def test_the_best_response_is_the_games():
    assert (
        what_is_read(2, Signal.OWN_PAYOFF, "update", lambda view, _: view.best_response((0.0, 0.0, None, 0.0)))[0]
        == 12.0
    )


@pytest.mark.parametrize(
    ("wants", "visible"),
    [
        (Signal.OTHERS, [(0, 1, 2, 3)] * 4),
        (Signal.COMMITMENT, [(0,), (0, 1), (0, 2), (0, 1, 2, 3)]),
        (Signal.OTHERS | Signal.COMMITMENT, [(0, 1, 2, 3)] * 4),
    ],
    ids=["others", "commitment", "both"],
)
def test_actions_after_the_round(wants, visible):
    def read(_, signals):
        return jnp.stack([jnp.asarray(-1.0) if a is None else a for a in signals.actions])

    learners = [Reader(action, wants, "update", read) for action in ACTIONS]
    states = play(Bilinear(), *learners, key=KEY, rounds=1, record=Record.final()).state
    for state, shown in zip(states, visible, strict=True):
        np.testing.assert_array_equal(state, [a if j in shown else -1.0 for j, a in enumerate(ACTIONS)])


def test_actions_before_the_round_are_those_of_strictly_earlier_levels():
    for where in ("act", "strategy"):
        shown = {}

        def read(view, seen, shown=shown):
            shown[view.player] = tuple(j for j, action in enumerate(seen.actions) if action is not None)

        learners = [Reader(action, Signal.COMMITMENT, where, read) for action in ACTIONS]
        play(Bilinear(), *learners, key=KEY, rounds=1, record=Record.final())
        assert shown == {0: (), 1: (0,), 2: (0,), 3: (0, 1, 2)}


class Echo(Learner):
    """Plays the sum of what it sees before it acts, plus its own number: it shows what it saw in the same round."""

    own: float
    wants = Signal.COMMITMENT

    def init(self, view, key):
        return jnp.int32(0)

    def act(self, view, state, noise, seen):
        return self.own + sum(a for a in seen.actions if a is not None) + 100.0 * state.astype(view.dtype)

    def update(self, view, state, noise, signals):
        return state + 1


def test_a_commitment_is_seen_in_its_own_round():
    class Counting(Echo):
        wants = NOTHING

        def act(self, view, state, noise, seen):
            return self.own + state.astype(view.dtype)

    game = from_payoffs(*[lambda *a: a[0]] * 4, spaces=[Euclidean(())] * 4, levels=((0,), (1, 2), (3,)))
    trace = play(game, Counting(1.0), Echo(10.0), Echo(20.0), Echo(0.0), key=KEY, rounds=3, record=Record.every(1))
    leader = np.array([1.0, 2.0, 3.0])
    clock = 100.0 * np.arange(3)
    followers = [10 + leader + clock, 20 + leader + clock]
    np.testing.assert_array_equal(trace.actions[0], leader)
    np.testing.assert_array_equal(trace.actions[1], followers[0])
    np.testing.assert_array_equal(trace.actions[2], followers[1])
    np.testing.assert_array_equal(trace.actions[3], leader + sum(followers) + clock)
    # Strategies are those of the next round, each seeing the earlier ones' strategies.
    np.testing.assert_array_equal(trace.strategies[1], 10 + (leader + 1) + (clock + 100))


def test_the_view_holds_what_a_player_may_know():
    views = []
    run(3, NOTHING, "act", lambda view, _: views.append(view), start=(None, None, None, 0.5), replicates=2)
    view = views[-1]
    assert view.player == 3 and isinstance(view.space, Euclidean)
    assert [type(s) for s in view.earlier] == [Euclidean, Box, Euclidean]
    assert view.start is not None and view.start.shape == () and view.dtype == jnp.float32
    run(1, NOTHING, "act", lambda view, _: views.append(view))
    assert isinstance(views[-1].space, Box) and len(views[-1].earlier) == 1 and views[-1].start is None


def test_ones_own_action_is_always_known():
    assert what_is_read(1, NOTHING, "update", lambda _, s: s.own)[0] == ACTIONS[1]


# Queries


class Asking(Learner):
    """Plays the sum of what an earlier player does in two observations, and shows no more than that."""

    whom: int = eqx.field(static=True)
    wants = Signal.QUERY

    def init(self, view, key):
        return ()

    def act(self, view, state, noise, seen):
        answers = seen.ask({"a": jnp.array([1.0, 2.0])}, self.whom)
        return jnp.sum(answers["a"])


def test_a_query_is_answered_by_an_earlier_players_policy_at_the_rounds_noise():
    trace = play(Bilinear(), *fixed_players()[:3], Asking(1), key=KEY, rounds=1, record=Record.final())
    noise = float(trace.payoffs[0, 0]) / (1 + 1 + 2 + 3 + float(trace.actions[3][0]))
    np.testing.assert_allclose(trace.actions[3], [3.0 * 2.0 * noise], rtol=1e-6)
    np.testing.assert_allclose(trace.strategies[3], [3.0 * 2.0], rtol=1e-6)  # no round, no noise


def test_a_query_goes_through_a_noisy_game():
    game = Noisy(Bilinear(), payoff_variance=1e-8)
    trace = play(game, *fixed_players()[:3], Asking(0), key=KEY, rounds=1, record=Record.final())
    assert 3.0 < float(trace.actions[3][0]) < 6.0
    np.testing.assert_allclose(trace.strategies[3], [3.0], rtol=1e-6)


@pytest.mark.parametrize(("player", "whom"), [(1, 2), (1, 1), (1, 3), (0, 0)])
def test_only_earlier_players_can_be_asked(player, whom):
    learners = fixed_players()
    learners[player] = Asking(whom)
    with pytest.raises(ValueError, match=rf"seen.ask: player {whom} doesn't move before"):
        play(Bilinear(), *learners, key=KEY, rounds=1)


def test_a_game_without_answers_says_so():
    game = from_payoffs(lambda x, y: x, lambda x, y: y, spaces=(Euclidean(()), Euclidean(())))
    with pytest.raises(NotImplementedError, match="FunctionGame answers no queries"):
        play(game, Fixed(1.0), Asking(0), key=KEY, rounds=1)


# Wrappers and defaults


def test_every_wants_what_its_learner_wants():
    inner = Reader(2.0, Signal.PAYOFF | Signal.QUERY, "never", None)
    assert Every(3, inner).wants == Signal.PAYOFF | Signal.QUERY
    with pytest.raises(UndeclaredSignalError, match=r"signals.payoff.*PAYOFF"):
        learners = fixed_players()
        learners[1] = Every(2, Reader(2.0, NOTHING, "update", lambda _, s: s.payoff))
        play(Bilinear(), *learners, key=KEY, rounds=1)


def test_by_default_a_learner_needs_one_call_for_each_signal_that_costs_one():
    class Plain(Echo):
        wants = Signal.PAYOFF | Signal.GRADIENT | Signal.OTHERS

    assert Plain(0.0).calls(None, None, None) == Calls(1, 1, 0, 0)
    assert Echo(0.0).calls(None, None, None) == Calls(0, 0, 0, 0)
