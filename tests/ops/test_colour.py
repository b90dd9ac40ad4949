"""Changes of colour against their formulas, one image at a time."""

import pytest
import torch

from blemish.ops.colour import grey, jitter, sometimes_grey


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
    for before, after in zip(image, jitter(image, 0.2), strict=True):
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
    found = jitter(torch.rand(20, 3, 4, 4), 0.9)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
