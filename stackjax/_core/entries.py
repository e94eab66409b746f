"""A program of arrays, evaluated entry by entry: what `vmap` makes of it is arithmetic on vectors of replicates.

A round computes with arrays of two to twenty entries. Vmapped as they are, each becomes a loop of its own with short
inner axes, and most of the time goes into moving numbers between them. Entry by entry the same round is arithmetic on
numbers alone, which the compiler fuses over replicates into a few kernels; what is computed twice is computed once, and
what is known when the program is traced isn't computed at all. The operations and their order are the program's own.

An array is held as a NumPy array of its shape whose entries are NumPy numbers where they are known, and traced numbers
elsewhere; a key is held as its words. `RULES` says for each primitive what it does to entries. An operation without a
rule is carried out on whole arrays, as in the program.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array

from stackjax._core import noise
from stackjax._core.dependence import Traced

#: Numbers that a program may take from its arguments, and that it may have captured.
_MOST_TAKEN, _MOST_CAPTURED = 128, 500

Entries = np.ndarray  # of objects


class UnfitError(Exception):
    """Why a program can't be evaluated in a certain way."""


def split(x: Any) -> Entries:
    """The entries of an array, traced or not."""
    if _is_key(x):
        x = jax.random.key_data(x)
    found = np.empty(jnp.shape(x), object)
    if isinstance(x, jax.core.Tracer):
        parts = jax.lax.split(jnp.ravel(x), (1,) * x.size) if x.size > 1 else [x] * x.size
        for at, part in zip(np.ndindex(found.shape), parts, strict=True):
            found[at] = jnp.reshape(part, ())
    else:
        known = np.asarray(x)
        for at in np.ndindex(found.shape):
            found[at] = known[at]
    return found


