"""Pasting: what is cut, where it goes, how it is turned and coloured, and that the rest of the picture stays."""

import math

import pytest
import torch

from blemish.models.cutpaste import paste_patch, paste_scar, strip
from blemish.ops.rotation import turn

SIZE = (60, 80)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(3, *SIZE, generator=seeded(0))


def box(mask: torch.Tensor) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of what is set."""
    y, x = mask.nonzero(as_tuple=True)
    top, left = int(y.min()), int(x.min())
    return top, left, int(y.max()) - top + 1, int(x.max()) - left + 1


@pytest.mark.parametrize("paste", [paste_patch, paste_scar])
def test_only_the_pasted_region_changes_and_the_seed_decides(image, paste) -> None:
    before, places = image.clone(), set()
    for seed in range(50):
        pasted, mask = paste(image, seeded(seed))
        assert torch.equal(image, before), "the picture that was given stays"
        assert pasted.shape == image.shape
        assert mask.shape == SIZE
        assert mask.dtype == torch.bool
        assert torch.equal(pasted[:, ~mask], image[:, ~mask])
        assert (pasted[:, mask] != image[:, mask]).float().mean() > 0.9
        assert pasted.min() >= 0
        assert pasted.max() <= 1
        again = paste(image, seeded(seed))
        assert torch.equal(again[0], pasted)
        assert torch.equal(again[1], mask)
        places.add(box(mask))
    assert len(places) > 45


def test_patches_are_copies_from_the_picture(image) -> None:
    """Without jitter each patch is found, pixel by pixel, somewhere in the picture."""
    for seed in range(5):
        pasted, mask = paste_patch(image, seeded(seed), jitter=0.0)
        top, left, rows, columns = box(mask)
        assert int(mask.sum()) == rows * columns, "a whole rectangle"
        patch = pasted[:, top : top + rows, left : left + columns]
        windows = image.unfold(1, rows, 1).unfold(2, columns, 1)
        apart = (windows - patch[:, None, None]).abs().amax((0, 3, 4))
        assert float(apart.min()) < 1e-6
        y, x = divmod(int(apart.argmin()), apart.shape[1])
        assert (y, x) != (top, left)


def test_area_and_aspect_of_patches() -> None:
    image = torch.rand(3, 200, 300, generator=seeded(0))
    areas, ratios, tops, lefts = [], [], [], []
    for seed in range(400):
        top, left, rows, columns = box(paste_patch(image, seeded(seed))[1])
        areas.append(rows * columns / (200 * 300))
        ratios.append(math.log(columns / rows))
        tops.append(top / (200 - rows))
        lefts.append(left / (300 - columns))
    assert 0.019 < min(areas) < 0.025
    assert 0.145 < max(areas) < 0.152
    assert sum(areas) / 400 == pytest.approx(0.085, abs=0.006), "uniform"
    limit = math.log(1 / 0.3)
    assert -limit - 0.03 < min(ratios) < -0.95 * limit
    assert 0.95 * limit < max(ratios) < limit + 0.03
    assert sum(ratios) / 400 == pytest.approx(0, abs=0.12), "as many lie as stand"
    for at in (tops, lefts):
        assert min(at) < 0.02
        assert max(at) > 0.98
        assert sum(at) / 400 == pytest.approx(0.5, abs=0.06), "anywhere"


def test_size_and_slant_of_scars() -> None:
    image, slants, widths, lengths = torch.rand(3, 256, 256, generator=seeded(0)), [], [], []
    for seed in range(300):
        mask = paste_scar(image, seeded(seed), width=(2, 5), length=(20, 25))[1]
        points = mask.nonzero().double()
        points -= points.mean(0)
        along = torch.linalg.eigh(points.T @ points).eigenvectors[:, 1]  # the longest direction, (y, x)
        slants.append(math.degrees(math.atan(float(along[1] / along[0]))))
        lengths.append(float((points @ along).abs().max()) * 2 + 1)
        widths.append(len(points) / lengths[-1])
    assert -46 < min(slants) < -42
    assert 42 < max(slants) < 46
    assert sum(slants) / 300 == pytest.approx(0, abs=5)
    assert min(lengths) > 18
    assert 24 < max(lengths) < 28
    assert 1 < min(widths) < 2.5
    assert 4 < max(widths) < 5.5
    sizes = [int(paste_scar(image, seeded(seed))[1].sum()) for seed in range(300)]
    assert min(sizes) + 8 >= 2 * 10
    assert max(sizes) <= 16 * 25 + 20
    assert max(sizes) > 300


def test_strip_is_a_turned_rectangle() -> None:
    for angle in (-0.7, 0.0, 0.3):
        upright = torch.zeros(1, 41, 41)
        upright[:, 20 - 12 : 20 + 13, 20 - 4 : 20 + 5] = 1
        expected = turn(upright, angle)[0] > 0.5
        assert int((strip(41, 9, 25, angle) ^ expected).sum()) <= 12, "but for pixels on the edge"
    assert int(strip(30, 2, 10, 0.0).sum()) == 20


def test_scars_are_turned_with_what_is_in_them() -> None:
    """A picture of upright stripes: along a pasted scar the colours stay, so the scar's stripes run as it does."""
    stripes = (torch.arange(128) % 8 < 4).float().expand(3, 128, 128)
    for seed in range(8):
        pasted, mask = paste_scar(stripes, seeded(seed), width=(15, 16), length=(24, 25), jitter=0.0)
        points = mask.nonzero().double()
        middle = points.mean(0)
        y, x = (points - middle).T
        along = torch.linalg.eigh(torch.stack([y, x]) @ torch.stack([y, x]).T).eigenvectors[:, 1]
        across = ((y * -along[1] + x * along[0]) / 1.0).round()
        values = pasted[0][mask]
        within = torch.stack([values[across == k].std() for k in range(-5, 6)]).mean()
        assert float(within) < 0.6 * float(values.std())


def test_a_scar_fits_into_a_small_picture() -> None:
    pasted, mask = paste_scar(torch.rand(3, 20, 12), seeded(0))
    assert pasted.shape == (3, 20, 12)
    assert mask.any()
