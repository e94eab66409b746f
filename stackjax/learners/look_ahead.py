"""Look-ahead: the gradient where the others will have moved."""

from typing import Any

import optax

from stackjax._calculus.shaping import arrays, field, look_ahead, plus
from stackjax.learners._coupled import Anticipating
from stackjax.protocols import Action, Calls, Game, View


class LookAhead(Anticipating):
    """Ascent along its own gradient where the others' next gradient steps will have led. Coupled.

    The direction is `grad_i f_i + eta sum_j (d grad_i f_i / d z_j) grad_j f_j`, summed over the others j: Zhang &
    Lesser (2010, Multi-Agent Learning with Policy Prediction), in the first-order form `(I - eta H_o) xi` of Letcher et
    al. (2019, Stable Opponent Shaping), who minimise. It takes the others' steps as given, and doesn't shape them, and
    keeps the fixed points of simultaneous ascent. At the bounds of the others' spaces it reckons with their projected
    steps.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`, step None with an optimiser.
    - `other_step`: eta > 0, the step that the others are taken to make; a number or a schedule of this learner's
      counter, in units of action / gradient.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    def __init__(
        self,
        step: Any,
        other_step: Any,
        *,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, other_step, optimizer=optimizer, noise_variance=noise_variance)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The own gradient and the look-ahead."""
        z = arrays(actions)
        v = field(game, z)
        eta = self.other_step(n)
        return plus(v[player], eta, look_ahead(game, player, z, v, eta))

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient a player, and a Hessian-vector product."""
        return Calls(gradients=len(view.game.spaces), hessian_vector_products=1)
