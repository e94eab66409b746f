"""Iterated prisoner's dilemma, 1000 replicates on one thread: what the value's small linear system costs, and `play`.

Two hand-written loops beside `play`, with its updates, starts and records. `inverse` is what one writes first: the
value by `jnp.linalg.inv` of the 4x4 system, the hierarchical direction by `jax.jacobian` and another inverse. `scan` is
what an expert writes: the game's own closed form, one reverse pass for all second derivatives, an unrolled elimination.
All three are first shown to compute the same numbers in float64; they are timed in float32.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.harness import interleaved, ratio, spread
from stackjax import Record, play
from stackjax._calculus.small import solve_small
from stackjax.games import IteratedMatrixGame
from stackjax.learners import GradientAscent, HierarchicalAscent

REPLICATES, BLOCK = 1000, 100
DISCOUNT, DAMPING = 0.96, 0.1  # undamped, one start in a thousand comes too near to a singular H_yy
LEADER_STEP, FOLLOWER_STEP = 0.1, 1.0
#: Rounds of each case: of `inverse` one takes microseconds a replicate.
ROUNDS = {"simultaneous": 2000, "hierarchical": 500}
LONG = 10_000  # rounds of `play` and `scan` alone, where the cost of a call is a small part
AGREEMENT = 1e-9

GAME = IteratedMatrixGame.prisoners_dilemma(DISCOUNT)


def inverse_payoffs(x: Any, y: Any) -> tuple[Any, Any]:
    """The value as one writes it first."""
    p, q = jax.nn.sigmoid(x), jax.nn.sigmoid(y)
    outcomes = jnp.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=-1)
    shares = (1 - DISCOUNT) * outcomes[0] @ jnp.linalg.inv(jnp.eye(4) - DISCOUNT * outcomes[1:])
    return shares @ jnp.array([-1.0, -3.0, 0.0, -2.0]), shares @ jnp.array([-1.0, 0.0, -3.0, -2.0])


def simultaneous(payoffs: Callable) -> Callable:
    """Both players' gradients."""

    def directions(x: Any, y: Any) -> tuple[Any, Any]:
        return jax.grad(lambda x: payoffs(x, y)[0])(x), jax.grad(lambda y: payoffs(x, y)[1])(y)

    return directions


def hierarchical_first(payoffs: Callable) -> Callable:
    """The hierarchical direction as one writes it first: every matrix of the formula, and an inverse."""

    def directions(x: Any, y: Any) -> tuple[Any, Any]:
        def f1(x: Any, y: Any) -> Any:
            return payoffs(x, y)[0]

        grad_y = jax.grad(lambda x, y: payoffs(x, y)[1], 1)
        h_yy = jax.jacobian(grad_y, 1)(x, y) - DAMPING * jnp.eye(5)
        h_yx = jax.jacobian(grad_y, 0)(x, y)
        return jax.grad(f1, 0)(x, y) - h_yx.T @ jnp.linalg.inv(h_yy).T @ jax.grad(f1, 1)(x, y), grad_y(x, y)

    return directions


def hierarchical_expert(payoffs: Callable) -> Callable:
    """The hierarchical direction with one reverse pass for the follower's second derivatives, row by row."""

    def directions(x: Any, y: Any) -> tuple[Any, Any]:
        gx, gy = jax.grad(lambda x, y: payoffs(x, y)[0], (0, 1))(x, y)
        answer, second = jax.vjp(jax.grad(lambda x, y: payoffs(x, y)[1], 1), x, y)
        h_yy = jnp.stack([second(row)[1] for row in jnp.eye(5)]) - DAMPING * jnp.eye(5)
        return gx - second(solve_small(h_yy.T, gy))[0], answer

    return directions


