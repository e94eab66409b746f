"""Long exploration is warned of by name, before anything is played."""

import sys

import pytest

from stackjax import experiments
from stackjax.games.bandit_instances import etc_failure
from stackjax.learners import ActiveArmElimination, ExploreThenCommit, PerArm, PhasedUCB

LEADERS = {"short": ExploreThenCommit(1), "phases": ActiveArmElimination([7, 9], 1.0, 30)}
FOLLOWERS = {"short": PerArm(ExploreThenCommit(1)), "long": PerArm(PhasedUCB([3], 2, 1.0, 30))}


def warned(experiment, monkeypatch, *arguments, **options):
    """What it warns of before it plays."""
    monkeypatch.setattr(sys.modules[experiments.run.__module__], "play", None)
    with pytest.warns(UserWarning) as caught, pytest.raises(TypeError, match="not callable"):
        experiment(*arguments, **options)
    return [str(warning.message) for warning in caught]


def test_regret_names_the_pair(monkeypatch):
    """2 x 7 rounds of 20 for the leader; 2 x 2 x 3 x 2 for the follower, under each of the leader's arms."""
    pairs = {"a": (LEADERS["short"], FOLLOWERS["short"]), "b": (LEADERS["phases"], FOLLOWERS["long"])}
    assert warned(experiments.regret, monkeypatch, etc_failure(), pairs, horizons=[20, 32, 90]) == [
        "pairs: 'b': the leader explores in more than half of the rounds: 70 % of 20",
        "pairs: 'b': the follower explores in more than half of the rounds: 100 % of 20, 75 % of 32",
    ]


def test_metagame_names_the_algorithm(monkeypatch):
    arguments = (LEADERS, FOLLOWERS, etc_failure(), 20)  # the horizon by its place, too
    assert warned(experiments.metagame, monkeypatch, *arguments) == [
        "leaders: 'phases' explores in more than half of the rounds: 70 % of 20",
        "followers: 'long' explores in more than half of the rounds: 100 % of 20",
    ]
