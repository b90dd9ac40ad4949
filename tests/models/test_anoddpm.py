"""AnoDDPM: the published network, what is learned and averaged, the way there and back as the paper's loop, the map."""

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

import blemish.models.anoddpm
from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.models import AnoDDPM
from blemish.ops.networks.unet import UNet
from blemish.ops.simplex import fractal, tables
from blemish.training.optimise import optimise as real_optimise
from blemish.training.session import session
from parts import Parts, deface, stripes

TINY = {
    "width": 8,
    "multipliers": [1, 2, 2],
    "attention": [],
    "blocks": 1,
    "timesteps": 50,
    "horizon": 20,
    "start": 6,
    "frequency": 16.0,
    "steps": 100,
    "lr": 5e-3,
    "decay": 0.9,
}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> AnoDDPM:
    return AnoDDPM(**{**TINY, "steps": 4, "decay": 0.3}).fit(Parts(stripes(8, SIZE, seed=0)))


def test_parameters_of_the_published_network() -> None:
    with torch.device("meta"):
        detector = AnoDDPM()
    assert sum(p.numel() for p in detector.parameters() if p.requires_grad) == 130_336_003
    assert sum(p.numel() for p in detector.average.parameters()) == 130_336_003
    assert "130 336 003" in AnoDDPM.__doc__
    assert len(detector.diffusion.beta) == 1000
    assert detector.stride == 32


def test_noise_is_each_images_own_in_channels_and_depth() -> None:
    """Noise is each images own of three channels and its depth."""
    detector, t = AnoDDPM(**TINY), torch.tensor([3, 11])
    found = detector.noise(torch.zeros(2, 3, 16, 24), t, torch.Generator().manual_seed(5))
    table = tables(2, 3, generator=torch.Generator().manual_seed(5))
    assert found.shape == (2, 3, 16, 24)
    for n, c in np.ndindex(2, 3):
        alone = fractal((16, 24), t[n : n + 1], table[n : n + 1, c : c + 1], octaves=6, persistence=0.8, frequency=16)
        torch.testing.assert_close(found[n, c], alone[0, 0])


def test_the_first_loss_is_the_error_of_predicted_noise() -> None:
    """The U-Net begins at 0 everywhere: the loss is the noise's own mean square, over random times."""
    image = stripes(8, SIZE, seed=0)
    found = AnoDDPM(**{**TINY, "steps": 1}).fit(Parts(image)).losses
    generator = torch.Generator().manual_seed(0)
    t = torch.randint(20, (8,), generator=generator)
    noise = fractal(SIZE, t, tables(8, 3, generator=generator), frequency=16)
    assert found.shape == (1,)
    assert float(found) == pytest.approx(float(noise.square().mean()), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("horizon", "below"), [(20, 20), (800, 50)])
def test_the_network_sees_noise_below_the_horizon(monkeypatch, horizon, below) -> None:
    """The network sees noised parts at times below the horizon."""
    seen, image = [], stripes(4, SIZE, seed=0)
    detector = AnoDDPM(**{**TINY, "horizon": horizon})

    def watch(module, loss, data, *, steps, optimiser, clip, label):
        assert clip == 1
        assert label == "AnoDDPM"
        for _ in range(50):
            value = loss(Batch({"image": image})).detach()
            x, t, noise, predicted = seen[-1]
            expected = [
                math.sqrt(detector.diffusion.alpha_bar[t[i]]) * (2 * image[i] - 1)
                + math.sqrt(1 - detector.diffusion.alpha_bar[t[i]]) * noise[i]
                for i in range(4)
            ]
            torch.testing.assert_close(x, torch.stack(expected), rtol=1e-4, atol=1e-5)
            assert float(value) == pytest.approx(float((predicted - noise).square().mean()), rel=1e-4)
        return [0.0] * steps

    noises = []
    draw = detector.noise
    monkeypatch.setattr(detector, "noise", lambda *args: noises.append(draw(*args)) or noises[-1])
    monkeypatch.setattr(blemish.models.anoddpm, "optimise", watch)

    def look(module, into, out):
        out = out + 0.3  # a prediction that is not 0
        seen.append((into[0], into[1], noises[-1], out.detach()))
        return out

    detector.network.register_forward_hook(look)
    detector.fit([])
    times = torch.cat([t for _, t, _, _ in seen])
    assert times.min() == 0
    assert times.max() == below - 1


def test_the_average_follows_every_step_and_no_held_out_loss(monkeypatch) -> None:
    detector, weights, start = AnoDDPM(**{**TINY, "steps": 4, "decay": 0.3}), [], []

    def watch(module, loss, data, **options):
        start.append(parameters(detector.average))

        def watched(batch):
            weights.append(parameters(detector.network))  # after each step but the last
            before = parameters(detector.average)
            detector.eval()
            with torch.no_grad():
                loss(batch)  # as a training session does that holds parts out
            assert torch.equal(parameters(detector.average), before)
            detector.train()
            return loss(batch)

        return real_optimise(module, watched, data, **options)

    monkeypatch.setattr(blemish.models.anoddpm, "optimise", watch)
    detector.fit(Parts(stripes(8, SIZE, seed=0)))
    weights.append(parameters(detector.network))
    expected = start[0]
    for weight in weights:  # the first is where the average itself begins
        expected = 0.3 * expected + 0.7 * weight
    torch.testing.assert_close(parameters(detector.average), expected)
    assert not torch.allclose(expected, weights[-1], atol=1e-4)


