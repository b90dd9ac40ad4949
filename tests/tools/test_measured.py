"""A benchmark's cells and their manifest: what is missing, changed or foreign in a folder is named."""

import csv
import importlib
import sys
from hashlib import sha256
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "benchmark" / "results"


@pytest.fixture
def measured(scripts):
    return scripts["measured"].main


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three cells, with their table, page and manifest in `out`."""
    sys.path.insert(0, str(RESULTS))
    try:
        made = importlib.import_module("made_cells")
    finally:
        sys.path.remove(str(RESULTS))
    metrics = {"image_AUROC": made.around(0.9)}
    return made.write(tmp_path / "run" / "cells", *(made.cell("padim", seed=s, metrics=metrics) for s in range(3)))


@pytest.fixture
def out(measured, folder, tmp_path) -> Path:
    assert measured([str(folder), "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_table_page_and_manifest_are_written(folder, out) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["manifest.csv", "results.csv", "results.md"]
    with (out / "manifest.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["0000.json", "0001.json", "0002.json"]
    content = (folder / "0001.json").read_bytes()
    assert (rows[1]["sha256"], int(rows[1]["bytes"])) == (sha256(content).hexdigest(), len(content))
    assert "| PaDiM | 90.00 " in (out / "results.md").read_text(encoding="utf-8")
    assert "padim,*,image_AUROC,0.9," in (out / "results.csv").read_text(encoding="utf-8")


def test_the_same_cells_agree_in_the_folder_of_the_run_too(measured, folder, out, capsys) -> None:
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for given in (folder, folder.parent):
        assert measured([str(given), "--out", str(out), "--check"]) == 0
        assert "all 3 cells are those of" in capsys.readouterr().out.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_changed_byte_a_missing_and_an_extra_file_are_named(measured, folder, out, capsys) -> None:
    content = bytearray((folder / "0001.json").read_bytes())
    content[-2] ^= 1
    (folder / "0001.json").write_bytes(content)
    (folder / "0000.json").unlink()
    (folder / "extra.json").write_text("{}")
    capsys.readouterr()
    assert measured([str(folder), "--out", str(out), "--check"]) == 1
    said = ["missing: 0000.json", "changed: 0001.json", "not in the manifest: extra.json"]
    assert capsys.readouterr().out.splitlines() == said


def test_nothing_is_written_where_a_cell_cannot_be_read(measured, folder, tmp_path, capsys) -> None:
    (folder / "0002.json").write_text('{"cell": ')
    assert measured([str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "unreadable: 0002.json: " in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_is_an_error(measured, folder, tmp_path, capsys) -> None:
    assert measured([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert measured([str(folder), "--out", str(tmp_path / "out"), "--check"]) == 2
    assert "manifest.csv" in capsys.readouterr().err


def test_results_come_back_from_a_table_as_they_were(scripts, tmp_path) -> None:
    table, path = scripts["measured_table"], tmp_path / "table.csv"
    one = {
        "metrics": {"AUROC": {"value": 0.1 + 0.2, "low": 1e-9}},
        "preset": {"lr": 1e-3, "sizes": [1, 2]},
        "changed": {},
    }
    two = {"failed": 'no disk, "full"', "train": 0, "about": "12", "nothing": None, "empty": ""}
    assert table.read(path) == []
    table.put(path, {"method": "b", "seed": 10}, one)
    table.put(path, {"method": "b", "seed": 9}, two)
    table.put(path, {"method": "a", "seed": 0}, {})
    table.put(path, {"method": "b", "seed": 10}, {**one, "more": True})
    keys = [{"method": "a", "seed": 0}, {"method": "b", "seed": 9}, {"method": "b", "seed": 10}]
    results = [{}, two, {**one, "more": True}]
    assert table.read(path) == [key | result for key, result in zip(keys, results, strict=True)]
