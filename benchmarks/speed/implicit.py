"""The implicit gradient of a leader in units of one gradient of its follower, and beside JAXopt's conjugate gradients.

Four hyper-parameter selections (leader: a log weight decay for each of d coefficients; follower: logistic regression)
and a quadratic whose Hessian couples neighbours only (d = 1e5). One replicate, float32, one pinned core.
"""

import functools
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solveh_banded

from benchmarks.speed.harness import interleaved, ratio, spread
from stackjax._calculus.implicit import total_derivative
from stackjax._calculus.linear import Past
from stackjax.equilibria import implicit_gradient
from stackjax.games import from_payoffs
from stackjax.learners import HierarchicalAscent
from stackjax.learners._ascent import AscentState
from stackjax.learners.hierarchical_ascent import Effort, HierarchicalMemory, newest_first
from stackjax.protocols import Game, partial_gradient
from stackjax.solvers import CG, BiCGStab, Dense
from stackjax.spaces import Euclidean

with warnings.catch_warnings():  # it says that it is no longer maintained
    warnings.simplefilter("ignore", DeprecationWarning)
    from jaxopt import implicit_diff, linear_solve

TOLERANCE = 1e-6
#: A tolerance that isn't reached: the number of iterations is the cap's.
NEVER = 1e-30
#: Of each logistic problem: coefficients, rows of training and of validation data.
LOGISTIC = {10: 2000, 100: 2000, 1000: 2000, 10_000: 1000}
STENCIL, HUGE = 100_000, 1_000_000
#: Log weight decay of the problem with leader's steps: a condition number of nearly 70.
DECAY = -5.7
CROSSING = (4, 6, 8, 9, 12, 16, 24, 32, 48, 64, 96, 128)
LANES = 100


class Problem(NamedTuple):
    """A game, and the point at which the leader's implicit gradient is taken: y is the best response to x.

    `reference(x, y)`: that gradient in float64, by NumPy from the problem's formulas.
    """

    game: Game
    x: Any
    y: Any
    reference: Callable[[Any, Any], np.ndarray]

    @property
    def exact(self) -> np.ndarray:
        """The reference at this point."""
        return self.reference(np.asarray(self.x, np.float64), np.asarray(self.y, np.float64))


def compiled(f: Callable, game: Game) -> Callable:
    """`jit(f)(game, ...)`: the game's data are arguments, as in `play`; of constants XLA keeps a copy for each use."""
    data, rest = eqx.partition(game, eqx.is_array)
    jitted = jax.jit(lambda data, *arguments: f(eqx.combine(data, rest), *arguments))
    return functools.partial(jitted, data)


def _climb(game: Game) -> Callable:
    """The best response to x from y: Newton's method with conjugate gradients, in float32 to rounding."""

    def newton(game: Game, x: Any, y: Any) -> Any:
        product = functools.partial(_product, game, x, y)
        return y + jax.scipy.sparse.linalg.cg(product, partial_gradient(game, 1, (x, y)), tol=1e-7, maxiter=200)[0]

    step = compiled(newton, game)

    def climb(x: Any, y: Any) -> Any:
        for _ in range(8):
            y = step(x, y)
        return y

    return climb


def _product(game: Game, x: Any, y: Any, v: Any) -> Any:
    return -jax.jvp(lambda y: partial_gradient(game, 1, (x, y)), (y,), (v,))[1]


def logistic(d: int, rows: int, decay: float = -4.0) -> Problem:
    """Weight decay for each coefficient; x is its logarithm."""
    rng = np.random.default_rng(d)
    truth = rng.normal(size=d) / np.sqrt(d)

    def sample() -> tuple[Any, Any]:
        features = rng.normal(size=(rows, d))
        labels = rng.random(rows) < 1 / (1 + np.exp(-3 * features @ truth))
        return jnp.asarray(features, jnp.float32), jnp.asarray(labels, jnp.float32)

    def loss(data: Any, y: Any) -> Any:
        features, labels = data
        margin = features @ y
        return jnp.mean(jax.nn.softplus(margin) - labels * margin)

    training, validation = sample(), sample()

    def follower(data: Any, x: Any, y: Any) -> Any:
        return -loss(data, y) - 0.5 * jnp.sum(jnp.exp(x) * y**2)

    game = from_payoffs(
        eqx.Partial(lambda data, x, y: -loss(data, y), validation),
        eqx.Partial(follower, training),
        spaces=(Euclidean((d,)), Euclidean((d,))),
    )

    def reference(x: Any, y: Any) -> np.ndarray:
        (features, _), (others, labels) = (
            tuple(np.asarray(a, np.float64) for a in data) for data in (training, validation)
        )
        p, q = (1 / (1 + np.exp(-z @ y)) for z in (features, others))
        slope = others.T @ (q - labels) / len(labels)
        weights = p * (1 - p) / len(p)
        if d <= rows:
            solution = np.linalg.solve(features.T * weights @ features + np.diag(np.exp(x)), slope)
        else:  # Woodbury's identity
            thin = features * np.exp(-x)
            inner = np.linalg.solve(np.diag(1 / weights) + thin @ features.T, thin @ slope)
            solution = np.exp(-x) * slope - thin.T @ inner
        return np.exp(x) * y * solution

    x = jnp.asarray(decay + 0.5 * rng.normal(size=d), jnp.float32)
    return Problem(game, x, _climb(game)(x, jnp.zeros(d)), reference)


