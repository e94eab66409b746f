"""Phase portraits: zero sets without poles, marks, paths and basins, and what the figure says."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import CournotDuopoly, Hamiltonian, TorusLocation, ZeroSumQuartic, from_payoffs
from stackjax.learners import BestResponse, Every, GradientAscent, HiC, HierarchicalAscent
from stackjax.plots import _field, _plane, _runs, plot_portrait
from stackjax.schedules import PowerLaw
from stackjax.spaces import Box, Euclidean, Torus

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "differentiable_games.json").read_text())["torus"]
PAIR = (GradientAscent(0.1), GradientAscent(0.1))
HIERARCHICAL = (HierarchicalAscent(0.02), GradientAscent(0.2))


def at(limits, periods=(None, None), game=None):
    return _plane.Plane(game, limits, periods)


@pytest.fixture(scope="module")
def torus():
    """The plane of the location game, and where both hierarchical players' directions change their signs."""
    game = TorusLocation()
    where = _plane.plane(game, None, [])
    field = _field.field_of(game, HIERARCHICAL)
    return where, field, _field.sign_changes(where, field)


def curvature(points):
    """The follower's, in the location game."""
    return -1.3 * np.cos(points[:, 1] - np.pi / 8) + np.cos(points[:, 0] - points[:, 1])


def test_zero_sets_are_zeros_and_poles_are_none(torus):
    where, field, changes = torus
    assert where.limits == ((-np.pi, np.pi), (-np.pi, np.pi))
    for i, change in enumerate(changes):
        zeros = np.concatenate(change.zeros)
        assert np.abs(field(zeros)[:, i]).max() < 1e-2  # where |D| is of the order 1, and steep near its poles
        assert np.median(np.abs(field(zeros)[:, i])) < 1e-5
    leader, follower = changes
    assert follower.breaks == []
    poles = np.concatenate(leader.breaks)
    assert len(poles) > 300 and np.abs(curvature(poles)).max() < 1e-3
    # The zero set runs through all critical points, and the poles' lines come near none but by crossing it.
    for point in GOLDEN["critical_omega_S"]:
        here = (point["x"][0], point["y"][0])
        for change in changes:
            gaps = where.distances(np.concatenate(change.zeros), here)
            assert gaps.min() < 2 * np.pi / 200, here


def test_a_jump_is_no_zero():
    game = from_payoffs(lambda x, y: -jnp.abs(x), lambda x, y: -(y**2), spaces=(Euclidean(()),) * 2)
    where = at(((-1.0, 1.3), (-1.0, 1.3)), game=game)
    leader, follower = _field.sign_changes(where, _field.field_of(game, PAIR))
    assert leader.zeros == [] and np.abs(np.concatenate(leader.breaks)[:, 0]).max() < 1e-6
    assert follower.breaks == [] and np.abs(np.concatenate(follower.zeros)[:, 1]).max() < 1e-6


def test_the_field_is_the_directions_times_the_first_steps():
    game = CournotDuopoly()
    points = np.array([[10.0, 20.0], [46.0, 26.0]])
    found = _field.field_of(game, (HierarchicalAscent(0.5), GradientAscent(0.1)))(points)
    x, y = points.T
    np.testing.assert_allclose(found, np.stack([95 - 2 * x - y + x / 2, 98 - x - 2 * y], 1), rtol=1e-5, atol=1e-4)
    slow = Every(4, GradientAscent(PowerLaw(0.8, 1.0)))
    np.testing.assert_allclose(_field.weights((slow, GradientAscent(0.1))), [0.2, 0.1], rtol=1e-6)
    np.testing.assert_array_equal(_field.weights((slow, BestResponse())), 1.0)
    assert _field.directed(slow) and not _field.directed(Every(2, BestResponse()))
    assert np.isnan(_field.field_of(game, (slow, BestResponse()))(points)[:, 1]).all()


