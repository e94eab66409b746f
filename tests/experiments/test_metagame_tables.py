"""The table of a meta-game: its numbers, its marks, its solutions in words, at every width."""

import itertools
import math

import numpy as np

from stackjax import experiments
from stackjax.experiments.metagame_tables import percent
from tests.experiments import synthetic_metagame as synthetic
from tests.experiments.synthetic_metagame import printed


def test_the_table_has_means_errors_marks_and_solutions():
    found = experiments.solutions(synthetic.noisy(*synthetic.SEXES, 4.0), resamples=500)
    text = printed(found)
    assert text.startswith("200 replicates of 1 instance to T = 1k; 500 bootstrap resamples of the replicates leader")
    for i, j, player in itertools.product(range(2), repeat=3):
        mean, error = (float(found[name][i, j, player]) for name in ("mean", "standard_error"))
        assert f"{mean:.3f} ± {error:.3f}" in text
    share = float(found["stackelberg_frequency"][0, 0])
    assert 0.05 < share < 0.95
    percent = f"{100 * share:.0f} %"
    first = found["stackelberg"].values[0, 0]
    assert f"{'◆' if first else '◇'} {percent}" in text
    assert "Pure Nash equilibria: l0/f0, l1/f1; the same ones in" in text
    x, y = found["nash_leader"].values[2], found["nash_follower"].values[2]
    mixture = f"{x[0]:.3f} l0 + {x[1]:.3f} l1 / {y[0]:.3f} f0 + {y[1]:.3f} f1, which pays"
    assert f"Mixed Nash equilibria: {mixture}" in text
    assert "Dominated leaders: none Dominated followers: none" in text


def test_the_table_says_what_is_dominated_and_how_often():
    text = printed(experiments.solutions(synthetic.noisy(*synthetic.DILEMMA, 0.1), resamples=50))
    assert "Dominated leaders: l0 (strictly, 100 %)" in text and "Mixed Nash equilibria: none" in text
    game = [[3, 0], [0, 3], [1, 1]], [[1, 0], [0, 1], [0, 0]]
    text = printed(experiments.solutions(synthetic.noisy(*game, 0.0, replicates=2), resamples=2))
    assert "Dominated leaders: l2 (by a mixture)" in text
    text = printed(experiments.solutions(synthetic.noisy([[1, 1], [0, 1]], np.zeros((2, 2)), 0.0, replicates=2)))
    assert "Dominated leaders: l1 (weakly, 100 %)" in text


def test_a_narrow_table_leaves_out_the_errors_and_long_names_are_broken():
    names = [f"explore-then-commit-{i}" for i in range(7)]
    game = synthetic.noisy(*np.random.default_rng(6).normal(size=(2, 7, 7)), 0.3, replicates=9)
    found = experiments.solutions(game.assign_coords(leader=names, follower=names), resamples=20)
    for width in (80, 150):
        text = printed(found, width)
        assert ("±" in text) == (width > 100) and "explore-then-" in text
    assert "A wider terminal shows standard errors." in " ".join(printed(found, 80).split())


def test_shares_are_exact_only_at_the_ends():
    assert [percent(x) for x in (0, 0.001, 0.5, 0.999, 1, math.nan)] == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %", "–"]
