"""SimpleNet: a small network learns to tell good features from the same features with a little noise.

Nothing is painted into images: synthetic defects are made where they are cheap, in the space of the features. In the
paper's order:

1. Feature extractor. A frozen network describes each patch by two mid-level layers, each averaged over the patch's
   neighbourhood, the deeper one enlarged to the grid of the other, as in PatchCore.
2. Feature adaptor. One linear layer adapts the descriptions, learned on other images, to the parts at hand: q = G(o).
3. Anomalous feature generator. Gaussian noise on a good feature makes an anomalous one: q' = q + e, e ~ N(0, noise²).
4. Discriminator. Two linear layers score a feature, high is good. With the margin th, a truncated L1 (hinge) loss asks
   for D(q) >= th and D(q') <= -th:

       loss = mean max(0, th - D(q)) + mean max(0, th + D(q'))

   It trains adaptor and discriminator together. A boundary drawn tightly around the good features is what remains.
5. Inference adds no noise. A patch scores -D(q), an image as its worst patch; the grid of patch scores, enlarged and
   smoothed, is the map.

Where paper and official code differ:
- Optimiser. The paper trains both parts by Adam with weight decay 1e-5; the code trains the adaptor by AdamW with its
  default decay, 0.01, the discriminator by Adam. We take one AdamW for both, with the code's learning rates and decays.
- Batches. The paper trains 160 epochs of 4 images, the code 40 x 4 epochs of 8. We take the paper's 4. A category of
  MVTec AD has 242 training images on average, so 160 epochs are 160 x 242 / 4, about 9,700 `steps`.
- The code measures on the test images as it trains and keeps the best epoch; its numbers, those below, are of that
  epoch. We keep the last step, and use no test image.
- The code pools each neighbourhood as PatchCore's does (unrolled, then to 1536 numbers a layer); we average, as the
  paper's equation 2 says.
- The noise is absolute, so its effect depends on the network's features. Those of texnet_s have a standard deviation of
  about 1 per channel; there 0.1 to 0.3 learns in 100 steps what the paper's 0.015 needs 400 for. The default is the
  paper's, "quick" takes 0.1.
- Both resize to 329 and crop the middle 288 pixels; here cropping is left to the data (`Imaging`).
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
from blemish.ops.maps import describe, peak, smooth
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="SimpleNet",
    idea="a discriminator between good features and the same features with noise",
    family="discriminative",
    paper=Paper(
        title="SimpleNet: A Simple Network for Image Anomaly Detection and Localization",
        authors="Zhikang Liu, Yiming Zhou, Yuansheng Xu, Zilei Wang",
        year=2023,
        venue="CVPR",
        url="https://arxiv.org/abs/2303.15140",
    ),
    code="https://github.com/DonaldRR/SimpleNet",
    code_licence="MIT",
    differs=(
        "the last step is kept, not the one that is best on the test images",
        "neighbourhoods are averaged, not unrolled and pooled",
    ),
    reported=(
        Reported("MVTec AD", "image_AUROC", 99.6, "paper", "WideResNet-50, 288 px, best epoch on the test images"),
        Reported("MVTec AD", "pixel_AUROC", 98.1, "paper", "WideResNet-50, 288 px, best epoch on the test images"),
    ),
    presets={"paper": Preset(288, 4), "quick": Preset(128, 8, {"steps": 400, "noise": 0.1})},
)


class SimpleNet(Detector):
    """A linear adaptor and a two-layer discriminator on frozen features.

    Learned parameters: 332,032 on texnet_s (256 channels), 3,937,792 on WideResNet-50 (1536 channels).

    Args:
        backbone: The frozen network, see `blemish.features.extractor`; the paper's is "wide_resnet50_2".
        layers: Names of its layers, or strides as numbers; None: the paper's 8 and 16.
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        patch_size: Side of a patch's neighbourhood in cells, odd; the paper's is 3.
        noise: Standard deviation of the noise on good features, above 0; the paper's is 0.015.
        margin: The hinge's th, above 0; the paper's is 0.5.
        hidden: Width of the discriminator's hidden layer, at least 1.
        steps: Gradient steps, at least 1; the default is the paper's 160 epochs.
        adaptor_lr: Learning rate of the adaptor, above 0; the code's is 1e-4.
        lr: Learning rate of the discriminator, above 0; the code's is 2e-4.
        sigma: Standard deviation of the map's Gaussian smoothing in input pixels, at least 0; the paper's is 4.
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
        patch_size: int = 3,
        noise: float = 0.015,
        margin: float = 0.5,
        hidden: int = 1024,
        steps: int = 9_700,
        adaptor_lr: float = 1e-4,
        lr: float = 2e-4,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.backbone, self.layers, self.weights, self.pretrained = backbone, layers, weights, pretrained
        self.patch_size, self.noise, self.margin, self.hidden = patch_size, noise, margin, hidden
        self.steps, self.adaptor_lr, self.lr, self.sigma, self.seed = steps, adaptor_lr, lr, sigma, seed
        self._check()
        self.features = extractor(
            backbone, (8, 16) if layers is None else layers, weights=weights, pretrained=pretrained
        )
        channels = sum(self.features.channels)
        with seeded(seed):
            self.adaptor = nn.Linear(channels, channels)
            self.discriminator = discriminator(channels, hidden)
            for module in (self.adaptor, *self.discriminator):
                if isinstance(module, nn.Linear):
                    nn.init.xavier_normal_(module.weight)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Train adaptor and discriminator on the features of good parts."""
        optimiser = torch.optim.AdamW(
            [
                {"params": self.adaptor.parameters(), "lr": self.adaptor_lr, "weight_decay": 0.01},
                {"params": self.discriminator.parameters(), "lr": self.lr, "weight_decay": 1e-5},
            ]
        )
        with seeded(self.seed):
            losses = optimise(self, self.loss, data, steps=self.steps, optimiser=optimiser, label="SimpleNet")
        self.losses = torch.tensor(losses, device=self.adaptor.weight.device)
        return self

    def loss(self, batch: Batch) -> Tensor:
        """Return the hinge loss of a batch's good features and as many noisy ones; they share batch norm's statistics.

        Args:
            batch: Good images.

        Returns:
            Scalar loss.
        """
        good = self.adapted(batch.image).flatten(0, 2)  # N, C
        noisy = good + self.noise * torch.randn_like(good)
        score_good, score_noisy = self.discriminator(torch.cat([good, noisy])).squeeze(1).chunk(2)
        return hinge(score_good, score_noisy, self.margin)

    def forward(self, image: Tensor) -> Scores:
        """Score a patch by minus the discriminator's output; the image scores as its worst patch."""
        self.require_fit()
        adapted = self.adapted(image)  # B, h, w, C
        grid = -self.discriminator(adapted.flatten(0, 2)).view(adapted.shape[:3])
        return Scores(peak(grid), smooth(grid, (image.shape[2], image.shape[3]), self.sigma))

    def adapted(self, image: Tensor) -> Tensor:
        """Return each patch's description after the adaptor.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            (B, h, w, C) on the grid of the shallowest layer.
        """
        with torch.no_grad():
            patches = describe(self.features(image), self.patch_size)
        found: Tensor = self.adaptor(patches)
        return found

    def _check(self) -> None:
        if self.patch_size < 1 or self.patch_size % 2 == 0:
            raise InputError(f"patch_size is {self.patch_size}; it must be odd: 1, 3, 5, ...")
        for name in ("noise", "margin", "adaptor_lr", "lr"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("hidden", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.sigma < 0:
            raise InputError(f"sigma is {self.sigma}; it must be at least 0")


def discriminator(channels: int, hidden: int) -> nn.Sequential:
    """Return the discriminator D, whose last layer has no bias.

    Args:
        channels: C, the length of a feature.
        hidden: Width of the hidden layer.

    Returns:
        D, (N, C) features to (N, 1) scores, high for good ones.
    """
    return nn.Sequential(
        nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1, bias=False)
    )


def hinge(good: Tensor, noisy: Tensor, margin: float) -> Tensor:
    """Return the mean distance of good scores to above `margin`, plus that of noisy ones to below minus `margin`.

    Args:
        good: Scores of good features.
        noisy: Scores of noisy features.
        margin: th, above 0.

    Returns:
        Scalar loss, at least 0.
    """
    return F.relu(margin - good).mean() + F.relu(margin + noisy).mean()
