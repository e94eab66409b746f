"""Classical bilevel problems with known solutions, of the literature on bilevel programming.

Each function gives a game whose payoffs are the negated costs F of the leader and f of the follower; constraints are
the players' spaces and the game's inequalities. `PROBLEMS` holds all of them with their solutions. Ties are strong: of
best answers the follower takes the one that the leader likes best. Scalars are numbers, vectors arrays.

>>> from stackjax.games import bilevel_problems
>>> problem = bilevel_problems.PROBLEMS["clark_westerberg_1990a"]
>>> [float(payoff) for payoff in problem.game.payoffs(*problem.solution)], problem.leader_cost
([-5.0, -4.0], 5.0)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from stackjax.games.functions import FunctionGame, from_costs
from stackjax.spaces import Box, Euclidean, Space

_LINE = Euclidean(())
_POSITIVE = Box(0.0, np.inf)


class Problem(NamedTuple):
    """A problem and what is known of it.

    **Attributes:** `game`; `solution`: an action of the leader's that costs it least against best answers, and that
    answer (strong ties; others may be as good); `leader_cost` and `follower_cost` there; `citation`.
    """

    game: FunctionGame
    solution: tuple[Any, Any]
    leader_cost: float
    follower_cost: float
    citation: str


def _positive(n: int) -> Box:
    return Box(0.0, np.inf, (n,))


def _game(
    leader: Callable[..., Any],
    follower: Callable[..., Any],
    spaces: tuple[Space, Space],
    of_leader: Callable[..., Any] | None = None,
    of_follower: Callable[..., Any] | None = None,
) -> FunctionGame:
    return from_costs(leader, follower, spaces=spaces, inequalities=(of_leader, of_follower))


def aiyoshi_shimizu_1984() -> FunctionGame:
    """`F = 2 x1 + 2 x2 - 3 y1 - 3 y2 - 60`, `f = (y1 - x1 + 20)^2 + (y2 - x2 + 20)^2`; a coupling constraint.

    x in [0, 50]^2 with `x1 + x2 + y1 - 2 y2 <= 40`; y in [-10, 20]^2 with `2 y <= x - 10`. Two coordinates that have
    two local optima each, of which the coupling constraint forbids one pair. Nothing is better than F = 0.
    """
    return _game(
        lambda x, y: 2.0 * jnp.sum(x) - 3.0 * jnp.sum(y) - 60.0,
        lambda x, y: jnp.sum(jnp.square(y - x + 20.0)),
        (Box(0.0, 50.0, (2,)), Box(-10.0, 20.0, (2,))),
        lambda x, y: x[0] + x[1] + y[0] - 2.0 * y[1] - 40.0,
        lambda x, y: 2.0 * y - x + 10.0,
    )


def _bard_region(x: Any, y: Any) -> Any:
    return jnp.stack([2 - x - y / 2, y - 2 - x / 4, x + y / 2 - 8, x - 2 * y - 4])


def bard_1984a() -> FunctionGame:
    """`F = x + y`, `f = -5 x - y`, x >= 0; y >= 0 in the quadrangle of `bard_1984b`."""
    return _game(lambda x, y: x + y, lambda x, y: -5.0 * x - y, (_POSITIVE, _POSITIVE), of_follower=_bard_region)


def bard_1984b() -> FunctionGame:
    """`F = -5 x - y`, `f = y`, x >= 0.

    `y >= 0`, `2 x + y >= 4`, `4 y - x <= 8`, `2 x + y <= 16`, `x - 2 y <= 4`.
    """
    return _game(lambda x, y: -5.0 * x - y, lambda x, y: y, (_POSITIVE, _POSITIVE), of_follower=_bard_region)


def bard_1988() -> FunctionGame:
    """`F = (x - 5)^2 + (2 y + 1)^2`, `f = (y - 1)^2 - 3/2 x y`: convex players, a leader's problem that isn't.

    x, y >= 0, `3 x - y >= 3`, `2 x - y <= 8`, `x + y <= 7`, the last three the follower's.
    """
    return _game(
        lambda x, y: (x - 5.0) ** 2 + (2.0 * y + 1.0) ** 2,
        lambda x, y: (y - 1.0) ** 2 - 1.5 * x * y,
        (_POSITIVE, _POSITIVE),
        of_follower=lambda x, y: jnp.stack([3.0 - 3.0 * x + y, x - y / 2 - 4.0, x + y - 7.0]),
    )


def bard_1991() -> FunctionGame:
    """`F = x + y2`, `f = 2 y1 + x y2`, x in [2, 4], y >= 0 with `y1 + y2 >= x + 4`.

    At x = 2 the follower is indifferent. Then it may take `y2 = 0`, as the leader likes best; for larger x it does so
    anyway.
    """
    return _game(
        lambda x, y: x + y[1],
        lambda x, y: 2.0 * y[0] + x * y[1],
        (Box(2.0, 4.0), _positive(2)),
        of_follower=lambda x, y: x + 4.0 - y[0] - y[1],
    )


def bard_falk_1982() -> FunctionGame:
    """`F = -2 x1 + x2 + y1 / 2`, `f = x1 + x2 - 4 y1 + y2`, all at least 0.

    `2 x1 - y1 + y2 >= 5/2`, `x1 - 3 x2 + y2 <= 2`, `x1 + x2 <= 2`, the follower's.
    """
    return _game(
        lambda x, y: x[1] - 2.0 * x[0] + y[0] / 2,
        lambda x, y: x[0] + x[1] - 4.0 * y[0] + y[1],
        (_positive(2), _positive(2)),
        of_follower=lambda x, y: jnp.stack(
            [2.5 - 2.0 * x[0] + y[0] - y[1], x[0] - 3.0 * x[1] + y[1] - 2.0, x[0] + x[1] - 2.0]
        ),
    )


def ben_ayed_blair_1990() -> FunctionGame:
    """`F = -x - y`, `f = y`, x, y >= 0: `4 x + 3 y >= 19`, `x + 2 y <= 11`, `3 x + y <= 13`, the follower's."""
    return _game(
        lambda x, y: -x - y,
        lambda x, y: y,
        (_POSITIVE, _POSITIVE),
        of_follower=lambda x, y: jnp.stack([19.0 - 4.0 * x - 3.0 * y, x + 2.0 * y - 11.0, 3.0 * x + y - 13.0]),
    )


