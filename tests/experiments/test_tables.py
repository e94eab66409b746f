"""The table of a comparison: each player's numbers, at every width."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
import rich
from rich.console import Console

from stackjax import Calls, Status, experiments
from stackjax.experiments import cells, comparison_tables
from stackjax.games import CournotDuopoly, from_payoffs
from stackjax.learners import Fixed, GradientAscent, HierarchicalAscent
from stackjax.spaces import Euclidean


@pytest.fixture(scope="module")
def duopoly():
    return experiments.compare(
        CournotDuopoly(),
        {
            "coupled": (HierarchicalAscent(0.2, noise_variance=0.01), GradientAscent(0.3)),
            "of-16-characters": (Fixed(46.03), Fixed(25.9)),
        },
        rounds=100,
        replicates=9,
    )


def lines(dataset, width):
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(experiments.table(dataset, width))
    found = captured.get().splitlines()
    assert max(len(line) for line in found) <= width
    return found


def after(found, method):
    """The lines of a method's players."""
    at = next(i for i, line in enumerate(found) if line.split()[:1] == [method])
    return found[at], found[at + 1 :]


def test_each_player_has_its_own_distances_with_quartiles(duopoly):
    found = lines(duopoly, 120)
    assert found[0].split() == ["9", "replicates", "of", "100", "rounds"]
    row, below = after(found, "of-16-characters")
    assert row.split()[1] == "0" and "+" in row
    leader, follower = (" ".join(line.split()) for line in below[:2])
    # |46.03 - 92/3|, |46.03 - 46|, and 46.03 * (100 - 46.03 - 25.9 - 5).
    assert leader == "leader 15.4 (15.4–15.4) 0.030 (0.030–0.030) 1061.9 (1061.9–1061.9) none"
    assert follower == "follower 7.77 (7.77–7.77) 0.10 (0.10–0.10) 675.21 (675.21–675.21) none"
    _, below = after(found, "coupled")
    calls = [line.split()[-2:] for line in below[:3]]
    assert calls == [["100", "grad"], ["200", "HVP"], ["100", "solve"]]
    quartiles = experiments.summary(duopoly)["distance_to_stackelberg"].sel(methods="coupled", player="leader")
    low, middle, high = (f"{x:#.2g}" for x in quartiles.values)
    assert f"{middle} ({low}–{high})" in below[0]
    note = " ".join(" ".join(found[-3:]).split())
    assert note.startswith("Medians (quartiles) over the replicates that didn't fail.") and "rounds" in note


def test_narrow_tables_are_complete(duopoly):
    """At 100 columns the quartiles stand below; at 80 they're left out, which is said. Nothing is cut off."""
    words = {width: " ".join(lines(duopoly, width)) for width in (120, 100, 80)}
    assert sorted(words[120].replace("─", "").split()) == sorted(words[100].replace("─", "").split())
    assert "(15.4–15.4)" not in words[80] and "shows quartiles" in " ".join(words[80].split())
    for said in words.values():
        assert "…" not in said
        for value in ("15.4", "0.03", "1061.9", "675.21", "HVP", "of-16-characters"):
            assert value in said


def test_the_width_is_the_terminals(duopoly, monkeypatch):
    monkeypatch.setattr(rich, "_console", Console(width=80))
    assert [c.header for c in experiments.table(duopoly).columns][-1] == "seconds"
    monkeypatch.setattr(rich, "_console", Console(width=130))
    assert "compiling" in [c.header for c in experiments.table(duopoly).columns][-1]


def test_failed_replicates_are_counted_and_explained(duopoly):
    status = np.array([[0, 2, 0, 1, 0, 2, 3, 0, 0], [1] * 9], np.int8)
    found = lines(duopoly.assign(status=duopoly["status"].copy(data=status)), 120)
    row, below = after(found, "coupled")
    assert row.split()[1] == "4" and "grad" in below[0]
    row, below = after(found, "of-16-characters")
    assert row.split()[1] == "9" and below[0].split() == ["leader", *"––––"]
    assert [line.strip() for line in found[-2:]] == [
        "coupled: 4 of 9 replicates failed: 1 not finite, 2 left its space, 1 diverged",
        "of-16-characters: 9 of 9 replicates failed: 9 not finite",
    ]
    assert "nan" not in "".join(found)


