"""GANomaly's losses and score against their formulas, its networks against the published ones."""

from pathlib import Path

import pytest
import torch

import blemish.models.ganomaly
from blemish.core.errors import InputError
from blemish.models import GANomaly
from blemish.ops.maps import enlarge
from blemish.ops.networks.layers import to_square
from blemish.training.session import session
from parts import Parts, Torn, stripes

TINY = {"image_size": 32, "width": 8, "latent": 16, "w_adv": 0.1, "w_con": 5.0, "steps": 200, "lr": 5e-4, "beta1": 0.9}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> GANomaly:
    return GANomaly(**{**TINY, "steps": 5}).fit(Parts(stripes(8, SIZE, seed=0)))


def pyramid(width: int, halvings: int, out: int) -> int:
    """The weights of a DCGAN encoder: 4 x 4 kernels without bias, batch norm but on the first."""
    total = 3 * width * 16
    for step in range(halvings - 1):
        entering = width * 2**step
        total += entering * 2 * entering * 16 + 2 * 2 * entering
    return total + width * 2 ** (halvings - 1) * out * 16


def test_parameters_of_the_published_architecture() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    detector = GANomaly()
    assert count(detector) == 3_869_824
    assert count(detector.encoder) == count(detector.second_encoder) == pyramid(64, 3, 100)
    assert count(detector.decoder) == pyramid(64, 3, 100) + 2 * 64  # one batch norm more: after the vector's
    assert count(detector.discriminator) == pyramid(64, 3, 1)


def test_the_defaults_are_the_codes() -> None:
    expected = {"image_size": 32, "width": 64, "latent": 100, "lr": 2e-4, "beta1": 0.5}
    assert expected.items() <= GANomaly().params.items()
    assert {"w_adv": 1, "w_con": 50, "w_enc": 1}.items() <= GANomaly().params.items()


def test_a_discriminator_that_has_won_begins_anew(monkeypatch, tmp_path) -> None:
    """A discriminator that has won begins anew and so after a resumption."""
    real = GANomaly.discriminator_loss
    data, kept = Parts(stripes(12, SIZE, seed=0)), {**TINY, "steps": 6}
    begun: list[torch.Tensor] = []

    def fit(factor: float, batches: Parts | Torn, folder: Path | None = None) -> GANomaly:
        monkeypatch.setattr(GANomaly, "discriminator_loss", lambda *given: real(*given) * factor)
        with session(folder):
            return GANomaly(**kept).fit(batches)

    monkeypatch.setattr(blemish.models.ganomaly, "start", lambda part: begun.append(next(part.parameters())))
    fit(1.0, data)
    assert begun == []
    fit(1e-6, data)
    assert len(begun) == 2 * 5  # both parts of it, before every step but the first
    monkeypatch.undo()
    whole = fit(1e-6, data)
    with pytest.raises(KeyboardInterrupt):
        fit(1e-6, Torn(data, at=4), tmp_path)
    again = fit(1e-6, data, tmp_path).state_dict()
    assert [name for name, value in whole.state_dict().items() if not torch.equal(value, again[name])] == []
    assert "collapse" not in again


def test_score_and_map_are_their_formulas(fitted) -> None:
    image = stripes(3, SIZE, seed=4)
    with torch.no_grad():
        score, map = fitted(image)[:2]
        for i in range(3):
            x = to_square(image[i : i + 1], 32)
            z = fitted.encoder(x)[0, :, 0, 0]
            drawn = fitted.decoder(z.view(1, -1, 1, 1))
            again = fitted.second_encoder(drawn)[0, :, 0, 0]
            expected = sum((float(a) - float(b)) ** 2 for a, b in zip(z, again, strict=True)) / 16
            assert float(score[i]) == pytest.approx(expected, rel=1e-4)
            residual = (x - drawn)[0].abs().sum(0) / 3
            torch.testing.assert_close(map[i], enlarge(residual[None], SIZE)[0], rtol=1e-4, atol=1e-5)


def test_generator_loss_is_the_weighted_sum_of_three() -> None:
    detector = GANomaly(**{**TINY, "w_adv": 2.0, "w_con": 3.0, "w_enc": 5.0}).eval()
    x = 2 * torch.rand(2, 3, 32, 32) - 1
    with torch.no_grad():
        fake, z, again = detector.reconstruct(x)
        found = float(detector.generator_loss(x, fake, z, again))
        adversarial = ((detector.discriminator.features(x) - detector.discriminator.features(fake)) ** 2).mean()
    contextual = (x - fake).abs().sum() / (2 * 3 * 32 * 32)
    codes = ((z - again) ** 2).sum() / (2 * 16)
    assert found == pytest.approx(float(2 * adversarial + 3 * contextual + 5 * codes), rel=1e-5)


def test_discriminator_loss_is_half_the_cross_entropy_of_both() -> None:
    detector = GANomaly(**TINY).eval()
    x, fake = 2 * torch.rand(2, 2, 3, 32, 32) - 1
    with torch.no_grad():
        real, false = (torch.sigmoid(detector.discriminator(images)[0]) for images in (x, fake))
        found = float(detector.discriminator_loss(x, fake))
    expected = -(real.log().mean() + (1 - false).log().mean()) / 2
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_the_score_of_an_image_does_not_depend_on_its_batch(fitted) -> None:
    """The official code scores in training mode, where it does."""
    images = stripes(4, SIZE, seed=4)
    with torch.no_grad():
        together, alone = fitted(images).image, torch.cat([fitted(image[None]).image for image in images])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
        fitted.train()
        assert not torch.allclose(fitted(images).image[:2], fitted(images[:2]).image, rtol=1e-2)
        fitted.eval()


def test_a_discriminator_that_always_wins_is_drawn_anew() -> None:
    detector = GANomaly(**{**TINY, "steps": 2})
    detector.discriminator_loss = lambda x, fake: detector.discriminator(x)[0].sum() * 0  # type: ignore[method-assign]
    first = detector.discriminator.verdict.weight.detach().clone()
    detector.fit(Parts(stripes(8, SIZE, seed=0)))
    assert not torch.equal(detector.discriminator.verdict.weight, first)
    assert float(detector.discriminator.verdict.weight.detach().std()) == pytest.approx(0.02, rel=0.2)


def test_both_sides_learn() -> None:
    detector = GANomaly(**{**TINY, "steps": 2})
    before = {name: p.detach().clone() for name, p in detector.named_parameters()}
    detector.fit(Parts(stripes(8, SIZE, seed=0)))
    same = [name for name, p in detector.named_parameters() if torch.equal(p, before[name])]
    assert same == []
    assert detector.losses.shape == (2,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 48},
        {"width": 0},
        {"latent": 0},
        {"steps": 0},
        {"lr": 0.0},
        {"beta1": 1.0},
        {"w_con": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        GANomaly(**wrong)
