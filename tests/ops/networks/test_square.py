"""Bringing images to a network's square."""

import numpy as np
import pytest
import torch
from PIL import Image

from blemish.core.errors import InputError
from blemish.ops.networks.layers import halvings, to_square


def test_an_image_of_the_right_size_is_only_rescaled() -> None:
    """An image of the right size is only stretched to minus one and one."""
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(to_square(image, 16), image * 2 - 1)


def test_shrinking_is_antialiased() -> None:
    """A chessboard of single pixels becomes grey; without antialiasing it could become anything."""
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    small = to_square(board.float().expand(1, 3, 64, 64), 16)
    assert small[..., 2:-2, 2:-2].abs().max() < 0.02


def test_resizing_is_pillows_bilinear() -> None:
    image = torch.rand(1, 1, 40, 72, generator=torch.Generator().manual_seed(0))
    for side in (16, 128):
        resized = Image.fromarray(image[0, 0].numpy()).resize((side, side), Image.Resampling.BILINEAR)
        expected = torch.from_numpy(np.array(resized))[None, None] * 2 - 1
        torch.testing.assert_close(to_square(image, side), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("side", "times"), [(8, 1), (32, 3), (64, 4), (256, 6)])
def test_halvings(side, times) -> None:
    assert halvings(side) == times


@pytest.mark.parametrize("side", [-1, 0, 4, 9, 48, 100])
def test_impossible_sides(side) -> None:
    with pytest.raises(InputError, match=f"image_size is {side}; it must be a power of two, at least 8"):
        halvings(side)
