"""Side-by-side timing: one pinned core, interleaved repetitions, medians with their range."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
PINNED = hasattr(os, "sched_setaffinity")
if PINNED:  # before JAX starts its threads
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import contextlib  # noqa: E402  (after the environment is set)
import importlib  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import jax  # noqa: E402


def interleaved(candidates: dict[str, Callable[[], Any]], repetitions: int = 9) -> dict[str, list[float]]:
    """Seconds of each candidate, measured in turn so that a slow spell of the machine hits all of them."""
    for run in candidates.values():
        jax.block_until_ready(run())  # compile
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for i in range(repetitions):
        order = list(candidates) if i % 2 else list(candidates)[::-1]
        for name in order:
            begin = time.perf_counter()
            jax.block_until_ready(candidates[name]())
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> dict[str, float]:
    """Our time over theirs, repetition by repetition: above 1 we are slower."""
    return spread([a / b for a, b in zip(seconds[ours], seconds[theirs], strict=True)])


class _Called(Exception):
    """The compiled run was about to start."""


def compiled(call: Callable) -> dict[str, float]:
    """Memory and cost of the program of one call of `play`, from the compiler's own analysis; nothing is played.

    Each loop body is counted once, so operations are those of a round and of a record, for all replicates.
    """
    module = importlib.import_module("stackjax.play")
    inner, seen = module._run, []

    def instead(*arguments: Any, **options: Any) -> None:
        seen.append(inner.lower(*arguments, **options))
        raise _Called

    module._run = instead
    try:
        with contextlib.suppress(_Called):
            call()
    finally:
        module._run = inner
    program = seen[0].compile()
    memory = program.memory_analysis()
    return {
        "temporaries_bytes": memory.temp_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "flops": program.cost_analysis().get("flops", float("nan")),
    }
