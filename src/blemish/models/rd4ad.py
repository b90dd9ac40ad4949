"""RD4AD: a decoder must restore the teacher's features from a code too small to carry a defect.

Reverse distillation reverses the student: it does not see the image. A frozen encoder describes the image at three
levels; a trainable bottleneck fuses them and embeds them in one small code; a trainable decoder, the encoder mirrored,
restores the three levels from the code, the deepest first. Trained on good parts only, the code has learned to carry
what good parts need; what a defect adds is lost, and restored features differ from the encoder's there. The loss is 1 -
cos between a level and its restoration, summed over the levels. The map is 1 - cos position by position, enlarged,
summed over the levels and smoothed; its peak is the image's score.

The paper trains 200 epochs. MVTec AD has 242 good images a category on average, 16 batches of 16: 3200 `steps` in all.

Where paper and official code differ, and where we do:
- The paper averages 1 - cos over positions; the code takes one cosine of the whole flattened map for each image, which
  lets long vectors count more, and its numbers are the published ones. We follow the code.
- The code prints its test numbers every tenth epoch and leaves the choice to the reader; we keep the last weights.
- The code enlarges maps with their corners aligned. We align pixel centres, as everywhere in blemish.
- A teacher whose features can be negative (texnet's are linear projections) could not be restored by a decoder that
  ends in ReLUs. The teacher is tested once, with noise; if it outputs negative numbers, the last ReLU of each level is
  left out.
- With a teacher that is not a WideResNet the code's blocks follow the teacher; ours are WideResNet's always.
- Images whose sides the code's strides do not divide are allowed: the decoder's superfluous rows are cut off.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.features import Features, extractor
from blemish.ops.maps import blur, cosine_distance, enlarge, peak
from blemish.ops.networks.reverse import Decoder, Embedding
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="RD4AD",
    idea="a decoder restores the teacher's features from a code too small to carry a defect",
    family="distillation",
    paper=Paper(
        title="Anomaly Detection via Reverse Distillation from One-Class Embedding",
        authors="Hanqiu Deng, Xingyu Li",
        year=2022,
        venue="CVPR",
        url="https://arxiv.org/abs/2201.10703",
    ),
    code="https://github.com/hq-deng/RD4AD",
    code_licence="MIT",
    differs=(
        "flattened loss as in the code",
        "pixel centres aligned when maps are enlarged",
        "no last ReLU for a teacher whose features can be negative",
    ),
    reported=(
        Reported("MVTec AD", "image_AUROC", 98.5, "paper", "WideResNet-50, 256 px"),
        Reported("MVTec AD", "pixel_AUROC", 97.8, "paper", "WideResNet-50, 256 px"),
        Reported("MVTec AD", "AUPRO", 93.9, "paper", "WideResNet-50, 256 px"),
        Reported("MVTec AD", "image_AUROC", 98.5, "anomalib", "WideResNet-50, 256 px"),
    ),
    presets={"paper": Preset(256, 16), "quick": Preset(128, 8, {"steps": 400})},
)


class RD4AD(Detector):
    """Distance between a frozen teacher's features and what a decoder restores from their one-class embedding.

    With the default backbone 1 941 632 parameters are trained in the embedding and 760 128 in the decoder; with
    wide_resnet50_2 58 885 120 and 24 917 504. Adam has the betas 0.5 and 0.999.

    Args:
        backbone: The teacher, see `blemish.features.extractor`; the paper's is "wide_resnet50_2".
        layers: Names of its layers, or strides as numbers, each stride twice the one before; None: 4, 8 and 16.
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        blocks: Residual blocks of the decoder for each level, deepest first, each at least 1; None: the paper's [3, 4,
            6].
        embedding_blocks: Residual blocks of the bottleneck, at least 1; the paper's is 3.
        steps: Gradient steps, at least 1; the default is the paper's 200 epochs.
        lr: Adam's learning rate, above 0; the paper's is 0.005.
        sigma: Standard deviation of the map's Gaussian smoothing in input pixels, at least 0; the paper's is 4.
        seed: Random state of the initial weights and of training.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,)

    def __init__(
        self,
        backbone: str = "texnet_s",
        layers: list[str] | list[int] | None = None,
        weights: str | None = None,
        pretrained: bool = True,
        blocks: list[int] | None = None,
        embedding_blocks: int = 3,
        steps: int = 3200,
        lr: float = 0.005,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.backbone, self.layers, self.weights, self.pretrained = backbone, layers, weights, pretrained
        self.blocks, self.embedding_blocks = blocks, embedding_blocks
        self.steps, self.lr, self.sigma, self.seed = steps, lr, sigma, seed
        self.teacher = extractor(
            backbone, (4, 8, 16) if layers is None else layers, weights=weights, pretrained=pretrained
        )
        spent = blocks if blocks is not None else [3, 4, 6][: len(self.teacher.layers)]
        self._check(spent)
        with seeded(seed):
            self.embedding = Embedding(self.teacher.channels, embedding_blocks)
            self.decoder = Decoder(self.teacher.channels, spent, never_negative(self.teacher))
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Train the bottleneck and the decoder to restore the teacher's features of good parts."""
        trained = nn.ModuleList([self.embedding, self.decoder])
        optimiser = torch.optim.Adam(trained.parameters(), self.lr, betas=(0.5, 0.999))
        with seeded(self.seed):
            losses = optimise(trained, self.loss, data, steps=self.steps, optimiser=optimiser, settings=self.params)
        self.losses = torch.tensor(losses, device=self.losses.device)
        return self

    def loss(self, batch: Batch) -> Tensor:
        """Return 1 - cos between whole levels, one cosine per image, averaged over images and summed over levels.

        Args:
            batch: Good images.

        Returns:
            Scalar loss.
        """
        pairs = zip(*self.restore(batch.image), strict=True)
        return torch.stack([cosine_distance(t.flatten(1), s.flatten(1)).mean() for t, s in pairs]).sum()

    def forward(self, image: Tensor) -> Scores:
        """Score by the sum of the levels' distances; the image scores as its smoothed map's peak."""
        self.require_fit()
        size = (image.shape[2], image.shape[3])
        pairs = zip(*self.restore(image), strict=True)
        map = blur(torch.stack([enlarge(cosine_distance(t, s), size) for t, s in pairs]).sum(0), self.sigma)
        return Scores(peak(map), map)

    def restore(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the teacher's levels and the decoder's.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            Two lists of maps (B, C, h, w), shallow levels first.
        """
        levels = self.teacher(image)
        return levels, self.decoder(self.embedding(levels), [(m.shape[2], m.shape[3]) for m in levels])

    def _check(self, spent: list[int]) -> None:
        strides = self.teacher.strides
        if any(deep != 2 * shallow for shallow, deep in pairwise(strides)):
            raise InputError(f"layers have the strides {list(strides)}; each must be twice the one before, as 4, 8, 16")
        if len(spent) != len(strides) or min(spent) < 1:
            raise InputError(f"blocks is {spent}; it needs {len(strides)} numbers, one a layer, each at least 1")
        if self.embedding_blocks < 1 or self.sigma < 0:
            raise InputError(
                f"embedding_blocks is {self.embedding_blocks} (at least 1), sigma is {self.sigma} (at least 0)"
            )
        if self.steps < 1 or self.lr <= 0:
            raise InputError(f"steps is {self.steps} (at least 1), lr is {self.lr} (above 0)")


def never_negative(features: Features) -> bool:
    """Return whether the maps of one image of noise have no negative number, as maps behind a ReLU.

    Args:
        features: The frozen network.

    Returns:
        True if there is none.
    """
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return all(bool((m >= 0).all()) for m in features(noise))
