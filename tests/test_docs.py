"""What the documents say is run: the quick start, and every command with its options."""

import inspect
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.main import get_command

import blemish.data
import blemish.engine
import blemish.export
import blemish.inference.inspector
import blemish.inference.runtime
import blemish.models
import blemish.report
from blemish.cli import app
from blemish.core import registry
from blemish.core.card import Preset
from blemish.data.datasets.folder import index
from parts import write_folder

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [text for name, text in found if name == language]


@pytest.mark.slow
def test_the_quick_start_runs_as_printed(tmp_path, monkeypatch, capsys) -> None:
    """Only where the weights come from is changed: the network is not reachable from a test."""
    write_folder(tmp_path / "datasets" / "MVTec" / "bottle", good=15, bad=3)
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "README.md", "python")
    assert 'Patchcore(backbone="wide_resnet50_2", layers=["layer2", "layer3"], coreset_sampling_ratio=0.1)' in code
    exec(code.replace("Patchcore(backbone", "Patchcore(pretrained=False, backbone"), {})  # noqa: S102
    image, pixel = map(float, capsys.readouterr().out.strip().splitlines()[-1].split())
    assert 0 <= image <= 1
    assert 0 <= pixel <= 1
    assert (tmp_path / "runs" / "patchcore-mvtec_ad-bottle" / "0001" / "model.safetensors").exists()


def short_presets(monkeypatch) -> None:
    """Let every training take two steps: what is learned does not matter here."""
    known = registry.preset

    def brief(name: str, wanted: str) -> Preset:
        found = known(name, wanted)
        return replace(found, params={**found.params, "steps": 2})

    monkeypatch.setattr(registry, "preset", brief)


@pytest.mark.slow
def test_the_page_on_python_runs_as_printed(tmp_path, monkeypatch, capsys) -> None:
    """Every block, in their order, each with what those before it made; only trainings are shorter."""
    page = ROOT / "docs" / "python.md"
    fences = [
        line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("```") and line != "```"
    ]
    assert set(fences) == {"```python"}, "no block is left out"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    short_presets(monkeypatch)
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(code, names)  # noqa: S102
    said = capsys.readouterr().out
    assert "<Prediction " in said
    assert "image_AUROC" in said
    for made in (
        "verdict.png",
        "curve.png",
        "redrawn.png",
        "again/report.html",
        "bottle_cap.safetensors",
        "bottle_cap.onnx",
    ):
        assert (tmp_path / made).stat().st_size > 1000


def test_an_array_in_opencv_order_scores_as_another_colour(tmp_path) -> None:
    """What the page on Python warns of."""
    import cv2

    from blemish.data import Synthetic, synthetic
    from blemish.engine import Engine
    from blemish.models import PatchCore

    synthetic.make(tmp_path / "images", categories=["bottle_cap"], train=20, test_good=1, per_defect=1, size=64)
    data = Synthetic(tmp_path / "images", "bottle_cap", image_size=64)
    inspector = Engine(tmp_path / "runs").fit(PatchCore(), data)
    file = data.held_out_records[0].image
    bgr = cv2.imread(str(file))
    right, wrong = inspector.inspect(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)), inspector.inspect(bgr)
    assert right.score == inspector.inspect(file).score
    assert wrong.score > 1.5 * right.score


@pytest.mark.slow
def test_the_page_for_users_of_anomalib_names_what_exists(tmp_path, monkeypatch) -> None:
    """Its Python runs, and of every `Name(argument=...)` in the columns of ours name and argument are real."""
    page = ROOT / "docs" / "from-anomalib.md"
    write_folder(tmp_path / "parts", good=15, bad=3)
    monkeypatch.chdir(tmp_path)
    short_presets(monkeypatch)
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(code, names)  # noqa: S102
    rows = [line.split(" | ") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    checked = 0
    for row in rows:
        for call, arguments in re.findall(r"`([\w.]+)\(([^`]*)\)`", " | ".join(row[1:])):
            found = ours(call)
            for argument in re.findall(r"(\w+)=", arguments):
                known = inspect.signature(found).parameters
                assert argument in known or (call == "Folder" and argument in inspect.signature(index).parameters), row
                checked += 1
    assert checked > 30


def ours(call: str) -> object:
    """Return what a name on the page means here: a class, a function, or a method of Engine or Inspector."""
    places = [
        blemish.data,
        blemish.models,
        blemish.engine,
        blemish.inference.inspector,
        blemish.inference.runtime,
        blemish.export,
        blemish.report,
    ]
    first, _, rest = call.partition(".")
    value = next(getattr(place, first) for place in places if hasattr(place, first))
    return getattr(value, rest) if rest else value


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in blocks(page, ""):
            joined = block.replace("\\\n", " ")
            found += [(page.name, line.split("#")[0]) for line in joined.splitlines() if line.startswith("blemish ")]
        found += [
            (page.name, text) for text in re.findall(r"`(blemish [a-z]+ [^`]*)`", page.read_text(encoding="utf-8"))
        ]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_in_the_documents_exists(page, line) -> None:
    words = shlex.split(line)[1:]
    group = get_command(app)
    assert words[0] in group.commands, f"{page}: {line}"
    known = {flag for option in group.commands[words[0]].params for flag in option.opts} | {"--help"}
    for word in words[1:]:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"{page}: {line}"


def test_documents_link_to_commands_and_files_that_exist() -> None:
    """The documents show commands and link to files that exist."""
    assert len(commands()) > 8
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_test_that_a_promise_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "promises.md").read_text(encoding="utf-8"))
    assert len(named) >= 14
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {name}"
