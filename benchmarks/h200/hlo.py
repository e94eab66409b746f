"""Compiled programs as XLA prints them: computations, and in them instructions in the order of the schedule."""

import math
import re
from typing import NamedTuple

#: Bytes of an entry.
SIZES = {"token": 0, "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2, "s32": 4, "u32": 4}
SIZES |= {"f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16}


class Instruction(NamedTuple):
    """`name = shape opcode(operands), attributes`; the operand of a parameter is its number."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str

    @property
    def size(self) -> int:
        """Bytes of what it computes."""
        return size(self.shape)

    def attribute(self, name: str) -> str | None:
        """The value of `name=value`, up to the next comma, blank or bracket."""
        found = re.search(rf"\b{name}=%?([\w.<>\-]+)", self.attributes)
        return found and found[1]

    @property
    def turns(self) -> int | None:
        """Of a loop, if they are known."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', self.attributes)
        return found and int(found[1])

    @property
    def called(self) -> list[str]:
        """Computations of a call or a conditional, in whatever way it names them."""
        listed = re.search(r"branch_computations=\{(.*?)\}", self.attributes)
        if listed:
            return [name.strip().lstrip("%") for name in listed[1].split(",")]
        names = ("to_apply", "calls", "true_computation", "false_computation")
        return [found for name in names if (found := self.attribute(name))]


Computation = dict[str, Instruction]


class Module(NamedTuple):
    """A program: its computations by their names, the last instruction of each its result, and its stack frames."""

    computations: dict[str, Computation]
    entry: Computation
    frames: dict[int, str]

    def where(self, instruction: Instruction) -> str:
        """The innermost `file: function` of the library that an instruction comes from; empty if XLA made it up."""
        frame = instruction.attribute("stack_frame_id")
        return self.frames.get(int(frame), "") if frame else ""


def size(shape: str) -> int:
    """Bytes of a shape, or of all arrays of a tuple."""
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", shape)
    return sum(SIZES[kind] * math.prod(int(n) for n in dims.split(",") if n) for kind, dims in arrays)


def parse(text: str) -> Module:
    """Read a printed program."""
    computations: dict[str, Computation] = {}
    entry: Computation = {}
    tables: dict[str, dict[int, str]] = {}
    here: Computation | None = None
    table: dict[int, str] = {}
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        if here is not None and line == "}":
            here = None
        elif here is not None:
            instruction = _instruction(line)
            here[instruction.name] = instruction
        elif line.endswith("{") and " -> " in line:
            here = computations[line.removeprefix("ENTRY ").split(" ", 1)[0].lstrip("%")] = {}
            entry = here if line.startswith("ENTRY ") else entry
        elif line[:1].isdigit():
            number, _, value = line.partition(" ")
            table[int(number)] = value
        elif line.isalpha():
            table = tables[line] = {}
    return Module(computations, entry, _frames(tables))


def _instruction(line: str) -> Instruction:
    name, _, rest = line.strip().removeprefix("ROOT ").partition(" = ")
    end = _closing(rest, 0) if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    opened = rest.index("(")
    closed = _closing(rest, opened)
    operands = tuple(each.strip().lstrip("%") for each in rest[opened + 1 : closed - 1].split(",") if each.strip())
    return Instruction(name.lstrip("%"), shape, rest[:opened], operands, rest[closed:])


def _closing(text: str, opened: int) -> int:
    """Where the bracket that is opened there has been closed."""
    depth = 0
    for k in range(opened, len(text)):
        depth += (text[k] == "(") - (text[k] == ")")
        if not depth:
            return k + 1
    raise ValueError(f"a bracket isn't closed: {text}")


def _frames(tables: dict[str, dict[int, str]]) -> dict[int, str]:
    """Stack frames by their ids, as `file: function` of the innermost one of the library."""
    rows = {
        name: {k: {x: int(n) for x, n in re.findall(r"(\w+)=(\d+)", row)} for k, row in tables.get(name, {}).items()}
        for name in ("FileLocations", "StackFrames")
    }
    found = {}
    for k, row in rows["StackFrames"].items():
        location = rows["FileLocations"][row["file_location_id"]]
        file = tables["FileNames"][location["file_name_id"]].strip('"')
        inside = file.rpartition("/stackjax/")[2]
        function = tables["FunctionNames"][location["function_name_id"]].strip('"')
        found[k] = f"stackjax/{inside}: {function}" if inside != file else ""
    return found
