"""f-AnoGAN's losses and score against their formulas, its two phases, and its networks against the published ones."""

import pytest
import torch

from blemish.core.errors import InputError
from blemish.models import FAnoGAN
from blemish.ops.maps import enlarge
from blemish.ops.networks.layers import to_square
from parts import Parts, stripes

TINY = {
    "image_size": 16,
    "width": 8,
    "latent": 4,
    "critic_steps": 1,
    "kappa": 0.1,
    "steps": 130,
    "lr": 2e-3,
    "encoder_steps": 130,
    "encoder_lr": 1e-3,
}
FEW = {**TINY, "critic_steps": 5, "steps": 2, "encoder_steps": 3}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> FAnoGAN:
    return FAnoGAN(**FEW).fit(Parts(stripes(8, SIZE, seed=0)))


def test_parameters_of_the_published_architecture() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    detector = FAnoGAN()
    assert [count(part) for part in (detector.generator, detector.critic)] == [8_540_483, 7_491_841]
    assert count(detector.encoder) == count(detector.critic) + 127 * (512 * 16 + 1)  # 128 answers in place of one
    assert count(detector) == 24_564_676


def test_the_defaults_are_the_codes() -> None:
    expected = {"image_size": 64, "width": 64, "latent": 128, "critic_steps": 5, "penalty": 10, "kappa": 1}
    assert expected.items() <= FAnoGAN().params.items()
    assert {"lr": 1e-4, "encoder_lr": 5e-5, "encoder_steps": 50_000}.items() <= FAnoGAN().params.items()


def test_score_and_map_are_their_formulas(fitted) -> None:
    image = stripes(3, SIZE, seed=4)
    fitted.kappa = 0.7
    with torch.no_grad():
        score, map = fitted(image)[:2]
        for i in range(3):
            x = to_square(image[i : i + 1], 16)
            drawn = fitted.generator(fitted.encoder(x)[0])
            f, g = fitted.critic(x)[1], fitted.critic(drawn)[1]
            expected = ((x - drawn) ** 2).sum() / (3 * 16 * 16) + 0.7 * ((f - g) ** 2).sum() / f.numel()
            assert float(score[i]) == pytest.approx(float(expected), rel=1e-4)
            torch.testing.assert_close(map[i], enlarge((x - drawn).abs().sum(1) / 3, SIZE)[0], rtol=1e-4, atol=1e-5)
    fitted.kappa = 0.1


def test_losses_of_the_gan_are_their_formulas(fitted, monkeypatch) -> None:
    """Drawings equal to the images have no gap, so that the critic's loss is the penalty at the images themselves."""
    x, fake = to_square(stripes(2, SIZE, seed=4), 16), to_square(stripes(2, SIZE, seed=5), 16)
    critic = fitted.critic.requires_grad_(True)
    monkeypatch.setattr(fitted, "_draw", lambda count: fake[:count])
    assert float(fitted.generator_loss(2).detach()) == pytest.approx(-float(critic(fake)[0].mean().detach()), rel=1e-5)
    monkeypatch.setattr(fitted, "penalty", 0.0)
    gap = float((critic(fake)[0].mean() - critic(x)[0].mean()).detach())
    assert float(fitted.critic_loss(x).detach()) == pytest.approx(gap, rel=1e-4, abs=1e-6)
    monkeypatch.setattr(fitted, "penalty", 10.0)
    monkeypatch.setattr(fitted, "_draw", lambda count: x[:count])
    slopes = torch.autograd.functional.jacobian(lambda image: critic(image)[0][:, 0].sum(), x).flatten(1).norm(dim=1)
    expected = 10 * float(((slopes - 1) ** 2).mean())
    assert float(fitted.critic_loss(x).detach()) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    critic.requires_grad_(False)


def test_the_critic_takes_five_steps_for_each_of_the_generators(monkeypatch) -> None:
    detector, turns = FAnoGAN(**FEW), []
    critic_loss, generator_loss = detector.critic_loss, detector.generator_loss
    monkeypatch.setattr(detector, "critic_loss", lambda x: turns.append("c") or critic_loss(x))
    monkeypatch.setattr(detector, "generator_loss", lambda count: turns.append("g") or generator_loss(count))
    detector.fit(Parts(stripes(8, SIZE, seed=0)))
    assert "".join(turns) == "cccccg" * 2
    assert detector.losses.shape == (10,)
    assert detector.encoder_losses.shape == (3,)


def test_the_gan_is_frozen_while_the_encoder_learns(monkeypatch) -> None:
    detector = FAnoGAN(**FEW)
    kept = {}
    fit_gan = detector._fit_gan

    def remember(data: object) -> list[float]:
        losses = fit_gan(data)
        kept.update({name: value.clone() for name, value in detector.state_dict().items()})
        return losses

    monkeypatch.setattr(detector, "_fit_gan", remember)
    fresh = {name: value.clone() for name, value in detector.state_dict().items()}
    detector.fit(Parts(stripes(8, SIZE, seed=0)))
    for name, value in detector.state_dict().items():
        if name.startswith(("generator", "critic")):
            assert torch.equal(value, kept[name]), f"{name} changed in the encoder's phase"
        if name.startswith("encoder.") and name.endswith("weight"):
            assert torch.equal(kept[name], fresh[name]), f"{name} changed in the GAN's phase"
            assert not torch.equal(value, fresh[name]), f"{name} did not learn"
    assert not any(p.requires_grad for p in [*detector.generator.parameters(), *detector.critic.parameters()])


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 48},
        {"width": 0},
        {"latent": 0},
        {"steps": 0},
        {"critic_steps": 0},
        {"encoder_steps": 0},
        {"lr": 0.0},
        {"encoder_lr": 0.0},
        {"penalty": -1.0},
        {"kappa": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        FAnoGAN(**wrong)
