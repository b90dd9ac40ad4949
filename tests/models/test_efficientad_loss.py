"""The hard-feature loss against a sort, and against the paper's quantile."""

import numpy as np
import pytest
import torch

from blemish.models.efficientad import hard_feature_loss


@pytest.mark.parametrize(
    ("shape", "share"), [((3, 4, 25, 10), 0.999), ((2, 7, 3, 3), 0.9), ((1, 2, 2, 1), 0.5), ((2, 1), 0.999)]
)
def test_the_mean_of_the_largest(shape, share) -> None:
    squared = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = []
    for one in squared.flatten(1).numpy():
        ranked = np.sort(one)
        assert len(np.unique(ranked)) == len(ranked)
        cut = np.quantile(ranked, share)
        expected.append(np.mean([value for value in ranked if value >= cut]))
    assert float(hard_feature_loss(squared, share)) == pytest.approx(np.mean(expected), rel=1e-12)


def test_only_the_hard_ones_get_a_gradient() -> None:
    squared = torch.arange(1000.0)[None].requires_grad_()
    hard_feature_loss(squared, 0.99).backward()
    assert squared.grad is not None
    assert squared.grad[0].nonzero().flatten().tolist() == list(range(990, 1000))


def test_a_batch_is_the_mean_of_its_images() -> None:
    squared = torch.rand(4, 300) * torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
    each = [float(hard_feature_loss(one[None])) for one in squared]
    assert float(hard_feature_loss(squared)) == pytest.approx(np.mean(each), rel=1e-6)
