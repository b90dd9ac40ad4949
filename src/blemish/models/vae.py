"""VAE: reconstruct a part from a code kept close to a normal distribution; what is unlikely comes back different.

An encoder gives each part a normal distribution over codes, N(μ, σ²) number by number, a decoder gives each code a
normal distribution over images of fixed `variance`. Training maximises the evidence lower bound: the log-likelihood of
the part given one sampled code (z = μ + σ ε, so that gradients pass), less `beta` times the divergence KL(N(μ, σ²) ||
N(0, 1)). The divergence makes precision cost, so the code carries no more about a part than pays off among good parts,
and a defect is hardly worth its price: it comes back as something good. The map is the squared reconstruction error,
the image scores as the map's peak. With `samples=0`, the default, the part is reconstructed from z = μ, which adds no
noise to the ranking; `samples=L` averages the error over L samples of the code: up to constants and the scale, the
reconstruction probability of An and Cho.

Network and windows are those of our AE (Bergmann et al. 2019): windows of 8 x 2^halvings pixels, one random window per
image in training; in testing windows `stride` apart, averaged where they overlap; smaller images are padded by
reflection.

Where papers and ports differ:
- Kingma and Welling, and An and Cho, train small fully connected networks on small images. Neither gives a network for
  images of parts, so we take the AE's convolutions, its Adam without weight decay and its 15 625 steps (200 epochs of
  10 000 patches in batches of 128). μ and log σ² are two heads on the last map, made by one convolution; another linear
  layer before them would add nothing and is left out.
- An and Cho also learn the decoder's variance, pixel by pixel. Ours is one fixed number, `variance`. The bound sums
  over all pixels and all numbers of the code, as it must: a mean over pixels would weight the divergence tens of
  thousands of times more. The loss is that bound divided by the number of pixel values.
- The samples of testing are the same for every image (`seed`), so a score does not depend on the batch.
- The divergence can win altogether (every code becomes N(0, 1), every part is reconstructed as their mean). Then lower
  `beta` or `variance`.
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
from blemish.ops.maps import blur, peak
from blemish.ops.networks.convolutional import average_windows, decoder, encoder, random_windows, window_side
from blemish.training.device import device_of
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="VAE",
    idea="what a variational autoencoder of good parts redraws differently",
    family="reconstruction",
    paper=Paper(
        title="Auto-Encoding Variational Bayes",
        authors="Diederik P. Kingma, Max Welling",
        year=2014,
        venue="ICLR",
        url="https://arxiv.org/abs/1312.6114",
    ),
    differs=(
        "the convolutional network of Bergmann et al. (2019); the papers' are small and fully connected",
        "a fixed variance of the pixels; An and Cho (2015) learn it",
        "scores from the mean code by default; An and Cho average over samples (samples=10)",
    ),
    reported=(
        Reported(
            "MVTec AD",
            "pixel_AUROC",
            86.1,
            "Liu et al. 2020, collected by jandiers/mvtec-results",
            "another VAE: its map is gradient attention",
        ),
    ),
    presets={
        "paper": Preset(256, 128),
        "quick": Preset(128, 8, {"steps": 400, "halvings": 4, "latent": 100, "lr": 1e-3, "variance": 0.1}),
    },
)


class VAE(Detector):
    """Reconstruction error of a variational autoencoder; 3 746 731 parameters by default.

    Args:
        halvings: How often the window is halved before the code, at least 3; its side is S = 8 x 2^`halvings` pixels.
        latent: Length of the code, at least 1.
        width: Scales the channels, at least 1.
        variance: Variance of the pixels about the reconstruction, above 0; An and Cho learn it.
        beta: Weight of the divergence, at least 0; the papers' is 1, the bound itself.
        steps: Gradient steps, at least 1; the default is that of the AE's paper.
        lr: Adam's learning rate, above 0; the default is that of the AE's paper.
        samples: Codes sampled per score, at least 0; 0 takes the mean code, An and Cho take 10.
        stride: Step between test windows in pixels, 1 to S; None: a quarter window.
        sigma: Standard deviation of the map's Gaussian smoothing in pixels, at least 0.
        seed: Random state of the initial weights, the training windows and all samples of codes.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) minus the bound per pixel value, of each step
    noise: Tensor  # (samples or 1, latent): the noise of testing; zeros where the mean code is used

    def __init__(
        self,
        halvings: int = 5,
        latent: int = 500,
        width: int = 32,
        variance: float = 1.0,
        beta: float = 1.0,
        steps: int = 15_625,
        lr: float = 2e-4,
        samples: int = 0,
        stride: int | None = None,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.halvings, self.latent, self.width, self.variance, self.beta = halvings, latent, width, variance, beta
        self.steps, self.lr, self.samples = steps, lr, samples
        self.stride, self.sigma, self.seed = stride, sigma, seed
        self._check()
        self.side = window_side(halvings)
        with seeded(seed) as generator:
            self.encoder = encoder(halvings, 2 * latent, width)
            self.decoder = decoder(halvings, latent, width)
            noise = torch.randn(samples, latent, generator=generator) if samples else torch.zeros(1, latent)
        self.register_buffer("noise", noise)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Maximise the evidence lower bound of random windows of good parts."""
        adam = torch.optim.Adam(self.parameters(), lr=self.lr)
        with seeded(self.seed) as generator:

            def loss(batch: Batch) -> Tensor:
                image = random_windows(batch.image, self.side, generator)
                mean, log_variance = self.encode(image)
                epsilon = torch.randn(mean.shape, generator=generator).to(mean.device)
                redrawn = self.decoder(draw(mean, log_variance, epsilon))
                return self.bound(image, redrawn, divergence(mean, log_variance).mean())

            losses = optimise(self, loss, data, steps=self.steps, optimiser=adam)
        self.losses = torch.tensor(losses, device=device_of(self))
        return self

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes' mean and log variance.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].

        Returns:
            Mean and log variance, both (B, latent, 1, 1).
        """
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        return mean, log_variance

    def bound(self, image: Tensor, redrawn: Tensor, distance: Tensor) -> Tensor:
        """Return minus the lower bound per pixel value, without the constant of the normal density.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].
            redrawn: Reconstructions, as image.
            distance: Mean divergence of the codes, in nats.

        Returns:
            Scalar loss.
        """
        error = (image - redrawn).square().mean() / (2 * self.variance)
        return error + self.beta * distance / image[0].numel()

    def forward(self, image: Tensor) -> Scores:
        """Score by the smoothed squared reconstruction error; the image scores as its map's peak."""
        self.require_fit()
        map = average_windows(image, self.side, self.stride or self.side // 4, self.residual)
        map = blur(map, self.sigma)
        return Scores(peak(map), map)

    def residual(self, image: Tensor) -> Tensor:
        """Return each pixel's squared error, summed over channels, averaged over the samples of the code.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].

        Returns:
            (B, S, S), at least 0.
        """
        mean, log_variance = self.encode(image)
        error = torch.zeros_like(image[:, 0])
        for noise in self.noise:  # latent
            redrawn = self.decoder(draw(mean, log_variance, noise[:, None, None]))
            error += (image - redrawn).square().sum(1)
        return error / len(self.noise)

    def _check(self) -> None:
        if self.latent < 1 or self.width < 1 or self.steps < 1 or self.samples < 0:
            raise InputError(
                f"latent is {self.latent}, width is {self.width}, steps is {self.steps} (each at least 1), "
                f"samples is {self.samples} (at least 0)"
            )
        if self.lr <= 0 or self.variance <= 0 or self.beta < 0 or self.sigma < 0:
            raise InputError(
                f"lr is {self.lr} and variance is {self.variance} (above 0), beta is {self.beta} and sigma is "
                f"{self.sigma} (at least 0)"
            )
        if self.stride is not None and not 1 <= self.stride <= window_side(self.halvings):
            raise InputError(f"stride is {self.stride}; it must be 1 to {window_side(self.halvings)}, or None")


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) of independent numbers, summed.

    Kingma and Welling (2014), appendix B: ½ sum(mean² + variance - 1 - log variance). At least in float32: near the
    standard normal all but the last digits cancel.

    Args:
        mean: (B, ...).
        log_variance: (B, ...).

    Returns:
        (B,) divergences in nats, at least 0.
    """
    whole = torch.promote_types(mean.dtype, torch.float32)
    mean, log_variance = mean.to(whole), log_variance.to(whole)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


def draw(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return mean + deviation x noise: a sample, for standard normal noise, that gradients pass through.

    Args:
        mean: (B, ...).
        log_variance: (B, ...).
        noise: Noise that broadcasts to the mean's shape.

    Returns:
        (B, ...) sample.
    """
    return mean + (0.5 * log_variance).exp() * noise
