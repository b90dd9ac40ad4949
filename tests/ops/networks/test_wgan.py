"""The gradient penalty one sample at a time, and the residual networks block by block."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blemish.ops.networks.wgan import Critic, Generator, Residual, gradient_penalty


def test_gradient_penalty_one_sample_at_a_time() -> None:
    torch.manual_seed(0)
    critic = Critic(8, 2).double()
    real, fake = torch.rand(4, 3, 8, 8).double(), torch.rand(4, 3, 8, 8).double()
    state = torch.get_rng_state()
    found = gradient_penalty(lambda image: critic(image)[0][:, 0], real, fake)
    torch.set_rng_state(state)
    share, total = torch.rand(4, 1, 1, 1), 0.0
    for i in range(4):
        point = real[i] * (1 - share[i]) + fake[i] * share[i]
        jacobian = torch.autograd.functional.jacobian(lambda x: critic(x[None])[0][0, 0], point)
        total += (float(jacobian.square().sum()) ** 0.5 - 1) ** 2 / 4
    assert float(found.detach()) == pytest.approx(total, rel=1e-6)


def test_gradient_penalty_of_a_slope_is_known() -> None:
    slope = torch.tensor([3.0, 4.0, 0.0]).view(3, 1, 1) / 12  # on 8 x 8 cells: norm 5 / 12 * 8
    real, fake = torch.rand(5, 3, 8, 8), torch.rand(5, 3, 8, 8)
    found = gradient_penalty(lambda image: (image * slope).sum((1, 2, 3)), real, fake)
    assert float(found) == pytest.approx((5 / 12 * 8 - 1) ** 2, rel=1e-4)


def test_gradient_penalty_teaches_the_critic() -> None:
    slope = nn.Parameter(torch.full((3, 8, 8), 0.5))
    real = torch.rand(5, 3, 8, 8)
    loss = gradient_penalty(lambda image: (image * slope).sum((1, 2, 3)), real, 1 - real)
    loss.backward()
    norm = slope.detach().norm()
    torch.testing.assert_close(slope.grad, 2 * (norm - 1) * slope.detach() / norm)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_residual_blocks_step_by_step(norm) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)

    def normalise(m: torch.Tensor) -> torch.Tensor:
        over = (0, 2, 3) if norm == "batch" else (1, 2, 3)
        return (m - m.mean(over, keepdim=True)) / (m.var(over, keepdim=True, unbiased=False) + 1e-5).sqrt()

    def pool(m: torch.Tensor) -> torch.Tensor:
        return (m[..., ::2, ::2] + m[..., 1::2, ::2] + m[..., ::2, 1::2] + m[..., 1::2, 1::2]) / 4

    def double(m: torch.Tensor) -> torch.Tensor:
        return m.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def conv(layer: nn.Conv2d, m: torch.Tensor) -> torch.Tensor:
        return F.conv2d(m, layer.weight, layer.bias, padding=layer.weight.shape[-1] // 2)

    down = Residual(4, 5, "down", norm)
    inside = conv(down.conv2, normalise(conv(down.conv1, normalise(x).relu())).relu())
    torch.testing.assert_close(down(x), pool(inside) + conv(down.shortcut, pool(x)), rtol=1e-4, atol=1e-5)
    up = Residual(4, 5, "up", norm)
    inside = conv(up.conv2, normalise(conv(up.conv1, double(normalise(x).relu()))).relu())
    torch.testing.assert_close(up(x), inside + conv(up.shortcut, double(x)), rtol=1e-4, atol=1e-5)


def test_a_critic_looks_at_each_image_by_itself() -> None:
    torch.manual_seed(0)
    critic, images = Critic(16, 2), torch.rand(3, 3, 16, 16)  # in train mode
    together = critic(images)[0]
    torch.testing.assert_close(together, torch.cat([critic(image[None])[0] for image in images]))


def parameters_of_blocks(pairs: list[tuple[int, int]], direction: str) -> int:
    total = 0
    for entering, leaving in pairs:
        inner = leaving if direction == "up" else entering
        total += 2 * entering + 2 * inner  # scales and shifts
        total += 9 * entering * inner + 9 * inner * leaving + leaving + entering * leaving + leaving
    return total


def test_published_ladders() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    down = [(64, 128), (128, 256), (256, 512), (512, 512)]
    up = [(512, 512), (512, 256), (256, 128), (128, 64)]
    last = 512 * 16
    assert count(Critic(64, 64)) == 3 * 64 * 9 + 64 + parameters_of_blocks(down, "down") + last + 1
    first = 128 * last + last
    assert count(Generator(64, 64, 128)) == first + parameters_of_blocks(up, "up") + 2 * 64 + 64 * 3 * 9 + 3


@pytest.mark.parametrize("side", [8, 32, 128])
def test_shapes_at_other_sides(side) -> None:
    outputs, features = Critic(side, 2, out=5)(torch.rand(2, 3, side, side))
    assert outputs.shape == (2, 5)
    assert features.shape == (2, 16 * 2 * min(8, side // 4))
    drawn = Generator(side, 2, 5)(torch.randn(2, 5))
    assert drawn.shape == (2, 3, side, side)
    assert drawn.abs().max() < 1


def test_start_has_the_variances_of_the_reference() -> None:
    torch.manual_seed(0)
    block = Residual(64, 128, "down", "layer").requires_grad_(False)
    assert float(block.conv2.weight.var()) == pytest.approx(4 / (9 * (64 + 128)), rel=0.05)
    assert float(block.shortcut.weight.var()) == pytest.approx(2 / (64 + 128), rel=0.05)
    assert float(block.conv2.bias.abs().max()) == 0
