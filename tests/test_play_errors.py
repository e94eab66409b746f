"""Bad arguments of `play`: every error names the argument, and comes before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record
from stackjax.games import CournotDuopoly, Noisy, Quadratic, from_payoffs
from stackjax.learners import Every, Fixed, GradientAscent, HierarchicalAscent
from stackjax.schedules import PowerLaw
from stackjax.spaces import Euclidean
from tests.refusals import GAME, KEY, LEARNERS, LINE, refuses, run

# Numbers


@pytest.mark.parametrize("name", ["rounds", "replicates", "chunk"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError), ("2", TypeError)],
    ids=repr,
)
def test_counts_are_positive_integers(name, value, kind):
    with refuses(f"^{name}: ", kind):
        run(**{"replicates": 2, name: value})


def test_rounds_fit_a_counter():
    with refuses(r"^rounds: at most 2\^31 - 1"):
        run(rounds=2**31)
    with refuses(r"^rounds: at most 2\^31 - 1 in all, got 2147483649"):
        run(rounds=2**31 - 1, resume=run())


@pytest.mark.parametrize(
    "ids",
    [[], [-1, 2], [2**32], [0.5, 1.0], [[0, 1]], [True, False], ["a"], [[1], [2, 3]], 2.5, np.zeros((2, 0), int)],
    ids=str,
)
def test_replicates_are_a_number_or_ids(ids):
    with refuses("^replicates: ", (ValueError, TypeError)):
        run(replicates=ids)


def test_ids_are_known():
    with refuses("^replicates: .*traced", TypeError):
        jax.eval_shape(lambda ids: run(replicates=ids).payoffs, jnp.arange(3))


@pytest.mark.parametrize("devices", [0, -1, 10_000, [], "cpu", [3, 4], 2.5], ids=repr)
def test_devices_are_there(devices):
    with refuses("^devices: ", (ValueError, TypeError)):
        run(replicates=2, devices=devices)


def test_devices_are_different():
    with refuses("^devices: "):
        run(replicates=2, devices=[jax.devices()[0]] * 2)


@pytest.mark.parametrize("key", [0, None, "seed", np.float32(1.0)], ids=repr)
def test_the_key_is_a_key(key):
    with refuses("^key: ", (TypeError, ValueError)):
        run(key=key)


def test_the_key_is_one_key():
    with refuses("^key: ", (TypeError, ValueError)):
        run(key=jax.random.split(KEY))


# Starts


@pytest.mark.parametrize(
    ("start", "match"),
    [
        ((40.0,), "^start: expected one entry a player"),
        ((40.0, 30.0, 20.0), "^start: expected one entry a player"),
        (40.0, "^start: expected one entry a player"),
        (jnp.array([40.0, 30.0]), "^start: expected one entry a player"),
        ((101.0, 30.0), "^start: player 0.*outside"),
        ((40.0, -1.0), "^start: player 1.*outside"),
        ((40.0, jnp.nan), "^start: player 1.*outside"),
        ((40.0, jnp.array([1.0, 2.0, 101.0])), r"^start: player 1.*outside.*replicates \[2\]"),
        ((40.0, jnp.zeros(2)), "^start: player 1: expected the shape"),
        ((40.0, jnp.zeros((3, 1))), "^start: player 1: expected the shape"),
        ((40.0, jnp.zeros((1, 3))), "^start: player 1: expected the shape"),
        ((40.0, {"q": 30.0}), "^start: player 1: expected a pytree"),
        ((40.0, [1.0, 2.0, 3.0]), "^start: player 1: expected a pytree"),
        ((40.0, "middle"), "^start: player 1"),
    ],
    ids=str,
)
def test_starts_are_actions(start, match):
    with refuses(match, (ValueError, TypeError)):
        run(start=start, replicates=3)


def test_without_replicates_a_start_has_no_axis_of_them():
    with refuses("^start: player 0: expected the shape"):
        run(start=(jnp.array([40.0]), 30.0))


def test_nothing_is_broadcast_by_luck():
    vector = from_payoffs(lambda x, y: jnp.sum(x), lambda x, y: y, spaces=(Euclidean((3,)), LINE))
    for wrong in (jnp.zeros(()), jnp.zeros(1), jnp.zeros((1, 3)), jnp.zeros((3, 2)), jnp.zeros(4)):
        with refuses("^start: player 0: expected the shape"):
            run(vector, start=(wrong, None), replicates=4)


# Axes


@pytest.mark.parametrize(
    ("axes", "match"),
    [
        ((0, None), r"^in_axes: expected one entry for the game and each learner \(3\), got 2"),
        ((None,) * 4, r"^in_axes: .*\(3\), got 4"),
        ((None, 0.0, None), "^in_axes: expected integers"),
        ((None, True, None), "^in_axes: expected integers"),
        ("all", "^in_axes: "),
        ({"game": 0}, "^in_axes: expected a prefix"),
        ((None, (0, None), None), "^in_axes: expected a prefix"),
        ((None, 1, None), r"^in_axes: learner 0\.step\.value.* the 3 replicates on axis 1, got \(3,\)"),
        ((None, None, 0), r"^in_axes: learner 1\.step\.scale.* the 3 replicates on axis 0, got \(2,\)"),
        ((0, None, None), r"^in_axes: game\.costs\[1\].* the 3 replicates on axis 0, got \(4,\)"),
    ],
    ids=str,
)
def test_axes_fit_and_the_error_names_the_leaf(axes, match):
    game = CournotDuopoly(costs=(5.0, jnp.ones(4)))
    learners = GradientAscent(jnp.ones(3)), GradientAscent(PowerLaw(jnp.ones(2), 1.0))
    with refuses(match, (ValueError, TypeError)):
        run(game, learners, replicates=3, in_axes=axes)


def test_axes_need_replicates():
    with refuses("^in_axes: .*replicates=None"):
        run(in_axes=(0, None, None))


def test_a_batch_without_axes_is_refused():
    with refuses("player 0, GradientAscent"):
        run(learners=(GradientAscent(jnp.array([0.1, 0.2])), LEARNERS[1]), replicates=2)


# Records


@pytest.mark.parametrize("record", [10, "final", Record], ids=str)
def test_a_record_is_a_record(record):
    with refuses("^record: ", TypeError):
        run(record=record)


@pytest.mark.parametrize("number", [0, -1, 2.5, True, "10", None], ids=repr)
@pytest.mark.parametrize("make", [Record.every, Record.log_spaced])
def test_records_count_in_positive_integers(make, number):
    with refuses("Record", (ValueError, TypeError)):
        make(number)


def test_record_options_are_checked():
    with refuses("^payoffs: "):
        Record.final(payoffs="mean")
    with refuses("^metrics: ", TypeError):
        Record.final(metrics=3)


@pytest.mark.parametrize(
    "metrics", [lambda x, y: x, lambda x, y: [x], lambda x, y: {"name": "x"}], ids=["array", "list", "string"]
)
def test_metrics_are_a_dictionary_of_arrays(metrics):
    with refuses("metrics", (TypeError, ValueError)):
        run(record=Record.final(metrics=metrics))


def test_reports_are_a_dictionary():
    class Reporting(Fixed):
        def report(self, view, state):
            return 3.0

    with refuses(r"^player 0, Reporting\.report: ", (TypeError, ValueError)):
        run(learners=(Reporting(1.0), Fixed(1.0)))


def test_calls_are_calls():
    class Calling(Fixed):
        def calls(self, view, before, after):
            return (1, 2)

    with refuses(r"^player 0, Calling\.calls: ", (TypeError, ValueError)):
        run(learners=(Calling(1.0), Fixed(1.0)))


# Resumed runs


@pytest.fixture(scope="module")
def trace():
    return run(replicates=2)


@pytest.mark.parametrize(
    "changed",
    [
        {"resume": "yesterday"},
        {"key": jax.random.key(1)},
        {"replicates": 3},
        {"replicates": [1, 0]},
        {"replicates": None},
        {"game": Noisy(GAME, 1.0)},
        {"learners": (HierarchicalAscent(0.1), LEARNERS[1])},
        {"learners": (Every(2, LEARNERS[0]), LEARNERS[1])},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_resumed_run_is_the_same_run(trace, changed):
    options = {"replicates": 2, "resume": trace, **changed}
    with refuses("^resume: ", (ValueError, TypeError)):
        run(options.pop("game", GAME), options.pop("learners", LEARNERS), **options)


def test_what_is_wrapped_is_part_of_a_resumed_run():
    wrapped = run(Noisy(GAME, 1.0), (Every(2, GradientAscent(0.1)), LEARNERS[1]))
    box = from_payoffs(lambda x, y: x, lambda x, y: y, spaces=GAME.spaces)
    with refuses("^resume: "):
        run(Noisy(GAME, 1.0), (Every(2, HierarchicalAscent(0.1)), LEARNERS[1]), resume=wrapped)
    with refuses("^resume: "):
        run(Noisy(box, 1.0), (Every(2, GradientAscent(0.1)), LEARNERS[1]), resume=wrapped)


def test_a_resumed_run_has_actions_of_the_same_size():
    def quadratic(d):
        return Quadratic([jnp.eye(1 + d)] * 2, [jnp.ones(1 + d)] * 2, (1, d))

    with refuses("^resume: "):
        run(quadratic(3), resume=run(quadratic(2)))


def test_a_resumed_run_may_have_other_hyper_parameters(trace):
    other = run(CournotDuopoly(90.0), (GradientAscent(0.3), GradientAscent(0.2)), replicates=2, resume=trace)
    assert other.rounds.tolist() == [4]
