"""What coupled learners share: the signals, the other players' step, and the effort of an iterative solve."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, Scalar

from stackjax._calculus.linear import DENSE_GENERAL, Effort
from stackjax._constraints import Constraints, is_constrained, of_game
from stackjax.checks import as_number, number
from stackjax.learners._ascent import Ascent, AscentState
from stackjax.protocols import Action, Game, Noise, Signal, Signals, View
from stackjax.schedules import Schedule, as_schedule
from stackjax.spaces import Arms


def constraints_of(view: View, player: int) -> Constraints | None:
    """The shapes of the game's constraints on a player; None without any."""
    found: list[bool] = []

    def both(*actions: Action) -> Constraints:
        found.append(is_constrained(view.game, player, actions))
        return of_game(view.game, player, actions, view.dtype)

    shapes: Constraints = jax.eval_shape(both, *(space.struct(view.dtype) for space in view.game.spaces))
    return shapes if found[0] else None


class Coupled(Ascent):
    """Ascent along a direction that is computed from the whole game at the actions that were played."""

    wants = Signal.GAME | Signal.OTHERS

    def __init__(
        self,
        step: Any = None,
        *,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)

    def _signal(self, view: View, state: AscentState, signals: Signals) -> Action:
        return self.direction(view.game, view.player, signals.actions, n=state.n, state=state)

    def requires(self, view: View) -> dict[str, Any]:
        """A positive first step, and spaces with a tangent."""
        for j, space in enumerate(view.game.spaces):
            if isinstance(space, Arms):
                raise ValueError(
                    f"player {j}: {type(self).__name__} of player {view.player} follows gradients of every payoff, and "
                    f"there are none in {space}"
                )
        bound = [j for j in range(len(view.game.spaces)) if constraints_of(view, j) is not None]
        if bound and not self.keeps_constraints:
            raise ValueError(
                f"player {view.player}: {type(self).__name__} doesn't know of the constraints of players {bound}; "
                "expected HierarchicalAscent, or a game that makes them pay (games.Penalized)"
            )
        return super().requires(view)


class Anticipating(Coupled):
    """A coupled learner that reckons with steps of the others: `other_step`, a number or a schedule of its counter."""

    other_step: Schedule

    def __init__(
        self,
        step: Any,
        other_step: Any,
        *,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        if not callable(other_step):
            number(other_step, "other_step", 0.0)
        self.other_step = as_schedule(other_step, "other_step")

    def requires(self, view: View) -> dict[str, Any]:
        """Also a positive first step of the others."""
        positive = jnp.asarray(self.other_step(jnp.int32(0))) > 0
        return super().requires(view) | {"other_step: expected a positive step": positive}


class EffortMemory(NamedTuple):
    """What the last solve took: its iterations, and its residual relative to the right-hand side."""

    iterations: Int[Array, ""]
    residual: Scalar


class Solving(Coupled):
    """A coupled learner that solves a linear system in every round, densely if it is small, else by iterations.

    The memory is the effort of the last iterative solve. Subclasses give `_solved` and `_unknowns`.
    """

    tolerance: Any
    max_steps: int = eqx.field(static=True)
    #: Systems of up to so many unknowns are solved densely.
    dense: ClassVar[int] = DENSE_GENERAL

    def __init__(self, step: Any, *, tolerance: Any = None, max_steps: int = 100, noise_variance: Any = 0.0):
        super().__init__(step, noise_variance=noise_variance)
        if tolerance is not None:
            number(tolerance, "tolerance", 0.0)
        number(max_steps, "max_steps", 1, open_low=False, whole=True)
        self.tolerance, self.max_steps = as_number(tolerance), int(max_steps)

    def _solved(self, game: Game, player: int, actions: tuple[Action, ...], n: Any) -> tuple[Action, Effort]:
        """The direction, and what it took."""
        raise NotImplementedError

    def _unknowns(self, game: Game, player: int) -> int:
        raise NotImplementedError

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The direction of the class' formula."""
        return self._solved(game, player, actions, n)[0]

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space; no solve yet."""
        state = super().init(view, key)
        if self._unknowns(view.game, view.player) <= self.dense:
            return state
        return state._replace(memory=EffortMemory(jnp.int32(0), jnp.zeros((), view.dtype)))

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step."""
        direction, effort = self._solved(view.game, view.player, signals.actions, state.n)
        after = self._stepped(view, state, noise, direction)
        return after if after.memory == () else after._replace(memory=EffortMemory(*effort))

    def report(self, view: View, state: AscentState) -> dict[str, Any]:
        """`iterations` and relative `residual` of the last solve, if it was iterative."""
        return {} if state.memory == () else state.memory._asdict()

    def _products(self, view: View, after: Any, *, each: int) -> Any:
        """Products with the matrix of a round's system: one an unknown; or `each` an iteration, and the residual's."""
        unknowns = self._unknowns(view.game, view.player)
        return unknowns if unknowns <= self.dense else each * after.memory.iterations + 1
