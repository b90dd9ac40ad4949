"""The walk that several data sets share, on the simplest of them, and what a wrong folder is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blemish.core.errors import DataError, UnknownName
from blemish.data import layout
from blemish.data.datasets.mvtec_ad import CARD, index
from blemish.data.layout import CategoryFolder, mvtec_records

BOTTLE = ("bottle/train/good/000.png", "bottle/test/good/000.png", "bottle/test/crack/000.png")
KEYS = ["bottle/test/crack/000.png", "bottle/test/good/000.png", "bottle/train/good/000.png"]


@pytest.mark.parametrize("inside", ["", "mvtec_anomaly_detection/"])
def test_keys_are_the_same_however_the_root_is_given(draw, inside):
    root = draw(*(inside + name for name in BOTTLE))
    assert [r.key for r in index(root)] == KEYS
    assert [r.key for r in index(root / inside / "bottle")] == KEYS
    assert [r.key for r in index(root / inside / "bottle", "bottle")] == KEYS


def test_relative_roots_know_their_name(draw, monkeypatch):
    monkeypatch.chdir(draw(*BOTTLE) / "bottle")
    assert [r.key for r in index(Path())] == KEYS


def test_hidden_files_other_files_and_upper_case_suffixes(draw):
    root = draw(*BOTTLE, "bottle/train/good/.000.png", "bottle/train/good/001.PNG", "bottle/__MACOSX/x.png")
    (root / "bottle/train/good/notes.txt").write_text("not an image")
    (root / "bottle/test/.cache").mkdir()
    assert [r.image.name for r in index(root) if r.split == "train"] == ["000.png", "001.PNG"]


def test_unknown_category_suggests(draw):
    with pytest.raises(UnknownName, match="Did you mean 'bottle'"):
        index(draw(*BOTTLE), "botle")


def test_absent_category_names_those_there(draw):
    root = draw(*BOTTLE)
    with pytest.raises(DataError, match=r"no category 'cable'.*holds bottle") as caught:
        index(root, "cable")
    assert str(caught.value).endswith(f"with: blemish download mvtec_ad {root / 'mvtec_ad'}")


def test_wrong_folder_says_what_was_looked_for_and_found(draw):
    root = draw("photos/a.png", "b.png")
    with pytest.raises(DataError) as caught:
        index(root)
    text = str(caught.value)
    assert "<category>/train/good" in text
    assert "mvtec_anomaly_detection/<category>/train/good" in text
    assert "b.png, photos/" in text
    assert text.endswith(f"with: blemish download mvtec_ad {root / 'mvtec_ad'}"), "the root that is full is refused"


def test_wrong_folder_points_one_level_down_or_up(draw):
    root = draw(*("deep/data/" + name for name in BOTTLE))
    for wrong in ("deep", "", "deep/data/bottle/train", "deep/data/bottle/train/good"):
        with pytest.raises(DataError) as caught:
            index(root / wrong)
        assert f"Point at {root / 'deep' / 'data'} instead" in str(caught.value)


def test_absent_root_and_file_as_root(draw):
    root = draw("a.png")
    with pytest.raises(DataError, match=r"does not exist") as caught:
        index(root / "not there")
    assert str(caught.value).endswith(f"with: blemish download mvtec_ad '{root / 'not there'}'"), "a whole command"
    with pytest.raises(DataError, match="is a file, not a folder"):
        index(root / "a.png")


def test_category_folder_of_another_name(draw):
    root = draw(*(name.replace("bottle", "flask") for name in BOTTLE)) / "flask"
    assert [r.key for r in index(root, "bottle")] == KEYS
    with pytest.raises(DataError, match="'flask' is none of them"):
        index(root)


def test_category_folder_but_another_category_asked(draw):
    with pytest.raises(DataError, match="is the folder of category 'bottle', but 'cable'"):
        index(draw(*BOTTLE) / "bottle", "cable")


def test_half_a_category(draw):
    root = draw(*BOTTLE, "cable/test/good/000.png")
    with pytest.raises(DataError, match=r"'cable' of MVTec AD is not whole: looked for train/good/.*found test/"):
        index(root)
    assert len(index(root, "bottle")) == 3


def test_empty_folder_of_images(draw):
    root = draw(*BOTTLE)
    (root / "bottle/test/cut").mkdir()
    with pytest.raises(DataError, match=r"cut holds no image.*it holds nothing"):
        index(root)


def test_two_masks_for_one_image(draw):
    root = draw(*BOTTLE, "bottle/ground_truth/crack/000_mask.png", "bottle/ground_truth/crack/000_mask.bmp")
    with pytest.raises(DataError, match="both masks of image '000'"):
        index(root)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_folder_that_may_not_be_read(draw):
    root = draw(*BOTTLE)
    (root / "bottle/test/crack").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            index(root)
    finally:
        (root / "bottle/test/crack").chmod(0o755)


def test_order_does_not_depend_on_the_listing(draw, monkeypatch):
    root = draw(*BOTTLE, "bottle/train/good/001.png", "cable/train/good/000.png")
    expected = index(root)
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: sorted(listed(path), reverse=True))
    assert index(root) == expected


def test_empty_masks(draw):
    root = draw("empty.png")
    draw("full.bmp", value=1)
    assert layout.mask_is_empty(root / "empty.png")
    assert not layout.mask_is_empty(root / "full.bmp")
    assert layout.mask_is_empty(root / "full.bmp", above=1)


def test_real_copies_in_the_same_layout(real):
    place = CategoryFolder("hazelnut_toy", real("hazelnut_toy"))
    records = mvtec_records(place)
    found = [sum((r.split, r.label) == pair for r in records) for pair in (("train", 0), ("test", 0), ("test", 1))]
    assert found == [28, 6, 17]
    assert all(bool(r.masks) == bool(r.label) for r in records)
    for folder in sorted(real("piped_paper").iterdir()):
        records = mvtec_records(CategoryFolder(folder.name, folder))
        found = [sum((r.split, r.label) == pair for r in records) for pair in (("train", 0), ("test", 0), ("test", 1))]
        assert found == [36, 12, 48]
        assert all(r.masks[0].is_file() for r in records if r.label)


def test_card_is_the_one_in_the_message():
    assert CARD.name == "MVTec AD"
