"""What happens to a replicate that fails: it is frozen, marked, and contaminates no other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import FailedReplicatesError, Game, Learner, Record, Signal, Status, play
from stackjax.games import from_payoffs
from stackjax.learners import Fixed, GradientAscent
from stackjax.protocols import Calls
from stackjax.spaces import Box, Euclidean, Torus

KEY = jax.random.key(0)
BOX, LINE = Box(-1.0, 1.0), Euclidean(())
ROUNDS = 12


def linear(*spaces):
    return from_payoffs(*[lambda *a: sum(a)] * len(spaces), spaces=spaces)


GAME = linear(BOX, LINE)  # once: new functions would be new programs


class Drift(Learner):
    """Moves by `step` a round, whatever happens, and plays where it is."""

    step: float
    wants = Signal(0)

    def init(self, view, key):
        return {"at": view.first_action(key), "n": jnp.int32(0)}

    def act(self, view, state, noise, seen):
        return state["at"]

    def update(self, view, state, noise, signals):
        return {"at": state["at"] + self.step, "n": state["n"] + 1}

    def calls(self, view, before, after):
        return Calls(payoffs=1)


class Wander(Drift):
    """Adds noise to it."""

    def draw(self, view, key):
        return 0.1 * jax.random.normal(key, (), view.dtype)

    def act(self, view, state, noise, seen):
        return state["at"]

    def update(self, view, state, noise, signals):
        return {"at": state["at"] + self.step + noise, "n": state["n"] + 1}


STEPS = jnp.array([0.01, 0.3, 0.0, jnp.nan, jnp.inf])
FAILS = {1: (Status.LEFT_SPACE, 5), 3: (Status.NON_FINITE, 1), 4: (Status.NON_FINITE, 1)}  # in which round, from 1


def drifting(steps=STEPS, record=None, rounds=ROUNDS, **options):
    record = Record.every(3) if record is None else record
    start = (jnp.linspace(0.0, 0.01, len(steps)).at[1].set(0.0), None)
    options = {"rounds": rounds, "replicates": len(steps), "start": start, "record": record, **options}
    return play(GAME, Drift(steps), Fixed(0.5), key=KEY, in_axes=(None, 0, None), **options)


@pytest.fixture(scope="module")
def failed():
    return drifting()


def test_the_status_says_how_each_replicate_ended(failed):
    assert [Status(s) for s in np.asarray(failed.status)] == [
        FAILS[r][0] if r in FAILS else Status.OK for r in range(len(STEPS))
    ]


def test_failed_at_is_the_first_invalid_record(failed):
    # Rounds 1 and 5 fall into the blocks that are recorded at 3 and 6.
    assert failed.failed_at.tolist() == [-1, 6, -1, 3, 3]


def test_payoffs_are_nan_from_the_first_invalid_record_on(failed):
    valid = np.asarray(failed.failed_at)[:, None] > failed.rounds
    valid |= (np.asarray(failed.failed_at) < 0)[:, None]
    np.testing.assert_array_equal(np.isfinite(failed.payoffs), np.repeat(valid[:, :, None], 2, axis=2))


def test_the_state_is_frozen_before_the_round_that_failed(failed):
    # Replicate 1 plays 0, 0.3, 0.6, 0.9 and, in the round that fails, 1.2.
    np.testing.assert_allclose(failed.state[0]["at"][1], 1.2, rtol=1e-6)
    np.testing.assert_allclose(failed.state[0]["at"][3:], [0.0075, 0.01], rtol=1e-6)  # where they started


def test_strategies_are_frozen_too(failed):
    strategies = np.asarray(failed.strategies[0])
    assert np.all(strategies[1, 1:] == strategies[1, 1]) and np.all(strategies[3:] == strategies[3:, :1])
    assert np.all(np.diff(strategies[0]) > 0)  # the others go on


def test_the_others_bits_do_not_change(failed):
    healthy = drifting(STEPS.at[jnp.array([1, 3, 4])].set(0.02))
    assert not np.any(healthy.status)
    for a, b in zip(jax.tree.leaves(results(failed)), jax.tree.leaves(results(healthy)), strict=True):
        np.testing.assert_array_equal(np.asarray(a)[[0, 2]], np.asarray(b)[[0, 2]])


def results(trace):
    return trace.strategies, trace.actions, trace.payoffs, trace.state, trace.status, trace.failed_at


@pytest.mark.parametrize(
    "options", [pytest.param({"chunk": 2}, marks=pytest.mark.slow), {"devices": 3, "chunk": 1}], ids=str
)
def test_failures_stay_apart_in_every_layout(failed, options):
    if jax.device_count() < options.get("devices", 1):
        pytest.skip(f"needs {options['devices']} devices, there are {jax.device_count()}")
    other = drifting(**options)
    for a, b in zip(jax.tree.leaves(results(other)), jax.tree.leaves(results(failed)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    "record",
    [Record.every(1), Record.every(3, payoffs="realised"), Record.log_spaced(3, payoffs=None, strategies=False)],
    ids=["every round", "realised", "nothing"],
)
def test_what_is_recorded_changes_no_failure(failed, record):
    other = drifting(record=record)
    np.testing.assert_array_equal(other.status, failed.status)
    np.testing.assert_array_equal(other.state[0]["at"], failed.state[0]["at"])
    expected = [int(other.rounds[other.rounds >= FAILS[r][1]][0]) if r in FAILS else -1 for r in range(5)]
    assert other.failed_at.tolist() == expected


def test_a_failed_replicate_stays_failed_in_a_resumed_run(failed):
    rest = drifting(resume=failed)
    np.testing.assert_array_equal(rest.status, failed.status)
    np.testing.assert_array_equal(rest.failed_at, failed.failed_at)
    bad, good = np.array([1, 3, 4]), np.array([0, 2])
    np.testing.assert_array_equal(rest.state[0]["at"][bad], failed.state[0]["at"][bad])
    np.testing.assert_allclose(rest.state[0]["at"][good], failed.initial[0][good] + 2 * ROUNDS * STEPS[good], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(rest.payoffs).all((1, 2)), [False, True, False, True, True])
    assert np.isfinite(rest.payoffs[good]).all()
    assert np.all(np.asarray(rest.strategies[0])[bad] == np.asarray(failed.strategies[0])[bad, -1:])


def test_it_stays_failed_although_it_could_go_on():
    """With a step that leads back into the box, and noise to tell a frozen state from a moving one."""

    def run(step, **options):
        return play(
            GAME, Wander(step), Fixed(0.5), key=KEY, rounds=6, replicates=3, record=Record.final(),
            start=(jnp.array([0.9, -0.9, 0.0]), None), **options,
        )  # fmt: skip

    out = run(0.3)
    back = run(-0.3, resume=out)
    failed = np.asarray(out.status) != Status.OK
    assert failed.any()
    np.testing.assert_array_equal(np.asarray(back.state[0]["at"])[failed], np.asarray(out.state[0]["at"])[failed])
    np.testing.assert_array_equal(np.asarray(back.failed_at)[failed], np.asarray(out.failed_at)[failed])
    assert np.all(np.asarray(back.status)[failed] == np.asarray(out.status)[failed])


@pytest.mark.parametrize(
    ("fails", "options"),
    [([7, 31], {}), (list(range(5, 17)), {}), ([7, 31], {"chunk": 16})],
    ids=["a sixteenth is frozen", "all are", "in chunks"],
)
def test_few_and_many_failures_are_frozen_alike(fails, options):
    """Of 40 replicates, some move by .3 and are stopped in round 5, before 1.2; the others' bits don't change."""
    fails, rounds = np.array(fails), np.array([3, 6, 9, 12])
    others = np.setdiff1d(np.arange(40), fails)
    some = drifting(jnp.full(40, 0.01).at[fails].set(0.3), **options)
    none = drifting(jnp.full(40, 0.01), **options)
    assert np.flatnonzero(some.status).tolist() == fails.tolist()
    first = np.asarray(some.initial[0])[fails]
    n = np.floor((1 - first) / np.float32(0.3)).astype(int) + 1
    np.testing.assert_allclose(np.asarray(some.state[0]["at"])[fails], first + 0.3 * n, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(some.state[0]["n"])[fails], n)
    np.testing.assert_array_equal(some.failed_at[fails], [rounds[rounds >= k + 1][0] for k in n])
    counted = np.asarray(some.calls[0].payoffs)
    np.testing.assert_array_equal(counted[others], np.tile(rounds, (len(others), 1)))
    np.testing.assert_array_equal(counted[fails], np.minimum(rounds, n[:, None]))
    for a, b in zip(jax.tree.leaves(results(some)), jax.tree.leaves(results(none)), strict=True):
        np.testing.assert_array_equal(np.asarray(a)[others], np.asarray(b)[others])


# One run, or replicates that are all alike: they have nothing of their own, and are frozen all the same.


@pytest.mark.parametrize("replicates", [None, 3])
def test_replicates_that_are_alike_are_frozen(replicates):
    trace = play(
        GAME, Drift(0.3), Fixed(0.5), key=KEY, rounds=ROUNDS, replicates=replicates, start=(0.0, None),
        record=Record.every(3),
    )  # fmt: skip
    assert np.all(np.asarray(trace.status) == Status.LEFT_SPACE) and np.all(np.asarray(trace.failed_at) == 6)
    np.testing.assert_allclose(trace.state[0]["at"], np.full(np.shape(trace.status), 1.2), rtol=1e-6)
    np.testing.assert_allclose(trace.strategies[0][..., -1], np.full(np.shape(trace.status), 1.2), rtol=1e-6)


def test_one_run_that_diverges_keeps_a_finite_state():
    game = from_payoffs(lambda x, y: x**4, lambda x, y: -((y - x) ** 2), spaces=(LINE, LINE))
    trace = play(game, GradientAscent(1.0), Fixed(0.0), key=KEY, rounds=20, start=(1.0, None), record=Record.every(1))
    assert trace.status == Status.DIVERGED
    assert np.isfinite(trace.state[0].action) and np.all(np.isfinite(trace.strategies[0]))


def alone(step, **options):
    return play(GAME, Drift(step), Fixed(0.5), key=KEY, rounds=6, record=Record.final(), **options)


def test_one_run_stays_failed_when_resumed():
    out = alone(0.5)
    back = alone(-0.5, resume=out)
    assert out.status == back.status == Status.LEFT_SPACE and out.failed_at == back.failed_at
    np.testing.assert_array_equal(back.state[0]["at"], out.state[0]["at"])


# What counts as a failure


class Pays(Game):
    """Pays exactly, and realised, what it is told to."""

    exact: float = 0.0
    realised: float = 0.0
    spaces = (LINE, LINE)
    levels = ((0,), (1,))

    def payoffs(self, *actions):
        return actions[0] + self.exact, actions[1]

    def realise(self, noise, *actions):
        return actions[0] + self.realised, actions[1]


@pytest.mark.parametrize(
    "game",
    [Pays(realised=jnp.nan), Pays(realised=jnp.inf), Pays(exact=-jnp.inf)],
    ids=["nan paid", "inf paid", "-inf exact"],
)
def test_no_replicate_fails_because_of_what_is_recorded(game):
    """Recording is not playing: another `payoffs=` must freeze nobody else."""
    statuses = []
    for payoffs in ("exact", "realised", None):
        trace = play(game, Fixed(0.0), Fixed(0.0), key=KEY, rounds=3, record=Record.final(payoffs=payoffs))
        statuses.append(Status(int(trace.status)))
    assert len(set(statuses)) == 1, statuses


def test_a_payoff_that_a_learner_reads_makes_it_fail():
    game = from_payoffs(lambda x, y: jnp.log(x - 2.0), lambda x, y: y, spaces=(LINE, LINE))
    trace = play(game, GradientAscent(0.1), Fixed(0.0), key=KEY, rounds=3, start=(2.0, None), record=Record.final())
    assert trace.status == Status.NON_FINITE and trace.failed_at == 3


def test_large_payoffs_are_no_failure_in_a_long_block():
    """The sum of a block overflows where its payoffs don't: a longer recording interval must not freeze anything."""
    game = from_payoffs(lambda x, y: 0 * x + 2e38, lambda x, y: y, spaces=(LINE, LINE))
    for record in (Record.every(1), Record.final()):
        trace = play(game, Drift(1.0), Fixed(0.0), key=KEY, rounds=4, start=(0.0, None), record=record)
        assert trace.status == Status.OK and float(trace.state[0]["at"]) == 4.0


