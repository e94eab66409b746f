"""Update rules of differentiable games in dense NumPy, each from its own paper. Costs minimised, as the papers do.

A rule gives the adjusted gradient, which is *descended*: z <- z - step * rule(...). `ascent` turns one into the
direction that a player ascends, the only change of sign here. Games are polynomials of degree four, so that gradients
and Hessians are exact; no rule needs more than those two, at a point of its own choice. xi is the simultaneous gradient
(grad_i L_i)_i of all players and H its Jacobian, in general not symmetric.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """L_i(z) = b_i z + z' Q_i z / 2 + sum_k (c_ik s_ik^3 / 6 + q_ik s_ik^4 / 24), s_i = U_i z; Q_i symmetric.

    `dims` are the players' dimensions, in order of play; b [players, d], Q [players, d, d], U [players, terms, d],
    c and q [players, terms].
    """

    dims: tuple[int, ...]
    b: Array
    Q: Array
    U: Array
    c: Array
    q: Array

    @property
    def own(self) -> list[slice]:
        """Where the players' coordinates are."""
        ends = np.cumsum(self.dims)
        return [slice(end - d, end) for end, d in zip(ends, self.dims, strict=True)]

    def value(self, i: int, z: Array) -> float:
        """L_i(z)."""
        s = self.U[i] @ z
        return float(self.b[i] @ z + z @ self.Q[i] @ z / 2 + self.c[i] @ s**3 / 6 + self.q[i] @ s**4 / 24)

    def gradient(self, i: int, z: Array) -> Array:
        """All partial derivatives of L_i, [d]."""
        s = self.U[i] @ z
        return self.b[i] + self.Q[i] @ z + self.U[i].T @ (self.c[i] * s**2 / 2 + self.q[i] * s**3 / 6)

    def hessian(self, i: int, z: Array) -> Array:
        """All second derivatives of L_i, [d, d]."""
        s = self.U[i] @ z
        return self.Q[i] + self.U[i].T @ ((self.c[i] * s + self.q[i] * s**2 / 2)[:, None] * self.U[i])

    def xi(self, z: Array) -> Array:
        """(grad_i L_i)_i, [d]."""
        return np.concatenate([self.gradient(i, z)[s] for i, s in enumerate(self.own)])

    def H(self, z: Array) -> Array:
        """The Jacobian of xi, [d, d]."""
        return np.concatenate([self.hessian(i, z)[s] for i, s in enumerate(self.own)])


def random_costs(rng: np.random.Generator, dims: Sequence[int], bowl: float = 1.0, terms: int = 6) -> Costs:
    """A general-sum game with dense derivatives up to the fourth; `bowl` is added to each own Hessian at 0."""
    n, d = len(dims), sum(dims)
    Q = rng.normal(size=(n, d, d))
    b, U = rng.normal(size=(n, d)), 0.6 * rng.normal(size=(n, terms, d))
    c, q = rng.normal(size=(2, n, terms))
    costs = Costs(tuple(dims), b, (Q + np.swapaxes(Q, 1, 2)) / 2, U, c, q)
    for i, s in enumerate(costs.own):
        costs.Q[i, s, s] += bowl * np.eye(dims[i])
    return costs


Rule = Callable[..., Array]


def ascent(rule: Rule, costs: Costs, z: Array, **options: Any) -> Array:
    """What everybody ascends in the game with the payoffs -L_i, [d]."""
    return -rule(costs, z, **options)


def others(costs: Costs, i: int) -> list[int]:
    return [j for j in range(len(costs.dims)) if j != i]


# ---------------------------------------------------------------- opponent shaping


def lookahead_terms(costs: Costs, z: Array) -> Array:
    """H_o xi, with H_o the Jacobian of xi without its diagonal blocks (Letcher et al., 2019)."""
    H_o = costs.H(z)
    for s in costs.own:
        H_o[s, s] = 0.0
    return H_o @ costs.xi(z)


