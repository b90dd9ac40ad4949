"""Intervals: the fast paths draw the same resamples as the plain loop; pixels are resampled by image."""

import cv2
import numpy as np
import pytest

from blemish import metrics
from blemish.core.errors import InputError
from blemish.metrics.bootstrap import Interval, around, mean_interval, pixel_bootstrap, sketch

NAMES = {"image_AUROC": metrics.auroc, "image_AP": metrics.average_precision}


def images(seed=0, n=60, digits=1):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3 == 0
    return labels, np.round(rng.normal(size=n) + labels, digits)


@pytest.mark.parametrize("digits", [0, 1, 9])
def test_the_fast_path_is_the_loop(digits) -> None:
    labels, scores = images(digits=digits)
    fast = metrics.image_intervals(labels, scores, repeats=80, seed=3)
    slow = {name: metrics.interval(f, labels, scores, repeats=80, seed=3, stratify=labels) for name, f in NAMES.items()}
    slow["image_F1Max"] = metrics.interval(
        lambda y, s: metrics.f1_max(y, s)[0], labels, scores, repeats=80, seed=3, stratify=labels
    )
    assert fast.keys() == slow.keys()
    for name, expected in slow.items():
        assert tuple(fast[name]) == pytest.approx(tuple(expected), abs=1e-12)
    assert metrics.auroc_interval(labels, scores, repeats=80, seed=3) == fast["image_AUROC"]


def test_chunks_of_resamples_do_not_matter(monkeypatch) -> None:
    labels, scores = images()
    whole = metrics.image_intervals(labels, scores, repeats=50)
    monkeypatch.setattr("blemish.metrics.bootstrap.CELLS", 7 * len(labels))
    assert metrics.image_intervals(labels, scores, repeats=50) == whole


def test_same_seed_same_interval_other_seed_another() -> None:
    labels, scores = images()
    first, again, other = (metrics.auroc_interval(labels, scores, seed=s) for s in (0, 0, 1))
    assert first == again != other
    assert tuple(other) == pytest.approx(tuple(first), abs=0.02)
    assert first.low < first.value < first.high
    wider = metrics.auroc_interval(labels, scores, confidence=0.99)
    assert wider.low < first.low < first.high < wider.high


def test_the_width_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2 == 0
    drawn = [metrics.auroc(labels, rng.normal(size=200) + labels) for _ in range(400)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    found = metrics.auroc_interval(labels, rng.normal(size=200) + labels)
    assert found.high - found.low == pytest.approx(high - low, rel=0.25)


def test_groups_keep_their_sizes() -> None:
    labels = np.array([0] * 20 + [1])
    seen = []
    metrics.interval(lambda y: seen.append(int(y.sum())) or 0.0, labels, repeats=30, stratify=labels)
    assert set(seen) == {1}
    metrics.interval(lambda y: seen.append(int(y.sum())) or 0.0, labels, repeats=30)
    assert len(set(seen)) > 1


def test_perfect_separation_has_no_width() -> None:
    assert metrics.auroc_interval([0, 0, 1, 1], [0, 1, 2, 3]) == (1, 1, 1)


def parts(seed=0, count=24, side=24):
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for i in range(count):
        mask = np.zeros((side, side), bool)
        map = rng.normal(rng.normal(0, 0.3), 1, (side, side))
        if i % 2:
            y, x = rng.integers(0, side - 8, 2)
            mask[y : y + 6, x : x + 4] = True
            mask[(y + 12) % side, x] = True
            map[mask] += rng.normal(2, 0.7)
        maps.append(map.astype(np.float32))
        masks.append(mask)
    return maps, masks


def pooled(metric):
    def measure(maps, masks):
        found = metric(np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps]))
        return found[0] if isinstance(found, tuple) else found

    return measure


