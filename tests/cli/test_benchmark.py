"""bench as people and scripts meet it: a real process, killed in the middle and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blemish.benchmark.results import read_cells
from blemish.cli import app
from blemish.core.errors import InputError
from commands import blemish
from parts import write_folder

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "blemish"]
GRID = """
methods = ["patchcore"]
seeds = [0]
image_size = 32
batch_size = 4
protocols = ["one-class", {kind = "few-shot", k = 2, draw = [0, 1]}, {kind = "robustness", change = "blur", strength = 2}]

[params.patchcore]
coreset_sampling_ratio = 0.2

[[datasets]]
name = "parts"
kind = "folder"
root = "nowhere"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("benchmark")
    write_folder(root / "parts", good=12, bad=3, size=(32, 32))
    (root / "tiny.toml").write_text(GRID)
    return root


def call(place: Path, *more: object) -> list[object]:
    return ["benchmark", place / "tiny.toml", "--data", f"parts={place / 'parts'}", "--out", place / "out", *more]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_the_pages_are_written_from_it(place) -> None:
    started = subprocess.Popen([*COMMAND, *map(str, call(place))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cells = place / "out" / "cells"
    while not any(cells.glob("*.json")):
        assert started.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    started.send_signal(signal.SIGKILL)
    started.wait()
    before = {path.name: path.read_bytes() for path in cells.glob("*.json")}
    assert 1 <= len(before) < 4
    done = blemish(*call(place, "--jobs", "2"))
    assert done.returncode == 0, done.stderr
    assert f"{len(before)} of 4 cells are there already." in done.stdout
    assert "few-shot-2" in done.stdout
    assert f"Next:  blemish benchmark-report {place / 'out'}" in done.stdout
    after = {path.name: path.read_bytes() for path in cells.glob("*.json")}
    assert len(after) == 4
    assert before.items() <= after.items(), "what was there is not done again"
    found = read_cells(place / "out")
    assert len(found.cells) == 4
    assert {s.protocol for s in found.settings} == {"one-class", "few-shot-2", "robustness-blur-2"}
    report = blemish("benchmark-report", place / "out", "--format", "markdown,csv,latex,html")
    assert report.returncode == 0, report.stderr
    page = (place / "out" / "report" / "results.md").read_text()
    assert "few-shot-2" in page
    few = page.partition("few-shot-2")[2]
    row = next(line for line in few.splitlines() if line.startswith("| PatchCore"))
    assert "| 2 | 1 of 1 |" in row, "two draws, each the mean over two seeds"
    again = blemish(*call(place, "--json"))
    found = json.loads(again.stdout)
    assert (found["cells"], found["failed"]) == (4, 0)
    assert {row["method"] for row in found["table"]} == {"patchcore"}


@pytest.mark.slow
def test_a_changed_grid_in_the_same_folder_stands_by_itself(place, tmp_path) -> None:
    """The cells of two image sizes have one name for a reader of the folder; none is computed only to be refused."""
    small = GRID.partition("protocols")[0].replace("seeds = [0, 1]", "seeds = [0]") + GRID[GRID.index("[params") :]
    grid, out = tmp_path / "grid.toml", tmp_path / "out"
    arguments = ["benchmark", grid, "--data", f"parts={place / 'parts'}", "--out", out]
    grid.write_text(small)
    first = blemish(*arguments)
    assert first.returncode == 0, first.stderr
    assert "another grid" not in first.stdout
    grid.write_text(small.replace("image_size = 32", "image_size = 24"))
    done = blemish(*arguments)
    assert done.returncode == 0, done.stderr
    assert "1 cells of another grid" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("parts ")]
    assert [line.split()[3] for line in lines] == ["1"]
    found = json.loads(blemish(*arguments, "--json").stdout)
    assert (found["other_cells"], len(found["table"]), found["table"][0]["n"]["image_AUROC"]) == (1, 1, 1)
    assert found["table"][0]["notes"] == []


@pytest.mark.slow
def test_failures_are_named_and_the_rest_is_done(place, tmp_path) -> None:
    grid = GRID.replace('["patchcore"]', '["patchcore", "padim"]').replace("seeds = [0, 1]", "seeds = [0]")
    settings = grid[grid.index("[params.patchcore]") :] + "\n[params.padim]\ndims = 0\n"
    (tmp_path / "grid.toml").write_text(grid.split("protocols")[0] + settings)
    arguments = ["benchmark", tmp_path / "grid.toml", "--data", f"parts={place / 'parts'}", "--out", tmp_path / "out"]
    done = blemish(*arguments)
    assert done.returncode == 1
    assert "failed: padim parts" in done.stderr
    assert "dims is 0" in done.stderr
    assert "--retry-failed" in done.stderr
    assert "patchcore" in done.stdout
    assert blemish("benchmark-report", tmp_path / "out", "--format", "markdown").returncode == 0
    assert "dims is 0" in (tmp_path / "out" / "report" / "results.md").read_text()


def test_what_is_wrong_is_said_at_once(place) -> None:
    unknown = blemish("benchmark", "quick-lok")
    assert unknown.returncode == 2
    assert "quick-look" in unknown.stderr
    assert "no part" not in unknown.stderr
    absent = blemish("benchmark", place / "tiny.toml")
    assert absent.returncode == 2
    assert "nowhere" in absent.stderr
    wrong = blemish(*call(place, "--data", "parts"))
    assert wrong.returncode == 2
    assert "NAME=FOLDER" in wrong.stderr
    device = blemish(*call(place, "--out", place / "device", "--device", "cudaa"))
    assert device.returncode == 2
    assert "device 'cudaa' is not known; use 'auto', 'cpu' or 'cuda:0'" in device.stderr
    assert not (place / "device").exists(), "not a failure of every cell"
    nearest = blemish(*call(place, "--on", "rey"))
    assert nearest.returncode == 2
    assert "'ray'" in nearest.stderr
    for ignored in (["--on", "ray", "--jobs", "2"], ["--cpus", "2"], ["--gpus", "1"]):
        said = CliRunner().invoke(app, list(map(str, call(place, *ignored)))).exception
        assert isinstance(said, InputError), ignored
        assert "--cpus and --gpus" in str(said)
