"""Points where constraints are active: multipliers, critical cones, one-sided derivatives, and dynamics that hold them.

On the host, from the derivatives of `_conditions`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stackjax.equilibria import _conditions
from stackjax.equilibria._conditions import Constraint
from stackjax.equilibria._local import Local
from stackjax.equilibria._multipliers import multipliers, second_order, shared, supports
from stackjax.protocols import Game

_SIDES = 16  # of a player's value that are looked at
_EQUAL = 1e-9  # payoffs that differ by less, relative to their size, are equal
_STILL = 1e-10  # relative changes of a constraint's gradient that are rounding


@dataclass(frozen=True)
class ActiveConstraint:
    """A constraint that a player has reached.

    **Attributes:** `player`, whose it is; `constraint` in words, such as "lower bound", "upper bound of coordinate 1",
    "entry 2 is 0", "inequality 0"; its `value`, 0 to the tolerance; its `multiplier`, by how much the player's payoff
    would rise if it were loosened by 1 in its units; `weakly_active`: whether the multiplier is 0; `conditions`,
    "Nash" or "Stackelberg", of which the multiplier is a part.
    """

    player: int
    constraint: str
    value: float
    multiplier: float
    weakly_active: bool
    conditions: str


class Piece(NamedTuple):
    """A way in which later levels may answer nearby.

    **Attributes:** `held` `[N]`, the constraints that are active then, with multipliers `nu`; `borders`: the others
    that are reached, and those held whose multiplier is 0, on whose account it may end here.
    """

    held: np.ndarray
    nu: np.ndarray
    borders: np.ndarray


class Side(NamedTuple):
    """A player's total derivative on one side of its value: `held`, constraints of later levels that are active there.

    `ends`: whether that value would rise beyond the borders of the side.
    """

    player: int
    held: tuple[int, ...]
    derivative: np.ndarray
    residual: float
    spectrum: np.ndarray
    curved: bool | None
    ends: bool


class Conditions(NamedTuple):
    """One of the two sets of conditions.

    **Attributes:** per player `residuals`, `limits` (what counts as 0), `spectra` of the Lagrangian's Hessian along the
    directions in which nothing is held, and `curved`, whether the second-order condition holds, None if undecided;
    `multipliers`, `strong`: which constraints are held `[N]`; `jacobian` of the dynamic that holds them; `owners`, the
    player of each of its coordinates; `hessians` and `bases` of the directions per player.
    """

    residuals: np.ndarray
    limits: np.ndarray
    spectra: tuple[np.ndarray, ...]
    curved: tuple[bool | None, ...]
    multipliers: np.ndarray
    strong: np.ndarray
    jacobian: np.ndarray
    owners: np.ndarray
    bases: tuple[np.ndarray, ...]
    slopes: np.ndarray
    full: np.ndarray


class Boundary(NamedTuple):
    """What there is to say of a joint action with active constraints.

    **Attributes:** `constraints`, `values`, which are `active`; `violations` `[N]`, in units of the actions; `nash` and
    `stackelberg` conditions; `sides` of the values of players whom later levels answer with a kink; `undecided`:
    of players whose sides can't all be looked at, why not.
    """

    constraints: tuple[Constraint, ...]
    values: np.ndarray
    active: np.ndarray
    violations: np.ndarray
    nash: Conditions
    stackelberg: Conditions
    sides: tuple[Side, ...]
    undecided: dict[int, str]

    @property
    def loose(self) -> tuple[int, ...]:
        """Weakly active constraints of the Stackelberg conditions."""
        return tuple(map(int, np.flatnonzero(self.active & ~self.stackelberg.strong)))


class Tolerances(NamedTuple):
    """`residual`, `curvature` as in `certify`; `edge`: nearer to a bound is at it; `rounding` of the actions."""

    residual: float
    curvature: float
    edge: float
    rounding: float


def examine(
    game: Game,
    actions: tuple[Any, ...],
    local: Local,
    levels: list[int],
    constraints: tuple[Constraint, ...],
    tolerances: Tolerances,
) -> Boundary | None:
    """None if no constraint is active or violated. One that is violated by more than the edge isn't active."""
    of = tuple(c.player for c in constraints)
    equality = np.array([c.equality for c in constraints])
    nothing: Any = np.zeros(len(of))
    values, partial, _ = (np.asarray(x) for x in _conditions.bounds(game, actions, nothing, of))
    lengths = np.linalg.norm(partial, axis=1)
    flat = lengths == 0  # such as where a box has no bound: what doesn't change by a move isn't met by one
    distance = values / np.where(flat, 1, lengths)
    violations = np.where(equality, np.abs(distance), np.maximum(distance, 0))
    violations = np.where(violations > tolerances.edge, violations, 0)
    active = equality | (distance >= np.where(flat, 0, -tolerances.edge)) & (violations == 0)
    if not active.any() and not violations.any():
        return None
    examined = _Examined(game, actions, local, levels, tolerances, constraints, equality, active, partial)
    return examined.boundary(values, violations)


