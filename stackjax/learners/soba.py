"""SOBA: the hierarchical gradient whose linear system is never solved, but carried along."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from stackjax._calculus.shaping import arrays, free_of, plus
from stackjax.checks import number
from stackjax.learners._ascent import AscentState
from stackjax.learners._coupled import Coupled
from stackjax.protocols import Action, Calls, Game, Noise, Signals, View, partial_gradient
from stackjax.schedules import Schedule, as_schedule


class SystemMemory(NamedTuple):
    """What SOBA carries along.

    **Attributes:** `optimizer`, the memory of the learner's Optax optimiser, if any; the `solution` v so far, the
    followers' coordinates one after another, and its `residual` in the last round's system, before its step, relative
    to the right-hand side.
    """

    optimizer: Any
    solution: Float[Array, " d2"]
    residual: Scalar


class SOBA(Coupled):
    """Ascent along the total derivative, with one step towards its linear system's solution in a round. Coupled.

    The direction is `D = grad_x f1 - H_yx^T v`, and with it `v <- v - system_step (grad_y f1 - H_yy^T v)`, from v = 0,
    all of it at the round's actions; `H_yy` and `H_yx` are as in `HierarchicalAscent`, whose direction it is at
    `v = H_yy^-T grad_y f1`. So leader, follower and v step together, and a round costs one gradient and two products
    with second derivatives, however large the system: for mini-batches, where solving each round's system anew is dear
    and as noisy as the batch. Dagreou, Ablin, Vaiter & Moreau (2022, A framework for bilevel optimization that enables
    stochastic and global variance reduction algorithms), Sec. 3.1; their costs are minimised, so that their v is -v
    here. Several followers who move together enter through the joint Jacobian of their first-order conditions.

    At a bound that a follower's gradient presses against, the system is that of the free directions; what v is in the
    others doesn't count, and stays until they are free again.

    It is assumed that `H_yy` is negative definite (with several followers: that its eigenvalues have negative real
    parts). v then converges where `system_step` is
    small enough, for one follower below 2 / L, L the largest curvature of its payoff, and lags behind moving actions
    unless the leader's step is small beside it. The relative `residual` of the system is in the trace's reports: if it
    stays large, v is no solution; if v diverges, the replicate ends with that status.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`, step None with an optimiser.
    - `system_step` > 0, of v; a number or a schedule of this learner's counter, in units of action^2 / the followers'
      payoff, as a follower's own step.

    **Raises:** `ValueError` or `TypeError` that names the argument; a `ValueError` for a player who isn't in the first
    of two levels.
    """

    system_step: Schedule

    def __init__(
        self,
        step: Any,
        system_step: Any,
        *,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        if not callable(system_step):
            number(system_step, "system_step", 0.0)
        self.system_step = as_schedule(system_step, "system_step")

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The direction with the state's v; without a state v is 0, and the direction the player's own gradient."""
        return self._pulled(game, player, actions, None if state is None else state.memory.solution)[0]

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space; v = 0."""
        below = _below(view.game, view.player)
        state = super().init(view, key)
        nothing = jnp.zeros(sum(view.game.spaces[j].size for j in below), view.dtype)
        return state._replace(memory=SystemMemory(state.memory, nothing, jnp.ones((), view.dtype)))

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step, and one of v."""
        memory: SystemMemory = state.memory
        direction, left, residual = self._pulled(view.game, view.player, signals.actions, memory.solution)
        after = self._stepped(view, state._replace(memory=memory.optimizer), noise, direction)
        solution = plus(memory.solution, -jnp.asarray(self.system_step(state.n)), left)
        return after._replace(memory=SystemMemory(after.memory, solution, residual))

    def report(self, view: View, state: AscentState) -> dict[str, Any]:
        """The relative `residual` of the last round's system."""
        return {"residual": state.memory.residual}

    def requires(self, view: View) -> dict[str, Any]:
        """A leader of two levels, spaces with a tangent, and positive first steps."""
        _below(view.game, view.player)
        positive = jnp.asarray(self.system_step(jnp.int32(0))) > 0
        return super().requires(view) | {"system_step: expected a positive step": positive}

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient of the own payoff, and two products with the followers' second derivatives."""
        return Calls(gradients=1, hessian_vector_products=2)

    def _pulled(
        self, game: Game, player: int, actions: tuple[Action, ...], solution: Float[Array, " d2"] | None
    ) -> tuple[Action, Float[Array, " d2"], Scalar]:
        """The direction, what the system lacks, and the length of that relative to the right-hand side."""
        below, z = _below(game, player), arrays(actions)
        y, unravel = ravel_pytree(tuple(z[j] for j in below))
        solution = jnp.zeros_like(y) if solution is None else solution

        def joint(x: Action, y: Float[Array, " d2"]) -> tuple[Action, ...]:
            return (*z[:player], x, *z[player + 1 : below[0]], *unravel(y))

        def conditions(x: Action, y: Float[Array, " d2"]) -> tuple[Float[Array, " d2"], tuple[Action, ...]]:
            slopes = tuple(partial_gradient(game, j, joint(x, y)) for j in below)
            return ravel_pytree(slopes)[0], slopes

        x = z[player]
        grad_x, grad_y = jax.grad(lambda x, y: game.payoffs(*joint(x, y))[player], argnums=(0, 1))(x, y)
        _, pull, slopes = jax.vjp(conditions, x, y, has_aux=True)
        free = [free_of(game, j, z[j], slope) for j, slope in zip(below, slopes, strict=True)]

        def project(v: Float[Array, " d2"]) -> Float[Array, " d2"]:
            """To the free directions of all followers."""
            return ravel_pytree(tuple(each(part) for each, part in zip(free, unravel(v), strict=True)))[0]

        at_x, at_y = pull(project(solution))
        left, wanted = project(grad_y - at_y), project(grad_y)
        short, right = (jnp.linalg.norm(part) for part in jax.lax.stop_gradient((left, wanted)))
        return jax.tree.map(jnp.subtract, grad_x, at_x), left, short / jnp.where(right > 0, right, 1)


def _below(game: Game, player: int) -> tuple[int, ...]:
    """The followers of a leader."""
    if len(game.levels) != 2 or player not in game.levels[0]:
        raise ValueError(
            f"levels: SOBA expected a player of the first of two levels, got player {player} in {game.levels}"
        )
    return game.levels[1]
