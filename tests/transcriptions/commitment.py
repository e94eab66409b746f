"""Commitments by brute force, from their definitions: no linear programme, and nothing of stackjax."""

import itertools
from fractions import Fraction

import numpy as np


def worth(strategies, U1, U2, ties, tolerance=1e-9):
    """What mixed strategies [n, A] yield to a leader whose follower replies best: [n]."""
    to_leader, to_follower = strategies @ U1, strategies @ U2
    best = to_follower >= to_follower.max(axis=1, keepdims=True) - tolerance
    if ties == "strong":
        return np.where(best, to_leader, -np.inf).max(axis=1)
    return np.where(best, to_leader, np.inf).min(axis=1)


class TwoRows:
    """A game with two rows, in exact arithmetic; p is the probability of row 1.

    Between neighbouring crossings of two columns' payoffs (to either player) the follower's best replies and what the
    leader gets are linear in p, so that the values at the crossings and the limits from either side are all there is.
    """

    def __init__(self, U1, U2):
        self.U1, self.U2 = ([[Fraction(x) for x in row] for row in U] for U in (U1, U2))
        self.columns = range(len(self.U1[0]))
        crossings = {Fraction(0), Fraction(1)}
        for U in (self.U1, self.U2):
            for j, k in itertools.combinations(self.columns, 2):
                at_0, at_1 = U[0][j] - U[0][k], U[1][j] - U[1][k]
                if at_0 * at_1 < 0:
                    crossings.add(at_0 / (at_0 - at_1))
        self.crossings = sorted(crossings)

    def pay(self, U, j, p):
        return (1 - p) * U[0][j] + p * U[1][j]

    def replies(self, p):
        payoffs = [self.pay(self.U2, j, p) for j in self.columns]
        return [j for j in self.columns if payoffs[j] == max(payoffs)]

    def commitment(self, ties):
        """The leader's value, and whether some strategy attains it."""
        pick = max if ties == "strong" else min
        worth = lambda p: pick(self.pay(self.U1, j, p) for j in self.replies(p))  # noqa: E731
        values = [(worth(p), True) for p in self.crossings]
        for left, right in itertools.pairwise(self.crossings):
            a, b = worth((3 * left + right) / 4), worth((left + 3 * right) / 4)
            values += [(a - (b - a) / 2, a == b), (b + (b - a) / 2, a == b)]
        value = max(v for v, _ in values)
        return value, any(attained for v, attained in values if v == value)

    def nash_payoffs(self):
        """The lowest and the highest payoff of the leader in a Nash equilibrium.

        At each p (crossings, and one between them) the follower's equilibrium strategies are those mixtures of its best
        replies to which p is a best reply; their extreme points have at most two columns.
        """
        between = [(left + right) / 2 for left, right in itertools.pairwise(self.crossings)]
        payoffs = []
        for p in [*self.crossings, *between]:
            replies = self.replies(p)
            gain = {j: self.U1[1][j] - self.U1[0][j] for j in replies}  # of row 1 over row 0
            for j in replies:
                if gain[j] == 0 or (p == 0 and gain[j] < 0) or (p == 1 and gain[j] > 0):
                    payoffs.append(self.pay(self.U1, j, p))
            for j, k in itertools.product(replies, repeat=2):
                if gain[j] < 0 < gain[k]:
                    share = gain[k] / (gain[k] - gain[j])
                    payoffs.append(share * self.pay(self.U1, j, p) + (1 - share) * self.pay(self.U1, k, p))
        return min(payoffs), max(payoffs)


def three_rows(U1, U2):
    """Strategies [n, 3] among which the optimal one of a game with three rows is, if there is one.

    The lines on which two columns pay either player the same, and the sides of the simplex, cut it into cells on which
    replies don't change and payoffs are linear. Their corners, and points in the middle of every edge and cell.
    """
    lines = list(np.eye(3))
    for U in (U1, U2):
        lines += [U[:, j] - U[:, k] for j, k in itertools.combinations(range(U.shape[1]), 2)]
    corners = [np.cross(a, b) for a, b in itertools.combinations(lines, 2)]
    corners = np.array([x / x.sum() for x in corners if abs(x.sum()) > 1e-9])
    corners = np.unique(np.round(np.maximum(corners[corners.min(axis=1) > -1e-9], 0.0), 12), axis=0)
    subsets = [np.array(list(itertools.combinations(range(len(corners)), size))) for size in (1, 2, 3)]
    return np.concatenate([corners[subset].mean(axis=1) for subset in subsets])
