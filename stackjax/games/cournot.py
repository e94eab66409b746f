"""Cournot competition, the standard first example: quantities, a linear price, known equilibria."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from stackjax.protocols import Action, Game
from stackjax.schedules import as_number, concrete, number
from stackjax.spaces import Box


def _costs(costs: Any) -> Any:
    one_each = isinstance(costs, tuple | list) or (isinstance(costs, jax.Array | np.ndarray) and costs.ndim == 1)
    return jax.tree.map(as_number, tuple(costs)) if one_each else costs


class CournotOligopoly(Game):
    """Firms choose quantities `q_i` in `[0, demand / slope]` and are paid `(demand - slope sum_j q_j - c_i) q_i`.

    The first firm leads, all others follow and move together. The price isn't clipped at zero: the clipped payoff has
    no gradient there, and gradient players stall. (Cournot, 1838; with a leader Stackelberg, 1934; several followers as
    in App. C of Fiez et al., 2019.)

    **Arguments:** `costs` (c_1, ..., c_n), a sequence or `[n]`, per unit, in [0, A), two firms or more; `demand` A > 0,
    the price at which nothing is sold; `slope` > 0, the price's fall per unit.
    """

    costs: tuple[Any, ...] = eqx.field(converter=_costs)
    demand: Any = eqx.field(default=100.0, converter=as_number)
    slope: Any = eqx.field(default=1.0, converter=as_number)

    def __check_init__(self) -> None:
        number(self.demand, "demand", 0.0)
        number(self.slope, "slope", 0.0)
        if not isinstance(self.costs, tuple) or len(self.costs) < 2:
            raise ValueError(f"costs: expected one unit cost for each of two firms or more, got {self.costs!r}")
        for cost in self.costs:
            number(cost, "costs", 0.0, open_low=False)
            if concrete(cost, self.demand) and not np.all(np.asarray(cost) < np.asarray(self.demand)):
                raise ValueError(f"costs: expected less than demand ({self.demand}), got {cost}")

    @property
    def spaces(self) -> tuple[Box, ...]:
        """Quantities from nothing to the whole market."""
        return (Box(0.0, self.demand / self.slope),) * len(self.costs)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """A leader, and all the others."""
        return (0,), tuple(range(1, len(self.costs)))

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """Profits."""
        margin = self.demand - self.slope * sum(actions)
        return tuple((margin - c) * q for c, q in zip(self.costs, actions, strict=True))

    def nash(self) -> tuple[Array, ...]:
        """`q_i = (A + sum_j c_j - (n + 1) c_i) / ((n + 1) slope)`; NaN where one is negative: a firm then stays out."""
        return self._interior(*self._equilibrium(self.demand, self.costs))

    def stackelberg(self) -> tuple[Array, ...]:
        """`q_1 = (A + sum_(j > 1) c_j - n c_1) / (2 slope)`, and the others' equilibrium in what that leaves of demand.

        NaN where a quantity is negative.
        """
        first, *others = self.costs
        leader = (self.demand + sum(others) - len(self.costs) * first) / (2 * self.slope)
        return self._interior(leader, *self._equilibrium(self.demand - self.slope * leader, others))

    def _equilibrium(self, demand: Any, costs: Any) -> list[Any]:
        """Of firms that move together."""
        n = len(costs) + 1
        return [(demand + sum(costs) - n * c) / (n * self.slope) for c in costs]

    @staticmethod
    def _interior(*quantities: Any) -> tuple[Array, ...]:
        inside = jnp.all(jnp.stack([jnp.asarray(q) >= 0 for q in quantities]), axis=0)
        return tuple(jnp.where(inside, q, jnp.nan) for q in quantities)

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array:
        """`(A - c_i - slope sum_(j != i) q_j) / (2 slope)`, in the box."""
        others = sum(jnp.asarray(q) for j, q in enumerate(actions) if j != player)
        free = (self.demand - self.costs[player] - self.slope * others) / (2 * self.slope)
        return self.spaces[player].project(free)


class CournotDuopoly(CournotOligopoly):
    """Two firms: a leader and a follower.

    Sec. 4.1 of Fiez et al. (2019), whose numbers are the defaults. With them the Nash equilibrium is (30.667, 33.667)
    with the profits (940.444, 1133.444), and the Stackelberg equilibrium (46, 26) with (1058, 676): the paper's
    quantities and formulas, from which its printed profits differ.

    **Arguments:** as in `CournotOligopoly`, with two costs.
    """

    def __init__(self, demand: Any = 100.0, costs: Any = (5.0, 2.0), slope: Any = 1.0):
        self.demand, self.costs, self.slope = as_number(demand), _costs(costs), as_number(slope)
        if not isinstance(self.costs, tuple) or len(self.costs) != 2:
            raise ValueError(f"costs: expected one unit cost for each of the two firms, got {costs!r}")