def join(x: Entries, aval: Any) -> Any:
    """The array of these entries, or the key of these words."""
    if jnp.issubdtype(aval.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(join(x, jax.ShapeDtypeStruct(x.shape, jnp.uint32)), impl=noise.ROUND_KEYS)
    if all(isinstance(each, np.generic) for each in x.flat):
        return jnp.asarray(x.astype(aval.dtype))
    return jnp.stack([jnp.asarray(each, aval.dtype) for each in x.flat]).reshape(x.shape) if x.ndim else x[()]


def shape_of(aval: Any) -> tuple[int, ...]:
    """The shape of its entries: a key has one more axis, of its words."""
    return (*aval.shape, 4) if jnp.issubdtype(aval.dtype, jax.dtypes.prng_key) else tuple(aval.shape)


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(getattr(x, "dtype", np.dtype(object)), jax.dtypes.prng_key)


def _is_round_key(aval: Any) -> bool:
    return bool(aval.dtype == _round_keys())


@functools.cache
def _round_keys() -> Any:
    words, number = jax.ShapeDtypeStruct((2,), jnp.uint32), jax.ShapeDtypeStruct((), jnp.uint32)
    return jax.eval_shape(noise.round_key, words, number, number).dtype


def one(x: Any) -> Entries:
    """A number as an array of no axes."""
    found = np.empty((), object)
    found[()] = x
    return found


#: How an operation on numbers is spelled by others: of an evaluation and the numbers.
Spelling = Callable[..., Any]


class Evaluation:
    """One evaluation of a program, of at most so many operations on numbers, none of which is made twice.

    `spelled`: what becomes of elementwise operations that there are no instructions for, or others than XLA's.
    """

    def __init__(self, platform: str, most: int, spelled: Mapping[str, Spelling] = MappingProxyType({})):
        self.platform, self.most, self.spelled = platform, most, spelled
        self.operations = 0
        self._made: dict[Any, Any] = {}

    def run(self, program: core.Jaxpr, consts: Sequence[Any], arguments: Sequence[Entries]) -> list[Entries]:
        """The program's results at these arguments; `consts` are what it has captured, or their entries."""
        values: dict[Any, Entries] = {}
        for variable, const in zip(program.constvars, consts, strict=True):
            values[variable] = const if isinstance(const, np.ndarray) and const.dtype == object else split(const)
        values.update(zip(program.invars, arguments, strict=True))

        def read(atom: Any) -> Entries:
            return split(atom.val) if isinstance(atom, core.Literal) else values[atom]

        for equation in program.eqns:
            inputs = [read(atom) for atom in equation.invars]
            name = equation.primitive.name
            keys = any(_is_key(atom.aval) for atom in (*equation.invars, *equation.outvars))
            if keys and name not in KEYED:  # a key's entries have an axis more than the operation knows of
                outputs = self.whole(equation, inputs)
            elif name in ELEMENTWISE:
                outputs = [self.elementwise(equation, inputs)]
            elif name in RULES and (found := RULES[name](self, equation, inputs)) is not None:
                outputs = found if isinstance(found, list) else [found]
            else:
                outputs = self.whole(equation, inputs)
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in program.outvars]

    def whole(self, equation: Any, inputs: list[Entries]) -> list[Entries]:
        """The operation on whole arrays."""
        if any(_is_key(atom.aval) and not _is_round_key(atom.aval) for atom in (*equation.invars, *equation.outvars)):
            raise UnfitError("it draws from keys that aren't its own")
        arrays = [join(x, atom.aval) for x, atom in zip(inputs, equation.invars, strict=True)]
        self._count(1 + sum(x.size for x in inputs) + sum(math.prod(v.aval.shape) for v in equation.outvars))
        found = equation.primitive.bind(*arrays, **equation.primitive.get_bind_params(equation.params))
        return [split(x) for x in (found if equation.primitive.multiple_results else [found])]

    def _count(self, more: int) -> None:
        self.operations += more
        if self.operations > self.most:
            raise UnfitError(f"it has more than {self.most} operations")

    def _once(self, key: Any, make: Callable[[], Any], *alive: Any) -> Any:
        """What `make` returns, made once for each `key`; `alive`: whose identities are in the key."""
        if key not in self._made:
            self._made[key] = (make(), alive)
        return self._made[key][0]

    def elementwise(self, equation: Any, inputs: list[Entries]) -> Entries:
        shape = equation.outvars[0].aval.shape
        inputs = [np.broadcast_to(x, shape) for x in inputs]
        found = np.empty(shape, object)
        primitive, params = equation.primitive, equation.params
        for at in np.ndindex(shape):
            found[at] = self.number(primitive, params, *(x[at] for x in inputs))
        return found

    def number(self, primitive: Any, params: dict[str, Any], *xs: Any) -> Any:
        """An elementwise operation on numbers."""
        found = _simplified(primitive.name, params, xs)
        if found is not None:
            return found
        if primitive.name in self.spelled:
            found = self.spelled[primitive.name](self, params, *xs)
            if found is not None:
                return found
        key = (primitive.name, *((k, str(v)) for k, v in params.items()), *map(_identity, xs))

        def make() -> Any:
            self._count(1)
            return primitive.bind(*xs, **params)

        return self._once(key, make, *xs)

    def binary(self, name: str, a: Any, b: Any) -> Any:
        return self.number(getattr(jax.lax, name + "_p"), {}, a, b)

    def select(self, which: Any, if_false: Any, if_true: Any) -> Any:
        return self.number(jax.lax.select_n_p, {}, which, if_false, if_true)

    def reduce(self, name: str, xs: Sequence[Any]) -> Any:
        return functools.reduce(functools.partial(self.binary, name), xs)


def _identity(x: Any) -> Any:
    return (x.dtype.str, x.tobytes()) if isinstance(x, np.generic) else id(x)


# What NumPy computes to the bit as XLA does.
_FOLDED: dict[str, Callable[..., Any]] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative,
    "max": np.maximum, "min": np.minimum, "abs": np.abs, "sqrt": np.sqrt,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert, "is_finite": np.isfinite,
}  # fmt: skip
_NEUTRAL = {"add": 0, "add_any": 0, "sub": 0, "mul": 1, "div": 1}


