"""Freed memory, kept for the next image instead of given back to the system and fetched anew.

A network on the CPU asks for the same tens of megabytes with every image. glibc gives them back in between, and the system
hands them out again page by page, zeroed: that can take as long as the network itself (`benchmarks/forward.py`).
"""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # their numbers in malloc.h
KEPT = 256 * 2**20  # bytes that may stay with the process
BLOCK = 64 * 2**20  # bytes; larger blocks still come from the system and go back to it


def keep_freed_memory() -> bool:
    """Let this process keep up to 256 MiB of freed memory, in blocks of up to 64 MiB; return whether it does.

    That is a setting of the whole process, so it is for programs and not for libraries to make: the command line and the
    processes of a benchmark make it. It needs glibc. What the environment says (MALLOC_TRIM_THRESHOLD_,
    MALLOC_MMAP_THRESHOLD_) is left as it is.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(set_option(M_MMAP_THRESHOLD, BLOCK) and set_option(M_TRIM_THRESHOLD, KEPT))
