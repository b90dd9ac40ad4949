"""Where a run starts from, if not from random weights: another run's checkpoint, or weights as they are shipped."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from episodes import Pieces, views
from learner import Learner, Plan, draw
from shipping import normed
from torch import Tensor, nn

NAMED = 12  # views of each material by which classifiers are made for weights that come without


def unfold(learner: Learner, weights: dict[str, Tensor], pieces: Pieces, plan: Plan) -> None:
    """Load weights as they are shipped: without batch norms, and without the classifiers of naming.

    Each norm gets the statistics that its convolution has on the first step's pictures, and undoes them: the function stays
    the same. Each classifier becomes the linear discriminant of the materials, from NAMED views of each.
    """
    convolutions = {name: value.float() for name, value in weights.items() if name.endswith(".0.weight")}
    learner.net.load_state_dict(convolutions, strict=False)

    def settle(name: str, norm: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        norm.running_mean, norm.running_var = given[0].mean((0, 2, 3)), given[0].var((0, 2, 3))
        norm.weight.data = (norm.running_var + norm.eps).sqrt()
        norm.bias.data = weights[f"{name}.0.bias"].float() + norm.running_mean

    learner.eval()
    hooks = [norm.register_forward_pre_hook(partial(settle, name)) for name, (_, norm) in normed(learner.net)]
    with torch.no_grad():
        learner(draw(pieces, plan, 0).episode.images.flatten(0, 1))
        for hook in hooks:
            hook.remove()
        batches = [
            views(pieces, np.random.default_rng([plan.seed, i, 2]), plan.views, plan.view)
            for i in range(-(-NAMED * plan.recipes // plan.views))
        ]
        answers = torch.cat([recipes for _, recipes in batches])
        seen = [[map.mean((2, 3)) for map in learner(images).named] for images, _ in batches]
        for head, features in zip(learner.material, zip(*seen, strict=True), strict=True):
            discriminate(head, torch.cat(features), answers)
    learner.train()


def discriminate(head: nn.Linear, features: Tensor, answers: Tensor) -> None:
    """Make `head` the linear discriminant of (N, C) features by their (N,) answers; classes without any get zeros."""
    count = torch.zeros(head.out_features).index_add_(0, answers, torch.ones(len(answers)))
    means = torch.zeros(head.out_features, features.shape[1]).index_add_(0, answers, features)
    means /= count.clamp(min=1)[:, None]
    within = features - means[answers]
    spread = within.T @ within / len(within)
    spread += 0.1 * spread.trace() / len(spread) * torch.eye(len(spread))
    head.weight.data = torch.linalg.solve(spread, means.T).T.contiguous()
    head.bias.data = -0.5 * (head.weight * means).sum(1)


def take_over(learner: Learner, weights: dict[str, Tensor]) -> None:
    """Load another run's weights; where that one was without context and this one is with it, stage 4 adds nothing yet."""
    last = learner.material[1].weight
    if weights["material.1.weight"].shape != last.shape:
        ranked = learner.net.size.ranked
        weights["material.1.weight"] = weights["material.1.weight"][:, ranked:]
        for part in ("weight", "bias"):
            weights[f"net.stage4_neck.1.{part}"][:ranked] = 0
    learner.load_state_dict(weights)
