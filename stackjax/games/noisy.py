"""Payoff noise for any game."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, Scalar

from stackjax._core.wrapped import WrappedGame
from stackjax.checks import as_number, number
from stackjax.protocols import Action, Game, Noise


class Noisy(WrappedGame):
    """`game` with independent normal noise of variance `payoff_variance` on every player's payoff in every round.

    Payoff readings meet the noise (Hi-C, bandits). Gradients and best responses don't: the noise doesn't depend on the
    actions; for noisy gradients give the learners a `noise_variance`. Recorded "exact" payoffs are without it.

    **Arguments:** `game`; `payoff_variance` >= 0, in squared units of payoff.
    """

    payoff_variance: Any = eqx.field(converter=as_number)

    def __check_init__(self) -> None:
        if not isinstance(self.game, Game):
            raise TypeError(f"game: expected a stackjax Game, got {self.game!r}")
        number(self.payoff_variance, "payoff_variance", 0.0, open_low=False)

    def draw(self, key: PRNGKeyArray) -> Noise:
        """The game's own noise, and one standard normal number a player."""
        dtype = jnp.result_type(self.payoff_variance)
        return self.game.draw(jax.random.fold_in(key, 1)), jax.random.normal(key, (len(self.spaces),), dtype)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """The game's payment plus the noise."""
        inner, normal = noise
        sd = jnp.sqrt(self.payoff_variance)
        return tuple(p + sd * e for p, e in zip(self.game.realise(inner, *actions), normal, strict=True))

    def answer(self, noise: Noise, player: int, action: Action, observations: Any) -> Any:
        """The game's."""
        return self.game.answer(noise[0] if noise else (), player, action, observations)
