"""Iterated 2x2 games in plain NumPy: the chain of outcomes, stage by stage. Payoffs maximised."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def outcomes(x: ArrayLike, y: ArrayLike, discount: float) -> Array:
    """(1 - discount) sum_t discount^t (distribution of stage t's outcome), as [CC, CD, DC, DD].

    x and y are logits of playing C in (start, CC, CD, DC, DD), the leader's action first for both. The sum ends where
    what is left of it is below 1e-16.
    """
    p, q = (1 / (1 + np.exp(-np.asarray(z, float))) for z in (x, y))
    total, weight, state = np.zeros(4), 1.0 - discount, None
    while weight > 1e-16 * (1 - discount):
        if state is None:
            state = np.array([p[0] * q[0], p[0] * (1 - q[0]), (1 - p[0]) * q[0], (1 - p[0]) * (1 - q[0])])
        else:
            after = np.zeros(4)
            for s in range(4):
                a, b = p[1 + s], q[1 + s]
                after += state[s] * np.array([a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b)])
            state = after
        total += weight * state
        weight *= discount
    return total


def payoffs(x: ArrayLike, y: ArrayLike, leader: ArrayLike, follower: ArrayLike, discount: float) -> Array:
    """What both players get, from 2x2 matrices with the leader's action as the row."""
    shares = outcomes(x, y, discount)
    return np.array([shares @ np.ravel(np.asarray(m, float)) for m in (leader, follower)])
