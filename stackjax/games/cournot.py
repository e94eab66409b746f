"""Cournot competition, the standard first example: quantities, a linear price, known equilibria."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from stackjax.checks import as_number, concrete, number
from stackjax.protocols import Action, Game
from stackjax.spaces import Box


def _costs(costs: Any) -> Any:
    one_each = isinstance(costs, tuple | list) or (isinstance(costs, jax.Array | np.ndarray) and costs.ndim == 1)
    return jax.tree.map(as_number, tuple(costs)) if one_each else costs


class CournotOligopoly(Game):
    """Firms choose quantities `q_i` in `[0, demand / slope]` and are paid `(demand - slope sum_j q_j - c_i) q_i`.

    The first firm leads, all others follow and move together. The price isn't clipped at zero: the clipped payoff has
    no gradient there, and gradient players stall. (Cournot, 1838; with a leader Stackelberg, 1934; several followers as
    in App. C of Fiez et al., 2019.)

    `nash` and `stackelberg` are exact whatever the costs: firms that would sell below their costs stay out, at 0. The
    leader may sell just so much that a follower stays out (entry deterrence), or keep it out by selling what a
    monopolist would (blockaded entry), or stay out itself. At such an equilibrium on the boundary of a box, or where
    deterrence ends, derivatives needn't vanish. Both equilibria are unique, and so is every best response: ties don't
    arise.

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
        """`q_i = (p - c_i) / slope`, or 0 for firms whose costs are the price p or more.

        With the k cheapest firms in the market `p = (A + sum of their costs) / (k + 1)`; the right k has the least p.
        If all sell, `q_i = (A + sum_j c_j - (n + 1) c_i) / ((n + 1) slope)`.
        """
        return self._in_each(_together)

    def stackelberg(self) -> tuple[Array, ...]:
        """The leader's best quantity, and the others' equilibrium in what that leaves of demand.

        If all sell, `q_1 = (A + sum_(j > 1) c_j - n c_1) / (2 slope)`. In general, with the followers' costs
        `d_1 <= d_2 <= ...`, the price that they make of q_1 is the least of
        `p_k = (A - slope q_1 + d_1 + ... + d_k) / (k + 1)` over the number k of followers in the market, the k-th of
        whom stays out from `t_k = (A + d_1 + ... + d_(k-1) - k d_k) / slope` on. So the leader's value, the least of
        the parabolas `(p_k - c_1) q_1`, is strictly concave. Its only maximum lies in the last piece `[t_(k+1), t_k]`
        at whose start it still rises: at that parabola's peak, or at the end of the piece.
        """
        return self._in_each(_first_alone)

    def _in_each(self, equilibrium: Callable[[Array, Array, Array], Array]) -> tuple[Array, ...]:
        """The quantities in every market, which have the batch axes of all numbers."""
        demand, slope, *costs = jnp.broadcast_arrays(*map(jnp.asarray, (self.demand, self.slope, *self.costs)))
        return tuple(jnp.moveaxis(equilibrium(demand, slope, jnp.stack(costs, axis=-1)), -1, 0))

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array:
        """`(A - c_i - slope sum_(j != i) q_j) / (2 slope)`, in the box."""
        others = sum(jnp.asarray(q) for j, q in enumerate(actions) if j != player)
        free = (self.demand - self.costs[player] - self.slope * others) / (2 * self.slope)
        return self.spaces[player].project(free)


@jax.jit
@functools.partial(jnp.vectorize, signature="(),(),(n)->(n)")
def _together(demand: Array, slope: Array, costs: Array) -> Array:
    """The quantities of firms that move together."""
    return jnp.maximum(_price(demand, costs) - costs, 0) / slope


@jax.jit
@functools.partial(jnp.vectorize, signature="(),(),(n)->(n)")
def _first_alone(demand: Array, slope: Array, costs: Array) -> Array:
    """The quantities of firms of which the first moves before the others do."""
    first, others = costs[0], costs[1:]
    number, total = _cheaper(others, jnp.less)
    out = (demand + total - (number + 1) * others) / slope  # where each stays out, lower ones first
    # The pieces in which those of up to some firm's costs sell, and the one in which nobody does, the last.
    number, total = (jnp.append(x, 0.0) for x in _cheaper(others, jnp.less_equal))
    peaks = (demand + total - (number + 1) * first) / (2 * slope)
    later = jnp.max(jnp.where(others[None, :] > others[:, None], out[None, :], 0), axis=1)
    starts = jnp.maximum(jnp.append(later, jnp.max(out)), 0)
    leader = jnp.max(jnp.where(peaks > starts, jnp.minimum(peaks, jnp.append(out, demand / slope)), 0))
    sold = jnp.maximum(_price(demand - slope * leader, others) - others, 0) / slope
    # By the numbers that the leader's quantity is taken from: whom it keeps out sells nothing, not a rounding error.
    return jnp.append(leader, jnp.where(leader < out, sold, 0))


def _price(demand: Array, costs: Array) -> Array:
    """In the equilibrium of firms that move together.

    The least of the prices with the k cheapest firms in the market: one more lowers it if it sells, else raises it.
    """
    number, total = _cheaper(costs, jnp.less_equal)
    return jnp.minimum(demand, jnp.min((demand + total) / (number + 1)))


def _cheaper(costs: Array, compare: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
    """For each firm the number of firms whose costs are less (or equal), and the sum of those costs.

    Compared in pairs: to sort takes XLA far longer to compile.
    """
    those = compare(costs[None, :], costs[:, None])
    return jnp.sum(those, axis=1, dtype=costs.dtype), jnp.sum(jnp.where(those, costs[None, :], 0), axis=1)


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
