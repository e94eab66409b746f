"""Donahue et al. (2024), bandits that learn from each other: `python -m benchmarks.papers.bandits`.

The regrets of pairs of learners and how they grow with the horizon, against what a correct implementation shows; and
controls, which must fail where they should. The ranges are for 400 replicates. `--rows NAME ...` measures some rows
again and leaves the records of the others. Writes `benchmarks/results/bandits.{json,png}`; exits with 1 if a claim
fails.

`K_2/3 = R / (T^(2/3) (A B ln T)^(1/3))` and `K_1/2 = R / sqrt(A B T ln T)`, R the larger of both players' mean regrets;
slopes are least-squares fits of ln R on ln T.
"""

import argparse
import datetime
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.papers import bandit_figure
from benchmarks.papers.bandit_runs import (
    SIGMA,
    B,
    Measured,
    Pair,
    always,
    elimination,
    leads,
    measured,
    phase_means,
    phased,
    shared_payoffs,
    tuned,
    waits_for_elimination,
)
from benchmarks.reporting import RESULTS, Row, machine, row
from stackjax.equilibria import self_tolerant_benchmarks, tolerant_benchmarks
from stackjax.equilibria.benchmarks import stackelberg_benchmarks
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.learners import (
    EXP3,
    UCB,
    BestResponse,
    ExploreThenCommit,
    ExploreThenCommitThrowOut,
    ExploreThenUCB,
    Fixed,
    LipschitzUCB,
)

SHORT = (3_000, 10_000, 30_000, 100_000, 300_000)
LONG = (10_000, 31_623, 100_000, 316_228, 1_000_000)


class Results(NamedTuple):
    """The claims of a row, and its curves by name."""

    claims: list[Row]
    curves: dict[str, Measured]


def tolerant(gamma: float = 0.05) -> Callable[[Any, Any], Any]:
    """The tolerant benchmark."""
    return lambda U1, U2: tolerant_benchmarks(U1, U2, gamma)


def inside(value: Any, low: float, high: float) -> bool:
    """Whether all are in the interval."""
    return bool(np.all((np.asarray(value) >= low) & (np.asarray(value) <= high)))


def etc(replicates: int) -> Results:
    """Both explore, then commit."""
    games = always(bandit_instances.etc_failure())
    found = measured(games, tuned(ExploreThenCommit, ExploreThenCommit), SHORT, tolerant(), replicates)
    share = found.regret[:, 0, 0] / found.horizons
    name = "ETC/ETC, etc_failure"
    claims = [
        row(f"{name}: slopes of both players in .97-1.03", found.slopes, inside(found.slopes, 0.97, 1.03)),
        row(f"{name}: leader's R / T in .09-.115", share.tolist(), inside(share, 0.09, 0.115)),
    ]
    return Results(claims, {"ETC / ETC": found})


def throw_out(replicates: int) -> Results:
    """The leader throws out what it saw while the follower explored.

    On the instance itself no replicate errs: what is paid is the schedule's exploration, to the last round. What is
    paid for errors shows where gaps shrink with the horizon.
    """
    games = always(bandit_instances.etc_failure2())
    found = measured(games, tuned(ExploreThenCommitThrowOut, ExploreThenCommit), LONG, tolerant(), replicates)
    name, k = "ThrowOut/ETC, etc_failure2", found.k23
    claims = [
        row(
            f"{name}: nobody errs, standard error 0: what follows is its schedule",
            float(found.error.max()),
            not np.any(found.error),
        ),
        row(f"{name}: slopes of both players in .66-.73", found.slopes, inside(found.slopes, 0.66, 0.73)),
        row(f"{name}: K_2/3 in .28-.33", k.tolist(), inside(k, 0.28, 0.33)),
    ]
    curves = {"ThrowOut / ETC": found}
    for label, leader in {"ThrowOut": ExploreThenCommitThrowOut, "ETC": ExploreThenCommit}.items():
        control = label == "ETC"
        found = measured(shrinking, tuned(leader, ExploreThenCommit), LONG, stackelberg_benchmarks, replicates)
        paid, errs = found.worst / found.horizons ** (2 / 3), bool(np.all(found.error.max((1, 2)) > 0))
        name = f"{label}/ETC, etc_failure2 with gaps shrunk by m T^(-1/3), m = 1, 4, 16: worst R / T^(2/3)"
        holds = inside(paid, 2.0, math.inf) if control else inside(paid, 0, 0.9) and found.slope(found.worst) <= 0.72
        claims.append(
            row(f"{name} {'>= 2' if control else '<= .9, slope <= .72'}", paid.tolist(), errs and holds, control)
        )
        curves[f"{label} / ETC, shrinking gaps"] = found
    return Results(claims, curves)


