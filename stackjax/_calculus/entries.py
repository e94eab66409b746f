"""Small tables as NumPy arrays of scalars, in whose arithmetic XLA sees a batch as the only axis, and vectorises it.

The same expressions work for both kinds of tables: products, sums over an axis, and the functions of this module.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

#: An array, or a NumPy array of scalars.
Entries: TypeAlias = Any
#: Tables of up to so many entries are worth it; the program grows with them.
MOST = 128


def entries(table: Array, largest: int) -> Entries:
    """The table's scalars, if those of which `largest` is the size are small, else the table."""
    if largest > MOST:
        return table
    found = np.empty(table.size, object)
    for i, part in enumerate(jax.lax.split(jnp.ravel(table), (1,) * table.size)):
        found[i] = jnp.reshape(part, ())
    return found.reshape(table.shape)


def pack(table: Entries) -> Any:
    """The table as a pytree, which a loop can carry."""
    return tuple(table.ravel()) if isinstance(table, np.ndarray) else table


def unpack(packed: Any) -> Entries:
    """A vector from what `pack` made of it."""
    if not isinstance(packed, tuple):
        return packed
    found = np.empty(len(packed), object)
    for i, entry in enumerate(packed):
        found[i] = entry
    return found


def joined(table: Entries) -> Array:
    """The table as an array."""
    return jnp.stack(list(table.ravel())).reshape(table.shape) if isinstance(table, np.ndarray) else table


def each(function: Callable, *tables: Entries) -> Entries:
    """A function of scalars, entry by entry of tables of the same shape."""
    if not isinstance(tables[0], np.ndarray):
        return function(*tables)
    found = np.empty(tables[0].shape, object)
    for at in np.ndindex(found.shape):
        found[at] = function(*(table[at] for table in tables))
    return found
