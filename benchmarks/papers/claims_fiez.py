"""Fiez et al. (2019), convergence in Stackelberg games: every claim with its evidence. Costs are minimised there."""

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm

from benchmarks.papers.claims import (
    CORRECTED,
    FALSE,
    HOLDS,
    UNMEASURABLE,
    Claim,
    Finding,
    Script,
    exact,
    no_violation,
    share,
    slope,
)
from benchmarks.papers.claims_hi_c import (
    GAME,
    NASH,
    STACKELBERG,
    any_leaders,
    blocks,
    drawn,
    each,
    in_float64,
    nash_of_random_games,
    response_jacobian,
    tables,
)
from stackjax import Record, play
from stackjax.equilibria import certify, diagonal_concavity, find, roles
from stackjax.games import CournotDuopoly, CournotOligopoly, Quadratic, TorusLocation, from_payoffs
from stackjax.learners import LOLA, BestResponse, Fixed, GradientAscent, HierarchicalAscent
from stackjax.schedules import PowerLaw, check_timescales
from stackjax.spaces import Euclidean

SOURCE = "Fiez et al. (2019), convergence in Stackelberg games"
TORUS = TorusLocation()


class ZeroSum(NamedTuple):
    """A random quadratic cost `z' C z / 2` of the first player, minus that of the second, and what 0 is there."""

    cost: np.ndarray
    d1: int

    @classmethod
    def drawn(cls, number: int, seed: int) -> "list[ZeroSum]":
        """Half with a concave cost of the follower's variable, half with any."""
        rng, found = np.random.default_rng(seed), []
        for n in range(number):
            half = rng.normal(size=(4, 4))
            cost = half + half.T
            if n % 2:
                cost[2:, 2:] = -half[:2] @ half[:2].T - 0.2 * np.eye(2)
            found.append(cls(cost, 2))
        return found

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The blocks 11, 12, 21 and 22."""
        c, d = self.cost, self.d1
        return c[:d, :d], c[:d, d:], c[d:, :d], c[d:, d:]

    @property
    def schur(self) -> np.ndarray:
        """The cost's Hessian along the response."""
        a, b, c, d = self.parts
        return a - b @ np.linalg.solve(d, c)

    @property
    def simultaneous(self) -> np.ndarray:
        """J."""
        a, b, c, d = self.parts
        return np.block([[a, b], [-c, -d]])

    @property
    def hierarchical(self) -> np.ndarray:
        """J_S, by differentiating Df, without its structure being put in."""
        a, b, c, d = self.parts
        response = -np.linalg.solve(d, c)
        return np.block([[a + response.T @ c, b + response.T @ d], [-c, -d]])

    def lola(self, other: float) -> np.ndarray:
        """The Jacobian of the leader's update as printed in Sec. 2.2.2, with the step `other`, and gradient play.

        In zero-sum games D_12 f_2 is -D_12 f.
        """
        _, b, c, d = self.parts
        found = self.simultaneous
        found[: self.d1] += other * b @ np.hstack([c, d])
        return found

    nash = property(lambda self: positive(self.parts[0]) and positive(-self.parts[3]))
    stackelberg = property(lambda self: positive(-self.parts[3]) and positive(self.schur))


def positive(matrix: np.ndarray) -> bool:
    """Whether a symmetric matrix is positive definite."""
    return bool(np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0)


def stable(jacobian: np.ndarray) -> bool:
    """Whether 0 attracts z' = -J z."""
    return bool(np.linalg.eigvals(jacobian).real.min() > 0)


# Section 2


@in_float64
def followers_worst_answer(quick: bool) -> Finding:
    """Definition 4 word by word on the torus' critical points: points whose follower is at its worst fulfil it.

    With the follower's second-order condition exactly the equilibria do. Control: these two are Stackelberg.
    """
    found = find(TORUS, jax.random.key(0), 256)
    every = [
        certify(TORUS, *p.actions) if hasattr(p, "actions") else certify(TORUS, *p) for p in found.critical_hierarchical
    ]
    literal = [c for c in every if c.total_spectra[0].max() < 0]
    worst = [c for c in literal if c.own_spectra[1].min() > 0]
    right = [c for c in literal if c.own_spectra[1].max() < 0]
    ours = [exact("points that fulfil it", len(literal)), exact("with the follower at its worst", len(worst))]
    return Finding(ours, not worst, all(c.is_stackelberg for c in right), len(right) == 2)


def flows_follow_spectra(quick: bool) -> Finding:
    """expm(-J t) of random games vanishes just where all eigenvalues are to the right; control: J > 0 isn't needed."""
    games = ZeroSum.drawn(100 if quick else 1000, 1)
    apart = [g for g in games if abs(np.linalg.eigvals(g.simultaneous).real.min()) > 0.02]
    with np.errstate(all="ignore"):  # of flows that leave
        wrong = sum(stable(g.simultaneous) != (np.linalg.norm(expm(-2000 * g.simultaneous)) < 1) for g in apart)
    skewed = sum(stable(g.simultaneous) and not positive(g.simultaneous) for g in games)
    return Finding(
        [*no_violation("flows", len(apart), wrong), exact("stable, J not > 0", skewed)], not wrong, skewed > 0
    )


def timescales(quick: bool) -> Finding:
    """Equilibria of random general-sum games that are unstable at tau = 1 are stable as tau -> 0 (Eq. 2).

    Control: points whose leader is at a minimum along the response never are.
    """
    taus = np.geomspace(1, 1e-3, 13)
    critical, others, unstable = [], 0, 0
    games = tables(drawn(100 if quick else 1000, (2, 3), 9, concavity=0.2, coupling=3.0)) + any_leaders(100, 4)
    for g in games:
        a1, b1, c1, d1, _, _, c2, d2 = blocks(g)
        response = -np.linalg.solve(d2, c2)
        slow, fast = np.hstack([a1 + response.T @ c1, b1 + response.T @ d1]), np.hstack([c2, d2])
        spread = np.concatenate([np.eye(2), response])
        works = [stable(np.vstack([tau * slow, fast])) for tau in taus]
        if positive(d2) and positive(spread.T @ np.asarray(g.Q[0]) @ spread):
            unstable += not works[0]
            critical.append(next((t for t, w in zip(taus, works, strict=True) if w), 0.0))
            assert works[-1] or not works[0]
        elif positive(d2):
            others += works[-1]
    n = len(critical)
    ours = [
        exact("equilibria", n),
        exact("unstable at tau = 1", unstable),
        exact("unstable at .001", critical.count(0.0)),
    ]
    ours.append(exact("smallest tau that was needed", min(critical)))
    return Finding(ours, critical.count(0.0) == 0 and unstable > 0, others == 0)


def convex_concave(quick: bool) -> Finding:
    """Where the leader's cost is convex, too, Stackelberg points are Nash; control: where it isn't, some aren't."""
    games = [g for g in ZeroSum.drawn(1000 if quick else 10_000, 2) if g.stackelberg]
    convex = [g for g in games if positive(g.parts[0])]
    against = sum(not g.nash for g in convex)
    return Finding(
        no_violation("Stackelberg points", len(convex), against), not against, any(not g.nash for g in games)
    )


