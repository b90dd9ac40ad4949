"""On what a cell was measured: processor, threads, and the memory of this process."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the machine's name, its processor, the cores it may use, and what computes: threads and device.

    Args:
        device: What computes.

    Returns:
        In JSON values.
    """
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
