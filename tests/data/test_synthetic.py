"""The synthetic pictures: masks are exact, defects are visible, a seed decides everything, nothing is left half-made."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from blemish.core.errors import DataError, InputError, StorageError, UnknownName
from blemish.data.completeness import completeness
from blemish.data.datasets.synthetic import CARD, Synthetic, index
from blemish.data.synthetic import CATEGORIES, make, render

KINDS = [(category, kind) for category, kinds in CATEGORIES.items() for kind in kinds]
SMALL = {"categories": ["brushed_metal", "flange"], "train": 5, "test_good": 2, "per_defect": 2, "size": 64, "seed": 5}


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 99])


def _digest(root: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("synthetic") / "new" / "root", **SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(("category", "kind"), KINDS)
@pytest.mark.parametrize(("size", "seeds"), [(256, 1), (64, 4), (150, 1)])
def test_the_mask_holds_every_changed_pixel(category: str, kind: str, size: int, seeds: int) -> None:
    """The mask holds every changed pixel and the change shows."""
    for seed in range(seeds):
        image, mask = render(category, kind, size, _rng(seed))
        good, nothing = render(category, "good", size, _rng(seed))
        assert image.dtype == np.uint8
        assert image.shape == good.shape == (size, size, 3)
        assert mask.dtype == np.bool_
        assert mask.shape == (size, size)
        assert not nothing.any()
        change = np.abs(image.astype(int) - good).max(axis=2)
        assert not change[~mask].any()
        assert change[mask].mean() > 8
        assert (change[mask] > 0).mean() > 0.85  # no padding around the defect
        assert 20 * (size / 256) ** 2 <= mask.sum() < 0.2 * size * size


@pytest.mark.parametrize("category", list(CATEGORIES))
def test_good_parts_vary_as_parts_do(category: str) -> None:
    rng = _rng(0)
    first, second = (render(category, "good", 128, rng)[0].astype(int) for _ in range(2))
    assert 3 < np.abs(first - second).mean() < 60
    assert np.abs(first.mean() - second.mean()) < 30
    assert 40 < first.mean() < 220
    assert first.std() > 8


@pytest.mark.parametrize(("category", "kind"), [("flange", "scratch"), ("fabric", "good")])
def test_the_generator_decides_the_picture(category: str, kind: str) -> None:
    first, mask = render(category, kind, 64, _rng(3))
    again, mask_again = render(category, kind, 64, _rng(3))
    other, _ = render(category, kind, 64, _rng(4))
    assert np.array_equal(first, again)
    assert np.array_equal(mask, mask_again)
    assert not np.array_equal(first, other)


def test_a_part_looks_the_same_at_any_size() -> None:
    """The scene is in units, so a hole stays a hole: averaged down, a large flange's outline is the small one's."""
    dark = []
    for size in (128, 512):
        image = render("flange", "good", size, _rng(0))[0].mean(axis=2).astype(np.float32)
        dark.append(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) < 80)
    assert 0.3 < dark[0].mean() < 0.7
    # The pose is drawn before anything that depends on the size.
    assert (dark[0] == dark[1]).mean() > 0.95


@pytest.mark.parametrize(
    ("category", "kind", "hint"),
    [("flanges", "good", "flange"), ("flange", "rusty", "rust"), ("blister", "rust", "hair")],
)
def test_unknown_names_are_refused_with_what_is_known(category: str, kind: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=hint):
        render(category, kind, 64, _rng(0))


@pytest.mark.parametrize("size", [0, -256, 63, 100_000])
def test_sizes_that_show_nothing_are_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="64 to 2048"):
        render("flange", "good", size, _rng(0))
    with pytest.raises(InputError, match="64 to 2048"):
        make(tmp_path, size=size)
    assert not list(tmp_path.iterdir())


def test_the_tree_is_mvtecs(made: Path) -> None:
    expected = set()
    for category in SMALL["categories"]:
        expected.add(f"{category}/synthetic.json")
        expected |= {f"{category}/train/good/{i:03}.png" for i in range(5)}
        expected |= {f"{category}/test/good/{i:03}.png" for i in range(2)}
        for kind in CATEGORIES[category]:
            expected |= {f"{category}/test/{kind}/{i:03}.png" for i in range(2)}
            expected |= {f"{category}/ground_truth/{kind}/{i:03}_mask.png" for i in range(2)}
    assert {p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()} == expected
    assert sorted(p.name for p in made.iterdir()) == sorted(SMALL["categories"])  # nothing temporary is left


def test_the_index_finds_every_picture_with_its_mask(made: Path) -> None:
    records = index(made, "flange")
    assert [r.key for r in records] == sorted(r.key for r in records)
    assert sum(r.split == "train" for r in records) == 5
    assert sum(r.split == "test" and r.label == 0 for r in records) == 2
    bad = [r for r in records if r.label == 1]
    assert sorted({r.kind for r in bad}) == sorted(CATEGORIES["flange"])
    assert len(bad) == 2 * len(CATEGORIES["flange"])
    for record in bad:
        (path,) = record.masks
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (64, 64)
        assert set(np.unique(mask)) == {0, 255}
    assert {r.category for r in index(made)} == set(SMALL["categories"])
    data = Synthetic(made, "flange", image_size=64)
    assert len(data.train_records) + len(data.held_out_records) == 5
    assert len(data.test_records) == 10
    with pytest.raises(UnknownName, match="flange"):
        index(made, "flang")
    with pytest.raises(DataError):
        index(made, "fabric")


def test_the_card_counts_a_copy_made_by_default(tmp_path: Path) -> None:
    make(tmp_path, categories=["brushed_metal"], size=64)
    (found,) = (c for c in completeness(CARD, index, tmp_path).categories if not c.error)
    assert found.category == "brushed_metal"
    assert found.differences == ()
    assert found.missing_masks == ()


def test_pictures_on_disk_are_the_rendered_ones_in_rgb(tmp_path: Path) -> None:
    make(tmp_path, categories=["bottle_cap"], train=1, test_good=1, per_defect=1, size=64)
    image = cv2.cvtColor(cv2.imread(str(tmp_path / "bottle_cap/train/good/000.png")), cv2.COLOR_BGR2RGB)
    red, _, blue = image[20:44, 20:44].reshape(-1, 3).mean(axis=0)
    assert blue > red + 30  # the cap is blue


def test_another_process_makes_the_same_files(made: Path, tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from blemish.data.synthetic import make; make(Path({str(tmp_path)!r}), **{SMALL!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert _digest(tmp_path) == _digest(made)


def test_more_pictures_or_other_categories_change_no_picture(made: Path, tmp_path: Path) -> None:
    make(tmp_path, **{**SMALL, "categories": ["flange"], "train": 6, "per_defect": 3})
    for path in (made / "flange").rglob("*.png"):
        assert (tmp_path / "flange" / path.relative_to(made / "flange")).read_bytes() == path.read_bytes()


def test_another_seed_changes_every_picture(made: Path, tmp_path: Path) -> None:
    make(tmp_path, **{**SMALL, "seed": 6})
    for path in made.rglob("*/0*[0-9].png"):
        assert (tmp_path / path.relative_to(made)).read_bytes() != path.read_bytes()


def test_a_copy_made_the_same_way_is_kept(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blemish.data.synthetic.write.render", None)  # calling it would fail
    before = _digest(made)
    assert make(made, **SMALL) == made
    assert _digest(made) == before


@pytest.mark.parametrize("change", [{"seed": 6}, {"size": 72}, {"train": 4}, {"per_defect": 1}])
def test_a_copy_made_another_way_is_refused(made: Path, change: dict[str, int]) -> None:
    before = _digest(made)
    with pytest.raises(DataError, match="was made with"):
        make(made, **{**SMALL, **change})
    assert _digest(made) == before


def test_damage_and_strangers_are_refused(tmp_path: Path) -> None:
    order = {**SMALL, "categories": ["brushed_metal"]}
    make(tmp_path, **order)
    folder = tmp_path / "brushed_metal"
    (folder / "test/dent/001.png").unlink()
    with pytest.raises(DataError, match=r"not whole.*test/dent/001\.png"):
        make(tmp_path, **order)
    (folder / "synthetic.json").write_text("{")
    with pytest.raises(DataError, match="not readable as JSON"):
        make(tmp_path, **order)
    (folder / "synthetic.json").unlink()
    with pytest.raises(DataError, match=r"holds no synthetic\.json"):
        make(tmp_path, **order)


def test_an_empty_folder_in_its_place_is_filled(tmp_path: Path) -> None:
    (tmp_path / "flange").mkdir()
    make(tmp_path, **{**SMALL, "categories": ["flange"]})
    assert json.loads((tmp_path / "flange/synthetic.json").read_text())["seed"] == 5


def test_a_failure_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(100))

    def fail(*args: object) -> object:
        if next(calls) == 5:
            raise OSError(28, "No space left on device")
        return render(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("blemish.data.synthetic.write.render", fail)
    with pytest.raises(StorageError, match="No space left"):
        make(tmp_path, **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="flange"):
        make(tmp_path / "file", **{**SMALL, "categories": ["flange"]})


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="flange"):
        make(tmp_path, **{**SMALL, "categories": ["flange"]})


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test_good": -1}, {"per_defect": 0}, {"seed": -1}])
def test_counts_that_make_nothing_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        make(tmp_path, **{**SMALL, **wrong})
    with pytest.raises(UnknownName, match="flange"):
        make(tmp_path, categories=["flanges"])


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make(tmp_path, **SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 30) for i in range(30)]
