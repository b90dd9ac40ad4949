"""AE: compress a part to a short code and reconstruct it; what cannot be reconstructed is a defect.

A convolutional autoencoder learns to reconstruct good parts from a short latent code. A defect was never learned, so it
comes back as something good, and the difference between the part and its reconstruction marks the position. The
difference is either the squared error of each pixel (`loss="mse"`) or the lack of structural similarity around it
(`loss="ssim"`), the paper's contribution: it reacts to a changed structure, even of the same brightness, and tolerates
edges that are slightly off. The same measure is the training loss and the map; the image scores as its map's peak.

The network sees windows of 8 x 2^halvings pixels. Training takes one random window per image (the whole image if it is
no larger); testing slides the window by `stride` and averages the maps where windows overlap, as the paper does for
textures. Smaller images are padded by reflection to one window and the map is cropped back, so any size is accepted.

Where the paper leaves details open, or its ports differ (there is no official code):
- The last activation is not given. We end in a sigmoid, because images lie in [0, 1]; the latent code itself is linear.
- SSIM's weights inside its 11 x 11 window are Gaussian (1.5 pixels) as in SSIM's own paper, and images are reflected at
  their borders. On colour images SSIM is averaged over the channels, the squared error is summed.
- The paper has two settings: objects (256 pixels, a code of 500 numbers; our defaults) and textures (128 pixels, 100
  numbers: `halvings=4, latent=100`).
- 200 epochs of 10 000 augmented patches in batches of 128 are 15 625 steps. The rotations and flips of patches, which
  the paper allows category by category, are left to the data, and so is enlarging objects beyond the window (266 pixels
  for 256, cropped at random); random windows are taken here.
- The initial weights are not given. We take He's: with PyTorch's own the signal fades in the twenty layers, and the
  network outputs a grey mean for many hundred steps.
- The image score is ours; the paper thresholds pixels only. The map is not smoothed unless `sigma` is set. In flat
  regions SSIM amplifies noise, so on finely textured surfaces the peak of its map is noise: smooth it, or take
  `loss="mse"`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

import torch
from torch import Tensor

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.ops.maps import blur, peak
from blemish.ops.networks.convolutional import average_windows, decoder, encoder, random_windows, window_side
from blemish.ops.ssim import ssim
from blemish.training.device import device_of
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="AE",
    idea="what an autoencoder of good parts cannot redraw, by pixels or by structural similarity",
    family="reconstruction",
    paper=Paper(
        title="Improving Unsupervised Defect Segmentation by Applying Structural Similarity to Autoencoders",
        authors="Paul Bergmann, Sindy Löwe, Michael Fauser, David Sattlegger, Carsten Steger",
        year=2019,
        venue="VISAPP",
        url="https://arxiv.org/abs/1807.02011",
    ),
    differs=(
        "sigmoid at the end, where the paper is silent",
        "no rotations or flips of the training patches; objects of 256 pixels are not made larger and cropped",
        "the image scores as its map's peak; the paper scores pixels only",
    ),
    reported=(
        Reported("MVTec AD", "pixel_AUROC", 81.7, "MVTec AD paper, collected by jandiers/mvtec-results", "loss='mse'"),
        Reported("MVTec AD", "pixel_AUROC", 86.9, "MVTec AD paper, collected by jandiers/mvtec-results", "loss='ssim'"),
    ),
    presets={
        "paper": Preset(256, 128),
        "quick": Preset(128, 8, {"steps": 400, "halvings": 4, "latent": 100, "lr": 1e-3}),
    },
)


class AE(Detector):
    """Reconstruction error of a convolutional autoencoder; 2 722 231 parameters by default.

    `encoder` maps windows, (B, 3, S, S) with S = 8 x 2^`halvings`, to codes, (B, `latent`, 1, 1); `decoder` maps them
    back.

    Args:
        loss: "mse" or "ssim", for both training and the map; the paper proposes "ssim".
        halvings: How often the window is halved before the code, at least 3; the paper's objects: 5, textures: 4.
        latent: Length of the code, at least 1; the paper's objects: 500, textures: 100.
        width: Scales the channels, at least 1; the paper's is 32.
        window: Side of SSIM's window in pixels, odd, below 2 S with "ssim"; the paper's is 11.
        steps: Gradient steps, at least 1; the default is the paper's 200 epochs.
        lr: Adam's learning rate, above 0; the paper's is 2e-4.
        weight_decay: Adam's weight decay, at least 0; the paper's is 1e-5.
        stride: Step between test windows in pixels, 1 to S; None: a quarter window, the paper's 32 of 128.
        sigma: Standard deviation of the map's Gaussian smoothing in pixels, at least 0; the paper does not smooth.
        seed: Random state of the initial weights and of the training windows.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) the training loss of each step

    def __init__(
        self,
        loss: Literal["mse", "ssim"] = "ssim",
        halvings: int = 5,
        latent: int = 500,
        width: int = 32,
        window: int = 11,
        steps: int = 15_625,
        lr: float = 2e-4,
        weight_decay: float = 1e-5,
        stride: int | None = None,
        sigma: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.loss, self.halvings, self.latent, self.width, self.window = loss, halvings, latent, width, window
        self.steps, self.lr, self.weight_decay = steps, lr, weight_decay
        self.stride, self.sigma, self.seed = stride, sigma, seed
        self._check()
        self.side = window_side(halvings)
        with seeded(seed):
            self.encoder = encoder(halvings, latent, width)
            self.decoder = decoder(halvings, latent, width)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Learn to reconstruct random windows of good parts."""
        adam = torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        with seeded(self.seed) as generator:

            def loss(batch: Batch) -> Tensor:
                return self.residual(random_windows(batch.image, self.side, generator)).mean()

            losses = optimise(self, loss, data, steps=self.steps, optimiser=adam)
        self.losses = torch.tensor(losses, device=device_of(self))
        return self

    def forward(self, image: Tensor) -> Scores:
        """Score by the reconstruction error; the image scores as its map's peak."""
        self.require_fit()
        map = average_windows(image, self.side, self.stride or self.side // 4, self.residual)
        map = blur(map, self.sigma)
        return Scores(peak(map), map)

    def residual(self, image: Tensor) -> Tensor:
        """Return the reconstruction error of each pixel of windows.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].

        Returns:
            (B, S, S) errors, at least 0.
        """
        redrawn: Tensor = self.decoder(self.encoder(image))
        if self.loss == "mse":
            return (image - redrawn).square().sum(1)
        return 1 - ssim(image, redrawn, window=self.window).mean(1)

    def _check(self) -> None:
        if self.loss not in ("mse", "ssim"):
            raise InputError(f"loss is {self.loss!r}; it must be 'mse' or 'ssim'")
        if self.window < 1 or self.window % 2 == 0:
            raise InputError(f"window is {self.window}; it must be odd: 3, 5, ..., the paper's 11")
        largest = 2 * window_side(self.halvings) - 1  # an image is reflected once at most
        if self.loss == "ssim" and self.window > largest:
            raise InputError(f"window is {self.window}; with {self.halvings} halvings it must be at most {largest}")
        if self.latent < 1 or self.width < 1 or self.steps < 1:
            raise InputError(
                f"latent is {self.latent}, width is {self.width}, steps is {self.steps}; each must be at least 1"
            )
        if self.lr <= 0 or self.weight_decay < 0 or self.sigma < 0:
            raise InputError(
                f"lr is {self.lr} (above 0), weight_decay is {self.weight_decay} and sigma is {self.sigma} (at least 0)"
            )
        if self.stride is not None and not 1 <= self.stride <= window_side(self.halvings):
            raise InputError(f"stride is {self.stride}; it must be 1 to {window_side(self.halvings)}, or None")
