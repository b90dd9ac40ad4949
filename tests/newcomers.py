"""Toy methods of every kind that the contract lets in, as somebody else's package would bring them. None is any good."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.core.detector import Detector
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.ops.maps import peak
from blemish.testing import TinyLanguageModel, TinyTextEncoder


class ZeroShot(Detector):
    """Told the product's name, it compares each place with two prompts, as WinCLIP does."""

    inputs = ("image", "category")
    learns_from = "nothing"

    def __init__(self) -> None:
        super().__init__()
        self.features = extractor("texnet_s", (8,))
        self.text = TinyTextEncoder(self.features.channels[0])

    def forward(self, image: Tensor, category: list[str]) -> Scores:
        tokens = F.normalize(self.features(image)[0], dim=1)
        prompts = [f"a photo of a {state} {name}" for name in category for state in ("flawless", "damaged")]
        texts = F.normalize(self.text.encode(prompts), dim=1).reshape(len(image), 2, -1)
        logits = torch.einsum("bchw,bsc->bshw", tokens, texts) * 10
        map = F.interpolate(logits.softmax(1)[:, 1:], image.shape[2:], mode="bilinear")[:, 0]
        return Scores(peak(map), map)


class PointsAlone(Detector):
    """How far the relief's roughness is from that of good parts; no image is needed."""

    inputs = ("points",)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("usual", torch.empty(0))  # mean and deviation

    def fit(self, data: Iterable[Batch]) -> Self:
        found = torch.cat([roughness(batch.inputs["points"]).flatten() for batch in data])
        self.usual = torch.stack([found.mean(), found.std()])
        return self

    def forward(self, points: Tensor) -> Scores:
        self.require_fit()
        map = (roughness(points) - self.usual[0]).abs() / self.usual[1]
        return Scores(peak(map), map)


class ImageAndPoints(Detector):
    """The same on two kinds of input: the larger of two branches."""

    inputs = ("image", "points")

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("usual", torch.empty(0))  # (2, 2): of colour and relief

    def fit(self, data: Iterable[Batch]) -> Self:
        both = [
            torch.stack([unevenness(batch.image.mean(1)), roughness(batch.inputs["points"])]).flatten(1)
            for batch in data
        ]
        found = torch.cat(both, dim=1)
        self.usual = torch.stack([found.mean(1), found.std(1)])
        return self

    def forward(self, image: Tensor, points: Tensor) -> Scores:
        self.require_fit()
        rgb = (unevenness(image.mean(1)) - self.usual[0, 0]).abs() / self.usual[1, 0]
        relief = (roughness(points) - self.usual[0, 1]).abs() / self.usual[1, 1]
        map = torch.maximum(rgb, relief)
        return Scores(peak(map), map, {"rgb": Scores(peak(rgb), rgb), "points": Scores(peak(relief), relief)})


class Transductive(Detector):
    """Odd is what few of the unlabelled parts resemble: far from the nearest quarter of them, as in MuSc."""

    learns_from = "unlabelled"

    def __init__(self) -> None:
        super().__init__()
        self.features = extractor("texnet_s", (8,))
        self.register_buffer("seen", torch.empty(0))  # (N, C), one row of each part: its most unusual places

    def fit(self, data: Iterable[Batch]) -> Self:
        with torch.no_grad():
            self.seen = torch.cat([self._rows(batch.image) for batch in data])
        return self

    def forward(self, image: Tensor) -> Scores:
        self.require_fit()
        distances = (self._rows(image)[:, None] - self.seen).square().sum(2)
        return Scores(distances.sort(1).values[:, distances.shape[1] // 4])

    def _rows(self, image: Tensor) -> Tensor:
        maps = self.features(image)[0].flatten(2)
        return maps.std(2)


class TwoBranchesWithWords(Detector):
    """A structural and a logical branch, and a sentence on each part."""

    def __init__(self, question: str = "Is there a defect?") -> None:
        super().__init__()
        self.question = question
        self.language = TinyLanguageModel()
        self.register_buffer("mean", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        self.mean = torch.cat([batch.image for batch in data]).mean((0, 2, 3))
        return self

    def forward(self, image: Tensor) -> Scores:
        self.require_fit()
        map = unevenness(image.mean(1))
        logical = (image.mean((2, 3)) - self.mean).abs().sum(1)
        words = tuple(self.language.answer(one, self.question) for one in image)
        total = peak(map) + logical
        return Scores(total, map, {"structural": Scores(peak(map), map), "logical": Scores(logical)}, words)


class Adapting(Detector):
    """Remembers good parts, and further ones as well."""

    def __init__(self) -> None:
        super().__init__()
        self.features = extractor("texnet_s", (8,))
        self.register_buffer("memory", torch.empty(0))  # (N, C)

    def fit(self, data: Iterable[Batch]) -> Self:
        self.memory = self._rows(data)
        return self

    def adapt(self, data: Iterable[Batch]) -> Self:
        self.memory = torch.cat([self.memory, self._rows(data)])
        return self

    def forward(self, image: Tensor) -> Scores:
        self.require_fit()
        maps = self.features(image)[0]
        rows = maps.flatten(2).transpose(1, 2)
        nearest = torch.cdist(rows, self.memory[None]).min(dim=2).values.unflatten(1, maps.shape[2:])
        map = F.interpolate(nearest[:, None], image.shape[2:], mode="bilinear")[:, 0]
        return Scores(peak(map), map)

    def _rows(self, data: Iterable[Batch]) -> Tensor:
        with torch.no_grad():
            return torch.cat(
                [self.features(batch.image)[0][..., ::2, ::2].flatten(2).mT.flatten(0, 1) for batch in data]
            )


class Auxiliary(Detector):
    """Learns from other products' defects which way features go there, as AnomalyCLIP does."""

    learns_from = "auxiliary"

    def __init__(self) -> None:
        super().__init__()
        self.features = extractor("texnet_s", (8,))
        self.register_buffer("way", torch.empty(0))  # (C,)

    def fit(self, data: Iterable[Batch]) -> Self:
        good, bad = [], []
        with torch.no_grad():
            for batch in data:
                spread = self.features(batch.image)[0].flatten(2).std(2)
                good.append(spread[batch.truth.label == 0])
                bad.append(spread[batch.truth.label == 1])
        self.way = torch.cat(bad).mean(0) - torch.cat(good).mean(0)
        return self

    def forward(self, image: Tensor) -> Scores:
        self.require_fit()
        return Scores(self.features(image)[0].flatten(2).std(2) @ self.way)


def unevenness(grey: Tensor) -> Tensor:
    """How much (B, H, W) differs from its surroundings."""
    mean = F.avg_pool2d(grey[:, None], 5, 1, 2, count_include_pad=False)
    square = F.avg_pool2d(grey[:, None].square(), 5, 1, 2, count_include_pad=False)
    return (square - mean.square()).clamp(min=0).sqrt()[:, 0]


def roughness(points: Tensor) -> Tensor:
    """The same of the heights of (B, 3, H, W); a missing point is as the mean of its part."""
    heights = points[:, 2]
    seen = ~heights.isnan()
    mean = torch.where(seen, heights, 0).sum((1, 2), keepdim=True) / seen.sum((1, 2), keepdim=True).clamp(min=1)
    return unevenness(torch.where(seen, heights, mean))