def bialas_karwan_1984() -> FunctionGame:
    """`F = -y`, `f = y`, opposed players, x, y >= 0.

    `x + 2 y >= 10`, `x + 2 y <= 38`, `2 y - x <= 18`, `x - 2 y <= 6`, `2 x - y <= 21`, the follower's.
    """
    return _game(
        lambda x, y: -y,
        lambda x, y: y,
        (_POSITIVE, _POSITIVE),
        of_follower=lambda x, y: jnp.stack(
            [10.0 - x - 2.0 * y, x + 2.0 * y - 38.0, 2.0 * y - x - 18.0, x - 2.0 * y - 6.0, 2.0 * x - y - 21.0]
        ),
    )


def _candler_region(x: Any, y: Any) -> Any:
    return jnp.stack(
        [
            y[1] + y[2] - y[0] - 1.0,
            2.0 * x[0] - y[0] + 2.0 * y[1] - y[2] / 2 - 1.0,
            2.0 * x[1] + 2.0 * y[0] - y[1] - y[2] / 2 - 1.0,
        ]
    )


def _candler_cost(x: Any, y: Any) -> Any:
    return -8.0 * x[0] - 4.0 * x[1] + 4.0 * y[0] - 40.0 * y[1] - 4.0 * y[2]


def candler_townsley_1982() -> FunctionGame:
    """`F = -8 x1 - 4 x2 + 4 y1 - 40 y2 - 4 y3`, `f = x1 + 2 x2 + y1 + y2 + 2 y3`, all at least 0.

    `-y1 + y2 + y3 <= 1`, `2 x1 - y1 + 2 y2 - y3 / 2 <= 1`, `2 x2 + 2 y1 - y2 - y3 / 2 <= 1`, the follower's.
    """
    return _game(
        _candler_cost,
        lambda x, y: x[0] + 2.0 * x[1] + y[0] + y[1] + 2.0 * y[2],
        (_positive(2), _positive(3)),
        of_follower=_candler_region,
    )


