"""f-AnoGAN: learn to generate good parts, then to find the generated image of a part; a defect cannot be generated.

First a Wasserstein GAN with gradient penalty learns to generate good images from a random vector z: a critic, trained
five steps for each of the generator's, estimates how far generated images are from real ones. Then both are frozen and
an encoder learns the z of an image ("izi_f"): the generated image G(E(x)) shall equal x in its pixels and in the
critic's last features. This loss on a test image is its score; the map is |x - G(E(x))|, averaged over the colours.

The networks are residual ones for one square size, `image_size`. Images of any other size are resized to it (bilinear,
antialiased when shrinking), and the map is enlarged back.

Where paper and official code differ:
- Both work on grey patches of retinal scans; we give the networks three colours.
- The paper writes the score with the feature term, the code can leave it out (`dual_iloss`); we keep it, as is its
  default.
- The code's critic has layer norm, generator and encoder have batch norm, all with the statistics it learned once
  trained, also in the generator while the encoder is trained. So do ours.
- The code trains the GAN for 7 epochs of some 850 000 patches in batches of 64, and counts the critic's steps: 93 000,
  each with a fresh batch, so 18 600 of the generator, `steps`. There five of the critic follow each of the generator's;
  here the generator is updated at each fifth batch, after the critic.
- The code flips half of its patches left to right; that is left to the data.
- Batch norms are PyTorch's (momentum 0.1, 1e-5 added to the variance), the code's are TensorFlow's (0.01, 1e-3).
- RMSProp is TensorFlow's: its decay rate is 0.9.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.types import Batch, Scores
from blemish.ops.maps import enlarge
from blemish.ops.networks.layers import to_square
from blemish.ops.networks.wgan import Critic, Generator, gradient_penalty
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="FAnoGAN",
    idea="distance of an image to its drawing by a GAN trained on good parts, found by an encoder",
    family="reconstruction",
    paper=Paper(
        title="f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial networks",
        authors="Thomas Schlegl, Philipp Seeböck, Sebastian M. Waldstein, Georg Langs, Ursula Schmidt-Erfurth",
        year=2019,
        venue="Medical Image Analysis",
        url="https://doi.org/10.1016/j.media.2019.01.010",
    ),
    code="https://github.com/tSchlegl/f-AnoGAN",
    code_licence="MIT",
    differs=("colour instead of grey images",),
    reported=(
        Reported("MVTec LOCO AD", "image_AUROC", 64.2, "Papers with Code", "logical and structural defects together"),
    ),
    presets={
        "paper": Preset(64, 64),
        "quick": Preset(128, 8, {"steps": 400, "encoder_steps": 400, "width": 16, "encoder_lr": 1e-3}),
    },
)


class FAnoGAN(Detector):
    """WGAN-GP and the izi_f encoder; 24 564 676 parameters by default.

    The GAN is trained by Adam, the encoder by RMSProp.

    Args:
        image_size: Side of the networks' input in pixels, a power of two, at least 8; the paper's is 64.
        width: Channels of the critic's first layer, at least 1; the generator mirrors it.
        latent: Length of z, at least 1; the paper's is 128.
        critic_steps: Updates of the critic for each of the generator, at least 1; the paper's is 5.
        penalty: Weight of the critic's gradient penalty, at least 0; the paper's is 10.
        kappa: Weight of the feature term in score and loss, at least 0; the paper's is 1.
        steps: Gradient steps of the generator, at least 1; the default is the code's 7 epochs.
        lr: Learning rate of the GAN, above 0.
        encoder_steps: Gradient steps of the encoder, at least 1.
        encoder_lr: Learning rate of the encoder, above 0.
        seed: Random state of the initial weights and of training.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps x critic_steps,), the critic's
    encoder_losses: Tensor  # (encoder_steps,)

    def __init__(
        self,
        image_size: int = 64,
        width: int = 64,
        latent: int = 128,
        critic_steps: int = 5,
        penalty: float = 10.0,
        kappa: float = 1.0,
        steps: int = 18_600,
        lr: float = 1e-4,
        encoder_steps: int = 50_000,
        encoder_lr: float = 5e-5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.image_size, self.width, self.latent = image_size, width, latent
        self.critic_steps, self.penalty, self.kappa = critic_steps, penalty, kappa
        self.steps, self.lr, self.encoder_steps, self.encoder_lr, self.seed = steps, lr, encoder_steps, encoder_lr, seed
        self._check()
        with seeded(seed):
            self.generator = Generator(image_size, width, latent)
            self.critic = Critic(image_size, width)
            self.encoder = Critic(image_size, width, out=latent, norm="batch")
        self.register_buffer("losses", torch.empty(0))
        self.register_buffer("encoder_losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Train the GAN, freeze it, then train the encoder."""
        device = self.losses.device
        with seeded(self.seed):
            self.losses = torch.tensor(self._fit_gan(data), device=device)
            for part in (self.generator, self.critic):
                part.requires_grad_(False)
            rmsprop = torch.optim.RMSprop(self.encoder.parameters(), lr=self.encoder_lr, alpha=0.9)
            found = optimise(
                self.encoder,  # generator and critic stay in eval mode
                lambda batch: self.distance(to_square(batch.image, self.image_size))[0].mean(),
                data,
                steps=self.encoder_steps,
                optimiser=rmsprop,
                settings=self.params,
                label="encoder",
            )
            self.encoder_losses = torch.tensor(found, device=device)
        return self

    def _fit_gan(self, data: Iterable[Batch]) -> list[float]:
        gan = nn.ModuleList([self.generator, self.critic])
        adams = [
            torch.optim.Adam(part.parameters(), lr=self.lr, betas=(0.0, 0.9)) for part in (self.critic, self.generator)
        ]
        return optimise(
            gan,
            [
                lambda batch: self.critic_loss(to_square(batch.image, self.image_size)),
                lambda batch: self.generator_loss(len(batch)),
            ],
            data,
            steps=self.steps * self.critic_steps,
            optimiser=adams,
            every=[1, self.critic_steps],
            validation_loss=None,
            settings=self.params,
            label="GAN",
        )

    def forward(self, image: Tensor) -> Scores:
        """Score by the encoder's loss; the map is the residual."""
        self.require_fit()
        x = to_square(image, self.image_size)
        distance, drawn = self.distance(x)
        return Scores(distance, enlarge((x - drawn).abs().mean(1), (image.shape[2], image.shape[3])))

    def distance(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far images are from their generated images, in pixels and features.

        Args:
            x: (B, 3, image_size, image_size) in [-1, 1].

        Returns:
            The mean squared difference of pixels plus `kappa` times that of features, (B,), and G(E(x)), as x.
        """
        drawn = self.generator(self.encoder(x)[0])
        pixels = (x - drawn).square().flatten(1).mean(1)
        features = (self.critic(x)[1] - self.critic(drawn)[1]).square().mean(1)
        return pixels + self.kappa * features, drawn

    def critic_loss(self, x: Tensor) -> Tensor:
        """Return the critic's mean on generated images less that on real ones, plus the weighted gradient penalty.

        Args:
            x: Real images, (B, 3, image_size, image_size) in [-1, 1]; as many are generated.

        Returns:
            Scalar loss.
        """
        with torch.no_grad():
            fake = self._draw(len(x))
        gap: Tensor = self.critic(fake)[0].mean() - self.critic(x)[0].mean()
        return gap + self.penalty * gradient_penalty(lambda image: self.critic(image)[0][:, 0], x, fake)

    def generator_loss(self, count: int) -> Tensor:
        """Return minus the critic's mean on generated images.

        Args:
            count: How many are generated.

        Returns:
            Scalar loss.
        """
        value: Tensor = self.critic(self._draw(count))[0].mean()
        return -value

    def _draw(self, count: int) -> Tensor:
        drawn: Tensor = self.generator(torch.randn(count, self.latent, device=self.losses.device))
        return drawn

    def _check(self) -> None:
        whole = {name: getattr(self, name) for name in ("width", "latent", "critic_steps", "steps", "encoder_steps")}
        if min(whole.values()) < 1:
            raise InputError(f"each must be at least 1: {', '.join(f'{name} is {n}' for name, n in whole.items())}")
        if self.lr <= 0 or self.encoder_lr <= 0:
            raise InputError(f"lr is {self.lr}, encoder_lr is {self.encoder_lr}; both must be above 0")
        if self.penalty < 0 or self.kappa < 0:
            raise InputError(f"penalty is {self.penalty}, kappa is {self.kappa}; neither may be negative")
