"""Loftin et al. (2024), the paper of Hi-C: every claim with its evidence. Payoffs are maximised."""

import functools
import itertools
import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.papers.claims import (
    CORRECTED,
    FALSE,
    HOLDS,
    UNMEASURABLE,
    Claim,
    Finding,
    Script,
    exact,
    median,
    no_violation,
    share,
    slope,
)
from stackjax import Record, play
from stackjax.equilibria import assumptions, certify, optimal_commitment, pure_commitment
from stackjax.games import CournotDuopoly, Noisy, Quadratic, TorusLocation, ZeroSumQuartic, from_payoffs
from stackjax.learners import LOLA, GradientAscent, HiC, HierarchicalAscent
from stackjax.protocols import Signal
from stackjax.schedules import PowerLaw, check_spsa, commitment_times
from stackjax.spaces import Euclidean

SOURCE = "Loftin et al. (2024), Hi-C"
GAME = CournotDuopoly()
NASH, STACKELBERG = (np.asarray(e, np.float64) for e in (GAME.nash(), GAME.stackelberg()))


def in_float64(measure: Any) -> Any:
    """The measurement in double precision."""

    @functools.wraps(measure)
    def wrapped(quick: bool) -> Finding:
        with jax.enable_x64(True):
            return measure(quick)

    return wrapped


def drawn(number: int, dims: tuple[int, int], key: int, **options: Any) -> Quadratic:
    """A batch of random games."""
    return Quadratic.random(jax.random.key(key), dims, batch=number, **options)


class Table(NamedTuple):
    """What a quadratic game is made of, in double precision: `Quadratic(*table)` is the game."""

    Q: list[np.ndarray]
    b: list[np.ndarray]
    dims: tuple[int, ...]


def tables(batch: Quadratic) -> list[Table]:
    """The games of a batch as arrays, which are faster to take apart."""
    Q, b = ([np.asarray(x, np.float64) for x in leaves] for leaves in (batch.Q, batch.b))
    return [Table([q[i] for q in Q], [v[i] for v in b], batch.dims) for i in range(len(Q[0]))]


def each(batch: Quadratic) -> list[Quadratic]:
    """The games of a batch."""
    return [Quadratic(*t) for t in tables(batch)]


