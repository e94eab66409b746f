"""The leader's best value against globally best answers: closed forms, brute force, ties, jumps, bad input.

All games of a size are of one class, whose numbers are leaves: one program serves them all.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Game
from stackjax.equilibria import GlobalStackelberg, global_stackelberg
from stackjax.games import CournotDuopoly, CournotOligopoly, StackelbergBandit, from_payoffs
from stackjax.spaces import Box, Euclidean

pytestmark = pytest.mark.xdist_group("global search")  # they share programs
KEY = jax.random.key(0)
SIZE = 5


def matrix(**terms):
    """Coefficients of `x^i y^j`, written `x2y1=3.0`."""
    c = np.zeros((SIZE, SIZE))
    for name, value in terms.items():
        c[int(name[1]), int(name[3])] = value
    return c


class Humps(Game):
    """Polynomials `c [5, 5]` of both payoffs, two humps for the follower, and a constraint of the leader's."""

    first: jax.Array
    second: jax.Array
    bound: jax.Array
    low: float = -np.inf
    high: float = np.inf
    left: float = 0.0  # times x exp(-(y + 1)^2)
    right: float = 0.0  # times exp(-(y - 1)^2)

    @property
    def spaces(self):
        return Euclidean(()), Box(self.low, self.high)

    @property
    def levels(self):
        return (0,), (1,)

    def value(self, c, x, y):
        # No powers of tracers: 0^0 has no derivative.
        xs = jnp.stack([jnp.ones_like(x), x, x * x, x * x * x, x * x * x * x])
        ys = jnp.stack([jnp.ones_like(y), y, y * y, y * y * y, y * y * y * y])
        return xs @ jnp.asarray(c) @ ys

    def payoffs(self, x, y):
        humps = self.left * x * jnp.exp(-jnp.square(y + 1)) + self.right * jnp.exp(-jnp.square(y - 1))
        return self.value(self.first, x, y), self.value(self.second, x, y) + humps

    def inequalities(self, player, actions):
        return self.value(self.bound, *actions) if player == 0 else None


def humps(first, second, bound=None, **others):
    return Humps(first, second, matrix(x0y0=-1.0) if bound is None else bound, **others)


def solve(game, tie="strong", limits=(-2.0, 4.0), **options):
    return global_stackelberg(game, KEY, tie, limits=limits, **options)


def mirrlees():
    leader = matrix(x2y0=-1.0, x1y0=4.0, x0y2=-1.0, x0y1=2.0, x0y0=-5.0)
    return humps(leader, np.zeros((SIZE, SIZE)), left=1.0, right=1.0)


def test_mirrlees_problem_has_its_optimum_at_a_jump():
    found = solve(mirrlees())
    x, y = map(float, found.actions)
    assert x == pytest.approx(1, abs=1e-6)
    assert y == pytest.approx(0.957504, abs=1e-6)
    assert found.payoffs == pytest.approx([-1.00180592, 1.01986582], abs=1e-6)
    assert found.attained
    (jump,) = found.jumps
    assert jump.x == pytest.approx(1, abs=1e-6)
    assert [float(jump.before), float(jump.after)] == pytest.approx([0.957504, -0.957504], abs=1e-5)
    assert "jumps at 1" in str(found) and "strong ties" in str(found)


def test_with_weak_ties_its_supremum_is_not_attained():
    found = solve(mirrlees(), "weak")
    assert found.payoffs[0] == pytest.approx(-1.00180592, abs=1e-6)
    assert not found.attained and "supremum" in str(found)


@pytest.mark.parametrize(
    ("cost", "leader", "profit"), [(40.0, 60.0, 2100.0), (60.0, 47.5, 2256.25), (2.0, 46.0, 1058.0)]
)
def test_entry_of_a_competitor_is_deterred_blockaded_or_let_happen(cost, leader, profit):
    game = humps(
        matrix(x1y0=95.0, x2y0=-1.0, x1y1=-1.0),
        matrix(x0y1=100.0 - cost, x0y2=-1.0, x1y1=-1.0),
        low=0.0,
        high=100.0,
    )
    found = solve(game, limits=(0.0, 100.0))
    assert float(found.actions[0]) == pytest.approx(leader, abs=1e-6)
    assert found.payoffs[0] == pytest.approx(profit, abs=1e-6)
    with jax.enable_x64(True):
        known = CournotDuopoly(100.0, (5.0, cost)).stackelberg()
    assert np.stack(found.actions) == pytest.approx(np.stack(known), abs=1e-4)
    assert not found.jumps


