"""Nothing is lost: sweeps that are killed, interrupted, out of space, in several processes, or under another's name."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sweep_example
import xarray

from stackjax import Record, experiments, play
from stackjax.experiments import OtherConfigurationError, store
from stackjax.experiments.measure import BENCHMARKS
from stackjax.experiments.store import Parts, differences, read
from stackjax.games import bandit_instances
from stackjax.learners import EpsilonGreedy, Fixed
from stackjax.play import _run

ENGINE = sys.modules[experiments.run.__module__]


@pytest.fixture(scope="module")
def whole():
    return sweep_example.played()


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of other processes: they compile the programs once for all."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return {**os.environ, **cache, "JAX_PLATFORMS": "cpu"}


def begun(path):
    return len(list(path.with_name(path.name + ".parts").glob("part-*.npz")))


def process(*arguments, environment):
    command = [sys.executable, sweep_example.__file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_killed_at_two_moments_and_resumed(whole, environment, tmp_path):
    """SIGKILL once 1 and once 12 of 32 chunks are there, at whatever is done then; the third run ends it."""
    out = tmp_path / "a.nc"
    for least in (1, 12):
        run = process(out, environment=environment)
        while begun(out) < least and run.poll() is None:
            time.sleep(0.001)
        run.kill()
        said, _ = run.communicate()
        assert run.returncode == -signal.SIGKILL, said
        assert least <= begun(out) < 32 and not out.exists()
    again = sweep_example.played(out=out)
    xarray.testing.assert_identical(again.drop_attrs(), whole.drop_attrs())
    xarray.testing.assert_identical(experiments.load(out), again)
    assert os.listdir(tmp_path) == ["a.nc"]


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return sweep_example.long(out=tmp_path_factory.mktemp("long") / "a.nc")


def test_a_long_run_that_is_killed_goes_on_from_its_last_segment(long, environment, tmp_path):
    """SIGKILL within a chunk; then an error in the middle of one; the third run plays what is left and no more."""
    out = tmp_path / "a.nc"
    folder = tmp_path / "a.nc.parts"
    run = process(out, "long", environment=environment)
    while not (begun(out) and list(folder.glob("reached-*.npz"))) and run.poll() is None:
        time.sleep(0.0005)
    run.kill()
    said, _ = run.communicate()
    assert run.returncode == -signal.SIGKILL, said
    assert not out.exists()
    again = sweep_example.long(out=out)
    xarray.testing.assert_identical(again.drop_attrs(), long.drop_attrs())
    assert os.listdir(tmp_path) == ["a.nc"]


@pytest.mark.parametrize("how", ["error", "ctrl-c"])
def test_segments_that_were_played_are_not_played_again(how, long, monkeypatch, tmp_path):
    """16 chunks of 4 segments; stopped in the 7th segment of all. Half of the runs fail, before and after that."""
    out, calls = tmp_path / "a.nc", []
    inner = ENGINE.play

    def stopped(*arguments, **options):
        calls.append(options["rounds"])
        if len(calls) == 7:
            if how == "error":
                raise RuntimeError("stopped")
            os.kill(os.getpid(), signal.SIGINT)
        return inner(*arguments, **options)

    monkeypatch.setattr(ENGINE, "play", stopped)
    monkeypatch.setattr(store, "EVERY", 0.0 if how == "error" else 1e6)
    with pytest.raises((RuntimeError, KeyboardInterrupt), match=r"^stopped"):
        sweep_example.long(out=out)
    kept = {"error": ["part-00000000.npz", "reached-00000001.npz"], "ctrl-c": ["reached-00000001.npz"]}[how]
    kept = sorted({*kept, "part-00000000.npz"})
    assert sorted(path.name for path in (tmp_path / "a.nc.parts").glob("*.npz")) == kept
    again = sweep_example.long(out=out, checkpoint=1000)  # the segments are those of the first run
    assert calls == [10] * (64 + (how == "error"))
    xarray.testing.assert_identical(again.drop_attrs(), long.drop_attrs())
    assert set(np.unique(long["failed_at"])) > {-1} and long["failed_at"].max() > 10


def test_segments_are_the_whole_run(long, tmp_path):
    """Played at once: the same numbers to rounding; the same counts, and the same failures."""
    whole = sweep_example.long(checkpoint=None)
    for name in ("status", "failed_at", "gradients_calls", "rounds", "initial_0"):
        np.testing.assert_array_equal(whole[name], long[name])
    xarray.testing.assert_allclose(whole.drop_attrs(), long.drop_attrs(), rtol=1e-4, atol=1e-3)


def test_segments_share_programs(tmp_path):
    """Of records at points that are spaced by factors: 8 segments, two programs, from the start and from a state."""
    game, pair = sweep_example.UNSTABLE, sweep_example.METHODS["noiseless"]
    options = {"rounds": 400, "replicates": 2, "start": (0.01, 0.1), "record": Record.log_spaced(15)}
    points = options["record"].points(0, 400).tolist()
    assert len(ENGINE.segment_ends(points, 20)) == 8
    before = _run._cache_size()
    found = experiments.sweep(game, pair, None, **options, seed=3, devices=1, out=tmp_path / "a.nc", checkpoint=20)
    assert _run._cache_size() - before == 2
    trace = play(game, *pair, **options, key=jax.random.key(3))
    assert found["rounds"].values.tolist() == points
    np.testing.assert_allclose(found["strategy_0"], trace.strategies[0], rtol=1e-4)
    np.testing.assert_allclose(found["payoffs"], trace.payoffs, rtol=1e-4)
    np.testing.assert_array_equal(found["gradients_calls"][..., 0], trace.calls[0].gradients)


def test_bandits_in_segments(tmp_path):
    """Visits and regrets are counted on, through records that only fill up."""
    game = bandit_instances.lower_bound("I", d=0.1)
    pair = (EpsilonGreedy(0.2), Fixed(jnp.int32(1)))
    record = Record.log_spaced(6)
    options = {"rounds": 60, "replicates": 2, "devices": 1, "record": record, "benchmark": "stackelberg"}
    found = experiments.sweep(game, pair, **options, out=tmp_path / "a.nc", checkpoint=20)
    visits = found["visits"].values
    np.testing.assert_array_equal(visits.sum((-2, -1)), [record.points(0, 60)] * 2)
    assert np.all(np.diff(visits, axis=1) >= 0)
    target = float(BENCHMARKS["stackelberg"](game.leader_means, game.follower_means, 0.05).values[0])
    earned = np.einsum("rkab,ab->rk", visits, game.leader_means)
    np.testing.assert_allclose(found["regret"][..., 0], found["rounds"].values * target - earned, atol=1e-4)


@pytest.mark.parametrize(
    ("points", "most", "ends"),
    [
        ([10, 20, 30], None, [30]),
        ([10, 20, 30], 10, [10, 20, 30]),
        ([10, 20, 30], 25, [20, 30]),
        ([10, 20, 30], 5, [10, 20, 30]),
        ([1, 2, 4, 8, 16, 32], 10, [8, 16, 32]),
        ([100], 10, [100]),
    ],
)
def test_segments_end_at_record_points(points, most, ends):
    assert ENGINE.segment_ends(points, most) == ends


def test_a_state_with_keys_is_stored():
    """Random keys aren't NumPy arrays."""
    key = jax.random.key(3, impl="rbg")
    state = {"a": np.arange(2.0), "keys": jax.random.split(key, 2)}
    game, pair = sweep_example.GAME, sweep_example.METHODS["slow"]
    trace = play(game, *pair, key=jax.random.key(0), rounds=2, replicates=2)
    ending = dataclasses.replace(trace.ending(), state=state)
    arrays = ENGINE.to_arrays(ending)
    again = list(ENGINE.from_arrays(arrays))
    assert [jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in again[:2]] == [False, True]
    assert jax.random.key_impl(again[1]) == "rbg"
    np.testing.assert_array_equal(*(jax.random.key_data(x) for x in (again[1], state["keys"])))
    assert ending.structure == trace.structure and int(ending.rounds[-1]) == 2
    np.testing.assert_array_equal(ending.calls[0].gradients, [[2], [2]])