def calvete_gale_1999() -> FunctionGame:
    """`candler_townsley_1982` with a follower who minimises a ratio.

    `f = (1 + x1 + x2 + 2 y1 - y2 + y3) / (6 + 2 x1 + y1 + y2 - 3 y3)`.
    """
    return _game(
        _candler_cost,
        lambda x, y: (1.0 + x[0] + x[1] + 2.0 * y[0] - y[1] + y[2]) / (6.0 + 2.0 * x[0] + y[0] + y[1] - 3.0 * y[2]),
        (_positive(2), _positive(3)),
        of_follower=_candler_region,
    )


def clark_westerberg_1990a() -> FunctionGame:
    """`F = (x - 3)^2 + (y - 2)^2`, `f = (y - 5)^2`, x in [0, 8]: a local optimum at (5, 4.5), the global one at (1, 3).

    `y <= 2 x + 1`, `x - 2 y <= -2`, `x + 2 y <= 14`, the follower's.
    """
    return _game(
        lambda x, y: (x - 3.0) ** 2 + (y - 2.0) ** 2,
        lambda x, y: (y - 5.0) ** 2,
        (Box(0.0, 8.0), _LINE),
        of_follower=lambda x, y: jnp.stack([y - 2.0 * x - 1.0, x - 2.0 * y + 2.0, x + 2.0 * y - 14.0]),
    )


def clark_westerberg_1990b() -> FunctionGame:
    """`F = -x - 3 y1 + 2 y2`, `f = -y1`, x in [0, 8], y1 in [0, 4]; the follower doesn't care about y2.

    `-2 x + y1 + 4 y2 <= 16`, `8 x + 3 y1 - 2 y2 <= 48`, `-2 x + y1 - 3 y2 <= -12`, the follower's.
    """
    return _game(
        lambda x, y: -x - 3.0 * y[0] + 2.0 * y[1],
        lambda x, y: -y[0],
        (Box(0.0, 8.0), Euclidean((2,))),
        of_follower=lambda x, y: jnp.stack(
            [
                -y[0],
                y[0] - 4.0,
                y[0] + 4.0 * y[1] - 2.0 * x - 16.0,
                8.0 * x + 3.0 * y[0] - 2.0 * y[1] - 48.0,
                y[0] - 3.0 * y[1] - 2.0 * x + 12.0,
            ]
        ),
    )


def falk_liu_1995() -> FunctionGame:
    """`F = |x - 3/2|^2 + |y|^2 - 9/2`, `f = |x - y|^2` in two dimensions, y in [1/2, 3/2]^2."""
    return _game(
        lambda x, y: jnp.sum(jnp.square(x - 1.5)) + jnp.sum(jnp.square(y)) - 4.5,
        lambda x, y: jnp.sum(jnp.square(x - y)),
        (Euclidean((2,)), Box(0.5, 1.5, (2,))),
    )


def hatz_et_al_2013() -> FunctionGame:
    """`F = 2 y1 + y2 - x`, `f = (x - y1)^2 + y2^2`, y >= 0: the leader's value `|x|` has a kink where it is best."""
    return _game(
        lambda x, y: 2.0 * y[0] - x + y[1],
        lambda x, y: (x - y[0]) ** 2 + y[1] ** 2,
        (_LINE, _positive(2)),
    )


def lampariello_sagratella_2017() -> FunctionGame:
    """`F = x^2 + y^2`, `f = -y`, x in [-1, 1], y in [0, 1], `2 x + y <= 2`, the follower's."""
    return _game(
        lambda x, y: x**2 + y**2,
        lambda x, y: -y,
        (Box(-1.0, 1.0), Box(0.0, 1.0)),
        of_follower=lambda x, y: 2.0 * x + y - 2.0,
    )


def liu_hart_1994() -> FunctionGame:
    """`F = -x - 3 y`, `f = y`, x, y >= 0: `y - x <= 3`, `x + 2 y <= 12`, `4 x - y <= 12`, the follower's."""
    return _game(
        lambda x, y: -x - 3.0 * y,
        lambda x, y: y,
        (_POSITIVE, _POSITIVE),
        of_follower=lambda x, y: jnp.stack([y - x - 3.0, x + 2.0 * y - 12.0, 4.0 * x - y - 12.0]),
    )