def chi(costs: Costs, z: Array) -> Array:
    """chi_i = sum_j (d grad_j L_j / d z_i)' grad_j L_i, diag(H_o' grad L) of Letcher et al. (2019)."""
    H, own = costs.H(z), costs.own
    return np.concatenate(
        [sum(H[own[j], s].T @ costs.gradient(i, z)[own[j]] for j in others(costs, i)) for i, s in enumerate(own)]
    )


def lola_shaping(costs: Costs, z: Array, eta: float) -> Array:
    """Foerster et al. (2018): what their update prints, the second term of the product rule dropped."""
    return costs.xi(z) - eta * chi(costs, z)


def lola(costs: Costs, z: Array, eta: float) -> Array:
    """The gradient of L_i(z_i, z_j - eta grad_j L_j) to first order in eta: (I - eta H_o) xi - eta chi."""
    return costs.xi(z) - eta * lookahead_terms(costs, z) - eta * chi(costs, z)


def look_ahead(costs: Costs, z: Array, eta: float) -> Array:
    """(I - eta H_o) xi: Zhang & Lesser (2010) as in Letcher et al. (2019)."""
    return costs.xi(z) - eta * lookahead_terms(costs, z)


def sos_weights(costs: Costs, z: Array, eta: float, a: float = 0.5, b: float = 0.1) -> tuple[float, float]:
    """(p_1, p_2) of Letcher et al. (2019), Algorithm 1."""
    xi_0, xi = look_ahead(costs, z, eta), costs.xi(z)
    inner = -eta * chi(costs, z) @ xi_0
    p_1 = 1.0 if inner > 0 else min(1.0, -a * (xi_0 @ xi_0) / inner)
    p_2 = float(xi @ xi) if np.linalg.norm(xi) < b else 1.0
    return float(p_1), p_2


def sos(costs: Costs, z: Array, eta: float, a: float = 0.5, b: float = 0.1) -> Array:
    """xi_0 - p eta chi with p = min(p_1, p_2) (Letcher et al., 2019, Algorithm 1)."""
    return look_ahead(costs, z, eta) - min(sos_weights(costs, z, eta, a, b)) * eta * chi(costs, z)


# ---------------------------------------------------------------- adjustments of the vector field


def consensus(costs: Costs, z: Array, weight: float = 1.0) -> Array:
    """Mescheder et al. (2017): xi plus weight times the gradient of |xi|^2 / 2."""
    return costs.xi(z) + weight * costs.H(z).T @ costs.xi(z)


def sga_sign(costs: Costs, z: Array) -> float:
    """sign(<xi, grad H> <A' xi, grad H> / d + 1/10), Balduzzi et al. (2018), with alignment."""
    xi, H = costs.xi(z), costs.H(z)
    grad, adjustment = H.T @ xi, (H - H.T).T @ xi / 2
    return float(np.sign((xi @ grad) * (adjustment @ grad) / len(z) + 0.1))


def sga(costs: Costs, z: Array, weight: float = 1.0, align: bool = True) -> Array:
    """xi + lambda A' xi, A the antisymmetric part of H."""
    H = costs.H(z)
    sign = sga_sign(costs, z) if align else 1.0
    return costs.xi(z) + weight * sign * (H - H.T).T @ costs.xi(z) / 2


def surgery(costs: Costs, z: Array, xi_1: float = 1e-4, xi_2: float = 1e-4) -> Array:
    """omega + exp(-xi_2 |w|^2) w, w = J' (J' J + lambda I)^-1 J' omega, lambda = xi_1 (1 - exp(-|omega|^2)).

    Mazumdar, Jordan & Sastry (2019). Their limiting ODE halves both terms, which a step takes up.
    """
    omega, J = costs.xi(z), costs.H(z)
    regularised = J.T @ J + xi_1 * (1 - np.exp(-omega @ omega)) * np.eye(len(z))
    w = J.T @ np.linalg.solve(regularised, J.T @ omega)
    return omega + np.exp(-xi_2 * w @ w) * w


