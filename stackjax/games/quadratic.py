"""Quadratic games: every equilibrium, of every hierarchy, in closed form."""

import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from stackjax.checks import as_number, concrete
from stackjax.protocols import Action, Game, one_leader
from stackjax.spaces import Euclidean

_UNROLLED = 8  # coordinates up to which payoffs are spelled out; the program grows with their square


class Quadratic(Game):
    """`f_i(z) = -z' Q_i z / 2 + b_i' z`, z the players' actions one after the other, in order of play.

    **Arguments:**

    - `Q`: one array `[d, d]` a player, d the sum of `dims`, of which the symmetric part is kept: nothing else matters;
      `b`: one array `[d]` a player.
    - `dims`: the dimension of every player's action, static.
    - `levels`: who moves together; default: one leader, the others in one level below.

    **Raises:** `ValueError` for shapes that don't fit.

    With a leading batch axis on every array (`random(..., batch=n)`) `nash` and `stackelberg` are batched too.
    """

    Q: tuple[Float[Array, "d d"], ...]
    b: tuple[Float[Array, " d"], ...]
    dims: tuple[int, ...] = eqx.field(static=True)
    levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(self, Q: Sequence[Any], b: Sequence[Any], dims: Sequence[int], levels: Any = None):
        given, self.b = tuple(jnp.asarray(q) for q in Q), tuple(jnp.asarray(v) for v in b)
        self.dims = tuple(int(d) for d in dims)
        players, d = len(self.dims), sum(self.dims)
        self.levels = one_leader(players) if levels is None else tuple(tuple(level) for level in levels)
        for name, arrays, shape in (("Q", given, (d, d)), ("b", self.b, (d,))):
            if len(arrays) != players or any(a.shape != shape for a in arrays):
                got = [a.shape for a in arrays]
                raise ValueError(f"{name}: expected {players} arrays of shape {shape} for dims {self.dims}, got {got}")
            if concrete(arrays) and not all(np.all(np.isfinite(np.asarray(a))) for a in arrays):
                raise ValueError(f"{name}: expected finite numbers")
        self.Q = tuple(0.5 * q + 0.5 * q.T for q in map(as_number, given))

    @staticmethod
    def random(
        key: PRNGKeyArray,
        dims: tuple[int, int],
        *,
        concavity: float = 1.0,
        coupling: float = 1.0,
        batch: int | None = None,
    ) -> "Quadratic":
        """A random general-sum game of a leader and a follower with one Nash and one Stackelberg equilibrium.

        Every entry is normal with standard deviation `coupling / sqrt(d)`, symmetrised; then the follower's own block
        is shifted until its smallest eigenvalue is `concavity`, and the leader's until that holds for its own block and
        for its reduced Hessian `T' Q_1 T`, `T = [I; dr/dx]`. `batch` puts that many games on a leading axis.
        """
        return _drawn(_random, key, dims, concavity, coupling, batch)

    @staticmethod
    def random_zero_sum(
        key: PRNGKeyArray,
        dims: tuple[int, int],
        *,
        concavity: float = 1.0,
        coupling: float = 1.0,
        batch: int | None = None,
    ) -> "Quadratic":
        """A random zero-sum game with one Stackelberg equilibrium, which is also a critical point for Nash.

        As `random`, with `Q_2 = -Q_1` and `b_2 = -b_1`, but the leader's block is only shifted until the smallest
        eigenvalue of its reduced Hessian is `concavity`. Its own block then may or may not be positive definite: where
        it isn't, the point is no Nash equilibrium.
        """
        return _drawn(_random_zero_sum, key, dims, concavity, coupling, batch)

    @property
    def spaces(self) -> tuple[Euclidean, ...]:
        """One Euclidean space a player."""
        return tuple(Euclidean((d,)) for d in self.dims)

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """`-z' Q_i z / 2 + b_i' z`."""
        if sum(self.dims) > _UNROLLED:
            z = jnp.concatenate(actions)
            return tuple(z @ (b - 0.5 * (q @ z)) for q, b in zip(self.Q, self.b, strict=True))
        # Over a batch the entries one by one make plain vector arithmetic; products of small matrices cost several
        # times as much, most of all where every replicate has its own.
        entries = [action[i] for action in actions for i in range(action.shape[0])]

        def payoff(q: Array, b: Array) -> Array:
            total = jnp.zeros((), q.dtype)
            for k, z in enumerate(entries):
                slope = b[k] - 0.5 * q[k, k] * z
                for j, other in enumerate(entries[:k]):
                    slope = slope - q[k, j] * other
                total = total + z * slope
            return total

        return tuple(payoff(q, b) for q, b in zip(self.Q, self.b, strict=True))

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array:
        """The zero of the own gradient; NaN where there is no maximum, its block not being positive definite."""
        own = self._own(player)
        filled = [jnp.zeros(self.dims[j], self.Q[player].dtype) if j == player else a for j, a in enumerate(actions)]
        z = jnp.concatenate([jnp.asarray(a) for a in filled])
        q = _symmetric(self.Q[player])
        return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(q[own, own]), True), self.b[player][own] - q[own] @ z)

    def nash(self) -> tuple[Array, ...]:
        """The joint action at which every player's own gradient vanishes; NaN if some player isn't at a maximum."""
        return self._equilibrium((tuple(range(len(self.dims))),), True)

    def stackelberg(self) -> tuple[Array, ...]:
        """By backward substitution: each level's affine answer to the levels before it is put into their payoffs.

        NaN if some player isn't at a maximum, its (reduced) Hessian not being negative definite.
        """
        return self._equilibrium(self.levels, True)

    def critical_points(self) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """The zeros of the simultaneous and of the hierarchical direction, be they equilibria or not."""
        return self._equilibrium((tuple(range(len(self.dims))),), False), self._equilibrium(self.levels, False)

    @functools.partial(jax.jit, static_argnums=(1, 2))
    def _equilibrium(self, levels: tuple[tuple[int, ...], ...], maximal: bool) -> tuple[Array, ...]:
        if self.Q[0].ndim > 2:
            return jax.vmap(lambda game: game._equilibrium(levels, maximal))(self)
        # z = spread @ u + offset, u the actions of the levels that are not yet eliminated
        d = sum(self.dims)
        spread, offset = jnp.eye(d, dtype=self.Q[0].dtype), jnp.zeros(d, self.Q[0].dtype)
        concave = jnp.asarray(True)
        for level in reversed(levels):
            first = sum(self.dims[: level[0]])
            rows = []
            for i in level:
                hessian = spread.T @ _symmetric(self.Q[i]) @ spread
                linear = spread.T @ (self.b[i] - _symmetric(self.Q[i]) @ offset)
                rows.append((hessian[self._own(i)], linear[self._own(i)]))
                if maximal:
                    concave &= jnp.linalg.eigvalsh(hessian[self._own(i), self._own(i)])[0] > 0
            conditions, right = (jnp.concatenate(part) for part in zip(*rows, strict=True))
            answer = jnp.linalg.solve(
                conditions[:, first:], jnp.concatenate([-conditions[:, :first], right[:, None]], axis=1)
            )
            offset = offset + spread[:, first:] @ answer[:, -1]
            spread = spread[:, :first] + spread[:, first:] @ answer[:, :-1]
        return tuple(jnp.where(concave, z, jnp.nan) for z in self._players(offset))

    def _own(self, player: int) -> slice:
        first = sum(self.dims[:player])
        return slice(first, first + self.dims[player])

    def _players(self, z: Array) -> tuple[Array, ...]:
        return tuple(z[self._own(i)] for i in range(len(self.dims)))


