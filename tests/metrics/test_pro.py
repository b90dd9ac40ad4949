"""PRO and sPRO against loops over thresholds, regions by breadth-first search, and the data set authors' algorithm."""

import numpy as np
import pytest
import slow_metrics as slow
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.core.errors import InputError
from blemish.metrics import aupro, auspro, pro_curve, regions, spro_curve


def snake(size=21):
    """One line that goes to and fro: a single region thousands of steps long in the large."""
    mask = np.zeros((size, size), bool)
    mask[::2] = True
    for row in range(1, size, 2):
        mask[row, -1 if (row // 2) % 2 == 0 else 0] = True
    return mask


def spiral(size=23):
    mask = np.zeros((size, size), bool)
    y = x = 0
    dy, dx = 0, 1
    mask[0, 0] = True
    for step in range(size * size):
        ahead, beyond = (y + dy, x + dx), (y + 2 * dy, x + 2 * dx)
        blocked = not (0 <= ahead[0] < size and 0 <= ahead[1] < size)
        if not blocked and 0 <= beyond[0] < size and 0 <= beyond[1] < size:
            blocked = bool(mask[beyond])
        if blocked:
            dy, dx = dx, -dy
            if step and mask[y + dy, x + dx]:
                break
            continue
        y, x = ahead
        mask[y, x] = True
    return mask


@pytest.mark.parametrize(
    "mask",
    [snake(), snake(301), spiral(), np.eye(40, dtype=bool), np.fliplr(np.eye(40, dtype=bool)), np.ones((9, 5), bool)],
    ids=["snake", "long snake", "spiral", "diagonal", "other diagonal", "all"],
)
def test_winding_and_diagonal_defects_are_one_region(mask) -> None:
    labels, count = regions(mask)
    assert count == 1
    assert ((labels == 1) == mask).all()


def test_regions_are_those_of_breadth_first_search() -> None:
    rng = np.random.default_rng(0)
    for share in (0.1, 0.3, 0.5):
        mask = rng.random((23, 31)) < share
        labels, count = regions(mask)
        expected = slow.regions(mask)
        assert count == len(expected)
        assert {tuple(sorted(r)) for r in expected} == {
            tuple(sorted(zip(*(axis.tolist() for axis in np.nonzero(labels == i)), strict=True)))
            for i in range(1, count + 1)
        }


@st.composite
def inspected(draw):
    """A few maps of different sizes with many equal scores, masks, and where pixels count."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.integers(1, 8))
    maps, masks, valid = [], [], []
    for i in range(draw(st.integers(1, 3))):
        shape = tuple(rng.integers(3, 9, 2))
        maps.append(rng.integers(0, levels, shape) / 3 - 1)
        masks.append(rng.random(shape) < rng.choice([0, 0.2, 0.4]) if i else rng.random(shape) < 0.3)
        valid.append(rng.random(shape) < 0.8)
    masks[0][0, 0], masks[0][-1, -1] = True, False
    valid[0][0, 0] = valid[0][-1, -1] = True
    return maps, masks, valid, float(draw(st.sampled_from([0.05, 0.3, 0.77, 1.0])))


@settings(max_examples=60)
@given(inspected())
def test_equal_to_the_loops(case) -> None:
    maps, masks, valid, limit = case
    assert aupro(maps, masks, limit) == pytest.approx(slow.aupro(maps, masks, limit), abs=1e-9)
    assert aupro(maps, masks, limit) == pytest.approx(slow.aupro_by_sorting(maps, masks, limit), abs=1e-9)
    assert aupro(maps, masks, limit, valid) == pytest.approx(slow.aupro(maps, masks, limit, valid), abs=1e-9)


@settings(max_examples=30)
@given(inspected())
def test_curve_points_are_what_the_threshold_gives(case) -> None:
    maps, masks, valid, _ = case
    expected = {t: (x, y) for x, y, t in slow.pro_points(maps, masks, slow.parts_of(masks, valid), valid)}
    fpr, pro, thresholds = pro_curve(maps, masks, valid)
    assert (fpr[0], pro[0], thresholds[0], fpr[-1], pro[-1]) == (0, 0, np.inf, 1, 1)
    for x, y, t in zip(fpr, pro, thresholds, strict=True):
        assert (x, y) == pytest.approx(expected[t], abs=1e-12)


def test_staircase() -> None:
    mask = np.zeros((10, 5), bool)
    for ones, row in enumerate((1, 3, 5, 7, 9), start=1):
        mask[row, :ones] = True
    map = np.repeat(np.arange(10)[:, None] / 10 + 0.05, 5, 1)
    _, pro, thresholds = pro_curve([map], [mask])
    found = [pro[thresholds >= t][-1] for t in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    np.testing.assert_allclose(found, [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-12)


def test_perfect_constant_inverted_random() -> None:
    rng = np.random.default_rng(0)
    masks = [np.zeros((64, 64), bool) for _ in range(6)]
    for i, mask in enumerate(masks[:4]):
        mask[5 : 12 + i, 8:20] = mask[40:42, 30:50] = True
    exact = [mask.astype(float) for mask in masks]
    assert aupro(exact, masks) == pytest.approx(1.0, abs=1e-12)
    assert aupro([np.zeros((64, 64))] * 6, masks) == pytest.approx(0.15, abs=1e-12)
    assert aupro([-m for m in exact], masks) == pytest.approx(0.0, abs=1e-12)
    assert aupro([rng.random((64, 64)) for _ in masks], masks) == pytest.approx(0.15, abs=0.02)


def test_every_region_weighs_the_same_and_unseen_ones_cost() -> None:
    """Every region weighs the same and an unseen one costs its share."""
    mask = np.zeros((50, 50), bool)
    mask[:30, :30] = True
    mask[40, 40] = True
    map = np.zeros((50, 50))
    map[:30, :30] = 1.0
    _, pro, thresholds = pro_curve([map], [mask])
    assert pro[thresholds >= 1][-1] == pytest.approx(0.5)


def test_invariant_to_monotone_transforms_and_order() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(20, 30)) for _ in range(3)]
    masks = [rng.random((20, 30)) < share for share in (0.1, 0, 0.2)]
    value = aupro(maps, masks)
    assert aupro([np.exp(2 * m) for m in maps], masks) == value
    assert aupro(maps[::-1], masks[::-1]) == pytest.approx(value, abs=1e-12)
    assert aupro([m.T for m in maps], [m.T for m in masks]) == pytest.approx(value, abs=1e-12)


def test_an_ignored_strip_does_not_cut_a_defect_in_two() -> None:
    mask, valid = np.zeros((9, 9), bool), np.ones((9, 9), bool)
    mask[4] = True  # one scratch across
    mask[0, 0] = True  # one dot
    valid[:, 2:4] = False
    map = np.zeros((9, 9))
    map[4] = 1
    _, pro, thresholds = pro_curve([map], [mask], [valid])
    assert pro[thresholds >= 1][-1] == pytest.approx(1 / 2)
    valid[4] = False  # the scratch no longer counts at all
    _, pro, thresholds = pro_curve([map], [mask], [valid])
    assert thresholds.tolist() == [np.inf, 0]


def test_what_lies_outside_is_never_looked_at() -> None:
    rng = np.random.default_rng(0)
    map, mask, valid = rng.random((8, 8)), rng.random((8, 8)) < 0.3, rng.random((8, 8)) < 0.7
    value = aupro([map], [mask], valid=[valid])
    map[~valid] = np.nan
    assert aupro([map], [mask], valid=[valid]) == value


@st.composite
def instances(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps, found, full = [], [], []
    for i in range(draw(st.integers(1, 3))):
        shape = tuple(rng.integers(3, 8, 2))
        maps.append(rng.integers(0, draw(st.integers(1, 6)), shape) / 3)
        own = [rng.random(shape) < 0.4 for _ in range(rng.integers(i == 0, 4))]
        for mask in own:
            mask[0, 0], mask[-1, -1] = True, False
        found.append(own)
        full.append([float(rng.choice([1, 2, 2.5, 7, 1000])) for _ in own])
    return maps, found, full


@settings(max_examples=60)
@given(instances(), st.sampled_from([0.05, 0.3, 1.0]))
def test_saturated_overlap_is_that_of_the_loop(case, limit) -> None:
    maps, found, full = case
    masks = [np.any([np.zeros(m.shape, bool), *own], axis=0) for m, own in zip(maps, found, strict=True)]
    parts = [
        (i, list(zip(*np.nonzero(mask), strict=True)), min(most, mask.sum()))
        for i, (own, fulls) in enumerate(zip(found, full, strict=True))
        for mask, most in zip(own, fulls, strict=True)
    ]
    expected = slow.pro_points(maps, masks, parts)
    assert auspro(maps, found, full, limit) == pytest.approx(slow.area(expected, limit), abs=1e-9)
    heights = {t: (x, y) for x, y, t in expected}
    for x, y, t in zip(*spro_curve(maps, found, full), strict=True):
        assert (x, y) == pytest.approx(heights[t], abs=1e-12)


def test_saturated_ties_do_not_flatter() -> None:
    whole = np.zeros((2, 3), bool)
    whole[0] = True
    constant = np.ones((2, 3))
    assert auspro([constant], [[whole]], limit=1.0) == pytest.approx(0.5)
    overlapping = np.array([[0, 1, 2], [1, 2, 3]], float)[::-1]
    assert auspro([overlapping], [[whole]], limit=1.0) == pytest.approx(7 / 9)


def test_without_saturation_instances_are_regions() -> None:
    rng = np.random.default_rng(3)
    map, mask = rng.normal(size=(30, 30)), np.zeros((30, 30), bool)
    mask[2:9, 3:8] = mask[20:22, 4:28] = True
    labels, count = regions(mask)
    own = [labels == i for i in range(1, count + 1)]
    assert auspro([map], [own], limit=0.3) == pytest.approx(aupro([map], [mask]), abs=1e-12)
    assert auspro([map], [own], [[3, 10]], limit=0.3) > aupro([map], [mask])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m, t: aupro([m], [t[:, :3]]), "same size"),
        (lambda m, t: aupro([m[0]], [t[0]]), "H, W"),
        (lambda m, t: aupro([m, m], [t]), "2 maps, 1 masks"),
        (lambda m, t: aupro([m], [t], valid=[t, t]), "2 valid"),
        (lambda m, t: aupro([m], [t], valid=[t[:2]]), "same size"),
        (lambda m, t: aupro([m], [t * 255]), "mask > 0"),
        (lambda m, t: aupro([m], [t], 0), "limit"),
        (lambda m, t: aupro([m], [t], 1.5), "limit"),
        (lambda m, t: aupro([m], [t], float("nan")), "limit"),
        (lambda m, t: aupro([m], [t * 0]), "0 defective"),
        (lambda m, t: aupro([m], [t * 0 + 1]), "0 good"),
        (lambda m, t: aupro([m / np.where(t, 1, np.nan)], [t]), "map 0: 12 of 12"),
        (lambda m, t: aupro([m / np.where(t, np.nan, 1)], [t]), "NaN"),
        (lambda m, t: aupro([], []), "both"),
        (lambda m, t: auspro([m], [[t[:2]]]), "instance has shape"),
        (lambda m, t: auspro([m], [[t]], [[0]]), "positive"),
        (lambda m, t: auspro([m], [[t]], [[float("nan")]]), "positive"),
        (lambda m, t: auspro([m], [[t]], [[1, 2]]), "2 saturations"),
        (lambda m, t: auspro([m], [[t]], [[1]], limit=0), "limit"),
    ],
)
def test_unusable_input_is_refused(call, said) -> None:
    map, mask = np.arange(16.0).reshape(4, 4), np.zeros((4, 4), np.uint8)
    mask[0] = 1
    with pytest.raises(InputError, match=said):
        call(map, mask)
