"""The benchmark of all methods: a kept cell is read, shown, and copied to where the methods' pages look for it."""

import importlib.util
import sys
from pathlib import Path

import pytest

from blemish.core.files import write_json

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "methods.py"


@pytest.fixture(scope="module")
def harness():
    spec = importlib.util.spec_from_file_location("bench_methods", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_finished_cells_are_exported_as_rows_of_a_table(harness, tmp_path, monkeypatch, capsys) -> None:
    metrics = {name: {"value": 0.9, "low": 0.8, "high": 0.95} for name in harness.METRICS}
    cell = {
        "metrics": metrics,
        "fit_seconds": 3.0,
        "score_ms": 1.0,
        "peak_mb": 9.0,
        "parameters": 5,
        "train": 4,
        "test": 2,
    }
    write_json(tmp_path / "out" / "padim-piped_pa_bft01_tl-seed0.json", cell)
    calls: list[list[str]] = []
    monkeypatch.setattr(
        harness, "run", lambda call, limit: calls.append(call) or {"failed": "no disk", "train": 0, "test": 0}
    )
    asked = ["methods.py", "--data", str(tmp_path), "--methods", "padim", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(
        sys, "argv", [*asked, "--export", str(tmp_path / "measured"), "--page", str(tmp_path / "page.md")]
    )
    harness.main()
    assert [call[-3] for call in calls] == ["padim"], "only the cell that is not there is computed"
    failed, kept = harness.measured_table.read(tmp_path / "measured" / "methods.csv")
    assert kept == {"method": "padim", "dataset": "piped_pa_bft01_tl", "seed": 0, **cell}
    assert (failed["dataset"], failed["failed"]) == ("magnetic_tile", "no disk")
    assert "| padim | 0.900 (0.800 to 0.950) |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "no disk" in capsys.readouterr().out
