"""The schedule's identities; a chain of steps against all at once; one step back against Bayes' rule in numbers."""

import numpy as np
import pytest
import torch

from blemish.models.anoddpm import Diffusion


@pytest.mark.parametrize("timesteps", [50, 200, 1000])
def test_the_schedule(timesteps) -> None:
    """Linear, from 1e-4 to .02 for 1000 steps and in proportion steeper; products are loops."""
    diffusion, scale, product = Diffusion(timesteps), 1000 / timesteps, 1.0
    for t in range(timesteps):
        beta = scale * (1e-4 + (0.02 - 1e-4) * t / (timesteps - 1))
        assert float(diffusion.before[t]) == pytest.approx(product, rel=1e-5)
        product *= 1 - beta
        assert float(diffusion.beta[t]) == pytest.approx(beta, rel=1e-5)
        assert float(diffusion.alpha_bar[t]) == pytest.approx(product, rel=1e-5)
        assert float(diffusion.spread[t]) == pytest.approx(1 - product, rel=1e-5)
    assert product < 1e-4, "in the end there is nothing but noise"


def test_nothing_of_it_is_saved() -> None:
    assert not Diffusion(50).state_dict()


def test_a_chain_of_steps_is_all_steps_at_once() -> None:
    """Linear in image and noise: follow the image's factor, and the sum of the squared factors of each step's noise."""
    diffusion = Diffusion(50)
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    mean, variance = one, zero
    for step in range(50):
        t = torch.tensor([step])
        mean = diffusion.step(mean, t, zero)
        variance = diffusion.step(variance.sqrt(), t, zero) ** 2 + diffusion.step(zero, t, one) ** 2
        torch.testing.assert_close(mean, diffusion.noised(one, t, zero), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(variance, diffusion.noised(zero, t, one) ** 2, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mean**2 + variance, one, rtol=1e-5, atol=1e-6)


def test_a_chain_of_steps_drawn() -> None:
    diffusion, generator = Diffusion(50), torch.Generator().manual_seed(0)
    x = torch.full((100_000,), 2.0)
    for step in range(20):
        x = diffusion.step(x, torch.tensor([step]), torch.randn(x.shape, generator=generator))
    left = float(diffusion.alpha_bar[19])
    assert float(x.mean()) == pytest.approx(2 * left**0.5, abs=0.02)
    assert float(x.var()) == pytest.approx(1 - left, rel=0.02)


def test_denoised_undoes_noised_at_its_time() -> None:
    """Denoised undoes noised and times belong to their images."""
    diffusion, generator = Diffusion(100), torch.Generator().manual_seed(0)
    x, noise = torch.randn(3, 2, 4, 5, generator=generator), torch.randn(3, 2, 4, 5, generator=generator)
    t = torch.tensor([0, 30, 60])
    x_t = diffusion.noised(x, t, noise)
    torch.testing.assert_close(diffusion.denoised(x_t, t, noise), x, rtol=1e-3, atol=1e-4)
    for i in range(3):
        torch.testing.assert_close(diffusion.noised(x[i : i + 1], t[i : i + 1], noise[i : i + 1])[0], x_t[i])


@pytest.mark.parametrize("step", [1, 7, 30, 49])
@pytest.mark.parametrize(("x", "x_t"), [(0.5, 0.3), (-1.0, 0.8)])
def test_one_step_back_is_bayes_rule(step, x, x_t) -> None:
    """p(x_{t-1} | x_t, x) is p(x_t | x_{t-1}) p(x_{t-1} | x), normalised on a fine grid."""
    diffusion = Diffusion(50)
    beta, before = float(diffusion.beta[step]), float(diffusion.alpha_bar[step - 1])
    grid = np.linspace(-8, 8, 200_001)
    log = -((x_t - np.sqrt(1 - beta) * grid) ** 2) / (2 * beta) - (grid - np.sqrt(before) * x) ** 2 / (2 * (1 - before))
    density = np.exp(log - log.max())
    density /= density.sum()
    expected = (density * grid).sum()
    mean, variance = diffusion.posterior(torch.tensor([x]), torch.tensor([x_t]), torch.tensor([step]))
    assert float(mean) == pytest.approx(expected, abs=1e-4)
    assert float(variance) == pytest.approx((density * (grid - expected) ** 2).sum(), rel=1e-3)


@pytest.mark.parametrize("timesteps", [50, 1000])
def test_the_last_step_back_is_the_image(timesteps) -> None:
    mean, variance = Diffusion(timesteps).posterior(torch.tensor([0.4]), torch.tensor([-0.9]), torch.tensor([0]))
    assert float(mean) == pytest.approx(0.4, abs=1e-6)
    assert float(variance) == 0
