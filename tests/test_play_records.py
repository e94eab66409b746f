"""When is recorded, what a trace holds, and what it cost."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import Calls, Game, Learner, Record, Signal, play
from stackjax.games import CournotDuopoly, Noisy, StackelbergBandit, from_payoffs
from stackjax.learners import Every, Fixed, GradientAscent, HiC, HierarchicalAscent
from stackjax.spaces import Euclidean
from tests.clock import LINE, Clock, linear

KEY = jax.random.key(0)
DUOPOLY = CournotDuopoly()


# When is recorded


@pytest.mark.parametrize(
    ("record", "begin", "end", "points"),
    [
        (Record.every(3), 0, 9, [3, 6, 9]),
        (Record.every(3), 0, 10, [3, 6, 9, 10]),
        (Record.every(3), 4, 10, [6, 9, 10]),
        (Record.every(3), 6, 7, [7]),
        (Record.every(100), 0, 10, [10]),
        (Record.final(), 0, 10, [10]),
        (Record.final(), 7, 10, [10]),
        (Record.log_spaced(4), 0, 1000, [1, 10, 100, 1000]),
        (Record.log_spaced(4), 10, 1000, [100, 1000]),
        (Record.log_spaced(100), 0, 3, [1, 2, 3]),
        (Record.log_spaced(2), 0, 1, [1]),
        (Record.log_spaced(1), 0, 10, [10]),
    ],
)
def test_record_points(record, begin, end, points):
    assert record.points(begin, end).tolist() == points


def test_record_points_ascend_and_end_with_the_last_round():
    for begin, end in ((0, 1), (0, 17), (5, 6), (123, 456_789), (0, 2**31 - 1)):
        for record in (Record.every(max(1, end // 7)), Record.log_spaced(200), Record.final()):
            points = record.points(begin, end)
            assert points[-1] == end and points[0] > begin and np.all(np.diff(points) > 0) and len(points) <= 200


@pytest.mark.parametrize(
    "record", [Record.every(4), Record.log_spaced(5), Record.final()], ids=["every", "log", "final"]
)
def test_records_are_those_rounds_of_a_run_that_records_all(record):
    def run(record):
        return play(
            DUOPOLY, GradientAscent(0.05), GradientAscent(0.2), key=KEY, rounds=10, replicates=2,
            start=(40.0, jnp.array([20.0, 30.0])), record=record,
        )  # fmt: skip

    every, some = run(Record.every(1)), run(record)
    at = some.rounds - 1
    for name in ("strategies", "actions"):
        for a, b in zip(getattr(some, name), getattr(every, name), strict=True):
            np.testing.assert_allclose(a, b[:, at], rtol=1e-5)
    np.testing.assert_array_equal(some.calls[0].gradients, every.calls[0].gradients[:, at])
    # Payoffs are means over the rounds since the last record.
    blocks = np.split(np.asarray(every.payoffs, float), some.rounds, axis=1)[:-1]
    np.testing.assert_allclose(some.payoffs, np.stack([block.mean(axis=1) for block in blocks], axis=1), rtol=1e-5)
    np.testing.assert_array_equal(every.initial[1], some.initial[1])


def test_realised_payoffs_are_recorded_where_asked():
    def run(payoffs):
        game = Noisy(linear(2), payoff_variance=1.0)
        return play(
            game, Fixed(1.0), Fixed(2.0), key=KEY, rounds=8, replicates=2, record=Record.every(2, payoffs=payoffs)
        )

    exact, realised, none = (run(payoffs) for payoffs in ("exact", "realised", None))
    np.testing.assert_array_equal(exact.payoffs, np.full((2, 4, 2), 3.0))
    assert np.unique(realised.payoffs).size == 16 and none.payoffs is None


def test_a_game_without_exact_payoffs_records_realised_ones():
    class Sampled(Game):
        spaces = (LINE, LINE)
        levels = ((0,), (1,))
        recorded_payoffs = "realised"

        def draw(self, key):
            return jax.random.normal(key)

        def realise(self, noise, *actions):
            return noise + actions[0], noise + actions[1]

    trace = play(Sampled(), Fixed(1.0), Fixed(2.0), key=KEY, rounds=4, record=Record.every(1))
    np.testing.assert_allclose(trace.payoffs[:, 1] - trace.payoffs[:, 0], 1.0, rtol=1e-5)
    with pytest.raises(NotImplementedError, match=r"Sampled has no exact payoffs.*realised"):
        play(Sampled(), Fixed(1.0), Fixed(2.0), key=KEY, rounds=4, record=Record.every(1, payoffs="exact"))


def test_payoffs_of_a_long_block_are_exact():
    """A running total in float32 of a million payoffs of 0.1 is off by a hundredth."""
    game = from_payoffs(lambda x, y: x, lambda x, y: y, spaces=(LINE, LINE))
    trace = play(game, Fixed(0.1), Fixed(0.3), key=KEY, rounds=1_000_000, record=Record.final())
    np.testing.assert_allclose(trace.payoffs, [[0.1, 0.3]], rtol=1e-5)


# What a trace holds


NETWORK = Euclidean({"w": (2, 3), "b": (2,)})


def rich(**options):
    """A run with everything in it: pytrees, metrics, reports, calls."""

    class Reporting(Fixed):
        def report(self, view, state):
            return {"residual": jnp.float32(0.5), "iterations": jnp.int32(3)}

    def leader(n, y):
        return -jnp.sum(n["w"] ** 2) - jnp.sum(n["b"] ** 2) + jnp.sum(y)

    game = from_payoffs(leader, lambda n, y: -jnp.sum(y**2), spaces=(NETWORK, Euclidean((4,))))
    record = Record.every(2, metrics=lambda n, y: {"norm": jnp.linalg.norm(n["w"]), "pair": y[:2]})
    learners = GradientAscent(optimizer=optax.sgd(0.1, momentum=0.9)), Reporting(jnp.ones(4))
    return play(game, *learners, key=KEY, rounds=5, **{"record": record, **options})


@pytest.fixture(scope="module")
def batch():
    return rich(replicates=3)


@pytest.fixture(scope="module")
def single():
    return rich()


@pytest.mark.parametrize("lead", [(3,), ()], ids=["batch", "single"])
def test_the_shapes_of_a_trace(lead, batch, single):
    trace = batch if lead else single
    assert trace.rounds.tolist() == [2, 4, 5] and isinstance(trace.rounds, np.ndarray)
    for name in ("strategies", "actions"):
        network, vector = getattr(trace, name)
        assert network["w"].shape == (*lead, 3, 2, 3) and network["b"].shape == (*lead, 3, 2)
        assert vector.shape == (*lead, 3, 4)
    assert trace.initial[0]["w"].shape == (*lead, 2, 3) and trace.initial[1].shape == (*lead, 4)
    assert trace.payoffs.shape == (*lead, 3, 2)
    assert trace.metrics["norm"].shape == (*lead, 3) and trace.metrics["pair"].shape == (*lead, 3, 2)
    assert trace.reports[0] == {} and trace.reports[1]["residual"].shape == trace.reports[1]["iterations"].shape == (
        *lead,
        3,
    )
    assert np.shape(trace.status) == np.shape(trace.failed_at) == np.shape(trace.ids) == lead
    assert trace.state[0].action["w"].shape == (*lead, 2, 3) and trace.state[0].n.shape == lead
    assert all(leaf.shape == (*lead, 3) for leaf in jax.tree.leaves(trace.calls))
    assert isinstance(trace.calls[0], Calls)


def test_metrics_are_of_the_recorded_strategies(batch):
    np.testing.assert_allclose(
        batch.metrics["norm"], np.linalg.norm(np.asarray(batch.strategies[0]["w"]).reshape(3, 3, 6), axis=-1), rtol=1e-5
    )


def test_an_optimisers_memory_is_part_of_the_state(batch):
    memory = jax.tree.leaves(batch.state[0].memory)
    assert [m.shape for m in memory] == [(3, 2), (3, 2, 3)] and all(np.any(m != 0) for m in memory)


def test_less_can_be_recorded():
    trace = rich(replicates=3, record=Record.final(strategies=False, payoffs=None))
    assert trace.strategies == trace.actions == trace.initial == () and trace.payoffs is None and trace.metrics == {}
    assert trace.state[0].action["w"].shape == (3, 2, 3)


def test_the_default_record_has_up_to_200_points_and_the_last_round():
    trace = play(linear(2), Clock(), Clock(), key=KEY, rounds=1000)
    assert 100 < len(trace.rounds) <= 200 and trace.rounds[-1] == 1000


def test_an_interrupted_trace_is_labelled_on(batch):
    rest = rich(replicates=3, resume=batch)
    assert rest.rounds.tolist() == [6, 8, 10]
    np.testing.assert_allclose(rest.calls[0].gradients[0], rest.rounds)
    for a, b in zip(jax.tree.leaves(rest.initial), jax.tree.leaves(batch.strategies), strict=True):
        np.testing.assert_allclose(a, b[:, -1], rtol=1e-6)


@pytest.mark.parametrize("lead", [("replicate",), ()], ids=["batch", "single"])
def test_a_trace_is_a_labelled_dataset(lead, batch, single):
    data = (batch if lead else single).to_xarray()
    sizes = {"rounds": 3, "player": 2, **({"replicate": 3} if lead else {})}
    assert {name: data.sizes[name] for name in sizes} == sizes
    assert data["rounds"].values.tolist() == [2, 4, 5]
    assert data["strategy_0['w']"].dims[: len(lead) + 1] == (*lead, "rounds")
    assert data["payoffs"].dims == (*lead, "rounds", "player")
    assert data["gradients_calls"].sel(player=0).values.reshape(-1)[:3].tolist() == [2, 4, 5]
    assert data["pair"].shape == (*(3,) * len(lead), 3, 2) and data["residual_1"].dims == (*lead, "rounds")
    assert data["status"].dims == lead == data["failed_at"].dims


def test_records_of_a_chunked_run_are_the_same(batch):
    other = rich(replicates=3, chunk=2)
    for name in ("strategies", "payoffs", "metrics", "reports", "initial", "calls", "status"):
        for a, b in zip(jax.tree.leaves(getattr(other, name)), jax.tree.leaves(getattr(batch, name)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


# What it cost


class Impatient(Learner):
    """Reads its payoff until it has read `enough` of them: its calls depend on its state."""

    enough: int
    wants = Signal.PAYOFF

    def init(self, view, key):
        return jnp.int32(0)

    def act(self, view, state, noise, seen):
        return jnp.zeros((), view.dtype)

    def update(self, view, state, noise, signals):
        return jnp.minimum(state + 1, self.enough)

    def calls(self, view, before, after):
        return Calls(payoffs=after - before, solves=2)


def test_calls_are_counted():
    trace = play(
        DUOPOLY,
        HiC(0.1, 2.0, 3),
        Every(2, HierarchicalAscent(0.1)),
        key=KEY,
        rounds=10,
        replicates=2,
        record=Record.every(5),
    )
    hic, slow = trace.calls
    np.testing.assert_array_equal(hic.payoffs, [[1, 3]] * 2)  # one at the end of each interval of 3 rounds
    np.testing.assert_array_equal(hic.gradients, [[0, 0]] * 2)
    np.testing.assert_array_equal(slow.gradients, [[2, 5]] * 2)
    assert hic.payoffs.dtype == np.int64


@pytest.mark.parametrize("options", [{}, {"chunk": 2}], ids=str)
def test_calls_that_depend_on_the_state_are_counted_for_each_replicate(options):
    def run(rounds, **more):
        return play(
            linear(2), Impatient(jnp.array([2, 5, 100])), Fixed(0.0), key=KEY, rounds=rounds, replicates=3,
            in_axes=(None, 0, None), record=Record.every(3), **options, **more,
        )  # fmt: skip

    first = run(6)
    np.testing.assert_array_equal(first.calls[0].payoffs, [[2, 2], [3, 5], [3, 6]])
    np.testing.assert_array_equal(first.calls[0].solves, [[6, 12]] * 3)
    rest = run(3, resume=first)
    np.testing.assert_array_equal(rest.calls[0].payoffs, [[2], [5], [9]])
    np.testing.assert_array_equal(rest.calls[0].solves, [[18]] * 3)


def test_calls_of_a_long_block_do_not_overflow():
    class Costly(Fixed):
        def calls(self, view, before, after):
            return Calls(hessian_vector_products=1_000_000)

    trace = play(linear(2), Costly(0.0), Fixed(0.0), key=KEY, rounds=3000, record=Record.final())
    assert trace.calls[0].hessian_vector_products.tolist() == [3_000_000_000]


def test_as_many_records_as_replicates_are_not_mixed_up():
    """Calls that all replicates share, calls of their own, and reports, in a square trace."""
    trace = play(
        linear(2), Impatient(jnp.array([1, 2, 3])), Clock(), key=KEY, rounds=3, replicates=3, in_axes=(None, 0, None),
        record=Record.every(1), chunk=2,
    )  # fmt: skip
    np.testing.assert_array_equal(trace.calls[0].payoffs, [[1, 1, 1], [1, 2, 2], [1, 2, 3]])
    np.testing.assert_array_equal(trace.calls[0].solves, [[2, 4, 6]] * 3)
    np.testing.assert_array_equal(trace.strategies[1], [[1, 2, 3]] * 3)


@pytest.mark.parametrize("kind", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("record", [Record.every(4000), Record.log_spaced(2)], ids=["every", "log"])
def test_payoffs_of_half_precision_are_summed_in_float32(kind, record):
    """A block of 4000 payoffs: of 100 their sum is beyond float16; one of .1 wouldn't count beside a sum of 64."""
    game = from_payoffs(lambda x, y: 100 * x, lambda x, y: y / 10, spaces=(Euclidean(()), Euclidean(())))
    start = (jnp.ones((), kind), jnp.ones((), kind))
    learners = (GradientAscent(1e-7), GradientAscent(1e-7))  # actions stay where they are
    trace = play(game, *learners, key=KEY, rounds=4000, replicates=2, start=start, record=record).raise_if_failed()
    assert trace.strategies[0].dtype == kind and trace.payoffs.dtype == jnp.float32
    np.testing.assert_allclose(trace.payoffs[:, -1], [[100.0, 0.1]] * 2, rtol=float(jnp.finfo(kind).eps))


def test_exact_payoffs_of_arms_in_half_precision():
    """From counts that half precision can't hold."""
    game = StackelbergBandit(jnp.full((1, 1), 0.1, jnp.float16), jnp.full((1, 1), 60.0, jnp.float16))
    trace = play(game, Fixed(0), Fixed(0), key=KEY, rounds=5001, replicates=1, record=Record.final(payoffs="exact"))
    np.testing.assert_allclose(trace.payoffs[0, -1], [np.float16(0.1), 60.0], rtol=1e-6)