def attractors_that_are_not_nash(quick: bool) -> Finding:
    """Stable points of simultaneous play that are Stackelberg and not Nash; control: some are neither."""
    games = [g for g in ZeroSum.drawn(1000 if quick else 10_000, 3) if stable(g.simultaneous)]
    some = sum(g.stackelberg and not g.nash for g in games)
    neither = sum(not g.stackelberg for g in games)
    ours = [exact("stable points", len(games)), exact("Stackelberg, not Nash", some), exact("neither", neither)]
    return Finding(ours, some > 0, neither > 0)


def block_triangular(quick: bool) -> Finding:
    """D_2(Df_1) at critical points of zero-sum games vanishes; control: of general-sum games it doesn't."""
    largest = max(np.abs(g.hierarchical[:2, 2:]).max() for g in ZeroSum.drawn(100 if quick else 1000, 4))
    other = []
    for g in tables(drawn(20, (2, 3), 11)):
        _, b1, _, d1, _, _, c2, d2 = blocks(g)
        other.append(np.abs(b1 - np.linalg.solve(d2, c2).T @ d1).max())
    ours = [exact("largest entry, zero-sum", largest), exact("smallest of general-sum games", min(other))]
    return Finding(ours, largest < 1e-8, min(other) > 1e-3)


def lola_in_zero_sum_games(quick: bool) -> Finding:
    """Its critical points are those of simultaneous play, its Jacobian isn't, and non-Nash points attract.

    Control: in general-sum games its critical points are others.
    """
    games = ZeroSum.drawn(300 if quick else 3000, 5)
    differ = min(np.abs(g.lola(0.1) - g.simultaneous).max() for g in games)
    same = sum(np.linalg.matrix_rank(g.lola(0.1)) == 4 for g in games) == len(games)  # 0 is the only zero of both
    attract = sum(stable(g.lola(0.1)) and not g.nash for g in games)
    moves = []
    for game in each(drawn(20, (2, 3), 12)):
        moves.append(float(np.linalg.norm(LOLA(0.1, 0.1, lookahead=False).direction(game, 0, game.nash()))))
    ours = [
        exact("non-Nash attractors", attract),
        exact("of games", len(games)),
        exact("smallest move at Nash, general sum", min(moves)),
    ]
    return Finding(ours, same and differ > 0 and attract > 0, min(moves) > 1e-4)


@in_float64
def newton_steps_make_it_hierarchical(quick: bool) -> Finding:
    """The leader's update with (D_2^2 f_2)^-1 for a step is the hierarchical one; control: with a number not."""
    errors, others = [], []
    for game in each(drawn(10 if quick else 50, (2, 3), 13)):
        x, y = jnp.ones(2), jnp.ones(3)
        _, _, _, _, _, _, c2, d2 = blocks(game)
        z, b = np.ones(5), [np.asarray(v) for v in game.b]
        grad1 = b[0] - np.asarray(game.Q[0]) @ z
        update = [grad1[:2] - c2.T @ step @ grad1[2:] for step in (np.linalg.inv(d2), 0.1 * np.eye(3))]
        truth = np.asarray(HierarchicalAscent(0.1).direction(game, 0, (x, y)))
        errors.append(np.linalg.norm(update[0] - truth))
        others.append(np.linalg.norm(update[1] - truth))
    return Finding(
        [exact("largest difference", max(errors)), exact("with .1", max(others))],
        max(errors) < 1e-9,
        min(others) > 1e-3,
    )


def leading_pays(quick: bool) -> Finding:
    """The leader's payoff at Stackelberg minus at Nash, unique responses; control: the follower's has both signs."""
    batch = drawn(1000, (2, 3), 14)
    points = batch.stackelberg(), batch.nash()
    pay = [np.stack(jax.vmap(lambda g, z: jnp.stack(g.payoffs(*z)))(batch, z)) for z in points]
    gain = np.asarray(pay[0], np.float64) - np.asarray(pay[1], np.float64)
    scale = 1 + np.abs(pay[0])
    against = int((gain[:, 0] < -1e-4 * scale[:, 0]).sum())
    ours = [*no_violation("games", len(gain), against), share("the follower gains, too", gain[:, 1] > 0)]
    return Finding(ours, against == 0, 0.02 < float((gain[:, 1] > 0).mean()) < 0.98)


def who_would_lead(quick: bool) -> Finding:
    """One game each in which both would lead, both would follow, and both want the first to lead.

    Quantities; complements with spillovers; a second player that gains by what the first commits to. Control: the three
    kinds differ.
    """
    games = (
        (([[2, 1], [1, 0]], [[0, 1], [1, 2]]), ([95, 0], [0, 98])),  # (95 - x - y) x, (98 - x - y) y
        (([[2, -1], [-1, 0]], [[0, -1], [-1, 2]]), ([0, 1], [1, 0])),  # -x^2 + x y + y, -y^2 + x y + x
        (([[2, 0], [0, 2]], [[2, -2], [-2, 2]]), ([2, 4], [1, 0])),  # -(x - 1)^2 - (y - 2)^2, x - (y - x)^2
    )
    made = [Quadratic([np.array(q, float) for q in Q], [np.array(v, float) for v in b], (1, 1)) for Q, b in games]
    found = [roles(game, jax.random.key(0), 4, replies=0) for game in made]
    ours = [
        exact(f"{f.kind}: gain of player {i} by leading", f.payoffs[i, i] - f.payoffs[1 - i, i])
        for f in found
        for i in (0, 1)
    ]
    kinds = [f.kind for f in found]
    return Finding(ours, kinds == ["both would lead", "both would follow", "concurrent"], len(set(kinds)) == 3)


def rosens_condition(quick: bool) -> Finding:
    """Followers of an oligopoly are diagonally strictly concave, and simultaneous ascent leads to their Nash point.

    Control: with f_i = -z_i^2 + 5 z_1 z_2 the condition fails, and ascent leaves.
    """
    game = CournotOligopoly((5.0, 2.0, 4.0))
    against = from_payoffs(
        lambda x, y: -(x**2) + 5 * x * y, lambda x, y: -(y**2) + 5 * x * y, spaces=(Euclidean(()), Euclidean(()))
    )
    key = jax.random.key(0)
    least = diagonal_concavity(game, None, key), diagonal_concavity(against, None, key, players=(0, 1))
    ends = []
    for each_, leader, point in ((game, Fixed(20.0), None), (against, GradientAscent(0.05), (0.1, 0.1))):
        others = (GradientAscent(0.05),) * (len(each_.spaces) - 1)
        n = 1 if point else 100
        trace = play(each_, leader, *others, key=key, rounds=1000, replicates=n, start=point, record=Record.final())
        ends.append(np.stack([np.asarray(s)[:, -1] for s in trace.strategies]))
    spread = float(np.ptp(ends[0], axis=1).max())
    ours = [
        exact("least eigenvalue, oligopoly", least[0]),
        exact("spread of 100 ends", spread),
        exact("control", least[1]),
    ]
    return Finding(ours, least[0] > 0 and spread < 1e-2, least[1] < 0 and not np.all(np.abs(ends[1]) < 1e3))


