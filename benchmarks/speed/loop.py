"""`play` against hand-written scans of the same updates, with the same draws and the same records.

The scans are what an expert writes for one fixed experiment: the update spelled out, schedules read from a scalar
counter, one `vmap`, nothing checked, counted or frozen. Each is first shown to give the same numbers as `play`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.harness import interleaved, ratio, spread
from stackjax import Record, play
from stackjax._noise import BEFORE, round_key, stream_words
from stackjax.games import CournotDuopoly, Noisy, Quadratic
from stackjax.learners import GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import PowerLaw, commitment_times

REPLICATES, ROUNDS, BLOCK = 1000, 10_000, 100
HIC = {"a": 1.5, "n0": 10.0, "d0": 10.0, "rate": 0.5, "bound": 100.0}
D1, D2 = 3, 4


def hic_learners(scale: float = 1.0) -> tuple[HiC, GradientAscent]:
    perturbation = PowerLaw(HIC["d0"] * scale, 1 / 6)
    times = commitment_times(perturbation, HIC["rate"], HIC["bound"] * scale, 1.0)
    return HiC(PowerLaw(HIC["a"], 1.0, offset=HIC["n0"]), perturbation, times), GradientAscent(0.25)


def hierarchical_learners(variance: float) -> tuple[HierarchicalAscent, GradientAscent]:
    leader = HierarchicalAscent(PowerLaw(1.0, 1.0, offset=10.0), noise_variance=variance)
    return leader, GradientAscent(PowerLaw(1.0, 2 / 3, offset=10.0), noise_variance=variance)


def scan_hic(f1: Callable, f2: Callable, d1: int | None, x0: Any, y0: Any, sd: float, scale: float, box: Any) -> Callable:
    """Hi-C against a gradient follower, by hand; `x0`, `y0` shared starts, `box` (low, high) or None."""
    grad_y = jax.grad(f2, 1)
    shape = () if d1 is None else (d1,)
    delta = lambda n: HIC["d0"] * scale / (n + 1.0) ** (1 / 6)  # noqa: E731
    length = lambda n: jnp.maximum(  # noqa: E731
        2,
        jnp.ceil(
            2 * (jnp.log(delta(n)) - jnp.log(HIC["bound"] * scale) - jnp.log(n + 1.0)) / jnp.log1p(-HIC["rate"])
        ),
    ).astype(jnp.int32)

    def inside(x: Any, d: Any) -> Any:
        return x if box is None else jnp.clip(x, box[0] + d, box[1] - d)

    @jax.jit
    def run(key: Any, ids: Any) -> Any:
        words = stream_words(key, 3)
        signs = lambda key: jax.random.rademacher(key, shape, jnp.float32)  # noqa: E731
        n = jnp.int32(0)
        s = jax.vmap(lambda r: signs(jax.random.fold_in(round_key(words[1], BEFORE, r), 1)))(ids)
        x = jnp.broadcast_to(inside(x0, delta(n)), ids.shape + shape)
        y = jnp.broadcast_to(y0, ids.shape + jnp.shape(y0))

        def one_round(carry: Any, t: Any) -> Any:
            x, y, s, b, n, left = carry
            d, ended = delta(n), left == 1
            n_next = jnp.where(ended, n + 1, n)
            d_next = delta(n_next)
            gain = 1.5 / (n + HIC["n0"]) / d

            def one(x: Any, y: Any, s: Any, b: Any, r: Any) -> Any:
                noise = jax.random.normal(round_key(words[0], t, r), (2,), jnp.float32)
                new = signs(round_key(words[1], t, r))
                played = x + d * s
                paid = f1(played, y) + sd * noise[0]
                mean = jnp.where(n == 0, paid, b)
                moved = inside(x + gain * (paid - mean) * s, d_next)
                answer = y + 0.25 * grad_y(played, y)
                if box is not None:
                    answer = jnp.clip(answer, *box)
                return (
                    jnp.where(ended, moved, x),
                    answer,
                    jnp.where(ended, new, s),
                    jnp.where(ended, 0.9 * mean + 0.1 * paid, b),
                ), jnp.stack([f1(played, y), f2(played, y)])

            (x, y, s, b), paid = jax.vmap(one)(x, y, s, b, ids)
            return (x, y, s, b, n_next, jnp.where(ended, length(n_next), left - 1)), paid

        return _blocks(one_round, (x, y, s, jnp.zeros(ids.shape), n, length(n)), ids)

    return run


def scan_hierarchical(f1: Callable, f2: Callable, x0: Any, y0: Any, variance: float, box: Any, solve: Callable) -> Callable:
    """The two-timescale hierarchical gradient, by hand; `solve(H, v)` is the scan's own choice."""
    sd = float(np.sqrt(variance))
    grad_y = jax.grad(f2, 1)

    def inside(x: Any) -> Any:
        return x if box is None else jnp.clip(x, *box)

    def direction(x: Any, y: Any) -> Any:
        gx, gy = jax.grad(f1, (0, 1))(x, y)
        hessian, mixed = jax.jacfwd(grad_y, 1)(x, y), jax.vjp(lambda x: grad_y(x, y), x)[1]
        return gx - mixed(solve(hessian, gy))[0]

    @jax.jit
    def run(key: Any, ids: Any) -> Any:
        words = stream_words(key, 3)
        x, y = (jnp.broadcast_to(z, ids.shape + jnp.shape(z)) for z in (x0, y0))

        def one_round(carry: Any, t: Any) -> Any:
            x, y = carry
            a, b = 1.0 / (t + 10.0), 1.0 / (t + 10.0) ** (2 / 3)

            def one(x: Any, y: Any, r: Any) -> Any:
                dx, dy = direction(x, y), grad_y(x, y)
                if variance:
                    dx += sd * jax.random.normal(round_key(words[1], t, r), jnp.shape(x), jnp.float32)
                    dy += sd * jax.random.normal(round_key(words[2], t, r), jnp.shape(y), jnp.float32)
                return (inside(x + a * dx), inside(y + b * dy)), jnp.stack([f1(x, y), f2(x, y)])

            return jax.vmap(one)(x, y, ids)

        return _blocks(one_round, (x, y), ids)

    return run


