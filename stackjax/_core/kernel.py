"""Rounds in one GPU kernel: a replicate's state stays in registers from one record point to the next.

A loop over rounds starts a few kernels a round, and takes every number of the state through memory in each of them.
Here a kernel has the loop inside: a program of it plays a block of replicates, each thread one of them, with the round
that the loop plays, evaluated entry by entry (`stackjax._core.entries`). It is written in Pallas and compiled by
Triton, which has numbers and vectors over the block and neither arrays nor places in them: a round that is more than
arithmetic on numbers doesn't fit, which is found out here. Without a GPU Pallas interprets the same kernel.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array

from stackjax._core.dependence import Traced
from stackjax._core.entries import ELEMENTWISE, ByEntry, Evaluation, Spelling, UnfitError

#: Elementwise operations that Triton has as XLA has them, for these types, beside those that are spelled below.
POSSIBLE = (ELEMENTWISE - {"erf", "erfc", "lgamma", "digamma", "round", "max", "min"}) | {
    "cond", "stop_gradient", "copy", "copy_p", "bitcast_convert_type"
}  # fmt: skip
TYPES = frozenset(map(jnp.dtype, ("bool", "int32", "uint32", "int64", "uint64", "float32", "float64")))
_MOST = 3000  # operations of a round
#: Threads of a program, as many as a warp has or a few times that: with few replicates more processors have work.
_BLOCKS = (32, 128)
#: From so many replicates on the larger block occupies every processor of a large GPU.
_MANY = 32_768


def for_kernel(round_: Traced) -> ByEntry:
    """The round as a kernel can play it; raises `UnfitError` if it does anything that a kernel can't."""
    found = ByEntry(round_, "gpu", _MOST, _SPELLED)
    program = found.program.jaxpr
    if program.constvars:
        raise UnfitError("its rounds hold arrays of their own")
    others = sorted(set(_impossible(program)) - {"concatenate", "reshape", "split", "stack", "squeeze"})
    if others:
        raise UnfitError(f"its rounds use {', '.join(others)}, which a kernel doesn't have")
    return found


def _impossible(program: core.Jaxpr) -> Iterator[str]:
    """What a program does or holds that isn't in `POSSIBLE`, `_SPELLED` or `TYPES`."""
    for equation in program.eqns:
        name: str = equation.primitive.name
        kind = _type((equation.invars or equation.outvars)[0])
        if not _possible(name, kind) or any(_aval(variable).shape for variable in equation.outvars):
            yield name
        if name.startswith("shift_") and not _shifts_within(equation.invars[1], kind):
            yield "shifts by more bits than there are"  # XLA's result is 0, and Triton's undefined
        if kind == jnp.uint64 and (name == "not" or any(_beyond_int64(atom) for atom in equation.invars)):
            yield "numbers of 2^63 and more"  # its constants are signed
        for branch in equation.params.get("branches", ()):
            yield from _impossible(branch.jaxpr)
    variables = [*program.invars, *(variable for equation in program.eqns for variable in equation.outvars)]
    yield from (str(_type(variable)) for variable in variables if _type(variable) not in TYPES)


def _possible(name: str, kind: Any) -> bool:
    if name in _SPELLED or name == "clamp":  # of what is spelled whole numbers are left
        return not jnp.issubdtype(kind, jnp.inexact)
    return name in POSSIBLE and (name != "select_n" or kind == jnp.bool_)


def _shifts_within(by: Any, kind: Any) -> bool:
    return isinstance(by, core.Literal) and 0 <= int(by.val) < 8 * kind.itemsize


def _beyond_int64(atom: Any) -> bool:
    return isinstance(atom, core.Literal) and bool(atom.val >= 2**63)


def _aval(atom: Any) -> Any:
    return atom.aval


def _type(atom: Any) -> Any:
    return _aval(atom).dtype


# Triton's own differ from XLA's, or there are none.


def _extreme(comparison: str) -> Spelling:
    """The larger or smaller of two numbers, NaN if either is: Triton's would drop a NaN, and with it a failure."""

    def spell(self: Evaluation, _: Any, x: Any, y: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return None
        first = self.binary("or", self.binary(comparison, x, y), self.binary("ne", x, x))
        return self.select(first, y, x)

    return spell


def _round(self: Evaluation, params: Any, x: Any) -> Any:
    """To the nearest whole number; of two the even one, or the one away from zero."""
    one, half = x.dtype.type(1), x.dtype.type(0.5)
    if params["rounding_method"] == jax.lax.RoundingMethod.AWAY_FROM_ZERO:
        size = self.number(jax.lax.abs_p, {}, x)
        low = self.number(jax.lax.floor_p, {}, size)
        up = self.binary("ge", self.binary("sub", size, low), half)
        return self.binary(
            "mul", self.number(jax.lax.sign_p, {}, x), self.select(up, low, self.binary("add", low, one))
        )
    low = self.number(jax.lax.floor_p, {}, x)
    above = self.binary("sub", x, low)
    halved = self.binary("mul", low, half)
    odd = self.binary("ne", self.number(jax.lax.floor_p, {}, halved), halved)
    tie = self.binary("and", self.binary("eq", above, half), odd)
    return self.select(self.binary("or", self.binary("gt", above, half), tie), low, self.binary("add", low, one))


_SPELLED: Mapping[str, Spelling] = {"max": _extreme("gt"), "min": _extreme("lt"), "round": _round}


def over_block(program: core.Jaxpr, numbers: Sequence[Any], block: int) -> list[Any]:
    """What a program of numbers returns, those that differ between replicates being `[block]`.

    `vmap` would select by whole numbers where replicates take different branches, and Triton selects by bools.
    """
    values: dict[Any, Any] = dict(zip(program.invars, numbers, strict=True))

    def read(atom: Any) -> Any:
        return jnp.asarray(atom.val, _type(atom)) if isinstance(atom, core.Literal) else values[atom]

    for equation in program.eqns:
        inputs = [read(atom) for atom in equation.invars]
        if equation.primitive.name == "cond":
            outputs = _branches(equation.params["branches"], inputs[0], inputs[1:], block)
        else:
            if any(x.shape for x in inputs):
                inputs = [jnp.broadcast_to(x, (block,)) for x in inputs]
            found = equation.primitive.bind(*inputs, **equation.params)
            outputs = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in program.outvars]


