"""What a joint action is, by the definitions, in plain NumPy; payoffs maximised.

`TwoLevels` holds the derivatives of a leader's and a follower's payoff at a point; `Quadratics` are quadratic games of
any levels. Jacobians are of the ascent fields: stable means eigenvalues with negative real parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class TwoLevels:
    """Derivatives at (x, y): f1_xy is d2f1 / dx dy, f2_yx = d(grad_y f2) / dx, f2_yyx = d(H_yy) / dx, and so on.

    In the last axes one differentiates last: f2_yx is [d2, d1], f2_yxx [d2, d1, d1], f2_yyx [d2, d2, d1].
    """

    f1_x: Array
    f1_y: Array
    f1_xx: Array
    f1_xy: Array
    f1_yy: Array
    f2_y: Array
    f2_yx: Array
    f2_yy: Array
    f2_yxx: Array
    f2_yyx: Array
    f2_yyy: Array

    @property
    def response(self) -> Array:
        """grad r = -H_yy^-1 H_yx, [d2, d1]."""
        return -np.linalg.solve(self.f2_yy, self.f2_yx)

    @property
    def D(self) -> Array:
        """grad_x f1 - H_yx' w with w = H_yy^-T grad_y f1."""
        return self.f1_x - self.f2_yx.T @ self._w

    @property
    def _w(self) -> Array:
        return np.linalg.solve(self.f2_yy.T, self.f1_y)

    @property
    def D_x(self) -> Array:
        """The derivative of D in x: H_yy w = grad_y f1 gives H_yy dw = d(grad_y f1) - dH_yy w."""
        w_x = np.linalg.solve(self.f2_yy, self.f1_xy.T - np.einsum("ijx,j->ix", self.f2_yyx, self._w))
        return self.f1_xx - np.einsum("ixz,i->xz", self.f2_yxx, self._w) - self.f2_yx.T @ w_x

    @property
    def D_y(self) -> Array:
        """The derivative of D in y."""
        w_y = np.linalg.solve(self.f2_yy, self.f1_yy - np.einsum("ijy,j->iy", self.f2_yyy, self._w))
        return self.f1_xy - np.einsum("iyx,i->xy", self.f2_yyx, self._w) - self.f2_yx.T @ w_y

    @property
    def total_hessian(self) -> Array:
        """Of x -> f1(x, r(x)): D1(D f1) + D2(D f1) Dr (printed: D1(D f1))."""
        return self.D_x + self.D_y @ self.response

    def J(self, timescale: float = 1.0) -> Array:
        """Of (grad_x f1, tau grad_y f2)."""
        return np.block([[self.f1_xx, self.f1_xy], [timescale * self.f2_yx, timescale * self.f2_yy]])

    def J_S(self, timescale: float = 1.0) -> Array:
        """Of (D, tau grad_y f2)."""
        return np.block([[self.D_x, self.D_y], [timescale * self.f2_yx, timescale * self.f2_yy]])

    def is_nash(self, tolerance: float = 1e-6) -> bool:
        return _small(tolerance, self.f1_x, self.f2_y) and _maxima(self.f1_xx, self.f2_yy)

    def is_stackelberg(self, tolerance: float = 1e-6) -> bool:
        return _small(tolerance, self.D, self.f2_y) and _maxima(self.total_hessian, self.f2_yy)


def torus(x: float, y: float, alpha: Sequence[float], phi: Sequence[float]) -> TwoLevels:
    """f_i = alpha_i cos(theta_i - phi_i) - cos(x - y): the negated costs of Sec. 4.2 of Fiez et al."""
    s, c = np.sin(x - y), np.cos(x - y)
    s1, c1 = alpha[0] * np.sin(x - phi[0]), alpha[0] * np.cos(x - phi[0])
    s2, c2 = alpha[1] * np.sin(y - phi[1]), alpha[1] * np.cos(y - phi[1])
    return _scalar(
        f1_x=s - s1,
        f1_y=-s,
        f1_xx=c - c1,
        f1_xy=-c,
        f1_yy=c,
        f2_y=-s - s2,
        f2_yx=-c,
        f2_yy=c - c2,
        f2_yxx=s,
        f2_yyx=-s,
        f2_yyy=s + s2,
    )


def zero_sum_simple(u: float, v: float) -> TwoLevels:
    """The leader's cost is -u^2/2 + 2uv - v^2 + u^4/4 - v^4/4, the follower's payoff."""
    return _scalar(
        f1_x=u - 2 * v - u**3,
        f1_y=-2 * u + 2 * v + v**3,
        f1_xx=1 - 3 * u**2,
        f1_xy=-2.0,
        f1_yy=2 + 3 * v**2,
        f2_y=2 * u - 2 * v - v**3,
        f2_yx=2.0,
        f2_yy=-2 - 3 * v**2,
        f2_yxx=0.0,
        f2_yyx=0.0,
        f2_yyy=-6 * v,
    )


def _scalar(**derivatives: float) -> TwoLevels:
    axes = {name: len(name.split("_")[1]) for name in derivatives}
    return TwoLevels(**{name: np.full((1,) * axes[name], float(value)) for name, value in derivatives.items()})


