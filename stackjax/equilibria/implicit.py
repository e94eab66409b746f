"""The gradient of the leader's payoff along its followers' response."""

from typing import Any

import jax
import jax.numpy as jnp

from stackjax._calculus.implicit import followers, total_derivative, unknowns
from stackjax._careful import carefully
from stackjax._constraints import check_constraints
from stackjax._core.entry import check_levels
from stackjax.checks import as_number, number
from stackjax.equilibria.certify import check_actions
from stackjax.protocols import Action, Game
from stackjax.solvers import Solver, check_solver, chosen
from stackjax.spaces import Arms


def implicit_gradient(
    game: Game,
    *actions: Action,
    player: int = 0,
    solver: Solver | None = None,
    damping: Any = 0.0,
    report: bool = False,
) -> Any:
    """The total derivative of a player's payoff along the response of all later levels: the hierarchical gradient.

    With a leader and a follower `D = grad_x f1 - H_yx^T H_yy^-T grad_y f1`, where `H_yx = d(grad_y f2) / dx`; it is the
    gradient of `x -> f1(x, r(x))` where y is the follower's best response (Sec. 3.4 of Loftin et al., 2024, and Sec. 2
    of Fiez et al., 2019, with the transposes that both leave out). In the last level it is the partial gradient. In
    JAX's type; pure, so that it can be jitted, vmapped and differentiated.

    **Arguments:** `game`; `actions`, one a player, in order of play; `player`: whose payoff, default the leader's;
    `solver` and `damping` of the linear system, as in `learners.HierarchicalAscent`: `stackjax.solvers.Dense()`,
    `CG(...)`, `BiCGStab(...)`, or None for one that suits the number of unknowns; `report`: whether to return what
    became of the solve, too. The gradient alone doesn't tell whether an iterative solver met its tolerance or ended at
    its `max_steps`.

    **Returns:** a pytree like the player's action. Where followers press against bounds of their spaces or constraints
    of the game it is the derivative along the free directions that are left; the player's own constraints don't enter.
    Where the followers' Jacobian is singular the shortest solution of its system is taken, and the gradient is NaN if
    there is none. With `report` a pair: that, and a dictionary of the solve's `iterations` (0 if it was dense), its
    `residual` relative to the right-hand side, of this player's own system alone where there are several levels below
    it, and `weakly_active`: how many bounds and constraints followers reach without pressing against them, where the
    derivative is one-sided and that of the inner side is taken.

    **Raises:** `ValueError` for another number of actions or other shapes, arms, an unknown player, levels that don't
    cover the players in order of play, or `CG` where several followers make a system that isn't symmetric; `TypeError`
    for something else than a game or a solver.

    >>> from stackjax.equilibria import implicit_gradient
    >>> from stackjax.games import CournotDuopoly
    >>> float(implicit_gradient(CournotDuopoly(), 46.0, 26.0))
    0.0
    """
    check_levels(game)
    for i, space in enumerate(game.spaces):
        if isinstance(space, Arms):
            raise ValueError(f"game: expected actions to differentiate by, player {i} chooses from {space}")
    check_actions(game, actions)
    if player not in range(len(actions)):
        raise ValueError(f"player: expected a number from 0 to {len(actions) - 1}, got {player!r}")
    check_solver(solver)
    number(damping, "damping", 0.0, open_low=False)
    below = followers(game, player)
    solve = chosen(solver, unknowns(game, player), len(below) == 1).solve if below else None
    given = jax.tree.map(lambda x: jnp.asarray(as_number(x)), tuple(actions))
    check_constraints(game, jnp.result_type(*jax.tree.leaves(given)))
    with carefully():
        direction, solved = total_derivative(game, player, given, damping, solve)
    if not report:
        return direction
    iterations, residual = (jnp.int32(0), jnp.zeros(())) if solved is None else solved.solution[1:]
    at_rest = jnp.int32(0) if solved is None else solved.weakly_active
    return direction, {"iterations": iterations, "residual": residual, "weakly_active": at_rest}
