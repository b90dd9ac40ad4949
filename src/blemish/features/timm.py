"""Any timm backbone by name, its layers by name, its weights from the hub or from a local file."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from blemish.core.errors import InputError, MissingExtra, UnknownName, WeightsError
from blemish.core.learned import loading
from blemish.core.quiet import quiet
from blemish.features.blocks import FINAL, Blocks
from blemish.features.frozen import Features, choose_layers
from blemish.features.weights import Origin, cached


def timm_features(name: str, layers: Sequence[str | int], weights: str | None, pretrained: bool) -> Features:
    """Return a frozen timm network.

    Args:
        name: Name of the network, as timm knows it.
        layers: Names of layers, strides, or negative numbers, see `extractor`.
        weights: A local .safetensors file; None for the pretrained weights of the hub.
        pretrained: False gives random weights.

    Returns:
        The network that computes the maps of these layers.

    Raises:
        UnknownName: timm has no such network, or the network no such layer.
        InputError: the network has no maps.
        WeightsError: pretrained weights were requested and cannot be obtained.
    """
    timm = timm_package()
    architecture = name.partition(".")[0]
    if architecture not in timm.list_models():
        raise UnknownName("backbone", name, ["texnet_s", *timm.list_models()])
    kind = _kind(timm, architecture)
    chosen = choose_layers(layers, kind.names, kind.strides, name)

    def create(file: Path | None, fetched: bool) -> nn.Module:
        return _create(timm, name, kind, chosen, file, fetched)

    net = create(None if weights is None else Path(weights), pretrained and not loading.get())
    cfg = getattr(net.model if isinstance(net, Blocks) else net, "pretrained_cfg", None) or kind.cfg
    repo, given = cfg.get("hf_hub_id"), pretrained and weights is not None
    file = Path(str(weights)) if given else cached(repo, "model.safetensors") if pretrained and repo else None
    origin = Origin(
        name,
        str(weights) if given else f"hub:{repo}" if pretrained else "random",
        cfg.get("license") or "",
        cfg.get("interpolation") or "",
        tuple(cfg["input_size"][1:]),
        kind.patch,
        None if loading.get() else file,
        lambda file: create(file, True),
    )
    names = [kind.names[i] for i in chosen]
    channels, strides = ([values[i] for i in chosen] for values in (kind.channels, kind.strides))
    return Features(net, names, channels, strides, cfg["mean"], cfg["std"], origin)


@dataclass(frozen=True)
class _Kind:
    """How an architecture is asked for its maps.

    Attributes:
        names: Its layers.
        channels: Their channels.
        strides: Their strides, in pixels.
        patch: Side of its patches, of which the sides of an image must be multiples; 1 for any.
        blocks: Whether it is asked block by block (`Blocks`), and not by timm's own features_only.
        options: What it is made with, so that it takes images of other sizes than it was trained on.
        cfg: What its makers say of it.
    """

    names: list[str]
    channels: list[int]
    strides: list[int]
    patch: int
    blocks: bool
    options: dict[str, Any]
    cfg: dict[str, Any]


def _kind(timm: ModuleType, architecture: str) -> _Kind:
    """Look at an architecture without its weights: timm's own features_only, where it gives maps with channels second."""
    with torch.device("meta"), quiet("timm"):
        bare = timm.create_model(architecture, pretrained=False, num_classes=0)
        try:
            maps = timm.create_model(architecture, features_only=True, pretrained=False)
            info = maps.feature_info
            found = maps(torch.empty(1, *bare.pretrained_cfg["input_size"]))
            plain = type(maps).__name__ != "FeatureGetterNet" and [map.shape[1] for map in found] == info.channels()
        except (AttributeError, RuntimeError, AssertionError):  # it has no features_only
            plain = False
    if plain:
        names, channels, strides = info.module_name(), info.channels(), info.reduction()
        return _Kind(names, channels, strides, 1, False, {}, bare.pretrained_cfg)
    if not hasattr(bare, "forward_intermediates"):
        raise InputError(
            f"{architecture} has no maps that could be asked for: timm offers none. Choose another backbone."
        )
    layers = list(bare.feature_info)
    names, channels, strides = ([layer[key] for layer in layers] for key in ("module", "num_chs", "reduction"))
    sizes = {"dynamic_img_size": True, "strict_img_size": False}
    options = {key: value for key, value in sizes.items() if key in inspect.signature(type(bare).__init__).parameters}
    patch = strides[0] if len(set(strides)) == 1 else 1
    end = [FINAL], [channels[-1]], [strides[-1]]
    return _Kind(names + end[0], channels + end[1], strides + end[2], patch, True, options, bare.pretrained_cfg)


