"""The harness that compares backbones: it finds an obvious defect, keeps its cells, and prints what it measured."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from blemish.core.files import read_json, write_json
from parts import write_folder, write_png

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "backbones.py"


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("backbones", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["backbones"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_pixels_are_the_colours_of_a_patch(harness) -> None:
    image = torch.rand(1, 3, 16, 24)
    (map,) = harness.features("pixels", None)(image)
    assert map.shape == (1, 48, 2, 3)
    means = map.view(1, 3, 16, 2, 3).mean(2)
    torch.testing.assert_close(means, torch.nn.functional.avg_pool2d(image, 8))


def test_a_run_keeps_its_cells_and_tells_backbones_apart(harness, tmp_path, monkeypatch, capsys) -> None:
    write_folder(tmp_path / "striped", good=15, bad=4)
    arguments = ["--root", str(tmp_path / "striped"), "--backbones", "texnet_s", "pixels", "--seeds", "2"]
    arguments += ["--size", "64", "--patches", "60", "--out", str(tmp_path / "cells"), "--page", str(tmp_path / "p.md")]
    monkeypatch.setattr(sys, "argv", ["backbones.py", *arguments])
    monkeypatch.setattr(harness, "speed", lambda nets, size: {name: {"1 threads, batch 1": 2.5} for name in nets})
    harness.main()
    cells = sorted((tmp_path / "cells").glob("*.json"))
    assert len(cells) == 4
    page = (tmp_path / "p.md").read_text(encoding="utf-8")
    assert "| striped | 1.0000 ± 0.0000 |" in page  # texnet_s sees every turned square
    assert "| texnet_s | 2.5 |" in page
    monkeypatch.setattr(harness, "measure", lambda cell, net: pytest.fail("a kept cell is not computed twice"))
    harness.main()


def test_a_file_is_the_embedded_network_with_its_weights(harness) -> None:
    shipped = SCRIPT.parents[1] / "src" / "blemish" / "features" / "weights" / "texnet_s.safetensors"
    assert harness.features(str(shipped), None).sha256 == harness.features("texnet_s", None).sha256
    assert "/" not in harness.Cell(str(shipped), "tile", "f", "folder", 64, 9, 9, 0).name


def test_a_file_and_the_embedded_network_stay_apart(harness) -> None:
    """A file and the embedded network of its name stay apart in the table."""
    cells = [
        harness.Cell(name, "tile", "f", "folder", 64, 9, 9, 0) for name in ("texnet_s", "runs/texnet_s.safetensors")
    ]
    metrics = [dict.fromkeys(harness.METRICS, value) for value in (0.25, 0.75)]
    results = {cell: {"metrics": found} for cell, found in zip(cells, metrics, strict=True)}
    page = harness.table(cells, results, {cell.backbone: {"1 threads, batch 1": 1.0} for cell in cells})
    assert "| tile | 0.2500 ± 0.0000 | 0.7500 ± 0.0000 |" in page


@pytest.mark.slow
def test_kinds_are_shown_where_there_are_several(harness, tmp_path, monkeypatch) -> None:
    root = write_folder(tmp_path / "striped", good=15, bad=4)
    write_folder(tmp_path / "single", good=15, bad=2)
    black = torch.zeros(3, 64, 64)
    for i in range(3):
        write_png(root / "test" / "black" / f"{i}.png", black)
        write_png(root / "ground_truth" / "black" / f"{i}_mask.png", torch.ones(1, 64, 64))
    arguments = [
        "--root",
        str(root),
        str(tmp_path / "single"),
        "--backbones",
        "texnet_s",
        "--seeds",
        "2",
        "--size",
        "64",
    ]
    arguments += ["--patches", "60", "--out", str(tmp_path / "cells"), "--page", str(tmp_path / "p.md")]
    monkeypatch.setattr(harness, "speed", lambda nets, size: {name: {"1 threads, batch 1": 2.5} for name in nets})
    monkeypatch.setattr(sys, "argv", ["backbones.py", *arguments])
    harness.main()
    assert "by kind" not in (tmp_path / "p.md").read_text(encoding="utf-8")
    for path in (tmp_path / "cells").glob("*striped*"):  # as an older version wrote them
        cell = read_json(path)
        del cell["kinds"]
        write_json(path, cell)
    monkeypatch.setattr(sys, "argv", ["backbones.py", *arguments, "--kinds"])
    harness.main()
    page = (tmp_path / "p.md").read_text(encoding="utf-8")
    kinds = page[page.index("by kind") : page.index("## Forward pass")]
    assert "### striped" in kinds
    assert "### single" not in kinds
    assert "| black | 3 | 1.0000 ± 0.0000 |" in kinds
    assert "| turned | 4 | " in kinds


def test_a_kind_is_the_mean_of_its_seeds(harness) -> None:
    cells = [harness.Cell(name, "tile", "f", "folder", 64, 9, 9, seed) for name in ("a", "b") for seed in (0, 1)]
    values = {"a": (0.5, 0.7), "b": (0.9, 0.9)}
    results = {
        c: {
            "kinds": {
                kind: {"count": 5, "auroc": values[c.backbone][c.seed] + more}
                for kind, more in (("crack", 0.0), ("fray", 0.1))
            }
        }
        for c in cells
    }
    lines = harness.by_kind(cells, results)
    assert "| kind | images | a | b |" in lines
    assert "| crack | 5 | 0.6000 ± 0.1000 | 0.9000 ± 0.0000 |" in lines
    assert "| fray | 5 | 0.7000 ± 0.1000 | 1.0000 ± 0.0000 |" in lines
