"""Rounds in one GPU kernel: a replicate's state stays in registers from one record point to the next.

A loop over rounds starts a few kernels a round, and takes every number of the state through memory in each of them.
Here a kernel has the loop inside: a program of it plays a block of replicates, each thread one of them, with the round
that the loop plays, evaluated entry by entry (`stackjax._core.entries`). It is written in Pallas and compiled by
Triton, which has numbers and vectors over the block and neither arrays nor places in them: a round that is more than
arithmetic on numbers doesn't fit, which is found out here. Without a GPU Pallas interprets the same kernel.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array

from stackjax._core.entries import ELEMENTWISE, ByEntry, UnfitError

#: What a round's numbers may go through: Triton has instructions or NVIDIA's library functions for it.
POSSIBLE = (ELEMENTWISE - {"erf", "erfc", "lgamma", "digamma", "round"}) | {
    "cond", "clamp", "stop_gradient", "copy", "copy_p", "bitcast_convert_type"
}  # fmt: skip
#: Threads of a program, as many as a warp has or a few times that: with few replicates more processors have work.
_BLOCKS = (32, 128)
#: From so many replicates on the larger block occupies every processor of a large GPU.
_MANY = 32_768


def check_possible(round_: ByEntry) -> None:
    """Raise `UnfitError` if a round does anything that a kernel can't."""
    others = sorted(set(_impossible(round_.program.jaxpr)) - {"concatenate", "reshape", "split", "stack", "squeeze"})
    if others:
        raise UnfitError(f"its rounds use {', '.join(others)}, which a kernel doesn't have")


def _impossible(program: core.Jaxpr) -> Iterable[str]:
    for equation in program.eqns:
        if equation.primitive.name not in POSSIBLE or any(v.aval.shape for v in equation.outvars):  # type: ignore[attr-defined]  # of arrays
            yield equation.primitive.name
        for branch in equation.params.get("branches", ()):
            yield from _impossible(branch.jaxpr)


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
