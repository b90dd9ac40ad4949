"""Whoever adds an entry runs one tool: it says what is wrong, and puts the entry where it belongs."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("literature_tool", ROOT / "tools" / "literature.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tool, tmp_path) -> Path:
    for path in tool.DATA.rglob("*.json*"):
        place = tmp_path / path.relative_to(tool.DATA)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return tmp_path


def texts(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in folder.rglob("*.jsonl")}


def test_sound_data_are_left_as_they_are(tool, data, capsys) -> None:
    before = texts(data)
    assert tool.main(["--write"], data) == 0
    assert texts(data) == before
    assert capsys.readouterr().out == "Every entry is sound.\n"


@pytest.mark.slow
def test_an_entry_appended_anywhere_finds_its_file_and_its_line(tool, data, capsys) -> None:
    entry = {"year": 2021, "title": "A new flow", "key": "nobody2021flow", "family": "flow", "placed_by": "curated"}
    entry["arxiv"] = "2100.00001"
    wrong = data / "papers" / "other.jsonl"
    wrong.write_text(wrong.read_text(encoding="utf-8") + json.dumps(entry) + "\n", encoding="utf-8")
    assert tool.main([], data) == 1
    assert "belongs in papers/flow.jsonl" in capsys.readouterr().out
    assert tool.main(["--write"], data) == 0
    lines = (data / "papers" / "flow.jsonl").read_text(encoding="utf-8").splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert keys == sorted(keys)
    assert "nobody2021flow" in keys
    assert list(json.loads(lines[keys.index("nobody2021flow")]))[:2] == ["key", "title"]
    assert "nobody2021flow" not in wrong.read_text(encoding="utf-8")


def test_what_is_wrong_is_said_and_not_repaired(tool, data, capsys) -> None:
    sheet = data / "results" / "wfdd.jsonl"
    sheet.write_text(sheet.read_text(encoding="utf-8").replace('"one-class"', '"one class"'), encoding="utf-8")
    assert tool.main(["--write"], data) == 1
    assert "setting 'one class' is no known setting" in capsys.readouterr().out
    sheet.write_text("{", encoding="utf-8")
    assert tool.main([], data) == 1
    assert "wfdd.jsonl:1 is not JSON" in capsys.readouterr().out
    assert tool.main(["--help"], data) == 2