def test_marks_are_merged_and_named():
    found = _plane.marks(CournotDuopoly(), None)
    assert [(round(mark.at[0]), round(mark.at[1]), mark.kind) for mark in found] == [
        (31, 34, "Nash"),
        (46, 26, "Stackelberg"),
    ]
    assert [mark.kind for mark in _plane.marks(CournotDuopoly(costs=(0.0, 80.0)), None)] == ["Nash and Stackelberg"]
    assert _plane.marks(TorusLocation(phi=(0.1, 0.2)), None) == []  # none is known
    pairs = [((np.pi, 0.0), "Nash"), ((-np.pi, np.zeros(1)), "Stackelberg"), ((1.0, 0.0), "neither")]
    found = _plane.marks(TorusLocation(), pairs)
    assert [mark.kind for mark in found] == ["Nash and Stackelberg", "neither"]
    some = SimpleNamespace(actions=(1.0, 2.0), is_nash=False, is_stackelberg=True)
    other = SimpleNamespace(actions=(3.0, 2.0), is_nash=False, is_stackelberg=False)
    assert _plane.marks(ZeroSumQuartic(), [some]) == [_plane.Mark((1.0, 2.0), False, True)]
    found = SimpleNamespace(equilibria=(some,), critical=(some, other))
    assert [mark.kind for mark in _plane.marks(ZeroSumQuartic(), found)] == ["Stackelberg", "neither"]


def test_limits():
    mark = _plane.Mark((1.0, -2.0), True, False)
    assert _plane.plane(CournotDuopoly(), None, []).limits == ((0.0, 100.0), (0.0, 100.0))
    assert _plane.plane(ZeroSumQuartic(), None, [mark]).limits == ((0.5, 1.5), (-3.0, -1.0))
    far = _plane.Mark((1e9, 0.0), False, False)
    assert _plane.plane(ZeroSumQuartic(), None, [mark, far]).limits == ((0.5, 1.5), (-3.0, -1.0))
    assert _plane.plane(ZeroSumQuartic(), None, [_plane.Mark((0.0, 0.0), True, True)]).limits == ((-1.0, 1.0),) * 2


def test_paths_go_on_through_the_seam_and_are_shown_on_both_sides():
    turn = 2 * np.pi
    line = np.array([[3.0, 0.0], [-3.1, 0.1], [-2.9, 0.2], [-3.0, 0.3]])
    joined = _runs.unwrap(line, (turn, None))
    np.testing.assert_allclose(joined[:, 0], [3.0, turn - 3.1, turn - 2.9, turn - 3.0])
    np.testing.assert_allclose(joined[:, 1], line[:, 1])
    where = at(((-np.pi, np.pi), (-1.0, 1.0)), (turn, None))
    firsts = sorted(copy[0, 0] for copy in where.copies(joined))
    np.testing.assert_allclose(firsts, [3.0 - turn, 3.0])
    assert len(where.copies(np.array([[np.pi, 0.0]]))) == 2
    np.testing.assert_allclose(where.distances(np.array([[3.0, 1.0]]), (-3.0, 1.0)), turn - 6)


def test_starts_lie_all_over_the_plane():
    starts = _runs.spread(at(((0.0, 2.0), (-1.0, 1.0))), 40)
    assert starts.min(0) == pytest.approx([0.1, -0.9], abs=0.2) and starts.max(0) == pytest.approx([1.9, 0.9], abs=0.2)
    for low in (0.0, 1.0):  # every quarter has its share
        for below in (-1.0, 0.0):
            inside = (starts >= (low, below)) & (starts < (low + 1, below + 1))
            assert 8 <= inside.all(axis=1).sum() <= 12


def test_basins_are_coloured_by_what_is_reached():
    """The leader climbs to +-1, the follower to pi, across the seam; the noise of the learners is left out."""
    game = from_payoffs(lambda x, y: -((x**2 - 1) ** 2) / 4, lambda x, y: -jnp.cos(y), spaces=(Box(-2.0, 2.0), Torus()))
    marks = list(enumerate(_plane.marks(game, [((-1.0, np.pi), "Nash"), ((1.0, -np.pi), "Nash")])))
    where = _plane.plane(game, None, [])
    noisy = (GradientAscent(0.1, noise_variance=100.0), Every(2, GradientAscent(0.1, noise_variance=100.0)))
    found = _runs.basins(where, noisy, marks, 10, 300, jax.random.key(0))
    np.testing.assert_array_equal(found, np.repeat([[0, 1]], 5, axis=1).repeat(10, axis=0))
    assert (_runs.basins(where, noisy, marks[1:], 4, 300, jax.random.key(0)) == [-1, -1, 1, 1]).all()