def _blocks(one_round: Callable, carry: Any, ids: Any) -> Any:
    """Strategies and mean payoffs after every `BLOCK` rounds."""

    def block(carry: Any, begin: Any) -> Any:
        def body(j: Any, c: Any) -> Any:
            carry, total = c
            carry, paid = one_round(carry, begin + j)
            return carry, total + paid

        carry, total = jax.lax.fori_loop(0, BLOCK, body, (carry, jnp.zeros((*ids.shape, 2))))
        return carry, (carry[0], carry[1], total / BLOCK)

    return jax.lax.scan(block, carry, jnp.arange(0, ROUNDS, BLOCK))[1]


def cases() -> dict[str, dict[str, Any]]:
    """For each case: `play`, the scans to beat, and how close their numbers must be."""
    key, ids = jax.random.key(0), jnp.arange(REPLICATES, dtype=jnp.uint32)
    record = Record.every(BLOCK)
    duopoly = CournotDuopoly()
    market = (
        lambda x, y: (100.0 - (x + y) - 5.0) * x,
        lambda x, y: (100.0 - (x + y) - 2.0) * y,
    )
    game = Quadratic.random(jax.random.key(1), (D1, D2))
    quadratic = tuple(
        lambda x, y, q=q, b=b: (lambda z: -0.5 * z @ q @ z + b @ z)(jnp.concatenate([x, y])) for q, b in zip(game.Q, game.b)
    )
    start = (jnp.full(D1, 2.0), jnp.full(D2, -1.0))

    def ours(game: Any, learners: Any, start: Any, **options: Any) -> Callable:
        def run() -> Any:
            trace = play(
                game, *learners, key=key, rounds=ROUNDS, replicates=REPLICATES, start=start, record=record, **options
            )
            return trace.strategies, trace.payoffs

        return run

    def theirs(scan: Callable) -> Callable:
        def run() -> Any:
            x, y, paid = scan(key, ids)
            return (jnp.swapaxes(x, 0, 1), jnp.swapaxes(y, 0, 1)), jnp.swapaxes(paid, 0, 1)

        return run

    lapack = jnp.linalg.solve
    divide = lambda h, v: v / h  # noqa: E731
    return {
        "hi-c, noisy duopoly": {
            "play": ours(Noisy(duopoly, 10.0), hic_learners(), (40.0, 30.0)),
            "scan": theirs(scan_hic(*market, None, 40.0, 30.0, 10.0**0.5, 1.0, (0.0, 100.0))),
        },
        "hierarchical, noisy duopoly": {
            "play": ours(Noisy(duopoly, 10.0), hierarchical_learners(10.0), (40.0, 30.0)),
            "scan": theirs(scan_hierarchical(*market, 40.0, 30.0, 10.0, (0.0, 100.0), divide)),
        },
        "hi-c, quadratic 3 x 4": {
            "play": ours(Noisy(game, 0.01), hic_learners(0.01), start),
            "scan": theirs(scan_hic(*quadratic, D1, *start, 0.1, 0.01, None)),
        },
        "hierarchical, quadratic 3 x 4": {
            "play": ours(Noisy(game, 0.01), hierarchical_learners(0.01), start),
            "scan": theirs(scan_hierarchical(*quadratic, *start, 0.01, None, lapack)),
        },
    }


if __name__ == "__main__":
    for name, case in cases().items():
        a, b = (jax.tree.map(np.asarray, case[k]()) for k in ("play", "scan"))
        worst = max(float(np.max(np.abs(u - v))) for u, v in zip(jax.tree.leaves(a[0]), jax.tree.leaves(b[0]), strict=True))
        med = max(float(np.median(np.abs(u - v))) for u, v in zip(jax.tree.leaves(a[0]), jax.tree.leaves(b[0]), strict=True))
        seconds = interleaved(case, 7)
        print(name, {k: round(spread(v)["median"], 4) for k, v in seconds.items()}, ratio(seconds, "play", "scan"), "max diff", worst, "median", med)
