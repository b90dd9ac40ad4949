"""CS-Flow: the cross-scale network step by step, the sizes, the loss and the scores against the paper's formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.models import CSFlow
from blemish.models.csflow import CrossConvolutions, cross_scale_flow
from parts import Parts, deface, stripes

TINY = {"steps": 40, "layer": 4, "hidden": 16, "lr": 3e-3, "blocks": 3}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> CSFlow:
    return CSFlow(**TINY).fit(Parts(stripes(16, SIZE, seed=0)))


def learned(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def awake(network: nn.Module) -> nn.Module:
    """Give the factors that start at 0 some size, each another."""
    for module in network.modules():
        if isinstance(module, CrossConvolutions):
            nn.init.normal_(module.gain, 0, 0.5)
    return network


def expected_size(channels: int, hidden: int) -> int:
    """Per coupling two networks: 3 convolutions in, 3 + 2 + 2 out, and 3 factors; the last of 4 blocks 5 x 5."""
    half = channels // 2
    return sum(
        2 * (k * k * (3 * half * hidden + 7 * hidden * channels) + 3 * hidden + 7 * channels + 3) for k in (3, 3, 3, 5)
    )


@pytest.mark.parametrize(("channels", "count"), [(128, 115_899_416), (304, 275_227_288)])
def test_the_sizes_of_the_flow(channels, count) -> None:
    with torch.device("meta"):
        found = learned(cross_scale_flow(channels, 4, 1024, 3.0))
    assert found == expected_size(channels, 1024)
    assert found == count
    assert f"{count:,}".replace(",", " ") in CSFlow.__doc__


def test_the_default_is_the_papers() -> None:
    with torch.device("meta"):
        flow = cross_scale_flow(128, 4, 1024, 3.0)
    couplings = [flow.parts[i] for i in (1, 3, 5, 7)]
    assert [c.to_second.into[0].kernel_size for c in couplings] == [(3, 3), (3, 3), (3, 3), (5, 5)]
    assert all((c.clamp, c.kind, c.damping) == (3.0, "arctan", 1.0) and c.to_first is not None for c in couplings)
    defaults = CSFlow(hidden=8).params
    assert (defaults["layer"], defaults["blocks"], defaults["clamp"], defaults["lr"]) == (32, 4, 3.0, 2e-4)


def test_the_cross_scale_network_scale_by_scale() -> None:
    torch.manual_seed(0)
    net = awake(CrossConvolutions(3, 5, 4, 3)).requires_grad_(False)
    maps = [torch.randn(2, 3, 8, 12), torch.randn(2, 3, 4, 6), torch.randn(2, 3, 2, 3)]

    def conv(layer: nn.Conv2d, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return F.conv2d(x, layer.weight, layer.bias, stride, 1)

    def up(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    h0, h1, h2 = (F.leaky_relu(conv(layer, x), 0.1) for layer, x in zip(net.into, maps, strict=True))
    expected = [
        conv(net.same[0], h0) + conv(net.finer[0], up(h1)),
        conv(net.same[1], h1) + conv(net.finer[1], up(h2)) + conv(net.coarser[0], h0, 2),
        conv(net.same[2], h2) + conv(net.coarser[1], h1, 2),
    ]
    for found, wanted, gain in zip(net(maps), expected, net.gain, strict=True):
        torch.testing.assert_close(found, gain * wanted, rtol=1e-4, atol=1e-5)


def test_training_starts_from_the_identity_but_for_the_shuffles() -> None:
    flow = cross_scale_flow(4, 3, 8, 3.0)
    maps = [torch.randn(2, 4, s, s) for s in (4, 2, 1)]
    z, log_det = flow(maps)
    assert torch.equal(log_det, torch.zeros(2))
    for map, out in zip(maps, z, strict=True):
        torch.testing.assert_close(map.sort(1).values, out.sort(1).values)


@pytest.mark.parametrize("sides", [(4, 2, 1), (5, 3, 2)])
def test_the_whole_flow_against_autograds_jacobian_and_back(sides) -> None:
    torch.manual_seed(0)
    flow = awake(cross_scale_flow(2, 2, 4, 3.0)).double().requires_grad_(False)
    sizes = [2 * s * s for s in sides]
    x = torch.randn(sum(sizes), dtype=torch.float64)

    def maps(x: torch.Tensor) -> list[torch.Tensor]:
        return [part.view(1, 2, s, s) for part, s in zip(x.split(sizes), sides, strict=True)]

    jacobian = torch.autograd.functional.jacobian(lambda x: torch.cat([m.flatten() for m in flow(maps(x))[0]]), x)
    z, log_det = flow(maps(x))
    assert float(log_det) == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-6)
    assert abs(float(log_det)) > 1e-3
    assert (jacobian[: sizes[0], sizes[0] :] != 0).any(), "the finest z must see the coarser maps"
    assert (jacobian[sizes[0] + sizes[1] :, : sizes[0]] != 0).any(), "the coarsest z must see the finest map"
    torch.testing.assert_close(torch.cat([m.flatten() for m in flow.inverse(z)]), x)


@pytest.mark.slow
def test_three_sizes_of_the_image(fitted) -> None:
    image = stripes(2, (72, 120), seed=1)
    maps = fitted.described(image)
    assert [tuple(map.shape[2:]) for map in maps] == [(18, 30), (9, 15), (5, 8)]
    half = F.interpolate(image, (36, 60), mode="bilinear", antialias=True)
    torch.testing.assert_close(maps[1], fitted.features(half)[0])
    torch.testing.assert_close(maps[0], fitted.features(image)[0])


def test_loss_and_scores_written_out(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    with torch.no_grad():
        z, log_det = fitted.flow(fitted.described(image))
        score, map = fitted(image)[:2]
        loss = float(fitted.loss(Batch({"image": image})))
    count = 32 * (16 * 16 + 8 * 8 + 4 * 4)
    squares = [sum(float(m[i].double().square().sum()) for m in z) for i in range(2)]
    expected = sum(0.5 * squares[i] - float(log_det[i]) for i in range(2)) / 2 / count
    assert loss == pytest.approx(expected, rel=1e-4)
    for i in range(2):
        assert float(score[i]) == pytest.approx(0.5 * squares[i] / count, rel=1e-4)
    grid = torch.stack([(z[0][:, c] ** 2) for c in range(32)]).sum(0) / 32
    grown = F.interpolate(grid[:, None], size=SIZE, mode="bilinear")[:, 0]
    torch.testing.assert_close(map, grown, rtol=1e-4, atol=1e-4)


def test_the_flow_learns_and_the_frozen_network_does_not(fitted) -> None:
    start = CSFlow(**TINY)
    assert len(fitted.losses) == TINY["steps"]
    assert fitted.losses[-1] < fitted.losses[0]
    for name, value in fitted.named_parameters():
        assert torch.equal(value, start.get_parameter(name)) == name.startswith("features.")


@pytest.mark.parametrize("size", [(72, 120), (75, 65)])
def test_any_size(fitted, size) -> None:
    score, map = fitted(stripes(1, size, seed=1))[:2]
    assert map.shape == (1, *size)
    assert score.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [{"blocks": 0}, {"hidden": 0}, {"clamp": 0.0}, {"steps": 0}, {"lr": 0.0}, {"weight_decay": -1.0}],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        CSFlow(**wrong)
