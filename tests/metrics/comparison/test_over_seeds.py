"""The mean and its interval over seeds."""

import numpy as np
import pytest
import scipy.stats

from blemish.core.errors import InputError
from blemish.metrics.comparison import over_seeds


def test_the_interval_is_students() -> None:
    values = [0.91, 0.93, 0.95]
    found = over_seeds(values)
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
    assert found.mean == pytest.approx(0.93)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.half == pytest.approx(high - 0.93)
    assert found.seeds == 3
    assert over_seeds(values, confidence=0.5).half < found.half / 3


def test_it_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        found = over_seeds(rng.normal(0.5, 0.01, 3))
        covered += found.low <= 0.5 <= found.high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def test_it_is_cut_to_the_scale_and_one_seed_has_none() -> None:
    found = over_seeds([0.9, 1.0])
    assert (found.low, found.high) == (pytest.approx(0.95 - found.half), 1.0)
    assert found.half == pytest.approx(scipy.stats.t.ppf(0.975, 1) * 0.05)
    wide = over_seeds([0.1, 0.9])
    assert (wide.low, wide.high) == (0.0, 1.0)
    assert wide.half > 5
    assert over_seeds([5.0, 7.0], bounds=(-np.inf, np.inf)).high > 7
    one = over_seeds([0.8])
    assert (one.low, one.high, one.half) == (None, None, None)
    assert "one seed" in one.note


@pytest.mark.parametrize("values", [[], [float("nan"), 1.0], [[1.0, 2.0]]])
def test_bad_values_are_named(values) -> None:
    with pytest.raises(InputError, match="one finite number a seed"):
        over_seeds(values)
