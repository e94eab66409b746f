"""Configuration files: what they say is what is played, what is wrong in them is named, and results hold them."""

import itertools
import sys

import jax
import numpy as np
import pytest
import xarray

from stackjax import Record, catalogue, experiments, play
from stackjax.experiments import StudyError, read_study
from stackjax.experiments.constructed import constructors, made_game, made_players
from stackjax.experiments.study import parsed
from stackjax.games import CournotDuopoly, Noisy
from stackjax.learners import Fixed, GradientAscent, HiC, PerArm
from stackjax.schedules import PowerLaw

ENGINE = sys.modules[experiments.run.__module__]

STUDY = """
title = "A study"
rounds = 40
replicates = 4
seed = 5
keep = ["strategy_0", "payoffs"]

[game]
class = "Noisy"
payoff_variance = 1.0
game = { class = "CournotDuopoly", costs = [5.0, "$cost"] }

[methods.ascent]
leader = { class = "GradientAscent", step = { class = "PowerLaw", scale = 0.5, exponent = 1.0 } }
follower = { name = "gradient-ascent", step = 0.2 }

[over]
cost = [2.0, 3.0]
leader.step.exponent = { low = 0.5, high = 1.0, linear = 2 }

[units]
cost = "EUR"

[record]
kind = "log-spaced"
number = 30

[figure]
variable = "payoffs"
x = "cost"
"""


def changed(old, new):
    assert old in STUDY
    return STUDY.replace(old, new)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    file = tmp_path_factory.mktemp("study") / "study.toml"
    file.write_text(STUDY)
    return file, read_study(file).play(file.with_suffix(".nc"), devices=1, progress=False)


def test_what_it_says_is_what_is_played(result):
    _, data = result
    assert data.attrs["title"] == "A study" and data.attrs["programs"] == 1
    for cost, exponent in itertools.product([2.0, 3.0], [0.5, 1.0]):
        trace = play(
            Noisy(CournotDuopoly(costs=(5.0, cost)), 1.0),
            GradientAscent(PowerLaw(0.5, exponent)),
            GradientAscent(0.2),
            key=jax.random.key(5),
            rounds=40,
            replicates=4,
            record=Record.log_spaced(30),
        )
        one = data.sel({"cost": cost, "leader.step.exponent": exponent, "methods": "ascent"})
        np.testing.assert_allclose(one["strategy_0"], trace.strategies[0], rtol=1e-5)
    assert data["cost"].attrs == {"units": "EUR"}
    assert set(data.data_vars) == {"strategy_0", "payoffs", "status", "failed_at"}


def test_a_result_holds_its_file_and_runs_again(result, monkeypatch):
    file, data = result
    study = read_study(file.with_suffix(".nc"))
    assert study.text == STUDY and study.figure == {"variable": "payoffs", "x": "cost"}
    again = study.play(file.with_name("again.nc"), devices=1, progress=False)
    xarray.testing.assert_identical(again.drop_attrs(), data.drop_attrs())
    monkeypatch.setattr(ENGINE, "play", None)  # it is there
    there = read_study(file).play(file.with_suffix(".nc"), devices=1, progress=False)
    xarray.testing.assert_identical(there, data)


def test_games_and_methods_of_the_catalogue():
    study = parsed('rounds = 10\n[game]\nname = "torus"\n[methods]\na = "hi-c"\nb = "simultaneous"')
    assert list(study.methods) == ["a", "b"] and isinstance(study.methods["a"][0], HiC)
    entry = catalogue.GAMES["torus"]
    assert study.options["title"] == entry.title and study.options["payoff_labels"] == entry.payoffs
    assert parsed('rounds = 10\nmethods = ["hi-c"]\n[game]\nname = "torus"').methods.keys() == {"hi-c"}
    study.check()


def test_bandits_are_tuned_to_what_is_swept():
    """To the number of arms of each setting and to the horizon; families are drawn from a seed."""
    text = """
rounds = 2000
methods = ["ucb/etc", "etc/best-response"]
[game]
name = "uniform"
seed = 3
leader_arms = "$arms"
follower_arms = 2
[over]
arms = [2, 4]
gamma = [0.0, 0.1]
"""
    study = parsed(text)
    game = study.game(rounds=2000, arms=4)
    assert game.leader_means.shape == (4, 2) and game.noise == "bernoulli"
    leader, follower = study.methods["ucb/etc"](game=game, rounds=2000)
    assert leader.horizon == 2000 and isinstance(follower, PerArm)
    study.check()
    (leader, _) = made_players(
        {"leader": {"name": "etc", "explore": 3}, "follower": {"name": "fixed", "action": 0}}, "", game, 9
    )
    assert leader.explore == 3


