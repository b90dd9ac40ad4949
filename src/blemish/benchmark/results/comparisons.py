"""What can be said about the difference of methods: over categories by ranks and pairs, and on the same images.

A contest takes the methods of one protocol and preset over all their categories, of all data sets, each value the mean
over seeds. Methods that lack half of the categories or more are left out, then categories that one of the rest lacks;
both are named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blemish.benchmark.results.cells import CellResult, Results, Setting, Tested
from blemish.benchmark.results.rows import values
from blemish.metrics.comparison import (
    Difference,
    Friedman,
    Paired,
    average_ranks,
    cliques,
    critical_difference,
    delong,
    friedman,
    holm,
    permutation,
    wilcoxon,
)

ALPHA = 0.05
DRAWN = 10_000  # sign patterns drawn where they are too many to go through


class Pair(NamedTuple):
    """Two methods over the categories.

    Attributes:
        first: The one method.
        second: The other.
        wilcoxon: Wilcoxon's signed-rank test.
        permutation: The test by permuted signs.
        holm_wilcoxon: The first test's p-value, adjusted over all pairs of the contest; None where there is none.
        holm_permutation: The second test's, likewise.
    """

    first: str
    second: str
    wilcoxon: Paired
    permutation: Paired
    holm_wilcoxon: float | None
    holm_permutation: float | None


@dataclass(frozen=True, slots=True)
class Contest:
    """All methods of a protocol and preset, by one metric, over the categories that all of them have.

    Attributes:
        protocol: The protocol.
        preset: The preset.
        metric: The metric.
        categories: "data set/category", or the data set where it has none.
        ranks: Average ranks by method, the best first.
        friedman: Friedman's test over all methods.
        critical: Nemenyi's critical difference of ranks.
        groups: Methods that cannot be told apart; None where Friedman's test found nothing or was not possible.
        pairs: Every pair of methods, the smallest p-value first.
        left_out: Methods and categories that do not take part, with the reason.
    """

    protocol: str
    preset: str
    metric: str
    categories: tuple[str, ...]
    ranks: Mapping[str, float]
    friedman: Friedman
    critical: float
    groups: tuple[tuple[str, ...], ...] | None
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]

    @property
    def pairs_note(self) -> str:
        """Why no pair can be significant after Holm's correction, or ''."""
        made = sum(pair.holm_wilcoxon is not None for pair in self.pairs)
        smallest = min((pair.wilcoxon.smallest for pair in self.pairs), default=1.0)
        if not made or smallest * made < ALPHA:
            return ""
        return (
            f"With {len(self.categories)} categories and {made} pairs no difference could be significant after Holm's "
            f"correction: the smallest p-value possible is {smallest:.3g}, times {made}."
        )


class ImagePair(NamedTuple):
    """Two methods on the same images of a category.

    Attributes:
        first: The one method.
        second: The other.
        difference: Difference of their image AUROC, by DeLong's test.
        seeds: How many seeds of each were averaged.
        holm: The p-value, adjusted over all pairs of the category.
    """

    first: str
    second: str
    difference: Difference
    seeds: int
    holm: float | None


@dataclass(frozen=True, slots=True)
class SameImages:
    """All pairs of methods on the images of one category.

    Attributes:
        setting: The setting.
        category: The category.
        pairs: The pairs, the smallest p-value first.
        not_compared: How many pairs could not be compared, by the reason.
    """

    setting: Setting
    category: str
    pairs: tuple[ImagePair, ...]
    not_compared: Mapping[str, int]


def contests(cells: Results, metrics: Sequence[str], protocols: Sequence[str]) -> list[Contest]:
    """Compare methods over their categories.

    Args:
        cells: The cells.
        metrics: A contest for each of these metrics, ...
        protocols: ... each of these protocols, and each preset.

    Returns:
        The contests that have two methods on a shared category.
    """
    grouped: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for cell in cells.cells:
        if cell.failed is None and cell.setting.protocol in protocols:
            grouped[cell.setting.protocol, cell.setting.preset].append(cell)
    order = list(dict.fromkeys((s.protocol, s.preset) for s in cells.settings))
    found = (_contest(*key, metric, grouped[key]) for key in order if key in grouped for metric in metrics)
    return [contest for contest in found if contest is not None]


