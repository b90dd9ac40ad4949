"""Photographs of a folder, drawn at random: what a method that wants pictures of "anything else" is given."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from blemish.errors import InputError
from blemish.imaging import SUFFIXES, read, resize
from blemish.ops.textures import Pictures


def photographs(folder: Path) -> Pictures:
    """Return what draws the middle of photographs of a folder (and the folders in it), resized to twice the size."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(
            f"pictures: {folder} holds no image. Give a folder of photographs, or None for drawn textures."
        )

    def draw(count: int, size: tuple[int, int]) -> Tensor:
        h, w = size
        chosen = [files[i] for i in torch.randint(len(files), (count,)).tolist()]
        whole = [torch.from_numpy(resize(read(file), (2 * h, 2 * w))).permute(2, 0, 1) for file in chosen]
        cut = [image[:, h // 2 : h // 2 + h, w // 2 : w // 2 + w] for image in whole]
        return torch.stack(cut) if cut else torch.empty(0, 3, h, w)

    return draw
