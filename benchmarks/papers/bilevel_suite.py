"""A public collection of bilevel problems, by our methods: `python -m benchmarks.papers.bilevel_suite --problems F`.

F is a JSON file of formulas (`problems`: each with costs and constraints of leader and follower, a start, and the best
known costs). Ties are strong (optimistic). A problem counts as solved by a method if the leader's cost is the best
known one to 1e-3 (relative, or of 1) or better, both players' constraints are kept to 1e-6, and the follower's answer
is globally best, which SciPy checks from the formulas alone. Methods:

- `global_stackelberg`, for leaders of one or two dimensions;
- `relaxation`: 64 random actions of the leader with globally best answers; from the best 16, local optima against the
  follower's first-order conditions (Scholtes), whose answers are searched globally again; sham ones are cut off;
- `find`: critical points of the hierarchical direction from 64 random starts, the best that passes;
- `play`: hierarchical ascent against a best response, from 8 random starts, the leader in the box that affine
  constraints leave it. Where no answer of the follower's is found a replicate ends. Its ties aren't broken for the
  leader, and steps don't cross to where it answers otherwise.

Whatever comes out is written to `benchmarks/results/bilevel_suite.json` and `bilevel_suite.png`.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from benchmarks.papers.bilevel_suite_check import FEASIBLE, bounds, check
from benchmarks.papers.bilevel_suite_figure import draw
from benchmarks.papers.bilevel_suite_problems import FormulaGame, Problem, games, read
from benchmarks.reporting import RESULTS, row, write
from stackjax import Record, Status, play
from stackjax.equilibria import _local, find, global_stackelberg
from stackjax.equilibria.global_search import _drawn, _Search
from stackjax.learners import BestResponse, HierarchicalAscent
from stackjax.spaces import Box, Space

COMMAND = "python -m benchmarks.papers.bilevel_suite --problems FILE"
TIES = 1e-9  # relative, or of 1: answers are tied whose payoffs to the follower are so near
GAP = 1e-3  # relative, or of 1
WIDE = 20.0  # times the start's size, or 1: where a leader without bounds is searched, to both sides of the start
ROUNDS, REPLICATES = 300, 8  # of `play`
PENALTY = 10.0  # of the leader's constraints in `play`
LONG = 60.0  # seconds: what takes longer isn't run again to time it without compilation
EDGE = 1e-6  # of the leader's width: so far inside it stays in `play`, lest the follower have no room
Point = tuple[np.ndarray, np.ndarray]
Found = tuple[list[Point], str]  # and what there is to say about them


def limits(problem: Problem, wide: float = WIDE) -> tuple[np.ndarray, np.ndarray]:
    """Between which the leader is searched, and the follower's starts are drawn."""
    x, y = bounds(problem)
    start = problem.start or tuple(np.zeros(n) for n in problem.dims)
    around = [np.stack([s - wide * np.maximum(1, abs(s)), s + wide * np.maximum(1, abs(s))], 1) for s in start]
    x, y = (np.where(np.isfinite(own), own, far) for own, far in zip((x, y), around, strict=True))
    for pairs in (x, y):  # a coordinate that has one value only is given some room
        flat = pairs[:, 1] - pairs[:, 0] < 1e-9
        pairs[flat] += np.array([-1e-6, 1e-6])
    return x, y


def by_global_search(problem: Problem, game: FormulaGame) -> Found:
    """One point."""
    x, y = limits(problem)
    found = global_stackelberg(game, jax.random.key(0), limits=x, follower_limits=y, tolerance=TIES)
    return [(found.actions[0], found.actions[1])], ""


def by_relaxation(problem: Problem, game: FormulaGame, count: int = 16) -> Found:
    """One point, if any."""
    x, y = limits(problem)
    wide = _local.in_float64(game)
    drawn = _drawn(wide.spaces[1], jax.random.key(0), 8, y)
    search = _Search(wide, x, drawn, 8, TIES, True)
    search.bounds = limits(problem, 1e4)[0]  # local searches may go further than the points that they start from
    search.neighbours = 3  # of the leader's actions, whatever its dimension
    points = np.random.default_rng(0).uniform(x[:, 0], x[:, 1], (64, problem.dims[0]))
    if problem.start is not None:
        points[0] = np.clip(problem.start[0], *x.T)
    search.evaluate(points)
    search.polish(count, rounds=3)
    best = search.known.order[0]
    if not search.known.answers.found[best]:
        return [], ""
    return [(search.known.u[best], search.known.answers.y[best])], ""


