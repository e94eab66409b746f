"""Newton's method on the conditions with multipliers, from many starts at once, with predicted active sets.

A semismooth Newton method (the primal-dual active-set strategy of Hintermueller, Ito & Kunisch, 2002): the next
active set is the one that the last multipliers and constraints predict, and where that is the right one a step is
Newton's. Where a follower's constraint becomes active the leader's value has a kink, at which the prediction goes to
and fro; so a leader's maxima are also searched on one *piece* of its value at a time, on which the followers' active
set is fixed, and the piece's borders constrain the leader. The next pieces are those beyond borders that bind.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from stackjax.equilibria import _conditions
from stackjax.equilibria._conditions import Constraint
from stackjax.protocols import Game, level_of

_STEPS = 40  # of each search
_ANSWERS = 20  # steps towards the followers' answer to a start
_CROSSINGS = 3  # from a piece to the next
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
            # One step further, on the other side of the border that binds most.
            most = np.argmax(np.where(binding, state.rho, -1), axis=1)
            across = np.flatnonzero(binding.any(axis=1))
            across = across[np.sort(np.unique(np.round(state.u[across], 6), axis=0, return_index=True)[1])]
            held = state.held.copy()
            held[across, most[across]] ^= True
            state = _State(state.u[across], state.nu[across], 0 * state.rho[across], held[across])
            start = start[across]
        return found

    def _begin(self) -> _State:
        nothing = np.zeros((self.count, self.n))
        return _State(np.zeros((self.count, self.d)), nothing, nothing, np.zeros((self.count, self.n), bool))

    def _evaluate(self, state: _State, start: np.ndarray, predicted: np.ndarray, hierarchical: bool) -> Any:
        """At the states, padded to the number of starts so that one program serves all."""
        fill = np.resize(np.arange(start.size), self.count)
        rho = np.zeros((self.count, len(self.levels), self.n))
        rho[:, 0] = state.rho[fill]
        centers = jax.tree.map(lambda x: x[start[fill]], self.starts)
        given: Any = centers, state.u[fill], state.nu[fill], rho, (state.held | self.equality)[fill], predicted
        together = int(np.clip(_ENTRIES // (self.d + self.n) ** 3, 1, self.count))
        values, held = _conditions.values_of_many(
            self.game, *given, of=self.of, hierarchical=hierarchical, together=together
        )
        kept = slice(start.size)
        return _conditions.Values(*(np.asarray(x)[kept] for x in values)), np.asarray(held)[kept]

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

        `answer`: the first level stays; `piece`: the later levels' active set does.
        """
        predicted = ~self.equality & ~(self.theirs & piece)
        for step in range(steps + 1):
            at, held = self._evaluate(state, start, predicted, hierarchical)
            state = state._replace(held=held)
            right, matrix = at.conditions, at.jacobian
            if answer:
                right, matrix = right[:, self.later], matrix[:, self.later[:, None], self.later]
            if piece:
                right, matrix = self._with_borders(state, at)
            usable = (np.abs(right) < _HUGE).all(1) & (np.abs(matrix) < _HUGE).all((1, 2))  # NaN isn't
            good = usable & (np.linalg.norm(np.where(usable[:, None], right, 0), axis=1) <= self.tolerance)
            moving = usable & ~good
            moving &= np.max(np.abs(state.u), axis=1, initial=0.0) < _LOST
            if step == steps or not moving.any():
                break
            change = np.zeros_like(right)
            change[moving] = -_solved(matrix[moving], right[moving])
            z = np.concatenate([state.u, state.nu, state.rho], axis=1)
            if answer:
                z[:, self.later] += change
            else:
                unknown = np.r_[: self.d + self.n, self.d + self.n + np.flatnonzero(self.theirs)]
                z[:, unknown[: change.shape[1]]] += change
            state = _State(z[:, : self.d], z[:, self.d : self.d + self.n], z[:, self.d + self.n :], held)
        values = np.linalg.svd(np.where(usable[:, None, None], matrix, 0), compute_uv=False)
        regular = values[:, -1] > self.singular * np.maximum(values[:, 0], np.finfo(float).tiny)
        return state, good, regular, start

    def _with_borders(self, state: _State, at: _conditions.Values) -> tuple[np.ndarray, np.ndarray]:
        """The conditions and their Jacobian, with the borders' multipliers as further unknowns."""
        theirs = np.flatnonzero(self.theirs)
        held, rho = state.held[:, theirs], state.rho[:, theirs]
        borders = np.where(held, -state.nu[:, theirs], at.constraints[:, theirs])
        rows = np.zeros((len(held), theirs.size, self.d + self.n))
        rows[:, :, : self.d] = np.where(held[..., None], 0, at.partial[:, theirs])
        rows[:, np.arange(theirs.size), self.d + theirs] = np.where(held, -1, 0)
        binding = rho + borders > 0
        right = np.concatenate([at.conditions, np.where(binding, borders, rho)], axis=1)
        below = np.concatenate(
            [np.where(binding[..., None], rows, 0), np.eye(theirs.size) * ~binding[:, :, None]], axis=2
        )
        beside = np.zeros((len(held), self.d + self.n, theirs.size))
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


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Newton steps; the shortest ones where the system is singular."""
    try:
        return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        return np.asarray((np.linalg.pinv(matrix, rcond=1e-12) @ right[..., None])[..., 0])