@dataclass(frozen=True)
class Quadratics:
    """f_i(z) = -z' Q_i z / 2 + b_i' z, players in order of play, `levels` as in ((0,), (1, 2)); d the sum of `dims`."""

    Q: tuple[Array, ...]
    b: tuple[Array, ...]
    dims: tuple[int, ...]
    levels: tuple[tuple[int, ...], ...]

    def payoffs(self, z: ArrayLike) -> Array:
        z = np.asarray(z, float)
        return np.array([b @ z - 0.5 * z @ q @ z for q, b in zip(self.Q, self.b, strict=True)])

    def own(self, i: int) -> slice:
        first = sum(self.dims[:i])
        return slice(first, first + self.dims[i])

    def own_gradients(self, z: Array) -> list[Array]:
        return [(b - q @ z)[self.own(i)] for i, (q, b) in enumerate(zip(self.Q, self.b, strict=True))]

    @cached_property
    def _unfolded(self) -> tuple[list[Array], Array]:
        """For each level S, where z = S u + o if u are the actions up to that level and all later levels answer.

        Backwards: in a level the total gradients S_i' (b_i - Q_i z) of its players vanish together, which gives its
        answer R u + c to the levels before; when every level has answered, z = o is the Stackelberg equilibrium.
        """
        d = sum(self.dims)
        S, o = np.eye(d), np.zeros(d)
        spreads = []
        for level in reversed(self.levels):
            spreads.append(S)
            first = self.own(level[0]).start
            A = np.concatenate([S[:, self.own(i)].T @ self.Q[i] @ S for i in level])
            k = np.concatenate([S[:, self.own(i)].T @ (self.b[i] - self.Q[i] @ o) for i in level])
            R, c = -np.linalg.solve(A[:, first:], A[:, :first]), np.linalg.solve(A[:, first:], k)
            S, o = S[:, :first] + S[:, first:] @ R, o + S[:, first:] @ c
        return spreads[::-1], o

    def along(self, i: int) -> Array:
        """dz / dx_i, [d, d_i]: later levels answer, the others of the same level stay."""
        return self._unfolded[0][self.level(i)][:, self.own(i)]

    def level(self, i: int) -> int:
        return next(n for n, players in enumerate(self.levels) if i in players)

    def total_gradients(self, z: Array) -> list[Array]:
        return [self.along(i).T @ (b - q @ z) for i, (q, b) in enumerate(zip(self.Q, self.b, strict=True))]

    def own_hessians(self) -> list[Array]:
        return [-q[self.own(i), self.own(i)] for i, q in enumerate(self.Q)]

    def total_hessians(self) -> list[Array]:
        return [-self.along(i).T @ q @ self.along(i) for i, q in enumerate(self.Q)]

    def J(self, timescale: float = 1.0) -> Array:
        """Of the own gradients, the rows of level l times tau^l."""
        return np.concatenate([-(timescale ** self.level(i)) * q[self.own(i)] for i, q in enumerate(self.Q)])

    def J_S(self, timescale: float = 1.0) -> Array:
        """Of the total gradients, the rows of level l times tau^l."""
        return np.concatenate([-(timescale ** self.level(i)) * self.along(i).T @ q for i, q in enumerate(self.Q)])

    def nash(self) -> Array:
        right = np.concatenate([b[self.own(i)] for i, b in enumerate(self.b)])
        return np.linalg.solve(-self.J(), right)

    def stackelberg(self) -> Array:
        return self._unfolded[1]

    def is_nash(self, z: Array, tolerance: float = 1e-6) -> bool:
        return _small(tolerance, *self.own_gradients(z)) and _maxima(*self.own_hessians())

    def is_stackelberg(self, z: Array, tolerance: float = 1e-6) -> bool:
        return _small(tolerance, *self.total_gradients(z)) and _maxima(*self.total_hessians())


def quadratics(
    Q: Sequence[ArrayLike], b: Sequence[ArrayLike], dims: Sequence[int], levels: Sequence[Sequence[int]] | None = None
) -> Quadratics:
    """Q_i symmetrised; without `levels` one leader and the others together below it."""
    symmetric = tuple((np.asarray(q, float) + np.asarray(q, float).T) / 2 for q in Q)
    who = ((0,), tuple(range(1, len(dims)))) if levels is None else tuple(tuple(level) for level in levels)
    return Quadratics(symmetric, tuple(np.asarray(v, float) for v in b), tuple(dims), who)


def is_stable(jacobian: Array) -> bool:
    return bool(np.all(np.linalg.eigvals(jacobian).real < 0))


def _small(tolerance: float, *residuals: Array) -> bool:
    return all(np.linalg.norm(residual) <= tolerance for residual in residuals)


def _maxima(*hessians: Array, curvature: float = 1e-8) -> bool:
    """Negative definite: every eigenvalue below -curvature max(1, largest |eigenvalue|)."""
    spectra = [np.linalg.eigvalsh((h + h.T) / 2) for h in hessians]
    return all(np.all(s < -curvature * max(1.0, np.max(np.abs(s)))) for s in spectra)
