"""Bilevel and adversarial games, four to six methods each: `python -m benchmarks.papers.bilevel [GAME ...]`.

The catalogue's games from what people train, and the Dirac GAN once more without its regulariser. Simultaneous ascent,
the hierarchical and the unrolled leader and Hi-C play each of them, and SOBA and F2SA the two in which a classifier is
trained: after how many rounds and oracle calls does the leader reach a stated quality? All step as in the catalogue,
tuned by a few trials each. What doesn't reach it, doesn't keep it or fails is shown as such. Of the mixture nothing
is claimed, as its follower isn't concave. Writes `benchmarks/results/bilevel.json` and `bilevel.png`, unless only some
games are asked for; exits with 1 if a claim fails.
"""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from rich.console import Console
from rich.table import Table

from benchmarks.papers.bilevel_figure import draw
from benchmarks.reporting import RESULTS, Row, report, row
from stackjax import Record
from stackjax.catalogue import GAMES, GameEntry, Method
from stackjax.equilibria import implicit_gradient
from stackjax.experiments import compare
from stackjax.games import DiracGAN, LinearQuadratic, MixtureGAN
from stackjax.learners import GradientAscent, HierarchicalAscent
from stackjax.protocols import Calls, Game

COMMAND = "python -m benchmarks.papers.bilevel"
RECORDS = 40
KINDS = dict(zip(Calls._fields, ("payoffs", "gradients", "HVPs", "solves"), strict=True))
Gap = Callable[..., Any]


@dataclass(frozen=True)
class Problem:
    """A game of the catalogue, and how far from its quality two strategies are.

    **Attributes:** `entry`; `gap`, of both strategies; `enough`: a gap of at most this has the quality, in `words`.
    """

    entry: GameEntry
    gap: Gap
    enough: float
    words: str


def solved(game: Game, x: Any, steps: int = 30) -> Any:
    """The follower's answer by Newton's method on all the data."""

    def step(y: Any, _: None) -> tuple[Any, None]:
        hessian, gradient = (f(lambda y: game.payoffs(x, y)[1])(y) for f in (jax.hessian, jax.grad))
        return y - jnp.linalg.solve(hessian, gradient), None

    zero = jnp.zeros(game.spaces[1].size, x.dtype)
    return jax.lax.scan(step, zero, None, length=steps)[0]


def value(game: Game, x: Any) -> Any:
    """What the leader is paid along the follower's answer."""
    return game.payoffs(x, solved(game, x))[0]


def best_value(game: Game, start: Any) -> float:
    """The highest of three local maxima, by L-BFGS-B (SciPy) with implicit gradients from three starts."""
    box: Any = game.spaces[0]

    @jax.jit
    def cost(x: Any) -> tuple[Any, Any]:
        y = solved(game, x)
        return -game.payoffs(x, y)[0], -implicit_gradient(game, x, y)

    bounds = [(float(box.low), float(box.high))] * start.size
    found = [
        scipy.optimize.minimize(
            lambda x: [np.asarray(part, np.float64) for part in cost(jnp.asarray(x))],
            np.full(start.size, level),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-9},
        )
        for level in (float(start[0]), 0.75 * bounds[0][0], 0.75 * bounds[0][1])
    ]
    return max(-float(each.fun) for each in found)


def trained(entry: GameEntry) -> Problem:
    """The leader's loss along the follower's answer, in excess of the lowest, as a share of that at the start."""
    game, start = entry.make(), jnp.asarray(entry.start[0], float)
    first, best = float(value(game, start)), best_value(game, start)
    text = "excess of the validation loss, the follower's training solved exactly, at most 5 % of that at the start"
    return Problem(entry, lambda x, y: (best - value(game, x)) / (best - first), 0.05, text)


def planned(entry: GameEntry) -> Problem:
    """From the Nash equilibrium: what the leader misses along the best response, as a share of what Nash misses."""
    game = entry.make()
    assert isinstance(game, LinearQuadratic)
    nash, best = game.nash(), game.payoffs(*game.stackelberg())[0]
    scale = best - game.payoffs(*nash)[0]

    def gap(x: Any, y: Any) -> Any:
        return (best - game.payoffs(x, game.best_response(1, (x, None)))[0]) / scale

    text = "what the leader misses, against the best response, at most 5 % of what it misses at Nash, where it starts"
    return Problem(dataclasses.replace(entry, start=nash), gap, 0.05, text)


def dirac(entry: GameEntry) -> Problem:
    """The generator's distance from the data, from normal starts."""
    return Problem(
        dataclasses.replace(entry, start=None), lambda x, y: jnp.abs(x), 0.05, "the generator within .05 of the data"
    )


