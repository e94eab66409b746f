"""Gradient learners on quadratic games in plain NumPy, payoffs maximised."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Box = tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True)
class QuadraticTerms:
    """f_i(x, y) = -z' Q_i z / 2 + b_i' z with z = (x, y) and Q_i symmetrised (d1 = len(x))."""

    Q1: Array
    Q2: Array
    b1: Array
    b2: Array
    d1: int

    def f1(self, x: ArrayLike, y: ArrayLike) -> float:
        z = np.concatenate([x, y])
        return float(self.b1 @ z - 0.5 * z @ self.Q1 @ z)

    def f2(self, x: ArrayLike, y: ArrayLike) -> float:
        z = np.concatenate([x, y])
        return float(self.b2 @ z - 0.5 * z @ self.Q2 @ z)

    def grad_x_f1(self, x: ArrayLike, y: ArrayLike) -> Array:
        return (self.b1 - self.Q1 @ np.concatenate([x, y]))[: self.d1]

    def grad_y_f1(self, x: ArrayLike, y: ArrayLike) -> Array:
        return (self.b1 - self.Q1 @ np.concatenate([x, y]))[self.d1 :]

    def grad_y_f2(self, x: ArrayLike, y: ArrayLike) -> Array:
        return (self.b2 - self.Q2 @ np.concatenate([x, y]))[self.d1 :]

    @property
    def H_yy(self) -> Array:
        """d2 f2 / dy2, shape [d2, d2]."""
        return -self.Q2[self.d1 :, self.d1 :]

    @property
    def H_yx(self) -> Array:
        """d (grad_y f2) / dx, shape [d2, d1]."""
        return -self.Q2[self.d1 :, : self.d1]


def quadratic_terms(Q1: ArrayLike, Q2: ArrayLike, b1: ArrayLike, b2: ArrayLike, d1: int) -> QuadraticTerms:
    """f_i(z) = -z' Q_i z / 2 + b_i' z, whose gradient is b_i - (Q_i + Q_i') z / 2 for any Q_i."""
    Q1, Q2 = np.asarray(Q1, float), np.asarray(Q2, float)
    return QuadraticTerms((Q1 + Q1.T) / 2, (Q2 + Q2.T) / 2, np.asarray(b1, float), np.asarray(b2, float), d1)


def hierarchical_direction(
    terms: QuadraticTerms, x: ArrayLike, y: ArrayLike, damping: float = 0.0, box_y: Box | None = None
) -> Array:
    """Eq. 6 with its erratum: D = grad_x f1 - H_yx' (H_yy - damping I)^-T grad_y f1 (printed: grad_y f2).

    At the bounds of a box the follower's coordinates that its gradient holds there don't answer: without their rows
    and columns.
    """
    free = np.ones(len(terms.H_yy), bool)
    if box_y is not None:
        slope, (low, high) = terms.grad_y_f2(x, y), (np.asarray(side, float) for side in box_y)
        free = ~((y <= low) & (slope < 0) | (y >= high) & (slope > 0))
    damped = (terms.H_yy - damping * np.eye(len(free)))[np.ix_(free, free)]
    return terms.grad_x_f1(x, y) - terms.H_yx[free].T @ np.linalg.solve(damped.T, terms.grad_y_f1(x, y)[free])


def two_timescale(
    terms: QuadraticTerms,
    x0: ArrayLike,
    y0: ArrayLike,
    noise_x: ArrayLike,
    noise_y: ArrayLike,
    *,
    leader_step: Callable[[int], float],
    follower_step: Callable[[int], float],
    rounds: int,
    hierarchical: bool = True,
    damping: float = 0.0,
    box_x: Box | None = None,
    box_y: Box | None = None,
) -> tuple[Array, Array]:
    """Eqs. 8 and 9: x + alpha_1 (D(x, y) + w_1) and y + alpha_2 (grad_y f2(x, y) + w_2), both from the same (x, y).

    `hierarchical=False` puts grad_x f1 for D: simultaneous gradient ascent. Only the results of updates are
    projected, not x0 and y0. Steps are functions of n = 0, 1, ...; returns x [rounds, d1] and y [rounds, d2]
    after each round.
    """

    def project(z: Array, box: Box | None) -> Array:
        return z if box is None else np.clip(z, np.asarray(box[0], float), np.asarray(box[1], float))

    noise_x, noise_y = np.asarray(noise_x, float), np.asarray(noise_y, float)
    x, y = np.array(x0, float), np.array(y0, float)
    xs, ys = [], []
    for n in range(rounds):
        direction = hierarchical_direction(terms, x, y, damping, box_y) if hierarchical else terms.grad_x_f1(x, y)
        x_next = project(x + leader_step(n) * (direction + noise_x[n]), box_x)
        y_next = project(y + follower_step(n) * (terms.grad_y_f2(x, y) + noise_y[n]), box_y)
        x, y = x_next, y_next
        xs.append(x)
        ys.append(y)
    return np.array(xs), np.array(ys)


def nash(terms: QuadraticTerms) -> tuple[Array, Array]:
    """grad_x f1 = 0 and grad_y f2 = 0, stacked: the first d1 rows of (Q1, b1) over the last d2 of (Q2, b2)."""
    d1 = terms.d1
    z = np.linalg.solve(
        np.vstack([terms.Q1[:d1], terms.Q2[d1:]]),
        np.concatenate([terms.b1[:d1], terms.b2[d1:]]),
    )
    return z[:d1], z[d1:]


def stackelberg(terms: QuadraticTerms) -> tuple[Array, Array]:
    """D = 0 and grad_y f2 = 0, stacked, with D = T' (b1 - Q1 z), T = [I; R] and R = grad r = -H_yy^-1 H_yx."""
    d1 = terms.d1
    T = np.vstack([np.eye(d1), -np.linalg.solve(terms.H_yy, terms.H_yx)])
    z = np.linalg.solve(
        np.vstack([T.T @ terms.Q1, terms.Q2[d1:]]),
        np.concatenate([T.T @ terms.b1, terms.b2[d1:]]),
    )
    return z[:d1], z[d1:]
