"""The five repeated games x 64 seeds of the tabular contextual pipeline: training, leading, exact values.

Each seed trains its own contextual follower by Q-learning and leads it by exact policy gradients; ground truths are
enumerated and ascended too. The first time is with all compilation.
"""

import time
from typing import Any

from benchmarks.speed.harness import spread
from stackjax import catalogue
from stackjax.experiments import Leading, lead

SEEDS = 64
GAMES = ("prisoners-dilemma", "stag-hunt", "chicken", "battle-of-the-sexes", "matching-pennies")
AGAIN = 3  # repetitions at most


def pipeline() -> float:
    """Seconds of all of it."""
    leader = catalogue.MARKOV_LEADERS["policy-gradient-exact"]
    began = time.perf_counter()
    for game in GAMES:
        method = Leading(leader.make(), catalogue.ORACLES["contextual"].make)
        made = catalogue.MARKOV_GAMES[game].make()
        dataset = lead(made, {"contextual": method}, rounds=leader.rounds, replicates=SEEDS, progress=False)
        if dataset["status"].any():
            raise RuntimeError(f"{game}: replicates failed")
    return time.perf_counter() - began


def main(repetitions: int) -> dict[str, Any]:
    """Seconds of the pipeline with compilation, and of the same again."""
    first = pipeline()
    again = [pipeline() for _ in range(min(repetitions, AGAIN))]
    return {f"five games x {SEEDS} seeds": {"seconds_with_compilation": first, "seconds_again": spread(again)}}
