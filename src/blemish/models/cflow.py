"""CFLOW: the likelihood of the feature at each position, under a flow that is conditioned on the position.

In the paper's order:

1. Encoder. A frozen network gives several maps; every position of a map has one feature vector, a fibre.
2. Condition. A fibre's position in the grid as sines and cosines of its row and column, 128 numbers.
3. Decoders. One flow per layer, the same at all its positions, of 8 coupling blocks on single fibres. A coupling's
   network is two linear layers, twice as wide inside, and sees half of the fibre and the condition. The blocks end with
   a learned scale and shift of each channel and a fixed random rotation. No convolutions, so a decoder does not grow
   with the image.
4. Training. With log p the fibre's log-likelihood and C its channels: loss = mean of -log σ(log p / C), whose gradient
   vanishes for fibres that are likely already. The layers' losses are summed.
5. Map. log p / C minus its largest value on good parts, exponentiated: a likelihood of about 1 at most. The layers'
   grids are enlarged and summed; the map is minus the sum, and the image scores as its peak.

Where paper and official code differ:
- The code takes the largest value over the test images: a score then depends on all of them. We take it over the
  training images, after training. It measures quality on the test images after every epoch and reports the best of each
  metric; we keep the last step.
- The code turns likelihood into a score by subtracting it from its largest value in the test. That shifts all scores
  alike, and in float32 rounds away what is left of a likelihood near 0. We leave it out: scores end at 0, where nothing
  is likely.
- The code shuffles all fibres of 32 images and takes a step for each 256 of them. We draw `fibres` of the batch anew in
  every step. The paper's 200 epochs (25 x 8) over 242 images, the mean of MVTec AD, are 1 513 batches of 32; at 256
  pixels the middle of three layers has 32 times 256 fibres in each, so about 48 400 `steps`.
- The learning rate rises for the first 8 % of the steps (the code: 2 of its 25 meta epochs), then falls to 0 as a
  cosine.
- Maps are enlarged with their pixel centres aligned (`align_corners=False`), the code's with their corners aligned.
- Features enter as they are, as in the paper; those of texnet_s have a standard deviation of about 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.progress import progress
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.ops.maps import enlarge, peak
from blemish.ops.networks.coupling import Alone, Bijection, Coupling, Flow, Rotation, Scaling, surprise
from blemish.training.device import device_of, to
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="CFLOW",
    idea="likelihood of single features under flows conditioned on their place",
    family="flow",
    paper=Paper(
        title="CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via Conditional Normalizing Flows",
        authors="Denis Gudovskiy, Shun Ishizaka, Kazuki Kozuka",
        year=2022,
        venue="WACV",
        url="https://arxiv.org/abs/2107.12571",
    ),
    code="https://github.com/gudovskiy/cflow-ad",
    code_licence="BSD-3-Clause",
    differs=(
        "likelihoods are compared with the largest one on training images, not on test images",
        "the last step is kept, not the best on the test images",
    ),
    reported=(
        Reported("MVTec AD", "image_AUROC", 98.26, "paper", "WideResNet-50, 128 to 512 px by category, best epoch"),
        Reported("MVTec AD", "pixel_AUROC", 98.62, "paper", "WideResNet-50, 128 to 512 px by category, best epoch"),
        Reported("MVTec AD", "AUPRO", 94.60, "paper", "WideResNet-50, 128 to 512 px by category, best epoch"),
        Reported("MVTec AD", "image_AUROC", 96.2, "anomalib", "WideResNet-50, 256 px"),
    ),
    presets={"paper": Preset(256, 32), "quick": Preset(128, 8, {"steps": 400, "fibres": 1024, "lr": 1e-3})},
)


class CFLOW(Detector):
    """A conditional flow on the single feature vectors of each of a frozen network's maps.

    Learned parameters: 3 065 856 on texnet_s (strides 8, 16, 32), 81 647 616 on WideResNet-50.

    Args:
        backbone: The frozen network, see `blemish.features.extractor`; the paper's is "wide_resnet50_2".
        layers: Names of its layers, or strides as numbers; None: the paper's strides 8, 16, 32.
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        blocks: Coupling blocks of each flow, at least 1; the paper's is 8.
        condition: Numbers that encode a position, a positive multiple of 4; the paper's is 128.
        clamp: Limit of a coupling's log-scale, above 0.
        fibres: Feature vectors per layer in each step, at least 1; the code's is 256.
        steps: Gradient steps, at least 1; the default is the paper's 200 epochs.
        lr: Adam's largest learning rate, above 0; see `pace`.
        seed: Random state of the initial weights and of training.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) the loss of each step, summed over the layers
    best: Tensor  # (layers,) the largest log p / C on good parts

    def __init__(
        self,
        backbone: str = "texnet_s",
        layers: list[str] | list[int] | None = None,
        weights: str | None = None,
        pretrained: bool = True,
        blocks: int = 8,
        condition: int = 128,
        clamp: float = 1.9,
        fibres: int = 256,
        steps: int = 48_400,
        lr: float = 2e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.backbone, self.layers, self.weights, self.pretrained = backbone, layers, weights, pretrained
        self.blocks, self.condition, self.clamp, self.fibres = blocks, condition, clamp, fibres
        self.steps, self.lr, self.seed = steps, lr, seed
        self._check()
        self.features = extractor(
            backbone, (8, 16, 32) if layers is None else layers, weights=weights, pretrained=pretrained
        )
        with seeded(seed):
            self.decoders = nn.ModuleList(decoder(c, blocks, condition, clamp) for c in self.features.channels)
        self.register_buffer("losses", torch.empty(0))
        self.register_buffer("best", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Maximise the likelihood of good fibres; then find the largest likelihood of each layer."""
        adam = torch.optim.Adam(self.decoders.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, self.pace)
        with seeded(self.seed):
            losses = optimise(self, self.loss, data, steps=self.steps, optimiser=adam, schedule=schedule, label="CFLOW")
        device = device_of(self)
        best = torch.full((len(self.decoders),), -torch.inf, device=device)
        with torch.no_grad():
            for batch in progress(data, "likeliest"):
                grids = self.log_likelihoods(to(batch, device).image)
                best = torch.maximum(best, torch.stack([grid.max() for grid in grids]))
        self.losses, self.best = torch.tensor(losses, device=device), best
        return self

    def pace(self, step: int) -> float:
        """Return the share of `lr` for a step: a short linear rise, then half a cosine down towards 0.

        Args:
            step: Number of the step, from 0.

        Returns:
            A factor in (0, 1].
        """
        rise = math.ceil(0.08 * self.steps)
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean of -log σ(log p / C) over random fibres of the batch, summed over the layers.

        Args:
            batch: Good images.

        Returns:
            Scalar loss.
        """
        total = torch.zeros((), device=batch.image.device)
        for (rows, places, _), decoder in zip(self.described(batch.image), self.decoders, strict=True):
            drawn = torch.randperm(len(rows))[: self.fibres].to(rows.device)
            total = total - F.logsigmoid(log_likelihood(decoder, rows[drawn], places[drawn])).mean()
        return total

    def forward(self, image: Tensor) -> Scores:
        """Score by minus the likelihood relative to the likeliest good fibre; the image scores as its map's peak."""
        self.require_fit()
        size = (image.shape[2], image.shape[3])
        grids = self.log_likelihoods(image)
        likely = [enlarge((grid - best).exp(), size) for grid, best in zip(grids, self.best, strict=True)]
        map = -torch.stack(likely).sum(0)
        return Scores(peak(map), map)

    def log_likelihoods(self, image: Tensor) -> list[Tensor]:
        """Return log p / C of every position.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One grid (B, h, w) per layer.
        """
        layers = zip(self.described(image), self.decoders, strict=True)
        return [log_likelihood(decoder, rows, places).view(shape) for (rows, places, shape), decoder in layers]

    def described(self, image: Tensor) -> list[tuple[Tensor, Tensor, tuple[int, int, int]]]:
        """Return each layer's fibres with the codes of their positions.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            For each layer its fibres (B·h·w, C), the codes of their positions (B·h·w, condition), and (B, h, w).
        """
        with torch.no_grad():
            maps = self.features(image)
        found = []
        for map in maps:
            b, c, h, w = map.shape
            code = positions_2d(self.condition, h, w).to(map)
            places = code.permute(1, 2, 0).expand(b, -1, -1, -1).reshape(-1, self.condition)
            found.append((map.permute(0, 2, 3, 1).reshape(-1, c), places, (b, h, w)))
        return found

    def _check(self) -> None:
        for name in ("blocks", "fibres", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("clamp", "lr"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.condition < 4 or self.condition % 4:
            raise InputError(f"condition is {self.condition}; it must be a multiple of 4: 4, 8, ..., 128, ...")


def decoder(channels: int, blocks: int, condition: int, clamp: float) -> Flow:
    """Return the conditional flow of one layer: coupling, scaling and rotation in every block.

    Args:
        channels: C, the length of a fibre.
        blocks: Coupling blocks, at least 1.
        condition: Numbers that encode a position.
        clamp: Limit of a coupling's log-scale, above 0.

    Returns:
        The flow, on one map (N, C) with condition (N, condition).
    """

    def subnet(inside: int, outside: int) -> nn.Module:
        seen = inside + condition
        return Alone(nn.Sequential(nn.Linear(seen, 2 * seen), nn.ReLU(), nn.Linear(2 * seen, outside)))

    parts: list[Bijection] = []
    for _ in range(blocks):
        parts += [
            Coupling(channels, subnet, clamp=clamp, kind="tanh", damping=0.1),
            Scaling(channels),
            Rotation(channels),
        ]
    return Flow(parts)


def log_likelihood(flow: nn.Module, rows: Tensor, places: Tensor) -> Tensor:
    """Return log p / C of fibres.

    Args:
        flow: A conditional flow, see `decoder`.
        rows: (N, C) fibres.
        places: (N, condition) codes of their positions.

    Returns:
        (N,).
    """
    z, log_det = flow([rows], places)
    return -surprise(z, log_det) / rows.shape[1] - 0.5 * math.log(2 * math.pi)


def positions_2d(channels: int, h: int, w: int) -> Tensor:
    """Return the sinusoidal encoding of a grid's positions.

    The first half of the channels encodes the column x, the second the row y, each as sin(f x), cos(f x) alternately at
    channels / 4 frequencies f that fall geometrically from 1 to about 1 / 10 000 (Vaswani et al., "Attention is all you
    need", NeurIPS 2017, in two dimensions).

    Args:
        channels: Numbers per position, a positive multiple of 4.
        h: Rows.
        w: Columns.

    Returns:
        (channels, h, w) in [-1, 1].

    Raises:
        InputError: `channels` is not a positive multiple of 4.
    """
    if channels < 4 or channels % 4:
        raise InputError(f"a position encoding of {channels} channels: it must be a multiple of 4, for example 128")
    half = channels // 2
    frequencies = torch.exp(torch.arange(0, half, 2) * (-math.log(10_000) / half))  # (half / 2,)
    code = torch.empty(channels, h, w)
    for first, angles in (
        (0, (frequencies[:, None] * torch.arange(w))[:, None].expand(-1, h, -1)),
        (half, (frequencies[:, None] * torch.arange(h))[:, :, None].expand(-1, -1, w)),
    ):
        code[first : first + half : 2] = angles.sin()
        code[first + 1 : first + half : 2] = angles.cos()
    return code
