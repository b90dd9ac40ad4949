"""TexNet: the embedded backbone, trained on procedurally drawn materials; no photograph was involved.

A residual network of four stages (He et al., "Deep residual learning for image recognition", CVPR 2016, basic blocks).
Its outputs are not the stages' rectified maps but a linear 1 x 1 projection of each (a neck, like the linear
bottlenecks of Sandler et al., "MobileNetV2", CVPR 2018): fewer numbers, balanced against one another in training, so
that their Euclidean distance is meaningful. Stage 3's map also carries what stage 4 sees around each position, enlarged
(the top-down path of Lin et al., "Feature Pyramid Networks", CVPR 2017): a broad defect is a defect of the
surroundings, and a stage as coarse as the fourth costs next to nothing. `tools/texnet/train.py` trains it; batch norms
are folded into the convolutions, so the shipped network is convolutions, ReLUs, means and sums: nothing has a state
that could drift.

Wherever a map gets coarser it is smoothed first, after the ReLU (Zhang, "Making convolutional networks shift-invariant
again", ICML 2019); otherwise a fine texture looks different on its even and on its odd pixels, and PatchCore takes that
for novelty. Zhang computes the map at all positions for that, we at half of them: see `Smooth`.

    texnet_s   stride   inside   blocks   neck   map        texnet_m   inside   blocks   neck   map
    stage1          4       48        1     32    32                       64        1     48    48
    stage2          8       96        2     64    64                      128        2     96    96
    stage3         16      128        4    128   192                      224        5    192   288
    stage4         32      128        1    128   128                      256        1    192   192
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from blemish.core.errors import InputError, UnknownName, WeightsError
from blemish.core.learned import loading
from blemish.core.saved import tensors_sha256
from blemish.features.frozen import Features, choose_layers
from blemish.features.weights import Origin

STAGES = ("stage1", "stage2", "stage3", "stage4")
STRIDES: dict[str, int] = {"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32}
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Size:
    """How wide and deep a TexNet is; tuples have one value per stage.

    Attributes:
        stem: Channels of the first convolution, whose stride is 2.
        inside: Channels of the residual blocks.
        blocks: Number of residual blocks.
        necks: Channels of the projections.
    """

    stem: int
    inside: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    necks: tuple[int, int, int, int]

    @property
    def ranked(self) -> int:
        """Number of channels of stage 3's map that stages 3 and 4 share: those trained to rank patches."""
        return self.necks[2] // 2

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the returned maps."""
        first, second, third, fourth = self.necks
        return first, second, third + fourth - self.ranked, fourth


SIZES: dict[str, Size] = {
    "texnet_s": Size(32, (48, 96, 128, 128), (1, 2, 4, 1), (32, 64, 128, 128)),
    "texnet_m": Size(40, (64, 128, 224, 256), (1, 2, 5, 1), (48, 96, 192, 192)),
}
SHIPPED = ("texnet_s",)
"""Sizes whose weights are in the package; the others are made by `tools/texnet/train.py --net NAME`."""


class Smooth(nn.Module):
    """A convolution of stride 2, with what follows it, that depends little on the pixels on which the stride falls.

    The output is the mean of two terms: the result at the position of even row and even column, and the mean of the
    four at the diagonally adjacent positions of odd row and odd column. That is a smoothing on the quincunx lattice,
    for the price of two layers; the binomial filter (1 2 1) of Zhang needs the result at all positions, for the price
    of four. Beyond the border are zeros, as for the convolution.

    Args:
        layer: The convolution and the modules that follow it.
    """

    def __init__(self, layer: nn.Sequential) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the smoothed output.

        Args:
            x: (B, inside, H, W).

        Returns:
            (B, outside, ceil(H / 2), ceil(W / 2)).
        """
        first, *others = self.layer
        convolution = cast(nn.Conv2d, first)
        border = convolution.kernel_size[0] // 2
        on = F.conv2d(x, convolution.weight, convolution.bias, 2, border)
        beside = F.conv2d(x, convolution.weight, convolution.bias, 2, border + 1)  # starts at row -1, column -1
        for module in others:
            on, beside = module(on), module(beside)
        return torch.lerp(on, F.avg_pool2d(beside, 2, 1), 0.5)


