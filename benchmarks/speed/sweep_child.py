"""A sweep of the duopoly in a process of its own: `sweep_child.py '{"cores": 2, ...}'` prints what it took, as JSON.

It isn't pinned like the other benchmarks: it takes as many cores, and as many devices on them, as it is told.
"""

import json
import os
import sys
import time
from pathlib import Path

OPTIONS = json.loads(sys.argv[1])
CORES = OPTIONS.pop("cores")
if hasattr(os, "sched_setaffinity"):  # before JAX starts its threads; the parent may be pinned to one core
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-CORES:])
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count={CORES}"

from benchmarks.speed import duopoly_sweep  # noqa: E402  (after the environment is set)


def memory(what: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at most; 0 where the system doesn't say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(what)), 0)


def main() -> None:
    """Play a small one, so that what JAX itself takes is there, and then that which is asked for."""
    warm = duopoly_sweep.played(**(OPTIONS | {"rounds": 20, "replicates": 1, "side": 2, "every": 1, "budget": None}))
    before = memory("VmRSS")
    began = time.perf_counter()
    first = duopoly_sweep.played(**OPTIONS).attrs
    peak = memory("VmHWM") - before
    found = first if OPTIONS.get("budget") else duopoly_sweep.played(**OPTIONS).attrs
    said = {
        "seconds": found["seconds"],
        "compile_seconds": warm.attrs["compile_seconds"] + first["compile_seconds"],
        "wall_seconds": time.perf_counter() - began,
        "peak_bytes": peak,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
