"""What differentiation must not do: go back through unequal blocks, or reach through a replicate that failed."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree

# The identity, of which there is no transpose.
_forward_only = Primitive("forward_only")
_forward_only.def_impl(lambda x: x)
_forward_only.def_abstract_eval(lambda x: x)
batching.defvectorized(_forward_only)
mlir.register_lowering(_forward_only, lambda _, x: [x])


def _refuse(*_: Any) -> Any:
    raise ValueError(
        "record: reverse-mode differentiation through play needs equally spaced record points: use Record.every(k) "
        "with rounds a multiple of k, or Record.final(); forward mode (jax.jvp, jax.jacfwd) works with any"
    )


ad.deflinear2(_forward_only, _refuse)


def forward_only(tree: PyTree) -> PyTree:
    """The tree itself, with an error that says why if anyone differentiates it in reverse mode."""
    traced = lambda x: isinstance(x, jax.core.Tracer) and jnp.issubdtype(x.dtype, jnp.floating)  # noqa: E731  (used once)
    return jax.tree.map(lambda x: _forward_only.bind(x) if traced(x) else x, tree)


@jax.custom_jvp
def _gate(x: Array, ok: Array) -> Array:
    return jnp.where(ok, x, x)  # batched whenever its derivative is: vmap of a custom_jvp takes that for granted


@_gate.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return _gate(*primals), jnp.where(primals[1], tangents[0], 0)


def where_differentiable(ok: Array, tree: PyTree) -> PyTree:
    """The tree itself, whose derivatives are 0 unless `ok`."""
    floating = lambda x: jnp.issubdtype(x.dtype, jnp.floating)  # noqa: E731  (used once)
    return jax.tree.map(lambda x: _gate(x, ok) if floating(x) else x, tree)
