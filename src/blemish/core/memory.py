"""Memory of this process: freed memory kept for the next image, and how much is held.

A network on the CPU asks for the same tens of megabytes with every image. glibc gives them back in between, and the
system hands them out again page by page, zeroed: that can take as long as the network itself (`benchmarks/forward.py`).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # their numbers in malloc.h
KEPT = 256 * 2**20  # bytes that may stay with the process
BLOCK = 64 * 2**20  # bytes; larger blocks still come from the system and go back to it


def keep_freed_memory() -> bool:
    """Let this process keep up to 256 MiB of freed memory, in blocks of up to 64 MiB.

    That is a setting of the whole process, so it is for programs and not for libraries to make: the command line and
    the processes of a benchmark make it. It needs glibc. Settings of the environment (MALLOC_TRIM_THRESHOLD_,
    MALLOC_MMAP_THRESHOLD_) are left as they are.

    Returns:
        Whether it does.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(set_option(M_MMAP_THRESHOLD, BLOCK) and set_option(M_TRIM_THRESHOLD, KEPT))


def resident_mb() -> float | None:
    """Return the memory that this process holds now, in MB; where that is not known, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return peak_mb()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb() -> float | None:
    """Return the most memory that this process ever held, in MB, or None on systems that do not say."""
    try:  # since the program began; what getrusage reports begins with the peak of the process that started it
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