def test_pixel_intervals_are_those_of_resampled_images() -> None:
    maps, masks = parts()
    found = metrics.PixelMetrics()
    for map, mask in zip(maps, masks, strict=True):
        found.update(map, mask)
    fast = found.intervals(repeats=60, seed=5, limits=(0.3, 0.05, 0.1, 1.0))
    limits = ["pixel_AUPRO", "pixel_AUPRO_05", "pixel_AUPRO_1", "pixel_AUPRO_whole"]
    assert list(fast) == ["pixel_AUROC", "pixel_AP", "pixel_F1Max", *limits]
    exact = {
        "pixel_AUROC": pooled(metrics.auroc),
        "pixel_AP": pooled(metrics.average_precision),
        "pixel_F1Max": pooled(metrics.f1_max),
        "pixel_AUPRO": metrics.aupro,
        "pixel_AUPRO_05": lambda m, t: metrics.aupro(m, t, 0.05),
        "pixel_AUPRO_1": lambda m, t: metrics.aupro(m, t, 0.1),
    }
    groups = [mask.any() for mask in masks]
    for name, metric in exact.items():
        expected = metrics.interval(metric, maps, masks, repeats=60, seed=5, stratify=groups)
        assert fast[name].value == pytest.approx(expected.value, abs=1e-4), name
        assert tuple(fast[name]) == pytest.approx(tuple(expected), abs=2e-3), name
        assert expected.high - expected.low > 0.02, name


def test_pixel_intervals_depend_on_the_order_of_scores_only() -> None:
    maps, masks = parts(1)
    plain, bent = metrics.PixelMetrics(), metrics.PixelMetrics()
    for map, mask in zip(maps, masks, strict=True):
        plain.update(map, mask)
        bent.update(np.exp(map), mask)
    expected = plain.intervals(repeats=100)
    for name, interval in bent.intervals(repeats=100).items():
        assert tuple(interval) == pytest.approx(tuple(expected[name]), abs=1e-4), name


def test_bounds_are_moved_to_the_value_and_kept_in_range() -> None:
    resampled = np.append(0.5, np.linspace(0.4, 0.6, 101))
    assert tuple(around(0.52, resampled, 0.9)) == pytest.approx((0.52, 0.43, 0.61))
    assert tuple(around(0.95, resampled, 0.9)) == pytest.approx((0.95, 0.86, 1.0))
    assert tuple(around(0.05, resampled, 0.9)) == pytest.approx((0.05, 0.0, 0.14))


def test_large_images_are_sketched_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.normal(size=300_000).astype(np.float32), rng.normal(1, 1, 5000).astype(np.float32)
    found = sketch(good, bad, bad, np.full(5000, 1 / 2500))
    sizes = [len(points.scores) for points in found]
    assert 400 < sizes[0] <= 512
    assert sizes[1:] == [256, 256]
    assert [points.amounts.sum() for points in found] == pytest.approx([300_000, 5000, 2], rel=1e-5)
    shares = np.linspace(0.05, 0.95, 19)
    held = np.cumsum(found.good.amounts) / 300_000
    np.testing.assert_allclose(np.interp(shares, held, found.good.scores), np.quantile(good, shares), atol=0.05)
    top = np.interp([0.999, 0.9999], held, found.good.scores)
    np.testing.assert_allclose(top, np.quantile(good, [0.999, 0.9999]), atol=0.3)
    np.testing.assert_allclose(np.quantile(found.bad.scores, shares), np.quantile(bad, shares), atol=0.05)


