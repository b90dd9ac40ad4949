"""How well do a backbone's features find defects in materials that no training saw? The check that needs no photograph.

    python tools/texnet/validate.py
    python tools/texnet/validate.py --backbone mobilenetv2_100 --weights mobilenetv2_100.safetensors
    python tools/texnet/validate.py --checkpoint texnet-run/checkpoint.safetensors

Draws episodes of recipes from 100,000 on and prints the mean AUROC over tasks of telling spoilt from good patches, each
task by its own references, as in training, with its standard error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from episodes import Episode, episode
from learner import Learner, Plan
from objective import log_distances, neighbourhood, separation, truth
from progress import learner_weights, read_checkpoint
from recipes import instances
from shipping import balance, fold
from torch import Tensor

from blemish.features import Features, extractor
from blemish.features.texnet import MEAN, STD, STRIDES

UNSEEN = 100_000
TASKS, REFERENCES, QUERIES = 6, 2, 2


def drawn(count: int, seed: int, crop: int = 96, size: int = 160) -> Iterator[Episode]:
    """Yield `count` episodes of materials beyond every training run's."""
    for number in range(count):
        first = UNSEEN + TASKS * number
        pieces = np.stack([instances(first + i, REFERENCES + QUERIES, seed, size) for i in range(TASKS)])
        yield episode(pieces, np.random.default_rng([seed, number]), TASKS, REFERENCES, QUERIES, crop)


def tasks(features: Callable[[Tensor], list[Tensor]], episodes: Iterator[Episode]) -> list[float]:
    """Return the separation of each task that holds a defect."""
    found = []
    for images, masks in episodes:
        with torch.inference_mode():
            maps = features(images.flatten(0, 1))
        cells = (maps[0].shape[2], maps[0].shape[3])
        grids = [neighbourhood(map, cells).flatten(2).transpose(1, 2) for map in maps]
        described = torch.cat(grids, 2).view(len(images), images.shape[1], cells[0] * cells[1], -1)
        distances, (spoilt, good) = log_distances(described, REFERENCES), truth(masks, cells)
        for row, bad, fine in zip(distances, spoilt, good, strict=True):
            if bad.any() and fine.any():
                found.append(float(separation(row[None], bad[None], fine[None])))
    return found


def from_checkpoint(path: Path, share: float | None) -> Features:
    """Return the frozen maps of strides 8 and 16 of a run; `share` weighs its naming half (None: as planned)."""
    held, metadata = read_checkpoint(path)
    plan = Plan(**json.loads(metadata["plan"]))
    learner = Learner(plan).eval()
    learner.load_state_dict(learner_weights(held))
    images = np.stack([instances(recipe, 1, 0, plan.size)[0] for recipe in range(64)])
    net = fold(learner.net)
    balance(net, torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, plan.share if share is None else share)
    net.stages = ("stage2", "stage3")
    return Features(net, net.stages, net.size.channels[1:3], [STRIDES[s] for s in net.stages], MEAN, STD)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a network."""
    parser.add_argument("--backbone", default="texnet_s", help="a texnet or a name timm knows (default texnet_s)")
    parser.add_argument("--weights", help="a local .safetensors file (default: the shipped one, or timm's hub)")
    parser.add_argument("--checkpoint", type=Path, help="the checkpoint of a training run instead")
    parser.add_argument("--share", type=float, help="weight of the checkpoint's naming half (default: its plan's)")
    parser.add_argument("--random", action="store_true", help="random weights instead")


def network(given: argparse.Namespace) -> Features:
    """Return the network that was chosen."""
    if given.checkpoint:
        return from_checkpoint(given.checkpoint, given.share)
    return extractor(given.backbone, [8, 16], weights=given.weights, pretrained=not given.random)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network(parser)
    parser.add_argument("--episodes", type=int, default=40, help=f"episodes of {TASKS} tasks (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="chooses pieces and defects (default 0)")
    given = parser.parse_args()
    found = np.array(tasks(network(given), drawn(given.episodes, given.seed)))
    print(f"{found.mean():.4f} ± {found.std() / len(found) ** 0.5:.4f} over {len(found)} tasks")


if __name__ == "__main__":
    main()