@pytest.fixture(scope="module")
def figure():
    """Two methods on the torus, with the golden critical points."""
    kinds = ["Nash" if c["stable_J"] else "neither" for c in GOLDEN["critical_omega"]]
    points = [((*c["x"], *c["y"]), kind) for c, kind in zip(GOLDEN["critical_omega"], kinds, strict=True)]
    for c in GOLDEN["critical_omega_S"]:
        follower, leader = c["own_hess_follower"][0][0], c["total_hess_leader"][0][0]
        points.append(((*c["x"], *c["y"]), "Stackelberg" if min(follower, leader) > 0 else "neither"))
    found = plot_portrait(
        TorusLocation(),
        {"simultaneous": PAIR, "hierarchical": HIERARCHICAL},
        equilibria=points,
        paths=3,
        basins=12,
        rounds=600,
        title="Two angles",
    )
    found.canvas.draw()
    return found


def markers(ax, marker):
    """Where a marker stands, moved by whole turns to [-pi, pi)."""
    found = [(*line.get_xdata(), *line.get_ydata()) for line in ax.lines if line.get_marker() == marker]
    found = [point for point in found if len(point) == 2]
    return {tuple(np.round((np.array(point) + np.pi) % (2 * np.pi) - np.pi, 3)) for point in found}


def test_the_figure_shows_methods_and_marks(figure):
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["simultaneous", "hierarchical"]
    assert [text.get_text() for text in figure.texts] == ["Two angles"]
    assert figure.axes[0].get_ylabel() == "action of follower"
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["−π", "−π/2", "0", "π/2", "π"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "leader's direction is 0",
        "follower's direction is 0",
        "pole or jump of a direction",
        "Nash equilibrium",
        "Stackelberg equilibrium",
        "other critical point",
        "path from its start",
    ]
    stackelberg = {(-0.525, 1.246), (1.311, -0.461)}
    for ax in figure.axes:
        assert markers(ax, "D") == stackelberg
        assert len(markers(ax, "X")) == 4  # those of both dynamics coincide
        assert markers(ax, "o") >= {(-0.783, 1.182), (1.569, -0.397)}
    # Two basins each, in colours of their own, that are the colours of what is reached.
    shades = [{tuple(pixel) for pixel in np.asarray(ax.images[0].get_array()).reshape(-1, 3)} for ax in figure.axes]
    assert [len(found) for found in shades] == [2, 2] and not shades[0] & shades[1]


def test_the_legend_lies_below_and_within_the_figure(figure):
    legend = figure.legends[0].get_window_extent()
    lowest = min(ax.get_tightbbox().y0 for ax in figure.axes)
    assert legend.x0 >= 0 and legend.x1 <= figure.bbox.width and 0 <= legend.y0 < legend.y1 <= lowest
    left, right = (ax.get_tightbbox() for ax in figure.axes)
    assert left.x0 >= 0 and left.x1 <= right.x0 and right.x1 <= figure.bbox.width


def test_learners_without_a_direction():
    """A best response shows its answers, Hi-C nothing; there is no field, and there are paths."""
    leader = HiC(PowerLaw(1.5, 1.0, offset=10.0), PowerLaw(10.0, 1 / 6), 5)
    pairs = {"answers": (HierarchicalAscent(0.05), BestResponse()), "hi-c": (leader, GradientAscent(0.25))}
    figure = plot_portrait(CournotDuopoly(), pairs, paths=[[20.0, 80.0]], basins=False, rounds=100)
    figure.canvas.draw()
    answers, committed = figure.axes
    assert [len(ax.collections) for ax in figure.axes] == [0, 0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "leader's direction is 0",
        "follower's best response",
        "follower's direction is 0",
        "Nash equilibrium",
        "Stackelberg equilibrium",
        "path from its start",
    ]
    curve = next(line for line in answers.lines if line.get_linestyle() == "--")
    x, y = curve.get_data()
    np.testing.assert_allclose(y, np.maximum(49 - x / 2, 0), atol=1e-4)
    path = answers.lines[2].get_xydata()  # after the zero set and the answers
    np.testing.assert_allclose(path[0], [20.0, 39.0], rtol=1e-6)
    np.testing.assert_allclose(path[-1], [46.0, 26.0], atol=0.5)
    assert sum(len(line.get_xdata()) > 2 for line in committed.lines) == 2  # the follower's zero set, and the path