def _simplified(name: str, params: dict[str, Any], xs: Sequence[Any]) -> Any:
    """The value if it needs no operation, else None."""
    known = [isinstance(x, np.generic) for x in xs]
    if name == "select_n":
        if known[0]:
            return xs[1 + int(xs[0])]
        return xs[1] if all(_identity(x) == _identity(xs[1]) for x in xs[2:]) else None
    if name == "convert_element_type":
        new = np.dtype(params["new_dtype"])
        if xs[0].dtype == new:
            return xs[0]
        lossless = known[0] and (xs[0].dtype.kind in "biu" or new.kind == "f")
        return xs[0].astype(new) if lossless else None
    if all(known) and name in _FOLDED:
        with np.errstate(all="ignore"):
            return np.asarray(_FOLDED[name](*xs))[()]
    if len(xs) == 2 and name in _NEUTRAL:
        if known[1] and xs[1] == _NEUTRAL[name]:
            return xs[0]
        if known[0] and xs[0] == _NEUTRAL[name] and name in ("add", "add_any", "mul"):
            return xs[1]
    if len(xs) == 2 and name in ("and", "or") and xs[0].dtype == bool:
        for a, b, is_known in ((xs[0], xs[1], known[0]), (xs[1], xs[0], known[1])):
            if is_known:
                return b if bool(a) == (name == "and") else a
    return None


ELEMENTWISE = frozenset({
    "add", "sub", "mul", "div", "rem", "max", "min", "neg", "abs", "sign", "floor", "ceil", "round", "sqrt",
    "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
    "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "logistic", "pow", "integer_pow", "square",
    "erf", "erf_inv", "erfc", "lgamma", "digamma", "is_finite", "nextafter", "eq", "ne", "lt", "le", "gt", "ge",
    "and", "or", "xor", "not", "shift_left", "shift_right_logical", "shift_right_arithmetic",
    "population_count", "clz", "convert_element_type", "add_any", "select_n",
})  # fmt: skip

#: What may have keys: calls, control flow and shapes leave the axis of their words alone.
KEYED = frozenset({
    "jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call",
    "custom_vmap_call", "cond", "scan", "random_wrap", "random_unwrap", "random_bits", "random_split",
    "random_fold_in", "reshape", "squeeze", "broadcast_in_dim", "slice",
})  # fmt: skip

