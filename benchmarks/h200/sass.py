"""A kernel's machine code: registers, and the instructions of a round."""

import re
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ARCHITECTURE = "sm_90a"


class MachineCode(NamedTuple):
    """What a thread takes.

    **Attributes:** `registers`; `spilled`, bytes that found no register; `least` and `all`, the instructions of a
    round: on the shortest way, as if every branch that skips something were taken, and altogether.
    """

    registers: int
    spilled: int
    least: int
    all: int


class Instruction(NamedTuple):
    """An instruction: whether it is done in any case, its name, and to which place it jumps, if it does."""

    always: bool
    name: str
    target: int | None


def assembled(ptx: str) -> MachineCode:
    """Assemble a kernel with NVIDIA's `ptxas` and read what came out."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        source.write_text(ptx)
        log = _run("ptxas", f"-arch={ARCHITECTURE}", "-v", str(source), "-o", str(binary), stderr=True)
        text = _run("nvdisasm", "-c", str(binary))
    spilled = sum(int(n) for n in re.findall(r"(\d+) bytes spill", log))
    return MachineCode(int(re.findall(r"Used (\d+) registers", log)[0]), spilled, *turn(parse(text)))


def _run(tool: str, *arguments: str, stderr: bool = False) -> str:
    spec = find_spec("nvidia")
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = [path for folder in folders for path in Path(folder).glob(f"*/bin/{tool}")]
    if not found:
        raise FileNotFoundError(f"{tool}: expected it where requirements/h200.txt installs it")
    done = subprocess.run([found[0], *arguments], capture_output=True, text=True, check=True)
    return done.stderr if stderr else done.stdout


def parse(text: str) -> list[Instruction]:
    """The instructions that `nvdisasm -c` prints of a kernel."""
    lines: list[tuple[str, str, str]] = []
    places: dict[str, int] = {}
    for line in text.splitlines():
        if label := re.match(r"\s*(\.L_\w+):", line):
            places[label[1]] = len(lines)
        elif found := re.match(r"\s+/\*[0-9a-f]+\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)", line):
            lines.append((found[1] or "", found[2], found[3]))

    def instruction(guard: str, name: str, rest: str) -> Instruction:
        jumps = name.split(".")[0] == "BRA"
        label = re.search(r"\.L_\w+", rest) if jumps else None
        always = not guard and not (jumps and re.search(r"\bU?P\d", rest))
        return Instruction(always, name, places[label[0]] if label else None)

    return [instruction(*line) for line in lines]


def turn(instructions: list[Instruction]) -> tuple[int, int]:
    """The instructions of a round, on the shortest way through it and altogether.

    A kernel is a loop over parts of a block, and in it one over rounds. Loops of library functions, which are within a
    round, count with one turn. Raises `ValueError` if there isn't one loop that is within one other.
    """
    loops: dict[int, int] = {}
    for k, each in enumerate(instructions):
        if each.target is not None and each.target < k:
            loops[each.target] = max(k, loops.get(each.target, k))
    within = {
        (head, end): sum(other < head and end < last for other, last in loops.items()) for head, end in loops.items()
    }
    rounds = [place for place, depth in within.items() if depth == 1]
    if len(rounds) != 1:
        raise ValueError(f"expected one loop in another, got the loops {loops}")
    ((head, end),) = rounds
    far = end - head + 2
    steps = [far] * (far + 1)  # to the end of the turn
    for k in range(end, head - 1, -1):
        each, after = instructions[k], []
        if each.target is not None:
            after.append(0 if each.target == head else steps[each.target - head] if head < each.target <= end else far)
        if each.target is None or not each.always:
            after.append(steps[k + 1 - head] if k < end else far)
        steps[k - head] = 1 + min(after)
    return steps[0], end - head + 1
