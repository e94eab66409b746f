"""Learning with opponent-learning awareness."""

from typing import Any

import equinox as eqx
import optax

from stackjax._calculus.shaping import arrays, field, look_ahead, plus, shaping
from stackjax.learners._coupled import Anticipating
from stackjax.protocols import Action, Calls, Game, View


class LOLA(Anticipating):
    """Ascent that reckons with the others' next gradient step, and turns that step to its own good. Coupled.

    The direction is, to first order in the others' step eta and summed over the others j, `grad_i f_i + eta sum_j ((d
    grad_j f_j / d z_i)^T grad_j f_i + (d grad_i f_i / d z_j) grad_j f_j)`. The first term of the bracket shapes the
    others' steps; the second is the look-ahead. Foerster et al. (2018, Learning with Opponent-Learning Awareness) print
    the shaping term alone, `lookahead=False`; both together are the first-order expansion of
    `f_i(z + eta v_others(z))`'s gradient, as in Letcher et al. (2019, Stable Opponent Shaping).

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`, step None with an optimiser.
    - `other_step`: eta > 0, the step that the others are taken to make; a number or a schedule of this learner's
      counter, in units of action / gradient.
    - `lookahead`: whether the look-ahead term is in (default), static.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    lookahead: bool = eqx.field(static=True)

    def __init__(
        self,
        step: Any,
        other_step: Any,
        *,
        lookahead: bool = True,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, other_step, optimizer=optimizer, noise_variance=noise_variance)
        if not isinstance(lookahead, bool):
            raise TypeError(f"lookahead: expected True or False, got {lookahead!r}")
        self.lookahead = lookahead

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The own gradient, the shaping term and, if it is in, the look-ahead."""
        z, eta = arrays(actions), self.other_step(n)
        v = field(game, z)
        shaped = plus(v[player], eta, shaping(game, player, z, v, eta))
        return plus(shaped, eta, look_ahead(game, player, z, v, eta)) if self.lookahead else shaped

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient a player, and a Hessian-vector product for each other player's shaping and for the look-ahead.

        Without the look-ahead the only gradient is that of the own payoff, in all actions, unless the others' steps end
        at bounds.
        """
        players = len(view.game.spaces)
        bounded = any(space.bounded for j, space in enumerate(view.game.spaces) if j != view.player)
        gradients = players if self.lookahead or bounded else 1
        return Calls(gradients=gradients, hessian_vector_products=players - 1 + int(self.lookahead))