def lucchetti_et_al_1987() -> FunctionGame:
    """`F = x y + (1 - x) / 2`, `f = (x - 1) y` on the unit square: with weak ties there is no solution.

    The follower answers 1 to all x < 1, and at x = 1, where it is indifferent, the leader hopes for 0.
    """
    return _game(lambda x, y: (1.0 - x) / 2 + x * y, lambda x, y: (x - 1.0) * y, (Box(0.0, 1.0), Box(0.0, 1.0)))


def mirrlees_1999() -> FunctionGame:
    """`F = (x - 2)^2 + (y - 1)^2`, `f = -x exp(-(y + 1)^2) - exp(-(y - 1)^2)`, y in [-2, 2]: moral hazard.

    The follower's first-order condition has three solutions for some x, and the best of them jumps at x = 1, where the
    leader's optimum is: replacing the follower by its first-order condition gives a wrong one (.895, .99).
    """
    return _game(
        lambda x, y: (x - 2.0) ** 2 + (y - 1.0) ** 2,
        lambda x, y: -x * jnp.exp(-((y + 1.0) ** 2)) - jnp.exp(-((y - 1.0) ** 2)),
        (_LINE, Box(-2.0, 2.0)),
    )


def _unit(leader: Callable[..., Any], follower: Callable[..., Any]) -> FunctionGame:
    return _game(leader, follower, (Box(-1.0, 1.0), Box(-1.0, 1.0)))


def mitsos_barton_2006_12() -> FunctionGame:
    """`F = x y - x + 10 y^2`, `f = y^4 / 2 - x y^2` on [-1, 1]^2: the answer forks at x = 0."""
    return _unit(lambda x, y: x * y - x + 10.0 * y**2, lambda x, y: y**4 / 2 - x * y**2)


def mitsos_barton_2006_14() -> FunctionGame:
    """`F = (x - 1/4)^2 + y^2`, `f = y^3 / 3 - x y` on [-1, 1]^2: at x = 1/4 the answers -1 and 1/2 are tied."""
    return _unit(lambda x, y: (x - 0.25) ** 2 + y**2, lambda x, y: y**3 / 3 - x * y)


def mitsos_barton_2006_17() -> FunctionGame:
    """`F = (x + 1/2)^2 + y^2 / 2`, `f = x y^2 / 2 + y^4 / 4` on [-1, 1]^2: two answers, equally good for both."""
    return _unit(lambda x, y: (x + 0.5) ** 2 + y**2 / 2, lambda x, y: x * y**2 / 2 + y**4 / 4)


def mitsos_barton_2006_20() -> FunctionGame:
    """`F = (x - 1/4)^2 + y^2`, `f = y^3 / 3 - x^2 y` on [-1, 1]^2: at x = 1/2 the answers -1 and 1/2 are tied."""
    return _unit(lambda x, y: (x - 0.25) ** 2 + y**2, lambda x, y: y**3 / 3 - x**2 * y)


def morgan_patrone_2006() -> FunctionGame:
    """`F = -x - y`, `f = x y`, x in [-1/2, 1/2], y in [-1, 1]: the leader needs the follower's good will at x = 0."""
    return _game(lambda x, y: -x - y, lambda x, y: x * y, (Box(-0.5, 0.5), Box(-1.0, 1.0)))


def savard_gauvin_1994() -> FunctionGame:
    """`F = (x - 1)^2 + 2 y1^2 - 2 x`, `f = (2 y1 - 4)^2 + (2 y2 - 1)^2 + x y1`, all at least 0.

    `4 x + 5 y1 + 4 y2 <= 12`, `-4 x - 5 y1 + 4 y2 <= -4`, `4 x - 4 y1 + 5 y2 <= 4`, `-4 x + 4 y1 + 5 y2 <= 4`, the
    follower's.
    """
    return _game(
        lambda x, y: (x - 1.0) ** 2 + 2.0 * y[0] ** 2 - 2.0 * x,
        lambda x, y: (2.0 * y[0] - 4.0) ** 2 + (2.0 * y[1] - 1.0) ** 2 + x * y[0],
        (_POSITIVE, _positive(2)),
        of_follower=lambda x, y: jnp.stack(
            [
                4.0 * x + 5.0 * y[0] + 4.0 * y[1] - 12.0,
                4.0 - 4.0 * x - 5.0 * y[0] + 4.0 * y[1],
                4.0 * x - 4.0 * y[0] + 5.0 * y[1] - 4.0,
                4.0 * y[0] - 4.0 * x + 5.0 * y[1] - 4.0,
            ]
        ),
    )


