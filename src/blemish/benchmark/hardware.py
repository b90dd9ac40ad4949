"""On what a cell was measured: processor, threads, and the memory of this process."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the machine's name, its processor, the cores it may use, and what computes: threads and device."""
    import torch  # the runner, which measures nothing itself, does without

    return {
        "host": platform.node(),
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


def cores() -> int:
    """Return how many cores this process may use: those that it is bound to (taskset, a container), else all."""
    bound = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(bound(0)) if bound else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def resident_mb() -> float | None:
    """Return the memory that this process holds now, in MB; where that is not known, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return peak_mb()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb() -> float | None:
    """Return the most memory that this process ever held, in MB, or None on systems that do not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
