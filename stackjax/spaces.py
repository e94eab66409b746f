"""Where actions live: sample, project, difference, contains; and, for derivatives, move along the tangent.

A space's shape is static; its bounds are leaves, so that games with other bounds batch and don't recompile. At a bound
`free` tells in which directions an action still moves (see `FreeDirections`).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Scalar

from stackjax._cones import nonnegative_multipliers, shortest_change, without_rows

Shape = tuple[int, ...]


class FreeDirections(eqx.Module):
    """In which directions an action moves that its player's gradient drives: a linear space, by its projection.

    What the gradient presses against a bound is *held*, and stays. A bound that is reached without being pressed
    against is *weakly active*: the answer leaves it to one side only, so that derivatives there are one-sided, and
    those of the inner side are taken.

    **Attributes:** `mask` `[d]`, the coordinates that aren't held, or None for all; `group`, static: the sum of each
    group of so many neighbours doesn't change (a simplex), 0 for no such sums; `rows` `[m, d]` that don't change where
    `held` `[m]`, or None; `weakly_active`, how many bounds are.
    """

    mask: Bool[Array, " d"] | None
    weakly_active: Int[Array, ""]
    group: int = eqx.field(static=True, default=0)
    rows: Float[Array, "m d"] | None = None
    held: Bool[Array, " m"] | None = None

    @property
    def only_mask(self) -> Bool[Array, " d"] | None:
        """The mask, if it tells everything."""
        return self.mask if not self.group and self.rows is None else None

    def project(self, vector: Float[Array, " d"]) -> Float[Array, " d"]:
        """The part of a flat vector that lies along them. Symmetric and idempotent."""
        kept = vector if self.mask is None else jnp.where(self.mask, vector, 0)
        if self.group:
            assert self.mask is not None
            mask = jnp.reshape(self.mask, (-1, self.group))
            each = jnp.reshape(kept, (-1, self.group))
            count = jnp.maximum(jnp.sum(mask, -1, keepdims=True), 1).astype(kept.dtype)
            kept = jnp.ravel(jnp.where(mask, each - jnp.sum(each, -1, keepdims=True) / count, 0))
        if self.rows is not None:
            assert self.held is not None
            kept = without_rows(self.rows, self.held, kept)
        return kept


def weak(gradient: Float[Array, "..."]) -> Scalar:
    """The largest multiplier of a bound that isn't pressed against, in the units of the gradient.

    The root of the resolution, times the gradient's largest entry or 1: beyond rounding, but not by much.
    """
    return jnp.sqrt(jnp.finfo(gradient.dtype).eps) * jnp.maximum(1, jnp.max(jnp.abs(gradient), initial=0.0))


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

    def near(self, action: PyTree[Array], limit: float) -> Bool[Array, ""]:
        """Whether the space contains the action and, where it goes on for ever, no coordinate is beyond `limit`."""
        return self.contains(action)

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

    def free(self, action: PyTree[Array], gradient: PyTree[Array]) -> FreeDirections | None:
        """The directions in which an action of the space moves that `gradient`, a pytree like it, drives.

        None if these are all. Not differentiable: which bounds are active doesn't change by a little.
        """
        return None

    def inequalities(self, action: PyTree[Array]) -> Float[Array, " m"]:
        """Linear functions of the action that are at most 0 in the space; none where there is no boundary."""
        return jnp.zeros((0,), _type_of(action))

    def equalities(self, action: PyTree[Array]) -> Float[Array, " p"]:
        """Linear functions of the action that are 0 in the space."""
        return jnp.zeros((0,), _type_of(action))

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


def _all(holds: Callable[[Array], Array], action: PyTree[Array]) -> Bool[Array, ""]:
    checks = [jnp.all(holds(leaf)) for leaf in jax.tree.leaves(action)]
    return jnp.all(jnp.stack(checks)) if len(checks) != 1 else checks[0]


def _finite(action: PyTree[Array]) -> Bool[Array, ""]:
    return _all(jnp.isfinite, action)


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

    def near(self, action: PyTree[Array], limit: float) -> Bool[Array, ""]:
        """Whether every coordinate is at most `limit` in absolute value (and so finite)."""
        return _all(lambda leaf: jnp.abs(leaf) <= limit, action)

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
    """The arrays of `shape` between `low` and `high`, coordinate by coordinate.

    Sampled uniformly between two bounds; beyond a single one at a distance that is exponential with mean 1, and from a
    standard normal distribution where there is none.

    **Arguments:** `low`, `high`: numbers, or arrays that broadcast to `shape`, in the units of the action, `-inf` and
    `inf` for no bound; `shape`: a tuple of integers (default: a scalar).

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    low: Array | float
    high: Array | float
    shape: Shape = eqx.field(static=True, default=())

    def __check_init__(self) -> None:
        if isinstance(self.low, tuple | list):
            raise TypeError(f"low: expected a number or an array, got {self.low!r}; the order is Box(low, high, shape)")
        _check_shape(self.shape)
        if not all(eqx.is_array_like(bound) for bound in (self.low, self.high)):
            if any(isinstance(bound, str) for bound in (self.low, self.high)):  # JAX may put other things in a pytree
                raise TypeError(f"low, high: expected numbers or arrays, got {self.low!r} and {self.high!r}")
        elif not _traced(self.low, self.high):
            low, high = np.asarray(self.low), np.asarray(self.high)
            if not (np.all(low < high) and np.all(low < np.inf) and np.all(high > -np.inf)):
                raise ValueError(f"low, high: expected bounds with low < high, got {low} and {high}")

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
        uniform = jax.random.uniform(key, self.shape, low.dtype)
        if not self._open:
            return low + (high - low) * uniform
        below, above = jnp.isfinite(low), jnp.isfinite(high)
        # One draw for all kinds, so that bounds may be batched.
        distance = -jnp.log1p(-uniform)
        normal = jax.scipy.special.ndtri(jnp.maximum(uniform, jnp.finfo(low.dtype).tiny))
        between = jnp.where(below, low, 0) + jnp.where(below & above, high - low, 0) * uniform
        single = jnp.where(below, low + distance, jnp.where(above, high - distance, normal))
        return jnp.where(below & above, between, single)

    def project(self, action: Array) -> Array:
        """Every coordinate clipped to its bounds; infinite ones become NaN, lest a failure look like a corner."""
        action = _floating(action)
        return jnp.where(jnp.isfinite(action), jnp.clip(action, *self._bounds(action.dtype)), jnp.nan)

    def contains(self, action: Array) -> Bool[Array, ""]:
        """Whether every coordinate lies within its bounds, to four units of rounding of the box's size."""
        return self.near(action, float(jnp.finfo(_floating(action).dtype).max))

    def near(self, action: Array, limit: float) -> Bool[Array, ""]:
        """Whether the box contains the action and no coordinate is beyond `limit` where a bound is infinite."""
        action = _floating(action)
        low, high = self._bounds(action.dtype)
        slack = _slack(low, high)
        below = jnp.where(jnp.isfinite(low), low - slack, -limit)
        above = jnp.where(jnp.isfinite(high), high + slack, limit)
        return jnp.all((action >= below) & (action <= above))

    @property
    def _open(self) -> bool:
        """Whether a bound is, or could be, infinite."""
        known = not _traced(self.low, self.high)
        return not (known and np.all(np.isfinite(self.low)) and np.all(np.isfinite(self.high)))

    def free(self, action: Array, gradient: Array) -> FreeDirections:
        """The coordinates that aren't held at a bound by the sign of the gradient."""
        action, gradient = jax.lax.stop_gradient((_floating(action), _floating(gradient)))
        low, high = self._bounds(action.dtype)
        slack = _slack(low, high)
        pressed = jnp.where(action <= low + slack, -gradient, jnp.where(action >= high - slack, gradient, -jnp.inf))
        small = weak(gradient)
        at_rest = jnp.sum(jnp.abs(pressed) <= small, dtype=jnp.int32)
        return FreeDirections(jnp.ravel(pressed <= small), at_rest)

    def inequalities(self, action: Array) -> Float[Array, " m"]:
        """`low - z`, and `z - high`; -1 where there is no bound."""
        action = _floating(action)
        low, high = self._bounds(action.dtype)
        below, above = jnp.isfinite(low), jnp.isfinite(high)
        sides = (
            jnp.where(below, jnp.where(below, low, 0) - action, -1),
            jnp.where(above, action - jnp.where(above, high, 0), -1),
        )
        return jnp.concatenate([jnp.ravel(side) for side in sides])

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
        return jnp.where(_finite(action), _nearest_probabilities(action), jnp.nan)

    def contains(self, action: Array) -> Bool[Array, ""]:
        """Whether the entries are non-negative and every vector's sum 1, to four units of rounding an entry."""
        action = _floating(action)
        slack = 4 * self.n * jnp.finfo(action.dtype).eps
        return jnp.all(action >= -slack) & jnp.all(jnp.abs(jnp.sum(action, -1) - 1) <= slack)

    def free(self, action: Array, gradient: Array) -> FreeDirections:
        """Those whose entries add up to 0, in the entries that aren't held at 0.

        A zero is held if it is paid less than the others on average: its gradient is below the mean of those that move,
        which are the positive entries and the zeros that are paid more.
        """
        action, gradient = jax.lax.stop_gradient((_floating(action), _floating(gradient)))
        zero = action <= 4 * self.n * jnp.finfo(action.dtype).eps
        inside = jnp.sum(jnp.where(zero, 0, gradient), -1, keepdims=True)
        count = jnp.sum((~zero).astype(gradient.dtype), -1, keepdims=True)
        best = -jnp.sort(jnp.where(zero, -gradient, jnp.inf), -1)  # the zeros', highest first; -inf for the others
        worth = jnp.where(jnp.isfinite(best), best, 0)
        sums, counts = inside + jnp.cumsum(worth, -1), count + jnp.cumsum(jnp.isfinite(best).astype(gradient.dtype), -1)
        joins = jnp.isfinite(best) & (worth * (counts - 1) > sums - worth)  # it is above the mean of those before
        mean = (inside + jnp.sum(jnp.where(joins, worth, 0), -1, keepdims=True)) / (
            count + jnp.sum(joins.astype(gradient.dtype), -1, keepdims=True)
        )
        pressed = jnp.where(zero, mean - gradient, -jnp.inf)
        small = weak(gradient)
        at_rest = jnp.sum(jnp.abs(pressed) <= small, dtype=jnp.int32)
        return FreeDirections(jnp.ravel(pressed <= small), at_rest, group=self.n)

    def inequalities(self, action: Array) -> Float[Array, " m"]:
        """No entry is negative."""
        return -jnp.ravel(_floating(action))

    def equalities(self, action: Array) -> Float[Array, " p"]:
        """Every vector adds up to 1."""
        return jnp.ravel(jnp.sum(_floating(action), -1) - 1)

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


