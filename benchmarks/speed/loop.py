"""`play` against hand-written scans of the same updates, with the same draws and the same records.

The scans are what an expert writes for one fixed experiment: the update spelled out, schedules read from a scalar
counter, one `vmap`, nothing checked, counted or frozen. Each is first shown to give the same numbers as `play`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.harness import compiled, interleaved, ratio, spread
from stackjax import Record, play
from stackjax._core.noise import BEFORE, round_key, stream_words
from stackjax.games import CournotDuopoly, Noisy, Quadratic
from stackjax.learners import GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import PowerLaw, commitment_times

REPLICATES, BLOCK = 1000, 100
ROUNDS = 10_000
D1, D2 = 3, 4


class HiCSettings(NamedTuple):
    """alpha_n = 1.5 / (n + n0), delta_n = d0 / (n + 1)^(1/6), Eq. 28 with this rate and bound, follower step 1/4."""

    n0: float
    d0: float
    rate: float
    bound: float
    payoff_variance: float

    def learners(self) -> tuple[HiC, GradientAscent]:
        """The leader and its follower."""
        perturbation = PowerLaw(self.d0, 1 / 6)
        times = commitment_times(perturbation, self.rate, self.bound, 1.0)
        return HiC(PowerLaw(1.5, 1.0, offset=self.n0), perturbation, times), GradientAscent(0.25)


DUOPOLY_HIC = HiCSettings(n0=10.0, d0=10.0, rate=0.5, bound=100.0, payoff_variance=10.0)
QUADRATIC_HIC = HiCSettings(n0=100.0, d0=0.5, rate=0.25, bound=5.0, payoff_variance=1e-4)


def hierarchical_learners(variance: float) -> tuple[HierarchicalAscent, GradientAscent]:
    leader = HierarchicalAscent(PowerLaw(1.0, 1.0, offset=10.0), noise_variance=variance)
    return leader, GradientAscent(PowerLaw(1.0, 2 / 3, offset=10.0), noise_variance=variance)


def scan_hic(payoffs: Callable, settings: HiCSettings, x0: Any, y0: Any, box: Any, rounds: int = ROUNDS) -> Callable:
    """Hi-C against a gradient follower, by hand; `payoffs(game, x, y)`, `x0`, `y0` shared starts, `box` (low, high)."""
    n0, d0, rate, bound, variance = settings
    sd, shape = variance**0.5, jnp.shape(x0)

    def delta(n: Any) -> Any:
        return d0 / (n + 1.0) ** (1 / 6)

    def length(n: Any) -> Any:
        small = jnp.log(delta(n)) - jnp.log(bound) - jnp.log(n + 1.0)
        return jnp.maximum(2, jnp.ceil(2 * small / jnp.log1p(-rate))).astype(jnp.int32)

    def inside(x: Any, d: Any) -> Any:
        return x if box is None else jnp.clip(x, box[0] + d, box[1] - d)

    @jax.jit
    def run(key: Any, ids: Any, game: Any) -> Any:
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
            gain = 1.5 / (n + n0) / d

            def one(x: Any, y: Any, s: Any, b: Any, r: Any, game: Any) -> Any:
                noise = jax.random.normal(round_key(words[0], t, r), (2,), jnp.float32)
                new = signs(round_key(words[1], t, r))
                played = x + d * s
                exact = payoffs(game, played, y)
                paid = exact[0] + sd * noise[0]
                mean = jnp.where(n == 0, paid, b)
                moved = inside(x + gain * (paid - mean) * s, d_next)
                answer = y + 0.25 * jax.grad(lambda y: payoffs(game, played, y)[1])(y)
                if box is not None:
                    answer = jnp.clip(answer, *box)
                return (
                    jnp.where(ended, moved, x),
                    answer,
                    jnp.where(ended, new, s),
                    jnp.where(ended, 0.9 * mean + 0.1 * paid, b),
                ), jnp.stack(exact)

            (x, y, s, b), paid = jax.vmap(one, (0, 0, 0, 0, 0, _axis(game)))(x, y, s, b, ids, game)
            return (x, y, s, b, n_next, jnp.where(ended, length(n_next), left - 1)), paid

        return _blocks(one_round, (x, y, s, jnp.zeros(ids.shape), n, length(n)), ids, rounds)

    return run


def scan_hierarchical(
    payoffs: Callable, x0: Any, y0: Any, variance: float, box: Any, solve: Callable, rounds: int = ROUNDS
) -> Callable:
    """The two-timescale hierarchical gradient, by hand; `solve(H, v)` is the scan's own choice."""
    sd = variance**0.5

    def inside(x: Any) -> Any:
        return x if box is None else jnp.clip(x, *box)

    def directions(game: Any, x: Any, y: Any) -> Any:
        def grad_y(x: Any, y: Any) -> Any:
            return jax.grad(lambda y: payoffs(game, x, y)[1])(y)

        gx, gy = jax.grad(lambda x, y: payoffs(game, x, y)[0], (0, 1))(x, y)
        answer, mixed = jax.vjp(lambda x: grad_y(x, y), x)
        return gx - mixed(solve(jax.jacfwd(grad_y, 1)(x, y), gy))[0], answer

    @jax.jit
    def run(key: Any, ids: Any, game: Any) -> Any:
        words = stream_words(key, 3)
        x, y = (jnp.broadcast_to(z, ids.shape + jnp.shape(z)) for z in (x0, y0))

        def one_round(carry: Any, t: Any) -> Any:
            x, y = carry
            a, b = 1.0 / (t + 10.0), 1.0 / (t + 10.0) ** (2 / 3)

            def one(x: Any, y: Any, r: Any, game: Any) -> Any:
                dx, dy = directions(game, x, y)
                dx += sd * jax.random.normal(round_key(words[1], t, r), jnp.shape(x), jnp.float32)
                dy += sd * jax.random.normal(round_key(words[2], t, r), jnp.shape(y), jnp.float32)
                return (inside(x + a * dx), inside(y + b * dy)), jnp.stack(payoffs(game, x, y))

            return jax.vmap(one, (0, 0, 0, _axis(game)))(x, y, ids, game)

        return _blocks(one_round, (x, y), ids, rounds)

    return run


