"""What a sweep goes over: grids, zips and random samples of values, and products of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from stackjax.checks import concrete

#: Dimensions and variables of a result, by whose names nothing else goes.
RESERVED = frozenset(
    {"games", "methods", "replicate", "rounds", "player", "quantile", "payoffs", "visits", "status", "failed_at"}
    | {"regret", "replicate_id", "payoff_label", "benchmark"}
)


class Axis(NamedTuple):
    """One dimension of a sweep: the names that vary along it, each with as many values and labels."""

    dim: str
    values: dict[str, list[Any]]
    labels: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """The number of settings along it."""
        return len(next(iter(self.values.values())))


class Over:
    """What a sweep goes over: the product of its axes. Made by `grid` and `zipped`, multiplied by `*`."""

    def __init__(self, axes: Sequence[Axis]):
        taken: list[str] = []
        for axis in axes:
            for name in dict.fromkeys([axis.dim, *axis.values]):
                if name in taken:
                    raise ValueError(f"over: {name!r} is swept twice")
                taken.append(name)
        self.axes = tuple(axes)

    def __mul__(self, other: "Over") -> "Over":
        """Every setting of one with every setting of the other."""
        if not isinstance(other, Over):
            return NotImplemented
        return Over((*self.axes, *other.axes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of settings along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def names(self) -> list[str]:
        """All names that vary."""
        return [name for axis in self.axes for name in axis.values]

    def at(self, index: Sequence[int]) -> dict[str, Any]:
        """The values of the setting at an index, one entry an axis."""
        return {
            name: values[i] for axis, i in zip(self.axes, index, strict=True) for name, values in axis.values.items()
        }

    def label(self, index: Sequence[int]) -> str:
        """The labels of the setting at an index, for messages."""
        pairs = zip(self.axes, index, strict=True)
        return ", ".join(f"{name} = {labels[i]}" for axis, i in pairs for name, labels in axis.labels.items())

    def coordinates(self) -> dict[str, Any]:
        """Labels of the dimensions, as `xarray` has them."""
        coordinates: dict[str, Any] = {}
        for axis in self.axes:
            if axis.dim not in axis.values:
                coordinates[axis.dim] = np.arange(axis.size)
            for name, labels in axis.labels.items():
                coordinates[name] = (axis.dim, labels.astype(str) if labels.dtype == object else labels)
        return coordinates

    def __repr__(self) -> str:
        """The axes with their sizes."""
        return f"Over({' x '.join(f'{axis.dim}: {axis.size}' for axis in self.axes)})"


def grid(over: Mapping[str, Any] | None = None, **more: Any) -> Over:
    """All combinations of the values of all names, a dimension for each name.

    **Arguments:** name -> values: a sequence, a one-dimensional array, or a mapping label -> value for values that
    aren't numbers or strings. Names that aren't identifiers (`"leader.step"`) go into a mapping.

    **Raises:** `ValueError` or `TypeError` that names the name: no values, two values with the same label, ...

    >>> from stackjax.experiments import grid, zipped
    >>> grid({"leader.step": [0.1, 0.2]}, arms=[2, 4, 8]).shape
    (2, 3)
    >>> (grid(arms=[2, 4, 8]) * zipped({"leader.step": [0.1, 0.2], "follower.step": [0.2, 0.4]})).shape
    (3, 2)
    """
    return Over([_axis(name, {name: values}) for name, values in _named(over, more).items()])


def zipped(over: Mapping[str, Any] | None = None, *, dim: str = "setting", **more: Any) -> Over:
    """The first values of all names together, then the second ones, ...: one dimension, with a coordinate a name.

    With `log_uniform` it is a random search: `zipped({"leader.step": log_uniform(1e-3, 1.0, 100, seed=0), ...})`.

    **Arguments:** as in `grid`, with as many values for every name; `dim`: what the dimension is called.

    **Raises:** `ValueError` or `TypeError` that names the name.
    """
    _check_name(dim)
    return Over([_axis(dim, _named(over, more))])


def log_uniform(low: float, high: float, n: int, seed: int) -> Float[np.ndarray, " n"]:
    """`n` random numbers whose logarithm is uniform between those of `low` > 0 and `high`; the same for a seed always.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"{name}: expected a number, got {value!r}")
    if not 0 < low < high < math.inf:
        raise ValueError(f"low, high: expected 0 < low < high, got {low} and {high}")
    for name, value in (("n", n), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name}: expected a whole number, got {value!r}")
        if value < (name == "n"):
            raise ValueError(f"{name}: expected {'at least 1' if name == 'n' else '0 or more'}, got {value}")
    # Philox: the same numbers in every version of NumPy that keeps its promise for streams of bits.
    uniform = np.random.Generator(np.random.Philox(seed)).random(n)
    return np.asarray(low * (high / low) ** uniform)