def test_any_players_failure_is_the_replicates():
    learners = [Drift(jnp.where(jnp.arange(4) == player, 3.0, 0.001)) for player in range(3)]
    trace = play(
        linear(BOX, BOX, BOX), *learners, key=KEY, rounds=4, replicates=4, in_axes=(None, 0, 0, 0), start=(0.0,) * 3,
        record=Record.final(),
    )  # fmt: skip
    assert trace.status.tolist() == [Status.LEFT_SPACE] * 3 + [Status.OK]


def test_a_pytree_fails_with_any_of_its_leaves():
    class Network(Drift):
        def init(self, view, key):
            return {"at": view.first_action(key)}

        def update(self, view, state, noise, signals):
            return {"at": {**state["at"], "b": state["at"]["b"] * jnp.array([1.0, self.step])}}

    game = from_payoffs(lambda n, y: y, lambda n, y: y, spaces=(Euclidean({"w": (2, 3), "b": (2,)}), LINE))
    trace = play(
        game, Network(jnp.array([1.0, 1e20])), Fixed(0.0), key=KEY, rounds=4, replicates=2, in_axes=(None, 0, None),
        record=Record.every(1),
    )  # fmt: skip
    assert trace.status.tolist() == [Status.OK, Status.NON_FINITE]
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(trace.state[0]))


