"""What a compiled program does in a round: kernels, bytes, copies, and loops whose end the host decides."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.h200.hlo import Computation, Instruction, Module
from benchmarks.h200.lowering import ROUNDS_LOOPS

#: Instructions that are no kernel: names for what is there already.
FREE = frozenset(
    ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier", "partition-id")
)


class Cost(NamedTuple):
    """Of a computation, once.

    **Attributes:** `kernels`; `moved`, bytes read and written; `copied`, those of them that only copy; `copies`, how
    many copies there are, of `tables` at least as large as asked for; `decisions`, how often the host decides.
    """

    kernels: float = 0
    moved: float = 0
    copied: float = 0
    copies: float = 0
    decisions: float = 0

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]  # costs add up; tuples would be joined
        return Cost(*map(sum, zip(self, other, strict=True)))

    def times(self, n: float) -> "Cost":
        """So often."""
        return Cost(*(n * x for x in self))


class Loop(NamedTuple):
    """A loop of rounds around the round: where it is written, and its turns, if they are known."""

    where: str
    turns: int | None
    instruction: Instruction


class Run(NamedTuple):
    """A program's costs.

    **Attributes:** `loops` of rounds, the outermost first, whose last has the rounds; `turns` of that in a run, at
    least; `a_round` of it; `whole`, all turns of all of these loops; `host_loops`, how many loops the host ends.
    """

    loops: list[Loop]
    turns: int
    a_round: Cost
    whole: Cost
    host_loops: int


def of_run(module: Module, rounds: int, table: int) -> Run:
    """The costs of a run of so many rounds; copies of at least `table` bytes are counted.

    Where a loop's turns aren't known they are taken to be as few as the rounds allow; within a round, one.
    """
    loops = _path(module, module.entry)
    turns, entered = [], 1
    for k, loop in enumerate(loops):
        inner = [each.turns for each in loops[k + 1 :]]
        fewest = -(-rounds // math.prod(1 if n is None else n for n in inner)) if None not in inner else 0
        turns.append(max(entered, fewest) if loop.turns is None else entered * loop.turns)
        entered = turns[-1]
    whole = Cost()
    entered = 1
    for k, (loop, n) in enumerate(zip(loops, turns, strict=True)):
        within = loops[k + 1].instruction.name if k + 1 < len(loops) else None
        a_turn = _of_turn(module, loop.instruction, table, within)
        last = 0 if loop.turns is not None else entered  # the host also decides that it is over
        whole += a_turn.times(n) + Cost(decisions=last)
        entered = n
    decided = [each for each in _whiles(module, module.entry) if each.turns is None]
    return Run(loops, turns[-1], a_turn, whole, len(decided))


def _path(module: Module, computation: Computation) -> list[Loop]:
    """Loops of rounds in one another, as deep as they go; of several the one that turns most often."""
    found: list[list[Loop]] = [[]]
    for each in computation.values():
        if each.opcode == "while":
            where = module.where(each)
            below = _path(module, module.computations[each.attribute("body") or ""])
            found.append([Loop(where, each.turns, each), *below] if where.startswith(ROUNDS_LOOPS) else below)
        elif each.opcode in ("call", "conditional"):
            found += [_path(module, module.computations[name]) for name in each.called]
    return max(found, key=lambda path: (len(path), [math.inf if loop.turns is None else loop.turns for loop in path]))


def _whiles(module: Module, computation: Computation) -> Iterator[Instruction]:
    """All loops, those in others included."""
    for each in computation.values():
        if each.opcode == "while":
            yield each
            yield from _whiles(module, module.computations[each.attribute("body") or ""])
        elif each.opcode in ("call", "conditional"):
            for name in each.called:
                yield from _whiles(module, module.computations[name])


def _of_turn(module: Module, loop: Instruction, table: int, without: str | None = None) -> Cost:
    """A turn of a loop, without the loop of that name in it. A condition is only looked at if the host decides."""
    cost = of_computation(module, module.computations[loop.attribute("body") or ""], table, without)
    if loop.turns is None:
        condition = module.computations[loop.attribute("condition") or ""]
        cost += of_computation(module, condition, table) + Cost(decisions=1)
    return cost


def of_computation(module: Module, computation: Computation, table: int, without: str | None = None) -> Cost:
    """The costs of a computation's instructions, without the loop of that name."""
    cost = Cost()
    for each in computation.values():
        if each.opcode in FREE or each.name == without:
            continue
        if each.opcode == "while":
            turn = _of_turn(module, each, table)
            cost += turn.times(1 if each.turns is None else each.turns) + Cost(decisions=each.turns is None)
        elif each.opcode == "call":
            cost += sum((of_computation(module, module.computations[name], table) for name in each.called), Cost())
        elif each.opcode == "conditional":  # the host reads which branch it is; the dearest may be it
            branches = [of_computation(module, module.computations[name], table, without) for name in each.called]
            cost += max(branches, key=lambda branch: branch.moved) + Cost(decisions=1)
        else:
            moved = _moved(module, computation, each)
            copies = _copies(module, each)
            cost += Cost(1, moved, moved if copies else 0, sum(copied >= table for copied in copies))
    return cost


