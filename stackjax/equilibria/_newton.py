"""Newton's method on the conditions with multipliers, from many starts at once, with predicted active sets.

A semismooth Newton method (the primal-dual active-set strategy of Hintermueller, Ito & Kunisch, 2002): the next
active set is the one that the last multipliers and constraints predict, and where that is the right one a step is
Newton's. Where a follower's constraint becomes active the leader's value has a kink, at which the prediction goes to
and fro; so a leader's maxima are also searched on one *piece* of its value at a time, on which the followers' active
set is fixed, and the piece's borders constrain the leader. The next pieces are those beyond borders that bind.

Where that isn't the right way, such as where payoffs are linear and no step leads anywhere, the same conditions are
solved in the equations of Fischer (1992), `a + b = sqrt(a^2 + b^2)` for a multiplier a and what is left to its
constraint b, by the steps of Levenberg and Marquardt, from the same start.
"""

import itertools
from typing import Any, NamedTuple

import jax
import numpy as np

from stackjax.equilibria import _conditions
from stackjax.equilibria._conditions import Constraint
from stackjax.equilibria._multipliers import shared, supports
from stackjax.protocols import Game, level_of

_STEPS = 40  # of each search
_ANSWERS = 20  # steps towards the followers' answer to a start
_CROSSINGS = 3  # from a piece to the next
_BATCH = 32  # points that are evaluated at once
_NEXT = 8  # pieces beyond one point
_FISCHER = 60  # steps of a search by Fischer's equations
_STUCK = 1e8  # damping of these beyond which it goes nowhere
_EDGE = 1e-6  # nearer to a bound than this is at it
_ENTRIES = 2**24  # numbers that an intermediate result of one evaluation may have
_LOST = 1e12  # a larger coordinate isn't on the way to anything
_HUGE = 1e100  # nor is a larger derivative
#: Coordinates and constraints, together, of the largest games whose boundary is searched.
LARGEST = 200


class Ends(NamedTuple):
    """Where searches led, with a leading axis.

    **Attributes:** `points`, joint actions; `good`: whether the conditions hold there; `inside`: whether no constraint
    is active; `isolated`: whether no other such points are near; `start`, the index of where it came from.
    """

    points: tuple[Any, ...]
    good: np.ndarray
    inside: np.ndarray
    isolated: np.ndarray
    start: np.ndarray


class _State(NamedTuple):
    u: np.ndarray
    nu: np.ndarray
    rho: np.ndarray
    held: np.ndarray


