"""Bad input of sweeps, point by point: one message that names what is wrong, before anything is played.

Of Python and of the command line; what is wrong inside of a configuration file is in `test_study.py`.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import sweep_example
from click.testing import CliRunner

from stackjax import Record, cli, experiments, play
from stackjax.experiments import StudyError, grid, results
from stackjax.experiments.settings import materialise
from stackjax.experiments.study import parsed
from stackjax.games import CournotDuopoly, bandit_instances
from stackjax.learners import UCB, GradientAscent, PerArm
from stackjax.schedules import PowerLaw

ENGINE = sys.modules[experiments.run.__module__]

PAIR = (GradientAscent(0.05), GradientAscent(0.2))
BANDIT = bandit_instances.lower_bound("I", d=0.1)
ARMS = (UCB(1.0, 9), PerArm(UCB(1.0, 9)))
STUDY = """
rounds = 40
replicates = 3
keep = ["payoffs"]
[game]
name = "duopoly"
[methods]
here = "simultaneous"
[over]
game.demand = [90.0, 100.0]
"""


@pytest.fixture(autouse=True)
def unplayed(monkeypatch):
    """Whatever is played is a failure."""
    monkeypatch.setattr(ENGINE, "play", None)


def sweep(over=None, game=None, methods=PAIR, **options):
    game = CournotDuopoly() if game is None else game
    return experiments.sweep(game, methods, over, **({"rounds": 4, "replicates": 2, "devices": 1} | options))


def unnamed(step):
    return PAIR


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"over": {}}, ValueError, "over: expected at least one name with its values"),
        ({"over": {"leader.step": {}}}, ValueError, "over: 'leader.step': expected at least one value"),
        ({"over": {"leader.step": np.zeros(0)}}, ValueError, "over: 'leader.step': expected at least one value"),
        ({"over": {"leader.step": [1, "1"]}}, ValueError, "over: two settings have the same label: leader.step = 1"),
        ({"over": {"leader.step": {1: 0.1, "1": 0.2}}}, ValueError, "over: two settings have the same label"),
        ({"over": {"leader.step": [10**400]}}, ValueError, "over: 'leader.step': expected whole numbers that 64 bits"),
        ({"over": {"leader.step": [0.1, -np.inf]}}, ValueError, "over: 'leader.step': expected finite numbers"),
        ({"over": {"leader.step": (x for x in [1])}}, TypeError, "over: 'leader.step': expected a sequence of values"),
        (
            {"over": {"step": [lambda: 1]}, "methods": unnamed},
            TypeError,
            "over: 'step': expected a mapping label -> value for what has no name, got <function <lambda>",
        ),
        (
            {"over": {"leader.step": [0.1], "player 0.step": [0.2]}},
            ValueError,
            "over: 'leader.step' and 'player 0.step' are the same argument",
        ),
        (
            {"over": {"strategy_0": [1]}, "methods": lambda strategy_0: PAIR},
            ValueError,
            "over: the name 'strategy_0' is taken by a variable of the result",
        ),
        (
            {"over": {"distance_to_nash": [1]}, "methods": lambda distance_to_nash: PAIR},
            ValueError,
            "over: the name 'distance_to_nash' is taken by a variable of the result",
        ),
        ({"over": {"gamma": [0.1]}}, ValueError, "over: 'gamma': expected Stackelberg bandits"),
        (
            {"over": {"gamma": [0.1, -0.1]}, "game": BANDIT, "methods": ARMS},
            ValueError,
            "gamma: expected values in [0, inf), got -0.1",
        ),
        ({"gamma": "a"}, TypeError, "gamma: expected a number"),
        ({"keep": ["payofs"]}, ValueError, "keep: unknown variable 'payofs'; did you mean 'payoffs'?"),
        ({"keep": ["regret"]}, ValueError, "keep: unknown variable 'regret'"),
        ({"rounds": 2**31}, ValueError, "rounds: expected at most 2^31 - 1"),
        ({"methods": {1: PAIR, "1": PAIR}}, ValueError, "methods: expected at least one name, none of them empty or"),
        ({"methods": {"": PAIR}}, ValueError, "methods: expected at least one name, none of them empty or twice"),
        ({"methods": ARMS}, ValueError, "player 0: UCB is a learner of arms"),
        ({"common": "no"}, TypeError, "common: expected True or False, got 'no'"),
        ({"skip_phases": True}, ValueError, "skip_phases: expected a game of arms"),
        ({"budget": "1 GB"}, TypeError, "budget: expected a whole number, got '1 GB'"),
        ({"budget": float("nan")}, TypeError, "budget: expected a whole number"),
        ({"budget": -1}, ValueError, "budget: expected at least 1, got -1"),
        ({"devices": True}, ValueError, "devices: expected 1 to 8"),
        ({"title": 3}, TypeError, "title: expected a text, got 3"),
        ({"attributes": {"a": 1}}, TypeError, "attributes: expected a mapping name -> text"),
        ({"payoff_labels": 3}, ValueError, "payoff_labels: expected one label a player (2), got 3"),
        ({"out": 3}, ValueError, "out: expected a file name in .nc, got '3'"),
        ({"out": ""}, ValueError, "out: expected a file name in .nc, got ''"),
    ],
)
def test_of_python(options, kind, message):
    with pytest.raises(kind) as caught:
        sweep(**options)
    assert str(caught.value).startswith(message)


def test_a_part_of_what_is_swept_is_put_in_after_it():
    """A schedule and its exponent, whichever comes first."""
    over = grid({"leader.step.exponent": [0.5], "leader.step": {"a": PowerLaw(2.0, 1.0), "b": PowerLaw(3.0, 1.0)}})
    found = materialise({"": CournotDuopoly()}, {"": PAIR}, None, over, 10, {})
    steps = [setting.learners[0].step for setting in found]
    assert [(step.scale, step.exponent) for step in steps] == [(2.0, 0.5), (3.0, 0.5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files that stand in the way: a folder, a text, results of other kinds and versions, and damaged parts."""
    found = tmp_path_factory.mktemp("bad")
    (found / "folder.nc").mkdir()
    (found / "text.nc").write_text("mine")
    trace = play(CournotDuopoly(), *PAIR, key=jax.random.key(0), rounds=1, replicates=1, record=Record.final())
    data = trace.to_xarray()
    experiments.save(data, found / "trace.nc")
    experiments.save(data.assign_attrs(stackjax_version="9.0.0", form=results.FORM + 1), found / "later.nc")
    experiments.save(data.assign_attrs(stackjax_version="9.0.0", form="b"), found / "form.nc")
    manifests = {"torn": "{", "list": "[]", "empty": "", "form": '{"form": 99}', "bare": '{"form": 3}'}
    for name, text in manifests.items():
        (found / f"{name}.nc.parts").mkdir()
        (found / f"{name}.nc.parts" / "manifest.json").write_text(text)
    return found


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("folder.nc", "out: {folder}/folder.nc is a folder; choose another name"),
        ("text.nc", "out: {folder}/text.nc can't be read as a NetCDF file"),
        ("trace.nc", "out: {folder}/trace.nc holds a trace, not the result of a sweep; choose another name"),
        ("later.nc", "out: {folder}/later.nc was written by stackjax 9.0.0 in a form (2) that"),
        ("form.nc", "out: {folder}/form.nc was written by stackjax 9.0.0 in a form (b) that"),
        ("torn.nc", "out: {folder}/torn.nc.parts holds parts of another configuration"),
        ("list.nc", "out: {folder}/list.nc.parts holds parts of another configuration"),
        ("empty.nc", "out: {folder}/empty.nc.parts holds parts of another configuration"),
        ("form.parts/../form.nc", "out: {folder}/form.parts/../form.nc was written by"),
        ("bare.nc", "out: {folder}/bare.nc.parts holds parts of another configuration"),
        # No path below a file can be written, not by root either.
        ("text.nc/a.nc", "can't write in the folder {folder}/text.nc: it is a file"),
        ("text.nc/b/a.nc", "can't write in the folder {folder}/text.nc/b: Not a directory"),
        ("a" * 300 + ".nc", "can't write {folder}/aaa"),
    ],
)
def test_of_files(out, message, folder):
    """The same of Python and of the command line; what stands there is left alone."""
    (folder / "form.parts").mkdir(exist_ok=True)
    (folder / "study.toml").write_text(STUDY)
    before = sorted(folder.rglob("*"))
    with pytest.raises((OSError, ValueError)) as caught:
        sweep(out=folder / out)
    expected = message.format(folder=folder)
    assert str(caught.value).startswith(expected)
    result = CliRunner().invoke(cli.main, ["run", str(folder / "study.toml"), "--out", str(folder / out)])
    assert result.exit_code == 1 and "Error: " + expected in result.output and "Traceback" not in result.output
    assert sorted(folder.rglob("*")) == before


