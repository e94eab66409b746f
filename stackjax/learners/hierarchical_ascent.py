"""The hierarchical gradient: ascent on the leader's payoff along the followers' response."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, Scalar

from stackjax._calculus.implicit import followers, total_derivative, unknowns
from stackjax._calculus.linear import Past
from stackjax.learners._ascent import AscentState
from stackjax.learners._coupled import Coupled
from stackjax.protocols import Action, Calls, Game, Noise, Signals, View, level_of
from stackjax.schedules import as_number, number
from stackjax.solvers import Dense, Iterative, Solver, check_solver, chosen


class SolveMemory(NamedTuple):
    """What an iterative solve leaves for the next round: solutions, and what the last one took.

    **Attributes:** `optimizer`, the memory of the learner's Optax optimiser, if any; `past` solutions of the linear
    system, newest first, `[history, d2]`, and their images; the `iterations` to the newest, and its `residual` relative
    to the right-hand side.
    """

    optimizer: Any
    past: Past
    iterations: Int[Array, ""]
    residual: Scalar


class HierarchicalAscent(Coupled):
    """Ascent along the total derivative of the leader's payoff through the followers' best response. Coupled.

    The direction is `D = grad_x f1 - H_yx^T H_yy^-T grad_y f1`, with `H_yy = d2 f2 / dy2` and `H_yx = d(grad_y f2) /
    dx` of shape (d2, d1), so that `D` is the gradient of `x -> f1(x, r(x))` where y is a best response. Several
    followers who move together enter through the joint Jacobian of their first-order conditions, and players who have
    followers of their own through their total derivatives, down a hierarchy of any depth (App. C of Fiez et al., 2019).
    With a follower on a faster timescale these are the dynamics of their Sec. 3, with the transposes that their text
    and Eq. 7 of Loftin et al. (2024) leave out.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`.
    - `solver`: of the linear system: `stackjax.solvers.Dense()`, `CG(...)` or `BiCGStab(...)`. Default, by the
      followers' coordinates: for one follower `Dense` up to 6, beyond them `CG`; else `Dense` up to 48, beyond them
      `BiCGStab`. With the iterative ones the `iterations` of the round and their relative `residual` are in the trace's
      reports, and a solve starts from the solutions of the rounds before.
    - `damping`: lambda >= 0; `H_yy - lambda I` is solved instead of `H_yy`. It keeps the direction finite where the
      follower's Hessian is singular, and moves the point that is converged to (default 0).

    A singular `H_yy` without damping that is solved densely gives a direction that isn't finite: the replicate ends
    with that status.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` a `ValueError` for `CG` where several
    followers make a system that isn't symmetric.
    """

    solver: Solver | None
    damping: Any

    def __init__(
        self,
        step: Any = None,
        *,
        optimizer: optax.GradientTransformation | None = None,
        solver: Solver | None = None,
        damping: Any = 0.0,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        check_solver(solver)
        number(damping, "damping", 0.0, open_low=False)
        self.solver, self.damping = solver, as_number(damping)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The total derivative of the player's payoff along the response of all levels below."""
        return self._derived(game, player, actions, state)[0]

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space; no solve yet."""
        state = super().init(view, key)
        solver = self._iterative(view.game, view.player)
        if solver is None:
            return state
        nothing = jnp.zeros((solver.history, unknowns(view.game, view.player)), view.dtype)
        past = Past(nothing, nothing)
        return state._replace(memory=SolveMemory(state.memory, past, jnp.int32(0), jnp.zeros((), view.dtype)))

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step; the solution is remembered."""
        if self._iterative(view.game, view.player) is None:
            return super().update(view, state, noise, signals)
        direction, (solution, image) = self._derived(view.game, view.player, signals.actions, state)
        after = self._stepped(view, state._replace(memory=state.memory.optimizer), noise, direction)
        past = Past(*map(newest_first, state.memory.past, (solution.x, image)))
        return after._replace(memory=SolveMemory(after.memory, past, solution.iterations, solution.residual))

    def report(self, view: View, state: AscentState) -> dict[str, Any]:
        """`iterations` and relative `residual` of the last solve, if it was iterative."""
        if self._iterative(view.game, view.player) is None:
            return {}
        return {"iterations": state.memory.iterations, "residual": state.memory.residual}

    def requires(self, view: View) -> dict[str, Any]:
        """A solver for this hierarchy's system, spaces with a tangent, and a positive first step."""
        found = super().requires(view)
        self._iterative(view.game, view.player)
        return found

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient of the own payoff, the Hessian-vector products of the solve, one for H_yx, and a solve a level.

        A dense solve takes a product for each column of H_yy, which has those of all levels below; `CG` one an
        iteration, `BiCGStab` two, and both one for a start from past solutions.
        """
        game = view.game
        products, below = unknowns(game, view.player), game.levels[level_of(game, view.player) + 1 :]
        if not below:
            return Calls(gradients=1)
        solver = self._iterative(game, view.player)
        if solver is not None:
            products = solver.products * after.memory.iterations + min(solver.history, 1)
        return Calls(gradients=1, hessian_vector_products=products + 1, solves=len(below))

    def _iterative(self, game: Game, player: int) -> Iterative | None:
        """The iterative solver of this player's system; None if it is solved densely, or there is none."""
        below = followers(game, player)
        solver = chosen(self.solver, unknowns(game, player), len(below) == 1) if below else None
        return solver if isinstance(solver, Iterative) else None

    def _derived(
        self, game: Game, player: int, actions: tuple[Action, ...], state: AscentState | None
    ) -> tuple[Action, Any]:
        solver = self._iterative(game, player)
        warm = state is not None and solver is not None and solver.history
        past = state.memory.past if state is not None and warm else None
        return total_derivative(game, player, actions, self.damping, (solver or Dense()).solve, past)


def newest_first(past: Array, new: Array) -> Array:
    """The oldest one is forgotten."""
    return jnp.concatenate([new[None], past])[: len(past)]
