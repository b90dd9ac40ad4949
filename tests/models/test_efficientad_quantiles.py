"""Quantiles and the scale between two of them against numpy."""

import numpy as np
import pytest
import torch

from blemish.models.efficientad import between, quantile


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.995, 1.0])
def test_quantile_is_numpys(count, share) -> None:
    values = torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    assert float(quantile(values, share)) == pytest.approx(np.quantile(values.numpy(), share), rel=1e-9)
    assert float(quantile(values.view(1, -1, 1), share)) == float(quantile(values, share))


def test_between_puts_the_marks_where_they_belong() -> None:
    map = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(0))
    low, high = quantile(map, 0.9), quantile(map, 0.995)
    found = between(map, low, high).numpy()
    a, b = np.quantile(map.numpy(), [0.9, 0.995])
    np.testing.assert_allclose(found, 0.1 * (map.numpy() - a) / (b - a), rtol=1e-4, atol=1e-6)
    assert np.quantile(found, 0.9) == pytest.approx(0, abs=1e-6)
    assert np.quantile(found, 0.995) == pytest.approx(0.1, rel=1e-4)


def test_equal_marks_stay_finite() -> None:
    assert between(torch.ones(1, 2, 2) * 3, torch.tensor(3.0), torch.tensor(3.0)).tolist() == [[[0, 0], [0, 0]]]
    assert between(torch.ones(1, 2, 2) * 4, torch.tensor(3.0), torch.tensor(3.0)).isfinite().all()
