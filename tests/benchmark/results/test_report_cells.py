"""Results are read as they are: missing stays missing, failures and unreadable files are kept by name."""

import json

import pytest

from benchmark.results.made_cells import around, cell, write
from blemish.benchmark.results import read_cells, write_report
from blemish.benchmark.results.cells import natural
from blemish.core.errors import DataError


def test_a_cell_is_read(tmp_path) -> None:
    folder = write(tmp_path, cell("padim", category="grain", seed=3, metrics={"image_AUROC": around(0.9)}))
    (found,) = read_cells(folder).cells
    assert (found.method, found.category, found.seed) == ("padim", "grain", 3)
    assert found.setting == ("synthetic", "one-class", "quick")
    assert found.metrics["image_AUROC"] == pytest.approx((0.9, 0.89, 0.91))
    assert found.categories == {"grain": found.metrics}
    assert found.name == "padim · synthetic · grain · one-class · quick · seed 3"


def test_conditions_are_read_and_kept_apart_where_asked(tmp_path) -> None:
    """Conditions are read and cells that differ only in them are kept where asked for."""
    first, second = cell("padim", category="all"), cell("padim", category="all")
    first["cell"] |= {"params": {"features": 100}, "image_size": 128, "train_images": 20, "resolution": "network"}
    second["cell"] |= {"pixels": "original", "categories": ["weave", "knit"]}
    write(tmp_path, first, second)
    found = {one.file: one for one in read_cells(tmp_path, variants=True).cells}
    one, other = found["0000.json"], found["0001.json"]
    assert (one.params, one.image_size, one.train_images) == ({"features": 100}, 128, 20)
    assert (one.resolution, one.trained_on) == ("network", ())
    assert (other.params, other.image_size, other.train_images) == ({}, None, None)
    assert (other.resolution, other.trained_on) == ("original", ("weave", "knit"))
    assert other.asked == second["cell"]
    with pytest.raises(DataError, match=r"0001\.json and 0000\.json .* both hold"):
        read_cells(tmp_path)
    write(tmp_path / "again", first)
    with pytest.raises(DataError, match=r"both hold the same cell"):
        read_cells(tmp_path, variants=True)


def test_missing_is_missing_and_never_nought(tmp_path) -> None:
    metrics = {
        "image_AUROC": {"value": None, "low": None, "high": None},
        "pixel_AUROC": {"value": 0.9, "low": None},
        "image_AP": 0.8,
        "pixel_AP": {"value": True},
    }
    folder = write(tmp_path, cell("padim", metrics=metrics, costs={"score_ms": None, "peak_mb": 12}))
    text = (folder / "0000.json").read_text().replace('"peak_mb": 12', '"peak_mb": NaN')
    (folder / "0000.json").write_text(text)
    (found,) = read_cells(folder).cells
    assert found.metrics == {"pixel_AUROC": (0.9, None, None), "image_AP": (0.8, None, None)}
    assert found.costs == {}


def test_failed_cells_have_no_numbers_even_if_they_are_written(tmp_path) -> None:
    failed = cell("padim", metrics={"image_AUROC": around(0.5)}, failed={"error": "no memory", "traceback": "..."})
    cells = read_cells(write(tmp_path, failed, cell("stpm", failed="a plain text")))
    assert [c.failed["error"] for c in cells.failed] == ["no memory", "a plain text"]
    assert not any(c.metrics for c in cells.cells)
    assert cells.metrics == []


def test_damaged_files_are_named_and_others_passed_over(tmp_path) -> None:
    write(tmp_path, cell("padim"))
    (tmp_path / "cut.json").write_text('{"cell": {"method": "pad')
    (tmp_path / "odd.json").write_text('{"cell": {"method": "padim", "dataset": "x", "seed": "three"}}')
    (tmp_path / "worse.json").write_text('{"cell": [1]}')
    (tmp_path / "grid.json").write_text('{"methods": ["padim"]}')
    (tmp_path / "list.json").write_text("[1, 2]")
    cells = read_cells(tmp_path)
    assert len(cells.cells) == 1
    assert sorted(cells.unread) == ["cut.json", "odd.json", "worse.json"]
    assert "no readable cell" in cells.unread["odd.json"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scores": {"labels": [0, 1], "scores": [0.1, float("nan")]}}, "a score that is not finite"),
        ({"scores": {"labels": [0, 1], "scores": [0.1]}}, "2 labels, 1 scores and 0 keys"),
        ({"scores": {"labels": [0, 1], "scores": [0.1, 0.2], "keys": ["a"]}}, "2 labels, 2 scores and 1 keys"),
        ({"metrics": {"image_AUROC": 97.3}}, "image_AUROC 97.3, which must be a share from 0 to 1"),
        ({"stamps": ["texnet_s"]}, "which must be an object"),
    ],
)
def test_unreadable_files_are_named_and_the_rest_is_shown(tmp_path, changed, said) -> None:
    """What no page can be made of is named and the rest is shown."""
    metrics = {"image_AUROC": around(0.9)}
    sound = cell("padim", metrics=metrics, scores={"labels": [0, 1], "scores": [0.1, 0.2]})
    cells = read_cells(write(tmp_path, sound, {**cell("stpm", metrics=metrics), **changed}))
    assert [one.method for one in cells.cells] == ["padim"]
    assert said in cells.unread["0001.json"]
    write_report(cells, tmp_path / "report")
    (tmp_path / "0000.json").unlink()
    with pytest.raises(DataError, match=r"holds no cell .* 1 files could not be read, the first: 0001\.json is no"):
        read_cells(tmp_path)


def test_a_folder_without_cells_and_a_cell_twice_are_errors(tmp_path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        read_cells(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no cell"):
        read_cells(tmp_path)
    write(tmp_path, cell("padim"), cell("padim"))
    with pytest.raises(DataError, match=r"0001\.json and 0000\.json .* both hold"):
        read_cells(tmp_path)


def test_order(tmp_path) -> None:
    protocols = ["few-shot-10", "multi-class", "few-shot-2", "one-class"]
    cells = read_cells(write(tmp_path, *(cell("padim", protocol=p) for p in protocols)))
    assert [s.protocol for s in cells.settings] == ["one-class", "few-shot-2", "few-shot-10", "multi-class"]
    assert natural("a-0.05") < natural("a-0.1") < natural("a-2") < natural("a-10")
    both = {"pixel_AUROC": around(0.9), "mine": around(0.1), "image_AUROC": around(0.8)}
    (tmp_path / "more.json").write_text(json.dumps(cell("stpm", metrics=both)))
    assert read_cells(tmp_path).metrics == ["image_AUROC", "pixel_AUROC", "mine"]


def nested(levels: int) -> list:
    inside: list = []
    for _ in range(levels):
        inside = [inside]
    return inside


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        json.dumps(cell("padim", stamps={"platform": nested(600)})),
        json.dumps(cell("padim", seed=5)).replace('"seed": 5', '"seed": Infinity'),
        json.dumps(cell("padim", costs={"score_ms": 10**400})),
        json.dumps(cell("padim", metrics={"image_AUROC": 10**400})),
        json.dumps(cell("pa\ud800dim")),
    ],
)
def test_a_file_that_no_reader_can_follow_keeps_no_other_back(tmp_path, text) -> None:
    write(tmp_path, cell("stpm", metrics={"image_AUROC": around(0.9)}))
    (tmp_path / "odd.json").write_text(text)
    found = read_cells(tmp_path)
    assert list(found.unread) == ["odd.json"]
    assert [one.method for one in found.cells] == ["stpm"]
