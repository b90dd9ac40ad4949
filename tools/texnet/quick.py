"""How well does a backbone find defects on real images? The quick protocol by which the trials in README.md were compared.

    python tools/texnet/quick.py --data FOLDER
    python tools/texnet/quick.py --data FOLDER --backbone mobilenetv2_100 --weights mobilenetv2_100.safetensors
    python tools/texnet/quick.py --data FOLDER --checkpoint runs/texnet/second/checkpoint.safetensors

FOLDER holds `hazelnut_toy/`, `piped_paper/*/` (MVTec layout) and `magnetic_tile/`; --root names other data sets in the
MVTec layout. Features of strides 8 and 16, 3 x 3 pooling, and as memory a random bank: as many patches of each of at most
160 good images, no coreset. A part scores as its most distant patch; maps are compared at the network's input, at every
second pixel. Of the magnetic tiles every third test image is taken. One seed, minutes instead of an hour: differences below
about .01 are noise. `benchmarks/backbones.py` is the comparison that counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from validate import add_network, network

from blemish.core import registry
from blemish.data.datamodule import DataModule
from blemish.data.reader import Loader
from blemish.data.record import Record
from blemish.evaluation.evaluate import truth_mask
from blemish.imaging.images import Imaging
from blemish.metrics import auroc
from blemish.ops.maps import blur, describe, enlarge, peak
from blemish.ops.neighbours import nearest

TRAIN_IMAGES, BATCH, STEP = 160, 8, {"magnetic_tile": 3}
Maps = Callable[[Tensor], list[Tensor]]


def sets(data: Path | None, roots: list[Path]) -> Iterator[tuple[str, Path, str]]:
    """Yield (name, folder, layout) of the data sets that are there."""
    yield from ((root.name, root, "folder") for root in roots)
    if data is not None:
        folders = [data / "hazelnut_toy", *sorted((data / "piped_paper").glob("piped_*"))]
        yield from ((folder.name, folder, "folder") for folder in folders if folder.is_dir())
        if (data / "magnetic_tile").is_dir():
            yield "magnetic_tile", data / "magnetic_tile", "magnetic_tile"


@torch.inference_mode()
def remember(net: Maps, good: Loader, patches: int, rng: np.random.Generator) -> Tensor:
    """Return (patches, C) descriptions, as many of each image, drawn at random."""
    each, rows = -(-patches // len(good.records)), []
    for batch in good:
        for grid in describe(net(batch.image)):  # h, w, C
            cells = grid.flatten(0, 1)
            rows.append(cells[torch.from_numpy(rng.permutation(len(cells))[:each])])
    return torch.cat(rows)[:patches]


@torch.inference_mode()
def look(net: Maps, bank: Tensor, parts: Loader) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the parts' scores, (N,), and their maps at every second pixel, (N, H / 2, W / 2)."""
    scores, maps = [], []
    for batch in parts:
        grid = describe(net(batch.image))  # B, h, w, C
        distances = nearest(grid.flatten(0, 2), bank)[0].sqrt().view(grid.shape[:3])
        scores.append(peak(distances).numpy())
        size = (batch.image.shape[2], batch.image.shape[3])
        maps.append(blur(enlarge(distances, size))[:, ::2, ::2].numpy())
    return np.concatenate(scores), np.concatenate(maps)


def measure(net: Maps, data: DataModule, patches: int, step: int, seed: int) -> tuple[float, float]:
    """Return image and pixel AUROC on every `step`-th test part of a data set."""
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(data.train_records))[:TRAIN_IMAGES].tolist())
    good = Loader([data.train_records[i] for i in chosen], data.imaging, batch_size=BATCH)
    tested = data.test_records[::step]
    scores, maps = look(net, remember(net, good, patches, rng), Loader(tested, data.imaging, batch_size=BATCH))
    masks = np.stack([marked(record, data.imaging)[::2, ::2] for record in tested])
    return auroc([record.label for record in tested], scores), auroc(masks.ravel(), maps.ravel())


def marked(record: Record, imaging: Imaging) -> NDArray[np.bool_]:
    """Return the truth at the network's input; a defective part must be marked."""
    height, width = imaging.read(record.image).shape[:2]
    mask = truth_mask(record, (height, width))
    if mask is None:
        raise SystemExit(f"{record.key} is defective and has no mask; this protocol needs one")
    return imaging.prepare_mask(mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network(parser)
    parser.add_argument("--data", type=Path, help="folder of the data sets named above")
    parser.add_argument("--root", type=Path, nargs="+", action="extend", default=[], help="data sets, MVTec layout")
    parser.add_argument("--size", type=int, default=256, help="side of the input in pixels (default 256)")
    parser.add_argument("--patches", type=int, default=6000, help="patches in the bank (default 6000)")
    parser.add_argument("--seed", type=int, default=0, help="draws the good images and the bank (default 0)")
    given = parser.parse_args()
    net, found = network(given), []
    for name, folder, layout in sets(given.data, given.root):
        data = registry.dataset(layout)(folder, image_size=given.size, holdout=0.0, seed=given.seed)
        found.append(measure(net, data, given.patches, STEP.get(name, 1), given.seed))
        print(f"{name:20} {found[-1][0]:.3f} / {found[-1][1]:.3f}", flush=True)
    if not found:
        raise SystemExit("no data set is there; name some with --data or --root")
    image, pixel = np.mean(found, axis=0)
    print(f"{'mean':20} {image:.4f} / {pixel:.4f}")


if __name__ == "__main__":
    main()
