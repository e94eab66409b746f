"""Checks of probabilities."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from stackjax.checks import concrete


def _slack(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) ** 0.5


def are_rows(array: Array) -> Bool[Array, ""]:
    """Whether the last axis' entries are probabilities, to the square root of the type's rounding; traced too."""
    slack = _slack(array.dtype)
    return jnp.all(array >= -slack) & jnp.all(jnp.abs(jnp.sum(array, -1) - 1) <= slack)


def check_rows(name: str, array: Any) -> None:
    """Are the last axis' entries, where they are known, probabilities, to the square root of the type's rounding?"""
    if not concrete(array):
        return
    known = np.asarray(array)
    slack = _slack(known.dtype)
    sums = known.sum(-1, dtype=np.float64)
    if np.any(known < -slack):
        raise ValueError(f"{name}: expected probabilities, got the negative number {known.min():g}")
    if not np.all(np.abs(sums - 1) <= slack):
        worst = np.unravel_index(np.argmax(np.abs(sums - 1)), sums.shape)
        at = f" in row {[int(i) for i in worst]}" if worst else ""
        raise ValueError(f"{name}: expected rows that sum to 1, got the sum {sums[worst]:g}{at}")
