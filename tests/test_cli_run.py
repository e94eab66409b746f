"""`stackjax run`: what a configuration file says, its dry run, its interruption and its one-line errors."""

import json
import os
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray
from click.testing import CliRunner

from stackjax import cli, experiments, plots
from stackjax.cli import _cache

ENGINE = sys.modules[experiments.run.__module__]

STUDY = """
title = "A study"
rounds = 40
replicates = 3
[game]
name = "duopoly"
[methods]
here = "simultaneous"
[over]
leader.step.scale = { low = 0.1, high = 10.0, log = 3 }
game.demand = [90.0, 100.0]
"""


def run(*arguments):
    return CliRunner(env={"COLUMNS": "120"}).invoke(cli.main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with a study and its result, and what was printed."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "study.toml").write_text(STUDY)
    result = run("run", folder / "study.toml", "--out", folder / "new" / "a.nc")
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_it_writes_data_and_a_figure_and_prints_a_table(done):
    folder, said = done
    assert sorted(os.listdir(folder / "new")) == ["a.nc", "a.png"]
    data = experiments.load(folder / "new" / "a.nc")
    assert data.attrs["study"] == STUDY and data.attrs["title"] == "A study"
    assert data.attrs["command"] == f"stackjax run {folder / 'study.toml'} --out {folder / 'new' / 'a.nc'}"
    assert "6 settings, 3 replicates of 40 rounds" in said and str(folder / "new" / "a.png") in said.replace("\n", "")


KINDS = {
    "comparison": 'rounds = 40\nmethods = ["simultaneous"]\n[game]\nname = "duopoly"',
    "regret": 'horizons = [20, 40]\nmethods = ["etc/etc"]\n[game]\nname = "etc-failure"',
    "metagame": 'horizon = 40\nleaders = ["etc"]\nfollowers = ["etc"]\nresamples = 5\n[game]\nname = "etc-failure"',
    "leading": 'rounds = 4\ntruths = false\npoints = 3\nmethods = ["policy-gradient-exact/contextual-exact"]\n'
    '[game]\nname = "prisoners-dilemma"',
}


COMMANDS = {
    "comparison": "compare duopoly --methods simultaneous --rounds 40",
    "regret": "regret etc-failure --pair etc/etc --horizons 20,40",
    "metagame": "metagame etc-failure --leaders etc --followers etc --horizon 40 --resamples 5",
}


SLOW = [("metagame", "command"), ("regret", "study"), ("comparison", "study")]  # variants


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] * (each in SLOW))
        for each in [*((kind, "study") for kind in KINDS), *((kind, "command") for kind in COMMANDS)]
    ],
)
@pytest.mark.filterwarnings("ignore:.*explore")
def test_every_kind_goes_on(kind, how, tmp_path, monkeypatch):
    """Stopped by Ctrl-C before its last chunk, and the same command again; and again, when nothing is played."""
    (tmp_path / "study.toml").write_text(f'kind = "{kind}"\nreplicates = 4\n{KINDS[kind]}')
    begin = ["run", tmp_path / "study.toml"]
    if how == "command":
        begin = [*COMMANDS[kind].split(), "--replicates", 4]
    inner, calls = ENGINE.play, []

    def press(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return inner(*arguments, **options)

    monkeypatch.setattr(ENGINE, "play", press)
    monkeypatch.setattr(ENGINE, "chunk_size", lambda *given: 2)
    command = (*begin, "--out", tmp_path / "a.nc", "--checkpoint", 1000)
    stopped = run(*command)
    assert stopped.exit_code == 130 and "the same call goes on from" in stopped.output, stopped.output
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert len(calls) == (4 if kind == "regret" else 2)
    assert experiments.load(tmp_path / "a.nc").attrs["result"] == kind
    assert sorted(os.listdir(tmp_path)) == ["a.nc", "a.png", "study.toml"]
    assert "nothing is played" in run(*command).output and len(calls) == (4 if kind == "regret" else 2)


def test_it_is_not_played_again_and_another_one_is_refused(done, tmp_path):
    folder, _ = done
    out = folder / "new" / "a.nc"
    before = out.stat().st_mtime_ns
    result = run("run", folder / "study.toml", "--out", out, "--quiet")
    assert (result.exit_code, result.output, out.stat().st_mtime_ns) == (0, "", before)
    (tmp_path / "b.toml").write_text(STUDY.replace("rounds = 40", "rounds = 41"))
    result = run("run", tmp_path / "b.toml", "--out", out)
    assert result.exit_code == 1 and "is a result of another configuration" in result.output
    assert "rounds: 40 there, 41 now" in result.output


def test_a_result_runs_again(done, tmp_path):
    folder, _ = done
    result = run("run", folder / "new" / "a.nc", "--out", tmp_path / "again.nc", "--quiet")
    assert result.exit_code == 0, result.output
    first, again = (experiments.load(path) for path in (folder / "new" / "a.nc", tmp_path / "again.nc"))
    xarray.testing.assert_identical(again.drop_attrs(), first.drop_attrs())
    assert "--out: expected a name" in run("run", folder / "new" / "a.nc").output


def test_a_dry_run_says_what_would_be_done(done, monkeypatch):
    folder, _ = done
    monkeypatch.chdir(folder)
    result = run("run", "study.toml", "--dry-run", "--budget", 8)
    assert result.exit_code == 0, result.output
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines())
    assert lines["settings"].startswith(
        "1 methods x 3 leader.step.scale x 2 game.demand: 6, each in 3 replicates of 40"
    )
    assert list(lines) == ["settings", "programs", "chunks", "memory", "time", "data", "devices"]
    assert re.fullmatch(r"[\d.]+ [KM]iB for a chunk", lines["memory"])
    assert not (folder / "results").exists()


