"""Denoising diffusion: how noise is added in many small steps, and what one step back is if the noise is known.

Ho, Jain and Abbeel 2020. A step is x_t = sqrt(1 - β_t) x_{t-1} + sqrt(β_t) ε with fresh noise ε of mean 0, uncorrelated
with what was before. Steps are counted from 0: x_t for t = 0 has seen one step. With α_t = 1 - β_t and ᾱ_t = α_0 ... α_t,
all steps at once are x_t = sqrt(ᾱ_t) x + sqrt(1 - ᾱ_t) ε.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Diffusion(nn.Module):
    """The schedule of `timesteps` steps: β rises linearly from 1e-4 to 0.02 for 1000, steeper the fewer there are.

    β is scaled by 1000 / timesteps, so that any number of steps ends in about the same noise (at least 21 of them, lest a
    step keep nothing). All times t are (B,) whole numbers from 0; images are (B, ...).
    """

    beta: Tensor  # (timesteps,) all
    alpha_bar: Tensor  # ᾱ: the share of the image's variance that is left
    spread: (
        Tensor  # 1 - ᾱ, the noise's variance; kept apart, for ᾱ rounded to float32 tells it poorly in the first steps
    )
    before: Tensor  # ᾱ and
    spread_before: Tensor  # 1 - ᾱ one step earlier; 1 and 0 before the first

    def __init__(self, timesteps: int = 1000) -> None:
        super().__init__()
        scale = 1000 / timesteps
        beta = torch.linspace(scale * 1e-4, scale * 0.02, timesteps, dtype=torch.float64)
        alpha_bar = (1 - beta).cumprod(0)
        before = torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
        values = {"beta": beta, "alpha_bar": alpha_bar, "before": before}
        for name, value in {**values, "spread": 1 - alpha_bar, "spread_before": 1 - before}.items():
            self.register_buffer(name, value.float(), persistent=False)  # follows from `timesteps`: not saved

    def step(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return x_t from x_{t-1}: one step."""
        beta = _along(self.beta[t], x)
        return (1 - beta).sqrt() * x + beta.sqrt() * noise

    def noised(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return x_t from the image itself: all steps at once."""
        return _along(self.alpha_bar[t].sqrt(), x) * x + _along(self.spread[t].sqrt(), x) * noise

    def denoised(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return the image that `noised` turns into x_t with this noise."""
        return (x_t - _along(self.spread[t].sqrt(), x_t) * noise) / _along(self.alpha_bar[t].sqrt(), x_t)

    def posterior(self, x: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of x_{t-1}, given x_t and the image x, for normal noise; the variance is 0 at t = 0."""
        beta, spread, spread_before = self.beta[t], self.spread[t], self.spread_before[t]
        of_image, of_x_t = self.before[t].sqrt() * beta / spread, (1 - beta).sqrt() * spread_before / spread
        return _along(of_image, x) * x + _along(of_x_t, x) * x_t, _along(beta * spread_before / spread, x)


def _along(values: Tensor, image: Tensor) -> Tensor:
    """Return (B,) values so that they multiply (B, ...) images."""
    return values.view(-1, *[1] * (image.ndim - 1))
