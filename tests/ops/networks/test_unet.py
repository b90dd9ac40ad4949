"""The U-Net of diffusion models: its parts against loops, its published size, and what begins at 0."""

import math

import pytest
import torch
from torch import nn

from blemish.ops.networks.unet import Attention, Residual, UNet, norm, time_embedding


def shaken(module: nn.Module) -> nn.Module:
    """The module with small random weights everywhere, for some begin at 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator) + (parameter.ndim == 1))
    return module.double()


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_time_embedding_is_the_loop() -> None:
    found = time_embedding(torch.tensor([0, 3, 999]), 12)
    for row, t in zip(found, (0, 3, 999), strict=True):
        for i in range(6):
            angle = t / 10_000 ** (i / 6)
            assert float(row[i]) == pytest.approx(math.sin(angle), abs=1e-4)
            assert float(row[6 + i]) == pytest.approx(math.cos(angle), abs=1e-4)
    assert len(time_embedding(torch.arange(1000), 128).unique(dim=0)) == 1000


def parameters(width: int, multipliers: tuple[int, ...], attention: tuple[int, ...], channels: int) -> int:
    """The published network's size, level by level."""
    time = 4 * width

    def residual(i: int, o: int) -> int:
        shortcut = 0 if i == o else i * o + o
        return 2 * i + (9 * i * o + o) + (time * o + o) + 2 * o + (9 * o * o + o) + shortcut

    def attend(c: int) -> int:
        return 2 * c + (3 * c * c + 3 * c) + (c * c + c)

    total = (width * time + time) + (time * time + time) + (9 * channels * width + width)
    handed, c = [width], width
    for level, m in enumerate(multipliers):
        for _ in range(2):
            total += residual(c, width * m) + (attend(width * m) if 2**level in attention else 0)
            c = width * m
            handed.append(c)
        if level < len(multipliers) - 1:
            total += residual(c, c)
            handed.append(c)
    total += 2 * residual(c, c) + attend(c)
    for level, m in reversed(list(enumerate(multipliers))):
        for i in range(3):
            total += residual(c + handed.pop(), width * m) + (attend(width * m) if 2**level in attention else 0)
            c = width * m
            total += residual(c, c) if level and i == 2 else 0
    return total + 2 * c + (9 * c * channels + channels)


@pytest.mark.parametrize(
    ("width", "multipliers", "attention", "channels"),
    [(128, (1, 1, 2, 2, 4, 4), (16, 32), 3), (16, (1, 2, 3), (1, 4), 1), (8, (1,), (), 3)],
)
def test_size_of_the_published_network(width, multipliers, attention, channels) -> None:
    with torch.device("meta"):
        network = UNet(channels, width, multipliers, attention=attention)
    assert sum(p.numel() for p in network.parameters()) == parameters(width, multipliers, attention, channels)


def test_maps_halve_and_double() -> None:
    """The size of the map after each stage, and how many channels each has."""
    network, seen = UNet(3, 8, (1, 2, 4), attention=(4,)), []
    for stage in (*network.down, network.middle, *network.up):
        stage.register_forward_hook(lambda module, into, out: seen.append((out.shape[1], *out.shape[2:])))
    assert network(torch.zeros(2, 3, 16, 24), torch.tensor([0, 5])).shape == (2, 3, 16, 24)
    one, two, four = (8, 16, 24), (16, 8, 12), (32, 4, 6)
    down = [one, one, (8, 8, 12), two, two, (16, 4, 6), four, four]
    up = [four, four, (32, 8, 12), two, two, (16, 16, 24), one, one, one]
    assert seen == [*down, four, *up]
    attends = [any(isinstance(m, Attention) for m in stage) for stage in (*network.down, network.middle, *network.up)]
    assert attends == [False] * 6 + [True] * 2 + [True] + [True] * 3 + [False] * 6


def test_it_begins_at_zero_and_hears_image_and_time() -> None:
    network = UNet(3, 8, (1, 2), attention=(2,))
    x, t = torch.rand(2, 3, 8, 8), torch.tensor([3, 3])
    assert not network(x, t).any()
    network, x = shaken(network), x.double()
    found = network(x, t)
    assert not torch.allclose(found, network(x, torch.tensor([4, 40])))
    assert not torch.allclose(found[0], found[1])
    torch.testing.assert_close(network(x[:1], t[:1]), found[:1])


@pytest.mark.parametrize("resize", [0.5, 1.0, 2.0])
def test_a_residual_block_step_by_step(resize) -> None:
    block = shaken(Residual(8, 12, 5, resize=resize))
    x, time = rand(2, 8, 6, 4), rand(2, 5)

    def resized(m: torch.Tensor) -> torch.Tensor:
        if resize == 2:
            return m.repeat_interleave(2, 2).repeat_interleave(2, 3)
        if resize == 0.5:
            return (m[:, :, ::2, ::2] + m[:, :, 1::2, ::2] + m[:, :, ::2, 1::2] + m[:, :, 1::2, 1::2]) / 4
        return m

    def silu(m: torch.Tensor) -> torch.Tensor:
        return m / (1 + (-m).exp())

    h = block.conv_in(resized(silu(block.norm_in(x))))
    h = h + (silu(time) @ block.told.weight.T + block.told.bias)[:, :, None, None]
    h = block.conv_out(silu(block.norm_out(h)))
    expected = h + block.shortcut(resized(x))
    torch.testing.assert_close(block(x, time), expected)
    assert expected.shape == (2, 12, int(6 * resize), int(4 * resize))


def test_attention_is_the_loop_over_places() -> None:
    block = shaken(Attention(8, heads=2))
    x = rand(1, 8, 3, 2)
    asked = block.ask(block.norm(x)).flatten(2)[0].T  # 6 places, 24
    found = torch.zeros(6, 8, dtype=torch.float64)
    for head in range(2):
        q, k, v = (asked[:, 12 * head + 4 * part : 12 * head + 4 * part + 4] for part in range(3))
        for i in range(6):
            weights = torch.stack([(q[i] @ k[j] / math.sqrt(4)).exp() for j in range(6)])
            found[i, 4 * head : 4 * head + 4] = (weights[:, None] * v).sum(0) / weights.sum()
    expected = x + block.tell(found.T.view(1, 8, 3, 2))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("channels", "groups"), [(128, 32), (256, 32), (640, 32), (64, 16), (24, 2), (8, 2), (4, 1)])
def test_groups(channels, groups) -> None:
    assert norm(channels).num_groups == groups
