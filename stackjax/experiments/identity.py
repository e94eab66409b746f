"""What code a computation depends on: a digest of every function, class and global value that it can reach.

Of a user's own code everything counts: bodies, defaults, closures, the globals that are read, methods of classes and
their bases, attributes of callables, what a wrapper wraps. Installed libraries and the standard library, stackjax among
them, count by name. Comments, formatting, docstrings of functions, names of files and unused globals don't matter.
"""

import contextlib
import dataclasses
import dis
import functools
import hashlib
import sys
import sysconfig
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import stackjax

_PLACES = tuple(
    str(Path(place).resolve())
    for place in (
        *(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(stackjax.__file__).parent),
    )
)
_HAS_DOCSTRING = 0x4000000  # a flag of code objects
#: Of a class what says nothing of what it computes.
_IDLE = frozenset(
    [
        "__dict__",
        "__weakref__",
        "__doc__",
        "__module__",
        "__qualname__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__abstractmethods__",
        "_abc_impl",
        "__firstlineno__",
        "__static_attributes__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__hash__",
        "__parameters__",
        "__orig_bases__",
        "__slots__",
        "__init_subclass__",
    ]
)
_PLAIN = (bool, int, float, complex, str, bytes, np.generic, np.dtype, range, slice, type(None), type(...))

_DATA = (*_PLAIN, jax.Array, np.ndarray)


def codes(roots: Mapping[str, Any], warn: bool = True) -> dict[str, str]:
    """The name of every piece of code and of every global value that the roots depend on, and a digest of each.

    What can't be looked into (an object of an extension module) counts by its type, and is named in a warning, if it is
    to `warn`.
    """
    walk = _Walk()
    for name, value in roots.items():
        walk.value(value, name)
    if warn and walk.opaque:
        named = ", ".join(sorted(walk.opaque))
        warnings.warn(
            f"changes inside of these wouldn't be noticed when a result is taken up again: {named}", stacklevel=2
        )
    return dict(sorted(walk.digests.items()))


class _Walk:
    """A walk through everything that can be reached, once each."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.opaque: set[str] = set()
        self._seen: dict[int, Any] = {}  # kept alive, or another object could have the same id

    def value(self, value: Any, name: str) -> None:
        """Look at a value that is known as `name`."""
        if isinstance(value, _DATA) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.value(value.__func__, name)
            self.value(value.__self__, name)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self.value(part, name)
            self._number((value.args, value.keywords), name)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, Mapping):
            for key, part in value.items():
                self.value(part, f"{name}[{key!r}]")
        elif isinstance(value, tuple | list | set | frozenset):
            for part in value:
                self.value(part, name)
        elif isinstance(value, property):
            for part in (value.fget, value.fset, value.fdel):
                self.value(part, name)
        elif isinstance(value, types.ModuleType):
            pass  # what is read of it is looked at where it is read
        elif isinstance(value, types.BuiltinFunctionType | types.WrapperDescriptorType | types.MethodDescriptorType):
            self.value(getattr(value, "__self__", None), name)
        else:
            self._object(value, name)

    def _object(self, value: Any, name: str) -> None:
        kind = type(value)
        self.value(kind, name)
        held = dict(getattr(value, "__dict__", {}))
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            held |= {s: getattr(value, s) for s in ((slots,) if isinstance(slots, str) else slots) if hasattr(value, s)}
        # What a wrapper wraps: of `jax.jit`, `functools.wraps`, `staticmethod`, Numba.
        held |= {
            inner: getattr(value, inner) for inner in ("__wrapped__", "__func__", "py_func") if hasattr(value, inner)
        }
        own = not _is_library(kind)
        for attribute, part in held.items():
            if attribute.startswith("__") and attribute not in ("__wrapped__", "__func__"):
                continue
            self.value(part, f"{name}.{attribute}")
            # The fields of a dataclass are in the configuration; of a library's object containers may be caches.
            if not dataclasses.is_dataclass(value) and (own or isinstance(part, _DATA)):
                self._number(part, f"{name}.{attribute}")
        if not held and not own and not hasattr(value, "__name__"):  # of an extension module, without a name of its own
            if " at 0x" in repr(value):
                self.opaque.add(f"{name} ({kind.__module__}.{kind.__qualname__})")
            else:
                self._add(name, [repr(value)])

    def _function(self, function: types.FunctionType) -> None:
        name, code = function.__code__.co_qualname, function.__code__
        if _is_library(function):
            for part in (*_contents(function), getattr(function, "__wrapped__", None)):
                self.value(part, name)
                if isinstance(part, _DATA) and part is not None:  # an Optax schedule's numbers
                    self._number(part, name)
            return
        body = [_of_code(code)]
        body += [_digest_of(v) for v in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())]
        self._add(name, body)
        for part in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.value(part, name)
        for variable, part in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                inside = part.cell_contents
            except ValueError:  # not filled yet
                continue
            self.value(inside, f"{name}: {variable}")
            self._number(inside, f"{name}: {variable}")
        for attribute, part in vars(function).items():
            self.value(part, f"{name}.{attribute}")
            self._number(part, f"{name}.{attribute}")
        names, attributes = _reads(code)
        for variable in sorted(names):
            if variable in function.__globals__:
                self._global(variable, function.__globals__[variable], attributes)

    def _global(self, name: str, value: Any, attributes: set[str]) -> None:
        if isinstance(value, types.ModuleType):
            if not _is_library(value):  # a user's own, of which attributes are read by name
                for attribute in sorted(attributes & set(vars(value))):
                    self._global(f"{name}.{attribute}", vars(value)[attribute], attributes)
            return
        self.value(value, name)
        self._number(value, name)

    def _class(self, kind: type) -> None:
        for base in kind.__mro__:
            if base is not kind:
                self.value(base, base.__qualname__)
        if _is_library(kind):
            return
        for attribute, part in vars(kind).items():
            if attribute in _IDLE:
                continue
            self.value(part, f"{kind.__qualname__}.{attribute}")
            self._number(part, f"{kind.__qualname__}.{attribute}")

    def _number(self, value: Any, name: str) -> None:
        """A digest of data that isn't in the configuration."""
        digest = _digest_of(value)
        if digest is not None:
            self._add(name, [digest])

    def _add(self, name: str, parts: list[Any]) -> None:
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
        key, n = name, 1
        while key in self.digests:  # lambdas of one name
            n += 1
            key = f"{name} ({n})"
        self.digests[key] = digest