def changed(old, new):
    assert old in STUDY
    return STUDY.replace(old, new)


def refused(text, message):
    with pytest.raises(StudyError) as caught:
        parsed(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("game.demand = [90.0, 100.0]\n", "", "over: expected at least one name with its values"),
        ("rounds", "start = [[1.0, [2.0]], 1.0]\nrounds", "start[0]: expected a number or an array of"),
        ("rounds", "nash = [1.0, 'b']\nrounds", "nash[1]: expected a number or an array of numbers, got 'b'"),
        ('name = "duopoly"', "class = ['Noisy']", "game.class: unknown game"),
        ("here", "''", "methods: expected at least one, and no empty name"),
        ("[game]", "[record]\nkind = ['final']\n[game]", "record.kind: unknown kind"),
    ],
)
def test_of_configuration_files(old, new, message):
    refused(changed(old, new), message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{}", "over.game.demand: expected an array of values, or a table with low and high"),
        ("[90.0]\n'game.demand' = [1.0]", "over: 'game.demand' stands there twice, with and"),
        (f"[{10**30}]", "over: 'game.demand': expected whole numbers that 64 bits hold"),
        ("{low = 1, high = inf, log = 3}", "over.game.demand: expected low < high"),
        ("{low = 1, high = 2, log = 1e3}", "over.game.demand.log: expected how many values"),
        (f"{{low = 1, high = 2, log = {10**13}}}", "over.game.demand: expected low < high"),
        ("{low = 1, high = 2, sample = 2, seed = -1}", "over.game.demand.seed: expected 0"),
    ],
)
def test_of_swept_values(values, message):
    refused(changed("[90.0, 100.0]", values), message)


