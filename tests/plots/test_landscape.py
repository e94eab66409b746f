"""What the landscape of a leader's payoff shows, against closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import Bimatrix, CournotDuopoly, TorusLocation, from_costs, from_payoffs
from stackjax.plots import _plane, plot_landscape
from stackjax.plots.landscape import answers
from stackjax.spaces import Box, Euclidean

LINE = (Euclidean(()),) * 2
#: The follower's best answer jumps at x = 1 from .957 to -.957 (Mirrlees' problem, in costs).
MIRRLEES = from_costs(
    lambda x, y: (x - 2) ** 2 + (y - 1) ** 2,
    lambda x, y: -x * jnp.exp(-((y + 1) ** 2)) - jnp.exp(-((y - 1) ** 2)),
    spaces=LINE,
)


def found(game, limits=None, n=101):
    return answers(_plane.plane(game, limits, _plane.marks(game, None)), n)


def test_answers_are_the_best_ones():
    a = found(CournotDuopoly())
    np.testing.assert_allclose(a.y, np.maximum(0, (98 - a.x) / 2), atol=1e-6)
    np.testing.assert_allclose(a.value, a.x * (95 - a.x - a.y), atol=1e-4)
    assert a.held.tolist() == (a.x >= 98).tolist() and not a.jumps.size


def test_an_answer_that_jumps_is_cut():
    a = found(MIRRLEES, ((0.0, 3.0), (-2.0, 2.0)))
    assert a.jumps.tolist() == [np.searchsorted(a.x, 1.0)]
    np.testing.assert_allclose(a.y[a.jumps[0] - 1 : a.jumps[0] + 1], [0.957, -0.957], atol=2e-3)
    assert not a.held.any()


def test_constraints_hold_an_answer_and_may_leave_none():
    budget = from_payoffs(
        lambda x, y: -((x - 1) ** 2) - y**2,
        lambda x, y: -((y - 3) ** 2),
        spaces=(Box(-2.0, 3.0), Box(0.0, 4.0)),
        inequalities=(None, lambda x, y: x + y - 2),
    )
    a = found(budget)
    allowed = a.x <= 2
    np.testing.assert_allclose(a.y[allowed], np.minimum(3, 2 - a.x[allowed]), atol=1e-6)
    assert np.isnan(a.y[a.x > 2.001]).all() and np.isnan(a.value[a.x > 2.001]).all()
    inside = np.abs(a.x + 1) > 1e-3
    assert (a.held == (a.x > -1))[allowed & inside].all()


def test_of_tied_answers_the_leader_s_best_is_taken():
    """A follower whom nothing concerns, and one that is paid alike at both ends."""
    indifferent = from_payoffs(lambda x, y: -((y - 0.3) ** 2) - x**2, lambda x, y: 0.0 * y, spaces=(Box(0, 1),) * 2)
    np.testing.assert_allclose(found(indifferent).y, 0.3, atol=1 / 800)
    ends = from_payoffs(lambda x, y: y - x, lambda x, y: (y - 0.5) ** 2, spaces=(Box(0, 1),) * 2)
    np.testing.assert_allclose(found(ends).y, 1.0)


def test_a_leader_has_no_value_beyond_its_own_constraints():
    game = from_payoffs(
        lambda x, y: x,
        lambda x, y: -((y - x) ** 2),
        spaces=(Box(0, 1),) * 2,
        inequalities=(lambda x, y: x + y - 1, None),
    )
    a = found(game)
    assert np.isfinite(a.value[a.x < 0.499]).all() and np.isnan(a.value[a.x > 0.501]).all()
    assert np.isfinite(a.y).all()


def test_answers_go_round_the_torus_without_a_jump():
    game = TorusLocation()
    a = found(game)
    assert not a.held.any()
    for x, y in zip(a.x, a.y, strict=True):
        rivals = np.array([float(game.payoffs(x, other)[1]) for other in np.linspace(-np.pi, np.pi, 41)])
        assert float(game.payoffs(x, y)[1]) >= rivals.max() - 1e-5


def test_it_shows_the_value_its_maximum_and_the_equilibria():
    game = CournotDuopoly(100.0, (5.0, 40.0))
    figure = plot_landscape(
        game, title="A rival kept out", action_labels=("q1", "q2"), payoff_label="profit", resolution=101
    )
    upper, lower = figure.axes[:2]
    (curve,) = (line for line in lower.lines if len(line.get_xdata()) == 101)
    assert np.nanmax(curve.get_ydata()) == pytest.approx(2100.0, abs=1e-3)
    assert [text.get_text() for text in lower.texts] == ["largest: 2100 at 60"]
    named = {text.get_text() for text in upper.get_legend().get_texts()}
    assert named == {
        "the follower's best answer",
        "its best answer, held",
        "Nash equilibrium",
        "Stackelberg equilibrium",
    }
    assert (lower.get_xlabel(), upper.get_ylabel()) == ("q1", "q2")
    assert lower.get_ylabel() == "profit\nif answered"


def test_a_jump_breaks_the_lines():
    figure = plot_landscape(
        MIRRLEES, limits=((0, 3), (-2, 2)), equilibria=[((1.0, 0.957), "Stackelberg")], resolution=61
    )
    solid = [line for line in figure.axes[1].lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]
    assert len(solid) == 2
    assert all(np.all(np.isfinite(line.get_ydata())) for line in solid)


@pytest.mark.parametrize(
    ("game", "options", "match"),
    [
        (MIRRLEES, {}, "^limits: player 0's space has no bounds"),
        (MIRRLEES, {"limits": ((0, 1), (1, 0))}, "^limits: expected"),
        (Bimatrix(np.eye(2), np.eye(2)), {}, "^game: a phase portrait has one-dimensional players"),
        (CournotDuopoly(), {"resolution": 1}, "^resolution: "),
        (
            from_payoffs(*[lambda x, y: -x] * 2, spaces=(Box(0, 1),) * 2, equalities=(None, lambda x, y: y - x)),
            {},
            "^game: expected inequalities at most",
        ),
        (CournotDuopoly(), {"action_labels": ("q",)}, "^action_labels: "),
        (
            from_payoffs(*[lambda x, y: -x * y] * 2, spaces=(Box(0, 1),) * 2, levels=((0, 1),)),
            {},
            "^game: expected a leader",
        ),
        (from_payoffs(*[lambda x, y: x + jnp.nan] * 2, spaces=(Box(0, 1),) * 2), {}, "^game: no answer"),
    ],
)
def test_what_it_cannot_draw_is_said(game, options, match):
    with pytest.raises(ValueError, match=match):
        plot_landscape(game, **options)
