"""Streaming moments and Mahalanobis distances against numpy, position by position."""

import numpy as np
import pytest
import torch

from blemish.errors import InputError
from blemish.ops import gaussian
from blemish.ops.gaussian import Moments, mahalanobis


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_one_pass_equals_numpy(offset, monkeypatch) -> None:
    monkeypatch.setattr(gaussian, "_CELLS", 70)  # several chunks
    samples = torch.randn(23, 6, 5, generator=torch.Generator().manual_seed(0)) + offset
    moments = Moments()
    for batch in samples.split((4, 1, 10, 8)):
        moments.update(batch)
    white = moments.whitening(0.01)
    queries = torch.randn(3, 6, 5) + offset
    found = mahalanobis(queries, moments.mean, white)
    for p in range(6):
        at = samples[:, p].double().numpy()
        mean, inverse = at.mean(0), np.linalg.inv(np.cov(at, rowvar=False) + 0.01 * np.eye(5))
        np.testing.assert_allclose(moments.mean[p].numpy(), mean, rtol=1e-5, atol=1e-5)
        for b in range(3):
            gap = queries[b, p].double().numpy() - mean
            assert float(found[b, p]) == pytest.approx(np.sqrt(gap @ inverse @ gap), rel=2e-3)


def test_fewer_samples_than_dimensions_is_what_the_ridge_is_for() -> None:
    moments = Moments()
    moments.update(torch.randn(3, 2, 50))
    assert torch.isfinite(mahalanobis(torch.randn(4, 2, 50), moments.mean, moments.whitening(0.01))).all()


def test_one_sample_has_no_covariance() -> None:
    moments = Moments()
    moments.update(torch.randn(1, 2, 3))
    with pytest.raises(InputError, match="at least 2 images"):
        moments.whitening(0.01)
