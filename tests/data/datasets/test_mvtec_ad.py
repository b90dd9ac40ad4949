from __future__ import annotations

from blemish.data.completeness import count
from blemish.data.datasets.mvtec_ad import index


def test_index(draw):
    root = draw(
        *("cable/train/good/000.png", "cable/train/good/001.png", "cable/test/good/000.png"),
        *("cable/test/bent_wire/000.png", "cable/test/bent_wire/001.png", "cable/test/combined/000.png"),
        *("cable/ground_truth/bent_wire/000_mask.png", "cable/ground_truth/combined/000_mask.png"),
        "wood/train/good/000.png",
    )
    records = index(root, "cable")
    counts = count(records)
    assert (counts.train_good, counts.test_good, counts.test_defective) == (2, 1, 3)
    assert counts.kinds == {"bent_wire": 2, "combined": 1}
    assert {r.key: [m.relative_to(root).as_posix() for m in r.masks] for r in records if r.label} == {
        "cable/test/bent_wire/000.png": ["cable/ground_truth/bent_wire/000_mask.png"],
        "cable/test/bent_wire/001.png": [],
        "cable/test/combined/000.png": ["cable/ground_truth/combined/000_mask.png"],
    }
    assert all(r.split == "test" for r in records if r.label)
    assert {r.category for r in index(root)} == {"cable", "wood"}
