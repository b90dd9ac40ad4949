"""How good are a backbone's frozen features? Nearest neighbours among patches of good parts, on real data sets.

    python tools/texnet/evaluate.py --root data/hazelnut_toy --root data/piped_paper/* --backbone texnet_s
    python tools/texnet/evaluate.py --root data/... --backbone mobilenetv2_100 --weights mobilenetv2_100.safetensors

Each --root is one data set in the MVTec layout (train/good, test/<kind>, ground_truth/<kind>/<stem>_mask.png); --tiles is
the magnetic tile set as its authors publish it. For each set: features of the layers of stride 8 and 16 at 256 x 256
pixels, averaged over 3 x 3 neighbours and put on the finer grid; a bank of patches drawn at random from good training
images; a patch's score is its distance to the bank, an image's the largest of its patches; maps are smoothed by
sigma 4 px. This is PatchCore (Roth et al., CVPR 2022) without its coreset and re-weighting: it compares features, not
methods. Prints image and pixel AUROC.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blemish import imaging
from blemish.features import Features, extractor
from blemish.metrics import auroc
from blemish.ops.maps import blur, enlarge
from blemish.ops.neighbours import nearest


@dataclass(frozen=True)
class Sample:
    """A test image, the mask of its defect if there is one, and the grey value above which the mask is defective."""

    image: Path
    mask: Path | None = None
    defective: bool = False
    above: int = 0


def mvtec(root: Path) -> tuple[list[Path], list[Sample]]:
    """Return the good training images and the test samples of a folder in the MVTec layout."""
    train = _images(root / "train" / "good")
    test = []
    for image in (image for kind in sorted((root / "test").iterdir()) for image in _images(kind)):
        kind = image.parent.name
        mask = None if kind == "good" else root / "ground_truth" / kind / f"{image.stem}_mask.png"
        test.append(Sample(image, mask, kind != "good"))
    if not train or not test:
        raise SystemExit(f"{root}: no images in train/good or test; --root wants one data set in the MVTec layout")
    return train, test


def tiles(root: Path, seed: int) -> tuple[list[Path], list[Sample]]:
    """Return 80 % of the tiles without defect for training, the rest and all others for testing."""
    free = np.random.default_rng(seed).permutation(np.array(sorted((root / "MT_Free" / "Imgs").glob("*.jpg"))))
    cut = round(0.8 * len(free))
    test = [Sample(path) for path in free[cut:]]
    for folder in sorted(root.glob("MT_*")):
        if folder.name != "MT_Free":
            images = sorted((folder / "Imgs").glob("*.jpg"))
            test += [Sample(path, path.with_suffix(".png"), True, 127) for path in images]
    return list(free[:cut]), test


def patches(features: Features, path: Path, size: int) -> Tensor:
    """Return the (h, w, D) patch features of one image."""
    image = imaging.resize(imaging.read(path), (size, size))
    maps = features(torch.from_numpy(image).permute(2, 0, 1)[None].contiguous())
    maps = [F.avg_pool2d(m, 3, 1, 1, count_include_pad=False) for m in maps]
    fine = maps[0].shape[2:]
    joined = torch.cat([maps[0], *(F.interpolate(m, fine, mode="bilinear", align_corners=False) for m in maps[1:])], 1)
    return joined[0].permute(1, 2, 0)


def measure(
    features: Features, train: list[Path], test: list[Sample], size: int, bank_size: int, train_images: int, seed: int
) -> tuple[float, float]:
    """Return image and pixel AUROC of one data set."""
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(train))[:train_images].tolist())
    each = -(-bank_size // len(chosen))
    rows = []
    for index in chosen:
        grid = patches(features, train[index], size).flatten(0, 1)
        rows.append(grid[torch.from_numpy(rng.permutation(len(grid))[:each])])
    bank = torch.cat(rows)[:bank_size]
    image_scores, maps, masks = [], [], []
    for sample in test:
        grid = patches(features, sample.image, size)
        score = nearest(grid.flatten(0, 1), bank)[0][:, 0].sqrt().view(1, *grid.shape[:2])
        image_scores.append(float(score.max()))
        maps.append(blur(enlarge(score, (size, size)))[0].numpy())
        mask = np.zeros((size, size), bool)
        if sample.mask is not None:
            mask = imaging.resize_mask(imaging.read_mask(sample.mask, above=sample.above), (size, size))
        masks.append(mask)
    labels = np.array([sample.defective for sample in test])
    return auroc(labels, image_scores), auroc(np.stack(masks), np.stack(maps))


def speed(features: Features, size: int, threads: int, seconds: float = 2.0) -> float:
    """Return the median milliseconds of a forward pass of one image."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    image, times = torch.rand(1, 3, size, size), []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(times) < 5:
        begun = time.perf_counter()
        features(image)
        times.append(time.perf_counter() - begun)
    torch.set_num_threads(before)
    return float(np.median(times) * 1e3)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in imaging.SUFFIXES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, nargs="+", action="extend", default=[], help="data sets, MVTec layout")
    parser.add_argument("--tiles", type=Path, help="the magnetic tile data set in its own layout")
    parser.add_argument("--backbone", default="texnet_s", help="texnet_s or a name timm knows (default texnet_s)")
    parser.add_argument("--weights", help="a local .safetensors file (default: the shipped one, or timm's hub)")
    parser.add_argument("--random", action="store_true", help="random weights instead, for comparison")
    parser.add_argument("--layers", nargs="+", default=["8", "16"], help="names, or strides in pixels (default 8 16)")
    parser.add_argument("--size", type=int, default=256, help="side of the input in pixels (default 256)")
    parser.add_argument("--bank", type=int, default=6000, help="patches kept of the good images (default 6000)")
    parser.add_argument("--train-images", type=int, default=100, help="good images used at most (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="chooses images, patches, random weights (default 0)")
    parser.add_argument("--threads", type=int, default=2, help="threads (default 2)")
    parser.add_argument("--speed", action="store_true", help="measure the forward pass instead, on 1 and 2 threads")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    layers = [int(layer) if layer.isdigit() else layer for layer in given.layers]
    features = extractor(given.backbone, layers, weights=given.weights, pretrained=not given.random)
    with torch.inference_mode():
        if given.speed:
            for threads in (1, 2):
                print(f"{given.backbone}: {speed(features, given.size, threads):.1f} ms on {threads} thread(s)")
            return
        sets = [(root.name, *mvtec(root)) for root in given.root]
        if given.tiles:
            sets.append(("magnetic_tile", *tiles(given.tiles, given.seed)))
        results = []
        print(f"{'data set':24}  image  pixel")
        for name, train, test in sets:
            settings = (given.size, given.bank, given.train_images, given.seed)
            results.append(measure(features, train, test, *settings))
            print(f"{name:24}  {results[-1][0]:.3f}  {results[-1][1]:.3f}", flush=True)
    if results:
        image, pixel = np.mean(results, axis=0)
        print(f"{'mean':24}  {image:.3f}  {pixel:.3f}")


if __name__ == "__main__":
    main()
