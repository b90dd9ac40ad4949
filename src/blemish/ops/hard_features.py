"""A loss that looks only where the student is worst."""

from __future__ import annotations

import math

from torch import Tensor


def hard_feature_loss(squared: Tensor, share: float = 0.999) -> Tensor:
    """Return the mean of each image's squared differences (B, ...) above its `share` quantile, averaged over images.

    Above the interpolated quantile lie the n - ceil(share * (n - 1)) largest of n numbers, at least one: they are picked by
    rank, which needs no quantile and knows no limit of size. The paper trains on one image at a time; here every image of
    a batch has its own quantile, so that a batch is the mean of its images.
    """
    each = squared.flatten(1)
    count = each.shape[1] - math.ceil(share * (each.shape[1] - 1))
    return each.topk(max(1, count), dim=1, sorted=False).values.mean()