@pytest.mark.parametrize("side", [512, 1024])
def test_sketches_do_not_alias_with_the_grid_of_pixels(side) -> None:
    """A map enlarged from a coarse grid is highest at the grid's own points: a step of whole columns saw only one kind."""
    rng = np.random.default_rng(0)
    found = metrics.PixelMetrics()
    for i in range(6):
        map = cv2.resize(rng.normal(size=(64, 64)).astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
        mask = np.zeros((side, side), bool)
        if i % 2:
            y, x = rng.integers(0, side - side // 8, 2)
            mask[y : y + side // 10, x : x + side // 12] = True
            map[mask] += 1.5
        found.update(map, mask)
    drawn = pixel_bootstrap(found._sketches, (0.3, 0.05), repeats=1)
    exact = found.histogram
    expected = {"AUROC": exact.auroc(), "AUPRO@0.3": exact.aupro(0.3), "AUPRO@0.05": exact.aupro(0.05)}
    expected |= {"AP": exact.average_precision(), "F1Max": exact.f1_max()[0]}
    allowed = {"AUROC": 1e-3, "AUPRO@0.3": 2e-3, "AUPRO@0.05": 4e-3}  # as pixel_bootstrap says
    for name, value in expected.items():
        assert drawn[name][0] == pytest.approx(value, abs=allowed.get(name, 1e-2)), name


def test_merged_streams_have_intervals_of_all_images() -> None:
    maps, masks = parts(2, count=8)
    whole, left, right = (metrics.PixelMetrics() for _ in range(3))
    for i, (map, mask) in enumerate(zip(maps, masks, strict=True)):
        whole.update(map, mask)
        (left if i < 3 else right).update(map, mask)
    left.merge(right)
    found, expected = left.intervals(repeats=30), whole.intervals(repeats=30)
    for name, interval in found.items():
        assert tuple(interval) == pytest.approx(tuple(expected[name]), abs=1e-9)


def test_overlapping_instances_have_intervals_too() -> None:
    maps, masks = parts(3, count=8)
    found = metrics.PixelMetrics()
    for map, mask in zip(maps, masks, strict=True):
        found.update(map, mask, instances=[mask, mask] if mask.any() else [], saturations=[5, 9] if mask.any() else [])
    fast = found.intervals(repeats=30)["pixel_AUPRO"]
    own = [[mask, mask] if mask.any() else [] for mask in masks]
    full = [[5, 9] if mask.any() else [] for mask in masks]
    expected = metrics.interval(
        lambda m, i, f: metrics.auspro(m, i, f, 0.3), maps, own, full, repeats=30, stratify=[m.any() for m in masks]
    )
    assert tuple(fast) == pytest.approx(tuple(expected), abs=3e-3)


def test_a_resample_without_good_pixels_is_left_out() -> None:
    found = metrics.PixelMetrics()
    found.update(np.ones((4, 4)), np.ones((4, 4), bool))
    found.update(np.eye(4) * 2, np.eye(4, dtype=bool))
    assert all(np.isfinite(interval).all() for interval in found.intervals(repeats=50).values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": 0}, "confidence"),
        ({"repeats": 0}, "repeats"),
        ({"stratify": [0, 1]}, "one group for each of 3"),
    ],
)
def test_impossible_requests_are_refused(arguments, said) -> None:
    with pytest.raises(InputError, match=said):
        metrics.interval(np.mean, np.arange(3.0), **arguments)


def test_arrays_must_match_and_be_there() -> None:
    with pytest.raises(InputError, match="3 entries of array 0, 2 entries of array 1"):
        metrics.interval(np.mean, np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match="no image"):
        metrics.interval(np.mean, np.zeros(0))
    with pytest.raises(InputError, match="NaN"):
        metrics.image_intervals([0, 1], [0, np.nan])
    with pytest.raises(InputError, match="0 defective images"):
        metrics.image_intervals([0, 0], [0, 1])


def test_the_interval_of_a_mean_of_independent_estimates() -> None:
    rng = np.random.default_rng(0)
    sd = np.array([0.03, 0.01, 0.02])
    each = [Interval(v, v - 1.96 * s, v + 1.96 * s) for v, s in zip((0.9, 0.8, 0.7), sd, strict=True)]
    found = mean_interval(each)
    drawn = rng.normal((0.9, 0.8, 0.7), sd, (200_000, 3)).mean(1)
    assert found.value == pytest.approx(0.8)
    assert found[1:] == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=3e-4)
    assert mean_interval(each[:1]) == pytest.approx(each[0])
