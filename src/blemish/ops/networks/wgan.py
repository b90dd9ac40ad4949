"""The Wasserstein GAN that learns stably: residual networks, and a critic whose slope is held at one.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, "Improved Training of Wasserstein GANs", NeurIPS 2017: its networks for
64 x 64 images and its gradient penalty. The networks here take any side that is 4 times a power of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.ops.networks.layers import convolve_halve, double_convolve, halvings


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean over the batch of (|gradient of critic at x| - 1)^2.

    x is drawn evenly between each real and fake image. The result can be differentiated once more.

    Args:
        critic: Answers one number an image, each from its own image alone.
        real: (B, C, H, W).
        fake: As `real`.

    Returns:
        A number.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (real + share * (fake - real)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norm: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (norm - 1).square().mean()


def multiples(image_size: int) -> list[int]:
    """Return the channels on each grid from `image_size` down to 4, in units of the width: 1, 2, 4, 8, 8, ...

    Args:
        image_size: Side of the images, 4 times a power of two.

    Returns:
        One a grid.
    """
    return [min(2**i, 8) for i in range(halvings(image_size) + 1)]


class Residual(nn.Module):
    """Normalise, ReLU, convolve, twice, beside a 1 x 1 shortcut; the grid is doubled before or halved after.

    Args:
        entering: Channels of the input.
        leaving: Channels of the output.
        resample: "up" or "down".
        norm: "batch", or "layer": over all channels and cells of one image, with a scale and shift a channel. The
            critic needs "layer", because the penalty is on the gradient of each image by itself.
    """

    def __init__(self, entering: int, leaving: int, resample: Literal["up", "down"], norm: Literal["batch", "layer"]):
        super().__init__()
        inner = leaving if resample == "up" else entering
        self.resample = resample
        self.norm1, self.norm2 = normal(norm, entering), normal(norm, inner)
        self.conv1 = convolution(entering, inner, 3, bias=False)
        self.conv2 = convolution(inner, leaving, 3)
        self.shortcut = convolution(entering, leaving, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, leaving, 2H, 2W) or (B, leaving, H/2, W/2).

        Args:
            x: (B, entering, H, W).

        Returns:
            (B, leaving, 2 H, 2 W) or (B, leaving, H / 2, W / 2).
        """
        inside = F.relu(self.norm1(x))
        if self.resample == "up":  # a 1 x 1 convolution and doubling commute
            inside = self.conv2(F.relu(self.norm2(double_convolve(inside, self.conv1))))
            return torch.add(inside, F.interpolate(self.shortcut(x), scale_factor=2, mode="nearest"))
        inside = convolve_halve(F.relu(self.norm2(self.conv1(inside))), self.conv2)
        return torch.add(inside, convolve_halve(x, self.shortcut))


class Generator(nn.Module):
    """Latent vectors to images.

    Args:
        image_size: Side of the images, 4 times a power of two.
        width: Channels of the finest grid.
        latent: Length of z.
    """

    def __init__(self, image_size: int, width: int, latent: int) -> None:
        super().__init__()
        channels = [width * times for times in reversed(multiples(image_size))]
        self.entry = linear(latent, channels[0] * 16)
        self.blocks = nn.Sequential(*(Residual(a, b, "up", "batch") for a, b in pairwise(channels)))
        self.norm = normal("batch", width)
        self.exit = convolution(width, 3, 3)

    def forward(self, z: Tensor) -> Tensor:
        """Generate an image for each z.

        Args:
            z: (B, latent).

        Returns:
            (B, 3, image_size, image_size) in (-1, 1).
        """
        coarse = self.entry(z).view(z.shape[0], -1, 4, 4)
        return torch.tanh(self.exit(F.relu(self.norm(self.blocks(coarse)))))


class Critic(nn.Module):
    """Images to numbers, and the features below them.

    With one output and layer norm it is the critic; with as many as z has, and batch norm, it is f-AnoGAN's encoder.

    Args:
        image_size: Side of the images, 4 times a power of two.
        width: Channels of the finest grid.
        out: Outputs an image.
        norm: "batch" or "layer".
    """

    def __init__(self, image_size: int, width: int, out: int = 1, norm: Literal["batch", "layer"] = "layer") -> None:
        super().__init__()
        channels = [width * times for times in multiples(image_size)]
        self.entry = convolution(3, width, 3, gain=1.0)
        self.blocks = nn.Sequential(*(Residual(a, b, "down", norm) for a, b in pairwise(channels)))
        self.exit = linear(channels[-1] * 16, out)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and features.

        Args:
            image: (B, 3, image_size, image_size).

        Returns:
            (B, out) outputs and (B, F) features.
        """
        features = self.blocks(self.entry(image)).flatten(1)
        return self.exit(features), features


def normal(kind: Literal["batch", "layer"], channels: int) -> nn.Module:
    """Return batch norm, or layer norm over channels and cells with a scale and shift a channel.

    Args:
        kind: "batch" or "layer".
        channels: Channels of the map.

    Returns:
        The layer.
    """
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(1, channels)


def convolution(
    entering: int, leaving: int, kernel: int, *, bias: bool = True, gain: float = math.sqrt(2)
) -> nn.Conv2d:
    """Return a convolution that keeps the grid; uniform start of variance gain^2 2 / (fan in + fan out), no shift.

    Args:
        entering: Channels of the input.
        leaving: Channels of the output.
        kernel: Side of the kernel, odd.
        bias: Whether it has one; it begins at 0.
        gain: Of the activation behind it.

    Returns:
        The layer.
    """
    layer = nn.Conv2d(entering, leaving, kernel, padding=kernel // 2, bias=bias)
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def linear(entering: int, leaving: int) -> nn.Linear:
    """Return a linear layer with a uniform start of variance 2 / (fan in + fan out), no shift.

    Args:
        entering: Length of the input.
        leaving: Length of the output.

    Returns:
        The layer.
    """
    layer = nn.Linear(entering, leaving)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
