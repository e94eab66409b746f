"""Equilibria at bounds and constraints: multipliers, critical cones, kinks of the leader's value, and the search."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Game, equilibria
from stackjax.equilibria._multipliers import multipliers, second_order
from stackjax.games import CournotDuopoly, from_costs, from_payoffs
from stackjax.spaces import Box, Euclidean, Polytope, Simplex
from tests.equilibria.examples import LINE, certify, pair

pytestmark = pytest.mark.xdist_group("boundary")  # they share programs
KEY = jax.random.key(0)
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "constrained_games.json").read_text())


def find(game, starts=16, replies=0, **options):
    return equilibria.find(game, KEY, starts, replies=replies, **options)


def close(got, expected, tolerance=1e-9):
    np.testing.assert_allclose(np.concatenate([np.ravel(a) for a in got]), expected, rtol=0, atol=tolerance)


def one(certificates):
    (found,) = certificates
    return found


# --- Cournot: a follower that stays out

BLOCKADED = CournotDuopoly(100.0, (5.0, 60.0))
DETERRED = CournotDuopoly(100.0, (5.0, 40.0))


def test_a_follower_that_stays_out_is_at_both_equilibria():
    found = certify(BLOCKADED, 47.5, 0.0)
    assert found.kind == "Nash and Stackelberg" and not found.why_not_nash
    assert [(a.player, a.constraint, a.weakly_active, a.conditions) for a in found.active] == [
        (1, "lower bound", False, "Nash"),
        (1, "lower bound", False, "Stackelberg"),
    ]
    np.testing.assert_allclose([a.multiplier for a in found.active], 7.5, atol=1e-9)
    np.testing.assert_allclose([*found.nash_residuals, *found.stackelberg_residuals], 0.0, atol=1e-9)
    np.testing.assert_allclose(found.own_spectra[0], [-2.0])
    np.testing.assert_allclose(found.total_spectra[0], [-2.0])  # the follower's answer stays
    assert found.own_spectra[1].size == 0  # nothing is left to move
    for dynamics in (found.simultaneous, found.hierarchical):
        assert dynamics.at_rest and dynamics.stable
        np.testing.assert_allclose(dynamics.jacobian, [[-2.0]])
    text = str(found)
    assert "active constraints" in text and "the follower's lower bound: multiplier 7.5" in text
    close(one(find(BLOCKADED).critical).actions, [47.5, 0.0])


def test_entry_deterrence_is_a_kink_of_the_leaders_value():
    found = certify(DETERRED, 60.0, 0.0)
    assert found.kind == "Stackelberg" and found.payoffs[0] == pytest.approx(2100.0)
    assert one({a.weakly_active for a in found.active})
    said = " ".join(found.notes)
    assert "a kink of the leader's value: a local maximum by its one-sided derivatives" in said
    assert "5 on the side" in said and "-25 on the side" in said
    assert "weakly active" in str(found) and said.split(":")[0] in str(found)
    assert not found.hierarchical.at_rest
    # On either side of it, and where the value doesn't fall to both sides.
    for x, y in ((60.0 + 1e-3, 0.0), (60.0 - 1e-3, 5e-4)):
        assert not certify(DETERRED, x, y).is_stackelberg
    cheap = certify(CournotDuopoly(100.0, (50.0, 40.0)), 60.0, 0.0)
    assert not cheap.is_stackelberg and "on the side where" in " ".join(cheap.why_not_stackelberg)
    assert not certify(CournotDuopoly(100.0, (5.0, 60.0)), 40.0, 0.0).is_stackelberg  # rises to the right

    both = find(DETERRED)
    close(one(both.stackelberg).actions, [60.0, 0.0])
    close(one(both.nash).actions, [130 / 3, 25 / 3])
    assert both.converged == (16, 16) and not both.notes


@pytest.mark.parametrize("entry", GOLDEN["cournot"], ids=lambda e: f"{e['leader']:.1f}")
def test_golden_duopolies(entry):
    game = CournotDuopoly(entry["demand"], tuple(entry["costs"]))
    best = find(game).stackelberg[0]
    close(best.actions, [entry["leader"], entry["follower"]], 1e-5)
    assert best.payoffs[0] == pytest.approx(entry["leader_payoff"], rel=1e-7)
    assert certify(game, *best.actions).is_stackelberg


# --- golden games on simplices and in boxes


class OnSimplex(Game):
    """f1 = -(x - a)^2 - b (y_0 - c)^2, f2 = -|y - (x, target)|^2, y in the simplex."""

    a: float
    b: float
    c: float
    target: jax.Array
    spaces = (LINE, Simplex(3))
    levels = ((0,), (1,))

    def payoffs(self, x, y):
        aim = jnp.concatenate([x[None], jnp.asarray(self.target)])
        return -((x - self.a) ** 2) - self.b * (y[0] - self.c) ** 2, -jnp.sum((y - aim) ** 2)


class InBox(Game):
    """f1 = -(x - p)^2 - (y - q)^2, f2 = -(y - r x)^2, y in [low, high]."""

    p: float
    q: float
    r: float
    low: float
    high: float
    levels = ((0,), (1,))

    @property
    def spaces(self):
        return LINE, Box(self.low, self.high)

    def payoffs(self, x, y):
        return -((x - self.p) ** 2) - (y - self.q) ** 2, -((y - self.r * x) ** 2)


def number(*values):
    return tuple(np.float64(v) for v in values)


def test_golden_simplices():
    for e in GOLDEN["simplex"]:
        game = OnSimplex(*number(e["a"], e["b"], e["c"]), np.asarray(e["target"]))
        best = find(game).stackelberg[0]
        close(best.actions, [e["x"], *e["y"]], 1e-5)
        assert best.payoffs[0] == pytest.approx(e["leader_payoff"], abs=1e-6)
    best = find(OnSimplex(*number(0.2, 4.0, 0.7), np.array([0.3, 0.1]))).stackelberg[0]
    assert float(best.actions[0]) == pytest.approx(0.552, abs=1e-6)


def test_golden_boxes():
    for e in GOLDEN["box"]:
        found = find(InBox(*number(*(e[k] for k in ("p", "q", "r", "low", "high")))))
        best = found.stackelberg[0]
        close(best.actions, [e["x"], e["y"]], 1e-5)
        assert best.payoffs[0] == pytest.approx(e["leader_payoff"], abs=1e-5)
    held = one(find(InBox(*number(1.0, 3.0, 2.0, 0.0, 1.0))).stackelberg)
    close(held.actions, [1.0, 1.0])
    assert one({a.multiplier for a in held.active}) == pytest.approx(2.0)


# --- the leader's own bound, budgets, vertices


def test_a_tax_at_its_bound_is_found_and_the_bound_is_named():
    game = pair(lambda x, y: x * y, lambda x, y: -((y - (1 - x)) ** 2), (Box(0.0, 0.4), LINE))  # freely 1/2
    found = find(game)
    best = found.stackelberg[0]
    close(best.actions, [0.4, 0.6])
    assert not [n for n in found.notes if "no start" in n]
    assert "the leader's upper bound" in str(best) and "upper bound" in " ".join(best.notes)
    for certificate in (best, certify(game, np.float32(0.4), np.float32(0.6))):
        (total,) = [a for a in certificate.active if a.conditions == "Stackelberg"]
        assert certificate.is_stackelberg and total.multiplier == pytest.approx(0.2, abs=1e-5)
    short = certify(game, 0.3, 0.7)
    assert not short.is_stackelberg and not short.active
    outside = certify(game, 0.5, 0.5)
    assert not outside.is_nash and not outside.is_stackelberg
    assert "outside of its space, by 0.1" in " ".join(outside.why_not_stackelberg)


def budget(leader=None):
    """The follower buys y at the prices (1, 2) from a budget x, of which it would like to have 7."""
    return from_payoffs(
        lambda x, y: -((x - 2.2) ** 2) + y[0],
        lambda x, y: -((y[0] - 3) ** 2) - (y[1] - 2) ** 2,
        spaces=(LINE, Euclidean((2,))),
        inequalities=(leader, lambda x, y: y[0] + 2 * y[1] - x),
    )


def test_a_budget_against_its_closed_form():
    """At nu = (7 - x) / 2.5, y = (3 - nu / 2, 2 - nu), so that dy_0 / dx = 1 / 5."""
    game, x, nu = budget(), 2.3, (7 - 2.3) / 2.5
    y = np.array([3 - nu / 2, 2 - nu])
    found = certify(game, x, y)
    assert found.kind == "Stackelberg" and len(found.active) == 2
    for active in found.active:
        assert (active.player, active.constraint) == (1, "inequality 0")
        assert active.multiplier == pytest.approx(nu) and active.value == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.total_spectra[0], [-2.0], atol=1e-9)
    np.testing.assert_allclose(found.own_spectra[1], [-2.0], atol=1e-9)  # along the budget's line
    assert found.nash_residuals[0] == pytest.approx(0.2)
    # The follower's goods move with the budget, so that the leader's step moves both.
    np.testing.assert_allclose(np.sort(found.hierarchical.eigenvalues.real), [-2.0, -2.0], atol=1e-9)
    beyond = certify(game, x, y + 0.1)
    assert "the follower violates its inequality 0 by 0.3" in " ".join(beyond.why_not_nash)
    assert beyond.kind == "neither"
    best = one(find(game).stackelberg)
    close(best.actions, [x, *y])


def test_a_leader_whose_constraint_depends_on_the_answer():
    """x is best at 3, y = x / 2 may be 1 at most: 2 (3 - 2) = nu / 2."""
    game = from_payoffs(
        lambda x, y: -((x - 3) ** 2),
        lambda x, y: -((y - x / 2) ** 2),
        spaces=(LINE, LINE),
        inequalities=(lambda x, y: y - 1, None),
    )
    best = one(find(game).critical)
    close(best.actions, [2.0, 1.0])
    assert best.kind == "Stackelberg"
    assert [a.multiplier for a in best.active] == pytest.approx([0.0, 4.0])
    assert "multiplier 0, weakly active (Nash), 4 (Stackelberg)" in str(best)


def test_equalities_have_multipliers_of_either_sign():
    game = from_payoffs(
        lambda x: -jnp.sum(x**2), spaces=(Euclidean((2,)),), equalities=(lambda x: (x[0] + x[1] - 2, x[0] - 3 * x[1]),)
    )
    found = certify(game, np.array([1.5, 0.5]))
    assert found.kind == "Nash and Stackelberg" and found.own_spectra[0].size == 0
    close([[a.multiplier for a in found.active[::2]]], [-2.5, -0.5])
    assert certify(game, np.array([1.0, 1.0])).kind == "neither"


def test_a_strict_vertex_needs_no_curvature():
    """A linear, and even a convex, payoff is best in a corner that both bounds' multipliers hold."""
    square = Polytope([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], [1.0, 1.0, 1.0, 1.0])
    game = pair(lambda x, y: -(x**2) + y[0], lambda x, y: 2 * y[0] + y[1] + jnp.sum(y**2), (LINE, square))
    found = certify(game, 0.0, np.ones(2))
    assert found.kind == "Nash and Stackelberg"
    assert found.own_spectra[1].size == 0 and not [n for n in found.notes if "singular" in n or "definite" in n]
    assert [a.constraint for a in found.active[::2]] == ["row 0 of A z <= b", "row 1 of A z <= b"]
    close([[a.multiplier for a in found.active[::2]]], [4.0, 3.0])
    edge = certify(game, 0.0, np.array([1.0, -0.5]))  # stationary along the edge, and a minimum there
    assert edge.kind == "neither" and "isn't negative definite" in " ".join(edge.why_not_nash)


