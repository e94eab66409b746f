"""The command line: what it prints, what it writes, and its one-line errors."""

import itertools
import json
import re
import sys

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import stackjax
from stackjax import catalogue, cli, equilibria, experiments, games, learners, plots

ENGINE = sys.modules[experiments.run.__module__]


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


REGRET = ("--horizons", "20:200", "--points", 1, "--replicates", 6, "--seed", 2)


@pytest.fixture(scope="module")
def regrets(tmp_path_factory):
    """A folder with the regrets of one pair, asked for twice, and what was printed."""
    folder = tmp_path_factory.mktemp("regrets") / "new"
    pairs = ("--pair", "etc/ETC", "--leader", "explore_then_commit", "--follower", "explore-then-commit")
    result = run("regret", "etc_failure", *pairs, *REGRET, "--gamma", "0.1", "--out", folder)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_regret_prints_a_table_and_writes_data_and_figure(regrets):
    folder, printed = regrets
    assert sorted(p.name for p in folder.iterdir()) == ["regret.nc", "regret.png"]
    assert (folder / "regret.png").read_bytes().startswith(b"\x89PNG")
    data = experiments.load(folder / "regret.nc")
    name = "explore-then-commit/explore-then-commit"
    assert (data["pairs"].values.tolist(), data["horizon"].values.tolist()) == ([name], [20, 200])
    assert (data.sizes["replicate"], data.attrs["gamma"], data.attrs["title"]) == (6, 0.1, "ETC's failure")
    assert data.attrs["command"] == (
        f"stackjax regret etc-failure --pair {name} --horizons 20,200 --replicates 6 --gamma 0.1 "
        "--benchmark tolerant --seed 2"
    )
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.split()}
    mean = data["regret"].sel(horizon=200, player="leader").values.mean()
    assert float(rows["200"][1]) == pytest.approx(mean, abs=0.5)
    assert rows["slope"][1] == f"{experiments.slopes(data)['slope'].sel(player='leader').item():.3f}"
    assert str(folder / "regret.nc") in printed.replace("\n", "")


def test_long_exploration_is_noted_once(regrets):
    """Of 20 rounds the leader explores in 2 ceil(2^(-2/3) (ln 20)^(1/3) 20^(2/3)) = 14, the follower in 2 x 2 x 5."""
    said = " ".join(regrets[1].split())
    assert said.count("note: ") == 2
    assert "ExploreThenCommit (leader) would explore in 70 % of 20 rounds" in said
    assert "ExploreThenCommit (follower) would explore in 100 % of 20 rounds" in said


def test_the_command_of_a_result_repeats_it(regrets, tmp_path):
    """With the noise named, which is that of the instance, and nothing printed."""
    data = experiments.load(regrets[0] / "regret.nc")
    words = data.attrs["command"].split()[1:]
    result = run(*words, "--noise", "bernoulli", "--sigma", "0.5", "--quiet", "--out", tmp_path)
    assert (result.exit_code, result.output) == (0, "")
    np.testing.assert_array_equal(experiments.load(tmp_path / "regret.nc")["regret"], data["regret"])


def test_regret_hands_on_what_was_asked_for(monkeypatch, tmp_path):
    asked = {}

    def regret(game, pairs, **options):
        asked.update(options, noise=game(40).noise, pairs={name: make(40) for name, make in pairs.items()})
        raise OSError  # nothing to write

    monkeypatch.setattr(experiments, "regret", regret)
    options = ("--noise", "gaussian", "--sigma", 0.5, "--skip-phases", "--benchmark", "stackelberg", "--quiet")
    run("regret", "ucb_trap2", "--pair", "ucb/best-response", "--horizons", "40,50", *options, "--out", tmp_path)
    assert (asked["horizons"], asked["replicates"], asked["seed"]) == ([40, 50], 400, 0)
    assert (asked["gamma"], asked["benchmark"], asked["skip_phases"]) == (0.01, "stackelberg", True)
    assert asked["noise"] == "gaussian" and asked["progress"] is False and asked["title"] == "UCB's trap"
    assert asked["command"].endswith("--benchmark stackelberg --noise gaussian --sigma 0.5 --skip-phases --seed 0")
    ((leader, follower),) = asked["pairs"].values()
    assert (leader.width, leader.horizon) == (1.0, 40) and isinstance(follower, learners.BestResponse)


def test_plot_draws_regrets_again(regrets, tmp_path):
    result = run("plot", regrets[0] / "regret.nc", "--out", tmp_path / "again.svg")
    assert result.exit_code == 0 and "regret of the leader" in (tmp_path / "again.svg").read_text()


def test_horizons_are_spaced_or_listed():
    spaced = cli.regret._spaced([1000, 10**6], 2)
    assert spaced == [1000, 3162, 10_000, 31_623, 100_000, 316_228, 10**6]
    assert cli.regret._spaced([10, 11], 1) == [10, 11]
    assert cli.regret.Horizons()("1e3, 2000,1e5") == ([1000, 2000, 100_000], False)