def test_other_forms():
    study = parsed(
        STUDY
        + '[[zip]]\ndim = "sample"\nleader.step.scale = { low = 0.1, high = 1.0, sample = 3, seed = 0 }\n'
        + '"follower.step" = { low = 0.1, high = 1.0, log = 3 }'
    )
    assert [axis.dim for axis in study.options["over"].axes] == ["cost", "leader.step.exponent", "sample"]
    np.testing.assert_allclose(study.options["over"].axes[-1].values["follower.step"], [0.1, 10**-0.5, 1.0])
    kinds = {"every": ("every", 7), "final": ("final", 1)}
    for name, expected in kinds.items():
        number = "number = 7" if name == "every" else ""
        record = parsed(changed('kind = "log-spaced"\nnumber = 30', f'kind = "{name}"\n{number}')).options["record"]
        assert (record.kind, record.number) == expected
    none = parsed(changed("number = 30", 'number = 30\npayoffs = "none"\nstrategies = false')).options["record"]
    assert none.payoffs is None and not none.strategies
    fixed = made_players([{"name": "fixed", "action": [1.0, 2.0]}] * 2, "", CournotDuopoly(), 9)
    assert isinstance(fixed[0], Fixed) and fixed[0].action.shape == (2,)


def test_constructors_are_those_of_the_rooms():
    assert {"CournotDuopoly", "Quadratic.random", "IteratedMatrixGame.chicken"} <= set(constructors("game"))
    assert {"HiC", "PerArm", "Every"} <= set(constructors("learner")) and "FunctionGame" not in constructors("game")
    game = made_game({"class": "Quadratic.random", "seed": 1, "dims": [1, 2]}, "game", 10)
    assert game.dims == (1, 2)


