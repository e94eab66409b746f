"""`estimate`: what a sweep would do, before it does."""

import time
from typing import Any, NamedTuple

from stackjax.experiments.memory import needed, record_bytes
from stackjax.experiments.progress import compilation
from stackjax.experiments.run import Chunk, Experiment, How, Runs, check_how, device_list, planned
from stackjax.experiments.sweep import sweep

#: A sample is played for so many rounds at least, and for more until it takes so many seconds.
_SAMPLE, _LONG_ENOUGH = 1000, 0.2


class Estimate(NamedTuple):
    """What a sweep would do.

    **Attributes:** `axes`: dimension -> how many; `settings`, `runs` that are played, `replicates`, `rounds` of the
    longest of them; `programs` that are compiled; `chunks`, and the number of runs in the largest; `chunk_bytes`, the
    memory that a chunk takes at most, on each device (on a CPU in all, with what the host makes of it); `result_bytes`,
    about what the data take in memory; `compile_seconds`, measured, and `seconds`, extrapolated from a sample of
    `sample_rounds` rounds; `devices`.
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
    return estimated(*planned(sweep, game, methods, over, **options))


def estimated(experiment: Experiment, how: How) -> Estimate:
    """What `run` would do."""
    check_how(how)
    settings = experiment.settings() if callable(experiment.settings) else experiment.settings
    runs = Runs(experiment, settings, device_list(how.get("devices"), experiment.everywhere))
    record, groups = experiment.record, range(len(runs.groups))
    with compilation() as compiled:
        sizes = runs.sizes(how.get("chunk"), how.get("budget"))
        bytes_ = [needed(runs.workload(group), sizes[group], runs.where()) for group in groups]
        compiling = compiled()
    runs.check_names(sizes)
    chunks = runs.chunks(sizes)
    seconds, sampled = 0.0, 1
    for group in groups:
        own, rounds = [part for part in chunks if part.group == group], runs.groups[group].rounds
        sample = min(rounds, max(_SAMPLE, rounds // 100))
        while sample < rounds and len(record.points(0, sample)) < len(record.points(0, rounds)):
            sample = min(rounds, 2 * sample)  # with as many records, the same program plays it
        while (spent := _seconds(runs, own[0], sample)) < _LONG_ENOUGH and sample < rounds:
            sample = min(rounds, 10 * sample)
        seconds += len(own) * spent * rounds / sample
        sampled = max(sampled, sample)
    kept = [
        record_bytes(s.game, record, s.rounds, experiment.keep)[0] * len(record.points(0, s.rounds))
        for s in runs.settings
    ]
    more = (experiment.words or {}).get("settings", len(runs.settings)) // len(runs.settings)
    return Estimate(
        axes=dict(experiment.axes or experiment.dims),
        settings=len(runs.settings) * more,
        runs=runs.total,
        replicates=experiment.ids.size,
        rounds=max(group.rounds for group in runs.groups),
        programs=len(sizes),
        chunks=len(chunks),
        chunk=max(sizes),
        chunk_bytes=max(bytes_),
        result_bytes=more * experiment.ids.size * sum(kept),
        compile_seconds=compiling,
        seconds=seconds,
        sample_rounds=sampled,
        devices=[str(device) for device in runs.where()],
    )


def _seconds(runs: Runs, chunk: Chunk, rounds: int) -> float:
    """What so many rounds of a chunk take, without compilation."""
    sample = runs.shortened(chunk.group, rounds)
    for _ in range(2):
        began = time.perf_counter()
        sample.play(chunk)
    return time.perf_counter() - began
