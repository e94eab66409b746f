"""Finite games of two players: pure and mixed Nash equilibria, and dominated actions, from both payoff matrices.

Everywhere the leader chooses the row. Payoffs are tied if they differ by at most `TOLERANCE` = 1e-9 of the most that
their player can lose by a choice of its own.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from stackjax.checks import concrete
from stackjax.equilibria.commitment import TOLERANCE, _maximise
from stackjax.games.bimatrix import payoff_matrices

#: The most linear systems that `nash_equilibria` solves for a player: enough for 9 actions of each.
LARGEST = 50_000
_SINGULAR = 1e-10  # a smaller ratio of the least to the largest singular value: rows that differ by their rounding


class NashEquilibria(NamedTuple):
    """Equilibria in mixed strategies.

    **Attributes:** `leader` `[n, A]`, `follower` `[n, B]`: the probabilities of the players' actions; pure equilibria
    first, then by the number of actions that are played.
    """

    leader: Float[np.ndarray, "n A"]
    follower: Float[np.ndarray, "n B"]


class Dominated(NamedTuple):
    """Which actions are dominated.

    **Attributes:** `leader` `[..., A]`, `follower` `[..., B]`.
    """

    leader: Bool[np.ndarray, "*batch A"]
    follower: Bool[np.ndarray, "*batch B"]


def pure_nash(U1: Any, U2: Any) -> Bool[np.ndarray, "*batch A B"]:
    """Which joint actions are Nash equilibria: neither player gains by another action of its own.

    **Arguments:** `U1`, `U2`: the leader's and the follower's payoffs, finite, both `[A, B]`, or `[N, A, B]` for
    several games.

    **Returns:** `[..., A, B]`, True where it is one; ties are equilibria.

    **Raises:** `TypeError` or `ValueError` that names the argument.

    >>> from stackjax.equilibria.finite import pure_nash
    >>> pure_nash([[3, 0], [4, 1]], [[3, 4], [0, 1]]).tolist()  # the prisoner's dilemma
    [[False, False], [False, True]]
    """
    leader, follower = _losses(U1, U2)
    return (leader <= TOLERANCE) & (np.swapaxes(follower, -1, -2) <= TOLERANCE)


def nash_equilibria(U1: Any, U2: Any) -> NashEquilibria:
    """The extreme Nash equilibria in mixed strategies, pure ones among them.

    In a nondegenerate game these are all its equilibria, finitely many and odd in number. In a degenerate one (a mixed
    strategy with k actions has more than k best replies) there may be infinitely many: then all are mixtures of these
    (of one player's strategies where the other's is the same; Winkels, 1979, "An algorithm to determine all equilibrium
    points of a bimatrix game").

    They are the pairs of vertices of the best-response polytopes `{x >= 0 : U2' x <= 1}` and `{y >= 0 : U1 y <= 1}` (of
    payoffs made positive, which changes no best reply) at which each action is unplayed or a best reply (Avis,
    Rosenberg, Savani and von Stengel, 2010, "Enumeration of Nash equilibria for two-player games"). Vertices come from
    all their possible supports and best replies, `(A + B)! / (A! B!) - 1` small linear systems for each player: exact
    up to rounding, and for few actions only.

    **Arguments:** `U1`, `U2`: the leader's and the follower's payoffs, finite matrices `[A, B]`.

    **Returns:** a `NashEquilibria`, of at least one.

    **Raises:** `TypeError` or `ValueError` that names the argument; `ValueError` for more than `LARGEST` systems.

    >>> from stackjax.equilibria.finite import nash_equilibria
    >>> nash_equilibria([[1, -1], [-1, 1]], [[-1, 1], [1, -1]]).leader.round(6).tolist()  # matching pennies
    [[0.5, 0.5]]
    """
    first, second = _losses(U1, U2)
    if first.ndim != 2:
        raise ValueError(f"U1, U2: expected the matrices [A, B] of one game, got the shape {first.shape}")
    systems = math.comb(sum(first.shape), first.shape[0])
    if systems > LARGEST:
        raise ValueError(f"U1, U2: expected few actions (9 x 9: {LARGEST} systems at most), got {first.shape}")
    x, x_labels = _vertices(2.0 - second)
    y, y_labels = _vertices(2.0 - first)
    missing = ~x_labels, ~np.roll(y_labels, len(first), axis=1)  # the leader's actions first, in both
    pairs = np.argwhere(missing[0].astype(np.int64) @ missing[1].T.astype(np.int64) == 0)
    leader, follower = x[pairs[:, 0]], y[pairs[:, 1]]
    order = np.lexsort((*(-np.hstack([leader, follower]).T[::-1]), (leader > 0).sum(1) + (follower > 0).sum(1)))
    return NashEquilibria(leader[order], follower[order])


def dominated(U1: Any, U2: Any, *, weakly: bool = False) -> Dominated:
    """Which actions another one dominates: it pays more, whatever the other player does.

    **Arguments:** `U1`, `U2` as in `pure_nash`; `weakly`: it never pays less, and sometimes more. (What is strictly
    dominated is weakly dominated, too.)

    **Returns:** a `Dominated`.

    **Raises:** `TypeError` or `ValueError` that names the argument.

    >>> from stackjax.equilibria.finite import dominated
    >>> [found.tolist() for found in dominated([[3, 0], [4, 1]], [[3, 4], [0, 1]])]  # in the dilemma: to be silent
    [[True, False], [True, False]]
    """

    def of(loss: Float[np.ndarray, "*batch own other"]) -> Bool[np.ndarray, "*batch own"]:
        gains = loss[..., :, None, :] - loss[..., None, :, :]  # of the second action over the first
        more = gains > TOLERANCE
        by = np.all(gains >= -TOLERANCE, -1) & np.any(more, -1) if weakly else np.all(more, -1)
        return np.any(by, -1)

    return Dominated(*map(of, _losses(U1, U2)))


def dominated_by_mixtures(U1: Any, U2: Any) -> Dominated:
    """Which actions a mixture of their player's actions strictly dominates: exactly those that are never a best reply.

    By a linear programme an action, which looks for the mixture that pays most more (Pearce, 1984, "Rationalizable
    strategic behavior and the problem of perfection", Lemma 3, for the equivalence).

    **Arguments:** `U1`, `U2`: the leader's and the follower's payoffs, finite matrices `[A, B]`.

    **Returns:** a `Dominated`.

    **Raises:** `TypeError` or `ValueError` that names the argument; `RuntimeError` if the solver, SciPy's HiGHS, fails.
    """

    def of(loss: Float[np.ndarray, "own other"]) -> Bool[np.ndarray, " own"]:
        return np.array([_lead(loss - own) > TOLERANCE for own in loss])

    losses = _losses(U1, U2)
    if losses[0].ndim != 2:
        raise ValueError(f"U1, U2: expected the matrices [A, B] of one game, got the shape {losses[0].shape}")
    return Dominated(*map(of, losses))


def _lead(more_lost: Float[np.ndarray, "own other"]) -> float:
    """By how much the best mixture beats an action: the largest t with `x' more_lost <= -t`."""
    actions, columns = more_lost.shape
    found = _maximise(
        np.append(np.zeros(actions), 1.0), at_most_zero=np.column_stack([more_lost.T, np.ones(columns)]), free=1
    )
    if found is None:
        raise RuntimeError("dominated_by_mixtures: the solver found no mixture, not even the action itself")
    return float(found.x[-1])


def _losses(U1: Any, U2: Any) -> tuple[Float[np.ndarray, "*batch A B"], Float[np.ndarray, "*batch B A"]]:
    """What each action loses against the best one, over the largest such loss; a player's own actions first."""
    if not concrete((U1, U2)):
        raise TypeError("U1, U2: expected known numbers; equilibria can't be enumerated inside of jit, vmap or grad")
    matrices = payoff_matrices((U1, U2), ("U1", "U2"), np.asarray, batch=True)
    u1, u2 = (np.asarray(u, np.float64) for u in matrices)
    return _loss(u1), _loss(np.swapaxes(u2, -1, -2))


def _loss(u: Float[np.ndarray, "*batch own other"]) -> Float[np.ndarray, "*batch own other"]:
    magnitude = np.max(np.abs(u), axis=(-2, -1), keepdims=True)
    u = u / np.where(magnitude > 0, magnitude, 1.0)
    loss = np.max(u, axis=-2, keepdims=True) - u
    largest = np.max(loss, axis=(-2, -1), keepdims=True)
    rounding = largest <= 8 * np.finfo(np.float64).eps
    return np.where(rounding, 0.0, loss / np.where(rounding, 1.0, largest))


def _vertices(
    payoffs: Float[np.ndarray, "other own"],
) -> tuple[Float[np.ndarray, "n own"], Bool[np.ndarray, "n own+other"]]:
    """The vertices but 0 of `{z >= 0 : payoffs z <= 1}` as probabilities; which inequalities are tight at each.

    `payoffs` are the other player's, between 1 and 2. A vertex with s actions solves s of its best replies' equations.
    """
    others, own = payoffs.shape
    points, tight = [], []
    for size in range(1, min(others, own) + 1):
        supports = np.array(list(itertools.combinations(range(own), size)))
        replies = np.array(list(itertools.combinations(range(others), size)))
        supports, replies = (
            x.reshape(-1, size) for x in np.broadcast_arrays(supports[:, None], replies[None])
        )  # all pairs
        systems = payoffs[replies[:, :, None], supports[:, None, :]]
        spectra = np.linalg.svd(systems, compute_uv=False)
        regular = spectra[:, -1] > _SINGULAR * spectra[:, 0]
        supports, replies = supports[regular], replies[regular]
        solved = np.linalg.solve(systems[regular], np.ones((len(supports), size, 1)))[..., 0]
        z = np.zeros((len(supports), own))
        np.put_along_axis(z, supports, solved, axis=1)
        paid = z @ payoffs.T
        inside = np.all(z >= -TOLERANCE, axis=1) & np.all(paid <= 1 + TOLERANCE, axis=1)
        z, paid = z[inside], paid[inside]
        labels = np.hstack([z <= TOLERANCE, paid >= 1 - TOLERANCE])
        np.put_along_axis(labels, own + replies[inside], True, axis=1)  # whatever the rounding
        points.append(np.where(z <= TOLERANCE, 0.0, z) / z.sum(1, keepdims=True))
        tight.append(labels)
    z, labels = np.concatenate(points), np.concatenate(tight)
    # Several systems have the same vertex if more inequalities are tight than there are actions.
    new = [i for i in range(len(z)) if not np.any(np.max(np.abs(z[:i] - z[i]), axis=1, initial=0.0) <= 1e-8)]
    return z[new], labels[new]
