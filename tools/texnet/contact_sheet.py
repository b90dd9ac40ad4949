"""Write a picture of what the network is trained on: one row a material, each tile another piece of it.

python tools/texnet/contact_sheet.py --out sheet.png --recipes 12 --pieces 8
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the PNG file to write")
    parser.add_argument("--first", type=int, default=0, help="number of the first recipe (default 0)")
    parser.add_argument("--recipes", type=int, default=12, help="how many recipes, one a row (default 12)")
    parser.add_argument("--pieces", type=int, default=8, help="how many pieces of each (default 8)")
    parser.add_argument("--size", type=int, default=96, help="side of a tile in pixels (default 96)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the pieces (default 0)")
    options = parser.parse_args()
    page = sheet(options.first, options.recipes, options.pieces, options.size, options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(options.out), cv2.cvtColor(page, cv2.COLOR_RGB2BGR)):
        raise SystemExit(f"cannot write {options.out}; check the folder and the ending (.png)")


if __name__ == "__main__":
    main()
