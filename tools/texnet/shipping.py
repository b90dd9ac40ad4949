"""From a trained network to the weights that are shipped: norms folded away, maps balanced, float16, a hash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from episodes import Pieces
from learner import Learner, Plan
from safetensors.torch import save_file
from torch import Tensor, nn

from blemish.core.files import write_atomically
from blemish.core.saved import tensors_sha256
from blemish.features.texnet import MEAN, STAGES, STD, Size, TexNet


def fold(net: TexNet) -> TexNet:
    """Return the same function without batch norms: each goes into the convolution before it, in float64."""
    plain = TexNet(net.size, net.stages).eval()
    state: dict[str, Tensor] = {}
    for name, (convolution, norm) in normed(net):
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        state[f"{name}.0.weight"] = (convolution.weight.double() * scale[:, None, None, None]).float()
        state[f"{name}.0.bias"] = (norm.bias.double() - norm.running_mean.double() * scale).float()
    plain.load_state_dict({k: v.detach() for k, v in state.items()})
    return plain


def normed(net: TexNet) -> Iterator[tuple[str, nn.Sequential]]:
    for name, module in net.named_modules():
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
            yield name, module[:2]


def balance(net: TexNet, images: Tensor, share: float) -> TexNet:
    """Scale a folded net's maps, in place: what was ranked keeps its proportions, naming counts `share` beside it.

    Measured on `images`, (N, 3, H, W) in [0, 1]: the mean variance of a channel of the ranked maps of strides 8 and 16
    becomes 1, and the summed variance of stage 3's and of stage 4's naming parts, each, `share`^2 of that of all ranked
    channels. Stage 1 gets a mean variance of 1.
    """
    size, third = net.size, net.size.necks[2]
    with torch.inference_mode():
        maps = [
            torch.cat(parts)
            for parts in zip(*(net((some - MEAN[0]) / STD[0]) for some in images.split(32)), strict=True)
        ]
    parts = (maps[0], maps[1], *(maps[2][:, at] for at in _parts(size)))
    spread = [float(map.var((0, 2, 3)).sum()) for map in parts]
    joint = ((size.necks[1] + size.ranked) / (spread[1] + spread[2])) ** 0.5
    middle, last = (share * ((size.necks[1] + size.ranked) / some) ** 0.5 for some in spread[3:])
    scales = {
        "stage1": torch.full((size.necks[0],), (size.necks[0] / spread[0]) ** 0.5),
        "stage2": torch.full((size.necks[1],), joint),
        "stage3": torch.tensor([joint] * size.ranked + [middle] * (third - size.ranked)),
        "stage4": torch.tensor([joint] * size.ranked + [last] * (size.necks[3] - size.ranked)),
    }
    with torch.no_grad():
        for stage in STAGES:
            neck = net.get_submodule(f"{stage}_neck")[0]
            neck.weight *= scales[stage][:, None, None, None]
            neck.bias *= scales[stage]
    return net


def _parts(size: Size) -> tuple[slice, slice, slice]:
    """Where the ranked channels, stage 3's naming and stage 4's naming lie in stage 3's map."""
    ranked, third = size.ranked, size.necks[2]
    return slice(0, ranked), slice(ranked, third), slice(third, size.channels[2])


def sample(pieces: Pieces) -> Tensor:
    """Return one piece of some 256 materials, (N, 3, H, W) in [0, 1], to balance the maps on."""
    some = pieces[:: -(-len(pieces) // 256), 0]
    return torch.from_numpy(some.copy()).permute(0, 3, 1, 2).float() / 255


def write_weights(net: TexNet, images: Tensor, plan: Plan, path: Path, version: str, trained: dict[str, Any]) -> None:
    """Balance a folded network on `images` and write it as float16 .safetensors with its hash and how it was made."""
    balance(net, images, plan.share)
    tensors = {name: value.contiguous().half() for name, value in net.state_dict().items()}
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise SystemExit("weights are not finite in float16; train again with a lower --rate")
    metadata = {
        "name": plan.net,
        "version": version,
        "licence": "Apache-2.0",
        "sha256": tensors_sha256(tensors),
        "trained": json.dumps(trained),
    }
    write_atomically(path, lambda part: save_file(tensors, part, metadata))


def export(learner: Learner, pieces: Pieces, plan: Plan, path: Path, version: str, trained: dict[str, Any]) -> None:
    """Fold and balance a trained network, and write its weights."""
    write_weights(fold(learner.net), sample(pieces), plan, path, version, trained)
