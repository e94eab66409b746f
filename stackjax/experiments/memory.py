"""How many runs are played at once: as many as a budget of memory allows, by what the compiler says of the program."""

import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from stackjax._core import batch
from stackjax.protocols import Calls, Game, arms_of
from stackjax.spaces import Arms
from stackjax.trace import Record

#: Of an accelerator's memory, and of a CPU's, where no budget is given.
_SHARES = {"cpu": 0.25}
_SHARE = 0.8
#: Variables that have one number a player at each record point.
_SMALL = frozenset(["regret", "payoffs", "distance_to_nash", "distance_to_stackelberg", "utility"])


def physical_memory() -> int:
    """Bytes of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def size_text(size: float) -> str:
    """Bytes in a unit."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"


def check_fits(counts: Mapping[str, int], size: int) -> None:
    """Would so many things, each of `size` bytes, take more than half of the machine's memory?

    **Raises:** `ValueError` that names `replicates`.
    """
    needed, limit = math.prod(counts.values()) * size, physical_memory() / 2
    if needed > limit:
        product = " x ".join(f"{n} {name}" for name, n in counts.items())
        raise ValueError(
            f"replicates: {product} of {size} bytes would take about {needed / 2**30:.3g} GiB; the limit is "
            f"{limit / 2**30:.3g} GiB, half of this machine's memory"
        )


def record_bytes(game: Game, record: Record, rounds: int, keep: Sequence[str] | None = None) -> tuple[int, int]:
    """About how many bytes a record of one replicate has, without what learners report; and how many records there are.

    **Arguments:** `keep`: the variables of it that are kept; default: all.
    """
    points = {"every": -(-rounds // record.number), "log_spaced": min(record.number, rounds)}.get(record.kind, 1)
    players, each = len(game.spaces), jnp.zeros(()).dtype.itemsize
    if keep is not None and _SMALL.issuperset(keep):
        return 8 * players * len(keep) + 8, points
    actions = tuple(space.struct(jnp.float32) for space in game.spaces)
    values = players * (record.payoffs is not None)
    if record.strategies:  # strategies, actions, and the distances to both equilibria
        values += 2 * sum(space.size for space in game.spaces) + 2 * players
    if record.metrics is not None:
        with contextlib.suppress(Exception):  # `play` says better what is wrong with them
            values += sum(x.size for x in jax.tree.leaves(jax.eval_shape(record.metrics, *actions)))
    arms = all(isinstance(space, Arms) for space in game.spaces)
    counts = 8 * math.prod(map(arms_of, game.spaces)) if arms and record.visits else 0
    return each * values + 8 * players * len(Calls._fields) + counts, points


class Workload(NamedTuple):
    """Runs that one program plays: how many in all, the program of so many, and bytes that the host needs for a run."""

    runs: int
    lowered: Callable[[int], jax.stages.Lowered]
    host: int


def default_budget(device: jax.Device) -> int:
    """Bytes on a device that is taken if nothing is said: a share of its memory."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    limit = stats["bytes_limit"] if stats and "bytes_limit" in stats else physical_memory()
    return int(_SHARES.get(device.platform, _SHARE) * limit)


def needed(load: Workload, size: int, devices: Sequence[Any]) -> int:
    """Bytes that so many runs take on each device; on a CPU in all, with what the host makes of the results."""
    memory: Any = load.lowered(size).compile().memory_analysis()
    program = int(memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes)
    return program * len(devices) + load.host * size if _on_cpu(devices) else program


def chunk_size(load: Workload, budget: int | None, devices: Sequence[Any]) -> int:
    """How many runs to play at once: a multiple of the number of devices; all chunks have nearly the same size.

    Memory grows linearly with the number of runs, so that two programs tell it for all.

    **Arguments:** `budget`: bytes on each device, on a CPU in all; None: a share of what there is.

    **Raises:** `ValueError` that names `budget` and says the least one, if not even one run for each device fits.
    """
    limit = default_budget(devices[0]) if budget is None else budget
    few = len(devices)
    each = _even(load.runs, _most(load, devices), devices)
    whole = needed(load, each, devices)
    if whole <= limit:
        return each
    part = max(each // 8 // few, 1) * few
    less = needed(load, part, devices)
    slope = max((whole - less) / max(each - part, 1), 1.0)
    fixed = max(less - slope * part, 0.0)
    least = fixed + slope * few
    if least > limit:
        one = "one run takes" if few == 1 else f"a run on each of {few} devices takes"
        smallest = size_text(math.ceil(least))
        raise ValueError(f"budget: expected at least {smallest}, got {size_text(limit)}: {one} as much")
    return _even(load.runs, min(int((limit - fixed) // slope), each), devices)


def _on_cpu(devices: Sequence[Any]) -> bool:
    return bool(devices[0].platform == "cpu")


def _most(load: Workload, devices: Sequence[Any]) -> int:
    """The most runs at once that are of use: all; on a CPU as many as run fast."""
    few = len(devices)
    if not _on_cpu(devices) or load.runs <= batch.FEWEST * few:
        return load.runs
    # The program that is played if states are small, which then isn't traced in vain.
    size = _even(load.runs, few * batch.in_cache(0, few), devices)
    states = load.lowered(size).out_info[3][0]  # of what `play`'s program returns
    state = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(states)) // size
    return few * batch.in_cache(state, few)


def _even(runs: int, most: int, devices: Sequence[Any]) -> int:
    """At most so many runs at once, a multiple of the number of devices, and as many in each of the chunks."""
    few = len(devices)
    pieces = -(-runs // max(most // few * few, few))
    return -(-runs // (pieces * few)) * few
