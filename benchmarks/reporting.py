"""Claims with what was measured; result files with the machine, the versions and the date."""

import datetime
import json
import os
import platform
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np
from rich.console import Console
from rich.table import Table

import stackjax

Row = dict[str, Any]

#: Other people's code that is measured against, where it is installed.
PEERS = ("numba",)
RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The processor, the cores in use, the device and the versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), model
        )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "platform": jax.default_backend(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
        "stackjax": stackjax.__version__,
        **{peer: metadata.version(peer) for peer in PEERS if find_spec(peer)},
    }


def write(name: str, results: Any, command: str) -> Path:
    """Write `results/NAME.json`, with the platform in its name unless that is a CPU."""
    where = machine()
    suffix = "" if where["platform"] == "cpu" else "-" + where["platform"]
    path = RESULTS / f"{name}{suffix}.json"
    path.parent.mkdir(exist_ok=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    content = {"command": command, "date": today, "machine": where, "results": results}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def row(claim: str, ours: Any, holds: bool, control: bool = False) -> Row:
    """One claim, what was found, and whether that bears it out; a control is shown to fail where it should."""
    return {"claim": claim, "ours": ours, "verdict": "holds" if holds else "FAILS", "control": control}


def report(name: str, rows: list[Row], command: str, more: dict[str, Any] | None = None) -> int:
    """Print the claims as a table and write the file, `more` beside the claims; 1 if a claim fails, else 0."""
    table = Table("claim", "ours", "verdict")
    for r in rows:
        ours = ", ".join(f"{x:.4g}" for x in np.atleast_1d(r["ours"]))
        table.add_row(r["claim"] + (" (control)" if r["control"] else ""), ours, r["verdict"])
    Console(width=130).print(table)
    write(name, rows if more is None else {"claims": rows, **more}, command)
    return int(any(r["verdict"] != "holds" for r in rows))
