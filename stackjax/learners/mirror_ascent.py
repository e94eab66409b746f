"""Mirror ascent on a simplex: exponentiated gradients."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.learners._ascent import Ascent, AscentState
from stackjax.protocols import Action, Game, Noise, Signal, Signals, View, partial_gradient
from stackjax.spaces import Simplex


class MirrorAscent(Ascent):
    """Multiplies probabilities by exponentials of its gradient. Uncoupled; only on a `Simplex`.

    `x_k <- x_k exp(step(n) (g_k + w_k)) / sum_j x_j exp(step(n) (g_j + w_j))`, g the gradient of its own payoff: mirror
    ascent with the negative entropy. Kivinen & Warmuth (1997, Exponentiated Gradient versus Gradient Descent for Linear
    Predictors); Beck & Teboulle (2003, Mirror Descent and Nonlinear Projected Subgradient Methods). The displacement
    isn't the step times a direction: `direction` is the gradient.

    A probability that is 0 would stay 0 whatever it pays, so none ever is: in play entries are kept at least at the
    smallest normal number of their type (1.2e-38 in float32, 2.2e-308 in float64), from where they come back, and
    starts must be positive. A start near a face is left slowly: an entry p that pays g more than the others needs
    `log(1 / p) / g` in units of steps.

    **Arguments:** `step`, a number or a schedule, in units of 1 / payoff; `noise_variance`, of the noise w, as in
    `GradientAscent`.

    **Raises:** `ValueError` from `play` for a player whose space isn't a `Simplex`, or whose start has an entry that is
    0 (or below the smallest normal number).
    """

    wants = Signal.GRADIENT

    def __init__(self, step: Any, *, noise_variance: Any = 0.0):
        super().__init__(step, noise_variance=noise_variance)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The partial gradient of the player's own payoff."""
        return partial_gradient(game, player, actions)

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space."""
        # Not projected to the nearest point of the simplex: that may be on a face.
        return AscentState(_interior(view.first_action(key)), jnp.int32(0), ())

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step."""
        assert self.step is not None  # it is a required argument
        x, step = state.action, jnp.asarray(self.step(state.n)).astype(state.action.dtype)
        exponent = step * self._noisy(signals.gradient, noise)
        largest = jax.lax.stop_gradient(jnp.max(exponent, axis=-1, keepdims=True))
        return AscentState(_interior(x * jnp.exp(exponent - largest)), state.n + 1, state.memory)

    def requires(self, view: View) -> dict[str, Any]:
        """A simplex, a start inside of it, and a positive first step."""
        if not isinstance(view.space, Simplex):
            raise ValueError(f"player {view.player}: MirrorAscent expected a Simplex as its space, got {view.space}")
        found = super().requires(view)
        if view.start is not None:
            found[
                "start: expected positive probabilities: one that is 0 stays 0 under exponentiated gradients; mix some "
                "of the uniform distribution in, as in 0.99 start + 0.01 / n, or start from None, a random one"
            ] = jnp.asarray(view.start) >= jnp.finfo(view.dtype).tiny
        return found


def _interior(weights: Array) -> Array:
    """Probabilities in proportion to the weights, none below the smallest normal number."""
    return jnp.maximum(weights / jnp.sum(weights, axis=-1, keepdims=True), jnp.finfo(weights.dtype).tiny)