def test_ctrl_c_says_how_to_go_on(done, tmp_path, monkeypatch):
    folder, _ = done

    def stop(*arguments, **options):
        raise ENGINE.Interrupted("stopped with 3 runs to go; the same call goes on from here")

    monkeypatch.setattr(sys.modules[experiments.read_study.__module__], "sweep", stop)
    result = run("run", folder / "study.toml", "--out", tmp_path / "a.nc")
    assert result.exit_code == 130 and result.output == "\nstopped with 3 runs to go; the same call goes on from here\n"


def test_plot_has_facets(done, tmp_path, monkeypatch):
    folder, _ = done
    drawn = []
    inner = plots.plot_result
    monkeypatch.setattr(plots, "plot_result", lambda data, **options: drawn.append(options) or inner(data, **options))
    options = ("--variable", "payoffs", "--x", "rounds", "--column", "game.demand")
    result = run("plot", folder / "new" / "a.nc", *options, "--out", tmp_path / "a.svg")
    assert result.exit_code == 0, result.output
    assert drawn == [{"variable": "payoffs", "x": "rounds", "column": "game.demand"}]
    result = run("plot", folder / "new" / "a.nc", "--x", "demand", "--out", tmp_path / "a.svg")
    assert result.exit_code == 1 and "x: unknown swept value 'demand'; did you mean 'game.demand'?" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{tmp}/no.toml",), "'FILE': there is no file {tmp}/no.toml"),
        (("{bad}",), "'FILE': {bad}: unknown key 'roundz'; did you mean 'rounds'?"),
        (("{study}", "--out", "a.csv"), "'--out': expected a name in .nc, got a.csv"),
        (("{study}", "--out", "{bad}/a.nc"), "Error: can't write in the folder {bad}: it is a file"),
        (("{study}", "--budget", "0"), "'--budget': 0.0 is not in the range"),
        (("{study}", "--process", "0"), "--coordinator, --processes, --process: expected all three or none"),
        (("{unplayable}",), "step: expected a positive step (in the setting here, leader.step.scale = -1.0"),
        (
            ("{unplayable}", "--dry-run"),
            "step: expected a positive step (in the setting here, leader.step.scale = -1.0",
        ),
    ],
)
def test_errors_are_one_line_and_come_before_any_computation(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(ENGINE, "play", None)
    places = {"tmp": tmp_path}
    texts = {
        "study": STUDY,
        "bad": STUDY.replace("rounds", "roundz"),
        "unplayable": STUDY.replace("{ low = 0.1, high = 10.0, log = 3 }", "[1.0, -1.0]"),
    }
    for name, text in texts.items():
        places[name] = tmp_path / f"{name}.toml"
        places[name].write_text(text)
    monkeypatch.chdir(tmp_path)
    result = run("run", *(a.format(**places) for a in arguments))
    assert result.exit_code in (1, 2) and "Traceback" not in result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message.format(**places) in errors[0]


def test_compiled_programs_are_kept_for_the_next_command(tmp_path):
    """In the user's cache; off, elsewhere, or as JAX was told, if asked for."""
    code = """
import json, os, sys
from click.testing import CliRunner
import jax
from stackjax import cli
CliRunner().invoke(cli.main, ["certify", "no game"])
print(json.dumps([jax.config.jax_compilation_cache_dir]))
"""

    def folder(**environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("STACKJAX_CACHE", "JAX_COMPILATION_CACHE_DIR")}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)[0]

    assert folder(XDG_CACHE_HOME=str(tmp_path)).startswith(str(tmp_path / "stackjax"))
    assert folder(STACKJAX_CACHE="off") is None


def test_where_the_cache_is(tmp_path, monkeypatch):
    told = {}
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("STACKJAX_CACHE", str(tmp_path / "mine"))
    _cache.cached()
    assert told["jax_compilation_cache_dir"].startswith(str(tmp_path / "mine")) and (tmp_path / "mine").is_dir()
    told.clear()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STACKJAX_CACHE", str(tmp_path / "file"))  # not a folder: no cache, and no error
    _cache.cached()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    _cache.cached()
    assert told == {}
    assert "STACKJAX_CACHE" in run("--help").output
    assert np.all([c.isalnum() for c in _cache._processor()])