# Section 3: assumptions, definitions


def bounded_directions(quick: bool) -> Finding:
    """The total derivative over ever finer grids of the torus, and over ever larger squares of the duopoly, grows.

    Control: the partial gradient on the torus doesn't.
    """

    def steepest(n: int) -> tuple[float, float]:
        t, s = np.meshgrid(*(2 * np.pi * (np.arange(n) + 0.5) / n,) * 2)
        mixed = np.cos(t - s)
        curvature = -1.3 * np.cos(s - np.pi / 8) + mixed
        partial = -np.sin(t - np.pi / 8) + np.sin(t - s)
        return float(np.abs(partial + np.sin(t - s) * mixed / curvature).max()), float(np.abs(partial).max())

    found = [steepest(n) for n in (100, 1000, 3000)]
    ours = [exact(f"torus, largest of {n}^2", f[0]) for n, f in zip((100, 1000, 3000), found, strict=True)]
    duopoly = [abs(95 - 1.5 * s - s) for s in (100, 1000, 10_000)]
    ours.append(exact("duopoly at (1e4, 1e4)", duopoly[-1]))
    return Finding(ours, found[-1][0] < 2 * found[0][0], found[-1][1] < 1.01 * found[0][1] + 0.1, duopoly[-1] > 1e4)


def steps_of_the_examples(quick: bool) -> Finding:
    """The steps of Sec. 4.2 against A1b: 1/sqrt(k) isn't square-summable; control: those of Sec. 4.1 are fine."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torus, duopoly = (check_timescales(PowerLaw(1.0, 1.0), PowerLaw(1.0, e)) for e in (0.5, 2 / 3))
    sums = [float(np.sum(np.arange(1, n + 1.0) ** -1.0)) for n in (10**3, 10**6)]
    ours = [exact(f"sum of squares to {n}", s) for n, s in zip(("1e3", "1e6"), sums, strict=True)]
    return Finding(ours, not torus, not duopoly, sums[1] > 1.9 * sums[0])


def followers_rest_points(quick: bool) -> Finding:
    """Rest points of the torus' follower at 100 places of the leader: two each, so that none attracts from everywhere.

    Control: the duopoly's follower has one.
    """
    s = np.linspace(-np.pi, np.pi, 20_001)
    counts = []
    for t in np.linspace(-3, 3, 100):
        slope_ = -1.3 * np.sin(s - np.pi / 8) + np.sin(t - s)
        counts.append(int(np.sum(slope_[:-1] * slope_[1:] < 0)))
    q = np.linspace(-1000, 1000, 20_001)
    other = int(np.sum(np.diff(np.sign(98.37 - 40 - 2 * q)) != 0))
    return Finding(
        [exact("fewest", min(counts)), exact("most", max(counts))], max(counts) == 1, other == 1, min(counts) == 2
    )


def several_attractors(quick: bool) -> Finding:
    """Where the torus' leader who is answered best ends from 200 starts: two points; control: on the duopoly, one."""
    ends = []
    for game, step in ((TORUS, 0.05), (GAME, 0.1)):
        trace = play(
            game, HierarchicalAscent(step), BestResponse(), key=jax.random.key(0), rounds=2000, replicates=200,
            record=Record.final(payoffs=None),
        )  # fmt: skip
        ends.append(np.unique(np.round(np.asarray(trace.strategies[0])[:, -1], 1)))
    ours = [exact("attractors, torus", len(ends[0])), exact("duopoly", len(ends[1]))]
    return Finding(ours, len(ends[0]) == 1, len(ends[1]) == 1, len(ends[0]) == 2)


def chain_transitive(quick: bool) -> Finding:
    """{0} is invariant and trivially chain transitive for x' = x - x^3, though a minimum of the leader's payoff.

    Control: from anywhere else the flow leaves it, for +-1.
    """
    velocity = [z - z**3 for z in (0.0, 1.0)]
    x = 1e-3
    for _ in range(20_000):
        x += 1e-3 * (x - x**3)
    ours = [exact("velocity at the minimum 0", velocity[0]), exact("from .001 after time 20", x)]
    return Finding(ours, velocity[0] != 0, abs(x - 1) < 1e-3, True)


def gradient_fields(quick: bool) -> Finding:
    """J_S of random quadratic games is symmetric where D_2(Df_1) = D_12 f_2 is forced; control: elsewhere it isn't."""
    forced, free = [], []
    for g in tables(drawn(20 if quick else 200, (2, 3), 15)):
        a1, b1, _, d1, _, b2, c2, d2 = blocks(g)
        response = -np.linalg.solve(d2, c2)
        for found, b in ((forced, b2 - response.T @ d1), (free, b1)):
            jacobian = np.block([[a1 + response.T @ b.T, b + response.T @ d1], [c2, d2]])
            found.append(np.abs(jacobian - jacobian.T).max())
    ours = [exact("largest asymmetry", max(forced)), exact("smallest elsewhere", min(free))]
    return Finding(ours, max(forced) < 1e-5, min(free) > 1e-3)


def periodic_orbit(quick: bool) -> Finding:
    """Payoffs 3 x^2 - 2 x y - x^4 / 10 and 2 x y - y^2 / 2: from near their equilibrium 0 the dynamics end in an orbit.

    Its largest and smallest distances from 0 over the last thousand rounds. Control: with a leader ten times as slow it
    ends at 0.
    """
    spaces = (Euclidean(()), Euclidean(()))
    game = from_payoffs(lambda x, y: 3 * x**2 - 2 * x * y - x**4 / 10, lambda x, y: 2 * x * y - y**2 / 2, spaces=spaces)
    far = []
    for tau in (1.0, 0.1):
        trace = play(
            game, HierarchicalAscent(0.01 * tau), GradientAscent(0.01), key=jax.random.key(0), rounds=20_000,
            start=(0.1, 0.1),
            record=Record.every(10, payoffs=None),
        )  # fmt: skip
        far.append(np.hypot(*(np.asarray(s)[-200:] for s in trace.strategies)))
    ours = [
        exact("largest", far[0].max()),
        exact("smallest", far[0].min()),
        exact("slow leader: largest", far[1].max()),
    ]
    return Finding(ours, far[0].min() > 0.1 and far[0].max() < 100, far[1].max() < 1e-3)


