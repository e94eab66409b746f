"""First-order conditions with multipliers, at given active sets, and their derivatives.

In float64 and in coordinates of the spaces' tangents, in which a simplex' sum is built in. All players' coordinates `u`
`[d]` stand before the multipliers `nu` `[N]` of all their constraints, `c <= 0` or `c = 0`. With L the player's
Lagrangian, its payoff minus its multipliers times its constraints, its conditions are that the derivative of L along
the responses of later levels vanishes, that `c = 0` where a constraint is held, and `nu = 0` elsewhere. The responses
are those that the later players' conditions define, so that their multipliers move along.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from stackjax._constraints import flat, has_constraints, is_constrained, of_player
from stackjax.equilibria._local import Tangent
from stackjax.protocols import Action, Game, level_of
from stackjax.spaces import Box, Polytope, Simplex, Space


class Constraint(NamedTuple):
    """One of a player's constraints: in words, and whether it is an equality."""

    player: int
    words: str
    equality: bool


def described(game: Game) -> tuple[Constraint, ...]:
    """All constraints, player by player, as `System.constraints` has them; none where nothing can bind."""
    if not (has_constraints(game) or any(space.bounded for space in game.spaces)):
        return ()
    found = []
    actions = tuple(space.struct(jnp.float64) for space in game.spaces)
    for i, space in enumerate(game.spaces):

        def counted(z: tuple[Action, ...], i: int = i, space: Space = space) -> tuple[Any, ...]:
            return (
                space.inequalities(z[i]),
                *(flat(f(i, z), jnp.float64) for f in (game.inequalities, game.equalities)),
                _space_equalities(space, z[i]),
            )

        bounds, inequalities, equalities, of_space = (s.size for s in jax.eval_shape(counted, actions))
        found += [Constraint(i, words, False) for words in _bounds(space, bounds)]
        found += [Constraint(i, f"inequality {k}", False) for k in range(inequalities)]
        found += [Constraint(i, f"equality {k} of its space", True) for k in range(of_space)]
        found += [Constraint(i, f"equality {k}", True) for k in range(equalities)]
    return tuple(found)


def _space_equalities(space: Space, action: Action) -> Array:
    """Those that moving along the space's tangent doesn't keep anyway."""
    found = space.equalities(action)
    return found if space.dimension == space.size else found[:0]


def _bounds(space: Space, count: int) -> list[str]:
    """A space's inequalities in words."""
    if isinstance(space, Box):
        where = [_entry(k, space.shape) for k in range(space.size)]
        return [f"{side} bound{f' of coordinate {w}' if w else ''}" for side in ("lower", "upper") for w in where]
    if isinstance(space, Simplex):
        return [
            f"entry {k % space.n}{f' of vector {_entry(k // space.n, space.shape)}' if space.shape else ''} is 0"
            for k in range(count)
        ]
    if isinstance(space, Polytope):
        return [f"row {k} of A z <= b" for k in range(count)]
    return [f"bound {k} of its space" for k in range(count)]


def _entry(k: int, shape: tuple[int, ...]) -> str:
    index = [int(j) for j in np.unravel_index(k, shape)] if shape else []
    return str(tuple(index)) if len(index) > 1 else "".join(map(str, index))


