"""Textures: range, seed, variety; each distortion against its definition; pictures from a folder."""

import math

import numpy as np
import pytest
import torch

from blemish.ops import textures
from blemish.ops.textures import DISTORTIONS, distort, texture
from blemish.training import random_state

SIZE = (24, 40)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(image: torch.Tensor, distortion, count: int = 60) -> list[torch.Tensor]:
    return [distortion(image, seeded(s)) for s in range(count)]


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(3, *SIZE, generator=seeded(0))


def test_textures_are_images_decided_by_the_seed() -> None:
    """Textures are pictures decided by the seed and all different."""
    found = [texture(SIZE, seeded(s)) for s in range(40)]
    for one in found:
        assert one.shape == (3, *SIZE)
        assert one.dtype == torch.float32
        assert one.min() >= 0
        assert one.max() <= 1
        assert one.std((1, 2)).max() > 0.01, "no texture is flat"
    assert torch.equal(found[7], texture(SIZE, seeded(7)))
    means = torch.stack([one.mean((1, 2)) for one in found])
    assert (means.std(0) > 0.1).all(), "every channel varies from texture to texture"
    edges = torch.stack([one.diff(dim=2).abs().mean() for one in found])
    assert edges.max() > 10 * edges.min(), "some are smooth, some are rough"


def test_many_textures_come_from_the_global_generator() -> None:
    with random_state.seeded(3):
        one = textures.textures(3, SIZE)
    with random_state.seeded(3):
        again = textures.textures(3, SIZE)
    assert torch.equal(one, again)
    assert float(torch.pdist(one.flatten(1)).min()) > 1
    assert textures.textures(0, SIZE).shape == (0, 3, *SIZE)


def test_three_different_distortions(image, monkeypatch) -> None:
    used: list[int] = []
    fakes = tuple(lambda x, g, i=i: (used.append(i), x * 2)[1] for i in range(10))
    monkeypatch.setattr(textures, "DISTORTIONS", fakes)
    for seed in range(30):
        out = distort(image, seeded(seed))
        assert len(set(used[-3:])) == 3
        assert torch.equal(out, (image * 8).clamp(0, 1)), "the range is kept"
    assert len(used) == 90
    assert set(used) == set(range(10))


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda d: d.__name__)
def test_distortions_keep_shape_and_input(image, distortion) -> None:
    before = image.clone()
    for flat in (image, torch.zeros(3, *SIZE), torch.ones(3, *SIZE)):
        out = distortion(flat, seeded(1))
        assert out.shape == flat.shape
        assert out.isfinite().all()
    assert torch.equal(image, before)


def test_gamma_is_one_power_a_channel(image) -> None:
    powers = torch.stack([(out.log() / image.log()).flatten(1) for out in draws(image, textures.gamma)])
    assert (powers.std(2) < 1e-2).all()
    assert 0.5 <= float(powers.mean(2).min()) < 0.65
    assert 1.8 < float(powers.mean(2).max()) <= 2.001


def test_brightness_is_a_line(image) -> None:
    slopes = []
    for out in draws(image, textures.brightness):
        slope, offset = np.polyfit(image.flatten(), out.flatten(), 1)
        torch.testing.assert_close(out, image * slope + offset)
        assert abs(offset) <= 30 / 255 + 1e-5
        slopes.append(slope)
    assert 0.8 <= min(slopes) < 0.85
    assert 1.15 < max(slopes) <= 1.2


def test_sharpness_weighs_the_blurred_image(image) -> None:
    soft = torch.stack(
        [image[:, y - 1 : y + 2, x - 1 : x + 2].mean((1, 2)) for y in range(1, 23) for x in range(1, 39)], dim=1
    ).view(3, 22, 38)
    inner = image[:, 1:-1, 1:-1]
    factors = [float(((o[:, 1:-1, 1:-1] - soft) / (inner - soft)).median()) for o in draws(image, textures.sharpness)]
    assert 0 <= min(factors) < 0.2
    assert 1.8 < max(factors) <= 2
    out = textures.sharpness(image, seeded(0))[:, 1:-1, 1:-1]
    torch.testing.assert_close(out, soft + factors[0] * (inner - soft), rtol=1e-3, atol=1e-3)


def test_colour_turns_the_tint_and_keeps_the_grey(image) -> None:
    tint = image - image.mean(0)
    angles = []
    for out in draws(image, textures.colour):
        torch.testing.assert_close(out.mean(0), image.mean(0))
        turned = out - out.mean(0)
        ratio = turned.norm(dim=0) / tint.norm(dim=0)
        assert float(ratio.std()) < 1e-3
        assert 0.6 <= float(ratio.mean()) <= 1.4
        cosine = (turned * tint).sum(0) / (turned.norm(dim=0) * tint.norm(dim=0))
        angles.append(math.degrees(math.acos(float(cosine.mean()))))
    assert max(angles) <= 70.1
    assert max(angles) > 50


def test_solarise_posterise_invert(image) -> None:
    untouched = 0
    for out in draws(image, textures.solarise):
        same = out == image
        untouched += bool(same.all())
        torch.testing.assert_close(out[~same], 1 - image[~same])
        if not same.all():
            assert image[same & (out != 1 - image)].max() <= 128 / 255
            assert image[~same].min() > 32 / 255
    assert 15 < untouched < 45, "half of them"
    ramp = torch.linspace(0, 1, 3 * 32 * 32).view(3, 32, 32)
    levels = {len(out.unique()) for out in draws(ramp, textures.posterise)}
    assert levels <= {2**bits for bits in range(1, 9)}
    assert len(levels) > 5
    assert torch.equal(textures.invert(image, seeded(0)), 1 - image)


def test_autocontrast_and_equalise(image) -> None:
    dull = 0.4 + 0.2 * image
    for out in draws(dull, textures.autocontrast, 10):
        assert out.min() <= 0
        assert out.max() >= 1 - 1e-5
        order = dull.flatten(1).argsort(1)
        assert (out.flatten(1).gather(1, order).diff(dim=1) >= 0).all(), "order is kept"
    even = textures.equalise(dull**3, seeded(0))
    for channel in even:
        shares = np.sort(channel.flatten().numpy())
        np.testing.assert_allclose(shares, np.arange(1, len(shares) + 1) / len(shares), atol=0.08)
