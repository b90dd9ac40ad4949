"""Mirrored borders against numpy's."""

import numpy as np
import pytest
import torch

from blemish.ops.networks.layers import pad_to, pad_to_multiple


@pytest.mark.parametrize("size", [(5, 9), (7, 30), (40, 9), (3, 4)])
def test_as_numpy_reflects(size) -> None:
    image = np.random.default_rng(0).random((2, 3, 5, 9)).astype(np.float32)
    grow = [(0, 0), (0, 0), (0, max(0, size[0] - 5)), (0, max(0, size[1] - 9))]
    np.testing.assert_array_equal(pad_to(torch.from_numpy(image), size).numpy(), np.pad(image, grow, mode="reflect"))


def test_multiples() -> None:
    image = torch.rand(1, 3, 33, 64)
    padded = pad_to_multiple(image, 32)
    assert padded.shape == (1, 3, 64, 64)
    assert torch.equal(padded[..., :33, :64], image)
    assert pad_to_multiple(padded, 32) is padded


def test_one_pixel_is_repeated() -> None:
    assert torch.equal(pad_to(torch.full((1, 1), 0.3), (4, 2)), torch.full((4, 2), 0.3))
