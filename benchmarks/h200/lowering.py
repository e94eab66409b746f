"""A program lowered for CUDA, which needs no GPU and no plugin, and the loops in it."""

import re
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxlib.mlir import ir

import stackjax
from benchmarks.h200.programs import KERNELS, PROGRAMS, ROUNDS
from stackjax._core import loop
from stackjax.protocols import Game, Learner

#: Where the loops of rounds are written; all others are within a round.
ROUNDS_LOOPS = "stackjax/_core/"


class Loop(NamedTuple):
    """A `while` of a lowered program: the `file: function` that it comes from, and its turns if those are known."""

    where: str
    turns: int | None


def lower(name: str, replicates: int, sharding: Any = None, kernel: loop.Kernel = "never") -> jax.stages.Lowered:
    """Lower a program for CUDA, with its arguments placed where `sharding` says, its rounds in a kernel or scanned."""
    game, learners = (PROGRAMS | KERNELS)[name]()
    return _traced(game, learners, replicates, sharding, kernel).lower(lowering_platforms=("cuda",))


def fits(game: Game, learners: tuple[Learner, ...]) -> str | None:
    """Why rounds don't fit in a kernel; None if they do."""
    try:
        _traced(game, learners, 32, None, "always")
    except ValueError as error:
        if not str(error).startswith("kernel: "):
            raise
        return str(error).partition(", but ")[2]
    return None


def _traced(
    game: Game, learners: tuple[Learner, ...], replicates: int, sharding: Any, kernel: loop.Kernel
) -> jax.stages.Traced:
    module = sys.modules[stackjax.play.__module__]  # the package's `play` is the function
    options: dict[str, Any] = dict.fromkeys(("start", "record", "resume", "in_axes", "devices", "kernel"))
    options["chunk"] = replicates  # a GPU plays all at once
    call = module._call(
        game, learners, key=jax.random.key(0), rounds=ROUNDS, replicates=replicates, skip_phases=False, **options
    )
    arguments = call.arguments(call.parts[0])
    begin, points = int(arguments[4]), np.asarray(arguments[5])
    made_there = {"platform": "gpu", "pace": loop.pace(begin, points), "kernel": kernel}
    structs = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x), sharding=sharding), arguments
    )
    return module._run.trace(*structs, program=call.program._replace(**made_there))


def loops(lowered: jax.stages.Lowered) -> list[Loop]:
    """Every loop of a lowered program, those of its functions included."""
    module, found = lowered.compiler_ir("stablehlo"), []
    calls = _calls(module)

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "stablehlo.while":
            found.append(Loop(_where(op), _turns(op, calls)))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


Calls = dict[str, list[Any]]


def _calls(module: ir.Module) -> Calls:
    """The calls of every function."""
    found: Calls = {}

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "func.call":
            found.setdefault(ir.FlatSymbolRefAttr(op.attributes["callee"]).value, []).append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


def _where(op: Any) -> str:
    """The innermost function of the library in an operation's traceback; empty if there is none."""
    found = re.search(r'"([^"]*)"\("[^"]*/(stackjax/[^"]*\.py)":', str(op.location))
    return f"{found[2]}: {found[1]}" if found else ""


def _turns(loop: Any, calls: Calls) -> int | None:
    """How often a loop turns, if a counter goes from a constant to a constant in constant steps."""
    condition, body = (region.blocks[0] for region in loop.regions)
    test = _operation(_returned(condition)[0])
    if test is None or test.name != "stablehlo.compare" or "LT" not in str(test.attributes["comparison_direction"]):
        return None
    counter, bound = test.operands
    if not isinstance(counter := counter.maybe_downcast(), ir.BlockArgument):
        return None
    after = _operation(_returned(body)[counter.arg_number])
    if after is None or after.name != "stablehlo.add":
        return None
    steps = [x for x in after.operands if x != body.arguments[counter.arg_number]]
    numbers = [_constant(x, calls) for x in (loop.operands[counter.arg_number], bound, *steps)]
    if len(numbers) != 3 or None in numbers:
        return None
    first, last, step = numbers
    return max(0, -(-(last - first) // step))


def _constant(value: Any, calls: Calls) -> int | None:
    """An integer that is known when the program is compiled."""
    op = _operation(value)
    if op is not None:
        if op.name != "stablehlo.constant" or op.results[0].type.element_type.__class__ is not ir.IntegerType:
            return None
        return int(ir.DenseIntElementsAttr(op.attributes["value"])[0])
    argument = value.maybe_downcast()
    owner, k = argument.owner.owner, argument.arg_number
    if owner.name == "stablehlo.while":  # what a loop hands on unchanged is what it began with
        body = owner.regions[1].blocks[0]
        return _constant(owner.operands[k], calls) if _returned(body)[k] == body.arguments[k] else None
    sites = calls.get(ir.StringAttr(owner.attributes["sym_name"]).value, []) if owner.name == "func.func" else []
    found = {_constant(site.operands[k], calls) for site in sites}
    return found.pop() if len(found) == 1 else None


def _returned(block: Any) -> Any:
    return list(block.operations)[-1].operands


def _operation(value: Any) -> Any:
    """What computes a value; None for an argument."""
    value = value.maybe_downcast()
    return None if isinstance(value, ir.BlockArgument) else value.owner