def shimizu_aiyoshi_1981() -> FunctionGame:
    """`F = (x1 - 30)^2 + (x2 - 20)^2 - 20 y1 + 20 y2`, `f = |x - y|^2`, y in [0, 10]^2.

    The leader's: `x1 + 2 x2 >= 30`, `x1 + x2 <= 25`, `x2 <= 15`.
    """
    return _game(
        lambda x, y: (x[0] - 30.0) ** 2 + (x[1] - 20.0) ** 2 - 20.0 * y[0] + 20.0 * y[1],
        lambda x, y: jnp.sum(jnp.square(x - y)),
        (Euclidean((2,)), Box(0.0, 10.0, (2,))),
        lambda x, y: jnp.stack([30.0 - x[0] - 2.0 * x[1], x[0] + x[1] - 25.0, x[1] - 15.0]),
    )


def shimizu_et_al_1997() -> FunctionGame:
    """`F = 16 x^2 + 9 y^2`, `f = (x + y - 20)^4`, x, y >= 0; a follower's cost without curvature where it is least.

    The leader's: `y <= 4 x`; the follower's: `4 x + y <= 50`. A local optimum at (7.2, 12.8).
    """
    return _game(
        lambda x, y: 16.0 * x**2 + 9.0 * y**2,
        lambda x, y: (x + y - 20.0) ** 4,
        (_POSITIVE, _POSITIVE),
        lambda x, y: y - 4.0 * x,
        lambda x, y: 4.0 * x + y - 50.0,
    )


def tuy_et_al_1994() -> FunctionGame:
    """`F = 3 x1 + 2 x2 + y1 + y2`, `f = 4 y1 + y2`, all at least 0.

    The leader's: `x1 + x2 + y1 + y2 <= 4`; the follower's: `3 x1 + 5 x2 + 6 y1 + 2 y2 >= 15`.
    """
    return _game(
        lambda x, y: 3.0 * x[0] + 2.0 * x[1] + y[0] + y[1],
        lambda x, y: 4.0 * y[0] + y[1],
        (_positive(2), _positive(2)),
        lambda x, y: jnp.sum(x) + jnp.sum(y) - 4.0,
        lambda x, y: 15.0 - 3.0 * x[0] - 5.0 * x[1] - 6.0 * y[0] - 2.0 * y[1],
    )


def tuy_et_al_2007() -> FunctionGame:
    """`F = x^2 + y^2`, `f = -y`, x >= 0; the leader's: y >= 0.

    `3 x + y <= 15`, `x + y <= 7`, `x + 3 y <= 15`, the follower's.
    """
    return _game(
        lambda x, y: x**2 + y**2,
        lambda x, y: -y,
        (_POSITIVE, _LINE),
        lambda x, y: -y,
        lambda x, y: jnp.stack([3.0 * x + y - 15.0, x + y - 7.0, x + 3.0 * y - 15.0]),
    )


def ye_zhu_2010() -> FunctionGame:
    """`F = (x - 1)^2 + y^2`, `f = y^3 - 3 y`, x in [-3, 2], y >= x, the follower's: at x = -2 the answers are tied."""
    return _game(
        lambda x, y: (x - 1.0) ** 2 + y**2,
        lambda x, y: y**3 - 3.0 * y,
        (Box(-3.0, 2.0), _LINE),
        of_follower=lambda x, y: x - y,
    )


def yezza_1996() -> FunctionGame:
    """`F = (y - x + 2)^2 / 2 + (y - 2)^2 / 2`, `f = y^2 / 2 + x - y`, `0 <= y <= x`, the follower's."""
    return _game(
        lambda x, y: (y - x + 2.0) ** 2 / 2 + (y - 2.0) ** 2 / 2,
        lambda x, y: y**2 / 2 + x - y,
        (_LINE, _POSITIVE),
        of_follower=lambda x, y: y - x,
    )


def _problem(game: FunctionGame, x: Any, y: Any, leader_cost: float, follower_cost: float, citation: str) -> Problem:
    solution = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return Problem(game, solution, leader_cost, follower_cost, citation)


