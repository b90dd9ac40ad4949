"""AUPIMO against a walk along the logarithmic axis."""

import numpy as np
import pytest
import slow_metrics as slow

from blemish.core.errors import InputError
from blemish.metrics import PimoHistogram, aupimo

BOUNDS = (0.02, 0.3)


def scene(seed, levels=None):
    rng = np.random.default_rng(seed)
    maps = [rng.normal(size=tuple(rng.integers(8, 14, 2))) for _ in range(5)]
    masks = [np.zeros(m.shape, bool) for m in maps]
    for i in (1, 3):
        masks[i][2:5, 1:6] = True
        maps[i][masks[i]] += 1.5 * i
    if levels:
        maps = [np.round(m * levels) / levels for m in maps]
    return maps, masks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [None, 4, 2])
def test_equal_to_the_walk(seed, levels) -> None:
    maps, masks = scene(seed, levels)
    found = aupimo(maps, masks, BOUNDS)
    assert found.shape == (2,)
    np.testing.assert_allclose(found, slow.aupimo(maps, masks, BOUNDS), atol=1e-12)


def test_the_usual_bounds_on_images_of_real_size() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.random((256, 256)) for _ in range(4)]
    masks = [np.zeros((256, 256), bool) for _ in range(4)]
    masks[0][10:20, 10:20] = masks[1][30:40, 5:9] = masks[2][50:60, :20] = True
    maps[0][masks[0]] += 1  # found before any good pixel is marked
    maps[1][masks[1]] -= 1  # never found
    maps[2][masks[2]] = np.where(np.arange(200) < 60, 2, 0)  # 30 % of it
    np.testing.assert_allclose(aupimo(maps, masks, (2e-5, 1e-4)), [1, 0, 0.3], atol=1e-12)


def test_only_order_counts_and_good_images_weigh_the_same() -> None:
    """Depends on order only and each good image weighs the same."""
    maps, masks = scene(0)
    value = aupimo(maps, masks, BOUNDS)
    np.testing.assert_allclose(aupimo([np.exp(m) for m in maps], masks, BOUNDS), value, atol=1e-12)
    big = [
        np.repeat(m, 2, 0) if not t.any() and i == 0 else m for i, (m, t) in enumerate(zip(maps, masks, strict=True))
    ]
    tall = [np.repeat(t, 2, 0) if i == 0 else t for i, t in enumerate(masks)]
    np.testing.assert_allclose(aupimo(big, tall, BOUNDS), value, atol=1e-12)


def test_only_valid_pixels_count() -> None:
    maps, masks = scene(1)
    valid = [np.ones(m.shape, bool) for m in maps]
    for i, where in enumerate(valid):
        where[:2] = False
        maps[i][:2] = np.nan
    cut = aupimo([m[2:] for m in maps], [m[2:] for m in masks], BOUNDS)
    np.testing.assert_allclose(aupimo(maps, masks, BOUNDS, valid), cut, atol=1e-12)
    valid[1] = ~masks[1] & valid[1]  # its defect is ignored: neither scored nor taken for good
    np.testing.assert_allclose(aupimo(maps, masks, BOUNDS, valid), cut[1:], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "bounds", "said"),
    [
        (lambda m, t: (m, t), (1e-5, 1e-4), "cannot be reached"),
        (lambda m, t: ([np.round(a / 9) for a in m], t), (0.02, 0.3), "cannot be reached"),
        (lambda m, t: ([np.where(a > 2.2, a, 0) for a in m], t), (0.1, 0.3), "cannot be reached"),
        (lambda m, t: (m, t), (0.3, 0.02), "0 < low < high"),
        (lambda m, t: (m, t), (0.0, 0.3), "0 < low < high"),
        (lambda m, t: (m, [a & False for a in t]), (0.02, 0.3), "5 and 0"),
        (lambda m, t: (m[1:2], t[1:2]), (0.02, 0.3), "0 and 1"),
        (lambda m, t: ([a * np.nan for a in m], t), (0.02, 0.3), "NaN"),
        (lambda m, t: (m[:3], t), (0.02, 0.3), "3 maps, 5 masks"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, bounds, said) -> None:
    with pytest.raises(InputError, match=said):
        aupimo(*change(*scene(0)), bounds)


@pytest.mark.parametrize("count", [3, 7, 11])
def test_bounds_of_one_pixel_are_reached_in_both_ways(count: int) -> None:
    """The mean share of one pixel in one of some images is a sum, which may round to a little more than the bound."""
    rng = np.random.default_rng(0)
    maps, masks = [rng.normal(size=(100, 100)) for _ in range(count + 1)], [np.zeros((100, 100), bool)] * count
    mask = np.zeros((100, 100), bool)
    mask[:5] = True
    masks = [*masks, mask]
    low = 1 / (count * 10_000)
    streamed = PimoHistogram()
    for map, truth in zip(maps, masks, strict=True):
        streamed.update(map, truth)
    exact = aupimo(maps, masks, (low, 1e-2))
    np.testing.assert_allclose(streamed.aupimo((low, 1e-2)), exact, atol=1e-3)
