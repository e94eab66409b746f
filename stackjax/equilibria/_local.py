"""First and second derivatives of a game about joint actions, in float64 and in coordinates of the spaces' tangents."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from stackjax._calculus.implicit import hierarchical_direction
from stackjax._calculus.linear import solve_lapack
from stackjax._calculus.programme import minimise
from stackjax._calculus.response import best_reply
from stackjax._constraints import Constraints, of_player
from stackjax.protocols import Action, Game, partial_gradient
from stackjax.spaces import Euclidean

#: Steps of the differences that tell whether payoffs are smooth, relative to the coordinate.
_STEPS = (1e-3, 1e-3 / 8, 1e-3 / 64, 1e-3 / 512)


class Local(NamedTuple):
    """Derivatives at one joint action, d coordinates in all.

    **Attributes:** `payoffs` `[players]`; `gradient`, every player's own `[d]`; `jacobian` of it `[d, d]`; `total`,
    every player's total derivative along the response of later levels `[d]`; `total_jacobian` of that `[d, d]`;
    `derivatives`, of every payoff in all coordinates `[players, d]`.
    """

    payoffs: Any
    gradient: Any
    jacobian: Any
    total: Any
    total_jacobian: Any
    derivatives: Any


class Tangent(Game):
    """A game about a joint action: its actions are displacements in coordinates of the spaces' tangents."""

    game: Game
    center: tuple[Any, ...]

    @property
    def spaces(self) -> tuple[Euclidean, ...]:
        """One coordinate for each degree of freedom."""
        return tuple(Euclidean((space.dimension,)) for space in self.game.spaces)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The game's."""
        return self.game.levels

    def moved(self, *actions: Action) -> tuple[Action, ...]:
        """The joint action at a displacement."""
        return tuple(s.move(c, u) for s, c, u in zip(self.game.spaces, self.center, actions, strict=True))

    def payoffs(self, *actions: Action) -> tuple[Any, ...]:
        """What is paid there."""
        return self.game.payoffs(*self.moved(*actions))

    def split(self, u: Float[Array, " d"]) -> tuple[Array, ...]:
        """A vector of all coordinates as one a player."""
        return tuple(jnp.split(u, np.cumsum([s.dimension for s in self.game.spaces])[:-1].tolist()))

    def gradient(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        """Every player's partial gradient of its own payoff."""
        z = self.split(u)
        return jnp.concatenate([partial_gradient(self, i, z) for i in range(len(z))])

    def total_gradient(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        """Every player's total derivative along the response of later levels.

        With LAPACK's solver, whatever the size: here a program runs once, and its compilation is what takes time.
        """
        z = self.split(u)
        return jnp.concatenate([hierarchical_direction(self, i, z, solve=solve_lapack) for i in range(len(z))])

    def zero(self) -> Float[Array, " d"]:
        """No displacement."""
        return jnp.zeros(sum(s.dimension for s in self.game.spaces), jnp.result_type(*jax.tree.leaves(self.center)))


def in_float64(tree: Any) -> Any:
    """Every floating-point number as a NumPy array of type float64."""

    def cast(leaf: Any) -> Any:
        if isinstance(leaf, bool) or not eqx.is_array_like(leaf):
            return leaf
        is_float = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return np.asarray(leaf, np.float64) if is_float else np.asarray(leaf)

    return jax.tree.map(cast, tree)


def derivatives(game: Tangent, u: Float[Array, " d"]) -> Float[Array, "players d"]:
    """Of every payoff in all coordinates; one by one, lest one payoff's NaN spread to the others."""

    def own(i: int) -> Array:
        return jax.grad(lambda u: jnp.asarray(game.payoffs(*game.split(u))[i]))(u)

    return jnp.stack([own(i) for i in range(len(game.spaces))])


def _evaluate(game: Game, actions: tuple[Action, ...]) -> Local:
    at = Tangent(game, actions)
    zero = at.zero()

    def with_value(f: Any) -> tuple[Any, Any]:
        jacobian, value = jax.jacfwd(lambda u: (f(u),) * 2, has_aux=True)(zero)
        return value, jacobian

    payoffs = jnp.stack([jnp.asarray(p) for p in at.payoffs(*at.split(zero))])
    return Local(payoffs, *with_value(at.gradient), *with_value(at.total_gradient), derivatives(at, zero))


@eqx.filter_jit
def evaluate(game: Game, actions: tuple[Action, ...]) -> Local:
    """At one joint action."""
    return _evaluate(game, actions)


@eqx.filter_jit
def evaluate_many(game: Game, actions: tuple[Action, ...]) -> Local:
    """At joint actions with a leading axis."""
    return jax.vmap(lambda z: _evaluate(game, z))(actions)


@eqx.filter_jit
def roughness(game: Game, actions: tuple[Action, ...]) -> Float[Array, "3 players d d"]:
    """The spread of the slopes of the payoffs' gradients to both sides, over pairs of ever shorter steps.

    Entry `[k, i, a, b]` is of payoff i's derivative in coordinate a, along coordinate b. Where payoffs have three
    derivatives it is proportional to the step; where a second derivative is missing it doesn't shrink with the step.
    """
    at = Tangent(game, actions)
    zero = at.zero()
    here = derivatives(at, zero)
    sizes = [
        jnp.full(space.dimension, jnp.max(jnp.abs(ravel_pytree(action)[0]), initial=1.0))
        for space, action in zip(game.spaces, at.center, strict=True)
    ]
    scale, steps = jnp.concatenate(sizes), jnp.asarray(_STEPS, zero.dtype)

    def along(b: Array) -> Any:
        unit = jnp.zeros_like(zero).at[b].set(1.0)

        def slope(step: Array) -> Any:
            return (derivatives(at, step * unit) - here) / step

        ahead, behind = (jax.vmap(slope)(sign * scale[b] * steps) for sign in (1.0, -1.0))  # [steps, players, d]
        four = jnp.stack([ahead[:-1], ahead[1:], behind[:-1], behind[1:]])
        return jnp.max(four, axis=0) - jnp.min(four, axis=0)

    return jnp.moveaxis(jax.lax.map(along, jnp.arange(zero.size)), 0, -1)


@eqx.filter_jit
def replies(
    game: Game, player: int, actions: tuple[Action, ...], starts: Any, max_steps: int, *, constrained: bool = False
) -> tuple[Any, Any]:
    """Local best responses of a player, searched from its action and from `starts`, and their payoffs.

    Within its space, and within its constraints if it is `constrained` beyond that; NaN where a search has no end.
    """

    def payoff(action: Action) -> Any:
        return game.payoffs(*actions[:player], action, *actions[player + 1 :])[player]

    guesses = jax.tree.map(lambda a, s: jnp.concatenate([a[None], s]), actions[player], starts)

    def constrained_reply(guess: Action) -> Action:
        start, unravel = ravel_pytree(guess)

        def constraints(flat: Float[Array, " d"]) -> Constraints:
            return of_player(game, player, (*actions[:player], unravel(flat), *actions[player + 1 :]))

        best = minimise(lambda flat: -payoff(unravel(flat)), constraints, start, tolerance=1e-9)
        kept: Action = unravel(jnp.where(best.converged, best.x, jnp.nan))
        return kept

    def reply(guess: Action) -> Action:
        if constrained:
            return constrained_reply(guess)
        return best_reply(payoff, game.spaces[player], guess, 1e-10, max_steps)

    found = jax.vmap(reply)(guesses)
    return found, jax.vmap(payoff)(found)


def flat(actions: tuple[Action, ...]) -> np.ndarray:
    """All numbers of a joint action in a row."""
    return np.asarray(ravel_pytree(actions)[0])
