"""What the first call of `play` costs: the CPU seconds of tracing, lowering and compiling, each in a fresh process.

Every pair that `stackjax compare GAME` plays by default, with 1000 replicates; and a call in which a few replicates
fail, which are computed a second time. The seconds of a second, identical call are taken off, importing and making the
game aren't counted, and nothing is kept on disk between processes.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stackjax import catalogue, play
from stackjax.games import IteratedMatrixGame
from stackjax.learners import GradientAscent, HierarchicalAscent

REPLICATES, ROUNDS = 1000, 60  # that many and more have one program, whose records lie unevenly
FEWER = {"mixture-gan": {"replicates": 5}}  # as the catalogue has it; 1000 would play for minutes
FAILING, FAILING_ROUNDS = "some replicates fail", 1000
ROOT = Path(__file__).parents[2]
_STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "xla",
}


class _Stages:
    """CPU seconds of JAX's stages; of one within another only the inner one counts."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(_STAGES.values(), 0.0)
        self.programs, self.open = 0, [0.0]  # of every stage that has begun: when, plus the seconds of those within
        jax.monitoring.register_scalar_listener(self._begin)
        jax.monitoring.register_event_duration_secs_listener(self._end)

    def _begin(self, event: str, *_: Any, **__: Any) -> None:
        if event in _STAGES:
            self.open.append(time.process_time())

    def _end(self, event: str, *_: Any, **__: Any) -> None:
        if event in _STAGES:
            took = time.process_time() - self.open.pop()
            self.seconds[_STAGES[event]] += took
            self.open[-1] += took
            self.programs += _STAGES[event] == "xla"


def _call(game: str, method: str) -> tuple[Any, ...]:
    if game == FAILING:
        pair = HierarchicalAscent(0.1), GradientAscent(0.1)
        return IteratedMatrixGame.prisoners_dilemma(0.96), pair, {"rounds": FAILING_ROUNDS}
    entry = catalogue.GAMES[game]
    return entry.make(), entry.methods[method](), {"rounds": ROUNDS, "start": entry.start} | FEWER.get(game, {})


def measure(game: str, method: str) -> dict[str, Any]:
    """One pair, in this process, which must not have compiled anything like it."""
    players, learners, options = _call(game, method)
    options = {"replicates": REPLICATES, "key": jax.random.key(0)} | options
    stages, seconds = _Stages(), []
    for _ in range(2):
        began = time.process_time()
        trace = jax.block_until_ready(play(players, *learners, **options))
        seconds.append(time.process_time() - began)
    return {
        "first_call_seconds": seconds[0] - seconds[1],
        "second_call_seconds": seconds[1],
        **{f"{stage}_seconds": value for stage, value in stages.seconds.items()},
        "programs": stages.programs,
        "failed_replicates": int((np.asarray(trace.status) != 0).sum()),
    }


def _child(game: str, method: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-m", "benchmarks.speed.first_calls", game, method]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(repetitions: int) -> dict[str, Any]:
    """All of them, once: they take minutes, and CPU seconds of a compilation repeat to about a tenth."""
    pairs = [(game, method) for game, entry in catalogue.GAMES.items() for method in entry.default]
    found = {f"{game}, {method}": _child(game, method) for game, method in pairs}
    seconds = {name: figures["first_call_seconds"] for name, figures in found.items()}
    whole = {
        "pairs": len(found),
        "median_seconds": statistics.median(seconds.values()),
        "max_seconds": max(seconds.values()),
    }
    return {
        f"all pairs; the slowest: {max(seconds, key=seconds.__getitem__)}": whole,
        FAILING: _child(FAILING, ""),
        **found,
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
