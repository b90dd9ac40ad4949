from __future__ import annotations

import pytest

from blemish.core.errors import DataError
from blemish.data.datasets.mvtec_3d_ad import index

NAMES = tuple(
    f"bagel/{folder}/{name}"
    for folder in ("train/good", "validation/good", "test/good", "test/hole")
    for name in (("rgb/000.png", "xyz/000.tiff", "gt/000.png") if "test" in folder else ("rgb/000.png", "xyz/000.tiff"))
)


def test_index(draw):
    root = draw(*NAMES)
    records = index(root)
    assert [(r.key, r.kind, r.label, r.split, len(r.masks)) for r in records] == [
        ("bagel/test/good/rgb/000.png", "good", 0, "test", 0),
        ("bagel/test/hole/rgb/000.png", "hole", 1, "test", 1),
        ("bagel/train/good/rgb/000.png", "good", 0, "train", 0),
        ("bagel/validation/good/rgb/000.png", "good", 0, "validation", 0),
    ]
    assert records[1].masks == (root / "bagel/test/hole/gt/000.png",)
    assert all(r.files["points"] == r.image.parents[1] / "xyz" / "000.tiff" for r in records)


def test_depth_that_is_missing(draw):
    root = draw(*NAMES)
    (root / "bagel/test/hole/xyz/000.tiff").unlink()
    with pytest.raises(DataError, match=r"000\.tiff is missing.*depth=False"):
        index(root)
    assert all(list(r.files) == ["image"] for r in index(root, "bagel", depth=False))
