"""Results: NetCDF files with everything that it takes to compute them again, and their reduction."""

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import inspect
import json
import os
import platform
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

import stackjax
from stackjax.protocols import Calls
from stackjax.trace import Status

if TYPE_CHECKING:
    import xarray

#: Arrays with more entries than this are described by shape, type and hash.
_LISTED = 10_000
_QUARTILES = (0.25, 0.5, 0.75)


def describe(value: Any, depth: int = 16) -> Any:
    """A game, a learner or anything inside one as dictionaries and lists for JSON, with all its numbers.

    Modules become `{"class": ..., field: ...}`; functions `{"function": ..., variable that it closes over:
    ...}`, which is where Optax keeps its hyper-parameters; large arrays their shape, type and SHA-256.
    """
    inner = functools.partial(describe, depth=depth - 1)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth == 0:
        return "..."
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(jnp.asarray(value))
        array = np.asarray(value)
        if array.size <= _LISTED:
            return array.tolist()
        digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
    if isinstance(value, Mapping):
        return {str(k): inner(v) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"class": type(value).__name__} | {k: inner(getattr(value, k)) for k in value._fields}
    if isinstance(value, tuple | list):
        return [inner(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: inner(getattr(value, f.name)) for f in dataclasses.fields(value) if hasattr(value, f.name)}
        return {"class": type(value).__name__} | fields
    if isinstance(value, functools.partial):
        return {"partial": inner(value.func), "args": inner(value.args), "keywords": inner(value.keywords)}
    if callable(value) and hasattr(value, "__qualname__"):
        function = inspect.unwrap(value)
        found = {"function": f"{function.__module__}.{function.__qualname__}"}
        with contextlib.suppress(TypeError):  # built-in functions close over nothing that could be told
            found |= {k: inner(v) for k, v in inspect.getclosurevars(function).nonlocals.items()}
        return found
    return {"class": type(value).__qualname__}


def provenance(
    configuration: Mapping[str, Any], *, seed: int | None, command: str | None, device: Any
) -> dict[str, Any]:
    """The attributes of every result: configuration, versions, device, seed, command and date (UTC)."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found = {
        "stackjax_version": stackjax.__version__,
        "jax_version": jax.__version__,
        "jaxlib_version": jaxlib.__version__,
        "numpy_version": np.__version__,
        "python_version": platform.python_version(),
        "platform": device.platform,
        "device": device.device_kind,
        "date": now,
        "configuration": json.dumps(describe(configuration)),
    }
    return found | {k: v for k, v in (("seed", seed), ("command", command)) if v is not None}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` at the end: nothing half-written ever stands there.

    **Raises:** `OSError` that names the path.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:  # HDF5's own texts run over lines
        raise OSError(f"can't write {path}: {os.strerror(error.errno) if error.errno else error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def check_writable(folder: str | os.PathLike[str]) -> Path:
    """Make the folder if it isn't there, and try to write in it: before a computation, not after.

    **Raises:** `OSError` that names the folder and says why.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        raise OSError(f"can't write in the folder {folder}: it is a file") from None
    except OSError as error:
        raise OSError(f"can't write in the folder {folder}: {error.strerror or error}") from error
    return folder


def save(dataset: "xarray.Dataset", path: str | os.PathLike[str]) -> None:
    """Write a result to a (compressed) NetCDF file: whole, or not at all. A folder that isn't there is made.

    **Arguments:** `dataset`: what a function of `stackjax.experiments` or `Trace.to_xarray` returned; `path`: the file.

    **Raises:** `TypeError` if it isn't a dataset, `OSError` that names the path or the folder.
    """
    import xarray

    if not isinstance(dataset, xarray.Dataset):
        expected = "a dataset from stackjax.experiments or Trace.to_xarray()"
        raise TypeError(f"dataset: expected {expected}, got a {type(dataset).__name__}")
    path = Path(path)
    check_writable(path.parent)
    if "stackjax_version" not in dataset.attrs:  # of a trace; by it `load` knows its own
        dataset = dataset.assign_attrs(stackjax_version=stackjax.__version__)
    numbers = [str(name) for name, v in dataset.variables.items() if v.ndim and v.dtype.kind in "iuf"]
    encoding = {name: {"zlib": True, "complevel": 1, "shuffle": True} for name in numbers}
    with replacing(path) as part:
        dataset.to_netcdf(part, engine="h5netcdf", encoding=encoding)


def load(path: str | os.PathLike[str]) -> "xarray.Dataset":
    """Read a result that `save` or the command line wrote, into memory.

    **Raises:** `FileNotFoundError` if there is no such file, `ValueError` if it isn't a result of stackjax.
    """
    import xarray

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        dataset = xarray.load_dataset(path, engine="h5netcdf")
    except PermissionError as error:
        raise PermissionError(f"can't read {path}: {error.strerror}") from None
    except OSError as error:  # what h5py raises for other kinds of files, and for damaged ones
        raise ValueError(f"{path} can't be read as a NetCDF file: {error}") from None
    if "stackjax_version" not in dataset.attrs:
        raise ValueError(f"{path} is a NetCDF file, but not a result of stackjax")
    return dataset


def check_comparison(dataset: Any) -> None:
    """Is it what `compare` returned?"""
    import xarray

    if not isinstance(dataset, xarray.Dataset):
        name = type(dataset).__name__
        raise TypeError(f"dataset: expected a dataset from stackjax.experiments.compare, got a {name}")
    missing = [name for name in ("methods", "replicate", "rounds", "player") if name not in dataset.dims]
    if missing or "status" not in dataset:
        hint = '; to pick one method, name it in a list: dataset.sel(methods=["a"])' if missing == ["methods"] else ""
        raise ValueError(
            f"dataset: expected the result of a comparison, got one without {' or '.join(missing or ['status'])}{hint}"
        )


def over_replicates(dataset: "xarray.Dataset", name: str, quantiles: Sequence[float]) -> "xarray.DataArray":
    """Quantiles over the replicates that didn't fail, `[methods, quantile, ...]`; NaN where all failed.

    Values that aren't finite are left out, as exact payoffs may be of players who aren't shown them; NaN where all
    are. `left_out` counts them.
    """
    import xarray

    values = dataset[name].transpose("methods", "replicate", ...)
    ok = dataset["status"].transpose("methods", "replicate").values == Status.OK
    array = values.values.astype(np.float64)
    rows = [_quantiles(a[good], quantiles) for a, good in zip(array, ok, strict=True)]
    dims = ("methods", "quantile", *values.dims[2:])
    coords = {k: values.coords[k] for k in values.dims if k in values.coords and k != "replicate"}
    return xarray.DataArray(np.stack(rows), {**coords, "quantile": list(quantiles)}, dims)


def _quantiles(values: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    finite = np.isfinite(values)
    if finite.all() and values.shape[0]:
        return np.quantile(values, quantiles, axis=0)
    some = finite.any(0)
    found = np.full((len(quantiles), *values.shape[1:]), np.nan)
    if some.any():
        found[:, some] = np.nanquantile(np.where(finite, values, np.nan)[:, some], quantiles, axis=0)
    return found


def left_out(dataset: "xarray.Dataset", names: Iterable[str]) -> "xarray.DataArray":
    """How many values `over_replicates` leaves out, `[methods]`: not finite, of replicates that didn't fail."""
    import xarray

    ok = dataset["status"] == int(Status.OK)
    counts = xarray.zeros_like(dataset["methods"], dtype=np.int64)
    for name in names:
        bad = ok & ~dataset[name].copy(data=np.isfinite(dataset[name].values))
        counts = counts + bad.sum([dim for dim in bad.dims if dim != "methods"])
    return counts


def summary(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """The state of a comparison at its last record, over the replicates that didn't fail.

    **Returns:** a dataset with the dimensions `methods`, `quantile` (0.25, 0.5, 0.75) and `player`:

    - `distance_to_nash`, `distance_to_stackelberg` `[methods, quantile, player]` where these equilibria are
      known, and `payoffs` `[methods, quantile, player]` over the last block of rounds;
    - `left_out` `[methods]`: how many values of those aren't finite though their replicates didn't fail. The
      quantiles are those of the rest;
    - `payoffs_calls`, `gradients_calls`, ... `[methods, player]`, cumulative, of the median replicate;
    - `replicates`, how many there were, and `failed` `[methods]`, how many of them did. Where all of them
      failed the quantiles are NaN, and `failed` equals `replicates`;
    - `seconds`, `compile_seconds` `[methods]`, and `rounds`.
    """
    import xarray

    check_comparison(dataset)
    last = dataset.isel(rounds=-1)
    found: dict[str, Any] = {
        "replicates": dataset.sizes["replicate"],
        "failed": (dataset["status"] != int(Status.OK)).sum("replicate"),
        "rounds": int(last["rounds"]),
    }
    measured = [name for name in ("distance_to_nash", "distance_to_stackelberg", "payoffs") if name in last]
    for name in measured:
        found[name] = over_replicates(last, name, _QUARTILES)
    found["left_out"] = left_out(last, measured)
    for kind in Calls._fields:
        found[kind + "_calls"] = over_replicates(last, kind + "_calls", (0.5,)).isel(quantile=0, drop=True)
    return xarray.Dataset(found | {name: dataset[name] for name in ("seconds", "compile_seconds")})
