"""The registry of bilevel problems: solutions are feasible, cost what is said, and nothing better is found."""

import jax
import numpy as np
import pytest
import scipy.optimize

from stackjax.equilibria import global_stackelberg
from stackjax.games import bilevel_problems
from stackjax.games.bilevel_problems import PROBLEMS


def values(game, x, y):
    """Costs, and how far each player is outside of its constraints."""
    costs = [-float(p) for p in game.payoffs(x, y)]
    outside = []
    for player, action in enumerate((x, y)):
        own = [game.spaces[player].inequalities(action)]
        if (more := game.inequalities(player, (x, y))) is not None:
            own.append(np.ravel(more))
        outside.append(max([0.0, *np.concatenate([np.ravel(part) for part in own]).tolist()]))
    return costs, outside


@pytest.mark.parametrize("name", PROBLEMS)
def test_solutions_are_feasible_and_cost_what_is_said(name, x64):
    game, solution, leader_cost, follower_cost, citation = PROBLEMS[name]
    costs, outside = values(game, *solution)
    assert costs == pytest.approx([leader_cost, follower_cost], abs=1e-9)
    assert max(outside) <= 1e-9
    assert any(year in citation for year in (name.split("_")[-1][:4], name.split("_")[-2][:4]))
    made = getattr(bilevel_problems, name)()
    assert made.levels == ((0,), (1,))
    assert [s.size for s in made.spaces] == [np.size(a) for a in solution]


def random_answers(game, x, around, rng, number=4000):
    """Feasible actions of the follower's near a point and far from it, and their costs."""
    size = np.size(around)
    scale = rng.choice([1e-3, 1e-2, 0.1, 1.0, 10.0], (number, 1))
    points = np.ravel(around) + scale * rng.normal(size=(number, size))
    points = points.reshape(number, *np.shape(around))

    def one(y):
        own = [game.spaces[1].inequalities(y)]
        if (more := game.inequalities(1, (x, y))) is not None:
            own.append(jax.numpy.ravel(more))
        outside = jax.numpy.max(jax.numpy.concatenate(own), initial=0.0)
        first, second = game.payoffs(x, y)
        mine = game.inequalities(0, (x, y))
        broken = 0.0 if mine is None else jax.numpy.max(jax.numpy.ravel(mine))
        return -first, -second, outside, broken

    # The same points pulled onto the boundary of boxes, where answers often are.
    projected = np.asarray(jax.vmap(game.spaces[1].project)(points))
    points = np.concatenate([points, projected, np.asarray(around)[None]])
    return points, *map(np.asarray, jax.vmap(one)(points))


@pytest.mark.parametrize("name", PROBLEMS)
def test_nothing_pays_the_follower_more(name, x64):
    game, (x, y), _, follower_cost, _ = PROBLEMS[name]
    _, _, costs, outside, _ = random_answers(game, x, y, np.random.default_rng(0))
    good = outside <= 1e-9  # in some the leader leaves the follower the solution alone
    assert good[-1]
    assert costs[good].min() >= follower_cost - 1e-7


SCALAR = [name for name, p in PROBLEMS.items() if np.shape(p.solution[0]) == () and np.shape(p.solution[1]) == ()]


@pytest.mark.parametrize("name", SCALAR)
def test_no_other_action_costs_the_leader_less(name, x64):
    """On grids of both actions; the answers are refined (SciPy) where they come near."""
    game, (x, y), leader_cost, _, _ = PROBLEMS[name]

    def ends(space, at):
        low, high = (float(getattr(space, end, sign * np.inf)) for end, sign in (("low", -1), ("high", 1)))
        return (low if np.isfinite(low) else at - 15), (high if np.isfinite(high) else at + 15)

    ys = np.linspace(*ends(game.spaces[1], float(y)), 3001)
    xs = np.linspace(*ends(game.spaces[0], float(x)), 121)

    @jax.jit
    def table(x):
        def one(y):
            first, second = game.payoffs(x, y)
            theirs, mine = (game.inequalities(player, (x, y)) for player in (1, 0))
            outside, broken = (-1.0 if g is None else jax.numpy.max(jax.numpy.ravel(g)) for g in (theirs, mine))
            return -first, -second, outside, broken

        return jax.vmap(one)(ys)

    step = ys[1] - ys[0]
    for at in xs:
        first, second, outside, broken = map(np.asarray, table(at))
        outside = np.broadcast_to(outside, ys.shape)
        if not (outside <= 0).any():
            continue
        best = second[outside <= 0].min()
        # Nothing that is clearly worse than the best answer counts, and a step of the grid either way is allowed.
        slope = np.max(np.abs(np.gradient(first, ys)[outside <= 0]))
        close = (outside <= 0) & (second <= best + 1e-9) & (np.broadcast_to(broken, ys.shape) <= 0)
        if close.any():
            assert first[close].min() >= leader_cost - 2 * step * slope - 1e-6


def test_linear_followers_answer_best_by_linear_programming():
    # candler_townsley_1982 at x = (0, .9), with HiGHS.
    found = scipy.optimize.linprog(
        [1, 1, 2],
        [[-1, 1, 1], [-1, 2, -0.5], [2, -1, -0.5]],
        [1, 1 - 2 * 0, 1 - 2 * 0.9],
        bounds=[(0, None)] * 3,
        method="highs",
    )
    assert found.fun + 1.8 == pytest.approx(PROBLEMS["candler_townsley_1982"].follower_cost)


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("clark_westerberg_1990a", None),
        pytest.param("mitsos_barton_2006_14", None, marks=pytest.mark.slow),
        pytest.param("yezza_1996", (0.0, 6.0), marks=pytest.mark.slow),
    ],
)
def test_solved(name, limits):
    game, solution, leader_cost, follower_cost, _ = PROBLEMS[name]
    found = global_stackelberg(game, jax.random.key(0), limits=limits, grid=64)
    assert found.payoffs == pytest.approx([-leader_cost, -follower_cost], abs=1e-6)
    assert np.stack(found.actions) == pytest.approx(np.stack(solution), abs=1e-5)
