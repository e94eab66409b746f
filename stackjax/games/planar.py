"""Well-known games of two players with a number each, on which learning dynamics tell themselves apart."""

import jax.numpy as jnp
from jaxtyping import Array, Scalar

from stackjax.protocols import Action, Game
from stackjax.spaces import Euclidean


class Planar(Game):
    """A leader and a follower with a real number each; a subclass gives `payoffs`, and the equilibria where known."""

    spaces = (Euclidean(()), Euclidean(()))
    levels = ((0,), (1,))


class Tandem(Planar):
    """The payoffs `2 x - (x + y)^2` and `2 y - (x + y)^2`: each gains by its own action and pays for the sum.

    The tandem game of Letcher et al. (2019, Stable Opponent Shaping), who minimise. All points with `x + y = 1` are
    stationary for simultaneous ascent; each own Hessian is negative definite there, so they are differential Nash
    equilibria, none of them isolated. There is no Stackelberg equilibrium: the leader's payoff `2 x - 1` along the best
    response grows with x without bound.
    """

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """`2 x - (x + y)^2`, `2 y - (x + y)^2`."""
        together = (actions[0] + actions[1]) ** 2
        return 2 * actions[0] - together, 2 * actions[1] - together

    def nash(self) -> tuple[Array, Array]:
        """One point of the line of equilibria, the symmetric one."""
        return jnp.asarray(0.5), jnp.asarray(0.5)

    def nash_equilibria(self) -> tuple[tuple[Array, Array], ...]:
        """None: to list one point of a line would mislead whoever measures distances."""
        return ()

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array:
        """`1 - x`."""
        return 1 - jnp.asarray(actions[1 - player])


class Hamiltonian(Planar):
    """The payoffs `-x y` and `x y`: pure rotation, around which simultaneous ascent spirals outwards.

    The bilinear zero-sum game of Balduzzi et al. (2018, The Mechanics of n-Player Differentiable Games). At the origin,
    the only critical point, the own Hessians are 0: it is a Nash equilibrium, but not a *differential* one, and the
    follower has no curvature, so that the hierarchical direction isn't defined anywhere.
    """

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """`-x y`, `x y`."""
        product = actions[0] * actions[1]
        return -product, product


class _ZeroSum(Planar):
    def cost(self, u: Array, v: Array) -> Scalar:
        """What the leader pays the follower."""
        raise NotImplementedError

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """The negated cost, and the cost."""
        cost = self.cost(*actions)
        return -cost, cost


class ZeroSumQuartic(_ZeroSum):
    """The leader pays the follower `-u^2 / 2 + 2 u v - v^2 + u^4 / 4 - v^4 / 4`.

    The origin attracts both the simultaneous and the hierarchical dynamics. It is a differential Stackelberg
    equilibrium and no Nash equilibrium: the leader's own Hessian has the wrong sign, the total one the right sign. So
    an attractor of simultaneous ascent needn't be a Nash equilibrium.
    """

    def cost(self, u: Array, v: Array) -> Scalar:
        """What the leader pays the follower."""
        return -(u**2) / 2 + 2 * u * v - v**2 + (u**4 - v**4) / 4

    def stackelberg(self) -> tuple[Array, Array]:
        """The origin."""
        return jnp.asarray(0.0), jnp.asarray(0.0)


class ZeroSumPolynomial(_ZeroSum):
    """The leader pays the follower `-((a u^2 + v)^2 + (b v^2 + u)^2) exp(-(u^2 + v^2) / 100)`, a = .15 and b = .25.

    The polynomial game, damped far out, of Fiez et al. (2020, Implicit Learning Dynamics in Stackelberg Games). Nine
    critical points, which are the same for both dynamics, as in every zero-sum game; two are Nash and Stackelberg
    equilibria and two only Stackelberg equilibria. They are given as numbers, not in closed form.
    """

    def cost(self, u: Array, v: Array) -> Scalar:
        """What the leader pays the follower."""
        return -((0.15 * u**2 + v) ** 2 + (0.25 * v**2 + u) ** 2) * jnp.exp(-0.01 * (u**2 + v**2))

    def nash(self) -> tuple[Array, Array]:
        """The one that is better for the leader."""
        return self.nash_equilibria()[0]

    def stackelberg(self) -> tuple[Array, Array]:
        """The one that is best for the leader."""
        return self.stackelberg_equilibria()[0]

    def nash_equilibria(self) -> tuple[tuple[Array, Array], ...]:
        """Both, the better one for the leader first."""
        return _points(_BOTH)

    def stackelberg_equilibria(self) -> tuple[tuple[Array, Array], ...]:
        """All four, from the best for the leader to the worst."""
        return _points(_BOTH + _ONLY_STACKELBERG)


_BOTH = ((12.188575649030787, -5.423167761844847), (-10.416623295113828, 8.480548853726782))
_ONLY_STACKELBERG = ((-13.33918039568395, -9.991698385593121), (-2.5015087156827263, -2.3398614944218363))


def _points(points: tuple[tuple[float, float], ...]) -> tuple[tuple[Array, Array], ...]:
    return tuple((jnp.asarray(u), jnp.asarray(v)) for u, v in points)