def test_the_edge_of_a_box_is_inside():
    trace = play(linear(BOX, BOX), GradientAscent(10.0), GradientAscent(10.0), key=KEY, rounds=5, replicates=4)
    assert not np.any(trace.status)
    np.testing.assert_array_equal(trace.strategies[0][:, -1], np.ones(4))


# Divergence


def spiral(record, step=0.3, **options):
    """Gradient ascent in the bilinear game spirals out, by the factor sqrt(1 + step^2) a round."""
    game = from_payoffs(lambda x, y: x * y, lambda x, y: -x * y, spaces=(LINE, LINE))
    both = GradientAscent(step), GradientAscent(step)
    return play(game, *both, key=KEY, rounds=600, start=(1.0, 0.0), record=record, **options)


def test_a_spiral_out_ends_as_diverged():
    """In float32 the coordinates would stay finite for 2000 rounds."""
    trace = spiral(Record.every(10))
    assert trace.status == Status.DIVERGED
    x, y, n = 1.0, 0.0, 0
    while max(abs(x), abs(y)) <= 1e7:
        x, y, n = x + 0.3 * y, y - 0.3 * x, n + 1
    assert trace.failed_at == (n // 10 + 1) * 10  # round n, from 0, is the first in which such an action is played
    np.testing.assert_allclose([state.action for state in trace.state], [x, y], rtol=1e-3)
    assert np.isnan(trace.payoffs[trace.rounds >= int(trace.failed_at)]).all()
    assert np.isfinite(trace.payoffs[trace.rounds < int(trace.failed_at)]).all()
    with pytest.raises(FailedReplicatesError, match=r"1 of 1 replicates failed \(1 DIVERGED\)"):
        trace.raise_if_failed()
    again = spiral(Record.final(), resume=trace)
    assert again.status == Status.DIVERGED and again.state[0].action == trace.state[0].action


def test_divergence_is_the_replicate_s_own():
    steps = jnp.array([0.01, 0.3, 0.02])
    trace = spiral(Record.final(), steps, replicates=3, in_axes=(None, 0, 0))
    assert trace.status.tolist() == [Status.OK, Status.DIVERGED, Status.OK]
    alone = spiral(Record.final(), steps.at[1].set(0.01), replicates=3, in_axes=(None, 0, 0))
    for a, b in zip(trace.strategies, alone.strategies, strict=True):
        np.testing.assert_array_equal(np.asarray(a)[[0, 2]], np.asarray(b)[[0, 2]])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=str)
