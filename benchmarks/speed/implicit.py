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

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.harness import interleaved, ratio, spread
from stackjax._calculus.linear import Past
from stackjax.equilibria import implicit_gradient
from stackjax.games import from_payoffs
from stackjax.learners import HierarchicalAscent
from stackjax.learners._ascent import AscentState
from stackjax.learners.hierarchical_ascent import SolveMemory
from stackjax.protocols import Game, partial_gradient
from stackjax.solvers import CG, Dense
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
    """A game, and the point at which the leader's implicit gradient is taken: y is the best response to x."""

    game: Game
    x: Any
    y: Any


def _climb(game: Game) -> Callable:
    """The best response to x from y: Newton's method with conjugate gradients, in float32 to rounding."""

    @jax.jit
    def newton(x: Any, y: Any) -> Any:
        product = functools.partial(_product, game, x, y)
        return y + jax.scipy.sparse.linalg.cg(product, partial_gradient(game, 1, (x, y)), tol=1e-7, maxiter=200)[0]

    def climb(x: Any, y: Any) -> Any:
        for _ in range(8):
            y = newton(x, y)
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
    game = from_payoffs(
        lambda x, y: -loss(validation, y),
        lambda x, y: -loss(training, y) - 0.5 * jnp.sum(jnp.exp(x) * y**2),
        spaces=(Euclidean((d,)), Euclidean((d,))),
    )
    x = jnp.asarray(decay + 0.5 * rng.normal(size=d), jnp.float32)
    return Problem(game, x, _climb(game)(x, jnp.zeros(d)))


def stencil(d: int) -> Problem:
    """`f2 = -|y - x|^2 / 2 - 4 sum_i (y_(i + 1) - y_i)^2`: a condition number of 33."""
    rng = np.random.default_rng(d)
    target = jnp.asarray(rng.normal(size=d), jnp.float32)

    def follower(x: Any, y: Any) -> Any:
        return -0.5 * jnp.sum((y - x) ** 2) - 4 * jnp.sum((y[1:] - y[:-1]) ** 2)

    game = from_payoffs(
        lambda x, y: -0.5 * jnp.sum((y - target) ** 2) - 0.05 * jnp.sum(x**2),
        follower,
        spaces=(Euclidean((d,)), Euclidean((d,))),
    )
    x = jnp.asarray(rng.normal(size=d), jnp.float32)
    return Problem(game, x, _climb(game)(x, jnp.zeros(d)))


def ours(game: Game, solver: Any) -> Callable:
    return jax.jit(lambda x, y: implicit_gradient(game, x, y, solver=solver))


def warm(game: Game, steps: int) -> Callable:
    """As in `play`, from what is left of the rounds before."""

    @jax.jit
    def direction(x: Any, y: Any, past: Any) -> Any:
        learner = HierarchicalAscent(1.0, solver=CG(tolerance=NEVER, max_steps=steps, history=len(past.solutions)))
        memory = SolveMemory((), past, jnp.int32(0), jnp.float32(0))
        return learner.direction(game, 0, (x, y), state=AscentState(x, jnp.int32(0), memory))

    return direction


def jaxopt_cg(game: Game, tolerance: float) -> Callable:
    """The same gradient, as one writes it with JAXopt."""

    def conditions(y: Any, x: Any) -> Any:
        return -partial_gradient(game, 1, (x, y))

    solve = functools.partial(linear_solve.solve_cg, tol=tolerance, maxiter=1000)

    @jax.jit
    def gradient(x: Any, y: Any) -> Any:
        own, others = jax.grad(lambda x, y: game.payoffs(x, y)[0], argnums=(0, 1))(x, y)
        (through,) = implicit_diff.root_vjp(conditions, y, (x,), others, solve=solve)
        return own + through

    return gradient


def _solution(problem: Problem) -> tuple[Any, Any]:
    """`H_yy^-1 grad_y f1` to rounding, and `grad_y f1`."""
    game, x, y = problem
    slope = jax.grad(lambda y: game.payoffs(x, y)[0])(y)
    solve = jax.jit(lambda b: jax.scipy.sparse.linalg.cg(functools.partial(_product, *problem), b, tol=1e-7)[0])
    return -solve(slope), slope


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
    return float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))


