"""CSFlow: one likelihood for a part seen at three sizes, under a flow in which the sizes exchange information.

In the paper's order:

1. Features. The image at full, half and quarter size goes through one frozen network; one layer of it gives three maps.
2. Cross-scale flow. `blocks` coupling blocks work on the three maps at once. A block permutes the channels of each map
   (a fixed order per map), then transforms one half of the channels by the other and the other by the first. The
   network of a coupling is convolutional: a hidden map per scale, and from it outputs for the same scale, for the next
   finer one (enlarged first) and for the next coarser one (by a stride of 2), all three summed and multiplied by a
   learned factor per scale that starts at 0, so that training starts from the identity. Kernels are 3 x 3, in the last
   block 5 x 5.
3. Training. loss = (|z|² / 2 - log-determinant) / dimensions of z, over all scales, mean over images; the gradient's
   norm is clipped at 1.
4. Score. z must be short where parts are good. The image scores the mean of z² / 2 over all positions, channels and
   scales; the map is the mean of z² over the channels at the finest scale, enlarged. The paper aims at the image score;
   its maps are coarse.

Where paper and official code differ:
- The code reports the best, the last and the least-loss epoch; ours is the last step.
- The code's EfficientNet-B5 is cut after its 36th block (304 channels, stride 32), which timm does not give by name;
  the nearest is backbone="efficientnet_b5", layer=32 (512 channels).
- The code makes images smaller by dropping pixels, we by averaging (bilinear, antialiased).
- Features are computed anew in every step; the code computes them once and keeps them on disk. Neither augments.
- 240 epochs (4 x 60) in batches of 16 of 242 images, the mean of MVTec AD, are about 3,600 `steps`.
- An image side that is no power of two makes maps that are not exactly twice each other; what crosses a scale is then
  resized to the map it is added to (bilinear).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.ops.maps import enlarge
from blemish.ops.networks.coupling import Bijection, Coupling, Flow, Maps, Permutation, surprise
from blemish.training.device import device_of
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="CSFlow",
    idea="joint likelihood of three image scales under a flow that crosses them",
    family="flow",
    paper=Paper(
        title="Fully Convolutional Cross-Scale-Flows for Image-based Defect Detection",
        authors="Marco Rudolph, Tom Wehrbein, Bodo Rosenhahn, Bastian Wandt",
        year=2022,
        venue="WACV",
        url="https://arxiv.org/abs/2110.02855",
    ),
    code="https://github.com/marco-rudolph/cs-flow",
    code_licence="none given",
    differs=("features are not kept on disk", "the last step is kept, not the best on the test images"),
    reported=(
        Reported("MVTec AD", "image_AUROC", 98.7, "paper", "EfficientNet-B5, 768 px"),
        Reported("MVTec AD", "image_AUROC", 98.7, "anomalib", "EfficientNet-B5, 768 px"),
        Reported("MVTec AD", "image_AUROC", 97.2, "anomalib", "EfficientNet-B5, 256 px"),
        Reported("MVTec AD", "pixel_AUROC", 92.1, "anomalib", "EfficientNet-B5, 768 px"),
    ),
    presets={
        "paper": Preset(768, 16),
        "quick": Preset(128, 8, {"steps": 400, "layer": 8, "hidden": 64, "lr": 1e-3}),
    },
)

SCALES = 3


class CSFlow(Detector):
    """A cross-scale flow on one layer of a frozen network at three image sizes.

    Learned parameters: 115 899 416 on texnet_s (stride 32, 128 channels), 275 227 288 on the paper's 304 channels.

    Args:
        backbone: The frozen network, see `blemish.features.extractor`; the paper's is an EfficientNet-B5.
        layer: Name of its layer, or a stride as a number; the paper's has stride 32.
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        blocks: Coupling blocks, at least 1; the paper's is 4.
        hidden: Channels inside a coupling's network, at least 1.
        clamp: Limit of a coupling's log-scale, above 0.
        steps: Gradient steps, at least 1; the default is the paper's 240 epochs.
        lr: Adam's learning rate, above 0.
        weight_decay: Adam's weight decay, at least 0.
        seed: Random state of the initial weights and of training.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) the loss of each step, per dimension of z

    def __init__(
        self,
        backbone: str = "texnet_s",
        layer: str | int = 32,
        weights: str | None = None,
        pretrained: bool = True,
        blocks: int = 4,
        hidden: int = 1024,
        clamp: float = 3.0,
        steps: int = 3_600,
        lr: float = 2e-4,
        weight_decay: float = 1e-5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.backbone, self.layer, self.weights, self.pretrained = backbone, layer, weights, pretrained
        self.blocks, self.hidden, self.clamp = blocks, hidden, clamp
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed
        self._check()
        self.features = extractor(backbone, [layer], weights=weights, pretrained=pretrained)
        with seeded(seed):
            self.flow = cross_scale_flow(self.features.channels[0], blocks, hidden, clamp)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Maximise the likelihood of good parts' features, the three scales together."""
        adam = torch.optim.Adam(self.flow.parameters(), lr=self.lr, eps=1e-4, weight_decay=self.weight_decay)
        with seeded(self.seed):
            losses = optimise(self, self.loss, data, steps=self.steps, optimiser=adam, clip=1.0, label="CSFlow")
        self.losses = torch.tensor(losses, device=device_of(self))
        return self

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over images of -log p per dimension of z, without constants.

        Args:
            batch: Good images.

        Returns:
            Scalar loss.
        """
        maps = self.described(batch.image)
        z, log_det = self.flow(maps)
        return surprise(z, log_det).mean() / sum(map[0].numel() for map in maps)

    def forward(self, image: Tensor) -> Scores:
        """Score an image by the mean of z² / 2 over everything, a position by the mean of z² at the finest scale."""
        self.require_fit()
        z, _ = self.flow(self.described(image))
        score = 0.5 * torch.cat([map.flatten(1) for map in z], dim=1).square().mean(1)
        return Scores(score, enlarge(z[0].square().mean(1), (image.shape[2], image.shape[3])))

    def described(self, image: Tensor) -> Maps:
        """Return the layer's maps of the image at full, half and quarter size (sides rounded up).

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            Three maps (B, C, h, w), the finest first.
        """
        h, w = image.shape[2:]
        maps = []
        with torch.no_grad():
            for scale in range(SCALES):
                size = (-(-h // 2**scale), -(-w // 2**scale))
                smaller = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
                maps += self.features(smaller if scale else image)
        return maps

    def _check(self) -> None:
        for name in ("blocks", "hidden", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("clamp", "lr"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay is {self.weight_decay}; it must be at least 0")


def cross_scale_flow(channels: int, blocks: int, hidden: int, clamp: float) -> Flow:
    """Return the flow: in each block a permutation per scale, then a coupling both ways.

    Args:
        channels: C of each of the three maps.
        blocks: Coupling blocks, at least 1; the last has 5 x 5 kernels.
        hidden: Channels inside a coupling's network.
        clamp: Limit of a coupling's log-scale, above 0.

    Returns:
        The flow, on three maps, the finest first.
    """
    parts: list[Bijection] = []
    for block in range(blocks):
        side = 5 if block == blocks - 1 else 3

        def subnet(inside: int, outside: int, side: int = side) -> nn.Module:
            return CrossConvolutions(inside, hidden, outside, side)

        parts.append(Permutation(channels, SCALES))
        parts.append(Coupling(channels, subnet, clamp=clamp, kind="arctan", both=True))
    return Flow(parts)


class CrossConvolutions(nn.Module):
    """The network of a coupling: three maps in, finest first, three maps out, each informed by its neighbours.

    Args:
        inside: Channels of each map that comes in.
        hidden: Channels of the hidden map of each scale.
        outside: Channels of each map that goes out.
        side: Side of the kernels, odd.
    """

    def __init__(self, inside: int, hidden: int, outside: int, side: int) -> None:
        super().__init__()

        def convolutions(count: int, first: int, last: int, stride: int = 1) -> nn.ModuleList:
            made = (nn.Conv2d(first, last, side, stride, padding=side // 2) for _ in range(count))
            return nn.ModuleList(made)

        self.into = convolutions(SCALES, inside, hidden)
        self.same = convolutions(SCALES, hidden, outside)
        self.finer = convolutions(SCALES - 1, hidden, outside)  # [i] from scale i + 1 to i
        self.coarser = convolutions(SCALES - 1, hidden, outside, stride=2)  # [i] from scale i to i + 1
        self.gain = nn.Parameter(torch.zeros(SCALES))

    def forward(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Return an output at every scale, from the same and the neighbouring scales.

        Args:
            maps: Three maps (B, inside, h, w), the finest first.
            condition: Not used; it is what every coupling passes on.

        Returns:
            Three maps (B, outside, h, w).
        """
        inner = [F.leaky_relu(into(map), 0.1) for into, map in zip(self.into, maps, strict=True)]
        said = [same(map) for same, map in zip(self.same, inner, strict=True)]
        for i in range(SCALES - 1):
            said[i] = said[i] + self.finer[i](sized(inner[i + 1], inner[i]))
            said[i + 1] = said[i + 1] + sized(self.coarser[i](inner[i]), inner[i + 1])
        return [gain * map for gain, map in zip(self.gain, said, strict=True)]


def sized(map: Tensor, like: Tensor) -> Tensor:
    """Return the map at the height and width of another, bilinear; unchanged where they agree.

    Args:
        map: (B, C, h, w).
        like: The map whose height and width it gets.

    Returns:
        (B, C, height, width).
    """
    if map.shape[2:] == like.shape[2:]:
        return map
    return F.interpolate(map, size=like.shape[2:], mode="bilinear", align_corners=False)
