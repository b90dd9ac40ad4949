"""FastFlow: the couplings' sizes, the loss and the map, each against the paper's formula written out."""

import math

import pytest
import torch
from torch import nn

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.models import FastFlow
from blemish.models.fastflow import flow_2d
from blemish.ops.networks.coupling import Coupling
from parts import Parts, deface, stripes

TINY = {"steps": 20, "flow_steps": 4}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> FastFlow:
    return FastFlow(**TINY).fit(Parts(stripes(16, SIZE, seed=0)))


def learned(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def expected_size(channels: int, sides: list[int], ratio: float) -> int:
    """Two convolutions a step, half the channels in, scale and shift of the other half out; and the channels' scaling."""
    half = channels // 2
    hidden = int(half * ratio)
    convolutions = sum(k * k * (half * hidden + hidden * channels) + hidden + channels for k in sides)
    return convolutions + 2 * channels * len(sides)


@pytest.mark.parametrize(
    ("channels", "sides", "ratio", "count"),
    [
        ((32, 64, 192), [3] * 8, 1.0, 2_275_200),  # texnet_s, the default
        ((64, 128, 256), [3] * 8, 1.0, 4_657_408),  # ResNet-18
        ((256, 512, 1024), [3, 1] * 4, 1.0, 41_337_856),  # WideResNet-50
        ((768,), [3, 1] * 10, 0.16, 7_074_500),  # DeiT, CaiT
    ],
)
def test_the_sizes_of_the_flows(channels, sides, ratio, count) -> None:
    with torch.device("meta"):
        flows = [flow_2d(c, len(sides), (sides[0], sides[1]), ratio, 2.0) for c in channels]
    found = sum(map(learned, flows))
    assert found == sum(expected_size(c, sides, ratio) for c in channels)
    assert found == count


def test_the_default_has_the_size_its_docstring_says() -> None:
    detector = FastFlow()
    assert learned(detector) == 2_275_200
    assert "2 275 200 on texnet_s" in FastFlow.__doc__


def test_kernels_take_turns() -> None:
    def sides(kernels: str) -> list[int]:
        detector = FastFlow(kernels=kernels, flow_steps=4)
        couplings = [part for part in detector.flows[0].parts if isinstance(part, Coupling)]
        assert all(len({conv.kernel_size for conv in c.to_second.net[::2]}) == 1 for c in couplings)
        return [c.to_second.net[0].kernel_size[0] for c in couplings]

    assert sides("3x3") == [3, 3, 3, 3]
    assert sides("3x3-1x1") == [3, 1, 3, 1]


def test_features_are_normalised_image_by_image() -> None:
    """Features are normalised over channels and places image by image."""
    detector = FastFlow(**TINY)
    image = stripes(2, SIZE, seed=1)
    for found, map in zip(detector.described(image), detector.features(image), strict=True):
        for i in range(2):
            expected = (map[i] - map[i].mean()) / (map[i].var(unbiased=False) + 1e-5).sqrt()
            torch.testing.assert_close(found[i], expected, rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_negative_log_likelihood_of_an_image(fitted) -> None:
    image = stripes(3, SIZE, seed=2)
    with torch.no_grad():
        found = float(fitted.loss(Batch({"image": image})))
        expected = 0.0
        for i in range(3):
            for map, flow in zip(fitted.described(image[i : i + 1]), fitted.flows, strict=True):
                (z,), log_det = flow([map])
                expected += (0.5 * float(z.double().square().sum()) - float(log_det)) / 3
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_map_is_the_layers_mean_likelihood_place_by_place(fitted) -> None:
    image = deface(stripes(1, SIZE, seed=4), 0)[0]
    total = torch.zeros(SIZE)
    with torch.no_grad():
        score, map = fitted(image)[:2]
        for features, flow in zip(fitted.described(image), fitted.flows, strict=True):
            (z,), _ = flow([features])
            c, h, w = z.shape[1:]
            grid = torch.zeros(h, w)
            for y in range(h):
                for x in range(w):
                    grid[y, x] = -math.exp(-0.5 * sum(float(v) ** 2 for v in z[0, :, y, x]) / c)
            total += nn.functional.interpolate(grid[None, None], size=SIZE, mode="bilinear")[0, 0] / 3
    torch.testing.assert_close(map[0], total, rtol=1e-4, atol=1e-5)
    assert float(score) == pytest.approx(float(total.max()), rel=1e-4)


def test_the_flows_learn_and_the_frozen_network_does_not(fitted) -> None:
    start = FastFlow(**TINY)
    assert len(fitted.losses) == TINY["steps"]
    assert fitted.losses[-1] < fitted.losses[0]
    for name, value in fitted.features.named_parameters():
        assert torch.equal(value, start.features.get_parameter(name))
    assert all(not torch.equal(v, start.get_parameter(n)) for n, v in fitted.named_parameters() if v.requires_grad)


def test_z_leads_back_to_the_features(fitted) -> None:
    maps = fitted.described(stripes(2, SIZE, seed=5))
    with torch.no_grad():
        for map, flow in zip(maps, fitted.flows, strict=True):
            z, _ = flow([map])
            torch.testing.assert_close(flow.inverse(z)[0], map, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(72, 120), (96, 64)])
def test_any_size(fitted, size) -> None:
    score, map = fitted(stripes(1, size, seed=1))[:2]
    assert map.shape == (1, *size)
    assert score.isfinite().all()


def test_a_transformers_block_is_one_layer() -> None:
    detector = FastFlow("vit_tiny_patch16_224", ["blocks.10"], pretrained=False, flow_steps=1, hidden_ratio=0.16)
    assert [flow.parts[1].raw.numel() for flow in detector.flows] == [192]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernels": "5x5"},
        {"flow_steps": 0},
        {"steps": 0},
        {"hidden_ratio": 0.0},
        {"clamp": 0.0},
        {"lr": -1.0},
        {"weight_decay": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        FastFlow(**wrong)
