"""Every card's sums against the published totals, and its layout against what `index` says."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import blemish.data.datasets
from blemish.core.card import DatasetCard

CARDS = {
    module.name: card
    for module in pkgutil.iter_modules(blemish.data.datasets.__path__)
    if isinstance(
        card := getattr(importlib.import_module(f"blemish.data.datasets.{module.name}"), "CARD", None), DatasetCard
    )
}
# train good, validation good, test good, test defective, categories, kinds: the totals their authors (or counts) give
TOTALS = {
    "mvtec_ad": (3629, 0, 467, 1258, 15, 73),
    "visa": (8659, 0, 962, 1200, 12, 12),
    "btad": (1799, 0, 451, 290, 3, 3),
    "mpdd": (888, 0, 176, 282, 6, 11),
    "mvtec_loco": (1778, 305, 575, 432 + 561, 5, 10),
    "mvtec_ad_2": (2528, 302, 379, 705, 8, 8),
    "mvtec_3d_ad": (2656, 294, 249, 948, 10, 0),
    "kolektor_sdd2": (2085, 0, 894, 110, 1, 1),
    "magnetic_tile": (763, 0, 952 - 763, 392, 1, 5),
    "kolektor_sdd": (0, 0, 0, 52, 1, 1),
}


@pytest.mark.parametrize("name", TOTALS)
def test_categories_sum_to_the_totals(name):
    counts = CARDS[name].counts.values()
    sums = [sum(getattr(c, f) or 0 for c in counts) for f in ("train_good", "validation_good", "test_good")]
    sums += [sum(c.test_defective or 0 for c in counts), len(counts), sum(len(c.kinds) for c in counts)]
    assert tuple(sums) == TOTALS[name]


@pytest.mark.parametrize("name", CARDS)
def test_card_is_consistent(name):
    card = CARDS[name]
    assert set(card.counts) <= set(card.categories)
    assert len(set(card.categories)) == len(card.categories)
    for counts in card.counts.values():
        assert not counts.kinds or sum(counts.kinds.values()) == counts.test_defective
    for archive in card.archives:
        assert re.fullmatch(r"|sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", archive.checksum)
        assert not archive.url or archive.url.startswith("https://")
    assert card.masks
    assert card.counts_source or not card.counts


@pytest.mark.parametrize("name", TOTALS)
def test_card_says_where_it_comes_from(name):
    card = CARDS[name]
    assert card.home.startswith("https://")
    assert card.licence
    assert card.layout
    assert card.paper is not None
    assert card.paper.url.startswith("https://")
