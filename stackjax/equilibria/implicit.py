"""The gradient of the leader's payoff along its followers' response."""

import jax
import jax.numpy as jnp

from stackjax._calculus.implicit import hierarchical_direction
from stackjax.protocols import Action, Game


def implicit_gradient(game: Game, *actions: Action, player: int = 0) -> Action:
    """The total derivative of a player's payoff along the response of all later levels: the hierarchical gradient.

    With a leader and a follower `D = grad_x f1 - H_yx^T H_yy^-T grad_y f1`, where `H_yx = d(grad_y f2) / dx`; it is the
    gradient of `x -> f1(x, r(x))` where y is the follower's best response (Sec. 3.4 of Loftin et al., 2024, and Sec. 2
    of Fiez et al., 2019, with the transposes that both leave out). In the last level it is the partial gradient. Dense,
    in JAX's type; pure, so that it can be jitted, vmapped and differentiated.

    **Arguments:** `game`; `actions`, one a player, in order of play; `player`: whose payoff, default the leader's.

    **Returns:** a pytree like the player's action; NaN where the followers' Jacobian is singular.

    **Raises:** `ValueError` for another number of actions or an unknown player.

    >>> from stackjax.equilibria import implicit_gradient
    >>> from stackjax.games import CournotDuopoly
    >>> float(implicit_gradient(CournotDuopoly(), 46.0, 26.0))
    0.0
    """
    if len(actions) != len(game.spaces):
        raise ValueError(f"actions: expected one a player ({len(game.spaces)}), got {len(actions)}")
    if player not in range(len(actions)):
        raise ValueError(f"player: expected a number from 0 to {len(actions) - 1}, got {player!r}")
    return hierarchical_direction(game, player, jax.tree.map(jnp.asarray, tuple(actions)))