class Block(nn.Module):
    """Two 3 x 3 convolutions in parallel with a shortcut.

    Args:
        inside: Input channels.
        outside: Output channels.
        stride: Stride of the first convolution, 1 or 2.
        norm: Whether a batch norm follows each convolution.
    """

    def __init__(self, inside: int, outside: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.opening = _strided(nn.Sequential(*_convolution(inside, outside, 3, stride, norm), self.relu))
        self.second = _convolution(outside, outside, 3, 1, norm)
        plain = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if plain else _strided(_convolution(inside, outside, 1, stride, norm))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the block.

        Args:
            x: (B, inside, H, W).

        Returns:
            (B, outside, ceil(H / stride), ceil(W / stride)), not negative.
        """
        inside = self.second(self.opening(x))
        inside += self.shortcut(x)
        out: Tensor = self.relu(inside)
        return out


class TexNet(nn.Module):
    """Normalised RGB, `(image - MEAN) / STD`, to the maps of the chosen stages, shallow stages first.

    Only the stages that these maps need are built, and only their necks.

    Args:
        size: Width and depth.
        stages: Names from `STAGES`.
        norm: Whether a batch norm follows each convolution; for training only, `tools/texnet/train.py` folds them away.

    Raises:
        UnknownName: there is no such stage.
        InputError: no stage is named.
    """

    def __init__(self, size: Size, stages: Sequence[str] = STAGES, *, norm: bool = False) -> None:
        super().__init__()
        for stage in stages:
            if stage not in STAGES:
                raise UnknownName("stage", stage, STAGES)
        if not stages:
            raise InputError(f"no stage of texnet is wanted; name at least one of {', '.join(STAGES)}")
        self.size, self.stages = size, tuple(stage for stage in STAGES if stage in stages)
        self.stem = Smooth(nn.Sequential(*_convolution(3, size.stem, 3, 2, norm), nn.ReLU(inplace=True)))
        width = size.stem
        for i, stage in enumerate(self._built()):
            inside = size.inside[i]
            blocks = [Block(inside if n else width, inside, 1 if n else 2, norm) for n in range(size.blocks[i])]
            self.add_module(stage, nn.Sequential(*blocks))
            if stage in self._projected():
                self.add_module(f"{stage}_neck", _convolution(inside, size.necks[i], 1, 1, norm))
            width = inside
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of `self.stages`.

        Args:
            image: (B, 3, H, W), normalised (`Features` does that).

        Returns:
            One (B, size.channels[i], H / stride, W / stride) map per stage; sides that do not divide are rounded up.
        """
        maps = self.projections(image)
        if "stage3" in self.stages:
            maps["stage3"] = self.with_context(maps["stage3"], maps["stage4"])
        return [maps[stage] for stage in self.stages]

    def projections(self, image: Tensor) -> dict[str, Tensor]:
        """Return the projections that the necks make of their stages.

        Args:
            image: (B, 3, H, W), normalised.

        Returns:
            One (B, size.necks[i], H / stride, W / stride) map per stage, by its name.
        """
        x = self.stem(image)
        maps = {}
        for stage in self._built():
            x = self.get_submodule(stage)(x)
            if stage in self._projected():
                maps[stage] = self.get_submodule(f"{stage}_neck")(x)
        return maps

    def with_context(self, third: Tensor, fourth: Tensor) -> Tensor:
        """Return stage 3's map.

        Stage 4's projection, enlarged, is added to the ranked channels and appended beyond them.

        Args:
            third: (B, size.necks[2], h, w) projection of stage 3.
            fourth: (B, size.necks[3], about h / 2, about w / 2) projection of stage 4.

        Returns:
            (B, size.channels[2], h, w).
        """
        ranked = self.size.ranked
        around = F.interpolate(fourth, third.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([third[:, :ranked] + around[:, :ranked], third[:, ranked:], around[:, ranked:]], 1)

    def _projected(self) -> tuple[str, ...]:
        return (*self.stages, "stage4") if "stage3" in self.stages else self.stages

    def _built(self) -> tuple[str, ...]:
        return STAGES[: 1 + max(STAGES.index(stage) for stage in self._projected())]


def texnet(name: str = "texnet_s", weights: bool = True, stages: Sequence[str] = STAGES) -> TexNet:
    """Return a TexNet in eval mode, float32.

    Args:
        name: One of `SIZES`.
        weights: Whether to load the shipped weights; otherwise they are random.
        stages: Names from `STAGES`.

    Returns:
        The network, without batch norms.

    Raises:
        WeightsError: the package holds no weights of this size, or the installed file is absent or damaged.
    """
    net = TexNet(SIZES[name], stages).eval()
    if weights:
        if name not in SHIPPED:
            raise WeightsError(
                f"weights of {name} are not in the package. Make them with `python tools/texnet/train.py --net {name}` "
                f"and give weights='path/to/{name}.safetensors', or use the embedded {SHIPPED[0]}."
            )
        with resources.as_file(resources.files("blemish.features") / "weights" / f"{name}.safetensors") as path:
            load_weights(net, path)
    return net


def texnet_features(name: str, layers: Sequence[str | int], weights: str | None, pretrained: bool) -> Features:
    """Return a frozen TexNet; see `features.extractor`.

    Args:
        name: One of `SIZES`.
        layers: Names of stages, or strides.
        weights: A .safetensors file written by `tools/texnet/train.py`; None for the shipped one.
        pretrained: False gives random weights.

    Returns:
        The network that computes the maps of these stages.

    Raises:
        UnknownName: no such stage or stride.
        WeightsError: the weights are absent, damaged, or belong to another network.
    """
    at = choose_layers(layers, STAGES, list(STRIDES.values()), name)
    chosen = [STAGES[i] for i in at]
    wanted = pretrained and not loading.get()
    net = texnet(name, wanted and weights is None, chosen)
    if wanted and weights is not None:
        load_weights(net, Path(weights))
    source = "random" if not pretrained else "embedded" if weights is None else str(weights)
    origin = Origin(name, source, "Apache-2.0", "bilinear")
    return Features(net, chosen, [net.size.channels[i] for i in at], [STRIDES[s] for s in chosen], MEAN, STD, origin)


def load_weights(net: TexNet, path: Path) -> None:
    """Load a file's float16 weights as float32.

    Args:
        net: The network, changed in place; stages that it was built without are left out.
        path: A .safetensors file written by `tools/texnet/train.py`.

    Raises:
        WeightsError: the file cannot be read, its hash does not match its values, or a weight is absent or differs in
            shape.
    """
    tensors, metadata = read_weights(path)
    if metadata.get("sha256") != tensors_sha256(tensors):
        raise WeightsError(
            f"weights {path}: the values do not match the hash in the file. Install the package or copy the file again."
        )
    needed = net.state_dict()
    wrong = [k for k, v in needed.items() if k not in tensors or tensors[k].shape != v.shape]
    if wrong:
        raise WeightsError(
            f"weights {path} do not belong to this size of texnet: {len(wrong)} of {len(needed)} tensors are absent or of "
            f"another shape, the first is {wrong[0]}. Give a file written by tools/texnet/train.py of this version."
        )
    net.load_state_dict({key: tensors[key].float() for key in needed})


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a .safetensors file.

    Args:
        path: The file.

    Returns:
        The tensors as stored, and the metadata.

    Raises:
        WeightsError: there is no such file, or it is not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, dict(file.metadata() or {})
    except FileNotFoundError as error:
        raise WeightsError(f"weights {path} do not exist. Check the path, or install the package again.") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights {path} are not a readable safetensors file: {error}. Copy it again.") from error


def _convolution(inside: int, outside: int, kernel: int, stride: int, norm: bool) -> nn.Sequential:
    layer = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=not norm)
    return nn.Sequential(layer, nn.BatchNorm2d(outside)) if norm else nn.Sequential(layer)


def _strided(layer: nn.Sequential) -> nn.Module:
    """Return the layer, made smooth if its convolution skips positions."""
    return layer if cast(nn.Conv2d, layer[0]).stride == (1, 1) else Smooth(layer)
