"""The command line: what it prints, what it writes, and its one-line errors."""

import numpy as np
import pytest
from click.testing import CliRunner

import stackjax
from stackjax import catalogue, cli, experiments
from stackjax.learners import Fixed, GradientAscent


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
    line = next(row for row in printed.splitlines() if "best-response" in row)
    for value in (
        f"{float(found['distance_to_stackelberg'][1, 1]):.2g}",
        f"{float(found['payoffs'][1, 1, 0]):#.5g}",
        "40 grad 80 HVP 40 solve",
    ):
        assert value in line
    for word in ("Nash", "Stackelberg", "failed", "rounds", "seconds", "of 5", "leader", "follower"):
        assert word in printed
    assert str(folder / "comparison.nc") in printed.replace("\n", "")


def test_plot_draws_it_again(out, tmp_path):
    folder, _ = out
    result = run("plot", folder / "comparison.nc", "--out", tmp_path / "again.svg")
    assert result.exit_code == 0 and (tmp_path / "again.svg").read_text().startswith("<?xml")
    (folder / "comparison.png").unlink()
    assert run("plot", folder / "comparison.nc").exit_code == 0
    assert (folder / "comparison.png").exists()


def test_quiet_prints_nothing(tmp_path):
    options = ("--rounds", 3, "--replicates", 2, "--methods", "simultaneous", "--quiet", "--out", tmp_path)
    result = run("compare", "duopoly", *options)
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "comparison.nc").exists()


def test_list_says_what_each_learner_sees():
    printed = run("list").output
    for name, entry in catalogue.GAMES.items():
        assert name in printed and entry.summary in printed
        for method in entry.methods:
            assert f"{method}*" in printed if method in entry.default else method in printed
    rows = {line.split()[0]: line for line in printed.splitlines() if line.split()}
    assert set(catalogue.LEARNERS) <= set(rows)
    assert "own payoff" in rows["hi-c"] and rows["hi-c"].rstrip().endswith("uncoupled")
    assert "own gradient" in rows["gradient-ascent"]
    assert "the whole game" in rows["hierarchical-ascent"]
    assert rows["hierarchical-ascent"].split()[-1] == "coupled"
    assert rows["best-response"].rstrip().endswith("oracle")


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
        (("compare", "duopoly", "--seed", -1), "'--seed': -1 is not in the range"),
        (("compare", "duopoly", "--out", "{file}/below"), "can't write in the folder {file}/below"),
        (("plot", "{tmp}/nothing.nc"), "there is no file {tmp}/nothing.nc"),
        (("plot", "{file}"), "{file} can't be read as a NetCDF file"),
        (("plot", "{file}", "--out", "a.txt"), "expected a name in .png, .pdf or .svg, got a.txt"),
    ],
)
def test_errors_are_one_line_and_come_before_any_computation(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "compare", None)  # a call would be a TypeError, with exit code 1
    file = tmp_path / "file"
    file.write_text("text")
    places = {"tmp": tmp_path, "file": file}
    result = run(*(str(a).format(**places) for a in arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message.format(**places) in errors[0]


def test_failed_replicates_stand_in_the_table():
    data = experiments.compare(
        catalogue.GAMES["duopoly"].make(),
        {"a": (Fixed(1.0), Fixed(2.0)), "b": (GradientAscent(0.1), GradientAscent(0.1))},
        rounds=2,
        replicates=4,
    )
    status = np.array([[0, 0, 2, 0], [1, 1, 1, 1]], np.int8)
    console = cli._console()
    with console.capture() as captured:
        console.print(cli._comparison_table(data.assign(status=data["status"].copy(data=status))))
    lines = captured.get().splitlines()
    a = next(i for i, line in enumerate(lines) if line.strip().startswith("a "))
    b = next(i for i, line in enumerate(lines) if line.strip().startswith("b "))
    assert "all failed" not in lines[a] and "left space" in "".join(lines[a:b])
    assert lines[b].count("all failed") == 3 and "non finite" in "".join(lines[b:])
    assert "nan" not in captured.get()


def test_counts_are_short():
    assert [cli._short(n) for n in (0, 812, 1000, 3228, 100_000, 1_500_000, 2e9)] == [
        "0",
        "812",
        "1k",
        "3228",
        "100k",
        "1.5M",
        "2G",
    ]
