"""Changes of colour against their formulas, one image at a time."""

import math

import pytest
import torch

from blemish.ops.colour import grey, jitter_all, jitter_one, sometimes_grey, tint


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(3, 60, 80, generator=seeded(0))


def test_grey_is_the_luminance() -> None:
    r, g, b = 0.2, 0.5, 0.9
    image = torch.tensor([r, g, b]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    torch.testing.assert_close(grey(image), torch.full((1, 1, 2, 2), 0.299 * r + 0.587 * g + 0.114 * b))


def test_sometimes_is_as_often_as_said() -> None:
    torch.manual_seed(0)
    image = torch.rand(400, 3, 2, 2)
    found = sometimes_grey(image, 0.3)
    made_grey = [torch.allclose(one[0], one[1]) and torch.allclose(one[1], one[2]) for one in found]
    assert 0.2 < sum(made_grey) / 400 < 0.4
    assert all(torch.equal(a, b) for a, b, is_grey in zip(image, found, made_grey, strict=True) if not is_grey)
    assert torch.equal(sometimes_grey(image, 0.0), image)


def test_each_image_has_one_of_three_changes() -> None:
    torch.manual_seed(0)
    image = torch.rand(60, 3, 8, 8, dtype=torch.float64) * 0.5 + 0.25
    seen = set()
    for before, after in zip(image, jitter_one(image, 0.2), strict=True):
        light = 0.299 * before[0] + 0.587 * before[1] + 0.114 * before[2]
        for kind, toward in (
            ("brightness", torch.zeros_like(light)),
            ("contrast", light.mean()),
            ("saturation", light),
        ):
            apart, wanted = (before - toward).flatten(), (after - toward).flatten()
            factor = float(apart @ wanted / (apart @ apart))
            if torch.allclose(wanted, factor * apart, atol=1e-6):
                assert 0.8 <= factor <= 1.2
                seen.add(kind)
                break
        else:
            pytest.fail("no single change explains this image")
    assert seen == {"brightness", "contrast", "saturation"}


def test_colours_stay_in_range() -> None:
    torch.manual_seed(0)
    found = jitter_one(torch.rand(20, 3, 4, 4), 0.9)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_all_changes_stay_within_its_strength(image) -> None:
    assert torch.allclose(jitter_all(image, 0.0, seeded(0)), image, atol=1e-6)
    grey = torch.full((3, 4, 4), 0.5)
    brightness = [float(jitter_all(grey, 0.1, seeded(s)).mean()) / 0.5 for s in range(200)]
    assert 0.9 - 1e-4 <= min(brightness) < 0.91
    assert 1.09 < max(brightness) <= 1.1 + 1e-4
    soft = 0.4 + 0.2 * image  # nothing is cut off at 0 or 1
    contrast, hues = [], []
    for seed in range(200):
        out = jitter_all(soft, 0.1, seeded(seed))
        greys, was = out.mean(0), soft.mean(0)
        contrast.append(float((greys.std() / greys.mean()) / (was.std() / was.mean())))
        tints, were = out - greys, soft - was
        cosine = (tints * were).sum(0) / (tints.norm(dim=0) * were.norm(dim=0))
        assert float(cosine.std()) < 1e-2, "one hue a picture"
        hues.append(math.degrees(math.acos(min(1.0, float(cosine.median())))))
    assert 0.88 < min(contrast) < 0.92
    assert 1.08 < max(contrast) < 1.12
    assert 33 < max(hues) < 36.5, "a tenth of a turn"


def test_tint_turns_red_to_green_and_drains_colour(image) -> None:
    red, green = torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.tensor([0, 1.0, 0]).view(3, 1, 1)
    turned = tint(red, 2 * math.pi / 3, 1.0)
    assert torch.allclose(turned, green, atol=1e-6) or torch.allclose(turned, green.roll(1, 0), atol=1e-6)
    assert torch.allclose(tint(image, 1.0, 0.0), image.mean(0).expand(3, -1, -1), atol=1e-6)
