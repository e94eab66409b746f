"""Pairs of bandits as one writes them for speed by hand: scalar Numba, replicates outside, rounds inside.

A function for each pair and size, with the numbers of arms compiled in. Every trick of the trade that leaves the
algorithms as they are:

- an index `mean + c sqrt(ln T / n)` changes for the arm that was played only, so indices are kept; 1 / n and
  `c sqrt(ln T / n)` come from tables;
- what the follower answers to an arm of the leader changes only where that arm is played, so answers are kept too, and
  the search for one goes on while the leader's next arm is chosen;
- the largest of a few indices is found by a tournament, whose comparisons wait for each other less than in turn;
- rounds of elimination only add to a sum: phases, slots and active arms are looked at when a slot ends.

Random numbers: xoroshiro128+ (seeded by SplitMix64 from the seed and the replicate), one word for a normal number by a
ziggurat of 256 layers (Marsaglia and Tsang, 2000; layers of the word's high bits, disjoint from those of the number).
Rewards are drawn in every round, also where no player uses them any more. Floats are of 64 bits. Compiled code may fuse
multiplications with additions and takes no number for NaN (`FAST`): decisions can differ at rounding errors only.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

FAST = {"contract", "nnan", "nsz"}
LAYERS, EDGE = 256, 3.6541528853610088  # the ziggurat's layers, and where its tail begins
u64 = np.uint64  # also the type of indices: Python's negative ones cost a comparison each


def _ziggurat() -> tuple[np.ndarray, ...]:
    """Of each layer: width over 2^53, the part that lies under the density, and its density's values."""

    def density(x: Any) -> Any:
        return np.exp(-0.5 * x * x)

    area = EDGE * density(EDGE) + math.sqrt(math.pi / 2) * math.erfc(EDGE / math.sqrt(2))
    x = np.zeros(LAYERS + 1)
    x[:2] = area / density(EDGE), EDGE
    for i in range(2, LAYERS):
        x[i] = math.sqrt(-2 * math.log(area / x[i - 1] + density(x[i - 1])))
    return x[:-1] / 2.0**53, np.floor(x[1:] / x[:-1] * 2.0**53).astype(np.int64), density(x)


WIDTH, INSIDE, DENSITY = _ziggurat()


@njit
def _split_mix(state):
    """The next word and the next state."""
    state += u64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> u64(27))) * u64(0x94D049BB133111EB)
    return z ^ (z >> u64(31)), state


@njit
def _word(s, t):
    """The next word and the next state."""
    word = s + t
    t ^= s
    return word, ((s << u64(24)) | (s >> u64(40))) ^ t ^ (t << u64(16)), (t << u64(37)) | (t >> u64(27))


@njit
def _uniform(s, t):
    """In (0, 1)."""
    word, s, t = _word(s, t)
    return (np.float64(word >> u64(12)) + 0.5) * 2.0**-52, s, t


@njit
def _cut(word):
    """A layer, and a signed number of 54 bits."""
    return word >> u64(56), np.int64(word << u64(8)) >> 10


@njit
def _rejected(layer, number, s, t):
    """A normal number from a layer's part that isn't all under the density, or from the tail (one word in 67)."""
    while True:
        x = number * WIDTH[layer]
        if layer == 0:
            while True:
                u, s, t = _uniform(s, t)
                v, s, t = _uniform(s, t)
                beyond = -math.log(u) / EDGE
                if -2 * math.log(v) > beyond * beyond:
                    return (EDGE + beyond if number > 0 else -EDGE - beyond), s, t
        u, s, t = _uniform(s, t)
        if DENSITY[layer] + u * (DENSITY[layer + u64(1)] - DENSITY[layer]) < math.exp(-0.5 * x * x):
            return x, s, t
        word, s, t = _word(s, t)
        layer, number = _cut(word)
        if abs(number) < INSIDE[layer]:
            return number * WIDTH[layer], s, t


@njit
def _normal(s, t):
    """The next standard normal number and the next state."""
    word, s, t = _word(s, t)
    layer, number = _cut(word)
    if abs(number) < INSIDE[layer]:
        return number * WIDTH[layer], s, t
    return _rejected(layer, number, s, t)


@njit
def _seeded(seed, replicate):
    """A replicate's first state."""
    s, state = _split_mix(u64(seed) + (u64(replicate) << u64(32)))
    return s, _split_mix(state)[0]