def listed(boundary: Boundary | None) -> tuple[ActiveConstraint, ...]:
    """The active constraints, each of the Nash and then of the Stackelberg conditions."""
    if boundary is None:
        return ()
    found = []
    for k in np.flatnonzero(boundary.active):
        player, words, _ = boundary.constraints[k]
        for name, each in (("Nash", boundary.nash), ("Stackelberg", boundary.stackelberg)):
            multiplier, strong = float(each.multipliers[k]), bool(each.strong[k])
            found.append(ActiveConstraint(player, words, float(boundary.values[k]), multiplier, not strong, name))
    return tuple(found)


def more(payoff: float, than: float) -> bool:
    """Whether a payoff is higher, beyond rounding."""
    return payoff > than + _EQUAL * max(1.0, abs(than))


class _Slopes(NamedTuple):
    """`gradient` `[d]`, `rows` `[N, d]` and the conditions' `jacobian`, as in `_conditions.Values`."""

    gradient: np.ndarray
    rows: np.ndarray
    jacobian: np.ndarray


class _Examined:
    """A point with active constraints, step by step."""

    def __init__(
        self,
        game: Game,
        actions: tuple[Any, ...],
        local: Local,
        levels: list[int],
        tolerances: Tolerances,
        constraints: tuple[Constraint, ...],
        equality: np.ndarray,
        active: np.ndarray,
        partial: np.ndarray,
    ):
        self.game, self.actions, self.local, self.levels, self.tolerances = game, actions, local, levels, tolerances
        self.constraints, self.equality, self.active, self.partial = constraints, equality, active, partial
        self.of = of = tuple(c.player for c in constraints)
        ends = np.cumsum([space.dimension for space in game.spaces])
        self.d, self.n, self.players = int(ends[-1]), len(of), len(levels)
        self.own = [np.arange(end - s.dimension, end) for end, s in zip(ends, game.spaces, strict=True)]
        self.mine = [np.flatnonzero(np.asarray(of) == i) for i in range(self.players)]

    def boundary(self, values: np.ndarray, violations: np.ndarray) -> Boundary:
        """All of it."""
        nash = self._simultaneous()
        stackelberg, sides, undecided = self._hierarchical()
        return Boundary(self.constraints, values, self.active, violations, nash, stackelberg, tuple(sides), undecided)

    def _partial(self, nu: Any) -> _Slopes:
        """Those with the others' actions fixed."""
        _, _, curvature = _conditions.bounds(self.game, self.actions, nu, self.of)
        jacobian = np.asarray(self.local.jacobian) - np.asarray(curvature)
        return _Slopes(np.asarray(self.local.gradient), self.partial, jacobian)

    def _total(self, nu: np.ndarray, held: np.ndarray, rho: Any = None) -> _Slopes:
        """Those along the responses of later levels."""
        rho = np.zeros((self.players, self.n)) if rho is None else rho
        given: Any = nu, rho, held | self.equality
        found = _conditions.values(self.game, self.actions, *given, of=self.of, hierarchical=True)
        return _Slopes(*(np.asarray(x) for x in (found.gradient, found.rows, found.jacobian)))

    def _limit(self, i: int, at: _Slopes) -> float:
        """What counts as 0: the tolerance, and what rounding the actions can account for."""
        rows = np.where(np.isfinite(at.jacobian), np.abs(at.jacobian), 0.0)[self.own[i], : self.d]
        return float(self.tolerances.residual + self.tolerances.rounding * np.linalg.norm(rows.sum(1)))

    def _own_active(self, i: int) -> np.ndarray:
        return self.mine[i][self.active[self.mine[i]]]

    def _simultaneous(self) -> Conditions:
        nu, strong = np.zeros(self.n), np.zeros(self.n, bool)
        at = self._partial(nu)
        limits = np.array([self._limit(i, at) for i in range(self.players)])
        residuals = np.zeros(self.players)
        for i in range(self.players):
            rows = at.rows[:, self.own[i]]
            residuals[i] = self._multiply(i, at.gradient[self.own[i]], rows, limits[i], nu, strong)
        again = self._partial(nu)
        found = []
        for i in range(self.players):
            hessian = again.jacobian[np.ix_(self.own[i], self.own[i])]
            found.append(self._curvature(i, hessian, at.rows[:, self.own[i]], strong, np.zeros(0, int), strong))
        return self._gathered(at, again, residuals, limits, found, nu, strong, hierarchical=False)

    def _multiply(
        self, i: int, gradient: np.ndarray, rows: np.ndarray, limit: float, nu: np.ndarray, strong: np.ndarray
    ) -> float:
        """Writes the player's multipliers; returns what they leave of the gradient."""
        mine = self._own_active(i)
        nu[mine], left = multipliers(rows[mine], gradient, self.equality[mine])
        pressed = np.abs(nu[mine]) * np.linalg.norm(rows[mine], axis=1) > limit
        strong[mine] = self.equality[mine] | pressed
        return float(np.linalg.norm(left))

    def _curvature(
        self, i: int, hessian: np.ndarray, rows: np.ndarray, strong: np.ndarray, borders: np.ndarray, held: np.ndarray
    ) -> tuple[np.ndarray, bool | None, np.ndarray]:
        """The spectrum along what isn't held, whether the second-order condition holds, and a basis.

        `borders` are those of the piece, `held` which of all rows have a multiplier.
        """
        mine = np.concatenate([self._own_active(i), borders])
        fixed = np.where(np.isin(mine, borders), held[mine], strong[mine])
        return second_order(hessian, rows[mine[fixed]], rows[mine[~fixed]], self.tolerances.curvature)

    def _hierarchical(self) -> tuple[Conditions, list[Side], dict[int, str]]:
        nu, strong, weak = np.zeros(self.n), np.zeros(self.n, bool), np.zeros(self.n, bool)
        residuals, limits = np.zeros(self.players), np.zeros(self.players)
        sides: list[Side] = []
        undecided: dict[int, str] = {}
        kinked: dict[int, list[Side]] = {}
        at = None
        for level in sorted(set(self.levels), reverse=True):
            at = self._total(nu, strong)
            members = [i for i in range(self.players) if self.levels[i] == level]
            below = np.array([self.levels[j] > level for j in self.of])
            for i in members:
                rows = at.rows[:, self.own[i]]
                limits[i] = self._limit(i, at)
                residuals[i] = self._multiply(i, at.gradient[self.own[i]], rows, limits[i], nu, strong)
            if np.any(below & weak):
                pieces, doubt = self._pieces(at, below, nu, strong, limits)
                for i in members:
                    kinked[i] = [self._side(i, piece, nu, limits[i]) for piece in pieces]
                    sides += kinked[i]
                    if doubt:
                        undecided[i] = doubt
            for i in members:
                weak[self.mine[i]] = (self.active & ~strong)[self.mine[i]]
        assert at is not None  # there is a level
        again = self._total(nu, strong)
        judged = []
        for i in range(self.players):
            hessian = self._total_hessian(i, again)
            found_i = self._curvature(i, hessian, at.rows[:, self.own[i]], strong, np.zeros(0, int), strong)
            if i in kinked:
                worst = max(kinked[i], key=lambda s: s.residual if np.isfinite(s.residual) else np.inf)
                residuals[i] = worst.residual
                verdicts = [s.curved for s in kinked[i]]
                curved = False if False in verdicts else None if None in verdicts else True
                worst = max(kinked[i], key=lambda s: np.max(s.spectrum, initial=-np.inf))
                found_i = (worst.spectrum, curved, found_i[2])
            judged.append(found_i)
        conditions = self._gathered(at, again, residuals, limits, judged, nu, strong, hierarchical=True)
        return conditions, sides, undecided

    def _later(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates of later levels, and those together with their multipliers."""
        later = [j for j in range(self.players) if self.levels[j] > self.levels[i]]
        nothing = np.zeros(0, int)
        u = np.concatenate([nothing, *(self.own[j] for j in later)])
        return u, np.concatenate([u, *(self.d + self.mine[j] for j in later)])

    def _total_hessian(self, i: int, at: _Slopes) -> np.ndarray:
        """Of the player's Lagrangian along the responses of later levels."""
        own, (_, later) = self.own[i], self._later(i)
        hessian: np.ndarray = at.jacobian[np.ix_(own, own)]
        if not later.size:
            return hessian
        below = at.jacobian[np.ix_(later, later)]
        try:
            answer = np.linalg.solve(below, at.jacobian[np.ix_(later, own)])
        except np.linalg.LinAlgError:  # the later levels have no response of their own here
            return np.full_like(hessian, np.nan)
        return hessian - at.jacobian[np.ix_(own, later)] @ answer

    def _pieces(
        self, at: _Slopes, below: np.ndarray, nu: np.ndarray, strong: np.ndarray, limits: np.ndarray
    ) -> tuple[list[Piece], str]:
        """All pieces that meet here; or the one that the multipliers tell, and why others aren't looked at."""
        loose = below & self.active & ~self.equality
        alone = [Piece(strong, nu, loose & ~strong)]
        if max(self.levels) > 1:
            return alone, "there are more than two levels"
        found = [Piece(strong & ~below, np.where(below, 0, nu), loose)]
        for j in (j for j in range(self.players) if self.levels[j] == 1):
            mine, own = self._own_active(j), self.own[j]
            rows, signed = at.rows[np.ix_(mine, own)], self.equality[mine]
            open_ = shared(rows) & ~signed
            if np.any(open_) and own.size > 1 and self._turning(j, mine[open_]):
                return alone, "the gradients of active constraints depend on each other, but not nearby"
            ways = supports(rows, at.gradient[own], signed, strong[mine] & ~open_, limits[j])
            if ways is None or len(ways) * len(found) > _SIDES:
                return alone, f"more than {_SIDES} pieces of it meet"
            if not ways:
                return alone, "active constraints depend on each other, and have no multipliers"
            found = [self._with(piece, mine, *way) for piece in found for way in ways]
        return found, ""

    def _with(self, piece: Piece, mine: np.ndarray, held: np.ndarray, nu: np.ndarray, weak: np.ndarray) -> Piece:
        """A piece on which a player holds some of its active constraints, of which `weak` ones have no multiplier."""
        piece = Piece(*(part.copy() for part in piece))
        piece.held[mine], piece.nu[mine], piece.borders[mine] = held, nu, (~held | weak) & piece.borders[mine]
        return piece

    def _turning(self, j: int, constraints: np.ndarray) -> bool:
        """Whether gradients of a player's constraints change with the joint action."""
        for k in constraints:
            unit: Any = np.eye(self.n)[k]
            changes = np.asarray(_conditions.bounds(self.game, self.actions, unit, self.of)[2])[self.own[j]]
            if not np.max(np.abs(changes)) <= _STILL * np.linalg.norm(self.partial[k]):
                return True
        return False

    def _side(self, i: int, piece: Piece, nu: np.ndarray, limit: float) -> Side:
        """The player's conditions on a piece.

        There it maximises under one more constraint for each border: that a held constraint's multiplier, or a free
        one's slack, isn't negative.
        """
        nu = np.where([self.levels[j] > self.levels[i] for j in self.of], piece.nu, nu)
        nu[self.mine[i]] = 0
        at = self._total(nu, piece.held)
        rows, gradient = at.rows[:, self.own[i]], at.gradient[self.own[i]]
        borders = np.flatnonzero(piece.borders)
        mine = np.concatenate([self._own_active(i), borders])
        found, left = multipliers(rows[mine], gradient, self.equality[mine])
        pressed = np.zeros(self.n, bool)
        pressed[mine] = self.equality[mine] | (np.abs(found) * np.linalg.norm(rows[mine], axis=1) > limit)
        rho = np.zeros((self.players, self.n))
        own = np.isin(mine, self.mine[i])
        nu[mine[own]], rho[i, mine[~own]] = found[own], found[~own]
        hessian = self._total_hessian(i, self._total(nu, piece.held, rho))
        spectrum, curved, _ = self._curvature(i, hessian, rows, pressed, borders, pressed)
        held = tuple(map(int, np.flatnonzero(piece.held & ~self.equality)))
        held = tuple(k for k in held if k not in self.mine[i])
        ends = bool(np.any(pressed[borders]))
        return Side(i, held, gradient, float(np.linalg.norm(left)), spectrum, curved, ends)

    def _gathered(
        self,
        at: _Slopes,
        again: _Slopes,
        residuals: np.ndarray,
        limits: np.ndarray,
        judged: list[tuple[np.ndarray, bool | None, np.ndarray]],
        nu: np.ndarray,
        strong: np.ndarray,
        *,
        hierarchical: bool,
    ) -> Conditions:
        bases = tuple(basis for _, _, basis in judged)
        owners = np.repeat(np.arange(self.players), [basis.shape[1] for basis in bases])
        return Conditions(
            residuals=residuals,
            limits=limits,
            spectra=tuple(spectrum for spectrum, _, _ in judged),
            curved=tuple(curved for _, curved, _ in judged),
            multipliers=nu,
            strong=strong,
            jacobian=self._dynamic(at, again, bases, strong, hierarchical),
            owners=owners,
            bases=bases,
            slopes=at.gradient,
            full=again.jacobian,
        )

    def _dynamic(
        self,
        at: _Slopes,
        again: _Slopes,
        bases: tuple[np.ndarray, ...],
        strong: np.ndarray,
        hierarchical: bool,
    ) -> np.ndarray:
        """The Jacobian of ascent that holds what is held, in coordinates of the directions that are left.

        Where a held constraint depends on others' actions, the player keeps to it as they move.
        """
        moved = np.zeros((self.d, self.d))  # the derivatives of the players' Lagrangians, multipliers moving along
        by = np.zeros((self.n, self.d))  # and of the multipliers
        for i in sorted(range(self.players), key=lambda i: -self.levels[i]):
            own = self.own[i]
            below = np.array([hierarchical and self.levels[j] > self.levels[i] for j in self.of])
            moved[own] = (
                again.jacobian[own, : self.d]
                + again.jacobian[np.ix_(own, self.d + np.flatnonzero(below))] @ (by[below])
            )
            mine = self.mine[i][strong[self.mine[i]]]
            if mine.size and np.all(np.isfinite(moved[own])) and np.all(np.isfinite(at.rows)):
                by[mine] = np.linalg.pinv(at.rows[np.ix_(mine, own)].T) @ moved[own]
        left, kept = [], []
        for i, basis in enumerate(bases):
            block = np.zeros((basis.shape[1], self.d))
            block[:, self.own[i]] = basis.T
            left.append(block)
            mine = self.mine[i][strong[self.mine[i]]]
            rows = self.partial[mine].copy()
            if hierarchical:
                rows[:, self._later(i)[0]] = 0  # who answers, answers: its total derivative has that
            rows[:, self.own[i]] = at.rows[np.ix_(mine, self.own[i])]
            kept.append(rows)
        project = np.concatenate(left)
        whole = np.concatenate([project, *kept])
        if not np.all(np.isfinite(whole)):
            return np.full((len(project),) * 2, np.nan)
        along = np.linalg.pinv(whole)[:, : len(project)]
        return np.asarray(project @ moved @ along)
