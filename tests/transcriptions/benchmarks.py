"""Benchmarks of finite Stackelberg games by their definitions, in exact rationals; nothing of stackjax.

U1[a][b], U2[a][b] and gamma are Fractions, all functions are of one instance.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import combinations, pairwise

Matrix = list[list[Fraction]]


def B(U2: Matrix, a: int, eps: Fraction) -> list[int]:
    """{b : max_b' U2(a, b') - U2(a, b) <= eps}."""
    return [b for b, u in enumerate(U2[a]) if max(U2[a]) - u <= eps]


def A(U1: Matrix, U2: Matrix, eps: Fraction) -> list[int]:
    """{a : max_{b in B_eps(a)} U1(a, b) >= max_a' min_{b' in B_eps(a')} U1(a', b') - eps}."""
    least = leader_objective(U1, U2, eps)
    return [a for a in range(len(U1)) if max(U1[a][b] for b in B(U2, a, eps)) >= least - eps]


def leader_objective(U1: Matrix, U2: Matrix, eps: Fraction) -> Fraction:
    """max_a min_{b in B_eps(a)} U1(a, b)."""
    return max(min(U1[a][b] for b in B(U2, a, eps)) for a in range(len(U1)))


def follower_objective(U1: Matrix, U2: Matrix, eps: Fraction) -> Fraction:
    """min_{a in A_eps} max_b U2(a, b)."""
    return min(max(U2[a]) for a in A(U1, U2, eps))


def self_objective(U: Matrix, U1: Matrix, U2: Matrix, eps: Fraction) -> Fraction:
    """min_{a in A_eps} min_{b in B_eps(a)} U(a, b), with U one of U1 and U2."""
    return min(U[a][b] for a in A(U1, U2, eps) for b in B(U2, a, eps))


def candidates(U1: Matrix, U2: Matrix, gamma: Fraction) -> list[Fraction]:
    """Every eps in [0, gamma] where a set can change, and both ends: differences of any two payoffs of one player."""
    found = {Fraction(0), gamma}
    for U in (U1, U2):
        found |= {abs(u - v) for u, v in combinations([u for row in U for u in row], 2)}
    return sorted(eps for eps in found if eps <= gamma)


def infimum(objective: Callable[[Fraction], Fraction], breakpoints: list[Fraction]) -> tuple[Fraction, Fraction | None]:
    """inf of objective(eps) + eps over the breakpoints and the open intervals between them, and the least argument.

    The objective is constant between breakpoints, so that the infimum over such an interval is the limit at its left
    end. If only that limit is the infimum, it isn't attained, and the argument is None.
    """
    at = [(objective(eps) + eps, eps) for eps in breakpoints]
    limits = [objective((low + high) / 2) + low for low, high in pairwise(breakpoints)]
    least, eps = min(at)
    return (least, eps) if least <= min(limits, default=least) else (min(limits), None)


def tolerant(U1: Matrix, U2: Matrix, gamma: Fraction) -> list[tuple[Fraction, Fraction | None]]:
    """Each player's gamma-tolerant benchmark, and where its infimum is attained."""
    at = candidates(U1, U2, gamma)
    return [infimum(partial(f, U1, U2), at) for f in (leader_objective, follower_objective)]


def self_tolerant(U1: Matrix, U2: Matrix, gamma: Fraction) -> list[tuple[Fraction, Fraction | None]]:
    """Each player's self-gamma-tolerant benchmark, and where its infimum is attained."""
    at = candidates(U1, U2, gamma)
    return [infimum(partial(self_objective, U, U1, U2), at) for U in (U1, U2)]


def stackelberg(U1: Matrix, U2: Matrix) -> tuple[Fraction, Fraction]:
    """(U1, U2) at a*, b*(a*); the follower's ties against the leader, the leader's to the lowest index."""
    replies = [min((b for b, u in enumerate(row) if u == max(row)), key=lambda b: U1[a][b]) for a, row in enumerate(U2)]
    worth = [U1[a][b] for a, b in enumerate(replies)]
    best = worth.index(max(worth))
    return U1[best][replies[best]], U2[best][replies[best]]


def alignment(U1: Matrix, U2: Matrix) -> Fraction | float:
    """max over pairs of outcomes of |dU1| / |dU2| and its inverse; 0/0 is skipped, x/0 is infinite, at least 1."""
    outcomes = [(u, v) for rows in zip(U1, U2, strict=True) for u, v in zip(*rows, strict=True)]
    found: Fraction | float = Fraction(1)
    for (u, v), (u_, v_) in combinations(outcomes, 2):
        d1, d2 = abs(u - u_), abs(v - v_)
        if d1 == d2 == 0:
            continue
        if d1 == 0 or d2 == 0:
            return float("inf")
        found = max(found, d1 / d2, d2 / d1)
    return found
