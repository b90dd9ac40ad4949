"""What an installation weighs: the environments that benchmarks/line.py compares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack"}
EXPORTING = {"nncf", "onnx", "onnxscript", "onnx_ir", "ml_dtypes", "ninja", "pydot", "tabulate"}
"""What the rival needs to export, but not to inspect."""


def core_environment(place: Path, extras: str) -> None:
    """Make an environment and install this checkout into it, without the extras that are not named."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{ROOT}{extras}"], check=True)


def sizes(places: list[Path]) -> dict[str, Any]:
    """Return the MB of the packages below environments or site-packages, in all and the ten largest, without pip."""
    found: Counter[str] = Counter()
    for place in places:
        for folder in [place] if place.name == "site-packages" else place.glob("lib/python*/site-packages"):
            for path in folder.rglob("*"):
                name = path.relative_to(folder).parts[0].removesuffix(".libs").split("-")[0]
                if name not in TOOLS and "__pycache__" not in path.parts and path.is_file() and not path.is_symlink():
                    found[name] += path.stat().st_size
    return {"MB": sum(found.values()) / 1e6, "largest": [[name, size / 1e6] for name, size in found.most_common(10)]}


def rival_size(python: str) -> dict[str, Any]:
    """Return `sizes` of the rival's environment, and `least`: without all that serves NVIDIA cards or exporting only."""
    code = "import json, sys; print(json.dumps([p for p in sys.path if p.endswith('site-packages')]))"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    places = [Path(place) for place in json.loads(asked.stdout)]
    whole = sizes(places)
    spared = 0.0
    for place in places:
        for path in place.rglob("*"):
            top = path.relative_to(place).parts[0].removesuffix(".libs").split("-")[0]
            card = top.startswith("nvidia") or top == "triton" or (top == "torch" and "cuda" in path.name)
            if (card or top in EXPORTING) and "__pycache__" not in path.parts and path.is_file():
                spared += 0 if path.is_symlink() else path.stat().st_size / 1e6
    return {**whole, "least": whole["MB"] - spared}
