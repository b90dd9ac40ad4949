from __future__ import annotations

import pytest

from blemish.core.errors import UnknownName
from blemish.data.completeness import count
from blemish.data.datasets.mvtec_ad import MVTecAD, index
from parts import write_folder


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


def test_products_of_ones_own_in_the_same_layout(tmp_path) -> None:
    """By name, in a list, and, where no product of the paper is there, all; a typo still suggests the nearest."""
    for name in ("widget", "gadget"):
        write_folder(tmp_path / "own" / name)
    assert MVTecAD(tmp_path / "own", "widget").categories == ["widget"]
    keys = [record.key for record in MVTecAD(tmp_path / "own", "widget").records]
    assert [record.key for record in MVTecAD(tmp_path / "own" / "widget", "widget").records] == keys
    assert MVTecAD(tmp_path / "own", ["widget", "gadget"]).categories == ["gadget", "widget"]
    assert MVTecAD(tmp_path / "own", "all").categories == ["gadget", "widget"]
    for wrong in ("wigdet", "../own/widget"):
        with pytest.raises(UnknownName, match="unknown category"):
            _ = MVTecAD(tmp_path / "own", wrong).records
    write_folder(tmp_path / "own" / "screw")
    assert MVTecAD(tmp_path / "own", "all").categories == ["screw"], (
        "what lies beside the paper's is not of the data set"
    )
    assert MVTecAD(tmp_path / "own", ["screw", "widget"]).categories == ["screw", "widget"]