@pytest.mark.parametrize(
    ("leader", "message"),
    [
        ("{class = [1]}", "methods.here.leader.class: unknown"),
        ("{tuned = 1}", "methods.here.leader.tuned: expected"),
        ("{name = [1], tuned = true}", "methods.here.leader: unknown tuned leader '[1]'"),
    ],
)
def test_of_learners(leader, message):
    refused(changed('"simultaneous"', f"{{leader = {leader}, follower = {{}}}}"), message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x = 'demand'", "figure.x: unknown name 'demand'; did you mean 'game"),
        ("x = 3", "figure.x: expected a text, got 3"),
        ("log = 'x'", "figure.log: expected an array of texts, got 'x'"),
        ("log = ['z']", "figure.log: unknown name 'z'; known: x, y"),
        ("variable = 'regret'", "figure.variable: unknown name 'regret'; known"),
    ],
)
def test_of_figures(line, message):
    refused(changed("[game]", f"[figure]\n{line}\n[game]"), message)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (changed('["payoffs"]', '["payof"]'), ("--dry-run",), "keep: unknown variable 'payof'; did you mean"),
        (changed("rounds = 40", "rounds = 3_000_000_000"), (), "rounds: expected at most 2^31 - 1, got 3000000000"),
        (changed("rounds", "skip_phases = true\nrounds"), (), "skip_phases: expected a game of arms in which players"),
        (changed("game.demand", "gamma"), (), "over: 'gamma': expected Stackelberg bandits"),
        (changed("90.0", "-90.0"), (), "demand: expected values in (0, inf), got -90.0 (in the setting here, game."),
    ],
)
def test_of_commands(text, options, message, tmp_path):
    """One line, and nothing is left behind."""
    (tmp_path / "study.toml").write_text(text)
    out = tmp_path / "new" / "a.nc"
    result = CliRunner().invoke(cli.main, ["run", str(tmp_path / "study.toml"), "--out", str(out), *options])
    lines = result.output.splitlines()
    assert result.exit_code == 1 and len(lines) == 1 and lines[0].startswith(f"Error: {message}"), result.output
    assert [path.name for path in tmp_path.rglob("*")] == ["study.toml"]


def test_a_comparison_is_told_before_it_is_played(tmp_path):
    """Where its result can't go."""
    study = parsed('kind = "comparison"\n' + STUDY.partition("[over]")[0].replace('keep = ["payoffs"]\n', ""))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="can't write in the folder"):
        study.play(tmp_path / "file" / "a.nc")
    with pytest.raises(ValueError, match=r"^out: expected a file name in \.nc"):
        study.play(tmp_path / "a.csv")


def test_windows_files_are_read(tmp_path):
    """A byte order mark, and lines that end in two characters."""
    path: Path = tmp_path / "study.toml"
    path.write_bytes(b"\xef\xbb\xbf" + STUDY.replace("\n", "\r\n").encode())
    study = experiments.read_study(path)
    assert study.options["rounds"] == 40 and json.dumps(study.figure) == "{}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"attributes": {"title": "a"}},
            r"attributes: expected names .* doesn't have by itself, got \['title'\]",
        ),
        ({"attributes": {"seed": "a", "date": "b"}}, r"got \['date', 'seed'\]"),
        ({"attributes": {"a/b": "c"}}, "'a/b': expected a name without '/'"),
        ({"attributes": {"a": "c\0"}}, "'a': expected .* a text without NUL"),
        ({"title": "a\0b"}, "'title': expected .* a text without NUL"),
    ],
    ids=str,
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_played(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sweep_example.played(methods=("slow",), out=tmp_path / "a.nc", **options)
