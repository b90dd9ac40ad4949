"""What the features are trained for: far from the good patches where a part is spoilt, near them elsewhere.

`rank` plays PatchCore with every task of an episode: its references fill the bank, and each patch in question is as
anomalous as it is far from the bank. A spoilt patch should be farther than good ones, whatever the light, the zoom or the
noise of the day. `peaks` asks it of whole parts, which are stopped for their worst patch: that of a spoilt part should be
farther than every good one. `naming` asks which material a view shows: that needs context and makes good places of one
material alike. Neither ranking nor naming does alone: ranking finds small faults in textures and misses what only context
tells, naming unlearns small faults the longer it lasts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from episodes import Episode
from torch import Tensor

SHARPNESS = 6.0  # of the comparison of two distances: a factor e^(1/6) between them counts as one unit
STEEPNESS = 24.0  # the power by which a part's peak is taken
FLOOR = 1e-4  # added to squared distances, so that equal patches have a logarithm


def neighbourhood(map: Tensor, cells: tuple[int, int]) -> Tensor:
    """Average (N, C, h, w) over 3 x 3 cells and bring it to `cells`, as PatchCore does, in float32."""
    map = F.avg_pool2d(map.float(), 3, 1, 1)
    if map.shape[2] > cells[0]:
        return F.adaptive_avg_pool2d(map, cells)
    return map if map.shape[2:] == cells else F.interpolate(map, cells, mode="bilinear", align_corners=False)


def truth(masks: Tensor, cells: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return which patches are spoilt and which are good, both (E, Q * cells) bool; those at a border are neither.

    A patch is spoilt if 30 % of it is, or, where a defect is small, if it holds the most of it.
    """
    flat = masks.flatten(0, 1)[:, None].float()
    share = F.adaptive_avg_pool2d(flat, cells)
    most = share.amax((2, 3), keepdim=True)
    spoilt = (share >= (most * 0.7).clamp(max=0.3)) & (share > 0.03)
    near = F.max_pool2d(F.adaptive_max_pool2d(flat, cells), 3, 1, 1)
    return spoilt.view(len(masks), -1), (near == 0).view(len(masks), -1)


def log_distances(features: Tensor, references: int) -> Tensor:
    """Return log distances (E, Q * P) to the nearest of each task's references; `features` is (E, R + Q, P, D)."""
    bank, asked = features[:, :references].flatten(1, 2), features[:, references:].flatten(1, 2)
    squared = asked.square().sum(2)[:, :, None] + bank.square().sum(2)[:, None] - 2 * asked @ bank.transpose(1, 2)
    return 0.5 * torch.log(squared.amin(2).clamp(min=0) + FLOOR)


def rank(distances: Tensor, spoilt: Tensor, good: Tensor) -> Tensor:
    """Return the mean loss over tasks with a defect: log(1 + mean over good patches of (d_good / d_spoilt)^SHARPNESS).

    All three are (E, N); distances are logarithms, so the loss does not depend on the scale of the features.
    """
    tasks = []
    for row, bad, fine in zip(distances, spoilt, good, strict=True):
        if bad.any() and fine.any():
            excess = SHARPNESS * (row[fine][None] - row[bad][:, None])
            tasks.append(torch.log1p(excess.exp().mean(1)).mean())
    return torch.stack(tasks).mean() if tasks else distances.sum() * 0


def peaks(distances: Tensor, spoilt: Tensor, good: Tensor, queries: int) -> Tensor:
    """Return the mean over spoilt parts of log(1 + (peak of the task's good patches / the part's own peak)^SHARPNESS).

    All three are (E, queries * P), distances are logarithms. A peak is a power sum, the STEEPNESS-th root of the sum of
    powers: a maximum to which more than one patch contributes.
    """
    parts = []
    for row, bad, fine in zip(distances, spoilt, good, strict=True):
        if bad.any() and fine.any():
            highest = _peak(row[fine])
            own = [
                _peak(some[hit]) for some, hit in zip(row.chunk(queries), bad.chunk(queries), strict=True) if hit.any()
            ]
            parts += [F.softplus(SHARPNESS * (highest - peak)) for peak in own]
    return torch.stack(parts).mean() if parts else distances.sum() * 0


