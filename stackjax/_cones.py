"""Least squares over the rows of active constraints: multipliers, and what is left of a vector along them.

Rows `[m, d]` are the constraints' gradients in d coordinates. Which of them count is a mask, so that the number of
active ones may differ from one replicate to the next.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from stackjax._core.dependence import as_varying

Rows = Float[Array, "m d"]
Mask = Bool[Array, " m"]


@jax.jit  # each is traced once, wherever and however often it is called
def multipliers_of(rows: Rows, active: Mask, vector: Float[Array, " d"]) -> Float[Array, " m"]:
    """Those of the active rows whose sum comes nearest to the vector; 0 for the others.

    Of rows that depend on each other (to rounding) one of the solutions, about as short as the shortest. Differentiable
    in rows and vector.
    """
    gram = _gram(rows, active)
    kept = jnp.where(active[:, None], rows, 0)
    found = jnp.linalg.solve(gram, kept @ vector)
    # Once more for what is left: the normal equations alone would lose half of the digits.
    return found + jnp.linalg.solve(gram, kept @ (vector - kept.T @ found))


def without_rows(rows: Rows, active: Mask, vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """The vector's projection to the directions along which no active row changes."""
    kept = jnp.where(active[:, None], rows, 0)
    return vector - kept.T @ multipliers_of(rows, active, vector)


@jax.jit
def shortest_change(rows: Rows, active: Mask, values: Float[Array, " m"]) -> Float[Array, " d"]:
    """The shortest displacement along which the active rows change by `values`."""
    gram, values = _gram(rows, active), jnp.where(active, values, 0)
    kept = jnp.where(active[:, None], rows, 0)
    found = kept.T @ jnp.linalg.solve(gram, values)
    return found + kept.T @ jnp.linalg.solve(gram, values - kept @ found)


def _gram(rows: Rows, active: Mask) -> Float[Array, "m m"]:
    kept = jnp.where(active[:, None], rows, 0)
    gram = kept @ kept.T
    least = 8 * jnp.finfo(rows.dtype).eps * jnp.trace(gram) + jnp.finfo(rows.dtype).tiny
    return gram + jnp.diag(jnp.where(active, least, 1))


@jax.jit
def nonnegative_multipliers(
    rows: Rows, vector: Float[Array, " d"], candidates: Mask, signed: Mask | None = None
) -> Float[Array, " m"]:
    """`argmin |rows' nu - vector|` over `nu >= 0`; 0 for rows that are no candidates, of either sign if `signed`.

    The active-set method of Lawson & Hanson (1974, Solving Least Squares Problems, ch. 23). Rows with a positive
    multiplier are independent, also where more constraints are active than there are coordinates. Not differentiable:
    a derivative is 0.
    """
    rows, vector = jax.lax.stop_gradient((rows, vector))
    m = rows.shape[0]
    if m == 0:
        return jnp.zeros((0,), vector.dtype)
    signed = jnp.zeros(m, bool) if signed is None else signed & candidates
    lengths = jnp.linalg.norm(rows, axis=1)
    unit = rows / jnp.where(lengths > 0, lengths, 1)[:, None]
    candidates = candidates & (lengths > 0)
    enough = 32 * jnp.finfo(vector.dtype).eps * (jnp.linalg.norm(vector) + jnp.finfo(vector.dtype).tiny)

    def step(carry: Any) -> Any:
        nu, passive, _, count = carry
        best = multipliers_of(unit, passive, vector)
        below = passive & ~signed & (best <= 0)
        # A coordinate that would turn negative leaves; else one that would shorten what is left enters.
        room = jnp.where(below, nu / jnp.where(below, nu - best, 1), 1)
        share = jnp.min(room)
        moved = nu + share * (best - nu)
        leaving = below & (room <= share)
        after = jnp.where(passive & ~leaving, moved, 0)
        slope = unit @ (vector - unit.T @ best)
        entering = candidates & ~passive
        gains = jnp.where(entering, slope, -jnp.inf)
        most = jnp.argmax(gains)
        useful = gains[most] > enough
        back = jnp.any(below)
        grown = passive | (jnp.arange(m) == most) & useful
        return (
            jnp.where(back, after, jnp.where(passive, best, 0)),
            jnp.where(back, passive & ~leaving, grown),
            ~back & ~useful,
            count + 1,
        )

    first = as_varying((jnp.zeros(m, vector.dtype), signed, jnp.asarray(False), jnp.int32(0)), unit @ vector)
    nu, *_ = jax.lax.while_loop(lambda c: ~c[2] & (c[3] < 4 * m + 10), step, first)
    return nu / jnp.where(lengths > 0, lengths, 1)
