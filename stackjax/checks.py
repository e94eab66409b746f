"""Checks of arguments: each raises an error that names the argument, and says what was expected and what was given."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

#: So many names are listed; of more only the nearest ones.
_LISTED = 24


def nearest(kind: str, name: str, names: Iterable[str], prefix: str = "") -> str:
    """What to say of a name that isn't known: the nearest one, or all; `prefix` stands before each of them."""
    written = {known.lower(): f"{prefix}{known}" for known in names}  # capitals make no difference
    close = difflib.get_close_matches(name.lower(), written, n=1, cutoff=0.4)
    said = f"unknown {kind} {prefix + name!r}"
    if close:
        return f"{said}; did you mean {written[close[0]]!r}?"
    if len(written) > _LISTED:
        near = difflib.get_close_matches(name.lower(), written, n=3, cutoff=0.0)
        return f"{said}; the nearest ones: {', '.join(written[key] for key in near)}"
    return f"{said}; known: {', '.join(written.values())}"


def choice(name: str, value: Any, known: Iterable[str], kind: str | None = None) -> str:
    """One of the known names; `kind` is what they are names of, default the argument's own."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name}: {nearest(kind or name, str(value), names)}")
    return value


def concrete(*values: Any) -> bool:
    """Whether every value is known now, so that it can be checked."""
    return not any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(values))


def as_number(value: Any) -> Any:
    """Integers as floats, everything else as it is: a step of 1 is the step 1.0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, jax.Array | np.ndarray | np.integer) and jnp.issubdtype(value.dtype, jnp.integer):
        return value.astype(jnp.result_type(float))
    return value


def number(
    value: Any,
    name: str,
    low: float,
    *,
    open_low: bool = True,
    high: float = float("inf"),
    open_high: bool = True,
    whole: bool = False,
) -> None:
    """Every entry of a concrete value lies in the interval (and is whole)."""
    if not eqx.is_array_like(value) or jnp.result_type(value) == jnp.bool_:
        raise TypeError(f"{name}: expected a number or an array of numbers, got {value!r}")
    if whole and not jnp.issubdtype(jnp.result_type(value), jnp.integer):
        raise TypeError(f"{name}: expected whole numbers, got {value!r}")
    if not concrete(value):
        return
    x = np.asarray(value)  # NumPy: inside jit, JAX would make a traced value of a constant
    inside = ((x > low) if open_low else (x >= low)) & ((x < high) if open_high else (x <= high))
    if not np.all(inside):
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        raise ValueError(f"{name}: expected values in {left}{low:g}, {high:g}{right}, got {value}")


def whole(name: str, value: Any, low: int = 1) -> int:
    """A Python integer of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < low:
        raise ValueError(f"{name}: expected at least {low}, got {value}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def seed(value: Any) -> int:
    """An integer in [0, 2^32): `jax.random.key` silently drops higher bits."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"seed: expected an integer in [0, 2^32), got {value!r}")
    if not 0 <= value < 2**32:
        raise ValueError(f"seed: expected an integer in [0, 2^32), got {value}")
    return int(value)


def text(name: str, value: Any) -> str | None:
    """A text or None."""
    if not isinstance(value, str | None):
        raise TypeError(f"{name}: expected a text, got {value!r}")
    return value


def texts(name: str, value: Any, expected: str) -> dict[str, str]:
    """A mapping of texts to texts, or None for an empty one; `expected` says what it maps."""
    good = isinstance(value, Mapping) and all(isinstance(part, str) for pair in value.items() for part in pair)
    if value is not None and not good:
        raise TypeError(f"{name}: expected a mapping {expected}, got {value!r}")
    return dict(value or {})


def one_each(name: str, value: Sequence[str] | None, default: Sequence[str]) -> list[str]:
    """A label for each player (or state, or action), None for the default ones."""
    if value is None:
        return list(default)
    good = isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(x, str) for x in value)
    if not good or len(value) != len(default):
        raise ValueError(f"{name}: expected one label a player ({len(default)}), got {value!r}")
    return list(value)
