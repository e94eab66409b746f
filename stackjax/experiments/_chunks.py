"""How many runs are played at once: as many as a budget of memory allows, by what the compiler says of the program."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from stackjax.experiments._memory import give_back, physical_memory, resident, size_text

#: On a core of a CPU as many runs at once as have states of so many bytes, which stay in its cache; fewer than the
#: first number of runs wouldn't pay for what a round costs in any case, more than the second one don't run faster.
_CACHE, _FEWEST, _MOST = 400_000, 500, 16_000
#: Of an accelerator's memory, and of a CPU's, where no budget is given.
_SHARES = {"cpu": 0.25}
_SHARE = 0.8
#: What compiling the program of the chunks adds to a process, for each kind, and what measures results once more. What
#: it has grown by is counted in steps: it isn't the same every time, and the sizes of chunks should be.
_LATER, _STEP = 16 * 2**20, 16 * 2**20


class Kind(NamedTuple):
    """Runs that one program plays: how many in all, the program of so many, and bytes that the host needs for a run."""

    runs: int
    lowered: Callable[[int], jax.stages.Lowered]
    host: int


class Sizes(NamedTuple):
    """How many runs of each kind to play at once, and what of a budget was left to programs and what goes with them."""

    each: list[int]
    held: int = 0


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_budget(device: jax.Device) -> int:
    """Bytes on a device that a sweep takes if it isn't told: a share of its memory."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    limit = stats["bytes_limit"] if stats and "bytes_limit" in stats else physical_memory()
    return int(_SHARES.get(device.platform, _SHARE) * limit)


def memory_of(program: jax.stages.Compiled) -> int:
    """Bytes that a program takes on each device: arguments, results and what it needs between them."""
    memory: Any = program.memory_analysis()
    sizes = (memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes)
    return int(sum(sizes))


def state_bytes(lowered: jax.stages.Lowered, runs: int) -> int:
    """Bytes of the learners' states of one run."""
    states = lowered.out_info[3][0]  # of what `play`'s program returns
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(states)) // runs


def needed(kind: Kind, size: int, devices: Sequence[Any]) -> int:
    """Bytes that so many runs take on each device; on a CPU in all, with what the host makes of the results."""
    program = memory_of(kind.lowered(size).compile())
    return program * len(devices) + kind.host * size if _on_cpu(devices) else program


def sizes(kinds: Sequence[Kind], budget: int | None, devices: Sequence[Any], before: int = 0) -> Sizes:
    """How many runs to play at once: multiples of the number of devices; all chunks of a kind of nearly the same size.

    Memory grows linearly with the number of runs, so that two programs tell it for all. A budget that was asked for is,
    on a CPU, one of everything: what the process has grown by, with its compiled programs, is taken off first.

    **Arguments:** `budget`: bytes on each device, on a CPU in all; None: a share of what there is; `before`: bytes that
    the process had `resident` when the sweep began.

    **Raises:** `ValueError` that names `budget` and says the least one, if not even one run for each device fits.
    """
    limit = default_budget(devices[0]) if budget is None else budget
    counted = budget is not None and before > 0 and _on_cpu(devices)

    def taken(size: int, kind: Kind) -> int:
        found = needed(kind, size, devices)
        if counted:
            give_back()
        return found

    few = len(devices)
    each = [_even(kind.runs, _most(kind, devices), devices) for kind in kinds]
    whole = [taken(size, kind) for size, kind in zip(each, kinds, strict=True)]
    later = _LATER * (1 + len(kinds))
    held = _grown(before) + later if counted else 0
    lines: dict[int, tuple[float, float]] = {}  # bytes of a run, and those that don't depend on their number
    for i, kind in enumerate(kinds):
        if whole[i] > limit - held:
            part = max(each[i] // 8 // few, 1) * few
            less = taken(part, kind)
            slope = max((whole[i] - less) / max(each[i] - part, 1), 1.0)
            lines[i] = slope, max(less - slope * part, 0.0)
    if counted and lines:
        held = _grown(before) + later
    for i, (slope, fixed) in lines.items():
        least = held + fixed + slope * few
        if least > limit:
            beside = f", beside {size_text(held)} for programs and what goes with them" if held else ""
            one = "one run takes" if few == 1 else f"a run on each of {few} devices takes"
            raise ValueError(
                f"budget: expected at least {size_text(math.ceil(least))}, got {size_text(limit)}: {one} "
                f"{size_text(fixed + slope * few)}{beside}"
            )
        most = int((limit - held - fixed) // slope)
        each[i] = _even(kinds[i].runs, min(most, each[i]), devices)
        taken(each[i], kinds[i])  # what compiling it takes isn't there beside a chunk
    return Sizes(each, held)


def _on_cpu(devices: Sequence[Any]) -> bool:
    return bool(devices[0].platform == "cpu")


def _grown(before: int) -> int:
    return -(-max(resident() - before, 0) // _STEP) * _STEP


def _most(kind: Kind, devices: Sequence[Any]) -> int:
    """The most runs at once that are of use: all; on a CPU as many as run fast."""
    few = len(devices)
    if not _on_cpu(devices) or kind.runs <= _FEWEST * few:
        return kind.runs
    cores = max(_cores() // few, 1)  # virtual devices share them
    # The program that is played if states are small, which then isn't traced in vain.
    size = _even(kind.runs, few * cores * _MOST, devices)
    state = max(state_bytes(kind.lowered(size), size), 1)
    return few * cores * max(_FEWEST, min(_MOST, _CACHE // state))


def _even(runs: int, most: int, devices: Sequence[Any]) -> int:
    """At most so many runs at once, a multiple of the number of devices, and as many in each of the chunks."""
    few = len(devices)
    pieces = -(-runs // max(most // few * few, few))
    return -(-runs // (pieces * few)) * few
