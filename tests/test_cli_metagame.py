"""`stackjax metagame`: what it prints, what it writes, and its one-line errors."""

import sys

import numpy as np
import pytest

from stackjax import catalogue, cli, experiments, learners
from tests.experiments import synthetic_metagame as synthetic
from tests.test_cli import run


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder with a small meta-game of random bandits, and what was printed."""
    folder = tmp_path_factory.mktemp("metagame") / "new"
    options = ("--leaders", "etc,explore_then_commit", "--followers", "etc", "--instances", 3, "--arms", "2x3")
    options += ("--horizon", 20, "--replicates", 2, "--resamples", 30, "--seed", 4)
    result = run("metagame", "random_aligned", *options, "--alignment", 3, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_metagame_prints_a_table_and_writes_data_and_figure(played):
    folder, printed = played
    assert sorted(p.name for p in folder.iterdir()) == ["metagame.nc", "metagame.png"]
    assert (folder / "metagame.png").read_bytes().startswith(b"\x89PNG")
    data = experiments.load(folder / "metagame.nc")
    assert data.attrs["command"] == (
        "stackjax metagame random-aligned --leaders etc --followers etc --instances 3 --arms 2x3 --alignment 3.0 "
        "--horizon 20 --replicates 2 --resample instances --resamples 30 --seed 4"
    )
    assert data.attrs["title"] == "Random-aligned bandits (3 instances of 2 x 3 arms, L* = 3)"
    assert data["utility"].shape == (1, 1, 3, 2, 2) and data.attrs["resamples"] == 30
    mean, error = (float(data[name][0, 0, 0]) for name in ("mean", "standard_error"))
    assert f"{mean:.3f} ± {error:.3f}" in printed and "Pure Nash equilibria: etc/etc" in printed
    assert "note: horizon: ExploreThenCommit (follower) would explore in 100 % of 20 rounds" in printed
    assert str(folder / "metagame.nc") in printed.replace("\n", "")


def test_plot_draws_a_metagame_again(played, tmp_path):
    assert run("plot", played[0] / "metagame.nc", "--out", tmp_path / "a.svg").exit_code == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_metagame_of_a_named_bandit(tmp_path, monkeypatch):
    """What would be played."""
    calls = []

    def metagame(*given, **options):
        calls.append((given, options))
        return experiments.solutions(synthetic.noisy(*synthetic.SEXES, 0.1, replicates=3), resamples=2)

    monkeypatch.setattr(experiments, "metagame", metagame)
    options = ("--followers", "aae,best-response", "--horizon", "1e3", "--out", tmp_path)
    result = run("metagame", "lower-bound-j", *options, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["metagame.png"]
    ((leaders, followers, game), asked) = calls[0]
    assert list(leaders) == ["etc", "etucb", "ucb", "exp3"] and list(followers) == ["aae", "best-response"]
    assert isinstance(followers["aae"].learner, learners.ActiveArmElimination)
    assert float(game.follower_means[0, 1]) == pytest.approx(0.2)  # its gaps are those of the horizon
    assert (asked["replicates"], asked["resample"], asked["horizon"]) == (400, "replicates", 1000)
    assert asked["title"] == catalogue.INSTANCES["lower-bound-j"].title


def test_a_familys_gaps_are_those_of_the_horizon():
    title, game = cli.metagame._game("scaled-gaps", {"instances": 30, "arms": "2x3", "factor": 2.0}, 10_000, {}, 0)
    assert title == "Scaled-gaps bandits (30 instances of 2 x 3 arms, factor = 2)"
    scale = 2 * np.sqrt(6 * np.log(10_000) / 10_000)
    assert game.leader_means.shape == (30, 2, 3)
    assert float(np.abs(game.follower_means - 0.5).max()) == pytest.approx(scale, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unifrom",), "'INSTANCE': unknown instance 'unifrom'; did you mean 'uniform'?"),
        (("uniform", "--leaders", "ucb,ucb1"), "'--leaders': unknown leader 'ucb1'; did you mean 'ucb'?"),
        (("uniform", "--leaders", "best-response"), "'--leaders': unknown leader 'best-response'"),
        (("uniform", "--followers", "phased-ucb"), "'--followers': unknown follower 'phased-ucb'"),
        (("uniform", "--followers", ","), "'--followers': no follower given"),
        (
            ("uniform", "--arms", "3"),
            "'--arms': expected numbers of arms of the leader and the follower, as in 3x2, got '3'",
        ),
        (("uniform", "--arms", "0x3"), "'--arms': expected numbers of arms"),
        (("uniform", "--instances", 0), "'--instances': 0 is not in the range"),
        (("uniform", "--alignment", 2), "--alignment is for random-aligned; uniform has no such number to choose"),
        (("uniform", "--factor", 2), "--factor is for scaled-gaps; uniform has no such number to choose"),
        (("scaled-gaps", "--factor", 0), "'--factor': 0.0 is not in the range"),
        (("random-aligned", "--alignment", 0.5), "'--alignment': 0.5 is not in the range"),
        (("aligned", "--instances", 2), "--instances is for random families; aligned has no such number to choose"),
        (("aligned", "--arms", "2x2"), "--arms is for random families; aligned has no such number to choose"),
        (("aligned", "--resample", "instances"), "resample: expected at least two instances to resample, got 1"),
        (("aligned", "--replicates", 1), "resample: expected at least two replicates to resample, got 1"),
        (("aligned", "--replicates", "4e9"), "replicates: 16 pairs x 1 instances x 4000000000 replicates of"),
        (("aligned", "--horizon", 0), "'--horizon': 0 is not in the range"),
        (("lower-bound-j", "--horizon", "10", "--noise", "bernoulli"), "'--noise': follower_means: expected"),
        (("aligned", "--out", "{file}/below"), "'--out': can't write in the folder {file}/below"),
    ],
)
def test_errors_are_one_line_and_come_before_any_computation(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[experiments.run.__module__], "play", None)  # a call would be another error
    file = tmp_path / "file"
    file.write_text("text")
    result = run("metagame", *(str(a).format(file=file) for a in arguments))
    assert result.exit_code == 2 and "Traceback" not in result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message.format(file=file) in errors[0]
