"""PaDiM against numpy, one position at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from blemish.core.errors import InputError
from blemish.models import PaDiM
from parts import Parts, stripes

TINY = {"dims": 40}
ONE_SIZE = "fitted on a grid of"
SIZE = (64, 64)


def test_map_is_the_mahalanobis_distance_at_every_position() -> None:
    good, image = stripes(12, SIZE, seed=0), stripes(2, SIZE, seed=3)
    detector = PaDiM(dims=10).fit(Parts(good, batch_size=5))

    def slow(images: torch.Tensor) -> np.ndarray:
        maps = detector.features(images)
        side = maps[0].shape[2]
        repeated = [m.repeat_interleave(side // m.shape[2], 2).repeat_interleave(side // m.shape[3], 3) for m in maps]
        return torch.cat(repeated, 1)[:, detector.channels].double().numpy()

    train, test = slow(good), slow(image)
    side = train.shape[2]
    grid = np.zeros((2, side, side))
    for y in range(side):
        for x in range(side):
            mean = train[:, :, y, x].mean(0)
            inverse = np.linalg.inv(np.cov(train[:, :, y, x], rowvar=False) + 0.01 * np.eye(10))
            for i in range(2):
                gap = test[i, :, y, x] - mean
                grid[i, y, x] = np.sqrt(gap @ inverse @ gap)
    grown = F.interpolate(torch.tensor(grid)[:, None], size=SIZE, mode="bilinear", align_corners=False)[:, 0].numpy()
    expected = np.stack([ndimage.gaussian_filter(m, 4) for m in grown])
    score, map = detector(image)[:2]
    np.testing.assert_allclose(map.numpy(), expected, rtol=5e-3, atol=5e-3)
    np.testing.assert_allclose(score.numpy(), expected.max((1, 2)), rtol=5e-3)


@pytest.mark.parametrize(("dims", "size"), [(60, (64, 64)), (4, (64, 64)), (60, (72, 56)), (30, (70, 90))])
def test_sharing_what_places_have_in_common_changes_no_distance(dims: int, size: tuple[int, int]) -> None:
    good, image = stripes(12, size, seed=0), stripes(1, size, seed=3)
    detector = PaDiM(dims=dims, sigma=0.0).fit(Parts(good, batch_size=5))

    def slow(images: torch.Tensor) -> np.ndarray:  # (B, h, w, dims): every layer repeated onto the shallowest grid
        maps = detector.features(images)
        grown = [F.interpolate(m, size=maps[0].shape[2:], mode="nearest") for m in maps]
        return torch.cat(grown, 1)[:, detector.channels].permute(0, 2, 3, 1).double().numpy()

    train, test = slow(good), slow(image)[0]
    grid = np.zeros(train.shape[1:3])
    for at in np.ndindex(grid.shape):
        inverse = np.linalg.inv(np.cov(train[:, *at], rowvar=False) + 0.01 * np.eye(dims))
        gap = test[at] - train[:, *at].mean(0)
        grid[at] = np.sqrt(gap @ inverse @ gap)
    expected = F.interpolate(torch.tensor(grid)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(detector(image).map[0].double(), expected, rtol=5e-3, atol=5e-3)


def test_the_file_holds_no_more_than_it_must(tmp_path: Path) -> None:
    detector = PaDiM(dims=100).fit(Parts(stripes(6, SIZE, 0)))
    full = 16 * 16 * 100 * 100 * 4
    whitening = sum(v.numel() * 4 for k, v in detector.state_dict().items() if k.startswith("whitening"))
    assert whitening < 0.6 * full
    everything = sum(v.numel() * v.element_size() for v in detector.state_dict().values())
    assert detector.save(tmp_path / "p.safetensors").stat().st_size < everything + 100_000


def test_channels_are_fixed_by_the_seed() -> None:
    """Channels are fixed by the seed and limited by the backbone."""
    assert torch.equal(PaDiM(seed=3).channels, PaDiM(seed=3).channels)
    assert not torch.equal(PaDiM(seed=3).channels, PaDiM(seed=4).channels)
    every = PaDiM(dims=10_000)
    assert len(every.channels) == sum(every.features.channels)


def test_batches_do_not_matter() -> None:
    good, image = stripes(9, SIZE, seed=0), stripes(1, SIZE, seed=3)
    one = PaDiM(**TINY).fit(Parts(good, batch_size=9))(image).image
    many = PaDiM(**TINY).fit(Parts(good, batch_size=2))(image).image
    torch.testing.assert_close(one, many, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("wrong", [{"dims": 0}, {"ridge": 0.0}])
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError):
        PaDiM(**wrong)
