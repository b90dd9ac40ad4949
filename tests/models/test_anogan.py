"""AnoGAN's losses against their formulas, and its search: it lowers the loss, each image by itself."""

from itertools import pairwise

import pytest
import torch

from blemish.core.errors import InputError
from blemish.models import AnoGAN
from blemish.ops.maps import enlarge
from blemish.ops.networks.layers import to_square
from parts import Parts, deface, stripes

TINY = {
    "image_size": 16,
    "width": 16,
    "latent": 4,
    "steps": 500,
    "lr": 1e-3,
    "search_steps": 50,
    "search_lr": 0.1,
}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> AnoGAN:
    return AnoGAN(**{**TINY, "steps": 20}).fit(Parts(stripes(8, SIZE, seed=0)))


def test_parameters_of_the_published_architecture() -> None:
    detector = AnoGAN()
    channels = [3, 64, 128, 256, 512]
    kernels = sum(16 * a * b for a, b in pairwise(channels))
    generator = 16 * 100 * 512 + kernels + 2 * (512 + 256 + 128 + 64)
    discriminator = kernels + 16 * 512 + 2 * (512 + 256 + 128)
    assert sum(p.numel() for p in detector.generator.parameters()) == generator
    assert sum(p.numel() for p in detector.discriminator.parameters()) == discriminator
    assert sum(p.numel() for p in detector.parameters()) == generator + discriminator == 6_342_272


def test_the_defaults_are_the_papers() -> None:
    expected = {"image_size": 64, "latent": 100, "weight": 0.1, "search_steps": 500, "lr": 2e-4, "beta1": 0.5}
    assert expected.items() <= AnoGAN().params.items()


def test_distance_is_residual_plus_discrimination(fitted) -> None:
    """Distance is the weighted sum of residual and discrimination."""
    x = to_square(stripes(2, SIZE, seed=4), 16)
    with torch.no_grad():
        drawn = fitted.generator(torch.rand(2, 4, 1, 1))
        found = fitted.distance(x, fitted.discriminator(x)[1], drawn)
        for i in range(2):
            residual = (x[i] - drawn[i]).abs().sum()
            f = fitted.discriminator.features
            discrimination = (f(x[i : i + 1]) - f(drawn[i : i + 1])).abs().sum()
            assert float(found[i]) == pytest.approx(float(0.9 * residual + 0.1 * discrimination), rel=1e-4)


def test_score_and_map_are_what_the_search_left(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    x = to_square(image, 16)
    score, map = fitted(image)[:2]
    with torch.no_grad():
        drawn = fitted.generator(fitted.search(x))
        torch.testing.assert_close(score, fitted.distance(x, fitted.discriminator(x)[1], drawn))
        torch.testing.assert_close(map, enlarge((x - drawn).abs().sum(1) / 3, SIZE))


def test_losses_are_the_cross_entropies(monkeypatch) -> None:
    detector = AnoGAN(**TINY).eval()
    x, z = 2 * torch.rand(3, 3, 16, 16) - 1, 2 * torch.rand(3, 4, 1, 1) - 1
    monkeypatch.setattr(detector, "_draw", lambda count: z[:count])
    with torch.no_grad():
        real = torch.sigmoid(detector.discriminator(x)[0])
        false = torch.sigmoid(detector.discriminator(detector.generator(z))[0])
        expected = -real.log().mean() - (1 - false).log().mean()
        assert float(detector.discriminator_loss(x)) == pytest.approx(float(expected), rel=1e-5)
        assert float(detector.generator_loss(3)) == pytest.approx(float(-false.log().mean()), rel=1e-5)


def test_z_is_drawn_evenly_from_minus_one_to_one() -> None:
    torch.manual_seed(0)
    z = AnoGAN(**TINY)._draw(5000)
    assert z.shape == (5000, 4, 1, 1)
    assert -1 <= float(z.min()) < -0.99
    assert 0.99 < float(z.max()) <= 1
    assert float(z.var()) == pytest.approx(1 / 3, rel=0.05)


def test_the_search_lowers_the_loss_of_every_image(fitted) -> None:
    x = to_square(stripes(6, SIZE, seed=4), 16)

    def left(steps: int) -> torch.Tensor:
        fitted.search_steps = steps
        with torch.no_grad():
            return fitted.distance(x, fitted.discriminator(x)[1], fitted.generator(fitted.search(x)))

    before, soon, after = left(0), left(5), left(50)
    fitted.search_steps = 50
    assert (soon < before).all()
    assert (after < soon).all()


def test_the_first_step_goes_down_the_gradient(fitted) -> None:
    """Adam's first step has the size `search_lr` in every coordinate and the sign of minus the gradient."""
    x = to_square(stripes(2, SIZE, seed=4), 16)
    fitted.search_steps = 0
    first = fitted.search(x)
    fitted.search_steps = 1
    second = fitted.search(x)
    fitted.search_steps = 50
    assert torch.equal(first[0], first[1])
    for i in range(2):
        z = first[i : i + 1].clone().requires_grad_()
        seen = fitted.discriminator(x[i : i + 1])[1].detach()
        fitted.distance(x[i : i + 1], seen, fitted.generator(z)).sum().backward()
        torch.testing.assert_close(second[i], first[i] - 0.1 * z.grad[0].sign(), rtol=1e-3, atol=1e-4)


def test_the_search_works_in_inference_mode() -> None:
    """The search works in inference mode and leaves no gradients behind."""
    detector = AnoGAN(**{**TINY, "steps": 2, "search_steps": 3}).fit(Parts(stripes(8, SIZE, seed=0)))
    detector.zero_grad()
    image = stripes(2, SIZE, seed=4)
    plain = detector(image).image
    with torch.inference_mode():
        torch.testing.assert_close(detector(image.clone()).image, plain)
    assert all(p.grad is None for p in detector.parameters())


def test_an_images_search_is_its_own(fitted) -> None:
    x = to_square(torch.cat([stripes(3, SIZE, seed=4), torch.rand(2, 3, *SIZE)]), 16)
    together = fitted.search(x)
    alone = torch.cat([fitted.search(one[None]) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)
    torch.manual_seed(99)
    assert torch.equal(fitted.search(x), together)


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 48},
        {"width": 0},
        {"latent": 0},
        {"steps": 0},
        {"search_steps": 0},
        {"lr": 0.0},
        {"search_lr": 0.0},
        {"beta1": 1.0},
        {"weight": 1.5},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        AnoGAN(**wrong)
