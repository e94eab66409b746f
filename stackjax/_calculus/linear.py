"""Linear systems that are given by products with vectors, as Hessians are.

The iterations are spelled out: Lineax compares residuals entry by entry, which in float32 goes on past convergence to
NaN, and raises from the compiled program where a derivative isn't finite, which must end no more than its replicate.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree, Scalar

from stackjax._calculus.implicit import dense_solve
from stackjax._calculus.small import SMALL

#: Systems of up to so many unknowns are formed and solved densely.
DENSE = 64
Linear = Callable[[PyTree], PyTree]
#: Steps of an iterative solve, and its residual relative to the right-hand side (both 0 if the solve was dense).
Effort = tuple[Int[Array, ""], Scalar]


def matrix_of(apply: Linear, like: PyTree) -> Float[Array, "rows columns"]:
    """The matrix of a linear map from pytrees like `like`, a product for each column."""
    flat, unravel = ravel_pytree(like)

    def column(e: Array) -> Array:
        return ravel_pytree(apply(unravel(e)))[0]

    unit = jnp.eye(flat.size, dtype=flat.dtype)
    if flat.size <= SMALL:  # one by one: XLA makes more of plain arithmetic than of a batch of columns
        return jnp.stack([column(e) for e in unit], axis=1)
    return jax.vmap(column, out_axes=1)(unit)


def solve(apply: Linear, b: PyTree, tolerance: Any, max_steps: int, *, definite: bool = False) -> tuple[PyTree, Effort]:
    """Solve `apply(x) = b` for an x like b.

    Densely for up to `DENSE` unknowns, where a singular system gives NaN. Else by BiCGStab, or by conjugate gradients
    for a map that is positive definite, from 0: a step costs two products, or one. What the last of `max_steps` steps
    has reached is returned, and its residual, which costs another product; a breakdown gives NaN. Differentiable.
    """
    flat, unravel = ravel_pytree(b)
    if flat.size <= DENSE:
        return unravel(dense_solve(matrix_of(apply, b), flat)), (jnp.int32(0), jnp.zeros((), flat.dtype))
    tolerance = jnp.finfo(flat.dtype).eps ** 0.75 if tolerance is None else tolerance
    method = conjugate_gradients if definite else bicgstab

    def product(x: Array) -> Array:
        return ravel_pytree(apply(unravel(x)))[0]

    def iterate(product: Callable[[Array], Array], b: Array) -> tuple[Array, Array]:
        return method(product, b, jax.lax.stop_gradient(tolerance), max_steps)

    # JAX batches what a custom solve returns beside its solution even where nothing else is batched. So the steps come
    # from a solve without a derivative, and that one is solved for what is left less itself, in no step.
    fixed, values = jax.closure_convert(product, flat)
    x, steps = iterate(lambda x: fixed(x, *jax.lax.stop_gradient(values)), jax.lax.stop_gradient(flat))
    left = flat - product(x)

    def correct(product: Callable[[Array], Array], b: Array) -> Array:
        return iterate(product, b)[0]

    nothing = left - jax.lax.stop_gradient(left)
    change = jax.lax.custom_linear_solve(product, nothing, correct, correct, symmetric=definite)
    left, scale = (jnp.linalg.norm(jax.lax.stop_gradient(each)) for each in (left, flat))
    return unravel(x + change), (steps, left / jnp.where(scale > 0, scale, 1))


def _iterate(step: Callable[[Any], Any], first: Any, b: Array, tolerance: Any, max_steps: int) -> tuple[Array, Array]:
    """Step until the second entry of the carry, the residual, is short; the first, with NaN if that isn't finite."""
    enough = tolerance * jnp.linalg.norm(b)

    def going(carry: Any) -> Array:
        return (carry[1] < max_steps) & (jnp.linalg.norm(carry[0][1]) > enough)

    (x, r, *_), steps = jax.lax.while_loop(going, lambda carry: (step(carry[0]), carry[1] + 1), (first, jnp.int32(0)))
    return x + 0 * jnp.linalg.norm(r), steps


def conjugate_gradients(
    product: Callable[[Array], Array], b: Float[Array, " d"], tolerance: Any, max_steps: int
) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """Hestenes & Stiefel (1952) from 0, until the residual is at most `tolerance` times b; and the steps."""

    def step(carry: Any) -> Any:
        x, r, p, rr = carry
        q = product(p)
        alpha = rr / (p @ q)
        r = r - alpha * q
        return x + alpha * p, r, r + (r @ r) / rr * p, r @ r

    return _iterate(step, (jnp.zeros_like(b), b, b, b @ b), b, tolerance, max_steps)


def bicgstab(
    product: Callable[[Array], Array], b: Float[Array, " d"], tolerance: Any, max_steps: int
) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """Van der Vorst (1992) from 0, until the residual is at most `tolerance` times b; and the steps."""

    def step(carry: Any) -> Any:
        x, r, p, rho = carry
        v = product(p)
        alpha = rho / (b @ v)
        s = r - alpha * v
        t = product(s)
        length = t @ t
        omega = jnp.where(length > 0, (t @ s) / jnp.where(length > 0, length, 1), 0)  # s = 0: it is solved
        r = s - omega * t
        new = b @ r
        return x + alpha * p + omega * s, r, r + new / rho * alpha / omega * (p - omega * v), new

    return _iterate(step, (jnp.zeros_like(b), b, b, b @ b), b, tolerance, max_steps)


def damped_least_squares(
    matrix: Float[Array, "d d"], vector: Float[Array, " d"], damping: Scalar
) -> Float[Array, " d"]:
    """`u = (M^T M + damping I)^-1 M^T vector`, of several the shortest.

    By the singular values of M, not those of `M^T M`, which would square its condition. The derivative is that of the
    system `[[I, M], [M^T, -damping I]] [r, u] = [vector, 0]`, as a matrix' singular vectors may have none.
    """
    left, values, right = jnp.linalg.svd(jax.lax.stop_gradient(matrix))
    fixed = jax.lax.stop_gradient(damping)
    negligible = values <= values.size * jnp.finfo(values.dtype).eps * values[0]
    inverse = jnp.where(negligible, 0, 1 / jnp.where(negligible, 1, values**2 + fixed))

    def apply(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        r, u = pair
        return r + matrix @ u, matrix.T @ r - damping * u

    def invert(_: Any, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        b, c = pair
        u = right.T @ (inverse * (values * (left.T @ b) - right @ c))
        return b - left @ (values * (right @ u)), u

    zero = jnp.zeros_like(vector)
    return jax.lax.custom_linear_solve(apply, (vector, zero), invert, symmetric=True)[1]