def parameters(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def test_held_out_parts_judge_the_weights_that_will_answer(monkeypatch) -> None:
    asked: list[tuple[bool, str]] = []
    real = UNet.forward

    def noted(self: UNet, *given: torch.Tensor) -> torch.Tensor:
        asked.append((detector.training, "average" if self is detector.average else "network"))
        return real(self, *given)

    monkeypatch.setattr(UNet, "forward", noted)
    detector = AnoDDPM(**{**TINY, "steps": 2})
    with session(validation=Parts(stripes(4, SIZE, seed=1)), check_every=1):
        detector.fit(Parts(stripes(8, SIZE, seed=0)))
    assert set(asked) == {(True, "network"), (False, "average")}


def test_a_resumed_training_continues_the_average(tmp_path) -> None:
    images, params = stripes(8, SIZE, seed=0), {**TINY, "steps": 6, "decay": 0.5}
    expected = AnoDDPM(**params).fit(Parts(images, batch_size=2))

    def broken() -> Iterator[Batch]:
        yield from islice(Parts(images, batch_size=2), 3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"), session(tmp_path, save_every=0):
        AnoDDPM(**params).fit(broken())
    with session(tmp_path, save_every=0):
        resumed = AnoDDPM(**params).fit(Parts(images, batch_size=2))
    assert len(list(tmp_path.iterdir())) >= 2
    for name, value in expected.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def slow_heal(detector: AnoDDPM, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """There and back in float64 with the textbook's formulas, for one image in [-1, 1]."""
    scale = 1000 / detector.timesteps
    beta = np.linspace(scale * 1e-4, scale * 0.02, detector.timesteps)
    bar = np.cumprod(1 - beta)

    def noise(step: int) -> torch.Tensor:
        table = tables(1, 3, generator=generator)
        return fractal(image.shape[1:], torch.tensor([step]), table, frequency=detector.frequency)[0].double()

    last = detector.start - 1
    x = math.sqrt(bar[last]) * image.double() + math.sqrt(1 - bar[last]) * noise(last)
    for step in range(last, -1, -1):
        with torch.no_grad():
            predicted = detector.average(x.float()[None], torch.tensor([step]))[0].double()
        clean = ((x - math.sqrt(1 - bar[step]) * predicted) / math.sqrt(bar[step])).clamp(-1, 1)
        before = bar[step - 1] if step else 1.0
        x = (math.sqrt(before) * beta[step] * clean + math.sqrt(1 - beta[step]) * (1 - before) * x) / (1 - bar[step])
        fresh = noise(step)
        x = x + math.sqrt(beta[step]) * fresh if step else x
    return x


def test_there_and_back_is_the_papers_loop(fitted) -> None:
    image = 2 * deface(stripes(2, SIZE, seed=4), 0)[0] - 1
    found = fitted.heal(image, torch.Generator().manual_seed(3))
    for i in range(2):
        expected = slow_heal(fitted, image[i], torch.Generator().manual_seed(3))
        torch.testing.assert_close(found[i].double(), expected, rtol=1e-3, atol=1e-3)


def test_map_is_the_mean_squared_error_of_reconstructions(fitted) -> None:
    """Map is the mean squared error of all healings and the image its peak."""
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    twice = AnoDDPM(**{**fitted.params, "repeats": 2, "seed": 7})
    twice.adopt(fitted)
    score, map = twice(image)[:2]
    generator = torch.Generator().manual_seed(7)
    healed = [twice.heal(2 * image - 1, generator) for _ in range(2)]
    assert not torch.allclose(*healed, atol=1e-3), "the second healing has its own noise"
    raw = sum(((2 * image - 1 - h) ** 2).sum(1) / 3 for h in healed) / 2
    for i in range(2):
        expected = ndimage.gaussian_filter(raw[i].numpy(), 4)
        np.testing.assert_allclose(map[i].numpy(), expected, rtol=1e-3, atol=1e-5)
        assert float(score[i]) == pytest.approx(expected.max(), rel=1e-3)


def test_scores_use_the_averaged_weights(fitted) -> None:
    image = stripes(1, SIZE, seed=4)
    before, other = fitted(image).image, AnoDDPM(**fitted.params)
    other.adopt(fitted)
    nn.init.ones_(other.network.last[-1].weight)
    assert torch.equal(other(image).image, before)
    nn.init.ones_(other.average.last[-1].weight)
    assert not torch.equal(other(image).image, before)


@pytest.mark.parametrize("size", [(70, 101), (96, 64)])
def test_any_size(fitted, size) -> None:
    image = stripes(2, size, seed=5)
    score, map = fitted(image)[:2]
    assert map.shape == (2, *size)
    assert score.isfinite().all()
    assert AnoDDPM(**{**TINY, "steps": 1}).fit(Parts(image)).losses.isfinite().all()


def test_attention_where_it_is_asked_for() -> None:
    def count(**changes: object) -> int:
        with torch.device("meta"):
            network = AnoDDPM(**{**TINY, **changes}).network
        return sum(type(m).__name__ == "Attention" for m in network.modules())

    assert count() == 1  # the one at the bottom
    assert count(attention=[4]) == 1 + 1 + 2
    assert count(multipliers=None, attention=None, blocks=2) == 1 + 2 * 2 + 2 * 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 6},
        {"width": 0},
        {"heads": 3},
        {"multipliers": []},
        {"multipliers": [1, 0]},
        {"attention": [3]},
        {"blocks": 0},
        {"octaves": 0},
        {"repeats": 0},
        {"steps": 0},
        {"start": 0},
        {"timesteps": 20, "start": 5},
        {"start": 300, "horizon": 200},
        {"persistence": 0.0},
        {"frequency": 0.0},
        {"lr": 0.0},
        {"decay": 1.0},
        {"sigma": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        AnoDDPM(**wrong)
