"""Differences of AUROC against plain loops, and against how often they are right."""

import numpy as np
import pytest

from blemish.core.errors import InputError
from blemish.metrics import auroc, interval
from blemish.metrics.comparison import auroc_difference, delong, same_images


def scores(good=40, bad=30, seed=0, gap=(1.0, 0.6), shared=0.7):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [good, bad])
    part = rng.normal(size=labels.size) * shared
    a, b = (part + rng.normal(size=labels.size) * (1 - shared) + labels * g for g in gap)
    return labels, np.round(a, 1), np.round(b, 1)  # rounded: with ties


def slow_delong(labels, a, b):
    """DeLong's placements and covariance, value by value."""
    good, bad = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    psi = lambda s, i, j: float(s[i] > s[j]) + 0.5 * float(s[i] == s[j])  # noqa: E731
    v10 = [[np.mean([psi(s, i, j) for j in good]) for i in bad] for s in (a, b)]
    v01 = [[np.mean([psi(s, i, j) for i in bad]) for j in good] for s in (a, b)]
    s10, s01 = np.cov(v10), np.cov(v01)
    c = np.array([1, -1])
    return float(c @ (s10 / len(bad) + s01 / len(good)) @ c)


def test_delong_is_the_slow_one() -> None:
    labels, a, b = scores()
    found = delong(labels, a, b)
    assert found.value == pytest.approx(auroc(labels, a) - auroc(labels, b), abs=1e-12)
    deviation = slow_delong(labels, a, b) ** 0.5
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * deviation, rel=1e-6)
    assert 0 < found.p < 1
    back = delong(labels, b, a)
    assert back.value == pytest.approx(-found.value)
    assert back.p == pytest.approx(found.p)


def test_the_bootstrap_is_the_one_of_the_house() -> None:
    labels, a, b = scores()
    found = auroc_difference(labels, a, b, repeats=2000)
    slow = interval(lambda t, x, y: auroc(t, x) - auroc(t, y), labels, a, b, repeats=2000, stratify=labels, seed=5)
    assert found.value == pytest.approx(slow.value, abs=1e-12)
    assert found.low == pytest.approx(slow.low, abs=0.008)
    assert found.high == pytest.approx(slow.high, abs=0.008)
    assert found == auroc_difference(labels, a, b, repeats=2000)


def test_blocks_change_nothing(monkeypatch) -> None:
    labels, a, b = scores()
    whole = delong(labels, a, b), auroc_difference(labels, a, b)
    monkeypatch.setattr(same_images, "BLOCK", 100)
    for one, other in zip(whole, (delong(labels, a, b), auroc_difference(labels, a, b)), strict=True):
        assert other[:3] == pytest.approx(one[:3], abs=1e-12)


def test_seeds_are_averaged() -> None:
    labels, a, b = scores()
    _, c, _ = scores(seed=1)
    found = delong(labels, [a, c], b)
    assert found.value == pytest.approx((auroc(labels, a) + auroc(labels, c)) / 2 - auroc(labels, b), abs=1e-12)
    assert delong(labels, [a, a], b) == delong(labels, a, b)


def test_too_few_or_no_variation_gives_no_p_value() -> None:
    labels, a, b = scores(good=9, bad=30)
    for test in (delong, auroc_difference):
        found = test(labels, a, b)
        assert (found.low, found.high, found.p) == (None, None, None)
        assert "9 good and 30 defective" in found.note
    labels, a, _ = scores()
    assert delong(labels, a, a).p is None
    assert "no variation" in delong(labels, a, a).note


@pytest.mark.parametrize(("good", "bad"), [(12, 12), (13, 17), (31, 45), (60, 83)])
def test_thirds_of_three_seeds_are_no_variation_either(good: int, bad: int) -> None:
    """One that is perfect in all seeds, one whose third seed collapsed: rounding alone differs between images."""
    labels = np.repeat([0, 1], [good, bad])
    found = delong(labels, [labels, labels, labels], [labels, labels, np.zeros(good + bad)])
    assert found.value == pytest.approx(1 / 6)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert "no variation" in found.note


def test_false_alarms_are_as_rare_as_promised() -> None:
    rounds = [delong(*scores(seed=s, gap=(0.8, 0.8), shared=0.5)) for s in range(400)]
    assert np.mean([found.p < 0.05 for found in rounds]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([found.low <= 0 <= found.high for found in rounds]) == pytest.approx(0.95, abs=0.03)


def test_bad_input_is_named() -> None:
    labels, a, b = scores()
    for test in (delong, auroc_difference):
        with pytest.raises(InputError, match="shape"):
            test(labels, a[:-1], b)
        with pytest.raises(InputError, match="not finite"):
            test(labels, np.where(a > 0, np.nan, a), b)
        with pytest.raises(InputError, match=r"0 \(good\) and 1"):
            test(labels + 1, a, b)
        with pytest.raises(InputError, match="0 defective images"):
            test(np.zeros(70), a, b)
        with pytest.raises(InputError, match="confidence is 7"):
            test(labels, a, b, confidence=7)
    with pytest.raises(InputError, match="confidence"):
        auroc_difference(labels, a, b, confidence=2)
