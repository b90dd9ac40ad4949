"""Convolutions fused with halving and doubling against the two steps they stand for, derivatives included."""

import pytest
import torch
from torch import Tensor, nn

from blemish.ops.networks.layers import convolve_halve, double_convolve


def layer(kernel: int, *, bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(3, 5, kernel, padding=kernel // 2, bias=bias).double()


def halved(x: Tensor) -> Tensor:
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (8, 2)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_convolve_halve_is_a_convolution_then_a_mean_of_four(kernel, bias, size) -> None:
    conv, x = layer(kernel, bias=bias), torch.randn(2, 3, *size).double()
    torch.testing.assert_close(convolve_halve(x, conv), halved(conv(x)))


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_double_convolve_is_a_repetition_then_a_convolution(bias, size) -> None:
    conv, x = layer(3, bias=bias), torch.randn(2, 3, *size).double()
    torch.testing.assert_close(double_convolve(x, conv), conv(doubled(x)))


@pytest.mark.parametrize(
    ("fused", "steps"),
    [(convolve_halve, lambda x, conv: halved(conv(x))), (double_convolve, lambda x, conv: conv(doubled(x)))],
    ids=["halve", "double"],
)
def test_slopes_and_slopes_of_slopes_are_those_of_the_steps(fused, steps) -> None:
    conv = layer(3)
    parameters = list(conv.parameters())

    def slopes(function) -> tuple[Tensor, ...]:
        torch.manual_seed(2)
        x = torch.randn(2, 3, 4, 4).double().requires_grad_()
        (slope,) = torch.autograd.grad(function(x, conv).pow(3).sum(), x, create_graph=True)  # as a gradient penalty
        return slope, *torch.autograd.grad(slope.square().sum(), [x, *parameters])

    for found, expected in zip(slopes(fused), slopes(steps), strict=True):
        torch.testing.assert_close(found, expected)
