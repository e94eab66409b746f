"""Checks of constructors' arguments that several games share."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stackjax.checks import as_number, concrete, number


def scalar(name: str, value: Any, low: float = -float("inf")) -> None:
    """Is it one number, and, where it is known, finite and above `low`?"""
    number(value, name, low)
    if np.ndim(value) != 0:
        raise ValueError(f"{name}: expected a number, got an array of the shape {list(np.shape(value))}")


def finite_array(name: str, value: Any, shape: tuple[int | None, ...]) -> Array:
    """A floating-point array of the shape, None for any size above 0, and finite where that is known."""
    array = as_number(jnp.asarray(value))
    fits = len(shape) == array.ndim and all(
        n == m or (m is None and n > 0) for n, m in zip(array.shape, shape, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if m is None else str(m) for m in shape)
        raise ValueError(f"{name}: expected an array of the shape [{expected}], got {list(array.shape)}")
    if concrete(array) and not np.all(np.isfinite(np.asarray(array))):
        raise ValueError(f"{name}: expected finite numbers, got {np.asarray(array).tolist()}")
    return array


def check_definite(name: str, matrix: Array, *, strictly: bool) -> None:
    """Is a matrix, where it is known, symmetric and positive definite (or, not strictly, semi-definite) to rounding?"""
    if not concrete(matrix):
        return
    known = np.asarray(matrix, np.float64)
    slack = 1e-5 * np.abs(known).max()
    lowest = np.linalg.eigvalsh((known + known.T) / 2)[0]
    if np.abs(known - known.T).max() > slack or (lowest <= 0 if strictly else lowest < -slack):
        kind = "positive definite" if strictly else "positive semi-definite"
        raise ValueError(f"{name}: expected a symmetric {kind} matrix, got {known.tolist()}")
