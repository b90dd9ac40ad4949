from __future__ import annotations

from pathlib import Path

import pytest

from blemish.core.errors import DataError, UnknownName
from blemish.data.completeness import completeness
from blemish.data.datasets.magnetic_tile import CARD, MagneticTile, index, tiles


def copy(draw, free=30, crack=5):
    names = [f"MT_Free/Imgs/exp{e}_num_{1000 * i + 10 * e}" for i in range(free) for e in range(1, 4)]
    names += [f"MT_Crack/Imgs/exp1_num_{7 + i}" for i in range(crack)]
    return draw(*(f"{n}.jpg" for n in names), *(f"{n}.png" for n in names))


def test_index(draw):
    records = index(copy(draw))
    assert [sum((r.split, r.label) == p for r in records) for p in (("train", 0), ("test", 0), ("test", 1))] == [
        72,
        18,
        5,
    ]
    assert all(
        (r.kind, r.masks[0].suffix, r.masks[0].stem) == ("Crack", ".png", r.image.stem) for r in records if r.label
    )
    assert all(r.mask_above == 127 for r in records)
    assert all(r.image.suffix == ".jpg" for r in records)


def test_exposures_of_a_tile_stay_together(draw):
    records = [r for r in index(copy(draw)) if r.label == 0]
    tile = tiles(r.image for r in records)
    assert len(set(tile.values())) == 30
    assert not {tile[r.image] for r in records if r.split == "train"} & {
        tile[r.image] for r in records if r.split == "test"
    }


def test_what_is_held_out_shares_no_tile_with_what_is_learned(draw):
    root = copy(draw)
    data = MagneticTile(root)
    assert not {r.group for r in data.train_records} & {r.group for r in data.held_out_records}
    assert len(data.held_out_records) == 12  # a fifth of 72 is 14: four whole tiles of three
    by_file = MagneticTile(root, by="file")
    assert {r.group for r in by_file.train_records} == {""}
    with pytest.raises(DataError, match="no two for the threshold"):
        _ = MagneticTile(root, holdout=0.02).held_out_records


def test_by_file_tears_tiles_apart_and_is_exact(draw):
    records = [r for r in index(copy(draw), by="file") if r.label == 0]
    tile = tiles(r.image for r in records)
    assert sum(r.split == "test" for r in records) == 18
    assert {tile[r.image] for r in records if r.split == "train"} & {
        tile[r.image] for r in records if r.split == "test"
    }


def test_tiles_need_a_gap_and_an_exposure_that_falls():
    frames = [(1, 10), (2, 400), (3, 1500), (1, 1600), (1, 1801), (2, 1802)]
    named = tiles(Path(f"exp{e}_num_{n}.jpg") for e, n in reversed(frames))
    assert [named[Path(f"exp{e}_num_{n}.jpg")] for e, n in frames] == ["10", "10", "10", "10", "1801", "1801"]


def test_seeds_differ_and_repeat(draw):
    root = copy(draw)
    assert index(root) == index(root, "magnetic_tile")
    assert index(root) != index(root, seed=1)


def test_other_names_and_options(draw):
    root = copy(draw)
    with pytest.raises(UnknownName, match="way to split"):
        index(root, by="hand")
    draw("MT_Free/Imgs/new.jpg")
    with pytest.raises(DataError, match=r"new\.jpg is not named expE_num_N"):
        index(root)
    assert len(index(root, by="file")) == 96


def test_repository_folder_and_wrong_root(draw, tmp_path):
    copy(draw)
    inner = tmp_path / "up" / "Magnetic-tile-defect-datasets."
    inner.mkdir(parents=True)
    for name in ("MT_Free", "MT_Crack"):
        (tmp_path / name).rename(inner / name)
    assert len(index(tmp_path / "up")) == 95
    with pytest.raises(DataError, match=r"Looked for MT_Free/Imgs/\*\.jpg.*Found instead: Imgs/.*Point at"):
        index(inner / "MT_Free")


def test_real_copy_is_whole(real):
    result = completeness(CARD, index, real("magnetic_tile"))
    assert result.complete, result.as_dict()
    records = index(real("magnetic_tile"), by="file")
    assert [sum((r.split, r.label) == p for r in records) for p in (("train", 0), ("test", 0))] == [762, 190]
