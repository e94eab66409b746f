"""Every kind of experiment survives: killed, interrupted, asked for twice at once; one writer; drivers of one's own."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import survival_example
import xarray

from stackjax import Record, experiments
from stackjax.experiments import Experiment, InUseError, Measure, OtherConfigurationError, Setting, run, store
from stackjax.experiments.store import Parts
from stackjax.games import CournotDuopoly, from_payoffs
from stackjax.learners import Fixed, GradientAscent
from stackjax.play import _run
from stackjax.spaces import Euclidean

ENGINE = sys.modules[experiments.run.__module__]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of other processes: they compile the programs once for all."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return {**os.environ, **cache, "JAX_PLATFORMS": "cpu"}


def process(*arguments, environment):
    command = [sys.executable, survival_example.__file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def begun(out):
    return len(list(out.with_name(out.name + ".parts").glob("part-*.npz")))


@pytest.mark.parametrize("kind", survival_example.KINDS)
def test_ctrl_c_and_the_same_call_again(kind, tmp_path, monkeypatch):
    """Stopped in the third chunk; then nothing is played twice, and the data are those of an undisturbed run."""
    whole, out, calls = survival_example.played(kind), tmp_path / "a.nc", []
    inner = ENGINE.play

    def press(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return inner(*arguments, **options)

    monkeypatch.setattr(ENGINE, "play", press)
    with pytest.raises(experiments.Interrupted, match=r"^stopped with \d+ runs to go; the same call goes on from"):
        survival_example.played(kind, out=out)
    assert len(calls) == 3 and not out.exists()
    again = survival_example.played(kind, out=out)
    xarray.testing.assert_identical(again, whole)
    total = len(calls)
    assert os.listdir(tmp_path) == ["a.nc"]
    xarray.testing.assert_identical(survival_example.played(kind, out=out), whole)
    assert len(calls) == total
    shorter = {"chunk": 3}  # not what decides the data, but the parts of a run that goes on are those of its beginning
    xarray.testing.assert_identical(survival_example.played(kind, out=out, **shorter), whole)


@pytest.mark.parametrize("kind", ["lead", pytest.param("regret", marks=pytest.mark.slow)])
def test_segments_are_the_whole(kind, tmp_path):
    """Long runs that are kept at their record points have the same numbers, to rounding."""
    found = survival_example.played(kind, out=tmp_path / "a.nc", checkpoint=2)
    xarray.testing.assert_allclose(found, survival_example.played(kind), rtol=1e-5)


@pytest.mark.parametrize("kind", ["regret", "compare"])
def test_killed_and_resumed(kind, environment, tmp_path):
    """SIGKILL once the first part is there; `benchmarks/kills.py` has the other kinds, and more moments."""
    out = tmp_path / "a.nc"
    one = process(kind, out, environment=environment)
    while begun(out) < 1 and one.poll() is None:
        time.sleep(0.0005)
    one.kill()
    said, _ = one.communicate()
    assert one.returncode == -signal.SIGKILL and not out.exists(), said
    xarray.testing.assert_identical(survival_example.played(kind, out=out), survival_example.played(kind))


def test_a_second_process_is_told_who_is_at_it(tmp_path, monkeypatch):
    """By its number, its machine and since when; a claim ends with its process, however that ends."""
    out = tmp_path / "a.nc"
    code = """
import pathlib, sys, time
from stackjax.experiments.store import Parts
with Parts(pathlib.Path(sys.argv[1]), {}).claimed():
    print("claimed", flush=True)
    time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "claimed\n"
    message = (
        rf"^out: {re.escape(str(out))} is being computed by process {other.pid} on .* since 20\d\d-.*; wait for it"
    )
    with pytest.raises(InUseError, match=message):
        survival_example.played("compare", out=out)
    other.kill()
    other.communicate()
    assert survival_example.played("compare", out=out).sizes["methods"] == 3
    assert os.listdir(tmp_path) == ["a.nc"]


def test_two_calls_that_are_started_together(environment, tmp_path):
    """With chunks of other sizes: right data in one at least, and in the other, or one line that says who is at it."""
    whole = survival_example.played("compare")
    out = tmp_path / "a.nc"
    both = [process("compare", out, json.dumps({"chunk": chunk}), environment=environment) for chunk in (1, 2)]
    said = [one.communicate(timeout=300)[0] for one in both]
    ended = [one.returncode for one in both]
    assert 0 in ended, said
    for code, text in zip(ended, said, strict=True):
        assert code == 0 or "InUseError: out: " in text, text
    found = experiments.load(out).drop_vars(survival_example.TIMES, errors="ignore").drop_attrs(deep=False)
    xarray.testing.assert_allclose(found, whole, rtol=1e-5)
    assert os.listdir(tmp_path) == ["a.nc"]


def test_parts_of_another_plan_are_dropped(tmp_path):
    """As of a folder that was put together of two."""
    first, second = (Parts(tmp_path / name / "a.nc", {"x": 1}) for name in "ab")
    arrays = {"status": ((), np.zeros(2, np.int32))}
    for parts, plan in ((first, [2]), (second, [3])):
        parts.begin(plan)
        parts.keep(0, arrays)
        parts.flush()
    (part,) = first.folder.glob("part-*")
    (other,) = second.folder.glob("part-*")
    other.write_bytes(part.read_bytes())
    with pytest.warns(UserWarning, match="part-00000000.npz is damaged; its runs are played again"):
        assert second.done() == {}
    assert list(first.done()) == [0]


def test_a_link_is_followed(tmp_path):
    target, link = tmp_path / "data" / "a.nc", tmp_path / "link.nc"
    target.parent.mkdir()
    link.symlink_to(target)
    survival_example.played("compare", out=link)
    assert link.is_symlink() and target.is_file()