class Polytope(Space):
    """The vectors z with `A z <= b`.

    Projection and free directions are exact, by the active-set method of Lawson & Hanson for least distances. Sampled
    as the projection of a standard normal vector: points far inside are as likely as without bounds, and the rest
    lies on the boundary. An empty polytope has no nearest point: `project` gives NaN.

    **Arguments:** `A` `[m, d]`; `b` `[m]`, in the units of `A z`. Both are leaves.

    **Raises:** `ValueError` or `TypeError` that names the argument; a `ValueError` for a polytope that is known and
    empty.
    """

    A: Float[Array, "m d"]
    b: Float[Array, " m"]

    def __init__(self, A: Any, b: Any):
        for name, value in (("A", A), ("b", b)):
            try:
                array = _floating(value)
            except (TypeError, ValueError):
                raise TypeError(f"{name}: expected an array of numbers, got {value!r}") from None
            if not _traced(array) and not np.all(np.isfinite(np.asarray(array))):
                raise ValueError(f"{name}: expected finite numbers, got {value!r}")
            setattr(self, name, array)
        if self.A.ndim != 2 or 0 in self.A.shape:
            raise ValueError(f"A: expected a matrix with a row for each bound, got the shape {self.A.shape}")
        if self.b.shape != self.A.shape[:1]:
            raise ValueError(f"b: expected {self.A.shape[:1]}, one number for each row of A, got {self.b.shape}")
        if not _traced(self.A, self.b):
            from scipy.optimize import linprog  # here, as it takes long to import

            no_cost = np.zeros(self.A.shape[1])
            if linprog(no_cost, np.asarray(self.A), np.asarray(self.b), bounds=(None, None)).status == 2:
                raise ValueError(f"A, b: expected a polytope with a point in it, got A = {A!r} and b = {b!r}")

    def struct(self, dtype: Any) -> PyTree[jax.ShapeDtypeStruct]:
        """A vector."""
        return jax.ShapeDtypeStruct((self.A.shape[-1],), dtype)

    def sample(self, key: PRNGKeyArray, dtype: Any = None) -> Array:
        """A standard normal vector, projected."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        return self.project(jax.random.normal(key, (self.A.shape[-1],), dtype))

    def project(self, action: Array) -> Array:
        """The nearest point; NaN if an entry isn't finite, or if there is none."""
        action = _floating(action)
        rows, bounds = self._rows(action.dtype)
        slack = bounds - rows @ action
        # The least distance is a non-negative least-squares problem (Lawson & Hanson, 1974, ch. 23).
        scale = jnp.maximum(jnp.max(-slack), jnp.finfo(action.dtype).tiny)
        columns = jnp.concatenate([rows, slack[:, None] / scale], 1)
        target = jnp.zeros(columns.shape[1], action.dtype).at[-1].set(-1)
        nu = nonnegative_multipliers(columns, target, jnp.ones(rows.shape[0], bool))
        exists = (columns.T @ nu - target)[-1] > jnp.sqrt(jnp.finfo(action.dtype).eps)
        moved = action + shortest_change(rows, nu > 0, slack)  # to the bounds that hold it: differentiable
        nearest = jnp.where(jnp.all(slack >= 0), action, jnp.where(exists, moved, jnp.nan))
        return jnp.where(_finite(action), nearest, jnp.nan)

    def _rows(self, dtype: Any) -> tuple[Array, Array]:
        """The rows and bounds, each row of length 1."""
        rows, bounds = self.A.astype(dtype), self.b.astype(dtype)
        lengths = jnp.linalg.norm(rows, axis=1)
        lengths = jnp.where(lengths > 0, lengths, 1)
        return rows / lengths[:, None], bounds / lengths

    def _slack(self, action: Array) -> Array:
        """What rounding leaves of distances to the bounds."""
        size = jnp.maximum(jnp.max(jnp.abs(action), initial=1.0), jnp.max(jnp.abs(self._rows(action.dtype)[1])))
        return 64 * action.size * jnp.finfo(action.dtype).eps * size

    def contains(self, action: Array) -> Bool[Array, ""]:
        """Whether the action is within every bound, to 64 units of rounding an entry."""
        action = _floating(action)
        rows, bounds = self._rows(action.dtype)
        return jnp.all(rows @ action <= bounds + self._slack(action)) & _finite(action)

    def near(self, action: Array, limit: float) -> Bool[Array, ""]:
        """Whether the polytope contains the action and no coordinate is beyond `limit`: it may go on for ever."""
        return self.contains(action) & _all(lambda leaf: jnp.abs(leaf) <= limit, action)

    def free(self, action: Array, gradient: Array) -> FreeDirections:
        """Those along which no bound changes that the gradient presses against."""
        action, gradient = jax.lax.stop_gradient((_floating(action), _floating(gradient)))
        rows, bounds = self._rows(action.dtype)
        reached = rows @ action >= bounds - self._slack(action)
        nu = nonnegative_multipliers(rows, gradient, reached)
        held = nu > weak(gradient)
        at_rest = jnp.sum(reached & ~held, dtype=jnp.int32)
        return FreeDirections(None, at_rest, rows=rows, held=held)

    def inequalities(self, action: Array) -> Float[Array, " m"]:
        """`A z - b`, each row divided by its length."""
        action = _floating(action)
        rows, bounds = self._rows(action.dtype)
        return rows @ action - bounds


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


