"""The sweep that is measured: step sizes and demands of the noisy duopoly, `side` values of each."""

from typing import Any

import numpy as np

from stackjax import Record, experiments
from stackjax.games import CournotDuopoly
from stackjax.learners import GradientAscent

GAME = CournotDuopoly()
LEARNERS = (GradientAscent(0.05, noise_variance=1.0), GradientAscent(0.2, noise_variance=1.0))


def over(side: int) -> dict[str, Any]:
    """What is swept, of the first so many step sizes of 40, and of demands of 25."""
    return {"leader.step": np.geomspace(0.01, 0.3, 40)[:side], "game.demand": np.linspace(80.0, 120.0, 25)[:side]}


def played(rounds: int, replicates: int, side: int = 40, every: int | None = None, **options: Any) -> Any:
    """The result; `every`: a record so often, default 30 records."""
    record = Record.log_spaced(30) if every is None else Record.every(every)
    return experiments.sweep(
        GAME, LEARNERS, over(side), rounds=rounds, replicates=replicates, record=record, progress=False, **options
    )
