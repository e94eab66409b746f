"""Cournot's duopoly, the standard first example: quantities, a linear price, known equilibria."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from stackjax.protocols import Action, Game
from stackjax.schedules import as_number, concrete, number
from stackjax.spaces import Box


class CournotDuopoly(Game):
    """Two firms choose quantities `q_i` in `[0, demand / slope]` and are paid `(demand - slope (q_1 + q_2) - c_i) q_i`.

    Sec. 4.1 of Fiez et al. (2019), whose numbers are the defaults. The price isn't clipped at zero: the clipped payoff
    has no gradient there, and gradient players stall. With the defaults the Nash equilibrium is (30.667, 33.667) with
    the profits (940.444, 1133.444), and the Stackelberg equilibrium (46, 26) with (1058, 676): the paper's quantities
    and formulas, from which its printed profits differ.

    **Arguments:** `demand` A > 0, the price at which nothing is sold; `costs` (c_1, c_2) per unit, in [0, A);
    `slope` > 0, the price's fall per unit.
    """

    demand: Any = eqx.field(default=100.0, converter=as_number)
    costs: tuple[Any, Any] = eqx.field(default=(5.0, 2.0), converter=lambda costs: jax.tree.map(as_number, costs))
    slope: Any = eqx.field(default=1.0, converter=as_number)
    levels = ((0,), (1,))

    def __check_init__(self) -> None:
        number(self.demand, "demand", 0.0)
        number(self.slope, "slope", 0.0)
        if not isinstance(self.costs, tuple | list) or len(self.costs) != 2:
            raise ValueError(f"costs: expected one unit cost for each of the two firms, got {self.costs!r}")
        for cost in self.costs:
            number(cost, "costs", 0.0, open_low=False)
            if concrete(cost, self.demand) and not np.all(np.asarray(cost) < np.asarray(self.demand)):
                raise ValueError(f"costs: expected less than demand ({self.demand}), got {cost}")

    @property
    def spaces(self) -> tuple[Box, Box]:
        """Quantities from nothing to the whole market."""
        return (Box(0.0, self.demand / self.slope), Box(0.0, self.demand / self.slope))

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """Profits."""
        margin = self.demand - self.slope * (actions[0] + actions[1])
        return tuple((margin - c) * q for c, q in zip(self.costs, actions, strict=True))

    def nash(self) -> tuple[Array, Array]:
        """`q_i = (A + c_j - 2 c_i) / (3 slope)`; NaN where that is negative, as one firm then stays out."""
        a, (c1, c2), b = self.demand, self.costs, self.slope
        return self._interior((a + c2 - 2 * c1) / (3 * b), (a + c1 - 2 * c2) / (3 * b))

    def stackelberg(self) -> tuple[Array, Array]:
        """`q_1 = (A + c_2 - 2 c_1) / (2 slope)`, `q_2 = (A + 2 c_1 - 3 c_2) / (4 slope)`; NaN where one is negative."""
        a, (c1, c2), b = self.demand, self.costs, self.slope
        return self._interior((a + c2 - 2 * c1) / (2 * b), (a + 2 * c1 - 3 * c2) / (4 * b))

    @staticmethod
    def _interior(*quantities: Any) -> tuple[Array, Array]:
        inside = (jnp.asarray(quantities[0]) >= 0) & (jnp.asarray(quantities[1]) >= 0)
        q1, q2 = (jnp.where(inside, q, jnp.nan) for q in quantities)
        return q1, q2

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array:
        """`(A - c_i - slope q_j) / (2 slope)`, in the box."""
        other = jnp.asarray(actions[1 - player])
        free = (self.demand - self.costs[player] - self.slope * other) / (2 * self.slope)
        return self.spaces[player].project(free)