class Search:
    """The searches of one game from given starts."""

    def __init__(
        self,
        game: Game,
        constraints: tuple[Constraint, ...],
        starts: tuple[Any, ...],
        tolerance: float,
        singular: float,
    ):
        self.game, self.tolerance, self.singular = game, tolerance, singular
        self.starts = jax.tree.map(np.asarray, starts)
        self.of = tuple(c.player for c in constraints)
        self.equality = np.array([c.equality for c in constraints], bool)
        self.levels = np.array([level_of(game, i) for i in range(len(game.spaces))])
        dims = [space.dimension for space in game.spaces]
        self.d, self.n = sum(dims), len(constraints)
        self.count = jax.tree.leaves(starts)[0].shape[0]
        answering = np.repeat(self.levels > 0, dims), self.levels[np.asarray(self.of, int)] > 0
        self.theirs = answering[1]
        self.later = np.flatnonzero(np.concatenate(answering))
        self.first = np.flatnonzero(~answering[0])
        self.own = np.split(np.arange(self.d), np.cumsum(dims)[:-1])

    @property
    def feasible(self) -> bool:
        """Whether the game is small enough."""
        return self.d + self.n <= LARGEST

    def simultaneous(self) -> list[Ends]:
        """Where all players' own conditions hold."""
        return [self._ends(*self._solve(self._begin(), np.arange(self.count), hierarchical=False))]

    def hierarchical(self) -> list[Ends]:
        """Where the conditions along the responses hold, and then the maxima of a leader's value on its pieces."""
        everyone = np.arange(self.count)
        found = [self._ends(*self._solve(self._begin(), everyone))]
        if np.sum(self.levels == 0) > 1 or self.levels.max() != 1 or not self.theirs.any():
            return found
        state, good = self._solve(self._begin(), everyone, steps=_ANSWERS, answer=True)[:2]
        state = state._replace(nu=np.where(self.theirs, state.nu, 0))
        start = np.flatnonzero(good)
        state = _State(*(x[start] for x in state))
        for _ in range(1 + _CROSSINGS):
            if not start.size:
                break
            ended = self._solve(state, start, piece=True)
            found.append(self._ends(*ended))
            state, good, _, start = ended
            binding = self.theirs & (state.rho > self.tolerance) & good[:, None]
            across = np.flatnonzero(binding.any(axis=1))
            across = across[np.sort(np.unique(np.round(state.u[across], 6), axis=0, return_index=True)[1])]
            if not across.size:
                break
            state, start = _State(*(x[across] for x in state)), start[across]
            at, _ = self._evaluate(state, start, np.zeros(self.n, bool), True)
            beyond = [(n, held) for n in range(across.size) for held in self._beyond(state, at, n)][: self.count]
            some = np.asarray([n for n, _ in beyond], int)
            held = np.asarray([held for _, held in beyond], bool).reshape(-1, self.n)
            state, start = _State(state.u[some], state.nu[some], 0 * state.rho[some], held), start[some]
        return found

    def _beyond(self, state: _State, at: _conditions.Values, n: int) -> list[np.ndarray]:
        """Which constraints are held on the other pieces that meet at a point."""
        u, nu, held = state.u[n], state.nu[n], state.held[n]
        size = max(1.0, float(np.max(np.abs(u), initial=0.0)))
        near = held | (at.constraints[n] >= -_EDGE * size * np.linalg.norm(at.partial[n], axis=1))
        ways = []
        for j in np.flatnonzero(self.levels > 0):
            mine = np.flatnonzero(near & (np.asarray(self.of) == j))
            rows, slope = at.partial[n][np.ix_(mine, self.own[j])], at.gradient[n][self.own[j]]
            certain = ~shared(rows) & (nu[mine] * np.linalg.norm(rows, axis=1) > _EDGE)
            found = supports(rows, slope, self.equality[mine], certain, _EDGE * max(1.0, float(np.linalg.norm(slope))))
            ways.append([mine[chosen] for chosen, *_ in found or []])
        others = []
        for chosen in itertools.islice(itertools.product(*ways), _NEXT + 1):
            other = held & ~self.theirs
            other[np.concatenate(chosen)] = True
            if (other != held).any():
                others.append(other)
        return others[:_NEXT]

    def _begin(self) -> _State:
        nothing = np.zeros((self.count, self.n))
        return _State(np.zeros((self.count, self.d)), nothing, nothing, np.zeros((self.count, self.n), bool))

    def _evaluate(self, state: _State, start: np.ndarray, predicted: Any, hierarchical: bool) -> Any:
        """At the states, so many at once that one program serves all."""
        size = min(_BATCH, self.count)
        rho = np.zeros((start.size, len(self.levels), self.n))
        rho[:, 0] = state.rho
        held = state.held | self.equality
        together = int(np.clip(_ENTRIES // (self.d + self.n) ** 3, 1, size))
        parts = []
        for first in range(0, start.size, size):
            some = np.resize(np.arange(first, min(first + size, start.size)), size)
            centers = jax.tree.map(lambda x: x[start[some]], self.starts)  # noqa: B023  (called at once)
            found = _conditions.values_of_many(
                self.game,
                centers,
                state.u[some],
                state.nu[some],
                rho[some],
                held[some],
                predicted,
                of=self.of,
                hierarchical=hierarchical,
                together=together,
            )
            parts.append(found)
        values, found_held = jax.tree.map(lambda *xs: np.concatenate(xs)[: start.size], *parts)
        return values, found_held

    def _solve(
        self,
        state: _State,
        start: np.ndarray,
        *,
        hierarchical: bool = True,
        answer: bool = False,
        piece: bool = False,
        steps: int = _STEPS,
    ) -> tuple[_State, np.ndarray, np.ndarray, np.ndarray]:
        """Where it ends, whether the conditions hold, whether their Jacobian is regular, and the starts.

        `answer`: the first level stays; `piece`: the later levels' active set does. In both cases what doesn't end
        where the conditions hold is searched by Fischer's equations too.
        """
        predicted = ~self.equality & ~(self.theirs & piece)
        begin, moving = state, np.arange(start.size)
        state = _State(*(np.array(x) for x in state))
        for step in range(steps + 1):
            some = _State(*(x[moving] for x in state))
            # Those of the last level are the same along responses, and sooner had without.
            at, state.held[moving] = self._evaluate(some, start[moving], predicted, hierarchical and not answer)
            new = self._system(_State(*(x[moving] for x in state)), at, answer, piece)
            if not step:
                right, matrix = (np.array(x) for x in new)
            right[moving], matrix[moving] = new
            usable = (np.abs(right) < _HUGE).all(1) & (np.abs(matrix) < _HUGE).all((1, 2))  # NaN isn't
            good = usable & (np.linalg.norm(np.where(usable[:, None], right, 0), axis=1) <= self.tolerance)
            lost = np.max(np.abs(state.u), axis=1, initial=0.0) >= _LOST
            moving = np.flatnonzero(usable & ~good & ~lost)
            if step == steps or not moving.size:
                break
            some = _State(*(x[moving] for x in state))
            moved = self._moved(some, -_solved(matrix[moving], right[moving]), answer)
            for part, changed in zip(state, moved, strict=True):
                part[moving] = changed
        values = np.linalg.svd(np.where(usable[:, None, None], matrix, 0), compute_uv=False)
        regular = values[:, -1] > self.singular * np.maximum(values[:, 0], np.finfo(float).tiny)
        if (answer or piece) and not good.all():
            rest = np.flatnonzero(~good)
            other, fine, isolated = self._by_fischer(_State(*(x[rest] for x in begin)), start[rest], answer, piece)
            pairs = zip((*state, good, regular), (*other, fine, isolated), strict=True)
            *parts, good, regular = (_replaced(old, rest, new) for old, new in pairs)
            state = _State(*parts)
        return state, good, regular, start

    def _system(
        self, state: _State, at: _conditions.Values, answer: bool, piece: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """What vanishes, and its Jacobian in what is unknown."""
        if piece:
            return self._with_borders(state, at)
        if answer:
            return at.conditions[:, self.later], at.jacobian[:, self.later[:, None], self.later]
        return at.conditions, at.jacobian

    def _moved(self, state: _State, change: np.ndarray, answer: bool) -> _State:
        """After a change of the unknowns."""
        z = np.concatenate([state.u, state.nu, state.rho], axis=1)
        if answer:
            z[:, self.later] += change
        else:
            unknown = np.r_[: self.d + self.n, self.d + self.n + np.flatnonzero(self.theirs)]
            z[:, unknown[: change.shape[1]]] += change
        return _State(z[:, : self.d], z[:, self.d : self.d + self.n], z[:, self.d + self.n :], state.held)

    def _by_fischer(
        self, state: _State, start: np.ndarray, answer: bool, piece: bool
    ) -> tuple[_State, np.ndarray, np.ndarray]:
        """The same search as `_solve`'s by other steps; at the end its equations are those of `_solve` again."""
        count = start.size
        worth, damping = np.full(count, np.inf), np.full(count, 1e-3)
        best, trial, moving = _State(*(np.array(x) for x in state)), state, np.arange(count)
        nothing, predicted = np.zeros(self.n, bool), ~self.equality & ~(self.theirs & piece)
        for step in range(_FISCHER + 1):
            at, _ = self._evaluate(trial, start[moving], nothing, not answer)
            right, jacobian = self._smoothed(trial, at, answer, piece)
            if not step:
                left, matrix = np.array(right), np.array(jacobian)
            finite = (np.abs(right) < _HUGE).all(1) & (np.abs(jacobian) < _HUGE).all((1, 2))
            new = np.where(finite, np.sum(np.where(finite[:, None], right, 0) ** 2, axis=1), np.inf)
            better = new < worth[moving]
            gained = moving[better]
            for whole, part in ((worth, new), (left, right), (matrix, jacobian), *zip(best, trial, strict=True)):
                whole[gained] = part[better]
            damping[moving] = np.clip(damping[moving] * np.where(better, 0.2, 4.0), 1e-14, _STUCK)
            open_ = np.isfinite(worth) & (worth > (self.tolerance / 100) ** 2) & (damping < _STUCK)
            moving = moving[open_[moving]]
            if step == _FISCHER or not moving.size:
                break
            j = matrix[moving]
            normal = np.swapaxes(j, 1, 2) @ j
            diagonal = np.einsum("nii->ni", normal)
            diagonal += damping[moving, None] * (diagonal + 1e-12 * diagonal.sum(1, keepdims=True) + 1e-30)
            change = -_solved(normal, (np.swapaxes(j, 1, 2) @ left[moving][..., None])[..., 0])
            trial = self._moved(_State(*(x[moving] for x in best)), change, answer)
        near = worth <= self.tolerance**2
        at, held = self._evaluate(best, start, predicted, not answer)
        best = best._replace(held=held)
        right, matrix = self._system(best, at, answer, piece)
        usable = (np.abs(right) < _HUGE).all(1) & (np.abs(matrix) < _HUGE).all((1, 2))
        values = np.linalg.svd(np.where(usable[:, None, None], matrix, 0), compute_uv=False)
        regular = usable & (values[:, -1] > self.singular * np.maximum(values[:, 0], np.finfo(float).tiny))
        return best, near, regular

    def _smoothed(
        self, state: _State, at: _conditions.Values, answer: bool, piece: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """`_system` with Fischer's equations in place of those for which it has predicted whether they are held."""
        theirs = np.flatnonzero(self.theirs)
        asked = np.flatnonzero(~self.equality & (self.theirs if answer else ~self.theirs))
        rows = np.zeros((len(state.u), asked.size, self.d + self.n))
        rows[:, :, : self.d] = -at.partial[:, asked]
        unit = np.zeros_like(rows)
        unit[:, np.arange(asked.size), self.d + asked] = 1
        conditions, jacobian = at.conditions.copy(), at.jacobian.copy()
        conditions[:, self.d + asked], jacobian[:, self.d + asked] = _fischer(
            state.nu[:, asked], -at.constraints[:, asked], unit, rows
        )
        smoothed = at._replace(conditions=conditions, jacobian=jacobian)
        right, matrix = self._system(state, smoothed, answer, piece)
        if piece:
            borders, slopes = self._borders(state, at)
            wide = np.zeros((*slopes.shape[:2], matrix.shape[2]))
            wide[..., : self.d + self.n] = -slopes
            unit = np.zeros_like(wide)
            unit[:, np.arange(theirs.size), self.d + self.n + np.arange(theirs.size)] = 1
            last = slice(self.d + self.n, None)
            right[:, last], matrix[:, last] = _fischer(state.rho[:, theirs], -borders, unit, wide)
        return right, matrix

    def _borders(self, state: _State, at: _conditions.Values) -> tuple[np.ndarray, np.ndarray]:
        """What is at most 0 on the later players' piece, and its derivatives in coordinates and multipliers."""
        theirs = np.flatnonzero(self.theirs)
        held = state.held[:, theirs]
        rows = np.zeros((len(held), theirs.size, self.d + self.n))
        rows[:, :, : self.d] = np.where(held[..., None], 0, at.partial[:, theirs])
        rows[:, np.arange(theirs.size), self.d + theirs] = np.where(held, -1, 0)
        free = self.equality[theirs]  # whose multipliers may have either sign
        return np.where(free, -1, np.where(held, -state.nu[:, theirs], at.constraints[:, theirs])), np.where(
            free[:, None], 0, rows
        )

    def _with_borders(self, state: _State, at: _conditions.Values) -> tuple[np.ndarray, np.ndarray]:
        """The conditions and their Jacobian, with the borders' multipliers as further unknowns."""
        theirs = np.flatnonzero(self.theirs)
        rho, (borders, rows) = state.rho[:, theirs], self._borders(state, at)
        binding = rho + borders > 0
        right = np.concatenate([at.conditions, np.where(binding, borders, rho)], axis=1)
        below = np.concatenate(
            [np.where(binding[..., None], rows, 0), np.eye(theirs.size) * ~binding[:, :, None]], axis=2
        )
        beside = np.zeros((len(rho), self.d + self.n, theirs.size))
        beside[:, self.first] = -np.swapaxes(at.rows[:, theirs[:, None], self.first], 1, 2)
        return right, np.concatenate([np.concatenate([at.jacobian, beside], axis=2), below], axis=1)

    def _ends(self, state: _State, good: np.ndarray, regular: np.ndarray, start: np.ndarray) -> Ends:
        fill = np.resize(np.arange(start.size), self.count)
        centers = jax.tree.map(lambda x: x[start[fill]], self.starts)
        given: Any = state.u[fill]
        points, finite = jax.tree.map(
            lambda x: np.asarray(x)[: start.size], _conditions.moved(self.game, centers, given)
        )
        inside = np.asarray(~state.held.any(axis=1) & ~(state.rho > self.tolerance).any(axis=1))
        return Ends(points, np.asarray(good & finite), inside, regular, start)


def _replaced(values: np.ndarray, where: np.ndarray, new: np.ndarray) -> np.ndarray:
    values = np.array(values)
    values[where] = new
    return values


def _fischer(a: np.ndarray, b: np.ndarray, slopes_a: np.ndarray, slopes_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`a + b - sqrt(a^2 + b^2)`, which is 0 where neither is negative and one is 0, and its derivatives."""
    r = np.hypot(a, b)
    # Where both are 0 the slope is that of equal parts.
    by_a, by_b = (1 - np.where(r > 0, c / np.where(r > 0, r, 1), np.sqrt(0.5)) for c in (a, b))
    return a + b - r, by_a[..., None] * slopes_a + by_b[..., None] * slopes_b


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Newton steps; the shortest ones where the system is singular."""
    try:
        return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        return np.asarray((np.linalg.pinv(matrix, rcond=1e-12) @ right[..., None])[..., 0])
