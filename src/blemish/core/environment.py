"""Where and with what something was computed: versions, machine, command, time."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

import blemish


def environment() -> dict[str, Any]:
    """Return what a reader needs to repeat a result: versions, machine, command, time."""
    versions = {"blemish": blemish.__version__, "python": platform.python_version()}
    for package in ("torch", "timm", "numpy", "opencv-python-headless"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    versions["texnet_s"] = _embedded_version()
    return {
        "versions": versions,
        "platform": platform.platform(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _embedded_version() -> str:
    """Return the version of the embedded backbone's weights; other weights of the same program give other results."""
    path = Path(blemish.__file__).parent / "features" / "weights" / "texnet_s.safetensors"
    try:
        with safe_open(path, framework="numpy") as file:
            return str((file.metadata() or {}).get("version", "absent"))
    except (OSError, SafetensorError):
        return "absent"
