"""Leaders whose optimum is a vertex of the follower's answer: found, certified, and told from those that aren't."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Game
from stackjax.equilibria import find as search
from stackjax.games import from_payoffs
from stackjax.games.bilevel_problems import PROBLEMS
from stackjax.spaces import Box, Euclidean
from tests.equilibria.examples import LINE, certify

KEY = jax.random.key(0)
ROWS = 9


class Linear(Game):
    """Payoffs `a_i x + b_i y` of a number each, and rows `A (x, y) <= c` that are the follower's."""

    a: jax.Array
    b: jax.Array
    A: jax.Array  # [ROWS, 2]
    c: jax.Array
    spaces = (LINE, LINE)
    levels = ((0,), (1,))

    def payoffs(self, x, y):
        return tuple(jnp.asarray(self.a)[i] * x + jnp.asarray(self.b)[i] * y for i in range(2))

    def inequalities(self, player, actions):
        if player == 0:
            return None
        A, c = (jnp.asarray(part, actions[0].dtype) for part in (self.A, self.c))
        return A @ jnp.stack(actions) - c


def linear(a, b, A, c):
    """With rows that never bind where there are fewer, so that one program serves all."""
    more = ROWS - len(c)
    rows = np.concatenate([np.asarray(A, float), np.zeros((more, 2))])
    return Linear(
        np.asarray(a, float), np.asarray(b, float), rows, np.concatenate([np.asarray(c, float), np.ones(more)])
    )


