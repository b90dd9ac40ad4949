"""CutPaste: learn to see that a piece of a part was cut and pasted elsewhere; what looks unlike good parts is a defect.

Nothing foreign is needed: a pasted piece has the part's own colours, but it breaks its pattern. In the paper's order:

1. Pretext task. From each good image are made: itself; with a rectangle of 2 to 15 % of its area pasted at a random
   position ("normal"); with a rotated strip of 2 to 16 by 10 to 25 pixels pasted ("scar"). Pieces, and whole images,
   have their colours jittered by a tenth. `variant="3way"` classifies the three, "normal" and "scar" the image against
   one of them.
2. Network. The trunk's last map, averaged over the image, is the embedding f; a projection head of linear layers, batch
   norms and ReLUs, and a linear layer give the classes' logits, for the cross-entropy.
3. One-class classifier. The head is discarded. A Gaussian N(m, S) is fitted to the embeddings of the unchanged good
   images. An image scores its Mahalanobis distance, sqrt((f - m)' S^-1 (f - m)).
4. Map. Every window has an embedding, too: the trunk's map averaged over the window alone. A second Gaussian, of all
   windows of all good images, scores each window; the grid of scores is enlarged and smoothed.

There is no official code. Where the paper and we differ, or re-implementations do:
- The paper localises with a second network that is trained on crops of 64 x 64 of 256 x 256 pixels and embeds every
  crop (stride 4) by itself; the heat map comes from these embeddings. Our one network is trained on whole images and
  embeds all windows in one pass, so a window also sees its surroundings, and lies on the trunk's grid: 16 x 16 windows
  of 3 x 3 cells (48 pixels a side) at 256 pixels. That is far cheaper and coarser. The paper's 96.0 pixel AUROC is not
  this map's.
- The paper trains a ResNet-18 from scratch: `backbone="resnet18", layer=32` (its map then has 8 x 8 cells at 256
  pixels). By default the trunk is our small embedded network, from scratch, too, with batch norms. Its layer 16 holds
  what its stage 4 sees, so it is the last map. `pretrained=True` starts from the weights; those of the embedded network
  have no batch norms, and at the paper's `lr` of 0.03 the training collapses to chance. Take 0.001 then, as "quick"
  does.
- Re-implementations differ in the head: one hidden layer of 512, or eight, before the one of 128. `head_layers` is 1.
- One of them scales embeddings to unit length before the Gaussian (`normalise=True`); the paper's formula does not.
- The paper also shifts the images at random in training. We do not.
- With fewer good images than channels S has no inverse: its diagonal grows by `ridge` times the mean variance.
- The paper's 256 epochs are of 256 steps each, whatever the category: 65 536 `steps`, of 32 images in three versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.progress import progress
from blemish.core.types import Batch, Scores
from blemish.features.trainable import trainable
from blemish.ops.colour import jitter_all
from blemish.ops.gaussian import Moments, mahalanobis
from blemish.ops.maps import blur, enlarge
from blemish.ops.rotation import turn
from blemish.training.device import device_of, to
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="CutPaste",
    idea="a network that sees cut and pasted pieces, and a Gaussian of its embeddings of good parts",
    family="synthetic anomalies",
    paper=Paper(
        title="CutPaste: Self-Supervised Learning for Anomaly Detection and Localization",
        authors="Chun-Liang Li, Kihyuk Sohn, Jinsung Yoon, Tomas Pfister",
        year=2021,
        venue="CVPR",
        url="https://arxiv.org/abs/2104.04015",
    ),
    differs=(
        "the map comes from windows of the one network, not from a second one that is trained on crops",
        "the trunk is a small network of our own by default; images are not shifted in training",
    ),
    reported=(
        Reported("MVTec AD", "image_AUROC", 95.2, "paper", "3-way, ResNet-18 from scratch, 256 px, one model"),
        Reported("MVTec AD", "image_AUROC", 93.4, "paper", "scar, ResNet-18 from scratch, 256 px"),
        Reported("MVTec AD", "image_AUROC", 90.9, "paper", "normal, ResNet-18 from scratch, 256 px"),
        Reported("MVTec AD", "pixel_AUROC", 96.0, "paper", "a second network, of crops of 64 x 64; not our map"),
    ),
    presets={"paper": Preset(256, 32), "quick": Preset(128, 8, {"steps": 400, "pretrained": True, "lr": 0.001})},
)


class CutPaste(Detector):
    """Mahalanobis distance in a network trained to see pasted pieces; 2 001 411 parameters by default.

    The paper's trunk, `backbone="resnet18"` with `layer=32`, makes it 11 505 859 parameters; all of them are trained,
    by SGD with momentum 0.9 and weight decay 3e-5.

    Args:
        variant: "3way", "normal" or "scar": the versions of an image that are classified.
        backbone: The trunk, see `blemish.features.trainable`; the paper's is "resnet18".
        layer: Name of its last layer, or a stride as a number; the paper's is 32.
        weights: Local .safetensors file to start from; None takes the pretrained ones. Only with `pretrained`.
        pretrained: Whether the trunk starts from pretrained weights; if not, from random ones, as the paper's.
        head_layers: Hidden layers of 512 before the head's last of 128, at least 0.
        jitter: Strength of the colour changes, in [0, 0.5]; the paper's is 0.1.
        steps: Gradient steps, at least 1; the default is the paper's 256 epochs.
        lr: Learning rate, above 0, that falls to 0 along a cosine; the paper's is 0.03, with `pretrained` take 0.001.
        normalise: Whether embeddings are scaled to unit length; the paper's are not.
        ridge: What is added to the covariances' diagonals, in units of the mean variance, above 0.
        window: Side of the windows in cells of the trunk's map, odd.
        sigma: Standard deviation of the map's Gaussian smoothing in input pixels, at least 0.
        seed: Random state of the initial head, of a trunk that is not pretrained, and of the pasted pieces.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) the cross entropy of each step

    def __init__(
        self,
        variant: Literal["normal", "scar", "3way"] = "3way",
        backbone: str = "texnet_s",
        layer: str | int = 16,
        weights: str | None = None,
        pretrained: bool = False,
        head_layers: int = 1,
        jitter: float = 0.1,
        steps: int = 65_536,
        lr: float = 0.03,
        normalise: bool = False,
        ridge: float = 0.01,
        window: int = 3,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.variant, self.backbone, self.layer, self.weights = variant, backbone, layer, weights
        self.pretrained, self.head_layers, self.jitter = pretrained, head_layers, jitter
        self.steps, self.lr, self.normalise, self.ridge = steps, lr, normalise, ridge
        self.window, self.sigma, self.seed = window, sigma, seed
        self._check()
        self.trunk = trainable(backbone, [layer], weights=weights, pretrained=pretrained, seed=seed)
        with seeded(seed):
            self.head = projection(self.trunk.channels[0], [512] * head_layers + [128], 1 + len(PASTE[variant]))
        self.images, self.windows = Gaussian(), Gaussian()
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Train the trunk on the pretext task, then fit the two Gaussians in a second pass over the good parts."""
        sgd = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=3e-5)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, self.steps)
        with seeded(self.seed) as generator:

            def loss(batch: Batch) -> Tensor:
                images, kinds = self.versions(batch.image, generator)
                return F.cross_entropy(self.head(self.embed(images)[0]), kinds)

            losses = optimise(self, loss, data, steps=self.steps, optimiser=sgd, schedule=cosine, label="CutPaste")
        images, windows = Moments(), Moments()
        with torch.no_grad():  # in eval mode: the batch norms do not change
            for batch in progress(data, "density"):
                whole, grid = self.embed(to(batch, device_of(self)).image)
                images.update([whole[..., None, None]])
                windows.update([grid.flatten(0, 2)[..., None, None]])
        self.images.take(images, self.ridge)
        self.windows.take(windows, self.ridge)
        self.losses = torch.tensor(losses, device=device_of(self))
        return self

    def versions(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Make the versions of each image, and label them.

        Args:
            images: (B, 3, H, W) good images, RGB in [0, 1].
            generator: Random state of the pieces and colours.

        Returns:
            (K x B, 3, H, W) images, first the good ones, then those with pieces pasted, and (K x B,) their classes, 0
            to K - 1.
        """
        made: list[list[Tensor]] = [[] for _ in range(1 + len(PASTE[self.variant]))]
        for image in images:
            good = jitter_all(image, self.jitter, generator)
            made[0].append(good)
            for kind, paste in enumerate(PASTE[self.variant], start=1):
                made[kind].append(paste(good, generator, jitter=self.jitter)[0])
        kinds = torch.arange(len(made), device=images.device).repeat_interleave(len(images))
        return torch.stack([image for version in made for image in version]), kinds

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of images and of their windows.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            (B, C) of the images and (B, h, w, C) of the windows.
        """
        map = self.trunk(image)[0]
        windows = F.avg_pool2d(map, self.window, 1, self.window // 2, count_include_pad=False).permute(0, 2, 3, 1)
        whole = map.mean((2, 3))
        return (F.normalize(whole, dim=-1), F.normalize(windows, dim=-1)) if self.normalise else (whole, windows)

    def forward(self, image: Tensor) -> Scores:
        """Score by the distance to the good images' embeddings, and each window by that to good windows'."""
        self.require_fit()
        whole, windows = self.embed(image)
        grid = self.windows(windows.flatten(0, 2)).view(windows.shape[:3])
        return Scores(self.images(whole), blur(enlarge(grid, (image.shape[2], image.shape[3])), self.sigma))

    def _check(self) -> None:
        if self.variant not in PASTE:
            raise InputError(f"variant is {self.variant!r}; it must be one of {', '.join(map(repr, PASTE))}")
        if self.window < 1 or self.window % 2 == 0:
            raise InputError(f"window is {self.window}; it must be odd: 1, 3, 5, ...")
        if not 0 <= self.jitter <= 0.5:
            raise InputError(f"jitter is {self.jitter}; it must lie in [0, 0.5], half a turn of the hue")
        if self.head_layers < 0 or self.steps < 1:
            raise InputError(f"head_layers is {self.head_layers} (at least 0), steps is {self.steps} (at least 1)")
        if self.lr <= 0 or self.ridge <= 0 or self.sigma < 0:
            raise InputError(
                f"lr is {self.lr}, ridge is {self.ridge} (both above 0), sigma is {self.sigma} (at least 0)"
            )


class Gaussian(nn.Module):
    """A normal distribution of embeddings; empty until `take`."""

    mean: Tensor  # (1, C)
    whitening: Tensor  # (1, C, C)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("whitening", torch.empty(0))

    def take(self, moments: Moments, ridge: float) -> None:
        """Keep mean and covariance.

        Args:
            moments: Moments of the embeddings.
            ridge: What is added to the covariance's diagonal, in units of the mean variance.

        Raises:
            InputError: there are fewer than two embeddings, or all are the same, or some are not finite.
        """
        spread = float(moments.scatter[0].diagonal(dim1=1, dim2=2).mean()) / max(moments.count - 1, 1)
        if moments.count > 1 and spread == 0:
            raise InputError(
                f"the trained network sees no difference between {moments.count} good images: there is no covariance. "
                "Add good images that differ, or train with a lower lr."
            )
        self.mean, self.whitening = moments.mean[0], moments.whitening(ridge * spread)[0]

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return the Mahalanobis distances of embeddings.

        Args:
            embeddings: (N, C).

        Returns:
            (N,), at least 0.
        """
        return mahalanobis([embeddings[..., None, None]], [self.mean], [self.whitening]).flatten()


def projection(channels: int, hidden: list[int], classes: int) -> nn.Sequential:
    """Return the head: a linear layer, batch norm and ReLU for each hidden width, then a linear layer to the classes.

    Args:
        channels: Length of an embedding.
        hidden: Widths of the hidden layers, at least one.
        classes: Number of classes.

    Returns:
        The head, (N, channels) to (N, classes) logits.
    """
    layers: list[nn.Module] = []
    for into, out in pairwise([channels, *hidden]):
        layers += [nn.Linear(into, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], classes))