def loop(directions: Callable, payoffs: Callable, leader_step: float) -> Callable:
    """A vmapped round in a scan; strategies and mean payoffs after every `BLOCK` rounds."""

    def one(x: Any, y: Any) -> Any:
        dx, dy = directions(x, y)
        return x + leader_step * dx, y + FOLLOWER_STEP * dy, jnp.stack(payoffs(x, y))

    def one_round(carry: Any, _: Any) -> Any:
        x, y, total = carry
        x, y, paid = jax.vmap(one)(x, y)
        return (x, y, total + paid), None

    def block(carry: Any, _: Any) -> Any:
        (x, y, total), _ = jax.lax.scan(one_round, (*carry, jnp.zeros((REPLICATES, 2))), length=BLOCK)
        return (x, y), (x, y, total / BLOCK)

    def run(x: Any, y: Any, blocks: int) -> Any:
        rows = jax.lax.scan(block, (x, y), length=blocks)[1]
        x, y, paid = (jnp.swapaxes(row, 0, 1) for row in rows)
        return (x, y), paid

    return jax.jit(run, static_argnums=2)


def cases() -> dict[str, tuple[tuple[Any, Any], dict[str, Callable]]]:
    """For each case its learners, and the two loops."""
    follower = GradientAscent(FOLLOWER_STEP)
    return {
        "simultaneous": (
            (GradientAscent(FOLLOWER_STEP), follower),
            {
                "scan": loop(simultaneous(GAME.payoffs), GAME.payoffs, FOLLOWER_STEP),
                "inverse": loop(simultaneous(inverse_payoffs), inverse_payoffs, FOLLOWER_STEP),
            },
        ),
        "hierarchical": (
            (HierarchicalAscent(LEADER_STEP, damping=DAMPING), follower),
            {
                "scan": loop(hierarchical_expert(GAME.payoffs), GAME.payoffs, LEADER_STEP),
                "inverse": loop(hierarchical_first(inverse_payoffs), inverse_payoffs, LEADER_STEP),
            },
        ),
    }


def candidates(learners: tuple[Any, Any], loops: dict[str, Callable], rounds: int) -> dict[str, Callable]:
    """`play` and the loops as functions without arguments that return strategies and block means of payoffs."""
    start = tuple(jax.random.normal(key, (REPLICATES, 5)) for key in jax.random.split(jax.random.key(0)))
    record = Record.every(BLOCK)

    def ours() -> Any:
        key = jax.random.key(1)
        trace = play(GAME, *learners, key=key, rounds=rounds, replicates=REPLICATES, start=start, record=record)
        return trace.strategies, trace.payoffs

    return {"play": ours} | {name: lambda run=run: run(*start, rounds // BLOCK) for name, run in loops.items()}


def largest_difference(learners: tuple[Any, Any], loops: dict[str, Callable], rounds: int = 200) -> float:
    """Between what `play` and the loops return in float64, where rounding can't grow to what could be seen."""
    with jax.enable_x64(True):
        results = [jax.tree.leaves(run()) for run in candidates(learners, loops, rounds).values()]
    found = max(float(np.max(np.abs(a - b))) for other in results[1:] for a, b in zip(results[0], other, strict=True))
    if not found < AGREEMENT:
        raise AssertionError(f"play and the loops differ by {found} after {rounds} rounds in float64")
    return found


def main(repetitions: int = 9) -> dict[str, Any]:
    """Measure all cases."""
    found: dict[str, Any] = {}
    for name, (learners, loops) in cases().items():
        rounds = ROUNDS[name]
        runs = candidates(learners, loops, rounds)
        difference = largest_difference(learners, loops)
        seconds = interleaved(runs, repetitions)
        long = candidates(learners, {"scan": loops["scan"]}, LONG)
        seconds_long = interleaved(long, repetitions)
        found[f"iterated prisoner's dilemma, {name}"] = {
            **{f"{who}_million_steps_per_second": _rate(values, rounds) for who, values in seconds.items()},
            "inverse_over_play": ratio(seconds, "inverse", "play"),
            "inverse_over_scan": ratio(seconds, "inverse", "scan"),
            **{f"{who}_million_steps_per_second_of_{LONG}": _rate(v, LONG) for who, v in seconds_long.items()},
            "play_over_scan": ratio(seconds_long, "play", "scan"),
            "largest_difference_in_float64": difference,
        }
    return found


def _rate(seconds: list[float], rounds: int) -> dict[str, float]:
    return spread([REPLICATES * rounds / 1e6 / s for s in seconds])