def test_the_default_pairs_are_those_that_the_help_names():
    pairs = list(cli.regret._pairs((), (), ()))
    assert pairs == ["etc/etc", "etucb/etc", "ucb/ucb"]
    assert "etc/etc, etucb/etc and ucb/ucb" in " ".join(run("regret", "--help").output.split())


def test_leaders_play_with_all_followers():
    found = cli.regret._pairs(("ucb", "ETC"), ("aae", "best_response"), ("ucb/aae",))
    assert list(found) == ["ucb/aae", "ucb/best-response", "etc/aae", "etc/best-response"]
    assert found["etc/aae"] == ("explore-then-commit", "active-arm-elimination")


def test_every_leader_and_follower_is_one(monkeypatch):
    """Tuned to every instance, with its own and with other noise, `play` would take them."""

    class PlayedError(Exception):
        pass

    def refuse(*arguments, **options):
        raise PlayedError

    monkeypatch.setattr(ENGINE, "play", refuse)
    leaders, followers = list(catalogue.LEADERS), list(catalogue.FOLLOWERS)
    pairs = list(itertools.zip_longest(leaders, followers, fillvalue="ucb"))
    for name, entry in catalogue.INSTANCES.items():
        game = entry.make(10_000)
        assert game.leader_means.shape == (2, 2)
        assert entry.make(10_000, noise="gaussian", sigma=0.25).sigma == 0.25
        for leader, follower in pairs if name == "lower-bound-i" else []:
            chosen = (catalogue.LEADERS[leader](game, 10_000), catalogue.FOLLOWERS[follower](game, 10_000))
            with pytest.raises(PlayedError):
                experiments.regret(game, {"pair": chosen}, horizons=[10_000])
    oracles = {"best-response", "epsilon-best-response"}
    assert set(followers) - oracles < set(leaders) >= set(catalogue.ALIASES.values())


def test_instances_with_a_gap_of_the_horizon():
    for name, gap in (("lower-bound-i", 0.1), ("impossibility-j", 0.25 / 1000**0.5)):
        assert float(catalogue.INSTANCES[name].make(1000).follower_means[0, 0]) == pytest.approx(gap)
    assert float(catalogue.INSTANCES["lower-bound-j"].make(1000).follower_means[0, 1]) == pytest.approx(0.2)
    assert catalogue.INSTANCES["self-trap2"].gamma == 0.2 and catalogue.INSTANCES["ucb-trap2"].gamma == 0.01


def test_list_says_what_each_learner_sees():
    printed = run("list").output
    for name, instance in catalogue.INSTANCES.items():
        assert name in printed and instance.title in printed and instance.summary in printed
    assert all(f"{alias}: " in printed for alias in catalogue.ALIASES)
    unwrapped = " ".join(printed.split())
    for markov in catalogue.MARKOV_GAMES.values():
        assert f"{markov.summary} ({markov.replicates} replicates)" in unwrapped
    for leader in catalogue.MARKOV_LEADERS.values():
        assert f"{leader.summary} ({leader.rounds} rounds)" in unwrapped
    for name, entry in catalogue.GAMES.items():
        assert name in printed and entry.summary in unwrapped
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
    for name in ("contextual-follower", "neural-follower", "q-learning"):
        assert "earlier players'" in rows[name] and rows[name].rstrip().endswith("oracle")
    assert "own payoff function" in rows["q-learning"] and "the learner that it holds" in rows["per-arm"]


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
    files = {"--portrait": tmp_path / "new" / "torus.png", "--out": tmp_path / "torus.json"}
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
    assert certificates[4].split() == ["certificates", str(files["--out"]), "portrait", str(files["--portrait"])]

    data = json.loads(files["--out"].read_text())
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


def test_certify_draws_what_the_leader_climbs(tmp_path):
    result = run(
        "certify", "duopoly", "--at", "46,26", "--landscape", tmp_path / "value.png", "--set", "game.demand=80"
    )
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].split() == ["landscape", str(tmp_path / "value.png")]
    assert (tmp_path / "value.png").read_bytes().startswith(b"\x89PNG")
    refused = run("certify", "quadratic", "--at", "1,2,3,4,5,6,7", "--landscape", tmp_path / "a.png")
    assert refused.exit_code == 2 and "--landscape" in refused.output


