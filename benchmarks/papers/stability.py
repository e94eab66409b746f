"""Stability and equilibrium in general-sum games: `python -m benchmarks.papers.stability`.

Critical points of random quadratic games, certified and counted by what they are and by whether the dynamics are stable
there: the test "stable J_S" of Fiez et al. (2019) against the definition. Every verdict is also compared to the closed
form, eigenvalues of the payoffs' own blocks. Writes `benchmarks/results/stability.json`; exits with 1 if one differs.
"""

import sys
from collections import Counter
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.reporting import write
from stackjax.equilibria import certify
from stackjax.games import Quadratic

GAMES, DIMS = 1000, (2, 3)


def drawn(kind: str, key: Any) -> list[Quadratic]:
    """Random games; "any curvature" has normal entries and nothing shifted, so that few points are equilibria."""
    if kind == "concave":
        batch = Quadratic.random(key, DIMS, batch=GAMES)
    elif kind == "concave, strongly coupled":
        batch = Quadratic.random(key, DIMS, concavity=0.2, coupling=3.0, batch=GAMES)
    elif kind == "zero-sum":
        batch = Quadratic.random_zero_sum(key, DIMS, concavity=0.2, coupling=3.0, batch=GAMES)
    else:
        batch = Quadratic.random(key, DIMS, concavity=-1e6, batch=GAMES)
    Q, b = ([np.asarray(x, np.float64) for x in leaves] for leaves in (batch.Q, batch.b))
    return [Quadratic([q[i] for q in Q], [v[i] for v in b], DIMS) for i in range(GAMES)]


def closed_form(game: Quadratic) -> tuple[bool, bool]:
    """Whether the critical points are a Nash and a Stackelberg equilibrium, from blocks of the matrices."""
    d1 = DIMS[0]
    q1, q2 = ((np.asarray(q) + np.asarray(q).T) / 2 for q in game.Q)
    spread = np.concatenate([np.eye(d1), -np.linalg.solve(q2[d1:, d1:], q2[d1:, :d1])])
    follower = np.linalg.eigvalsh(q2[d1:, d1:]).min() > 0
    nash = np.linalg.eigvalsh(q1[:d1, :d1]).min() > 0
    return bool(follower and nash), bool(follower and np.linalg.eigvalsh(spread.T @ q1 @ spread).min() > 0)


def main() -> int:
    """Count, print, write."""
    results, wrong = {}, 0
    table = Table("games", "point", "equilibria", "not stable among them", "stable, but no equilibria", "differ")
    with jax.enable_x64(True):
        for n, kind in enumerate(("concave", "concave, strongly coupled", "zero-sum", "any curvature")):
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
                table.add_row(
                    f"{GAMES} {kind}",
                    name,
                    *(
                        str(c[k])
                        for k in (
                            "equilibria",
                            "equilibria, not stable",
                            "stable, no equilibria",
                            "differ from the closed form",
                        )
                    ),
                )
    Console(width=130).print(table)
    write("stability", results, "python -m benchmarks.papers.stability")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
