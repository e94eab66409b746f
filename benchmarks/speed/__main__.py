"""Run every speed benchmark, print the figures and write `benchmarks/results/speed.json`."""

from benchmarks.speed import harness  # first: it pins the process before JAX starts its threads

# isort: split
from rich.console import Console
from rich.table import Table

from benchmarks.reporting import write
from benchmarks.speed import loop


def _show(values: dict[str, float]) -> str:
    return f"{values['median']:.3g} ({values['min']:.3g}-{values['max']:.3g})"


def main() -> None:
    """Measure, print, write."""
    found = loop.main()
    table = Table("case", "figure", "median (min-max)", title=f"pinned to one core: {harness.PINNED}")
    for case, figures in found.items():
        flat = figures if not {"median", "min", "max"} <= set(figures) else {"": figures}
        for name, value in flat.items():
            table.add_row(case, name.replace("_", " "), _show(value) if isinstance(value, dict) else f"{value:.3g}")
    Console(width=140).print(table)
    write("speed", found, "python -m benchmarks.speed")


if __name__ == "__main__":
    main()
