"""Perlin noise: a loop by the definition, its range, its seed, its turn and its spectrum."""

import math

import numpy as np
import pytest
import torch

from blemish.ops import perlin as module
from blemish.ops.perlin import perlin, perlin_mask


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_perlin(size: tuple[int, int], cells: tuple[int, int], theta: np.ndarray) -> np.ndarray:
    out = np.zeros(size)
    for i, j in np.ndindex(*size):
        y, x = (i + 0.5) * cells[0] / size[0], (j + 0.5) * cells[1] / size[1]
        top, left = int(y), int(x)
        for dy in (0, 1):
            for dx in (0, 1):
                angle = theta[top + dy, left + dx]
                v, u = y - top - dy, x - left - dx
                weight = 1.0
                for t in (abs(v), abs(u)):
                    weight *= 1 - (6 * t**5 - 15 * t**4 + 10 * t**3)
                out[i, j] += weight * (math.sin(angle) * v + math.cos(angle) * u)
    return out * math.sqrt(2)


@pytest.mark.parametrize(("size", "cells"), [((12, 20), (3, 5)), ((9, 14), (2, 4)), ((16, 16), (1, 1))])
def test_each_pixel_blends_the_four_ramps_around_it(size, cells) -> None:
    theta = 2 * math.pi * torch.rand(cells[0] + 1, cells[1] + 1, generator=seeded(3)).numpy()
    found = perlin(size, cells, generator=seeded(3))
    np.testing.assert_allclose(found.numpy(), slow_perlin(size, cells, theta), atol=1e-5)


def test_range_is_filled_and_kept() -> None:
    fields = torch.stack([perlin((64, 64), (8, 8), angle=0.1 * s, generator=seeded(s)) for s in range(40)])
    assert fields.abs().max() <= 1
    assert fields.max() > 0.8
    assert fields.min() < -0.8
    assert abs(float(fields.mean())) < 0.02
    assert 0.01 < float((fields > 0.5).float().mean()) < 0.2, "the usual threshold marks a small part"


def test_the_seed_decides() -> None:
    assert torch.equal(perlin((32, 32), (4, 4), generator=seeded(1)), perlin((32, 32), (4, 4), generator=seeded(1)))
    assert not torch.equal(perlin((32, 32), (4, 4), generator=seeded(1)), perlin((32, 32), (4, 4), generator=seeded(2)))


def centre_frequency(field: torch.Tensor) -> tuple[float, float]:
    """The mean absolute frequency along height and width, in cycles a field, weighed by power."""
    power = np.abs(np.fft.fft2(field.numpy())) ** 2
    power[0, 0] = 0
    f = np.abs(np.fft.fftfreq(len(power), 1 / len(power)))
    return float((power.sum(1) * f).sum() / power.sum()), float((power.sum(0) * f).sum() / power.sum())


def test_spectrum_lies_about_the_grid() -> None:
    """Power concentrates at a band set by the cells: twice the cells, twice the frequency, axis by axis."""
    mean = {
        cells: np.mean([centre_frequency(perlin((128, 128), cells, generator=seeded(s))) for s in range(10)], axis=0)
        for cells in ((8, 8), (16, 16), (4, 32))
    }
    np.testing.assert_allclose(mean[16, 16] / mean[8, 8], 2, rtol=0.15)
    assert 0.3 * 8 < mean[8, 8][0] < 8, "hills are a little wider than cells"
    assert mean[4, 32][1] / mean[4, 32][0] == pytest.approx(8, rel=0.3)


def test_a_quarter_turn_swaps_the_axes() -> None:
    straight = np.mean([centre_frequency(perlin((96, 96), (3, 24), generator=seeded(s))) for s in range(10)], axis=0)
    turned = np.mean(
        [centre_frequency(perlin((96, 96), (3, 24), angle=math.pi / 2, generator=seeded(s))) for s in range(10)], axis=0
    )
    np.testing.assert_allclose(turned, straight[::-1], rtol=0.2)


def test_a_defects_shape_is_thresholded_rotated_noise(monkeypatch) -> None:
    """A defects shape is where turned noise of any size exceeds the threshold."""
    asked = []

    def field(size, cells, *, angle, generator):
        asked.append((cells, angle))
        return torch.linspace(-1, 1, size[0] * size[1]).view(size)

    monkeypatch.setattr(module, "perlin", field)
    generator = seeded(0)
    for threshold, share in ((0.5, 0.25), (-0.5, 0.75)):
        for _ in range(150):
            mask = perlin_mask((20, 40), generator, threshold=threshold)
            assert mask.dtype == torch.bool
            assert float(mask.float().mean()) == pytest.approx(share, abs=0.01)
    for side in (0, 1):
        assert {cells[side] for cells, _ in asked} == {1, 2, 4, 8, 16, 32}
    assert len({cells for cells, _ in asked}) > 30, "each side by itself"
    angles = np.array([angle for _, angle in asked])
    assert np.abs(angles).max() <= math.pi / 2
    np.testing.assert_allclose(np.quantile(angles, [0.1, 0.5, 0.9]), np.array([-0.4, 0, 0.4]) * math.pi, atol=0.3)
