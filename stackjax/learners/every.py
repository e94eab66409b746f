"""A learner slowed down."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from stackjax.checks import number
from stackjax.learners._exploration import exploration
from stackjax.protocols import Action, Calls, Game, Learner, Noise, Seen, Signal, Signals, State, View


class EveryState(NamedTuple):
    """The learner's state and the rounds until its next update."""

    inner: State
    left: Int[Array, ""]


class Every(Learner):
    """Lets `learner` update in every k-th round only, so that the others take k steps for one of its own.

    It acts in every round, and sees the signals of the rounds in which it updates; its counter counts its updates.

    **Arguments:** `k`, an integer of at least 1; `learner`, any learner.
    """

    k: Any
    learner: Learner

    def __check_init__(self) -> None:
        number(self.k, "k", 1, open_low=False, whole=True)
        if not isinstance(self.learner, Learner):
            raise TypeError(f"learner: expected a stackjax Learner, got {self.learner!r}")

    @property
    def wants(self) -> Signal:
        """What the learner wants."""
        return self.learner.wants

    @property
    def keeps_constraints(self) -> bool:  # type: ignore[override]  # of an instance here
        """Whether the learner does."""
        return self.learner.keeps_constraints

    def requires(self, view: View) -> dict[str, Any]:
        """What the learner requires."""
        return self.learner.requires(view)

    def exploration(self, arms: int) -> Any:
        """The learner's, k rounds for one of its own."""
        return np.asarray(self.k, float) * exploration(self.learner, arms)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The learner's direction."""
        return self.learner.direction(game, player, actions, n=n, state=state)  # type: ignore[attr-defined]  # gradient-based

    def init(self, view: View, key: PRNGKeyArray) -> EveryState:
        """The learner's initial state."""
        return EveryState(self.learner.init(view, key), jnp.asarray(self.k, jnp.int32))

    def draw(self, view: View, key: PRNGKeyArray) -> Noise:
        """The learner's noise."""
        return self.learner.draw(view, key)

    def act(self, view: View, state: EveryState, noise: Noise, seen: Seen) -> Action:
        """The learner's action."""
        return self.learner.act(view, state.inner, noise, seen)

    def strategy(self, view: View, state: EveryState, seen: Seen) -> Action:
        """The learner's strategy."""
        return self.learner.strategy(view, state.inner, seen)

    def report(self, view: View, state: EveryState) -> dict[str, Any]:
        """The learner's report."""
        return self.learner.report(view, state.inner)

    def update(self, view: View, state: EveryState, noise: Noise, signals: Signals) -> EveryState:
        """The learner's update, in its turn; otherwise nothing is computed."""
        turn = state.left == 1
        inner = jax.lax.cond(
            turn,
            lambda: jax.tree.map(jnp.asarray, self.learner.update(view, state.inner, noise, signals)),
            lambda: state.inner,
        )
        return EveryState(inner, jnp.where(turn, jnp.asarray(self.k, jnp.int32), state.left - 1))

    def calls(self, view: View, before: EveryState, after: EveryState) -> Calls:
        """The learner's calls, in its turn; in every round if acting is what costs it."""
        used = self.learner.calls(view, before.inner, after.inner)
        if self.wants & (Signal.OWN_PAYOFF | Signal.QUERY):
            return used
        return jax.tree.map(lambda n: jnp.where(before.left == 1, n, 0), used)