def bare_dirac(entry: GameEntry) -> Problem:
    """Likewise for both players, without the regulariser; one more method has damping in its place."""
    damped = Method(lambda: (HierarchicalAscent(0.05, damping=0.5), GradientAscent(0.5)), "damped")
    bare = dataclasses.replace(
        entry, make=DiracGAN, start=None, methods={**entry.methods, "hierarchical, damped": damped}
    )
    return Problem(bare, lambda x, y: jnp.hypot(x, y), 0.05, "both players within .05 of the origin")


def covariance(entry: GameEntry) -> Problem:
    """The relative error of the covariance that is generated."""
    game: Any = entry.make()
    return Problem(entry, lambda x, y: game.distance(x), 0.05, "the covariance to 5 % (Frobenius)")


def mixture(entry: GameEntry) -> Problem:
    """How much of the mixture isn't covered."""
    game = entry.make()
    assert isinstance(game, MixtureGAN)

    def gap(x: Any, y: Any) -> Any:
        near, modes = game.coverage(x, jax.random.key(7), 1024)
        return 1 - near * modes.astype(near.dtype) / game.modes

    text = "share of samples within 3 sd of a mode, times share of modes that are covered, at least 3/4"
    return Problem(dataclasses.replace(entry, replicates=10), gap, 0.25, text)


#: Name: (the catalogue's name, what makes a problem of it, rounds).
PROBLEMS: dict[str, tuple[str, Callable[[GameEntry], Problem], int]] = {
    "hyperparameters": ("hyperparameters", trained, 30_000),
    "data-cleaning": ("data-cleaning", trained, 50_000),
    "linear-quadratic": ("linear-quadratic", planned, 10_000),
    "dirac-gan": ("dirac-gan", dirac, 10_000),
    "dirac-gan, bare": ("dirac-gan", bare_dirac, 10_000),
    "covariance-gan": ("covariance-gan", covariance, 30_000),
    "mixture-gan": ("mixture-gan", mixture, 10_000),
}


def run(problem: Problem, rounds: int) -> dict[str, dict[str, Any]]:
    """Each method: gaps over the rounds, when the quality is reached, and the oracle calls and seconds that took."""
    entry = problem.entry
    data = compare(
        entry.make(),
        {name: method() for name, method in entry.methods.items()},
        rounds=rounds,
        replicates=entry.replicates,
        start=entry.start,
        record=Record.log_spaced(RECORDS, metrics=lambda x, y: {"gap": problem.gap(x, y)}, payoffs=None),
        progress=False,
    )
    found = {}
    for name in entry.methods:
        one = data.sel(methods=name)
        failed = one["status"].values != 0
        gaps = one["gap"].transpose("replicate", "rounds").values
        at = one["rounds"].values
        late = failed[:, None] & (at[None] >= one["failed_at"].values[:, None])
        gaps = np.where(late | np.isnan(gaps), np.inf, gaps)  # who failed doesn't get there
        quartiles = np.quantile(gaps, (0.25, 0.5, 0.75), axis=0, method="nearest")
        well = quartiles[1] <= problem.enough
        # From which record on it holds for good; else the first at which it holds; else the last.
        kept = len(at) - int(np.argmin(np.append(well[::-1], False)))
        point = kept if kept < len(at) else int(np.argmax(well)) if well.any() else len(at) - 1
        calls = {
            player: {short: int(_median(one[f"{kind}_calls"])[point, i]) for kind, short in KINDS.items()}
            for i, player in enumerate(("leader", "follower"))
        }
        found[name] = {
            "reached": bool(well.any()),
            "kept": kept < len(at),
            "rounds": int(at[point]),
            "calls": calls,
            "seconds": float(one["seconds"]) * float(at[point]) / rounds,  # of all replicates
            "share at the end": float(np.mean(gaps[:, -1] <= problem.enough)),
            "gap at the end": [float(g) if np.isfinite(g) else None for g in quartiles[:, -1]],
            "failed": int(failed.sum()),
            "replicates": int(failed.size),
            "at": at.tolist(),
            "gaps": [[float(g) if np.isfinite(g) else None for g in line] for line in quartiles],
            "all calls": np.sum([_median(one[f"{kind}_calls"]) for kind in KINDS], axis=(0, -1)).tolist(),
        }
    return found


def _median(calls: Any) -> np.ndarray:
    """Over the replicates, where they differ: `[rounds, player]`."""
    calls = calls.median("replicate") if "replicate" in calls.dims else calls
    return calls.transpose("rounds", "player").values


