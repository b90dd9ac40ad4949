"""Greedy k-centre selection: ours against the plain scan of all points for every pick; one thread, one run, same picks.

python benchmarks/coreset.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from blemish.data import Synthetic, synthetic
from blemish.models import PatchCore
from blemish.ops.coreset import greedy_coreset


def plain(points: Tensor, count: int, seed: int = 0) -> list[int]:
    """Select by the definition: after every pick, the distance of every point to it."""
    generator = torch.Generator().manual_seed(seed)
    points = points @ (torch.randn(points.shape[1], 128, generator=generator) / 128**0.5)
    first = torch.randperm(len(points), generator=generator)[:10]
    nearest = torch.stack([(points - points[i]).norm(dim=1) for i in first]).mean(0)
    picks = []
    for _ in range(count):
        pick = int(nearest.argmax())
        picks.append(pick)
        nearest = torch.minimum(nearest, (points - points[pick]).norm(dim=1))
        nearest[pick] = -1
    return picks


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = synthetic.make(Path(folder) / "images", categories=["fabric", "flange"], train=30)
        for category in ("fabric", "flange"):
            data, model = Synthetic(root, category, holdout=0.0), PatchCore()
            with torch.inference_mode():
                patches = torch.cat([model.describe(batch.image)[0].flatten(0, 2) for batch in data.train()])
            for share in (0.01, 0.1):
                count = round(share * len(patches))
                began = time.perf_counter()
                slow = plain(patches, count)
                middle = time.perf_counter()
                fast = greedy_coreset(patches, count).tolist()
                end = time.perf_counter()
                same = len(set(slow) & set(fast)) / count
                print(
                    f"{category}: {count} of {len(patches)} x {patches.shape[1]}: plain {middle - began:.2f} s, "
                    f"ours {end - middle:.2f} s, ratio {(middle - began) / (end - middle):.1f}, {same:.1%} same picks"
                )


if __name__ == "__main__":
    main()
