"""Nothing is lost: experiments killed with SIGKILL at random moments and started again, against uninterrupted ones.

`python -m benchmarks.kills` writes `benchmarks/results/kills.json`. Two sweeps of a noisy duopoly (many short chunks,
and a few long runs with checkpoints), a comparison, regrets, a meta-game and leaders against an oracle; each is killed
at 10 moments, some of them in its start, the others in its work. Two calls on one file, with chunks of different sizes,
are started together 20 times. And one process compares methods in 200 different games: its memory levels off.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray

from benchmarks.reporting import Row, report, row
from stackjax import Record, experiments
from stackjax.experiments import Leading, store
from stackjax.experiments.run import MOST_PROGRAMS
from stackjax.games import CournotDuopoly, IteratedMatrixGame, MarkovGame, from_payoffs
from stackjax.games.bandit_instances import aligned, etc_failure
from stackjax.learners import ExploreThenCommit, Fixed, GradientAscent, PerArm, QLearning
from stackjax.spaces import Euclidean

KILLS, TOGETHER = 10, 20
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


LEARNERS = {"short": ExploreThenCommit(5), "long": ExploreThenCommit(50)}
FOLLOWERS = {name: PerArm(learner) for name, learner in LEARNERS.items()}
DILEMMA = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=3)
#: The other experiments, each of 20 chunks or more.
OTHERS: dict[str, Callable[..., xarray.Dataset]] = {
    "comparison": lambda **how: experiments.compare(
        CournotDuopoly(),
        {f"step {step}": (GradientAscent(step, noise_variance=1.0), PAIR[1]) for step in (0.05, 0.1, 0.2)},
        rounds=300_000,
        replicates=40,
        record=Record.every(3000),
        chunk=5,
        **how,
    ),
    "regret": lambda **how: experiments.regret(
        etc_failure(),
        {f"{a}/{b}": (LEARNERS[a], FOLLOWERS[b]) for a in LEARNERS for b in FOLLOWERS},
        horizons=[30_000, 100_000],
        replicates=40,
        chunk=8,
        **how,
    ),
    "metagame": lambda **how: experiments.metagame(
        LEARNERS, FOLLOWERS, {"a": etc_failure(), "b": aligned()}, 100_000, replicates=40, chunk=8, **how
    ),
    "leading": lambda **how: experiments.lead(
        DILEMMA,
        {"q-learning": Leading(Fixed(jnp.zeros((5, 2))), QLearning(32))},
        rounds=2000,
        replicates=40,
        truths=False,
        chunk=2,
        **how,
    ),
}
#: What a restart needn't have in common with an uninterrupted run.
TIMES = ["seconds", "compile_seconds", "training_seconds"]


def data(path: Path) -> xarray.Dataset:
    """What a result says, without what it took."""
    return experiments.load(path).drop_vars(TIMES, errors="ignore").drop_attrs()


def played(case: str, out: str | Path, **how: Any) -> xarray.Dataset:
    """The result of a case, as a user would ask for it."""
    if case in OTHERS:
        return OTHERS[case](out=out, progress=False, **how)
    over = {"leader.step": [0.02, 0.05, 0.1, 0.2, 0.3], "game.demand": [80.0, 90.0, 100.0, 110.0]}
    return experiments.sweep(CournotDuopoly(), PAIR, over, out=out, devices=1, progress=False, **CASES[case])


def process(case: str, out: Path, cache: str, *more: str) -> subprocess.Popen[bytes]:
    """The same in a process of its own. All processes compile once, as the command line has it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": cache}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kills", "--play", case, str(out), *more], env=environment
    )


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
    same = data(out).identical(data(whole_at))
    last = len(left[-1]["finished"])
    beside = [path.name for path in folder.iterdir() if path.name.startswith((out.name, f".{out.name}"))]
    return [
        row(f"{case}: killed before they had finished, of {KILLS}", kills, kills == KILLS),
        row(f"{case}: files with what was done, after the last kill", last, last > 0),
        row(f"{case}: result files that weren't whole", torn, torn == 0),
        row(f"{case}: data and coordinates identical to the uninterrupted one's (1: yes)", int(same), same),
        row(f"{case}: files left beside the result", len(beside) - 1, beside == [out.name]),
    ], left