def claims(found: dict[str, dict[str, dict[str, Any]]]) -> list[Row]:
    """What theory says, and what came out."""
    rows = []

    def median(game: str, method: str) -> float:
        end = found[game][method]["gap at the end"][1]
        return float("inf") if end is None else end

    for game, methods in found.items():
        if game not in ("dirac-gan, bare", "mixture-gan"):  # no theory is about followers that aren't concave
            leader = methods["hierarchical"]
            text = f"{game}: the hierarchical leader reaches the quality within {leader['at'][-1]} rounds and keeps it"
            rows.append(row(text, leader["rounds"], leader["kept"]))
    for game in ("hyperparameters", "data-cleaning"):
        if game in found:
            spent = {name: sum(one["calls"]["leader"].values()) for name, one in found[game].items()}
            for name in ("soba", "f2sa"):
                text = (
                    f"{game}: {name} keeps the quality too, from fewer calls of the leader on than the hierarchical one"
                )
                holds = found[game][name]["kept"] and spent[name] < spent["hierarchical"]
                rows.append(row(text, spent[name], holds))
            end = median(game, "simultaneous")
            text = f"{game}: without the follower's response the leader has no gradient: it stays, gap 1"
            rows.append(row(text, end, abs(end - 1) < 1e-6))
    if "linear-quadratic" in found:
        end = median("linear-quadratic", "simultaneous")
        rows.append(row("linear-quadratic: simultaneous ascent stays at Nash, gap 1 to 10 %", end, abs(end - 1) < 0.1))
    if "dirac-gan" in found:
        share = found["dirac-gan"]["simultaneous"]["share at the end"]
        text = "dirac-gan: simultaneous ascent converges with a regulariser (Mescheder et al., 2018)"
        rows.append(row(text, share, share == 1))
    if "dirac-gan, bare" in found:
        bare = found["dirac-gan, bare"]
        shares = {name: bare[name]["share at the end"] for name in bare}
        text = "dirac-gan, bare: simultaneous ascent doesn't converge (Mescheder et al., 2018)"
        rows.append(row(text, shares["simultaneous"], shares["simultaneous"] == 0))
        text = "dirac-gan, bare: nor does the hierarchical leader, as the follower has no best response"
        rows.append(row(text, shares["hierarchical"], shares["hierarchical"] == 0))
        share = shares["hierarchical, damped"]
        rows.append(row("dirac-gan, bare: damping stands in for the regulariser", share, share == 1))
    return rows


def show(found: dict[str, dict[str, dict[str, Any]]], problems: dict[str, Problem]) -> None:
    """A table."""
    table = Table(
        "game\n  method", "rounds", "calls of the leader", "of the follower", "seconds", "gap at the end", "failed"
    )
    for game, methods in found.items():
        table.add_row(f"[bold]{game}", "", "", "", "", "", "")
        for name, one in methods.items():
            rounds = str(one["rounds"]) if one["reached"] else f"not within {one['rounds']}"
            rounds += ", not kept" if one["reached"] and not one["kept"] else ""
            calls = [
                ", ".join(f"{n} {kind}" for kind, n in one["calls"][player].items() if n) or "none"
                for player in ("leader", "follower")
            ]
            gaps = ["–" if g is None else f"{g:.2g}" if g > 1e-12 else "0" for g in one["gap at the end"]]
            end = f"{gaps[1]} ({gaps[0]} to {gaps[2]})"
            table.add_row(
                f"  {name}", rounds, *calls, f"{one['seconds']:.2g}", end, f"{one['failed']} of {one['replicates']}"
            )
    console = Console(width=150)
    console.print(table)
    for game, problem in problems.items():
        console.print(f"{game}: {problem.words}", highlight=False)
    console.print(
        "Calls of one replicate, and seconds of all, up to that round: from which on the median gap is small enough.\n"
    )


def main(names: list[str]) -> int:
    """Run all, or the games that are named; show, claim, and if it was all, draw and write."""
    unknown = [name for name in names if name not in PROBLEMS]
    if unknown:
        raise SystemExit(f"unknown games {unknown}; known: {list(PROBLEMS)}")
    problems, found = {}, {}
    with jax.enable_x64(True):
        for name, (catalogued, make, rounds) in PROBLEMS.items():
            if not names or name in names:
                problems[name] = make(GAMES[catalogued])
                found[name] = run(problems[name], rounds)
    show(found, problems)
    rows = claims(found)
    if names:
        return report_only(rows)
    draw(found, {name: problem.enough for name, problem in problems.items()}).savefig(RESULTS / "bilevel.png")
    qualities = {name: {"quality": problem.words, "gap": problem.enough} for name, problem in problems.items()}
    return report("bilevel", rows, COMMAND, {"qualities": qualities, "runs": found})


def report_only(rows: list[Row]) -> int:
    """Print the claims and write nothing."""
    for each in rows:
        print(each["verdict"], each["claim"], each["ours"])
    return int(any(each["verdict"] != "holds" for each in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
