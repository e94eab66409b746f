"""The optimal strategy to commit to in a bimatrix game, mixed or pure: exactly, by linear programmes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import scipy  # of whose parts only those that are used are imported, when they are
from numpy.typing import NDArray

from stackjax.checks import concrete
from stackjax.equilibria._text import Printed
from stackjax.games.bimatrix import payoff_matrices

Ties: TypeAlias = Literal["strong", "weak"]
Floats: TypeAlias = NDArray[np.float64]

#: What counts as a tie of expected payoffs, of the mean absolute difference that the strategy mixes.
TOLERANCE = 1e-9
_TIED = 1e-13  # what counts as a tie of two payoffs in a row, of the largest difference between their columns
_ROUNDING = 16 * np.finfo(np.float64).eps  # of the payoffs themselves
_ACCURACY = 1e-11  # of a linear programme's solution, to which it is refined, also of what is mixed
_REFINEMENTS = 5  # of it, at most


@dataclass(frozen=True, eq=False)
class Commitment(Printed):
    """What a leader commits to, and what it leads to.

    **Attributes:**

    - `leader_value`, `follower_value`: expected payoffs at `leader_strategy` and `follower_action`.
    - `leader_strategy`: probabilities `[A]`, float64; one-hot for a pure commitment.
    - `follower_action`: the follower's reply, an index.
    - `ties`: the rule for the follower's ties: "strong" (for the leader) or "weak" (against it).
    - `attained`: whether `leader_strategy` yields `leader_value` under that rule. If not, the value is a supremum: near
      `leader_strategy` there are strategies that yield as nearly as much as one likes (those to which only
      `follower_action`, and what is worth the same to the follower in every row, is a best reply), and none yields it.
    """

    leader_value: float
    follower_value: float
    leader_strategy: Floats
    follower_action: int
    ties: Ties
    attained: bool

    def __str__(self) -> str:
        played = ", ".join(f"{row}: {p:.6g}" for row, p in enumerate(self.leader_strategy) if p > 0)
        supremum = "" if self.attained else " (a supremum, not attained)"
        return (
            f"leader's value {self.leader_value:.6g}{supremum}, follower's value {self.follower_value:.6g}, "
            f"{self.ties} ties\nleader plays {played}; follower replies {self.follower_action}"
        )


def optimal_commitment(U1: Any, U2: Any, ties: Ties = "strong") -> Commitment:
    """The leader's optimal mixed strategy to commit to, if the follower knows it and replies best.

    With `X(j)` the leader's mixed strategies x to which column j is a best reply:

    - strong ties: `max_j max { x' U1[:, j] : x in X(j) }`, by one linear programme a column (Conitzer and Sandholm,
      "Computing the optimal strategy to commit to", 2006).
    - weak ties: `max_j max { min_k x' U1[:, k] : x in X(j) }` over those j whose `X(j)` has a non-empty interior in the
      simplex, with k over the columns that are worth the same as j to the follower in every row (von Stengel and Zamir,
      "Leadership games with convex strategy sets", 2010). That is the supremum over x of what x yields if the follower
      breaks ties against the leader; it isn't always attained.

    The highest Nash payoff of the leader isn't above the strong value, nor the lowest one above the weak value.

    **Arguments:**

    - `U1`, `U2`: the leader's and the follower's payoffs, finite matrices `[A, B]`; the leader chooses the row.
    - `ties`: "strong" or "weak".

    **Returns:** a `Commitment`. Among equally good ones: first one that is attained, then the lowest reply.

    **Raises:** `TypeError` or `ValueError` that names the argument; `RuntimeError` if the solver, SciPy's HiGHS, fails,
    or finds nothing that can be verified.

    Tolerance: the follower's payoffs are compared pair by pair, each pair of columns on its own scale, so that a payoff
    of -1e10, say, for what is forbidden blurs no other choice. In a row two of them are tied if they differ by at most
    1e-13 of the largest difference between their columns (but of no more than the row's range), or by their rounding.
    With a strategy x two columns with the differences d are tied if `|x'd|` is at most `TOLERANCE` = 1e-9 of `x'|d|`,
    and `X(j)` has no interior if no x makes j better than each of the others by more than that. Values of the leader
    are equally good if they differ by at most 1e-9 of `x'|u - value|`, u being its payoffs in that column. What is
    returned has been verified, in these terms, with the payoffs as they were given; what fails is passed over.

    >>> from stackjax.equilibria import optimal_commitment
    >>> print(optimal_commitment([[2, 4], [1, 3]], [[1, 0], [0, 1]]))
    leader's value 3.5, follower's value 0.5, strong ties
    leader plays 0: 0.5, 1: 0.5; follower replies 1
    """
    game = _Game.of(U1, U2, ties)
    strategy, reply, attained = (_strong if ties == "strong" else _weak)(game, list(game.regions()))
    return game.commitment(strategy, reply, ties, attained)


def pure_commitment(U1: Any, U2: Any, ties: Ties = "strong") -> Commitment:
    """The leader's optimal row to commit to: `max_i max_j U1[i, j]` over the follower's best replies j to row i.

    With weak ties `max_i min_j U1[i, j]`. Among equally good rows, and then replies, the lowest index. Arguments,
    errors and tolerance as in `optimal_commitment`; a pure commitment is always attained.

    >>> from stackjax.equilibria import pure_commitment
    >>> pure_commitment([[2, 4], [1, 3]], [[1, 0], [0, 1]]).leader_value
    3.0
    """
    game = _Game.of(U1, U2, ties)
    best = np.stack([game.leads(int(j))[row] <= 0 for row, j in enumerate(np.argmax(game.follower, axis=1))])
    if ties == "strong":
        worth = np.where(best, game.leader, -np.inf).max(axis=1)
    else:
        worth = np.where(best, game.leader, np.inf).min(axis=1)
    row = _first(worth >= worth.max() - _ROUNDING * np.abs(worth))
    reply = _first(best[row] & (np.abs(game.leader[row] - worth[row]) <= _ROUNDING * np.abs(worth[row])))
    return game.commitment(np.eye(len(worth))[row], reply, ties, True)


class _Game(NamedTuple):
    """A game with its payoffs times powers of two, which changes no digit: the largest of a player's is about 1."""

    payoffs: tuple[Floats, Floats]
    leader: Floats
    follower: Floats

    @classmethod
    def of(cls, U1: Any, U2: Any, ties: str) -> "_Game":
        if ties not in ("strong", "weak"):
            raise ValueError(f"ties: expected 'strong' or 'weak', got {ties!r}")
        if not concrete((U1, U2)):
            raise TypeError(
                "U1, U2: expected known numbers; a commitment can't be computed inside of jit, vmap or grad"
            )
        matrices = payoff_matrices((U1, U2), ("U1", "U2"), np.asarray)
        u1, u2 = (np.asarray(u, np.float64) for u in matrices)
        return cls((u1, u2), *(np.ldexp(u, -int(np.frexp(np.max(np.abs(u)))[1])) for u in (u1, u2)))

    def leads(self, j: int) -> Floats:
        """By how much column j is better for the follower than each column in each row, 0 where they are tied."""
        leads = self.follower[:, [j]] - self.follower
        return np.where(np.abs(leads) <= self._tied(j, leads), 0.0, leads)

    def _tied(self, j: int, leads: Floats) -> Floats:
        """How much ties may differ by."""
        v = self.follower
        span = np.minimum(np.max(np.abs(leads), axis=0), np.ptp(v, axis=1)[:, None])
        tied = np.maximum(_TIED * span, _ROUNDING * np.maximum(np.abs(v[:, [j]]), np.abs(v)))
        # Nothing but rounding, of what the row's payoffs were computed from, in every row.
        noise = _ROUNDING * np.max(np.abs(v), axis=1, keepdims=True)
        return np.where(np.all(np.abs(leads) <= noise, axis=0), noise, tied)

    def regions(self) -> "Iterator[_Region]":
        seen = np.zeros(self.follower.shape[1], bool)
        for j in range(len(seen)):
            if seen[j]:
                continue
            leads = self.leads(j)
            alike = ~np.any(leads, axis=0)
            seen |= alike
            scaled = leads[:, ~alike] / np.max(np.abs(leads[:, ~alike]), axis=0)
            yield _Region(np.flatnonzero(alike), np.flatnonzero(~alike), scaled)

    def is_best(self, x: Floats, j: int) -> bool:
        """Whether column j is a best reply to x, from the payoffs themselves."""
        leads = self.follower[:, [j]] - self.follower
        return bool(np.all(x @ leads >= -(TOLERANCE * (x @ np.abs(leads)) + x @ self._tied(j, leads))))

    def worth(self, x: Floats, j: Any) -> Any:
        """The leader's expected payoffs for x and a column, or columns."""
        return x @ self.leader[:, j]

    def resolution(self, x: Floats, j: int) -> float:
        """What counts as a tie of the leader's expected payoffs there."""
        u = self.leader[:, j]
        return float(TOLERANCE * (x @ np.abs(u - x @ u)) + 2 * _ROUNDING * (x @ np.abs(u)))

    def commitment(self, strategy: Floats, reply: int, ties: Ties, attained: bool) -> Commitment:
        if not self.is_best(strategy, reply):
            raise RuntimeError(
                "the follower's reply that was found isn't its best; the payoffs differ too much in scale"
            )
        value, follower_value = (float(strategy @ u[:, reply]) for u in self.payoffs)
        return Commitment(value, follower_value, strategy, reply, ties, attained)


class _Region(NamedTuple):
    """Where some columns, which are worth the same to the follower, are best replies: the x with `x' leads >= 0`."""

    columns: NDArray[np.intp]
    rivals: NDArray[np.intp]  # the other columns
    leads: Floats  # [A, rivals], each rival's divided by the largest

    def has_interior(self) -> bool:
        if not self.rivals.size or np.any(np.all(self.leads > 0, axis=1)):  # in a row already
            return True
        rows, rivals = self.leads.shape
        margin = np.append(np.zeros(rows), 1.0)
        found = _maximise(margin, at_most_zero=np.column_stack([-self.leads.T, np.ones(rivals)]), free=1)
        return found is not None and not np.any(self.tied(_strategy(found.x[:-1])))

    def tied(self, x: Floats) -> NDArray[np.bool_]:
        """Which rivals are as good a reply to an x of the region (or better)."""
        tied: NDArray[np.bool_] = x @ self.leads <= TOLERANCE * (x @ np.abs(self.leads))
        return tied

    def replies(self, x: Floats) -> NDArray[np.intp]:
        """The columns that are best replies to an x of the region."""
        return np.concatenate([self.columns, self.rivals[self.tied(x)]])


def _strong(game: _Game, regions: list[_Region]) -> tuple[Floats, int, bool]:
    found: list[tuple[float, float, int, Floats]] = []
    best = -np.inf
    for region in regions:
        for j in region.columns:
            u = game.leader[:, j]
            if np.max(u) < best - _ROUNDING * abs(best):  # not even if the follower always replied j
                continue
            solution = _maximise(_centred(u), at_most_zero=-region.leads.T)
            if solution is None:
                continue
            x = _strategy(solution.x)
            if game.is_best(x, int(j)):
                found.append((float(x @ u), game.resolution(x, int(j)), int(j), x))
                best = max(best, found[-1][0])
    if not found:
        raise RuntimeError("optimal_commitment: the solver found no strategy of the leader to which any reply is best")
    first = min(_nearly_best(found, key=lambda f: f[:2]), key=lambda f: f[2])
    return first[3], first[2], True


def _weak(game: _Game, regions: list[_Region]) -> tuple[Floats, int, bool]:
    found: list[tuple[float, float, _Region, Floats]] = []
    best = -np.inf
    for region in regions:
        ours = game.leader[:, region.columns]
        if np.min(np.max(ours, axis=0)) < best - _ROUNDING * abs(best) or not region.has_interior():
            continue
        # over (x, t): t is what the worst of the columns yields
        worst = np.column_stack([-_centred(ours).T, np.ones(len(region.columns))])
        replies = np.column_stack([-region.leads.T, np.zeros(len(region.rivals))])
        solution = _maximise(np.append(np.zeros(len(ours)), 1.0), at_most_zero=np.concatenate([worst, replies]), free=1)
        if solution is None:
            raise RuntimeError("optimal_commitment: the solver contradicts itself on whether a region is empty")
        x = _strategy(solution.x[:-1])
        reply = _worst(game, region, x)
        if game.is_best(x, reply):
            found.append((float(game.worth(x, reply)), game.resolution(x, reply), region, x))
            best = max(best, found[-1][0])
    if not found:
        raise RuntimeError("optimal_commitment: the solver found no reply whose region has an interior")

    optima = sorted(_nearly_best(found, key=lambda f: f[:2]), key=lambda f: f[2].columns[0])
    for value, resolution, region, x in optima:
        attaining = _attaining(game, region, x, value, resolution)
        if attaining is not None:
            return attaining, _worst(game, region, attaining), True
    _, _, region, x = optima[0]
    return x, _worst(game, region, x), False


def _nearly_best(found: list[Any], key: Callable[[Any], tuple[float, float]]) -> list[Any]:
    """Those whose values differ from the best one by no more than either resolution, or are better."""
    best, resolution = key(max(found, key=key))
    return [each for each in found if key(each)[0] >= best - max(resolution, key(each)[1])]


def _worst(game: _Game, region: _Region, x: Floats) -> int:
    values = game.worth(x, region.columns)
    least = int(np.argmin(values))
    return int(region.columns[_first(values <= values[least] + game.resolution(x, region.columns[least]))])


def _attaining(game: _Game, region: _Region, vertex: Floats, value: float, resolution: float) -> Floats | None:
    """An optimum of the region's programme that yields as much if ties go against the leader; None if there is none.

    Rivals that are tied at all optima must yield the value too. That may leave optima at which more rivals are tied,
    and so on. When no more come, an optimum at which none of the other rivals is tied decides.
    """

    def yields_it(x: Floats) -> bool:
        replies = region.replies(x)
        short = value - game.worth(x, replies)
        return all(s <= max(resolution, game.resolution(x, j)) for s, j in zip(short, replies, strict=True))

    if yields_it(vertex):
        return vertex
    always = np.zeros(len(region.rivals), bool)
    while True:
        must = np.concatenate([region.columns, region.rivals[always]])
        enough = value - resolution / 100 - game.leader[:, must]  # a bit less, lest rounding leave nothing
        optima = np.concatenate([enough.T, -region.leads.T])
        found: list[Floats] = []
        tied = always.copy()
        for rival, lead in enumerate(region.leads.T):
            if tied[rival] or any(not region.tied(x)[rival] for x in found):
                continue
            solution = _maximise(lead, at_most_zero=optima)
            if solution is None:
                return None
            found.append(_strategy(solution.x))
            tied[rival] = region.tied(found[-1])[rival]
        if (tied == always).all():
            break
        always = tied
    if not found:  # all rivals are tied at all optima that are left
        solution = _maximise(np.zeros(len(vertex)), at_most_zero=optima)
        if solution is None:
            return None
        found.append(_strategy(solution.x))
    inside = _strategy(np.mean(found, axis=0))
    return inside if yields_it(inside) and game.is_best(inside, _worst(game, region, inside)) else None


def _centred(u: Floats) -> Floats:
    """Payoffs minus the smallest in size, over the largest: what is common to all goes, no digit of the small ones."""
    centred = u - u.flat[np.argmin(np.abs(u))]
    scaled: Floats = centred / (np.max(np.abs(centred)) or 1.0)
    return scaled


class _Solution(NamedTuple):
    x: Floats
    multipliers: Floats  # of the inequalities


def _maximise(objective: Floats, *, at_most_zero: Floats, free: int = 0) -> _Solution | None:
    """The solution over the simplex, which `free` unbounded variables follow; None if there is no such point.

    The solver is exact to 1e-10 of the largest number in a row: too little where numbers of other sizes decide. Where
    that shows, in an inequality or in the distance to the dual bound, the difference is solved for on its own scale
    (Gleixner, Steffy and Wolter, "Iterative refinement for linear programming", 2016).
    """
    rows = len(objective) - free
    largest = np.max(np.abs(at_most_zero), axis=1, keepdims=True, initial=0.0)
    rules = at_most_zero / np.where(largest > 0, largest, 1.0)
    c = objective / (np.max(np.abs(objective)) or 1.0)
    lower = np.append(np.zeros(rows), np.full(free, -np.inf))
    found = _solve(c, rules, np.zeros(len(rules)), 1.0, lower)
    zoom = steep = 1.0
    for _ in range(_REFINEMENTS):
        if found is None:
            return None
        x, multipliers = _cleaned(found.x, rules, rows), np.maximum(found.multipliers, 0.0)
        found = _Solution(x, multipliers)
        reduced = c - multipliers @ rules
        level = float(np.max(reduced[:rows]))
        sizes = np.abs(c) + multipliers @ np.abs(rules)
        off, gap = float(np.max(_violations(rules, x), initial=0.0)), level - float(c @ x)
        if gap <= _ACCURACY * (np.abs(c) @ np.abs(x) + np.max(sizes[:rows][x[:rows] > 0])):
            gap = 0.0
        if not off and not gap:
            return found
        zoom = max(zoom, 1 / off) if off else zoom
        steep = max(steep, 1 / gap) if gap else steep
        reduced[:rows] -= level
        at = np.append(x[:rows], np.zeros(free))
        try:
            change = _solve(
                steep * reduced,
                rules,
                -zoom * (rules @ x),
                zoom * (1 - np.sum(x[:rows])),
                lower - zoom * at,
                steep * multipliers,
            )
        except RuntimeError:
            return found
        if change is None:
            return None if off else found
        found = _Solution(x + change.x / zoom, multipliers + change.multipliers / steep)
    return found


def _solve(
    c: Floats, rules: Floats, limits: Floats, total: float, lower: Floats, slopes: Floats | None = None
) -> _Solution | None:
    """SciPy's, of `max c'x + slopes' rules x` with `rules x <= limits`.

    Those x that have a `lower` bound add up to `total`. The slopes aren't added to c, beside which they may be large,
    but belong to variables `rules x` of their own.
    """
    sums = np.isfinite(lower).astype(float)[None]
    bounds = [(low if np.isfinite(low) else None, None) for low in lower]
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}  # its least
    if slopes is None:
        given = {"A_ub": rules, "b_ub": limits, "A_eq": sums, "b_eq": [total]}
    else:
        c = np.append(c, slopes)
        bounds += [(None, limit) for limit in limits]
        equal = np.block([[sums, np.zeros((1, len(rules)))], [rules, -np.eye(len(rules))]])
        given = {"A_eq": equal, "b_eq": np.append(total, np.zeros(len(rules)))}
    solution = scipy.optimize.linprog(-c, **given, bounds=bounds, method="highs", options=options)
    if solution.status not in (0, 2):
        raise RuntimeError(f"optimal_commitment: the solver failed on a linear programme: {solution.message}")
    if solution.status == 2:
        return None
    multipliers = -(solution.ineqlin.marginals if slopes is None else solution.eqlin.marginals[1:])
    return _Solution(solution.x[: len(lower)], multipliers)


def _violations(rules: Floats, x: Floats) -> Floats:
    """By how much x breaks the rules that it breaks by more than rounding; 0 for the others."""
    over = rules @ x
    return np.where(over > _ACCURACY * (np.abs(rules) @ np.abs(x)), over, 0.0)


def _cleaned(x: Floats, rules: Floats, rows: int) -> Floats:
    """Without probabilities that are but rounding, unless a rule needs them."""
    x = np.append(np.maximum(x[:rows], 0.0), x[rows:])
    x = x / np.sum(x[:rows])
    clean = np.append(np.where(x[:rows] < 1e-14, 0.0, x[:rows]), x[rows:])
    return clean if np.max(_violations(rules, clean), initial=0.0) <= np.max(_violations(rules, x), initial=0.0) else x


def _strategy(x: Floats) -> Floats:
    """Probabilities, without the solver's rounding."""
    x = np.maximum(x, 0.0)
    strategy: Floats = x / np.sum(x)
    return strategy


def _first(condition: NDArray[np.bool_]) -> int:
    return int(np.argmax(condition))
