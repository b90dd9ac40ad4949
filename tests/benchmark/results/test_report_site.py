"""The page: complete, escaped, loading nothing; missing and failed cells are seen as such."""

import re
import sys
from html.parser import HTMLParser

import pytest

from benchmark.results.made_cells import around, cell, grid, write
from blemish.benchmark.results import FORMATS, read_cells, rows, write_report
from blemish.benchmark.results.levels import in_levels, ladders
from blemish.benchmark.results.page import environment
from blemish.core.errors import MissingExtra, UnknownName

VOID = {"meta", "input", "br", "img", "hr", "link"}


class Outline(HTMLParser):
    """Checks that elements close in order; gathers ids, links, and the table's heads."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.ids, self.links, self.sources = [], [], [], []

    def handle_starttag(self, tag, attrs) -> None:
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        self.sources += [v for k, v in attrs if k in ("src", "srcset", "data", "poster") and tag != "tr"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    few = {"patchcore": 3.2, "padim": 2.4, "stpm": 1.5, "ae": 0.4}
    cells = read_cells(grid(folder / "cells", few, ("weave", "grain", "tiles", "knit"), seeds=(0, 1)))
    files = write_report(cells, folder / "out")
    return cells, {path.name: path.read_text(encoding="utf-8") for path in files}


@pytest.mark.slow
def test_all_formats_are_written(written) -> None:
    assert set(written[1]) == set(FORMATS.values())


def test_the_page_is_well_formed_and_loads_nothing(written) -> None:
    text = written[1]["index.html"]
    outline = Outline()
    outline.feed(re.sub(r"<(path|use|rect|circle|ellipse|polyline|line|polygon)\b[^>]*/>", "", text))
    assert outline.open == []
    assert outline.sources == []
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(used) <= set(re.findall(r' id="([^"]+)"', text))
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    assert "default-src 'none'" in text
    assert not re.search(r"(?:@import|url\((?!#))", text)
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_what_failed_is_shown_and_escaped(written) -> None:
    text = written[1]["index.html"]
    assert "OutOfMemory: &lt;8 GiB&gt; wanted" in text
    assert "<b>here</b>" not in text
    assert "csflow · synthetic · weave · one-class · quick · seed 0" in text
    lost = re.search(r'<th scope="row" data-value="CSFlow">.*?</tr>', text, re.S)[0]
    assert "0.00" not in lost
    assert lost.count('title="no result"') == 3


def test_tables_are_accessible(written) -> None:
    text = written[1]["index.html"]
    assert len(re.findall(r"<table", text)) == len(re.findall(r"<caption", text))
    heads = re.search(r'<table id="results-table">.*?</thead>', text, re.S)[0]
    assert heads.count("<th ") == heads.count('<button type="button">') == heads.count("data-key=")
    assert all('role="img" aria-label="' in svg for svg in re.findall(r"<svg[^>]*>", text))


def test_figures_are_there(written) -> None:
    text = written[1]["index.html"]
    assert "Average ranks by image AUROC, the best first: " in text
    assert "image AUROC against time to score an image, ms: " in text
    assert "robustness blur at 1, 2, 4" in text
    assert "few shot at 1, 2, 8" in text
    assert "#333c44" not in text[text.index("<main>") :], "ink follows the page"


@pytest.mark.slow
def test_the_same_cells_give_the_same_bytes(written, tmp_path) -> None:
    cells, texts = written
    for path in write_report(cells, tmp_path):
        assert path.read_text(encoding="utf-8") == texts[path.name]


def test_small_and_strange_benchmarks_have_a_page(tmp_path) -> None:
    def page(folder, *cells) -> str:
        (path,) = write_report(read_cells(write(folder, *cells)), folder, ["html"])
        return path.read_text(encoding="utf-8")

    one = page(tmp_path / "one", cell("padim", metrics={"image_AUROC": around(0.9)}, stamps={}))
    assert "90.00" in one
    assert "The cells carry no stamps" in one
    assert "No cell failed" in one
    assert "<svg" not in one
    none = page(tmp_path / "none", cell("padim", failed={"error": "<script>alert(1)</script>"}))
    assert "<script>alert" not in none
    evil = '"><img src=x onerror=alert(1)>'
    strange = page(
        tmp_path / "strange",
        cell(
            evil,
            evil,
            evil,
            protocol=evil,
            preset=evil,
            metrics={evil: around(0.5)},
            costs={"score_ms": 1, "peak_mb": 0},
        ),
        cell("padim", evil, evil, protocol=evil, preset=evil, metrics={evil: around(0.7)}, costs={"score_ms": 0}),
    )
    assert "<img" not in strange


def test_levels(tmp_path) -> None:
    protocols = ["one-class", "noisy-0.1-overlap", "noisy-0.2-overlap", "noisy-0.1", "few-shot-10", "few-shot-2"]
    table = rows(read_cells(write(tmp_path, *(cell("padim", protocol=p) for p in protocols))))
    found = {ladder.stem: [level for level, _ in ladder.levels] for ladder in ladders(table)}
    assert found == {"few-shot": ["2", "10"], "noisy": ["0.1"], "noisy-overlap": ["0.1", "0.2"]}
    assert in_levels("robustness-blur-2")
    assert not in_levels("one-class")
    lonely = rows(read_cells(write(tmp_path / "lonely", cell("padim", protocol="few-shot-4"))))
    assert ladders(lonely) == []


def test_the_environment_is_counted(tmp_path) -> None:
    made = [
        cell("padim", seed=s, stamps={"platform": p, "started": t})
        for s, (p, t) in enumerate((("a", "2"), ("b", "1"), ("a", "3")))
    ]
    assert environment(read_cells(write(tmp_path, *made))) == {
        "platform": [("a", 2), ("b", 1)],
        "started": [("1 to 3", 3)],
    }


def test_formats_and_missing_libraries_are_named(written, tmp_path, monkeypatch) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'latex'"):
        write_report(written[0], tmp_path, ["latx"])
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"blemish\[report\]"):
        write_report(written[0], tmp_path, ["html"])
    assert len(write_report(written[0], tmp_path, ["markdown", "latex", "csv"])) == 3, "these need no extra"


def test_levels_are_compared_on_the_same_categories(tmp_path) -> None:
    """Plain is 90 on what the levels have and 50 elsewhere; drawn is 90, not the mean of all."""
    made = [cell("padim", category=c, metrics={"image_AUROC": around(v)}) for c, v in (("a", 0.9), ("b", 0.5))]
    made += [
        cell("padim", category="a", protocol=f"few-shot-{k}", metrics={"image_AUROC": around(k / 10)}) for k in (2, 4)
    ]
    made += [cell("stpm", category=c, protocol="few-shot-2", metrics={"image_AUROC": around(0.6)}) for c in "ab"]
    (path,) = write_report(read_cells(write(tmp_path, *made)), tmp_path, ["html"])
    text = path.read_text(encoding="utf-8")
    assert "few-shot, synthetic, preset quick, a</h3>" in text
    assert "at 2, 4. PaDiM: plain 90.0, 20.0, 40.0; STPM: plain none, 60.0, none" in text


def test_pictures_of_each_methods_first_run_are_shown(tmp_path) -> None:
    shown = [{"key": "a", "kind": "good", "score": 0.25}, {"key": "b", "kind": "<crack>", "score": -1.5}]
    cells = [
        cell(
            "patchcore",
            seed=seed,
            category="bottle",
            metrics={"image_AUROC": around(0.9)},
            picture={"webp": webp, "shown": shown},
        )
        for seed, webp in ((0, "AAAA"), (1, "BBBB"))
    ]
    page = written_page(tmp_path, *cells)
    assert 'src="data:image/webp;base64,AAAA"' in page
    assert "BBBB" not in page
    assert "&lt;crack&gt; -1.5" in page
    assert 'alt="PatchCore: three parts and their maps"' in page
    plain = written_page(tmp_path / "plain", cell("patchcore", metrics={"image_AUROC": around(0.9)}))
    assert "data:image/webp" not in plain
    spoiled = cell("patchcore", metrics={}, picture={"webp": '"><script>', "shown": shown})
    write(tmp_path / "spoiled", spoiled, cell("padim", metrics={"image_AUROC": around(0.9)}))
    assert list(read_cells(tmp_path / "spoiled").unread)


def written_page(folder, *cells: dict) -> str:
    write(folder, *cells)
    write_report(read_cells(folder), folder / "out", ["html"])
    return (folder / "out" / "index.html").read_text()
