"""Optimistic gradient ascent."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from stackjax.learners._ascent import Ascent, AscentState
from stackjax.protocols import Action, Game, Noise, Signal, Signals, View, partial_gradient


class OptimisticAscent(Ascent):
    """Ascent along twice this round's gradient less the last one's. Uncoupled.

    `z <- project(z + step(n) (2 g_t - g_{t-1} + w))`, `g` the gradient of its own payoff in its own action; in the
    first round `g_{t-1} = g_t`. Daskalakis et al. (2018, Training GANs with Optimism). Where simultaneous ascent
    spirals outwards, as in bilinear games, two of them spiral inwards.

    **Arguments:** `step`, a number or a schedule, in units of action / gradient; `noise_variance`, of the noise w, as
    in `GradientAscent`.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    wants = Signal.GRADIENT

    def __init__(self, step: Any, *, noise_variance: Any = 0.0):
        super().__init__(step, noise_variance=noise_variance)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """Twice the gradient less the one that the state remembers."""
        gradient = partial_gradient(game, player, actions)
        return gradient if state is None else _extrapolated(gradient, state)

    def init(self, view: View, key: PRNGKeyArray) -> AscentState:
        """The start, or a sample of the space; no gradient yet."""
        state = super().init(view, key)
        return state._replace(memory=jax.tree.map(jnp.zeros_like, state.action))

    def update(self, view: View, state: AscentState, noise: Noise, signals: Signals) -> AscentState:
        """One step; the gradient is remembered."""
        gradient = signals.gradient
        after = self._stepped(view, state, noise, _extrapolated(gradient, state))
        return after._replace(memory=gradient)


def _extrapolated(gradient: Action, state: AscentState) -> Action:
    first = state.n == 0
    return jax.tree.map(lambda g, last: 2 * g - jnp.where(first, g, last), gradient, state.memory)
