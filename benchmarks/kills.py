"""Nothing is lost: sweeps killed with SIGKILL at random moments and started again, against uninterrupted ones.

`python -m benchmarks.kills` writes `benchmarks/results/kills.json`. Two sweeps of a noisy duopoly: many short chunks,
and a few long runs with checkpoints; each is killed at 10 moments, some of them in its start, the others in its work.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import xarray

from benchmarks.reporting import Row, report, row
from stackjax import Record, experiments
from stackjax.experiments import parts
from stackjax.games import CournotDuopoly
from stackjax.learners import GradientAscent

KILLS = 10
#: Moments are drawn from it.
SEED = 7
PAIR = (GradientAscent(0.05, noise_variance=1.0), GradientAscent(0.2, noise_variance=1.0))
ROOT = Path(__file__).parents[1]
#: What is swept, and how: 200 chunks of a program; 4 chunks of 20 segments each.
CASES: dict[str, dict[str, Any]] = {
    "many chunks": {"rounds": 30_000, "replicates": 50, "chunk": 5, "record": Record.every(3000)},
    "long runs": {
        "rounds": 3_000_000,
        "replicates": 2,
        "chunk": 10,
        "record": Record.every(20_000),
        "checkpoint": 100_000,
    },
}


def swept(case: str, out: str | Path) -> xarray.Dataset:
    """The result of a case, as a user would ask for it."""
    over = {"leader.step": [0.02, 0.05, 0.1, 0.2, 0.3], "game.demand": [80.0, 90.0, 100.0, 110.0]}
    return experiments.sweep(CournotDuopoly(), PAIR, over, out=out, devices=1, progress=False, **CASES[case])


def process(case: str, out: Path, cache: str) -> subprocess.Popen[bytes]:
    """The same in a process of its own. All processes compile once, as the command line has it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": cache}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return subprocess.Popen([sys.executable, "-m", "benchmarks.kills", "--play", case, str(out)], env=environment)


def seconds_of(case: str, out: Path, cache: str) -> float:
    """Play a case to its end in a process of its own."""
    began = time.perf_counter()
    if process(case, out, cache).wait():
        raise RuntimeError(f"{case}: the sweep failed in a process that wasn't killed")
    return time.perf_counter() - began


def killed(case: str, folder: Path) -> tuple[list[Row], list[dict[str, Any]]]:
    """Kill a case at random moments, start it again each time, and compare; the claims, and what each kill left."""
    moments, cache = random.Random(SEED), str(folder / "cache")
    whole_at, out = folder / f"whole {case}.nc", folder / f"{case}.nc"
    seconds_of(case, folder / f"first {case}.nc", cache)  # it compiles
    lasts = seconds_of(case, whole_at, cache)
    start = seconds_of(case, whole_at, cache)  # nothing is left to play
    folder_of_parts, kills, torn, left = out.with_name(out.name + ".parts"), 0, 0, []
    for i in range(KILLS):
        starting = i % 3 == 0
        moment = moments.uniform(0.0, start if starting else (lasts - start) / KILLS)
        done = finished(folder_of_parts)
        run = process(case, out, cache)
        while not starting and run.poll() is None and finished(folder_of_parts) == done:
            time.sleep(0.002)  # until it has done more than the last one
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moment)
        run.kill()
        kills += run.wait() == -signal.SIGKILL
        torn += out.exists() and not whole(out)
        left.append(
            {
                "case": case,
                "killed": "in its start" if starting else "in its work",
                "after_seconds": moment,
                "finished": sorted(finished(folder_of_parts)),
                "unfinished": len(list(folder_of_parts.glob(".*"))),
            }
        )
    seconds_of(case, out, cache)
    same = experiments.load(out).drop_attrs().identical(experiments.load(whole_at).drop_attrs())
    last = len(left[-1]["finished"])
    beside = [path.name for path in folder.iterdir() if path.name.startswith((out.name, f".{out.name}"))]
    return [
        row(f"{case}: killed before they had finished, of {KILLS}", kills, kills == KILLS),
        row(f"{case}: files with what was done, after the last kill", last, last > 0),
        row(f"{case}: result files that weren't whole", torn, torn == 0),
        row(f"{case}: data and coordinates identical to the uninterrupted sweep's (1: yes)", int(same), same),
        row(f"{case}: files left beside the result", len(beside) - 1, beside == [out.name]),
    ], left


def whole(path: Path) -> bool:
    """Whether a result can be read."""
    try:
        experiments.load(path)
    except ValueError:
        return False
    return True


def finished(folder: Path) -> dict[str, int]:
    """The files with what was done, and when they were written; not the manifest, nor what is being written."""
    found = {}
    for path in folder.glob("[!.]*.npz"):
        with contextlib.suppress(FileNotFoundError):  # it was just replaced by what comes after it
            found[path.name] = path.stat().st_mtime_ns
    return found


def main() -> int:
    """Kill both, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--play", nargs=2, metavar=("CASE", "OUT"), help="only this, in this process")
    options = parser.parse_args()
    if options.play:
        parts.EVERY = 0.2  # of so short sweeps
        swept(*options.play)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = [killed(case, Path(folder)) for case in CASES]
    rows = [claim for claims, _ in found for claim in claims]
    return report("kills", rows, "python -m benchmarks.kills", {"kills": [kill for _, left in found for kill in left]})


if __name__ == "__main__":
    sys.exit(main())
