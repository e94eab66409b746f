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
