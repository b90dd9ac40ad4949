"""Comparing methods: over seeds, over categories, and on the same images. No scipy.

Every function documents what it assumes, and gives no p-value where there is too little data for one: `p` is then None
and `note` gives the reason.
"""

from blemish.metrics.comparison.over_seeds import Summary, over_seeds
from blemish.metrics.comparison.paired import Paired, holm, permutation, wilcoxon
from blemish.metrics.comparison.ranks import (
    Friedman,
    average_ranks,
    cliques,
    critical_difference,
    friedman,
    nemenyi_q,
)
from blemish.metrics.comparison.same_images import Difference, auroc_difference, delong

__all__ = [
    "Difference",
    "Friedman",
    "Paired",
    "Summary",
    "auroc_difference",
    "average_ranks",
    "cliques",
    "critical_difference",
    "delong",
    "friedman",
    "holm",
    "nemenyi_q",
    "over_seeds",
    "permutation",
    "wilcoxon",
]