def competitive(costs: Costs, z: Array, eta: float) -> Array:
    """Schaefer & Anandkumar (2019): (I - eta^2 D_xy f D_yx g)^-1 (grad_x f - eta D_xy f grad_y g), and so for y."""
    x, y = costs.own
    f_xy, g_yx = costs.hessian(0, z)[x, y], costs.hessian(1, z)[y, x]
    f_x, g_y = costs.gradient(0, z)[x], costs.gradient(1, z)[y]
    return np.concatenate(
        [
            np.linalg.solve(np.eye(len(f_x)) - eta**2 * f_xy @ g_yx, f_x - eta * f_xy @ g_y),
            np.linalg.solve(np.eye(len(g_y)) - eta**2 * g_yx @ f_xy, g_y - eta * g_yx @ f_x),
        ]
    )


def extragradient(costs: Costs, z: Array, step: float, project: Callable[[Array], Array] = lambda z: z) -> Array:
    """xi at the projected half step (Korpelevich, 1976)."""
    return costs.xi(project(z - step * costs.xi(z)))


def optimistic(costs: Costs, z: Array, last: Array | None = None) -> Array:
    """2 xi(z_t) - xi(z_{t-1}), Daskalakis et al. (2018); xi where there is no last one."""
    return costs.xi(z) if last is None else 2 * costs.xi(z) - last


# ---------------------------------------------------------------- leaders and followers


def total_gradient(costs: Costs, z: Array) -> Array:
    """The leader's D f = grad_x f - H_xy H_yy^-1 grad_y f along the ridge grad_y g = 0, the Hessians of g, [d1]."""
    x, y = costs.own[0], slice(costs.dims[0], None)
    H, f = costs.H(z), costs.gradient(0, z)
    return f[x] - H[y, x].T @ np.linalg.solve(H[y, y].T, f[y])


def follow_the_ridge(costs: Costs, z: Array, ratio: float = 1.0, total: bool = True) -> Array:
    """grad_y g - ratio H_yy^-1 H_yx (the leader's gradient), the Hessians of g; ratio = eta_x / eta_y. Only y's, [d2].

    Wang, Zhang & Ba (2020), Algorithm 1 has y <- y + eta_y grad_y f + eta_x H_yy^-1 H_yx grad_x f for min_x max_y f:
    the follower's cost is g = -f, of which the Hessians' quotient is the same. The total gradient is the general-sum
    rule of their appendix. Several followers are a reconstruction: H_yy and H_yx are those of their joint gradient.
    """
    x, y = costs.own[0], slice(costs.dims[0], None)
    H = costs.H(z)
    leaders = total_gradient(costs, z) if total else costs.gradient(0, z)[x]
    return costs.xi(z)[y] - ratio * np.linalg.solve(H[y, y], H[y, x] @ leaders)


def unrolled(costs: Costs, z: Array, eta: float, depth: int) -> Array:
    """d/dx L_1(x, y_depth(x)), y_{k+1} = y_k - eta grad_y L_2(x, y_k) (Metz et al., 2017), [d1].

    Forward accumulation: dy_{k+1} / dx = dy_k / dx - eta (H_yx + H_yy dy_k / dx). With several later players all of
    them move at once, each down its own cost.
    """
    x, y = costs.own[0], slice(costs.dims[0], None)
    z, dy = z.copy(), np.zeros((sum(costs.dims[1:]), costs.dims[0]))
    for _ in range(depth):
        xi, H = costs.xi(z)[y], costs.H(z)[y]
        z[y] = z[y] - eta * xi
        dy = dy - eta * (H[:, x] + H[:, y] @ dy)
    f = costs.gradient(0, z)
    return f[x] + dy.T @ f[y]


def mirror(x: Array, payoff_gradient: Array, step: float) -> Array:
    """x_i exp(step g_i) / sum_j x_j exp(step g_j), multiplied out."""
    weights = [p * np.exp(step * g) for p, g in zip(x, payoff_gradient, strict=True)]
    return np.array(weights) / sum(weights)
