"""Which values of a program differ between replicates: the others are computed once for all of them.

An update counter is the same in every replicate, and so is every schedule that is read at it; as scalars they cost
nothing, as a vector of a thousand equal numbers they can cost more than the game. `jax.vmap` computes a value once if
it is told that it isn't batched, and refuses if that is wrong; this finds out from the program what to tell it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal


def depends(function: Callable[..., Any], arguments: Sequence[Any], varies: Sequence[Any]) -> list[bool]:
    """For each leaf of `function(*arguments)`, whether it depends on an argument leaf that varies.

    **Arguments:** `arguments`: arrays or `ShapeDtypeStruct`s, one pytree an argument; `varies`: for each argument a
    bool or a pytree of bools of the same structure. It errs on the side of dependence.
    """
    program = jax.make_jaxpr(function)(*arguments)
    flags: list[bool] = []
    for argument, flag in zip(arguments, varies, strict=True):
        leaves = jax.tree.leaves(argument)
        flags += [flag] * len(leaves) if isinstance(flag, bool) else jax.tree.leaves(flag)
    return _outputs(program.jaxpr, flags)


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
