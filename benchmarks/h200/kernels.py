"""Compile rounds in one kernel for an NVIDIA H200, and write `benchmarks/results/h200_kernels.json`.

`python -m benchmarks.h200.kernels [NAME ...]` compiles all pairs of a game and a learner, or those named, which are
only printed. There needs to be no GPU; see `benchmarks/h200/README.md`.
"""

import warnings
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from benchmarks.h200 import sass
from benchmarks.h200.command import asked_for, compiler
from benchmarks.h200.device import compiled, without_gpu
from benchmarks.h200.lowering import fits
from benchmarks.h200.programs import KERNELS, REPLICATES, ROUNDS
from benchmarks.h200.report import figures
from benchmarks.reporting import write
from stackjax.catalogue import GAMES

COMMAND, NAME = "python -m benchmarks.h200.kernels", "h200_kernels"
PROCESSORS, SCHEDULERS, LANES, CLOCK = 132, 4, 32, 1.98e9
#: Instructions of threads in a second: every scheduler starts one of a warp in every cycle.
INSTRUCTIONS = PROCESSORS * SCHEDULERS * LANES * CLOCK
#: Cycles until a warp that is alone starts its next instruction: it waits for nothing, or for the one before.
CYCLES = (1, 6)
REGISTERS = 65_536


def kernel(name: str) -> dict[str, Any]:
    """A pair's kernel: what a thread takes, and what that lets expect, beside the scan of the same rounds."""
    few, many = REPLICATES
    program = compiled(name, many, kernel=True)
    (ptx,) = (each for each in program.ptx if ".entry rounds" in each)
    code = sass.assembled(ptx)
    scans = {replicates: figures(name, replicates) for replicates in REPLICATES}
    # With few replicates every warp has a scheduler of its own.
    alone = [few * CLOCK / (cycles * n) for cycles, n in zip(CYCLES, (code.least, code.all), strict=True)][::-1]
    rates = {few: alone, many: [INSTRUCTIONS / code.all, INSTRUCTIONS / code.least]}
    return {
        "registers": code.registers,
        "bytes_spilled": code.spilled,
        "instructions_per_round": [code.least, code.all],
        "warps_per_scheduler": min(16, REGISTERS // (code.registers * LANES) // SCHEDULERS),
        "compile_cpu_seconds": program.seconds,
        "scan_compile_cpu_seconds": scans[many]["compile_cpu_seconds"],
        "prediction": {
            str(replicates): {
                "kernel_rounds_per_second": rates[replicates],
                "scan_rounds_per_second": sorted(
                    replicates * ROUNDS / seconds for seconds in scans[replicates]["prediction"]["run_seconds"]
                ),
            }
            for replicates in REPLICATES
        },
    }


def main() -> None:
    """Compile, print, write."""
    names = asked_for(COMMAND, KERNELS)
    without_gpu()
    found: dict[str, Any] = {}
    few, many = map(str, REPLICATES)
    table = Table(
        "pair", "registers", "spilled", "instructions", *(f"rounds/s, {n}" for n in (many, few)), "compile s", "scan's"
    )
    for name in names or KERNELS:
        row = found[name] = kernel(name)
        rates = [row["prediction"][n]["kernel_rounds_per_second"] for n in (many, few)]
        counts = "-".join(map(str, row["instructions_per_round"]))
        cells = (f"{low:.2g}-{high:.2g}" for low, high in rates)
        seconds = (f"{row[key]:.1f}" for key in ("compile_cpu_seconds", "scan_compile_cpu_seconds"))
        table.add_row(name, str(row["registers"]), str(row["bytes_spilled"]), counts, *cells, *seconds)
        jax.clear_caches()
    Console(width=120).print(table)
    if not names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of learners that can't keep what the games ask for
            catalogue = {
                game: {method: fits(entry.make(), made.make()) for method, made in entry.methods.items()}
                for game, entry in GAMES.items()
            }
        results = {"rounds": ROUNDS, "compiler": compiler(), "kernels": found, "catalogue": catalogue}
        write(NAME, results, COMMAND)


if __name__ == "__main__":
    main()
