"""The command line: what it prints, what it writes, and its one-line errors."""

import pytest
from click.testing import CliRunner

import stackjax
from stackjax import catalogue, cli, experiments


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
