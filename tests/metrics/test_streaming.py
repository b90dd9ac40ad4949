"""The accumulators against the exact functions, within the error they state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blemish import metrics
from blemish.core.errors import InputError
from blemish.metrics.bins import FloatBins, _floats, _keys

FLOATS = arrays(np.float32, st.integers(1, 60), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def scene(seed=0, count=6, scale=1.0, shift=0.0, kind=np.float32):
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for i in range(count):
        shape = tuple(rng.integers(20, 40, 2))
        mask = np.zeros(shape, bool)
        map = rng.normal(size=shape)
        if i % 3:
            mask[3:8, 4:15] = mask[12:14, 2:5] = mask[15, 15] = True
            map[mask] += 1
        maps.append((map * scale + shift).astype(kind))
        masks.append(mask)
    return maps, masks


def fill(accumulator, maps, masks, **more):
    for i, (map, mask) in enumerate(zip(maps, masks, strict=True)):
        accumulator.update(map, mask, **{name: values[i] for name, values in more.items()})
    return accumulator


def pool(arrays):
    return np.concatenate([a.ravel() for a in arrays])


@given(FLOATS)
def test_keys_are_in_the_order_of_the_numbers(values) -> None:
    keys = _keys(values).astype(np.int64)
    np.testing.assert_array_equal(
        np.sign(keys[:, None] - keys), np.sign(np.subtract.outer(*[values.astype(float)] * 2))
    )
    np.testing.assert_array_equal(_floats(_keys(values)), values)


@settings(max_examples=60)
@given(FLOATS, FLOATS)
def test_bins_count_everything_once_in_order_whatever_comes(first, second) -> None:
    bins = FloatBins(2)
    bins.add(0, bins.locate(first))
    bins.add(1, bins.locate(second), np.arange(len(second)) + 0.5)
    floors, amounts = bins.rows()
    assert (np.diff(floors) < 0).all()
    assert amounts.sum(1) == pytest.approx([len(first), (np.arange(len(second)) + 0.5).sum()])
    for floor, seen, above in zip(floors, np.cumsum(amounts[0]), floors, strict=True):
        assert seen == (first.astype(float) >= floor).sum(), above
    assert set(bins.floors(np.concatenate([first, second]))) == set(floors)
    assert (bins.floors(first) <= first).all()


def test_many_octaves_get_wider_bins_not_more_memory() -> None:
    rng = np.random.default_rng(0)
    few = rng.random(5000).astype(np.float32) + 1
    many = (rng.choice([-1, 1], 40000) * np.exp2(rng.uniform(-126, 127, 40000))).astype(np.float32)
    whole, parts, other = FloatBins(3), FloatBins(3), FloatBins(3)
    whole.add(0, whole.locate(np.concatenate([few, many])))
    for chunk in [few, *np.array_split(many, 40)]:
        parts.add(0, parts.locate(chunk))
    other.add(0, other.locate(few))
    finest = FloatBins(3)
    finest.add(0, finest.locate(many))
    other.merge(finest)
    assert whole.bits == parts.bits == other.bits == 12
    assert max(whole.nbytes, parts.nbytes, other.nbytes) < 76e6
    for bins in (parts, other):
        np.testing.assert_array_equal(bins.rows()[0], whole.rows()[0])
        np.testing.assert_array_equal(bins.rows()[1], whole.rows()[1])


@pytest.mark.parametrize(
    ("scale", "shift", "kind"),
    [
        (1, 0, np.float32),
        (0.3, 5, np.float32),
        (1e-3, 100, np.float64),
        (50, -12000, np.float32),
        (1e30, 0, np.float64),
    ],
)
def test_within_the_stated_error_of_the_exact_values(scale, shift, kind) -> None:
    maps, masks = scene(0, scale=scale, shift=shift, kind=kind)
    found = fill(metrics.PixelHistogram(), maps, masks)
    labels, scores = pool(masks), pool(maps)
    assert abs(found.auroc() - metrics.auroc(labels, scores)) <= found.error_bound() + 1e-12
    for limit in (0.02, 0.3, 1.0):
        difference = abs(found.aupro(limit) - metrics.aupro(maps, masks, limit))
        assert difference <= found.error_bound(limit) + 1e-12
    assert found.error_bound() < (1e-5 if shift == 0 else 1e-2)
    if shift == 0:
        assert found.average_precision() == pytest.approx(metrics.average_precision(labels, scores), abs=1e-3)
        assert found.f1_max()[0] == pytest.approx(metrics.f1_max(labels, scores)[0], abs=1e-3)
    assert found.regions == 12


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.floats(0.01, 1))
def test_the_bound_holds_when_bins_are_shared(seed, levels, limit) -> None:
    rng = np.random.default_rng(seed)
    map = (1 + rng.integers(0, levels, (15, 15)) / (1 << 23)).astype(np.float32)  # 8 neighbouring values share a bin
    mask = rng.random((15, 15)) < 0.3
    mask[0, 0], mask[1, 1] = True, False
    found = fill(metrics.PixelHistogram(), [map], [mask])
    assert abs(found.auroc() - metrics.auroc(mask, map)) <= found.error_bound() + 1e-12
    assert abs(found.aupro(limit) - metrics.aupro([map], [mask], limit)) <= found.error_bound(limit) + 1e-12


def test_the_bound_can_be_reached() -> None:
    step = np.float32(2**-23)
    map = np.array([[1, 1], [1 + step, 1 + step]], np.float32)
    found = fill(metrics.PixelHistogram(), [map], [map > 1])
    assert (found.auroc(), found.error_bound()) == (0.5, 0.5)
    assert (found.aupro(1.0), found.error_bound(1.0)) == (0.5, 0.5)
    # Cut by the limit, the rectangle lies almost wholly above its diagonal.
    assert (found.aupro(0.01), found.error_bound(0.01)) == pytest.approx((0.005, 1.0))
    assert metrics.aupro([map], [map > 1], 0.01) == 1.0


def test_exactly_the_exact_functions_on_scores_rounded_to_bins() -> None:
    maps, masks = scene(1, scale=0.0005, shift=700)
    valid = [np.random.default_rng(i).random(m.shape) < 0.8 for i, m in enumerate(maps)]
    found = fill(metrics.PixelHistogram(), maps, masks, valid=valid)
    rounded = [np.floor(m * 2048) / 2048 for m in maps]  # 2^20 bins in [512, 1024)
    labels, scores = (np.concatenate([a[v] for a, v in zip(x, valid, strict=True)]) for x in (masks, rounded))
    assert len(np.unique(scores)) < 15
    assert found.auroc() == pytest.approx(metrics.auroc(labels, scores), abs=1e-12)
    assert found.average_precision() == pytest.approx(metrics.average_precision(labels, scores), abs=1e-12)
    assert found.f1_max() == pytest.approx(metrics.f1_max(labels, scores), abs=1e-12)
    assert found.aupro(0.3) == pytest.approx(metrics.aupro(rounded, masks, 0.3, valid), abs=1e-12)


def test_order_batches_and_merging_change_nothing() -> None:
    maps, masks = scene(2)
    whole = fill(metrics.PixelHistogram(), maps, masks)
    back = fill(metrics.PixelHistogram(), maps[::-1], masks[::-1])
    left, right = (fill(metrics.PixelHistogram(), maps[i::2], masks[i::2]) for i in (0, 1))
    left.merge(right)
    for other in (back, left):
        assert (other.auroc(), other.f1_max(), other.regions) == (whole.auroc(), whole.f1_max(), whole.regions)
        assert other.aupro() == pytest.approx(whole.aupro(), abs=1e-12)


def test_negative_zero_is_zero() -> None:
    map, mask = np.array([[0.0, -0.0]]), np.array([[False, True]])
    assert fill(metrics.PixelHistogram(), [map], [mask]).auroc() == 0.5


def test_outside_is_never_looked_at() -> None:
    maps, masks = scene(3)
    valid = [np.ones(m.shape, bool) for m in maps]
    for map, where in zip(maps, valid, strict=True):
        where[:, 10:12] = False
        map[~where] = np.nan
    found = fill(metrics.PixelHistogram(), maps, masks, valid=valid)
    assert found.aupro() == pytest.approx(metrics.aupro(maps, masks, valid=valid), abs=1e-5)
    assert found.regions == 12  # the strip cuts no defect in two


def test_instances_and_saturation() -> None:
    maps, masks = scene(4)
    rng = np.random.default_rng(0)
    own = [[rng.random(m.shape) < 0.1 for _ in range(2)] if m.any() else [] for m in masks]
    full = [[4, 30] if o else [] for o in own]
    union = [np.any([np.zeros(m.shape, bool), *o], axis=0) for m, o in zip(masks, own, strict=True)]
    found = fill(metrics.PixelHistogram(), maps, union, instances=own, saturations=full)
    assert found.aupro(0.05) == pytest.approx(metrics.auspro(maps, own, full), abs=found.error_bound(0.05) + 1e-12)
    assert found.auroc() == pytest.approx(metrics.auroc(pool(union), pool(maps)), abs=1e-6)
    assert found.regions == 8
    with pytest.raises(InputError, match="union"):
        found.update(maps[1], masks[1], instances=own[1])
    with pytest.raises(InputError, match="need instances"):
        found.update(maps[1], masks[1], saturations=[3])


def test_curves_are_thinned_but_true() -> None:
    rng = np.random.default_rng(0)
    map, mask = rng.normal(size=(200, 200)).astype(np.float32), np.zeros((200, 200), bool)
    mask[50:80, 50:90] = mask[100:103, 10:60] = True
    map[mask] += 1.5
    found = fill(metrics.PixelHistogram(), [map], [mask])
    x, y, thresholds = found.roc_curve(100)
    assert 60 <= len(x) <= 102
    assert (x[0], y[0], thresholds[0], x[-1], y[-1]) == (0, 0, np.inf, 1, 1)
    assert np.hypot(np.diff(x), np.diff(y)).max() < 0.05
    for fpr, tpr, t in zip(x, y, thresholds, strict=True):
        assert fpr == pytest.approx((map[~mask] >= t).mean())
        assert tpr == pytest.approx((map[mask] >= t).mean())
    assert np.trapezoid(y, x) == pytest.approx(found.auroc(), abs=1e-3)
    x, y, _ = found.pro_curve()
    assert np.trapezoid(y, x) == pytest.approx(found.aupro(1.0), abs=1e-3)
    with pytest.raises(InputError, match="at least 2"):
        found.roc_curve(1)


@pytest.mark.parametrize("levels", [None, 8])
def test_aupimo_of_a_stream(levels) -> None:
    maps, masks = scene(5, count=9)
    if levels:
        maps = [np.round(m * levels) / levels for m in maps]
    bounds = (0.01, 0.2)
    found = fill(metrics.PimoHistogram(), maps, masks)
    np.testing.assert_allclose(
        found.aupimo(bounds), metrics.aupimo(maps, masks, bounds), atol=2e-3 if not levels else 1e-9
    )
    left, right = (fill(metrics.PimoHistogram(), maps[s], masks[s]) for s in (slice(4), slice(4, None)))
    left.merge(right)
    np.testing.assert_allclose(left.aupimo(bounds), found.aupimo(bounds), atol=1e-12)
    valid = [np.arange(m.shape[1])[None] < np.full((len(m), 1), 18) for m in maps]
    cut = fill(metrics.PimoHistogram(), maps, masks, valid=valid)
    np.testing.assert_allclose(cut.aupimo(bounds), metrics.aupimo(maps, masks, bounds, valid), atol=2e-3)
    with pytest.raises(InputError, match="3 and 0"):
        fill(metrics.PimoHistogram(), maps[::3], masks[::3]).aupimo(bounds)
    with pytest.raises(InputError, match="cannot be reached"):
        found.aupimo()


def test_image_scores_keep_all() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(50) < 0.5, np.round(rng.normal(size=50), 1)
    left, right = metrics.ImageScores(), metrics.ImageScores()
    for i in range(0, 20, 4):
        left.update(labels[i : i + 4], scores[i : i + 4])
    for label, score in zip(labels[20:], scores[20:], strict=True):
        right.update(label, score)
    left.merge(right)
    np.testing.assert_array_equal(left.scores, scores)
    assert left.auroc() == metrics.auroc(labels, scores)
    assert left.average_precision() == metrics.average_precision(labels, scores)
    assert left.f1_max() == metrics.f1_max(labels, scores)
    with pytest.raises(InputError, match="NaN"):
        left.update([0], [np.nan])
    with pytest.raises(InputError, match="both"):
        metrics.ImageScores().auroc()


@pytest.mark.parametrize(
    ("map", "mask", "said"),
    [
        (np.full((4, 4), np.nan), np.zeros((4, 4), bool), "NaN"),
        (np.full((4, 4), 1e39), np.zeros((4, 4), bool), "as float32"),
        (np.zeros((4, 4)), np.full((4, 4), 255), "mask > 0"),
        (np.zeros((4, 5)), np.zeros((4, 4), bool), "same size"),
        (np.zeros(4), np.zeros(4, bool), "H, W"),
    ],
)
@pytest.mark.parametrize("kind", [metrics.PixelHistogram, metrics.PixelMetrics, metrics.PimoHistogram])
def test_what_is_refused_is_not_counted(kind, map, mask, said) -> None:
    maps, masks = scene(6)
    found = fill(kind(), maps, masks)
    with pytest.raises(InputError, match=said):
        found.update(map, mask)
    clean = fill(kind(), maps, masks)
    if kind is metrics.PimoHistogram:
        np.testing.assert_array_equal(found.aupimo((0.01, 0.2)), clean.aupimo((0.01, 0.2)))
    elif kind is metrics.PixelMetrics:
        assert found.intervals(repeats=20) == clean.intervals(repeats=20)
    else:
        assert found.auroc() == clean.auroc()


def test_nothing_to_measure_is_said() -> None:
    found = metrics.PixelMetrics()
    assert not found.measurable
    found.update(np.zeros((4, 4)), np.zeros((4, 4), bool))
    assert not found.measurable
    for ask in (found.histogram.auroc, found.histogram.aupro, found.intervals, found.curves):
        with pytest.raises(InputError, match="0 defective pixels"):
            ask()
    found.update(np.ones((4, 4)), np.eye(4, dtype=bool))
    assert found.measurable
