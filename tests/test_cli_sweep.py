"""`stackjax sweep`: the same as a configuration file, written by its options; every stored study plays."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stackjax import cli, experiments
from stackjax.experiments import Over, read_study
from stackjax.experiments.over import Axis

ENGINE = sys.modules[experiments.run.__module__]

STUDIES = sorted((Path(__file__).parents[1] / "benchmarks" / "studies").glob("*.toml"))


def run(*arguments):
    return CliRunner(env={"COLUMNS": "120"}).invoke(cli.main, [str(a) for a in arguments])


def test_it_is_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = (
        "--over leader.step.scale=0.5:2:3 --over game.demand=90,100 --methods simultaneous --replicates 3 --rounds 40"
    )
    result = run("sweep", "duopoly", *shlex.split(options))
    assert result.exit_code == 0, result.output
    assert "6 settings, 3 replicates of 40 rounds" in result.output
    data = experiments.load("results/sweep_duopoly.nc")
    assert dict(data.sizes) == {
        "methods": 1,
        "leader.step.scale": 3,
        "game.demand": 2,
        "replicate": 3,
        "rounds": data.sizes["rounds"],
        "player": 2,
    }
    np.testing.assert_allclose(data["leader.step.scale"], [0.5, 1.0, 2.0])
    np.testing.assert_array_equal(data["game.demand"], [90, 100])
    # What it says of itself is that again, and its configuration is a file's.
    again = run(*shlex.split(data.attrs["command"])[1:], "--quiet")
    assert (again.exit_code, again.output) == (0, "")
    (tmp_path / "same.toml").write_text(data.attrs["study"])
    assert run("run", "same.toml", "--out", "results/sweep_duopoly.nc", "--quiet").exit_code == 0
    # With another figure and units it isn't played again, but said anew.
    monkeypatch.setattr(ENGINE, "play", None)
    more = '[figure]\nx = "game.demand"\n[units]\n"game.demand" = "EUR"\n'
    (tmp_path / "same.toml").write_text(data.attrs["study"] + more)
    assert run("run", "same.toml", "--out", "results/sweep_duopoly.nc", "--quiet").exit_code == 0
    anew = experiments.load("results/sweep_duopoly.nc")
    assert anew.attrs["figure"] == '{"x": "game.demand"}' and anew.attrs["study"].endswith(more)
    assert anew["game.demand"].attrs == {"units": "EUR"}
    np.testing.assert_array_equal(anew["strategy_0"], data["strategy_0"])


def test_texts_and_bandits(monkeypatch):
    """Texts are quoted; of a bandit gamma is swept, and pairs are tuned."""
    told = []
    monkeypatch.setattr(cli.sweep._how, "perform", lambda *given, **more: told.append(given))
    result = run(
        "sweep", "etc-failure", "--over", "gamma=0,0.1", "--over", "game.noise=gaussian, bernoulli", "--rounds", "1e3"
    )
    assert result.exit_code == 0, result.output
    play, command, _, out = told[0]
    study = play.__self__
    assert study.options["over"].at((1, 1)) == {"gamma": 0.1, "game.noise": "bernoulli"}
    assert cli.sweep._values("x, y z,true,[1, 2]") == '["x", "y z", true, [1, 2]]'
    assert list(study.methods) == ["etc/etc", "etucb/etc", "ucb/ucb"]
    assert str(out.path) == "results/sweep_etc-failure.nc" and "--rounds 1000" in " ".join(command)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("duopol", "--over", "a=1"), "'GAME': unknown game 'duopol'; did you mean 'duopoly'?"),
        (("duopoly",), "Missing option '--over'"),
        (("duopoly", "--over", "a"), "'--over': expected NAME=VALUES, got 'a'"),
        (("duopoly", "--over", "a="), "'--over': expected NAME=VALUES, got 'a='"),
        (("duopoly", "--over", "a=1", "--over", "a=2"), "'--over': 'a' is swept twice"),
        (("duopoly", "--over", "a=1,1"), "over: two settings have the same label: a = 1"),
        (("duopoly", "--over", "a=1:0:3"), "over.a: expected low < high"),
        (("duopoly", "--over", "leadr.step=1"), "over: unknown name 'leadr.step'; did you mean 'leader.step'?"),
        (
            ("duopoly", "--over", "game.demand=1", "--methods", "hic"),
            "methods: unknown method 'hic'; did you mean 'hi-c'?",
        ),
        (("duopoly", "--over", "game.demand=1", "--methods", ","), "methods: expected at least one"),
        (("ucb-trap2", "--over", "gamma=0"), "--rounds: expected the horizon, as the game is a bandit"),
        (("duopoly", "--over", "game.demand=1", "--out", "a.csv"), "'--out': expected a name in .nc, got a.csv"),
    ],
)
def test_errors_are_one_line_and_come_before_any_computation(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(ENGINE, "play", None)
    monkeypatch.chdir(tmp_path)
    result = run("sweep", *arguments)
    assert result.exit_code in (1, 2) and "Traceback" not in result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_stored_studies_are_sound(file):
    """What is checked before a study is played, with both ends of all that is swept; a figure is stored for it."""
    study = read_study(file)
    axes = [
        Axis(
            axis.dim,
            {k: [v[0], v[-1]] for k, v in axis.values.items()},
            {k: v[[0, -1]] for k, v in axis.labels.items()},
        )
        for axis in study.options["over"].axes
    ]
    study._replace(options=study.options | {"over": Over(axes)}).check()
    figure = file.parents[1] / "results" / f"study_{file.stem}.png"
    assert study.kind == "sweep" and 0 < figure.stat().st_size < 300_000


def test_there_are_studies():
    assert {"arms", "damping", "gamma", "hi_c", "look_ahead"} <= {file.stem for file in STUDIES}


@pytest.mark.slow
@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_stored_studies_dry_run(file, tmp_path):
    """With two replicates; as compilation takes long, among the slow tests."""
    text = file.read_text()
    study = read_study(file)
    (tmp_path / file.name).write_text(re.sub(r"^replicates = \d+$", "replicates = 2", text, flags=re.MULTILINE))
    result = run("run", tmp_path / file.name, "--dry-run")
    assert result.exit_code == 0, result.output
    settings = int(np.prod(study.options["over"].shape)) * len(study.methods)
    assert f": {settings}, each in 2 replicates of {study.options['rounds']} rounds" in result.output
