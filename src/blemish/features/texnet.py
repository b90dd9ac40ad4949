"""TexNet: the embedded backbone, learned from procedurally drawn materials; no photograph was involved.

A residual network of four stages (He et al., "Deep residual learning for image recognition", CVPR 2016, basic blocks).
What it gives is not the stages' rectified maps but a linear 1 x 1 projection of each (a neck, like the linear bottlenecks
of Sandler et al., "MobileNetV2", CVPR 2018): fewer numbers, balanced against one another in training, so that their
Euclidean distance means something. Stage 3's map also carries what stage 4 sees around each place, enlarged (the top-down
path of Lin et al., "Feature Pyramid Networks", CVPR 2017): a broad fault is a fault of the surroundings, and a stage as
coarse as the fourth costs next to nothing. `tools/texnet/train.py` trains it; batch norms are folded into the
convolutions, so the shipped network is convolutions, ReLUs, means and sums: nothing has a state that could drift.

Wherever a map gets coarser it is smoothed first, after the ReLU (Zhang, "Making convolutional networks shift-invariant
again", ICML 2019); else a fine texture looks different on its even and on its odd pixels, and PatchCore takes that for
novelty. We do not compute the map everywhere for that, as he does, but at half the places: see `Smooth`.

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

from blemish.core.detector import loading, tensors_sha256
from blemish.core.errors import InputError, UnknownName, WeightsError
from blemish.features.frozen import Features, choose_layers

STAGES = ("stage1", "stage2", "stage3", "stage4")
STRIDES: dict[str, int] = {"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32}
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Size:
    """How wide and deep a TexNet is, stage by stage."""

    stem: int  # channels of the first convolution, stride 2
    inside: tuple[int, int, int, int]  # channels of the residual blocks
    blocks: tuple[int, int, int, int]
    necks: tuple[int, int, int, int]  # channels of the projections

    @property
    def ranked(self) -> int:
        """How many channels of stage 3's map stages 3 and 4 share: those trained to rank patches."""
        return self.necks[2] // 2

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the maps that are given out."""
        first, second, third, fourth = self.necks
        return first, second, third + fourth - self.ranked, fourth


SIZES: dict[str, Size] = {
    "texnet_s": Size(32, (48, 96, 128, 128), (1, 2, 4, 1), (32, 64, 128, 128)),
    "texnet_m": Size(40, (64, 128, 224, 256), (1, 2, 5, 1), (48, 96, 192, 192)),
}
SHIPPED = ("texnet_s",)
"""Sizes whose weights lie in the package; the others are made by `tools/texnet/train.py --net NAME`."""


class Smooth(nn.Module):
    """A convolution of stride 2, and what follows it, that hardly minds on which pixels the stride falls.

    Half of the answer at every place of even row and even column, half of the mean of the four at the odd places diagonally
    beside it. That is a smoothing on the quincunx lattice, for the price of two layers; the binomial filter (1 2 1) of
    Zhang's needs the answer at all places, for the price of four. Beyond the border are zeros, as for the convolution.
    """

    def __init__(self, layer: nn.Sequential) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) -> (B, outside, ceil(H / 2), ceil(W / 2))."""
        first, *others = self.layer
        convolution = cast(nn.Conv2d, first)
        border = convolution.kernel_size[0] // 2
        on = F.conv2d(x, convolution.weight, convolution.bias, 2, border)
        beside = F.conv2d(x, convolution.weight, convolution.bias, 2, border + 1)  # begins at row -1, column -1
        for module in others:
            on, beside = module(on), module(beside)
        return torch.lerp(on, F.avg_pool2d(beside, 2, 1), 0.5)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the first takes the stride, 1 or 2."""

    def __init__(self, inside: int, outside: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.opening = _strided(nn.Sequential(*_convolution(inside, outside, 3, stride, norm), self.relu))
        self.second = _convolution(outside, outside, 3, 1, norm)
        plain = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if plain else _strided(_convolution(inside, outside, 1, stride, norm))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) -> (B, outside, ceil(H / stride), ceil(W / stride)), not negative."""
        inside = self.second(self.opening(x))
        inside += self.shortcut(x)
        out: Tensor = self.relu(inside)
        return out


class TexNet(nn.Module):
    """Normalised RGB, `(image - MEAN) / STD`, to the maps of the wanted stages, shallow stages first.

    (B, 3, H, W) becomes (B, size.channels[i], H / stride, W / stride) for each stage; sides that do not divide are rounded
    up. Only the stages that the wanted maps need are built, and only their necks. `norm=True` puts a batch norm after each
    convolution: that is for training only, `tools/texnet/train.py` folds them away.

    Raises:
        UnknownName: there is no such stage.
        InputError: no stage is wanted.
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
        """Return the maps of `self.stages`; `image` is already normalised (`Features` does that)."""
        maps = self.projections(image)
        if "stage3" in self.stages:
            maps["stage3"] = self.with_context(maps["stage3"], maps["stage4"])
        return [maps[stage] for stage in self.stages]

    def projections(self, image: Tensor) -> dict[str, Tensor]:
        """Return what the necks make of their stages, each (B, size.necks[i], H / stride, W / stride)."""
        x = self.stem(image)
        maps = {}
        for stage in self._built():
            x = self.get_submodule(stage)(x)
            if stage in self._projected():
                maps[stage] = self.get_submodule(f"{stage}_neck")(x)
        return maps

    def with_context(self, third: Tensor, fourth: Tensor) -> Tensor:
        """Return stage 3's map, (B, size.channels[2], h, w).

        Stage 4's projection, enlarged, is added to the ranked channels and appended beyond them.
        """
        ranked = self.size.ranked
        around = F.interpolate(fourth, third.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([third[:, :ranked] + around[:, :ranked], third[:, ranked:], around[:, ranked:]], 1)

    def _projected(self) -> tuple[str, ...]:
        return (*self.stages, "stage4") if "stage3" in self.stages else self.stages

    def _built(self) -> tuple[str, ...]:
        return STAGES[: 1 + max(STAGES.index(stage) for stage in self._projected())]


def texnet(name: str = "texnet_s", weights: bool = True, stages: Sequence[str] = STAGES) -> TexNet:
    """Return a network in eval mode, float32, with the shipped weights, or with random ones if `weights` is False.

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
    """Return the frozen maps of the wanted stages, named or by stride; see `features.extractor`.

    `weights` is a .safetensors file written by `tools/texnet/train.py`; None means the shipped one.

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
    return Features(net, chosen, [net.size.channels[i] for i in at], [STRIDES[s] for s in chosen], MEAN, STD)


def load_weights(net: TexNet, path: Path) -> None:
    """Put a file's float16 weights into `net` as float32; stages that the net was built without are left out.

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
    """Return the tensors and the metadata of a .safetensors file, as stored.

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
    """Return the layer, made smooth if its convolution leaves out places."""
    return layer if cast(nn.Conv2d, layer[0]).stride == (1, 1) else Smooth(layer)
