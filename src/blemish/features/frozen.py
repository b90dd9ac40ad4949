"""Features: a frozen network that turns an image into a list of feature maps and owns its normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from blemish.core.errors import InputError, UnknownName, WeightsError
from blemish.core.saved import tensors_sha256
from blemish.features.blocks import FINAL
from blemish.features.weights import LIMIT, Origin, locate

Precision = Literal["float32", "bfloat16"]
TOGETHER = 2 * 256 * 256  # pixels that a network on the CPU processes in one pass


class Features(nn.Module):
    """RGB in [0, 1], (B, 3, H, W), to one (B, C, H / stride, W / stride) map per layer, shallow layers first.

    Frozen: its parameters require no gradient, and it stays in eval mode whatever `train()` is called with.

    Args:
        net: Network that returns the maps of exactly `layers` for a normalised image.
        layers: Names of the layers.
        channels: Channels of each map.
        strides: Stride of each map, in pixels.
        mean: Mean of the three colours, subtracted from the image.
        std: Standard deviation of the three colours, by which it is divided then.
        origin: Where the network comes from.

    Attributes:
        precision: "bfloat16" lets the network compute in half precision; the maps are float32 all the same, but differ
            by some thousandths.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        layers: Sequence[str],
        channels: Sequence[int],
        strides: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        origin: Origin = Origin(),  # noqa: B008 - it is immutable
    ) -> None:
        super().__init__()
        self.origin = origin
        self.net: nn.Module = net.requires_grad_(False)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as `compute` gives it images
        self.layers, self.channels, self.strides = tuple(layers), tuple(channels), tuple(strides)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.precision: Precision = "float32"
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the layers, from a cache where one is open, see `features.cache`.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One (B, C, H / stride, W / stride) map per layer, in the order of the layers.
        """
        cache = caching.get()
        return self.compute(image) if cache is None else cache(self, image)

    def compute(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the layers as the network computes them now.

        A CPU is given a few images at a time in the channels-last format: the activations between two layers then stay
        in its cache, which makes MobileNetV2 twice as fast, and TexNet no faster (`benchmarks/forward.py`).

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One (B, C, H / stride, W / stride) map per layer, in the order of the layers.
        """
        if torch.compiler.is_compiling():
            return self._pass(image)
        try:
            return self._computed(image)
        except (AssertionError, RuntimeError, ValueError):
            self.check_size(image.shape[2], image.shape[3])  # says it better, where the size is why
            raise

    def _computed(self, image: Tensor) -> list[Tensor]:
        if image.device.type != "cpu":
            return self._pass(image)
        few = max(1, TOGETHER // (image.shape[2] * image.shape[3]))
        parts = [self._pass(some.contiguous(memory_format=torch.channels_last)) for some in torch.split(image, few)]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def _pass(self, image: Tensor) -> list[Tensor]:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            maps: list[Tensor] = self.net((image - self.mean) / self.std)
        return [map.float() for map in maps] if self.precision == "bfloat16" else maps

    def tokens(self, image: Tensor) -> list[Tensor]:
        """Return the maps as lists of their positions, row by row: the patch tokens of a transformer.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            One (B, h * w, C) per layer.
        """
        return [map.flatten(2).transpose(1, 2) for map in self(image)]

    def vector(self, image: Tensor) -> Tensor:
        """Return one global descriptor of each image.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            (B, C): of a transformer what its classifier would get (class token or pooled tokens); of a network without such
            the mean over the positions of its deepest layer here.
        """
        own = getattr(self.net, "vector", None)
        if own is None:
            found: Tensor = self(image)[-1].mean((2, 3))
        else:
            found = own((image - self.mean) / self.std)
        return found

    def check_size(self, height: int, width: int) -> None:
        """Check that the network takes images of a size, without computing anything.

        Args:
            height: In pixels.
            width: In pixels.

        Raises:
            InputError: it does not.
        """
        patch, name = self.origin.patch, self.origin.name or "the backbone"
        if height % patch or width % patch:
            near = sorted({side // patch * patch + more for side in (height, width) for more in (0, patch)} - {0})
            raise InputError(
                f"{name} sees patches of {patch} pixels, and {height} x {width} is no multiple of them. Sizes near it: "
                f"image_size={', '.join(map(str, near))}."
            )
        try:
            with torch.no_grad():
                maps = functional_call(self.net, on_meta(self.net), (torch.empty(1, 3, height, width, device="meta"),))
        except (AssertionError, RuntimeError, ValueError, IndexError) as error:
            size = self.origin.input_size
            own = f" It was trained on {size[0]} x {size[1]}: image_size={size[0]}." if size else ""
            raise InputError(
                f"{name} does not take images of {height} x {width} pixels.{own} It says: {error}"
            ) from error
        wrong = [tuple(map.shape) for map, c in zip(maps, self.channels, strict=True) if map.shape[1] != c]
        if wrong:
            raise InputError(f"{name} gives maps {wrong[0]} for {height} x {width} pixels: channels must be second.")

    @property
    def record(self) -> dict[str, Any]:
        """What is known of the network, as JSON values: name, layers, normalisation, size, licence, source, SHA-256."""
        origin = self.origin
        return {
            "name": origin.name,
            "source": origin.source,
            "license": origin.license,
            "layers": list(self.layers),
            "channels": list(self.channels),
            "strides": list(self.strides),
            "mean": [round(float(value), 6) for value in self.mean.flatten()],
            "std": [round(float(value), 6) for value in self.std.flatten()],
            "interpolation": origin.interpolation,
            "input_size": None if origin.input_size is None else list(origin.input_size),
            "patch": origin.patch,
            "sha256": self.sha256,
        }

    def named(self) -> dict[str, Any] | None:
        """Return by what large weights are found again, so that they need not be saved; None for small ones."""
        size = sum(tensor.nbytes for tensor in self.state_dict().values())
        return self.origin.reference() if size > LIMIT else None

    def find(self, named: Mapping[str, Any], weights: Path | str | None = None) -> dict[str, Tensor]:
        """Find the weights that `named` named.

        Args:
            named: What it returned.
            weights: File or folder of the weights, see `features.weights.locate`.

        Returns:
            The network's state.

        Raises:
            WeightsError: they cannot be found, or are others.
        """
        if self.origin.load is None:
            raise WeightsError(f"the file names weights of {named.get('backbone')}, but {self.origin.name} has none.")
        place = locate(named, weights)
        net = self.origin.load(place)
        self.origin = replace(self.origin, file=place)
        return {**self.state_dict(), **{f"net.{key}": value for key, value in net.state_dict().items()}}

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: the statistics of a frozen network never change.

        Args:
            mode: Ignored.

        Returns:
            The network itself.
        """
        return super().train(False)

    @property
    def sha256(self) -> str:
        """The hash of the weights: names, shapes, types and values, in the order of the names."""
        return tensors_sha256(self.state_dict())


caching: ContextVar[Callable[[Features, Tensor], list[Tensor]] | None] = ContextVar("caching", default=None)
"""The cache that is open, if any; it must return what `Features.compute` returns."""


def on_meta(net: nn.Module) -> dict[str, Tensor]:
    """Return a network's tensors without values, to see shapes without computing anything.

    Args:
        net: The network.

    Returns:
        Tensors on torch's "meta" device by name, for `torch.func.functional_call`.
    """
    return {name: tensor.to("meta") for name, tensor in (*net.named_parameters(), *net.named_buffers())}


def choose_layers(
    wanted: Sequence[str | int], names: Sequence[str], strides: Sequence[int], backbone: str
) -> list[int]:
    """Find layers of a network by name or stride.

    Args:
        wanted: Names, strides, or negative numbers: a stride selects the last layer of that stride, -1 the last
            block ("norm", what the head gets of it, has that name only).
        names: Names of the network's layers, shallow layers first.
        strides: Their strides, in pixels.
        backbone: The network's name, for messages.

    Returns:
        The indices of the layers, in the network's order.

    Raises:
        UnknownName: no layer has such a name or stride.
        InputError: no layer is named, or one twice.
    """
    known = [f"{name} (stride {stride})" for name, stride in zip(names, strides, strict=True)]
    found: list[int] = []
    for layer in wanted:
        against: Sequence[str | int] = strides if isinstance(layer, int) else names
        indices = [i for i, value in enumerate(against) if value == layer]
        blocks = len(names) - (list(names[-1:]) == [FINAL])
        if isinstance(layer, int) and -blocks <= layer < 0:
            indices = [blocks + layer]
        if not indices:
            hint = f"Layers of {backbone} with their strides: {', '.join(known)}."
            raise UnknownName("layer", str(layer), names, hint)
        found.append(indices[-1])
    if not found or len(set(found)) < len(found):
        raise InputError(f"layers {list(wanted)} of {backbone}: name at least one, and none twice. Known: {known}.")
    return sorted(found)
