"""f-AnoGAN: learn to draw good parts, then learn to find the drawing of an image; a defect is what cannot be drawn.

First a Wasserstein GAN with gradient penalty learns to draw good images from a random vector z: a critic, trained five
steps for each of the generator's, says how far drawings are from real images. Then both are frozen and an encoder learns
which z to draw an image from ("izi_f"): the drawing G(E(x)) shall equal x in its pixels and in the critic's last
features. What this loss is on a test image is its score; the map is |x - G(E(x))|, averaged over the colours.

The networks are residual ones for one square size, `image_size`. Images of any other size are resized to it (bilinear,
antialiased when shrinking), and the map is enlarged back.

Where paper and official code differ:
- Both work on grey patches of retinal scans; we give the networks three colours.
- The paper writes the score with the feature term, the code can leave it out (`dual_iloss`); we keep it, as is its default.
- The code's critic has layer norm, generator and encoder have batch norm, all with the statistics it learned once trained,
  also in the generator while the encoder is trained. So do ours.
- The code trains the GAN for 7 epochs of some 850 000 patches in batches of 64, and counts the critic's steps: 93 000, each
  with a fresh batch, so 18 600 of the generator, `steps`. There five of the critic follow each of the generator's; here
  the generator's turn comes with each fifth batch, after the critic's.
- The code turns half of its patches left to right; that is left to the data.
- Batch norms are PyTorch's (momentum 0.1, 1e-5 beside the variance), the code's are TensorFlow's (0.01, 1e-3).
- RMSProp is TensorFlow's: it forgets at a rate of 0.9.
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
    """WGAN-GP and the izi_f encoder; 24 564 676 parameters at the defaults.

    `image_size` is the side of the networks' input (a power of two), `width` the channels of the first layer, `latent` the
    length of z. The GAN takes `steps` generator steps (Adam, `lr`), each with `critic_steps` critic steps, whose gradient
    penalty counts `penalty` times; the encoder takes `encoder_steps` (RMSProp, `encoder_lr`). `kappa` weighs the features.
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
        """Return the mean squared difference of pixels plus kappa times that of features, (B,), and G(E(x))."""
        drawn = self.generator(self.encoder(x)[0])
        pixels = (x - drawn).square().flatten(1).mean(1)
        features = (self.critic(x)[1] - self.critic(drawn)[1]).square().mean(1)
        return pixels + self.kappa * features, drawn

    def critic_loss(self, x: Tensor) -> Tensor:
        """Raise the critic on real images and lower it on drawings, its slope between them held at one."""
        with torch.no_grad():
            fake = self._draw(len(x))
        gap: Tensor = self.critic(fake)[0].mean() - self.critic(x)[0].mean()
        return gap + self.penalty * gradient_penalty(lambda image: self.critic(image)[0][:, 0], x, fake)

    def generator_loss(self, count: int) -> Tensor:
        """Raise the critic on `count` drawings."""
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
