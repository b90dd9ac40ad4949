"""Folders of one's own: every layout that is recognised, every ambiguity that is refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blemish.core.errors import BlemishError, DataError, InputError
from blemish.data.datasets.folder import DEFECTIVE_NAMES, GOOD_NAMES, index


def told(records):
    """Key -> (kind, split, mask's key), of the records that are not good ones in training."""
    return {r.key: (r.kind, r.split, *(m.name for m in r.masks)) for r in records if (r.label, r.split) != (0, "train")}


def test_flat_folder(draw, tmp_path):
    root = draw("b.png", "a.JPG", ".hidden.png", ".git/x.png", "__MACOSX/y.png")
    (root / "notes.txt").write_text("no image")
    assert [(r.key, r.kind, r.label, r.split, r.category) for r in index(root)] == [
        ("a.JPG", "good", 0, "train", tmp_path.name),
        ("b.png", "good", 0, "train", tmp_path.name),
    ]


@pytest.mark.parametrize("good", ["good", "OK", "Normal", "pass", "gut", "defect-free", "i.O."])
def test_good_beside_kinds(draw, good):
    root = draw(*(f"{good}/{i}.png" for i in range(10)), "scratch/0.png", "dent/0.png", "dent/left/deep/1.png")
    records = index(root)
    assert {r.key: r.kind for r in records if r.label} == {
        "scratch/0.png": "scratch",
        "dent/0.png": "dent",
        "dent/left/deep/1.png": "dent",
    }
    assert all(r.split == "test" for r in records if r.label)
    assert [sum(r.split == s for r in records if r.label == 0) for s in ("train", "test")] == [8, 2]


def test_kinds_in_a_folder_of_defective_parts(draw):
    root = draw("ok/0.png", "ok/1.png", "bad/scratch/0.png", "bad/scratch/in/1.png", "bad/dent/0.png", "bad/2.png")
    kinds = {r.key: r.kind for r in index(root) if r.label}
    assert kinds == {
        "bad/scratch/0.png": "scratch",
        "bad/scratch/in/1.png": "scratch",
        "bad/dent/0.png": "dent",
        "bad/2.png": "bad",
    }


def test_mvtec_layout(draw):
    root = draw(
        *("train/good/0.png", "val/1.png", "test/good/0.png", "test/cut/0.png", "test/cut/deep/1.png"),
        *("test/bad/hole/0.png", "ground_truth/cut/0_mask.png", "ground_truth/cut/deep/1.png"),
        *("ground_truth/good/0.png", "ground_truth/bad/hole/0.mask.png"),
    )
    assert told(index(root)) == {
        "test/bad/hole/0.png": ("hole", "test", "0.mask.png"),
        "test/cut/0.png": ("cut", "test", "0_mask.png"),
        "test/cut/deep/1.png": ("cut", "test", "1.png"),
        "test/good/0.png": ("good", "test"),
        "val/1.png": ("good", "validation"),
    }


def test_a_validation_folder_may_hold_kinds(draw):
    """Where good parts have a folder of their own, what lies beside it is defective: it was learned as good before."""
    trained = "train/good/0.png"
    root = draw(f"a/{trained}", "a/val/good/0.png", "a/val/cut/0.png", f"b/{trained}", "b/val/cut/0.png")
    assert told(index(root, "a")) == {
        "a/val/cut/0.png": ("cut", "validation"),
        "a/val/good/0.png": ("good", "validation"),
    }
    assert told(index(root, "b")) == {"b/val/cut/0.png": ("cut", "validation")}
    root = draw("c/train/cam1/0.png", "c/val/cam1/0.png")
    assert told(index(root, "c")) == {"c/val/cam1/0.png": ("good", "validation")}


def test_training_images_without_a_good_folder(draw):
    root = draw("Train/cam1/0.png", "Train/cam2/0.png", "Test/ok/0.png", "Test/ng/0.png")
    assert told(index(root)) == {"Test/ng/0.png": ("ng", "test"), "Test/ok/0.png": ("good", "test")}
    assert [r.key for r in index(root) if r.split == "train"] == ["Train/cam1/0.png", "Train/cam2/0.png"]


def test_train_only_and_masks_below_test(draw):
    assert [r.split for r in index(draw("a/train/good/0.png"), "a")] == ["train"]
    root = draw("b/train/0.png", "b/test/cut/0.png", "b/test/ground_truth/cut/0_mask.png")
    assert told(index(root, "b")) == {"b/test/cut/0.png": ("cut", "test", "0_mask.png")}
    assert {r.category for r in index(root, "b")} == {"b"}


def test_masks_beside_kinds(draw):
    root = draw("good/0.png", "cut/0.jpg", "cut/0_mask.png", "cut/1.png", "cut/1.mask.bmp", "cut/2.png")
    assert told(index(root)) == {
        "cut/0.jpg": ("cut", "test", "0_mask.png"),
        "cut/1.png": ("cut", "test", "1.mask.bmp"),
        "cut/2.png": ("cut", "test"),
    }


@pytest.mark.parametrize("tree", ["masks", "Ground_Truth", "gt"])
def test_masks_in_a_tree(draw, tree):
    root = draw(
        *("good/0.png", "cut/0.png", "cut/1.png", "bad/hole/0.png"),
        *(f"{tree}/cut/0_mask.png", f"{tree}/hole/0.png", f"{tree}/good/0.png"),
    )
    assert told(index(root)) == {
        "cut/0.png": ("cut", "test", "0_mask.png"),
        "cut/1.png": ("cut", "test"),
        "bad/hole/0.png": ("hole", "test", "0.png"),
    }


def test_flat_masks_of_one_kind(draw):
    root = draw("good/0.png", "good/1.png", "cut/1.png", "masks/1_mask.png")
    assert told(index(root, test_share=0)) == {"cut/1.png": ("cut", "test", "1_mask.png")}


@pytest.mark.parametrize(
    ("image", "mask"),
    [("{}.png", "{}_mask.png"), ("{}.png", "masks/{}.png"), ("images/{}.png", "masks/{}.png")],
)
def test_masks_decide_where_no_folder_does(draw, image, mask):
    draw(*(image.format(i) for i in range(12)), mask.format(0))
    root = draw(mask.format(1), mask.format(2), value=200)
    records = index(root)
    assert {r.key for r in records if r.label} == {image.format(1), image.format(2)}
    assert {r.kind for r in records if r.label} == {"defect"}
    assert sum(r.split == "test" for r in records if r.label == 0) == 2
    assert {r.label for r in index(root, mask_above=200)} == {0}


def test_masks_decide_within_train_and_test(draw):
    draw("train/images/0.png", "train/images/1.png", "train/masks/0.png", "test/images/0.png", "test/masks/0.png")
    root = draw("train/images/2.png", "train/masks/2_mask.png", "test/images/1.png", "test/masks/1.png", value=200)
    assert told(index(root)) == {
        "test/images/0.png": ("good", "test"),
        "test/images/1.png": ("defect", "test", "1.png"),
        "train/images/2.png": ("defect", "test", "2_mask.png"),
    }
    draw("extra/0.png")
    with pytest.raises(DataError, match="masks is named for masks but lies among images"):
        index(root)


@pytest.mark.parametrize("masks", ["train/masks", "test/ok/gt", "bad/mask/deep", "bad/mask"])
def test_masks_among_parts_are_refused_and_never_parts(draw, masks):
    top = masks.partition("/")[0]
    root = draw(*(("train/good/0.png", "test/bad/1.png") if top in ("train", "test") else ("good/0.png", "bad/1.png")))
    parts = [r.key for r in index(root)]
    draw(f"{masks}/1.png", f"{masks}/0.png")
    with pytest.raises(DataError, match=r"is named for masks but lies among images of parts.*masks=None"):
        index(root)
    assert [r.key for r in index(root, masks=None)] == parts


def test_masks_beside_images_are_no_parts_when_others_count(draw):
    root = draw("good/0.png", "good/0_mask.png", "bad/1.png", "bad/1.mask.png", "bad/face_mask.png", "masks/bad/1.png")
    records = index(root, masks="masks")
    assert {r.key: len(r.masks) for r in records} == {"good/0.png": 0, "bad/1.png": 1, "bad/face_mask.png": 0}
    assert [r.key for r in index(root, masks=None)] == [r.key for r in records]


def test_masks_can_be_ignored(draw):
    root = draw("good/0.png", "good/1_mask.png", "cut/0.png", "masks/cut/0.png")
    with pytest.raises(DataError, match="holds masks in masks/ and beside images"):
        index(root)
    records = index(root, masks=None)
    assert {r.key: r.masks for r in records} == {"good/0.png": (), "good/1_mask.png": (), "cut/0.png": ()}


def test_names_that_are_given(draw):
    root = draw("fine/0.png", "also/1.png", "ugly/cut/0.png", "ugly/1.png", "labels/cut/0.png", "other/0.png")
    records = index(root, good=["fine", "also"], defective=("ugly", "other"), masks="labels", test_share=0)
    assert {r.key: (r.kind, len(r.masks)) for r in records} == {
        "also/1.png": ("good", 0),
        "fine/0.png": ("good", 0),
        "other/0.png": ("other", 0),
        "ugly/1.png": ("ugly", 0),
        "ugly/cut/0.png": ("cut", 1),
    }


def test_one_name_is_enough(draw):
    root = draw("fine/0.png", "cut/0.png", "bad/hole/0.png")
    assert {r.key: r.kind for r in index(root, good="fine")} == {
        "fine/0.png": "good",
        "cut/0.png": "cut",
        "bad/hole/0.png": "hole",
    }
    root = draw("b/ok/0.png", "b/scratch/0.png")
    assert {r.kind for r in index(root / "b", defective="scratch")} == {"good", "scratch"}


def test_names_below_train_and_test_keep_the_splits(draw):
    root = draw("train/fine/0.png", "test/fine/0.png", "test/ugly/0.png")
    assert told(index(root, good="fine")) == {
        "test/fine/0.png": ("good", "test"),
        "test/ugly/0.png": ("ugly", "test"),
    }


def test_a_test_folder_is_one_without_a_train_folder(draw):
    root = draw("fine/0.png", "test/good/1.png", "test/fine/2.png", "test/cut/3.png", "val/4.png")
    expected = {
        "test/good/1.png": ("good", "test"),
        "test/fine/2.png": ("good", "test"),
        "test/cut/3.png": ("cut", "test"),
    }
    assert told(index(root, good=["fine", "val"])) == {**expected, "val/4.png": ("good", "validation")}


def test_defective_parts_beside_train_and_test_are_tested(draw):
    root = draw("train/good/0.png", "test/cut/1.png", "extra/2.png")
    assert told(index(root, good="good")) == {"test/cut/1.png": ("cut", "test"), "extra/2.png": ("extra", "test")}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds no image"),
        (("notes/.x.png",), "holds no image"),
        (("cut/0.png", "hole/0.png"), r"no good images.*cut, hole.*good=\.\.\."),
        (("bad/0.png",), r"no good images.*good=\.\.\."),
        (("test/good/0.png", "test/cut/0.png"), r"no train folder\. Looked for train/good"),
        (("train/bad/0.png", "test/good/0.png"), "must hold good images only, but holds bad"),
        (("train/good/0.png", "train/cut/0.png"), "must hold good images only, but holds cut"),
        (("train/good/0.png", "training/good/0.png"), "two folders for one split"),
        (("train/good/0.png", "extra/0.png"), "images in extra besides"),
        (("train/good/0.png", "loose.png"), r"loose\.png lies in no folder"),
        (("test/0.png", "train/good/0.png"), r"0\.png lies in no folder"),
        (("good/0.png", "ok/0.png", "cut/0.png"), r"several folders named for good parts: good, ok.*good=\.\.\."),
        (("good/0.png", "cut/0.png", "loose.png"), r"loose\.png lies in no folder"),
        (("good/0.png", "cut/0.png", "masks/cut/0.png", "gt/cut/0.png"), "several folders named for masks: gt, masks"),
        (("good/0.png", "cut/0.png", "masks/cut/9.png"), r"masks/cut/9\.png has no image: looked for cut/9"),
        (("good/0.png", "cut/0.png", "cut/9_mask.png"), r"cut/9_mask\.png has no image: looked for 9\.\* beside"),
        (("9_mask.png", "0.png"), r"9_mask\.png has no image"),
        (("good/0.png", "cut/0.png", "masks/cut/0.png", "masks/cut/0_mask.png"), "has two masks"),
        (("good/0.png", "cut/0.png", "cut/0_mask.png", "cut/0.mask.png"), "has two masks"),
        (("good/0.png", "cut/0.png", "cut/0.jpg", "cut/0_mask.png"), r"could belong to 0\.jpg, 0\.png"),
        (("good/0.png", "cut/0.png", "hole/0.png", "masks/0.png"), "could belong to"),
    ],
)
def test_what_is_refused(draw, tmp_path, names, message):
    draw(*names)
    with pytest.raises(DataError, match=message):
        index(tmp_path)


