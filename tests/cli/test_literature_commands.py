"""papers, taxonomy, leaderboard and survey as people and scripts meet them."""

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from blemish.literature import bibtex, leaderboard, papers
from commands import blemish

ROOT = Path(__file__).resolve().parents[2]


def test_papers_in_every_format_are_the_same_papers() -> None:
    wanted = papers(family="flow", year="2021-2023", code=True)
    chosen = ("papers", "--family", "flow", "--year", "2021-2023", "--code")
    assert f"{len(wanted)} papers" in blemish(*chosen).stdout
    found = json.loads(blemish(*chosen, "--format", "json").stdout)
    assert [p["key"] for p in found] == [p.key for p in wanted]
    assert found[0]["link"].startswith("https://")
    rows = list(csv.DictReader(io.StringIO(blemish(*chosen, "--format", "csv").stdout)))
    assert [row["title"] for row in rows] == [p.title for p in wanted]
    assert len(blemish(*chosen, "--format", "markdown").stdout.splitlines()) == len(wanted) + 2


def test_bibtex_by_option_by_word_and_with_options() -> None:
    """Bibtex by option by word and with options on either side."""
    wanted = bibtex(papers(family="flow", venue="WACV"))
    assert wanted.startswith("@")
    assert blemish("papers", "--family", "flow", "--venue", "WACV", "--format", "bibtex").stdout == wanted
    assert blemish("papers", "bibtex", "--family", "flow", "--venue", "WACV").stdout == wanted
    assert blemish("papers", "--family", "flow", "bibtex", "--venue", "WACV").stdout == wanted
    twice = blemish("papers", "--family", "flow", "bibtex", "--family", "flow")
    assert twice.returncode == 2
    assert "--family is given before and after" in twice.stderr


def test_taxonomy_prints_a_tree_and_writes_a_picture(tmp_path) -> None:
    printed = blemish("taxonomy").stdout
    assert "Memory bank" in printed
    assert "patchcore" in printed
    assert "[roth2022patchcore]" in blemish("taxonomy", "--papers").stdout
    done = blemish("taxonomy", "--svg", tmp_path / "tree.svg")
    assert done.returncode == 0, done.stderr
    assert ElementTree.parse(tmp_path / "tree.svg").getroot().tag.endswith("svg")  # noqa: S314


def test_leaderboard_prints_columns_apart_and_disputes_below(tmp_path) -> None:
    cell = {"method": "padim", "dataset": "mvtec_ad", "category": "tile", "seed": 0, "protocol": "one-class"}
    (tmp_path / "a.json").write_text(
        json.dumps({"cell": cell, "metrics": {"image_AUROC": {"value": 0.5}}, "failed": None}), encoding="utf-8"
    )
    done = blemish("leaderboard", "MVTec AD", "--ours", tmp_path, "--format", "markdown")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("| method | published | quoted | re-run | ours | disputed |\n")
    assert "50.0 (1 seed, 1 of 15 categories)" in done.stdout
    assert "97.9 (recalled) belongs to the EfficientNet-B5" in done.stdout
    plain = blemish("leaderboard", "mvtec_ad").stdout
    assert "[D1]" in plain
    assert "97.9?" not in plain
    assert "97.9?" in blemish("leaderboard", "mvtec_ad", "--recalled").stdout


def test_an_empty_leaderboard_says_where_numbers_are() -> None:
    done = blemish("leaderboard", "btad", "--setting", "few-shot-8", "--format", "csv")
    assert done.stdout == "method,published,quoted,re-run,disputed\n"
    assert (
        "No number is known here. BTAD has numbers in other settings: one-class, multi-class, zero-shot" in done.stderr
    )


def test_a_narrow_terminal_tears_no_heading_and_loses_no_column(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    said = {"method": "padim", "dataset": "visa", "seed": 0, "protocol": "one-class"}
    (tmp_path / "a.json").write_text(json.dumps({"cell": said, "metrics": {}, "failed": None}))
    narrow = blemish("leaderboard", "mvtec_ad", "--setting", "few-shot-4", "--ours", tmp_path).stdout
    assert re.search(r"method +published +quoted +re-run +ours +disputed", narrow)
    every = blemish("leaderboard", "wfdd", "--every").stdout.partition("published: by")[0]
    assert max(map(len, every.splitlines())) <= 60
    assert "[D1]" in every, "the last column"


def test_leaderboard_for_machines_is_whole() -> None:
    """Leaderboard for machines keeps notes out of the way and numbers whole."""
    done = blemish("leaderboard", "visa", "--metric", "aupro", "--every", "--format", "csv")
    table = leaderboard("visa", metric="aupro").table(every=True)
    assert list(csv.reader(io.StringIO(done.stdout))) == [list(table.head), *map(list, table.body)]
    assert "published: by the authors" in done.stderr
    found = json.loads(blemish("leaderboard", "visa", "--metric", "aupro", "--format", "json").stdout)
    assert found["notes"]
    assert {"value", "sources", "recalled", "disputed"} <= set(found["rows"][0]["published"][0])


def test_survey_writes_and_says_where(tmp_path) -> None:
    said = {"method": "padim", "dataset": "btad", "category": "01", "seed": 0, "protocol": "one-class"}
    cells = tmp_path / "cells"
    cells.mkdir()
    (cells / "a.json").write_text(json.dumps({"cell": said, "metrics": {"pixel_AUPRO": 0.615}, "failed": None}))
    done = blemish("survey", "--out", tmp_path / "s", "--dataset", "btad", "--metric", "aupro", "--ours", cells)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Written: ") == 4
    assert (tmp_path / "s" / "survey.tex").exists()
    assert "61.5 (1 seed, 1 of 3 categories)" in (tmp_path / "s" / "survey.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(capsys) -> None:
    """That its outputs are those of the commands is checked with all generated pages, `tools/docs.py --check`."""
    page = (ROOT / "docs" / "literature.md").read_text(encoding="utf-8")
    assert page.count("```console\n$ blemish ") >= 5
    exec("".join(re.findall(r"^```python\n(.*?)^```$", page, flags=re.M | re.S)), {})  # noqa: S102
    assert "https://arxiv.org/abs/" in capsys.readouterr().out


def test_info_of_a_method_tells_what_is_disputed() -> None:
    assert "independent runs give 90.5" in str(json.loads(blemish("info", "fastflow", "--json").stdout)["disputed"])
    assert "97.9 (recalled) belongs" in blemish("info", "padim").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("papers", "--family", "flows"), "Did you mean 'flow'"),
        (("papers", "--year", "x"), "must be one year or a range"),
        (("leaderboard", "viza"), "Did you mean 'visa'"),
        (("leaderboard", "visa", "--setting", "oneclas"), "Did you mean 'one-class'"),
        (("leaderboard", "visa", "--metric", "image_aurok"), "Did you mean 'image_auroc'"),
        (("leaderboard", "visa", "--ours", "/nowhere"), "is not a folder of benchmark results"),
    ],
)
def test_mistakes_are_answered_with_the_next_step(arguments, said) -> None:
    done = blemish(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
