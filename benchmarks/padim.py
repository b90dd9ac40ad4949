"""PaDiM, WideResNet-50, 550 channels, 224 px: time and peak memory of fitting 64 images, size of what is kept, scoring.

    python benchmarks/padim.py --weights mobilenetv2_100.safetensors --rival PYTHON

The network has random weights on both sides: neither time nor memory depends on them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from blemish.models import PaDiM
from patchcore import Held
from side_by_side import Row, finish, options, peak, rival, seconds

LAYERS = ["layer1", "layer2", "layer3"]


def main() -> None:
    given = options(__doc__)
    held = np.random.default_rng(0).random((64, 3, 224, 224), np.float32)
    made = PaDiM("wide_resnet50_2", LAYERS, dims=550, pretrained=False)
    with torch.inference_mode():
        made.features(torch.from_numpy(held[:8]))
    with peak() as rose:
        spent = seconds(lambda: made.fit(Held(held)), 1, warm=False)
    with torch.inference_mode():
        score = seconds(lambda: made(torch.from_numpy(held[:8])), 3) / 8
    with tempfile.TemporaryDirectory() as folder, peak() as saving:
        file = made.save(Path(folder) / "padim.safetensors").stat().st_size / 1e6
    theirs = rival(
        given, "padim", {"images": held}, backbone="wide_resnet50_2", layers=LAYERS, dims=550
    ) or dict.fromkeys(("seconds", "peak", "file", "score"))
    work = "PaDiM, WideResNet-50, 550 channels, 224 px, 64 images"
    rows = [
        Row(f"{work}: fit", spent, theirs["seconds"], "s"),
        Row(f"{work}: peak memory", rose[0], theirs["peak"], "MB", ">= 5x", f"saving adds {saving[0]:,.0f} MB"),
        Row(f"{work}: kept", file, theirs["file"], "MB"),
        Row(f"{work}: scoring", score * 1e3, theirs["score"] and theirs["score"] * 1e3, "ms"),
    ]
    finish(rows, given)


if __name__ == "__main__":
    main()