def _peak(row: Tensor) -> Tensor:
    return torch.logsumexp(STEEPNESS * row, 0) / STEEPNESS


def separation(distances: Tensor, spoilt: Tensor, good: Tensor) -> Tensor:
    """Return the mean AUROC over tasks: how often a spoilt patch is farther than a good one. For the log only."""
    shares = [
        (row[bad][:, None] > row[fine][None]).float().mean()
        for row, bad, fine in zip(distances, spoilt, good, strict=True)
        if bad.any() and fine.any()
    ]
    return torch.stack(shares).mean() if shares else distances.new_tensor(0.5)


def mixing(features: Tensor, references: int, good: Tensor, chance: torch.Generator) -> Tensor:
    """Return the cross-entropy of finding a good patch's own bank among all tasks' by nearest distances.

    Of each task 40 patches in question and 80 of the bank, drawn by `chance`, take part: (E * Q * P)^2 distances would cost
    more than the network.
    """
    tasks = len(features)
    bank, asked = features[:, :references].flatten(1, 2), features[:, references:].flatten(1, 2)
    some = torch.randperm(asked.shape[1], generator=chance)[:40]
    kept = torch.randperm(bank.shape[1], generator=chance)[:80]
    asked, bank, good = asked[:, some].flatten(0, 1), bank[:, kept].flatten(0, 1), good[:, some].flatten()
    squared = asked.square().sum(1)[:, None] + bank.square().sum(1)[None] - 2 * asked @ bank.T
    nearest = squared.clamp(min=0).view(len(asked), tasks, -1).amin(2)
    logits = -SHARPNESS * 0.5 * torch.log(nearest + FLOOR)
    own = torch.arange(tasks, device=features.device).repeat_interleave(len(some))
    return F.cross_entropy(logits[good], own[good])


def ranking(
    maps: Sequence[Tensor],
    beside: Sequence[Tensor],
    episode: Episode,
    single: float,
    mixed: float,
    peak: float,
    share: float,
    chance: torch.Generator,
) -> dict[str, Tensor]:
    """Return the loss of an episode from its maps at strides 4, 8 and 16, (E * (R + Q), C, h, w), and its parts.

    The maps of strides 8 and 16 together, with those in `beside` at a weight of `share` each, as they are shipped, count 1;
    each of the three alone `single`; `mixing` counts `mixed`, `peaks` counts `peak`.
    """
    tasks, queries = episode.masks.shape[:2]
    cells = (maps[1].shape[2], maps[1].shape[3])
    grids, others = (
        [
            neighbourhood(map, cells).flatten(2).transpose(1, 2).reshape(tasks, -1, cells[0] * cells[1], map.shape[1])
            for map in some
        ]
        for some in (maps, beside)
    )
    references = grids[0].shape[1] - queries
    spoilt, good = truth(episode.masks, cells)
    shipped = torch.cat([*grids[1:], *weighed(grids[1:], others, share)], 3)
    distances = log_distances(shipped, references)
    joint, own = rank(distances, spoilt, good), mixing(shipped, references, good, chance)
    highest = peaks(distances, spoilt, good, queries)
    alone = sum((rank(log_distances(grid, references), spoilt, good) for grid in grids), torch.zeros(()))
    with torch.no_grad():
        found = separation(distances, spoilt, good)
    loss = joint + single * alone + mixed * own + peak * highest
    return {"ranking": loss, "rank": joint, "peaks": highest, "mixing": own, "auroc": found}


def weighed(grids: Sequence[Tensor], others: Sequence[Tensor], share: float) -> list[Tensor]:
    """Scale each of `others` so that its summed variance is `share`^2 of that of all `grids` together, (..., C) each."""
    with torch.no_grad():
        whole = sum((grid.flatten(0, -2).var(0).sum() for grid in grids), torch.zeros(()))
        factors = [share * (whole / (other.flatten(0, -2).var(0).sum() + FLOOR)).sqrt() for other in others]
    return [other * factor for other, factor in zip(others, factors, strict=True)]
