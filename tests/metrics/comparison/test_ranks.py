"""Ranks against scipy, the constants against the printed table, cliques against a slow search."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.core.errors import InputError
from blemish.metrics.comparison import average_ranks, cliques, critical_difference, friedman, nemenyi_q


def table(n: int, k: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(np.linspace(0.8, 0.9, k), 0.1, (n, k)), 2)  # rounded: with ties


def test_average_ranks_are_scipys() -> None:
    values = table(12, 5)
    assert average_ranks(values) == pytest.approx(scipy.stats.rankdata(-values, axis=1).mean(0))
    assert average_ranks(values, higher_is_better=False) == pytest.approx(scipy.stats.rankdata(values, axis=1).mean(0))


@pytest.mark.parametrize(("n", "k"), [(10, 3), (15, 6), (40, 4)])
def test_friedman_is_scipys(n, k) -> None:
    values = table(n, k)
    found, expected = friedman(values), scipy.stats.friedmanchisquare(*values.T)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_friedman_of_few_categories_is_every_shuffle() -> None:
    values = table(5, 3, seed=4)
    found = friedman(values)
    ranks = scipy.stats.rankdata(values, axis=1)
    seen = ((ranks.sum(0) - 10) ** 2).sum()
    rows = [list(itertools.permutations(row)) for row in ranks]
    all_sums = [((np.sum(chosen, axis=0) - 10) ** 2).sum() for chosen in itertools.product(*rows)]
    assert found.p == pytest.approx(np.mean(np.array(all_sums) >= seen - 1e-9), abs=0.012)
    assert "shuffles" in found.note


def test_friedman_says_when_it_can_say_nothing() -> None:
    found = friedman(table(4, 5))
    assert found.p is None
    assert "too few: 4 categories" in found.note
    level = friedman(np.full((12, 3), 0.9))
    assert (level.p, level.statistic) == (None, 0.0)
    assert "level" in level.note


def test_nemenyi_is_the_printed_table() -> None:
    """Demsar (2006), table 5(a)."""
    printed = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for k, q in printed.items():
        assert nemenyi_q(k) == pytest.approx(q, abs=1.1e-3)
    for k, q in {2: 1.645, 5: 2.459, 10: 2.920}.items():
        assert nemenyi_q(k, alpha=0.10) == pytest.approx(q, abs=1.1e-3)
    assert nemenyi_q(18) == pytest.approx(scipy.stats.studentized_range.ppf(0.95, 18, np.inf) / 2**0.5, abs=1e-6)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)  # Demsar's example: q 2.569, 14 data sets


@given(st.lists(st.floats(1, 8), min_size=1, max_size=8), st.floats(0.05, 4))
@settings(max_examples=200)
def test_cliques_are_the_largest_groups(ranks, difference) -> None:
    near = lambda group: all(abs(ranks[i] - ranks[j]) < difference for i in group for j in group)  # noqa: E731
    groups = [
        set(g) for size in range(2, len(ranks) + 1) for g in itertools.combinations(range(len(ranks)), size) if near(g)
    ]
    largest = {frozenset(g) for g in groups if not any(g < other for other in groups)}
    assert {frozenset(g) for g in cliques(ranks, difference)} == largest
    assert len(cliques(ranks, difference)) == len(largest)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"\(categories, methods\)"):
        average_ranks([[0.5], [0.4]])
    with pytest.raises(InputError, match="not finite"):
        friedman([[0.5, float("nan")]])
    with pytest.raises(InputError, match="at least 2"):
        nemenyi_q(1)
    with pytest.raises(InputError, match="at least 1"):
        critical_difference(3, 0)
