"""TexNet: the embedded backbone, learnt from procedurally drawn materials; no photograph was involved.

A residual network of four stages (He et al., "Deep residual learning for image recognition", CVPR 2016, basic blocks),
trained by `tools/texnet/train.py` to tell materials apart. Its batch norms are folded into the convolutions, so the
shipped network is convolutions, ReLUs and sums: nothing has a state that could drift.

    stage     stride   channels   blocks
    stage1         4         48        1
    stage2         8         96        2
    stage3        16        160        2
    stage4        32        192        1
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from blemish.detector import loading
from blemish.errors import InputError, UnknownName, WeightsError
from blemish.features.frozen import Features, choose_layers, tensors_sha256

CHANNELS: dict[str, int] = {"stage1": 48, "stage2": 96, "stage3": 160, "stage4": 192}
STRIDES: dict[str, int] = {"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32}
BLOCKS: dict[str, int] = {"stage1": 1, "stage2": 2, "stage3": 2, "stage4": 1}
STAGES: tuple[str, ...] = tuple(CHANNELS)
STEM = 32  # channels of the first convolution, stride 2
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the first takes the stride."""

    def __init__(self, inside: int, outside: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.first = _convolution(inside, outside, 3, stride, norm)
        self.second = _convolution(outside, outside, 3, 1, norm)
        plain = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if plain else _convolution(inside, outside, 1, stride, norm)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) -> (B, outside, ceil(H / stride), ceil(W / stride)), not negative."""
        out: Tensor = self.relu(self.shortcut(x) + self.second(self.relu(self.first(x))))
        return out


class TexNet(nn.Module):
    """Normalised RGB, `(image - MEAN) / STD`, to the maps of the wanted stages, shallow stages first.

    (B, 3, H, W) becomes (B, CHANNELS[s], H / STRIDES[s], W / STRIDES[s]) for each stage s; sides that do not divide are
    rounded up. Only the stages up to the deepest wanted one are built. `norm=True` puts a batch norm after each
    convolution: that is for training only, `tools/texnet/train.py` folds them away.

    Raises:
        UnknownName: there is no such stage.
        InputError: no stage is wanted.
    """

    def __init__(self, stages: Sequence[str] = STAGES, *, norm: bool = False) -> None:
        super().__init__()
        for stage in stages:
            if stage not in STAGES:
                raise UnknownName("stage", stage, STAGES)
        if not stages:
            raise InputError(f"no stage of texnet_s is wanted; name at least one of {', '.join(STAGES)}")
        self.stages = tuple(stage for stage in STAGES if stage in stages)
        self.stem = nn.Sequential(*_convolution(3, STEM, 3, 2, norm), nn.ReLU())
        width = STEM
        for stage in self._built():
            blocks = [
                Block(CHANNELS[stage] if i else width, CHANNELS[stage], 1 if i else 2, norm)
                for i in range(BLOCKS[stage])
            ]
            self.add_module(stage, nn.Sequential(*blocks))
            width = CHANNELS[stage]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of `self.stages`; `image` is already normalised (`Features` does that)."""
        x = self.stem(image)
        maps = []
        for stage in self._built():
            x = self.get_submodule(stage)(x)
            if stage in self.stages:
                maps.append(x)
        return maps

    def _built(self) -> tuple[str, ...]:
        return STAGES[: STAGES.index(self.stages[-1]) + 1]


def texnet_s(weights: bool = True, stages: Sequence[str] = STAGES) -> TexNet:
    """Return the network in eval mode, float32, with the shipped weights, or with random ones if `weights` is False.

    Raises:
        WeightsError: the installed file is absent or damaged.
    """
    net = TexNet(stages).eval()
    if weights:
        with resources.as_file(resources.files("blemish.features") / "weights" / "texnet_s.safetensors") as path:
            load_weights(net, path)
    return net


def texnet_features(name: str, layers: Sequence[str | int], weights: str | None, pretrained: bool) -> Features:
    """Return the frozen maps of the wanted stages, named or by stride; see `features.extractor`.

    `weights` is a .safetensors file written by `tools/texnet/train.py`; None means the shipped one.

    Raises:
        UnknownName: no such stage or stride.
        WeightsError: the weights are absent, damaged, or belong to another network.
    """
    chosen = [STAGES[i] for i in choose_layers(layers, STAGES, list(STRIDES.values()), name)]
    wanted = pretrained and not loading.get()
    net = texnet_s(wanted and weights is None, chosen)
    if wanted and weights is not None:
        load_weights(net, Path(weights))
    return Features(net, chosen, [CHANNELS[s] for s in chosen], [STRIDES[s] for s in chosen], MEAN, STD)


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
            f"weights {path} do not belong to texnet_s: {len(wrong)} of {len(needed)} tensors are absent or of another "
            f"shape, the first is {wrong[0]}. Give a file written by tools/texnet/train.py of this version."
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
