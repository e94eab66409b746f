"""Markov games in which a leader designs incentives and followers respond, small enough to enumerate.

The domains are reconstructions in the spirit of the indirect mechanisms of Gerstgrasser & Parkes, Oracles & Followers
(2023): a leader who never pays or charges is myopic, and one who does so in the wrong place is exploited.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stackjax.checks import whole
from stackjax.games._checks import finite_array, scalar
from stackjax.games.markov import MarkovGame


def corridor(
    cells: int = 5,
    horizon: int = 10,
    *,
    bonus: Any = 1.0,
    home: Any = 0.75,
    goal: Any = 0.1,
    harvest: Any = 3.0,
    **options: Any,
) -> MarkovGame:
    """A follower walks a corridor; the leader wants it at the far end and may pay it a bonus in each cell.

    The state is the follower's cell, 0 to `cells - 1`, at first 0, its home. In every step the leader pays a `bonus`
    (action 1) or not (0), knowing the cell, and the follower goes left (0), stays (1) or goes right (2); at a wall it
    stays. The follower is paid `home` in cell 0 and `goal` in the last one, and the bonus; the leader `harvest` in the
    last cell, less the bonuses.

    A leader who never pays keeps its money and gets nothing. With the default numbers a bonus in the last cell doesn't
    repay the way there; one more has to be paid underway, but a follower who is paid too early stays there. The best
    deterministic leader pays in the last two cells and nowhere else.

    **Arguments:** `cells`, `horizon`: whole numbers of at least 2 and 1; `bonus`, `home`, `goal`, `harvest`: numbers,
    in units of payoff, leaves; `options`: as in `MarkovGame`.

    >>> from stackjax.games import incentives
    >>> incentives.corridor().action_counts
    (2, 3)
    """
    cells, horizon = whole("cells", cells, 2), whole("horizon", horizon)
    for name, value in {"bonus": bonus, "home": home, "goal": goal, "harvest": harvest}.items():
        scalar(name, value)
    moves = np.zeros((cells, 2, 3, cells))
    for cell, step in np.ndindex(cells, 3):
        moves[cell, :, step, min(max(cell + step - 1, 0), cells - 1)] = 1
    paid = bonus * jnp.broadcast_to(jnp.arange(2.0)[None, :, None], (cells, 2, 3))
    first, last = (jnp.asarray(np.eye(cells)[at], paid.dtype)[:, None, None] for at in (0, -1))
    rewards = last * harvest - paid, first * home + last * goal + paid
    return MarkovGame(moves, rewards, horizon=horizon, **options)


def dominated_promise(**options: Any) -> MarkovGame:
    """One step in which the leader does best by an action that is dominated: the least game to need visible queries.

    The leader is paid 2 or 4 for its action 0 and 1 or 3 for its action 1, as the follower answers 0 or 1; the follower
    is paid 1 if it does as the leader does. So action 0 pays the leader 1 more whatever the follower does, and yet 1 is
    the commitment that pays most, 3 instead of 2.

    Against a follower that asks once and does as it is answered, a leader who plays 0 with the probability p is paid
    3 - p: a policy gradient in the difference of its logits is -p (1 - p), and leads to the commitment. If the query is
    hidden from it, it is +p (1 - p): the same with the opposite sign, from every p, and it ends with the least that
    there is. This makes Theorem 2 of Gerstgrasser & Parkes (2023) exact; the game is ours.

    **Arguments:** `options`: as in `MarkovGame`.

    >>> from stackjax.equilibria import deterministic_leaders
    >>> from stackjax.games import incentives
    >>> [round(float(value), 6) for value in deterministic_leaders(incentives.dominated_promise()).values]
    [3.0, 2.0]
    """
    leader, follower = [[2.0, 4.0], [1.0, 3.0]], [[1.0, 0.0], [0.0, 1.0]]
    return MarkovGame(np.ones((1, 2, 2, 1)), jnp.array([[leader], [follower]]), **{"horizon": 1} | options)


def toll_roads(toll: Any = 0.75, *, costs: Any = (1.0, 2.5), crowding: Any = (1.0, 1.0)) -> MarkovGame:
    """Two drivers choose between two roads at once, after the leader has chosen which road to charge a toll for.

    One step, one state. The leader, player 0, charges for neither road (0), the first (1) or the second (2). A driver,
    players 1 and 2, pays the road's cost, the toll, and `crowding` if the other takes the same road. The leader's
    payoff is minus what both pay without tolls.

    With the default numbers both take the first road unless it is charged: then they part, which costs less in all.
    With a negative crowding one driver seeks the company that the other avoids, and without a toll that is higher than
    their wish, no pure equilibrium exists: `toll_roads(3.0, costs=(1.0, 1.5), crowding=(2.0, -2.0))`.

    **Arguments:** `toll`: a number; `costs`: of the two roads; `crowding`: of the two drivers; in units of payoff.
    """
    scalar("toll", toll)
    travel, company = finite_array("costs", costs, (2,)), finite_array("crowding", crowding, (2,))
    same = jnp.eye(2, dtype=travel.dtype)
    charged = jnp.asarray(np.eye(3)[:, 1:], travel.dtype) * toll  # [leader's action, road]

    def driver(road: Array, fee: Array, crowd: Array) -> tuple[Array, Array]:
        """What a driver pays without the toll and with it, `[3, road of driver 1, road of driver 2]`."""
        without = jnp.broadcast_to((road + crowd * same)[None], (3, 2, 2))
        return without, without + fee

    one, charged_one = driver(travel[:, None], charged[:, :, None], company[0])
    two, charged_two = driver(travel[None], charged[:, None, :], company[1])
    rewards = -one - two, -charged_one, -charged_two
    every = np.ones((1, 3, 2, 2, 1))
    return MarkovGame(every, tuple(r[None] for r in rewards), horizon=1, clocked=(False,) * 3)
