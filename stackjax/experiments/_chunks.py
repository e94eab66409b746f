"""How many runs are played at once: as many as a budget of memory allows, by what the compiler says of the program."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax

from stackjax.experiments._running import physical_memory, size_text

#: On a core of a CPU as many runs at once as have states of so many bytes, which stay in its cache; fewer than the
#: first number of runs wouldn't pay for what a round costs in any case, more than the second one don't run faster.
_CACHE, _FEWEST, _MOST = 400_000, 500, 16_000
#: Of an accelerator's memory, and of a CPU's, where no budget is given.
_SHARES = {"cpu": 0.25}
_SHARE = 0.8


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


def chunk_size(
    runs: int, lowered: Callable[[int], jax.stages.Lowered], budget: int, devices: Sequence[Any], host: int
) -> int:
    """How many runs to play at once: a multiple of the number of devices; all chunks of nearly the same size.

    Memory grows linearly with the number of runs, so that two programs tell it for all. On a CPU, where it is the same
    memory, what the host makes of the results counts too.

    **Arguments:** `runs` in all; `lowered`: the program of so many; `budget`: bytes on each device; `host`: bytes that
    the host needs for a run.

    **Raises:** `ValueError` that names `budget` if not even one run for each device fits.
    """
    cpu = devices[0].platform == "cpu"
    each = host if cpu else 0
    most = -(-runs // len(devices))
    if cpu and most > _FEWEST:
        few = len(devices)
        state = max(state_bytes(lowered(few), few), 1)
        cores = max(_cores() // len(devices), 1)  # virtual devices share them
        most = min(most, cores * max(_FEWEST, min(_MOST, _CACHE // state)))

    def needed(size: int) -> int:  # on one of the devices, which share a CPU's memory
        own = memory_of(lowered(size * len(devices)).compile()) + each * size
        return own * len(devices) if cpu else own

    whole = needed(most)
    if whole > budget:
        few = max(most // 8, 1)
        part = needed(few)
        slope = max((whole - part) / max(most - few, 1), 1.0)
        most = min(most - 1, int((budget - (part - slope * few)) // slope))
        if most < 1:
            raise ValueError(
                f"budget: one run takes {size_text(part - slope * (few - 1))}, more than {size_text(budget)}"
            )
    pieces = -(-runs // (most * len(devices)))
    return -(-runs // (pieces * len(devices))) * len(devices)
