"""Greedy k-centre selection: ours, the rival's, and the plain scan of all points for every pick.

    python benchmarks/coreset.py --data FOLDER --weights mobilenetv2_100.safetensors --rival PYTHON

The picks are compared with those of the definition, computed in float64; how well a bank covers is the largest distance of
any patch to it, in the full feature space, for ours and the rival's of the same size. Of the rival's selection of 10 % only
the first 300 centres are timed and scaled: every centre costs it the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from blemish.ops.coreset import greedy_coreset
from blemish.ops.neighbours import Search, leads, nearest
from side_by_side import Options, Row, backbone, finish, images, options, patches, rival, seconds

MEASURED = 300


def plain(points: Tensor, count: int, seed: int = 0) -> list[int]:
    """Select by the definition: after every pick, the distance of every point to it."""
    generator = torch.Generator().manual_seed(seed)
    if points.shape[1] > 128:
        points = points @ (torch.randn(points.shape[1], 128, generator=generator) / 128**0.5)
    first = torch.randperm(len(points), generator=generator)[:10]
    points = points.double()
    close = torch.stack([(points - points[i]).norm(dim=1) for i in first]).mean(0).square()
    norms, picks = points.square().sum(1), []
    for _ in range(count):
        pick = int(close.argmax())
        picks.append(pick)
        close = torch.minimum(close, torch.addmv(norms + norms[pick], points, points[pick], alpha=-2).clamp(min=0))
        close[pick] = -1
    return picks


def cover(points: Tensor, bank: Tensor) -> float:
    return float(nearest(points, bank, search=Search(bank, leads(bank)))[0].max()) ** 0.5


def compare(name: str, points: Tensor, share: float, given: Options, goal: str) -> Row:
    count = round(share * len(points))
    picks = greedy_coreset(points, count).picks
    ours = seconds(lambda: greedy_coreset(points, count), given.repeats, warm=False)
    measured = None if share < 0.05 else MEASURED
    theirs = rival(given, "coreset", {"points": points.numpy()}, centres=count, measured=measured)
    note = ""
    if share < 0.05:
        exact = plain(points, count)
        same = np.mean([a == b for a, b in zip(exact, picks.tolist(), strict=True)])
        note = f"{same:.1%} of the picks in the very order of the definition; cover {cover(points, points[picks]):.4g}"
        if theirs is not None:
            note += f", rival's {cover(points, points[torch.from_numpy(theirs['picks'])]):.4g}"
    elif theirs is not None:
        note = f"rival scaled from {MEASURED} centres"
    work = f"coreset, {name}: {count:,} of {len(points):,} x {points.shape[1]}"
    return Row(work, ours, theirs and theirs["seconds"], "s", goal, note)


def main() -> None:
    given = options(__doc__)
    net, rows = backbone(given), []
    names = ["hazelnut_toy", "piped_pa_btn01_rl", "magnetic_tile"] if given.data else ["made fabric"]
    for name in names:
        points = patches(net, images(given, name, 48))
        goal = ">= 20x" if name == "magnetic_tile" else ">= 50x"
        rows += [compare(name, points, share, given, goal) for share in (0.02, 0.1)]
    finish(rows, given)


if __name__ == "__main__":
    main()
