"""Enlarging and blurring against scipy and by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from blemish.ops.maps import blur, enlarge, peak, smooth


@pytest.mark.parametrize(("size", "sigma"), [((64, 48), 4.0), ((64, 48), 1.3), ((10, 7), 4.0)])
def test_blur_is_scipys_gaussian(size, sigma) -> None:
    map = torch.rand(2, *size, dtype=torch.float64)
    expected = np.stack([ndimage.gaussian_filter(m, sigma) for m in map.numpy()])
    np.testing.assert_allclose(blur(map, sigma).numpy(), expected, atol=1e-10)


def test_no_sigma_no_change() -> None:
    map = torch.rand(1, 5, 5)
    assert blur(map, 0) is map


def test_enlarge_keeps_constants_and_does_not_shift() -> None:
    assert torch.equal(enlarge(torch.full((1, 4, 4), 2.5), (32, 32)), torch.full((1, 32, 32), 2.5))
    ramp = torch.arange(8.0).repeat(8, 1)[None]
    grown = enlarge(ramp, (64, 64))[0, 0]
    np.testing.assert_allclose(grown[4:-4].numpy(), (np.arange(64) + 0.5)[4:-4] / 8 - 0.5, atol=1e-5)


def test_peak_is_the_largest() -> None:
    map = torch.rand(3, 4, 5)
    assert torch.equal(peak(map), torch.stack([m.max() for m in map]))


@pytest.mark.parametrize(
    ("grid", "size"), [((8, 8), (64, 64)), ((5, 9), (37, 70)), ((1, 3), (8, 40)), ((16, 16), (16, 16))]
)
@pytest.mark.parametrize("sigma", [0.0, 1.5, 4.0])
def test_smooth_is_enlarging_then_blurring(grid: tuple[int, int], size: tuple[int, int], sigma: float) -> None:
    scores = torch.randn(3, *grid, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(smooth(scores, size, sigma), blur(enlarge(scores, size), sigma), rtol=1e-5, atol=1e-5)
