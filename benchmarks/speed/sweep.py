"""Sweeps: what they cost over one call of `play`, two cores against one, memory against the budget, start-up."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import duopoly_sweep
from benchmarks.speed.harness import interleaved, ratio, spread
from stackjax import Record, experiments, play
from stackjax.experiments.run import Runs, device_list, planned

#: 1000 settings x 100 replicates.
ROUNDS, REPLICATES = 10_000, 100
#: Of the sweep whose memory is measured: 1000 records of each run make a budget bind.
LONG = {"rounds": 2000, "replicates": 20, "every": 2, "keep": ["status"]}
BUDGETS = tuple(2**n for n in range(26, 31))  # 64 MiB to 1 GiB
ROOT = Path(__file__).parents[2]


def child(cores: int, cache: str | None = None, **options: Any) -> dict[str, float]:
    """What a sweep takes in a process of its own, on so many cores."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if cache is not None:
        environment |= {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "benchmarks.speed.sweep_child", json.dumps({"cores": cores, **options})]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def overhead(repetitions: int) -> dict[str, Any]:
    """1000 settings x 100 replicates: `sweep`, all of it, over one call of `play` that was prepared for it."""
    options = {"rounds": ROUNDS, "replicates": REPLICATES, "devices": 1}
    made, _ = planned(
        experiments.sweep,
        duopoly_sweep.GAME,
        duopoly_sweep.LEARNERS,
        duopoly_sweep.over(40),
        **options,
        record=Record.log_spaced(30),
    )
    runs = Runs(made, list(made.settings), device_list(1))
    players, given = runs.arguments(0, np.arange(runs.total))
    (size,) = runs.sizes(None, None)
    programs: list[int] = []

    def swept() -> Any:
        found = duopoly_sweep.played(**options)
        programs.append(found.attrs["programs"])
        return found["status"].values

    seconds = interleaved(
        {
            "sweep": swept,
            "play": lambda: play(*players, **given).strategies,
            "play_in_chunks": lambda: play(*players, **(given | {"chunk": size})).strategies,
        },
        repetitions,
    )
    rounds = runs.total * ROUNDS
    return {
        "settings": len(runs.settings),
        "programs": max(programs),
        "runs_at_once": size,
        "sweep_over_play": ratio(seconds, "sweep", "play"),
        "sweep_over_play_in_chunks": ratio(seconds, "sweep", "play_in_chunks"),
        "sweep_seconds": spread(seconds["sweep"]),
        "play_seconds": spread(seconds["play"]),
        "rounds_a_second": spread([rounds / s for s in seconds["sweep"]]),
    }


def main(repetitions: int) -> dict[str, Any]:
    """All figures; the long measurements are repeated at most three times."""
    few = min(repetitions, 3)
    found: dict[str, Any] = {"1000 settings x 100 replicates": overhead(few)}
    options = {"rounds": ROUNDS, "replicates": REPLICATES}
    cores = (
        {n: [child(n, **options)["seconds"] for _ in range(few)] for n in (1, 2)} if (os.cpu_count() or 1) > 1 else {}
    )
    if cores:
        pairs = zip(cores[1], cores[2], strict=True)
        found["two cores"] = {"times_as_fast": spread([one / two for one, two in pairs])}
    for budget in BUDGETS:
        peak = child(1, budget=budget, **LONG)["peak_bytes"]
        found[f"budget of {budget // 2**20} MiB"] = {"peak_over_budget": peak / budget, "peak_bytes": peak}
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (child(1, folder, rounds=100, replicates=2)["compile_seconds"] for _ in range(2))
    found["compilation cache"] = {"cold_seconds": cold, "warm_seconds": warm, "saved_seconds": cold - warm}
    return found
