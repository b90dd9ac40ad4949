"""The lesson in examples/ runs, offline, to its pictures; with a few steps here."""

import importlib.util
from pathlib import Path

import pytest

from blemish.data.synthetic.render import CATEGORIES
from blemish.imaging.reading import read

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "examples" / "lesson.py"


def test_the_lesson_ends_with_a_picture_of_each_kind_of_part(tmp_path, capsys) -> None:
    spec = importlib.util.spec_from_file_location("lesson", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    lesson = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lesson)
    lesson.main(tmp_path, "fabric", steps=2)
    said = capsys.readouterr().out
    for name in lesson.METHODS:
        assert f"{name} learns from 40 good parts" in said
    assert said.count(" of 24 ") == 3
    kinds = {path.stem for path in tmp_path.glob("*.png")}
    assert kinds == {"good", *CATEGORIES["fabric"]}
    height, width, _ = read(tmp_path / "good.png").shape
    assert width > 4 * height, "the part, its redrawing and three methods side by side"
