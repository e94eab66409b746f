"""A sweep's runs put together: tables of a group's runs, and all of them as one labelled dataset."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from stackjax.experiments import results
from stackjax.experiments._groups import Group
from stackjax.experiments.axes import Over
from stackjax.experiments.parts import Arrays
from stackjax.experiments.settings import Setting

if TYPE_CHECKING:
    import xarray


class Tables:
    """What was recorded of every run, group by group: name -> (dimensions, array `[runs, ...]`)."""

    def __init__(self, groups: Sequence[Group], replicates: int):
        self.groups, self.replicates = groups, replicates
        self.arrays: list[Arrays] = [{} for _ in groups]

    def fill(self, group: int, first: int, arrays: Arrays) -> None:
        """Put in the results of some runs, from the `first` on."""
        table = self.arrays[group]
        runs = len(self.groups[group].members) * self.replicates
        for name, (dims, array) in arrays.items():
            shape = (runs, *array.shape[1:])
            if name not in table:
                whole = np.broadcast_to(array[0], shape) if _repeats(array) else np.empty(shape, array.dtype)
                table[name] = (dims, whole)
            known = table[name][1]
            if _repeats(known):
                if _repeats(array) and np.array_equal(array[0], known[0]):
                    continue
                known = np.array(known)
                table[name] = (dims, known)
            known[first : first + array.shape[0]] = array

    def whole(self) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
        """Each variable with its dimensions, `[settings, replicates, ...]`. The tables are used up."""
        names = list(dict.fromkeys(name for table in self.arrays for name in table))
        for name in names:
            tables = [table.pop(name, None) for table in self.arrays]
            dims = next(found[0] for found in tables if found is not None)
            yield name, dims, self._joined([None if found is None else found[1] for found in tables])

    def _joined(self, arrays: list[np.ndarray | None]) -> np.ndarray:
        there = [array for array in arrays if array is not None]
        if len(arrays) == 1:
            (only,) = there
            return only.reshape(-1, self.replicates, *only.shape[1:])
        # What a setting doesn't have is NaN; an arm that it doesn't have was never played.
        shape = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in there), strict=True))
        dtype = np.result_type(*there)
        if len(there) < len(arrays) and dtype.kind != "f":
            dtype = np.dtype(np.float64)
        settings = sum(len(group.members) for group in self.groups)
        found = np.full((settings, self.replicates, *shape), np.nan if dtype.kind == "f" else 0, dtype)
        for group, array in zip(self.groups, arrays, strict=True):
            if array is not None:
                where: Any = (group.members, slice(None), *(slice(size) for size in array.shape[1:]))
                found[where] = array.reshape(-1, self.replicates, *array.shape[1:])
        return found


def _repeats(array: np.ndarray) -> bool:
    """Whether it is a view that repeats one entry, as of oracle calls that are the same in all runs."""
    return array.ndim > 1 and array.shape[0] > 0 and array.strides[0] == 0


def dataset(
    tables: Tables,
    lead: Sequence[tuple[str, list[str]]],
    over: Over,
    ids: Int[np.ndarray, " replicates"],
    common: bool,
    rounds: Int[np.ndarray, " K"],
    roles: Sequence[str],
) -> "xarray.Dataset":
    """All runs with named dimensions: games and methods (`lead`), what is swept, replicates, and what a trace has."""
    import xarray

    dims = (*(name for name, _ in lead), *(axis.dim for axis in over.axes))
    shape = (*(len(names) for _, names in lead), *over.shape)
    variables: dict[str, Any] = {}
    for name, inner, array in tables.whole():
        variables[name] = ((*dims, "replicate", *inner), array.reshape(*shape, *array.shape[1:]))
    coordinates: dict[str, Any] = {
        "replicate": ids.astype(np.int64),
        "rounds": np.asarray(rounds),
        "player": list(roles),
    }
    for name, names in lead:
        coordinates[name] = names
    for axis in over.axes:
        if axis.dim not in axis.values:
            coordinates[axis.dim] = np.arange(axis.size)
        for name, labels in axis.labels.items():
            coordinates[name] = (axis.dim, labels.astype(str) if labels.dtype == object else labels)
    if not common:
        settings = np.arange(np.prod(shape, dtype=int)).reshape(*shape, 1)
        variables["replicate_id"] = ((*dims, "replicate"), settings * (int(ids.max()) + 1) + ids.astype(np.int64))
    return xarray.Dataset(variables, coordinates)


def fingerprint(settings: Sequence[Setting], groups: Sequence[Group]) -> str:
    """A digest of all settings: their structure, and every number in them bit for bit."""
    digest = hashlib.sha256()
    for group in groups:
        first = settings[group.members[0]]
        said = results.describe((first.game, first.learners, first.start))
        digest.update(json.dumps(said).encode())
        digest.update(group.members.tobytes())
        for leaf in group.leaves:
            if isinstance(leaf.values, jax.Array | np.ndarray):
                typed = jnp.issubdtype(leaf.values.dtype, jax.dtypes.prng_key)
                array = np.asarray(jax.random.key_data(leaf.values) if typed else leaf.values)
                digest.update(f"{leaf.settings}{leaf.replicates}{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