def shrinking(horizon: int) -> list[StackelbergBandit]:
    """`etc_failure2`, its means drawn to 1/2: gaps as the horizon can just tell apart, and 4 and 16 times as large."""
    whole = bandit_instances.etc_failure2()
    shares = [min(1.0, m * horizon ** (-1 / 3)) for m in (1, 4, 16)]
    means = [np.asarray(u, np.float64) - 0.5 for u in (whole.leader_means, whole.follower_means)]
    return [StackelbergBandit(*(0.5 + share * u for u in means), whole.noise) for share in shares]


def explore_then_ucb(replicates: int) -> Results:
    """The leader forgets what it saw while the follower explored, then runs UCB."""
    games, horizons = always(bandit_instances.etc_failure()), (1_000, 3_162, *LONG)
    found = measured(games, tuned(ExploreThenUCB, ExploreThenCommit), horizons, tolerant(), replicates)
    claim = "ExploreThenUCB/ETC, etc_failure: slopes of both players in .60-.72"
    return Results([row(claim, found.slopes, inside(found.slopes, 0.60, 0.72))], {"ExploreThenUCB / ETC": found})


def waiting_for_elimination(replicates: int) -> Results:
    """The same against a follower that eliminates: with c = 1, at short horizons, later than the leader waits."""
    games = always(bandit_instances.etc_failure2())
    found, wide = (measured(games, waits_for_elimination(c), LONG, tolerant(), replicates) for c in (0.5, 1.0))
    name, slope, k = "ExploreThenUCB/AAE, etc_failure2, c .5", found.slope(found.worst), found.k23
    claims = [
        row(f"{name}: slope <= .72", slope, slope <= 0.72),
        row(f"{name}: K_2/3 <= .25 and not increasing", k.tolist(), inside(k, 0, 0.25) and inside(np.diff(k), -1, 0)),
    ]
    k = wide.k23
    claim = "the same with c 1: a hump, K_2/3 > .25 at T 1e4, <= .25 at 1e6"
    claims.append(row(claim, k.tolist(), bool(k[0] > 0.25 >= k[-1]), control=True))
    return Results(claims, {"c = 0.5": found, "c = 1": wide})


def traps(replicates: int) -> Results:
    """Leaders that trust the means of a follower who rarely errs; one that throws out isn't trapped."""
    games, claims, curves = always(bandit_instances.ucb_trap2()), [], {}
    for name, learner in {"UCB": UCB, "EXP3": EXP3}.items():
        found = measured(games, tuned(learner, learner), LONG, tolerant(0.01), replicates)
        claim = f"{name}/{name}, ucb_trap2: slopes of both players >= .95"
        claims.append(row(claim, found.slopes, min(found.slopes) >= 0.95))
        curves[f"{name} / {name}"] = found
    found = measured(games, tuned(ExploreThenCommitThrowOut, ExploreThenCommit), LONG, tolerant(0.01), replicates)
    slope = found.slope(found.worst)
    claims.append(row("ThrowOut/ETC, ucb_trap2: sublinear, slope <= .75", slope, slope <= 0.75))
    return Results(claims, {**curves, "ThrowOut / ETC": found})


