"""The shapes, sizes and start of DCGAN's networks."""

import pytest
import torch
from torch import nn

from blemish.core.errors import InputError
from blemish.ops.networks.dcgan import Discriminator, downwards, upwards


def kernels(module: nn.Module) -> list[tuple[int, ...]]:
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert all(m.bias is None for m in convolutions)
    return [tuple(m.weight.shape) for m in convolutions]


def test_channels_of_the_published_64_pixel_networks() -> None:
    ladder = [(64, 3), (128, 64), (256, 128), (512, 256), (1, 512)]
    assert kernels(Discriminator(64, 64)) == [(*pair, 4, 4) for pair in ladder]
    ladder = [(100, 512), (512, 256), (256, 128), (128, 64), (64, 3)]  # transposed: entering channels first
    assert kernels(upwards(64, 64, 100)) == [(*pair, 4, 4) for pair in ladder]


def test_grids_halve_down_to_four_and_double_up_again() -> None:
    x, sides = torch.zeros(2, 3, 32, 32), []
    for layer in downwards(32, 4, 7):
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sides.append(x.shape[2])
    assert sides == [16, 8, 4, 1]
    assert x.shape == (2, 7, 1, 1)
    sides = []
    for layer in upwards(32, 4, 7):
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            sides.append(x.shape[2])
    assert sides == [4, 8, 16, 32]
    assert x.shape == (2, 3, 32, 32)


def test_where_batch_norm_stands() -> None:
    def order(network: nn.Sequential) -> str:
        letters = {
            "Conv2d": "c",
            "ConvTranspose2d": "t",
            "BatchNorm2d": "b",
            "LeakyReLU": "l",
            "ReLU": "r",
            "Tanh": "h",
        }
        return "".join(letters[type(layer).__name__] for layer in network)

    assert order(downwards(32, 4, 7)) == "cl" + "cbl" * 2 + "c"
    assert order(upwards(32, 4, 7)) == "tbr" * 3 + "th"
    assert all(layer.negative_slope == 0.2 for layer in downwards(32, 4, 7) if isinstance(layer, nn.LeakyReLU))


def test_features_are_what_the_last_convolution_sees() -> None:
    judge = Discriminator(32, 4).eval()
    logits, features = judge(torch.rand(3, 3, 32, 32))
    assert features.shape == (3, 16, 4, 4)
    expected = (features * judge.verdict.weight).sum((1, 2, 3))
    torch.testing.assert_close(logits, expected)


def test_start() -> None:
    torch.manual_seed(0)
    network = upwards(64, 32, 100).requires_grad_(False)
    weights = torch.cat([m.weight.flatten() for m in network if isinstance(m, nn.ConvTranspose2d)])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    scales = torch.cat([m.weight for m in network if isinstance(m, nn.BatchNorm2d)])
    assert float(scales.mean()) == pytest.approx(1, abs=0.01)
    assert 0.01 < float(scales.std()) < 0.03


def test_a_side_that_is_no_power_of_two() -> None:
    with pytest.raises(InputError, match="image_size is 48"):
        upwards(48, 4, 7)
