"""Small linear systems as plain arithmetic, which XLA fuses over the batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

#: Largest system that is unrolled; the program grows with its cube.
SMALL = 8


def solve_small(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """Gaussian elimination with partial pivoting, unrolled. Differentiable; a singular system gives NaN."""
    return jax.lax.custom_linear_solve(
        lambda v: matrix @ v,
        vector,
        solve=lambda _, b: _eliminate(matrix, b),
        transpose_solve=lambda _, b: _eliminate(matrix.T, b),
    )


def least_norm_small(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """The shortest solution of a system that may be singular, whether it solves it or not, in plain arithmetic.

    `M' w` with `(M M' + c I) w = b`, c small, and twice more for what is left: it lies in the range of M' whatever
    rounding makes of w.
    """
    gram = matrix @ matrix.T
    d = vector.shape[0]
    c = 64 * jnp.finfo(vector.dtype).eps * jnp.trace(gram) + jnp.finfo(vector.dtype).tiny
    lower: list[list[Array]] = [[vector[0]] * d for _ in range(d)]  # of L D L': no pivots, as it is positive definite
    pivots: list[Array] = []
    for j in range(d):
        pivot = gram[j, j] + c
        for k in range(j):
            pivot = pivot - lower[j][k] ** 2 * pivots[k]
        pivots.append(pivot)
        for i in range(j + 1, d):
            entry = gram[i, j]
            for k in range(j):
                entry = entry - lower[i][k] * lower[j][k] * pivots[k]
            lower[i][j] = entry / pivot

    def solve(b: Array) -> Array:
        w = [b[i] for i in range(d)]
        for i in range(d):
            for k in range(i):
                w[i] = w[i] - lower[i][k] * w[k]
        w = [each / pivot for each, pivot in zip(w, pivots, strict=True)]
        for i in reversed(range(d)):
            for k in range(i + 1, d):
                w[i] = w[i] - lower[k][i] * w[k]
        return jnp.stack(w)

    w = solve(vector)
    for _ in range(2):
        w = w + solve(vector - matrix @ (matrix.T @ w))
    return matrix.T @ w


def _eliminate(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    d = vector.shape[0]
    largest = jnp.max(jnp.abs(matrix))
    rows = [[matrix[i, j] for j in range(d)] + [vector[i]] for i in range(d)]
    for k in range(d):
        for i in range(k + 1, d):  # bubble the largest pivot up: a swap of scalars is a pair of selects
            swap = jnp.abs(rows[i][k]) > jnp.abs(rows[k][k])
            pairs = [(jnp.where(swap, b, a), jnp.where(swap, a, b)) for a, b in zip(rows[k], rows[i], strict=True)]
            rows[k], rows[i] = [p[0] for p in pairs], [p[1] for p in pairs]
        for i in range(k + 1, d):
            factor = rows[i][k] / rows[k][k]
            rows[i] = rows[i][: k + 1] + [
                b - factor * a for a, b in zip(rows[k][k + 1 :], rows[i][k + 1 :], strict=True)
            ]
    solution: list[Array] = [vector[0]] * d
    for i in reversed(range(d)):
        rest = rows[i][d]
        for j in range(i + 1, d):
            rest = rest - rows[i][j] * solution[j]
        solution[i] = rest / rows[i][i]
    pivots = jnp.stack([rows[i][i] for i in range(d)])
    return jnp.where(nonsingular(pivots, largest), jnp.stack(solution), jnp.nan)


def nonsingular(pivots: Float[Array, " d"], largest: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether no pivot is mere rounding of the matrix' largest entry."""
    eps = jnp.finfo(pivots.dtype).eps
    return jnp.min(jnp.abs(pivots)) > 4 * pivots.size * eps * largest