def _digest_of(value: Any) -> Any:
    """Of numbers, texts, arrays, and containers and dataclasses of them; None for what is none."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, jax.Array | np.ndarray):
        if isinstance(value, jax.core.Tracer):
            return repr(value)
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}{hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f.name, _digest_of(getattr(value, f.name, None))) for f in dataclasses.fields(value)]
        return [type(value).__qualname__, fields]
    if isinstance(value, tuple | list):
        return [_digest_of(part) for part in value]
    if isinstance(value, Mapping):
        return [(repr(key), _digest_of(part)) for key, part in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(repr(_digest_of(part)) for part in value)
    return None


def _contents(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not filled yet
            yield cell.cell_contents


def _of_code(code: types.CodeType) -> Any:
    """What decides what it computes, without names of files and lines, and without a docstring."""
    doc = _docstring(code)
    constants: list[Any] = []
    for n, constant in enumerate(code.co_consts):
        if isinstance(constant, types.CodeType):
            constants.append(_of_code(constant))
        elif n == 0 and (constant is None or (doc is not None and constant == doc)):
            constants.append("docstring")
        else:
            constants.append(sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant))
    names = code.co_names, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], code.co_freevars
    flags = code.co_flags & ~_HAS_DOCSTRING
    return code.co_code.hex(), names, constants, flags, code.co_exceptiontable.hex()


def _docstring(code: types.CodeType) -> str | None:
    """The first constant of a function that has one; before Python 3.13 that is None in one that hasn't."""
    known = sys.version_info < (3, 13) or code.co_flags & _HAS_DOCSTRING
    first = code.co_consts[0] if code.co_consts and known and not code.co_name.startswith("<") else None
    return first if isinstance(first, str) else None


def _reads(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The globals that a function reads, and the attributes, those inside of it too."""
    names, attributes = set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(instruction.argval)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"):
            attributes.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner, more = _reads(constant)
            names |= inner
            attributes |= more
    return names, attributes


def _is_library(value: Any) -> bool:
    """Whether a function, class or module is part of an installed library, of Python, or of stackjax."""
    if isinstance(value, types.FunctionType):
        file = value.__code__.co_filename
        if file.startswith("<frozen"):
            return True
        if not file.startswith("<"):
            return _is_installed(file)
    module = value if isinstance(value, types.ModuleType) else sys.modules.get(value.__module__)
    if module is None or module.__name__ == "__main__":
        return False
    place = getattr(module, "__file__", None)
    return place is None or _is_installed(place)


def _is_installed(file: str) -> bool:
    path = str(Path(file).resolve())
    return any(path.startswith(place + "/") or path.startswith(place + "\\") for place in _PLACES)
