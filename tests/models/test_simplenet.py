"""SimpleNet: the layers, the hinge, the noise and the scores, each against what the paper writes down."""

import pytest
import torch
from torch import nn

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.models import SimpleNet
from blemish.models.simplenet import discriminator, hinge
from blemish.ops.maps import blur, enlarge
from parts import Parts, deface, stripes

TINY = {"steps": 60, "noise": 0.3, "hidden": 128, "adaptor_lr": 1e-3, "lr": 2e-3}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> SimpleNet:
    return SimpleNet(**TINY).fit(Parts(stripes(16, SIZE, seed=0)))


def learned(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_the_published_sizes() -> None:
    detector = SimpleNet()
    assert (detector.adaptor.in_features, detector.adaptor.out_features) == (256, 256)
    assert learned(detector) == 332_032
    wide = 512 + 1024  # layers 2 and 3 of WideResNet-50
    assert learned(nn.Linear(wide, wide)) + learned(discriminator(wide, 1024)) == 3_937_792
    first, norm, leak, last = detector.discriminator
    assert (first.in_features, first.out_features, norm.num_features) == (256, 1024, 1024)
    assert leak.negative_slope == 0.2
    assert last.bias is None


def test_the_loss_is_the_papers_for_every_feature() -> None:
    good, noisy = torch.randn(50), torch.randn(50)
    expected = sum(max(0.0, 0.5 - float(g)) for g in good) / 50 + sum(max(0.0, 0.5 + float(n)) for n in noisy) / 50
    assert float(hinge(good, noisy, 0.5)) == pytest.approx(expected, rel=1e-5)
    assert float(hinge(torch.tensor([0.6]), torch.tensor([-0.6]), 0.5)) == 0


def test_noise_is_gaussian_and_as_strong_as_asked() -> None:
    detector = SimpleNet(**TINY).train()
    seen: list[torch.Tensor] = []
    detector.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    detector.loss(Batch({"image": stripes(4, SIZE, seed=0)}))
    good, noisy = seen[0].chunk(2)
    noise = noisy - good
    assert noise.shape == (4 * 8 * 8, 256)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float((noise.abs() < 0.3).float().mean()) == pytest.approx(0.683, abs=0.01)


def test_adaptor_and_discriminator_learn_the_rest_is_frozen(fitted) -> None:
    """Adaptor and discriminator learn the frozen network does not."""
    start = SimpleNet(**TINY)
    for name, value in fitted.named_parameters():
        assert torch.equal(value, start.get_parameter(name)) == name.startswith("features.")
    assert len(fitted.losses) == TINY["steps"]
    assert fitted.losses[-10:].mean() < fitted.losses[:10].mean()


def test_each_part_has_its_own_learning_rate() -> None:
    start = SimpleNet(steps=1, adaptor_lr=1e-5, lr=1e-2)
    moved = SimpleNet(**start.params).fit(Parts(stripes(8, SIZE, seed=0)))
    for name, rate in (("adaptor.weight", 1e-5), ("discriminator.0.weight", 1e-2)):
        change = (moved.get_parameter(name) - start.get_parameter(name)).detach().abs()
        assert float(change.median()) == pytest.approx(rate, rel=0.1), "Adam's first step is as long as its rate"


def test_scores_are_the_discriminators_doubt_patch_by_patch(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    shallow, deep = fitted.features(image)
    averaged = [nn.functional.avg_pool2d(m, 3, 1, 1) for m in (shallow, deep)]
    grown = nn.functional.interpolate(averaged[1], size=shallow.shape[2:], mode="bilinear")
    patches = torch.cat([averaged[0], grown], dim=1)
    grid = torch.zeros(2, 8, 8)
    with torch.no_grad():
        for b in range(2):
            for y in range(8):
                for x in range(8):
                    grid[b, y, x] = -fitted.discriminator(fitted.adaptor(patches[b, :, y, x])[None]).squeeze()
        score, map = fitted(image)[:2]
    torch.testing.assert_close(score, grid.amax((1, 2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(map, blur(enlarge(grid, SIZE), 4.0), rtol=1e-4, atol=1e-4)


def test_any_size(fitted) -> None:
    score, map = fitted(stripes(1, (72, 120), seed=1))[:2]
    assert map is not None
    assert map.shape == (1, 72, 120)
    assert score.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_size": 2},
        {"noise": 0.0},
        {"margin": 0.0},
        {"hidden": 0},
        {"steps": 0},
        {"lr": 0.0},
        {"adaptor_lr": -1.0},
        {"sigma": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        SimpleNet(**wrong)
