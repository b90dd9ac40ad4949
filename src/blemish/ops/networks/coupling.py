"""Normalising flows from coupling layers: maps one can follow in both directions, with the volume they stretch.

A flow turns x into z = f(x), so that z looks like noise from N(0, 1) whenever x is good. By the change of variables

    log p(x) = -|z|² / 2 - (d / 2) log 2π + log |det df/dx|

Coupling layers make the determinant cheap (Dinh et al., "Density estimation using Real NVP", ICLR 2017): half of the
channels pass, and say how the other half is scaled and shifted. Between them the channels are mixed by something whose
determinant is known. Everything here works on a list of maps, each (N, C, ...): one vector, one feature map, or the same
features at several scales, which the couplings then transform together. Log-determinants are (N,), one an example, in
natural logarithms, summed over all maps.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Maps = list[Tensor]
Clamp = Literal["arctan", "tanh"]
Subnet = Callable[[int, int], nn.Module]
"""Makes the network of a coupling from its channels in and out; it is called with (maps, condition), answers maps."""


class Bijection(nn.Module, ABC):
    """One invertible step of a flow."""

    @abstractmethod
    def forward(self, maps: Maps, condition: Tensor | None = None) -> tuple[Maps, Tensor]:
        """Transform the maps.

        Args:
            maps: One or several maps, (N, C, H, W) each.
            condition: What the transformation depends on besides, (N, C', H, W); None where it depends on nothing.

        Returns:
            The transformed maps and the log-determinant, (N,).
        """

    @abstractmethod
    def inverse(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Undo `forward`.

        Args:
            maps: What `forward` returned.
            condition: As in `forward`.

        Returns:
            The maps that `forward` turns into these.
        """


class Flow(Bijection):
    """Bijections one after another.

    Args:
        parts: The bijections, first to last.
    """

    def __init__(self, parts: Iterable[Bijection]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, maps: Maps, condition: Tensor | None = None) -> tuple[Maps, Tensor]:
        """Return z and the sum of the parts' log-determinants, (N,)."""
        total = maps[0].new_zeros(maps[0].shape[0])
        for part in self.parts:
            maps, log_det = part(maps, condition)
            total = total + log_det
        return maps, total

    def inverse(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Return x for z, the parts undone from last to first."""
        for part in reversed(self.parts):
            assert isinstance(part, Bijection)  # noqa: S101 - nn.ModuleList forgets what it holds
            maps = part.inverse(maps, condition)
        return maps


class Coupling(Bijection):
    """Affine coupling: a half of the channels decides how the other is scaled and shifted.

    Args:
        channels: Channels of the map; the first half has one more where the number is odd.
        subnet: Makes the networks, given channels in and out.
        clamp: Limit of the scale's logarithm, see `soft_clamp`.
        kind: How it is clamped.
        damping: Multiplies what the networks answer.
        both: Whether the second half has moved the first before (Glow's way of writing it).
    """

    def __init__(
        self, channels: int, subnet: Subnet, *, clamp: float, kind: Clamp, damping: float = 1.0, both: bool = False
    ) -> None:
        super().__init__()
        self.clamp, self.kind, self.damping = clamp, kind, damping
        self.sizes = (channels - channels // 2, channels // 2)
        first, second = self.sizes
        self.to_second = subnet(first, 2 * second)
        self.to_first = subnet(second, 2 * first) if both else None

    def forward(self, maps: Maps, condition: Tensor | None = None) -> tuple[Maps, Tensor]:
        """Scale and shift; the log-determinant is the sum of the logarithms of the scales."""
        first, second = self._halves(maps)
        log_det = maps[0].new_zeros(maps[0].shape[0])
        if self.to_first is not None:
            scales, shifts = self._said(self.to_first, second, condition)
            first = [x * s.exp() + t for x, s, t in zip(first, scales, shifts, strict=True)]
            log_det = log_det + _total(scales)
        scales, shifts = self._said(self.to_second, first, condition)
        second = [x * s.exp() + t for x, s, t in zip(second, scales, shifts, strict=True)]
        return _joined(first, second), log_det + _total(scales)

    def inverse(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Undo: what decided is still there to decide again."""
        first, second = self._halves(maps)
        scales, shifts = self._said(self.to_second, first, condition)
        second = [(y - t) * (-s).exp() for y, s, t in zip(second, scales, shifts, strict=True)]
        if self.to_first is not None:
            scales, shifts = self._said(self.to_first, second, condition)
            first = [(y - t) * (-s).exp() for y, s, t in zip(first, scales, shifts, strict=True)]
        return _joined(first, second)

    def _halves(self, maps: Maps) -> tuple[Maps, Maps]:
        halves = [torch.tensor_split(map, [self.sizes[0]], dim=1) for map in maps]
        return [half[0] for half in halves], [half[1] for half in halves]

    def _said(self, net: nn.Module, maps: Maps, condition: Tensor | None) -> tuple[Maps, Maps]:
        both = [(self.damping * said).chunk(2, dim=1) for said in net(maps, condition)]
        return [soft_clamp(s, self.clamp, self.kind) for s, _ in both], [t for _, t in both]


class Alone(nn.Module):
    """A coupling's network for flows of one map.

    Args:
        net: Sees the map and, behind its channels, the condition's.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Answer for the one map in the list.

        Args:
            maps: One map, in a list.
            condition: (N, C', H, W), or None.

        Returns:
            One map, in a list.
        """
        (map,) = maps
        return [self.net(map if condition is None else torch.cat([map, condition], dim=1))]


class Permutation(Bijection):
    """The channels in another order, drawn once for each map; the volume does not change.

    Args:
        channels: Channels of every map.
        maps: How many maps.
    """

    orders: Tensor  # (maps, C) int64

    def __init__(self, channels: int, maps: int = 1) -> None:
        super().__init__()
        self.register_buffer("orders", torch.stack([torch.randperm(channels) for _ in range(maps)]))

    def forward(self, maps: Maps, condition: Tensor | None = None) -> tuple[Maps, Tensor]:
        """Reorder."""
        moved = [map.index_select(1, order) for map, order in zip(maps, self.orders, strict=True)]
        return moved, maps[0].new_zeros(maps[0].shape[0])

    def inverse(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Order as before."""
        return [map.index_select(1, order.argsort()) for map, order in zip(maps, self.orders, strict=True)]


class Rotation(Bijection):
    """The channels rotated by an orthogonal matrix, drawn once (a "soft permutation"); the volume does not change.

    Args:
        channels: Channels of the map.
    """

    matrix: Tensor  # (C, C)

    def __init__(self, channels: int) -> None:
        super().__init__()
        q, r = torch.linalg.qr(torch.randn(channels, channels))
        self.register_buffer("matrix", q * r.diagonal().sign())  # with these signs all rotations are equally likely

    def forward(self, maps: Maps, condition: Tensor | None = None) -> tuple[Maps, Tensor]:
        """Rotate."""
        return [_mixed(self.matrix, map) for map in maps], maps[0].new_zeros(maps[0].shape[0])

    def inverse(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Rotate back: the inverse is the transpose."""
        return [_mixed(self.matrix.T, map) for map in maps]


class Scaling(Bijection):
    """A learned positive factor and a learned shift for each channel (Glow's "actnorm", started at 1 and 0).

    The factor is a tenth of a softplus of sharpness 1/2, as in FrEIA.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.full((channels,), 2 * math.log(math.expm1(5.0))))  # a factor of 1
        self.shift = nn.Parameter(torch.zeros(channels))

    def factor(self) -> Tensor:
        """Return the factors, (C,)."""
        return 0.1 * F.softplus(self.raw, beta=0.5)

    def forward(self, maps: Maps, condition: Tensor | None = None) -> tuple[Maps, Tensor]:
        """Scale and shift; every place of a map adds the logarithms of the factors."""
        places = sum(map[0, 0].numel() for map in maps)
        log_det = places * self.factor().log().sum()
        moved = [map * _along(self.factor(), map) + _along(self.shift, map) for map in maps]
        return moved, log_det.expand(maps[0].shape[0])

    def inverse(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        """Undo shift and scale."""
        return [(map - _along(self.shift, map)) / _along(self.factor(), map) for map in maps]


def soft_clamp(s: Tensor, limit: float, kind: Clamp) -> Tensor:
    """Return s bent smoothly into (-limit, limit).

    "arctan": limit · (2/π) · arctan(s / limit), which is about 0.64 s near 0 (DifferNet, CS-Flow); "tanh": limit · tanh(s)
    (FrEIA's AllInOneBlock: FastFlow, CFLOW, which damp s before).

    Args:
        s: Any shape.
        limit: Above 0.
        kind: "arctan" or "tanh".

    Returns:
        As `s`.
    """
    if kind == "arctan":
        return limit * (2 / math.pi) * torch.atan(s / limit)
    return limit * torch.tanh(s)


def surprise(maps: Maps, log_det: Tensor) -> Tensor:
    """Return -log p(x), (N,), without its constant (d / 2) log 2π: half of |z|² less the log-determinant.

    Args:
        maps: The flow's output, (N, C, H, W) each.
        log_det: The log-determinant, (N,).

    Returns:
        (N,), in nats; higher is less likely.
    """
    return _total([0.5 * map.square() for map in maps]) - log_det


def _total(maps: Maps) -> Tensor:
    """Sum over all maps and everything but the examples, (N,)."""
    return torch.stack([map.flatten(1).sum(1) for map in maps]).sum(0)


def _joined(first: Maps, second: Maps) -> Maps:
    return [torch.cat(halves, dim=1) for halves in zip(first, second, strict=True)]


def _along(values: Tensor, map: Tensor) -> Tensor:
    """Shape (C,) values so that they meet the channels of a (N, C, ...) map."""
    return values.view(1, -1, *[1] * (map.ndim - 2))


def _mixed(matrix: Tensor, map: Tensor) -> Tensor:
    return torch.einsum("oc,nc...->no...", matrix, map)