def _create(
    timm: ModuleType, name: str, kind: _Kind, chosen: list[int], weights: Path | None, pretrained: bool
) -> nn.Module:
    """Return the network that gives the maps of the chosen layers, with its weights where `pretrained` asks for them."""
    overlay: dict[str, Any] | None = None
    if pretrained and weights is not None:
        _check_file(timm, name.partition(".")[0], weights)
        overlay = {"file": str(weights)}
    options: dict[str, Any] = {"features_only": True, "out_indices": chosen}
    if kind.blocks:
        options = {"num_classes": 0, **kind.options}
    try:
        # timm warns of every classifier weight that a feature network rightly leaves out, the hub of every retry
        with quiet("timm", "huggingface_hub"), _offline(pretrained and weights is None and not _hub_answers()):
            net: nn.Module = timm.create_model(name, pretrained=pretrained, pretrained_cfg_overlay=overlay, **options)
    except Exception as error:
        if not pretrained or weights is not None:
            raise
        raise WeightsError(
            f"the pretrained weights of {name} could not be fetched from the hub ({type(error).__name__}). "
            "Three ways out: (1) connect once, they are cached afterwards; (2) give a local file, "
            "weights='path/to/model.safetensors'; (3) use the embedded backbone, backbone='texnet_s'. "
            "Random weights are used only when pretrained=False is asked for."
        ) from error
    return Blocks(net, chosen, len(kind.names) - 1) if kind.blocks else net


def _hub_answers(seconds: float = 10.0) -> bool:
    """Ask the hub once, the way its own library would (proxies, mirrors), which retries each file six times."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # where every version has it

    try:
        get_session().head(constants.ENDPOINT, timeout=seconds)
    except Exception:  # differs between versions of the library
        return False
    return True


@contextmanager
def _offline(really: bool) -> Iterator[None]:
    """Let the hub's library use only what it has fetched before, inside the block."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or really
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _check_file(timm: ModuleType, architecture: str, weights: Path) -> None:
    """Make sure a local file holds every weight of the network: timm itself would skip what does not match."""
    path = weights
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"weights {path}: only .safetensors files are read; others may run code when they are loaded."
        )
    try:
        with safe_open(path, framework="pt") as file:
            held = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise WeightsError(f"weights {path} does not exist. Check the path.") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights {path} is not a readable safetensors file: {error}. Copy it again.") from error
    with torch.device("meta"):
        needed = timm.create_model(architecture, pretrained=False, num_classes=0).state_dict()
        known = timm.create_model(architecture, pretrained=False).state_dict().keys() | needed.keys()
    wrong = [k for k, v in needed.items() if held.get(k) != tuple(v.shape) and not k.endswith("num_batches_tracked")]
    if wrong:
        raise WeightsError(
            f"weights {path} do not belong to {architecture}: {len(wrong)} of {len(needed)} tensors are absent or of "
            f"another shape, the first is {wrong[0]}. Give the file of this network, named as timm names its weights."
        )
    parts = {key.partition(".")[0] for key in needed}
    more = [key for key in held if key not in known and key.partition(".")[0] in parts]
    if more:  # a deeper variant's file holds all that is needed, but was trained as another network
        raise WeightsError(
            f"weights {path} belong to another network than {architecture}, which has no {more[0]}. "
            "Give the file of this network, or name the network that the file is of."
        )


def timm_package() -> ModuleType:
    """Import timm although the installed torchvision may have been built for another torch.

    A CPU-only torch next to a CUDA build of torchvision is common, and then `import torchvision` fails because two
    compiled operators are absent. timm needs only torchvision's Python code, so the two are declared, never defined.

    Returns:
        The package.

    Raises:
        MissingExtra: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import timm
        except ModuleNotFoundError as error:
            raise MissingExtra("timm (pretrained backbones)", "train") from error
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            import sys

            for module in [m for m in sys.modules if m.split(".")[0] in ("timm", "torchvision")]:
                del sys.modules[module]
            for operator in ("nms", "qnms"):
                _declarations.define(  # type: ignore[no-untyped-call]
                    f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
            import timm
    return timm


# Kept alive: its declarations are removed with it.
_declarations = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
