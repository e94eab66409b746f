"""The command line: what it prints, what it writes, and its one-line errors."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import stackjax
from stackjax import catalogue, cli, equilibria, experiments, learners, plots


def run(*arguments):
    return CliRunner(env={"COLUMNS": "120"}).invoke(cli.main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with the result of a small comparison, and what was printed."""
    folder = tmp_path_factory.mktemp("out") / "new"
    options = ("--rounds", 40, "--replicates", 5, "--seed", 2, "--methods", "simultaneous,best-response")
    result = run("compare", "duopoly", *options, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_compare_prints_a_table_and_writes_data_and_figure(out):
    folder, printed = out
    assert sorted(p.name for p in folder.iterdir()) == ["comparison.nc", "comparison.png"]
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    data = experiments.load(folder / "comparison.nc")
    assert data.attrs["command"] == (
        "stackjax compare duopoly --replicates 5 --rounds 40 --seed 2 --methods simultaneous,best-response"
    )
    found = experiments.summary(data)
    line = printed.splitlines()[next(i for i, x in enumerate(printed.splitlines()) if "best-response" in x) + 1]
    low, middle, high = (f"{p:#.5g}" for p in found["payoffs"].sel(methods="best-response", player="leader").values)
    assert line.split()[0] == "leader" and f"{middle} ({low}–{high})" in line
    assert "5 replicates of 40 rounds" in printed
    assert str(folder / "comparison.nc") in printed.replace("\n", "")


def test_plot_draws_it_again(out, tmp_path):
    folder, _ = out
    result = run("plot", folder / "comparison.nc", "--out", tmp_path / "again.svg")
    assert result.exit_code == 0 and (tmp_path / "again.svg").read_text().startswith("<?xml")
    (folder / "comparison.png").unlink()
    assert run("plot", folder / "comparison.nc").exit_code == 0
    assert (folder / "comparison.png").exists()


def test_quiet_prints_nothing(tmp_path):
    options = ("--rounds", "0.3e1", "--replicates", "2", "--methods", "simultaneous", "--quiet", "--out", tmp_path)
    result = run("compare", "duopoly", *options)
    assert (result.exit_code, result.output) == (0, "")
    sizes = experiments.load(tmp_path / "comparison.nc").sizes
    assert (sizes["replicate"], sizes["rounds"]) == (2, 3)


def test_list_says_what_each_learner_sees():
    printed = run("list").output
    for name, entry in catalogue.GAMES.items():
        assert name in printed and entry.summary in printed
        summaries = [method.summary for method in entry.methods.values()]
        assert len(set(summaries)) == len(summaries)  # they tell methods apart
        for method in entry.methods:
            assert entry.methods[method].summary in printed
            assert f"{method}*" in printed if method in entry.default else method in printed
    rows = {line.split()[0]: line for line in printed.splitlines() if line.split()}
    assert set(catalogue.LEARNERS) <= set(rows)
    assert "own payoff" in rows["hi-c"] and rows["hi-c"].rstrip().endswith("uncoupled")
    assert "own gradient" in rows["gradient-ascent"]
    assert "the whole game" in rows["hierarchical-ascent"]
    assert rows["hierarchical-ascent"].split()[-1] == "coupled"
    assert rows["best-response"].rstrip().endswith("oracle")


@pytest.fixture
def portraits(monkeypatch):
    """The calls of `plot_portrait`, which draws nothing."""
    calls = []

    def draw(*arguments, **options):
        calls.append((arguments, options))
        return Figure()

    monkeypatch.setattr(plots, "plot_portrait", draw)
    return calls


def test_certify_prints_a_table_and_a_certificate_of_each_equilibrium(tmp_path, portraits):
    files = {"--portrait": tmp_path / "new" / "torus.png", "--json": tmp_path / "torus.json"}
    options = [x for pair in files.items() for x in pair]
    result = run("certify", "torus", "--starts", 96, "--timescale", 2, *options)
    assert result.exit_code == 0, result.output
    table, *certificates = result.output.split("\n\n")
    assert "8 critical points, 2 Nash and 2 Stackelberg equilibria" in table
    heads = [text.splitlines()[:2] for text in certificates[:4]]
    assert [head.split()[0] for head, _ in heads] == ["TorusLocation"] * 4  # without its noise
    verdicts = sorted(verdict.strip() for _, verdict in heads)
    nash, stackelberg = "a differential Nash equilibrium", "a differential Stackelberg equilibrium"
    assert verdicts == [f"{nash}, not a Stackelberg equilibrium"] * 2 + [f"{stackelberg}, not a Nash equilibrium"] * 2
    assert certificates[4].split() == ["certificates", str(files["--json"]), "portrait", str(files["--portrait"])]

    data = json.loads(files["--json"].read_text())
    assert sorted(point["kind"] for point in data["points"]) == ["Nash"] * 2 + ["Stackelberg"] * 2 + ["neither"] * 4
    assert {point["timescale"] for point in data["points"]} == {2.0} and data["seed"] == 0
    best = next(point for point in data["points"] if point["kind"] == "Stackelberg")
    assert best["payoffs"] == pytest.approx([0.807016, 1.05384], rel=1e-5)
    assert np.shape(best["hierarchical"]["eigenvalues"]) == (2, 2)  # real and imaginary parts

    assert files["--portrait"].read_bytes().startswith(b"\x89PNG")
    (((game, pairs), options),) = portraits
    assert type(game).__name__ == "TorusLocation" and options["limits"] is None
    assert len(options["equilibria"].critical) == 8
    (leader, follower), (knowing, same) = pairs["simultaneous"], pairs["hierarchical"]
    assert isinstance(knowing, learners.HierarchicalAscent) and same is follower
    assert float(follower.step(0)) == pytest.approx(2 * float(leader.step(0))) == 2 * float(knowing.step(0))


@pytest.mark.parametrize("at", ["46,26", " 46 ; 26 "])
def test_certify_a_point(at, tmp_path, portraits):
    result = run("certify", "duopoly", "--at", at, "--portrait", tmp_path / "a.svg")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("CournotDuopoly at (46, 26):\n  a differential Stackelberg equilibrium, not a Nash")
    certificate, nash, stackelberg = portraits[0][1]["equilibria"]
    assert certificate.is_stackelberg and (nash[1], stackelberg[1]) == ("Nash", "Stackelberg")


def test_numbers_fill_the_actions_in_order_of_play():
    made = cli._joint_action(catalogue.GAMES["quadratic"].make(), "1,2,3;4,5,6,7")
    assert [action.tolist() for action in made] == [[1, 2, 3], [4, 5, 6, 7]]
    made = cli._joint_action(catalogue.GAMES["torus"].make(), "-1e-1,2")
    assert [action.shape for action in made] == [(), ()] and [float(a) for a in made] == [-0.1, 2.0]


def test_whole_numbers_may_be_powers_of_ten():
    assert [cli._Whole(1, 2**32 - 1)(x) for x in ("1e5", "100000", str(2**32 - 1))] == [10**5, 10**5, 2**32 - 1]


def test_help_and_version():
    assert run("--version").output == f"stackjax {stackjax.__version__}\n"
    printed = run("--help").output
    assert all(f"\n  {name} " in printed for name in cli.main.commands)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "duoply"), "unknown game 'duoply'; did you mean 'duopoly'?"),
        (("compare", "zzz"), "unknown game 'zzz'; known: duopoly"),
        (
            ("compare", "duopoly", "--methods", "hi-c,hic-pairs"),
            "unknown method 'hic-pairs'; did you mean 'hi-c-pairs'?",
        ),
        (("compare", "duopoly", "--methods", ","), "no method given"),
        (("compare", "duopoly", "--rounds", 0), "'--rounds': 0 is not in the range"),
        (("compare", "duopoly", "--rounds", 2**31), "'--rounds': 2147483648 is not in the range"),
        (("compare", "duopoly", "--replicates", -1), "'--replicates': -1 is not in the range"),
        (("compare", "duopoly", "--rounds", "1.5"), "'--rounds': '1.5' is not a valid whole number"),
        (("compare", "duopoly", "--rounds", "1e99"), "'--rounds': '1e99' is not a valid whole number"),
        (("compare", "duopoly", "--replicates", "nan"), "'--replicates': 'nan' is not a valid whole number"),
        (("compare", "duopoly", "--replicates", "4e9"), "replicates: 3 methods x 4000000000 replicates x 150 records"),
        (("compare", "duopoly", "--seed", -1), "'--seed': -1 is not in the range"),
        (("compare", "duopoly", "--out", "{file}/below"), "can't write in the folder {file}/below"),
        (("certify", "toris"), "unknown game 'toris'; did you mean 'torus'?"),
        (("certify", "duopoly", "--at", "1"), "'--at': expected 2 finite numbers (1 for player 0; 1 for player 1)"),
        (("certify", "duopoly", "--at", "1,nan"), "'--at': expected 2 finite numbers"),
        (("certify", "duopoly", "--at", "1,x"), "'--at': expected numbers (1 for player 0; 1 for player 1), got '1,x'"),
        (("certify", "quadratic", "--at", "1,2;3,4,5,6,7"), "expected 7 finite numbers (3 for player 0; 4 for play"),
        (("certify", "duopoly", "--timescale", 0), "'--timescale': 0.0 is not in the range"),
        (("certify", "duopoly", "--starts", 0), "'--starts': 0 is not in the range"),
        (("certify", "quadratic", "--portrait", "{tmp}/a.png"), "'--portrait': game: a phase portrait has one-dimensi"),
        (("certify", "duopoly", "--portrait", "a.txt"), "'--portrait': expected a name in .png, .pdf or .svg, got a.t"),
        (("certify", "duopoly", "--json", "{file}/below/a"), "'--json': can't write in the folder {file}/below"),
        (("plot", "{tmp}/nothing.nc"), "there is no file {tmp}/nothing.nc"),
        (("plot", "{file}"), "{file} can't be read as a NetCDF file"),
        (("plot", "{file}", "--out", "a.txt"), "expected a name in .png, .pdf or .svg, got a.txt"),
    ],
)
def test_errors_are_one_line_and_come_before_any_computation(arguments, message, tmp_path, monkeypatch):
    for room, name in ((experiments, "compare"), (equilibria, "find"), (equilibria, "certify")):
        monkeypatch.setattr(room, name, None)  # a call would be a TypeError, with exit code 1
    file = tmp_path / "file"
    file.write_text("text")
    places = {"tmp": tmp_path, "file": file}
    result = run(*(str(a).format(**places) for a in arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message.format(**places) in errors[0]
