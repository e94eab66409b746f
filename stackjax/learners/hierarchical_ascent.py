"""The hierarchical gradient: ascent on the leader's payoff along the followers' response."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PRNGKeyArray, Scalar

from stackjax._calculus.implicit import Answered, followers, total_derivative, unknowns, weakly_active
from stackjax._calculus.linear import Past
from stackjax._constraints import Constraints, of_game
from stackjax.checks import as_number, concrete, number
from stackjax.learners._ascent import AscentState
from stackjax.learners._coupled import Coupled, constraints_of
from stackjax.protocols import Action, Calls, Game, Learner, Noise, Signals, View, level_of
from stackjax.schedules import exponent_of
from stackjax.solvers import Dense, Iterative, Solver, check_solver, chosen


class Effort(NamedTuple):
    """What an iterative solve leaves for the next round: solutions, and what the last one took.

    **Attributes:** `past` solutions of the linear system, newest first, `[history, d2]`, and their images; the
    `iterations` to the newest, and its `residual` relative to the right-hand side.
    """

    past: Past
    iterations: Int[Array, ""]
    residual: Scalar


class HierarchicalMemory(NamedTuple):
    """What a round leaves for the next one and for the reports; None for what there isn't.

    **Attributes:** `optimizer`, the memory of the learner's Optax optimiser; the `effort` of an iterative solve;
    the joint action `at` which the round was played, where followers can be held by bounds or constraints; the
    `multipliers` of the player's own constraints.
    """

    optimizer: Any
    effort: Effort | None
    at: tuple[Action, ...] | None
    multipliers: Constraints | None


class HierarchicalAscent(Coupled):
    """Ascent along the total derivative of the leader's payoff through the followers' best response. Coupled.

    The direction is `D = grad_x f1 - H_yx^T H_yy^-T grad_y f1`, with `H_yy = d2 f2 / dy2` and `H_yx = d(grad_y f2) /
    dx` of shape (d2, d1), so that `D` is the gradient of `x -> f1(x, r(x))` where y is a best response. Several
    followers who move together enter through the joint Jacobian of their first-order conditions, and players who have
    followers of their own through their total derivatives, down a hierarchy of any depth (App. C of Fiez et al., 2019).
    With a follower on a faster timescale these are the dynamics of their Sec. 3, with the transposes that their text
    and Eq. 7 of Loftin et al. (2024) leave out.

    **At bounds** followers stay where their gradients press against a bound of their space or a constraint of the game,
    and answer along the free directions that are left: the system is that of the first-order conditions of the active
    constraints. A bound that is reached without being pressed against leaves one-sided derivatives: those of the inner
    side are taken, and `weakly_active` in the trace's reports counts such bounds. The leader's value has a kink there
    (entry deterrence sits in one), around which steps have to decrease. Bounds count by where the followers *are*, so
    that a slow follower's bound counts once it gets there.

    **The player's own constraints** of the game (`Game.inequalities`, `equalities`) may involve the followers' answers.
    They are met in the limit, by a saddle point of the augmented Lagrangian (Arrow, Hurwicz & Uzawa, 1958; Hestenes,
    1969; Powell, 1969): instead of its payoff f it climbs
    `f - sum_j (max(0, lambda_j + rho g_j)^2 - lambda_j^2) / (2 rho) - mu' h - rho |h|^2 / 2`, while the multipliers
    take steps of the same size, `lambda <- max(0, lambda + step(n) g)` and `mu <- mu + step(n) h` (`rho / 10` with an
    optimiser). The `violation` of its strategy is in the trace's reports.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`.
    - `solver`: of the linear system: `stackjax.solvers.Dense()`, `CG(...)` or `BiCGStab(...)`. Default, by the
      followers' coordinates: for one follower `Dense` up to 6, beyond them `CG`; else `Dense` up to 48, beyond them
      `BiCGStab`. With the iterative ones the `iterations` of the round and their relative `residual` are in the trace's
      reports, and a solve starts from the solutions of the rounds before.
    - `damping`: lambda >= 0; `H_yy - lambda I` is solved instead of `H_yy`. It keeps the direction finite where the
      follower's Hessian is singular, and moves the point that is converged to (default 0).
    - `penalty`: rho > 0 of the player's own constraints, in units of payoff per squared unit of constraint (default 1);
      without constraints it doesn't matter. Steps have to be small against the curvature that it adds.

    Where `H_yy` is singular on the free directions the shortest solution of its system is taken, whatever the solver.
    If there is none (a follower without curvature, whose answer jumps from one end to another) the direction isn't
    finite, and the replicate ends with that status.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` a `ValueError` for `CG` where several
    followers make a system that isn't symmetric. `play` warns (`UserWarning`) of a step that falls more slowly than a
    follower's: their Sec. 3 has the leader on the slower timescale (`stackjax.schedules.check_timescales`).
    """

    solver: Solver | None
    damping: Any
    penalty: Any
    keeps_constraints = True

    def __init__(
        self,
        step: Any = None,
        *,
        optimizer: optax.GradientTransformation | None = None,
        solver: Solver | None = None,
        damping: Any = 0.0,
        penalty: Any = 1.0,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        check_solver(solver)
        number(damping, "damping", 0.0, open_low=False)
        number(penalty, "penalty", 0.0)
        self.solver, self.damping, self.penalty = solver, as_number(damping), as_number(penalty)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The total derivative of the player's payoff along the response of all levels below.

        With constraints of its own, that of its augmented Lagrangian at the multipliers of the state, 0 without one.
        """
        return self._derived(game, player, actions, state)[0]

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space; no solve yet."""
        state = super().init(view, key)
        if not self._remembers(view):
            return state
        solver, effort = self._iterative(view.game, view.player), None
        if solver is not None:
            nothing = jnp.zeros((solver.history, unknowns(view.game, view.player)), view.dtype)
            effort = Effort(Past(nothing, nothing), jnp.int32(0), jnp.zeros((), view.dtype))
        own = constraints_of(view, view.player)
        multipliers = None if own is None else Constraints(*(jnp.zeros(each.shape, view.dtype) for each in own))
        at = None
        if _can_be_held(view):
            structs = tuple(space.struct(view.dtype) for space in view.game.spaces)
            at = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), structs)
        return state._replace(memory=HierarchicalMemory(state.memory, effort, at, multipliers))

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step; what the next one starts from is remembered."""
        if not self._remembers(view):
            return super().update(view, state, noise, signals)
        old = state.memory
        direction, answered = self._derived(view.game, view.player, signals.actions, state)
        after = self._stepped(view, state._replace(memory=old.optimizer), noise, direction)
        effort, multipliers = old.effort, old.multipliers
        if answered is not None and effort is not None:
            solution = answered.solution
            past = Past(*map(newest_first, effort.past, (solution.x, answered.image)))
            effort = Effort(past, solution.iterations, solution.residual)
        at = None if old.at is None else signals.actions
        if multipliers is not None:
            own = of_game(view.game, view.player, signals.actions, view.dtype)
            step = jnp.asarray(self.penalty / 10 if self.step is None else self.step(state.n)).astype(view.dtype)
            multipliers = Constraints(
                jnp.maximum(0, multipliers.inequalities + step * own.inequalities),
                multipliers.equalities + step * own.equalities,
            )
        return after._replace(memory=HierarchicalMemory(after.memory, effort, at, multipliers))

    def report(self, view: View, state: AscentState) -> dict[str, Any]:
        """Of the last round: `iterations` and relative `residual` of an iterative solve; `weakly_active`.

        Each where there is such a thing.
        """
        if not self._remembers(view):
            return {}
        memory = state.memory
        found = {}
        if memory.at is not None:  # they are counted here: in every round it would cost a pass over the replicates
            solve = (self._iterative(view.game, view.player) or Dense()).solve
            found["weakly_active"] = weakly_active(view.game, view.player, memory.at, self.damping, solve)
        if memory.effort is not None:
            found |= {"iterations": memory.effort.iterations, "residual": memory.effort.residual}
        return found

    def requires(self, view: View) -> dict[str, Any]:
        """A solver for this hierarchy's system, spaces with a tangent, and a positive first step."""
        found = super().requires(view)
        self._iterative(view.game, view.player)
        return found

    def advice(self, player: int, game: Game, learners: Sequence[Learner]) -> list[str]:
        """Against a step that falls more slowly than a follower's, which then learns on the slower timescale."""
        leads = None if self.step is None else exponent_of(self.step)
        found = []
        for j in followers(game, player):
            step = getattr(learners[j], "step", None)
            follows = exponent_of(step) if callable(step) else None
            if leads is not None and follows is not None and concrete(leads, follows) and bool(np.any(leads < follows)):
                found.append(
                    f"step: divided by the step of player {j} it tends to infinity, so that the follower is left "
                    "behind and its answer isn't what the gradient reckons with; expected the leader's step to fall "
                    "faster (stackjax.schedules.check_timescales)"
                )
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
            products = solver.products * after.memory.effort.iterations + min(solver.history, 1)
        return Calls(gradients=1, hessian_vector_products=products + 1, solves=len(below))

    def _iterative(self, game: Game, player: int) -> Iterative | None:
        """The iterative solver of this player's system; None if it is solved densely, or there is none."""
        below = followers(game, player)
        solver = chosen(self.solver, unknowns(game, player), len(below) == 1) if below else None
        return solver if isinstance(solver, Iterative) else None

    def _remembers(self, view: View) -> bool:
        """Whether a round leaves anything."""
        iterative = self._iterative(view.game, view.player) is not None
        return iterative or _can_be_held(view) or constraints_of(view, view.player) is not None

    def _derived(
        self, game: Game, player: int, actions: tuple[Action, ...], state: AscentState | None
    ) -> tuple[Action, Answered | None]:
        solver = self._iterative(game, player)
        known = state is not None and isinstance(state.memory, HierarchicalMemory)
        memory = state.memory if state is not None and known else HierarchicalMemory((), None, None, None)
        warm = memory.effort is not None and solver is not None and solver.history
        past = memory.effort.past if memory.effort is not None and warm else None
        paid = functools.partial(self._augmented, game, player, memory.multipliers)
        return total_derivative(game, player, actions, self.damping, (solver or Dense()).solve, past, paid)

    def _augmented(self, game: Game, player: int, multipliers: Constraints | None, *actions: Action) -> Scalar:
        """The augmented Lagrangian; without constraints the payoff."""
        paid = game.payoffs(*actions)[player]
        dtype = jnp.result_type(*jax.tree.leaves(actions[player]))
        own = of_game(game, player, actions, dtype)
        if not sum(each.size for each in own):
            return paid
        nu, mu = Constraints(*map(jnp.zeros_like, own)) if multipliers is None else multipliers
        rho = jnp.asarray(self.penalty, dtype)
        pressed = jnp.maximum(0, nu + rho * own.inequalities)
        price = jnp.sum(pressed**2 - nu**2) / (2 * rho) + mu @ own.equalities + rho * jnp.sum(own.equalities**2) / 2
        return paid - price


def _can_be_held(view: View) -> bool:
    """Whether a follower's space or constraints can hold it."""
    game = view.game
    below = followers(game, view.player)
    return any(game.spaces[j].bounded or constraints_of(view, j) is not None for j in below)


def newest_first(past: Array, new: Array) -> Array:
    """The oldest one is forgotten."""
    return jnp.concatenate([new[None], past])[: len(past)]
