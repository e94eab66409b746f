"""What this process takes of the machine's memory, and what of it can be given back."""

import contextlib
import ctypes
import os
from pathlib import Path

_STATUS = Path("/proc/self/statm")  # of Linux


def physical_memory() -> int:
    """Bytes of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def resident() -> int:
    """Bytes that this process has in memory; 0 where the system doesn't say."""
    try:
        return int(_STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back() -> None:
    """Give the system back what was freed, which the C library keeps for later; nothing where it doesn't offer that.

    Tens of MB after each compilation, and more and more after chunks. It takes milliseconds.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def size_text(size: float) -> str:
    """Bytes in a unit."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"