def test_a_kink_where_the_follower_meets_its_bound():
    second = matrix(x0y2=-1.0, x1y1=4.0, x2y0=-4.0)
    game = humps(matrix(x2y0=-1.0, x1y0=2.0, x0y2=-1.0, x0y1=6.0, x0y0=-10.0), second, low=0.0, high=1.0)
    found = solve(game)
    assert np.stack(found.actions) == pytest.approx([1, 1], abs=1e-6)
    assert found.payoffs == pytest.approx([-4, -1], abs=1e-6)


@pytest.mark.parametrize(("tie", "answer"), [("strong", 1.0), ("weak", -1.0)])
def test_two_answers_that_are_always_tied(tie, answer):
    game = humps(matrix(x0y1=1.0, x2y0=-1.0), matrix(x0y4=-1.0, x0y2=2.0, x0y0=-1.0))
    found = solve(game, tie)
    assert np.stack(found.actions) == pytest.approx([0, answer], abs=1e-6)
    assert found.payoffs == pytest.approx([answer, 0], abs=1e-6)
    assert found.attained


@pytest.mark.parametrize(("tie", "answer"), [("strong", 3.0), ("weak", -1.0)])
def test_a_follower_whom_nothing_concerns(tie, answer):
    game = humps(matrix(x0y1=1.0, x2y0=-1.0), np.zeros((SIZE, SIZE)), low=-1.0, high=3.0)
    found = solve(game, tie)
    assert np.stack(found.actions) == pytest.approx([0, answer], abs=1e-6)


def test_a_linear_follower_is_indifferent_at_one_point_only():
    # f2 = x y on [-1, 1]: y = sign(x), and at x = 0 whatever the leader likes, y = 1/2.
    first = matrix(x2y0=-1.0, x0y2=-1.0, x0y1=1.0)
    game = humps(first, matrix(x1y1=1.0), low=-1.0, high=1.0)
    found = solve(game)
    assert np.stack(found.actions) == pytest.approx([0, 0.5], abs=1e-5)
    assert found.payoffs[0] == pytest.approx(0.25, abs=1e-6)
    worse = solve(game, "weak")  # y = 1 for x > 0, however small
    assert worse.payoffs[0] == pytest.approx(0, abs=1e-6)
    assert not worse.attained


def test_a_constraint_of_the_leader_that_the_answer_decides_about():
    # y = x; the leader wants x = 3 and has to keep x + y <= 2.
    follower = matrix(x0y2=-1.0, x1y1=2.0, x2y0=-1.0)
    game = humps(matrix(x2y0=-1.0, x1y0=6.0), follower, matrix(x1y0=1.0, x0y1=1.0, x0y0=-2.0))
    found = solve(game)
    assert np.stack(found.actions) == pytest.approx([1, 1], abs=1e-6)
    assert found.infeasible > 0 and "against its own constraints" in str(found)


def test_ties_that_the_leaders_constraint_breaks():
    # The answers 1 and -1 are tied; y <= 0 leaves the second, and with weak ties nothing.
    game = humps(matrix(x0y1=1.0, x2y0=-1.0), matrix(x0y4=-1.0, x0y2=2.0), matrix(x0y1=1.0))
    assert np.stack(solve(game).actions) == pytest.approx([0, -1], abs=1e-6)
    with pytest.raises(ValueError, match="no action of the leader's was found"):
        solve(game, "weak")


def brute_force(game, low, high):
    """On grids, refined around the best x; answers refined by a finer grid around the best y."""

    def answers(x):
        y = np.linspace(game.low, game.high, 4001)
        f = value(game.second, x, y)
        best = y[np.argmax(f, axis=1)]
        for width in (1e-3, 1e-5, 1e-7):
            near = np.clip(best[:, None] + width * np.linspace(-1, 1, 201), game.low, game.high)
            f = np.stack([value(game.second, x[i : i + 1], near[i])[0] for i in range(len(x))])
            best = near[np.arange(len(x)), np.argmax(f, axis=1)]
        return best

    def value(c, x, y):
        return np.vander(x, SIZE, increasing=True) @ c @ np.vander(y, SIZE, increasing=True).T

    x = np.linspace(low, high, 801)
    for width in (0.01, 2e-4, 4e-6):
        y = answers(x)
        f = np.array([value(game.first, x[i : i + 1], y[i : i + 1])[0, 0] for i in range(len(x))])
        center = x[np.argmax(f)]
        x = np.clip(center + width * np.linspace(-1, 1, 201), low, high)
    return f.max()


