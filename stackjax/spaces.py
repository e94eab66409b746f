"""Where actions live: sample, project, difference, contains; and, for derivatives, move along the tangent.

A space's shape is static; its bounds are leaves, so that games with other bounds batch and don't recompile.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Scalar

Shape = tuple[int, ...]


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(isinstance(n, int) for n in x)


class Space(eqx.Module):
    """A set of actions. An action is a pytree of arrays, one for each of the space's shapes."""

    def struct(self, dtype: Any) -> PyTree[jax.ShapeDtypeStruct]:
        """The shapes and types of an action."""
        raise NotImplementedError

    def sample(self, key: PRNGKeyArray, dtype: Any = None) -> PyTree[Array]:
        """A random action, in the floating-point type `dtype` (JAX's default if None)."""
        raise NotImplementedError

    def project(self, action: PyTree[Array]) -> PyTree[Array]:
        """The nearest action of the space. What isn't finite stays so: a failure must not look like an action."""
        raise NotImplementedError

    def difference(self, a: PyTree[Array], b: PyTree[Array]) -> PyTree[Array]:
        """`a - b`, by the shortest way."""
        return jax.tree.map(lambda x, y: x - y, a, b)

    def distance(self, a: PyTree[Array], b: PyTree[Array]) -> Scalar:
        """The Euclidean norm of the difference."""
        squares = [jnp.sum(jnp.square(d)) for d in jax.tree.leaves(self.difference(a, b))]
        return jnp.sqrt(sum(squares[1:], squares[0]))

    def contains(self, action: PyTree[Array]) -> Bool[Array, ""]:
        """Whether a finite action lies in the space (to a few units of rounding)."""
        raise NotImplementedError

    def shrunk(self, margin: Array) -> "Space":
        """The actions that stay inside when every coordinate moves by up to `margin` (for perturbed play)."""
        raise ValueError(f"{type(self).__name__} has no margin to keep perturbed actions in")

    def fits(self, margin: Array) -> Bool[Array, ""]:
        """Whether there are such actions."""
        raise ValueError(f"{type(self).__name__} has no margin to keep perturbed actions in")

    def move(self, action: PyTree[Array], displacement: Float[Array, " dimension"]) -> PyTree[Array]:
        """The action moved along the space, by coordinates of an orthonormal basis of its tangent. Not projected."""
        flat, unravel = ravel_pytree(action)
        return unravel(flat + displacement)

    @property
    def bounded(self) -> bool:
        """Whether the space has a boundary, at which a step can end."""
        return True

    @property
    def size(self) -> int:
        """The number of real coordinates."""
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(self.struct(jnp.float32)))

    @property
    def dimension(self) -> int:
        """The degrees of freedom: the number of coordinates of `move`."""
        return self.size


def _finite(action: PyTree[Array]) -> Bool[Array, ""]:
    checks = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(action)]
    return jnp.all(jnp.stack(checks)) if len(checks) != 1 else checks[0]


