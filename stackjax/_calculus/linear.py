"""Linear systems that are given by products with vectors, as Hessians are.

The iterations are spelled out: Lineax compares residuals entry by entry, which in float32 goes on past convergence to
NaN, and raises from the compiled program where a derivative isn't finite, which must end no more than its replicate.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree, Scalar

from stackjax._calculus.small import SMALL, least_norm_small, nonsingular, solve_small
from stackjax._careful import is_careful

#: Symmetric systems of up to so many unknowns, and others, are formed and solved densely, as measured in
#: `benchmarks/results/speed.json`. The others' crossing lies lower than this for one lane, and higher for a hundred.
DENSE, DENSE_GENERAL = 6, 48
#: Systems of up to so many unknowns are solved densely where iterations by default fail.
FALLBACK = 256
#: Steps of an iterative solve, at most, where nobody says otherwise.
MAX_STEPS = 100
Linear: TypeAlias = Callable[[PyTree], PyTree]
Product: TypeAlias = Callable[[Array], Array]
#: An approximate solution, the number of steps to it, and the length of its residual.
Iterate: TypeAlias = tuple[Array, Array, Array]
Method: TypeAlias = Callable[[Product, Array, "Past | None", Any, Any], Iterate]
#: Steps of an iterative solve, and its residual relative to the right-hand side (both 0 if the solve was dense).
Effort: TypeAlias = tuple[Int[Array, ""], Scalar]


def is_small(unknowns: int, symmetric: bool) -> bool:
    """Whether a system is solved densely where nobody says otherwise."""
    return unknowns <= (DENSE if symmetric else DENSE_GENERAL)


def matrix_of(apply: Linear, like: PyTree) -> Float[Array, "rows columns"]:
    """The matrix of a linear map from pytrees like `like`, a product for each column."""
    flat, unravel = ravel_pytree(like)

    def column(e: Array) -> Array:
        return ravel_pytree(apply(unravel(e)))[0]

    unit = jnp.eye(flat.size, dtype=flat.dtype)
    if flat.size <= SMALL:  # one by one: XLA makes more of plain arithmetic than of a batch of columns
        return jnp.stack([column(e) for e in unit], axis=1)
    return jax.vmap(column, out_axes=1)(unit)


def dense_solve(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """Solve a general linear system; a singular one, to rounding, gives NaN.

    Systems of up to `SMALL` unknowns are eliminated in plain arithmetic, which XLA fuses over the batch; larger ones go
    through LAPACK.
    """
    return solve_small(matrix, vector) if vector.size <= SMALL else lapack_solve(matrix, vector)


def least_norm_solve(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """The shortest solution of a system that is singular to rounding; NaN if it has none. Differentiable.

    There is one if the shortest of the nearest misses by no more than the root of the resolution.
    """
    finite = jnp.all(jnp.isfinite(matrix)) & jnp.all(jnp.isfinite(vector))
    matrix = jnp.where(finite, matrix, 0)  # the decomposition of NaN may not end
    eps = jnp.finfo(matrix.dtype).eps
    fixed = jax.lax.stop_gradient(matrix)
    if vector.size <= SMALL:
        solve = lambda _, b: least_norm_small(fixed, b)  # noqa: E731  (one of two)
        solve_transposed = lambda _, b: least_norm_small(fixed.T, b)  # noqa: E731
    else:
        left, values, right = jnp.linalg.svd(fixed)
        negligible = values <= 8 * values.size * eps * values[0]
        inverse = jnp.where(negligible, 0, 1 / jnp.where(negligible, 1, values))
        solve = lambda _, b: right.T @ (inverse * (left.T @ b))  # noqa: E731
        solve_transposed = lambda _, b: left @ (inverse * (right @ b))  # noqa: E731
    x = jax.lax.custom_linear_solve(lambda v: matrix @ v, vector, solve, solve_transposed)
    missed = jnp.linalg.norm(matrix @ x - vector)
    return jnp.where(finite & (missed <= jnp.sqrt(eps) * jnp.linalg.norm(vector)), x, jnp.nan)


def lapack_solve(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """The same by LU factors from LAPACK, whatever the size."""
    factors = jax.scipy.linalg.lu_factor(matrix)
    regular = nonsingular(jnp.diag(factors[0]), jnp.max(jnp.abs(matrix)))
    return jnp.where(regular, jax.scipy.linalg.lu_solve(factors, vector), jnp.nan)


class System(NamedTuple):
    """The linear system `A x = b`.

    **Attributes:** `product` with A; `b`; `matrix(unrolled)`, which forms A, entry by entry in plain arithmetic if it
    may; `negative`: whether A is symmetric, and taken to be negative definite, as a strongly concave payoff's Hessian.
    """

    product: Product
    b: Float[Array, " d"]
    matrix: Callable[[bool], Float[Array, "d d"]]
    negative: bool = False


class Solution(NamedTuple):
    """`x`, the steps of an iterative solve, and its residual relative to b (both 0 if the solve was dense)."""

    x: Float[Array, " d"]
    iterations: Int[Array, ""]
    residual: Scalar


class Past(NamedTuple):
    """The `solutions` of similar systems, newest first, and the `images` that their own matrices made of them."""

    solutions: Float[Array, "n d"]
    images: Float[Array, "n d"]


#: How to solve a system, with what is left of similar ones, if there were any.
Solve = Callable[[System, Past | None], Solution]


def solve_dense(system: System, past: Past | None = None) -> Solution:
    """Form the matrix, and eliminate. Of a singular one the shortest solution; NaN if there is none.

    A quick program doesn't look for it: it gives NaN, and where that matters a careful one is run.
    """
    matrix = system.matrix(system.b.size <= SMALL)
    x = dense_solve(matrix, system.b)
    if is_careful():
        x = jax.lax.cond(jnp.all(jnp.isfinite(x)), lambda: x, lambda: least_norm_solve(matrix, system.b))
    return _exactly(x)


def solve_lapack(system: System, past: Past | None = None) -> Solution:
    """The same by LAPACK, whatever the size: it compiles faster."""
    return _exactly(lapack_solve(system.matrix(False), system.b))


def _exactly(x: Float[Array, " d"]) -> Solution:
    return Solution(x, jnp.int32(0), jnp.zeros((), x.dtype))


def solve_iteratively(method: Method, system: System, past: Past | None, tolerance: Any, max_steps: Any) -> Solution:
    """Solve from what past solutions foresee, or from 0. Differentiable, with a solve of its own.

    What the last of `max_steps` steps has reached is returned, with the residual that the steps themselves keep: no
    product is spent on it, and where the matrix is nearly singular it may be far too low. A breakdown gives NaN. A
    derivative in `past` is 0, as the solution doesn't depend on it.
    """
    b = system.b
    tolerance = jnp.finfo(b.dtype).eps ** 0.75 if tolerance is None else tolerance
    limits = jax.lax.stop_gradient((jnp.asarray(tolerance, b.dtype), jnp.asarray(max_steps, jnp.int32)))
    symmetric = method is conjugate_gradients
    # All traced values are arguments of the rule: one that it closed over would leak where `jit` is differentiated.
    values, rest = eqx.partition(eqx.filter_closure_convert(system.product, b), eqx.is_array)

    def product_of(values: Any) -> Product:
        return eqx.combine(values, rest)

    def iterate(apply: Product, b: Array, past: Past | None, limits: Any) -> Solution:
        largest = jnp.max(jnp.abs(b))
        scale = jnp.where(largest > 0, largest, 1)  # or the squares of small numbers would be 0
        b, past = b / scale, jax.tree.map(lambda z: z / scale, past)
        x, steps, left = method(lambda x: -apply(x), -b, past, *limits)  # conjugate gradients want a positive matrix
        return Solution(scale * x, steps, left / jnp.where(largest > 0, jnp.linalg.norm(b), 1))

    @jax.custom_jvp
    def solved(values: Any, b: Array, past: Past | None, limits: Any) -> Solution:
        return iterate(product_of(values), b, past, limits)

    @solved.defjvp
    def tangent(primals: Any, tangents: Any) -> tuple[Solution, Solution]:
        values, *_, limits = primals
        found = solved(*primals)
        _, change = jax.jvp(lambda v: product_of(v)(found.x), (values,), (tangents[0],))

        def correct(apply: Product, b: Array) -> Array:
            return iterate(apply, b, None, limits).x

        moved = jax.lax.custom_linear_solve(
            product_of(values), tangents[1] - change, correct, correct, symmetric=symmetric
        )
        nothing: Any = np.zeros((), jax.dtypes.float0)  # JAX's tangent of an integer, which is no JAX array
        return found, Solution(moved, nothing, jnp.zeros_like(found.residual))

    return solved(values, b, jax.lax.stop_gradient(past), limits)


def solve_automatically(system: System, past: Past | None = None) -> Solution:
    """Densely where it is small; else by conjugate gradients where that may be, or by BiCGStab, or densely after all.

    Both may break down where the matrix isn't definite, and BiCGStab also end anywhere: more than a tenth of the
    right-hand side is then left. That gives NaN in a quick program, and a careful one solves systems of up to
    `FALLBACK` unknowns densely.
    """
    if is_small(system.b.size, system.negative):
        return solve_dense(system)
    method = conjugate_gradients if system.negative else bicgstab
    found = solve_iteratively(method, system, past, None, MAX_STEPS)
    failed = ~jnp.all(jnp.isfinite(found.x))
    if not system.negative:
        failed = failed | ~(found.residual <= 0.1)
    if is_careful() and system.b.size <= FALLBACK:
        steps = found.iterations
        return jax.lax.cond(failed, lambda: solve_dense(system)._replace(iterations=steps), lambda: found)
    return found._replace(x=jnp.where(failed, jnp.nan, found.x))


def solve(apply: Linear, b: PyTree, tolerance: Any, max_steps: int, *, definite: bool = False) -> tuple[PyTree, Effort]:
    """Solve `apply(x) = b` for an x like b.

    Densely where it is small, and a singular system then gives NaN. Else by BiCGStab, or by conjugate gradients
    for a map that is positive definite, from 0: a step costs two products, or one. Differentiable.
    """
    flat, unravel = ravel_pytree(b)
    sign = -1 if definite else 1

    def product(x: Array) -> Array:
        return sign * ravel_pytree(apply(unravel(x)))[0]

    system = System(product, sign * flat, lambda _: sign * matrix_of(apply, b), definite)
    if is_small(flat.size, definite):
        found = solve_dense(system)
    else:
        method = conjugate_gradients if definite else bicgstab
        found = solve_iteratively(method, system, None, tolerance, max_steps)
    return unravel(found.x), (found.iterations, found.residual)


def _iterate(step: Callable[[Any], Any], first: Any, b: Array, tolerance: Any, max_steps: Any) -> Iterate:
    """Step until the carry's last entry, the squared length of its second, the residual, is short; NaN if it isn't."""
    enough = tolerance**2 * (b @ b)

    def going(carry: Any) -> Array:
        return (carry[1] < max_steps) & (carry[0][-1] > enough)

    (x, *_, rr), steps = jax.lax.while_loop(going, lambda carry: (step(carry[0]), carry[1] + 1), (first, jnp.int32(0)))
    return x + 0 * rr, steps, jnp.sqrt(rr)


def _start(product: Product, b: Array, past: Past | None) -> tuple[Array, Array, Array]:
    """A first x, its residual and the square of that: 0, or what past solutions foresee.

    The combination of past right-hand sides that comes nearest to b foresees the solution, if the matrix moves with b:
    the same combination of the solutions, scaled to what the matrix makes of it. That costs one product, however long
    the past. (After Fischer, 1998, Projection techniques for iterative solution of Ax = b with successive right-hand
    sides, who takes a product for each solution where the matrix moves.)
    """
    if past is None:
        return jnp.zeros_like(b), b, b @ b
    x = past.solutions[0]
    if len(past.solutions) > 1:
        # Successive differences: the solutions themselves are the same but for their last digits.
        x = _nearest(_differences(past.images), b) @ _differences(past.solutions)
    image = product(x)
    length = image @ image
    scale = jnp.where(length > 0, image @ b / jnp.where(length > 0, length, 1), 0)
    r = b - scale * image
    return scale * x, r, r @ r


def _differences(values: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """The newest, and its first, second, ... backward differences."""
    found = [values]
    for _ in range(len(values) - 1):
        found.append(found[-1][:-1] - found[-1][1:])
    return jnp.stack([each[0] for each in found])


def _nearest(images: Float[Array, "n d"], b: Float[Array, " d"]) -> Float[Array, " n"]:
    """Which combination of `images` is nearest to b.

    By the normal equations of images of length 1, so that long vectors are gone through once and not for each pair.
    What depends on the ones before, but for what rounding has left, is left out.
    """
    gram, along = images @ images.T, images @ b
    squares = jnp.diag(gram)
    inverse = jnp.where(squares > 0, jax.lax.rsqrt(jnp.where(squares > 0, squares, 1)), 0)
    system = jnp.concatenate([gram * inverse[None], along[:, None]], 1) * inverse[:, None]
    rows = jnp.arange(len(images))
    for k in range(len(images)):
        rest = system[k, k]
        useful = rest > 32 * jnp.finfo(b.dtype).eps
        row = jnp.where(useful, system[k] / jnp.where(useful, rest, 1), 0)[None]
        system = jnp.where((rows == k)[:, None], row, system - system[:, k, None] * row)
    return system[:, -1] * inverse


def conjugate_gradients(
    product: Product, b: Float[Array, " d"], past: Past | None, tolerance: Any, max_steps: Any
) -> Iterate:
    """Hestenes & Stiefel (1952), until the residual is at most `tolerance` times b; x, the steps, and the residual."""

    def step(carry: Any) -> Any:
        x, r, p, beta, rr = carry
        p = r + beta * p  # here and not at the end of the step before: p is then changed in place
        q = product(p)
        alpha = rr / (p @ q)
        r = r - alpha * q
        new = r @ r
        return x + alpha * p, r, p, new / rr, new

    x, r, rr = _start(product, b, past)
    return _iterate(step, (x, r, jnp.zeros_like(r), jnp.zeros_like(rr), rr), b, tolerance, max_steps)


def bicgstab(product: Product, b: Float[Array, " d"], past: Past | None, tolerance: Any, max_steps: Any) -> Iterate:
    """Van der Vorst (1992), until the residual is at most `tolerance` times b; x, the steps, and the residual."""
    x, shadow, rr = _start(product, b, past)

    def step(carry: Any) -> Any:
        x, r, p, rho, _ = carry
        v = product(p)
        alpha = rho / (shadow @ v)
        s = r - alpha * v
        t = product(s)
        length = t @ t
        omega = jnp.where(length > 0, (t @ s) / jnp.where(length > 0, length, 1), 0)  # s = 0: it is solved
        r = s - omega * t
        new = shadow @ r
        return x + alpha * p + omega * s, r, r + new / rho * alpha / omega * (p - omega * v), new, r @ r

    return _iterate(step, (x, shadow, shadow, rr, rr), b, tolerance, max_steps)


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
