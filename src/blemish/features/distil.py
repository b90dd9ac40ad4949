"""Training a patch description network to predict the features of a large frozen network: EfficientAD's teacher."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.errors import WeightsError
from blemish.core.types import Batch
from blemish.features.frozen import Features
from blemish.features.texnet import read_weights
from blemish.ops.colour import sometimes_grey
from blemish.ops.networks.patch_descriptor import channel_statistics, patch_targets, prepare
from blemish.ops.textures import Pictures, textures
from blemish.training.device import device_of, to
from blemish.training.optimise import cycle, optimise


def distil_teacher(
    pdn: nn.Sequential,
    backbone: Features,
    data: Iterable[Batch],
    draw: Pictures = textures,
    *,
    steps: int,
    pictures: int = 16,
    lr: float = 1e-4,
    weight_decay: float = 1e-5,
    settings: Mapping[str, Any] | None = None,
) -> list[float]:
    """Train a PDN to predict a frozen network's standardised features.

    Each step takes a batch of `data` and as many synthetic images as `pictures`, each made grey with probability 0.1.
    The backbone sees them at twice the size. Its features are standardised over the first 100 such batches (the paper:
    over 10 000 images).

    Args:
        pdn: The network that is trained.
        backbone: The frozen network.
        data: Training batches.
        draw: Generates synthetic images.
        steps: Number of gradient steps.
        pictures: Synthetic images per step.
        lr: Adam's learning rate.
        weight_decay: Adam's weight decay.
        settings: Passed to `optimise`.

    Returns:
        The loss of each step.
    """
    channels = int(pdn[-1].bias.numel())  # type: ignore[operator]

    def mixture(batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the PDN's output, and the backbone's features at the same positions."""
        image, size = batch.image, (batch.image.shape[2], batch.image.shape[3])
        mixed = sometimes_grey(torch.cat([image, draw(pictures, size).to(image)]), 0.1)
        answer = pdn(prepare(mixed))
        with torch.no_grad():
            maps = backbone(F.interpolate(mixed, scale_factor=2, mode="bilinear", align_corners=False))
            return answer, patch_targets(maps, channels, (answer.shape[2], answer.shape[3]))

    device = device_of(pdn)
    with torch.no_grad():
        mean, std = channel_statistics(mixture(to(b, device))[1] for b in cycle(data, min(steps, 100)))

    def loss(batch: Batch) -> Tensor:
        answer, target = mixture(batch)
        return (answer - (target - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)).square().mean()

    optimiser = torch.optim.Adam(pdn.parameters(), lr, weight_decay=weight_decay)
    return optimise(pdn, loss, data, steps=steps, optimiser=optimiser, settings=settings, label="teacher")


def load_teacher(pdn: nn.Sequential, path: Path) -> None:
    """Load a file's weights into a PDN.

    Args:
        pdn: The network, changed in place.
        path: A .safetensors file written by `tools/distil_teacher.py`.

    Raises:
        WeightsError: the file cannot be read, or holds another network.
    """
    tensors, _ = read_weights(path)
    needed = pdn.state_dict()
    wrong = [k for k, v in needed.items() if k not in tensors or tensors[k].shape != v.shape]
    if wrong or len(tensors) != len(needed):
        raise WeightsError(
            f"teacher {path} is not a PDN of this size, width and channels: {', '.join(wrong[:3]) or 'it holds more'}. "
            "Give a file written by tools/distil_teacher.py with the same settings, or teacher=None."
        )
    pdn.load_state_dict(tensors)
