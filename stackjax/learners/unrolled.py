"""Ascent through some gradient steps of those who move later."""

from typing import Any

import equinox as eqx
import jax
import optax

from stackjax._calculus.shaping import arrays, plus
from stackjax.learners._coupled import Anticipating
from stackjax.protocols import Action, Calls, Game, View, level_of, partial_gradient


class Unrolled(Anticipating):
    """Ascent along the total derivative of its payoff through `depth` gradient steps of all later players. Coupled.

    The direction is `d/dx f_1(x, y_depth(x))` with `y_{k+1} = project(y_k + other_step grad_y f_2(x, y_k))`, from the y
    that was played; all players of later levels step at once, each along its own payoff, and at a bound the derivative
    goes through the projection. Metz et al. (2017, Unrolled Generative Adversarial Networks). With more and more steps
    that converge it tends to the direction of `HierarchicalAscent`, at the best response. A player without later ones
    follows its own gradient.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`, step None with an optimiser.
    - `other_step` > 0, of the unrolled steps; a number or a schedule of this learner's counter, in units of action /
      gradient.
    - `depth`: how many, at least 1, static. None at all would be `GradientAscent`.

    **Raises:** `ValueError` or `TypeError` that names the argument; a `ValueError` from `play` where others have
    constraints beside their spaces, which gradient steps don't keep.
    """

    depth: int = eqx.field(static=True)

    def __init__(
        self,
        step: Any,
        other_step: Any,
        depth: int,
        *,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, other_step, optimizer=optimizer, noise_variance=noise_variance)
        if isinstance(depth, bool) or not isinstance(depth, int):
            raise TypeError(f"depth: expected a whole number of unrolled steps, got {depth!r}")
        if depth < 1:
            raise ValueError(f"depth: expected at least 1 unrolled step (GradientAscent has none), got {depth}")
        self.depth = depth

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The total derivative through the unrolled steps."""
        z, eta = arrays(actions), self.other_step(n)
        later = _later(game, player)

        def paid(x: Action) -> Any:
            def joint(y: tuple[Action, ...]) -> tuple[Action, ...]:
                new = dict(zip(later, y, strict=True)) | {player: x}
                return tuple(new.get(j, action) for j, action in enumerate(z))

            def ascend(y: tuple[Action, ...], _: None) -> tuple[tuple[Action, ...], None]:
                at = joint(y)
                ends = (plus(own, eta, partial_gradient(game, j, at)) for j, own in zip(later, y, strict=True))
                return tuple(_projected(game, j, end) for j, end in zip(later, ends, strict=True)), None

            y, _ = jax.lax.scan(ascend, tuple(z[j] for j in later), None, length=self.depth)
            return game.payoffs(*joint(y))[player]

        return jax.grad(paid)(z[player])

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient of the own payoff; one and, on the way back, a Hessian-vector product for each unrolled step."""
        unrolled = self.depth * len(_later(view.game, view.player))
        return Calls(gradients=1 + unrolled, hessian_vector_products=unrolled)


def _projected(game: Game, player: int, action: Action) -> Action:
    space = game.spaces[player]
    return space.project(action) if space.bounded else action


def _later(game: Game, player: int) -> tuple[int, ...]:
    return tuple(j for level in game.levels[level_of(game, player) + 1 :] for j in level)