def test_a_comparison(tmp_path):
    text = 'kind = "comparison"\nrounds = 40\nreplicates = 4\nseed = 5\nstart = [40.0, 30.0]\n' + STUDY[
        STUDY.index("[game]") : STUDY.index("[over]")
    ].replace("$cost", "3").replace('"3"', "3.0")
    study = parsed(text)
    data = study.play(tmp_path / "a.nc", progress=False)
    assert data.attrs["result"] == "comparison" and float(data["initial_0"].max()) == 40.0
    assert read_study(tmp_path / "a.nc").kind == "comparison"
    assert study.estimate(devices=1, chunk=4).settings == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rounds = ", "not TOML: Invalid value (at end of document)"),
        ("rounds = 1\nrounds = 2", "not TOML: Cannot overwrite a value"),
        ("", "the key 'rounds' is missing"),
        (changed("[methods.ascent]", "[method.ascent]"), "unknown key 'method'; did you mean 'methods'?"),
        (changed("replicates", "replicate"), "unknown key 'replicate'; did you mean 'replicates'?"),
        (changed("rounds = 40", "rounds = 4e1"), "rounds: expected a whole number, got 40.0"),
        (changed("rounds = 40", "rounds = true"), "rounds: expected a whole number, got True"),
        (changed("rounds = 40", "rounds = 0"), "rounds: expected at least 1, got 0"),
        (changed("seed = 5", 'seed = "5"'), "seed: expected a whole number, got '5'"),
        (changed("seed = 5", "common = 1"), "common: expected true or false, got 1"),
        (changed("seed = 5", "gamma = true"), "gamma: expected a number, got True"),
        (changed('["strategy_0", "payoffs"]', "[1]"), "keep: expected an array of texts, got [1]"),
        (changed("seed = 5", 'kind = "comparision"'), "kind: unknown kind 'comparision'; did you mean 'comparison'?"),
        (changed("seed = 5", 'kind = "comparison"'), "keep: it is for a sweep"),
        (
            changed("CournotDuopoly", "CournotDupoly"),
            "game.game.class: unknown game 'CournotDupoly'; did you mean 'Cour",
        ),
        (changed("payoff_variance", "variance"), "game: unknown argument 'variance'; did you mean 'payoff_variance'?"),
        (changed("payoff_variance = 1.0", ""), "game: the argument 'payoff_variance' is missing"),
        (changed("payoff_variance = 1.0", "payoff_variance = -1.0"), "game: payoff_variance: expected values in [0"),
        (
            changed("payoff_variance = 1.0", 'payoff_variance = "a"'),
            "game: payoff_variance: expected a number or an ar",
        ),
        (changed('class = "Noisy"', 'name = "duopol"'), "game.name: unknown game 'duopol'; did you mean 'duopoly'?"),
        (changed('class = "Noisy"', 'name = "duopoly"'), "game: unknown argument 'payoff_variance'; there are none"),
        (changed('class = "Noisy"', ""), "game: expected a table with either a class or a name, got the keys"),
        (
            changed('"GradientAscent"', '"GradientAscend"'),
            "methods.ascent.leader.class: unknown learner 'GradientAscend'",
        ),
        (
            changed('"gradient-ascent"', '"gradient"'),
            "methods.ascent.follower.name: unknown learner 'gradient'; did you",
        ),
        (changed("step = 0.2", "stp = 0.2"), "methods.ascent.follower: unknown argument 'stp'; did you mean 'step'?"),
        (changed("step = 0.2", "step = [0.2"), "not TOML: "),
        (changed("step = 0.2", 'step = "0.2"'), "methods.ascent.follower: step: expected a number or a schedule"),
        (changed('"PowerLaw"', '"Powerlaw"'), "methods.ascent.leader.step.class: unknown schedule 'Powerlaw'; did you"),
        (changed("exponent = 1.0", "power = 1.0"), "methods.ascent.leader.step: unknown argument 'power'; "),
        (changed("follower =", "folower ="), "methods.ascent: unknown key 'folower'; did you mean 'follower'?"),
        (changed("step = 0.2", "tuned = true"), "methods.ascent.follower: unknown tuned follower 'gradient-ascent'"),
        (
            changed("[methods.ascent]\nleader", "[methods]\na = 1\n[methods.ascent]\nleader"),
            "methods.a: expected a table",
        ),
        (changed('"$cost"', '"$costs"'), "game: '$costs': unknown swept name 'costs'; did you mean 'cost'?"),
        (changed("cost = [2.0, 3.0]", "cost = []"), "over: 'cost': expected at least one value"),
        (changed("cost = [2.0, 3.0]", "cost = [2.0, 2]"), "over: two settings have the same label: cost = 2.0"),
        (changed("cost = [2.0, 3.0]", "cost = 2.0"), "over.cost: expected an array of values, or a table"),
        (changed("linear = 2", "points = 2"), "over.leader.step.exponent: unknown key 'points'"),
        (changed("linear = 2", "linear = 2.0"), "over.leader.step.exponent.linear: expected how many values, got 2.0"),
        (changed("linear = 2", "sample = 2"), "over.leader.step.exponent: expected log = n, linear = n, or sample = n"),
        (changed("low = 0.5", "low = 5.0"), "over.leader.step.exponent: expected low < high"),
        (changed("cost = [2.0, 3.0]", "cost = [2.0, 3.0]\nmethods = [1]"), "over: the name 'methods' is taken"),
        (changed("log-spaced", "logspaced"), "record.kind: unknown kind 'logspaced'; did you mean 'log-spaced'?"),
        (changed("number = 30", ""), "record: expected a number of rounds or of points for 'log-spaced', got None"),
        (changed("number = 30", "number = 0"), "record: Record: expected a positive integer, got 0"),
        (changed("number = 30", 'number = 30\npayoffs = "all"'), 'record: payoffs: expected "exact", "realised"'),
        (changed('cost = "EUR"', 'costs = "EUR"'), "units: unknown swept name 'costs'; did you mean 'cost'?"),
        (changed('cost = "EUR"', "cost = 1"), "units: expected a mapping swept name -> unit, got {'cost': 1}"),
        (changed('x = "cost"', 'z = "cost"'), "figure: unknown key 'z'; known: variable, x"),
        (changed("title", "zip = [1]\ntitle"), "zip[0]: expected a table, got 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text, message):
    with pytest.raises(StudyError) as caught:
        parsed(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            changed("leader.step.exponent", "leader.step.exponnt"),
            "over: unknown name 'leader.step.exponnt'; did you mean 'leader.step.exponent'?",
        ),
        (
            changed("leader.step.exponent", "leadr.step.exponent"),
            "over: unknown name 'leadr.step.exponent'; did you mean",
        ),
        (changed("cost = [2.0, 3.0]", "cost = [2.0, -3.0]"), "game.game: costs: expected values in [0, inf), got -3.0"),
        (changed('"$cost"', "2.0"), "over: unknown name 'cost'; known: gamma"),
    ],
)
def test_what_only_the_settings_tell(text, message):
    with pytest.raises(ValueError) as caught:
        parsed(text).check()
    assert message in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_study(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match=r"a\.toml can't be read as a TOML file"):
        read_study(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("x = 1")
    with pytest.raises(StudyError, match=r"a\.toml: unknown key 'x'"):
        read_study(tmp_path / "a.toml")
    data = experiments.compare(CournotDuopoly(), {"a": (Fixed(1.0), Fixed(1.0))}, rounds=1, replicates=1)
    experiments.save(data, tmp_path / "a.nc")
    with pytest.raises(StudyError, match="is a result, but not one of a configuration file"):
        read_study(tmp_path / "a.nc")
