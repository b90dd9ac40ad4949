"""DifferNet: describe the whole part by one vector, and learn with a flow which vectors are likely.

In the paper's order:

1. Features. The image at full, half and quarter size goes through one frozen network; each of a layer's channels is
   averaged over the image. The three descriptions make one vector y.
2. Flow. `blocks` blocks, each a fixed permutation of y's numbers and a coupling both ways, whose networks have three
   hidden layers of `hidden` numbers.
3. Training. Every image is seen under `transforms` random rotations, so that few images suffice. loss = (|z|² / 2 -
   log-determinant) / dimensions of z, the mean.
4. Score. The mean of z² over `test_transforms` rotations of the image and all dimensions.
5. Map. The pixels that would change the likelihood most: the gradient of -log p with respect to the image, rotated back
   and averaged over the rotations; its magnitude, summed over the colours and blurred. It shows where to look; the
   paper shows such maps and does not measure them.

Where paper, official code and this file differ:
- The network. The paper's AlexNet is not among timm's, so no argument gives it; any other network can be had.
- Rotations. The code leaves black corners, we reflect the image there (`ops.turn`), and rotate by up to `rotation`
  degrees either way. Its test rotations are evenly spaced over the circle, ours over the same range as in training, so
  both are fixed. Where a part's own orientation matters, make `rotation` small. The code can also change brightness and
  contrast, by default it does not; we never do.
- The code makes images smaller by dropping pixels, we by averaging (bilinear, antialiased).
- The map. The code takes the magnitude of each rotation's gradient, averages magnitudes over rotations and colours, and
  squares; we average the gradients themselves over the rotations, so that opposite ones cancel, and sum their
  magnitudes over the colours.
- 192 epochs (24 x 8) in batches of 24 of 242 images, the mean of MVTec AD, are about 1,900 `steps`.
- The code keeps the best AUROC on the test images of all epochs; we keep the last step.
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
from blemish.features import extractor
from blemish.ops.maps import blur
from blemish.ops.networks.coupling import Alone, Bijection, Coupling, Flow, Permutation, surprise
from blemish.ops.rotation import turn
from blemish.training.device import device_of
from blemish.training.optimise import optimise
from blemish.training.random_state import seeded

CARD = Card(
    name="DifferNet",
    idea="likelihood of one averaged description of the part under a flow",
    family="flow",
    paper=Paper(
        title="Same Same But DifferNet: Semi-Supervised Defect Detection with Normalizing Flows",
        authors="Marco Rudolph, Bastian Wandt, Bodo Rosenhahn",
        year=2021,
        venue="WACV",
        url="https://arxiv.org/abs/2008.12577",
    ),
    code="https://github.com/marco-rudolph/differnet",
    code_licence="none given",
    differs=(
        "no AlexNet: timm has none",
        "turned corners are the image mirrored, not black",
        "gradients of the turns are averaged before their size is taken, in the map",
        "the last step is kept, not the best on the test images",
    ),
    reported=(Reported("MVTec AD", "image_AUROC", 94.9, "paper", "AlexNet, 448 px, 64 test rotations, best epoch"),),
    presets={
        "paper": Preset(448, 24),
        "quick": Preset(128, 8, {"steps": 400, "layer": 16, "hidden": 256, "test_transforms": 8, "lr": 1e-3}),
    },
    not_exported="its map is the gradient of the likelihood, and an exported graph has no gradients",
)

SCALES = 3


class DifferNet(Detector):
    """A flow on a frozen network's averaged channels at three image sizes.

    Learned parameters: 153 196 544 on texnet_s (384 numbers), 172 077 056 on the paper's 768 numbers.

    Args:
        backbone: The frozen network, see `blemish.features.extractor`; the paper's is AlexNet, which timm lacks.
        layer: Name of its layer, or a stride as a number.
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        blocks: Coupling blocks, at least 1; the paper's is 8.
        hidden: Width of the couplings' hidden layers, at least 1; the paper's is 2048.
        clamp: Limit of a coupling's log-scale, above 0; the paper's is 3.
        rotation: Images are rotated by at most so many degrees either way, 0 to 180.
        transforms: Random rotations of each image in training, at least 1; the paper's is 4.
        test_transforms: Fixed rotations of each image in testing, at least 1; the paper's is 64.
        steps: Gradient steps, at least 1; the default is the paper's 192 epochs.
        lr: Adam's learning rate, above 0; the paper's is 2e-4.
        weight_decay: Adam's weight decay, at least 0.
        sigma: Standard deviation of the gradients' Gaussian smoothing in input pixels, at least 0.
        seed: Random state of the initial weights and of training.

    Raises:
        InputError: a parameter is out of its range.
    """

    losses: Tensor  # (steps,) the loss of each step, per dimension of z

    def __init__(
        self,
        backbone: str = "texnet_s",
        layer: str | int = 32,
        weights: str | None = None,
        pretrained: bool = True,
        blocks: int = 8,
        hidden: int = 2048,
        clamp: float = 3.0,
        rotation: float = 180.0,
        transforms: int = 4,
        test_transforms: int = 64,
        steps: int = 1_900,
        lr: float = 2e-4,
        weight_decay: float = 1e-5,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.backbone, self.layer, self.weights, self.pretrained = backbone, layer, weights, pretrained
        self.blocks, self.hidden, self.clamp = blocks, hidden, clamp
        self.rotation, self.transforms, self.test_transforms = rotation, transforms, test_transforms
        self.steps, self.lr, self.weight_decay, self.sigma, self.seed = steps, lr, weight_decay, sigma, seed
        self._check()
        self.features = extractor(backbone, [layer], weights=weights, pretrained=pretrained)
        with seeded(seed):
            self.flow = vector_flow(SCALES * self.features.channels[0], blocks, hidden, clamp)
        self.register_buffer("losses", torch.empty(0))

    def fit(self, data: Iterable[Batch]) -> Self:
        """Maximise the likelihood of good parts' descriptions."""
        parameters, betas = self.flow.parameters(), (0.8, 0.8)
        adam = torch.optim.Adam(parameters, self.lr, betas, eps=1e-4, weight_decay=self.weight_decay)
        with seeded(self.seed):
            losses = optimise(self, self.loss, data, steps=self.steps, optimiser=adam, label="DifferNet")
        self.losses = torch.tensor(losses, device=device_of(self))
        return self

    def turned(self, image: Tensor) -> Tensor:
        """Return the images, each under `transforms` random rotations of its own.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            (B · transforms, 3, H, W).
        """
        angles = (math.radians(self.rotation) * (2 * torch.rand(len(image), self.transforms) - 1)).tolist()
        return torch.stack([turn(one, angle) for one, own in zip(image, angles, strict=True) for angle in own])

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over images and random rotations of -log p per dimension, without constants.

        Args:
            batch: Good images.

        Returns:
            Scalar loss.
        """
        with torch.no_grad():
            y = self.described(self.turned(batch.image))
        z, log_det = self.flow([y])
        return surprise(z, log_det).mean() / y.shape[1]

    def forward(self, image: Tensor) -> Scores:
        """Score by the mean of z² over fixed rotations; the map is the likelihood's gradient."""
        self.require_fit()
        score, gradient = image.new_zeros(len(image)), torch.zeros_like(image)
        for angle in self.angles():
            squares, slope = self.look(image, angle)
            score += squares / self.test_transforms
            gradient += slope / self.test_transforms
        return Scores(score, blur(gradient.abs().sum(1), self.sigma))

    def angles(self) -> list[float]:
        """Return the test rotations in radians: the midpoints of equal parts of the range."""
        parts = self.test_transforms
        return [math.radians(self.rotation) * ((2 * i + 1) / parts - 1) for i in range(parts)]

    def look(self, image: Tensor, angle: float) -> tuple[Tensor, Tensor]:
        """Return the mean of z² of rotated images, and the gradient of -log p with respect to the pixels.

        The gradient is computed whether or not the caller records gradients, and flows back through the rotation.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].
            angle: Rotation in radians.

        Returns:
            (B,) means of z², and (B, 3, H, W) gradients.
        """
        with torch.inference_mode(False), torch.enable_grad():
            pixels = image.detach().clone().requires_grad_()
            z, log_det = self.flow([self.described(torch.stack([turn(one, angle) for one in pixels]))])
            # Images do not interact, so the gradient of the sum holds each image's own.
            (gradient,) = torch.autograd.grad(surprise(z, log_det).sum() / z[0].shape[1], pixels)
        return z[0].detach().square().mean(1), gradient

    def described(self, image: Tensor) -> Tensor:
        """Return each channel's mean over the image at full, half and quarter size (sides rounded up).

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            (B, 3 C).
        """
        h, w = image.shape[2:]
        parts = []
        for scale in range(SCALES):
            size = (-(-h // 2**scale), -(-w // 2**scale))
            smaller = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
            parts.append(self.features(smaller if scale else image)[0].mean((2, 3)))
        return torch.cat(parts, dim=1)

    def _check(self) -> None:
        for name in ("blocks", "hidden", "transforms", "test_transforms", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("clamp", "lr"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("weight_decay", "sigma"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0")
        if not 0 <= self.rotation <= 180:
            raise InputError(f"rotation is {self.rotation} degrees; it must lie in 0 to 180")


def vector_flow(numbers: int, blocks: int, hidden: int, clamp: float) -> Flow:
    """Return the flow of one vector: in each block a permutation, then a coupling both ways.

    Args:
        numbers: Length of the vector.
        blocks: Coupling blocks, at least 1.
        hidden: Width of the couplings' three hidden layers.
        clamp: Limit of a coupling's log-scale, above 0.

    Returns:
        The flow, on one map (N, numbers).
    """

    def subnet(inside: int, outside: int) -> nn.Module:
        sizes = [inside, hidden, hidden, hidden]
        inner = [layer for into, out in pairwise(sizes) for layer in (nn.Linear(into, out), nn.ReLU())]
        return Alone(nn.Sequential(*inner, nn.Linear(hidden, outside)))

    parts: list[Bijection] = []
    for _ in range(blocks):
        parts += [Permutation(numbers), Coupling(numbers, subnet, clamp=clamp, kind="arctan", both=True)]
    return Flow(parts)
