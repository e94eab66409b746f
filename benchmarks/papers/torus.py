"""Fiez et al. (2019), Sec. 4.2, the location game on the torus: `python -m benchmarks.papers.torus`.

The printed equilibria and costs, the number of critical points, and statistics over 1000 replicates of 1e4 rounds for
each of five keys. Writes `benchmarks/results/torus.json`; exits with 1 if a claim fails.
"""

import sys

import jax
import numpy as np

from benchmarks.reporting import Row, report, row
from stackjax import Record
from stackjax.equilibria import find
from stackjax.experiments import compare
from stackjax.games import TorusLocation
from stackjax.learners import GradientAscent, HierarchicalAscent
from stackjax.schedules import PowerLaw

GAME = TorusLocation()
#: Points and costs as printed, in the paper's order.
PRINTED = {
    "Nash": ([(-0.78, 1.18), (1.57, -0.4)], (-0.77, -1.3)),
    "Stackelberg": ([(-0.53, 1.25), (1.31, -0.46)], (-0.81, -1.05)),
}


def equilibria() -> list[Row]:
    """What the search finds against what is printed."""
    found = find(GAME, jax.random.key(0), 1024)
    rows = []
    for kind, certificates in (("Nash", found.nash), ("Stackelberg", found.stackelberg)):
        points, costs = PRINTED[kind]
        ours = sorted(tuple(float(a) for a in c.actions) for c in certificates)
        close = len(ours) == 2 and np.allclose(ours, points, rtol=0, atol=0.006)
        rows.append(row(f"{kind} equilibria {points} as printed, and no others", np.ravel(ours).tolist(), close))
        paid = [-float(p) for p in certificates[0].payoffs]
        rows.append(row(f"costs at {kind} equilibria {costs} as printed", paid, np.allclose(paid, costs, atol=0.006)))
    for field, critical in (
        ("simultaneous", found.critical_simultaneous),
        ("hierarchical", found.critical_hierarchical),
    ):
        rows.append(row(f"6 critical points of the {field} direction", len(critical), len(critical) == 6))
    stable = [c.hierarchical.stable for c in found.stackelberg] + [c.simultaneous.stable for c in found.nash]
    rows.append(row("all four equilibria are stable in their dynamics", sum(stable), all(stable)))
    return rows


def statistics(seeds: int = 5) -> list[Row]:
    """Steps 1/sqrt(k), and 1/k and 1/sqrt(k); estimator noise of variance .01; starts uniform."""
    fast = GradientAscent(PowerLaw(1.0, 0.5), noise_variance=0.01)
    slow = HierarchicalAscent(PowerLaw(1.0, 1.0), noise_variance=0.01)
    rows = []
    for seed in range(seeds):
        data = compare(
            GAME,
            {"simultaneous": (fast, fast), "two-timescale": (slow, fast)},
            rounds=10_000,
            replicates=1000,
            seed=seed,
            record=Record.final(payoffs=None),
            progress=False,
        )
        last = data.isel(rounds=-1)
        nash = np.linalg.norm(last["distance_to_nash"].sel(methods="simultaneous"), axis=-1)
        rows.append(
            row(f"seed {seed}: simultaneous, every replicate within .05 of Nash", float(nash.max()), nash.max() < 0.05)
        )
        far = np.linalg.norm(last["distance_to_stackelberg"].sel(methods="two-timescale"), axis=-1)
        median, near = float(np.median(far)), float(np.mean(far < 0.1))
        rows.append(row(f"seed {seed}: two-timescale, median distance to Stackelberg < .01", median, median < 0.01))
        rows.append(row(f"seed {seed}: two-timescale, at least 98 % within .1", near, near >= 0.98))
    return rows


if __name__ == "__main__":
    sys.exit(report("torus", equilibria() + statistics(), "python -m benchmarks.papers.torus"))
