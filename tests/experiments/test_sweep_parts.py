"""Nothing is lost: sweeps that are killed, interrupted, out of space, in several processes, or under another's name."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import sweep_example
import xarray

from stackjax import experiments
from stackjax.experiments import OtherConfigurationError, _engine, parts
from stackjax.experiments.parts import Parts, differences, read


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


def test_two_processes_share_it(whole, environment, tmp_path):
    """Over a loopback coordinator; each writes its parts, the first one the file; the data are one's bit for bit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    out = tmp_path / "a.nc"
    runs = [process(out, i, address, environment=environment) for i in range(2)]
    for run in runs:
        said, _ = run.communicate(timeout=180)
        assert run.returncode == 0, said
    xarray.testing.assert_identical(experiments.load(out).drop_attrs(), whole.drop_attrs())
    assert os.listdir(tmp_path) == ["a.nc"]


def test_each_process_plays_its_share(monkeypatch, tmp_path):
    """Every second chunk; the second process then waits for the file, and the first one for the other's parts."""
    monkeypatch.setattr(_engine.jax, "process_count", lambda: 2)
    monkeypatch.setattr(_engine.jax, "process_index", lambda: 0)
    out, waits = tmp_path / "a.nc", []

    def other(seconds):
        waits.append(seconds)
        done = Parts(out, {}).done()
        assert sorted(done) == list(range(0, 16, 2))
        monkeypatch.setattr(
            _engine.jax, "process_count", lambda: 1
        )  # the other one stops, and a restart plays the rest
        raise InterruptedError

    monkeypatch.setattr(_engine.time, "sleep", other)
    with pytest.raises(InterruptedError):
        sweep_example.played(methods=("slow",), out=out)
    assert len(waits) == 1
    assert sweep_example.played(methods=("slow",), out=out).sizes["methods"] == 1


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A file whose sweep Ctrl-C stopped in its third chunk of 16."""
    out, played = tmp_path / "a.nc", []
    inner = _engine.play

    def press(*arguments, **options):
        played.append(1)
        if len(played) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return inner(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(_engine, "play", press)
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
    first, second = (eval(f"lambda step: (type(pair[0])(step * {k}), pair[1])", {"pair": pair}) for k in (1, 2))
    options = {"rounds": 3, "replicates": 2, "devices": 1, "out": tmp_path / "a.nc"}
    experiments.sweep(sweep_example.GAME, first, {"step": [0.1]}, **options)
    with pytest.raises(OtherConfigurationError, match="\n  digest of all numbers and functions: "):
        experiments.sweep(sweep_example.GAME, second, {"step": [0.1]}, **options)


def test_a_finished_sweep_is_not_played_again(tmp_path, monkeypatch):
    first = sweep_example.played(methods=("slow",), out=tmp_path / "a.nc")
    monkeypatch.setattr(_engine, "play", None)
    xarray.testing.assert_identical(sweep_example.played(methods=("slow",), out=tmp_path / "a.nc"), first)


def test_a_file_that_cannot_grow_is_an_error_and_keeps_what_was_done(whole, tmp_path):
    """RLIMIT_FSIZE: of the fourth part, and then of the result."""
    out = tmp_path / "a.nc"
    limit = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import sweep_example
from stackjax.experiments import parts
parts.EVERY = 0.0
inner = parts.Parts.flush
def flush(self):
    if len(self.done()) == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    inner(self)
parts.Parts.flush = flush
try:
    sweep_example.played(methods=("slow",), out=sys.argv[1])
except OSError as error:
    print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    parts.Parts.flush = inner
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
    monkeypatch.setattr(_engine, "play", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^can't write in the folder .*/file: it is a file"):
        sweep_example.played(out=tmp_path / "file" / "a.nc")


def test_a_part_that_is_damaged_is_played_again(tmp_path):
    """As a disk may damage it: no process of ours leaves one."""
    store = Parts(tmp_path / "a.nc", {"x": 1})
    store.begin([2])
    arrays = {"strategy_0['w']": (("rounds",), np.arange(6.0).reshape(2, 3)), "status": ((), np.zeros(2, np.int32))}
    store.keep(0, arrays)
    store.keep(1, arrays)
    store.flush()
    store.keep(2, arrays)
    store.flush()
    (first, second) = sorted(store.folder.glob("part-*"))
    assert store.done() == {0: first, 1: first, 2: second}
    ((number, found), _) = read(first)
    assert number == 0 and found["strategy_0['w']"][0] == ("rounds",)
    np.testing.assert_array_equal(found["strategy_0['w']"][1], arrays["strategy_0['w']"][1])
    first.write_bytes(first.read_bytes()[:100])
    assert store.done() == {2: second}


def test_another_form_of_the_folder_is_refused(tmp_path):
    store = Parts(tmp_path / "a.nc", {"x": 1})
    store.begin([2])
    assert store.begun(False) == [2]
    store.manifest.write_text(json.dumps({"form": 99, "plan": [2]}))
    with pytest.raises(OtherConfigurationError, match="form: 99 there, 1 now"):
        store.begun(False)


def test_differences_are_told_by_their_places():
    there = {"a": {"b": [1, 2]}, "c": 1, "d": "x"}
    here = {"a": {"b": [1, 3]}, "d": "x" * 100, "e": None}
    assert differences(there, here) == [
        "a.b.1: 2 there, 3 now",
        "c: 1 there, nothing now",
        f'd: "x" there, "{"x" * 76}... now',
        "e: nothing there, null now",
    ]
    assert parts.refusal("f", "is", [f"{i}: 1 there, 2 now" for i in range(11)]).endswith("\n  ... and 3 more")