@njit
def normals(seed, replicate, count):
    """The normal numbers that a replicate meets, in order: two a round, the leader's first."""
    s, t = _seeded(seed, replicate)
    found = np.empty(count)
    for i in range(count):
        found[i], s, t = _normal(s, t)
    return found


def _first_largest(n: int) -> Any:
    """A function of an array and a position: the largest of the n entries from there on, and how far it is."""
    if n == 1:
        return njit(lambda values, start: (values[start], u64(0)))
    half = (n + 1) // 2
    left, right = _first_largest(half), _first_largest(n - half)

    @njit(fastmath=FAST)
    def largest(values, start):
        x, i = left(values, start)
        y, j = right(values, start + u64(half))
        return (y, j + u64(half)) if y > x else (x, i)

    return largest


@njit
def _tables(rounds, width):
    """1 / n, and `width sqrt(ln T / n)`, for n up to T."""
    n = np.arange(rounds + 1)
    n[0] = 1
    return 1 / n, width * np.sqrt(math.log(rounds) / n)


@functools.cache
def ucb_ucb(A: int, B: int, kept: bool = True) -> Callable:
    """`UCB` against `PerArm(UCB)`.

    **Arguments** of the function: `means` `[2, A B]`, `sigma`, `points [K]` (completed rounds at each record, the last
    of them T), `seed`, `replicates`, `widths` of the leader and the follower. With `kept` the follower's answers are
    kept, without the largest index is searched when it is asked for.

    **Returns:** how often each joint arm was played since the last record, `[replicates, K, A B]`.
    """
    leader_arm, follower_arm = _first_largest(A), _first_largest(B)

    @njit(fastmath=FAST)
    def run(means, sigma, points, seed, replicates, widths):
        inverse, radius1 = _tables(points[-1], widths[0])
        _, radius2 = _tables(points[-1], widths[1])
        U1, U2 = means
        visits = np.empty((replicates, len(points), A * B), np.int32)
        sum1, index1, pulls1 = np.empty(A), np.empty(A), np.empty(A, u64)
        sum2, index2, pulls2 = np.empty(A * B), np.empty(A * B), np.empty(A * B, u64)
        answer, before = np.empty(A, u64), np.empty(A * B, u64)
        for r in range(replicates):
            s, t = _seeded(seed, r)
            sum1[:], index1[:], pulls1[:] = 0, np.inf, 0
            sum2[:], index2[:], pulls2[:] = 0, np.inf, 0
            answer[:], before[:] = 0, 0
            begin = 0
            for p in range(len(points)):
                for _ in range(begin, points[p]):
                    a = leader_arm(index1, u64(0))[1]
                    row = a * u64(B)
                    ab = row + (answer[a] if kept else follower_arm(index2, row)[1])
                    z1, s, t = _normal(s, t)
                    z2, s, t = _normal(s, t)
                    n, m = pulls1[a] + u64(1), pulls2[ab] + u64(1)
                    pulls1[a], pulls2[ab] = n, m
                    total = sum1[a] + (U1[ab] + sigma * z1)
                    sum1[a], index1[a] = total, total * inverse[n] + radius1[n]
                    total = sum2[ab] + (U2[ab] + sigma * z2)
                    sum2[ab], index2[ab] = total, total * inverse[m] + radius2[m]
                    if kept:
                        answer[a] = follower_arm(index2, row)[1]
                begin = points[p]
                visits[r, p], before[:] = pulls2 - before, pulls2
        return visits

    return run


