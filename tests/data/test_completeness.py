from __future__ import annotations

import json

from blemish.core.card import Counts, DatasetCard
from blemish.data.completeness import completeness
from blemish.data.datasets import kolektor_sdd
from blemish.data.datasets.mvtec_ad import CARD, index

NAMES = (
    *("bottle/train/good/0.png", "bottle/train/good/1.png", "bottle/test/good/0.png", "bottle/test/cut/0.png"),
    *("bottle/ground_truth/cut/0_mask.png", "cable/train/good/0.png"),
)


def only(name: str, counts: Counts | None) -> DatasetCard:
    found = {} if counts is None else {name: counts}
    return DatasetCard("Toy", CARD.paper, "none", "https://x", (name,), (), "", found, "a count")


def test_whole_copy(draw):
    result = completeness(only("bottle", Counts(2, 1, 1, kinds={"cut": 1})), index, draw(*NAMES))
    assert result.complete
    assert result.missing == ()
    assert result.categories[0].found == Counts(2, 1, 1, 0, {"cut": 1})


def test_differences_are_named(draw):
    result = completeness(only("bottle", Counts(3, 1, 2, kinds={"cut": 1, "hole": 1})), index, draw(*NAMES))
    assert not result.complete
    assert result.categories[0].differences == (
        *("train_good: found 2, known 3", "test_defective: found 1, known 2", "kind hole: found 0, known 1"),
    )


def test_kinds_that_nobody_knows(draw):
    root = draw(*NAMES)
    result = completeness(only("bottle", Counts(2, 1, 1, kinds={"hole": 1})), index, root)
    assert result.categories[0].differences == ("kind cut: found 1, known 0", "kind hole: found 0, known 1")
    assert completeness(only("bottle", Counts(test_defective=1)), index, root).complete
    assert completeness(only("bottle", None), index, root).complete


def test_missing_mask(draw):
    root = draw(*NAMES)
    (root / "bottle/ground_truth/cut/0_mask.png").unlink()
    result = completeness(only("bottle", Counts(2, 1, 1)), index, root)
    assert not result.complete
    assert result.categories[0].missing_masks == ("bottle/test/cut/0.png",)


def test_missing_categories_and_unreadable_folders(draw):
    root = draw(*NAMES)
    (root / "cable/train/good/0.png").unlink()
    result = completeness(CARD, index, root)
    assert not result.complete
    assert result.missing == tuple(name for name in CARD.categories if name != "bottle")
    errors = {one.category: one.error for one in result.categories}
    assert "holds no image" in errors["cable"]
    assert "no category 'wood'" in errors["wood"]


def test_a_damaged_mask_is_reported_not_raised(draw):
    root = draw("kos01/Part0.jpg", "kos01/Part0_label.bmp")
    (root / "kos01/Part0_label.bmp").write_bytes(b"")
    result = completeness(kolektor_sdd.CARD, kolektor_sdd.index, root)
    assert "Part0_label.bmp is empty" in result.categories[0].error


def test_wrong_root_is_reported_not_raised(tmp_path):
    result = completeness(CARD, index, tmp_path / "absent")
    assert result.missing == CARD.categories
    assert "does not exist" in result.categories[0].error


def test_as_dict_is_json(draw):
    root = draw(*NAMES)
    value = json.loads(json.dumps(completeness(CARD, index, root).as_dict()))
    assert value["dataset"] == "MVTec AD"
    assert value["root"] == str(root)
    assert value["complete"] is False
    assert value["categories"][0]["found"]["train_good"] == 2
    assert value["categories"][0]["known"]["train_good"] == 209
    assert "train_good: found 2, known 209" in value["categories"][0]["differences"]
