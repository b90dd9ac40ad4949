from __future__ import annotations

import pytest

from blemish.core.errors import DataError
from blemish.data.datasets.kolektor_sdd2 import index


def test_defective_training_images_are_left_out(draw):
    draw("train/0.png", "train/0_GT.png", "train/1.png", "test/2.png", "test/2_GT.png", "test/3.png")
    root = draw("train/1_GT.png", "test/3_GT.png", value=255)
    assert [(r.key, r.label, r.split, [m.name for m in r.masks]) for r in index(root)] == [
        ("test/2.png", 0, "test", []),
        ("test/3.png", 1, "test", ["3_GT.png"]),
        ("train/0.png", 0, "train", []),
    ]


def test_the_archives_stray_copies_are_left_out(draw):
    root = draw(
        *("train/10301.png", "train/10301_GT.png", "train/10301 (copy).png", "train/10301_GT (copy).png"),
        *("test/2.png", "test/2_GT.png"),
    )
    assert [r.key for r in index(root)] == ["test/2.png", "train/10301.png"]


def test_image_without_mask(draw):
    root = draw("train/0.png", "train/0_GT.png", "test/2.png")
    with pytest.raises(DataError, match=r"no mask 2_GT\.png"):
        index(root)