def attractors_that_are_not_stackelberg(quick: bool) -> Finding:
    """Stable critical points of the hierarchical dynamics of random general-sum games that are no equilibria.

    Control: some equilibria are stable.
    """
    some, equilibria, n = 0, 0, 0
    for g in any_leaders(400 if quick else 1000, 6):
        a1, b1, c1, d1, _, _, c2, d2 = blocks(g)
        response = -np.linalg.solve(d2, c2)
        spread = np.concatenate([np.eye(2), response])
        if stable(np.block([[a1 + response.T @ c1, b1 + response.T @ d1], [c2, d2]])):
            n += 1
            is_it = positive(d2) and positive(spread.T @ np.asarray(g.Q[0]) @ spread)
            equilibria, some = equilibria + is_it, some + (not is_it)
    return Finding([exact("stable points", n), exact("no equilibria", some)], some > 0, equilibria > 0)


# Section 3: convergence


class _Run(NamedTuple):
    """Two-timescale ascent on the duopoly, noise of variance 10, steps 1/k and 1/k^(2/3), from near the equilibrium."""

    at: np.ndarray
    tracking: np.ndarray
    leader: np.ndarray
    left: dict[int, tuple[np.ndarray, np.ndarray]]
    flow: dict[int, np.ndarray]


@functools.lru_cache(maxsize=8)
def _run(rounds: int, replicates: int, offset: int = 1, fixed: bool = False, seed: int = 0) -> _Run:
    """`left`: the suprema of |y - r(x)| and |x - 46| from n0 on; `flow`: how far x gets from the flow in 100 rounds."""
    rng = np.random.default_rng(seed)
    x, y = STACKELBERG[0] + rng.uniform(-1, 1, replicates), STACKELBERG[1] + rng.uniform(-1, 1, replicates)
    powers = [10**p for p in range(2, int(math.log10(rounds)) + 1)]
    begins = [p for p in powers if p < rounds]
    at, tracking, leader = [], [], []
    left = {n: (np.zeros(replicates), np.zeros(replicates)) for n in (0, *begins)}
    flow: dict[int, np.ndarray] = {}
    following: list[tuple[int, np.ndarray, float]] = []
    for k in range(rounds):
        fast, slow = (0.1, 0.01) if fixed else ((k + offset) ** (-2 / 3), 1 / (k + offset))
        w1, w2 = math.sqrt(10) * rng.normal(size=(2, replicates))
        x, y = x + slow * (95 - 1.5 * x - y + w1), y + fast * (98 - x - 2 * y + w2)
        error, away, n = np.abs(y - (98 - x) / 2), np.abs(x - STACKELBERG[0]), k + 1
        for begin, sups in left.items():
            if n >= begin:
                np.maximum(sups[0], error, out=sups[0])
                np.maximum(sups[1], away, out=sups[1])
        following = [(begin, start, time + slow) for begin, start, time in following if n <= begin + 100]
        for begin, start, time in following:
            apart = np.abs(x - (STACKELBERG[0] + (start - STACKELBERG[0]) * math.exp(-time)))
            flow[begin] = np.maximum(flow[begin], apart)
        if n in powers:
            at.append(n)
            tracking.append(error)
            leader.append(away)
            following.append((n, x, 0.0))
            flow[n] = np.zeros(replicates)
    return _Run(np.array(at), np.array(tracking), np.array(leader), left, flow)


def _standard(quick: bool) -> _Run:
    return _run(10_000 if quick else 100_000, 500 if quick else 2000)


def _fixed(quick: bool) -> _Run:
    return _run(10_000 if quick else 100_000, 500 if quick else 2000, fixed=True)


def local_leader(quick: bool) -> Finding:
    """Leaders on the torus, answered best, started within .3 of an equilibrium, noise .01: all end within .05 of it.

    Control: from the other side of the circle none does.
    """
    there = float(TORUS.stackelberg()[0])
    n, ends = (100 if quick else 400), []
    for begin in (there, there + np.pi):
        start = begin + np.random.default_rng(0).uniform(-0.3, 0.3, n)
        leader = HierarchicalAscent(PowerLaw(1.0, 1.0, 5.0), noise_variance=0.01)
        trace = play(
            TORUS, leader, BestResponse(), key=jax.random.key(0), rounds=10_000, replicates=n,
            start=(jnp.asarray(start, jnp.float32), None), record=Record.final(payoffs=None),
        )  # fmt: skip
        ends.append(np.abs(np.asarray(trace.strategies[0])[:, -1] - there) < 0.05)
    return Finding(
        [share("end there", ends[0]), share("from the other side", ends[1])], bool(ends[0].all()), not ends[1].all()
    )


def answered_leader(quick: bool) -> Finding:
    """A leader who is answered best, steps 1/k, noise of variance 10: its distance to 46 and the slope.

    Control: with fixed steps it stays away as far as it was.
    """
    n, horizons = (200 if quick else 1000), (1000, 10_000)
    leader = HierarchicalAscent(PowerLaw(1.0, 1.0), noise_variance=10.0)
    trace = play(
        GAME, leader, BestResponse(), key=jax.random.key(0), rounds=10_000, replicates=n,
        record=Record.every(1000, payoffs=None),
    )  # fmt: skip
    away = np.abs(np.asarray(trace.strategies[0], np.float64)[:, [0, -1]] - STACKELBERG[0])
    fixed = play(
        GAME, HierarchicalAscent(0.1, noise_variance=10.0), BestResponse(), key=jax.random.key(0), rounds=10_000,
        replicates=n, record=Record.every(1000, payoffs=None),
    )  # fmt: skip
    other = np.abs(np.asarray(fixed.strategies[0])[:, -1] - STACKELBERG[0])
    ours = [share("within .3 at 1e4", away[:, 1] < 0.3), slope("slope", horizons, away)]
    return Finding(
        ours, bool((away[:, 1] < 0.3).all()) and abs(ours[1].value + 0.5) < 0.1, float((other < 0.3).mean()) < 0.7
    )


def leaders_sign(quick: bool) -> Finding:
    """x_1' = Df_1 as printed, Df_1 = x_1 - 46 of the duopoly's cost, and with a minus; control: the first leaves."""
    ends = []
    for sign in (1, -1):
        x = 46.1
        for _ in range(1000):
            x += sign * 0.01 * (x - 46)
        ends.append(abs(x - 46))
    return Finding(
        [exact("distance as printed", ends[0]), exact("with a minus", ends[1])],
        ends[0] < 1e-3,
        ends[0] > 1,
        ends[1] < 1e-3,
    )


def tracks_the_flow(quick: bool) -> Finding:
    """The largest distance of x_1 from the flow over the next 100 rounds, from rounds 100, 1000, ... on: to 0.

    Control: with fixed steps it doesn't fall.
    """
    run, fixed = _standard(quick), _fixed(quick)
    at = sorted(run.flow)[:-1]
    values, other = (np.stack([r.flow[k] for k in at], 1) for r in (run, fixed))
    order = slope("slope in k", at, values)
    ours = [order, exact(f"mean from {at[-1]} on", values[:, -1].mean())]
    return Finding(ours, order.value < -0.6, abs(slope("", at, other).value) < 0.1)


