"""GANomaly: encode, decode, encode again; a defect is where the two codes disagree.

An autoencoder is trained on good images, and a second encoder encodes its output. On good images the second code learns
to equal the first. A defect is encoded, but the decoder can only generate what is good, so the second encoder sees
something else: the distance between the codes is the score. Three losses train the generator (autoencoder and second
encoder): "contextual", |x - x̂|; "encoder", the squared distance of the codes; "adversarial", the squared distance of x
and x̂ in the features of a discriminator, which learns meanwhile to tell x from x̂.

The networks are DCGAN's for one square size, `image_size`. Images of any other size are resized to it (bilinear,
antialiased when shrinking), and the map, |x - x̂| averaged over the colours, is enlarged back; the paper has no map.

Where paper and official code differ:
- The paper leaves the reductions open and writes norms; the code takes means of absolute or squared differences. So do
  we.
- The paper's discriminator loss is the standard one, the code halves it. So do we.
- The code reinitialises the discriminator when its loss falls below 1e-5. So do we, at the next step.
- The code never leaves training mode, so that at test time batch norm uses the batch and the score of an image depends
  on the others. We score in eval mode.
- The code rescales the scores to [0, 1] over the test set and keeps the epoch that is best on it. We do neither.
- Its 15 epochs of CIFAR-10 without one class, in batches of 64, are about 10 000 steps.
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
from blemish.ops.maps import enlarge
from blemish.ops.networks.dcgan import Discriminator, downwards, start, upwards
from blemish.ops.networks.layers import to_square
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="GANomaly",
    idea="distance between the code of an image and the code of its reconstruction",
    family="reconstruction",
    paper=Paper(
        title="GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training",
        authors="Samet Akcay, Amir Atapour-Abarghouei, Toby P. Breckon",
        year=2018,
        venue="ACCV",
        url="https://arxiv.org/abs/1805.06725",
    ),
    code="https://github.com/samet-akcay/ganomaly",
    code_licence="MIT",
    differs=(
        "scores in eval mode, not rescaled over the test set",
        "the last step, not the best epoch on the test set",
    ),
    reported=(Reported("MVTec AD", "image_AUROC", 42.1, "anomalib", "a re-implementation, 256 px, seed 42"),),
    presets={"paper": Preset(32, 64), "quick": Preset(128, 8, {"steps": 400, "image_size": 64, "width": 32})},
)


class GANomaly(Detector):
    """An encoder-decoder-encoder, trained against a discriminator; 3 869 824 parameters by default.

    Args:
        image_size: Side of the networks' input in pixels, a power of two, at least 8; the paper's is 32.
        width: Channels of the encoders' first layer, at least 1; the decoder mirrors it.
        latent: Length of a latent code, at least 1; the official code's is 100.
        w_adv: Weight of the adversarial loss, at least 0; the paper's is 1.
        w_con: Weight of the contextual loss, at least 0; the paper's is 50.
        w_enc: Weight of the encoder loss, at least 0; the paper's is 1.
        steps: Gradient steps of generator and discriminator, at least 1; the default is the code's 15 epochs.
        lr: Adam's learning rate, above 0; the official code's is 2e-4.
        beta1: Adam's first decay rate, 0 to below 1; the paper's is 0.5.
        seed: Random state of the initial weights and of training.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,), the generator's
    collapse: Tensor  # (2,) in `fit` only, for resuming: the discriminator's last loss, its reinitialisations

    def __init__(
        self,
        image_size: int = 32,
        width: int = 64,
        latent: int = 100,
        w_adv: float = 1.0,
        w_con: float = 50.0,
        w_enc: float = 1.0,
        steps: int = 10_000,
        lr: float = 2e-4,
        beta1: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.image_size, self.width, self.latent = image_size, width, latent
        self.w_adv, self.w_con, self.w_enc = w_adv, w_con, w_enc
        self.steps, self.lr, self.beta1, self.seed = steps, lr, beta1, seed
        self._check()
        with seeded(seed):
            self.encoder = downwards(image_size, width, latent)
            self.decoder = upwards(image_size, width, latent)
            self.second_encoder = downwards(image_size, width, latent)
            self.discriminator = Discriminator(image_size, width)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Train generator and discriminator alternately; both use the reconstruction made before the step."""
        generator = nn.ModuleList([self.encoder, self.decoder, self.second_encoder])
        fakes: list[Tensor] = []  # what the discriminator's update needs of the generator's

        def generator_loss(batch: Batch) -> Tensor:
            if self.training and float(self.collapse[0]) < 1e-5:
                self._redraw()
            x = to_square(batch.image, self.image_size)
            fake, z, z_again = self.reconstruct(x)
            fakes[:] = [fake.detach()]
            return self.generator_loss(x, fake, z, z_again)

        def discriminator_loss(batch: Batch) -> Tensor:
            loss = self.discriminator_loss(to_square(batch.image, self.image_size), fakes[0])
            self.collapse[0] = loss.detach()
            return loss

        self.register_buffer("collapse", torch.tensor([1.0, 0.0], device=self.losses.device))
        with seeded(self.seed):
            adams = [
                torch.optim.Adam(part.parameters(), lr=self.lr, betas=(self.beta1, 0.999))
                for part in (generator, self.discriminator)
            ]
            losses = optimise(
                self, [generator_loss, discriminator_loss], data, steps=self.steps, optimiser=adams, label="GANomaly"
            )
        del self.collapse
        self.losses = torch.tensor(losses, device=self.losses.device)
        return self

    def _redraw(self) -> None:
        """Reinitialise the discriminator; the random state is the same in every process and after resuming."""
        self.collapse[1] += 1
        with seeded(self.seed + int(self.collapse[1])):
            start(self.discriminator.features)
            start(nn.Sequential(self.discriminator.verdict))

    def forward(self, image: Tensor) -> Scores:
        """Score by the mean squared distance of the codes; the map is the residual."""
        self.require_fit()
        x = to_square(image, self.image_size)
        fake, z, z_again = self.reconstruct(x)
        residual = (x - fake).abs().mean(1)
        return Scores((z - z_again).square().mean(1), enlarge(residual, (image.shape[2], image.shape[3])))

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions and both codes of images.

        Args:
            x: (B, 3, image_size, image_size) in [-1, 1].

        Returns:
            x̂, as x, the code of x and the code of x̂, both (B, latent).
        """
        z = self.encoder(x)
        fake = self.decoder(z)
        return fake, z.flatten(1), self.second_encoder(fake).flatten(1)

    def generator_loss(self, x: Tensor, fake: Tensor, z: Tensor, z_again: Tensor) -> Tensor:
        """Return the weighted sum of the adversarial, the contextual and the encoder loss (equation 5).

        Args:
            x: (B, 3, image_size, image_size) in [-1, 1].
            fake: x̂, the reconstruction of x.
            z: (B, latent) code of x.
            z_again: (B, latent) code of x̂.

        Returns:
            Scalar loss.
        """
        adversarial = F.mse_loss(self.discriminator(fake)[1], self.discriminator(x)[1])
        return self.w_adv * adversarial + self.w_con * F.l1_loss(fake, x) + self.w_enc * F.mse_loss(z_again, z)

    def discriminator_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        """Return half the binary cross-entropy of x taken for real, plus half that of x̂ taken for fake.

        Args:
            x: (B, 3, image_size, image_size) in [-1, 1].
            fake: x̂, the reconstruction of x.

        Returns:
            Scalar loss.
        """
        real, false = self.discriminator(x)[0], self.discriminator(fake)[0]
        return (F.softplus(-real).mean() + F.softplus(false).mean()) / 2

    def _check(self) -> None:
        if min(self.width, self.latent, self.steps) < 1:
            raise InputError(
                f"width is {self.width}, latent is {self.latent}, steps is {self.steps}; each must be at least 1"
            )
        if self.lr <= 0 or not 0 <= self.beta1 < 1:
            raise InputError(f"lr is {self.lr} (above 0), beta1 is {self.beta1} (from 0 to below 1)")
        if min(self.w_adv, self.w_con, self.w_enc) < 0:
            raise InputError(
                f"w_adv is {self.w_adv}, w_con is {self.w_con}, w_enc is {self.w_enc}; none may be negative"
            )
