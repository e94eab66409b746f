"""The optimal strategy to commit to in a bimatrix game, mixed or pure: exactly, by linear programmes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from stackjax.games.bimatrix import payoff_matrices
from stackjax.schedules import concrete

Ties: TypeAlias = Literal["strong", "weak"]
Floats: TypeAlias = NDArray[np.float64]

#: What counts as a tie, in payoffs that are scaled to a range of 1.
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Commitment:
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

    **Raises:** `TypeError` or `ValueError` that names the argument; `RuntimeError` if the solver, SciPy's HiGHS, fails.

    Tolerance: payoffs are scaled to a range of 1 (the follower's: of the differences within a row) and are tied if they
    differ by at most `TOLERANCE` = 1e-9. `X(j)` has no interior if no x makes j better than each of the others by more
    than that, measured by the largest difference between the two columns.

    >>> from stackjax.equilibria import optimal_commitment
    >>> print(optimal_commitment([[2, 4], [1, 3]], [[1, 0], [0, 1]]))
    leader's value 3.5, follower's value 0.5, strong ties
    leader plays 0: 0.5, 1: 0.5; follower replies 1
    """
    game = _Scaled.of(U1, U2, ties)
    solve = _strong if ties == "strong" else _weak
    strategy, reply, attained = solve(game.leader, list(_regions(game.follower)))
    return game.commitment(strategy, reply, ties, attained)


def pure_commitment(U1: Any, U2: Any, ties: Ties = "strong") -> Commitment:
    """The leader's optimal row to commit to: `max_i max_j U1[i, j]` over the follower's best replies j to row i.

    With weak ties `max_i min_j U1[i, j]`. Among equally good rows, and then replies, the lowest index. Arguments,
    errors and tolerance as in `optimal_commitment`; a pure commitment is always attained.

    >>> from stackjax.equilibria import pure_commitment
    >>> pure_commitment([[2, 4], [1, 3]], [[1, 0], [0, 1]]).leader_value
    3.0
    """
    game = _Scaled.of(U1, U2, ties)
    best = game.follower == 0
    if ties == "strong":
        worth = np.where(best, game.leader, -np.inf).max(axis=1)
    else:
        worth = np.where(best, game.leader, np.inf).min(axis=1)
    row = _first(worth >= worth.max() - TOLERANCE)
    reply = _first(best[row] & (np.abs(game.leader[row] - worth[row]) <= TOLERANCE))
    return game.commitment(np.eye(len(worth))[row], reply, ties, True)


class _Scaled(NamedTuple):
    """A game with its scaled payoffs: the leader's in [0, 1], the follower's minus the best ones in their row."""

    payoffs: tuple[Floats, Floats]
    leader: Floats
    follower: Floats

    @classmethod
    def of(cls, U1: Any, U2: Any, ties: str) -> "_Scaled":
        if ties not in ("strong", "weak"):
            raise ValueError(f"ties: expected 'strong' or 'weak', got {ties!r}")
        if not concrete((U1, U2)):
            raise TypeError(
                "U1, U2: expected known numbers; a commitment can't be computed inside of jit, vmap or grad"
            )
        matrices = payoff_matrices((U1, U2), ("U1", "U2"), np.asarray)
        u1, u2 = (np.asarray(u, np.float64) for u in matrices)
        return cls((u1, u2), _scaled(u1, np.min), _snapped(_scaled(u2, np.max, axis=1, keepdims=True)))

    def commitment(self, strategy: Floats, reply: int, ties: Ties, attained: bool) -> Commitment:
        value, follower_value = (float(strategy @ u[:, reply]) for u in self.payoffs)
        return Commitment(value, follower_value, strategy, reply, ties, attained)


def _scaled(u: Floats, reference: Any, **axis: Any) -> Floats:
    """`u` minus its `reference`, over the largest of these differences; 0 where they are but rounding."""
    magnitude = np.max(np.abs(u))
    u = u / (magnitude if magnitude > 0 else 1.0)
    differences = u - reference(u, **axis)
    largest = np.max(np.abs(differences))
    scaled: Floats = differences / largest if largest > 8 * np.finfo(np.float64).eps else np.zeros_like(u)
    return scaled


def _snapped(v: Floats) -> Floats:
    """Tied payoffs of a row, the larger ones of which decide, made equal: from here on ties in a row are exact."""
    snapped = np.empty_like(v)
    for row, order, into in zip(v, np.argsort(v, axis=1), snapped, strict=True):
        ends = np.append(np.diff(row[order]) > TOLERANCE, True)  # the last, largest of each group
        into[order] = row[order][ends][np.append(0, np.cumsum(ends)[:-1])]
    return snapped


class _Region(NamedTuple):
    """Where some columns, which are worth the same to the follower, are best replies: the x with `x' leads >= 0`."""

    columns: NDArray[np.intp]
    rivals: list[NDArray[np.intp]]  # the other columns, those together that are worth the same
    leads: Floats  # [A, rivals], each rival's divided by the largest

    def has_interior(self) -> bool:
        if not self.rivals or self.leads.min(axis=1).max() > TOLERANCE:  # in a row already
            return True
        rows, rivals = self.leads.shape
        margin = np.append(np.zeros(rows), 1.0)
        found = _maximise(margin, at_most_zero=np.column_stack([-self.leads.T, np.ones(rivals)]), free=1)
        return found is not None and bool(margin @ found.x > TOLERANCE)

    def replies(self, x: Floats) -> NDArray[np.intp]:
        """The columns that are best replies to an x of the region."""
        tied = [rival for rival, lead in zip(self.rivals, x @ self.leads, strict=True) if lead <= TOLERANCE]
        return np.concatenate([self.columns, *tied])