def paste_patch(
    image: Tensor,
    generator: torch.Generator,
    *,
    area: tuple[float, float] = (0.02, 0.15),
    aspect: float = 0.3,
    jitter: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Return the image with a rectangle of it pasted elsewhere, its colours jittered.

    Args:
        image: (3, H, W) RGB in [0, 1].
        generator: Random state.
        area: Range of the rectangle's share of the image, uniform.
        aspect: Its width over its height lies between this and 1 / `aspect`, uniform in the logarithm, so that wide and
            tall ones are equally frequent.
        jitter: Strength of the colour changes, in [0, 0.5].

    Returns:
        The changed image, and the (H, W) bool mask of where.
    """
    h, w = image.shape[1:]
    pixels = _between(*area, generator) * h * w
    ratio = math.exp(_between(math.log(aspect), -math.log(aspect), generator))
    rows, columns = _side(math.sqrt(pixels / ratio), h), _side(math.sqrt(pixels * ratio), w)
    patch = jitter_all(image[:, *_place(image, rows, columns, generator)], jitter, generator)
    inside = torch.ones(rows, columns, dtype=torch.bool, device=image.device)
    return _pasted(image, patch, inside, generator)


def paste_scar(
    image: Tensor,
    generator: torch.Generator,
    *,
    width: tuple[float, float] = (2, 16),
    length: tuple[float, float] = (10, 25),
    angle: float = 45,
    jitter: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Return the image with a thin, rotated strip of it pasted elsewhere, its colours jittered.

    The strip is upright where it is cut.

    Args:
        image: (3, H, W) RGB in [0, 1].
        generator: Random state.
        width: Range of the strip's width in pixels, whatever the size of the image.
        length: Range of its length in pixels.
        angle: It is rotated by up to so many degrees either way.
        jitter: Strength of the colour changes, in [0, 0.5].

    Returns:
        The changed image, and the (H, W) bool mask of where.
    """
    across, along = _between(*width, generator), _between(*length, generator)
    turned = math.radians(_between(-angle, angle, generator))
    side = min(math.ceil(math.hypot(across, along)), *image.shape[1:])  # of the square that holds it at any rotation
    square = jitter_all(image[:, *_place(image, side, side, generator)], jitter, generator)
    return _pasted(image, turn(square, turned), strip(side, across, along, turned).to(image.device), generator)


PASTE: dict[str, tuple[Callable[..., tuple[Tensor, Tensor]], ...]] = {
    "normal": (paste_patch,),
    "scar": (paste_scar,),
    "3way": (paste_patch, paste_scar),
}
"""The ways to change an image by the name of a variant; with two of them the network tells them apart."""


def strip(side: int, across: float, along: float, angle: float) -> Tensor:
    """Return the mask of an upright rectangle, centred in a square and rotated anticlockwise.

    Args:
        side: Side of the square in pixels.
        across: Width of the rectangle in pixels.
        along: Its length in pixels.
        angle: Rotation in radians.

    Returns:
        (side, side) bool.
    """
    at = torch.arange(side) - (side - 1) / 2
    y, x = at[:, None], at[None]
    c, s = math.cos(angle), math.sin(angle)
    return ((c * x - s * y).abs() <= across / 2) & ((s * x + c * y).abs() <= along / 2)


def _pasted(image: Tensor, piece: Tensor, inside: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste what is `inside` of a piece (3, h, w) at a random position; return the image and the mask."""
    place = _place(image, piece.shape[1], piece.shape[2], generator)
    pasted, mask = image.clone(), torch.zeros(image.shape[1:], dtype=torch.bool, device=image.device)
    pasted[:, *place] = torch.where(inside, piece, pasted[:, *place])
    mask[place] = inside
    return pasted, mask


def _place(image: Tensor, rows: int, columns: int, generator: torch.Generator) -> tuple[slice, slice]:
    top, left = (
        int(torch.randint(whole - side + 1, (), generator=generator))
        for whole, side in zip(image.shape[1:], (rows, columns), strict=True)
    )
    return slice(top, top + rows), slice(left, left + columns)


def _side(wanted: float, most: int) -> int:
    return min(max(round(wanted), 1), most)


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
