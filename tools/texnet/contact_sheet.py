"""Write a picture of what the network is trained on.

    python tools/texnet/contact_sheet.py --out sheet.png --recipes 12 --pieces 8
    python tools/texnet/contact_sheet.py --out tasks.webp --episode --recipes 8

One row a material, each tile another piece of it; with --episode one row a task: its references, its pictures in
question, and the masks of what is spoilt there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from episodes import episode
from numpy.typing import NDArray
from recipes import instances


def sheet(first: int, recipes: int, pieces: int, size: int, seed: int, gap: int = 2) -> NDArray[np.uint8]:
    """Return the rows as one RGB picture with white gaps of `gap` pixels."""
    pitch = size + gap
    page = np.full((recipes * pitch + gap, pieces * pitch + gap, 3), 255, np.uint8)
    for row in range(recipes):
        for column, tile in enumerate(instances(first + row, pieces, seed, size)):
            top, left = gap + row * pitch, gap + column * pitch
            page[top : top + size, left : left + size] = tile
    return page


def tasks(first: int, recipes: int, size: int, seed: int, gap: int = 2) -> NDArray[np.uint8]:
    """Return an episode of `recipes` tasks as one picture: two references, two pictures in question, their masks."""
    pieces = np.stack([instances(first + row, 4, seed, size) for row in range(recipes)])
    images, masks = episode(pieces, np.random.default_rng(seed), recipes, 2, 2, size * 3 // 5)
    shown = (images.permute(0, 1, 3, 4, 2).numpy() * 255).round().astype(np.uint8)
    marked = np.repeat(masks.numpy()[..., None].astype(np.uint8) * 255, 3, axis=4)
    tiles = np.concatenate([shown, marked], axis=1)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows = tiles.transpose(0, 2, 1, 3, 4)
    return rows.reshape(rows.shape[0] * rows.shape[1], rows.shape[2] * rows.shape[3], 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the PNG or WebP file to write")
    parser.add_argument("--first", type=int, default=0, help="number of the first recipe (default 0)")
    parser.add_argument("--recipes", type=int, default=12, help="how many recipes, one a row (default 12)")
    parser.add_argument("--pieces", type=int, default=8, help="how many pieces of each (default 8)")
    parser.add_argument("--size", type=int, default=160, help="side of a piece in pixels (default 160)")
    parser.add_argument("--episode", action="store_true", help="show tasks instead of pieces")
    parser.add_argument("--seed", type=int, default=0, help="chooses the pieces (default 0)")
    options = parser.parse_args()
    if options.episode:
        page = tasks(options.first, options.recipes, options.size, options.seed)
    else:
        page = sheet(options.first, options.recipes, options.pieces, options.size, options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_WEBP_QUALITY, 90] if options.out.suffix == ".webp" else []
    if not cv2.imwrite(str(options.out), cv2.cvtColor(page, cv2.COLOR_RGB2BGR), quality):
        raise SystemExit(f"cannot write {options.out}; check the folder and the ending (.png, .webp)")


if __name__ == "__main__":
    main()