def same_images(cells: Results, protocols: Sequence[str]) -> list[SameImages]:
    """Compare methods on the same images, where scores are known.

    One model of all categories is compared category by category: its scores in two of them need not mean the same.

    Args:
        cells: The cells.
        protocols: Only settings of these protocols.

    Returns:
        The pairs of each setting and category that two methods or more have.
    """
    grouped: dict[tuple[Setting, str], dict[str, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells.cells:
        if cell.failed is None and cell.setting.protocol in protocols:
            for category, tested in cell.tested.items():
                if set(tested.labels) == {0, 1}:
                    grouped[cell.setting, category][cell.method].append(cell)
    order = {setting: i for i, setting in enumerate(cells.settings)}
    keys = sorted(grouped, key=lambda key: (order[key[0]], key[1]))
    return [_on_images(*key, grouped[key]) for key in keys if len(grouped[key]) > 1]


def _contest(protocol: str, preset: str, metric: str, own: Sequence[CellResult]) -> Contest | None:
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for method, dataset in {(cell.method, cell.setting.dataset): None for cell in own}:
        chosen = [cell for cell in own if (cell.method, cell.setting.dataset) == (method, dataset)]
        for category, by_seed in values(chosen, metric).items():
            table[method][f"{dataset}/{category}" if category else dataset] = fmean(m.value for m in by_seed.values())
    every = sorted({name for one in table.values() for name in one})
    methods = sorted(name for name, one in table.items() if 2 * len(one) > len(every))
    shared = [name for name in every if all(name in table[method] for method in methods)]
    if len(methods) < 2 or not shared:
        return None
    numbers = np.array([[table[method][name] for method in methods] for name in shared])
    ranks = average_ranks(numbers)
    test = friedman(numbers)
    critical = critical_difference(len(methods), len(shared), ALPHA)
    told = test.p is not None and test.p < ALPHA
    left = [f"{name} (has {len(table[name])} of {len(every)} categories)" for name in sorted(set(table) - set(methods))]
    left += [f"{name} (not every method has it)" for name in every if name not in shared]
    return Contest(
        protocol,
        preset,
        metric,
        tuple(shared),
        {methods[i]: float(ranks[i]) for i in np.argsort(ranks, kind="stable")},
        test,
        critical,
        tuple(tuple(methods[i] for i in group) for group in cliques(ranks, critical)) if told else None,
        _pairs(methods, numbers),
        tuple(left),
    )


def _pairs(methods: Sequence[str], numbers: NDArray[np.float64]) -> tuple[Pair, ...]:
    made = [
        (i, j, wilcoxon(numbers[:, i], numbers[:, j], ALPHA), permutation(numbers[:, i], numbers[:, j], ALPHA, DRAWN))
        for i, j in combinations(range(len(methods)), 2)
    ]
    adjusted = zip(holm([w.p for _, _, w, _ in made]), holm([p.p for _, _, _, p in made]), strict=True)
    found = [Pair(methods[i], methods[j], w, p, *both) for (i, j, w, p), both in zip(made, adjusted, strict=True)]
    return tuple(sorted(found, key=lambda pair: (_last(pair.holm_wilcoxon), -abs(pair.wilcoxon.difference))))


def _on_images(setting: Setting, category: str, own: Mapping[str, list[CellResult]]) -> SameImages:
    compared: list[tuple[str, str, Difference, int]] = []
    refused: Counter[str] = Counter()
    for first, second in combinations(sorted(own), 2):
        chosen = _common(category, own[first], own[second])
        if isinstance(chosen, str):
            refused[chosen] += 1
            continue
        sides = [[tested.scores for tested in side] for side in zip(*chosen, strict=True)]
        compared.append((first, second, delong(chosen[0][0].labels, sides[0], sides[1]), len(chosen)))
    adjusted = holm([difference.p for _, _, difference, _ in compared])
    pairs = [ImagePair(*one, p) for one, p in zip(compared, adjusted, strict=True)]
    return SameImages(
        setting, category, tuple(sorted(pairs, key=lambda p: (_last(p.holm), -abs(p.difference.value)))), refused
    )


def _common(
    category: str, first: Sequence[CellResult], second: Sequence[CellResult]
) -> list[tuple[Tested, Tested]] | str:
    """Return what both methods tested of a category, run by run, where it is the same images, or why there is none."""
    others = {cell.run: cell for cell in second}
    together = [(cell, others[cell.run]) for cell in first if cell.run in others]
    if not together:
        return "no seed in common"
    by_images: dict[object, list[tuple[Tested, Tested]]] = defaultdict(list)
    for one, other in together:
        mine, theirs = _images(one, category), _images(other, category)
        if mine is not None and mine == theirs:
            by_images[mine].append((one.tested[category], other.tested[category]))
    if not by_images:
        known = all(_images(cell, category) is not None for pair in together for cell in pair)
        return "they tested other images" if known else "the cells do not say which images they tested"
    return max(by_images.values(), key=len)


def _images(cell: CellResult, category: str) -> object | None:
    """Return what names the tested images: their keys, or else the split's hash; with their labels."""
    tested = cell.tested[category]
    name = tested.keys or cell.stamps.get("split")
    return (str(name), tested.labels) if name else None


def _last(p: float | None) -> float:
    return 2.0 if p is None else p