_MIRRLEES = 0.9575040240772687  # the larger maximum of exp(-(y + 1)^2) + exp(-(y - 1)^2)
_MITSOS_BARTON = "Mitsos & Barton, 2006, A test set for bilevel programs (MIT), example 3."

#: All problems by name.
PROBLEMS: dict[str, Problem] = {
    "aiyoshi_shimizu_1984": _problem(
        aiyoshi_shimizu_1984(),
        (0, 30),
        (-10, 10),
        0.0,
        100.0,
        "Aiyoshi & Shimizu, 1984, A solution method for the static constrained Stackelberg problem via penalty method, "
        "IEEE Trans. Automatic Control 29, example 2",
    ),
    "bard_1984a": _problem(
        bard_1984a(),
        8 / 9,
        20 / 9,
        28 / 9,
        -20 / 3,
        "Bard, 1984, Optimality conditions for the bilevel programming problem, Naval Research Logistics Quarterly 31",
    ),
    "bard_1984b": _problem(
        bard_1984b(),
        7.2,
        1.6,
        -37.6,
        1.6,
        "Bard, 1984, Optimality conditions for the bilevel programming problem, Naval Research Logistics Quarterly 31",
    ),
    "bard_1988": _problem(
        bard_1988(),
        1,
        0,
        17.0,
        1.0,
        "Bard, 1988, Convex two-level optimization, Mathematical Programming 40, example 1",
    ),
    "bard_1991": _problem(
        bard_1991(),
        2,
        (6, 0),
        2.0,
        12.0,
        "Bard, 1991, Some properties of the bilevel programming problem, J. Optimization Theory and Applications 68, "
        "example 1",
    ),
    "bard_falk_1982": _problem(
        bard_falk_1982(),
        (2, 0),
        (1.5, 0),
        -3.25,
        -4.0,
        "Bard & Falk, 1982, An explicit solution to the multi-level programming problem, Computers & Operations "
        "Research 9, example 2",
    ),
    "ben_ayed_blair_1990": _problem(
        ben_ayed_blair_1990(),
        1,
        5,
        -6.0,
        5.0,
        "Ben-Ayed & Blair, 1990, Computational difficulties of bilevel linear programming, Operations Research 38",
    ),
    "bialas_karwan_1984": _problem(
        bialas_karwan_1984(),
        16,
        11,
        -11.0,
        11.0,
        "Bialas & Karwan, 1984, Two-level linear programming, Management Science 30",
    ),
    "calvete_gale_1999": _problem(
        calvete_gale_1999(),
        (0, 0.9),
        (0, 0.6, 0.4),
        -29.2,
        17 / 54,
        "Calvete & Galé, 1999, The bilevel linear/linear fractional programming problem, European J. Operational "
        "Research 114",
    ),
    "candler_townsley_1982": _problem(
        candler_townsley_1982(),
        (0, 0.9),
        (0, 0.6, 0.4),
        -29.2,
        3.2,
        "Candler & Townsley, 1982, A linear two-level programming problem, Computers & Operations Research 9",
    ),
    "clark_westerberg_1990a": _problem(
        clark_westerberg_1990a(),
        1,
        3,
        5.0,
        4.0,
        "Clark & Westerberg, 1990, Bilevel programming for steady-state chemical process design I, Computers & "
        "Chemical Engineering 14",
    ),
    "clark_westerberg_1990b": _problem(
        clark_westerberg_1990b(),
        5,
        (4, 2),
        -13.0,
        -4.0,
        "Clark & Westerberg, 1990, Bilevel programming for steady-state chemical process design I, Computers & "
        "Chemical Engineering 14",
    ),
    "falk_liu_1995": _problem(
        falk_liu_1995(),
        (0.75, 0.75),
        (0.75, 0.75),
        -2.25,
        0.0,
        "Falk & Liu, 1995, On bilevel programming I: general nonlinear cases, Mathematical Programming 70",
    ),
    "hatz_et_al_2013": _problem(
        hatz_et_al_2013(),
        0,
        (0, 0),
        0.0,
        0.0,
        "Hatz, Leyffer, Schlöder & Bock, 2013, Regularizing bilevel nonlinear programs by lifting (Argonne)",
    ),
    "lampariello_sagratella_2017": _problem(
        lampariello_sagratella_2017(),
        0.8,
        0.4,
        0.8,
        -0.4,
        "Lampariello & Sagratella, 2017, A bridge between bilevel programs and Nash games, J. Optimization Theory and "
        "Applications 174, example 3.5",
    ),
    "liu_hart_1994": _problem(
        liu_hart_1994(),
        4,
        4,
        -16.0,
        4.0,
        "Liu & Hart, 1994, Characterizing an optimal solution to the linear bilevel programming problem, European J. "
        "Operational Research 73",
    ),
    "lucchetti_et_al_1987": _problem(
        lucchetti_et_al_1987(),
        1,
        0,
        0.0,
        0.0,
        "Lucchetti, Mignanego & Pieri, 1987, Existence theorems of equilibrium points in Stackelberg games with "
        "constraints, Optimization 18",
    ),
    "mirrlees_1999": _problem(
        mirrlees_1999(),
        1,
        _MIRRLEES,
        1.0018059079692,
        -1.0198658183457,
        "Mirrlees, 1999, The theory of moral hazard and unobservable behaviour I, Review of Economic Studies 66",
    ),
    "mitsos_barton_2006_12": _problem(mitsos_barton_2006_12(), 0, 0, 0.0, 0.0, _MITSOS_BARTON + "12"),
    "mitsos_barton_2006_14": _problem(mitsos_barton_2006_14(), 0.25, 0.5, 0.25, -1 / 12, _MITSOS_BARTON + "14"),
    "mitsos_barton_2006_17": _problem(mitsos_barton_2006_17(), -0.25, 0.5, 3 / 16, -1 / 64, _MITSOS_BARTON + "17"),
    "mitsos_barton_2006_20": _problem(mitsos_barton_2006_20(), 0.5, 0.5, 5 / 16, -1 / 12, _MITSOS_BARTON + "20"),
    "morgan_patrone_2006": _problem(
        morgan_patrone_2006(),
        0,
        1,
        -1.0,
        0.0,
        "Morgan & Patrone, 2006, Stackelberg problems: subgame perfect equilibria via Tikhonov regularization, Annals "
        "of the Int. Society of Dynamic Games 8",
    ),
    "savard_gauvin_1994": _problem(
        savard_gauvin_1994(),
        17 / 9,
        (8 / 9, 0),
        -38 / 27,
        617 / 81,
        "Savard & Gauvin, 1994, The steepest descent direction for the nonlinear bilevel programming problem, "
        "Operations Research Letters 15",
    ),
    "shimizu_aiyoshi_1981": _problem(
        shimizu_aiyoshi_1981(),
        (20, 5),
        (10, 5),
        225.0,
        100.0,
        "Shimizu & Aiyoshi, 1981, A new computational method for Stackelberg and min-max problems by use of a penalty "
        "method, IEEE Trans. Automatic Control 26, example 2",
    ),
    "shimizu_et_al_1997": _problem(
        shimizu_et_al_1997(),
        11.25,
        5,
        2250.0,
        3.75**4,
        "Shimizu, Ishizuka & Bard, 1997, Nondifferentiable and two-level mathematical programming, Kluwer",
    ),
    "tuy_et_al_1994": _problem(
        tuy_et_al_1994(),
        (0, 3),
        (0, 0),
        6.0,
        0.0,
        "Tuy, Migdalas & Värbrand, 1994, A quasiconcave minimization method for solving linear two-level programs, J. "
        "Global Optimization 4",
    ),
    "tuy_et_al_2007": _problem(
        tuy_et_al_2007(),
        4.5,
        1.5,
        22.5,
        -1.5,
        "Tuy, Migdalas & Hoai-Phuong, 2007, A novel approach to bilevel nonlinear programming, J. Global Optimization "
        "38",
    ),
    "ye_zhu_2010": _problem(
        ye_zhu_2010(),
        1,
        1,
        1.0,
        -2.0,
        "Ye & Zhu, 2010, New necessary optimality conditions for bilevel programs by combining the MPEC and value "
        "function approaches, SIAM J. Optimization 20, example 4.2",
    ),
    "yezza_1996": _problem(
        yezza_1996(),
        3,
        1,
        0.5,
        2.5,
        "Yezza, 1996, First-order necessary optimality conditions for general bilevel programming problems, J. "
        "Optimization Theory and Applications 89, example 4.1",
    ),
}