def by_find(problem: Problem, game: FormulaGame) -> Found:
    """The critical points of the hierarchical direction."""
    x, y = limits(problem)
    rng = np.random.default_rng(0)
    starts = tuple(rng.uniform(each[:, 0], each[:, 1], (64, len(each))) for each in (x, y))
    if problem.start is not None:
        starts[0][0], starts[1][0] = problem.start
    found = find(game, jax.random.key(0), starts, replies=0)
    points = [c.actions for c in (*found.stackelberg, *found.critical_hierarchical)]
    points.sort(key=lambda z: float(problem.evaluate(0, *z)))
    return points[:8], ""


class UnitGame(FormulaGame):
    """The game with a leader that counts from 0 to 1 between `low` and `low + width`."""

    low: np.ndarray
    width: np.ndarray

    @property
    def spaces(self) -> tuple[Space, ...]:
        """A unit box, and all numbers."""
        return Box(0.0, 1.0, self.dims[:1]), *super().spaces[1:]

    def values(self, which: int, x: Any, y: Any) -> jax.Array:
        """At the leader's action in the problem's units."""
        return super().values(which, self.low + self.width * x, y)


#: Made once, as another optimiser is another program. Searches that don't end soon are for answers that don't exist.
LEADER = HierarchicalAscent(
    optimizer=optax.adam(optax.exponential_decay(0.03, transition_steps=ROUNDS, decay_rate=1e-5)),
    damping=1e-6,
    penalty=PENALTY,
)
FOLLOWER = BestResponse(starts=2, max_steps=100)


def by_play(problem: Problem, game: FormulaGame) -> Found:
    """Where each replicate ends, and how many failed."""
    x, y = limits(problem)
    x = x + np.array([1.0, -1.0]) * EDGE * (x[:, 1:] - x[:, :1])
    low, width = x[:, 0], x[:, 1] - x[:, 0]
    rng = np.random.default_rng(0)
    starts = [rng.uniform(pairs[:, 0], pairs[:, 1], (64 * REPLICATES, len(pairs))) for pairs in (x, y)]
    with np.errstate(all="ignore"):
        slacks = [np.min(problem.evaluate(3, *z), initial=0.0) for z in zip(*starts, strict=True)]
    kept = np.argsort(-np.nan_to_num(slacks, nan=-np.inf), kind="stable")[:REPLICATES]
    starts = [each[kept] for each in starts]
    if problem.start is not None:
        starts[0][0], starts[1][0] = problem.start
    trace = play(
        UnitGame(game.layers, game.dims, low, width),
        LEADER,
        FOLLOWER,
        key=jax.random.key(0),
        rounds=ROUNDS,
        replicates=REPLICATES,
        start=(np.clip((starts[0] - low) / width, 0, 1), starts[1]),
        record=Record.final(),
    )
    ends = [np.asarray(a).reshape(REPLICATES, -1) for a in trace.actions]
    ends[0] = low + width * ends[0]
    status = np.asarray(trace.status)
    points = [z for z, s in zip(zip(*ends, strict=True), status, strict=True) if s == Status.OK]
    points.sort(key=lambda z: float(problem.evaluate(0, *z)))
    failed = [f"{np.sum(status == s)} {Status(s).name}" for s in np.unique(status[status != Status.OK])]
    unanswered = int(np.sum(~np.all(np.isfinite(ends[1]), axis=1)))
    if unanswered:
        failed.append(f"for {unanswered} of them no answer of the follower's was found")
    note = f"{REPLICATES - len(points)} of {REPLICATES} replicates failed: {', '.join(failed)}" if failed else ""
    return _different(points)[:8], note


def _different(points: list[Point]) -> list[Point]:
    """Without those that are within 1e-7, relatively, of an earlier one."""
    found: list[Point] = []
    for z in points:
        if not any(np.allclose(np.concatenate(z), np.concatenate(other), 1e-7, 1e-7) for other in found):
            found.append(z)
    return found


#: Name: a function of a problem and its game that returns points, by the leader's cost, and for which problems.
METHODS: dict[str, tuple[Callable[[Problem, FormulaGame], Found], Callable[[Problem], bool]]] = {
    "global_stackelberg": (by_global_search, lambda p: p.dims[0] <= 2),
    "relaxation": (by_relaxation, lambda p: True),
    "find": (by_find, lambda p: True),
    "play": (by_play, lambda p: True),
}