def test_all_masked_leaves_no_good(draw):
    draw("0.png")
    with pytest.raises(DataError, match="holds no good images to learn from"):
        index(draw("0_mask.png", value=1))


def test_arguments_that_name_nothing(draw):
    root = draw("good/0.png", "cut/0.png")
    with pytest.raises(DataError, match=r"good='fine': no such folder.*holds cut/, good/"):
        index(root, good="fine")
    with pytest.raises(DataError, match="masks='truth': no such folder"):
        index(root, masks="truth")
    with pytest.raises(DataError, match="defective='hole': no such folder"):
        index(root, defective="hole")
    with pytest.raises(DataError, match="does not exist"):
        index(root / "absent")
    with pytest.raises(DataError, match="does not exist"):
        index(root, "absent")
    with pytest.raises(InputError, match="from 0 to below 1"):
        index(root, test_share=1.5)


def test_all_is_for_testing_where_nothing_shall_be_learned(draw, tmp_path_factory):
    root = draw("good/0.png", "good/1.png", "cut/0.png", "masks/cut/0.png")
    assert told(index(root, test_share=1)) == {
        "good/0.png": ("good", "test"),
        "good/1.png": ("good", "test"),
        "cut/0.png": ("cut", "test", "0.png"),
    }


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("cut/0.png", "hole/0.png"), {"cut/0.png": "cut", "hole/0.png": "hole"}),
        (
            ("test/good/0.png", "test/cut/0.png", "ground_truth/cut/0_mask.png"),
            {"test/good/0.png": "good", "test/cut/0.png": "cut"},
        ),
        (("test/images/0.png", "test/masks/0.png"), {"test/images/0.png": "defect"}),
    ],
)
def test_testing_alone_needs_no_train_folder(draw, names, kinds):
    """For testing alone no train folder and no good part is needed."""
    root = draw(*names, value=255)
    with pytest.raises(DataError):
        index(root)
    found = index(root, test_share=1)
    assert {r.key: r.kind for r in found} == kinds
    assert {r.split for r in found} == {"test"}


