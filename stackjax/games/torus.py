"""A location game on the torus: several equilibria of both kinds, and a follower whose curvature vanishes somewhere."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from stackjax.checks import as_number, number
from stackjax.protocols import Action, Game
from stackjax.spaces import Torus


class TorusLocation(Game):
    """Two players choose angles, each near a place of its own and away from the other.

    The payoffs `f_i = alpha_i cos(theta_i - phi_i) - cos(theta_1 - theta_2)` are the negated costs of Sec. 4.2 of Fiez
    et al. (2019). With the default parameters the game has two differential Nash and two differential Stackelberg
    equilibria, among six critical points of each of the two fields. If the places coincide, as they do by default, the
    equilibria come in pairs of mirror images with equal payoffs, which are known in closed form; `nash` and
    `stackelberg` give the one in which the leader is to the left of its place.

    The follower's best response `r(theta_1) = arg(alpha_2 e^{i phi_2} - e^{i theta_1})` is unique if `alpha_2 != 1`.
    Its curvature vanishes along curves, near which a hierarchical leader's direction has no bound.

    **Arguments:** `alpha` (alpha_1, alpha_2) > 0, how much each cares for its place; `phi`, the places, in radians.
    """

    alpha: tuple[Any, Any] = eqx.field(default=(1.0, 1.3), converter=lambda a: jax.tree.map(as_number, a))
    phi: tuple[Any, Any] = eqx.field(default=(np.pi / 8, np.pi / 8), converter=lambda p: jax.tree.map(as_number, p))
    levels = ((0,), (1,))

    def __check_init__(self) -> None:
        for name, pair in (("alpha", self.alpha), ("phi", self.phi)):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ValueError(f"{name}: expected one number for each of the two players, got {pair!r}")
            for value in pair:
                number(value, name, 0.0 if name == "alpha" else -np.inf)

    @property
    def spaces(self) -> tuple[Torus, Torus]:
        """An angle each."""
        return Torus(), Torus()

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """`alpha_i cos(theta_i - phi_i) - cos(theta_1 - theta_2)`."""
        apart = jnp.cos(actions[0] - actions[1])
        return tuple(a * jnp.cos(t - p) - apart for a, t, p in zip(self.alpha, actions, self.phi, strict=True))

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array:
        """`arg(alpha_i e^{i phi_i} - e^{i theta_j})`: the payoff is the real part of that times `e^{-i theta_i}`."""
        alpha, phi, other = self.alpha[player], self.phi[player], jnp.asarray(actions[1 - player])
        return jnp.arctan2(alpha * jnp.sin(phi) - jnp.sin(other), alpha * jnp.cos(phi) - jnp.cos(other))

    def nash(self) -> tuple[Array, Array]:
        """One of `nash_equilibria`, with `theta_1 <= phi_1`."""
        return self.nash_equilibria()[0]

    def stackelberg(self) -> tuple[Array, Array]:
        """One of `stackelberg_equilibria`, with `theta_1 <= phi_1`."""
        return self.stackelberg_equilibria()[0]

    def nash_equilibria(self) -> tuple[tuple[Array, Array], ...]:
        """`theta = phi -+ (u, -v)`: u and v are angles of the triangle with sides 1/alpha_1, 1/alpha_2 opposite, and 1.

        (The law of sines is the first-order condition `alpha_1 sin u = alpha_2 sin v = sin(u + v)`.) NaN if the places
        differ or there is no such triangle.
        """
        a, b = (1 / jnp.asarray(alpha) for alpha in self.alpha)
        return self._pair(jnp.arccos((b**2 + 1 - a**2) / (2 * b)), -jnp.arccos((a**2 + 1 - b**2) / (2 * a)))

    def stackelberg_equilibria(self) -> tuple[tuple[Array, Array], ...]:
        """`theta_1 = phi -+ u`, `theta_2` the best response; NaN if the places differ or `alpha_2 <= 1`.

        Along the best response the leader's payoff depends on `s = |alpha_2 - e^{iu}|`, which grows with u in [0, pi].
        Its derivative in s has the sign of `alpha_2 s^2 + alpha_2 (alpha_2^2 - 1) - 2 alpha_1 s^3`, whose one positive
        root comes from Cardano's formula; beyond the range of s the maximum is at u = 0 or pi.
        """
        alpha1, alpha2 = (jnp.asarray(alpha) for alpha in self.alpha)
        p, q = alpha2 / (2 * alpha1), alpha2 * (alpha2**2 - 1) / (2 * alpha1)
        half = p**3 / 27 + q / 2
        w = jnp.cbrt(half + jnp.sqrt(jnp.where(q > 0, q * p**3 / 27 + q**2 / 4, jnp.nan)))
        s = p / 3 + w + p**2 / (9 * w)
        u = jnp.arccos(jnp.clip((alpha2**2 + 1 - s**2) / (2 * alpha2), -1, 1))
        return self._pair(u, jnp.arctan2(-jnp.sin(u), alpha2 - jnp.cos(u)))

    def _pair(self, u: Array, v: Array) -> tuple[tuple[Array, Array], ...]:
        place = jnp.where(jnp.asarray(self.phi[0]) == jnp.asarray(self.phi[1]), self.phi[0], jnp.nan)
        space = Torus()
        left = (space.project(place - u), space.project(place - v))
        return left, (space.project(place + u), space.project(place + v))