def test_weakly_active_bounds_leave_half_spaces():
    """At 0 nothing presses; -u^2 + 3 uv - v^2 rises along u = v, which bounds at 0 leave open or not."""

    def game(low, high):
        return from_payoffs(
            lambda z: -(z[0] ** 2) + 3 * z[0] * z[1] - z[1] ** 2, spaces=(Box(np.array(low), np.array(high), (2,)),)
        )

    assert certify(game([0.0, -1.0], [1.0, 0.0]), np.zeros(2)).is_nash  # u >= 0 >= v
    rising = certify(game([0.0, 0.0], [1.0, 1.0]), np.zeros(2))
    assert not rising.is_nash and all(a.weakly_active for a in rising.active)


def test_a_smooth_seam_is_no_kink():
    """The leader's value has one second derivative to each side of 0, and is best there, whatever the follower does."""
    game = pair(lambda x, y: -(x**2) + x * y / 2, lambda x, y: -((y - x) ** 2), (LINE, Box(0.0, 1.0)))
    found = certify(game, 0.0, 0.0)
    assert found.kind == "Nash and Stackelberg" and found.hierarchical.at_rest
    assert "one second derivative for each side" in " ".join(found.notes)
    convex = pair(lambda x, y: -(x**2) + 2 * x * y, lambda x, y: -((y - x) ** 2), (LINE, Box(0.0, 1.0)))
    assert not certify(convex, 0.0, 0.0).is_stackelberg  # -x^2 to the left, x^2 to the right


