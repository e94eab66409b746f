"""Constraints that cost: for players who see no more than what they are paid."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Scalar

from stackjax._constraints import of_game
from stackjax._core.wrapped import WrappedGame
from stackjax.checks import as_number, number
from stackjax.protocols import Action, Game, Noise


class Penalized(WrappedGame):
    """`game` without constraints: every player is paid `weight` less for each unit by which it breaks one of them.

    From the payoff of player i goes `weight (sum_j max(0, g_j) + sum_k |h_k|)`, g and h its `inequalities` and
    `equalities`. The penalty is exact: where the weight is above every multiplier, a maximum that keeps the constraints
    is one of the penalized payoff (Nocedal & Wright, 2006, Numerical Optimization, Theorem 17.3), with a kink, around
    which gradient steps have to decrease. Uncoupled learners, which don't know of constraints, thus feel them.

    **Arguments:** `game`; `weight` > 0, in units of payoff per unit of constraint.
    """

    weight: Any = eqx.field(converter=as_number)

    def __check_init__(self) -> None:
        if not isinstance(self.game, Game):
            raise TypeError(f"game: expected a stackjax Game, got {self.game!r}")
        number(self.weight, "weight", 0.0)

    def inequalities(self, player: int, actions: tuple[Action, ...]) -> Any:
        """None: they are paid for."""
        return None

    def equalities(self, player: int, actions: tuple[Action, ...]) -> Any:
        """None: they are paid for."""
        return None

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """The game's, less the penalties."""
        return self._less(self.game.payoffs(*actions), actions)

    def draw(self, key: Any) -> Noise:
        """The game's."""
        return self.game.draw(key)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """What the game pays, less the penalties."""
        return self._less(self.game.realise(noise, *actions), actions)

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> None:
        """None: a closed form of the game's doesn't know of penalties."""
        return None

    def nash(self) -> None:
        """None, as its conditions are others."""
        return None

    def stackelberg(self) -> None:
        """None, likewise."""
        return None

    def nash_equilibria(self) -> tuple[()]:
        """None known."""
        return ()

    def stackelberg_equilibria(self) -> tuple[()]:
        """None known."""
        return ()

    def _less(self, paid: tuple[Scalar, ...], actions: tuple[Action, ...]) -> tuple[Scalar, ...]:
        found = []
        for i, payoff in enumerate(paid):
            own = of_game(self.game, i, actions, jnp.result_type(payoff))
            broken = jnp.sum(jnp.maximum(own.inequalities, 0)) + jnp.sum(jnp.abs(own.equalities))
            found.append(payoff - self.weight * broken)
        return tuple(found)
