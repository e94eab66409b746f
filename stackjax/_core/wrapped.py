"""Games that change one thing of another game and pass on the rest."""

from typing import Any

from jaxtyping import Scalar

from stackjax.protocols import Action, Dynamics, Game, Noise
from stackjax.spaces import Space


class WrappedGame(Game):
    """Everything as in `game`; subclasses say what isn't."""

    game: Game

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The game's spaces."""
        return self.game.spaces

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The game's levels."""
        return self.game.levels

    @property
    def recorded_payoffs(self) -> str:  # type: ignore[override]  # an attribute in Game; here it is read from the game
        """As for the game."""
        return self.game.recorded_payoffs

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """The game's exact payoffs."""
        return self.game.payoffs(*actions)

    def inequalities(self, player: int, actions: tuple[Action, ...]) -> Any:
        """The game's."""
        return self.game.inequalities(player, actions)

    def equalities(self, player: int, actions: tuple[Action, ...]) -> Any:
        """The game's."""
        return self.game.equalities(player, actions)

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
        return self.game.answer(noise, player, action, observations)

    def model(self, player: int) -> Dynamics:
        """The game's."""
        return self.game.model(player)

    def requires(self) -> dict[str, Any]:
        """The game's."""
        return self.game.requires()


class RealisedGame(WrappedGame):
    """A game at one round's noise: its `payoffs` are what is paid in that round."""

    noise: Noise

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """What the game pays at this noise."""
        return self.game.realise(self.noise, *actions)
