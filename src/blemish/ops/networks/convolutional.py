"""The convolutional autoencoder of Bergmann et al. (2019): encoder, mirrored decoder, and the windows they see.

The encoder turns a square window of 8 x 2^halvings pixels into one vector; the decoder turns the vector back. The paper has
5 halvings (256 pixels) for objects and 4 (128 pixels) for textures. Images of any other size are seen through windows: a
larger one through several that overlap, whose answers are averaged, a smaller one is grown by its mirror image to one
window, whose answer is cropped back.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from blemish.core.errors import InputError
from blemish.ops.networks.layers import pad_to

BOTTLENECK = 8  # rows and columns of the last map, before it is squeezed into a vector
SLOPE = 0.2

Layer = tuple[int, int, int, int, int]  # channels in and out, kernel, stride, padding


def window_side(halvings: int) -> int:
    """Return the side of the window in pixels, 8 x 2^halvings.

    Args:
        halvings: Strided layers of the encoder, at least 3.

    Returns:
        The side, in pixels.

    Raises:
        InputError: fewer than 3 halvings.
    """
    if halvings < 3:
        raise InputError(f"halvings is {halvings}; it must be at least 3, which is a window of 64 pixels")
    return BOTTLENECK << halvings


def layers(halvings: int, latent: int, width: int = 32) -> list[Layer]:
    """Return the encoder's convolutions in order; the decoder's are the same, reversed.

    Args:
        halvings: Strided layers, at least 3.
        latent: Channels of the code.
        width: Channels of the first layer; the paper's is 32.

    Returns:
        One description a layer.
    """
    w = width
    return [
        (3, w, 4, 2, 1),
        *[(w, w, 4, 2, 1)] * (halvings - 3),
        (w, w, 3, 1, 1),
        (w, 2 * w, 4, 2, 1),
        (2 * w, 2 * w, 3, 1, 1),
        (2 * w, 4 * w, 4, 2, 1),
        (4 * w, 2 * w, 3, 1, 1),
        (2 * w, w, 3, 1, 1),
        (w, latent, BOTTLENECK, 1, 0),
    ]


def encoder(halvings: int, latent: int, width: int = 32) -> nn.Sequential:
    """Return the network from (B, 3, side, side) to (B, latent, 1, 1); the vector itself is linear.

    Args:
        halvings: Strided layers, at least 3.
        latent: Channels of the code.
        width: Channels of the first layer.

    Returns:
        The network.
    """
    modules: list[nn.Module] = []
    for into, out, kernel, stride, padding in layers(halvings, latent, width):
        convolution = nn.Conv2d(into, out, kernel, stride, padding)
        modules += [_initialised(convolution, into * kernel**2), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*modules[:-1])


def decoder(halvings: int, latent: int, width: int = 32) -> nn.Sequential:
    """Return the network from (B, latent, 1, 1) to (B, 3, side, side), in (0, 1) by a final sigmoid.

    Args:
        halvings: Doubling layers, at least 3.
        latent: Channels of the code.
        width: Channels of the last hidden layer.

    Returns:
        The network.
    """
    modules: list[nn.Module] = []
    for into, out, kernel, stride, padding in reversed(layers(halvings, latent, width)):
        seen = 1 if padding == 0 else kernel**2 // stride**2  # inputs that reach one output pixel
        convolution = nn.ConvTranspose2d(out, into, kernel, stride, padding)
        modules += [_initialised(convolution, out * seen), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*modules[:-1], nn.Sigmoid())


def _initialised(convolution: nn.Conv2d | nn.ConvTranspose2d, fan: int) -> nn.Module:
    """He's initial weights, for outputs that sum `fan` inputs each: torch's own would let twenty layers fade to grey."""
    assert convolution.bias is not None  # noqa: S101 - the type checker cannot know
    nn.init.normal_(convolution.weight, std=(2 / (1 + SLOPE**2) / fan) ** 0.5)
    nn.init.zeros_(convolution.bias)
    return convolution


def random_windows(image: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return one window from a random position of each image; an image that is smaller is grown.

    Args:
        image: (B, 3, H, W).
        side: Side of the windows, in pixels.
        generator: Draws the positions.

    Returns:
        (B, 3, side, side).
    """
    image = pad_to(image, (side, side))
    h, w = image.shape[2:]
    tops = torch.randint(h - side + 1, (len(image),), generator=generator).tolist()
    lefts = torch.randint(w - side + 1, (len(image),), generator=generator).tolist()
    return torch.stack(
        [one[:, y : y + side, x : x + side] for one, y, x in zip(image, tops, lefts, strict=True)]  # one is (3, H, W)
    )


def average_windows(image: Tensor, side: int, stride: int, answer: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the map that `answer` gives for windows of the images, averaged where windows overlap.

    The last window of each row and column touches the border, so every pixel is covered.

    Args:
        image: (B, 3, H, W), each side at least `side`.
        side: Side of the windows, in pixels.
        stride: Distance between windows, in pixels.
        answer: Turns (B, 3, side, side) into (B, side, side).

    Returns:
        (B, H, W).
    """
    h, w = image.shape[2:]
    image = pad_to(image, (side, side))
    total = image.new_zeros(image.shape[0], *image.shape[2:])
    count = image.new_zeros(image.shape[2:])
    for y in _starts(image.shape[2], side, stride):
        for x in _starts(image.shape[3], side, stride):
            at = (..., slice(y, y + side), slice(x, x + side))
            total[at] += answer(image[at])
            count[at] += 1
    return (total / count)[:, :h, :w]


def _starts(length: int, side: int, stride: int) -> list[int]:
    return [*range(0, length - side, stride), length - side]
