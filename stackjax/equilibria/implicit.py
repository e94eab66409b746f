"""The gradient of the leader's payoff along its followers' response."""

from typing import Any

import jax
import jax.numpy as jnp

from stackjax._calculus.implicit import followers, hierarchical_direction, unknowns
from stackjax.protocols import Action, Game
from stackjax.schedules import number
from stackjax.solvers import Solver, check_solver, chosen


def implicit_gradient(
    game: Game, *actions: Action, player: int = 0, solver: Solver | None = None, damping: Any = 0.0
) -> Action:
    """The total derivative of a player's payoff along the response of all later levels: the hierarchical gradient.

    With a leader and a follower `D = grad_x f1 - H_yx^T H_yy^-T grad_y f1`, where `H_yx = d(grad_y f2) / dx`; it is the
    gradient of `x -> f1(x, r(x))` where y is the follower's best response (Sec. 3.4 of Loftin et al., 2024, and Sec. 2
    of Fiez et al., 2019, with the transposes that both leave out). In the last level it is the partial gradient. In
    JAX's type; pure, so that it can be jitted, vmapped and differentiated.

    **Arguments:** `game`; `actions`, one a player, in order of play; `player`: whose payoff, default the leader's;
    `solver` and `damping` of the linear system, as in `learners.HierarchicalAscent`: `stackjax.solvers.Dense()`,
    `CG(...)`, `BiCGStab(...)`, or None for one that suits the number of unknowns.

    **Returns:** a pytree like the player's action; NaN where the followers' Jacobian is singular and solved densely.

    **Raises:** `ValueError` for another number of actions, an unknown player, or `CG` where several followers make a
    system that isn't symmetric; `TypeError` for something else than a solver.

    >>> from stackjax.equilibria import implicit_gradient
    >>> from stackjax.games import CournotDuopoly
    >>> float(implicit_gradient(CournotDuopoly(), 46.0, 26.0))
    0.0
    """
    if len(actions) != len(game.spaces):
        raise ValueError(f"actions: expected one a player ({len(game.spaces)}), got {len(actions)}")
    if player not in range(len(actions)):
        raise ValueError(f"player: expected a number from 0 to {len(actions) - 1}, got {player!r}")
    check_solver(solver)
    number(damping, "damping", 0.0, open_low=False)
    below = followers(game, player)
    solve = chosen(solver, unknowns(game, player), len(below) == 1).solve if below else None
    return hierarchical_direction(game, player, jax.tree.map(jnp.asarray, tuple(actions)), damping, solve)
