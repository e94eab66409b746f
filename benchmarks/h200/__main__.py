"""Compile programs for an NVIDIA H200, print what they do and write `benchmarks/results/h200_programs.json`.

`python -m benchmarks.h200 [NAME ...]` compiles all programs, or those named, which are only printed. There needs to be
no GPU; see `benchmarks/h200/README.md`.
"""

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.h200.command import asked_for, compiler
from benchmarks.h200.device import without_gpu
from benchmarks.h200.programs import PROGRAMS, REPLICATES, ROUNDS
from benchmarks.h200.report import figures
from benchmarks.reporting import write

COMMAND, NAME = "python -m benchmarks.h200", "h200_programs"
COLUMNS = {
    "kernels": "kernels_per_round",
    "bytes": "bytes_per_replicate_and_round",
    "copied": "bytes_copied_per_replicate_and_round",
    "copies": "table_copies_per_round",
    "temporaries": "temporary_bytes_per_replicate",
    "host's loops": "loops_the_host_ends",
    "host decides": "host_decisions_per_run",
    "compile s": "compile_cpu_seconds",
}


def main() -> None:
    """Compile, print, write."""
    names = asked_for(COMMAND, PROGRAMS)
    without_gpu()
    found: dict[str, Any] = {}
    table = Table("program", "replicates", *COLUMNS, "predicted s", title="a round, a replicate; compiled, not run")
    for name in names or PROGRAMS:
        found[name] = {}
        for replicates in REPLICATES:
            row = found[name][str(replicates)] = figures(name, replicates)
            low, high = row["prediction"]["run_seconds"]
            shown = [f"{row[column]:.4g}" for column in COLUMNS.values()]
            table.add_row(name, str(replicates), *shown, f"{low:.2g}-{high:.2g}")
    Console(width=150).print(table)
    if not names:
        write(NAME, {"rounds": ROUNDS, "compiler": compiler(), "programs": found}, COMMAND)


if __name__ == "__main__":
    main()