@jax.custom_jvp
def _nearest_probabilities(action: Float[Array, "*shape n"]) -> Float[Array, "*shape n"]:
    with jax.numpy_dtype_promotion("standard"):  # Optax divides by integers there
        if action.ndim == 1:
            nearest: Array = optax.projections.projection_simplex(action)
            return nearest
        # A shift changes nothing but rounding, of which far points would have too much, row by row.
        rows = jnp.reshape(action - jnp.max(action, -1, keepdims=True), (-1, action.shape[-1]))
        rows = jax.vmap(optax.projections.projection_simplex)(rows)
        return jnp.reshape(rows / jnp.sum(rows, -1, keepdims=True), action.shape)


@_nearest_probabilities.defjvp
def _(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Along the entries that stay positive, whose sum stays 1."""  # Optax' own rule is traced too late for the types
    nearest = _nearest_probabilities(*primals)
    positive = nearest > 0
    along = jnp.where(positive, tangents[0], 0)
    count = jnp.sum(positive, -1, keepdims=True).astype(along.dtype)
    return nearest, jnp.where(positive, along - jnp.sum(along, -1, keepdims=True) / count, 0)


def _helmert(n: int) -> np.ndarray:
    """An orthonormal basis of the vectors of length n that add up to 0, as columns `[n, n - 1]`."""
    columns = [np.r_[np.ones(k), -k, np.zeros(n - k - 1)] / np.sqrt(k * (k + 1.0)) for k in range(1, n)]
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0))


def _slack(low: Array, high: Array) -> Array:
    """Four units of rounding of a box's size."""
    sides = [jnp.where(jnp.isfinite(bound), jnp.abs(bound), 0) for bound in (low, high)]
    return 4 * jnp.finfo(low.dtype).eps * jnp.maximum(*sides)


def _type_of(action: PyTree[Array]) -> Any:
    return jnp.result_type(*(_floating(leaf).dtype for leaf in jax.tree.leaves(action)))


def _check_shape(shape: Any) -> None:
    if not _is_shape(shape) or min(shape, default=0) < 0:
        raise ValueError(f"shape: expected a tuple of integers, got {shape!r}")


def _floating(action: Any) -> Array:
    array = jnp.asarray(action)
    return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(jnp.result_type(float))


def _traced(*values: Any) -> bool:
    return any(isinstance(v, jax.core.Tracer) for v in values)