def _blocks(one_round: Callable, carry: Any, ids: Any, rounds: int) -> Any:
    """Strategies and mean payoffs after every `BLOCK` rounds."""

    def block(carry: Any, begin: Any) -> Any:
        def body(j: Any, c: Any) -> Any:
            carry, total = c
            carry, paid = one_round(carry, begin + j)
            return carry, total + paid

        carry, total = jax.lax.fori_loop(0, BLOCK, body, (carry, jnp.zeros((*ids.shape, 2))))
        return carry, (carry[0], carry[1], total / BLOCK)

    return jax.lax.scan(block, carry, jnp.arange(0, rounds, BLOCK))[1]


def _axis(game: Any) -> int | None:
    return 0 if jax.tree.leaves(game) and jax.tree.leaves(game)[0].ndim == 3 else None


def market(_: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """The duopoly, spelled out."""
    return (100.0 - (x + y) - 5.0) * x, (100.0 - (x + y) - 2.0) * y


def quadratic(game: Any, x: Any, y: Any) -> tuple[Any, ...]:
    """The quadratic game, entry by entry, as in the library; matrix products take several times longer in both."""
    z = [*x, *y]

    def payoff(q: Any, b: Any) -> Any:
        total = jnp.zeros((), q.dtype)
        for k, own in enumerate(z):
            slope = b[k] - 0.5 * q[k, k] * own
            for j, other in enumerate(z[:k]):
                slope = slope - 0.5 * (q[k, j] + q[j, k]) * other
            total = total + own * slope
        return total

    return tuple(payoff(q, b) for q, b in zip(*game, strict=True))


def runs(
    game: Any, learners: Any, start: Any, scan: Callable, raw: Any, rounds: int, **options: Any
) -> dict[str, Callable]:
    """`play` and the scan, as functions without arguments that return strategies and block means of payoffs."""
    key, ids = jax.random.key(0), jnp.arange(REPLICATES, dtype=jnp.uint32)

    def ours() -> Any:
        trace = play(
            game,
            *learners,
            key=key,
            rounds=rounds,
            replicates=REPLICATES,
            start=start,
            record=Record.every(BLOCK),
            **options,
        )
        return trace.strategies, trace.payoffs

    def theirs() -> Any:
        x, y, paid = scan(key, ids, raw)
        return (jnp.swapaxes(x, 0, 1), jnp.swapaxes(y, 0, 1)), jnp.swapaxes(paid, 0, 1)

    return {"play": ours, "scan": theirs}


def cases() -> dict[str, dict[str, Callable]]:
    """For each case `play` and the scan."""
    duopoly, market_start, box = CournotDuopoly(), (40.0, 30.0), (0.0, 100.0)
    one = Quadratic.random(jax.random.key(1), (D1, D2))
    hundred = Quadratic.random(jax.random.key(1), (D1, D2), batch=100)
    hundred = jax.tree.map(lambda leaf: jnp.repeat(leaf, REPLICATES // 100, axis=0), hundred)
    start = (jnp.zeros(D1), jnp.zeros(D2))
    many = CournotDuopoly(jnp.repeat(jnp.linspace(95.0, 105.0, 100), REPLICATES // 100))
    lapack = jnp.linalg.solve

    def divide(hessian: Any, v: Any) -> Any:
        return v / hessian  # the duopoly's 1 x 1 solve

    each = {"in_axes": (0, None, None)}

    found = {}
    for rounds, suffix in ((ROUNDS, ""), (10 * ROUNDS, f", {10 * ROUNDS} rounds")):
        noisy_market = Noisy(duopoly, DUOPOLY_HIC.payoff_variance)
        found["hi-c, noisy duopoly" + suffix] = runs(
            noisy_market,
            DUOPOLY_HIC.learners(),
            market_start,
            scan_hic(market, DUOPOLY_HIC, *market_start, box, rounds),
            (),
            rounds,
        )
        found["hierarchical, noisy duopoly" + suffix] = runs(
            noisy_market,
            hierarchical_learners(10.0),
            market_start,
            scan_hierarchical(market, *market_start, 10.0, box, divide, rounds),
            (),
            rounds,
        )
    for name, game, options in (("quadratic 3 x 4", one, {}), ("100 quadratics 3 x 4", hundred, each)):
        raw = (game.Q, game.b)
        found[f"hi-c, {name}"] = runs(
            Noisy(game, QUADRATIC_HIC.payoff_variance),
            QUADRATIC_HIC.learners(),
            start,
            scan_hic(quadratic, QUADRATIC_HIC, *start, None),
            raw,
            ROUNDS,
            **options,
        )
        found[f"hierarchical, {name}"] = runs(
            Noisy(game, QUADRATIC_HIC.payoff_variance),
            hierarchical_learners(0.01),
            start,
            scan_hierarchical(quadratic, *start, 0.01, None, lapack),
            raw,
            ROUNDS,
            **options,
        )
    for name, learners in (("hi-c", DUOPOLY_HIC.learners()), ("hierarchical", hierarchical_learners(10.0))):
        game = Noisy(many, DUOPOLY_HIC.payoff_variance)
        found[f"{name}, 100 duopolies"] = {
            "play": runs(game, learners, market_start, None, None, ROUNDS, **each)["play"]
        }
    return found


def agreement(case: dict[str, Callable]) -> float:
    """The median difference between the strategies of `play` and of the scan, relative to their spread."""
    ours, theirs = (jax.tree.leaves(case[name]()[0]) for name in ("play", "scan"))
    return max(float(np.median(np.abs(a - b)) / (np.std(b) + 1e-30)) for a, b in zip(ours, theirs, strict=True))


def main(repetitions: int = 9) -> dict[str, Any]:
    """Measure all cases."""
    found: dict[str, Any] = {}
    everything = cases()
    for name, case in everything.items():
        rounds = 10 * ROUNDS if name.endswith("rounds") else ROUNDS
        seconds = interleaved(case, repetitions)
        entry: dict[str, Any] = {
            f"{who}_million_rounds_per_second": spread([REPLICATES * rounds / 1e6 / s for s in values])
            for who, values in seconds.items()
        }
        if "scan" in case:
            entry["play_over_scan"] = ratio(seconds, "play", "scan")
            entry["median_relative_difference"] = agreement(case)
        found[name] = entry
    for games, single in (
        ("100 duopolies", "noisy duopoly"),
        ("100 quadratics 3 x 4", "quadratic 3 x 4"),
    ):
        for method in ("hi-c", "hierarchical"):
            pair = {"many": everything[f"{method}, {games}"]["play"], "one": everything[f"{method}, {single}"]["play"]}
            found[f"{method}, {games}"]["over_1000_replicates_of_one"] = ratio(
                interleaved(pair, repetitions), "many", "one"
            )
    found["compiled program, hi-c, noisy duopoly"] = compiled(
        runs(Noisy(CournotDuopoly(), 10.0), DUOPOLY_HIC.learners(), (40.0, 30.0), None, None, ROUNDS)["play"]
    )
    found["compiled program, hierarchical, quadratic 3 x 4"] = compiled(
        runs(
            Quadratic.random(jax.random.key(1), (D1, D2)),
            hierarchical_learners(0.01),
            (jnp.zeros(D1), jnp.zeros(D2)),
            None,
            None,
            ROUNDS,
        )["play"]
    )
    found["call overhead, seconds"] = spread(_overhead())
    return found


def _overhead() -> list[float]:
    """Seconds of a call that plays one round of one replicate: what `play` costs beside playing."""

    def short() -> Any:
        market, learners = Noisy(CournotDuopoly(), 10.0), hierarchical_learners(10.0)
        options = {"rounds": 1, "replicates": 1, "start": (40.0, 30.0), "record": Record.final()}
        return play(market, *learners, key=jax.random.key(0), **options).strategies

    return interleaved({"call": short}, 20)["call"]