def test_two_kinks_at_once():
    """Two followers' bounds are met at x = 0, where the leader is paid -|x|, or 0 to the right."""
    game = from_payoffs(
        lambda x, y, z: -x + y - 3 * z,
        lambda x, y, z: -((y - x) ** 2),
        lambda x, y, z: -((z + x) ** 2),
        spaces=(Box(-1.0, 1.0), Box(0.0, 1.0), Box(0.0, 1.0)),
    )
    found = certify(game, 0.0, 0.0, 0.0)
    assert not found.is_stackelberg  # to the right the value is flat
    steeper = from_payoffs(
        lambda x, y, z: -2 * x + y - 3 * z,
        lambda x, y, z: -((y - x) ** 2),
        lambda x, y, z: -((z + x) ** 2),
        spaces=(Box(-1.0, 1.0), Box(0.0, 1.0), Box(0.0, 1.0)),
    )
    found = certify(steeper, 0.0, 0.0, 0.0)
    assert found.is_stackelberg and "kink" in " ".join(found.notes)


# --- what isn't finite, and what is an equilibrium only locally


def test_payoffs_that_are_nan_have_no_critical_points():
    nowhere = find(pair(lambda x, y: jnp.nan * x, lambda x, y: -((y - x) ** 2)), 8)
    assert nowhere.critical == () and nowhere.converged == (0, 0)
    assert "the leader's payoff isn't finite at any start" in str(nowhere)
    found = certify(pair(lambda x, y: jnp.nan + 0 * x, lambda x, y: -((y - x) ** 2)), 0.0, 0.0)
    assert found.kind == "neither" and "payoff isn't finite here" in " ".join(found.why_not_nash)


