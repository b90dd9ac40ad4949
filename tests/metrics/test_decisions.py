"""Counting at a threshold, and breaking it down by kind of defect."""

import json
import math

import numpy as np
import pytest
import slow_metrics as slow
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from blemish import metrics
from blemish.core.errors import InputError

LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 1]
SCORES = [0.1, 0.2, 0.5, 0.6, 0.4, 0.5, 0.7, 0.8, 0.9]


def test_a_score_at_the_threshold_is_defective() -> None:
    assert metrics.confusion(LABELS, SCORES, 0.5) == metrics.Confusion(caught=4, escaped=1, rejected=2, passed=2)
    assert metrics.escape_rate(LABELS, SCORES, 0.5) == pytest.approx(1 / 5)
    assert metrics.false_reject_rate(LABELS, SCORES, 0.5) == pytest.approx(2 / 4)
    assert metrics.balanced_accuracy(LABELS, SCORES, 0.5) == pytest.approx((4 / 5 + 2 / 4) / 2)
    assert metrics.precision(LABELS, SCORES, 0.5) == pytest.approx(4 / 6)
    assert metrics.recall(LABELS, SCORES, 0.5) == pytest.approx(4 / 5)
    assert metrics.f1(LABELS, SCORES, 0.5) == pytest.approx(8 / 11)


@settings(max_examples=80)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=30), st.integers(-1, 5))
def test_counts_are_those_of_the_loop(parts, threshold) -> None:
    labels, scores = [y for y, _ in parts], [s for _, s in parts]
    found = metrics.confusion(labels, scores, threshold)
    assert (found.caught, found.escaped, found.rejected, found.passed) == slow.counts(labels, scores, threshold)


def test_the_f1_max_threshold_gives_the_f1_max() -> None:
    rng = np.random.default_rng(1)
    for kind in (np.float32, np.float64):
        labels, scores = rng.random(200) < 0.4, rng.normal(size=200).astype(kind)
        value, threshold = metrics.f1_max(labels, scores)
        assert metrics.f1(labels, scores, threshold) == pytest.approx(value, abs=1e-15)


def test_infinite_thresholds_pass_all_or_nothing() -> None:
    """Infinite thresholds pass all or nothing and nan is refused."""
    assert metrics.escape_rate(LABELS, SCORES, math.inf) == 1
    assert metrics.false_reject_rate(LABELS, SCORES, -math.inf) == 1
    with pytest.raises(InputError, match="NaN"):
        metrics.confusion(LABELS, SCORES, math.nan)


@pytest.mark.parametrize(
    ("rate", "label", "threshold"),
    [
        (metrics.escape_rate, 0, 0.5),
        (metrics.recall, 0, 0.5),
        (metrics.false_reject_rate, 1, 0.5),
        (metrics.precision, 1, 9.0),
        (metrics.f1, 0, 9.0),
        (metrics.balanced_accuracy, 0, 0.5),
    ],
)
def test_a_share_of_nothing_is_refused(rate, label, threshold) -> None:
    with pytest.raises(InputError, match="no value"):
        rate([label, label], [0.1, 0.9], threshold)


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 60), (1, 60), (7, 30), (30, 30), (3, 5000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_rates_have_exact_intervals(count, of, confidence) -> None:
    found = metrics.rate(count, of, confidence)
    tail = (1 - confidence) / 2
    assert (found.value, found.count, found.of) == (count / of, count, of)
    assert found.low == pytest.approx(stats.beta.ppf(tail, count, of - count + 1) if count else 0, abs=1e-9)
    assert found.high == pytest.approx(stats.beta.ppf(1 - tail, count + 1, of - count) if count < of else 1, abs=1e-9)


@pytest.mark.parametrize(("count", "of"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(count, of) -> None:
    with pytest.raises(InputError, match="not a share"):
        metrics.rate(count, of)


def test_all_decisions_at_once_agree_with_one_by_one() -> None:
    found = metrics.decisions(LABELS, SCORES, 0.5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["threshold"] == 0.5
    assert found["confusion"] == {"caught": 4, "escaped": 1, "rejected": 2, "passed": 2}
    assert (found["escape_rate"]["count"], found["escape_rate"]["of"]) == (1, 5)
    assert found["escape_rate"]["low"] < found["escape_rate"]["value"] == 0.2 < found["escape_rate"]["high"]
    for name in ("escape_rate", "false_reject_rate"):
        assert found[name]["value"] == getattr(metrics, name)(LABELS, SCORES, 0.5)
    for name in ("balanced_accuracy", "precision", "recall", "f1"):
        assert found[name] == pytest.approx(getattr(metrics, name)(LABELS, SCORES, 0.5))
    assert metrics.decisions(LABELS, SCORES, 2.0)["precision"] is None


def test_kinds_are_compared_with_all_good_parts() -> None:
    kinds = ["good", "", "ok", "dent", "scratch", "dent", "scratch", "dent", "dent"]
    found = metrics.by_kind(kinds, LABELS, SCORES, 0.5)
    assert list(found) == ["dent", "scratch"]
    assert found["dent"].auroc == slow.auroc([0] * 4 + [1] * 3, [0.1, 0.2, 0.5, 0.6, 0.5, 0.8, 0.9])
    assert found["scratch"].auroc == slow.auroc([0] * 4 + [1] * 2, [0.1, 0.2, 0.5, 0.6, 0.4, 0.7])
    assert (found["dent"].count, found["dent"].escapes, found["dent"].escape_rate) == (3, 0, 0.0)
    assert (found["scratch"].count, found["scratch"].escapes, found["scratch"].escape_rate) == (2, 1, 0.5)
    assert found["dent"].high == pytest.approx(1 - 0.025 ** (1 / 3))
    assert (found["dent"].low, found["dent"].kind) == (0.0, "dent")


def test_kinds_without_a_threshold_have_no_escapes() -> None:
    found = metrics.by_kind(["good", "dent"], [0, 1], [0.0, 1.0])["dent"]
    assert found == metrics.Kind("dent", 1, 1.0)
    assert found.escapes is found.low is None


def test_kinds_need_one_name_a_part_and_good_parts() -> None:
    with pytest.raises(InputError, match="1 kinds"):
        metrics.by_kind(["dent"], [0, 1], [0.0, 1.0])
    with pytest.raises(InputError, match="0 good"):
        metrics.by_kind(["dent", "dent"], [1, 1], [0.0, 1.0])
