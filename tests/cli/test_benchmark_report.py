"""`blemish benchmark-report`: writes what is asked for, says what it read, names what is wrong, needs no torch."""

import json
import subprocess
import sys

from typer.testing import CliRunner

from benchmark.results.made_cells import around, cell, write
from blemish.cli import app
from blemish.core.errors import DataError, UnknownName


def run(*words):
    return CliRunner().invoke(app, ["benchmark-report", *map(str, words)])


def folder(path):
    done = cell("padim", category="a", metrics={"image_AUROC": around(0.9)})
    return write(path, done, cell("stpm", category="a", failed={"error": "no memory"}))


def test_everything_is_written_beside_the_cells(tmp_path) -> None:
    cells = folder(tmp_path / "cells")
    done = run(cells)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("2 cells, 1 failed, 0 files could not be read.")
    names = {path.name for path in (cells / "report").iterdir()}
    assert names == {"index.html", "results.md", "results.tex", "results.csv"}
    again = run(cells, "--json")
    assert json.loads(again.output)["cells"] == 2, "the report is not read as a cell"


def test_formats_place_and_json(tmp_path) -> None:
    done = run(folder(tmp_path / "cells"), "--out", tmp_path / "there", "--format", "csv, markdown", "--json")
    found = json.loads(done.output)
    assert found["files"] == [str(tmp_path / "there" / "results.csv"), str(tmp_path / "there" / "results.md")]
    assert found["failed"] == ["0001.json"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["results.csv", "results.md"]


def test_errors_say_what_is_wrong(tmp_path) -> None:
    assert isinstance(run(tmp_path).exception, DataError)
    wrong = run(folder(tmp_path / "cells"), "--format", "pdf").exception
    assert isinstance(wrong, UnknownName)
    assert "Known: html, markdown, latex, csv" in str(wrong)
    assert "no format is given" in str(run(tmp_path / "cells", "--format", ",").exception)


def test_texts_need_neither_torch_nor_the_extra(tmp_path) -> None:
    cells = folder(tmp_path / "cells")
    code = (
        "import sys; from blemish.cli import app\n"
        f"app(['benchmark-report', {str(cells)!r}, '--format', 'markdown,latex,csv'], standalone_mode=False)\n"
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
