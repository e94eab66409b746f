"""Competitive gradient: each step is a Nash equilibrium of the local bilinear game."""

from typing import Any

import jax

from stackjax._calculus.linear import Effort, solve
from stackjax._calculus.shaping import arrays, free_of, plus
from stackjax.learners._coupled import Solving
from stackjax.protocols import Action, Calls, Game, View, partial_gradient


class CompetitiveGradient(Solving):
    """Steps to the Nash equilibrium of the game's bilinear approximation with a price on moving. Coupled; two players.

    The direction of the player with action x and payoff f, against one with y and g, is `(I - eta^2 D_xy f D_yx g)^-1
    (grad_x f + eta D_xy f grad_y g)`, eta = step(n), `D_xy f = d(grad_x f) / dy`. Schaefer & Anandkumar (2019,
    Competitive Gradient Descent), Algorithm 1, who minimise. As the equilibrium is of both players, both are taken to
    step with this learner's eta. At bounds that the gradients press against both are
    taken to stay there. Up to 48 unknowns (the player's coordinates) the matrix is formed and solved; beyond
    that BiCGStab gets by with products.

    **Arguments:**

    - `step`: a number or a schedule of the learner's own counter, in units of action / gradient.
    - `tolerance`, `max_steps`: of BiCGStab, the former relative (default: the 3/4th power of the floating-point
      resolution). Its iterations and relative residual are in the trace's reports.
    - `noise_variance`: as in `GradientAscent`.

    **Raises:** `ValueError` or `TypeError` that names the argument; a `ValueError` for a game of other than two
    players.
    """

    def __init__(self, step: Any, *, tolerance: Any = None, max_steps: int = 100, noise_variance: Any = 0.0):
        super().__init__(step, tolerance=tolerance, max_steps=max_steps, noise_variance=noise_variance)

    def _solved(self, game: Game, player: int, actions: tuple[Action, ...], n: Any) -> tuple[Action, Effort]:
        _two(game)
        assert self.step is not None  # it is a required argument
        z, eta = arrays(actions), self.step(n)
        rival = 1 - player

        def joint(x: Action, y: Action) -> tuple[Action, Action]:
            return (x, y) if player == 0 else (y, x)

        x, y = z[player], z[rival]
        own, by_rival = jax.linearize(lambda y: partial_gradient(game, player, joint(x, y)), y)
        theirs, by_own = jax.linearize(lambda x: partial_gradient(game, rival, joint(x, y)), x)
        # At bounds both move along their free directions alone.
        mine, other = free_of(game, player, x, own), free_of(game, rival, y, theirs)
        return solve(
            lambda w: plus(w, -(eta**2), mine(by_rival(other(by_own(mine(w)))))),
            plus(mine(own), eta, mine(by_rival(other(theirs)))),
            self.tolerance,
            self.max_steps,
        )

    def _unknowns(self, game: Game, player: int) -> int:
        return game.spaces[player].size

    def requires(self, view: View) -> dict[str, Any]:
        """Two players, spaces with a tangent, and a positive first step."""
        _two(view.game)
        return super().requires(view)

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """Two gradients; a Hessian-vector product, and two for each product with the matrix; a solve."""
        products = self._products(view, after, each=2)
        return Calls(gradients=2, hessian_vector_products=1 + 2 * products, solves=1)


def _two(game: Game) -> None:
    if len(game.spaces) != 2:
        raise ValueError(f"game: CompetitiveGradient expected two players, got {len(game.spaces)}")
