"""Small constrained programmes under `vmap`: stackjax's own solver beside qpax and slsqp-jax.

Convex programmes whose solution and multipliers are known, as their linear term is chosen for them: quadratic ones,
linear ones, and ones with exponentials and fourth powers in cost and constraints. The peers' settings are those, of
what was tried, by which they solve most: qpax with its implicit method, slsqp-jax with exact Hessians and LPEC-A. One
pinned core.
"""

import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import qpax
import slsqp_jax

from benchmarks.speed.harness import interleaved, spread
from stackjax._calculus.programme import minimise
from stackjax._constraints import Constraints

#: How near to the solution counts as solved, and the tolerance that the peers are given; ours has its default.
NEAR = {"float64": 1e-6, "float32": 1e-3}
TOLERANCE = {"float64": 1e-8, "float32": 1e-5}
STEPS = 200
#: Of a batch of slsqp-jax, which takes seconds for each.
FEW = 20
QPAX, SLSQP = (f"{name} {metadata.version(name)}" for name in ("qpax", "slsqp-jax"))


class Family(NamedTuple):
    """Programmes `min cost(data, x)` with `bounds(data, x) <= 0`, of which `data` has one in each row.

    `matrices(data)` are Q, q, G, h of one of them if it is quadratic. `impossible`, `unbounded`: data of one programme
    without a solution; the latter only where there is such a one.
    """

    cost: Callable
    bounds: Callable
    data: Any
    solutions: np.ndarray
    multipliers: np.ndarray
    impossible: Any
    matrices: Callable | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Unknowns and constraints."""
        return self.solutions.shape[1], self.multipliers.shape[1]


def _active(rng: np.random.Generator, n: int, d: int, m: int, count: Any) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers, `count` of them positive, and the distances of the other constraints to their bounds."""
    order = np.argsort(rng.random((n, m)), axis=1)
    active = order < np.broadcast_to(count, n)[:, None]
    return np.where(active, rng.uniform(0.1, 2, (n, m)), 0), np.where(active, 0, rng.uniform(0.1, 2, (n, m)))


