"""What a traced program tells: which of its values differ between replicates. The others are computed once for all.

An update counter is the same in every replicate, and so is every schedule that is read at it; as scalars they cost
nothing, as a vector of a thousand equal numbers they can cost more than the game. `jax.vmap` computes a value once if
it is told that it isn't batched, and refuses if that is wrong; this finds out from the program what to tell it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array


class Traced:
    """A function that is traced once, at arguments like these, and then evaluated without its Python code.

    **Attributes:** its `program`, and the `shapes` of what it returns, a pytree of `ShapeDtypeStruct`s.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self.program, self.shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        self._evaluate = jaxpr_as_fun(self.program)
        self._structures: list[Any] = [jax.tree.structure(each) for each in arguments]

    def __call__(self, *arguments: Any) -> Any:
        """The function's values at other arguments of the same structure, shapes and types."""
        leaves = [x for a, s in zip(arguments, self._structures, strict=True) for x in s.flatten_up_to(a)]
        return jax.tree.unflatten(jax.tree.structure(self.shapes), self._evaluate(*leaves))

    def depends(self, *varies: Any) -> list[bool]:
        """For each leaf of what it returns, whether it depends on an argument leaf that varies.

        `varies`: for each argument a bool or a pytree of bools of its structure. It errs on the side of dependence.
        """
        flags: list[bool] = []
        for structure, flag in zip(self._structures, varies, strict=True):
            flags += [flag] * structure.num_leaves if isinstance(flag, bool) else structure.flatten_up_to(flag)
        return _outputs(self.program.jaxpr, flags)


def as_varying(carry: Any, like: Array) -> Any:
    """The carry itself, as if all of it depended on `like`.

    `vmap` finds out by trial which parts of a loop's carry vary, traces the loop in each, and multiplies these trials
    where loops are nested.
    """
    turn = jnp.sum(like) > 0
    return jax.tree.map(lambda x: jax.lax.select(turn, x, x), carry)


def _outputs(program: Jaxpr, varies: Sequence[bool]) -> list[bool]:
    varying = {v for v, flag in zip(program.invars, varies, strict=True) if flag}

    def of(atoms: Sequence[Any]) -> list[bool]:
        return [not isinstance(a, Literal) and a in varying for a in atoms]

    for equation in program.eqns:
        inputs = of(equation.invars)
        if any(inputs):
            varying |= {v for v, flag in zip(equation.outvars, _equation(equation, inputs), strict=True) if flag}
    return of(program.outvars)


def _equation(equation: Any, inputs: list[bool]) -> list[bool]:
    everything = [True] * len(equation.outvars)
    if equation.primitive.name == "cond":
        predicate, *operands = inputs
        branches = [_outputs(b.jaxpr, operands) for b in equation.params["branches"]]
        return everything if predicate else [any(flags) for flags in zip(*branches, strict=True)]
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    inner = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
    # Loops carry values from one turn to the next: taken as a whole they depend on all of their inputs.
    calls_once = equation.primitive.name in ("jit", "pjit", "closed_call", "custom_jvp_call", "remat2", "checkpoint")
    if calls_once and inner is not None and len(inner.invars) == len(inputs):
        return _outputs(inner, inputs)
    return everything
