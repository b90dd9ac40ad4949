"""A frozen network's forward pass on the CPU: as torch does it, ours, and what it costs to fetch freed memory anew.

    python benchmarks/forward.py --weights mobilenetv2_100.safetensors

Batches of 8 at 256 px. "As torch does it" is the network called with the whole batch, rows of pixels in a row; ours is
`Features`, a few images at a time with their channels side by side. Each in a process of its own, with memory given back to
the system as is usual and kept (`blemish.core.memory`), by turns.
"""

from __future__ import annotations

import numpy as np

from side_by_side import Row, alone, finish, options

CODE = """
import json, sys, time
import torch
from blemish.features import extractor
from blemish.core.memory import keep_freed_memory
name, weights, ours, kept, repeats = sys.argv[1:]
if kept == "True":
    assert keep_freed_memory(), "this C library cannot keep freed memory"
features = extractor(name, [8, 16], weights=weights or None, pretrained=bool(weights) or name == "texnet_s")
images = torch.rand(8, 3, 256, 256)
run = features if ours == "True" else lambda image: features.net((image - features.mean) / features.std)
spent = []
with torch.inference_mode():
    for _ in range(3 + int(repeats)):
        begun = time.perf_counter()
        run(images)
        spent.append(time.perf_counter() - begun)
print(json.dumps({"seconds": sorted(spent[3:])[int(repeats) // 2]}))
"""


def main() -> None:
    given = options(__doc__)
    weights = str(given.weights.resolve()) if given.weights else ""
    rows = []
    for name in ("texnet_s", "mobilenetv2_100", "resnet18", "wide_resnet50_2"):
        own = weights if name == "mobilenetv2_100" else ""
        found: dict[tuple[bool, bool], list[float]] = {}
        for _ in range(3):
            for ours, kept in ((False, False), (True, False), (False, True), (True, True)):
                said = alone(CODE, name, own, str(ours), str(kept), str(given.repeats))
                found.setdefault((ours, kept), []).append(said["seconds"] * 125)
        ms = {way: float(np.median(values)) for way, values in found.items()}
        note = f"with freed memory kept {ms[True, True]:.1f}, the network called plainly {ms[False, True]:.1f} ms"
        note += f"; plain to ours with memory kept {ms[False, False] / ms[True, True]:.1f}x"
        rows.append(
            Row(
                f"forward pass, {name}, ms an image",
                ms[True, False],
                None,
                "ms",
                "",
                f"plainly called {ms[False, False]:.1f} ms; {note}",
            )
        )
    finish(rows, given)


if __name__ == "__main__":
    main()