def test_split_is_drawn_by_seed_and_repeats(draw):
    root = draw(*(f"good/{i}.png" for i in range(20)), "cut/0.png")
    assert index(root) == index(str(root))
    held = [{r.key for r in index(root, seed=seed) if r.split == "test" and not r.label} for seed in (0, 1)]
    assert held[0] != held[1]
    assert [len(h) for h in held] == [4, 4]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_to_folders_are_followed_but_not_in_circles(draw, tmp_path):
    draw("elsewhere/0.png", at=tmp_path)
    root = draw("good/0.png", at=tmp_path / "set")
    (root / "cut").symlink_to(tmp_path / "elsewhere")
    (root / "good/again").symlink_to(root / "good")
    assert [r.key for r in index(root)] == ["cut/0.png", "good/0.png"]


def test_names_do_not_overlap():
    assert not set(GOOD_NAMES) & set(DEFECTIVE_NAMES)


PARTS = ["good", "ok", "bad", "cut", "train", "test", "masks", "ground_truth", ""]
PATHS = st.tuples(st.sampled_from(PARTS), st.sampled_from(PARTS), st.sampled_from(["0.png", "1.bmp", "0_mask.png"]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(PATHS, max_size=8))
def test_any_tree_is_indexed_or_refused_clearly(draw, tmp_path_factory, paths):
    root = draw(*("/".join(filter(None, path)) for path in paths), at=tmp_path_factory.mktemp("tree"))
    try:
        records = index(root)
    except BlemishError as error:
        assert str(error).endswith((".", ":", "good=...", "masks=...", "defective=..."))  # noqa: PT017
        return
    keys = [r.key for r in records]
    assert keys == sorted(set(keys))
    assert any(r.label == 0 and r.split == "train" for r in records)
    for r in records:
        assert (r.label == 0) == (r.kind == "good")
        assert r.label == 0 or r.split == "test"
        assert not set(r.masks) & {other.image for other in records}


def test_real_copies(real):
    for root in (real("hazelnut_toy"), *sorted(real("piped_paper").iterdir())):
        records = index(root)
        counts = [sum((r.split, r.label) == p for r in records) for p in (("train", 0), ("test", 0), ("test", 1))]
        assert counts == ([28, 6, 17] if root.name == "hazelnut_toy" else [36, 12, 48])
        assert all(len(r.masks) == r.label for r in records)


@pytest.mark.parametrize("category", ["..", "../other", "a/../../other", "/"])
def test_a_category_leads_out_of_no_folder(draw, category):
    root = draw("a/1.png", "a/2.png")
    with pytest.raises(DataError, match="leads out of"):
        index(root, category)
