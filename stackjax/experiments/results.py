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
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

import stackjax

if TYPE_CHECKING:
    import xarray

#: The form of result files; it grows when an older version can't read them any more.
FORM = 1
_NO_HINTS: Mapping[str, str] = MappingProxyType({})
#: Arrays with more entries than this are described by shape, type and hash.
_LISTED = 10_000


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
        described = {"function": f"{function.__module__}.{function.__qualname__}"}
        with contextlib.suppress(TypeError):  # built-in functions close over nothing that could be told
            described |= {k: inner(v) for k, v in inspect.getclosurevars(function).nonlocals.items()}
        return described
    return {"class": type(value).__qualname__}


def provenance(
    configuration: Mapping[str, Any], *, seed: int | None, command: str | None, device: Any
) -> dict[str, Any]:
    """The attributes of every result: configuration, versions, device, seed, command and date (UTC)."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    attributes = {
        "stackjax_version": stackjax.__version__,
        "form": FORM,
        "jax_version": jax.__version__,
        "jaxlib_version": jaxlib.__version__,
        "numpy_version": np.__version__,
        "python_version": platform.python_version(),
        "platform": device.platform,
        "device": device.device_kind,
        "date": now,
        "configuration": json.dumps(describe(configuration)),
    }
    return attributes | {k: v for k, v in (("seed", seed), ("command", command)) if v is not None}


def labelled(dataset: "xarray.Dataset", actions: Sequence[str], payoffs: Sequence[str]) -> "xarray.Dataset":
    """A dataset with what each player's actions and payoffs are called."""
    dataset = dataset.assign_coords(payoff_label=("player", list(payoffs)))
    for i, label in enumerate(actions):
        for variable in dataset.variables:
            if str(variable).partition("[")[0] in (f"strategy_{i}", f"initial_{i}", f"action_{i}"):
                dataset[variable].attrs["long_name"] = label
    return dataset


def check_from(
    dataset: Any, driver: str, dims: Sequence[str], variables: Sequence[str], hints: Mapping[str, str] = _NO_HINTS
) -> None:
    """Is it what a function of `stackjax.experiments` returned, with these dimensions and variables?

    **Arguments:** `hints`: what else to say if a dimension is the first one that is missing.

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't such a result.
    """
    import xarray

    name = f"stackjax.experiments.{driver}"
    if not isinstance(dataset, xarray.Dataset):
        raise TypeError(f"dataset: expected a dataset from {name}, got a {type(dataset).__name__}")
    missing = [dim for dim in dims if dim not in dataset.dims] or [v for v in variables if v not in dataset]
    if missing:
        hint = hints.get(missing[0], "")
        raise ValueError(f"dataset: expected a result of {name}, got one without {' or '.join(missing)}{hint}")


def configuration(dataset: "xarray.Dataset") -> Any:
    """What a result says of what it was computed from.

    **Raises:** `ValueError` if it can't be read.
    """
    try:
        return json.loads(dataset.attrs["configuration"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"the result's configuration is damaged: {error}") from None


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


#: What follows the NetCDF file, whose readers stop before it: a checksum of every byte, which is verified before
#: anything is made of them (HDF5 may run for ever on a damaged file).
_MARK, _SIZE = b"\nstackjax blake2b ", 16


def _trailer(content: bytes) -> bytes:
    return _MARK + hashlib.blake2b(content, digest_size=_SIZE).hexdigest().encode() + b"\n"


def _check(path: Path) -> None:
    """Raise a `ValueError` if a file isn't what was written, by its checksum; files of version 0.1 have none."""
    content = path.read_bytes()
    end = len(content) - len(_MARK) - 2 * _SIZE - 1
    if content[end:].startswith(_MARK) and content[end:] != _trailer(content[:end]):
        raise ValueError("it isn't what was written, by its checksum")


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
        dataset = dataset.assign_attrs(stackjax_version=stackjax.__version__, form=FORM)
    numbers = [str(name) for name, v in dataset.variables.items() if v.ndim and v.dtype.kind in "iuf"]
    encoding = {name: {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True} for name in numbers}
    # In memory first: HDF5 doesn't survive a file that can't grow (it crashes the process later on).
    content = dataset.to_netcdf(engine="h5netcdf", encoding=encoding)
    with replacing(path) as part, open(part, "wb") as file:
        file.write(content)
        file.write(_trailer(bytes(content)))


def load(path: str | os.PathLike[str]) -> "xarray.Dataset":
    """Read a result that `save` or the command line wrote, into memory; its checksum is verified.

    It warns (`UserWarning`) of a file that another minor version wrote.

    **Raises:** `FileNotFoundError` if there is no such file, `ValueError` if it isn't a result of stackjax, or of a
    later version's form.
    """
    import xarray

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        _check(path)
        # Units are texts, "days since ..." too.
        dataset = xarray.load_dataset(path, engine="h5netcdf", decode_times=False, decode_timedelta=False)
    except PermissionError as error:
        raise PermissionError(f"can't read {path}: {error.strerror}") from None
    except Exception as error:  # an OSError for other kinds of files; for damaged ones it may be anything
        raise ValueError(f"{path} can't be read as a NetCDF file: {error}") from None
    if "stackjax_version" not in dataset.attrs:
        raise ValueError(f"{path} is a NetCDF file, but not a result of stackjax")
    written, form = str(dataset.attrs["stackjax_version"]), dataset.attrs.get("form", FORM)
    if not isinstance(form, int | np.integer) or form > FORM:
        raise ValueError(
            f"{path} was written by stackjax {written} in a form ({form}) that {stackjax.__version__} doesn't know; "
            "upgrade to read it"
        )
    if written.split(".")[:2] != stackjax.__version__.split(".")[:2]:
        warnings.warn(f"{path} was written by stackjax {written}, this is {stackjax.__version__}", stacklevel=2)
    return dataset