def test_where_divergence_begins(x64, dtype):
    """Beyond 1e7, for either sign, in any coordinate; what isn't finite is that first, and what left its space that."""
    at = jnp.array([1e7, -1e7, 1.001e7, -1.001e7, jnp.nan, jnp.inf, 3e38], dtype)

    class Plays(Drift):
        def init(self, view, key):
            return {"at": view.first_action(key), "n": jnp.int32(0)}

        def act(self, view, state, noise, seen):
            return state["at"].at[1].set(self.step)

    space = Euclidean((3,))
    game = from_payoffs(lambda x, y: jnp.sum(x), lambda x, y: y, spaces=(space, BOX))
    expected = [0, 0, *[Status.DIVERGED] * 2, *[Status.NON_FINITE] * 2, Status.DIVERGED]
    for follower, ends in (
        (0.0, expected),
        (2.0, [Status.NON_FINITE if s == 1 else Status.LEFT_SPACE for s in expected]),
    ):
        trace = play(
            game, Plays(at), Alone(follower), key=KEY, rounds=2, replicates=len(at), in_axes=(None, 0, None),
            start=(jnp.zeros(3, dtype), None), record=Record.final(),
        )  # fmt: skip
        assert trace.status.tolist() == ends
    assert space.contains(jnp.full(3, 1e30)) and not space.near(jnp.full(3, 1e30), 1e7)  # a point is a point