@pytest.mark.parametrize("seed", range(4))
def test_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    second = np.zeros((SIZE, SIZE))
    second[:2, 1:4] = rng.normal(size=(2, 3))
    second[0, 2] += 2
    second[0, 4] = -1
    first = np.zeros((SIZE, SIZE))
    first[:3, :3] = rng.normal(size=(3, 3))
    first[2, 0] = -1
    game = humps(first, second, low=-2.5, high=2.5)
    found = solve(game, limits=(-2.0, 2.0))
    assert found.payoffs[0] == pytest.approx(brute_force(game, -2.0, 2.0), abs=2e-5)


class Plane(Game):
    """A leader in a box of two dimensions, a follower that copies it up to a bound or jumps."""

    target: jax.Array
    humps: float = 0.0

    @property
    def spaces(self):
        return Box(-1.0, 2.0, (2,)), Box(-3.0, 1.0)

    @property
    def levels(self):
        return (0,), (1,)

    def payoffs(self, x, y):
        first = -jnp.sum(jnp.square(x - self.target)) - jnp.square(y - 3.0)
        pull = x[0] + x[1]
        twice = -jnp.square(jnp.square(y) - 1.0) + (x[0] - 0.25 * x[1]) * y
        return first, (1.0 - self.humps) * -jnp.square(y - pull) + self.humps * twice


def test_leaders_of_two_dimensions():
    # y = min(x0 + x1, 1): at the kink x0 + x1 = 1, as near to the target (.2, 0) as may be.
    found = global_stackelberg(Plane(np.array([0.2, 0.0])), KEY)
    assert np.asarray(found.actions[0]) == pytest.approx([0.6, 0.4], abs=1e-6)
    assert float(found.actions[1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_jumps_along_lines_of_two_dimensions():
    # Beyond the line x0 = x1 / 4 the answer is near 1, before it near -1, and jumps there.
    found = global_stackelberg(Plane(np.array([-0.7, 0.5]), 1.0), KEY)
    x = np.asarray(found.actions[0])
    assert x[0] == pytest.approx(x[1] / 4, abs=1e-5)
    nearest = np.array([1.0, 4.0]) * (np.array([-0.7, 0.5]) @ [1.0, 4.0]) / 17
    assert x == pytest.approx(nearest, abs=5e-3)  # values along the line are flat there
    assert found.payoffs[0] == pytest.approx(-np.sum((nearest - [-0.7, 0.5]) ** 2) - 4, abs=5e-5)
    assert found.certificate.actions[0].shape == (2,)


def good():
    return from_payoffs(lambda x, y: -x * x, lambda x, y: -y * y, spaces=(Box(0.0, 1.0), Box(0.0, 1.0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tie": "best"}, "tie: expected 'strong' or 'weak', got 'best'"),
        ({"starts": 0}, "starts"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"grid": 2}, "grid"),
        ({"limits": (1.0, 0.0)}, "limits: expected"),
        ({"limits": (2.0, 3.0)}, "limits: expected some that meet the leader's space"),
        ({"follower_limits": ((0.0, 1.0), (0.0, 1.0))}, "follower_limits: expected"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        global_stackelberg(good(), KEY, **options)


def test_bad_games():
    with pytest.raises(TypeError, match="game: expected a stackjax Game"):
        global_stackelberg(3, KEY)
    with pytest.raises(TypeError, match="key"):
        global_stackelberg(good(), 3)
    with pytest.raises(ValueError, match="limits: the leader's space has no bounds"):
        global_stackelberg(mirrlees(), KEY)
    with pytest.raises(ValueError, match="one follower"):
        global_stackelberg(CournotOligopoly((1.0, 2.0, 3.0)), KEY)
    with pytest.raises(ValueError, match="player 0 has arms"):
        global_stackelberg(StackelbergBandit(np.eye(2), np.eye(2)), KEY)
    wide = from_payoffs(lambda x, y: -x @ x, lambda x, y: -y * y, spaces=(Box(0.0, 1.0, (3,)), Box(0.0, 1.0)))
    with pytest.raises(ValueError, match="one or two dimensions, got 3"):
        global_stackelberg(wide, KEY)


def test_what_is_returned():
    assert GlobalStackelberg.__dataclass_params__.frozen