class Euclidean(Space):
    """All of R^d, as an array of `shape` or as any pytree of arrays; sampled from a standard normal distribution.

    **Arguments:** `shape`: a tuple of integers, or a pytree whose leaves are such tuples.
    """

    shapes: tuple[Shape, ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    def __init__(self, shape: PyTree[Shape]):
        leaves, self.structure = jax.tree.flatten(shape, is_leaf=_is_shape)
        for leaf in leaves:
            if not _is_shape(leaf) or min(leaf, default=0) < 0:
                raise ValueError(f"shape: expected a tuple of integers or a pytree of such tuples, got {shape!r}")
        self.shapes = tuple(leaves)

    def struct(self, dtype: Any) -> PyTree[jax.ShapeDtypeStruct]:
        """The shapes and types of an action."""
        return jax.tree.unflatten(self.structure, [jax.ShapeDtypeStruct(s, dtype) for s in self.shapes])

    def sample(self, key: PRNGKeyArray, dtype: Any = None) -> PyTree[Array]:
        """Standard normal coordinates."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        keys = jax.random.split(key, len(self.shapes)) if len(self.shapes) > 1 else [key]
        leaves = [jax.random.normal(k, s, dtype) for k, s in zip(keys, self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, leaves)

    def project(self, action: PyTree[Array]) -> PyTree[Array]:
        """The action itself."""
        return action

    def contains(self, action: PyTree[Array]) -> Bool[Array, ""]:
        """Whether every coordinate is finite."""
        return _finite(action)

    def shrunk(self, margin: Array) -> Space:
        """The space itself: it has no boundary."""
        return self

    def fits(self, margin: Array) -> Bool[Array, ""]:
        """Always."""
        return jnp.asarray(True)

    @property
    def bounded(self) -> bool:
        """No."""
        return False


class Box(Space):
    """The arrays of `shape` between `low` and `high`, coordinate by coordinate; sampled uniformly.

    **Arguments:** `low`, `high`: numbers, or arrays that broadcast to `shape`, in the units of the action;
    `shape`: a tuple of integers (default: a scalar).
    """

    low: Array | float
    high: Array | float
    shape: Shape = eqx.field(static=True, default=())

    def __check_init__(self) -> None:
        _check_shape(self.shape)
        if not all(eqx.is_array_like(bound) for bound in (self.low, self.high)):
            if any(isinstance(bound, str) for bound in (self.low, self.high)):  # JAX may put other things in a pytree
                raise TypeError(f"low, high: expected numbers or arrays, got {self.low!r} and {self.high!r}")
        elif not _traced(self.low, self.high):
            low, high = np.asarray(self.low), np.asarray(self.high)
            if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low < high)):
                raise ValueError(f"low, high: expected finite bounds with low < high, got {low} and {high}")

    def _bounds(self, dtype: Any) -> tuple[Array, Array]:
        low, high = jnp.asarray(self.low, dtype), jnp.asarray(self.high, dtype)
        try:
            return jnp.broadcast_to(low, self.shape), jnp.broadcast_to(high, self.shape)
        except ValueError:
            raise ValueError(
                f"low, high: expected arrays that broadcast to {self.shape}, got {low.shape} and {high.shape}"
            ) from None

    def struct(self, dtype: Any) -> PyTree[jax.ShapeDtypeStruct]:
        """The shape and type of an action."""
        return jax.ShapeDtypeStruct(self.shape, dtype)

    def sample(self, key: PRNGKeyArray, dtype: Any = None) -> Array:
        """Uniform in the box."""
        low, high = self._bounds(jnp.result_type(float) if dtype is None else dtype)
        return low + (high - low) * jax.random.uniform(key, self.shape, low.dtype)

    def project(self, action: Array) -> Array:
        """Every coordinate clipped to its bounds; infinite ones become NaN, lest a failure look like a corner."""
        action = _floating(action)
        return jnp.where(jnp.isfinite(action), jnp.clip(action, *self._bounds(action.dtype)), jnp.nan)

    def contains(self, action: Array) -> Bool[Array, ""]:
        """Whether every coordinate lies within its bounds, to four units of rounding of the box's size."""
        action = _floating(action)
        low, high = self._bounds(action.dtype)
        slack = 4 * jnp.finfo(action.dtype).eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
        return jnp.all((action >= low - slack) & (action <= high + slack))

    def shrunk(self, margin: Array) -> Space:
        """The box with every side moved inwards by `margin`."""
        return Box(self.low + margin, self.high - margin, self.shape)

    def fits(self, margin: Array) -> Bool[Array, ""]:
        """Whether every side is at least twice as long as the margin."""
        low, high = self._bounds(jnp.result_type(margin))
        return jnp.all(high - low >= 2 * margin)


class Torus(Space):
    """Angles in radians, as an array of `shape` (default: a scalar); sampled uniformly.

    Every finite number is an angle. `project` brings it to [-pi, pi] and `difference` goes the shorter way round, so
    that no learner needs to know of the seam.
    """

    shape: Shape = eqx.field(static=True, default=())

    def __check_init__(self) -> None:
        _check_shape(self.shape)

    def struct(self, dtype: Any) -> PyTree[jax.ShapeDtypeStruct]:
        """The shape and type of an action."""
        return jax.ShapeDtypeStruct(self.shape, dtype)

    def sample(self, key: PRNGKeyArray, dtype: Any = None) -> Array:
        """Uniform angles."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return jax.random.uniform(key, self.shape, dtype, -jnp.pi, jnp.pi)

    def project(self, action: Array) -> Array:
        """The same angles in [-pi, pi]."""
        action = _floating(action)
        return action - 2 * jnp.pi * jnp.round(action / (2 * jnp.pi))

    def difference(self, a: Array, b: Array) -> Array:
        """`a - b` the shorter way round, in [-pi, pi]."""
        return self.project(_floating(a) - _floating(b))

    def contains(self, action: Array) -> Bool[Array, ""]:
        """Whether every angle is finite."""
        return _finite(action)

    def shrunk(self, margin: Array) -> Space:
        """The space itself: it has no boundary."""
        return self

    def fits(self, margin: Array) -> Bool[Array, ""]:
        """Whether a perturbation by the margin is less than half a turn: beyond that it goes the other way round."""
        return jnp.asarray(margin) < jnp.pi

    @property
    def bounded(self) -> bool:
        """No."""
        return False


class Simplex(Space):
    """The probability vectors of length n: no entry negative, their sum 1; sampled uniformly.

    With a `shape`, arrays `[*shape, n]` of such vectors: a policy is one a state. The tangent of a vector's simplex are
    the vectors whose entries add up to 0, n - 1 dimensions; `move` uses Helmert's basis of them.
    """

    n: int = eqx.field(static=True)
    shape: Shape = eqx.field(static=True, default=())

    def __check_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"n: expected a whole number of outcomes, at least 1, got {self.n!r}")
        _check_shape(self.shape)

    def struct(self, dtype: Any) -> PyTree[jax.ShapeDtypeStruct]:
        """The shape and type of an action."""
        return jax.ShapeDtypeStruct((*self.shape, self.n), dtype)

    def sample(self, key: PRNGKeyArray, dtype: Any = None) -> Array:
        """Uniform in the simplex (Dirichlet with all parameters 1), every vector by itself."""
        shape, dtype = (*self.shape, self.n), jnp.result_type(float) if dtype is None else dtype
        draws = jax.random.exponential(key, shape, dtype)
        return draws / jnp.sum(draws, -1, keepdims=True)

    def project(self, action: Array) -> Array:
        """The nearest probability vectors; NaN if an entry isn't finite."""
        action = _floating(action)
        with jax.numpy_dtype_promotion("standard"):  # Optax divides by integers there
            if not self.shape:
                nearest = optax.projections.projection_simplex(action)
            else:
                # A shift changes nothing but rounding, of which far points would have too much, row by row.
                rows = jnp.reshape(action - jnp.max(action, -1, keepdims=True), (-1, self.n))
                rows = jax.vmap(optax.projections.projection_simplex)(rows)
                nearest = jnp.reshape(rows / jnp.sum(rows, -1, keepdims=True), action.shape)
        return jnp.where(_finite(action), nearest, jnp.nan)

    def contains(self, action: Array) -> Bool[Array, ""]:
        """Whether the entries are non-negative and every vector's sum 1, to four units of rounding an entry."""
        action = _floating(action)
        slack = 4 * self.n * jnp.finfo(action.dtype).eps
        return jnp.all(action >= -slack) & jnp.all(jnp.abs(jnp.sum(action, -1) - 1) <= slack)

    def move(self, action: Array, displacement: Float[Array, " dimension"]) -> Array:
        """The action moved by coordinates in Helmert's basis of the vectors that add up to 0. Not projected."""
        basis = jnp.asarray(_helmert(self.n), displacement.dtype)
        if not self.shape:
            return _floating(action) + basis @ displacement
        moved: Array = _floating(action) + jnp.reshape(displacement, (*self.shape, self.n - 1)) @ basis.T
        return moved

    @property
    def dimension(self) -> int:
        """One less than the number of outcomes, for each vector."""
        return int(np.prod(self.shape, dtype=int)) * (self.n - 1)


class Arms(Space):
    """A finite number of arms, 0 to n - 1; an action is an int32, sampled uniformly."""

    n: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"n: expected a whole number of arms, at least 1, got {self.n!r}")

    def struct(self, dtype: Any) -> PyTree[jax.ShapeDtypeStruct]:
        """An int32, whatever the floating-point type."""
        return jax.ShapeDtypeStruct((), jnp.int32)

    def sample(self, key: PRNGKeyArray, dtype: Any = None) -> Array:
        """A uniform arm."""
        return jax.random.randint(key, (), 0, self.n, jnp.int32)

    def project(self, action: Array) -> Array:
        """The nearest arm."""
        return jnp.clip(jnp.asarray(action), 0, self.n - 1)

    def difference(self, a: Array, b: Array) -> Array:
        """0. if they are the same arm, else 1.: arms have no order."""
        return (jnp.asarray(a) != jnp.asarray(b)).astype(jnp.result_type(float))

    def contains(self, action: Array) -> Bool[Array, ""]:
        """Whether there is such an arm."""
        action = jnp.asarray(action)
        inside = (action >= 0) & (action < self.n)
        return inside if jnp.issubdtype(action.dtype, jnp.integer) else inside & (action == jnp.round(action))

    def move(self, action: Array, displacement: Float[Array, " dimension"]) -> Array:
        """Nowhere: there is nothing between arms."""
        raise ValueError("Arms: a finite space has no tangent, so a game of arms no derivatives")

    @property
    def dimension(self) -> int:
        """None."""
        return 0


def _helmert(n: int) -> np.ndarray:
    """An orthonormal basis of the vectors of length n that add up to 0, as columns `[n, n - 1]`."""
    columns = [np.r_[np.ones(k), -k, np.zeros(n - k - 1)] / np.sqrt(k * (k + 1.0)) for k in range(1, n)]
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0))


def _check_shape(shape: Any) -> None:
    if not _is_shape(shape) or min(shape, default=0) < 0:
        raise ValueError(f"shape: expected a tuple of integers, got {shape!r}")


def _floating(action: Any) -> Array:
    array = jnp.asarray(action)
    return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(jnp.result_type(float))


def _traced(*values: Any) -> bool:
    return any(isinstance(v, jax.core.Tracer) for v in values)