def _regions(v: Floats) -> Iterator[_Region]:
    kinds, kind = np.unique(v, axis=1, return_inverse=True)
    members = [np.flatnonzero(kind == i) for i in range(kinds.shape[1])]
    for i, columns in enumerate(members):
        leads = np.delete(kinds[:, [i]] - kinds, i, axis=1)
        yield _Region(columns, members[:i] + members[i + 1 :], leads / np.max(np.abs(leads), axis=0))


def _strong(u: Floats, regions: list[_Region]) -> tuple[Floats, int, bool]:
    found: list[tuple[float, int, Floats]] = []
    best = -np.inf
    for region in regions:
        for j in region.columns:
            if np.max(u[:, j]) < best - TOLERANCE:  # not even if the follower always replied j
                continue
            solution = _maximise(u[:, j], at_most_zero=-region.leads.T)
            if solution is not None:
                x = _strategy(solution.x)
                found.append((float(x @ u[:, j]), int(j), x))
                best = max(best, found[-1][0])
    if not found:
        raise RuntimeError("optimal_commitment: the solver found no strategy of the leader to which any reply is best")
    reply, strategy = min(((j, x) for value, j, x in found if value >= best - TOLERANCE), key=lambda pair: pair[0])
    return strategy, reply, True


def _weak(u: Floats, regions: list[_Region]) -> tuple[Floats, int, bool]:
    found: list[tuple[float, _Region, Any]] = []
    best = -np.inf
    for region in regions:
        ours = u[:, region.columns]
        if np.min(np.max(ours, axis=0)) < best - TOLERANCE or not region.has_interior():
            continue
        # over (x, t): t is what the worst of the columns yields
        worst = np.column_stack([-ours.T, np.ones(len(region.columns))])
        replies = np.column_stack([-region.leads.T, np.zeros(len(region.rivals))])
        solution = _maximise(np.append(np.zeros(len(u)), 1.0), at_most_zero=np.concatenate([worst, replies]), free=1)
        if solution is None:
            raise RuntimeError("optimal_commitment: the solver contradicts itself on whether a region is empty")
        found.append((float(solution.x[-1]), region, solution))
        best = max(best, found[-1][0])
    if not found:
        raise RuntimeError("optimal_commitment: the solver found no reply whose region has an interior")

    optima = sorted((f for f in found if f[0] >= best - TOLERANCE), key=lambda f: f[1].columns[0])
    for _, region, solution in optima:
        attaining = _attaining(u, region, solution)
        if attaining is not None:
            return attaining, _worst(u, region, attaining), True
    _, region, solution = optima[0]
    strategy = _strategy(solution.x[:-1])
    return strategy, _worst(u, region, strategy), False


def _worst(u: Floats, region: _Region, x: Floats) -> int:
    values = x @ u[:, region.columns]
    return int(region.columns[_first(values <= values.min() + TOLERANCE)])


def _attaining(u: Floats, region: _Region, solution: Any) -> Floats | None:
    """An optimum of the region's programme that yields as much if ties go against the leader; None if there is none.

    Rivals that are tied at all optima must yield the value too. That may leave optima at which more rivals are tied,
    and so on. When no more come, an optimum at which none of the other rivals is tied decides.
    """
    vertex, value = _strategy(solution.x[:-1]), solution.x[-1]

    def yields_it(x: Floats) -> bool:
        return bool(np.min(x @ u[:, region.replies(x)]) >= value - TOLERANCE)

    if yields_it(vertex):
        return vertex
    always = np.zeros(len(region.rivals), bool)
    while True:
        must = np.concatenate([region.columns, *(r for r, a in zip(region.rivals, always, strict=True) if a)])
        optima = np.concatenate([value - u[:, must].T, -region.leads.T])
        found: list[Floats] = []
        tied = always.copy()
        for rival, lead in enumerate(region.leads.T):
            if tied[rival] or any(x @ lead > TOLERANCE for x in found):
                continue
            solution = _maximise(lead, at_most_zero=optima)
            if solution is None:
                return None
            found.append(_strategy(solution.x))
            tied[rival] = found[-1] @ lead <= TOLERANCE
        if (tied == always).all():
            break
        always = tied
    if not found:  # all rivals are tied at all optima that are left
        solution = _maximise(np.zeros(len(u)), at_most_zero=optima)
        if solution is None:
            return None
        found.append(_strategy(solution.x))
    inside = _strategy(np.mean(found, axis=0))
    return inside if yields_it(inside) else None


def _maximise(objective: Floats, *, at_most_zero: Floats, free: int = 0) -> Any | None:
    """SciPy's solution over the simplex, which `free` unbounded variables follow; None if there is no such point."""
    rows = len(objective) - free
    solution = linprog(
        -objective,
        A_ub=at_most_zero,
        b_ub=np.zeros(len(at_most_zero)),
        A_eq=np.append(np.ones(rows), np.zeros(free))[None],
        b_eq=[1.0],
        bounds=[(0.0, 1.0)] * rows + [(None, None)] * free,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},  # its least
    )
    if solution.status not in (0, 2):
        raise RuntimeError(f"optimal_commitment: the solver failed on a linear programme: {solution.message}")
    return solution if solution.status == 0 else None


def _strategy(x: Floats) -> Floats:
    """Probabilities, without the solver's rounding."""
    x = np.maximum(x, 0.0)
    strategy: Floats = x / np.sum(x)
    return strategy


def _first(condition: NDArray[np.bool_]) -> int:
    return int(np.argmax(condition))
