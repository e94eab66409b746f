"""Run the speed benchmarks, print the figures and write `benchmarks/results/speed.json`.

`python -m benchmarks.speed [PART ...]` runs all parts, or those named, and leaves the records of the others as they
are: each has its own command, date and machine.
"""

from benchmarks.speed import harness  # first: it pins the process before JAX starts its threads

# isort: split
import argparse
import datetime
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.reporting import RESULTS, machine
from benchmarks.speed import bandits, first_calls, implicit, iterated, loop, markov, oracles, programmes, sweep

PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "loop": loop.main,
    "iterated": iterated.main,
    "bandits": bandits.main,
    "implicit": implicit.main,
    "markov": markov.main,
    "sweep": sweep.main,
    "oracles": oracles.main,
    "programmes": programmes.main,
    "first_calls": first_calls.main,
}


def _show(value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value:.3g}"
    if set(value) == {"median", "min", "max"}:
        return f"{value['median']:.3g} ({value['min']:.3g}-{value['max']:.3g})"
    return ", ".join(f"{name} {_show(entry)}" for name, entry in value.items())


def _write(part: str, results: dict[str, Any]) -> None:
    where = machine()
    suffix = "" if where["platform"] == "cpu" else "-" + where["platform"]
    path = RESULTS / f"speed{suffix}.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = f"python -m benchmarks.speed {part}"
    content[part] = {"command": command, "date": today, "machine": where, "results": results}
    path.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"which parts to run: {', '.join(PARTS)} (default: all)"
    )
    parser.add_argument("--repetitions", type=int, default=9, help="of every measurement (default: 9)")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown or options.repetitions < 1:
        parser.error(f"unknown parts {unknown}" if unknown else "--repetitions: expected at least 1")
    for part in options.parts or PARTS:
        found = PARTS[part](options.repetitions)
        table = Table("case", "figure", "median (min-max)", title=f"{part}, pinned to one core: {harness.PINNED}")
        for case, figures in found.items():
            flat = figures if not {"median", "min", "max"} <= set(figures) else {"": figures}
            for name, value in flat.items():
                table.add_row(case, name.replace("_", " "), _show(value))
        Console(width=140).print(table)
        _write(part, found)


if __name__ == "__main__":
    main()