def test_rows_whose_follower_answers_better_elsewhere_are_marked():
    game = from_costs(
        lambda x, y: (x - 2) ** 2 + (y - 1) ** 2,
        lambda x, y: -x * jnp.exp(-((y + 1) ** 2)) - jnp.exp(-((y - 1) ** 2)),
        spaces=(LINE, LINE),
    )
    starts = np.array([2.0, 2.0, 2.0]), np.array([0.9, -1.0, -0.9])
    found = find(game, starts, replies=16)
    sham, honest = found.stackelberg
    assert float(sham.actions[0]) == pytest.approx(1.991, abs=1e-3)
    assert sham.advantage is None and sham.better_reply is not None and sham.better_reply[1] < 0
    assert honest.advantage is not None and honest.better_reply is None
    row = str(found).splitlines()[1]
    assert "the follower answers better elsewhere" in row
    assert "better answer elsewhere" in " ".join(found.notes)


def test_better_replies_keep_to_constraints():
    """Of the two maxima at -1 and 1 the right one pays more, and the budget forbids it."""

    def game(most):
        return from_payoffs(
            lambda x, y: -(x**2),
            lambda x, y: -((y**2 - 1) ** 2) + y / 4,
            spaces=(LINE, LINE),
            inequalities=(None, lambda x, y: y - x - most),
        )

    left = float(np.sort(np.roots([-4.0, 0.0, 4.0, 0.25]).real)[0])
    assert certify(game(2.0), 0.0, left, replies=8).better_reply is not None
    assert certify(game(0.0), 0.0, left, replies=8).better_reply is None