def test_values_that_are_not_finite_are_counted_below(duopoly):
    payoffs = duopoly["payoffs"].values.copy()
    payoffs[0, :2, -1, 0] = np.nan
    payoffs[1, :, -1, 1] = -np.inf
    found = lines(duopoly.assign(payoffs=duopoly["payoffs"].copy(data=payoffs)), 120)
    assert [line.strip() for line in found[-2:]] == [
        "coupled: values that aren't finite, left out of the quantiles: 2",
        "of-16-characters: values that aren't finite, left out of the quantiles: 9",
    ]
    row, below = after(found, "of-16-characters")
    assert row.split()[1] == "0" and below[1].split()[-2:] == ["–", "none"]
    assert not {"nan", "inf"} & set("".join(found).replace("(", " ").replace(")", " ").split())


def test_rich_prints_it(duopoly):
    assert "rich.print(experiments.table(result))" in experiments.table.__doc__
    file = io.StringIO()
    rich.print(experiments.table(duopoly, 80), file=file)
    assert "9 replicates of 100 rounds" in file.getvalue() and "<rich" not in file.getvalue()


def test_every_status_and_every_call_has_a_name():
    assert {*comparison_tables._FAILURES, Status.OK} == set(Status)
    assert tuple(comparison_tables._CALLS) == Calls._fields


def test_other_games_than_a_leader_and_a_follower():
    game = from_payoffs(*[lambda x, y, z: jnp.sum(x) * 1e-9 - z] * 3, spaces=(Euclidean((2,)),) + (Euclidean(()),) * 2)
    data = experiments.compare(game, {"[all]": (Fixed(jnp.ones(2)), Fixed(1.0), Fixed(0.0))}, rounds=1, replicates=1)
    found = lines(data, 100)
    _, below = after(found, "[all]")  # no markup
    assert [line.split() for line in below[:3]] == [
        ["player", str(i), "2.0e-09", "(2.0e-09–2.0e-09)", "none"] for i in range(3)
    ]
    assert "distance" not in "".join(found) and "of the last round." in " ".join(" ".join(found).split())
    data = data.assign(payoffs=-data["payoffs"])
    assert "-2.0e-09 (-2.0e-09 to -2.0e-09)" in "".join(lines(data, 100))


def test_counts_are_short():
    counts = (0, 812, 1000, 3228, 100_000, 1_500_000, 2e9)
    assert [cells.short(n) for n in counts] == ["0", "812", "1k", "3228", "100k", "1.5M", "2G"]


def test_negative_payoffs_are_complete_at_100_columns():
    game = from_payoffs(*[lambda x, y: -0.0234 - 0 * x * y] * 2, spaces=(Euclidean(()),) * 2)
    methods = {"of-16-characters": (GradientAscent(0.1), HierarchicalAscent(0.1, damping=1.0))}
    equilibria = {"nash": (0.0, 0.0), "stackelberg": (1.0, 1.0)}
    data = experiments.compare(game, methods, rounds=1, replicates=1, **equilibria)
    found = "".join(lines(data, 100))
    assert "(-0.02340 to" in found and "-0.02340)" in found


def test_numbers_keep_their_digits():
    values = (0.0, 3e-8, 0.1, 0.0996, 10.0, 171.4, 1234.5, -0.75)
    assert [comparison_tables._digits(x, 3) for x in values] == [
        "0",
        "3.0e-08",
        "0.10",
        "0.10",
        "10.0",
        "171",
        "1.23e+03",
        "-0.75",
    ]
    assert [comparison_tables._digits(x, 5) for x in (940.444, 12345.6, -0.75, 0.0)] == [
        "940.44",
        "12346",
        "-0.7500",
        "0",
    ]
