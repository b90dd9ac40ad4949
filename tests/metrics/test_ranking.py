"""AUROC, AP, F1-max and curves against loops over pairs and thresholds."""

import numpy as np
import pytest
import slow_metrics as slow
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.core.errors import InputError
from blemish.metrics import auroc, average_precision, f1_max, precision_recall_curve, roc_curve


@st.composite
def ranked(draw):
    """Labels with both classes, scores with many ties."""
    n = draw(st.integers(2, 40))
    labels = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))]
    levels = draw(st.integers(1, 6))
    scores = draw(st.lists(st.integers(-levels, levels), min_size=n, max_size=n))
    return np.array(labels), np.array(scores) / 4


@settings(max_examples=150)
@given(ranked())
def test_equal_to_the_loops(case) -> None:
    labels, scores = case
    assert auroc(labels, scores) == pytest.approx(slow.auroc(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(slow.average_precision(labels, scores), abs=1e-12)
    assert f1_max(labels, scores) == pytest.approx(slow.f1_max(labels, scores), abs=1e-12)


@settings(max_examples=60)
@given(ranked())
def test_curve_points_are_what_the_threshold_gives(case) -> None:
    labels, scores = case
    fpr, tpr, thresholds = roc_curve(labels, scores)
    assert (fpr[0], tpr[0], thresholds[0]) == (0, 0, np.inf)
    assert (fpr[-1], tpr[-1]) == (1, 1)
    for x, y, t in zip(fpr, tpr, thresholds, strict=True):
        tp, fn, fp, tn = slow.counts(labels, scores, t)
        assert (x, y) == pytest.approx((fp / (fp + tn), tp / (tp + fn)))
    assert np.trapezoid(tpr, fpr) == pytest.approx(slow.auroc(labels, scores))
    assert (np.diff(thresholds) < 0).all()
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    for p, r, t in zip(precision, recall, thresholds, strict=True):
        tp, fn, fp, _ = slow.counts(labels, scores, t)
        assert (p, r) == pytest.approx((tp / (tp + fp), tp / (tp + fn)))
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-300)).max()
    assert best == pytest.approx(slow.f1_max(labels, scores)[0])


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        ([5, 5, 5], [5, 5, 5], 0.5),
        ([0, 1, 2], [1, 2, 3], 7 / 9),
        ([0, 0, 1], [1, 1, 1], 5 / 6),
        ([1, 2], [0, 0], 0.0),
        ([0, 1], [2, 2], 1.0),
    ],
)
def test_ties_count_one_half(good, bad, expected) -> None:
    assert auroc([0] * len(good) + [1] * len(bad), good + bad) == pytest.approx(expected, abs=1e-15)


def test_constant_scores_give_the_chance_levels() -> None:
    labels = np.arange(100) < 5
    scores = np.full(100, 3.0)
    assert auroc(labels, scores) == 0.5
    assert average_precision(labels, scores) == pytest.approx(0.05)
    assert f1_max(labels, scores) == pytest.approx((2 * 0.05 / 1.05, 3.0))


def test_f1_max_chooses_as_the_rule_decides() -> None:
    assert f1_max([0, 1, 1, 1], [0.1, 0.5, 0.9, 0.1])[0] == pytest.approx(6 / 7)
    assert f1_max([0, 1, 1, 1, 1], [-0.5, 0.0, 0.5, 1.0, 2.0]) == (1.0, 0.0)
    assert f1_max([0, 1, 0, 1, 1], [0, 4, 3, 2, 1]) == pytest.approx((6 / 7, 1))
    # Two thresholds reach 2/3: the higher one is returned.
    assert f1_max([1, 0, 0, 1, 0, 0], [6, 5, 4, 3, 2, 1])[1] == 6


def test_average_precision_is_no_trapezoid() -> None:
    assert average_precision([0, 0, 1, 1], [0, 1, 2, 3]) == 1.0


def test_invariant_to_monotone_transforms_order_and_shape() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random((20, 30)) < 0.3, np.round(rng.normal(size=(20, 30)), 1)
    order = rng.permutation(600)
    for metric in (auroc, average_precision, lambda y, s: f1_max(y, s)[0]):
        value = metric(labels, scores)
        assert metric(labels, np.exp(3 * scores)) == value
        assert metric(labels, scores * 1e6 + 1e9) == value
        assert metric(labels.ravel()[order], scores.ravel()[order]) == value


def test_large_scores_do_not_saturate() -> None:
    """Large scores do not saturate and single precision counts."""
    assert auroc([0, 1], [1e5, 1e5 + 1]) == 1.0
    assert auroc([0, 1], np.array([1.0, np.nextafter(1.0, 2.0)])) == 1.0
    assert auroc([0, 1], np.array([1.0, np.nextafter(np.float32(1), np.float32(2))], np.float32)) == 1.0
    assert auroc([0, 1], np.array([0.0, -0.0])) == 0.5
    assert auroc([0, 1], np.array([2**24, 2**24 + 1])) == 1.0  # integers, not squeezed into float32


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        ([0, 1], [0.0, np.nan], "NaN"),
        ([0, 1], [0.0, np.inf], "infinite"),
        ([0, 1, 1], [0.0, 1.0], "shape"),
        ([0, 0], [0.0, 1.0], "0 defective"),
        ([1, 1], [0.0, 1.0], "0 good"),
        ([], [], "both"),
        ([0, 2], [0.0, 1.0], "2 is among"),
        ([0, 255], [0.0, 1.0], "mask > 0"),
        ([0, 0.5], [0.0, 1.0], "0.5 is among"),
        (["good", "bad"], [0.0, 1.0], "must be 0"),
        ([0, 1], ["a", "b"], "real numbers"),
        ([0, 1], [1j, 0], "real numbers"),
    ],
)
@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max, roc_curve, precision_recall_curve])
def test_unusable_input_is_refused(metric, labels, scores, said) -> None:
    with pytest.raises(InputError, match=said):
        metric(labels, scores)
