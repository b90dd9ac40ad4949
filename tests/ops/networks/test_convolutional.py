"""The published layers, the mirror of the decoder, and windows against a loop over pixels."""

import pytest
import torch
from torch import nn

from blemish.core.errors import InputError
from blemish.ops.networks.convolutional import average_windows, decoder, encoder, layers, random_windows, window_side


def test_the_papers_table_for_textures() -> None:
    """128 pixels, 100 numbers: kernel, stride and channels of each layer, and the sizes in between."""
    net = encoder(4, 100)
    convolutions = [m for m in net if isinstance(m, nn.Conv2d)]
    assert [(m.kernel_size[0], m.stride[0], m.out_channels) for m in convolutions] == [
        (4, 2, 32),
        (4, 2, 32),
        (3, 1, 32),
        (4, 2, 64),
        (3, 1, 64),
        (4, 2, 128),
        (3, 1, 64),
        (3, 1, 32),
        (8, 1, 100),
    ]
    x, sides = torch.rand(1, 3, 128, 128), []
    for module in net:
        x = module(x)
        if isinstance(module, nn.Conv2d):
            sides.append(x.shape[3])
    assert sides == [64, 32, 32, 16, 16, 8, 8, 8, 1]
    assert isinstance(net[-1], nn.Conv2d), "the code is linear"


def test_objects_have_one_more_halving() -> None:
    assert len(layers(5, 500)) == len(layers(4, 100)) + 1
    assert layers(5, 500)[:3] == [(3, 32, 4, 2, 1), (32, 32, 4, 2, 1), (32, 32, 4, 2, 1)]


@pytest.mark.parametrize("halvings", [3, 4, 5])
def test_the_decoder_mirrors_the_encoder(halvings) -> None:
    side = window_side(halvings)
    assert side == 8 * 2**halvings
    down, up = encoder(halvings, 7, width=4), decoder(halvings, 7, width=4)
    code = down(torch.rand(2, 3, side, side))
    assert code.shape == (2, 7, 1, 1)
    again = up(code)
    assert again.shape == (2, 3, side, side)
    assert again.min() >= 0
    assert again.max() <= 1
    kernels = [m.weight.shape for m in down if isinstance(m, nn.Conv2d)]
    assert [m.weight.shape for m in up if isinstance(m, nn.ConvTranspose2d)] == kernels[::-1]


@pytest.mark.parametrize("size", [(64, 64), (64, 100), (131, 64), (40, 70), (20, 20)])
def test_overlapping_answers_are_averaged(size) -> None:
    side, stride = 64, 16
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    noise = torch.rand(40, side, side, generator=torch.Generator().manual_seed(1))
    calls: list[torch.Tensor] = []

    def answer(window: torch.Tensor) -> torch.Tensor:
        calls.append(window)
        return window.sum(1) + noise[len(calls) - 1]

    found = average_windows(image, side, stride, answer)
    assert found.shape == (2, *size)
    tall, wide = max(size[0], side), max(size[1], side)
    tops = [t for t in range(tall - side + 1) if (t % stride == 0 and t < tall - side) or t == tall - side]
    lefts = [t for t in range(wide - side + 1) if (t % stride == 0 and t < wide - side) or t == wide - side]
    places = [(t, left) for t in tops for left in lefts]
    assert len(calls) == len(places)
    for y in range(0, size[0], 7):
        for x in range(0, size[1], 7):
            over = [
                noise[k, y - t, x - left]
                for k, (t, left) in enumerate(places)
                if 0 <= y - t < side and 0 <= x - left < side
            ]
            torch.testing.assert_close(found[:, y, x], image[:, :, y, x].sum(1) + torch.stack(over).mean())


def test_random_windows_are_cut_from_the_image_at_every_place() -> None:
    ramp = torch.arange(70.0)[:, None] * 100 + torch.arange(66.0)
    image = ramp.expand(200, 3, 70, 66)
    windows = random_windows(image, 64, torch.Generator().manual_seed(0))
    corners = {(int(v) // 100, int(v) % 100) for v in windows[:, 0, 0, 0].tolist()}
    assert corners == {(y, x) for y in range(7) for x in range(3)}
    assert torch.equal(windows - windows[:, :, :1, :1], (ramp[:64, :64] - ramp[0, 0]).expand(200, 3, 64, 64))
    assert random_windows(image[:2, :, :30, :30], 64, torch.Generator()).shape == (2, 3, 64, 64)


def test_too_few_halvings() -> None:
    with pytest.raises(InputError, match="halvings is 2"):
        window_side(2)
