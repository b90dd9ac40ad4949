"""Focal loss against its formula, one pixel at a time."""

import math

import pytest
import torch
import torch.nn.functional as F

from blemish.models.draem import focal


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_mean_over_pixels_of_the_formula(gamma) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 2, 4, 5, generator=generator)
    target = torch.randint(0, 2, (2, 4, 5), generator=generator)
    total = 0.0
    for b in range(2):
        for y in range(4):
            for x in range(5):
                scores = [math.exp(v) for v in logits[b, :, y, x].tolist()]
                p = scores[int(target[b, y, x])] / sum(scores)
                total += -((1 - p) ** gamma) * math.log(p)
    assert float(focal(logits, target, gamma=gamma)) == pytest.approx(total / 40, rel=1e-5)


def test_gamma_zero_is_cross_entropy() -> None:
    logits, target = torch.randn(3, 2, 8, 8), torch.randint(0, 2, (3, 8, 8))
    torch.testing.assert_close(focal(logits, target, gamma=0.0), F.cross_entropy(logits, target))


def test_a_confident_answer_has_finite_loss_and_gradient() -> None:
    logits = torch.tensor([[[200.0]], [[-200.0]]]).permute(1, 0, 2).requires_grad_()  # 1, 2, 1
    for truth in (0, 1):
        loss = focal(logits, torch.tensor([[truth]]))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert float(loss.detach()) == pytest.approx(400.0 * truth)
        assert gradient.isfinite().all()
