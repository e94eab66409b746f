"""Stable opponent shaping: between look-ahead and LOLA."""

from typing import Any

import jax.numpy as jnp
import optax

from stackjax._calculus.shaping import arrays, field, inner, look_ahead, plus, shaping
from stackjax.checks import as_number, number
from stackjax.learners._coupled import Anticipating
from stackjax.protocols import Action, Calls, Game, View


class StableOpponentShaping(Anticipating):
    """LOLA where shaping agrees with look-ahead, and near fixed points look-ahead, which keeps them. Coupled.

    The direction is `u_i + p eta chi_i`: u the look-ahead field of all players (`LookAhead`), chi_i the player's
    shaping term (`LOLA`), and `p = min(p1, p2)` in [0, 1] the same for all. `p1` is 1 if `<eta chi, u> >= 0`, else
    `min(1, -a |u|^2 / <eta chi, u>)`; `p2` is `|v|^2` where the field v of simultaneous ascent is shorter than b, else
    1. All products and norms are over all players together. Letcher et al. (2019, Stable Opponent Shaping in
    Differentiable Games), Algorithm 1, who minimise: their xi_0 is -u, their chi is the same, so that their
    `<-eta chi, xi_0>` is `<eta chi, u>`.

    **Arguments:**

    - `step`, `optimizer`, `noise_variance`: as in `GradientAscent`, step None with an optimiser.
    - `other_step`: eta > 0, as in `LOLA`.
    - `a`, `b`: in (0, 1): how far shaping may act against look-ahead, and the length of v, in payoff / action, below
      which shaping fades. The defaults are the paper's.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    a: Any
    b: Any

    def __init__(
        self,
        step: Any,
        other_step: Any,
        *,
        a: Any = 0.5,
        b: Any = 0.1,
        optimizer: optax.GradientTransformation | None = None,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, other_step, optimizer=optimizer, noise_variance=noise_variance)
        number(a, "a", 0.0, high=1.0)
        number(b, "b", 0.0, high=1.0)
        self.a, self.b = as_number(a), as_number(b)

    def direction(
        self, game: Game, player: int, actions: tuple[Action, ...], *, n: Any = 0, state: Any = None
    ) -> Action:
        """Look-ahead and a share of shaping."""
        z, eta = arrays(actions), self.other_step(n)
        v = field(game, z)
        u = tuple(plus(v[i], eta, look_ahead(game, i, z, v, eta)) for i in range(len(z)))
        chi = tuple(shaping(game, i, z, v, eta) for i in range(len(z)))
        overlap = inner(chi, u)
        eta = jnp.asarray(eta).astype(overlap.dtype)
        agree = overlap >= 0
        most = jnp.where(agree, 1, -self.a * inner(u, u) / jnp.where(agree, 1, eta * overlap))
        squared = inner(v, v)
        p = jnp.minimum(jnp.minimum(1, most), jnp.where(squared < jnp.square(self.b), squared, 1))
        return plus(u[player], p * eta, chi[player])

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient a player, and a Hessian-vector product for each pair of players and for each one's look-ahead."""
        players = len(view.game.spaces)
        return Calls(gradients=players, hessian_vector_products=players**2)
