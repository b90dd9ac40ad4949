"""UsualTexture: what good patches look like on average, and how far a patch is from that. A method of your own begins here.

    pip install -e examples/own_method
    blemish fit PARTS -m usual_texture

What a method must do is written in `blemish.core.detector`; `test_own_method.py` beside this file checks all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.core.card import Card, Paper
from blemish.core.detector import Detector
from blemish.core.types import Batch, Scores
from blemish.features import extractor

CARD = Card(
    name="UsualTexture",
    idea="distance of each patch from the mean of good patches, in standard deviations",
    family="memory bank",
    paper=Paper("your paper", "You", 2026),
)


class UsualTexture(Detector):
    """Distance of each patch from the mean of good ones, channel by channel in standard deviations.

    Args:
        backbone: The frozen network, see `blemish.features.extractor`.
        stride: Pixels of the image that a patch stands for, along each side.
    """

    mean: Tensor  # (C,)
    deviation: Tensor  # (C,)

    def __init__(self, backbone: str = "texnet_s", stride: int = 8) -> None:
        super().__init__()
        self.backbone, self.stride = backbone, stride  # each parameter is kept under its own name
        self.features = extractor(backbone, (stride,))
        self.register_buffer("mean", torch.empty(0))  # what is learned starts empty, and is saved with the model
        self.register_buffer("deviation", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Average the patches of all good parts."""
        with torch.no_grad():
            patches = torch.cat([self._patches(batch.image).flatten(0, 1) for batch in data])
        self.mean, self.deviation = patches.mean(0), patches.std(0)
        return self

    def forward(self, image: Tensor) -> Scores:
        """Score (B, 3, H, W) RGB in [0, 1]: a map of distances, and its largest value as the part's score."""
        self.require_fit()
        distance = ((self._patches(image) - self.mean) / self.deviation).square().mean(2).sqrt()
        rows, columns = image.shape[2] // self.stride, image.shape[3] // self.stride
        map = F.interpolate(distance.unflatten(1, (rows, columns))[:, None], image.shape[2:], mode="bilinear")[:, 0]
        return Scores(map.flatten(1).amax(1), map)

    def _patches(self, image: Tensor) -> Tensor:
        (features,) = self.features(image)
        return features.flatten(2).mT  # (B, patches, C)
