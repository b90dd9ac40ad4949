"""The networks of DCGAN: pyramids of strided convolutions between an image and a vector.

Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016. Each step down halves the grid and doubles the channels until it is 4 x 4; one last 4 x 4 convolution makes
the vector. A step up is the same backwards. Kernels are 4 x 4, without bias, as in the PyTorch version that everyone uses
(the paper's Theano code has 5 x 5), so that strides divide the kernel and leave no checkerboard.
"""

from __future__ import annotations

from torch import Tensor, nn

from blemish.ops.networks.layers import halvings


def downwards(image_size: int, width: int, out: int) -> nn.Sequential:
    """Return a network (B, 3, image_size, image_size) to (B, out, 1, 1); its last layer is the final convolution.

    Batch norm and LeakyReLU(0.2) after each strided convolution, no batch norm after the first.

    Args:
        image_size: Side of the images, 4 times a power of two.
        width: Channels of the first layer; they double with each.
        out: Channels of the last layer.

    Returns:
        The network.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for _ in range(halvings(image_size) - 1):
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        width *= 2
    return start(nn.Sequential(*layers, nn.Conv2d(width, out, 4, 1, 0, bias=False)))


def upwards(image_size: int, width: int, latent: int) -> nn.Sequential:
    """Return a network (B, latent, 1, 1) to (B, 3, image_size, image_size) in (-1, 1), the mirror of `downwards`.

    Batch norm and ReLU after each transposed convolution, tanh after the last.

    Args:
        image_size: Side of the images, 4 times a power of two.
        width: Channels of the last hidden layer.
        latent: Length of the latent vector.

    Returns:
        The network.
    """
    channels = width * 2 ** (halvings(image_size) - 1)
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, channels, 4, 1, 0, bias=False)]
    while channels > width:
        layers += [
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False),
        ]
        channels //= 2
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return start(nn.Sequential(*layers))


class Discriminator(nn.Module):
    """Tells real images from generated ones.

    Args:
        image_size: Side of the images, 4 times a power of two.
        width: Channels of the first layer.
    """

    def __init__(self, image_size: int, width: int) -> None:
        super().__init__()
        *features, verdict = downwards(image_size, width, 1)
        self.features, self.verdict = nn.Sequential(*features), verdict

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features.

        Args:
            image: (B, 3, image_size, image_size) in [-1, 1].

        Returns:
            (B,) logits, positive for real, and the (B, C, 4, 4) features below them.
        """
        features = self.features(image)
        return self.verdict(features).flatten(), features


def start(network: nn.Sequential) -> nn.Sequential:
    """Draw the paper's initial weights: N(0, 0.02), the scales of batch norms N(1, 0.02).

    Args:
        network: Changed in place.

    Returns:
        The same network.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    return network
