"""Payoff noise for any game."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, Scalar

from stackjax.protocols import Action, Game, Noise
from stackjax.schedules import as_number, number
from stackjax.spaces import Space


class Noisy(Game):
    """`game` with independent normal noise of variance `payoff_variance` on every player's payoff in every round.

    Payoff readings meet the noise (Hi-C, bandits). Gradients and best responses don't: the noise doesn't depend on the
    actions; for noisy gradients give the learners a `noise_variance`. Recorded "exact" payoffs are without it.

    **Arguments:** `game`; `payoff_variance` >= 0, in squared units of payoff.
    """

    game: Game
    payoff_variance: Any = eqx.field(converter=as_number)

    def __check_init__(self) -> None:
        if not isinstance(self.game, Game):
            raise TypeError(f"game: expected a stackjax Game, got {self.game!r}")
        number(self.payoff_variance, "payoff_variance", 0.0, open_low=False)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The game's spaces."""
        return self.game.spaces

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The game's levels."""
        return self.game.levels

    @property
    def recorded_payoffs(self) -> str:  # type: ignore[override]  # an attribute there, the game's own here
        """As for the game."""
        return self.game.recorded_payoffs

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """The game's exact payoffs."""
        return self.game.payoffs(*actions)

    def draw(self, key: PRNGKeyArray) -> Noise:
        """The game's own noise, and one standard normal number a player."""
        dtype = jnp.result_type(self.payoff_variance)
        return self.game.draw(jax.random.fold_in(key, 1)), jax.random.normal(key, (len(self.spaces),), dtype)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """The game's payment plus the noise."""
        inner, normal = noise
        sd = jnp.sqrt(self.payoff_variance)
        return tuple(p + sd * e for p, e in zip(self.game.realise(inner, *actions), normal, strict=True))

    def nash(self) -> tuple[Action, ...] | None:
        """The game's."""
        return self.game.nash()

    def stackelberg(self) -> tuple[Action, ...] | None:
        """The game's."""
        return self.game.stackelberg()

    def nash_equilibria(self) -> tuple[tuple[Action, ...], ...]:
        """The game's."""
        return self.game.nash_equilibria()

    def stackelberg_equilibria(self) -> tuple[tuple[Action, ...], ...]:
        """The game's."""
        return self.game.stackelberg_equilibria()

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Action | None:
        """The game's."""
        return self.game.best_response(player, actions)

    def answer(self, noise: Noise, player: int, action: Action, observations: Any) -> Any:
        """The game's."""
        return self.game.answer(noise[0] if noise else (), player, action, observations)
