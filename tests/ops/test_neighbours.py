"""Nearest neighbours against the full matrix of distances."""

import pytest
import torch

from blemish.errors import InputError
from blemish.ops import neighbours


@pytest.mark.parametrize("k", [1, 3, 40])
def test_agrees_with_the_full_matrix(k, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "_CELLS", 1000)  # several blocks
    generator = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(77, 12, generator=generator), torch.randn(40, 12, generator=generator)
    squared, indices = neighbours.nearest(queries, bank, k)
    full = torch.cdist(queries.double(), bank.double()).square()
    expected = full.sort(dim=1)
    torch.testing.assert_close(squared.double(), expected.values[:, :k], rtol=1e-5, atol=1e-6)
    assert torch.equal(indices, expected.indices[:, :k])


def test_a_member_is_at_distance_zero_even_away_from_the_origin() -> None:
    bank = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) + 30
    squared, indices = neighbours.nearest(bank, bank, 1, bank_norms=bank.square().sum(1))
    assert torch.equal(indices[:, 0], torch.arange(50))
    assert torch.equal(squared[:, 0], torch.zeros(50))


def test_impossible_k() -> None:
    with pytest.raises(InputError, match="1 to 5"):
        neighbours.nearest(torch.randn(3, 2), torch.randn(5, 2), 6)