class System(eqx.Module):
    """The conditions about a joint action, given which constraints are held.

    `rho` `[players, N]` are multipliers of the borders of the piece on which the later players' active set is the held
    one: there a constraint of theirs that isn't held is at most 0, and the multiplier of one that is held at least 0.
    """

    at: Tangent
    held: Bool[Array, " N"]
    rho: Float[Array, "players N"]
    of: tuple[int, ...] = eqx.field(static=True)  # whose each constraint is
    hierarchical: bool = eqx.field(static=True)

    @property
    def _d(self) -> int:
        return sum(space.dimension for space in self.at.game.spaces)

    def own(self, i: int) -> np.ndarray:
        """The player's coordinates."""
        ends = np.cumsum([space.dimension for space in self.at.game.spaces])
        return np.arange(ends[i] - self.at.game.spaces[i].dimension, ends[i])

    def mine(self, i: int) -> np.ndarray:
        """The player's constraints."""
        return np.flatnonzero(np.asarray(self.of, int) == i)

    def later(self, i: int) -> list[int]:
        """Who answers the player."""
        mine = level_of(self.at.game, i)
        players = range(len(self.at.game.spaces))
        return [j for j in players if self.hierarchical and level_of(self.at.game, j) > mine]

    def constraints(self, u: Float[Array, " d"], players: list[int] | None = None) -> Float[Array, " N"]:
        """All constraints, each player's inequalities first; or those of some players."""
        game, actions = self.at.game, self.at.moved(*self.at.split(u))
        found = [u[:0]]
        for i in range(len(game.spaces)) if players is None else players:
            if not self.mine(i).size:
                continue
            both = of_player(game, i, actions)
            # Its space's equalities come first: what the tangent keeps anyway is left out.
            kept = _space_equalities(game.spaces[i], actions[i]).size
            skipped = game.spaces[i].equalities(actions[i]).size - kept
            found += [both.inequalities.astype(u.dtype), both.equalities[skipped:].astype(u.dtype)]
        return jnp.concatenate(found)

    def _vector(self, i: int, z: Float[Array, " d+N"]) -> Array:
        """The player's constraints, the borders of the later ones' piece, and the player's payoff."""
        u, later = z[: self._d], self.later(i)
        values = self.constraints(u, [i, *later])
        theirs = self._constraints_of(later)
        borders = jnp.where(self.held[theirs], -z[self._d + theirs], values[self.mine(i).size :])
        payoff = jnp.asarray(self.at.payoffs(*self.at.split(u))[i])
        return jnp.concatenate([values[: self.mine(i).size], borders, payoff[None]])

    def _constraints_of(self, players: list[int]) -> np.ndarray:
        return np.concatenate([np.zeros(0, int), *(self.mine(j) for j in players)])

    def _conditions_of(self, i: int, z: Float[Array, " d+N"]) -> tuple[Array, Array]:
        """A later player's, with its multipliers alone: no border binds those who only answer."""
        mine = self.mine(i)

        def lagrangian(z: Float[Array, " d+N"]) -> Array:
            values = self._vector(i, z)
            return values[-1:] - z[self._d + mine] @ values[: mine.size]

        slope = self._total(lagrangian, i, z)[0]
        return slope, self._complementary(i, z)

    def _complementary(self, i: int, z: Float[Array, " d+N"]) -> Array:
        mine = self.mine(i)
        return jnp.where(self.held[mine], self.constraints(z[: self._d], [i]), z[self._d + mine])

    def _total(self, function: Any, i: int, z: Float[Array, " d+N"]) -> Float[Array, "r d_i"]:
        """The derivatives of a vector in the player's coordinates, along the responses of later levels."""
        slopes, own, later = jax.jacrev(function)(z), self.own(i), self.later(i)
        if not later:
            return slopes[:, own]
        unknown = np.concatenate([np.concatenate([self.own(j), self._d + self.mine(j)]) for j in later])

        def conditions(z: Float[Array, " d+N"]) -> Array:
            return jnp.concatenate([part for j in later for part in self._conditions_of(j, z)])

        jacobian = jax.jacfwd(conditions)(z)
        adjoint = jnp.linalg.solve(jacobian[:, unknown].T, slopes[:, unknown].T)
        return slopes[:, own] - adjoint.T @ jacobian[:, own]

    def conditions(self, z: Float[Array, " d+N"]) -> tuple[Array, Array, Array]:
        """All players' conditions `[d + N]`: the derivatives, and then `c` or `nu`.

        And of what they are made: the derivatives `[d]` of the players' payoffs, each in its own coordinates along
        later levels' responses, and those `[N, d]`, in each player's coordinates, of its own constraints and of the
        borders of the later ones' piece.
        """
        slopes, gradients, rows, rest = [], [], [], []
        for i in range(len(self.at.game.spaces)):
            found = self._total(lambda z, i=i: self._vector(i, z), i, z)
            later = self._constraints_of(self.later(i))
            chosen = np.concatenate([self.mine(i), later])
            weights = jnp.concatenate([z[self._d + self.mine(i)], self.rho[i][later]])
            gradients.append(found[-1])
            slopes.append(found[-1] - weights @ found[:-1])
            rows.append(jnp.zeros((len(self.of), self.own(i).size), z.dtype).at[chosen].set(found[:-1]))
            rest.append(self._complementary(i, z))
        return jnp.concatenate([*slopes, *rest]), jnp.concatenate(gradients), jnp.concatenate(rows, axis=1)


class Values(NamedTuple):
    """What `System` has at a point.

    **Attributes:** `constraints` `[N]` and their derivatives in all coordinates, `partial` `[N, d]`; `conditions`
    `[d + N]` and their `jacobian` `[d + N, d + N]`; `gradient` `[d]` and `rows` `[N, d]`, see `System.conditions`.
    """

    constraints: Any
    partial: Any
    conditions: Any
    jacobian: Any
    gradient: Any
    rows: Any