def test_a_checkpoint_needs_a_file():
    with pytest.raises(ValueError, match=r"^checkpoint: expected a file, out, beside which to keep it, got None"):
        sweep_example.played(checkpoint=10)


def test_two_processes_share_it(whole, environment, tmp_path):
    """Over a loopback coordinator; each writes its parts, the first one the file; the data are one's bit for bit.

    A result of another configuration that stands there, and parts of one, are to be overwritten.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    out = tmp_path / "a.nc"
    experiments.save(whole.assign_attrs(configuration='{"rounds": 1}'), out)
    Parts(out, {"rounds": 2}).begin([[1], [[1]]])
    runs = [process(out, i, address, environment=environment) for i in range(2)]
    for run in runs:
        said, _ = run.communicate(timeout=180)
        assert run.returncode == 0, said
    xarray.testing.assert_identical(experiments.load(out).drop_attrs(), whole.drop_attrs())
    assert os.listdir(tmp_path) == ["a.nc"]


def test_each_process_plays_its_share(monkeypatch, tmp_path):
    """Every second chunk; the second process then waits for the file, and the first one for the other's parts."""
    monkeypatch.setattr(ENGINE.jax, "process_count", lambda: 2)
    monkeypatch.setattr(ENGINE.jax, "process_index", lambda: 0)
    out, waits = tmp_path / "a.nc", []

    def other(seconds):
        waits.append(seconds)
        done = Parts(out, {}).done()
        assert sorted(done) == list(range(0, 16, 2))
        monkeypatch.setattr(ENGINE.jax, "process_count", lambda: 1)  # the other one stops, and a restart plays the rest
        raise InterruptedError

    monkeypatch.setattr(ENGINE.time, "sleep", other)
    with pytest.raises(InterruptedError):
        sweep_example.played(methods=("slow",), out=out)
    assert len(waits) == 1
    assert sweep_example.played(methods=("slow",), out=out).sizes["methods"] == 1


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A file whose sweep Ctrl-C stopped in its third chunk of 16."""
    out, played = tmp_path / "a.nc", []
    inner = ENGINE.play

    def press(*arguments, **options):
        played.append(1)
        if len(played) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return inner(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ENGINE, "play", press)
        with pytest.raises(
            KeyboardInterrupt, match=r"^stopped with 26 runs to go; the same call goes on from .*a\.nc\.parts"
        ):
            sweep_example.played(methods=("slow",), out=out)
    assert len(played) == 3
    return out


def test_ctrl_c_stops_at_the_end_of_a_chunk(stopped, whole):
    assert sorted(Parts(stopped, {}).done()) == [0, 1, 2] and not stopped.exists()
    again = sweep_example.played(methods=("slow",), out=stopped)
    xarray.testing.assert_identical(again.drop_attrs(), whole.drop_attrs().sel(methods=["slow"]))


def test_chunks_of_a_resumed_sweep_are_those_of_the_first(stopped, whole):
    """Whatever the budget is now: else its numbers might be others."""
    again = sweep_example.played(methods=("slow",), out=stopped, chunk=7)
    xarray.testing.assert_identical(again.drop_attrs(), whole.drop_attrs().sel(methods=["slow"]))


def test_another_configuration_is_refused(stopped):
    with pytest.raises(OtherConfigurationError) as caught:
        sweep_example.played(methods=("slow",), out=stopped, rounds=41, seed=6)
    said = str(caught.value)
    assert "a.nc.parts holds parts of another configuration" in said
    assert "\n  rounds: 40 there, 41 now" in said and "key.1: 5 there, 6 now" in said and "digest" not in said
    found = sweep_example.played(methods=("slow",), out=stopped, rounds=41, overwrite=True)
    assert found.attrs["title"] == "Noisy" and not stopped.with_name("a.nc.parts").exists()
    with pytest.raises(OtherConfigurationError, match=r"a\.nc is a result of another configuration"):
        sweep_example.played(methods=("slow",), out=stopped)
    assert sweep_example.played(methods=("slow",), out=stopped, overwrite=True).sizes["rounds"] == 21
    stopped.write_text("mine")
    with pytest.raises(OtherConfigurationError, match=r"^out: .*a\.nc can't be read as a NetCDF file"):
        sweep_example.played(methods=("slow",), out=stopped, overwrite=True)


def test_a_change_in_a_function_is_another_configuration(tmp_path):
    """Though nothing that is written down of it differs."""
    pair = sweep_example.METHODS["slow"]
    first, second = (eval(f"lambda step: (type(pair[0])(step * {k}), pair[1])", {"pair": pair}) for k in (1, 1.5))
    options = {"rounds": 3, "replicates": 2, "devices": 1, "out": tmp_path / "a.nc"}
    experiments.sweep(sweep_example.GAME, first, {"step": [0.1]}, **options)
    with pytest.raises(OtherConfigurationError, match=r"\n  <lambda> has changed$"):
        experiments.sweep(sweep_example.GAME, second, {"step": [0.1]}, **options)


def test_a_finished_sweep_is_not_played_again(tmp_path, monkeypatch):
    first = sweep_example.played(methods=("slow",), out=tmp_path / "a.nc")
    monkeypatch.setattr(ENGINE, "play", None)
    xarray.testing.assert_identical(sweep_example.played(methods=("slow",), out=tmp_path / "a.nc"), first)


def test_a_file_that_cannot_grow_is_an_error_and_keeps_what_was_done(whole, tmp_path):
    """RLIMIT_FSIZE: of the fourth part, and then of the result."""
    out = tmp_path / "a.nc"
    limit = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import sweep_example
from stackjax.experiments import store
store.EVERY = 0.0
inner = store.Parts.flush
def flush(self):
    if len(self.done()) == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    inner(self)
store.Parts.flush = flush
try:
    sweep_example.played(methods=("slow",), out=sys.argv[1])
except OSError as error:
    print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.Parts.flush = inner
    save = sweep_example.experiments.results.save
    def small(*arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        save(*arguments)
    sweep_example.experiments.results.save = small
    try:
        sweep_example.played(methods=("slow",), out=sys.argv[1])
    except OSError as error:
        print(error)
"""
    command = [sys.executable, "-c", limit, str(out), os.path.dirname(sweep_example.__file__)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    part, file = done.stdout.splitlines()
    assert "part-00000003.npz: File too large; what was finished before is kept in" in part
    assert f"can't write {out}: File too large" in file
    assert sorted(Parts(out, {}).done()) == list(range(16)) and not out.exists()
    again = sweep_example.played(methods=("slow",), out=out)
    xarray.testing.assert_identical(again.drop_attrs(), whole.drop_attrs().sel(methods=["slow"]))


def test_a_folder_without_write_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(ENGINE, "play", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^can't write in the folder .*/file: it is a file"):
        sweep_example.played(out=tmp_path / "file" / "a.nc")


def test_a_part_that_is_damaged_is_played_again(tmp_path, monkeypatch):
    """As a disk may damage it: no process of ours leaves one."""
    parts = Parts(tmp_path / "a.nc", {"x": 1})
    parts.begin([2])
    arrays = {"strategy_0['w']": (("rounds",), np.arange(6.0).reshape(2, 3)), "status": ((), np.zeros(2, np.int32))}
    parts.keep(0, arrays)
    parts.keep(1, arrays)
    parts.flush()
    parts.keep(2, arrays)
    parts.flush()
    (first, second) = sorted(parts.folder.glob("part-*"))
    assert parts.done() == {0: first, 1: first, 2: second}
    ((number, found), _) = read(first)
    assert number == 0 and found["strategy_0['w']"][0] == ("rounds",)
    np.testing.assert_array_equal(found["strategy_0['w']"][1], arrays["strategy_0['w']"][1])
    first.write_bytes(first.read_bytes()[:100])
    with pytest.warns(UserWarning, match="part-00000000.npz is damaged; its runs are played again"):
        assert parts.done() == {2: second}
    assert not first.exists()
    with monkeypatch.context() as patch:  # what can't be read now isn't removed
        patch.setattr(store, "_check", lambda path, plan: (_ for _ in ()).throw(PermissionError(path)))
        assert Parts(tmp_path / "a.nc", {"x": 1}).done() == {} and second.exists()
    parts.reach(3, 50, arrays, lambda: {"0": ((), np.ones(2))}, now=False)
    assert parts.reached(3) is None  # not so soon
    parts.reach(3, 50, arrays, lambda: {"0": ((), np.ones(2))}, now=True)
    rounds, _, state = parts.reached(3)
    assert rounds == 50 and state["0"][1].tolist() == [1.0, 1.0]
    (checkpoint,) = parts.folder.glob("reached-*")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert parts.reached(3) is None


def test_no_flipped_bit_of_a_part_passes(tmp_path):
    """Of every byte of its header and its directory, and of a hundred in between: it is named, or changes nothing."""
    parts = Parts(tmp_path / "a.nc", {"x": 1})
    parts.begin([1])
    values = np.random.default_rng(0).normal(size=(2, 300))
    parts.keep(0, {"payoffs": (("player", "rounds"), values)})
    parts.flush()
    (path,) = parts.folder.glob("part-*")
    whole, rng, named = path.read_bytes(), np.random.default_rng(1), 0
    ends = [*range(120), *range(len(whole) - 120, len(whole))]
    for place in [*ends, *rng.integers(len(whole), size=100)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            done = Parts(tmp_path / "a.nc", {"x": 1}).done()
        if done:
            ((number, arrays),) = read(done[0])
            assert number == 0
            np.testing.assert_array_equal(arrays["payoffs"][1], values)
        else:
            named += 1
            assert str(path) in str(caught[0].message) and not path.exists()
    assert named > 100


def test_another_form_of_the_folder_is_refused(tmp_path):
    parts = Parts(tmp_path / "a.nc", {"x": 1})
    parts.begin([2])
    assert parts.begun(False) == [2]
    parts.manifest.write_text(json.dumps({"form": 99, "plan": [2]}))
    with pytest.raises(OtherConfigurationError, match="form: 99 there, 4 now"):
        parts.begun(False)
    parts.manifest.write_text(json.dumps({"form": 4, "configuration": {"x": 1}}))
    with pytest.raises(OtherConfigurationError, match="plan: nothing there"):
        parts.begun(False)


def test_differences_are_told_by_their_places():
    there = {"a": {"b": [1, 2]}, "c": 1, "d": "x"}
    here = {"a": {"b": [1, 3]}, "d": "x" * 100, "e": None}
    assert differences(there, here) == [
        "a.b.1: 2 there, 3 now",
        "c: 1 there, nothing now",
        f'd: "x" there, "{"x" * 76}... now',
        "e: nothing there, null now",
    ]
    assert store.refusal("f", "is", [f"{i}: 1 there, 2 now" for i in range(11)]).endswith("\n  ... and 3 more")