# --- a theorem, and what it rests on


class Boxed(Game):
    """Payoffs `b' z - z' Q z / 2` of two players with two coordinates each, in [0, 1]."""

    Q: jax.Array
    b: jax.Array
    spaces = (Box(np.zeros(2), np.ones(2), (2,)),) * 2
    levels = ((0,), (1,))

    def payoffs(self, x, y):
        z = jnp.concatenate([x, y])
        return tuple(z @ (jnp.asarray(self.b)[i] - jnp.asarray(self.Q)[i] @ z / 2) for i in range(2))


def test_no_player_gains_by_leaving_a_nash_point_of_a_concave_game():
    rng, axis = np.random.default_rng(0), np.linspace(0, 1, 21)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    payoffs = eqx.filter_jit(lambda game, x, y: jax.vmap(lambda x, y: jnp.stack(game.payoffs(x, y)))(x, y))
    at_bounds = 0
    for _ in range(12):  # the theorem: a concave payoff's local maximum is its best response
        Q = rng.normal(size=(2, 4, 4))
        Q = Q @ np.swapaxes(Q, 1, 2) / 2 + 0.1 * np.eye(4)
        game = Boxed(Q, rng.normal(size=(2, 4)) * 2)
        found = find(game, 8)
        assert found.nash
        for c in found.nash:
            at_bounds += bool(c.active)
            for i, z in enumerate(c.actions):
                others = np.broadcast_to(c.actions[1 - i], grid.shape)
                with jax.enable_x64(True):
                    there = np.asarray(payoffs(game, *((grid, others) if i == 0 else (others, grid))))[:, i]
                assert there.max() <= c.payoffs[i] + 1e-9, (z, grid[there.argmax()])
    assert at_bounds > 6


def test_the_critical_cone_by_samples():
    """The verdict on random forms and cones is that of many directions in them."""
    rng, seen = np.random.default_rng(1), set()
    directions = rng.normal(size=(4000, 3))
    for _ in range(200):
        form, rows = rng.normal(size=(3, 3)) - 1.2 * np.eye(3), rng.normal(size=(rng.integers(1, 4), 3))
        verdict = second_order(form, np.zeros((0, 3)), rows, 1e-8)[1]
        inside = directions[np.all(directions @ rows.T <= 0, axis=1)]
        values = np.einsum("ni,ij,nj->n", inside, form, inside) / np.sum(inside**2, axis=1)
        most = np.max(values, initial=-np.inf)
        if abs(most) > 0.05:  # samples don't reach the very maximum
            assert verdict == (most < 0)
            seen.add(verdict)
    assert seen == {True, False}


def test_multipliers_are_a_least_squares_fit_with_signs():
    rows = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    nu, left = multipliers(rows, np.array([4.0, -3.0]), np.zeros(3, bool))
    np.testing.assert_allclose(rows.T @ nu + left, [4.0, -3.0])
    np.testing.assert_allclose(left, [0.0, -3.0], atol=1e-12)
    signed, none = multipliers(rows[:2], np.array([4.0, -3.0]), np.array([False, True]))
    np.testing.assert_allclose(signed, [2.0, -3.0])
    np.testing.assert_allclose(none, 0.0, atol=1e-12)
