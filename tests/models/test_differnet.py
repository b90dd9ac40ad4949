"""DifferNet: sizes, turns, the loss, the score, and the map against finite differences and inside inference_mode."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.models import DifferNet
from blemish.models.differnet import vector_flow
from blemish.ops.maps import blur
from blemish.ops.rotation import turn
from parts import Parts, deface, stripes

TINY = {
    "steps": 40,
    "layer": 16,
    "hidden": 64,
    "blocks": 4,
    "transforms": 2,
    "test_transforms": 4,
    "lr": 5e-3,
}
SIZE = (64, 64)
MARGIN = 0.02
"""The contract's task leaves no more: after one step .946, after forty .979. What learning brings is measured below."""


@pytest.fixture(scope="module")
def fitted() -> DifferNet:
    return DifferNet(**TINY).fit(Parts(stripes(16, SIZE, seed=0)))


def learned(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def expected_size(numbers: int, hidden: int = 2048, blocks: int = 8) -> int:
    """Per block two networks of four linear layers with their biases, as the official code has them."""
    half = numbers // 2
    return blocks * 2 * (half * hidden + hidden + 2 * (hidden * hidden + hidden) + hidden * numbers + numbers)


@pytest.mark.parametrize(("numbers", "count"), [(3 * 128, 153_196_544), (3 * 256, 172_077_056)])
def test_the_sizes_of_the_flow(numbers, count) -> None:
    with torch.device("meta"):
        flow = vector_flow(numbers, 8, 2048, 3.0)
    assert learned(flow) == expected_size(numbers) == count
    assert f"{count:,}".replace(",", " ") in DifferNet.__doc__
    couplings = list(flow.parts)[1::2]
    assert all((c.clamp, c.kind, c.damping) == (3.0, "arctan", 1.0) and c.to_first is not None for c in couplings)


@pytest.mark.slow
def test_the_description_is_each_channels_mean_at_three_sizes(fitted) -> None:
    image = stripes(2, (72, 120), seed=1)
    parts = []
    for size in ((72, 120), (36, 60), (18, 30)):
        (map,) = fitted.features(F.interpolate(image, size, mode="bilinear", antialias=True))
        parts += [map[:, c].mean((1, 2)) for c in range(map.shape[1])]
    torch.testing.assert_close(fitted.described(image), torch.stack(parts, dim=1), rtol=1e-4, atol=1e-5)
    assert fitted.described(image).shape == (2, 3 * 192)


def test_test_turns_are_evenly_spaced_over_the_range() -> None:
    degrees = [math.degrees(a) for a in DifferNet(**{**TINY, "test_transforms": 4}).angles()]
    assert degrees == pytest.approx([-135, -45, 45, 135])
    degrees = [math.degrees(a) for a in DifferNet(**{**TINY, "test_transforms": 5, "rotation": 10}).angles()]
    assert degrees == pytest.approx([-8, -4, 0, 4, 8])


def test_training_turns_every_image_anew_and_stays_in_the_range(monkeypatch) -> None:
    seen: list[float] = []

    def spy(image: torch.Tensor, angle: float) -> torch.Tensor:
        seen.append(math.degrees(angle))
        return turn(image, angle)

    monkeypatch.setattr("blemish.models.differnet.turn", spy)
    detector = DifferNet(**{**TINY, "rotation": 30, "transforms": 50})
    image = stripes(2, SIZE, seed=0)
    turned = detector.turned(image)
    assert turned.shape == (100, 3, *SIZE)
    assert len(set(seen)) == 100
    assert -30 <= min(seen) < -25
    assert 25 < max(seen) <= 30
    torch.testing.assert_close(turned[50], turn(image[1], math.radians(seen[50])))


def test_the_loss_is_the_negative_log_likelihood_a_dimension(fitted) -> None:
    still = DifferNet(**{**TINY, "rotation": 0})
    still.flow.load_state_dict(fitted.flow.state_dict())
    image = stripes(3, SIZE, seed=2)
    with torch.no_grad():
        found = float(still.loss(Batch({"image": image})))
        (z,), log_det = still.flow([still.described(image)])
    expected = sum(0.5 * float(z[i].double().square().sum()) - float(log_det[i]) for i in range(3)) / 3 / z.shape[1]
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_score_is_the_mean_square_over_turns_and_dimensions(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=3), 0)[0]
    score = fitted(image).image
    for i in range(2):
        total = 0.0
        for degrees in (-135, -45, 45, 135):
            with torch.no_grad():
                (z,), _ = fitted.flow([fitted.described(turn(image[i], math.radians(degrees))[None])])
            total += sum(float(v) ** 2 for v in z[0]) / z.shape[1]
        assert float(score[i]) == pytest.approx(total / 4, rel=1e-3)