def quadratic(n: int = 1000, d: int = 10, m: int = 15, seed: int = 0) -> Family:
    """`x'Qx/2 + q'x` with `G x <= h`, 5 to 9 of the 15 active."""
    rng = np.random.default_rng(seed)
    root, G, x = rng.normal(size=(n, d, d)), rng.normal(size=(n, m, d)), rng.normal(size=(n, d))
    nu, slack = _active(rng, n, d, m, rng.integers(d // 2, d, n))
    Q = root @ np.swapaxes(root, 1, 2) / d + 0.1 * np.eye(d)
    q = -np.einsum("nij,nj->ni", Q, x) - np.einsum("nmi,nm->ni", G, nu)
    data = (Q, q, G, np.einsum("nmi,ni->nm", G, x) + slack)
    return Family(_quadratic_cost, _linear_bounds, data, x, nu, _impossible(data), lambda data: data)


def linear(n: int = 1000, d: int = 10, m: int = 25, seed: int = 1) -> Family:
    """`q'x` with `G x <= h`, at a vertex."""
    rng = np.random.default_rng(seed)
    G, x = rng.normal(size=(n, m, d)), rng.normal(size=(n, d))
    nu, slack = _active(rng, n, d, m, d)
    data = (np.zeros((n, d, d)), -np.einsum("nmi,nm->ni", G, nu), G, np.einsum("nmi,ni->nm", G, x) + slack)
    return Family(_quadratic_cost, _linear_bounds, data, x, nu, _impossible(data), lambda data: data)


def _quadratic_cost(data: Any, x: Any) -> Any:
    Q, q, *_ = data
    return x @ Q @ x / 2 + q @ x


def _linear_bounds(data: Any, x: Any) -> Any:
    *_, G, h = data
    return G @ x - h


def _impossible(data: Any) -> Any:
    """The first programme with `x_0 <= -1` and `x_0 >= 1` in place of its first two bounds."""
    *rest, G, h = (part[0].copy() for part in data)
    G[:2], h[:2] = 0, -1
    G[:2, 0] = 1, -1
    return (*rest, G, h)


def smooth(n: int = 200, d: int = 5, m: int = 8, seed: int = 2) -> Family:
    """Exponentials and fourth powers; bounds on sums of exponentials and squares, 1 to 5 of the 8 active."""
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=(n, d)), 6
    rows, target, weight = rng.normal(size=(n, k, d)) / 2, rng.normal(size=(n, d)), rng.uniform(0.1, 1, (n, d))
    steep, centre = rng.normal(size=(n, m, d)) / 2, rng.normal(size=(n, m, d))
    nu, slack = _active(rng, n, d, m, rng.integers(1, d + 1, n))
    data = (rows, target, weight, steep, centre, np.zeros((n, m)), np.zeros((n, d)))

    with jax.enable_x64(True):  # the right sides, and the linear term that makes x the solution
        right = np.asarray(jax.vmap(_smooth_bounds)(data, x)) + slack
        slope = jax.vmap(jax.grad(lambda x, nu, data: _smooth_cost(data, x) + nu @ _smooth_bounds(data, x)))
        tilt = -np.asarray(slope(x, nu, data))
    data = (*data[:-2], right, tilt)
    low = right[0].copy()
    low[0] = -1  # of what is positive
    return Family(_smooth_cost, _smooth_bounds, data, x, nu, (*(part[0] for part in data[:-2]), low, tilt[0]))


def _smooth_cost(data: Any, x: Any) -> Any:
    rows, target, weight, *_, tilt = data
    return jnp.sum(jnp.exp(rows @ x)) + weight @ (x - target) ** 4 + tilt @ x


def _smooth_bounds(data: Any, x: Any) -> Any:
    *_, steep, centre, right, _ = data
    return jnp.exp(steep @ x) + 0.5 * jnp.sum((x - centre) ** 2, -1) - right


def _ours(family: Family, start: Any) -> Callable:
    def solve(data: Any) -> Any:
        none = jnp.zeros(0, start.dtype)
        found = minimise(
            lambda x: family.cost(data, x), lambda x: Constraints(family.bounds(data, x), none), start, max_steps=STEPS
        )
        return found.x, found.nu, found.converged

    return solve


def _qpax(family: Family, start: Any, tolerance: float) -> Callable:
    def solve(data: Any) -> Any:
        assert family.matrices is not None
        none = jnp.zeros((0, start.size), start.dtype), jnp.zeros(0, start.dtype)
        Q, q, G, h = family.matrices(data)
        x, _, z, _, converged, _ = qpax.solve_qp(Q, q, *none, G, h, solver_tol=tolerance, max_iter=STEPS, backend="i")
        return x, z, converged == 1

    return solve


def _slsqp(family: Family, start: Any, tolerance: float) -> Callable:
    solver = slsqp_jax.SLSQP(
        ineq_constraint_fn=lambda x, data: -family.bounds(data, x),
        n_ineq_constraints=family.size[1],
        config=slsqp_jax.SLSQPConfig(
            tolerance=slsqp_jax.ToleranceConfig(rtol=tolerance, atol=tolerance, max_steps=STEPS),
            qp=slsqp_jax.QPConfig(use_exact_hvp=True),
            lpeca=slsqp_jax.LPECAConfig(method="lpeca_init"),
        ),
    )

    def solve(data: Any) -> Any:
        found = optimistix.minimise(
            lambda x, data: (family.cost(data, x), None),
            solver,
            start,
            args=data,
            has_aux=True,
            max_steps=STEPS,
            throw=False,
        )
        successful = found.result._value == slsqp_jax.RESULTS.successful._value
        return found.value, found.stats["multipliers_ineq"], successful

    return solve


def _candidates(family: Family, dtype: str) -> dict[str, Callable]:
    start, tolerance = jnp.zeros(family.size[0], dtype), TOLERANCE[dtype]
    found = {"stackjax": _ours(family, start)}
    if family.matrices is not None:
        found[QPAX] = _qpax(family, start, tolerance)
    found[SLSQP] = _slsqp(family, start, tolerance)
    return found


def _compiled(solve: Callable, data: Any) -> tuple[Callable, float]:
    """The batch's program, and the seconds that it took to compile."""
    began = time.perf_counter()
    program = jax.jit(jax.vmap(solve)).lower(data).compile()
    return program, time.perf_counter() - began


def _quality(family: Family, dtype: str, found: Any) -> dict[str, float]:
    x, nu, claimed = (np.asarray(part) for part in found)
    exact, multipliers = family.solutions[: len(x)], family.multipliers[: len(x)]
    solved = np.abs(x - exact).max(1) <= NEAR[dtype] * np.maximum(1, np.abs(exact).max(1))
    errors = np.abs(nu - multipliers).max(1)
    return {
        "programmes": len(x),
        "solved": float(np.mean(solved)),
        "claimed": float(np.mean(claimed)),
        "claimed_but_not_solved": float(np.mean(claimed & ~solved)),
        "multipliers_found": float(np.mean(errors <= 10 * NEAR[dtype])),
    }


def _beside(program: Callable, family: Family, data: Any) -> dict[str, float]:
    """What an impossible programme in a batch does to the others: the largest change of x; and if it is claimed."""
    spoilt = jax.tree.map(lambda part, bad: part.at[0].set(bad.astype(part.dtype)), data, family.impossible)
    (alone, *_), (beside, _, claimed) = program(data), program(spoilt)
    same = np.array_equal(alone[1:], beside[1:], equal_nan=True)
    change = 0.0 if same else float(np.max(np.abs(np.asarray(alone) - np.asarray(beside))[1:]))
    return {"others_changed_by": change, "impossible_claimed": float(claimed[0])}


def _one(family: Family, dtype: str, repetitions: int) -> dict[str, Any]:
    with jax.enable_x64(dtype == "float64"):
        whole = jax.tree.map(lambda part: jnp.asarray(part, dtype), family.data)
        few = jax.tree.map(lambda part: part[:FEW], whole)
        found: dict[str, Any] = {}
        calls: dict[str, Callable[[], Any]] = {}
        for name, solve in _candidates(family, dtype).items():
            data = few if name == SLSQP else whole
            program, seconds = _compiled(solve, data)
            found[name] = _quality(family, dtype, program(data)) | {"compile_seconds": seconds}
            found[name] |= _beside(program, family, data)
            calls[name] = lambda program=program, data=data: program(data)
        slow = {SLSQP: calls.pop(SLSQP)}
        seconds = interleaved(calls, repetitions) | interleaved(slow, 1)
        for name, each in seconds.items():
            found[name]["microseconds_each"] = spread([1e6 * s / found[name]["programmes"] for s in each])
    return found


def main(repetitions: int) -> dict[str, Any]:
    """All figures; the measurements are repeated at most five times, slsqp-jax's not."""
    found: dict[str, Any] = {}
    for name, family in {"quadratic": quadratic(), "linear": linear(), "smooth": smooth()}.items():
        unknowns, constraints = family.size
        for dtype in NEAR:
            case = f"{name}, {unknowns} unknowns, {constraints} constraints, {dtype}"
            found[case] = _one(family, dtype, min(repetitions, 5))
    return found