def follower_tracks(quick: bool) -> Finding:
    """|x_2 - r(x_1)| with the follower's steps 1/k^(2/3): order -1/3, sqrt(gamma_2)'s. Control: fixed steps, 0."""
    run, fixed = _standard(quick), _fixed(quick)
    order, other = (slope("order", r.at[-2:], r.tracking[-2:].T) for r in (run, fixed))
    return Finding([order], abs(order.value + 1 / 3) < 0.07, abs(other.value) < 0.07)


def leader_settles(quick: bool) -> Finding:
    """|x_1 - x_1*|: order -1/2, that of sqrt(gamma_1). Control: fixed steps, 0."""
    run, fixed = _standard(quick), _fixed(quick)
    order, other = (slope("order", r.at[-2:], r.leader[-2:].T) for r in (run, fixed))
    return Finding([order], abs(order.value + 1 / 2) < 0.07, abs(other.value) < 0.07)


def leaders_distance(quick: bool) -> Finding:
    """The order of |x_1 - x_1*|, and what e^(+kappa_1 t) would allow after 1e4 steps 1/k; control: fixed steps."""
    found = leader_settles(quick)
    allowed = math.exp(float(np.sum(1 / np.arange(1, 10_001))))
    return Finding([*found.ours, exact("e^(+t) after 1e4 rounds", allowed)], allowed < 1, found.control, found.printed)


def _locked_in(quick: bool, player: int, eps: float) -> Finding:
    run, fixed = _standard(quick), _fixed(quick)
    begins = [n for n in run.left if n >= 100]
    inside = [share(f"stay within {eps:g} from n0 = {n} on", run.left[n][player] <= eps) for n in begins]
    values = [f.value for f in inside]
    other = share("fixed steps", fixed.left[begins[-1]][player] <= eps)
    rises = all(a <= b for a, b in itertools.pairwise(values)) and values[-1] > values[0]
    return Finding([*inside, other], rises and inside[-1].least > 0.9, other.most < 0.1)


def follower_locked_in(quick: bool) -> Finding:
    """The share of runs whose follower stays within eps of r(x_1) from n0 on: to 1; control: fixed steps, to 0."""
    return _locked_in(quick, 0, 0.9)


def leader_locked_in(quick: bool) -> Finding:
    """The same of the leader and x_1*."""
    return _locked_in(quick, 1, 0.5)


def locked_in_from_the_start(quick: bool) -> Finding:
    """Steps that are small from the first round on, 1/(k + N): the share of followers that stay within 1.2 of r(x_1).

    From T = 100 on, when the start is forgotten. Control: large first steps, N = 1.
    """
    rounds, n = 2000, 500
    runs = {offset: _run(rounds, n, offset) for offset in (1, 100, 1000)}
    inside = [share(f"N = {offset}", r.left[100][0] <= 1.0) for offset, r in runs.items()]
    return Finding(
        inside, inside[2].least > 0.98 and inside[2].value >= inside[1].value, inside[0].value < inside[2].value
    )


def transitions(quick: bool) -> Finding:
    """||exp(-H t)|| of followers' and leaders' Hessians against exp(-kappa t), kappa the smallest eigenvalue.

    With the sign +kappa_1, as it is printed for the leader, the bound grows without limit. Control: 1.1 kappa.
    """
    worst, more = [], []
    for g in tables(drawn(20 if quick else 200, (2, 3), 16)):
        spread = np.concatenate([np.eye(2), -np.linalg.solve(blocks(g)[7], blocks(g)[6])])
        for hessian in (blocks(g)[7], spread.T @ np.asarray(g.Q[0]) @ spread):
            kappa = np.linalg.eigvalsh(hessian).min()
            left = [np.linalg.norm(expm(-t * hessian), 2) for t in (0.1, 1.0, 10.0)]
            worst.append(max(x * np.exp(kappa * t) for x, t in zip(left, (0.1, 1.0, 10.0), strict=True)))
            more.append(left[2] * np.exp(11 * kappa))
    ours = [
        exact("largest norm over exp(-kappa t)", max(worst)),
        exact("exp(+kappa t) at kappa = 1, t = 10", math.exp(10)),
    ]
    return Finding(ours, math.exp(10) < 1, max(more) > 1, max(worst) <= 1 + 1e-4)


def positive_definite_jacobians(quick: bool) -> Finding:
    """Stable Stackelberg equilibria whose J_S isn't positive definite; control: all have spectra to the right."""
    not_definite, n, spectra = 0, 0, []
    for g in tables(drawn(100 if quick else 1000, (2, 3), 17, concavity=0.2, coupling=3.0)):
        a1, b1, c1, d1, _, _, c2, d2 = blocks(g)
        response = -np.linalg.solve(d2, c2)
        jacobian = np.block([[a1 + response.T @ c1, b1 + response.T @ d1], [c2, d2]])
        if stable(jacobian):
            n, not_definite = n + 1, not_definite + (not positive(jacobian))
            spectra.append(np.linalg.eigvals(jacobian).real.min())
    ours = [exact("stable equilibria", n), exact("J_S not positive definite", not_definite)]
    return Finding(ours, not_definite == 0, min(spectra) > 0, n > 0)


def lyapunov_sign(quick: bool) -> Finding:
    """V = (x - 46)^2 on the duopoly: <V', Df_1>, Df_1 that of the cost, is positive; control: along -Df_1 V falls."""
    x = np.linspace(0, 100, 11)
    x = x[x != 46]
    cost = -(95 - 2 * x - (98 - x) / 2 + x / 2)
    product = 2 * (x - 46) * cost
    return Finding(
        [exact("smallest", product.min())], product.max() < 0, bool((2 * (x - 46) * -cost < 0).all()), product.min() > 0
    )


def taylor_remainder(quick: bool) -> Finding:
    """|r(x + h) - r(x) - r'(x) h| / h^2 on the torus with alpha_2 = 1.05, against L_r and half of the largest |r''|.

    Control: a remainder of first order would grow as h falls.
    """
    game, x = TorusLocation((1.0, 1.05)), jnp.asarray(np.linspace(-np.pi, np.pi, 4001))
    with jax.enable_x64(True):
        x = jnp.asarray(np.linspace(-np.pi, np.pi, 4001))
        r = lambda t: game.best_response(1, (t, None))  # noqa: E731  (of one expression)
        first, second = jax.grad(r), jax.grad(jax.grad(r))
        lipschitz, curvature = (float(jnp.abs(jax.vmap(f)(x)).max()) for f in (first, second))
        ratios = []
        for h in (1e-2, 1e-3):
            step = jax.vmap(r)(x + h) - jax.vmap(r)(x)
            step = (step + np.pi) % (2 * np.pi) - np.pi
            ratios.append(float(jnp.abs(step - jax.vmap(first)(x) * h).max()) / h**2)
    ours = [exact("largest ratio", max(ratios)), exact("L_r", lipschitz), exact("half of |r''|", curvature / 2)]
    return Finding(ours, max(ratios) <= lipschitz, ratios[1] < 5 * ratios[0], max(ratios) <= 1.01 * curvature / 2)


