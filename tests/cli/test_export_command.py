"""Export from the command line: one file, its report, and the same verdicts from `inspect` and `watch`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer import Exit

from blemish.cli.export import _parts, export
from blemish.cli.measure import profile
from blemish.core.errors import InputError
from blemish.data import Folder
from blemish.engine import Engine
from blemish.inference.provenance import Provenance
from blemish.models import Patchcore
from commands import blemish
from parts import write_folder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]

COMMAND = [sys.executable, "-m", "blemish"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("line")
    write_folder(place / "parts", good=60)
    fast = ["--image-size", "64", "-s", "coreset_sampling_ratio=0.2", "--false-reject-rate", "0.2"]
    done = blemish("fit", place / "parts", "--out", place / "runs", "--json", *fast)
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["model"])


@pytest.fixture(scope="module")
def exported(model) -> Path:
    done = blemish("export", model)
    assert done.returncode == 0, done.stderr
    assert "Comparing on what the model was fitted and tested on" in done.stderr
    assert "decisions 0 of 28 differ" in done.stdout
    assert "image_AUROC" in done.stdout
    path = model.with_suffix(".onnx")
    assert f"Next:  blemish inspect {path} IMAGES" in done.stdout
    assert json.loads(path.with_suffix(".parity.json").read_text())["held_out"]["changed"] == 0
    return path


def test_another_folder_of_the_same_name_is_recognised(tmp_path, monkeypatch, capsys) -> None:
    """Another folder of the same name is not what the model was fitted on."""
    here, there = tmp_path / "here", tmp_path / "there"
    write_folder(here / "parts", good=12)
    write_folder(there / "parts", good=12)
    for path in there.rglob("*.png"):  # the same names in the same split, other images
        path.write_bytes(path.read_bytes() + b"other")
    monkeypatch.chdir(here)
    fitted = Engine(here / "runs").fit(Patchcore(coreset_sampling_ratio=0.2), Folder("parts", image_size=64))
    good, test = _parts(fitted, None, "folder", None, [])
    assert len(good) == len(fitted.provenance.learned) - fitted.provenance.data["counts"]["held_out"]
    assert {record.label for record in test} == {0, 1}
    assert "Comparing on what the model was fitted and tested on: parts" in capsys.readouterr().err
    monkeypatch.chdir(there)
    assert _parts(fitted, None, "folder", None, []) == ([], [])
    assert "does not hold, seen from this folder, what the model was fitted on" in capsys.readouterr().err
    assert len(_parts(fitted, Path("parts"), "folder", None, [])[0]) == len(good)  # named, it is taken
    with pytest.raises(InputError, match="name them with --data FOLDER"):
        export(fitted.save(tmp_path / "part.safetensors"), precision="int8")


def test_inspect_says_the_same_with_both(model, exported) -> None:
    parts = model.parents[3] / "parts" / "test"
    own, other = (blemish("inspect", file, parts, "--json") for file in (model, exported))
    assert own.returncode == other.returncode == 1
    for a, b in zip(own.stdout.splitlines(), other.stdout.splitlines(), strict=True):
        first, second = json.loads(a), json.loads(b)
        assert (first["key"], first["verdict"], first["p_value"]) == (
            second["key"],
            second["verdict"],
            second["p_value"],
        )
        assert second["score"] == pytest.approx(first["score"], rel=1e-5)


def test_watch_takes_the_exported_file(model, exported, tmp_path) -> None:
    parts = model.parents[3] / "parts" / "test"
    call = ["watch", parts, "--model", exported, "--out", tmp_path / "out", "--once", "--settle", "0", "--json"]
    done = blemish(*call)
    assert done.returncode == 1, done.stderr
    assert len(done.stdout.splitlines()) == len(list(parts.rglob("*.png")))
    assert list((tmp_path / "out" / "overlays").rglob("*.png"))


def test_info_reads_what_the_file_says_of_itself(exported) -> None:
    done = blemish("info", exported, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["method"] == "PatchCore"
    assert found["imaging"]["size"] == [64, 64]
    assert found["calibration"]["threshold"] > 0


def test_benchmark_prints_percentiles(exported) -> None:
    done = blemish("profile", exported, "--repeats", "3", "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert 0 < row["p50"] <= row["p99"]
    assert row["memory"] > 0
    absent = blemish("profile", exported.with_name("none.onnx"))
    assert absent.returncode == 2
    assert "does not exist" in absent.stderr


def test_what_cannot_be_exported_says_why(model, tmp_path) -> None:
    wrong = blemish("export", model, "--out", tmp_path / "model.xml")
    assert wrong.returncode == 2
    assert "must end in .onnx" in wrong.stderr
    unknown = blemish("export", model, "--precision", "int4")
    assert unknown.returncode == 2
    assert "int8" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_an_exported_file_is_tested_without_torch(model, exported, tmp_path) -> None:
    """An exported file is tested without torch as the saved one is."""
    parts = model.parents[3] / "parts"
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'torchvision', 'numba', 'onnx', 'onnxscript'):\n"
        "    sys.modules[name] = None\n"
        "from blemish.cli import main\n"
        "main()\n"
    )
    line = [sys.executable, "-c", code, "test", exported, parts, "--json", "-o", tmp_path / "line"]
    done = subprocess.run([*map(str, line)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    own = json.loads(blemish("test", model, parts, "--json", "-o", tmp_path / "own").stdout)
    found = json.loads(done.stdout)
    assert found["decisions"] == own["decisions"]
    assert found["metrics"].keys() == own["metrics"].keys()
    for name, value in own["metrics"].items():
        assert found["metrics"][name]["value"] == pytest.approx(value["value"], abs=1e-4), name
    assert [part["key"] for part in found["parts"]] == [part["key"] for part in own["parts"]]
    assert (found["about"]["method"], found["about"]["precision"]) == ("PatchCore", "fp32")
    assert found["about"]["seed"] == own["about"]["seed"]
    assert Path(found["page"]).is_file()


def test_without_what_draws_the_page_a_test_prints_its_numbers(model, exported, tmp_path) -> None:
    code = "import sys\nsys.modules['jinja2'] = None\nfrom blemish.cli import main\nmain()\n"
    line = [sys.executable, "-c", code, "test", exported, model.parents[3] / "parts", "-o", tmp_path / "line"]
    done = subprocess.run([*map(str, line)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "image_AUROC" in done.stdout
    assert "Report:" not in done.stdout
    assert "report.html was not written" in done.stderr
    assert (tmp_path / "line" / "report.json").is_file()


def test_a_profile_imports_nothing_from_the_working_folder(tmp_path, monkeypatch, capsys) -> None:
    """A measurement imports nothing from the folder in which it is run."""
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the folder was run')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exit):
        profile([tmp_path / "none.onnx"], repeats=3)
    assert "none.onnx does not exist" in capsys.readouterr().err


def test_words_of_a_model_are_no_command_to_a_terminal(capsys) -> None:
    """What a model says of its data is no command to a terminal and no crash."""
    for data in ({"root": "\x1b[2Jx", "dataset": "folder", "category": None}, {"root": "x"}, {"root": 3}):
        assert _parts(SimpleNamespace(provenance=Provenance(data)), None, "folder", None, []) == ([], [])
    said = capsys.readouterr().err
    assert "\\x1b[2Jx does not hold" in said
    assert "\x1b" not in said


def test_a_provenance_of_other_types_is_refused(exported, tmp_path) -> None:
    """Which parts a model has learned from decides what it is tested on: a damaged answer is no answer."""
    onnx = pytest.importorskip("onnx")
    told = onnx.load(exported)
    about = next(prop for prop in told.metadata_props if prop.key == "blemish.provenance")
    about.value = json.dumps({"data": ["no", "object"]})
    onnx.save(told, tmp_path / "part.onnx")
    done = blemish("test", tmp_path / "part.onnx", exported.parents[3] / "parts")
    assert done.returncode == 2
    assert "provenance has values of other types" in done.stderr
