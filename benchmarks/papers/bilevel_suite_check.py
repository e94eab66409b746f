"""Whether a point solves a bilevel problem, checked by SciPy from the formulas alone."""

from typing import Any

import numpy as np
import scipy.optimize

from benchmarks.papers.bilevel_suite_problems import Problem

FEASIBLE = 1e-6
BEST = 1e-6  # relative: how much more than the least the follower's cost may be
FAR = 100.0  # where nothing bounds a coordinate


def bounds(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Between which the leader's and the follower's coordinates lie, by linear programming: `[d, 2]` each.

    Of the constraints that are affine: all of them for x; for y those of the follower. Infinite where they leave it so.
    """
    n = problem.dims[0]
    both = [c for which in (2, 3) for c in problem.affine(which) if c is not None]
    own = [c for c in problem.affine(3) if c is not None]
    # x alone bounds y too, by the follower's constraints; the leader's constraints on y don't bind the follower.
    alone = [c for c in problem.affine(2) if c is not None and not np.any(c[0][n:])]
    found = []
    for rows, coordinates in ((both, range(n)), ([*own, *alone], range(n, sum(problem.dims)))):
        each = []
        for i in coordinates:
            pair = []
            for sign in (1.0, -1.0):
                slope = np.zeros(sum(problem.dims))
                slope[i] = sign
                best = _linear(slope, rows)
                pair.append(sign * best.fun if best is not None and best.status == 0 else -sign * np.inf)
            each.append(pair)
        found.append(np.array(each))
    return found[0], found[1]


def _linear(cost: np.ndarray, rows: list[tuple[np.ndarray, float]]) -> Any:
    matrix = np.array([-slope for slope, _ in rows]) if rows else None
    right = np.array([constant for _, constant in rows]) if rows else None
    return scipy.optimize.linprog(cost, matrix, right, bounds=(None, None), method="highs")


def follower_best(problem: Problem, x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[float, str]:
    """The least cost of the follower's that was found at x, and by which method.

    `linprog` where cost and constraints are affine in y; else SLSQP from `y` and many starts, and, in up to three
    dimensions, a grid or differential evolution as well.
    """
    n, d = problem.dims

    def cost(v: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            value = float(problem.evaluate(1, x, v))
        return value if np.isfinite(value) else 1e30

    def slack(v: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.nan_to_num(problem.evaluate(3, x, v), nan=-1e30)

    if (linear := _affine_at(cost, slack, d)) is not None:
        slope, constant, rows = linear
        best = _linear(slope, rows)
        if best.status == 3:
            return -np.inf, "linprog"
        return (float(best.fun) + constant if best.status == 0 else np.inf), "linprog"
    limits = bounds(problem)[1]
    rows_at = [(c[0][n:], c[1] + float(c[0][:n] @ x)) for c in problem.affine(3) if c is not None]
    for j in range(d):
        for k, sign in enumerate((1.0, -1.0)):
            slope = np.zeros(d)
            slope[j] = sign
            end = _linear(slope, rows_at)
            limits[j, k] = sign * end.fun if end.status == 0 else limits[j, k]
    low = np.where(np.isfinite(limits[:, 0]), limits[:, 0], np.minimum(y, 0) - FAR)
    high = np.where(np.isfinite(limits[:, 1]), limits[:, 1], np.maximum(y, 0) + FAR)
    high = np.maximum(high, low + 1e-12)
    rng = np.random.default_rng(seed)
    starts = [y, *rng.uniform(low, high, (24, d)), *(y + rng.normal(size=(6, d)))]
    method = "SLSQP"

    def feasible(v: np.ndarray, allowed: float = 1e-9) -> bool:
        return bool(np.all(slack(v) >= -allowed))

    if d == 1:
        line = np.linspace(low[0], high[0], 20001)
        costs = np.array([cost(v) if feasible(v) else np.inf for v in line[:, None]])
        starts += [line[i : i + 1] for i in np.argsort(costs)[:8]]
        method = "grid and SLSQP"
    elif d <= 3:

        def penalised(v: np.ndarray) -> float:
            return cost(v) + 1e4 * float(np.sum(np.maximum(-slack(v), 0)))

        wide = scipy.optimize.differential_evolution(
            penalised, list(zip(low, high, strict=True)), seed=seed, maxiter=150, popsize=12, polish=False
        )
        starts.append(wide.x)
        method = "differential evolution and SLSQP"
    best_cost = np.inf
    for start in starts:
        ends = [start]
        constraints = [{"type": "ineq", "fun": slack}] if problem.codes[3] else []
        try:
            with np.errstate(all="ignore"):
                ends.append(
                    scipy.optimize.minimize(
                        cost, start, method="SLSQP", constraints=constraints, options={"ftol": 1e-14, "maxiter": 300}
                    ).x
                )
        except (ValueError, np.linalg.LinAlgError):
            pass
        for v in ends:
            if np.all(np.isfinite(v)) and feasible(v):
                best_cost = min(best_cost, cost(v))
    return best_cost, method


def _affine_at(cost: Any, slack: Any, d: int) -> tuple[np.ndarray, float, list[tuple[np.ndarray, float]]] | None:
    """Cost and constraints in y, if they are affine there."""

    def all_(v: np.ndarray) -> np.ndarray:
        return np.concatenate([[cost(v)], slack(v)])

    zero = all_(np.zeros(d))
    if not np.all(np.abs(zero) < 1e29):
        return None
    slopes = np.stack([all_(e) - zero for e in np.eye(d)], 1)
    rng = np.random.default_rng(1)
    for _ in range(6):
        v = rng.normal(size=d) * 7
        if not np.allclose(all_(v), zero + slopes @ v, rtol=1e-9, atol=1e-9 * (1 + np.max(np.abs(zero)))):
            return None
    return slopes[0], float(zero[0]), list(zip(slopes[1:], zero[1:].tolist(), strict=True))


def check(problem: Problem, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Costs, the largest violation of both players' constraints, and what the follower would rather pay."""
    leader, follower = float(problem.evaluate(0, x, y)), float(problem.evaluate(1, x, y))
    slacks = np.concatenate([problem.evaluate(2, x, y), problem.evaluate(3, x, y)])
    best, method = follower_best(problem, x, y)
    return {
        "leader_cost": leader,
        "follower_cost": follower,
        "violation": float(np.max(-slacks, initial=0.0)),
        "follower_could": best,
        "checked_by": method,
        "follower_best": bool(follower <= best + BEST * max(1.0, abs(follower))),
    }