def _copies(module: Module, kernel: Instruction) -> list[int]:
    """Bytes of what a kernel only copies; none if it computes something."""
    if kernel.opcode == "copy":
        return [kernel.size]
    if kernel.opcode != "fusion":
        return []
    inside = module.computations[kernel.called[0]]
    results = [inside[name] for name in _results(inside)]
    moves = ("copy", "transpose", "bitcast", "reshape")
    if not all(each.opcode in moves and _source(inside, each, moves).opcode == "parameter" for each in results):
        return []
    return [each.size for each in results]


def _moved(module: Module, around: Computation, kernel: Instruction) -> int:
    """Bytes that a kernel reads and writes: of a table that it slices or updates in place only the entries touched."""
    if kernel.opcode == "fusion":
        inside = module.computations[kernel.called[0]]
        read = sum(_read(inside, each) for each in inside.values() if each.opcode == "parameter")
        return read + sum(_written(inside, inside[name]) for name in _results(inside))
    # By itself such an instruction is like a fusion of nothing else.
    sources = [around[name]._replace(opcode="parameter") for name in kernel.operands if name in around]
    alone = {each.name: each for each in sources} | {kernel.name: kernel}
    return sum(_read(alone, each) for each in sources) + _written(alone, kernel)


def _results(inside: Computation) -> tuple[str, ...]:
    """The names of a fusion's results."""
    *_, last = inside.values()
    return last.operands if last.opcode == "tuple" else (last.name,)


def _source(inside: Computation, at: Instruction, through: tuple[str, ...] = ("bitcast",)) -> Instruction:
    """What is there under other names."""
    while at.opcode in through:
        at = inside[at.operands[0]]
    return at


def _updated(inside: Computation, at: Instruction) -> str | None:
    """The parameter that an instruction updates in place.

    XLA has updates and scatters write into their first operand, and where that is still needed it adds a `copy`
    before, which counts by itself.
    """
    if at.opcode not in ("dynamic-update-slice", "scatter"):
        return None
    table = _source(inside, inside[at.operands[0]])
    return table.name if table.opcode == "parameter" else None


def _written(inside: Computation, result: Instruction) -> int:
    at = _source(inside, result)
    if _updated(inside, at) is None:
        return result.size
    return inside[at.operands[-1 if at.opcode == "scatter" else 1]].size


def _read(inside: Computation, parameter: Instruction) -> int:
    """Bytes of a parameter that are read: those of its slices if nothing else is done with it."""
    read, names = 0, [parameter.name]
    for name in names:
        for user in inside.values():
            if name not in user.operands:
                continue
            if user.opcode == "bitcast":
                names.append(user.name)
            elif user.opcode in ("slice", "dynamic-slice", "gather") and user.operands[0] == name:
                read += user.size
            elif user.operands[0] == name and _updated(inside, user) == parameter.name:
                # A scatter with its own operation reads what it touches, too; an update doesn't.
                read += _written(inside, user) if user.opcode == "scatter" else 0
            elif user.opcode != "tuple":
                return parameter.size
    return min(read, parameter.size)