def test_another_configuration_is_refused_by_every_kind(tmp_path):
    out = tmp_path / "a.nc"
    survival_example.played("metagame", out=out)
    with pytest.raises(OtherConfigurationError, match="is a result of another configuration"):
        survival_example.played("regret", out=out)
    with pytest.raises(OtherConfigurationError, match=r"horizon: 90 there, 91 now"):
        leaders, followers = survival_example.LEADERS, survival_example.FOLLOWERS
        games = {"a": survival_example.etc_failure(), "b": survival_example.aligned()}
        experiments.metagame(leaders, followers, games, 91, replicates=4, seed=5, resamples=5, out=out)


# A driver of one's own, from here to the end of `basins`: in which of a game's equilibria replicates end.
def basins(game, learners, steps, ends, rounds, replicates, **how):
    """The share of replicates that end nearest to each of the `ends` `[n, players]`, over the leader's step."""

    def nearest(played, trace, at):
        last = np.stack([np.asarray(x)[:, -1] for x in trace.strategies], -1)
        return {"basin": ((), np.argmin(np.linalg.norm(last[:, None] - ends, axis=-1), -1).astype(float))}

    def finish(dataset):
        basin = dataset["basin"]
        shares = [(basin == i).sum("replicate") / basin.notnull().sum("replicate") for i in range(len(ends))]
        return xarray.Dataset({"share": xarray.concat(shares, "end")}).assign_coords(step=steps)

    settings = [Setting(game, learners(step), (None, None), rounds, f"step {step}") for step in steps]
    ids = np.arange(replicates, dtype=np.uint32)
    experiment = Experiment(
        kind="basins",
        settings=settings,
        dims={"step": len(steps)},
        ids=ids,
        key=jax.random.key(0),
        record=Record.final(),
        configuration={"game": game, "learners": learners, "steps": steps, "ends": ends, "rounds": rounds, "ids": ids},
        measures=lambda settings: [Measure(("basin",), nearest, complete=True)],
        keep=("basin",),
        finish=finish,
    )
    return run(experiment, how)


def test_a_driver_of_ones_own(tmp_path, monkeypatch):
    """Ascent on -(x^2 - 1)^2 from a start in [-2, 2] ends at the sign of its start; it is kept, and goes on."""
    game = from_payoffs(
        lambda x, y: -((x**2 - 1) ** 2) / 8, lambda x, y: -((y - x) ** 2), spaces=(Euclidean(()), Euclidean(()))
    )
    ends = np.array([[-1.0, -1.0], [1.0, 1.0]])

    def pair(step):
        return (GradientAscent(step), GradientAscent(0.3))

    arguments = (game, pair, [0.2, 0.4], ends, 200, 50)
    found = basins(*arguments)
    start = found.sizes
    assert start["step"] == 2 and found.attrs["result"] == "basins" and "seconds" not in found
    np.testing.assert_allclose(found["share"].sum("end"), 1.0)
    assert 0.2 < float(found["share"][0, 0]) < 0.8
    np.testing.assert_array_equal(found["share"][:, 0], found["share"][:, 1])  # the same starts
    out, calls, inner = tmp_path / "a.nc", [], ENGINE.play

    def fail(*given, **options):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("a power cut")
        return inner(*given, **options)

    monkeypatch.setattr(ENGINE, "play", fail)
    monkeypatch.setattr(store, "EVERY", 0.0)
    with pytest.raises(RuntimeError, match="a power cut"):
        basins(*arguments, chunk=25, out=out)
    again = basins(*arguments, chunk=25, out=out)
    assert len(calls) == 5
    xarray.testing.assert_identical(again.drop_attrs(), found.drop_attrs())


def test_what_cannot_be_looked_into_is_told_where_a_result_is_kept(tmp_path):
    """An object of an extension module, as a payoff may hold one; without a file nothing is taken up again."""
    generator = np.random.default_rng(0).bit_generator
    game = from_payoffs(
        lambda x, y: -x * x + 0.0 * (generator is None), lambda x, y: -y * y, spaces=(Euclidean(()), Euclidean(()))
    )
    arguments, options = (game, {"a": (Fixed(1.0), Fixed(1.0))}), {"rounds": 1, "replicates": 1}
    experiments.compare(*arguments, **options)  # a warning would be an error
    with pytest.warns(UserWarning, match="changes inside of these wouldn't be noticed"):
        experiments.compare(*arguments, out=tmp_path / "a.nc", **options)


def test_unknown_keywords_are_named():
    game, methods = CournotDuopoly(), {"a": (Fixed(1.0), Fixed(1.0))}
    with pytest.raises(TypeError, match=r"unexpected keyword: unknown argument 'chunks'; did you mean 'chunk'\?"):
        experiments.compare(game, methods, rounds=1, replicates=1, chunks=3)


def test_programs_are_let_go(monkeypatch):
    """Once there are more than so many; `benchmarks/kills.py` has 200 games in one process."""
    monkeypatch.setattr(ENGINE, "MOST_PROGRAMS", 2)
    jax.clear_caches()
    sizes = []
    for slope in (1.0, 2.0, 3.0, 4.0):
        game = from_payoffs(
            lambda x, y, a=slope: -a * x * x, lambda x, y: -y * y, spaces=(Euclidean(()), Euclidean(()))
        )
        pair = (GradientAscent(0.1), Fixed(1.0))
        experiments.compare(game, {"a": pair}, rounds=2, replicates=2, record=Record.final())
        sizes.append(_run._cache_size())
    assert sizes == [1, 2, 0, 1]