def as_linear(game):
    """A problem of one number each whose payoffs and constraints are linear, its bounds among the rows."""

    def rows(x, y):
        bounds = [space.inequalities(jnp.asarray(z))[:1] for space, z in zip(game.spaces, (x, y), strict=True)]
        return np.concatenate([np.ravel(r) for r in (*bounds, game.inequalities(1, (jnp.asarray(x), jnp.asarray(y))))])

    zero, x, y = ((np.asarray(game.payoffs(*z)), rows(*z)) for z in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    return linear(x[0], y[0], np.stack([x[1] - zero[1], y[1] - zero[1]], 1), -zero[1])


def find(game, starts=24, limits=(0.0, 20.0)):
    return search(game, KEY, starts, replies=0, limits=limits)


@pytest.mark.parametrize(
    "name", ["bard_1984a", "bard_1984b", "ben_ayed_blair_1990", "bialas_karwan_1984", "liu_hart_1994"]
)
def test_linear_problems_of_the_literature(name):
    game, solution, leader_cost, _, _ = PROBLEMS[name]
    game = as_linear(game)
    best = find(game).stackelberg[0]
    np.testing.assert_allclose(best.actions, solution, rtol=0, atol=1e-9)
    assert best.payoffs[0] == pytest.approx(-leader_cost, abs=1e-9)
    assert "by its one-sided derivatives" in " ".join(best.notes) and not best.hierarchical.at_rest


TENT = [[-1.0, 1.0], [1.0, 1.0]], [0.0, 2.0]  # y <= min(x, 2 - x)


def test_two_constraints_that_press_on_one_answer():
    """The follower takes the most, min(x, 2 - x): a kink for who likes that, and a minimum for who doesn't."""
    found = find(linear([0, 0], [1, 1], *TENT))
    (best,) = found.stackelberg
    np.testing.assert_allclose(best.actions, [1.0, 1.0], atol=1e-9)
    said = " ".join(best.notes)
    assert "a kink of the leader's value: a local maximum by its one-sided derivatives" in said
    assert "1 on the side where inequality 0 is held" in said and "-1 on the side where inequality 1 is held" in said
    against = certify(linear([0, 0], [-1, 1], *TENT), 1.0, 1.0)
    assert against.kind == "neither" and "value rises on the side" in " ".join(against.why_not_stackelberg)
    along = certify(linear([2, 0], [1, 1], *TENT), 1.0, 1.0)  # 3 to the left, 1 to the right
    assert along.kind == "neither"


def test_where_the_answers_end():
    """y in [x, 2 - x]: beyond x = 1 there is none. The follower takes the least."""
    rows = [[1.0, -1.0], [1.0, 1.0]], [0.0, 2.0]
    best = certify(linear([0, 0], [1, -1], *rows), 1.0, 1.0)
    assert best.kind == "Stackelberg" and not best.hierarchical.at_rest
    assert "the leader's value ends here: a local maximum by its one-sided derivatives" in " ".join(best.notes)
    assert "no answer nearby" in str(best)
    assert certify(linear([0, 0], [-1, -1], *rows), 1.0, 1.0).kind == "neither"  # it falls towards there
    flat = certify(linear([1, 0], [-1, -1], *rows), 1.0, 1.0)  # x - y is 0 all along
    assert flat.kind == "neither" and "isn't negative definite" in " ".join(flat.why_not_stackelberg)


def test_gradients_that_depend_on_each_other_at_the_point_alone_are_undecided():
    """y1 + x y2 <= 0 has y1 <= 0's gradient at x = 0 and no longer beside it."""

    class Turning(Game):
        spaces = (LINE, Euclidean((2,)))
        levels = ((0,), (1,))

        def payoffs(self, x, y):
            return -(x**2), y[0] - y[1] ** 2

        def inequalities(self, player, actions):
            x, y = actions
            return jnp.stack([y[0], y[0] + x * y[1]]) if player else None

    found = certify(Turning(), 0.0, np.zeros(2))
    assert not found.is_stackelberg
    assert "isn't decided: the gradients of active constraints depend on each other" in str(found)


def exact(game):
    """The leader's best value: it is linear between those x at which two rows meet."""
    A, c = game.A, game.c
    meet = [
        np.linalg.solve(A[[i, j]], c[[i, j]])[0]
        for i in range(ROWS)
        for j in range(i)
        if abs(np.linalg.det(A[[i, j]])) > 1e-9
    ]
    values = [(value(game, x), x) for x in meet]
    return max((v for v in values if np.isfinite(v[0])), default=(-np.inf, 0.0))


def value(game, x):
    """The leader's payoff for x, -infinity where the follower has no answer."""
    slope, room = game.A[:, 1], game.c - game.A[:, 0] * x
    above, below, rest = slope > 1e-12, slope < -1e-12, np.abs(slope) <= 1e-12
    high, low = np.min(room[above] / slope[above]), np.max(room[below] / slope[below])
    if low > high + 1e-9 or np.any(room[rest] < -1e-9):
        return -np.inf
    return game.a[0] * x + game.b[0] * (high if game.b[1] > 0 else low)


def test_random_linear_games_against_their_vertices():
    """All that is certified is a local maximum, and the global one is among it."""
    rng, box = np.random.default_rng(0), np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    several = 0
    for _ in range(12):
        A = np.concatenate([rng.normal(size=(5, 2)), box])
        game = linear(*rng.normal(size=(2, 2)), A, np.concatenate([rng.uniform(0.2, 2.0, 5), np.full(4, 3.0)]))
        found = find(game, limits=(-3.0, 3.0)).stackelberg
        several += len(found) > 1
        assert found[0].payoffs[0] == pytest.approx(exact(game)[0], abs=1e-8)
        for c in found:
            x = float(c.actions[0])
            here = value(game, x)
            assert here == pytest.approx(float(c.payoffs[0]), abs=1e-8)
            assert max(value(game, x + 1e-4), value(game, x - 1e-4)) < here - 1e-7
    assert several  # there are local ones too


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_kink_beside_an_equality_whose_multiplier_has_either_sign(sign):
    """y = (x, x) / 2 up to x = .4, where y_0 <= .2 binds: the leader's slope goes from 2 - .08 to -3 - .08."""
    game = from_payoffs(
        lambda x, y: -3 * x + 10 * y[0] - 0.1 * x * x,
        lambda x, y: -jnp.sum((y - x) ** 2),
        spaces=(Box(0.0, 1.0, ()), Euclidean((2,))),
        inequalities=(None, lambda x, y: y[0] - 0.2),
        equalities=(None, lambda x, y: sign * (y[0] + y[1] - x)),
    )
    (best,) = search(game, KEY, 8).stackelberg
    np.testing.assert_allclose(np.concatenate([np.ravel(a) for a in best.actions]), [0.4, 0.2, 0.2], atol=1e-6)