def _branches(branches: Sequence[core.ClosedJaxpr], which: Any, operands: list[Any], block: int) -> list[Any]:
    def evaluate(branch: core.ClosedJaxpr) -> list[Any]:
        return over_block(branch.jaxpr, operands, block)

    if which.shape:  # replicates differ
        chosen, *others = map(evaluate, branches)
        for k, other in enumerate(others, 1):
            chosen = [jnp.where(which == k, new, old) for new, old in zip(other, chosen, strict=True)]
        return chosen
    each = [jax.eval_shape(lambda b=branch: evaluate(b)) for branch in branches]
    shapes = [max((x.shape for x in xs), key=len) for xs in zip(*each, strict=True)]

    def shaped(branch: core.ClosedJaxpr) -> list[Any]:
        return [jnp.broadcast_to(x, shape) for x, shape in zip(evaluate(branch), shapes, strict=True)]

    return jax.lax.switch(which, [functools.partial(shaped, branch) for branch in branches])


class Numbers(NamedTuple):
    """What a kernel takes, or the types of it: `shared` numbers, and `own` arrays `[replicates]`."""

    shared: list[Any]
    own: list[Any]


def in_kernel(
    body: Callable[[list[Array], list[Array]], Numbers], given: Numbers, types: Numbers, interpret: bool
) -> Numbers:
    """`body(shared, own)` in a kernel, over blocks of replicates: `own` and what comes of it are `[block]` there.

    `types`: of what is returned as shared, which has to be the same in every block, and as own.
    """
    # Pallas takes long to import, and most who import the library never need it.
    from jax.experimental import pallas as pl

    replicates = given.own[0].shape[0]
    block = _BLOCKS[replicates >= _MANY]
    programs = -(-replicates // block)
    own = [_stored(jnp.pad(x, (0, programs * block - replicates), mode="edge")) for x in given.own]
    shared = [_stored(x) for x in given.shared]
    # Numbers of a type lie side by side, lest there are hundreds of arguments.
    kinds = [x.dtype for x in shared]
    groups = {kind: jnp.stack([x for x in shared if x.dtype == kind]) for kind in dict.fromkeys(kinds)}
    places = [kinds[:k].count(kind) for k, kind in enumerate(kinds)]

    def restored(stored: Sequence[Array], wanted: Sequence[Any]) -> list[Array]:
        return [x != 0 if kind == jnp.bool_ else x for x, kind in zip(stored, wanted, strict=True)]

    def kernel(*refs: Any) -> None:
        inputs, outputs = refs[: len(groups) + len(own)], refs[len(groups) + len(own) :]
        group_of = dict(zip(groups, inputs, strict=False))
        numbers = [group_of[kind][place] for kind, place in zip(kinds, places, strict=True)]
        found = body(
            restored(numbers, [x.dtype for x in given.shared]),
            restored([ref[...] for ref in inputs[len(groups) :]], [x.dtype for x in given.own]),
        )
        for ref, x in zip(outputs, (*found.shared, *found.own), strict=True):
            ref[...] = jnp.broadcast_to(_stored(x), ref.shape)

    by_program = pl.BlockSpec((1,), lambda i: (i,))
    by_replicate = pl.BlockSpec((block,), lambda i: (i,))
    sizes = [programs] * len(types[0]) + [programs * block] * len(types[1])
    if interpret:
        how: dict[str, Any] = {"interpret": True}
    else:
        from jax.experimental.pallas import triton

        how = {"compiler_params": triton.CompilerParams(num_warps=block // 32, num_stages=1)}
    results = pl.pallas_call(
        kernel,
        grid=(programs,),
        in_specs=[pl.BlockSpec(memory_space=pl.ANY)] * len(groups) + [by_replicate] * len(own),
        out_specs=[by_program] * len(types[0]) + [by_replicate] * len(types[1]),
        out_shape=[
            jax.ShapeDtypeStruct((size,), _storable(kind))
            for size, kind in zip(sizes, (*types[0], *types[1]), strict=True)
        ],
        name="rounds",
        **how,
    )(*groups.values(), *own)
    alike, each = results[: len(types[0])], results[len(types[0]) :]
    return Numbers(restored([x[0] for x in alike], types[0]), restored([x[:replicates] for x in each], types[1]))


def _storable(dtype: Any) -> Any:
    return jnp.int32 if dtype == jnp.bool_ else dtype


def _stored(x: Array) -> Array:
    return x.astype(_storable(x.dtype))