def alekseev(quick: bool) -> Finding:
    """u' = -u^3 with the perturbation sin(t) / 3, both sides of the formula at t = 3; control: Phi along u, not p."""
    n, end = 30_000, 3.0
    t = np.linspace(0, end, n + 1)
    h, p = t[1], np.empty(n + 1)
    p[0] = 1.0
    field = lambda time, v: -(v**3) + np.sin(time) / 3  # noqa: E731  (of one expression)
    for i in range(n):
        k1 = field(t[i], p[i])
        k2 = field(t[i] + h / 2, p[i] + h / 2 * k1)
        k3 = field(t[i] + h / 2, p[i] + h / 2 * k2)
        p[i + 1] = p[i] + h / 6 * (k1 + 2 * k2 + 2 * k3 + field(t[i] + h, p[i] + h * k3))
    start = 1 / math.sqrt(1 + 2 * end)
    along = [np.trapezoid((1 + 2 * v**2 * (end - t)) ** -1.5 * np.sin(t) / 3, t) for v in (p, 1 / np.sqrt(1 + 2 * t))]
    error, other = (abs(start + a - p[-1]) for a in along)
    return Finding([exact("difference", error)], error < 1e-6, other > 1e-3)


def zero_sum_attractors(quick: bool) -> Finding:
    """Two-timescale ascent on random zero-sum quadratics: where it settles is Stackelberg, elsewhere it leaves.

    As printed it rests on Prop. 2, whose counter-example is stable in simultaneous play. Control: some runs leave.
    """
    games = ZeroSum.drawn(100 if quick else 400, 6)
    cost = np.stack([g.cost for g in games])
    batch = Quadratic.random(jax.random.key(0), (2, 2), batch=len(games))
    import equinox as eqx

    Q = (jnp.asarray(cost, jnp.float32), jnp.asarray(-cost, jnp.float32))
    batch = eqx.tree_at(lambda g: (g.Q, g.b), batch, (Q, tuple(jnp.zeros_like(b) for b in batch.b)))
    start = tuple(0.1 * jnp.ones((len(games), 2)) for _ in range(2))
    trace = play(
        batch, HierarchicalAscent(0.002), GradientAscent(0.05), key=jax.random.key(0), rounds=20_000,
        replicates=len(games),
        in_axes=(0, None, None), start=start, record=Record.final(payoffs=None),
    )  # fmt: skip
    far = np.sqrt(sum(np.square(np.asarray(s)[:, -1]).sum(-1) for s in trace.strategies))
    settled, is_it = (far < 0.05) & (np.asarray(trace.status) == 0), np.array([g.stackelberg for g in games])
    example = ZeroSum(np.array([[2.0, 2.0], [2.0, 1.0]]), 1)
    ours = [*no_violation("runs that settle", int(settled.sum()), int((settled & ~is_it).sum()))]
    ours.append(share("of the Stackelberg points attract", settled[is_it]))
    proposition = not stable(example.simultaneous) or example.stackelberg
    return Finding(ours, proposition, not settled.all(), not (settled & ~is_it).any() and bool(settled.any()))


# Section 4


@in_float64
def printed_profits(quick: bool) -> Finding:
    """Profits at the duopoly's equilibria against those that are printed; control: the printed quantities are right."""
    stackelberg, nash = (np.asarray(GAME.payoffs(*p)) for p in (STACKELBERG, NASH))
    printed = np.array([1048.2, 659.9, 944.4, 1114.7])
    found = np.concatenate([stackelberg, nash])
    names = ("Stackelberg, leader", "follower", "Nash, leader", "follower")
    ours = [exact(n, v) for n, v in zip(names, found, strict=True)]
    right = np.allclose(found, [1058, 676, 940 + 4 / 9, 1133 + 4 / 9], atol=0.01)
    quantities = np.allclose(NASH, [30.67, 33.67], atol=0.005) and np.allclose(STACKELBERG, [46, 26], atol=1e-4)
    return Finding(ours, bool(np.abs(found - printed).max() < 0.1), bool(quantities), bool(right))


@in_float64
def duopoly_formulas(quick: bool) -> Finding:
    """The printed formulas of both equilibria, prices and profits against the library on random duopolies, all inside.

    Control: the roles exchanged.
    """
    rng, worst, exchanged, gains = np.random.default_rng(0), 0.0, 0.0, []
    for _ in range(20 if quick else 200):
        c1, c2, A = rng.uniform(0, 20), rng.uniform(0, 20), 100.0
        game = CournotDuopoly(A, (c1, c2))
        (n1, n2), (s1, s2) = game.nash(), game.stackelberg()
        formulas = [(A + c2 - 2 * c1) / 3, (A + c1 - 2 * c2) / 3, (A + c2 - 2 * c1) / 2, (A + 2 * c1 - 3 * c2) / 4]
        profits = [(A - 2 * c1 + c2) ** 2 / 9, (A - 2 * c2 + c1) ** 2 / 9, (A - 2 * c1 + c2) ** 2 / 8]
        profits.append((A + 2 * c1 - 3 * c2) ** 2 / 16)
        ours = [float(v) for v in (n1, n2, s1, s2, *game.payoffs(n1, n2), *game.payoffs(s1, s2))]
        worst = max(worst, np.abs(np.array(ours) / np.array(formulas + profits) - 1).max())
        exchanged = max(exchanged, abs(float(s2) / formulas[2] - 1))
        gains.append(profits[2] - profits[0])
    figures = [exact("largest relative difference", worst), exact("smallest gain by leading", min(gains))]
    return Finding(figures, worst < 1e-6 and min(gains) > 0, exchanged > 0.1)


@in_float64
def leading_on_the_torus(quick: bool) -> Finding:
    """The leader's cost at every Stackelberg and every Nash equilibrium; control: the follower's is larger there."""
    pay = [
        np.array([TORUS.payoffs(*p) for p in points])
        for points in (TORUS.stackelberg_equilibria(), TORUS.nash_equilibria())
    ]
    names = ("Stackelberg", "Nash")
    ours = [exact(f"leader's cost, {n}", -p[:, 0].max()) for n, p in zip(names, pay, strict=True)]
    spread = max(np.ptp(p, axis=0).max() for p in pay)
    ours.append(exact("largest difference between equilibria of a kind", spread))
    return Finding(
        ours, pay[0][:, 0].min() > pay[1][:, 0].max() and spread < 1e-9, pay[0][:, 1].max() < pay[1][:, 1].min()
    )


TRANSCRIBED = "tests/learners/test_against_transcriptions.py::test_the_two_timescale_dynamics_are_those_of_fiez_et_al"
LAW = "tests/equilibria/test_theory.py::test_runs_on_the_duopoly_spread_by_the_law"
CHAIN = (
    "tests/games/test_quadratic_and_duopoly.py::test_a_chain_of_learners_finds_its_equilibrium",
    "tests/equilibria/test_certify.py::test_three_levels",
    "tests/test_solvers.py::test_chains",
)

