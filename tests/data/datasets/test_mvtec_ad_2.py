from __future__ import annotations

import pytest

from blemish.core.errors import DataError
from blemish.data.datasets.mvtec_ad_2 import index

NAMES = (
    *("can/train/good/000_regular.png", "can/validation/good/001_regular.png", "can/test_public/good/002_shift_1.png"),
    *("can/test_public/bad/003_overexposed.png", "can/test_public/ground_truth/bad/003_overexposed_mask.png"),
)


def test_public(draw):
    root = draw(*NAMES, "can/test_private/000_regular.png")
    records = [(r.key.split("/", 1)[1], r.kind, r.label, r.split, len(r.masks)) for r in index(root)]
    assert records == [
        ("test_public/bad/003_overexposed.png", "bad", 1, "test", 1),
        ("test_public/good/002_shift_1.png", "good", 0, "test", 0),
        ("train/good/000_regular.png", "good", 0, "train", 0),
        ("validation/good/001_regular.png", "good", 0, "validation", 0),
    ]


def test_private_has_no_label(draw):
    root = draw(*NAMES, "can/test_private/000_regular.png", "can/test_private_mixed/000_mixed.png")
    private = [r for r in index(root, "can", private=True) if r.label is None]
    assert [(r.kind, r.split, r.masks) for r in private] == [
        ("test_private", "test", ()),
        ("test_private_mixed", "test", ()),
    ]


def test_private_asked_for_but_absent(draw):
    with pytest.raises(DataError, match="test_private is missing"):
        index(draw(*NAMES), private=True)