Rule = Callable[[Evaluation, Any, list[Entries]], "Entries | list[Entries] | None"]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """What these primitives do to entries; None: it is left to whole arrays."""

    def add(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return add


def _each(function: Callable[..., Any], *arrays: Entries) -> Entries:
    found = np.empty(arrays[0].shape, object)
    for at in np.ndindex(found.shape):
        found[at] = function(*(x[at] for x in arrays))
    return found


# Calls and control flow


@rule("stop_gradient", "copy", "copy_p", "optimization_barrier", "random_wrap", "random_unwrap", "reshard")
def _same(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    if any(x.shape != shape_of(v.aval) for x, v in zip(inputs, equation.outvars, strict=True)):
        return None
    return list(inputs)


@rule("jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call")
@rule("custom_vmap_call")
def _call(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    params = equation.params
    inner = params.get("jaxpr", params.get("call_jaxpr", params.get("call")))
    return self.run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)


@rule("custom_linear_solve")
def _solve(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    lengths, programs = equation.params["const_lengths"], equation.params["jaxprs"]
    first = lengths.matvec + lengths.vecmat
    consts, vectors = inputs[first : first + lengths.solve], inputs[sum(lengths) :]
    return self.run(programs.solve.jaxpr, programs.solve.consts, [*consts, *vectors])


@rule("platform_index")
def _platform(self: Evaluation, equation: Any, _: list[Entries]) -> Any:
    platforms = equation.params["platforms"]
    mine = [i for i, names in enumerate(platforms) if names is None or self.platform in names]
    return one(np.int32(mine[0])) if mine else None  # the default, which is for the rest, comes last


@rule("cond")
def _cond(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    which, operands = inputs[0][()], inputs[1:]
    branches = equation.params["branches"]
    if isinstance(which, np.generic):
        chosen = branches[int(np.clip(which, 0, len(branches) - 1))]
        return self.run(chosen.jaxpr, chosen.consts, operands)
    shapes = [x.shape for x in operands]
    avals = [v.aval for v in equation.outvars]
    operations = [0]

    def branch(program: core.ClosedJaxpr) -> Callable[..., list[Array]]:
        def evaluate(*flat: Any) -> list[Array]:
            inner = Evaluation(self.platform, self.most, self.spelled)
            outputs = inner.run(program.jaxpr, program.consts, _packed(flat, shapes))
            operations[0] += inner.operations
            return _flat(outputs, avals)

        return evaluate

    made, given = [branch(b) for b in branches], [x for o in operands for x in o.flat]
    if len(made) == 2:  # the place among more is held in bounds, by further operations
        flat = jax.lax.cond(which.astype(bool), made[1], made[0], *given)
    else:
        flat = jax.lax.switch(which.astype(jnp.int32), made, *given)
    self._count(operations[0])
    return _packed(flat, [shape_of(a) for a in avals])


def _flat(outputs: list[Entries], avals: list[Any]) -> list[Array]:
    """The entries side by side as traced numbers."""
    words = [np.dtype(np.uint32) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a.dtype for a in avals]
    return [jnp.asarray(x, kind) for out, kind in zip(outputs, words, strict=True) for x in out.flat]


def _packed(flat: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> list[Entries]:
    """What `_flat` laid side by side."""
    each: Iterator[Any] = iter(flat)
    found = []
    for shape in shapes:
        array = np.empty(math.prod(shape), object)
        for k in range(array.size):
            array[k] = next(each)
        found.append(array.reshape(shape))
    return found


@rule("scan")
def _scan(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    params = equation.params
    consts, carry = params["num_consts"], params["num_carry"]
    length, program = params["length"], params["jaxpr"]
    if length * len(program.jaxpr.eqns) > 200:
        return None
    fixed, state, rows = inputs[:consts], inputs[consts : consts + carry], inputs[consts + carry :]
    outputs = []
    for k in range(length)[:: -1 if params["reverse"] else 1]:
        now = [one(x[k]) if x.ndim == 1 else x[k] for x in rows]
        found = self.run(program.jaxpr, program.consts, [*fixed, *state, *now])
        state = found[:carry]
        outputs.append(found[carry:])
    outputs = outputs[:: -1 if params["reverse"] else 1]
    if not outputs:
        return None
    return [*state, *(np.stack(each) for each in zip(*outputs, strict=True))]


# Shapes


@rule("reshape", "squeeze", "expand_dims")
def _reshape(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    if equation.params.get("dimensions") is not None and equation.primitive.name == "reshape":
        return None
    return inputs[0].reshape(shape_of(equation.outvars[0].aval))


@rule("broadcast_in_dim")
def _broadcast(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    x, axes, shape = inputs[0], equation.params["broadcast_dimensions"], shape_of(equation.outvars[0].aval)
    if x.ndim > len(axes):  # a key
        axes = (*axes, len(shape) - 1)
    view = [1] * len(shape)
    for size, axis in zip(x.shape, axes, strict=True):
        view[axis] = size
    return np.broadcast_to(x.reshape(view), shape)


@rule("transpose")
def _transpose(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    axes = equation.params["permutation"]
    return inputs[0].transpose(*axes, *range(len(axes), inputs[0].ndim))


@rule("slice")
def _slice(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    p = equation.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    return inputs[0][tuple(map(slice, p["start_indices"], p["limit_indices"], strides))]


@rule("rev")
def _rev(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    return np.flip(inputs[0], equation.params["dimensions"])


@rule("concatenate")
def _concatenate(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    return np.concatenate(inputs, axis=equation.params["dimension"])


@rule("stack")
def _stack(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    return np.stack(inputs, axis=equation.params["axis"])


@rule("bitcast_convert_type")
def _bitcast(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    (x,), out = inputs, equation.outvars[0].aval
    if x.shape == out.shape:
        return self.elementwise(equation, inputs)
    old, new = equation.invars[0].aval.dtype, out.dtype
    if (old, new) != (np.uint32, np.uint64):  # between types of other widths
        return None
    wide = functools.partial(self.number, jax.lax.convert_element_type_p, _conversion(new))

    def joined(low: Any, high: Any) -> Any:
        return self.binary("or", wide(low), self.binary("shift_left", wide(high), new.type(32)))

    return _each(joined, np.asarray(x[..., 0], object), np.asarray(x[..., 1], object))


@rule("split")
def _split(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    return np.split(inputs[0], np.cumsum(equation.params["sizes"])[:-1], axis=equation.params["axis"])


@rule("iota")
def _iota(_: Evaluation, equation: Any, __: list[Entries]) -> Any:
    aval, axis = equation.outvars[0].aval, equation.params["dimension"]
    numbers = np.arange(aval.shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(aval.shape))])
    return split(np.broadcast_to(numbers, aval.shape).astype(aval.dtype))


@rule("pad")
def _pad(_: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    x, value = inputs
    found = np.empty(equation.outvars[0].aval.shape, object)
    for at in np.ndindex(found.shape):
        found[at] = value[()]
    for at in np.ndindex(x.shape):
        to = tuple(
            low + i * (inner + 1) for i, (low, _, inner) in zip(at, equation.params["padding_config"], strict=True)
        )
        if all(0 <= i < n for i, n in zip(to, found.shape, strict=True)):
            found[to] = x[at]
    return found


# Reductions and products


def _reduction(name: str) -> Rule:
    def reduce(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
        axes, shape = equation.params["axes"], equation.outvars[0].aval.shape
        if not inputs[0].size:
            return None
        rows = np.moveaxis(inputs[0], axes, range(len(axes))).reshape(-1, *shape)
        found = np.empty(shape, object)
        for at in np.ndindex(shape):
            found[at] = self.reduce(name, list(rows[(slice(None), *at)]))
        return found

    return reduce


for _name, _operation in {
    "reduce_sum": "add", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "mul", "reduce_and": "and",
    "reduce_or": "or", "reduce_xor": "xor",
}.items():  # fmt: skip
    RULES[_name] = _reduction(_operation)


def _place(name: str) -> Rule:
    def find(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
        (axis,), kind = equation.params["axes"], np.dtype(equation.params["index_dtype"]).type
        rows = np.moveaxis(inputs[0], axis, 0)
        found = np.empty(rows.shape[1:], object)
        for at in np.ndindex(found.shape):
            index, top = kind(0), rows[(0, *at)]
            for k in range(1, len(rows)):
                x = rows[(k, *at)]
                first_nan = self.binary("and", self.binary("ne", x, x), self.binary("eq", top, top))
                better = self.binary("or", self.binary(name, x, top), first_nan)
                index, top = self.select(better, index, kind(k)), self.select(better, top, x)
            found[at] = index
        return found

    return find


RULES["argmax"], RULES["argmin"] = _place("gt"), _place("lt")


def _cumulative(name: str) -> Rule:
    def accumulate(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
        step = -1 if equation.params["reverse"] else 1
        rows = list(np.moveaxis(inputs[0], equation.params["axis"], 0)[::step])
        both = functools.partial(_each, functools.partial(self.binary, name))
        rows = list(itertools.accumulate((np.asarray(row, object) if np.ndim(row) else one(row) for row in rows), both))
        return np.moveaxis(np.stack(rows[::step]), 0, equation.params["axis"]) if rows else None

    return accumulate


for _name, _operation in {"cumsum": "add", "cummax": "max", "cummin": "min", "cumprod": "mul"}.items():
    RULES[_name] = _cumulative(_operation)


@rule("dot_general")
def _dot(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left, right = inputs
    out = equation.outvars[0].aval
    if not left.size or not right.size:
        return None

    def laid(x: Entries, batch: Any, contracted: Any) -> Entries:
        free = [d for d in range(x.ndim) if d not in batch and d not in contracted]
        sizes = [math.prod(x.shape[d] for d in group) for group in (batch, free, contracted)]
        x = x.transpose(*batch, *free, *contracted).reshape(sizes)
        return _each(lambda v: self.number(jax.lax.convert_element_type_p, _conversion(out.dtype), v), x)

    left, right = laid(left, left_batch, left_sum), laid(right, right_batch, right_sum)
    found = np.empty((left.shape[0], left.shape[1], right.shape[1]), object)
    for b, i, j in np.ndindex(found.shape):
        products = [self.binary("mul", x, y) for x, y in zip(left[b, i], right[b, j], strict=True)]
        found[b, i, j] = self.reduce("add", products)
    return found.reshape(out.shape)


def _conversion(dtype: Any) -> dict[str, Any]:
    return {"new_dtype": np.dtype(dtype), "weak_type": False, "sharding": None}


@rule("clamp")
def _clamp(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    low, x, high = (np.broadcast_to(each, inputs[1].shape) for each in inputs)
    return _each(lambda a, v, b: self.binary("min", self.binary("max", v, a), b), low, x, high)


# Places that differ between replicates


def _within(self: Evaluation, index: Any, largest: int) -> Any:
    kind = index.dtype.type
    return self.binary("min", self.binary("max", index, kind(0)), kind(largest))


def _read(self: Evaluation, x: Entries, index: Sequence[Any]) -> Any:
    """`x` at an index whose numbers are known or traced, in bounds."""
    if not index:
        return x if not isinstance(x, np.ndarray) else x[()]
    first, rest = index[0], index[1:]
    if isinstance(first, np.generic):
        return _read(self, x[int(first)], rest)
    options = [_read(self, x[k], rest) for k in range(x.shape[0])]
    found = options[0]
    for k, option in enumerate(options[1:], 1):
        found = self.select(self.binary("eq", first, first.dtype.type(k)), found, option)
    return found


def _is_at(self: Evaluation, index: Sequence[Any], at: Sequence[int]) -> Any:
    found: Any = np.bool_(True)
    for i, k in zip(index, at, strict=True):
        if k < 0:
            return np.bool_(False)
        found = self.binary("and", found, self.binary("eq", i, i.dtype.type(k)))
    return found


@rule("dynamic_slice")
def _dynamic_slice(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    x, starts, sizes = inputs[0], inputs[1:], equation.params["slice_sizes"]
    index = [_within(self, s[()], n - k) for s, n, k in zip(starts, x.shape, sizes, strict=True)]
    found = np.empty(sizes, object)
    for at in np.ndindex(found.shape):
        reached = tuple(slice(o, o + n - k + 1) for o, n, k in zip(at, x.shape, sizes, strict=True))
        found[at] = _read(self, x[reached], index)
    return found


@rule("dynamic_update_slice")
def _dynamic_update_slice(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    x, new, starts = inputs[0], inputs[1], inputs[2:]
    index = [_within(self, s[()], n - k) for s, n, k in zip(starts, x.shape, new.shape, strict=True)]
    found = x.copy()
    for at in np.ndindex(new.shape):
        reached = [range(o, o + n - k + 1) for o, n, k in zip(at, x.shape, new.shape, strict=True)]
        for to in itertools.product(*reached):
            here = _is_at(self, index, [t - o for t, o in zip(to, at, strict=True)])
            found[to] = self.select(here, found[to], new[at])
    return found


@rule("gather")
def _gather(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
    x, indices = inputs
    params, out = equation.params, equation.outvars[0].aval
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    fills = params["mode"] == jax.lax.GatherScatterMode.FILL_OR_DROP
    if numbers.operand_batching_dims or (fills and params["fill_value"] is None and out.dtype.kind not in "f"):
        return None
    window = [d for d in range(x.ndim) if d not in numbers.collapsed_slice_dims]
    found = np.empty(out.shape, object)
    for at in np.ndindex(out.shape):
        batch = tuple(a for d, a in enumerate(at) if d not in numbers.offset_dims)
        offset = dict(zip(window, [at[d] for d in numbers.offset_dims], strict=True))
        index: list[Any] = [np.int32(0)] * x.ndim
        inside: Any = np.bool_(True)
        for k, d in enumerate(numbers.start_index_map):
            i = indices[(*batch, k)]
            last = x.shape[d] - sizes[d]
            if fills:
                above, below = self.binary("ge", i, i.dtype.type(0)), self.binary("le", i, i.dtype.type(last))
                inside = self.binary("and", inside, self.binary("and", above, below))
            index[d] = _within(self, i, last)
        reached = tuple(slice(offset.get(d, 0), offset.get(d, 0) + n - sizes[d] + 1) for d, n in enumerate(x.shape))
        value = _read(self, x[reached], index)
        if fills:
            fill = np.nan if params["fill_value"] is None else params["fill_value"]
            value = self.select(inside, np.asarray(fill, out.dtype)[()], value)
        found[at] = value
    return found


def _scatter(combine: str | None) -> Rule:
    def scatter(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
        x, indices, updates = inputs
        params = equation.params
        numbers = params["dimension_numbers"]
        if numbers.operand_batching_dims or params["mode"] == jax.lax.GatherScatterMode.CLIP:
            return None
        window = [d for d in range(x.ndim) if d not in numbers.inserted_window_dims]
        moved = numbers.scatter_dims_to_operand_dims
        if any(d in moved and updates.shape[u] > 1 for d, u in zip(window, numbers.update_window_dims, strict=True)):
            return None  # a window that leaves the array partly is dropped as a whole
        found = x.copy()
        for at in np.ndindex(updates.shape):
            batch = tuple(a for d, a in enumerate(at) if d not in numbers.update_window_dims)
            offset = dict(zip(window, [at[d] for d in numbers.update_window_dims], strict=True))
            index: list[Any] = [np.int32(0)] * x.ndim
            for k, d in enumerate(moved):
                index[d] = indices[(*batch, k)]
            reached = [range(n) if d in moved else [offset.get(d, 0)] for d, n in enumerate(x.shape)]
            for to in itertools.product(*reached):  # out of bounds nothing is equal, so it is dropped
                start = [t if d in moved else 0 for d, t in enumerate(to)]
                here = _is_at(self, index, start)
                value = updates[at] if combine is None else self.binary(combine, found[to], updates[at])
                found[to] = self.select(here, found[to], value)
        return found

    return scatter


RULES["scatter"], RULES["scatter-add"], RULES["scatter-mul"] = _scatter(None), _scatter("add"), _scatter("mul")


# Keys: their words


def _of_words(function: Callable[[dict[str, Any]], Callable[..., Any]]) -> Rule:
    def evaluate(self: Evaluation, equation: Any, inputs: list[Entries]) -> Any:
        key = equation.invars[0].aval
        if not _is_round_key(key) or key.shape or (len(inputs) > 1 and inputs[1].shape):
            return None
        rest = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars[1:]]
        program = jax.make_jaxpr(function(equation.params))(jax.ShapeDtypeStruct((4,), jnp.uint32), *rest)
        return self.run(program.jaxpr, program.consts, inputs)

    return evaluate


RULES["random_bits"] = _of_words(lambda params: lambda words: noise.bits(words, params["bit_width"], params["shape"]))
RULES["random_split"] = _of_words(lambda params: lambda words: noise.split(words, params["shape"]))
RULES["random_fold_in"] = _of_words(lambda _: noise.fold_in)


class ByEntry:
    """A traced function evaluated entry by entry: it takes and returns numbers, those of its arrays side by side.

    **Attributes:** `program`: what it has become, arithmetic on numbers for the most part, of so many `operations`;
    `captured`: the traced numbers that the function had captured, which are its first arguments.

    Raises `UnfitError` if these are more than `most`, its numbers too many, or if it takes or returns keys, or makes
    others than a round's.
    """

    def __init__(
        self, traced: Traced, platform: str, most: int, spelled: Mapping[str, Spelling] = MappingProxyType({})
    ):
        program = traced.program
        avals = [v.aval for v in program.jaxpr.invars]
        if any(_is_key(aval) for aval in [*avals, *program.out_avals]):
            raise UnfitError("keys are carried from round to round")
        sizes = [math.prod(aval.shape) for aval in avals]
        held = sum(np.size(x) for x in program.consts)
        if sum(sizes) > _MOST_TAKEN:
            raise UnfitError(f"a replicate has {sum(sizes)} numbers in its state, more than {_MOST_TAKEN}")
        if held > _MOST_CAPTURED:
            raise UnfitError(f"game and learners have {held} numbers, more than {_MOST_CAPTURED}")
        # What the function has captured is taken apart here, and not in every round.
        captured = [split(x) for x in program.consts]
        self.captured = [x for each in captured for x in each.flat if not isinstance(x, np.generic)]

        def evaluate(held: list[Any], flat: list[Any]) -> list[Array]:
            numbers = iter(held)
            consts = [_each(lambda x: x if isinstance(x, np.generic) else next(numbers), each) for each in captured]
            arguments = _packed(flat, [aval.shape for aval in avals])
            found = Evaluation(platform, most, spelled).run(program.jaxpr, consts, arguments)
            return _flat(found, program.out_avals)

        numbers = [jax.ShapeDtypeStruct((), a.dtype) for a, n in zip(avals, sizes, strict=True) for _ in range(n)]
        self._evaluate = Traced(evaluate, self.captured, numbers)
        self.program = self._evaluate.program
        self.operations = len(self.program.jaxpr.eqns)

    def __call__(self, *numbers: Any) -> list[Array]:
        """The entries of the results, at the entries of the arguments."""
        return self._evaluate(self.captured, list(numbers))
