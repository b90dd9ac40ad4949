"""The harness that compares backbones: it finds an obvious defect, keeps its cells, and prints what it measured."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from parts import write_folder

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