def stencil(d: int) -> Problem:
    """`f2 = -|y - x|^2 / 2 - 4 sum_i (y_(i + 1) - y_i)^2`: a condition number of 33."""
    rng = np.random.default_rng(d)
    target = jnp.asarray(rng.normal(size=d), jnp.float32)

    def follower(x: Any, y: Any) -> Any:
        return -0.5 * jnp.sum((y - x) ** 2) - 4 * jnp.sum((y[1:] - y[:-1]) ** 2)

    def leader(target: Any, x: Any, y: Any) -> Any:
        return -0.5 * jnp.sum((y - target) ** 2) - 0.05 * jnp.sum(x**2)

    game = from_payoffs(
        eqx.Partial(leader, target),
        follower,
        spaces=(Euclidean((d,)), Euclidean((d,))),
    )

    def reference(x: Any, y: Any) -> np.ndarray:
        bands = np.full((2, d), -8.0)
        bands[1] = 1 + 8 * np.r_[1, np.full(d - 2, 2), 1]
        return -0.1 * x - solveh_banded(bands, y - np.asarray(target, np.float64))

    x = jnp.asarray(rng.normal(size=d), jnp.float32)
    return Problem(game, x, _climb(game)(x, jnp.zeros(d)), reference)


def pair(d: int) -> tuple[Game, Any, tuple[Any, ...]]:
    """Two followers with d unknowns in all, whose quadratic payoffs are coupled; a solver, and a point."""
    rng = np.random.default_rng(d)
    sizes = (d // 2, d - d // 2)
    own = [jnp.asarray(2 * np.eye(n) + np.diag(rng.uniform(size=n)), jnp.float32) for n in sizes]
    across = [jnp.asarray(rng.normal(size=shape) / d, jnp.float32) for shape in (sizes, sizes[::-1])]
    load = [jnp.asarray(rng.normal(size=(3, n)), jnp.float32) for n in sizes]
    game = from_payoffs(
        lambda x, y, z: jnp.sum(jnp.sin(y)) + jnp.sum(z**2) - jnp.sum(x**2),
        lambda x, y, z: (x @ load[0]) @ y - y @ own[0] @ y / 2 + y @ across[0] @ z,
        lambda x, y, z: (x @ load[1]) @ z - z @ own[1] @ z / 2 + z @ across[1] @ y,
        spaces=tuple(Euclidean((n,)) for n in (3, *sizes)),
    )
    point = tuple(jnp.asarray(rng.normal(size=n), jnp.float32) for n in (3, *sizes))
    return game, BiCGStab(), point


def ours(game: Game, solver: Any) -> Callable:
    return compiled(functools.partial(implicit_gradient, solver=solver), game)


def warm(game: Game, steps: int) -> Callable:
    """As in `play`, from what is left of the rounds before."""

    def direction(game: Game, x: Any, y: Any, past: Any) -> Any:
        learner = HierarchicalAscent(1.0, solver=CG(tolerance=NEVER, max_steps=steps, history=len(past.solutions)))
        memory = HierarchicalMemory((), Effort(past, jnp.int32(0), jnp.float32(0)), None, None)
        return learner.direction(game, 0, (x, y), state=AscentState(x, jnp.int32(0), memory))

    return compiled(direction, game)


def jaxopt_cg(game: Game, tolerance: float) -> Callable:
    """The same gradient, as one writes it with JAXopt."""

    solve = functools.partial(linear_solve.solve_cg, tol=tolerance, maxiter=1000)

    def gradient(game: Game, x: Any, y: Any) -> Any:
        def conditions(y: Any, x: Any) -> Any:
            return -partial_gradient(game, 1, (x, y))

        own, others = jax.grad(lambda x, y: game.payoffs(x, y)[0], argnums=(0, 1))(x, y)
        (through,) = implicit_diff.root_vjp(conditions, y, (x,), others, solve=solve)
        return own + through

    return compiled(gradient, game)


def slope(game: Game) -> Callable:
    """The follower's gradient in its own action: the unit of all costs."""
    return compiled(lambda game, x, y: partial_gradient(game, 1, (x, y)), game)


def _solution(problem: Problem) -> tuple[Any, Any]:
    """`H_yy^-1 grad_y f1` to rounding, and `grad_y f1`."""
    game, x, y, _ = problem
    b = jax.grad(lambda y: game.payoffs(x, y)[0])(y)

    def solve(game: Game, b: Any) -> Any:
        return jax.scipy.sparse.linalg.cg(functools.partial(_product, game, x, y), b, tol=1e-7)[0]

    return -compiled(solve, game)(b), b


def _past(*solutions: tuple[Any, Any]) -> Past:
    return Past(*map(jnp.stack, zip(*solutions, strict=True)))


def _often(call: Callable, times: int = 5) -> Callable:
    """Called so many times in a row, so that every candidate finds in the caches what it has left there itself."""

    def repeated() -> Any:
        for _ in range(times - 1):
            jax.block_until_ready(call())
        return call()

    return repeated


def _error(found: Any, exact: Any) -> float:
    return float(np.linalg.norm(np.asarray(found, np.float64) - exact) / np.linalg.norm(exact))


def _one(problem: Problem, repetitions: int) -> dict[str, Any]:
    """Costs of one problem, in follower gradients, and the relative errors."""
    game, x, y, _ = problem
    solution = _solution(problem)
    calls: dict[str, tuple[Callable, tuple[Any, ...]]] = {
        "gradient": (slope(game), (x, y)),
        "cg_5": (ours(game, CG(NEVER, 5)), (x, y)),
        "cg_10": (ours(game, CG(NEVER, 10)), (x, y)),
        "cg_2_warm": (warm(game, 2), (x, y, _past(solution))),
        "cg": (ours(game, CG(TOLERANCE, 1000)), (x, y)),
        "jaxopt": (jaxopt_cg(game, TOLERANCE), (x, y)),
    }
    if y.size <= 1000:
        calls["dense"] = ours(game, Dense()), (x, y)
    seconds = interleaved({name: _often(functools.partial(f, *a)) for name, (f, a) in calls.items()}, repetitions)
    found: dict[str, Any] = {"gradient_microseconds": spread([2e5 * s for s in seconds["gradient"]])}
    for name in calls:
        if name != "gradient":
            found[f"{name}_in_gradients"] = ratio(seconds, name, "gradient")
    found["cg_over_jaxopt"] = ratio(seconds, "cg", "jaxopt")
    for name in ("cg", "jaxopt"):
        found[f"{name}_relative_error"] = _error(calls[name][0](x, y), problem.exact)
    return found


def _moved(problem: Problem, relative: float = 0.01) -> Problem:
    """After a leader's step along its gradient that moves the best response by so much, relative to its length."""
    game, x, y, reference = problem
    climb, step = _climb(game), 1e-3
    direction = ours(game, CG(TOLERANCE, 1000))(x, y)
    for _ in range(6):
        after = climb(x + step * direction, y)
        step = step * relative * float(jnp.linalg.norm(y) / jnp.linalg.norm(after - y))
    x = x + step * direction
    return Problem(game, x, climb(x, y), reference)


def _after_steps(repetitions: int) -> dict[str, Any]:
    """Iterations that start from exact past solutions, after leader's steps: what they cost, and how near they come."""
    problem = logistic(1000, LOGISTIC[1000], DECAY)
    past: list[Any] = []
    for _ in range(4):
        past.insert(0, _solution(problem))
        before, problem = problem, _moved(problem)
    game, x, y, _ = problem
    spectrum = np.linalg.eigvalsh(-np.asarray(jax.hessian(lambda y: game.payoffs(x, y)[1])(y), np.float64))
    calls: dict[str, Callable] = {"gradient": functools.partial(slope(game), x, y)}
    for history in (1, 2, 3, 4):
        for steps in (1, 2, 3, 5):
            before_it = _past(*past[:history])
            calls[f"{steps}_iterations_from_{history}"] = functools.partial(warm(game, steps), x, y, before_it)
    seconds = interleaved({name: _often(call) for name, call in calls.items()}, repetitions)
    found: dict[str, Any] = {
        "condition_number": float(spectrum[-1] / spectrum[0]),
        "response_moved_by": _error(y, np.asarray(before.y)),
    }
    for name in list(calls)[1:]:
        found[f"{name}_in_gradients"] = ratio(seconds, name, "gradient")
        found[f"{name}_relative_error"] = _error(calls[name](), problem.exact)
    return found


def _round_after_round(repetitions: int, tolerance: float = 1e-4, rounds: int = 12) -> dict[str, Any]:
    """As in `play`: each round starts from what the rounds before have found, to this tolerance; the last 5 rounds.

    The cost is that of a whole round: its start, its iterations, the true residual, and what is kept for the next.
    """
    problem = logistic(1000, LOGISTIC[1000], DECAY)
    solver = CG(tolerance=tolerance, max_steps=300)

    def step(game: Game, x: Any, y: Any, past: Past) -> Any:
        direction, answered = total_derivative(game, 0, (x, y), 0.0, solver.solve, past)
        assert answered is not None  # there is a follower
        solution = answered.solution
        past = Past(*map(newest_first, past, (solution.x, answered.image)))
        return direction, past, (solution.iterations, solution.residual)

    one = compiled(step, problem.game)
    past, errors, iterations, calls = Past(*[jnp.zeros((solver.history, 1000))] * 2), [], [], {}
    for n in range(rounds):
        game, x, y, _ = problem
        call = functools.partial(one, x, y, past)
        direction, past, (steps, _) = call()
        iterations.append(float(steps))
        errors.append(_error(direction, problem.exact))
        if n >= rounds - 5:
            calls |= {f"gradient {n}": _often(functools.partial(slope(game), x, y)), f"round {n}": _often(call)}
        problem = _moved(problem)
    seconds = interleaved(calls, repetitions)
    costs = [ratio(seconds, f"round {n}", f"gradient {n}")["median"] for n in range(rounds - 5, rounds)]
    last = {"iterations": iterations[-5:], "relative_error": errors[-5:], "whole_round_in_gradients": costs}
    return {"tolerance": tolerance, **{name: spread(values) for name, values in last.items()}}


def _crossing(repetitions: int) -> dict[str, Any]:
    """Dense over iterations at their default tolerance, one lane and many, by the number of unknowns."""
    found: dict[str, Any] = {}
    for d in CROSSING:
        one, two = logistic(d, 200), pair(d)
        for name, game, solver, point in (
            ("cg", one.game, CG(), (one.x, one.y)),
            ("bicgstab, two followers", *two),
        ):
            for lanes in (1, LANES):
                points = point if lanes == 1 else tuple(jnp.tile(z, (lanes, 1)) for z in point)
                calls = {}
                for which, how in (("dense", Dense()), ("iterative", solver)):

                    def f(game: Game, *z: Any, how: Any = how, lanes: int = lanes) -> Any:
                        gradient = functools.partial(implicit_gradient, game, solver=how)
                        return (gradient if lanes == 1 else jax.vmap(gradient))(*z)

                    calls[which] = _often(functools.partial(compiled(f, game), *points))
                seconds = interleaved(calls, repetitions)
                found[f"{name}: {d}_unknowns_{lanes}_lanes"] = ratio(seconds, "dense", "iterative")
    return found


def _huge() -> dict[str, Any]:
    """Peak memory of a process that takes the gradient at a million unknowns."""
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.implicit"], check=True, capture_output=True, text=True
    )
    return {"peak_memory_gigabytes": float(child.stdout.split()[-1])}


def main(repetitions: int) -> dict[str, Any]:
    """All figures."""
    found = {f"logistic d = {d}": _one(logistic(d, rows), repetitions) for d, rows in LOGISTIC.items()}
    found[f"stencil d = {STENCIL}"] = _one(stencil(STENCIL), repetitions)
    found["logistic d = 1000 after steps"] = _after_steps(repetitions)
    found["logistic d = 1000 round after round"] = _round_after_round(repetitions)
    found["dense over iterations"] = _crossing(repetitions)
    found[f"stencil d = {HUGE}"] = _huge()
    return found


if __name__ == "__main__":
    huge = stencil(HUGE)
    jax.block_until_ready(ours(huge.game, CG(TOLERANCE, 1000))(huge.x, huge.y))
    # Linux' own peak of this process: the resource module's has that of the process that started it.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1e6)
