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
    for variable in program.invars:
        yield from _kind(variable)
    for equation in program.eqns:
        name: str = equation.primitive.name
        kind = _type((equation.invars or equation.outvars)[0])
        if not _possible(name, kind):
            yield name
        if kind == jnp.uint64 and (name == "not" or any(_beyond_int64(atom) for atom in equation.invars)):
            yield "numbers of 2^63 and more"  # its constants are signed
        for variable in equation.outvars:
            yield from _kind(variable) if not variable.aval.shape else [name]  # type: ignore[attr-defined]  # of arrays
        for branch in equation.params.get("branches", ()):
            yield from _impossible(branch.jaxpr)


def _possible(name: str, kind: Any) -> bool:
    if name in _SPELLED or name == "clamp":  # of what is spelled whole numbers are left
        return not jnp.issubdtype(kind, jnp.inexact)
    return name in POSSIBLE and (name != "select_n" or kind == jnp.bool_)


def _beyond_int64(atom: Any) -> bool:
    return isinstance(atom, core.Literal) and bool(atom.val >= 2**63)


def _type(atom: Any) -> Any:
    return atom.aval.dtype


def _kind(variable: Any) -> Iterator[str]:
    if _type(variable) not in TYPES:
        yield str(_type(variable))


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
    """What a kernel takes: `shared` numbers, and for each replicate its `own`, arrays `[replicates]`."""

    shared: list[Array]
    own: list[Array]


def in_kernel(body: Callable[[list[Array], list[Array]], Numbers], given: Numbers, interpret: bool) -> Numbers:
    """`body(shared, own)` in a kernel, over blocks of replicates: `own` and what comes of it are `[block]` there.

    What is returned as shared has to be the same in every block.
    """
    # Pallas takes half a second to import, and most who import the library never need it.
    from jax.experimental import pallas as pl

    replicates = given.own[0].shape[0]
    block = _BLOCKS[replicates >= _MANY]
    programs = -(-replicates // block)
    own = [_stored(jnp.pad(x, (0, programs * block - replicates), mode="edge")) for x in given.own]
    # Numbers of a type lie side by side, lest there are hundreds of arguments.
    kinds = [_stored(x).dtype for x in given.shared]
    groups = {kind: [_stored(x) for x in given.shared if _stored(x).dtype == kind] for kind in dict.fromkeys(kinds)}
    places = [kinds[:k].count(kind) for k, kind in enumerate(kinds)]

    def restored(stored: Sequence[Array], like: Sequence[Array]) -> list[Array]:
        return [x != 0 if original.dtype == jnp.bool_ else x for x, original in zip(stored, like, strict=True)]

    def read(refs: Sequence[Any]) -> tuple[list[Array], list[Array]]:
        groups_of = dict(zip(groups, refs, strict=False))
        shared = [groups_of[kind][place] for kind, place in zip(kinds, places, strict=True)]
        return restored(shared, given.shared), restored([ref[...] for ref in refs[len(groups) :]], given.own)

    def kernel(*refs: Any) -> None:
        inputs, outputs = refs[: len(groups) + len(own)], refs[len(groups) + len(own) :]
        shared, each = body(*read(inputs))
        for ref, x in zip(outputs, (*shared, *each), strict=True):
            ref[...] = jnp.broadcast_to(_stored(x), ref.shape)

    structs = [jax.ShapeDtypeStruct((block,), x.dtype) for x in given.own]
    shapes = jax.eval_shape(body, [jax.ShapeDtypeStruct((), x.dtype) for x in given.shared], structs)
    by_program = pl.BlockSpec((1,), lambda i: (i,))
    by_replicate = pl.BlockSpec((block,), lambda i: (i,))
    out = [jax.ShapeDtypeStruct((programs,), _storable(x.dtype)) for x in shapes[0]]
    out += [jax.ShapeDtypeStruct((programs * block,), _storable(x.dtype)) for x in shapes[1]]
    if interpret:
        how: dict[str, Any] = {"interpret": True}
    else:
        from jax.experimental.pallas import triton

        how = {"compiler_params": triton.CompilerParams(num_warps=block // 32, num_stages=1)}
    found = pl.pallas_call(
        kernel,
        grid=(programs,),
        in_specs=[pl.BlockSpec(memory_space=pl.ANY)] * len(groups) + [by_replicate] * len(own),
        out_specs=[by_program] * len(shapes[0]) + [by_replicate] * len(shapes[1]),
        out_shape=out,
        name="rounds",
        **how,
    )(*(jnp.stack(group) for group in groups.values()), *own)
    shared = restored([x[0] for x in found[: len(shapes[0])]], shapes[0])
    return Numbers(shared, restored([x[:replicates] for x in found[len(shapes[0]) :]], shapes[1]))


def _storable(dtype: Any) -> Any:
    return jnp.int32 if dtype == jnp.bool_ else dtype


def _stored(x: Array) -> Array:
    return x.astype(_storable(x.dtype))