def as_over(over: Any) -> Over:
    """None as no axis, a mapping as a grid."""
    if over is None:
        return Over(())
    if isinstance(over, Mapping):
        return grid(over)
    if isinstance(over, Over):
        return over
    raise TypeError(f"over: expected a mapping name -> values, grid(...) or zipped(...), got {over!r}")


def _named(over: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    if over is not None and not isinstance(over, Mapping):
        raise TypeError(f"over: expected a mapping name -> values, got {over!r}")
    over = {} if over is None else over
    if both := set(over) & set(more):
        raise ValueError(f"over: {sorted(both)[0]!r} is swept twice")
    if not over and not more:
        raise ValueError("over: expected at least one name with its values; without it, nothing is swept")
    return {**over, **more}


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name or name != name.strip() or "/" in name:
        raise TypeError(f"over: expected the name of a swept value, such as 'leader.step', got {name!r}")
    if name in RESERVED:
        raise ValueError(
            f"over: the name {name!r} is taken by a dimension or a variable of every result; choose another"
        )


def _axis(dim: str, columns: Mapping[str, Any]) -> Axis:
    values, labels = {}, {}
    for name, given in columns.items():
        _check_name(name)
        values[name], labels[name] = _values(name, given)
    sizes = {name: len(column) for name, column in values.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"over: expected as many values of each name, got {sizes}")
    rows = list(zip(*(column.tolist() for column in labels.values()), strict=True))
    seen: set[Any] = set()
    for row in rows:
        if row in seen:
            repeated = ", ".join(f"{name} = {label}" for name, label in zip(columns, row, strict=True))
            raise ValueError(f"over: two settings have the same label: {repeated}")
        seen.add(row)
    return Axis(dim, values, labels)


def _values(name: str, given: Any) -> tuple[list[Any], np.ndarray]:
    """The values of a name, and their labels: numbers, or texts."""
    labels: Any = None
    if isinstance(given, Mapping):
        labels, values = [str(label) for label in given], list(given.values())
    elif isinstance(given, str) or not hasattr(given, "__len__") or not hasattr(given, "__getitem__"):
        raise TypeError(f"over: {name!r}: expected a sequence of values or a mapping label -> value, got {given!r}")
    elif hasattr(given, "dtype"):
        if given.ndim != 1 or not concrete(given):
            raise TypeError(f"over: {name!r}: expected a one-dimensional array of known values, got {given!r}")
        array = np.asarray(given)
        labels, values = array, array.tolist()
    else:
        values = list(given)
    if not values:
        raise ValueError(f"over: {name!r}: expected at least one value, got {given!r}")
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in values):
        raise ValueError(f"over: {name!r}: expected whole numbers that 64 bits hold")
    labels = _labels(name, values) if labels is None else np.asarray(labels)
    if labels.dtype.kind == "f" and not np.all(np.isfinite(labels)):
        raise ValueError(f"over: {name!r}: expected finite numbers, got {given!r}")
    return values, labels.astype(object) if labels.dtype.kind in "US" else labels


def _labels(name: str, values: list[Any]) -> np.ndarray:
    kinds = {type(value.item() if isinstance(value, np.generic) else value) for value in values}
    if kinds <= {int, float} or kinds == {bool}:
        return np.asarray(values)
    labels = [value if isinstance(value, str) else repr(value) for value in values]
    for label in labels:
        if " at 0x" in label:  # an address, another one in every process
            raise TypeError(f"over: {name!r}: expected a mapping label -> value for what has no name, got {label}")
    return np.asarray(labels, object)
