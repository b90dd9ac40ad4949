"""Focal loss: cross-entropy that looks past what is already classified well."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def focal(logits: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Return the mean of -(1 - p)^gamma log p over all pixels, where p is the true class's probability.

    `logits` is (B, K, ...), `target` (B, ...) int64 in [0, K). Lin et al. (2017), without class weights; `gamma` is 0 (the
    cross-entropy) or at least 1. Computed from log-probabilities: a confident mistake costs much, but never infinitely
    much.
    """
    log_p = F.log_softmax(logits, dim=1).gather(1, target[:, None])[:, 0]
    return -((-log_p.expm1()).pow(gamma) * log_p).mean()
