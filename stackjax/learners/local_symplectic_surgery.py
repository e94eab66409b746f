"""Local symplectic surgery: ascent whose only attractors are local Nash equilibria."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from stackjax._calculus.linear import Effort, damped_least_squares, matrix_of, solve
from stackjax._calculus.shaping import arrays, field, free_of
from stackjax.checks import as_number, number
from stackjax.learners._coupled import Solving
from stackjax.protocols import Action, Calls, Game, View


class LocalSymplecticSurgery(Solving):
    """Ascent along `(v + exp(-xi2 |w|^2) w)_i`, which takes the rotation out of the field near its zeros. Coupled.

    v is the field of simultaneous ascent, J its Jacobian, `w = J^T (J^T J + lambda I)^-1 J^T v` and
    `lambda = xi1 (1 - exp(-|v|^2))`. At a zero of v where J is regular this field's Jacobian is `J + J^T`, so that in
    zero-sum games only local Nash equilibria attract. Mazumdar, Jordan & Sastry (2019, On Finding Local Nash Equilibria
    (and Only Local Nash Equilibria) in Zero-Sum Games), who minimise: their omega is -v, their v is -w. They reach w by
    a second, faster recursion; here the system is solved in every round. Where J is singular and lambda 0, w is the
    limit of small lambda. The paper assumes that the direction vanishes only where v does, which isn't so in every
    game. In games of other sums the formula is the same, and nothing is claimed. At bounds that the gradients press
    against v and J are those of the free directions.

    **Arguments:**

    - `step`: a number or a schedule of the learner's own counter, in units of action / gradient.
    - `xi1` >= 0, of the damping, in squared units of gradient / action; `xi2` >= 0, in units of 1 / gradient squared.
    - `tolerance`, `max_steps`: of CG on the normal equations, for more than 64 unknowns (all players' coordinates), the
      former relative (default: the 3/4th power of the floating-point resolution). Its iterations and relative residual
      are in the trace's reports.
    - `noise_variance`: as in `GradientAscent`.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    xi1: Any
    xi2: Any
    dense = 64  # the normal equations' condition is the matrix' squared, and singular values bear that

    def __init__(
        self,
        step: Any,
        *,
        xi1: Any = 1e-4,
        xi2: Any = 1e-4,
        tolerance: Any = None,
        max_steps: int = 100,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, tolerance=tolerance, max_steps=max_steps, noise_variance=noise_variance)
        number(xi1, "xi1", 0.0, open_low=False)
        number(xi2, "xi2", 0.0, open_low=False)
        self.xi1, self.xi2 = as_number(xi1), as_number(xi2)

    def _solved(self, game: Game, player: int, actions: tuple[Action, ...], n: Any) -> tuple[Action, Effort]:
        z, unravel = ravel_pytree(arrays(actions))

        at = unravel(z)
        free = [free_of(game, i, *each) for i, each in enumerate(zip(at, field(game, at), strict=True))]

        def project(u: Float[Array, " d"]) -> Float[Array, " d"]:
            return ravel_pytree(tuple(f(a) for f, a in zip(free, unravel(u), strict=True)))[0]

        def flat_field(u: Float[Array, " d"]) -> Float[Array, " d"]:
            return project(ravel_pytree(field(game, unravel(z + project(u - z))))[0])

        v, along = jax.linearize(flat_field, z)
        transposed = jax.linear_transpose(along, z)
        damping = self.xi1 * -jnp.expm1(-jnp.sum(v**2))
        if z.size <= self.dense:
            matrix = matrix_of(along, z)
            effort = jnp.int32(0), jnp.zeros((), z.dtype)
            w = matrix.T @ damped_least_squares(matrix, v, damping)
        else:
            u, effort = solve(
                lambda u: transposed(along(u))[0] + damping * u,
                transposed(v)[0],
                self.tolerance,
                self.max_steps,
                definite=True,
            )
            (w,) = transposed(u)
        return unravel(v + jnp.exp(-self.xi2 * jnp.sum(w**2)) * w)[player], effort

    def _unknowns(self, game: Game, player: int) -> int:
        return sum(space.size for space in game.spaces)

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient a player; as many Hessian-vector products for each product with J or J^T; a solve."""
        players, unknowns = len(view.game.spaces), self._unknowns(view.game, view.player)
        products = unknowns if unknowns <= self.dense else 2 + 2 * self._products(view, after, each=1)
        return Calls(gradients=players, hessian_vector_products=players * products, solves=1)
