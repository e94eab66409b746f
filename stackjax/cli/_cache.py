"""Compiled programs that outlive a command: JAX's persistent cache, in the user's cache folder."""

import hashlib
import os
import platform
from pathlib import Path

#: Programs that took less time to compile than that aren't worth a file.
_SECONDS = 0.2


def cached() -> None:
    """Keep compiled programs in the user's cache folder, unless told otherwise or it can't be written."""
    setting = os.environ.get("STACKJAX_CACHE", "")
    if setting == "off" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "stackjax")
    folder = Path(setting or base) / f"{platform.machine()}-{_processor()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that can't be written is no reason not to compute
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SECONDS)


def _processor() -> str:
    """What tells processors apart whose programs may differ, where several machines share a home."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "any"
    features = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return hashlib.sha256("\n".join(sorted(set(features))).encode()).hexdigest()[:8]
