"""Consensus optimisation: ascent that also shrinks the field."""

from typing import Any

import optax

from stackjax._calculus.shaping import arrays, field, plus, pulled
from stackjax.checks import as_number, number
from stackjax.learners._coupled import Coupled
from stackjax.protocols import Action, Calls, Game, View


class ConsensusOptimization(Coupled):
    """Ascent along `(v - weight J^T v)_i`: each player's gradient, and descent on the length of all of them. Coupled.

    v is the field of simultaneous ascent, J its Jacobian, and `J^T v` the gradient of `|v|^2 / 2`. Mescheder, Nowozin &
    Geiger (2017, The Numerics of GANs). The second term attracts to every zero of the field, equilibrium or not.

    **Arguments:** `step`, `optimizer`, `noise_variance`, as in `GradientAscent`; `weight` >= 0, in units of action /
    gradient.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    weight: Any

    def __init__(
        self,
        step: Any = None,
        weight: Any = 1.0,
        *,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        number(weight, "weight", 0.0, open_low=False)
        self.weight = as_number(weight)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The own gradient less the weighted gradient of half the field's squared length."""
        z = arrays(actions)
        v = field(game, z)
        return plus(v[player], -self.weight, pulled(game, player, z, v))

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient and a Hessian-vector product a player."""
        players = len(view.game.spaces)
        return Calls(gradients=players, hessian_vector_products=players)
