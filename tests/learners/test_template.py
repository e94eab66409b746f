"""The template is a working learner: what contributors copy must not rot."""

import jax
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import CournotDuopoly
from stackjax.learners import Fixed
from stackjax.learners._template import SignAscent


def test_the_template_s_learner_finds_its_best_answer():
    game = CournotDuopoly()
    learners = (SignAscent(2.0, 0.8), Fixed(game.nash()[1]))
    trace = play(game, *learners, key=jax.random.key(0), rounds=300, replicates=4, record=Record.final())
    np.testing.assert_allclose(trace.strategies[0][:, -1], game.nash()[0], atol=0.1)
    assert (np.asarray(trace.reports[0]["step"]) < 0.1).all()
    np.testing.assert_array_equal(trace.calls[0].payoffs[:, -1], 300)


def test_the_template_s_checks():
    with pytest.raises(ValueError, match="shrink"):
        SignAscent(1.0, 1.5)
