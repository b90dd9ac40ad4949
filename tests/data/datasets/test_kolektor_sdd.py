from __future__ import annotations

import pytest

from blemish.core.errors import DataError, InputError, UnknownName
from blemish.data.datasets.kolektor_sdd import index


def copy(draw, items=10, parts=4):
    names = [f"kos{item:02}/Part{part}" for item in range(1, items + 1) for part in range(parts)]
    draw(*(f"{name}.jpg" for name in names), *(f"{name}_label.bmp" for name in names if not name.endswith("Part1")))
    return draw(*(f"{name}_label.bmp" for name in names if name.endswith("Part1")), value=1)


def test_masks_tell_who_is_defective(draw):
    records = index(copy(draw))
    assert len(records) == 40
    assert {r.key for r in records if r.label} == {f"kos{item:02}/Part1.jpg" for item in range(1, 11)}
    assert all(
        r.split == "test" and r.kind == "defect" and r.masks[0].name == "Part1_label.bmp" for r in records if r.label
    )
    assert all(r.masks == () for r in records if not r.label)


def test_an_item_is_never_torn_apart(draw):
    records = [r for r in index(copy(draw)) if r.label == 0]
    train = {r.image.parent.name for r in records if r.split == "train"}
    test = {r.image.parent.name for r in records if r.split == "test"}
    assert not train & test
    assert (len(train), len(test)) == (8, 2)


def test_seed_and_share(draw):
    root = copy(draw)
    assert index(root, "commutators") == index(root)
    assert index(root, seed=1) != index(root)
    assert {r.split for r in index(root, train_share=1.0) if r.label == 0} == {"train"}
    with pytest.raises(InputError, match="train_share is 0"):
        index(root, train_share=0)
    with pytest.raises(UnknownName, match="category"):
        index(root, "metal")


def test_image_without_mask(draw):
    root = copy(draw)
    (root / "kos01/Part0_label.bmp").unlink()
    with pytest.raises(DataError, match=r"Part0\.jpg without its mask Part0_label\.bmp"):
        index(root)


def test_wrong_root(draw):
    root = copy(draw)
    with pytest.raises(DataError, match=rf"Looked for kos\*/Part\*\.jpg.*Point at {root}"):
        index(root / "kos01")
