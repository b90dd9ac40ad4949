"""AnoGAN: learn to generate good parts; search for the generated image closest to a part; what differs is the defect.

A DCGAN learns to generate good images from a random vector z. For a test image, z is searched by gradient descent, with
all networks frozen, until the generated image G(z) is close to it: in its pixels (the residual loss, the sum of |x -
G(z)|) and in the features of the discriminator (the discrimination loss, the sum of |f(x) - f(G(z))|). The sum of both
after the last step, weighted by (1 - λ) and λ, is the score; the map is |x - G(z)|, averaged over the colours. Slow: an
image costs `search_steps` passes through both networks, forwards and backwards.

The networks work at one square size, `image_size`. Images of any other size are resized to it (bilinear, antialiased
when shrinking), and the map is enlarged back; the paper cuts patches of 64 x 64 instead.

Where paper and other code differ (there is no official one):
- The paper does not name the optimiser that searches z. We take Adam with `search_lr`, and let z leave the cube [-1, 1]
  that it is drawn from in training.
- Every search starts from the same z, drawn from `seed`, so that the score of an image depends on nothing but the
  image. The sum over the images is minimised, in which each image has its own z and its own gradient.
- f is the input of the discriminator's last layer; the paper calls it an intermediate layer.
- Kernels are 4 x 4 and patches have three colours; the paper has 5 x 5, and grey.
- The generator maximises log D(G(z)), as everyone does, in place of minimising log(1 - D(G(z))).
- The paper's 20 epochs of a million patches, in DCGAN's batches of 64, are about 312 500 steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.ops.maps import enlarge
from blemish.ops.networks.dcgan import Discriminator, upwards
from blemish.ops.networks.layers import to_square
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="AnoGAN",
    idea="distance of an image to the nearest drawing of a GAN trained on good parts",
    family="reconstruction",
    paper=Paper(
        title="Unsupervised Anomaly Detection with Generative Adversarial Networks to Guide Marker Discovery",
        authors="Thomas Schlegl, Philipp Seeböck, Sebastian M. Waldstein, Ursula Schmidt-Erfurth, Georg Langs",
        year=2017,
        venue="IPMI",
        url="https://arxiv.org/abs/1703.05921",
    ),
    differs=("4 x 4 kernels, three colours", "every search starts from the same z"),
    reported=(
        Reported(
            "MVTec AD",
            "pixel_AUROC",
            74.0,
            "recalled, not checked: MVTec AD paper, CVPR 2019",
            "patches, mean over categories",
        ),
    ),
    presets={
        "paper": Preset(64, 64),
        "quick": Preset(128, 8, {"steps": 400, "width": 32, "search_steps": 100, "search_lr": 0.05}),
    },
    not_exported="its search follows gradients while it looks at a part, and an exported graph has none",
)


class AnoGAN(Detector):
    """A DCGAN and a search through its latent space; 6 342 272 parameters by default.

    Args:
        image_size: Side of the networks' input in pixels, a power of two, at least 8; the paper's is 64.
        width: Channels of the discriminator's first layer, at least 1; the generator mirrors it.
        latent: Length of z, at least 1.
        weight: λ, the weight of the discrimination loss, in [0, 1]; the paper's is 0.1.
        steps: Gradient steps of each network, at least 1; the default is the paper's 20 epochs.
        lr: Adam's learning rate in training, above 0.
        beta1: Adam's first decay rate in training, 0 to below 1.
        search_steps: Steps of the search for z, at least 1; the paper's is 500.
        search_lr: Adam's learning rate in the search, above 0; the paper does not give it.
        seed: Random state of the initial weights, of training, and of the z that searches start from.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,), the discriminator's

    def __init__(
        self,
        image_size: int = 64,
        width: int = 64,
        latent: int = 100,
        weight: float = 0.1,
        steps: int = 312_500,
        lr: float = 2e-4,
        beta1: float = 0.5,
        search_steps: int = 500,
        search_lr: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.image_size, self.width, self.latent, self.weight = image_size, width, latent, weight
        self.steps, self.lr, self.beta1 = steps, lr, beta1
        self.search_steps, self.search_lr, self.seed = search_steps, search_lr, seed
        self._check()
        with seeded(seed):
            self.generator = upwards(image_size, width, latent)
            self.discriminator = Discriminator(image_size, width)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Train discriminator and generator alternately."""
        with seeded(self.seed):
            adams = [
                torch.optim.Adam(part.parameters(), lr=self.lr, betas=(self.beta1, 0.999))
                for part in (self.discriminator, self.generator)
            ]
            losses = optimise(
                self,
                [
                    lambda batch: self.discriminator_loss(to_square(batch.image, self.image_size)),
                    lambda batch: self.generator_loss(len(batch)),
                ],
                data,
                steps=self.steps,
                optimiser=adams,
                validation_loss=None,
                label="AnoGAN",
            )
        self.losses = torch.tensor(losses, device=self.losses.device)
        return self

    def forward(self, image: Tensor) -> Scores:
        """Score by the loss that the search leaves; the map is the residual."""
        self.require_fit()
        x = to_square(image, self.image_size)
        drawn = self.generator(self.search(x))
        residual = enlarge((x - drawn).abs().mean(1), (image.shape[2], image.shape[3]))
        return Scores(self.distance(x, self.discriminator(x)[1], drawn), residual)

    def search(self, x: Tensor) -> Tensor:
        """Search the z of each image for `search_steps` steps.

        Args:
            x: (B, 3, image_size, image_size) in [-1, 1].

        Returns:
            (B, latent, 1, 1).
        """
        chance = torch.Generator().manual_seed(self.seed)
        first = 2 * torch.rand(1, self.latent, 1, 1, generator=chance) - 1
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone()  # a tensor made in inference mode has no gradients
            seen = self.discriminator(x)[1].detach()
            z = first.to(x.device).repeat(len(x), 1, 1, 1).requires_grad_()
            adam = torch.optim.Adam([z], lr=self.search_lr)
            for _ in range(self.search_steps):
                (z.grad,) = torch.autograd.grad(self.distance(x, seen, self.generator(z)).sum(), z)
                adam.step()
        return z.detach()

    def distance(self, x: Tensor, seen: Tensor, drawn: Tensor) -> Tensor:
        """Return (1 - λ) times the residual loss plus λ times the discrimination loss of each image.

        Args:
            x: (B, 3, image_size, image_size) in [-1, 1].
            seen: The discriminator's features of x.
            drawn: Generated images, as x.

        Returns:
            (B,), at least 0.
        """
        residual = (x - drawn).abs().flatten(1).sum(1)
        features: Tensor = self.discriminator(drawn)[1]
        discrimination = (seen - features).abs().flatten(1).sum(1)
        return (1 - self.weight) * residual + self.weight * discrimination

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """Return the binary cross-entropy of real images taken for real and generated ones for fake.

        Args:
            x: Real images, (B, 3, image_size, image_size) in [-1, 1]; as many are generated.

        Returns:
            Scalar loss.
        """
        with torch.no_grad():
            fake = self.generator(self._draw(len(x)))
        real, false = self.discriminator(x)[0], self.discriminator(fake)[0]
        return F.softplus(-real).mean() + F.softplus(false).mean()

    def generator_loss(self, count: int) -> Tensor:
        """Return the binary cross-entropy of generated images taken for real.

        Args:
            count: How many are generated.

        Returns:
            Scalar loss.
        """
        return F.softplus(-self.discriminator(self.generator(self._draw(count)))[0]).mean()

    def _draw(self, count: int) -> Tensor:
        return 2 * torch.rand(count, self.latent, 1, 1, device=self.losses.device) - 1

    def _check(self) -> None:
        whole = {name: getattr(self, name) for name in ("width", "latent", "steps", "search_steps")}
        if min(whole.values()) < 1:
            raise InputError(f"each must be at least 1: {', '.join(f'{name} is {n}' for name, n in whole.items())}")
        if self.lr <= 0 or self.search_lr <= 0 or not 0 <= self.beta1 < 1:
            raise InputError(
                f"lr is {self.lr}, search_lr is {self.search_lr} (both above 0), "
                f"beta1 is {self.beta1} (from 0 to below 1)"
            )
        if not 0 <= self.weight <= 1:
            raise InputError(f"weight is {self.weight}; it must lie in [0, 1]")