def test_the_gradient_is_that_of_the_negative_log_likelihood() -> None:
    """By central differences in double precision, at a few pixels of a turned image."""
    detector = DifferNet(**{**TINY, "steps": 3}).fit(Parts(stripes(8, SIZE, seed=0))).double()
    image, angle = stripes(2, SIZE, seed=4).double(), 0.7
    _, gradient = detector.look(image, angle)
    assert gradient.shape == image.shape

    def surprise(one: torch.Tensor) -> float:
        with torch.no_grad():
            (z,), log_det = detector.flow([detector.described(turn(one, angle)[None])])
        return (0.5 * float(z.square().sum()) - float(log_det)) / z.shape[1]

    for i, c, y, x in ((0, 0, 20, 33), (0, 2, 40, 11), (1, 1, 31, 50)):
        step = torch.zeros_like(image[i])
        step[c, y, x] = 1e-6
        slope = (surprise(image[i] + step) - surprise(image[i] - step)) / 2e-6
        assert float(gradient[i, c, y, x]) == pytest.approx(slope, rel=1e-3, abs=1e-8)


def test_the_map_is_the_blurred_size_of_the_mean_gradient(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=3), 0)[0]
    mean = sum(fitted.look(image, angle)[1] for angle in fitted.angles()) / 4
    expected = blur(mean[:, 0].abs() + mean[:, 1].abs() + mean[:, 2].abs(), 4.0)
    torch.testing.assert_close(fitted(image).map, expected, rtol=1e-3, atol=1e-7)
    assert float(expected.max()) > 0


def test_recording_gradients_changes_no_answer(fitted) -> None:
    """The same answer whether or not the caller records gradients."""
    image = stripes(2, SIZE, seed=5)
    with torch.inference_mode():
        born_inside = image.clone()
        inside = fitted(born_inside)
    with torch.no_grad():
        without = fitted(image)
    asked = image.clone().requires_grad_()
    outside = fitted(asked)
    for other in (without, outside):
        torch.testing.assert_close(inside.image, other.image)
        torch.testing.assert_close(inside.map, other.map)
        assert not other.map.requires_grad
    assert asked.grad is None
    assert all(p.grad is None for p in fitted.features.parameters())


def test_scoring_leaves_no_gradient_behind(fitted) -> None:
    fitted.zero_grad(set_to_none=True)
    fitted(stripes(1, SIZE, seed=5))
    assert all(p.grad is None for p in fitted.parameters())


def test_the_flow_learns_and_the_frozen_network_does_not(fitted) -> None:
    start = DifferNet(**TINY)
    assert len(fitted.losses) == TINY["steps"]
    assert fitted.losses[-1] < fitted.losses[0]
    for name, value in fitted.named_parameters():
        assert torch.equal(value, start.get_parameter(name)) == name.startswith("features.")


@pytest.mark.slow
def test_learning_sets_unseen_defaced_parts_apart(fitted) -> None:
    """How far out they lie, beside good ones: hardly farther after one step, more than twice as far after forty."""
    good, (bad, _) = stripes(20, SIZE, seed=21), deface(stripes(20, SIZE, seed=22), 7)
    hardly = DifferNet(**{**TINY, "steps": 1}).fit(Parts(stripes(16, SIZE, seed=0)))
    before, after = (float(detector(bad)[0].mean() / detector(good)[0].mean()) for detector in (hardly, fitted))
    assert before < 1.1
    assert after > 2


@pytest.mark.parametrize("size", [(72, 120), (75, 65)])
def test_any_size(fitted, size) -> None:
    score, map = fitted(stripes(1, size, seed=1))[:2]
    assert map.shape == (1, *size)
    assert score.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"blocks": 0},
        {"hidden": 0},
        {"clamp": 0.0},
        {"transforms": 0},
        {"test_transforms": 0},
        {"rotation": 200.0},
        {"rotation": -1.0},
        {"steps": 0},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"sigma": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        DifferNet(**wrong)
