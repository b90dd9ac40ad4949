"""SSIM against a loop over windows that follows the paper's formulas."""

import numpy as np
import pytest
import torch

from blemish.core.errors import InputError
from blemish.ops.ssim import ssim


def slow_ssim(x: np.ndarray, y: np.ndarray, window: int, sigma: float, data_range: float) -> np.ndarray:
    """One grey image: each pixel's window is cut out of the mirrored image and weighed in float64."""
    radius = window // 2
    offsets = np.arange(window) - radius
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    px, py = (np.pad(a, radius, mode="reflect") for a in (x, y))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    out = np.zeros_like(x)
    for i, j in np.ndindex(*x.shape):
        a, b = px[i : i + window, j : j + window], py[i : i + window, j : j + window]
        ma, mb = (weights * a).sum(), (weights * b).sum()
        va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
        cov = (weights * (a - ma) * (b - mb)).sum()
        out[i, j] = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return out


@pytest.mark.parametrize(("window", "sigma", "data_range"), [(11, 1.5, 1.0), (5, 0.8, 1.0), (7, 1.5, 255.0)])
def test_each_pixel_follows_the_formula(window, sigma, data_range) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 2, 3, 14, 17)) * data_range
    y[:, 1] = 0.7 * x[:, 1] + 0.3 * y[:, 1]
    found = ssim(
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(y, dtype=torch.float32),
        window=window,
        sigma=sigma,
        data_range=data_range,
    )
    assert found.shape == (2, 3, 14, 17)
    for b, c in np.ndindex(2, 3):
        expected = slow_ssim(x[b, c], y[b, c], window, sigma, data_range)
        np.testing.assert_allclose(found[b, c].numpy(), expected, atol=1e-4)


def test_one_for_itself_minus_one_for_its_negative_contrast() -> None:
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ssim(x, x), torch.ones_like(x))
    assert ssim(x, 1 - x).min() < -0.8  # structure turned round
    assert ssim(x, 1 - x).min() >= -1


def test_the_wrong_data_range_flattens_the_map() -> None:
    """The trap: values in [0, 1] judged as if they spanned 255 all look alike."""
    x, y = torch.rand(2, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert ssim(x, y, data_range=255.0).min() > 0.9
    assert ssim(x, y).mean() < 0.4


def test_gradients_survive_flat_images() -> None:
    x = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    (1 - ssim(x, torch.rand(1, 3, 16, 16))).mean().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("window", [10, 0, 33])
def test_impossible_windows(window) -> None:
    with pytest.raises(InputError, match="window"):
        ssim(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), window=window)


def test_half_precision_around_it_changes_nothing() -> None:
    torch.manual_seed(0)
    flat, other = torch.full((1, 3, 24, 24), 0.6), torch.rand(1, 3, 24, 24)
    with torch.autocast("cpu", torch.bfloat16):
        same, found = ssim(flat, flat), ssim(other.bfloat16(), flat.bfloat16())
    torch.testing.assert_close(same, torch.ones(1, 3, 24, 24), rtol=0, atol=1e-3)
    assert torch.equal(same, ssim(flat, flat))
    assert torch.equal(found, ssim(other.bfloat16().float(), flat.bfloat16().float()))
