"""Pictures of "anything else": photographs of a folder, drawn at random, or where there is none textures made of noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from blemish.errors import InputError
from blemish.imaging import SUFFIXES, read, resize
from blemish.ops.textures import Draw, texture


def photographs(folder: Path | str | None, *, zoom: int = 1) -> Draw:
    """Return what draws photographs of a folder (and the folders in it), or `texture` if there is no folder.

    A photograph is resized to `zoom` times the wanted size, and its middle is cut out: 1 shows all of it.

    Raises:
        InputError: the folder holds no image.
    """
    if folder is None:
        return texture
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no image. Give a folder of photographs, or None for drawn textures.")

    def draw(size: tuple[int, int], generator: torch.Generator) -> Tensor:
        h, w = size
        chosen = files[int(torch.randint(len(files), (), generator=generator))]
        whole = torch.from_numpy(resize(read(chosen), (zoom * h, zoom * w))).permute(2, 0, 1)
        top, left = (zoom - 1) * h // 2, (zoom - 1) * w // 2
        return whole[:, top : top + h, left : left + w]

    return draw
