"""PaDiM: at every position of the image, one Gaussian of what good parts look like there.

A frozen network describes each position by the features of three layers, of which a fixed random choice of channels is
kept. Their mean and covariance over the good images are gathered position by position; the Mahalanobis distance to them
is the map, its largest value the image's score. It needs aligned parts: the same position must show the same thing.

Where paper and its ports differ: the deeper layers are repeated onto the shallowest grid (nearest), as the port that
all comparisons use does. The covariance is the unbiased one plus `ridge` times the identity. The mean and covariance
are gathered in one pass, so memory does not grow with the number of images.

The paper's own setting is a WideResNet-50 with `layers=["layer1", "layer2", "layer3"]` and `dims=550`, or a ResNet-18
with 100, images scaled to 256 and cropped to 224.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.core.card import Card, Paper, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.progress import progress
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.ops.gaussian import Moments, mahalanobis
from blemish.ops.maps import peak, smooth
from blemish.training.device import device_of, to

CARD = Card(
    name="PaDiM",
    idea="one Gaussian of good features at every place of the image",
    family="memory bank",
    paper=Paper(
        title="PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization",
        authors="Thomas Defard, Aleksandr Setkov, Angelique Loesch, Romaric Audigier",
        year=2021,
        venue="ICPR Workshops",
        url="https://arxiv.org/abs/2011.08785",
    ),
    differs=("moments are gathered in one pass", "what places share is kept once; the distances are the same"),
    reported=(
        Reported("MVTec AD", "image_AUROC", 95.3, "paper", "WideResNet-50, 550 channels, 224 px"),
        Reported("MVTec AD", "pixel_AUROC", 97.5, "paper", "WideResNet-50, 550 channels, 224 px"),
        Reported("MVTec AD", "AUPRO", 92.1, "paper", "WideResNet-50, 550 channels, 224 px"),
    ),
)


class PaDiM(Detector):
    """Mahalanobis distance to one Gaussian per position.

    Args:
        backbone: The frozen network, see `blemish.features.extractor`; the paper's is "wide_resnet50_2" or "resnet18".
        layers: Names of its layers, or strides as numbers; None: 4, 8 and 16. The paper's are "layer1", "layer2" and
            "layer3".
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        dims: Channels kept, at least 1 (all where there are fewer); the paper's is 550 of WideResNet-50, 100 of
            ResNet-18.
        ridge: Added to the diagonal of every covariance, above 0; the paper's is 0.01.
        sigma: Standard deviation of the map's Gaussian smoothing in input pixels, at least 0.
        seed: Random state of the choice of channels.

    Raises:
        InputError: a parameter is out of its range.
    """

    channels: Tensor  # (dims,) int64, among those of all layers, shallow layers first
    grid: Tensor  # (2,) rows and columns of the positions
    # And for each layer of which a channel is kept, i = 0, 1, ...: mean_i (P, C) and whitening_i (P, C, D).

    def __init__(
        self,
        backbone: str = "texnet_s",
        layers: list[str] | list[int] | None = None,
        weights: str | None = None,
        pretrained: bool = True,
        dims: int = 100,
        ridge: float = 0.01,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if dims < 1 or ridge <= 0 or sigma < 0:
            raise InputError(f"dims is {dims} (at least 1), ridge is {ridge} (above 0), sigma is {sigma} (at least 0)")
        self.backbone, self.layers, self.weights, self.pretrained = backbone, layers, weights, pretrained
        self.dims, self.ridge, self.sigma, self.seed = dims, ridge, sigma, seed
        self.features = extractor(
            backbone, (4, 8, 16) if layers is None else layers, weights=weights, pretrained=pretrained
        )
        total = sum(self.features.channels)
        chosen = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:dims]
        self.register_buffer("channels", chosen.sort().values)
        self.register_buffer("grid", torch.empty(0))
        starts = torch.tensor([0, *self.features.channels]).cumsum(0)
        owner = torch.searchsorted(starts, self.channels, right=True) - 1
        self._kept = [(self.channels[owner == i] - starts[i]).tolist() for i in range(len(starts) - 1)]
        self._levels = sum(bool(kept) for kept in self._kept)
        for i in range(self._levels):
            self.register_buffer(f"mean_{i}", torch.empty(0))
            self.register_buffer(f"whitening_{i}", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Gather mean and covariance of every position in one pass."""
        moments, device, grid = Moments(), device_of(self), (0, 0)
        with torch.no_grad():  # what is kept may be loaded into and may need gradients: no inference tensors
            for batch in progress(data, "features"):
                levels, grid = self.describe(to(batch, device).image)
                moments.update(levels)
            whitening = moments.whitening(self.ridge)
        for i, (mean, white) in enumerate(zip(moments.mean, whitening, strict=True)):
            setattr(self, f"mean_{i}", mean)
            setattr(self, f"whitening_{i}", white)
        self.grid = torch.tensor(grid, device=device)
        return self

    def forward(self, image: Tensor) -> Scores:
        """Score by the Mahalanobis distance; the image scores as its map's peak. Images have the size of `fit`'s."""
        self.require_fit()
        levels, grid = self.describe(image)
        if not torch.compiler.is_exporting() and grid != tuple(self.grid.tolist()):
            raise InputError(
                f"this PaDiM was fitted on a grid of {self.grid.tolist()} positions; the image gives {list(grid)}."
            )
        mean, whitening = (
            [self.get_buffer(f"{name}_{i}") for i in range(self._levels)] for name in ("mean", "whitening")
        )
        distances = _repeated(mahalanobis(levels, mean, whitening)[:, None], grid)[:, 0]
        map = smooth(distances, (image.shape[2], image.shape[3]), self.sigma)
        return Scores(peak(map), map)

    def describe(self, image: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Return the kept channels of every layer, and the grid of positions.

        Where a grid does not divide the next finer one, its layer is repeated onto the finest.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One map (B, C, h, w) for each layer of which a channel is kept, coarse grids first, and the shallowest
            layer's grid.
        """
        maps = self.features(image)
        grid = (maps[0].shape[2], maps[0].shape[3])
        levels: list[Tensor] = []
        for map, kept in zip(maps, self._kept, strict=True):  # the finest first
            if kept:
                finer = (levels[-1].shape[2], levels[-1].shape[3]) if levels else grid
                fits = finer[0] % map.shape[2] == 0 and finer[1] % map.shape[3] == 0
                levels.append(map[:, kept] if fits else _repeated(map[:, kept], grid))
        return sorted(levels, key=lambda level: level.shape[2] * level.shape[3]), grid


def _repeated(map: Tensor, grid: tuple[int, int]) -> Tensor:
    return map if map.shape[2:] == grid else F.interpolate(map, size=grid, mode="nearest")
