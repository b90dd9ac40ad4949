"""The closed form of the divergence against Monte Carlo, torch's own, and autograd."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from blemish.models.vae import divergence, draw


def test_closed_form_is_the_mean_log_ratio_of_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(3, 5, generator=generator)
    log_variance = torch.randn(3, 5, generator=generator)
    noise = torch.randn(200_000, 3, 5, generator=generator)
    z = draw(mean, log_variance, noise)
    ratio = Normal(mean, (log_variance / 2).exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    samples = ratio.sum(2)
    error = samples.std(0) / len(samples) ** 0.5
    assert ((samples.mean(0) - divergence(mean, log_variance)).abs() < 4 * error).all()
    assert (error < 0.05).all(), "the check is sharp"


def test_agrees_with_torch_and_vanishes_at_the_standard_normal() -> None:
    mean, log_variance = torch.randn(2, 4, 1, 1), torch.randn(2, 4, 1, 1)
    theirs = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(divergence(mean, log_variance), theirs)
    assert float(divergence(torch.zeros(1, 9), torch.zeros(1, 9))) == 0


def test_hardly_anything_is_lost_in_half_precision() -> None:
    """Near the standard normal 1 + log variance all but cancels the variance: in bfloat16 the sum was -.75."""
    small = torch.full((1, 500), 0.003, dtype=torch.bfloat16)
    exact = divergence(torch.zeros(1, 500).double(), small.double())
    assert float(divergence(torch.zeros_like(small), small)) == pytest.approx(float(exact), rel=0.1)


def test_samples_have_the_mean_and_deviation_and_pass_gradients() -> None:
    mean, log_variance = torch.tensor([[2.0]], requires_grad=True), torch.tensor([[-1.0]], requires_grad=True)
    noise = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0))
    z = draw(mean, log_variance, noise)
    assert float(z.detach().mean()) == pytest.approx(2, abs=0.01)
    assert float(z.detach().std()) == pytest.approx(torch.tensor(-0.5).exp().item(), rel=0.01)
    z.mean().backward()
    assert float(mean.grad) == pytest.approx(1)
