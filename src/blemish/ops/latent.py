"""A latent code with a mean and a variance: its distance from the standard normal, and samples of it."""

from __future__ import annotations

import torch
from torch import Tensor


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) of (B, ...) independent numbers, summed, (B,), in nats.

    Kingma and Welling (2014), appendix B: ½ sum(mean² + variance - 1 - log variance). At least in float32: near the
    standard normal all but the last digits cancel.
    """
    whole = torch.promote_types(mean.dtype, torch.float32)
    mean, log_variance = mean.to(whole), log_variance.to(whole)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


def draw(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return mean + deviation x noise: a sample, for standard normal noise, that gradients pass through."""
    return mean + (0.5 * log_variance).exp() * noise