@eqx.filter_jit
def apart(game: Game, actions: tuple[Action, ...]) -> Array:
    """How far each player's action is from its space."""
    return jnp.stack([s.distance(a, s.project(a)) for s, a in zip(game.spaces, actions, strict=True)])


@eqx.filter_jit
def bounds(
    game: Game, actions: tuple[Action, ...], nu: Float[Array, " N"], of: tuple[int, ...]
) -> tuple[Array, Array, Array]:
    """The constraints at a joint action `[N]`, their derivatives in all coordinates `[N, d]`, and their curvature.

    That is, `[d, d]`, the derivative of each player's own part of `nu' dc/du`.
    """
    at, n = Tangent(game, actions), len(of)
    system = System(at, jnp.zeros(n, bool), jnp.zeros((len(game.spaces), n)), of, False)

    def pull(u: Float[Array, " d"]) -> Array:
        rows = jax.jacrev(system.constraints)(u)
        parts = [nu[system.mine(i)] @ rows[system.mine(i)][:, system.own(i)] for i in range(len(game.spaces))]
        return jnp.concatenate(parts)

    zero = at.zero()
    c, partial = system.constraints(zero), jax.jacfwd(system.constraints)(zero)
    curved = any(is_constrained(game, i, actions) for i in range(len(game.spaces)))
    return c, partial, jax.jacfwd(pull)(zero) if curved else jnp.zeros((zero.size,) * 2)


def _values(
    game: Game, actions: Any, u: Any, nu: Any, rho: Any, held: Any, of: tuple[int, ...], hierarchical: bool
) -> Values:
    system, z = System(Tangent(game, actions), held, rho, of, hierarchical), jnp.concatenate([u, nu])

    def both(z: Float[Array, " d+N"]) -> Any:
        c, (conditions, *parts) = system.constraints(z[: u.size]), system.conditions(z)
        return (c, conditions), (c, conditions, *parts)

    (partial, jacobian), (c, conditions, gradient, rows) = jax.jacfwd(both, has_aux=True)(z)
    return Values(c, partial[:, : u.size], conditions, jacobian, gradient, rows)


@eqx.filter_jit
def values(
    game: Game,
    actions: tuple[Action, ...],
    nu: Float[Array, " N"],
    rho: Float[Array, "players N"],
    held: Bool[Array, " N"],
    *,
    of: tuple[int, ...],
    hierarchical: bool,
) -> Values:
    """At a joint action."""
    return _values(game, actions, Tangent(game, actions).zero(), nu, rho, held, of, hierarchical)


@eqx.filter_jit
def values_of_many(
    game: Game,
    actions: Any,
    u: Any,
    nu: Any,
    rho: Any,
    held: Any,
    predicted: Bool[Array, " N"],
    *,
    of: tuple[int, ...],
    hierarchical: bool,
    together: int,
) -> tuple[Values, Bool[Array, "n N"]]:
    """At displacements from joint actions, all with a leading axis, so many `together`; and which constraints are held.

    Of those that are `predicted` a constraint is held where `nu + c > 0`: as it is where the conditions hold.
    """

    def one(args: Any) -> tuple[Values, Array]:
        actions, u, nu, rho, held = args
        system = System(Tangent(game, actions), held, rho, of, hierarchical)
        held = jnp.where(predicted, nu + system.constraints(u) > 0, held)
        return _values(game, actions, u, nu, rho, held, of, hierarchical), held

    found: tuple[Values, Array] = jax.lax.map(one, (actions, u, nu, rho, held), batch_size=together)
    return found


@eqx.filter_jit
def moved(game: Game, actions: Any, u: Any) -> tuple[Any, Bool[Array, " n"]]:
    """The spaces' nearest actions to displaced ones, with a leading axis; and whether payoffs are finite there."""

    def one(center: tuple[Action, ...], u: Float[Array, " d"]) -> tuple[Any, Array]:
        at = Tangent(game, center)
        end = tuple(s.project(a) for s, a in zip(game.spaces, at.moved(*at.split(u)), strict=True))
        return end, jnp.all(jnp.isfinite(jnp.stack([jnp.asarray(p) for p in game.payoffs(*end)])))

    found: tuple[Any, Array] = jax.vmap(one)(actions, u)
    return found
