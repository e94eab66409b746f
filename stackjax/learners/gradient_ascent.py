"""Gradient ascent on one's own payoff: the uncoupled baseline."""

from typing import Any

import optax

from stackjax.learners._ascent import Ascent, AscentState
from stackjax.protocols import Action, Game, Signal, Signals, View, partial_gradient


class GradientAscent(Ascent):
    """Projected gradient ascent on its own payoff, the others' actions held fixed.

    `z <- project(z + step(n) (grad_z f_i + w))`, `w ~ N(0, noise_variance)`; two of them play simultaneous gradient
    ascent (Eqs. 1-2 of Loftin et al., 2024; the Nash dynamics of Fiez et al., 2019), as followers of a
    `HierarchicalAscent` with slower steps the second half of the two-timescale dynamics. Uncoupled.

    **Arguments:**

    - `step`: a number or a schedule of the learner's own update counter, in units of action / gradient.
    - `optimizer`: instead of `step`, any Optax transformation; it is given the negated direction, as Optax minimises.
    - `noise_variance`: of the estimator noise added to every coordinate of the gradient (default 0: none is drawn).

    **Raises:** `ValueError` with both or neither of `step` and `optimizer`, or a negative variance.
    """

    wants = Signal.GRADIENT

    def __init__(
        self, step: Any = None, *, optimizer: optax.GradientTransformation | None = None, noise_variance: Any = 0.0
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The partial gradient of the player's own payoff."""
        return partial_gradient(game, player, actions)

    def _signal(self, view: View, state: AscentState, signals: Signals) -> Action:
        return signals.gradient
