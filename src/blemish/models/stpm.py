"""STPM: a student learns a teacher's features on good parts; where it still disagrees, the part is unlike them.

Teacher and student have the same architecture. The teacher was trained elsewhere and is frozen; the student starts from
random weights and sees good parts only. At several levels of the pyramid the features of each position are scaled to
unit length, and the student minimises half their squared distance to the teacher's, which is 1 - cos, averaged over
positions and summed over levels. On a part unlike the good ones the student has to guess. The distances of the levels
are enlarged to the shallowest grid and multiplied there: a position must be anomalous at every level to count. The
product is enlarged to the image; its peak is the image's score.

The paper trains 100 epochs. Its categories of MVTec AD have 242 good images on average, of which four fifths train in
batches of 32: 7 steps an epoch, 700 `steps` in all.

Where paper and official code differ, and where we do:
- The paper's loss has the factor 1/2, the code's has not. The factor belongs to the learning rate: with `lr` 0.4 the
  code without it takes steps twice as long. We keep the paper's loss.
- The code holds out a fifth of the good images and keeps the epoch with the lowest loss on them. We train on all that
  `fit` is given and keep the last weights.
- The map is the L-th root of the product of L levels, taken after enlarging. It ranks pixels and images exactly as the
  product does, but its numbers are distances (0.01), not their products (0.000001).
- The code multiplies at 64 x 64, the shallowest grid of its 256 x 256 images. So do we, at any size of the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.features.trainable import trainable
from blemish.ops.maps import cosine_distance, enlarge, peak
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="STPM",
    idea="a student learns the teacher's feature pyramid on good parts and disagrees elsewhere",
    family="distillation",
    paper=Paper(
        title="Student-Teacher Feature Pyramid Matching for Anomaly Detection",
        authors="Guodong Wang, Shumin Han, Errui Ding, Di Huang",
        year=2021,
        venue="BMVC",
        url="https://arxiv.org/abs/2103.04257",
    ),
    code="https://github.com/gdwang08/STFPM",
    code_licence="GPL-3.0",
    differs=("last weights instead of those best on a held-out fifth", "root of the product of the levels"),
    reported=(
        Reported("MVTec AD", "image_AUROC", 95.5, "official repository", "ResNet-18, 256 px"),
        Reported("MVTec AD", "pixel_AUROC", 97.0, "official repository", "ResNet-18, 256 px"),
        Reported("MVTec AD", "AUPRO", 92.8, "official repository", "ResNet-18, 256 px"),
    ),
    presets={"paper": Preset(256, 32), "quick": Preset(128, 8, {"steps": 400})},
)


class STPM(Detector):
    """Distance between a frozen teacher's and a trained student's features, level by level.

    The student has the teacher's architecture and random weights: 1 843 776 parameters with the default backbone, 2 782
    784 with resnet18. It is trained by SGD.

    Args:
        backbone: The teacher, see `blemish.features.extractor`; the paper's is "resnet18".
        layers: Names of its layers, or strides as numbers; None: 4, 8 and 16.
        weights: Local .safetensors file of the teacher's weights; None takes the pretrained ones.
        pretrained: Whether the teacher's weights are pretrained; if not, they are random, always the same.
        steps: Gradient steps, at least 1; the default is the paper's 100 epochs.
        lr: Learning rate, above 0; the paper's is 0.4.
        momentum: Momentum of SGD, 0 to below 1; the paper's is 0.9.
        weight_decay: Weight decay of SGD, at least 0; the paper's is 1e-4.
        seed: Random state of the student's initial weights and of training.

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
        steps: int = 700,
        lr: float = 0.4,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if steps < 1 or lr <= 0:
            raise InputError(f"steps is {steps} (at least 1), lr is {lr} (above 0)")
        if not 0 <= momentum < 1 or weight_decay < 0:
            raise InputError(f"momentum is {momentum} (from 0 to below 1), weight_decay is {weight_decay} (at least 0)")
        self.backbone, self.layers, self.weights, self.pretrained = backbone, layers, weights, pretrained
        self.steps, self.lr, self.momentum, self.weight_decay, self.seed = steps, lr, momentum, weight_decay, seed
        self.teacher = extractor(
            backbone, (4, 8, 16) if layers is None else layers, weights=weights, pretrained=pretrained
        )
        self.student = trainable(backbone, self.teacher.layers, pretrained=False, seed=seed)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Train the student on the teacher's features of good parts."""
        optimiser = torch.optim.SGD(
            self.student.parameters(), self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )
        with seeded(self.seed):
            losses = optimise(
                self.student, self.loss, data, steps=self.steps, optimiser=optimiser, settings=self.params
            )
        self.losses = torch.tensor(losses, device=self.losses.device)
        return self

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean distance of the positions, summed over the levels.

        Args:
            batch: Good images.

        Returns:
            Scalar loss.
        """
        return torch.stack([level.mean() for level in self.distances(batch.image)]).sum()

    def forward(self, image: Tensor) -> Scores:
        """Score by the geometric mean of the levels' distances; the image scores as its map's peak."""
        self.require_fit()
        levels = self.distances(image)
        grid = (levels[0].shape[1], levels[0].shape[2])
        product = torch.stack([enlarge(level, grid) for level in levels]).prod(0)  # B, h, w
        map = enlarge(product, (image.shape[2], image.shape[3])) ** (1 / len(levels))
        return Scores(peak(map), map)

    def distances(self, image: Tensor) -> list[Tensor]:
        """Return 1 - cos of teacher and student at each position of each level.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One map (B, h, w) per level, shallow levels first.
        """
        return [cosine_distance(t, s) for t, s in zip(self.teacher(image), self.student(image), strict=True)]
