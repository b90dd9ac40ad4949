"""An own torch module as backbone: any of its submodules is a layer, whatever the layout of its output."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from blemish.core.errors import InputError, UnknownName, WeightsError
from blemish.core.learned import loading
from blemish.core.plugins import registered
from blemish.features.frozen import Features, choose_layers, on_meta
from blemish.features.weights import Origin

SIZES = ((224, 448), (448, 672))
"""Two sizes that are shown to a network, to tell in its outputs space from channels; of sides that most patches divide."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet; a network that was trained otherwise says so in its attributes `mean` and `std`."""


def own_features(backbone: str | nn.Module, layers: Sequence[str | int]) -> Features:
    """Return a module of the user's own as a frozen network.

    It gets normalised images (B, 3, H, W): by its attributes `mean` and `std`, three numbers each, or by those of ImageNet.

    Args:
        backbone: The module, or "package.module:callable", which makes it; only that can be saved.
        layers: Names of submodules; strides and negative numbers select among its direct children.

    Returns:
        The network that computes the maps of these layers.

    Raises:
        InputError: the module does not take images, or an output is no map.
        UnknownName: it has no such submodule.
        WeightsError: a saved file names a callable that nobody imported or registered.
    """
    net, name = (backbone, type(backbone).__name__) if isinstance(backbone, nn.Module) else (_made(backbone), backbone)
    net = net.eval()
    names = [child for child, _ in net.named_children()]
    if any(isinstance(layer, int) for layer in layers):
        known = {child: layout for child in names if (layout := _layout(net, child, name)) is not None}
        chosen = choose_layers(layers, list(known), [layout.stride for layout in known.values()], name)
        layers = [list(known)[i] for i in chosen]
    every = [key for key, _ in net.named_modules() if key]
    found: dict[str, Layout] = {}
    for layer in map(str, layers):
        if layer not in every:
            raise UnknownName(f"layer of {name}", layer, every)
        layout = _layout(net, layer, name)
        if layout is None:
            raise InputError(
                f"the output of {layer} of {name} is no map: its size does not follow the image's. Choose another layer, "
                f"for example of {', '.join(names)}."
            )
        found[layer] = layout
    mean, std = (getattr(net, key, usual) for key, usual in (("mean", MEAN), ("std", STD)))
    return Features(
        Hooked(net, found),
        list(found),
        [layout.channels for layout in found.values()],
        [layout.stride for layout in found.values()],
        [float(value) for value in torch.as_tensor(mean).flatten()],
        [float(value) for value in torch.as_tensor(std).flatten()],
        Origin(name),
    )


class Layout(NamedTuple):
    """How the output of a layer is laid out.

    Attributes:
        channels: Channels.
        stride: Pixels of the image between two positions.
        prefix: Tokens that come before those of the positions.
        last: Whether channels come last in an output of four dimensions.
    """

    channels: int
    stride: int
    prefix: int = 0
    last: bool = False


class Hooked(nn.Module):
    """A module whose submodules' outputs are its maps, turned into (B, C, h, w).

    Args:
        module: The module.
        layouts: How the outputs are laid out, by name of the submodule.
    """

    def __init__(self, module: nn.Module, layouts: Mapping[str, Layout]) -> None:
        super().__init__()
        self.module, self.layouts = module, dict(layouts)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps.

        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            One (B, C, h, w) map for each layer.
        """
        kept = outputs(self.module, list(self.layouts), image)
        return [_as_map(kept[name], layout, image) for name, layout in self.layouts.items()]


def outputs(module: nn.Module, layers: Sequence[str], image: Tensor) -> dict[str, Any]:
    """Run a module and return what some of its submodules put out.

    Args:
        module: The module.
        layers: Names of submodules.
        image: Its input.

    Returns:
        Their outputs by name.
    """
    kept: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda _module, _given, output: kept.__setitem__(name, output)

    hooks = [module.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        module(image)
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def _as_map(output: Tensor, layout: Layout, image: Tensor) -> Tensor:
    if output.ndim == 4:
        return output.permute(0, 3, 1, 2).contiguous() if layout.last else output
    size = image.shape[2] // layout.stride, image.shape[3] // layout.stride
    return output[:, layout.prefix :].transpose(1, 2).reshape(len(output), -1, *size).contiguous()


def _made(reference: str) -> nn.Module:
    place, _, name = reference.partition(":")
    if loading.get() and place not in sys.modules and not registered(reference):
        raise WeightsError(
            f"the file names a backbone of another package, {reference}, which is not imported here. If you trust "
            f"it, import {place} first."
        )
    try:
        made = getattr(importlib.import_module(place), name)()
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(
            f"backbone {reference!r} cannot be made: {error}. It must be package.module:callable."
        ) from error
    if not isinstance(made, nn.Module):
        raise InputError(f"backbone {reference!r} returned {type(made).__name__}; it must return a torch module.")
    return made


def _layout(net: nn.Module, layer: str, name: str) -> Layout | None:
    """Return how a layer's output is laid out; None if it is no map."""
    try:
        seen = [_seen(net, layer, size) for size in SIZES]
    except Exception as error:
        raise InputError(
            f"the backbone {name} does not take images (B, 3, H, W) of several sizes: {error}. Two are tried, "
            f"{' and '.join(f'{h} x {w}' for h, w in SIZES)} pixels."
        ) from error
    if not all(isinstance(output, Tensor) and output.ndim in (3, 4) for output in seen):
        return None
    first, second = ([int(side) for side in output.shape[1:]] for output in seen)
    if len(first) == 2:
        return _of_tokens(first, second)
    constant = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a == b]
    if constant not in ([0], [2]):
        return None
    sides = first[1:] if constant == [0] else first[:2]
    stride = round(SIZES[0][0] / sides[0])
    square = round(SIZES[0][1] / sides[1]) == stride
    return Layout(first[constant[0]], stride, last=constant == [2]) if square else None


def _of_tokens(first: list[int], second: list[int]) -> Layout | None:
    """Return the layout of (B, N, C): N is prefix + H * W / patch ** 2, and two sizes tell both."""
    areas = [height * width for height, width in SIZES]
    if first[1] != second[1] or second[0] <= first[0]:
        return None
    patch = round(((areas[1] - areas[0]) / (second[0] - first[0])) ** 0.5)
    prefix = first[0] - areas[0] // patch**2
    fits = prefix >= 0 and second[0] == areas[1] // patch**2 + prefix
    return Layout(first[1], patch, prefix) if fits else None


def _seen(net: nn.Module, layer: str, size: tuple[int, int]) -> Any:
    """Return what a layer puts out, by shape alone: nothing is computed."""
    probe = _Probe(net, layer)
    with torch.no_grad():
        return functional_call(probe, on_meta(probe), (torch.empty(2, 3, *size, device="meta"),))


class _Probe(nn.Module):
    def __init__(self, net: nn.Module, layer: str) -> None:
        super().__init__()
        self.net, self.layer = net, layer

    def forward(self, image: Tensor) -> Any:
        return outputs(self.net, [self.layer], image).get(self.layer)