def any_leaders(number: int, key: int) -> list[Table]:
    """Games of which half have a concave follower, with leaders of any curvature: some points are equilibria."""
    kinds = [tables(drawn(number // 2, (2, 3), key + 10 * n, concavity=c)) for n, c in enumerate((0.2, -1e6))]
    leaders = tables(drawn(number, (2, 3), key + 5, concavity=-1e6))
    return [Table([g.Q[0], f.Q[1]], f.b, f.dims) for g, f in zip(leaders, itertools.chain(*kinds), strict=True)]


def blocks(game: Table | Quadratic) -> tuple[np.ndarray, ...]:
    """-H of the leader's payoff in x, in xy, in yx and in y, then of the follower's."""
    d1 = game.dims[0]
    first, then = slice(0, d1), slice(d1, None)
    return tuple(np.asarray(q)[i, j] for q in game.Q for i, j in itertools.product((first, then), repeat=2))


# Section 3


@in_float64
def nash_of_random_games(quick: bool) -> Finding:
    """Verdicts on critical points of random games against eigenvalues of blocks; Stackelberg points as control."""
    games = [Quadratic(*t) for t in any_leaders(60 if quick else 300, 1)]
    found = [certify(g, *g.critical_points()[0], replies=0) for g in games]
    closed = [all(np.linalg.eigvalsh(m).min() > 0 for m in (blocks(g)[0], blocks(g)[7])) for g in games]
    wrong = sum(c.is_nash != truth for c, truth in zip(found, closed, strict=True))
    other = any(certify(g, *g.critical_points()[1], replies=0).is_nash for g in games)
    ours = [*no_violation("verdicts against the closed form", len(games), wrong), exact("equilibria", sum(closed))]
    return Finding(ours, wrong == 0 and 0 < sum(closed) < len(games), not other)


@in_float64
def stackelberg_of_random_games(quick: bool) -> Finding:
    """The same of Stackelberg equilibria, by the Hessian along the response; Nash points as control."""
    games = [Quadratic(*t) for t in any_leaders(60 if quick else 300, 2)]
    closed = []
    for g in games:
        spread = np.concatenate([np.eye(2), -np.linalg.solve(blocks(g)[7], blocks(g)[6])])
        hessians = (spread.T @ np.asarray(g.Q[0]) @ spread, blocks(g)[7])
        closed.append(all(np.linalg.eigvalsh(m).min() > 0 for m in hessians))
    found = [certify(g, *g.critical_points()[1], replies=0).is_stackelberg for g in games]
    wrong = sum(a != b for a, b in zip(found, closed, strict=True))
    other = any(certify(g, *g.critical_points()[0], replies=0).is_stackelberg for g in games)
    ours = [*no_violation("verdicts against the closed form", len(games), wrong), exact("equilibria", sum(closed))]
    return Finding(ours, wrong == 0 and 0 < sum(closed) < len(games), not other)


@in_float64
def deviations_do_not_pay(quick: bool) -> Finding:
    """No small unilateral deviation from Nash pays; control: from a Stackelberg point, the leader's does."""
    rng, games = np.random.default_rng(0), each(drawn(20 if quick else 100, (2, 3), 3))

    @jax.jit
    def gain(game: Quadratic, point: Any, moves: Any) -> Any:
        paid = game.payoffs(*point)
        first = jax.vmap(lambda m: game.payoffs(point[0] + m, point[1])[0])(moves[0])
        return jnp.maximum(
            jnp.max(first) - paid[0],
            jnp.max(jax.vmap(lambda m: game.payoffs(point[0], point[1] + m)[1])(moves[1])) - paid[1],
        )

    def best_gain(game: Quadratic, point: Any) -> float:
        return float(gain(game, point, tuple(0.1 * rng.normal(size=(20, d)) for d in game.dims)))

    nash = max(best_gain(g, g.nash()) for g in games)
    other = max(best_gain(g, g.stackelberg()) for g in games)
    return Finding([exact("largest gain at Nash", nash), exact("at Stackelberg", other)], nash <= 1e-12, other > 1e-3)


@in_float64
def no_nash_but_stackelberg(quick: bool) -> Finding:
    """A game with a Stackelberg and no Nash equilibrium; control: the duopoly's equilibrium is one of both kinds."""
    game = ZeroSumQuartic()
    at = certify(game, *game.stackelberg())
    control = certify(GAME, *GAME.nash())
    ours = [exact("quartic, origin: Stackelberg", at.is_stackelberg), exact("Nash", at.is_nash)]
    return Finding(ours, at.is_stackelberg and not at.is_nash, control.is_nash)


def compact_spaces(quick: bool) -> Finding:
    """`f1 = -x - y`, `f2 = -x y` on [0, 1]^2: the worst best response pays -1 at x = 0 and -x beyond: no maximum.

    Control: with ties for the leader x = 0 attains it.
    """
    x = np.concatenate([[0.0], np.geomspace(1e-12, 1, 200)])
    y = np.linspace(0, 1, 101)
    f1, f2 = -x[:, None] - y, -x[:, None] * y
    best = f2 >= f2.max(1, keepdims=True)
    worst = np.where(best, f1, np.inf).min(1)
    kind = np.where(best, f1, -np.inf).max(1)
    ours = [exact("value at x = 0", worst[0]), exact("best value on the grid, at its smallest x > 0", worst.max())]
    attained = worst[0] >= worst.max()
    return Finding(ours, bool(attained), bool(kind[0] == kind.max()), bool(worst.argmax() == 1))


def security_value(quick: bool) -> Finding:
    """Random zero-sum tables: committing pays max min, in pure and in mixed actions; control: a general-sum game."""
    rng, n = np.random.default_rng(1), 20 if quick else 200
    below = 0
    for u in rng.uniform(size=(n, 4, 3)):
        below += float(pure_commitment(u, -u).leader_value) < u.min(1).max() - 1e-9
        below += float(optimal_commitment(u, -u).leader_value) < u.min(1).max() - 1e-9
    u1, u2 = rng.uniform(size=(2, n, 4, 3))
    more = sum(
        abs(float(pure_commitment(a, b).leader_value) - a.min(1).max()) > 1e-9 for a, b in zip(u1, u2, strict=True)
    )
    ours = no_violation("below the security value", 2 * n, below)
    return Finding([*ours, exact("general-sum games where it differs", more)], below == 0, more > 0)


@in_float64
def leader_need_not_rest(quick: bool) -> Finding:
    """The leader's partial gradient at the duopoly's Stackelberg point; control: it vanishes at Nash."""
    there, nash = (float(jax.grad(lambda x, y: GAME.payoffs(x, y)[0])(*map(float, p))) for p in (STACKELBERG, NASH))
    return Finding([exact("gradient at Stackelberg", there), exact("at Nash", nash)], abs(there) > 1, abs(nash) < 1e-5)


def _direction(game: Quadratic, x: np.ndarray, y: np.ndarray, literal: bool = False, transposed: bool = False) -> Any:
    """The total derivative; `literal` with the follower's gradient, as Eq. 6 prints; `transposed` as Sec. 3.4 does."""
    z, (b1, b2), d1 = np.concatenate([x, y]), [np.asarray(b) for b in game.b], game.dims[0]
    grad1, grad2 = b1 - np.asarray(game.Q[0]) @ z, b2 - np.asarray(game.Q[1]) @ z
    mixed, own = blocks(game)[6], blocks(game)[7]
    slope_ = -np.linalg.solve(own, mixed.T if transposed else mixed)
    return grad1[:d1] + slope_.T @ (grad2 if literal else grad1)[d1:]


@in_float64
def hierarchical_gradient(quick: bool) -> Finding:
    """Eq. 6 against differences of f1(x, r(x)); as printed it is Nash's condition. Control: the library's is right."""
    errors, printed, ours = [], [], []
    for game in each(drawn(10 if quick else 50, (2, 3), 4)):
        x = np.asarray(game.nash()[0]) + 1.0

        def value(x: Any, game: Quadratic = game) -> Any:
            return game.payoffs(x, game.best_response(1, (x, None)))[0]

        y, step = np.asarray(game.best_response(1, (x, None))), 1e-5
        truth = np.array([(value(x + step * e) - value(x - step * e)) / (2 * step) for e in np.eye(2)])
        size = np.linalg.norm(truth)
        errors.append(np.linalg.norm(_direction(game, x, y) - truth) / size)
        printed.append(np.linalg.norm(_direction(game, x, y, literal=True) - truth) / size)
        own = HierarchicalAscent(0.1).direction(game, 0, (jnp.asarray(x), jnp.asarray(y)))
        ours.append(np.linalg.norm(np.asarray(own) - truth) / size)
    figures = [exact("relative error as printed", max(printed)), exact("with the leader's gradient", max(errors))]
    right = max(errors) < 1e-6
    return Finding(figures, max(printed) < 1e-6, max(ours) < 1e-6 and min(printed) > 1e-3, right)


def literal_update(quick: bool) -> Finding:
    """Eq. 6 as printed, iterated on the duopoly, ends at Nash; control: the corrected one doesn't."""
    ends = []
    for literal in (True, False):
        x, y = 20.0, 20.0
        for _ in range(20_000):
            slope_, grad = -0.5, (98 - x - 2 * y if literal else -x)
            x, y = x + 0.01 * (95 - 2 * x - y + slope_ * grad), y + 0.1 * (98 - x - 2 * y)
        ends.append(x)
    ours = [exact("x as printed", ends[0]), exact("corrected", ends[1])]
    near = [abs(end - STACKELBERG[0]) < 1e-3 for end in ends]
    return Finding(ours, near[0], abs(ends[0] - NASH[0]) < 1e-3, near[1])


@in_float64
def response_jacobian(quick: bool) -> Finding:
    """dr/dx with mixed derivatives as they are and transposed, d1 = d2 = 3; control: symmetric ones don't differ."""
    right, wrong, symmetric = [], [], []
    for game in each(drawn(10 if quick else 50, (3, 3), 5)):
        x = jnp.ones(3)
        truth = np.asarray(jax.jacfwd(lambda x, g=game: g.best_response(1, (x, None)))(x))
        mixed, own = blocks(game)[6], blocks(game)[7]
        sizes = [-np.linalg.solve(own, m) for m in (mixed, mixed.T)]
        right.append(np.linalg.norm(sizes[0] - truth) / np.linalg.norm(truth))
        wrong.append(np.linalg.norm(sizes[1] - truth) / np.linalg.norm(truth))
        both = (mixed + mixed.T) / 2
        symmetric.append(np.linalg.norm(both - both.T))
    figures = [exact("relative error as printed, median", np.median(wrong)), exact("as it is", max(right))]
    return Finding(figures, max(wrong) < 1e-6, max(symmetric) < 1e-12, max(right) < 1e-9)


def who_sees_what(quick: bool) -> Finding:
    """What the learners declare, which the loop enforces; control: gradient ascent asks for its gradient only."""
    hic, lola, hierarchical = HiC(0.1, 0.1, 2), LOLA(0.1, 0.1), HierarchicalAscent(0.1)
    coupled = [bool(Signal.GAME & learner.wants) for learner in (lola, hierarchical)]
    ours = [exact("Hi-C sees its payoff alone", hic.wants == Signal.PAYOFF)]
    ours.append(exact("coupled learners that see the whole game", sum(coupled)))
    return Finding(ours, hic.wants == Signal.PAYOFF and all(coupled), not Signal.GAME & GradientAscent(0.1).wants)


# Section 4


def spsa_is_nearly_unbiased(quick: bool) -> Finding:
    """The mean of Eq. 10's estimate over all signs, d = 3, against the gradient: bias of order delta^2.

    Control: of a function that isn't smooth the bias is of order 1.
    """
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    x, deltas = np.array([0.3, -0.2, 0.5]), np.geomspace(1e-3, 0.3, 8)

    def bias(g: Any, truth: np.ndarray) -> np.ndarray:
        found = [np.mean([g(x + d * s) / (d * s) for s in signs], axis=0) for d in deltas]
        return np.linalg.norm(np.array(found) - truth, axis=1)

    smooth = bias(lambda z: np.exp(z).sum() + np.prod(z), np.exp(x) + np.prod(x) / x)
    kink = bias(lambda z: np.abs(z - x).sum() + z @ np.arange(3), np.arange(3) + 1.0)
    order = slope("order of the bias in delta", deltas, smooth[None])
    ours = [exact(order.what, order.value), exact("bias at delta .001", smooth[0])]
    return Finding(ours, abs(order.value - 2) < 0.1, kink[0] > 0.5)


def constants_of_the_follower(quick: bool) -> Finding:
    """L_r, K_2 and mu of the duopoly, sampled; control: the torus' follower isn't concave, its response is steep."""
    duopoly, torus = (assumptions(game, None, jax.random.key(0)) for game in (GAME, TorusLocation()))
    ours = [
        exact("L_r", duopoly.response_lipschitz),
        exact("K_2", duopoly.follower_smoothness),
        exact("mu", duopoly.concavity),
    ]
    found = [f.value for f in ours]
    ours.append(exact("torus, mu at most", torus.concavity))
    return Finding(ours, bool(np.allclose(found, [0.5, 2, 2])), torus.concavity < 0 and torus.response_lipschitz > 100)


def bounded_by_projection(quick: bool) -> Finding:
    """Hi-C on the duopoly of boxes and without them, d0 = 1: with them all replicates stay; control: without, not."""
    free = from_payoffs(
        lambda x, y: (95 - x - y) * x, lambda x, y: (98 - x - y) * y, spaces=(Euclidean(()), Euclidean(()))
    )
    rng = np.random.default_rng(0)
    starts = tuple(jnp.asarray(rng.uniform(5, 95, 400), jnp.float32) for _ in range(2))
    ends = []
    for game in (GAME, free):
        trace = play(Noisy(game, 10.0), *_hi_c(1.0), key=jax.random.key(1), rounds=2000, replicates=400, start=starts)
        last = np.asarray(trace.strategies[0])[:, -1]
        ends.append((np.asarray(trace.status) == 0) & (np.abs(last - STACKELBERG[0]) < 100))
    return Finding([share("stay, boxes", ends[0]), share("without", ends[1])], bool(ends[0].all()), not ends[1].all())


def _hi_c(d0: float, rate: float = 0.25, **options: Any) -> tuple[HiC, GradientAscent]:
    perturbation = PowerLaw(d0, 1 / 6)
    times = commitment_times(perturbation, rate=2 * rate, bound=100.0, exponent=1.0)
    return HiC(PowerLaw(1.5, 1.0, offset=10.0), perturbation, times, **options), GradientAscent(rate)


def lipschitz_needs_bounds(quick: bool) -> Finding:
    """The duopoly's steepest gradient on [0, s]^2 for s = 10, 100, 1000 grows with s; control: K1 doesn't."""
    gradient = jax.grad(lambda z: GAME.payoffs(z[0], z[1])[0])
    corners = [jnp.asarray(c, jnp.float32) for c in itertools.product((0.0, 1.0), repeat=2)]
    steep = [max(float(jnp.linalg.norm(gradient(s * c))) for c in corners) for s in (10, 100, 1000)]
    ours = [exact(f"L1 on [0, {s}]^2", v) for s, v in zip((10, 100, 1000), steep, strict=True)]
    smooth = float(jnp.linalg.norm(jax.hessian(lambda z: GAME.payoffs(z[0], z[1])[0])(corners[0]), 2))
    return Finding(
        [*ours, exact("K1 everywhere", smooth)], steep[2] < 2 * steep[0], smooth < 3, steep[2] > 5 * steep[1]
    )


def schedules_of_assumption(quick: bool) -> Finding:
    """What check_spsa says of exponents 1 and 1/6 and, as control, of .6 and .1, a step that falls too slowly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fine, slow = (check_spsa(PowerLaw(1.0, a), PowerLaw(1.0, d)) for a, d in ((1.0, 1 / 6), (0.6, 0.1)))
    n = np.arange(1, 10**6)
    sums = [float(np.sum(n ** (2 * (d - a)))) for a, d in ((1.0, 1 / 6), (0.6, 0.1))]
    tails = [
        float(np.sum(n[10**5 :] ** (2 * (d - a)))) / s
        for s, (a, d) in zip(sums, ((1.0, 1 / 6), (0.6, 0.1)), strict=True)
    ]
    ours = [exact("tail of the sum of squares beyond 1e5, (1, 1/6)", tails[0]), exact("(.6, .1)", tails[1])]
    return Finding(ours, not fine and tails[0] < 0.01, bool(slow) and tails[1] > 0.05)


class _Tracked:
    """Hi-C on the duopoly, in NumPy, without noise: x, tracking errors and delta at every interval."""

    def __init__(self, intervals: int, short: bool = False, replicates: int = 200):
        rng = np.random.default_rng(3)
        x, y = rng.uniform(20, 80, (2, replicates))
        s0 = None
        rate, beta = 0.5, 0.25
        self.error, self.delta, self.bound, self.eta, self.furthest = [], [], [], [], 0.0
        for n in range(intervals):
            delta = 10.0 / (n + 1) ** (1 / 6)
            x = np.clip(x, delta, 100 - delta)
            sign = rng.choice((-1, 1), replicates)
            tilde = x + delta * sign
            k = 2 if short else max(2, math.ceil(2 * (math.log(delta / 100) - math.log(n + 1)) / math.log(1 - rate)))
            self.furthest = max(self.furthest, float(np.abs(y - (98 - tilde) / 2).max()))
            for _ in range(k - 1):
                y = np.clip(y + beta * (98 - tilde - 2 * y), 0, 100)
            response = (98 - tilde) / 2
            s, ideal = ((95 - tilde - q) * tilde for q in (y, response))
            self.error.append(np.abs(y - response))
            self.delta.append(delta)
            self.eta.append(np.abs(s - ideal) / delta)
            self.bound.append(100.0 * np.abs(y - response) / delta)  # L1 = sup |grad_y f1| = sup x = 100
            base = s if s0 is None else s0
            x = x + 1.5 / (n + 10) * (s - base) / (delta * sign)
            s0 = s if s0 is None else 0.9 * s0 + 0.1 * s
            y = np.clip(y + beta * (98 - tilde - 2 * y), 0, 100)
        self.x = x


def tracking_error(quick: bool) -> Finding:
    """eps_n / delta_n of Hi-C with Eq. 28 tends to 0, with p = 1 by 1 / (n + 1); control: with k = 2 it doesn't."""
    n = 300 if quick else 3000
    run, short = _Tracked(n), _Tracked(n, short=True)
    ratio, other = (np.array(r.error) / np.array(r.delta)[:, None] for r in (run, short))
    allowed = 1 / (np.arange(n) + 1)[:, None]
    ours = [
        exact("largest (n + 1) eps_n / delta_n", (ratio[1:] / allowed[1:]).max()),
        median("eps_n / delta_n at the end", ratio[-1]),
        median("with k = 2", other[-1]),
    ]
    return Finding(ours, bool((ratio <= allowed * (1 + 1e-9)).all()), float(np.median(other[-1])) > 0.1)


def bounded_answers(quick: bool) -> Finding:
    """r of an action of y's shape, as printed, in a game of 2 and 3 dimensions; the largest |y_t - r(x~_n)|.

    Control: a quarter of B = 100 would be too little.
    """
    game = drawn(1, (2, 3), 18)
    one = Quadratic([q[0] for q in game.Q], [b[0] for b in game.b], game.dims)
    try:
        one.best_response(1, (jnp.zeros(3), None))
        defined = True
    except (TypeError, ValueError):
        defined = False
    furthest = _Tracked(300).furthest
    ours = [exact("r(y~) is defined", defined), exact("largest |y_t - r(x~_n)|", furthest)]
    return Finding(ours, defined, furthest > 25, furthest <= 100)


def error_of_the_estimate(quick: bool) -> Finding:
    """|eta_n| against L1 eps_n / delta_n over a run; control: half of the bound is exceeded."""
    run = _Tracked(300 if quick else 3000)
    eta, bound = np.array(run.eta), np.array(run.bound)
    worst = float((eta / np.maximum(bound, 1e-300)).max())
    ours = [exact("largest |eta_n| / (L1 eps_n / delta_n)", worst)]
    return Finding(ours, worst <= 1 + 1e-9, worst > 0.3)


def hi_c_converges(quick: bool) -> Finding:
    """Distances of Hi-C's leader to the zero of the total gradient, noisy payoffs: medians and the slope.

    Control: with a commitment of 2 rounds for ever it stays away.
    """
    from benchmarks.papers.duopoly import VARIANCE, at, run

    replicates, horizons = (100 if quick else 400), (1000, 10_000, 100_000)
    game = Noisy(GAME, VARIANCE)

    def distance(learners: Any) -> np.ndarray:
        trace = run(learners, horizons[-1], replicates, game=game, several=True)
        return np.stack([np.abs(at(trace, r)[:, 0] - STACKELBERG[0]) for r in horizons], 1)

    found = distance(_hi_c(10.0))
    short = distance((HiC(PowerLaw(1.5, 1.0, offset=10.0), PowerLaw(10.0, 1 / 6), 2), GradientAscent(0.25)))
    ours = [median(f"|x - 46| after {r} rounds", found[:, i]) for i, r in enumerate(horizons)]
    ours += [slope("slope", horizons, found, np.median), median("k = 2", short[:, -1])]
    falls = ours[0].value > 5 * ours[1].value > 10 * ours[2].value
    return Finding(ours, falls, float(np.median(short[:, -1])) > 1)


@in_float64
def flat_maximum(quick: bool) -> Finding:
    """f1 = -x^4: 0 is isolated and asymptotically stable, and the Hessian there 0, so no DSS by Definition 3.3.

    Control: -x^2 has one.
    """

    def game(power: int) -> Any:
        spaces = (Euclidean(()), Euclidean(()))
        return from_payoffs(lambda x, y: -(x**power), lambda x, y: -((y - x) ** 2), spaces=spaces)

    flat, round_ = (certify(game(p), 0.0, 0.0, replies=0) for p in (4, 2))
    x = np.full(1, 1.0)
    for _ in range(100_000):
        x = x - 4 * 0.05 * x**3
    ours = [exact("x after 1e5 steps of 1/20 from 1", x[0]), exact("a DSS by its Hessian", flat.is_stackelberg)]
    return Finding(ours, flat.is_stackelberg, round_.is_stackelberg, abs(x[0]) < 0.01)


def contraction(quick: bool) -> Finding:
    """Gradient ascent on random strongly concave quadratics against (1 - beta mu)^(k/2), and the power k.

    Control: one power more, (1 - beta mu)^(2k), is exceeded.
    """
    rng = np.random.default_rng(4)
    worst = np.zeros(3)
    for _ in range(30 if quick else 300):
        values = rng.uniform(0.1, 2.0, 4)
        basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        hessian, mu = basis @ np.diag(values) @ basis.T, values.min()
        beta, start = rng.uniform(0.1, 1) / values.max(), rng.normal(size=4)
        start = np.where(rng.uniform() < 0.5, 1, 0) * start + basis[:, values.argmin()]
        for k in (1, 2, 5, 20):
            left = np.linalg.norm(np.linalg.matrix_power(np.eye(4) - beta * hessian, k) @ start) / np.linalg.norm(start)
            worst = np.maximum(worst, left / (1 - beta * mu) ** (k * np.array([0.5, 1, 2])))
    ours = [exact(f"largest error over (1 - beta mu)^({p} k)", w) for p, w in zip((0.5, 1, 2), worst, strict=True)]
    return Finding(ours, worst[0] <= 1 + 1e-9, worst[2] > 1.1, bool(worst[1] <= 1 + 1e-9))


def bound_of_eq_24(quick: bool) -> Finding:
    """|y - r| after an interval of k rounds, of which k - 1 updates are seen, over (1 - beta mu)^(k/2) B.

    With k = 1 nothing has moved, and the bound fails; with the sharp contraction and k - 1 it holds. Control: k.
    """
    rate, ks = np.array([0.1, 0.5, 0.9]), np.array([1, 2, 5])
    left = (1 - rate[:, None]) ** (ks - 1.0)
    printed, right, wrong = (left / (1 - rate[:, None]) ** p for p in (ks / 2, ks - 1, ks))
    ours = [
        exact("k = 1: error over the bound, beta mu .9", printed[2, 0]),
        exact("k >= 2: largest", printed[:, 1:].max()),
    ]
    return Finding(ours, printed.max() <= 1, wrong.max() > 1, bool(right.max() <= 1 and printed[:, 1:].max() <= 1))


def commitment_schedule(quick: bool) -> Finding:
    """Eq. 28 as printed at n = 0 and at beta mu = 1, and its guarded and its sharp form.

    Control: half of the sharp times leave more than is allowed.
    """
    with np.errstate(all="ignore"):
        printed = 2 * (np.log(10.0) - np.log(100.0) - np.log([0.0, 100.0])) / np.log(1 - np.array([0.5, 1.0]))
    delta, options = PowerLaw(10.0, 1 / 6), {"rate": 0.5, "bound": 100.0, "exponent": 1.0}
    long, sharp = commitment_times(delta, **options), commitment_times(delta, **options, sharp=True)
    ns = np.unique(np.geomspace(1, 10**6, 60).astype(int)) - 1
    k, s = (np.array([int(times(n)) for n in ns]) for times in (long, sharp))
    allowed = np.array([float(delta(n)) for n in ns]) / (ns + 1)
    left, half = (100 * 0.5 ** (np.maximum(1, j) - 1.0) / allowed for j in (s, s // 2))
    ours = [
        exact("as printed at n = 0", printed[0]),
        exact("as printed at beta mu = 1, n = 100", printed[1]),
        exact("rounds at n = 1e6", k[-1]),
        exact("sharp", s[-1]),
        exact("sharp: largest error over the allowed one", left.max()),
    ]
    guarded = bool(left.max() <= 1 + 1e-4 and (k >= 2).all())
    return Finding(ours, bool(np.isfinite(printed).all() and (printed > 0).all()), half.max() > 1, guarded)


def flat_followers(quick: bool) -> Finding:
    """Gradient ascent on -y^4 / 4 from 1: its error falls like k^(-1/2); control: on -y^2 / 2 like a power of 0.9."""
    ks = np.array([100, 1000, 10_000])
    flat, round_, errors = 1.0, 1.0, []
    for k in range(1, ks[-1] + 1):
        flat, round_ = flat - 0.1 * flat**3, round_ * 0.9
        if k in ks:
            errors.append((flat, round_))
    order = float(np.polyfit(np.log(ks), np.log([e[0] for e in errors]), 1)[0])
    ours = [exact("order in k of the error", order), exact("error after 1e4 steps", errors[-1][0])]
    return Finding(ours, abs(order + 0.5) < 0.02, errors[-1][1] < 1e-100)


# Sections 5 and 6


def naive_updates_are_unstable(quick: bool) -> Finding:
    """Simultaneous ascent on random concave games of strong coupling, from near Nash: where it doesn't return.

    Control: with weak coupling all return.
    """
    left = []
    for coupling in (3.0, 0.3):
        batch = drawn(100 if quick else 1000, (2, 3), 6, concavity=0.2, coupling=coupling)
        near = tuple(jnp.asarray(z) + 0.01 for z in batch.nash())
        start = tuple(np.asarray(z) for z in near)
        trace = play(
            batch, GradientAscent(0.02), GradientAscent(0.02), key=jax.random.key(0), rounds=5000,
            replicates=len(start[0]), in_axes=(0, None, None), start=near, record=Record.final(payoffs=None),
        )  # fmt: skip
        away = [np.asarray(s)[:, -1] - np.asarray(n) for s, n in zip(trace.strategies, batch.nash(), strict=True)]
        distance = np.sqrt(sum(np.square(a).sum(-1) for a in away))
        left.append(~(distance < 0.05) | (np.asarray(trace.status) != 0))
    ours = [share("leave Nash, coupling 3", left[0]), share("coupling .3", left[1])]
    return Finding(ours, ours[0].least > 0.02, not left[1].any())


def costs_of_a_round(quick: bool) -> Finding:
    """Oracle calls a round of both leaders in ten dimensions; control: Hi-C's readings aren't fewer than its rounds."""
    game = each(drawn(1, (10, 10), 7))[0]
    calls = []
    for leader in (HiC(0.01, 0.1, 5), HierarchicalAscent(0.01)):
        trace = play(game, leader, GradientAscent(0.05), key=jax.random.key(0), rounds=100, record=Record.final())
        calls.append({k: int(np.asarray(v)[-1]) / 100 for k, v in trace.calls[0]._asdict().items()})
    ours = [exact(f"Hi-C, {k}", v) for k, v in calls[0].items() if v]
    ours += [exact(f"hierarchical, {k}", v) for k, v in calls[1].items() if v]
    cheap = not any(calls[0][k] for k in ("gradients", "hessian_vector_products", "solves"))
    return Finding(ours, cheap and calls[1]["solves"] > 0, calls[0]["payoffs"] >= 0.2)


def dimension(quick: bool) -> Finding:
    """Rounds until the leader is within .1 of Stackelberg for good, random games without noise.

    Control: simultaneous ascent doesn't get there.
    """
    replicates, rounds, ours, ratio, stalls = (10, 40_000, [], [], []) if quick else (20, 100_000, [], [], [])
    for d in (1, 10) if quick else (1, 3, 10):
        batch = drawn(replicates, (d, d), 8, coupling=0.5)
        there = batch.stackelberg()
        n0 = {1: 10, 3: 10, 10: 100}[d]
        leaders = {
            "Hi-C": HiC(PowerLaw(1.5, 1.0, offset=float(n0)), PowerLaw(0.5, 1 / 6), 12, measurements=2),
            "hierarchical": HierarchicalAscent(0.1),
            "simultaneous": GradientAscent(0.1),
        }
        first = {}
        for name, leader in leaders.items():
            trace = play(
                batch, leader, GradientAscent(0.3), key=jax.random.key(1), rounds=rounds, replicates=replicates,
                in_axes=(0, None, None), record=Record.log_spaced(200, payoffs=None),
                start=tuple(jnp.zeros((replicates, d)) for _ in range(2)),
            )  # fmt: skip
            far = np.linalg.norm(np.asarray(trace.strategies[0]) - np.asarray(there[0])[:, None], axis=-1) > 0.1
            at = np.append(0, np.asarray(trace.rounds))
            last = far.shape[1] - np.argmax(far[:, ::-1], axis=1)
            last = np.where(far.any(1), last, 0)
            first[name] = np.where(last < far.shape[1], at[np.minimum(last + 1, far.shape[1])], np.inf)
        ours += [exact(f"d {d}: median rounds, {name}", np.median(first[name])) for name in ("hierarchical", "Hi-C")]
        ratio.append(float(np.median(first["Hi-C"]) / np.median(first["hierarchical"])))
        stalls.append(np.isinf(first["simultaneous"]).mean())
    return Finding(ours, ratio[0] > 3 and ratio[-1] > 3 * ratio[0], stalls[-1] > 0.5)


def noisy_follower(quick: bool) -> Finding:
    """Hi-C on the duopoly against stochastic gradient ascent with a fixed step and with steps 1/(2 k^(2/3)).

    The times are Eq. 28's for beta mu = .1 and .5. With the fixed step the leader gets there, its payoff being linear
    in what the noise moves; with decreasing steps logarithmic times are too short. Control: these stay at 10 or more.
    """
    ends = []
    for step, rate in ((PowerLaw(0.5, 2 / 3), 0.1), (0.25, 0.5)):
        perturbation = PowerLaw(10.0, 1 / 6)
        leader = HiC(PowerLaw(1.5, 1.0, offset=10.0), perturbation, commitment_times(perturbation, rate, 100.0, 1.0))
        trace = play(
            GAME, leader, GradientAscent(step, noise_variance=10.0), key=jax.random.key(3), rounds=100_000,
            replicates=100 if quick else 400, record=Record.final(payoffs=None),
        )  # fmt: skip
        ends.append(np.abs(np.asarray(trace.strategies[0])[:, -1] - STACKELBERG[0]))
    ours = [median("|x - 46| after 1e5 rounds, fixed step", ends[1]), median("decreasing steps", ends[0])]
    far = float(np.median(ends[0])) > 10
    return Finding(ours, not far, far, float(np.median(ends[1])) < 0.3)


CLAIMS = (
    Claim(
        "Def. 3.1",
        "A differential Nash equilibrium: own gradients vanish, own Hessians are negative definite.",
        HOLDS,
        nash_of_random_games,
        ("tests/equilibria/test_certify.py::test_random_games_agree_with_the_closed_form",),
    ),
    Claim("Sec. 3.1, after Def. 3.1", "There no small unilateral deviation pays.", HOLDS, deviations_do_not_pay),
    Claim(
        "Sec. 3.1, end",
        "Games without a Nash equilibrium may have a Stackelberg equilibrium.",
        HOLDS,
        no_nash_but_stackelberg,
        ("tests/games/test_torus_and_planar.py::test_zero_sum_golden_values",),
    ),
    Claim(
        "Def. 3.2",
        "A Stackelberg equilibrium; ties of the follower count against the leader.",
        HOLDS,
        None,
        (
            "tests/equilibria/test_benchmarks.py::test_the_equilibrium_is_the_weak_pure_commitment",
            "tests/equilibria/test_commitment.py::test_pure_commitments_by_enumeration",
        ),
    ),
    Claim(
        "Sec. 3.2",
        "On compact spaces a Stackelberg equilibrium always exists.",
        FALSE,
        compact_spaces,
        ("tests/equilibria/test_global_search.py::test_with_weak_ties_its_supremum_is_not_attained",),
        "not with Definition 3.2's ties: f1 = -x - y, f2 = -x y on [0, 1]^2 has the supremum 0, which no x attains",
    ),
    Claim(
        "Sec. 3.2, end",
        "In zero-sum games committing guarantees the leader its security value.",
        HOLDS,
        security_value,
        ("tests/equilibria/test_commitment.py::test_zero_sum_values",),
    ),
    Claim(
        "Def. 3.3",
        "A differential Stackelberg equilibrium: total gradient 0, total Hessian and follower's Hessian "
        "negative definite.",
        HOLDS,
        stackelberg_of_random_games,
        ("tests/equilibria/test_certify.py::test_random_games_agree_with_the_closed_form",),
    ),
    Claim("Sec. 3.3, end", "There the leader's own gradient needn't vanish.", HOLDS, leader_need_not_rest),
    Claim(
        "Sec. 3.4",
        "The Jacobian of the best response is -H_yy^-1 times the mixed derivatives.",
        CORRECTED,
        response_jacobian,
        (),
        "the mixed derivatives are printed transposed",
    ),
    Claim(
        "Eq. 5-7",
        "The hierarchical gradient.",
        CORRECTED,
        hierarchical_gradient,
        ("tests/test_solvers.py::test_it_is_the_derivative_along_the_response",),
        "the implicit term has the leader's gradient in y, not the follower's",
    ),
    Claim(
        "Eq. 6, iterated",
        "Its ascent leads to Stackelberg.",
        FALSE,
        literal_update,
        (),
        "the literal form leads to Nash on the duopoly: where the follower rests its implicit term vanishes",
    ),
    Claim(
        "Eq. 8-9",
        "Two timescales under noise lead to Stackelberg.",
        HOLDS,
        Script("duopoly", ("two-timescale, 1e4: at least 998", "two-timescale, 1e4: |mean")),
    ),
    Claim(
        "Sec. 3.5",
        "The hierarchical update and LOLA need the follower's payoff; Hi-C doesn't.",
        HOLDS,
        who_sees_what,
        ("tests/test_protocols.py::test_what_was_not_declared_is_refused_by_name",),
    ),
    Claim(
        "Algorithm 1",
        "Hi-C, as an algorithm.",
        HOLDS,
        None,
        ("tests/learners/test_against_transcriptions.py::test_hi_c_is_algorithm_1",),
    ),
    Claim(
        "Algorithm 1, in practice",
        "As printed it is a learner one can use.",
        CORRECTED,
        Script("duopoly", ("Hi-C, d0 10, 10000", "as printed, without the baseline, d0 10")),
        ("tests/test_duopoly_statistics.py::test_hi_c_needs_its_baseline",),
        "a single measurement without a baseline is a hundred times as far; a running mean of its own payoffs mends it",
    ),
    Claim(
        "Eq. 10",
        "A single measurement at a random sign vector estimates the gradient, to order delta^2.",
        HOLDS,
        spsa_is_nearly_unbiased,
    ),
    Claim(
        "Asm. 4.1",
        "A unique, Lipschitz and smooth best response: on the duopoly it is.",
        HOLDS,
        constants_of_the_follower,
    ),
    Claim("Asm. 4.2", "Bounded strategies can be enforced by projection.", HOLDS, bounded_by_projection),
    Claim(
        "Asm. 4.3",
        "f1 is Lipschitz and smooth.",
        CORRECTED,
        lipschitz_needs_bounds,
        (),
        "no quadratic is Lipschitz unless the spaces are bounded; smooth it is",
    ),
    Claim(
        "Asm. 4.4",
        "Steps and perturbations: exponents 1 and 1/6 satisfy it.",
        HOLDS,
        schedules_of_assumption,
        ("tests/test_schedules.py::test_violations_are_listed_and_warned_of",),
    ),
    Claim("Asm. 4.5", "The tracking error is o(delta_n) with the schedule of Eq. 28.", HOLDS, tracking_error),
    Claim("Eq. 16-19", "The error of the estimate is at most L1 eps_n / delta_n.", HOLDS, error_of_the_estimate),
    Claim("Thm. 4.6", "Hi-C converges to the zeros of the total gradient.", HOLDS, hi_c_converges),
    Claim(
        "Cor. 4.7",
        "If these are isolated and asymptotically stable, it converges to a DSS.",
        FALSE,
        flat_maximum,
        (),
        "f1 = -x^4: 0 is asymptotically stable, its Hessian 0, so that it is no DSS by Definition 3.3; it is a local "
        "maximum, which is what holds",
    ),
    Claim(
        "after Cor. 4.7",
        "Its premises hold where f1(x, r(x)) has a strict local minimum, whose Hessian must be negative definite.",
        FALSE,
        flat_maximum,
        (),
        "maximum, and only semi-definite: -x^4",
    ),
    Claim(
        "Asm. 4.8",
        "f2 is smooth and strongly concave: on the duopoly it is.",
        HOLDS,
        constants_of_the_follower,
        ("tests/equilibria/test_theory.py::test_constants_of_quadratic_games_are_their_matrices",),
    ),
    Claim("Prop. 4.9", "Gradient ascent contracts by (1 - beta mu)^(k/2).", HOLDS, contraction),
    Claim(
        "Asm. 4.10",
        "y_t and the best response r(y~_n) are bounded by B/2.",
        CORRECTED,
        bounded_answers,
        (),
        "r is a function of x~_n; what the proof uses is |y_t - r(x~_n)| <= B, here 100",
    ),
    Claim(
        "Eq. 24-27",
        "After an interval of k rounds the error is at most (1 - beta mu)^(k/2) B.",
        FALSE,
        bound_of_eq_24,
        (),
        "the last round shows k - 1 updates: at k = 1 the follower hasn't moved; right for k >= 2",
    ),
    Claim(
        "Cor. 4.11, Eq. 28",
        "The commitment times.",
        CORRECTED,
        commitment_schedule,
        ("tests/test_schedules.py::test_commitment_times_are_equation_28",),
        "n + 1 for n, at least 2; by the true contraction about twice as long as is needed",
    ),
    Claim(
        "Cor. 4.11",
        "With them, and gradient ascent as follower, Hi-C converges.",
        HOLDS,
        Script("duopoly", ("Hi-C, d0 5, 100000", "Hi-C, d0 10, 100000")),
    ),
    Claim(
        "after Cor. 4.11",
        "Where the follower's curvature vanishes it may converge arbitrarily slowly.",
        HOLDS,
        flat_followers,
    ),
    Claim(
        "Sec. 5",
        "Naive simultaneous learning may be unstable.",
        HOLDS,
        naive_updates_are_unstable,
        (
            "tests/equilibria/test_certify.py::test_nash_equilibrium_and_stability_of_simultaneous_ascent_are_different_things",
        ),
    ),
    Claim(
        "Sec. 5",
        "A step of Hi-C costs less than one of the hierarchical gradient.",
        HOLDS,
        costs_of_a_round,
        ("tests/test_solvers_play.py::test_calls_are_what_was_called",),
    ),
    Claim("Sec. 5, open question", "In high dimensions Hi-C may take much longer.", HOLDS, dimension),
    Claim(
        "Sec. 6, open question",
        "Is a fixed commitment time enough?",
        CORRECTED,
        Script(
            "duopoly", ("Hi-C, beta 0.05, k 5", "Hi-C, beta 0.05, k 20", "Hi-C, beta 0.1, k 3", "Hi-C, beta 0.25, k 2")
        ),
        ("tests/equilibria/test_short_commitments.py::test_hi_c_goes_there_in_several_dimensions",),
        "no: it converges, to a point between Nash and Stackelberg that a formula predicts",
    ),
    Claim(
        "Sec. 6, open question",
        "Convergence with stochastic gradient ascent as follower?",
        CORRECTED,
        noisy_follower,
        (),
        "with a fixed step, where f1 is linear in y; with decreasing steps the times of Eq. 28 are too short",
    ),
    Claim(
        "Sec. 6, open question",
        "Followers with several local optima.",
        UNMEASURABLE,
        None,
        (),
        "nothing is claimed: the paper leaves it to future work",
    ),
    Claim(
        "Sec. 1, Sec. 5",
        "Use in the interaction of humans and AI.",
        UNMEASURABLE,
        None,
        (),
        "no experiment is described, and none with people can be made here",
    ),
)
