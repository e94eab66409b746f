"""Mirror ascent on a simplex: exponentiated gradients."""

from typing import Any

import jax
import jax.numpy as jnp

from stackjax.learners._ascent import Ascent, AscentState
from stackjax.protocols import Action, Game, Noise, Signal, Signals, View, partial_gradient
from stackjax.spaces import Simplex


class MirrorAscent(Ascent):
    """Multiplies probabilities by exponentials of its gradient. Uncoupled; only on a `Simplex`.

    `x_k <- x_k exp(step(n) (g_k + w_k)) / sum_j x_j exp(step(n) (g_j + w_j))`, g the gradient of its own payoff: mirror
    ascent with the negative entropy. Kivinen & Warmuth (1997, Exponentiated Gradient versus Gradient Descent for Linear
    Predictors); Beck & Teboulle (2003, Mirror Descent and Nonlinear Projected Subgradient Methods). What is 0 stays 0.
    The displacement isn't the step times a direction: `direction` is the gradient.

    **Arguments:** `step`, a number or a schedule, in units of 1 / payoff; `noise_variance`, of the noise w, as in
    `GradientAscent`.

    **Raises:** `ValueError` from `play` for a player whose space isn't a `Simplex`.
    """

    wants = Signal.GRADIENT

    def __init__(self, step: Any, *, noise_variance: Any = 0.0):
        super().__init__(step, noise_variance=noise_variance)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The partial gradient of the player's own payoff."""
        return partial_gradient(game, player, actions)

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step."""
        assert self.step is not None  # it is a required argument
        x, step = state.action, jnp.asarray(self.step(state.n)).astype(state.action.dtype)
        exponent = step * self._noisy(signals.gradient, noise)
        possible = x > 0  # an exponent where x is 0 could be the largest, and all the others vanish beside it
        largest = jax.lax.stop_gradient(jnp.max(jnp.where(possible, exponent, -jnp.inf)))
        weights = x * jnp.exp(jnp.where(possible, exponent - largest, 0))
        return AscentState(weights / jnp.sum(weights), state.n + 1, state.memory)

    def requires(self, view: View) -> dict[str, Any]:
        """A simplex, and a positive first step."""
        if not isinstance(view.space, Simplex):
            raise ValueError(f"player {view.player}: MirrorAscent expected a Simplex as its space, got {view.space}")
        return super().requires(view)