def judged(problem: Problem, points: list[Point], note: str = "") -> dict[str, Any]:
    """The first of the points that passes, else the first, and why it doesn't, the method's own note included."""
    if not points:
        return {"solved": False, "why": note or "nothing was found"}
    verdicts = []
    for x, y in points:
        if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
            continue
        found = check(problem, np.asarray(x, float), np.asarray(y, float))
        found |= {"x": np.asarray(x).tolist(), "y": np.asarray(y).tolist()}
        why = []
        if not found["violation"] <= FEASIBLE:
            why.append(f"constraints are violated by {found['violation']:.2g}")
        if not found["follower_best"]:
            why.append(f"the follower could have {found['follower_could']:.9g} at this action of the leader's")
        found["valid"] = not why
        best = problem.best[0]
        if best is None:
            why.append("no best value is known")
            found["gap"] = None
        else:
            found["gap"] = (found["leader_cost"] - best) / max(1.0, abs(best))
            if found["gap"] > GAP:
                why.append(f"the leader's cost is {found['gap']:.2g} above the best known one, relatively")
        found["solved"], found["why"] = not why, "; ".join([*why, note] if why and note else why)
        verdicts.append(found)
        if found["valid"]:  # those that come later are worse
            break
    if not verdicts:
        return {"solved": False, "why": "nothing finite was found"}
    return verdicts[-1] if verdicts[-1]["valid"] else verdicts[0]


def run(problems: list[Problem], methods: list[str]) -> Iterator[dict[str, Any]]:
    """Each problem by each method, size by size, each of which compiles once."""
    made = games(problems)
    for dims, depth in sorted({(p.dims, p.depth) for p in problems}, key=lambda size: (size[1], size[0])):
        for name in methods:
            method, suits = METHODS[name]
            results: dict[str, Any] = {}
            some = [p for p in problems if (p.dims, p.depth) == (dims, depth) and suits(p)]
            for n, p in enumerate(some):
                points: list[Point] = []
                note = ""
                for _ in range(2 if n == 0 else 1):  # the first of a size compiles
                    start, error = time.perf_counter(), ""
                    try:
                        points, note = method(p, made[p.name])
                    except Exception as problem_with_it:  # it goes into the table, whatever it is
                        error = f"{type(problem_with_it).__name__}: {str(problem_with_it).partition(chr(10))[0]}"
                    seconds = time.perf_counter() - start
                    if seconds > LONG:
                        break
                found = judged(p, points, note)
                if error:
                    found["why"] = error
                results[p.name] = entry(p, name, {**found, "seconds": round(seconds, 3)})
                mark = "solved" if found["solved"] else found["why"]
                print(f"{p.name} {dims} {name}: {found.get('leader_cost')} best {p.best[0]}: {mark} ({seconds:.2f} s)")
                sys.stdout.flush()
            yield results


def entry(p: Problem, method: str, found: dict[str, Any]) -> dict[str, Any]:
    """A problem's entry of the table, with what one method found."""
    return {"dims": p.dims, "kind": p.kind, "best": p.best, "status": p.status, "methods": {method: found}}


