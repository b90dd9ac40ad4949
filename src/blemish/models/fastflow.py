"""FastFlow: learn where features of good parts are likely, with a flow that keeps their position in the image.

In the paper's order:

1. Features. A frozen network describes the image by several maps (of a CNN; of a vision transformer, one). Each is
   normalised over all its channels and positions.
2. 2D flow. Each map has its own flow of `flow_steps` steps: an affine coupling whose network is two convolutions with a
   ReLU between, a learned scale and shift of each channel, a fixed permutation of the channels. Since the networks are
   convolutions, z keeps the shape of the map, and a position of z sees its surroundings. All convolutions are 3 x 3
   (`kernels="3x3"`), or 3 x 3 and 1 x 1 alternately (`kernels="3x3-1x1"`), which is smaller and may overfit less.
3. Training maximises the likelihood: loss = mean over images of (|z|² / 2 - log-determinant), summed over the maps.
4. Map. A position scores -exp(-|z|² / 2C), with C channels there: what is likely is near -1, a defect near 0. The
   layers' grids are enlarged and averaged; the image scores as the map's peak.

There is no official code. Where the paper leaves details open or its ports differ:
- Parameters, learning rate and the score follow the port of gathierry, whose couplings are FrEIA's: the log-scale is 2
  tanh(0.1 s).
- The port's normalisation of a CNN's maps (LayerNorm over channels and positions) learns a gain for every number. That
  gain is applied before the flow and is not part of its determinant: the likelihood can be raised without end by
  shrinking the input and stretching it again. That may be why the ports' quality peaks early and falls. Ours has no
  gain and works at any image size. A transformer's map gets the network's own last norm in the port; ours is normalised
  like the others.
- The paper trains 500 epochs of batches of 32: with 242 images a category about 3,800 `steps`. The ports keep the best
  epoch on the test images; we keep the last step.
- ResNet-18: backbone="resnet18". WideResNet-50: backbone="wide_resnet50_2", kernels="3x3-1x1". Transformers:
  backbone="deit_base_distilled_patch16_384" or "cait_m48_448", flow_steps=20, kernels="3x3-1x1", hidden_ratio=0.16, and
  in `layers` the name of one block, at the network's own image size. timm gives the last three blocks only; the paper
  takes an earlier one (DeiT's 7th, CaiT's 40th), which cannot be had by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.ops.maps import enlarge, peak
from blemish.ops.networks.coupling import Alone, Bijection, Coupling, Flow, Maps, Permutation, Scaling, surprise
from blemish.training.device import device_of
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="FastFlow",
    idea="likelihood of feature maps under convolutional normalising flows",
    family="flow",
    paper=Paper(
        title="FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows",
        authors="Jiawei Yu, Ye Zheng, Xiang Wang, Wei Li, Yushuang Wu, Rui Zhao, Liwei Wu",
        year=2021,
        venue="arXiv",
        url="https://arxiv.org/abs/2111.07677",
    ),
    differs=(
        "no official code; settings of the port by gathierry (Apache-2.0)",
        "the normalisation before the flow learns no gain",
        "the last step is kept, not the one that is best on the test images",
    ),
    reported=(
        Reported("MVTec AD", "image_AUROC", 99.4, "paper", "CaiT-M48, 448 px; not reproduced by any port"),
        Reported("MVTec AD", "pixel_AUROC", 98.5, "paper", "CaiT-M48, 448 px; not reproduced by any port"),
        Reported("MVTec AD", "image_AUROC", 96.3, "anomalib", "WideResNet-50, 256 px"),
        Reported("MVTec AD", "image_AUROC", 90.7, "anomalib", "ResNet-18, 256 px"),
        Reported("MVTec AD", "pixel_AUROC", 97.2, "port by gathierry", "WideResNet-50, 256 px, last epoch"),
    ),
    presets={"paper": Preset(256, 32), "quick": Preset(128, 8, {"steps": 400})},
)


class FastFlow(Detector):
    """A convolutional flow on each of a frozen network's maps.

    Learned parameters: 2 275 200 on texnet_s, 4 657 408 on ResNet-18; 41 337 856 on WideResNet-50 with "3x3-1x1".

    Args:
        backbone: The frozen network, see `blemish.features.extractor`; the paper has "resnet18", "wide_resnet50_2" and
            two transformers.
        layers: Names of its layers, or strides as numbers; None: 4, 8 and 16.
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        flow_steps: Steps of each flow, at least 1; 8 on CNNs, 20 on transformers.
        kernels: "3x3", or "3x3-1x1" for both sizes alternately (WideResNet-50 and transformers).
        hidden_ratio: Hidden channels of the couplings in units of their input's, above 0; 1 on CNNs, 0.16 on
            transformers.
        clamp: Limit of a step's log-scale, above 0; the port's is 2.
        steps: Gradient steps, at least 1; the default is the paper's 500 epochs.
        lr: Adam's learning rate, above 0; the port's is 1e-3.
        weight_decay: Adam's weight decay, at least 0; the port's is 1e-5.
        seed: Random state of the initial weights and of training.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) the loss of each step

    def __init__(
        self,
        backbone: str = "texnet_s",
        layers: list[str] | list[int] | None = None,
        weights: str | None = None,
        pretrained: bool = True,
        flow_steps: int = 8,
        kernels: Literal["3x3", "3x3-1x1"] = "3x3",
        hidden_ratio: float = 1.0,
        clamp: float = 2.0,
        steps: int = 3_800,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.backbone, self.layers, self.weights, self.pretrained = backbone, layers, weights, pretrained
        self.flow_steps, self.kernels, self.hidden_ratio, self.clamp = flow_steps, kernels, hidden_ratio, clamp
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed
        self._check()
        self.features = extractor(
            backbone, (4, 8, 16) if layers is None else layers, weights=weights, pretrained=pretrained
        )
        sides = (3, 1) if kernels == "3x3-1x1" else (3, 3)
        with seeded(seed):
            self.flows = nn.ModuleList(
                flow_2d(channels, flow_steps, sides, hidden_ratio, clamp) for channels in self.features.channels
            )
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Maximise the likelihood of good parts' features."""
        adam = torch.optim.Adam(self.flows.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        with seeded(self.seed):
            losses = optimise(self, self.loss, data, steps=self.steps, optimiser=adam, label="FastFlow")
        self.losses = torch.tensor(losses, device=device_of(self))
        return self

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over images of the maps' -log p, summed over the maps, without constants.

        Args:
            batch: Good images.

        Returns:
            Scalar loss.
        """
        total = torch.zeros((), device=batch.image.device)
        for map, flow in zip(self.described(batch.image), self.flows, strict=True):
            z, log_det = flow([map])
            total = total + surprise(z, log_det).mean()
        return total

    def forward(self, image: Tensor) -> Scores:
        """Score each position by how unlikely its z is; the image scores as its worst position."""
        self.require_fit()
        size = (image.shape[2], image.shape[3])
        grids = []
        for map, flow in zip(self.described(image), self.flows, strict=True):
            (z,), _ = flow([map])
            grids.append(enlarge(-torch.exp(-0.5 * z.square().mean(1)), size))
        map = torch.stack(grids).mean(0)
        return Scores(peak(map), map)

    def described(self, image: Tensor) -> Maps:
        """Return the frozen maps, each normalised to mean 0 and variance 1 over its channels and positions.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One map (B, C, h, w) per layer.
        """
        with torch.no_grad():
            return [F.layer_norm(map, map.shape[1:]) for map in self.features(image)]

    def _check(self) -> None:
        if self.kernels not in ("3x3", "3x3-1x1"):
            raise InputError(f"kernels is {self.kernels!r}; it must be '3x3' or '3x3-1x1'")
        for name in ("flow_steps", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("hidden_ratio", "clamp", "lr"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay is {self.weight_decay}; it must be at least 0")


def flow_2d(channels: int, steps: int, sides: tuple[int, int], hidden_ratio: float, clamp: float) -> Flow:
    """Return the flow of one map: coupling, scaling and permutation in every step.

    Args:
        channels: Channels of the map.
        steps: Steps of the flow, at least 1.
        sides: Sides of the kernels of even and of odd steps.
        hidden_ratio: Hidden channels of the couplings in units of their input's, above 0.
        clamp: Limit of a step's log-scale, above 0.

    Returns:
        The flow, on one map (B, channels, h, w).
    """
    parts: list[Bijection] = []
    for step in range(steps):
        side = sides[step % 2]

        def subnet(inside: int, outside: int, side: int = side) -> nn.Module:
            hidden = max(1, int(inside * hidden_ratio))
            return Alone(
                nn.Sequential(
                    nn.Conv2d(inside, hidden, side, padding=side // 2),
                    nn.ReLU(),
                    nn.Conv2d(hidden, outside, side, padding=side // 2),
                )
            )

        parts += [
            Coupling(channels, subnet, clamp=clamp, kind="tanh", damping=0.1),
            Scaling(channels),
            Permutation(channels),
        ]
    return Flow(parts)
