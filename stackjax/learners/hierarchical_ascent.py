"""The hierarchical gradient: ascent on the leader's payoff along the followers' response."""

from typing import Any

import optax

from stackjax._calculus.implicit import hierarchical_direction
from stackjax.learners._ascent import Ascent, AscentState
from stackjax.protocols import Action, Calls, Game, Signal, Signals, View, level_of
from stackjax.schedules import as_number, number


class HierarchicalAscent(Ascent):
    """Ascent along the total derivative of the leader's payoff through the followers' best response. Coupled.

    The direction is `D = grad_x f1 - H_yx^T H_yy^-T grad_y f1`, with `H_yy = d2 f2 / dy2` and `H_yx = d(grad_y f2) /
    dx` of shape (d2, d1), so that `D` is the gradient of `x -> f1(x, r(x))` where y is a best response. Several
    followers who move together enter through the joint Jacobian of their first-order conditions, and players who have
    followers of their own through their total derivatives, down a hierarchy of any depth (App. C of Fiez et al., 2019).
    With a follower on a faster timescale these are the dynamics of their Sec. 3, with the transposes that their text
    and Eq. 7 of Loftin et al. (2024) leave out. The Hessian is formed and solved densely.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`.
    - `damping`: lambda >= 0; `H_yy - lambda I` is solved instead of `H_yy`. It keeps the direction finite where the
      follower's Hessian is singular, and moves the point that is converged to (default 0).

    A singular `H_yy` without damping gives a direction that isn't finite: the replicate ends with that status.
    """

    damping: Any
    wants = Signal.GAME | Signal.OTHERS

    def __init__(
        self,
        step: Any = None,
        *,
        optimizer: optax.GradientTransformation | None = None,
        damping: Any = 0.0,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, optimizer=optimizer, noise_variance=noise_variance)
        number(damping, "damping", 0.0, open_low=False)
        self.damping = as_number(damping)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """The total derivative of the player's payoff along the response of all levels below."""
        return hierarchical_direction(game, player, actions, self.damping)

    def _signal(self, view: View, state: AscentState, signals: Signals) -> Action:
        return self.direction(view.game, view.player, signals.actions, n=state.n, state=state)

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient of the own payoff, a Hessian-vector product for each column of H_yy, one for H_yx, and a solve.

        Of a longer hierarchy H_yy has the columns of all levels below, and each level but the last has a solve.
        """
        game = view.game
        later = game.levels[level_of(game, view.player) + 1 :]
        if not later:
            return Calls(gradients=1)
        below = sum(game.spaces[j].size for level in later for j in level)
        return Calls(gradients=1, hessian_vector_products=below + 1, solves=len(later))