def test_a_field_without_basins_has_a_scale_and_what_is_undefined_is_said():
    pairs = {"simultaneous": PAIR, "hierarchical": HIERARCHICAL}
    figure = plot_portrait(Hamiltonian(), pairs, limits=((-2, 2), (-1, 1)), paths=1, rounds=5, action_labels=("x", "y"))
    figure.canvas.draw()
    left, right, bar = figure.axes[0], figure.axes[1], figure.axes[0].child_axes
    assert (left.get_xlim(), left.get_ylim(), left.get_xlabel()) == ((-2.0, 2.0), (-1.0, 1.0), "x")
    assert left.collections and not left.images and not right.collections and not bar
    assert [text.get_text() for text in right.texts] == ["leader's direction isn't defined"]
    figure = plot_portrait(Hamiltonian(), PAIR, limits=((-2, 2), (-1, 1)), paths=0)
    assert figure.axes[0].child_axes[0].get_ylabel() == "length of the field"


LINE = Euclidean(())


@pytest.mark.parametrize(
    ("spaces", "changes", "error", "message"),
    [
        ((LINE,) * 3, {"learners": PAIR + PAIR[:1]}, ValueError, r"^game: a phase portrait has two players, Function"),
        ((LINE, Euclidean((2,))), {}, ValueError, r"^game: .* one-dimensional players.*player 1's space is Euclidean"),
        ((Euclidean({"a": ()}), LINE), {}, ValueError, r"^game: .* one-dimensional players.*player 0's space"),
        ((LINE, LINE), {}, ValueError, r"^limits: player 0's space has no bounds and no equilibria are known; give"),
        ((LINE, LINE), {"limits": ((0, 1), (1, 1))}, ValueError, r"^limits: expected \(\(x low, x high\)"),
        ((LINE, LINE), {"limits": "all"}, ValueError, r"^limits: expected \(\(x low, x high\)"),
        ((Box(0.0, 1.0), LINE), {"limits": ((0, 2), (0, 1))}, ValueError, r"^limits: .* inside player 0's space"),
        ((LINE, LINE), {"learners": PAIR[:1]}, ValueError, r"^learners: FunctionGame has 2 players, got 1"),
        ((LINE, LINE), {"learners": PAIR[0]}, TypeError, r"^learners: expected one learner a player, or a dictionary"),
        ((LINE, LINE), {"learners": {}}, TypeError, r"^learners: expected one learner a player, or a dictionary"),
        ((LINE, LINE), {"equilibria": 3}, TypeError, r"^equilibria: expected what stackjax.equilibria.find returned"),
        ((LINE, LINE), {"equilibria": [((0, 0), "nash")]}, ValueError, r"^equilibria: .* its kind, one of \('Nash and"),
        ((LINE, LINE), {"equilibria": [((0,), "Nash")]}, ValueError, r"^equilibria: expected joint actions of two num"),
        ((LINE, LINE), {"equilibria": [((0, np.inf), "Nash")]}, ValueError, r"^equilibria: expected finite actions"),
        ((Torus(), Torus()), {"paths": -1}, ValueError, r"^paths: expected a number of paths or starts \[number, 2\]"),
        ((Torus(), Torus()), {"paths": [1.0, 2.0]}, ValueError, r"^paths: expected a number of paths or starts"),
        ((Torus(), Torus()), {"basins": 0}, ValueError, r"^basins: expected at least 1"),
        ((Torus(), Torus()), {"rounds": 0}, ValueError, r"^rounds: expected at least 1"),
        ((Torus(), Torus()), {"key": 0}, TypeError, r"^key: expected one jax.random key"),
        ((Torus(), Torus()), {"action_labels": ["x"]}, ValueError, r"^action_labels: expected one label for each"),
    ],
)
def test_bad_arguments_are_named(spaces, changes, error, message):
    game = from_payoffs(*[lambda *z: -(z[0] ** 2)] * len(spaces), spaces=spaces)
    with pytest.raises(error, match=message):
        plot_portrait(game, **({"learners": PAIR} | changes))
