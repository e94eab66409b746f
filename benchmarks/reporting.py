"""Result files: what was measured, on which machine, with which versions, and when."""

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np

import stackjax

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
