"""PaDiM, WideResNet-50, 550 channels, 224 px: time and peak memory of fitting 64 images, size of what is kept, scoring.

    python benchmarks/padim.py --weights mobilenetv2_100.safetensors --rival PYTHON

The network has the same random weights on both sides, its batch norms measured on the images: neither time nor memory
depends on them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from blemish.models import PaDiM
from patchcore import Held
from side_by_side import Row, finish, images, options, peak, rival, seconds

LAYERS = ["layer1", "layer2", "layer3"]


def measured(net: nn.Module, some: torch.Tensor) -> nn.Module:
    """Let the batch norms of a network with random weights measure some images, or its features explode."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None
    with torch.no_grad():
        net(some)
    return net.eval()


def main() -> None:
    given = options(__doc__)
    held = images(given, "magnetic_tile", 64, 224)
    made = PaDiM("wide_resnet50_2", LAYERS, dims=550, pretrained=False)
    measured(made.features.net, torch.from_numpy(held[:16]))
    with peak() as rose:
        spent = seconds(lambda: made.fit(Held(held)), 1, warm=False)
    with torch.inference_mode():
        score = seconds(lambda: made(torch.from_numpy(held[:8])), 3) / 8
    with tempfile.TemporaryDirectory() as folder, peak() as saving:
        file = made.save(Path(folder) / "padim.safetensors").stat().st_size / 1e6
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "net.safetensors"
        save_file({name: value.contiguous() for name, value in made.features.net.state_dict().items()}, weights)
        theirs = rival(
            given,
            "padim",
            {"images": held},
            backbone="wide_resnet50_2",
            layers=LAYERS,
            dims=550,
            weights=str(weights),
        ) or dict.fromkeys(("seconds", "peak", "file", "score", "failed"))
    note = f"saving adds {saving[0]:,.0f} MB"
    if theirs["failed"]:
        note += f"; rival failed ({theirs['failed'].splitlines()[0]}), its memory until then"
    work = "PaDiM, WideResNet-50, 550 channels, 224 px, 64 images"
    rows = [
        Row(f"{work}: fit", spent, theirs["seconds"], "s"),
        Row(f"{work}: peak memory", rose[0], theirs["peak"], "MB", ">= 5x", note),
        Row(f"{work}: kept", file, theirs["file"], "MB"),
        Row(f"{work}: scoring", score * 1e3, theirs["score"] and theirs["score"] * 1e3, "ms"),
    ]
    finish(rows, given)


if __name__ == "__main__":
    main()