@functools.cache
def explore_then_ucb_elimination(A: int, B: int, kept: bool = True) -> Callable:
    """`ExploreThenUCB` against `PerArm(ActiveArmElimination)`; as `ucb_ucb`, then `explore` and `phases [P]`.

    Without `kept` the slot's active arm is searched, and its pulls are counted, in every round.
    """
    leader_arm = _first_largest(A)

    @njit(fastmath=FAST)
    def eliminate(row, sums, pulls, active, width, horizon):
        """The arms that stay after a phase."""
        highest = -np.inf
        for ab in range(row, row + B):
            if active[ab]:
                highest = max(highest, sums[ab] / pulls[ab] - width * math.sqrt(math.log(horizon) / pulls[ab]))
        for ab in range(row, row + B):
            if active[ab]:
                upper = sums[ab] / pulls[ab] + width * math.sqrt(math.log(horizon) / pulls[ab])
                active[ab] = upper >= highest

    @njit(fastmath=FAST)
    def run(means, sigma, points, seed, replicates, widths, explore, phases):
        rounds = points[-1]
        inverse, radius = _tables(rounds, widths[0])
        U1, U2 = means
        visits = np.empty((replicates, len(points), A * B), np.int32)
        sum1, index1, pulls1 = np.empty(A), np.empty(A), np.empty(A, u64)
        sum2, pulls2, active = np.empty(A * B), np.empty(A * B, np.int64), np.empty(A * B, np.bool_)
        phase, slot, left, answer = np.empty(A, u64), np.empty(A, np.int64), np.empty(A, np.int64), np.empty(A, u64)
        played = np.empty(A * B, np.int32)
        for r in range(replicates):
            s, t = _seeded(seed, r)
            sum1[:], index1[:], pulls1[:] = 0, np.inf, 0
            sum2[:], pulls2[:], active[:] = 0, 0, True
            phase[:], slot[:], left[:], answer[:] = 0, 0, phases[0], 0
            begin = 0
            for p in range(len(points)):
                played[:] = 0
                for now in range(begin, points[p]):
                    exploring = now < explore * A
                    a = u64(now) % u64(A) if exploring else leader_arm(index1, u64(0))[1]
                    if kept:
                        ab = a * u64(B) + answer[a]
                    else:
                        b = slot[a]
                        while not active[np.int64(a) * B + b]:
                            b = (b + 1) % B
                        ab = a * u64(B) + u64(b)
                        pulls2[ab] += 1
                    z1, s, t = _normal(s, t)
                    z2, s, t = _normal(s, t)
                    played[ab] += 1
                    if not exploring:
                        n = pulls1[a] + u64(1)
                        pulls1[a] = n
                        total = sum1[a] + (U1[ab] + sigma * z1)
                        sum1[a], index1[a] = total, total * inverse[n] + radius[n]
                    sum2[ab] += U2[ab] + sigma * z2
                    left[a] -= 1
                    if left[a] == 0:
                        row, length = np.int64(a) * B, phases[min(phase[a], u64(len(phases) - 1))]
                        if kept:
                            pulls2[ab] += length
                        slot[a] += 1
                        if slot[a] == B:
                            eliminate(row, sum2, pulls2, active, widths[1], rounds)
                            sum2[row : row + B], pulls2[row : row + B] = 0, 0
                            slot[a] = 0
                            phase[a] += u64(1)
                            length = phases[min(phase[a], u64(len(phases) - 1))]
                        left[a] = length
                        if kept:
                            b = slot[a]
                            while not active[row + b]:
                                b = (b + 1) % B
                            answer[a] = b
                begin = points[p]
                visits[r, p] = played
        return visits

    return run


@functools.cache
def commit_commit(A: int, B: int) -> Callable:
    """`ExploreThenCommit` against `PerArm(ExploreThenCommit)`; as `ucb_ucb`, with `explore` of both for the widths."""
    leader_arm, follower_arm = _first_largest(A), _first_largest(B)

    @njit(fastmath=FAST)
    def run(means, sigma, points, seed, replicates, explore):
        end1, end2 = explore[0] * A, explore[1] * B
        U1, U2 = means
        visits = np.empty((replicates, len(points), A * B), np.int32)
        sum1, sum2 = np.empty(A), np.empty(A * B)
        clock, answer = np.empty(A, np.int64), np.empty(A, u64)
        played = np.empty(A * B, np.int32)
        for r in range(replicates):
            s, t = _seeded(seed, r)
            sum1[:], sum2[:], clock[:], answer[:] = 0, 0, 0, 0
            commitment = u64(0)
            begin = 0
            for p in range(len(points)):
                played[:] = 0
                for now in range(begin, points[p]):
                    a = u64(now) % u64(A) if now < end1 else commitment
                    row, n = a * u64(B), clock[a]
                    ab = row + (u64(n) % u64(B) if n < end2 else answer[a])
                    clock[a] = n + 1
                    z1, s, t = _normal(s, t)
                    z2, s, t = _normal(s, t)
                    played[ab] += 1
                    if now < end1:
                        sum1[a] += U1[ab] + sigma * z1
                        if now == end1 - 1:
                            commitment = leader_arm(sum1, u64(0))[1]
                    if n < end2:
                        sum2[ab] += U2[ab] + sigma * z2
                        if n == end2 - 1:
                            answer[a] = follower_arm(sum2, row)[1]
                begin = points[p]
                visits[r, p] = played
        return visits

    return run
