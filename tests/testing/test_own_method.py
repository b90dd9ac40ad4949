"""The package of examples/own_method, installed into a new environment as its user would."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.commands import blemish as command_line

from blemish.testing import check_detector, make_parts

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_method"

GRID = """
name = "own"
methods = ["usual_texture", "padim"]
image_size = 64
holdout = 0.4
[[datasets]]
kind = "blemish.testing.parts:MadeParts"
root = {root}
categories = ["stripes"]
[search.usual_texture]
stride = [4, 8]
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The Python of a new environment with the package in it; torch and blemish are those of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (there,) = folder.glob("lib/python*/site-packages")
    (there / "ours.pth").write_text("\n".join([*site.getsitepackages(), str(Path(__file__).parents[2] / "src")]))
    source = folder / "source"
    shutil.copytree(EXAMPLE, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(there), str(source)], check=True, capture_output=True)
    return folder / "bin" / "python"


def test_it_is_found_fitted_saved_loaded_exported_and_benched(python, tmp_path) -> None:
    root = make_parts(tmp_path / "parts")

    def blemish(*words: object) -> str:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [str(python), "-m", "blemish", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    assert "usual_texture" in blemish("list")
    assert "distance of each patch from the mean of good patches" in blemish("info", "usual_texture")
    data = ("-d", "blemish.testing.parts:MadeParts", "-c", "stripes")
    said = blemish("fit", root, *data, "-m", "usual-texture", "--image-size", 64, "-o", "runs", "--json")
    model = Path(json.loads(said)["model"])
    parts = root / "stripes" / "test"
    own = [json.loads(line) for line in blemish("inspect", model, parts, "--json").splitlines()]
    assert len(own) == 8
    report = json.loads(blemish("test", model, root, *data, "--json"))
    assert report["metrics"]["image_AUROC"]["value"] > 0.9
    blemish("export", model, "-o", tmp_path / "model.onnx")
    exported = [json.loads(line) for line in blemish("inspect", tmp_path / "model.onnx", parts, "--json").splitlines()]
    assert [one["score"] for one in exported] == pytest.approx([one["score"] for one in own], rel=1e-3)
    (tmp_path / "grid.toml").write_text(GRID.format(root=json.dumps(str(root))))
    blemish("benchmark", "grid.toml", "-o", "bench")
    cells = [json.loads(path.read_text()) for path in sorted((tmp_path / "bench").rglob("cells/*.json"))]
    assert {cell["cell"]["method"]: cell["failed"] for cell in cells} == {"padim": None, "usual_texture": None}
    (searched,) = [cell for cell in cells if cell["cell"]["method"] == "usual_texture"]
    assert searched["stamps"]["search"]["best"]["stride"] in (4, 8)
    assert searched["stamps"]["search"]["judged_by"] == "planted"


def test_the_pages_points_only_method_works_as_printed(tmp_path, monkeypatch) -> None:
    """`docs/own-method.md`: its method in a file of its own, fitted and asked for by name, and checked as the page says."""
    text = (EXAMPLE.parents[1] / "docs" / "own-method.md").read_text()
    method, check = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "height.py").write_text(method)
    monkeypatch.syspath_prepend(tmp_path)
    root = make_parts(tmp_path / "parts", ("points",))
    data = ("-d", "blemish.testing.parts:MadeParts", "-c", "stripes", "--image-size", 64, "-o", tmp_path / "runs")
    done = command_line("fit", root, *data, "--method", "height:Height")
    assert done.returncode == 0, done.stderr
    (model,) = (tmp_path / "runs").rglob("model.safetensors")
    done = command_line("inspect", model, root / "stripes" / "test", "--method", "height:Height", "--json")
    assert len(done.stdout.splitlines()) == 8
    assert "print(check_detector(Height))" in check
    check_detector(importlib.import_module("height").Height)


def test_its_own_test_passes(python, tmp_path) -> None:
    """As a developer of the package runs it, without blemish's tests around."""
    shutil.copytree(EXAMPLE, tmp_path / "own")
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "own")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
