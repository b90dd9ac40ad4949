"""Teach a patch description network what a backbone says, and write it down: EfficientAD's `teacher`.

    python tools/distil_teacher.py --out teacher_s.safetensors
    python tools/distil_teacher.py --backbone wide_resnet101_2 --pictures FOLDER --size m --out teacher_m.safetensors

The paper's teacher is the second, FOLDER being ImageNet's photographs, with the defaults of the other options: 60 000 steps
of 16 pictures, 256 pixels a side. Without --pictures they are drawn from random numbers. A teacher is made once and serves
every task: EfficientAD(teacher="teacher_s.safetensors").
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from safetensors.torch import save_file

from blemish.core.files import write_atomically
from blemish.core.types import Batch
from blemish.features import extractor
from blemish.features.distil import distil_teacher
from blemish.ops.networks.patch_descriptor import patch_descriptor
from blemish.ops.textures import Pictures, photographs, several
from blemish.training.device import choose_device
from blemish.training.random_state import seeded


class Drawn:
    """One batch of pictures, new ones each time it is iterated."""

    def __init__(self, draw: Pictures, count: int, side: int) -> None:
        self.draw, self.count, self.side = draw, count, side

    def __iter__(self) -> Iterator[Batch]:
        yield Batch({"image": self.draw(self.count, (self.side, self.side))})


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    device = choose_device(options.device)
    draw = several(photographs(options.pictures, zoom=2))
    layers = [int(layer) if layer.isdigit() else layer for layer in options.layers]
    backbone = extractor(options.backbone, layers, weights=options.weights, pretrained=not options.random).to(device)
    with seeded(options.seed):
        pdn = patch_descriptor(options.size, options.channels, options.width).to(device)
        data = Drawn(draw, options.batch, options.side)
        losses = distil_teacher(
            pdn, backbone, data, draw, steps=options.steps, pictures=0, lr=options.rate, weight_decay=options.decay
        )
    about = {name: str(value) for name, value in sorted(vars(options).items()) if name not in ("out", "device")}
    tensors = {name: value.detach().contiguous().cpu() for name, value in pdn.state_dict().items()}
    write_atomically(
        options.out, lambda part: save_file(tensors, part, metadata={**about, "backbone_sha256": backbone.sha256})
    )
    last = losses[-max(1, len(losses) // 100) :]
    print(
        f"{options.out}: mean squared error {losses[0]:.3f} at first, {sum(last) / len(last):.3f} over the last hundredth"
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--size", choices=("s", "m"), default="s")
    parser.add_argument("--channels", type=int, default=384, help="answers of the network")
    parser.add_argument("--width", type=float, default=1.0, help="multiplies the channels inside")
    parser.add_argument("--backbone", default="texnet_s", help="the network to learn from: texnet_s or any of timm's")
    parser.add_argument("--layers", nargs="+", default=["8", "16"], help="its layers, by name or stride")
    parser.add_argument("--weights", help="a local .safetensors file of the backbone")
    parser.add_argument("--random", action="store_true", help="leave the backbone untrained (for tests)")
    parser.add_argument("--pictures", type=Path, help="a folder of photographs; drawn textures without it")
    parser.add_argument("--side", type=int, default=256, help="pixels a side of the pictures")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--decay", type=float, default=1e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:0")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
