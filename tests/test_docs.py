"""What the documents say is run: the quick start, and every command with its options."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from blemish.cli import app
from parts import write_folder

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [text for name, text in found if name == language]


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


def test_the_documents_show_commands_and_link_to_files_that_exist() -> None:
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
