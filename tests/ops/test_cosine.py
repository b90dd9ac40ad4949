"""The cosine distance against its textbook definition, place by place."""

import math

import pytest
import torch

from blemish.ops.maps import cosine_distance


def test_every_place_is_one_minus_the_cosine() -> None:
    one, other = torch.randn(2, 2, 5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = cosine_distance(one, other)
    assert found.shape == (2, 3, 4)
    for b in range(2):
        for y in range(3):
            for x in range(4):
                p, q = one[b, :, y, x].tolist(), other[b, :, y, x].tolist()
                dot = sum(i * j for i, j in zip(p, q, strict=True))
                lengths = math.sqrt(sum(i * i for i in p)) * math.sqrt(sum(j * j for j in q))
                assert float(found[b, y, x]) == pytest.approx(1 - dot / lengths)


def test_lengths_do_not_matter_and_nothing_is_negative() -> None:
    one = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cosine_distance(one, 9 * one), torch.zeros(4), rtol=0, atol=1e-6)
    torch.testing.assert_close(cosine_distance(one, -one), torch.full((4,), 2.0))
    assert float(cosine_distance(one, one * (1 + 1e-7)).min()) >= 0
    assert torch.equal(cosine_distance(one, one), torch.zeros(4))


def test_zero_vectors_give_numbers_and_gradients() -> None:
    zero, one = torch.zeros(1, 3, requires_grad=True), torch.ones(1, 3)
    value = cosine_distance(zero, one)
    assert float(value.detach()) == pytest.approx(0.5)
    value.sum().backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()
