"""`estimate`: what a sweep would do, before it does."""

import time
from typing import Any, NamedTuple

from stackjax.experiments import _chunks
from stackjax.experiments._engine import Runs
from stackjax.experiments._prepared import prepared
from stackjax.experiments._running import compilation

#: Arguments of `sweep` that don't change what is played.
_AFTERWARDS = (
    "out",
    "overwrite",
    "budget",
    "chunk",
    "checkpoint",
    "progress",
    "title",
    "units",
    "command",
    "attributes",
)
#: A sample is played for so many rounds at least, and for more until it takes so many seconds.
_SAMPLE, _LONG_ENOUGH = 1000, 0.2


class Estimate(NamedTuple):
    """What a sweep would do.

    **Attributes:** `axes`: dimension -> how many; `settings`, `runs` that are played, `replicates`, `rounds`;
    `programs` that are compiled; `chunks`, and the number of runs in the largest; `chunk_bytes`, the memory that a
    chunk takes at most, on each device (on a CPU in all, with what the host makes of it); `held_bytes`, what of the
    `budget` is left to programs and what goes with them; `result_bytes`, about what the data take in memory;
    `compile_seconds`, measured, and `seconds`, extrapolated from a sample of `sample_rounds` rounds; `devices`.
    """

    axes: dict[str, int]
    settings: int
    runs: int
    replicates: int
    rounds: int
    programs: int
    chunks: int
    chunk: int
    chunk_bytes: int
    held_bytes: int
    result_bytes: int
    compile_seconds: float
    seconds: float
    sample_rounds: int
    devices: list[str]


def estimate(game: Any, methods: Any, over: Any = None, **options: Any) -> Estimate:
    """What `sweep` would do with these arguments: how much, how long, how large. A sample of it is played.

    **Arguments:** those of `sweep`.

    **Raises:** what `sweep` raises before it plays.
    """
    chunk, budget = options.get("chunk"), options.get("budget")
    found = prepared(game, methods, over, **{k: v for k, v in options.items() if k not in _AFTERWARDS})
    runs, rounds, record = found.runs, found.runs.options["rounds"], found.runs.options["record"]
    with compilation() as compiled:
        sizes, held = found.sizes(chunk, budget)
        needed = [_chunks.needed(kind, size, runs.devices) for kind, size in zip(found.kinds(), sizes, strict=True)]
        compiling = compiled()
    runs.check_names(sizes)
    chunks = runs.chunks(sizes)
    seconds, sample = 0.0, rounds
    for group in range(len(sizes)):
        own = [part for part in chunks if part.group == group]
        sample = min(rounds, max(_SAMPLE, rounds // 100))
        while sample < rounds and len(record.points(0, sample)) < len(record.points(0, rounds)):
            sample = min(rounds, 2 * sample)  # with as many records, the same program plays it
        while (spent := _seconds(runs, own[0], sample)) < _LONG_ENOUGH and sample < rounds:
            sample = min(rounds, 10 * sample)
        seconds += len(own) * spent * rounds / sample
    bytes_, points = found.record_bytes
    return Estimate(
        axes={**{name: len(names) for name, names in found.lead}, **{a.dim: a.size for a in found.axes.axes}},
        settings=found.settings,
        runs=found.total,
        replicates=runs.ids.size,
        rounds=rounds,
        programs=len(sizes),
        chunks=len(chunks),
        chunk=max(sizes),
        chunk_bytes=max(needed),
        held_bytes=held,
        result_bytes=found.settings * runs.ids.size * bytes_ * points,
        compile_seconds=compiling,
        seconds=seconds,
        sample_rounds=sample,
        devices=[str(device) for device in runs.devices],
    )


def _seconds(runs: Runs, chunk: Any, rounds: int) -> float:
    """What so many rounds of a chunk take, without compilation."""
    sample = runs._replace(options=runs.options | {"rounds": rounds})
    for _ in range(2):
        began = time.perf_counter()
        sample.play(chunk)
    return time.perf_counter() - began
