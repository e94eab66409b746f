"""The figures of a program that was compiled for the device."""

from typing import Any

from benchmarks.h200 import cost, hlo
from benchmarks.h200.device import compiled
from benchmarks.h200.programs import ROUNDS

#: Bytes a second that a kernel can hope for, of the 4.8e12 on the data sheet.
BANDWIDTH = 4.3e12
#: Seconds that starting a kernel takes, or a graph of them.
LAUNCH = (2e-6, 3e-6)


def figures(name: str, replicates: int) -> dict[str, Any]:
    """Compile a program, and say what it does in a round and in a run."""
    program = compiled(name, replicates)
    # An array of less than a byte a replicate is a counter, or what all replicates share.
    run = cost.of_run(hlo.parse(program.text), ROUNDS, table=replicates)
    a_round, whole = run.a_round, run.whole
    return {
        "loops_of_rounds": [{"where": loop.where, "turns": loop.turns} for loop in run.loops],
        "rounds_turned": run.turns,
        "kernels_per_round": a_round.kernels,
        "bytes_per_replicate_and_round": a_round.moved / replicates,
        "bytes_copied_per_replicate_and_round": a_round.copied / replicates,
        "table_copies_per_round": a_round.copies,
        "temporary_bytes_per_replicate": program.temporaries / replicates,
        "loops_the_host_ends": run.host_loops,
        "host_decisions_per_run": whole.decisions,
        "compile_cpu_seconds": program.seconds,
        "prediction": {
            "run_seconds": _roofline(run),
            "bytes_per_second": BANDWIDTH,
            "launch_seconds": LAUNCH,
        },
    }


def _roofline(run: cost.Run) -> list[float]:
    """Seconds of a run: from one graph a round that waits for memory or its start, to kernels that wait for both."""
    memory = run.whole.moved / BANDWIDTH
    return [max(memory, run.turns * LAUNCH[0]), memory + run.whole.kernels * LAUNCH[1]]