def run_apart(problems: list[Problem], methods: list[str], file: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Each problem by each method in a process of its own, which writes what it finds in time; else that it doesn't."""
    for p in problems:
        for name in (m for m in methods if METHODS[m][1](p)):
            command = ["--problems", str(file), "--methods", name, "--only", p.name, "--keep"]
            try:
                code = subprocess.run(
                    [sys.executable, "-m", "benchmarks.papers.bilevel_suite", *command], timeout=seconds
                ).returncode
                why = f"ended by signal {-code}" if code < 0 else ""
            except subprocess.TimeoutExpired:
                why = f"not finished within {seconds:g} s"
            if why:
                print(f"{p.name} {p.dims} {name}: {why}")
                yield {p.name: entry(p, name, {"solved": False, "why": why, "seconds": seconds})}


def summary(results: dict[str, Any], failures: dict[str, str], problems: list[Problem]) -> dict[str, Any]:
    """Counts; for each problem by which methods it is solved, else why not."""
    names = [name for name in METHODS if any(name in r["methods"] for r in results.values())]
    for r in results.values():
        r["solved_by"] = [name for name, found in r["methods"].items() if found["solved"]]
        if not r["solved_by"]:
            r["why_not"] = {name: found["why"] for name, found in r["methods"].items()}
        else:
            r.pop("why_not", None)
    unknown = [r for r in results.values() if r["best"][0] is None]
    better = {
        name: min(m["gap"] for m in r["methods"].values() if m["solved"])
        for name, r in results.items()
        if r["solved_by"]
    }
    return {
        "problems": len(problems) + len(failures),
        "expressible": len(problems),
        "not run yet": [p.name for p in problems if p.name not in results],
        "run, with a best known value": len(results) - len(unknown),
        "solved": sum(bool(r["solved_by"]) for r in results.values()),
        "better than the best known by more than the gap": [name for name, gap in better.items() if gap < -GAP],
        "without, but with a valid point": sum(any(m.get("valid") for m in r["methods"].values()) for r in unknown),
        "solved by each": {
            name: {
                "solved": sum(name in r["solved_by"] for r in results.values()),
                "tried": sum(name in r["methods"] for r in results.values()),
                "seconds": round(sum(r["methods"].get(name, {}).get("seconds", 0.0) for r in results.values()), 1),
            }
            for name in names
        },
    }


def show(results: dict[str, Any], counts: dict[str, Any]) -> None:
    """Tables."""
    table = Table("problem", "dims", "best known", *counts["solved by each"])
    for name, r in results.items():
        cells = []
        for method in counts["solved by each"]:
            found = r["methods"].get(method)
            cost = None if found is None else found.get("leader_cost")
            mark = "" if found is None else "" if found["solved"] else " *"
            cells.append("" if found is None else f"{'–' if cost is None else f'{cost:.5g}'}{mark}")
        best = "?" if r["best"][0] is None else f"{r['best'][0]:.5g}"
        table.add_row(name, f"{r['dims'][0]}, {r['dims'][1]}", best, *cells)
    console = Console(width=140)
    console.print(table)
    console.print("* isn't counted as solved; the file says why", highlight=False)
    for key, value in counts.items():
        console.print(f"{key}: {value}", highlight=False)


def main(arguments: list[str]) -> int:
    """Run, show, draw, write."""
    parser = argparse.ArgumentParser(prog="bilevel_suite", description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=Path, required=True, help="the file of problems")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--only", nargs="*", default=[], help="names of problems; written with --keep only")
    parser.add_argument("--keep", action="store_true", help="keep what is written of other methods")
    parser.add_argument("--seconds", type=float, help="at most for each problem by each method, apart; with --keep")
    given = parser.parse_args(arguments)
    if given.seconds and not given.keep:
        parser.error("--seconds: expected --keep as well, by which the results of several processes come together")
    all_, failures = read(given.problems)
    problems = [p for p in all_ if not given.only or p.name in given.only]
    path = RESULTS / "bilevel_suite.json"
    mine: dict[str, Any] = {}

    def together() -> dict[str, Any]:
        """With what is kept, to which another run may have added in the meantime."""
        kept = json.loads(path.read_text())["results"]["runs"] if given.keep and path.exists() else {}
        return merged(kept, mine)

    with jax.enable_x64(True):
        apart = run_apart(problems, given.methods, given.problems, given.seconds) if given.seconds else None
        for new in apart or run(problems, given.methods):
            mine = merged(mine, new)
            if given.keep or not given.only:
                keep(together(), failures, all_)
    results = together()
    show(results, summary(results, failures, all_))
    return 0 if given.only and not given.keep else keep(results, failures, all_)


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What is new replaces what is old, method by method."""
    found = dict(old)
    for name, r in new.items():
        found[name] = {**r, "methods": {**old.get(name, {}).get("methods", {}), **r["methods"]}}
    return found


def keep(results: dict[str, Any], failures: dict[str, str], problems: list[Problem]) -> int:
    """Write the table and the figure; 1 if a claim fails."""
    order = [p.name for p in problems if p.name in results]
    results = {name: results[name] for name in order}
    counts = summary(results, failures, problems)
    rows = [
        row("at least 105 of the 114 problems are expressible", counts["expressible"], counts["expressible"] >= 105),
        row("at least 85 are solved", counts["solved"], counts["solved"] >= 85),
    ]
    draw(results, list(counts["solved by each"])).savefig(RESULTS / "bilevel_suite.png")
    write("bilevel_suite", {"claims": rows, "counts": counts, "not expressible": failures, "runs": results}, COMMAND)
    return int(any(r["verdict"] != "holds" for r in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
