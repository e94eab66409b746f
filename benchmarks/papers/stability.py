"""Stability and equilibrium: `python -m benchmarks.papers.stability`.

Critical points of random quadratic games, certified and counted by what they are and by whether the dynamics are stable
there. Then Propositions 1 to 3 of Fiez et al. (2019), about zero-sum games, on games that could refute them: their
leaders' and followers' curvature is whatever was drawn, so that some critical points are equilibria and some are not.
Every verdict is also compared to the closed form, eigenvalues of the payoffs' own blocks. Writes
`benchmarks/results/stability.json`; exits with 1 if a verdict differs or a claim fails.
"""

import sys
from collections import Counter
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.reporting import Row, report, row
from stackjax.equilibria import certify
from stackjax.games import Quadratic

GAMES, DIMS = 1000, (2, 3)
#: What is drawn, and in which order: the keys are their numbers.
KINDS = (
    "concave",
    "concave, strongly coupled",
    "zero-sum, Stackelberg by construction",
    "any curvature",
    "zero-sum, concave follower",
    "zero-sum, any curvature",
)


def drawn(kind: str, key: Any, games: int = GAMES) -> list[Quadratic]:
    """Random games; "any curvature" has normal entries and nothing shifted, so that few points are equilibria."""
    if kind == "concave":
        batch = Quadratic.random(key, DIMS, batch=games)
    elif kind == "concave, strongly coupled":
        batch = Quadratic.random(key, DIMS, concavity=0.2, coupling=3.0, batch=games)
    elif "construction" in kind:
        batch = Quadratic.random_zero_sum(key, DIMS, concavity=0.2, coupling=3.0, batch=games)
    elif kind == "zero-sum, concave follower":
        batch = Quadratic.random(key, DIMS, concavity=0.2, batch=games)
    else:
        batch = Quadratic.random(key, DIMS, concavity=-1e6, batch=games)
    Q, b = ([np.asarray(x, np.float64) for x in leaves] for leaves in (batch.Q, batch.b))
    if kind in KINDS[4:]:
        Q[0], b[0] = -Q[1], -b[1]
    return [Quadratic([q[i] for q in Q], [v[i] for v in b], DIMS) for i in range(games)]


def closed_form(game: Quadratic) -> tuple[bool, bool]:
    """Whether the critical points are a Nash and a Stackelberg equilibrium, from blocks of the matrices."""
    d1 = game.dims[0]
    q1, q2 = ((np.asarray(q) + np.asarray(q).T) / 2 for q in game.Q)
    spread = np.concatenate([np.eye(d1), -np.linalg.solve(q2[d1:, d1:], q2[d1:, :d1])])
    follower, nash = positive(q2[d1:, d1:]), positive(q1[:d1, :d1])
    return follower and nash, follower and positive(spread.T @ q1 @ spread)


def positive(matrix: np.ndarray) -> bool:
    """Whether it is positive definite."""
    return bool(np.linalg.eigvalsh(matrix).min() > 0)


class Point(NamedTuple):
    """A critical point of both dynamics of a zero-sum game; the last two: is the cost's block, or the follower's, > 0?

    A zero of one player's gradient is one of the other's, so that both dynamics rest at the same points.
    """

    nash: bool
    stackelberg: bool
    simultaneous: bool
    hierarchical: bool
    leader_convex: bool
    follower_concave: bool


def certified(game: Quadratic) -> Point:
    """The critical point of a zero-sum game."""
    found = certify(game, *game.critical_points()[1], replies=0)
    assert closed_form(game) == (found.is_nash, found.is_stackelberg), game
    d1, cost = game.dims[0], np.asarray(game.Q[0])
    stable = (found.simultaneous.stable, found.hierarchical.stable)
    return Point(found.is_nash, found.is_stackelberg, *stable, positive(cost[:d1, :d1]), positive(-cost[d1:, d1:]))


def propositions(games: int = GAMES) -> list[Row]:
    """What the source says of zero-sum games, costs f and -f, counted; "of" is how many points could refute it."""
    points = [
        certified(game) for n, kind in enumerate(KINDS) if n >= 4 for game in drawn(kind, jax.random.key(n), games)
    ]
    # f = x^2 + 2 x y + y^2 / 2 is the cost of the first: its block is 2, the follower's -1, J's determinant 2, trace 1
    cost = np.array([[2.0, 2.0], [2.0, 1.0]])
    example = certified(Quadratic((cost, -cost), np.zeros((2, 2)), (1, 1)))

    def counted(claim: str, premise: Any, conclusion: Any, refuted: bool = False) -> Row:
        fits = [p for p in points if premise(p)]
        against = sum(not conclusion(p) for p in fits)
        # A premise that fits nothing, or that every point fulfils with the conclusion, would show nothing.
        could = len(fits) >= games // 10 and any(not conclusion(p) for p in points)
        return row(f"{claim} [against it, of]", [against, len(fits)], could and (against > 0) == refuted, refuted)

    return [
        counted(
            "Proposition 1: a Nash equilibrium is a Stackelberg equilibrium", lambda p: p.nash, lambda p: p.stackelberg
        ),
        counted(
            "Proposition 2 as printed, stable J and D_1^2 f or -D_2^2 f > 0: Stackelberg, stable J_S; false",
            lambda p: p.simultaneous and (p.leader_convex or p.follower_concave),
            lambda p: p.stackelberg and p.hierarchical,
            refuted=True,
        ),
        row(
            "Proposition 2 as printed: f = x^2 + 2 x y + y^2 / 2 is a counter-example [premise, conclusion]",
            [example.simultaneous and example.leader_convex, example.stackelberg],
            example.simultaneous and example.leader_convex and not example.stackelberg,
            control=True,
        ),
        counted(
            "Proposition 2 with -D_2^2 f > 0",
            lambda p: p.simultaneous and p.follower_concave,
            lambda p: p.stackelberg and p.hierarchical,
        ),
        counted("Proposition 3: stable J_S is Stackelberg", lambda p: p.hierarchical, lambda p: p.stackelberg),
        counted("stable J is Nash, which nobody claims", lambda p: p.simultaneous, lambda p: p.nash, refuted=True),
    ]


def census() -> tuple[dict[str, Any], int]:
    """Equilibria and stable points of each kind of games, and how many verdicts differ from the closed form."""
    results, wrong = {}, 0
    table = Table("games", "point", "equilibria", "not stable among them", "stable, but no equilibria", "differ")
    for n, kind in enumerate(KINDS):
        counts: dict[str, Counter] = {"nash": Counter(), "stackelberg": Counter()}
        for game in drawn(kind, jax.random.key(n)):
            for i, (name, point) in enumerate(zip(("nash", "stackelberg"), game.critical_points(), strict=True)):
                found = certify(game, *point, replies=0)
                verdict = (found.is_nash, found.is_stackelberg)[i]
                stable = (found.simultaneous, found.hierarchical)[i].stable
                counts[name]["equilibria"] += verdict
                counts[name]["equilibria, not stable"] += verdict and not stable
                counts[name]["stable, no equilibria"] += stable and not verdict
                counts[name]["differ from the closed form"] += verdict != closed_form(game)[i]
        for name, c in counts.items():
            wrong += c["differ from the closed form"]
            results[f"{kind}, {name}"] = {"points": GAMES, **c}
            table.add_row(f"{GAMES} {kind}", name, *map(str, c.values()))
    Console(width=130).print(table)
    return results, wrong


def main() -> int:
    """Count, print, write."""
    with jax.enable_x64(True):
        counts, wrong = census()
        claims = propositions()
    return report("stability", claims, "python -m benchmarks.papers.stability", {"counts": counts}) or int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