def envelope(replicates: int) -> Results:
    """Aligned players in the worst case over gaps, against the Stackelberg benchmark.

    Where the best outcome comes last the constant is larger; no range is known for it but ours.
    """
    pairs: dict[str, Pair] = {
        "LipschitzUCB": lambda T: (LipschitzUCB(1.0, T, 1.0, B, 1.0), elimination(T)),
        "PhasedUCB": phased,
        "fixed wrong arm": lambda T: (Fixed(1), elimination(T)),
    }

    def check(found: Measured, most: float = 1.3) -> tuple[list[float], bool]:
        slope, k = found.slope(found.worst), found.k12
        return [slope, *k.tolist()], slope <= 0.56 and bool(k.max() <= most)

    claims, curves = [], {}
    for name, pair in pairs.items():
        found = measured(shared_payoffs(), pair, LONG, stackelberg_benchmarks, replicates)
        curves[f"{name} / AAE"] = found
        ours, passes = check(found)
        control, claim = "wrong" in name, f"{name}/AAE, worst of 5 gaps: slope <= .56, K_1/2 <= 1.3"
        claims.append(row(claim + (" fails" if control else ""), ours, passes != control, control))
    ours, passes = check(curves["fixed wrong arm / AAE"].of(0))
    claim = "fixed wrong arm/AAE, the smallest gap alone: passes, so this would prove nothing"
    claims.append(row(claim, ours, passes, control=True))
    for name in ("LipschitzUCB", "PhasedUCB"):
        few = max(2, replicates // 4)
        found = measured(shared_payoffs(best_first=False), pairs[name], LONG, stackelberg_benchmarks, few)
        curves[f"{name} / AAE, best arms last"] = found
        ours, passes = check(found, 1.6)
        claims.append(row(f"{name}/AAE, best arms last: slope <= .56, K_1/2 <= 1.6 (our range)", ours, passes))
    return Results(claims, curves)


def phased_ucb(replicates: int) -> Results:
    """A leader that knows the phases is good against the self-tolerant benchmark alone."""
    both = always(*(bandit_instances.lower_bound(member, sigma=SIGMA) for member in ("I", "J")))
    found = measured(both, phased, LONG, tolerant(), replicates)
    slope = found.slope(found.worst)
    claims = [row("PhasedUCB/AAE, lower_bound, d .01: linear, slope >= .95", slope, slope >= 0.95)]

    def self_tolerant(U1: Any, U2: Any) -> Any:
        return self_tolerant_benchmarks(U1, U2, 0.2)

    trap = always(bandit_instances.self_trap2())
    slots, means = (measured(trap, pair, LONG, self_tolerant, replicates) for pair in (phased, phase_means))
    name, k = "self_trap2, self-tolerant", slots.k12
    claims.append(row(f"PhasedUCB/AAE, {name}: R <= sqrt(A B T ln T), both players", k.tolist(), bool(k.max() <= 1)))
    slope, k = means.slopes[1], means.k12
    claim = f"phase means/AAE, {name}: follower's slope >= .95, K_1/2 > 1"
    claims.append(row(claim, [slope, *k.tolist()], slope >= 0.95 and bool(k.min() > 1), control=True))
    curves = {"PhasedUCB, lower_bound": found, "PhasedUCB, self_trap2": slots, "phase means, self_trap2": means}
    return Results(claims, curves)


def lower_bound(replicates: int) -> Results:
    """What every pair pays whose follower learns. (A leader that explores pays for that against any follower.)"""

    def games(horizon: int) -> list[StackelbergBandit]:
        return [bandit_instances.lower_bound(member, horizon ** (-1 / 3), sigma=SIGMA) for member in ("I", "J")]

    pairs: dict[str, Pair] = {
        "ThrowOut/ETC": tuned(ExploreThenCommitThrowOut, ExploreThenCommit, "gaussian"),
        "ExploreThenUCB/AAE": waits_for_elimination(2 * SIGMA),
        "UCB/UCB": tuned(UCB, UCB, "gaussian"),
        "EXP3/EXP3": tuned(EXP3, EXP3, "gaussian"),
        "UCB/best response": lambda T: (leads(UCB, T, "gaussian"), BestResponse()),
    }
    claims, curves = [], {}
    for name, pair in pairs.items():
        found = measured(games, pair, SHORT, tolerant(), replicates)
        curves[name.replace("/", " / ")] = found
        paid, control = found.worst / found.horizons ** (2 / 3), "best response" in name
        low, high, sign = (-math.inf, 0.5, "<=") if control else (0.5, math.inf, ">=")
        claim = f"{name}, lower_bound I and J: largest R / T^(2/3) {sign} .5"
        claims.append(row(claim, paid.tolist(), inside(paid, low, high), control))
    return Results(claims, curves)


ROWS: dict[str, Callable[[int], Results]] = {
    "etc": etc,
    "throw-out": throw_out,
    "explore-then-ucb": explore_then_ucb,
    "elimination": waiting_for_elimination,
    "traps": traps,
    "envelope": envelope,
    "phased-ucb": phased_ucb,
    "lower-bound": lower_bound,
}


def show(name: str, claims: list[Row]) -> None:
    """Print "claim, ours, verdict"."""
    table = Table("claim", "ours", "verdict", title=name, title_justify="left")
    for r in claims:
        ours = ", ".join(f"{x:.3g}" for x in np.atleast_1d(r["ours"]))
        table.add_row(r["claim"] + (" (control)" if r["control"] else ""), ours, r["verdict"])
    Console(width=130).print(table)


def main() -> int:
    """Measure, print, write; 1 if a claim fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.bandits")
    parser.add_argument("--rows", nargs="+", metavar="ROW", default=list(ROWS), help=f"which: {', '.join(ROWS)}")
    parser.add_argument("--replicates", type=int, default=400, help="of every run (default: 400)")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown or options.replicates < 2:
        parser.error(f"unknown rows {unknown}" if unknown else "--replicates: expected at least 2")
    where = machine()
    path = RESULTS / ("bandits" + ("" if where["platform"] == "cpu" else "-" + where["platform"]) + ".json")
    content = json.loads(path.read_text()) if path.exists() else {}
    failed = 0
    for name in options.rows:
        begin = time.perf_counter()
        claims, curves = ROWS[name](options.replicates)
        show(name, claims)
        failed += sum(r["verdict"] != "holds" for r in claims)
        content[name] = {
            "command": f"python -m benchmarks.papers.bandits --rows {name} --replicates {options.replicates}",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": where,
            "seconds": round(time.perf_counter() - begin, 1),
            "results": claims,
            "curves": {label: found.record() for label, found in curves.items()},
        }
        content = {known: content[known] for known in ROWS if known in content}
        path.write_text(json.dumps(content, indent=1) + "\n")
    bandit_figure.draw(content).savefig(path.with_suffix(".png"))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