def pair(out: str, chunk: int) -> None:
    """A short sweep, of which two are started together."""
    over = {"leader.step": [0.02, 0.05, 0.1, 0.2]}
    options: dict[str, Any] = {"replicates": 42, "rounds": 3000, "devices": 1, "progress": False}
    experiments.sweep(CournotDuopoly(), PAIR, over, out=out, chunk=chunk, **options)


def at_once(folder: Path) -> list[Row]:
    """Two calls with different chunks on one file, started within a second: how often what came of them."""
    moments, counts = random.Random(SEED), {"both right": 0, "one right, one refused": 0, "anything else": 0}
    right = folder / "right.nc"
    pair(str(right), 21)
    for i in range(TOGETHER):
        out = folder / f"together {i}.nc"
        first = process("pair", out, str(folder / "cache"), "7")
        time.sleep(moments.uniform(0.0, 1.0))
        ended = [one.wait() for one in (process("pair", out, str(folder / "cache"), "21"), first)]
        # The sizes of chunks change roundings.
        same = out.exists() and all(
            np.allclose(v, data(right)[name], rtol=1e-4, equal_nan=True) for name, v in data(out).data_vars.items()
        )
        alone = not out.with_name(out.name + ".parts").exists()
        good = same and alone and 0 in ended
        counts["both right" if good and not any(ended) else list(counts)[1] if good else "anything else"] += 1
    said = f"two calls on one file, {TOGETHER} times: "
    bad = counts["anything else"]
    return [row(said + what, n, what != "anything else" or bad == 0) for what, n in counts.items()]


def many_games(count: int = 200) -> dict[str, list[float]]:
    """Memory (MB) and memory maps of this process after each 10 of so many different games."""
    found: dict[str, list[float]] = {"megabytes": [], "maps": []}
    for i in range(count):
        game = from_payoffs(
            lambda x, y, a=1.0 + i: -((x - a) ** 2) - x * y,
            lambda x, y: -((y - x) ** 2),
            spaces=(Euclidean(()), Euclidean(())),
        )
        experiments.compare(game, {"a": (PAIR[0], PAIR[1])}, rounds=10, replicates=4, progress=False)
        if i % 10 == 9:
            found["megabytes"].append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6)
            found["maps"].append(float(len(Path("/proc/self/maps").read_text().splitlines())))
    return found


def games() -> list[Row]:
    """What 100 games in one process take: no more than those programs that are kept."""
    command = [sys.executable, "-m", "benchmarks.kills", "--play", "games", "-"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True)
    return levels(json.loads(done.stdout.splitlines()[-1]))


def levels(found: dict[str, list[float]]) -> list[Row]:
    """What `many_games` took, as claims."""
    most, limit = max(found["maps"]), 1500 + 130 * MOST_PROGRAMS
    # The caches are emptied after the 65th game, the 130th and the 195th.
    before, after = max(found["megabytes"][:13]), max(found["megabytes"][13:])
    return [
        row(f"200 games in one process: memory maps, at most (fewer than {limit})", most, most < limit),
        row("200 games in one process: most MB up to the 130th game", before, True),
        row("200 games in one process: most MB after it, over those", after / before, after < 1.1 * before),
    ]


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
    parser.add_argument("--play", nargs="+", metavar="CASE OUT [CHUNK]", help="only this, in this process")
    options = parser.parse_args()
    if options.play:
        store.EVERY = 0.2  # of so short sweeps
        case, out, *chunk = options.play
        if case == "games":
            print(json.dumps(many_games()))
        elif chunk:
            pair(out, int(chunk[0]))
        else:
            played(case, out)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = [killed(case, Path(folder)) for case in (*CASES, *OTHERS)]
        together = at_once(Path(folder))
    rows = [claim for claims, _ in found for claim in claims] + together + games()
    return report("kills", rows, "python -m benchmarks.kills", {"kills": [kill for _, left in found for kill in left]})


if __name__ == "__main__":
    sys.exit(main())