def test_a_report_needs_no_other_file(tmp_path):
    game = games.CournotDuopoly()
    pair = (learners.GradientAscent(0.1), learners.GradientAscent(0.1))
    path = tmp_path / "a.nc"
    options = {"rounds": 20, "replicates": 3, "title": "Firms <& co>", "command": "by hand", "out": path}
    experiments.compare(game, {"ascent": pair}, **options)
    result = run("report", path)
    assert result.exit_code == 0 and result.output.strip() == str(tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "<title>Firms &lt;&amp; co&gt;</title>" in page and "<svg" in page and "3 replicates of 20 rounds" in page
    for text in ("0 of 3 runs", "by hand", "CournotDuopoly", jax.__version__, "&quot;rounds&quot;: 20"):
        assert text in page, text
    elsewhere = re.findall(r"""(?:src|href)=["'](?!#)[^"']*""", page)
    assert not elsewhere
    assert run("report", path, "--out", tmp_path / "a.pdf").exit_code == 2
    (tmp_path / "b.nc").write_bytes(b"no result")
    refused = run("report", tmp_path / "b.nc")
    assert refused.exit_code == 2 and "b.nc" in refused.output and not (tmp_path / "b.html").exists()


def test_numbers_fill_the_actions_in_order_of_play():
    made = cli.certify._joint_action(catalogue.GAMES["quadratic"].make(), "1,2,3;4,5,6,7")
    assert [action.tolist() for action in made] == [[1, 2, 3], [4, 5, 6, 7]]
    made = cli.certify._joint_action(catalogue.GAMES["torus"].make(), "-1e-1,2")
    assert [action.shape for action in made] == [(), ()] and [float(a) for a in made] == [-0.1, 2.0]


def test_whole_numbers_may_be_powers_of_ten():
    assert [cli._common.Whole(1, 2**32 - 1)(x) for x in ("1e5", "100000", str(2**32 - 1))] == [10**5, 10**5, 2**32 - 1]


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
        (("certify", "duopoly", "--out", "{file}/below/a"), "'--out': can't write in the folder {file}/below"),
        (("regret", "etc_failur"), "'INSTANCE': unknown instance 'etc-failur'; did you mean 'etc-failure'?"),
        (("regret", "etc-failure", "--leader", "ucb1", "--follower", "ucb"), "'--leader': unknown leader 'ucb1'; did"),
        (("regret", "etc-failure", "--leader", "best-response", "--follower", "ucb"), "'--leader': unknown leader"),
        (("regret", "etc-failure", "--leader", "ucb", "--follower", "phased-ucb"), "unknown follower 'phased-ucb'"),
        (("regret", "etc-failure", "--pair", "ucb/exp"), "'--pair': unknown follower 'exp'; did you mean 'exp3'?"),
        (
            ("regret", "etc-failure", "--pair", "ucb/etc-throw-out"),
            "unknown follower 'etc-throw-out'; did you mean 'explore-then-commit'?",
        ),
        (("regret", "etc-failure", "--pair", "ucb"), "'--pair': expected LEADER/FOLLOWER, got 'ucb'"),
        (("regret", "etc-failure", "--leader", "ucb"), "--leader: expected a --follower, too"),
        (("regret", "etc-failure", "--follower", "ucb"), "--follower: expected a --leader, too"),
        (("regret", "etc-failure", "--horizons", "0,10"), "'--horizons': 0 is not in the range"),
        (("regret", "etc-failure", "--horizons", "1e4:1e3"), "'--horizons': expected two increasing numbers of rounds"),
        (("regret", "etc-failure", "--horizons", "1:2:3"), "'--horizons': expected two increasing numbers of rounds"),
        (("regret", "etc-failure", "--horizons", "1e4,1e3"), "'--horizons': expected increasing numbers of rounds"),
        (("regret", "etc-failure", "--horizons", "1e3,x"), "'--horizons': 'x' is not a valid whole number"),
        (("regret", "etc-failure", "--gamma", -0.1), "'--gamma': -0.1 is not in the range"),
        (("regret", "etc-failure", "--gamma", "nan"), "'--gamma': expected a finite number, got 'nan'"),
        (("regret", "etc-failure", "--sigma", 0), "'--sigma': 0.0 is not in the range"),
        (("regret", "etc-failure", "--replicates", "4e9"), "replicates: 3 pairs x 5 horizons x 4000000000 replicates"),
        (
            ("regret", "lower-bound-j", "--horizons", "10", "--noise", "bernoulli"),
            "'--noise': follower_means: expected",
        ),
        (("regret", "etc-failure", "--out", "{file}/below"), "'--out': can't write in the folder {file}/below"),
        (("plot", "{tmp}/nothing.nc"), "there is no file {tmp}/nothing.nc"),
        (("plot", "{file}"), "{file} can't be read as a NetCDF file"),
        (("plot", "{file}", "--out", "a.txt"), "expected a name in .png, .pdf or .svg, got a.txt"),
    ],
)
def test_errors_are_one_line_and_come_before_any_computation(arguments, message, tmp_path, monkeypatch):
    for room, name in ((ENGINE, "play"), (equilibria, "find"), (equilibria, "certify")):
        monkeypatch.setattr(room, name, None)  # a call would be another error
    file = tmp_path / "file"
    file.write_text("text")
    places = {"tmp": tmp_path, "file": file}
    result = run(*(str(a).format(**places) for a in arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message.format(**places) in errors[0]
