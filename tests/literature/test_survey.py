"""The survey's skeleton: its LaTeX is read as TeX would read it, and compiled where a TeX is at hand."""

import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from blemish.core.errors import UnknownName
from blemish.literature import Ours, papers, results, survey, taxonomy
from blemish.literature.drawing import ROW, WIDTH, latex_picture, layout, svg
from blemish.literature.results import MARK
from blemish.literature.taxonomy import Node

TABULAR = ("longtable",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("survey")
    paths = survey(out, datasets=["visa", "btad", "mvtec_3d_ad"], metrics=["image_auroc", "aupro"], recalled=True)
    assert sorted(p.name for p in paths) == ["references.bib", "survey.md", "survey.tex", "taxonomy.svg"]
    return out


@pytest.fixture(scope="module")
def tex(folder) -> str:
    text = (folder / "survey.tex").read_text(encoding="utf-8")
    assert text.isascii()
    return text


def test_every_citation_has_its_entry_and_every_entry_is_cited(folder, tex) -> None:
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", tex) for key in keys.split(",")}
    entries = set(re.findall(r"^@\w+\{([^,]+),$", (folder / "references.bib").read_text(encoding="utf-8"), flags=re.M))
    assert cited == entries == {p.key for p in papers()}


def test_environments_and_braces_balance(tex) -> None:
    open_ones: list[str] = []
    for word, name in re.findall(r"\\(begin|end)\{(\w+)\}", tex):
        if word == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert open_ones == []
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", tex):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


def test_no_special_character_remains(tex) -> None:
    body = tex[tex.index(r"\maketitle") :]
    body = re.sub(r"\$\\(times|pm|geq|leq)\$", "", body)
    inside = False
    for line in body.splitlines():
        inside = (inside or line.startswith(r"\begin{longtable}")) and not line.startswith(r"\end{longtable}")
        bare = re.sub(r"\\[&%$#_{}\\]", "", line)
        assert not re.search(r"[%$#_^]", bare), line
        assert not re.search(r"~(?!\\cite)", bare), line
        if not inside:
            assert "&" not in bare, line


def test_rows_of_tables_have_as_many_cells_as_columns(tex) -> None:
    tables = re.findall(r"\\begin\{longtable\}\{(.*?)\}\n(.*?)\\end\{longtable\}", tex, flags=re.S)
    assert len(tables) > 5
    for described, content in tables:
        columns = described
        while "{" in columns:  # take the innermost braces away, until only letters of columns are left
            columns = re.sub(r"\{[^{}]*\}", "", columns)
        wanted = len(columns.replace(">", ""))
        rows = [line for line in content.splitlines() if line.endswith(r"\\") and not line.startswith(r"\caption")]
        assert rows
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) + 1 == wanted, (columns, row)
            assert row[0] not in "[*", "a bracket at the start would be taken as the option of the line before"


def test_what_a_survey_must_have(folder, tex) -> None:
    page = (folder / "survey.md").read_text(encoding="utf-8")
    for heading in ("Taxonomy", "Methods compared", "Data sets", "Metrics", "Results"):
        assert f"## {heading}" in page
        assert rf"\section{{{heading}}}" in tex
    for text in (page, tex.replace("{,}", ",")):
        assert "2,830 files are 2,540 images and 290 masks" in text
        assert f"95.4{MARK}" in text  # a number that is recalled
        assert "recalled, never checked" in text
    assert "](taxonomy.svg)" in page
    assert r"\begin{picture}" in tex


def test_without_recalled_numbers_none_is_shown(tmp_path) -> None:
    survey(tmp_path, datasets=["mvtec_3d_ad"], metrics=["image_auroc"])
    results = (tmp_path / "survey.tex").read_text(encoding="utf-8").partition(r"\section{Results}")[2]
    assert not re.search(rf"\d{re.escape(MARK)}", results)


def test_settings_that_only_we_have_are_shown(tmp_path) -> None:
    measured = Ours("PaDiM", "kolektor_sdd", "image_auroc", "few-shot-8", 61.5, seeds=1, categories=1)
    assert not results(dataset="kolektor_sdd", setting="few-shot-8")
    twice = ["image_auroc", "image AUROC"]
    survey(tmp_path / "out", datasets=["kolektor_sdd", "KolektorSDD"], metrics=twice, ours=[measured])
    text = (tmp_path / "out" / "survey.md").read_text(encoding="utf-8")
    assert "| PaDiM |  |  |  | 61.5 (1 seed) |" in text
    assert text.count("61.5 (1 seed)") == 1
    assert text.count("### image AUROC\n") == 1, "a metric named twice has one section"


def test_unknown_names_write_nothing(tmp_path) -> None:
    with pytest.raises(UnknownName, match="data set"):
        survey(tmp_path / "x", datasets=["coco2017"])
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(
    shutil.which("pdflatex") is None and shutil.which("tectonic") is None,
    reason="neither pdflatex nor tectonic is here",
)
def test_the_survey_compiles(folder) -> None:
    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-2000:]

    if shutil.which("pdflatex") is None:
        run("tectonic", "survey.tex")
    else:
        # draft mode reads and breaks everything but draws nothing: a small TeX may lack the fonts of T1
        draw = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "survey.tex"]
        run(*draw)
        if shutil.which("bibtex") is not None:
            run("bibtex", "survey")
        run(*draw)
        run(*draw)
        log = (folder / "survey.log").read_text(encoding="latin-1")
        assert shutil.which("bibtex") is None or "undefined references" not in log


def test_the_picture_is_sound_xml_and_nothing_lies_on_anything() -> None:
    text = svg(taxonomy())
    root = ElementTree.fromstring(text)  # noqa: S314 - written a line above
    words = {element.text for element in root.iter() if element.tag.endswith("text")}
    for node in (node for top in taxonomy() for node in top.walk()):
        assert node.name in words
    boxes, links, height = layout(taxonomy())
    assert len(links) == len(boxes) - 1
    for a in boxes:
        assert a.y >= 0
        assert a.y + ROW - 6 <= height
        for b in boxes:
            if a is not b and a.column == b.column:
                assert abs(a.y - b.y) >= ROW - 6, (a, b)
            if b.column == a.column + 1 == 2 and a.beside:  # names beside a family must not run into finer boxes
                assert not (b.y < a.y + ROW - 6 and a.y < b.y + ROW - 6 and b.x < a.x + WIDTH[1] + 10), (a, b)


def test_names_in_a_drawing_are_escaped_and_lists_broken() -> None:
    """Names in a picture are escaped and long lists are broken."""
    many = tuple(f"method_{i}" for i in range(30))
    nodes = (
        Node("a", "A & <B>", methods=many),
        Node("b", "C_D%"),
        Node("c", "E", methods=("x",), children=(Node("c/d", "F"),)),
    )
    root = ElementTree.fromstring(svg(nodes))  # noqa: S314
    words = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert "A & <B>" in words
    assert ", ".join(many) == ", ".join(w for w in words if w.startswith("method_"))
    assert any(word == "x" for word in words), "methods of a family itself are shown beside its finer places"
    drawn = latex_picture(nodes)
    assert r"C\_D\% (0)" in drawn
    assert r"A \& \textless{}B\textgreater{} (0)" in drawn
