"""Time saved by features computed once: the same cells with and without the cache, in one run, one after the other.

    python benchmarks/feature_cache.py

For each cell a process of its own, as `blemish bench` does it. Scores are compared: they must be the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from blemish.benchmark.cells import Cell
from blemish.benchmark.process import measured
from blemish.benchmark.reading import parse
from blemish.files import write_json


def total(cells: list[Cell], features: Path | None) -> tuple[float, list[dict[str, Any]]]:
    begun = time.perf_counter()
    named = None if features is None else str(features)
    found = [measured({"cell": cell.as_dict(), "device": "cpu", "features": named}) for cell in cells]
    assert not any(result["failed"] for result in found), found
    return time.perf_counter() - begun, found


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
        without, plain = total(cells, None)
        cached, found = total(cells, Path(folder) / "features")
    same = all(one["scores"] == other["scores"] for one, other in zip(plain, found, strict=True))
    looked_up = sum(result["stamps"]["features"]["looked_up"] for result in found)
    computed = sum(result["stamps"]["features"]["computed"] for result in found)
    print(
        f"{len(cells)} cells ({', '.join(given.methods)}; {given.backbone}, {given.side} pixels, {given.seeds} seeds): "
        f"{without:.1f} s without, {cached:.1f} s with the cache: {100 * (1 - cached / without):.0f} % saved. "
        f"{computed} images computed, {looked_up} looked up. Scores {'the same' if same else 'DIFFER'}."
    )
    each = [
        (cell.name, one["costs"]["fit_seconds"], other["costs"]["fit_seconds"])
        for cell, one, other in zip(cells, plain, found, strict=True)
    ]
    for name, before, after in each:
        print(f"  {name}: fit {before:.1f} s without, {after:.1f} s with")
    if given.out:
        write_json(given.out, {"without": without, "with": cached, "same": same, "fit": each})


if __name__ == "__main__":
    main()
