"""The extragradient method."""

from typing import Any

from stackjax._calculus.shaping import arrays, field, plus
from stackjax.learners._coupled import Coupled
from stackjax.protocols import Action, Calls, Game, View, partial_gradient


class Extragradient(Coupled):
    """Ascent along its own gradient where a step of simultaneous ascent would lead everybody. Coupled.

    The direction is `v_i(project(z + step(n) v(z)))`, v the field of simultaneous ascent; every player's half step is
    made with this learner's step. Korpelevich (1976, The Extragradient Method for Finding Saddle Points and Other
    Problems).

    **Arguments:** `step`, a number or a schedule, in units of action / gradient; `noise_variance`, as in
    `GradientAscent`.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    def __init__(self, step: Any, *, noise_variance: Any = 0.0):
        super().__init__(step, noise_variance=noise_variance)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The own gradient after the half step."""
        assert self.step is not None  # it is a required argument
        z, step = arrays(actions), self.step(n)
        ahead = zip(game.spaces, z, field(game, z), strict=True)
        half = tuple(space.project(plus(own, step, gradient)) for space, own, gradient in ahead)
        return partial_gradient(game, player, half)

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient a player, and another one."""
        return Calls(gradients=len(view.game.spaces) + 1)
