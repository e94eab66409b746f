"""The command line on games and learners of one's own, with other values, by names; what it says as JSON."""

import importlib.metadata
import json
import os
import subprocess
import sys

import click
import numpy as np
import pytest
from click.shell_completion import ShellComplete

from stackjax import catalogue, cli, experiments, learners
from stackjax.catalogue import plugins
from stackjax.experiments import StudyError
from stackjax.experiments.study import parsed
from tests.test_cli import ENGINE, run

MINE = '''
"""Games and learners of one's own."""
import equinox as eqx
from stackjax import Game, catalogue, spaces
from stackjax.games import StackelbergBandit
from stackjax.learners import EpsilonGreedy, GradientAscent


class Tug(Game):
    """Two players pull at a rope."""

    weight: float = 1.0
    spaces = (spaces.Box(-1.0, 1.0), spaces.Box(-1.0, 1.0))
    levels = ((0,), (1,))

    def payoffs(self, x, y):
        return -((x - 0.5) ** 2) - self.weight * x * y, -((y - x) ** 2)

    def nash(self):
        return (0.5 / (1 + self.weight / 2),) * 2


class Longer(Tug):
    length: float = eqx.field(kw_only=True)


class Climber(GradientAscent):
    """A learner of one's own."""


class Greedy(EpsilonGreedy):
    """A bandit learner of one's own."""


def bandit(gap=0.2):
    return StackelbergBandit([[0.5, 0.5 + gap], [0.1, 0.2]], [[0.5, 0.5 + gap], [0.1, 0.2]])


rope = Tug(3.0)
number = 3
pair = {"both": catalogue.Method(lambda: (Climber(0.1), Climber(0.1)), "both climb")}
ENTRY = catalogue.GameEntry(lambda: Tug(2.0), "A rope", "it is pulled at", pair, ("both",), ("x", "y"), ("u", "v"))
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The current folder, with a module `mine`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    sys.modules.pop("mine", None)


# Values that are set.

SMALL = ("--rounds", 20, "--replicates", 2, "--methods", "simultaneous")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A comparison in a duopoly of another demand, with another step, and what was printed."""
    out = tmp_path_factory.mktemp("changed") / "a.nc"
    words = ("compare", "duopoly", *SMALL, "--set", "game.demand=80", "--set", "leader.step = 0.1", "--out", out)
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return words, out, result


def test_values_are_set_and_known_equilibria_are_those_of_the_changed_game(changed):
    _, out, _ = changed
    data = experiments.load(out)
    assert (float(data["nash_0"]), float(data["stackelberg_0"])) == (24.0, 36.0)
    configuration = json.loads(data.attrs["configuration"])
    assert configuration["game"]["game"]["demand"] == 80
    leader, follower = configuration["methods"]["simultaneous"]
    assert leader["step"] == {"class": "Constant", "value": 0.1} and follower["step"]["class"] == "PowerLaw"
    assert data.attrs["command"].endswith(f"--set game.demand=80 --set 'leader.step = 0.1' --out {out}")


def test_only_json_is_printed_on_the_standard_output(changed):
    _, out, result = changed
    said = json.loads(result.stdout)
    assert (said["result"], said["data"]) == ("comparison", str(out)) and said["figure"].endswith("a.png")
    rows = next(table["rows"] for table in said["tables"] if table["by"] == ["methods", "player"])
    found = experiments.summary(experiments.load(out))["distance_to_nash"]
    for row in rows:
        low, middle, high = found.sel(methods=row["methods"], player=row["player"]).values
        assert (row["distance_to_nash_low"], row["distance_to_nash"], row["distance_to_nash_high"]) == (
            low,
            middle,
            high,
        )
    assert said["configuration"]["game"]["game"]["demand"] == 80


def test_a_result_belongs_to_its_values(changed, monkeypatch):
    words, _, _ = changed
    monkeypatch.setattr(ENGINE, "play", None)
    again = run(*words, "--quiet")
    assert (again.exit_code, again.output) == (0, "")
    result = run(*("game.demand=81" if word == "game.demand=80" else word for word in words))
    assert result.exit_code == 2 and "is a result of another configuration" in result.output
    assert "game.game.demand: 80.0 there, 81.0 now" in " ".join(result.output.split())


def test_each_method_takes_what_it_has_a_place_for(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(experiments, "compare", lambda game, methods, **options: asked.update(methods) or 1 / 0)
    run("compare", "duopoly", "--set", "leader.baseline=0.5", "--set", "follower.step=PowerLaw(scale=2,exponent=1)")
    assert float(asked["hi-c"][0].baseline) == 0.5 and not hasattr(asked["simultaneous"][0], "baseline")
    assert [float(players[1].step(1)) for players in asked.values()] == [1.0] * 3


def test_a_sweep_holds_them_in_its_configuration(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(cli.sweep._how, "perform", lambda *given, **more: told.append(given))
    sets = ("--set", "game.costs=[4, 1]", "--set", "follower.step=PowerLaw(scale=0.5,exponent=1)")
    result = run("sweep", "duopoly", "--over", "game.demand=80,90", *sets, "--methods", "simultaneous")
    assert result.exit_code == 0, result.output
    study = told[0][0].__self__
    assert study.game.game.costs == (4.0, 1.0) and float(study.methods["simultaneous"][1].step(0)) == 0.5
    assert '"game.costs" = [4, 1]' in study.text and "--set" in told[0][1]


def test_regret_and_metagame_take_them_too(monkeypatch, tmp_path, mine):
    asked = {}

    def regret(games, pairs, **options):
        asked.update(game=games(40), learners={name: make(40) for name, make in pairs.items()})
        raise OSError

    def metagame(leaders, followers, game, **options):
        asked.update(game=game, leaders=leaders, followers=followers)
        raise OSError

    monkeypatch.setattr(experiments, "regret", regret)
    monkeypatch.setattr(experiments, "metagame", metagame)
    pairs = ("--pair", "epsilon-greedy(epsilon=0.2)/mine:Greedy(epsilon=0.1)", "--pair", "ucb/etc")
    run(
        "regret", "mine:bandit(gap=0.1)", *pairs, "--horizons", 40, "--set", "game.sigma=0.5", "--set", "leader.width=3"
    )
    (greedy, own), (ucb, _) = asked["learners"].values()
    assert float(asked["game"].sigma) == 0.5 and float(asked["game"].leader_means[0, 1]) == pytest.approx(0.6)
    assert [float(x) for x in (greedy.epsilon(0), own.learner.epsilon(0), ucb.width)] == pytest.approx([0.2, 0.1, 3])
    assert isinstance(own, learners.PerArm) and type(own.learner).__name__ == "Greedy"
    run("metagame", "uniform", "--leaders", "ucb,mine:Greedy(epsilon=0.1)", "--set", "game.sigma=2")
    assert float(asked["game"].sigma) == 2.0 and list(asked["leaders"]) == ["ucb", "mine:Greedy(epsilon=0.1)"]


def test_leaders_of_markov_games_take_them_too(monkeypatch, mine):
    asked = {}
    monkeypatch.setattr(experiments, "lead", lambda game, methods, **options: asked.update(methods, game=game) or 1 / 0)
    leaders = ("--leader", "mine:Climber(step=0.5)", "--leader", "policy-gradient-exact")
    run("compare", "corridor", "--oracle", "contextual-exact", *leaders, "--set", "game.horizon=6")
    assert asked["game"].horizon == 6
    method = asked["mine:Climber(step=0.5)/contextual-exact"]
    assert type(method.leader).__name__ == "Climber" and float(method.leader.step(0)) == 0.5
    text = 'kind = "leading"\nmethods = ["mine:Climber(step=0.5)/contextual-exact"]\n[game]\nname = "corridor"'
    (method,) = parsed(text).methods.values()
    assert type(method.leader).__name__ == "Climber"


# Games and learners of one's own.


def test_a_game_and_a_learner_of_ones_own(mine, monkeypatch):
    words = ("compare", "mine:Tug", "--methods", "gradient-ascent(step=0.1)/mine:Climber(step=0.2)", *SMALL[:4])
    words += ("--set", "game.weight=2.0", "--out", "a.nc", "--quiet")
    result = run(*words)
    assert (result.exit_code, result.output) == (0, "")
    data = experiments.load("a.nc")
    assert data.attrs["title"] == "Tug" and float(data["nash_0"]) == 0.25
    # It belongs to the code of the class.
    monkeypatch.setattr(ENGINE, "play", None)
    assert run(*words).exit_code == 0
    (mine / "mine.py").write_text(MINE.replace("-((y - x) ** 2)", "-((y - x) ** 4)"))
    del sys.modules["mine"]
    result = run(*words)
    assert result.exit_code == 2 and "is a result of another configuration" in result.output
    assert "Tug.payoffs" in result.output


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("mine:Tug", "Tug"),
        ("mine:Longer(length=2)", "Longer"),
        ("mine:rope", "Tug"),
        ("mine:ENTRY", "A rope"),
        ("Quadratic.random(seed=1, dims=[1, 2])", "Quadratic"),
    ],
)
def test_what_may_stand_for_a_game(name, title, mine):
    result = run("show", name, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["title"] == title


def test_studies_have_them(mine):
    text = """
rounds = 10
methods = ["gradient-ascent(step=0.1)/mine:Climber(step=0.2)"]
[game]
name = "mine:Longer"
length = 2.0
[set]
game.weight = 4.0
leader.step = { class = "PowerLaw", scale = 1.0, exponent = 1.0 }
[over]
follower.step = [0.1, 0.2]
"""
    study = parsed(text)
    assert (study.game.weight, study.game.length) == (4.0, 2.0)
    assert float(next(iter(study.methods.values()))[0].step(1)) == 0.5
    study.check()
    entry = parsed('rounds = 10\nmethods = ["both"]\n[game]\nname = "mine:ENTRY"\n[over]\ngame.weight = [1.0, 2.0]')
    assert entry.options["title"] == "A rope" and type(entry.methods["both"][0]).__name__ == "Climber"


def test_other_packages_register_theirs(mine, monkeypatch):
    points = {
        "stackjax.games": [importlib.metadata.EntryPoint("rope", "mine:Tug", "stackjax.games")],
        "stackjax.learners": [importlib.metadata.EntryPoint("climber", "mine:Climber", "stackjax.learners")],
    }
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points[group])
    plugins.registered.cache_clear()
    try:
        assert json.loads(run("show", "rope", "--json").stdout)["class"] == "Tug"
        assert json.loads(run("list", "games", "--json").stdout)["registered"] == {"rope": "mine:Tug"}
        result = run("compare", "rope", "--methods", "climber(step=0.1)/climber(step=0.1)", "--dry-run", "--json")
        assert json.loads(result.stdout)["replicates"] == 1000
    finally:
        monkeypatch.undo()
        plugins.registered.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("compare", "duopoly", "--set", "game.foo=1"),
            "'--set': unknown name 'game.foo'; known: game.payoff_variance, ",
        ),
        (("compare", "duopoly", "--set", "game.dmand=1"), "unknown name 'game.dmand'; did you mean 'game.demand'?"),
        (
            ("compare", "duopoly", "--set", "game.demand=-1"),
            "'--set': game.demand: expected values in (0, inf), got -1",
        ),
        (("compare", "duopoly", "--set", "leader.baselin=1"), "'leader.baselin'; did you mean 'leader.baseline'?"),
        (
            ("compare", "duopoly", "--methods", "simultaneous", "--set", "leader.step=-1"),
            "step: expected a positive step (in the method 'simultaneous')",
        ),
        (("compare", "duopoly", "--set", "boss.step=1"), "'--set': unknown name 'boss.step'; "),
        (("compare", "duopoly", "--set", "game.demand"), "'--set': expected NAME=VALUE, got 'game.demand'"),
        (("compare", "duopoly", "--set", "game.slope=1", "--set", "game.slope=2"), "'game.slope' is set twice"),
        (("compare", "duopoly", "--set", "leader.step=Powerlaw(scale=1)"), "unknown schedule 'Powerlaw'; did you mean"),
        (("compare", "duopoly", "--demand", "80"), "'--demand'; to set that of the game: --set game.demand=80"),
        (("certify", "duopoly", "--demand=80"), "'--demand'; to set that of the game: --set game.demand=80"),
        (("compare", "duopoly", "--step", "80"), "'--step'; to set that of the leader: --set leader.step=80"),
        (
            ("certify", "duopoly", "--set", "leader.step=1"),
            "expected game.ARGUMENT, as nobody learns, got 'leader.step'",
        ),
        (("certify", "duopoly", "--set", "game.demnd=1"), "did you mean 'game.demand'?"),
        (("show", "duopoly", "--set", "game.demnd=1"), "did you mean 'game.demand'?"),
        (("show", "duopol"), "'GAME': unknown game 'duopol'; did you mean 'duopoly'?"),
        (
            ("regret", "aligned", "--set", "game.sigm=1"),
            "'--set': unknown name 'game.sigm'; did you mean 'game.sigma'?",
        ),
        (
            ("metagame", "aligned", "--set", "game.sigm=1"),
            "'--set': unknown name 'game.sigm'; did you mean 'game.sigma'",
        ),
        (
            ("sweep", "duopoly", "--over", "game.slope=1", "--set", "game.dmand=1"),
            "set: unknown name 'game.dmand'; did",
        ),
        (("show", "mine:Tig"), "'GAME': mine:Tig: in mine: unknown name 'Tig'; did you mean 'Tug'?"),
        (("show", "mien:Tug"), "'GAME': mien:Tug: there is no module 'mien', here or installed"),
        (("show", "broken:Tug"), "broken:Tug: broken can't be imported: ZeroDivisionError: division by zero"),
        (("show", "lacking:Tug"), "lacking:Tug: lacking can't be imported: No module named 'nothing_here'"),
        (("show", "mine:number"), "mine:number: expected a game's class, a function that returns one, or one itself"),
        (("show", "mine:Climber"), "mine:Climber: expected a game's class"),
        (("show", "mine:Longer"), "mine:Longer: the argument 'length' is missing"),
        (("show", "mine:Tug(wight=1)"), "mine:Tug: unknown argument 'wight'; did you mean 'weight'?"),
        (("show", "mine:Tug(1)"), "expected ARGUMENT=VALUE, each once, in 'mine:Tug(1)', got '1'"),
        (
            ("compare", "mine:Tug"),
            "'--methods': no method given; the game has none of its own; expected one such as grad",
        ),
        (
            ("compare", "mine:Tug", "--methods", "mine:Tug/fixed(action=0)"),
            "methods, mine:Tug: expected a learner's class",
        ),
        (
            ("compare", "mine:Tug", "--methods", "fixed(action=0)/fixd(action=0)"),
            "unknown learner 'fixd'; did you mean",
        ),
        (
            ("compare", "mine:Tug", "--methods", "fixed(action=0)/fixed"),
            "methods, fixed: the argument 'action' is missing",
        ),
        (
            ("compare", "duopoly", "--methods", "hi-c/fixed/fixed"),
            "expected one learner a player, such as 'gradient-asc",
        ),
        (("regret", "mine:Tug"), "'INSTANCE': mine:Tug: expected a StackelbergBandit, got a Tug"),
        (
            ("regret", "aligned", "--pair", "mine:Gredy/ucb"),
            "'--pair': mine:Gredy: in mine: unknown name 'Gredy'",
        ),
        (
            ("regret", "aligned", "--pair", "mine:Greedy/ucb", "--horizons", "9"),
            "mine:Greedy: the argument 'epsilon' is",
        ),
        (("metagame", "aligned", "--leaders", "mine:Greedy"), "'--leaders': mine:Greedy: the argument 'epsilon' is"),
        (
            ("compare", "corridor", "--oracle", "contextual", "--leader", "mine:Clmber(step=1)"),
            "mine:Clmber(step=1): in mine",
        ),
        (
            ("compare", "corridor", "--oracle", "contextual", "--set", "leader.step=1"),
            "expected game.ARGUMENT with --oracle",
        ),
        (("run", "hicc"), "'FILE': there is no file hicc; unknown study 'hicc'; did you mean 'hi-c'?"),
    ],
)
def test_errors_are_one_line_and_come_before_any_computation(arguments, message, mine, monkeypatch):
    monkeypatch.setattr(ENGINE, "play", None)
    (mine / "broken.py").write_text("1 / 0")
    (mine / "lacking.py").write_text("import nothing_here")
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message in errors[0], result.output
    assert "Traceback" not in result.output


BASE = 'rounds = 10\nmethods = ["simultaneous"]\n[game]\nname = "duopoly"\n[over]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # The line that is wrong is blamed, not the figure that needs it.
        (
            BASE + 'leader.stepp = [1.0]\n[figure]\nx = "leader.step"',
            "over: unknown name 'leader.stepp'; did you mean 'leader.step'?",
        ),
        (BASE + 'leadr.step = [1.0]\n[figure]\nx = "leader.step"', "over: unknown name 'leadr.step'; did you mean"),
        (BASE + "game.demnd = [1.0]", "over: unknown name 'game.demnd'; did you mean 'game.demand'?"),
        (
            BASE + "game.demand = [90.0]\n[set]\ngame.slop = 1.0",
            "set: unknown name 'game.slop'; did you mean 'game.slope'?",
        ),
        (BASE + "game.demand = [90.0]\n[set]\ngame.slope = -1.0", "set: game.slope: expected values in (0, inf)"),
        (BASE + "game.slope = [1.0]\n[set]\ngame.slope = 2.0", "set: 'game.slope' is swept, too; expected one of both"),
        (
            BASE.replace('"simultaneous"', '"SignSPSAA(step=1)/ucb"') + "a = [1]",
            "methods, SignSPSAA(step=1): unknown learner 'SignSPSAA'",
        ),
    ],
)
def test_studies_blame_the_line_that_is_wrong(text, message):
    with pytest.raises(StudyError) as caught:
        parsed(text)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 140  # not all the names that there are


# What there is.


def test_show_says_what_a_game_is():
    result = run("show", "duopoly", "--set", "game.demand=80", "--json")
    said = json.loads(result.stdout)
    assert said["parameters"]["game.demand"] == {"value": 80, "default": 100.0}
    assert said["players"]["follower"] == {"level": 1, "space": {"class": "Box", "low": 0.0, "high": 80.0, "shape": []}}
    assert said["equilibria"] == {"nash": [[24.0, 27.0]], "stackelberg": [[36.0, 21.0]]}
    assert list(said["methods"]) == list(catalogue.GAMES["duopoly"].methods)
    leader = said["methods"]["hi-c"]["players"][0]
    assert (leader["learner"], leader["sees"], leader["kind"]) == ("HiC", "own payoff", "uncoupled")
    printed = " ".join(run("show", "duopoly", "--set", "game.demand=80").output.split())
    for part in (
        "game.demand 80 default 100",
        "Box(low=0, high=80)",
        "Stackelberg 36; 21",
        "hi-c* ",
        "sees own payoff",
    ):
        assert part in printed, part


@pytest.mark.parametrize("game", ["aligned", "corridor", "chicken", "data-cleaning"])
def test_show_knows_every_kind_of_game(game):
    result = run("show", game)
    assert result.exit_code == 0 and "Parameters" in result.output and "leader" in result.output, result.output
    assert all(len(line) <= 120 for line in result.output.splitlines())


def test_list_has_kinds():
    everything = json.loads(run("list", "--json").stdout)
    assert set(everything) == {"games", "methods", "learners", "studies"}
    for kind, found in everything.items():
        assert json.loads(run("list", kind, "--json").stdout) == found
    assert everything["methods"]["games"]["duopoly"]["hi-c"]["players"] == ["HiC", "GradientAscent"]
    assert everything["learners"]["learners"]["hi-c"] == {"class": "HiC", "sees": "own payoff", "kind": "uncoupled"}
    assert {"hi-c", "arms"} <= set(everything["studies"])
    printed = run("list", "studies").output
    assert "hi-c" in printed and "duopoly" not in printed


def test_a_study_runs_by_its_name(monkeypatch):
    told = []
    monkeypatch.setattr(cli.run._how, "perform", lambda *given, **more: told.append(given))
    assert run("run", "look-ahead").exit_code == 0
    assert told[0][1] == ["run", "look-ahead"] and str(told[0][3].path) == "results/look-ahead.nc"


def test_certificates_as_json():
    result = run("certify", "duopoly", "--set", "game.demand=80", "--at", "36,21", "--json")
    said = json.loads(result.stdout)
    assert [point["kind"] for point in said["points"]] == ["Stackelberg"]
    assert said["configuration"] == {"game": "duopoly", "set": {"game.demand": 80}}


def test_tables_of_other_results_as_json(tmp_path):
    words = ("--horizons", "20,40", "--replicates", 3, "--out", tmp_path / "a.nc", "--json")
    said = json.loads(run("regret", "etc-failure", "--pair", "ucb/ucb", *words).stdout)
    tables = {tuple(table["by"]): table["rows"] for table in said["tables"]}
    data = experiments.load(tmp_path / "a.nc")
    row = next(r for r in tables["pairs", "horizon", "player"] if (r["horizon"], r["player"]) == (40, "leader"))
    assert row["mean"] == pytest.approx(float(data["regret"].sel(horizon=40, player="leader").mean()))
    slope = experiments.slopes(data)["slope"].sel(player="leader").item()
    assert tables["pairs", "player"][0]["slope"] == (pytest.approx(slope) if np.isfinite(slope) else None)
    sizes = ("--horizon", 20, "--replicates", 3, "--resamples", 3, "--out", tmp_path / "b.nc")
    said = json.loads(run("metagame", "etc-failure", "--leaders", "ucb", "--followers", "ucb", *sizes, "--json").stdout)
    tables = {tuple(table["by"]): table["rows"] for table in said["tables"]}
    assert tables["leader", "follower"][0]["pure_nash"] is True and len(tables["leader", "follower", "player"]) == 2


def test_options_stand_in_groups():
    printed = run("compare", "--help").output
    own, _, rest = printed.partition("Of Markov games:")
    markov, _, result = rest.partition("The result, and how it is played:")
    assert "--set NAME=VALUE" in own and "--oracle" in markov and "--hidden" in markov and "--json" in result
    for name, command in cli.main.commands.items():
        printed = run(name, "--help").output
        options = [option for one in command.params if isinstance(one, click.Option) for option in one.opts]
        assert all(option in printed for option in options), name
    assert all("--json" in run(name, "--help").output for name in ("list", "show", "certify", "regret", "metagame"))


@pytest.mark.parametrize(
    ("words", "begin", "expected"),
    [
        (["compare"], "duo", {"duopoly"}),
        (
            ["compare", "duopoly", "--methods"],
            "simultaneous,hi-c-",
            {"simultaneous,hi-c-pairs", "simultaneous,hi-c-no-baseline"},
        ),
        (["regret"], "self", {"self-trap2"}),
        (["regret", "aligned", "--leader"], "etc", {"etc", "etc-throw-out"}),
        (["metagame", "uniform", "--followers"], "ucb,best", {"ucb,best-response"}),
        (["list"], "me", {"methods"}),
        (["run"], "look", {"look-ahead"}),
    ],
)
def test_names_are_completed(words, begin, expected):
    completion = ShellComplete(cli.main, {}, "stackjax", "_STACKJAX_COMPLETE")
    assert {item.value for item in completion.get_completions(words, begin)} == expected


def test_listing_imports_no_more_than_it_needs():
    code = """
import contextlib, io, sys
from stackjax import cli
with contextlib.redirect_stdout(io.StringIO()):
    cli.main(["list"], standalone_mode=False)
import jax
print(*{"optimistix", "scipy.optimize", "xarray", "matplotlib", "h5netcdf", "stackjax.experiments"} & set(sys.modules))
"""
    environment = {**os.environ, "STACKJAX_CACHE": "off"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == []
