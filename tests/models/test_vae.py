"""VAE: its bound against Monte Carlo with torch's own densities, its draws, its heads and its size."""

import copy
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from blemish.core.errors import InputError
from blemish.models import VAE
from blemish.models.vae import divergence
from parts import Parts, deface, stripes

TINY = {"halvings": 3, "latent": 8, "width": 8, "variance": 0.1, "steps": 100, "lr": 5e-3, "sigma": 2.0}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> VAE:
    return VAE(**TINY).fit(Parts(stripes(24, SIZE, seed=0)))


def redraw(detector: VAE, code: torch.Tensor) -> torch.Tensor:
    return detector.decoder(code[:, :, None, None])


def test_parameters_are_the_autoencoders_and_one_more_head() -> None:
    table = [(3, 32, 4), (32, 32, 4), (32, 32, 4), (32, 32, 3), (32, 64, 4), (64, 64, 3), (64, 128, 4), (128, 64, 3)]
    table += [(64, 32, 3), (32, 500, 8)]
    both = sum(2 * i * o * k**2 + i + o for i, o, k in table)
    head = 32 * 500 * 8**2 + 500
    assert sum(p.numel() for p in VAE().parameters()) == both + head == 3_746_731


@pytest.mark.slow
def test_mean_and_log_variance_are_two_heads_of_the_last_map(fitted) -> None:
    image = stripes(2, SIZE, seed=4)
    mean, log_variance = fitted.encode(image)
    last = fitted.encoder[-1]
    features = fitted.encoder[:-1](image)
    one = torch.einsum("bchw,dchw->bd", features, last.weight[:8]) + last.bias[:8]
    two = torch.einsum("bchw,dchw->bd", features, last.weight[8:]) + last.bias[8:]
    torch.testing.assert_close(mean[..., 0, 0], one, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(log_variance[..., 0, 0], two, rtol=1e-4, atol=1e-4)


def test_the_loss_is_minus_the_bound_of_one_draw(fitted) -> None:
    """Up to the normal density's constant, a pixel value: log p(x | z) - KL, averaged over the images."""
    image = deface(stripes(3, SIZE, seed=4), 0)[0]
    pixels = image[0].numel()
    with torch.no_grad():
        mean, log_variance = fitted.encode(image)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        redrawn = fitted.decoder(z)
        found = fitted.bound(image, redrawn, divergence(mean, log_variance).mean())
        likelihood = Normal(redrawn, math.sqrt(0.1)).log_prob(image).flatten(1).sum(1)
        distance = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).flatten(1).sum(1)
    constant = 0.5 * math.log(2 * math.pi * 0.1)
    assert float(found) == pytest.approx(-float((likelihood - distance).mean()) / pixels - constant, rel=1e-4)


@pytest.mark.slow
def test_the_bound_is_the_mean_log_ratio(fitted) -> None:
    """E over q(z | x) of log p(x | z) + log p(z) - log q(z | x), by Monte Carlo, every density torch's own."""
    image = stripes(1, SIZE, seed=4)
    with torch.no_grad():
        mean, log_variance = (v[..., 0, 0] for v in fitted.encode(image))
        code = Normal(mean, (log_variance / 2).exp())
        z = code.mean + code.stddev * torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
        redrawn = redraw(fitted, z)
        likelihood = Normal(redrawn, math.sqrt(0.1)).log_prob(image).flatten(1).sum(1)
        ratio = likelihood + Normal(0.0, 1.0).log_prob(z).sum(1) - code.log_prob(z).sum(1)
        found = fitted.bound(image.expand_as(redrawn), redrawn, divergence(mean, log_variance).mean())
    constant = 0.5 * math.log(2 * math.pi * 0.1)
    error = float(ratio.std()) / len(ratio) ** 0.5
    assert -(float(found) + constant) * image.numel() == pytest.approx(float(ratio.mean()), abs=4 * error)
    assert error < 0.5, "the check is sharp: the divergence is some twenty nats"


def test_map_is_the_squared_error_from_the_mean_code(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    plain = VAE(**{**TINY, "sigma": 0.0})
    plain.adopt(fitted)
    with torch.inference_mode():
        score, map = plain.eval()(image)[:2]
        expected = (image - fitted.decoder(fitted.encode(image)[0])).square().sum(1)
    torch.testing.assert_close(map, expected)
    torch.testing.assert_close(score, expected.flatten(1).max(1).values)


def test_sampled_scores_average_the_error(fitted) -> None:
    """E |x - decode(z)|² over 300 draws of ours against as many of torch's, for codes made vague."""
    sampled = VAE(**{**TINY, "sigma": 0.0, "samples": 300})
    sampled.encoder, sampled.decoder, sampled.losses = copy.deepcopy(fitted.encoder), fitted.decoder, fitted.losses
    with torch.no_grad():
        sampled.encoder[-1].bias[8:] += 3  # log variances
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    with torch.inference_mode():
        map = sampled.eval()(image).map
        assert torch.equal(map, sampled(image).map), "the draws are fixed"
        torch.testing.assert_close(sampled(image[1:]).map[0], map[1], rtol=1e-4, atol=1e-5)
        for one, found in zip(image, map, strict=True):
            mean, log_variance = sampled.encode(one[None])
            with torch.random.fork_rng():
                torch.manual_seed(5)
                z = Normal(mean[..., 0, 0], (log_variance[..., 0, 0] / 2).exp()).sample((300,))[:, 0]
            errors = (one - redraw(fitted, z)).square().sum(1)
            assert float(found.mean()) == pytest.approx(float(errors.mean()), rel=0.08)
            assert float(found.mean()) > 1.1 * float((one - fitted.decoder(mean)).square().sum(1).mean())


@pytest.mark.slow
def test_a_higher_price_makes_the_code_say_less() -> None:
    data = Parts(stripes(24, SIZE, seed=0))
    cheap, dear = (VAE(**{**TINY, "steps": 60}, beta=beta).fit(data) for beta in (0.1, 500.0))

    def distance(detector: VAE) -> float:
        with torch.inference_mode():
            return float(divergence(*detector.encode(stripes(8, SIZE, seed=0))).mean())

    assert cheap.losses.shape == (60,)
    assert distance(cheap) > 10
    assert distance(dear) < 1, "the divergence has won"


@pytest.mark.parametrize("size", [(40, 72), (96, 131)])
def test_any_size(fitted, size) -> None:
    with torch.inference_mode():
        score, map = fitted(stripes(2, size, seed=5))[:2]
    assert map.shape == (2, *size)
    assert score.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"halvings": 2},
        {"latent": 0},
        {"width": 0},
        {"variance": 0.0},
        {"beta": -1.0},
        {"steps": 0},
        {"lr": 0.0},
        {"samples": -1},
        {"stride": 0},
        {"sigma": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        VAE(**wrong)