def _drawn(draw: Any, key: PRNGKeyArray, dims: Any, concavity: Any, coupling: Any, batch: int | None) -> Quadratic:
    one = functools.partial(draw, dims=tuple(dims), concavity=concavity, coupling=coupling)
    Q, b = one(key) if batch is None else jax.vmap(one)(jax.random.split(key, batch))
    if batch is None:
        return Quadratic(Q, b, dims)
    first = jax.tree.map(lambda x: x[0], (Q, b))
    return eqx.tree_at(lambda game: (game.Q, game.b), Quadratic(first[0], first[1], dims), (Q, b))


def _drawn_pair(key: PRNGKeyArray, d: int, coupling: Any) -> tuple[list[Array], list[Array]]:
    keys = jax.random.split(key, 4)
    q = [coupling * _symmetric(jax.random.normal(k, (d, d))) / d**0.5 for k in keys[:2]]
    return q, [jax.random.normal(k, (d,)) for k in keys[2:]]


def _shifted(q: Array, block: slice, least: Any, *own: Array) -> Array:
    """`q` plus the multiple of the identity on a block that would bring the eigenvalues of `own` up to `least`."""
    lowest = jnp.min(jnp.stack([jnp.linalg.eigvalsh(m)[0] for m in own]))
    diagonal = jnp.zeros(q.shape[0], q.dtype).at[block].set(1.0)
    return q + jnp.maximum(least - lowest, 0.0) * jnp.diag(diagonal)


def _spread(q2: Array, d1: int) -> Array:
    """`[I; dr/dx]`: how the joint action moves with the leader's."""
    return jnp.concatenate([jnp.eye(d1, dtype=q2.dtype), -jnp.linalg.solve(q2[d1:, d1:], q2[d1:, :d1])])


@functools.partial(jax.jit, static_argnames="dims")
def _random(
    key: PRNGKeyArray, *, dims: tuple[int, int], concavity: Any, coupling: Any
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    d1, d = dims[0], sum(dims)
    (q1, q2), (b1, b2) = _drawn_pair(key, d, coupling)
    q2 = _shifted(q2, slice(d1, d), concavity, q2[d1:, d1:])
    spread = _spread(q2, d1)
    q1 = _shifted(q1, slice(0, d1), concavity, q1[:d1, :d1], spread.T @ q1 @ spread)
    return (q1, q2), (b1, b2)


@functools.partial(jax.jit, static_argnames="dims")
def _random_zero_sum(
    key: PRNGKeyArray, *, dims: tuple[int, int], concavity: Any, coupling: Any
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    d1, d = dims[0], sum(dims)
    (_, q2), (_, b2) = _drawn_pair(key, d, coupling)
    q2 = _shifted(q2, slice(d1, d), concavity, q2[d1:, d1:])
    spread = _spread(q2, d1)
    q1 = _shifted(-q2, slice(0, d1), concavity, -spread.T @ q2 @ spread)
    return (q1, -q1), (-b2, b2)


def _symmetric(q: Array) -> Array:
    return (q + jnp.swapaxes(q, -1, -2)) / 2