def _one(problem: Problem, repetitions: int) -> dict[str, Any]:
    """Costs of one problem, in follower gradients, and the relative errors."""
    game, x, y = problem
    solution = _solution(problem)
    calls: dict[str, tuple[Callable, tuple[Any, ...]]] = {
        "gradient": (jax.jit(lambda x, y: partial_gradient(game, 1, (x, y))), (x, y)),
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
    exact = calls["cg"][0](x, y) if y.size > 1000 else calls["dense"][0](x, y)
    other = jaxopt_cg(game, 1e-7)(x, y)
    found["cg_relative_error"] = _error(calls["cg"][0](x, y), other if y.size > 1000 else exact)
    found["jaxopt_relative_error"] = _error(calls["jaxopt"][0](x, y), exact)
    return found


def _moved(problem: Problem, relative: float = 0.01) -> Problem:
    """After a leader's step along its gradient that moves the best response by so much, relative to its length."""
    game, x, y = problem
    climb, step = _climb(game), 1e-3
    direction = ours(game, CG(TOLERANCE, 1000))(x, y)
    for _ in range(6):
        after = climb(x + step * direction, y)
        step = step * relative * float(jnp.linalg.norm(y) / jnp.linalg.norm(after - y))
    x = x + step * direction
    return Problem(game, x, climb(x, y))


def _after_steps(repetitions: int) -> dict[str, Any]:
    """Iterations that start from past solutions, after leader's steps: what they cost, and how near they come."""
    problem = logistic(1000, LOGISTIC[1000], DECAY)
    past: list[Any] = []
    for _ in range(4):
        past.insert(0, _solution(problem))
        before, problem = problem, _moved(problem)
    game, x, y = problem
    spectrum = np.linalg.eigvalsh(-np.asarray(jax.hessian(lambda y: game.payoffs(x, y)[1])(y), np.float64))
    exact = ours(game, Dense())(x, y)
    gradient = jax.jit(lambda x, y: partial_gradient(game, 1, (x, y)))
    calls: dict[str, Callable] = {"gradient": functools.partial(gradient, x, y)}
    for history in (1, 2, 3, 4):
        for steps in (1, 2, 3, 5):
            before_it = _past(*past[:history])
            calls[f"{steps}_iterations_from_{history}"] = functools.partial(warm(game, steps), x, y, before_it)
    seconds = interleaved({name: _often(call) for name, call in calls.items()}, repetitions)
    found: dict[str, Any] = {
        "condition_number": float(spectrum[-1] / spectrum[0]),
        "response_moved_by": _error(y, before.y),
    }
    for name in list(calls)[1:]:
        found[f"{name}_in_gradients"] = ratio(seconds, name, "gradient")
        found[f"{name}_relative_error"] = _error(calls[name](), exact)
    return found


def _crossing(repetitions: int) -> dict[str, Any]:
    """Dense over conjugate gradients at their default tolerance, one lane and many, by the number of unknowns."""
    found: dict[str, Any] = {}
    for d in CROSSING:
        game, x, y = logistic(d, 200)
        for lanes in (1, LANES):
            points = (x, y) if lanes == 1 else (jnp.tile(x, (lanes, 1)), jnp.tile(y, (lanes, 1)))
            calls = {}
            for name, solver in (("dense", Dense()), ("cg", CG())):
                f = ours(game, solver) if lanes == 1 else jax.jit(jax.vmap(ours(game, solver)))
                calls[name] = _often(functools.partial(f, *points))
            seconds = interleaved(calls, repetitions)
            found[f"{d}_unknowns_{lanes}_lanes"] = ratio(seconds, "dense", "cg")
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
    found["dense over cg"] = _crossing(repetitions)
    found[f"stencil d = {HUGE}"] = _huge()
    return found


if __name__ == "__main__":
    huge = stencil(HUGE)
    jax.block_until_ready(ours(huge.game, CG(TOLERANCE, 1000))(huge.x, huge.y))
    # Linux' own peak of this process: the resource module's has that of the process that started it.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1e6)
