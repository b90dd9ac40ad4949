"""Time saved by features computed once: the same cells with and without the cache, by turns.

    python benchmarks/feature_cache.py

For each cell a process of its own, as `blemish bench` does it. Scores are compared: they must be the same. Seconds of the
clock depend on what else the machine does; those of the processors, which are printed too, much less.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from blemish.benchmark.cells import Cell
from blemish.benchmark.process import measured
from blemish.benchmark.reading import parse
from blemish.core.files import write_json


class Side:
    """The cells as they come, with the cache in `features` or, None, without: results and seconds in all."""

    def __init__(self, features: Path | None) -> None:
        self.features = None if features is None else str(features)
        self.found: list[dict[str, Any]] = []
        self.wall = self.cpu = 0.0

    def measure(self, cell: Cell) -> None:
        """Measure one more cell."""
        begun, used = time.perf_counter(), children()
        self.found.append(measured({"cell": cell.as_dict(), "device": "cpu", "features": self.features}))
        self.wall += time.perf_counter() - begun
        self.cpu += children() - used
        assert not self.found[-1]["failed"], self.found[-1]


def children() -> float:
    """Return the processor seconds of all ended processes that this one started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def side(one: Side) -> dict[str, float]:
    return {"seconds": one.wall, "processor_seconds": one.cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["patchcore", "simplenet"], help="that ask for the same layers")
    parser.add_argument("--backbone", default="texnet_s")
    parser.add_argument("--side", type=int, default=256, help="of the network's input, in pixels")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200, help="of methods that are trained")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    given = parser.parse_args()
    params: dict[str, dict[str, Any]] = {
        name: {"backbone": given.backbone, "pretrained": given.backbone.startswith("texnet")} for name in given.methods
    }
    for name in set(given.methods) & {"simplenet", "fastflow"}:
        params[name]["steps"] = given.steps
    grid = parse(
        {
            "name": "feature-cache",
            "methods": given.methods,
            "seeds": list(range(given.seeds)),
            "image_size": given.side,
            "batch_size": 8,
            "datasets": [{"kind": "synthetic", "categories": ["fabric"], "make": {}}],
            "params": params,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        cells = grid.cells(Path(folder))
        without, cached = Side(None), Side(Path(folder) / "features")
        for cell in cells:
            without.measure(cell)
            cached.measure(cell)
    plain, found = without.found, cached.found
    same = all(one["scores"] == other["scores"] for one, other in zip(plain, found, strict=True))
    looked_up = sum(result["stamps"]["features"]["looked_up"] for result in found)
    computed = sum(result["stamps"]["features"]["computed"] for result in found)
    print(
        f"{len(cells)} cells ({', '.join(given.methods)}; {given.backbone}, {given.side} pixels, {given.seeds} seeds): "
        f"{without.wall:.1f} s without, {cached.wall:.1f} s with the cache: "
        f"{100 * (1 - cached.wall / without.wall):.0f} % saved; processor seconds {without.cpu:.1f} and {cached.cpu:.1f}: "
        f"{100 * (1 - cached.cpu / without.cpu):.0f} %. "
        f"{computed} images computed, {looked_up} looked up. Scores {'the same' if same else 'DIFFER'}."
    )
    each = [
        (cell.name, one["costs"]["fit_seconds"], other["costs"]["fit_seconds"])
        for cell, one, other in zip(cells, plain, found, strict=True)
    ]
    for name, before, after in each:
        print(f"  {name}: fit {before:.1f} s without, {after:.1f} s with")
    if given.out:
        write_json(given.out, {"without": side(without), "with": side(cached), "same": same, "fit": each})


if __name__ == "__main__":
    main()
