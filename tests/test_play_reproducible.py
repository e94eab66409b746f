"""The noise of a round is a function of key, player, round and replicate; one program serves all values."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Game, Learner, Record, Signal, play
from stackjax.games import CournotDuopoly, Noisy, Quadratic
from stackjax.learners import Every, GradientAscent, HiC
from stackjax.schedules import PowerLaw
from stackjax.spaces import Box

pytestmark = pytest.mark.optimized

KEY = jax.random.key(0)
ROUNDS = 12
RECORD = Record.log_spaced(3)  # any number of rounds from 5 on has three records, and so one program


class Lottery(Game):
    """Pays what it draws."""

    spaces = (Box(0.0, 1.0), Box(0.0, 1.0))
    levels = ((0,), (1,))
    recorded_payoffs = "realised"

    def draw(self, key):
        return jax.random.uniform(key, (2,))

    def realise(self, noise, *actions):
        return noise[0], noise[1]


class Witness(Learner):
    """Learns nothing; keeps every random number that it met: from `init`, from each `draw`, and from each payment."""

    rounds: int = eqx.field(static=True, default=ROUNDS)
    wants = Signal.PAYOFF

    def init(self, view, key):
        own = jnp.zeros((self.rounds, 2), jnp.uint32)
        return {
            "n": jnp.int32(0),
            "init": jax.random.bits(key, (2,), jnp.uint32),
            "own": own,
            "paid": jnp.zeros(self.rounds, view.dtype),
        }

    def draw(self, view, key):
        return jax.random.bits(key, (2,), jnp.uint32)

    def act(self, view, state, noise, seen):
        return jnp.asarray(0.5, view.dtype)

    def strategy(self, view, state, seen):
        return self.act(view, state, (), seen)

    def update(self, view, state, noise, signals):
        n = state["n"]
        return {
            **state,
            "n": n + 1,
            "own": state["own"].at[n].set(noise),
            "paid": state["paid"].at[n].set(signals.payoff),
        }


def met(trace):
    """What both players met: a dictionary of arrays `[replicates, ...]`."""
    return {
        f"{name} of player {i}": np.asarray(state[name])
        for i, state in enumerate(trace.state)
        for name in ("init", "own", "paid")
    }


def witnesses(**options):
    return play(Lottery(), Witness(), Witness(), **{"key": KEY, "rounds": ROUNDS, "record": RECORD, **options})


@pytest.fixture(scope="module")
def reference():
    return met(witnesses(replicates=11))


def assert_met(trace, reference, replicates):
    for name, got in met(trace).items():
        np.testing.assert_array_equal(got, reference[name][np.asarray(replicates)], err_msg=name)


def need_devices(n):
    if jax.device_count() < n:
        pytest.skip(f"needs {n} devices, there are {jax.device_count()}")


def test_all_noise_of_a_run_is_different(reference):
    words = np.concatenate([reference[f"{n} of player {i}"].ravel() for i in (0, 1) for n in ("init", "own")])
    assert np.unique(words).size == words.size  # 500 words: a collision has probability 4e-5
    paid = np.concatenate([reference[f"paid of player {i}"].ravel() for i in (0, 1)])
    assert np.unique(paid).size >= paid.size - 2


@pytest.mark.parametrize(
    "record",
    [
        Record.every(5),
        Record.every(1),
        Record.every(4, payoffs=None, strategies=False, metrics=lambda x, y: {"x": x}),
    ],
    ids=["every 5", "every round", "nothing but a metric"],
)
def test_noise_does_not_depend_on_what_is_recorded(reference, record):
    assert_met(witnesses(replicates=3, record=record), reference, [0, 1, 2])


@pytest.mark.parametrize(("chunk", "replicates"), [(1, 4), (3, 4), (100, 11)])
def test_noise_does_not_depend_on_the_chunk(reference, chunk, replicates):
    assert_met(witnesses(replicates=replicates, chunk=chunk), reference, range(replicates))


@pytest.mark.parametrize("devices", [pytest.param(2, marks=pytest.mark.slow), 8])  # 2 are interrupted below
def test_noise_does_not_depend_on_the_devices(reference, devices):
    need_devices(devices)
    assert_met(witnesses(replicates=8, devices=devices), reference, range(8))


def test_noise_does_not_depend_on_which_devices_in_which_chunks(reference):
    need_devices(3)
    devices = [jax.devices()[i] for i in (2, 0)]
    assert_met(witnesses(replicates=7, devices=devices, chunk=2), reference, range(7))


def test_noise_does_not_depend_on_how_many_replicates_there_are(reference):
    assert_met(witnesses(replicates=2), reference, [0, 1])
    assert_met(witnesses(replicates=None), reference, 0)


@pytest.mark.parametrize("ids", [[7, 0, 10], np.array([3, 3, 3]), jnp.array([9, 1, 2], jnp.uint32)], ids=str)
def test_noise_belongs_to_the_id_of_a_replicate(reference, ids):
    trace = witnesses(replicates=ids)
    assert_met(trace, reference, np.asarray(ids))
    np.testing.assert_array_equal(trace.ids, np.asarray(ids))


def test_the_largest_id_is_an_id():
    trace = witnesses(replicates=[0, 2**31, 2**32 - 1])
    assert len({tuple(row) for row in met(trace)["own of player 0"][:, 0].tolist()}) == 3


def test_noise_does_not_depend_on_an_interruption(reference):
    first = witnesses(replicates=3, rounds=5)
    assert_met(witnesses(replicates=3, rounds=ROUNDS - 5, resume=first), reference, range(3))


def test_an_interruption_keeps_the_sign_of_a_zero():
    class Rests(Witness):
        def init(self, view, key):
            return view.first_action(key)

        def act(self, view, state, noise, seen):
            return state

        def update(self, view, state, noise, signals):
            return state

    def run(**options):
        start = (jnp.array([0.0, -0.0]), None)
        record = Record.final()
        return play(Lottery(), Rests(), Rests(), key=KEY, rounds=1, replicates=2, start=start, record=record, **options)

    np.testing.assert_array_equal(np.signbit(run(resume=run()).state[0]), [False, True])


def test_noise_does_not_depend_on_many_interruptions_of_every_kind(reference):
    need_devices(2)
    trace = witnesses(replicates=5, rounds=3, chunk=2, record=Record.every(1))
    trace = witnesses(replicates=5, rounds=1, devices=2, resume=trace, record=Record.log_spaced(9))
    trace = witnesses(replicates=5, rounds=8, resume=trace, record=Record.every(3, payoffs=None, strategies=False))
    assert_met(trace, reference, range(5))
    assert trace.rounds.tolist() == [6, 9, 12]


def test_noise_depends_on_the_key(reference):
    for name, other in met(witnesses(replicates=11, key=jax.random.key(1))).items():
        assert not np.any(other == reference[name]), name


def test_a_players_noise_does_not_depend_on_the_others(reference):
    class Another(Witness):
        def draw(self, view, key):
            return jax.random.bits(key, (9,), jnp.uint32)[-2:]

    trace = play(Lottery(), Witness(), Another(), key=KEY, rounds=ROUNDS, replicates=3, record=RECORD)
    got = met(trace)
    np.testing.assert_array_equal(got["own of player 0"], reference["own of player 0"][:3])
    np.testing.assert_array_equal(got["paid of player 0"], reference["paid of player 0"][:3])
    assert not np.any(got["own of player 1"] == reference["own of player 1"][:3])


def test_noise_does_not_depend_on_hyper_parameters_or_other_games_in_the_batch():
    """Equal ids meet equal noise, so that settings can be compared pair by pair."""
    game = Noisy(Lottery(), payoff_variance=jnp.array([1.0, 4.0]))
    trace = play(
        game,
        Witness(),
        Witness(),
        key=KEY,
        rounds=ROUNDS,
        replicates=[6, 6],
        in_axes=(0, None, None),
        record=Record.final(),
    )
    got = met(trace)
    np.testing.assert_array_equal(got["own of player 0"][0], got["own of player 0"][1])
    own = play(
        Noisy(Lottery(), 0.0), Witness(), Witness(), key=KEY, rounds=ROUNDS, replicates=[6], record=Record.final()
    )
    noise = got["paid of player 0"] - met(own)["paid of player 0"]
    np.testing.assert_allclose(noise[1], 2 * noise[0], rtol=1e-4, atol=1e-5)


def test_noise_is_the_same_in_float64(reference, x64):
    trace = play(Lottery(), Witness(), Witness(), key=KEY, rounds=ROUNDS, replicates=2, record=Record.final())
    got = met(trace)
    assert got["paid of player 1"].dtype == np.float64
    np.testing.assert_array_equal(got["own of player 1"], reference["own of player 1"][:2])


# Results: bits where the compiled chunk is the same, rounding elsewhere


def learners():
    return GradientAscent(PowerLaw(0.3, 0.6), noise_variance=0.1), GradientAscent(0.2, noise_variance=0.1)


def quadratics(n, seed=0):
    """A batch of random concave games."""
    rng = np.random.default_rng(seed)
    Q = [jnp.asarray(rng.normal(size=(n, 3, 3)) / 3 + 3 * np.eye(3), jnp.float32) for _ in range(2)]
    return jax.vmap(lambda *Q: Quadratic(Q, (jnp.ones(3), -jnp.ones(3)), (2, 1)))(*Q)


def results(**options):
    game = jax.tree.map(lambda x: x[0], quadratics(1))
    trace = play(game, *learners(), **{"key": KEY, "rounds": 24, "replicates": 8, "record": Record.every(6), **options})
    return [np.asarray(x) for x in (*trace.strategies, *trace.actions, trace.payoffs, *jax.tree.leaves(trace.state))]


@pytest.fixture(scope="module")
def whole():
    return results()


def assert_same(got, expected, pick=slice(None), tolerance=0.0):
    for a, b in zip(got, expected, strict=True):
        if tolerance:
            np.testing.assert_allclose(a, b[pick], rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(a, b[pick])


def test_results_are_the_same_bits_a_second_time(whole):
    assert_same(results(), whole)


def test_results_are_the_same_bits_where_the_compiled_chunk_is_the_same():
    two = results(chunk=2)
    assert_same(results(chunk=2, replicates=[2, 3]), two, slice(2, 4))
    assert_same(results(chunk=2, replicates=[5, 4, 1]), two, [5, 4, 1])  # padded to 4


@pytest.mark.parametrize("options", [{"chunk": 2}, {"devices": 4, "chunk": 1}], ids=str)
def test_results_are_the_same_to_rounding_whatever_the_chunk_and_the_devices(whole, options):
    need_devices(options.get("devices", 1))
    assert_same(results(**options), whole, tolerance=1e-5)


def test_results_do_not_depend_on_the_order_of_the_ids(whole):
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    assert_same(results(replicates=order), whole, order)


def test_one_run_alone_equals_replicate_0(whole):
    assert_same(results(replicates=None), whole, 0, tolerance=1e-5)


# One program


@contextlib.contextmanager
def compilations():
    """Counts the programs that XLA compiles meanwhile, whoever asks for them."""
    count = [0]

    def listen(event, _, **__):
        count[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield count
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def one_of_each(v, seed):
    """Every learner and every number of a run, with `v` in place of each value."""
    hic = HiC(PowerLaw(0.1 * v, 1.0, 10.0 * v), PowerLaw(v, 1 / 6), 3, baseline=0.5 * v)
    return play(
        Noisy(CournotDuopoly(100.0 * v, (5.0 * v, 2.0), v), payoff_variance=v),
        hic,
        Every(2, GradientAscent(0.1 * v, noise_variance=v)),
        key=jax.random.key(seed),
        rounds=5,
        replicates=3,
        start=(jnp.full(3, 40.0 * v), 30.0 * v),
        record=Record.log_spaced(3),
    ).state


def test_other_values_keys_and_starts_compile_nothing():
    one_of_each(1.0, 0)
    with compilations() as count:
        one_of_each(0.9, 1)
        one_of_each(1.1, 2)
    assert count == [0]
    with compilations() as count:  # and the count would show it
        jax.jit(lambda x: x * 3 + 1)(jnp.zeros(17))
    assert count[0] > 0


def test_other_batches_of_games_and_hyper_parameters_compile_nothing():
    games, steps = [quadratics(4, seed) for seed in (0, 1)], jnp.array([[0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.1, 0.1]])

    def batch(i):
        return play(
            games[i], GradientAscent(steps[i]), GradientAscent(0.1), key=KEY, rounds=4, replicates=[i, 1, 2, 3],
            in_axes=(0, 0, None), record=Record.final(),
        ).state  # fmt: skip

    batch(0)
    with compilations() as count:
        batch(1)
    assert count == [0]


def test_going_on_and_on_compiles_nothing_after_the_first_time():
    def go_on(trace):
        return play(
            CournotDuopoly(), *learners(), key=KEY, rounds=8, replicates=4, record=Record.every(4), resume=trace
        )  # fmt: skip

    trace = go_on(go_on(None))
    with compilations() as count:
        trace = go_on(go_on(trace))
    assert count == [0] and trace.rounds[-1] == 32


def test_every_chunk_is_the_same_program():
    traced = []

    class Watched(Witness):
        def act(self, view, state, noise, seen):
            traced.append(view.player)
            return super().act(view, state, noise, seen)

    def run(n):
        play(Lottery(), Watched(), Watched(), key=KEY, rounds=4, replicates=n, chunk=4, record=Record.final())

    run(4)
    assert traced
    traced.clear()
    run(8)
    run(10)
    assert not traced