CLAIMS = (
    Claim("Def. 1", "Nash equilibria, local ones included.", HOLDS, Script("torus", ("Nash equilibria",))),
    Claim(
        "Def. 2",
        "Stackelberg equilibria; ties of the follower count against the leader.",
        HOLDS,
        None,
        ("tests/equilibria/test_commitment.py::test_among_replies_that_are_worth_the_same_the_worst_counts",),
    ),
    Claim("Def. 3", "Differential Nash equilibria.", HOLDS, nash_of_random_games),
    Claim(
        "Def. 4",
        "Differential Stackelberg equilibria: total gradient 0, total Hessian definite.",
        CORRECTED,
        followers_worst_answer,
        ("tests/equilibria/test_certify.py::test_a_follower_at_its_minimum_is_in_no_equilibrium",),
        "the follower's second-order condition is missing: on the torus points qualify where it is at its worst",
    ),
    Claim("Eq. 1, 4, 6-7", "The hierarchical and the two-timescale updates.", HOLDS, None, (TRANSCRIBED,)),
    Claim(
        "Sec. 2.1",
        "Dr = -(D_2^2 f_2)^-1 D_21 f_2.",
        HOLDS,
        None,
        (
            "tests/games/test_quadratic_and_duopoly.py::test_the_direction_is_the_transcriptions_and_the_total_derivative",
        ),
    ),
    Claim(
        "Sec. 2.1, Df_1",
        "The same with D_12 f_2.",
        CORRECTED,
        response_jacobian,
        (),
        "D_21 f_2: transposed it is another matrix",
    ),
    Claim(
        "Eq. 2, 8",
        "As tau -> 0 equilibria attract: the follower seems to have settled.",
        HOLDS,
        timescales,
        ("tests/equilibria/test_certify.py::test_an_equilibrium_may_be_unstable_and_a_faster_follower_stabilises_it",),
    ),
    Claim(
        "Sec. 2.2",
        "A critical point attracts where the spectrum of the Jacobian lies to the right.",
        HOLDS,
        flows_follow_spectra,
    ),
    Claim(
        "Prop. 1",
        "In zero-sum games stable differential Nash equilibria are Stackelberg equilibria.",
        HOLDS,
        Script("stability", ("Proposition 1",)),
    ),
    Claim("Remark 1", "In convex-concave games both kinds coincide.", HOLDS, convex_concave),
    Claim(
        "after Prop. 1",
        "GANs learn better with a slower generator.",
        UNMEASURABLE,
        None,
        (),
        "an observation on image GANs that the paper reports of others",
    ),
    Claim(
        "Prop. 2",
        "Stable attractors of simultaneous play with D_1^2 f or -D_2^2 f definite are Stackelberg equilibria.",
        FALSE,
        Script("stability", ("Proposition 2",)),
        (
            "tests/equilibria/test_certify.py::"
            "test_a_stable_point_of_a_zero_sum_game_whose_leader_is_at_a_minimum_need_be_no_equilibrium",
        ),
        "f = x^2 + 2 x y + y^2 / 2 with D_1^2 f > 0; right with -D_2^2 f > 0",
    ),
    Claim(
        "after Prop. 2",
        "Some non-Nash attractors of simultaneous play are Stackelberg equilibria.",
        HOLDS,
        attractors_that_are_not_nash,
        ("tests/equilibria/test_certify.py::test_a_stackelberg_attractor_that_is_no_nash_equilibrium",),
    ),
    Claim("Eq. 3", "J_S is block-triangular at critical points of zero-sum games.", HOLDS, block_triangular),
    Claim(
        "Prop. 3",
        "In zero-sum games all stable attractors of the hierarchical dynamics are Stackelberg equilibria.",
        HOLDS,
        Script("stability", ("Proposition 3",)),
    ),
    Claim(
        "Sec. 2.2.2",
        "LOLA's attractors are neither Nash nor Stackelberg equilibria in general.",
        HOLDS,
        None,
        ("tests/learners/test_coupled_claims.py::test_only_lola_misses_the_equilibria_of_the_tandem_game",),
    ),
    Claim(
        "Sec. 2.2.2",
        "In zero-sum games its critical points are those of simultaneous play, its Jacobian isn't, and it may "
        "converge to non-Nash points.",
        HOLDS,
        lola_in_zero_sum_games,
    ),
    Claim(
        "Sec. 2.2.2",
        "With a Newton step of player 2 its update is the hierarchical one.",
        HOLDS,
        newton_steps_make_it_hierarchical,
    ),
    Claim(
        "Prop. 4",
        "With unique responses leading pays at least what Nash does.",
        HOLDS,
        leading_pays,
        ("tests/equilibria/test_commitment.py::test_commitment_pays_at_least_every_nash_equilibrium_of_random_games",),
    ),
    Claim(
        "Sec. 2.2.3",
        "Solutions may be concurrent or non-concurrent.",
        HOLDS,
        who_would_lead,
        ("tests/equilibria/test_theory.py::test_who_would_lead",),
    ),
    Claim(
        "A1a",
        "Sec. 4's examples have bounded total derivatives.",
        FALSE,
        bounded_directions,
        (),
        "on the torus it has poles, where the follower's curvature vanishes, and the duopoly's is unbounded",
    ),
    Claim(
        "A1b",
        "Sec. 4's steps are square-summable.",
        FALSE,
        steps_of_the_examples,
        ("tests/test_schedules.py::test_steps_that_are_not_on_two_timescales_are_warned_of",),
        "1/sqrt(k), those of the torus, aren't; the duopoly's are",
    ),
    Claim(
        "A1c",
        "The noise is a martingale difference sequence.",
        HOLDS,
        None,
        ("tests/test_noise.py::test_neighbours_are_independent", "tests/test_noise.py::test_normal_numbers_are_normal"),
    ),
    Claim(
        "Asm. 2",
        "The torus' follower has a globally stable answer.",
        FALSE,
        followers_rest_points,
        (),
        "on a circle there is always another rest point; almost all starts lead to the answer",
    ),
    Claim(
        "Asm. 3", "The torus' leader has a globally stable equilibrium.", FALSE, several_attractors, (), "it has two"
    ),
    Claim(
        "Def. 5",
        "Internally chain transitive sets.",
        UNMEASURABLE,
        None,
        (),
        "a notion of the proofs; what is concluded from it is in the row of Prop. 5's proof",
    ),
    Claim(
        "Prop. 5", "A leader who is answered best converges to a local Stackelberg solution.", HOLDS, answered_leader
    ),
    Claim(
        "Prop. 5, proof",
        "The only chain transitive sets are equilibria that attract.",
        FALSE,
        chain_transitive,
        (),
        "every rest point is one: the minimum 0 of x^2 / 2 - x^4 / 4. That noise leads away from it is another theorem",
    ),
    Claim("Cor. 1, Remark 3", "Locally: from near an equilibrium, to it.", HOLDS, local_leader),
    Claim("Remark 2", "The dynamics may have periodic orbits.", HOLDS, periodic_orbit),
    Claim(
        "Remark 2",
        "They are a gradient field if and only if D_2(Df_1) = D_12 f_2 (of quadratic games).",
        HOLDS,
        gradient_fields,
    ),
    Claim(
        "Remark 2",
        "In general-sum games points attract that are no Stackelberg equilibria.",
        HOLDS,
        attractors_that_are_not_stackelberg,
        ("tests/equilibria/test_certify.py::test_stable_at_rest_but_the_leader_is_at_its_minimum",),
    ),
    Claim("Prop. 6", "The leader tracks the flow of its total derivative.", HOLDS, tracks_the_flow),
    Claim(
        "Cor. 2",
        "Two timescales converge to stable attractors.",
        HOLDS,
        Script("duopoly", ("two-timescale, 1e4: at least 998",)),
        ("tests/test_torus_statistics.py::test_both_dynamics_reach_one_of_their_equilibria",),
    ),
    Claim(
        "Cor. 3",
        "In zero-sum games, to Stackelberg equilibria.",
        CORRECTED,
        zero_sum_attractors,
        (),
        "it follows from Prop. 3; Prop. 2, which it invokes, is false",
    ),
    Claim(
        "Remark 3",
        "A ball around a differential Nash equilibrium, and x_1' = Df_1.",
        CORRECTED,
        leaders_sign,
        (),
        "Stackelberg, and with a minus: otherwise the leader is repelled",
    ),
    Claim(
        "Sec. 3.2.2",
        "Stability means that J_S is positive definite.",
        FALSE,
        positive_definite_jacobians,
        (),
        "its spectrum lies to the right; of the stable equilibria many have an indefinite symmetric part",
    ),
    Claim(
        "Sec. 3.2.2",
        "A Lyapunov function with <grad V, Df_1> < 0.",
        CORRECTED,
        lyapunov_sign,
        (),
        "positive: costs fall along -Df_1",
    ),
    Claim(
        "Sec. 3.2.2, Eq. 12",
        "r's Taylor remainder is at most L_r |dx|^2.",
        CORRECTED,
        taylor_remainder,
        (),
        "half of r's smoothness constant, which Lipschitz continuity doesn't bound",
    ),
    Claim(
        "Sec. 3.2.2, App. B",
        "Transitions are bounded: M e^(-kappa_2 t) for the follower, M e^(+kappa_1 t) for the leader.",
        CORRECTED,
        transitions,
        (),
        "-kappa_1: with + the bound says nothing",
    ),
    Claim(
        "Lemma 1, 4",
        "The follower tracks r(x_1) with an error of the order of sqrt(gamma_2), and tau.",
        HOLDS,
        follower_tracks,
        (LAW,),
    ),
    Claim("Thm. 1", "It gets locked in to a neighbourhood, the surer the later one begins.", HOLDS, follower_locked_in),
    Claim(
        "Thm. 1, constants; Eq. 14-16",
        "C_1, ..., C_4.",
        UNMEASURABLE,
        None,
        (),
        "they are said to exist; any monotone decay fits some",
    ),
    Claim("Cor. 4", "From the first round on, if the steps are small enough.", HOLDS, locked_in_from_the_start),
    Claim(
        "Lemma 2, 5",
        "The leader's distance to x_1* is bounded by terms among which e^(+kappa_1 t).",
        CORRECTED,
        leaders_distance,
        (LAW,),
        "e^(-kappa_1 t); its distance is of the order of sqrt(gamma_1)",
    ),
    Claim(
        "Thm. 2",
        "The leader gets locked in to a neighbourhood of x_1*, the surer the later one begins.",
        HOLDS,
        leader_locked_in,
    ),
    Claim(
        "Thm. 2, Eq. 10",
        "The bound 1 + sum - sums.",
        UNMEASURABLE,
        None,
        (),
        "its constants are said to exist; read: the first sum is printed with +, and a union bound subtracts it",
    ),
    Claim(
        "App. A, Def. 6, Lemma 3",
        "Perturbed trajectories stay near the attractor.",
        UNMEASURABLE,
        None,
        (),
        "for some delta that is said to exist; cited",
    ),
    Claim("App. A, Thm. 3", "Alekseev's formula.", HOLDS, alekseev),
    Claim(
        "Sec. 4.1",
        "Quantities, prices and profits of both equilibria; leading always pays more.",
        HOLDS,
        duopoly_formulas,
        ("tests/games/test_quadratic_and_duopoly.py::test_duopoly_golden_values",),
    ),
    Claim(
        "Sec. 4.1, numbers",
        "Profits (944.4, 1114.7) and (1048.2, 659.9).",
        FALSE,
        printed_profits,
        (),
        "the printed formulas give others for the printed quantities, which are right",
    ),
    Claim(
        "Fig. 1",
        "Learning paths end at Nash, and at Stackelberg.",
        HOLDS,
        Script("duopoly", ("simultaneous, 1e4", "two-timescale, 1e4", "simultaneous, 10000", "two-timescale, 10000")),
    ),
    Claim(
        "Sec. 4.2", "The Nash equilibria and their costs.", HOLDS, Script("torus", ("Nash equilibria", "costs at Nash"))
    ),
    Claim(
        "Sec. 4.2",
        "The Stackelberg equilibria and their costs.",
        HOLDS,
        Script("torus", ("Stackelberg equilibria", "costs at Stackelberg")),
    ),
    Claim("Sec. 4.2", "All are stable.", HOLDS, Script("torus", ("all four",))),
    Claim(
        "Sec. 4.2",
        "Leading has the smaller cost at any equilibrium; equilibria of a kind cost the same.",
        HOLDS,
        leading_on_the_torus,
    ),
    Claim(
        "Fig. 2",
        "Both dynamics converge to an equilibrium.",
        CORRECTED,
        Script("torus", ("seed 0: simultaneous", "seed 0: two-timescale")),
        (),
        "almost: one or two in a hundred two-timescale runs are thrown off by a pole and aren't back yet",
    ),
    Claim(
        "App. C.1, Prop. 7, Asm. 4-5",
        "A chain of three levels: the lower ones track their answers.",
        CORRECTED,
        None,
        CHAIN,
        "player 3 is the follower; Dr_2 is made of total derivatives",
    ),
    Claim(
        "App. C.2, Asm. 6",
        "Followers who play Nash: the same results.",
        CORRECTED,
        None,
        (
            "tests/equilibria/test_certify.py::test_two_followers_who_play_nash",
            "tests/games/test_quadratic_and_duopoly.py::test_three_levels_and_two_followers_golden_values",
        ),
        "with the joint Jacobian of their conditions: one by one the leader's gradient doesn't vanish",
    ),
    Claim(
        "App. C.2, end",
        "Diagonally strictly convex followers have one Nash equilibrium, and it attracts.",
        HOLDS,
        rosens_condition,
        ("tests/equilibria/test_theory.py::test_rosens_condition",),
    ),
)
