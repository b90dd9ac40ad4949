"""Paired tests against scipy, and against going through every sign by a plain loop."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.core.errors import InputError
from blemish.metrics.comparison import holm, permutation, wilcoxon


def slow(differences, statistic) -> float:
    """Return the share of sign patterns at least as far from what is expected as the one seen."""
    kept = [d for d in differences if d != 0]
    size = np.abs(kept)
    seen = statistic(kept)
    all_signs = [statistic(size * signs) for signs in itertools.product((-1, 1), repeat=len(kept))]
    centre = np.mean(all_signs)
    return float(np.mean([abs(s - centre) >= abs(seen - centre) - 1e-9 for s in all_signs]))


def positive_ranks(differences) -> float:
    ranks = scipy.stats.rankdata(np.abs(differences))
    return float(ranks[np.asarray(differences) > 0].sum())


@pytest.mark.parametrize("n", [6, 9, 15, 40])
def test_wilcoxon_without_ties_is_scipys_exact(n) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.9, 0.1, n), rng.normal(0.85, 0.1, n)
    found, expected = wilcoxon(a, b), scipy.stats.wilcoxon(a, b, method="exact")
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert min(found.statistic, n * (n + 1) / 2 - found.statistic) == pytest.approx(expected.statistic)
    assert found.difference == pytest.approx((a - b).mean())


@given(st.lists(st.integers(-4, 4), min_size=6, max_size=10))
@settings(max_examples=60)
def test_with_ties_and_zeros_both_are_exact(steps) -> None:
    differences = np.array(steps) / 100
    if np.count_nonzero(differences) < 6:
        assert wilcoxon(differences, np.zeros(len(steps))).p is None
        return
    base = (
        np.arange(len(steps)) / 20 + 0.35
    )  # 0.35 + 0.02 - 0.35 is not 0.02 in binary, and must tie with it all the same
    ranks, mean = wilcoxon(base + differences, base), permutation(base + differences, base)
    assert ranks.zeros == mean.zeros == steps.count(0)
    assert ranks.p == pytest.approx(slow(differences, positive_ranks), abs=1e-12)
    assert mean.p == pytest.approx(slow(differences, np.sum), abs=1e-12)


def test_ties_are_scipys_where_scipy_is_exact() -> None:
    differences = np.array([0.01, 0.01, 0.02, -0.01, 0.03, 0.02, 0.05, -0.02])
    exact = scipy.stats.wilcoxon(differences, method=scipy.stats.PermutationMethod(n_resamples=np.inf))
    assert wilcoxon(differences, np.zeros(8)).p == pytest.approx(exact.pvalue, abs=1e-12)


def test_many_differences_are_scipys_approximation() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 40, 400) / 40, rng.integers(0, 40, 400) / 41
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scipy.stats.wilcoxon(np.round(a - b, 12), method="asymptotic", correction=False)
    found = wilcoxon(a, b)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert "normal approximation" in found.note


def test_drawn_permutations_are_near_the_exact_ones() -> None:
    rng = np.random.default_rng(2)
    differences = rng.normal(0.02, 0.05, 18)
    exact = scipy.stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    drawn = permutation(differences, np.zeros(18), repeats=40_000)
    assert drawn.p == pytest.approx(exact, abs=0.01)
    assert "drawn" in drawn.note
    assert drawn == permutation(differences, np.zeros(18), repeats=40_000)


@pytest.mark.parametrize("test", [wilcoxon, permutation])
def test_too_few_categories_give_no_p_value(test) -> None:
    found = test([0.9, 0.8, 0.7, 0.95, 0.9, 0.5], [0.1, 0.2, 0.3, 0.2, 0.1, 0.5])
    assert found.p is None
    assert (found.differing, found.zeros, found.smallest) == (5, 1, 0.0625)
    assert "too few: 5 categories differ" in found.note
    assert "at least 6 are needed" in found.note
    enough = test([0.9, 0.8, 0.7, 0.95, 0.9, 0.6], [0.1, 0.2, 0.3, 0.2, 0.1, 0.5])
    assert enough.p == pytest.approx(2 / 2**6)
    stricter = test([0.9, 0.8, 0.7, 0.95, 0.9, 0.6], [0.1, 0.2, 0.3, 0.2, 0.1, 0.5], alpha=0.01)
    assert "at least 8 are needed" in stricter.note
    assert test([0.9], [0.9]).note.startswith("too few: 0 categories differ")


@pytest.mark.parametrize("test", [wilcoxon, permutation])
def test_bad_input_is_named(test) -> None:
    for a, b in (([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]])):
        with pytest.raises(InputError, match="equal length"):
            test(a, b)
    with pytest.raises(InputError, match="not finite"):
        test([float("nan")], [0.5])
    with pytest.raises(InputError, match="alpha"):
        test([0.1], [0.5], alpha=1.5)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_false_alarms_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 0.1, (1500, 10))
    alarms = np.mean([[t(s, np.zeros(10)).p < 0.05 for t in (wilcoxon, permutation)] for s in samples], axis=0)
    assert (alarms < 0.065).all()
    assert (alarms > 0.03).all()
