"""A call of `play` that is right but for what a test makes wrong, and what has to be said of that."""

import jax
import pytest

from stackjax import Record, play
from stackjax.games import CournotDuopoly
from stackjax.learners import GradientAscent
from stackjax.spaces import Euclidean

KEY = jax.random.key(0)
LINE = Euclidean(())
GAME = CournotDuopoly()
LEARNERS = (GradientAscent(0.1), GradientAscent(0.1))


def run(game=GAME, learners=LEARNERS, **options):
    return play(game, *learners, **{"key": KEY, "rounds": 2, "record": Record.final(), **options})


def refuses(match, kind=ValueError):
    return pytest.raises(kind, match=match)