class Alone(Drift):
    """Plays `step`."""

    def act(self, view, state, noise, seen):
        return jnp.asarray(self.step, view.dtype)


def test_angles_and_boxes_of_any_size_do_not_diverge():
    large = Box(0.0, 1e9)
    game = linear(large, Torus(()))
    trace = play(game, Alone(5e8), Alone(3e8), key=KEY, rounds=3, record=Record.final())
    assert trace.status == Status.OK


# At the edge


def test_raise_if_failed_returns_the_trace_of_a_run_that_succeeded():
    trace = drifting(jnp.full(5, 0.01))
    assert trace.raise_if_failed() is trace


def test_raise_if_failed_says_how_many_why_which_and_when(failed):
    with pytest.raises(FailedReplicatesError, match=r"3 of 5 replicates failed") as caught:
        failed.raise_if_failed()
    message = str(caught.value)
    assert "2 NON_FINITE" in message and "1 LEFT_SPACE" in message
    assert "[1, 3, 4]" in message and "[6, 3, 3]" in message


def test_raise_if_failed_names_replicates_by_their_ids():
    trace = drifting(replicates=range(40, 45))
    with pytest.raises(FailedReplicatesError, match=r"3 of 5 .*\[41, 43, 44\].*\[6, 3, 3\]"):
        trace.raise_if_failed()


def test_raise_if_failed_works_without_an_axis_of_replicates():
    trace = alone(0.5)
    with pytest.raises(FailedReplicatesError, match=r"1 of 1 replicates failed \(1 LEFT_SPACE\)"):
        trace.raise_if_failed()
