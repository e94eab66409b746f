"""`stackjax compare GAME --oracle NAME`: what it prints, what it writes, and its one-line errors."""

import sys

import pytest

from stackjax import catalogue, experiments
from tests.test_cli import run

TRUTHS = {"optimum_optimistic": -1.1, "optimum_pessimistic": -1.1, "ceiling": -1.0697, "myopic": -2.0}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder with a short comparison, and what was printed."""
    folder = tmp_path_factory.mktemp("leading") / "new"
    options = ("--oracle", "contextual-exact", "--leader", "Policy_Gradient_Exact")
    sizes = ("--rounds", 40, "--replicates", 2, "--seed", 3)
    with pytest.MonkeyPatch.context() as patched:  # their search has tests of its own, and takes long
        patched.setattr(sys.modules[experiments.lead.__module__], "ground_truths", lambda game: dict(TRUTHS))
        result = run("compare", "prisoners-dilemma", *options, *sizes, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_it_prints_a_table_and_writes_data_and_figure(played):
    folder, printed = played
    assert sorted(p.name for p in folder.iterdir()) == ["leading.nc", "leading.png"]
    assert (folder / "leading.png").read_bytes().startswith(b"\x89PNG")
    data = experiments.load(folder / "leading.nc")
    assert data.attrs["command"] == (
        "stackjax compare prisoners-dilemma --oracle contextual-exact --leader policy-gradient-exact "
        "--rounds 40 --replicates 2 --seed 3"
    )
    assert data["methods"].values.tolist() == ["policy-gradient-exact/contextual-exact"]
    assert "best deterministic leader: -1.1; best against sampled answers: -1.07; myopic leader: -2" in printed
    assert data["environment_steps"].isnull().all() and " exact " in printed
    assert f"{data['value'].isel(methods=0, record=-1).median():.3f}" in printed
    assert str(folder / "leading.nc") in printed.replace("\n", "")


def test_plot_draws_it_again(played, tmp_path):
    assert run("plot", played[0] / "leading.nc", "--out", tmp_path / "a.svg").exit_code == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_list_names_oracles():
    printed = run("list").output
    for name in [*catalogue.ORACLES, *catalogue.MARKOV_LEADERS, "corridor"]:
        assert name in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("duopoly", "--oracle", "contextual"), "duopoly is no Markov game"),
        (("corridr", "--oracle", "contextual"), "did you mean 'corridor'?"),
        (("corridor",), "corridor is a Markov game; expected an --oracle"),
        (("chicken", "--hidden"), "--hidden: expected an --oracle"),
        (("chicken", "--leader", "hi-c"), "--leader: expected an --oracle"),
        (("chicken", "--oracle", "contextal"), "did you mean 'contextual'?"),
        (("chicken", "--oracle", "contextual", "--leader", "hic"), "did you mean 'hi-c'?"),
        (("chicken", "--oracle", "contextual", "--methods", "a"), "--methods: expected none with --oracle"),
        (("chicken", "--oracle", "q-learning", "--leader", "policy-gradient-exact"), "QLearning is random, so that"),
        (
            ("chicken", "--oracle", "q-learning", "--leader", "hi-c", "--hidden"),
            "--hidden: expected a --leader who follows a gradient",
        ),
        (("chicken", "--oracle", "contextual", "--replicates", "4e9"), "replicates: 1 methods x 4000000000 replicates"),
    ],
)
def test_errors_name_the_option(words, message, tmp_path):
    result = run("compare", *words, "--out", tmp_path / "new")
    assert result.exit_code == 2 and message in result.output.replace("\n", " ")
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())


def test_each_oracle_gets_a_leader_that_goes_with_it(tmp_path, monkeypatch):
    """What would be played."""
    asked = []

    def lead(game, methods, **options):
        asked.append((methods, options["rounds"], options["replicates"]))
        raise RuntimeError("played")

    monkeypatch.setattr(experiments, "lead", lead)
    options = ("--oracle", "contextual", "--oracle", "q-learning", "--rewarded", "--out", tmp_path)
    result = run("compare", "corridor", *options)
    assert str(result.exception) == "played"
    ((methods, rounds, replicates),) = asked
    names = ["policy-gradient/contextual", "policy-gradient/contextual, rewarded"]
    names += ["policy-gradient/q-learning", "policy-gradient/q-learning, rewarded"]
    assert list(methods) == list(rounds) == names and replicates == 16
    assert methods[names[1]].query_rewards.shape == (5, 2) and methods[names[0]].query_rewards is None
    assert methods[names[0]].follower is methods[names[1]].follower  # trained once


def test_pairs_that_do_not_go_together_are_left_out(tmp_path, monkeypatch):
    """The exact policy gradient doesn't go with the inner loop; with nobody else it would be refused."""
    asked = []

    def lead(game, methods, **options):
        asked.append(list(methods))
        raise RuntimeError("played")

    monkeypatch.setattr(experiments, "lead", lead)
    oracles = ("--oracle", "contextual-exact", "--oracle", "q-learning")
    leaders = ("--leader", "policy-gradient-exact", "--leader", "evolution-strategies")
    for quiet in (False, True):
        result = run("compare", "corridor", *oracles, *leaders, "--out", tmp_path, *["--quiet"] * quiet)
        assert str(result.exception) == "played"
        said = "" if quiet else "left out, as they don't go together: policy-gradient-exact/q-learning\n"
        assert result.stderr == said
    names = ["policy-gradient-exact/contextual-exact", "evolution-strategies/contextual-exact"]
    assert asked == [[*names, "evolution-strategies/q-learning"]] * 2
    result = run("compare", "corridor", *oracles, *leaders[:2], "--out", tmp_path)
    assert result.exit_code == 2 and "--oracle q-learning: " in result.output and len(asked) == 2
