"""The finite sums and the integral against scipy's distributions."""

import numpy as np
import pytest
import scipy.stats

from blemish.core.errors import InputError
from blemish.metrics.comparison.distributions import (
    chi_squared_above,
    normal_quantile,
    normal_two_sided,
    range_below,
    range_quantile,
    t_quantile,
    t_within,
)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 31])
def test_t_and_chi_squared_are_scipys(freedom) -> None:
    for x in (0.0, 0.1, 1.0, 2.5, 11.0, 60.0):
        assert t_within(x, freedom) == pytest.approx(1 - 2 * scipy.stats.t.sf(x, freedom), abs=1e-13)
        assert chi_squared_above(x, freedom) == pytest.approx(scipy.stats.chi2.sf(x, freedom), rel=1e-9, abs=1e-15)
    for share in (0.5, 0.9, 0.95, 0.99):
        assert t_quantile(share, freedom) == pytest.approx(scipy.stats.t.ppf((1 + share) / 2, freedom), rel=1e-9)


@pytest.mark.parametrize("groups", [2, 3, 5, 10, 18, 40])
def test_the_studentised_range_is_scipys(groups) -> None:
    scipys = scipy.stats.studentized_range
    for q in (0.5, 2.0, 3.5, 6.0):
        assert range_below(q, groups) == pytest.approx(scipys.cdf(q, groups, np.inf), abs=1e-9)
    for share in (0.9, 0.95, 0.99):
        assert range_quantile(share, groups) == pytest.approx(scipys.ppf(share, groups, np.inf), abs=1e-6)


def test_the_normal_is_scipys() -> None:
    for z in (0.0, 0.3, 1.96, 7.0):
        assert normal_two_sided(-z) == pytest.approx(2 * scipy.stats.norm.sf(z), rel=1e-12)
    assert normal_quantile(0.95) == pytest.approx(scipy.stats.norm.ppf(0.975), rel=1e-12)
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            normal_quantile(share)
