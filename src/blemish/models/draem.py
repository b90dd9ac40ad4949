"""DRAEM: learn on synthetic defects to restore a good part, and to segment the defect from part and restoration.

Training corrupts good parts. A mask is cut from Perlin noise where it exceeds `threshold`; inside, the part is mixed
with a foreign texture, whose share 1 - β lies between 0.2 and 1; half of the parts stay good. A reconstructive network,
an autoencoder without skip connections, learns to restore the part as it was (squared error, and 1 - SSIM). A
discriminative U-Net sees restoration and part together and learns the mask (focal loss). Both learn at once, from the
plain sum of the three losses. The U-Net's probability is the map; the image scores as the peak of the map's 21 x 21
means. Synthetic defects need not look like real ones: what is learned is how far a part is from its restoration.

Where paper and official code differ, or we differ from the code:
- Foreign textures are generated from noise by default (`blemish.ops.textures`), so nothing has to be downloaded. The
  paper takes the photographs of the Describable Textures Dataset (research use only): give their folder as `textures`.
  Each texture is distorted by three of ten operations, the code's; ours work on floats, and hue is rotated about the
  grey axis. Textures from noise are all coloured, photographs are not: half of ours (`grey`) lose their colour at the
  end. Otherwise the networks learn on grey parts that a defect is what has a colour.
- The code rotates three good parts in ten (`rotate`) by up to 90 degrees before they are corrupted. Use `rotate=0`
  where a rotated part is a defect. It also leaves black corners, and no mask in the noise's corners; we reflect the
  part and let the noise continue.
- The code reads BGR and pads SSIM's borders with zeros; we have RGB and reflected borders. It smooths the focal loss's
  labels by 1e-5, against infinite logarithms; ours come from logits and need none.
- 700 epochs of MVTec AD's 242 good images a category in batches of 8 are 21 175 steps.
- Inputs whose sides are not multiples of 32 are padded by reflection, and the map is cropped back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.ops.maps import peak
from blemish.ops.networks.layers import pad_to, pad_to_multiple
from blemish.ops.perlin import perlin_mask
from blemish.ops.rotation import turn
from blemish.ops.ssim import ssim
from blemish.ops.textures import Draw, distort, photographs
from blemish.training.device import device_of
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="DRAEM",
    idea="restore made-up defects, and tell from part and restoration where they were",
    family="synthetic anomalies",
    paper=Paper(
        title="DRÆM - A discriminatively trained reconstruction embedding for surface anomaly detection",
        authors="Vitjan Zavrtanik, Matej Kristan, Danijel Skočaj",
        year=2021,
        venue="ICCV",
        url="https://arxiv.org/abs/2108.07610",
    ),
    code="https://github.com/VitjanZ/DRAEM",
    code_licence="MIT",
    differs=(
        "foreign textures are drawn from noise, half of them without colour, unless a folder of photographs is given",
        "RGB; mirrored borders instead of black or zero ones",
    ),
    reported=(
        Reported("MVTec AD", "image_AUROC", 98.0, "paper", "256 px, 700 epochs, textures of DTD"),
        Reported("MVTec AD", "pixel_AUROC", 97.3, "paper", "256 px, 700 epochs, textures of DTD"),
        Reported("MVTec AD", "pixel_AP", 68.4, "paper", "256 px, 700 epochs, textures of DTD"),
    ),
    presets={
        "paper": Preset(256, 8),
        "quick": Preset(128, 8, {"steps": 400, "width": 16, "lr": 2e-3}),
    },
)

STRIDE = 32  # of the discriminative network's smallest map


class DRAEM(Detector):
    """Segmentation of what a restoring network changed; 97 422 725 parameters by default.

    Both networks are trained by Adam.

    Args:
        width: Channels of the reconstructive network's first block, even; the discriminative network has half. The
            paper's is 128.
        textures: Folder of images to corrupt parts with, read in `fit`; the paper's is DTD. None generates them from
            noise.
        grey: Share of the textures generated from noise that are without colour, in [0, 1].
        rotate: Probability that a good part is rotated first, in [0, 1]; the code's is 0.3.
        threshold: Noise above it is the mask, in [-1, 1).
        beta: Largest share of the part itself inside the mask, in [0, 1]; the code's is 0.8.
        anomalies: Probability that a part is corrupted, in [0, 1]; the code's is 0.5.
        gamma: Exponent of the focal loss, 0 (cross-entropy) or at least 1.
        steps: Gradient steps, at least 1; the default is the paper's 700 epochs.
        lr: Learning rate, above 0; a fifth of it after 80 % of the steps, a 25th after 90 %. The paper's is 1e-4.
        seed: Random state of the initial weights and the synthetic defects.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) the training loss of each step

    def __init__(
        self,
        width: int = 128,
        textures: str | None = None,
        grey: float = 0.5,
        rotate: float = 0.3,
        threshold: float = 0.5,
        beta: float = 0.8,
        anomalies: float = 0.5,
        gamma: float = 2.0,
        steps: int = 21_175,
        lr: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.width, self.textures, self.grey = width, textures, grey
        self.rotate, self.threshold = rotate, threshold
        self.beta, self.anomalies, self.gamma = beta, anomalies, gamma
        self.steps, self.lr, self.seed = steps, lr, seed
        self._check()
        with seeded(seed):
            self.reconstructive = Reconstructive(width).apply(_initialise)
            self.discriminative = Discriminative(width // 2).apply(_initialise)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Learn to restore and to segment synthetic defects on good parts."""
        adam = torch.optim.Adam(self.parameters(), lr=self.lr)
        falls = [math.ceil(self.steps * share) for share in (0.8, 0.9)]
        schedule = torch.optim.lr_scheduler.MultiStepLR(adam, falls, gamma=0.2)
        draw = photographs(self.textures)
        with seeded(self.seed) as generator:

            def loss(batch: Batch) -> Tensor:
                pairs = [self.spoil(image, generator, draw) for image in batch.image.cpu()]
                good, spoilt, mask = (torch.stack(parts).to(batch.image.device) for parts in zip(*pairs, strict=True))
                good, spoilt, mask = (pad_to_multiple(each, STRIDE) for each in (good, spoilt, mask))
                if len(good) == 1:  # a batch norm needs more than one position, even in the smallest map
                    good, spoilt, mask = (pad_to(each, (STRIDE, 2 * STRIDE)) for each in (good, spoilt, mask))
                restored, logits = self.segment(spoilt)
                restoring = F.mse_loss(restored, good) + (1 - ssim(restored, good)).mean()
                return restoring + focal(logits, mask.long(), gamma=self.gamma)

            losses = optimise(self, loss, data, steps=self.steps, optimiser=adam, schedule=schedule)
        self.losses = torch.tensor(losses, device=device_of(self))
        return self

    def spoil(self, image: Tensor, generator: torch.Generator, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Return a good part, perhaps rotated, and the same part, perhaps corrupted.

        Args:
            image: (3, H, W) RGB in [0, 1].
            generator: Random state.
            draw: Draws a texture of a given size, see `blemish.ops.textures`.

        Returns:
            The good part, the corrupted part (the same where nothing is), and the (H, W) bool mask of where.
        """

        def uniform() -> float:
            return float(torch.rand((), generator=generator))

        if uniform() < self.rotate:
            image = turn(image, math.pi * uniform() - math.pi / 2)
        size = (image.shape[1], image.shape[2])
        if uniform() >= self.anomalies:
            return image, image, torch.zeros(size, dtype=torch.bool)
        mask = perlin_mask(size, generator, threshold=self.threshold)
        foreign, beta = distort(draw(size, generator), generator), self.beta * uniform()
        if self.textures is None and uniform() < self.grey:
            foreign = foreign.mean(0, keepdim=True)
        return image, torch.where(mask, (1 - beta) * foreign + beta * image, image), mask

    def segment(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return restoration and segmentation of images.

        Args:
            image: (B, 3, H, W) RGB in [0, 1], sides multiples of 32.

        Returns:
            The restoration (B, 3, H, W) and the logits (B, 2, H, W) of good and defective pixels.
        """
        restored = self.reconstructive(image)
        return restored, self.discriminative(torch.cat([restored, image], dim=1))

    def forward(self, image: Tensor) -> Scores:
        """Score by the segmentation; the image scores as its worst neighbourhood of 21 x 21 pixels."""
        self.require_fit()
        h, w = image.shape[2:]
        _, logits = self.segment(pad_to_multiple(image, STRIDE))
        map = logits.softmax(1)[:, 1, :h, :w]
        return Scores(peak(F.avg_pool2d(map, 21, stride=1, padding=10)), map)

    def _check(self) -> None:
        if self.width < 2 or self.width % 2:
            raise InputError(f"width is {self.width}; it must be even and at least 2, the paper's is 128")
        for name in ("grey", "rotate", "beta", "anomalies"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        if not -1 <= self.threshold < 1:
            raise InputError(f"threshold is {self.threshold}; it must lie in [-1, 1), where Perlin noise does")
        if self.gamma != 0 and self.gamma < 1:
            raise InputError(f"gamma is {self.gamma}; it must be 0 or at least 1")
        if self.steps < 1 or self.lr <= 0:
            raise InputError(f"steps is {self.steps} (at least 1), lr is {self.lr} (above 0)")


class Reconstructive(nn.Module):
    """Five blocks down, four up, no skip connections: only what fits through the smallest map is restored.

    Args:
        width: Channels of the first block.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.down = nn.ModuleList(
            block(i, o, o) for i, o in [(3, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w), (8 * w, 8 * w)]
        )
        self.grow = nn.ModuleList(block(c, c) for c in (8 * w, 4 * w, 2 * w, w))
        self.up = nn.ModuleList(block(i, i, o) for i, o in [(8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w), (w, w)])
        self.last = nn.Conv2d(w, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the restored image.

        Args:
            x: (B, 3, H, W), sides multiples of 16.

        Returns:
            (B, 3, H, W).
        """
        for i, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if i else x)
        for grow, up in zip(self.grow, self.up, strict=True):
            x = up(grow(doubled(x)))
        restored: Tensor = self.last(x)
        return restored


class Discriminative(nn.Module):
    """A U-Net of six blocks down and five up, each of which sees the map of its own size from the way down.

    Args:
        width: Channels of the first block.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        sides = [w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w]
        self.down = nn.ModuleList(block(i, o, o) for i, o in zip([6, *sides], sides, strict=False))
        narrowed = [8 * w, 4 * w, 2 * w, w, w]  # channels after each doubling
        self.grow = nn.ModuleList(block(i, o) for i, o in zip([8 * w, *narrowed], narrowed, strict=False))
        self.up = nn.ModuleList(block(o + s, o, o) for o, s in zip(narrowed, sides[-2::-1], strict=True))
        self.last = nn.Conv2d(w, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return two logits per pixel.

        Args:
            x: Restoration and image, (B, 6, H, W), sides multiples of 32.

        Returns:
            (B, 2, H, W).
        """
        handed: list[Tensor] = []
        for i, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if i else x)
            handed.append(x)
        for grow, up, side in zip(self.grow, self.up, handed[-2::-1], strict=True):
            x = up(torch.cat([grow(doubled(x)), side], dim=1))
        logits: Tensor = self.last(x)
        return logits


def block(*channels: int) -> nn.Sequential:
    """Return a 3 x 3 convolution, batch norm and ReLU for each step from one number of channels to the next.

    Args:
        *channels: Numbers of channels, from the input's to the output's.

    Returns:
        The block; it keeps height and width.
    """
    modules: list[nn.Module] = []
    for into, out in pairwise(channels):
        modules += [nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*modules)


def doubled(x: Tensor) -> Tensor:
    """Return the map at twice its size, bilinear, with corners aligned, as the official code does.

    Args:
        x: (B, C, H, W).

    Returns:
        (B, C, 2H, 2W).
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _initialise(module: nn.Module) -> None:
    """Set the code's initial weights: normal, of deviation .02, about 0 and, in batch norms, about 1."""
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), 0.02)


def focal(logits: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Return the focal loss, the mean of -(1 - p)^gamma log p over all pixels, where p is the true class's probability.

    Lin et al. (2017), without class weights. Computed from log-probabilities: a confident mistake costs much, but never
    infinitely much.

    Args:
        logits: (B, K, ...).
        target: (B, ...) int64 in [0, K).
        gamma: 0 (the cross-entropy) or at least 1.

    Returns:
        Scalar loss, at least 0.
    """
    log_p = F.log_softmax(logits, dim=1).gather(1, target[:, None])[:, 0]
    return -((-log_p.expm1()).pow(gamma) * log_p).mean()
