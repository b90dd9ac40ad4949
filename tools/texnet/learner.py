"""What is trained: the plan of a run, the network with its classifiers of materials, and the loss of one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from episodes import Episode, Pieces, episode, views
from objective import ranking
from torch import Tensor, nn

from blemish.features.texnet import MEAN, SIZES, STD, TexNet


@dataclass(frozen=True)
class Plan:
    """What decides the result. Two runs with the same plan and `steps` give the same weights on one machine."""

    net: str = "texnet_s"
    recipes: int = 2400
    pieces: int = 14
    size: int = 160
    materials: int = 8
    references: int = 2
    queries: int = 2
    crop: int = 128
    views: int = 96
    view: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    single: float = 0.3
    mixed: float = 0.2
    peak: float = 0.0
    naming: float = 0.3
    share: float = 0.5
    coarse: float = 0.0
    context: bool = True
    bf16: bool = True
    seed: int = 0
    draws: int = 0

    def __post_init__(self) -> None:
        if self.net not in SIZES:
            raise SystemExit(f"--net {self.net} is not known; choose from {', '.join(SIZES)}")
        if not 0 < self.crop <= self.size or not 0 < self.view <= self.size:
            raise SystemExit(f"--crop {self.crop} and --view {self.view} must lie between 1 and --size {self.size}")
        if self.references + self.queries > self.pieces or max(self.materials, self.views) > self.recipes:
            raise SystemExit("--pieces must hold --references and --queries, --recipes the --materials and --views")


class Draw(NamedTuple):
    """One step's data."""

    episode: Episode
    views: Tensor  # (B, 3, view, view) float32 in [0, 1]
    recipes: Tensor  # (B,)


class Maps(NamedTuple):
    """What the losses see of an image."""

    ranked: list[Tensor]  # of strides 4, 8 and 16
    named: list[Tensor]  # of strides 16 and 32, or, with context, both of 16


class Learner(nn.Module):
    """The network with its classifiers of materials.

    The first half of stage 3's projection is there to be ranked, the second for naming; see `objective.py`. With
    `plan.context` stage 4's is divided likewise, and both go into stage 3's map, as in use. Without, stage 4 is for naming
    only: a first run learns faster so.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.net, self.context = TexNet(SIZES[plan.net], norm=True), plan.context
        size = self.net.size
        middle, last = size.necks[2] - size.ranked, size.necks[3] - (size.ranked if plan.context else 0)
        self.material = nn.ModuleList([nn.Linear(middle, plan.recipes), nn.Linear(last, plan.recipes)])
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Maps:
        """RGB in [0, 1] to the maps to rank and to name."""
        maps = self.net.projections(((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last))
        third, fourth = maps["stage3"], maps["stage4"]
        ranked, named = self.net.size.ranked, self.net.size.necks[2]
        if self.context:
            third = self.net.with_context(third, fourth)
            fourth = third[:, named:]
        return Maps([maps["stage1"], maps["stage2"], third[:, :ranked]], [third[:, ranked:named], fourth])


def losses(learner: Learner, plan: Plan, drawn: Draw, step: int) -> dict[str, Tensor]:
    """Return the loss and what it is made of; `drawn` is wherever the learner is."""
    with torch.autocast(drawn.views.device.type, torch.bfloat16, enabled=plan.bf16):
        maps = learner(drawn.episode.images.flatten(0, 1))
        named = learner(drawn.views).named
    beside = maps.named if plan.context else []
    weights = (plan.single, plan.mixed, plan.peak, plan.share)
    found = ranking(maps.ranked, beside, drawn.episode, *weights, torch.Generator().manual_seed(step))
    answers = [head(map.float().mean((2, 3))) for head, map in zip(learner.material, named, strict=True)]
    middle, last = (F.cross_entropy(answer, drawn.recipes) for answer in answers)
    accuracy = (answers[0].argmax(1) == drawn.recipes).float().mean()
    loss = found["ranking"] + plan.naming * (middle + last)
    return {"loss": loss, **found, "naming": middle, "naming_last": last, "accuracy": accuracy}


def draw(pieces: Pieces, plan: Plan, step: int) -> Draw:
    """Return the data of step number `step`."""
    tasks, single = (np.random.default_rng([plan.seed, step, which, plan.draws]) for which in (0, 1))
    sizes = (plan.materials, plan.references, plan.queries, plan.crop, plan.coarse)
    return Draw(episode(pieces, tasks, *sizes), *views(pieces, single, plan.views, plan.view, plan.coarse))
