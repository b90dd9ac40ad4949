"""PaDiM: at every place of the image, one Gaussian of what good parts look like there.

A frozen network describes each place by the features of three layers, of which a fixed random choice of channels is
kept. Their mean and covariance over the good images are gathered place by place; the Mahalanobis distance to them is the
map, its largest value the image's score. It wants aligned parts: the same place must show the same thing.

Where paper and its ports differ: the deeper layers are repeated onto the shallowest grid (nearest), as the port that all
comparisons use does. The covariance is the unbiased one plus `ridge` times the identity. The mean and covariance are
gathered in one pass, so memory does not grow with the number of images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.card import Card, Paper, Reported
from blemish.detector import Detector
from blemish.errors import InputError
from blemish.features import extractor
from blemish.ops.gaussian import Moments, mahalanobis
from blemish.ops.maps import blur, enlarge, peak
from blemish.progress import progress
from blemish.training import device_of, to
from blemish.types import Batch, Scores

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
    differs=("moments are gathered in one pass",),
    reported=(
        Reported("MVTec AD", "image_AUROC", 95.3, "paper", "WideResNet-50, 550 channels, 224 px"),
        Reported("MVTec AD", "pixel_AUROC", 97.5, "paper", "WideResNet-50, 550 channels, 224 px"),
        Reported("MVTec AD", "AUPRO", 92.1, "paper", "WideResNet-50, 550 channels, 224 px"),
    ),
)


class PaDiM(Detector):
    """Mahalanobis distance to a Gaussian a position.

    `backbone`, `layers` (names, or strides as numbers), `weights` and `pretrained` choose the frozen network, see
    `blemish.features.extractor`. `dims` of its channels are kept, chosen by `seed` (fewer if there are not so many).
    `ridge` is added to the diagonal of every covariance. `sigma` is the map's Gaussian smoothing in input pixels.
    """

    channels: Tensor  # (D,) int64
    mean: Tensor  # (P, D)
    whitening: Tensor  # (P, D, D)
    grid: Tensor  # (2,) rows and columns of the positions

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
        self.features = extractor(backbone, layers or (4, 8, 16), weights=weights, pretrained=pretrained)
        total = sum(self.features.channels)
        chosen = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:dims]
        self.register_buffer("channels", chosen.sort().values)
        for name in ("mean", "whitening", "grid"):
            self.register_buffer(name, torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Gather mean and covariance of every position in one pass."""
        moments, device, grid = Moments(), device_of(self), (0, 0)
        with torch.inference_mode():
            for batch in progress(data, "features"):
                samples, grid = self.describe(to(batch, device).image)
                moments.update(samples)
            whitening = moments.whitening(self.ridge)
        self.mean, self.whitening = moments.mean.clone(), whitening.clone()
        self.grid = torch.tensor(grid, device=device)
        return self

    def forward(self, image: Tensor) -> Scores:
        """Score by the Mahalanobis distance; the image scores as its map's peak."""
        self.require_fit()
        samples, (h, w) = self.describe(image)
        if (h, w) != tuple(self.grid.tolist()):
            raise InputError(
                f"this PaDiM was fitted on a grid of {self.grid.tolist()} positions; the image gives {[h, w]}."
            )
        distances = mahalanobis(samples, self.mean, self.whitening).view(len(image), h, w)
        map = blur(enlarge(distances, (image.shape[2], image.shape[3])), self.sigma)
        return Scores(peak(map), map)

    def describe(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the kept channels at every position, (B, h * w, D), and the grid (h, w) of the shallowest layer."""
        maps = self.features(image)
        size = (maps[0].shape[2], maps[0].shape[3])
        maps = [maps[0], *(F.interpolate(m, size=size, mode="nearest") for m in maps[1:])]
        return torch.cat(maps, dim=1)[:, self.channels].flatten(2).transpose(1, 2), size
