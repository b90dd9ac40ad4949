"""Markdown, LaTeX and CSV hold the same numbers, escaped for their language."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from benchmark.results.made_cells import around, cell, write
from blemish.benchmark.results import read_cells, rows, write_report
from blemish.benchmark.results.formatting import cost, p_value, protocol
from blemish.benchmark.results.published import beside
from blemish.benchmark.results.texts import comma_separated, escape_latex, latex, markdown

PDFLATEX = shutil.which("pdflatex")
NASTY = r"50%_of|a{b}$&#~^<x>\n"


@pytest.fixture
def cells(tmp_path):
    made = [cell("padim", "btad", "a", s, metrics={"image_AUROC": around(0.95 + s / 1000, 0.001)}) for s in range(3)]
    made += [cell("stpm", "btad", "a", s, metrics={"image_AUROC": around(0.8 + s / 1000, 0.001)}) for s in range(3)]
    made += [cell(NASTY, "btad", "a", metrics={"pixel_AUROC": around(0.5)}, costs={"parameters": 2e6})]
    made += [cell("ae", "btad", "a", failed={"error": "a | b\nc"})]
    return read_cells(write(tmp_path, *made))


def test_markdown(cells) -> None:
    table = rows(cells)
    text = markdown(cells, table, beside(cells, table))
    assert "| PaDiM | **95.10 ± 0.25 [95.00, 95.20]** | – | 3 | 1 of 1 |" in text
    assert "| STPM | 80.10 ± 0.25 [80.00, 80.20] |" in text
    assert "a \\| b c" in text
    assert "## Failures (1 of 8 cells)" in text
    for part in text.split("\n\n"):
        lines = [re.sub(r"\\\|", "", line) for line in part.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1, "every line of a table has as many columns"
    for method in ("PaDiM", "STPM"):
        assert f"| BTAD | {method} | image AUROC | " in text
    assert text.count("| re-run | IM-IAD benchmark") == 2


def test_csv_has_all_digits_and_no_invented_number(cells) -> None:
    lines = list(csv.DictReader(io.StringIO(comma_separated(cells, rows(cells)))))
    mean = next(line for line in lines if line["method"] == "padim" and line["category"] == "*")
    assert float(mean["mean"]) == pytest.approx(0.951, abs=1e-15)
    assert (mean["seeds"], mean["best"], mean["score_ms"]) == ("3", "1", "")
    each = next(line for line in lines if line["method"] == "padim" and line["category"] == "a")
    assert each["by_seed"] == "0:0.95;1:0.951;2:0.952"
    nasty = [line for line in lines if line["method"] == NASTY]
    assert {line["metric"] for line in nasty} == {"pixel_AUROC"}
    assert nasty[0]["seeds_low"] == ""
    assert not any(line["method"] == "ae" for line in lines)


def test_what_a_number_lacks_is_said_in_every_format(tmp_path) -> None:
    made = [cell("padim", category="a", seed=s, metrics={"image_AUROC": around(0.9)}) for s in range(3)]
    made += [cell("padim", category="b", metrics={"image_AUROC": around(0.5)})]
    made += [cell("stpm", category=c, metrics={"image_AUROC": around(0.4)}) for c in "ab"]
    made[0]["metrics"]["pixel_AUPIMO"] = around(0.7)
    read = read_cells(write(tmp_path, *made))
    table = rows(read)
    seeds, categories = "2 of 3 seeds left out: not every category has them", "1 of 2 categories: it is missing in b"
    text = markdown(read, table, [])
    assert "| PaDiM | **70.00† [69.00, 71.00]** | 70.00† [69.00, 71.00] | 1 | 2 of 2 |" in text
    assert f"† PaDiM, image AUROC (n 1): {seeds}." in text
    assert f"† PaDiM, AUPIMO (n 1): {categories}; {seeds}." in text
    assert "| STPM | 40.00 [39.00, 41.00] | – | 1 | 2 of 2 |" in text
    assert text.count("\n† ") == 2
    assert r"\textbf{70.00{$\dagger$}} & 70.00{$\dagger$} & 1 & 2 of 2 \\" in latex(read, table)
    assert rf"\par\footnotesize {{$\dagger$}} PaDiM, AUPIMO (n 1): {categories}; {seeds}." in latex(read, table)
    lines = list(csv.DictReader(io.StringIO(comma_separated(read, table))))
    means = {(line["method"], line["metric"]): line for line in lines if line["category"] == "*"}
    assert (means["padim", "image_AUROC"]["seeds"], means["padim", "image_AUROC"]["notes"]) == ("1", seeds)
    assert means["padim", "pixel_AUPIMO"]["notes"] == f"{categories}; {seeds}"
    assert means["stpm", "image_AUROC"]["notes"] == ""
    write_report(read, tmp_path, ["html"])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f'<small class="note">n 1: {categories}; {seeds}</small>' in page
    assert '<td data-value="1">1</td>' in page
    assert '<td data-value="3">' not in page


def test_numbers_of_a_row_from_different_n_give_a_range(tmp_path) -> None:
    made = [cell("padim", seed=s, metrics={"image_AUROC": around(0.9)}) for s in range(3)]
    made[0]["metrics"]["pixel_AUPIMO"] = around(0.7)
    read = read_cells(write(tmp_path, *made))
    assert "| 1–3 | 1 of 1 |" in markdown(read, rows(read), [])
    assert "& 1--3 & 1 of 1 " in latex(read, rows(read))


def test_latex_is_escaped_and_balanced(cells) -> None:
    text = latex(cells, rows(cells))
    assert r"\textbf{95.10 {$\pm$} 0.25}" in text
    assert r"80.10 {$\pm$} 0.25 & -- & 3 & 1 of 1 \\" in text
    costs = text[text.index(", costs. Means over") :]
    assert escape_latex(NASTY) + r" & 2.00 M \\" in costs
    assert r"PaDiM & -- \\" in costs
    assert escape_latex(NASTY) in text
    assert escape_latex("a_b%") == r"a\_b\%"
    assert text.count(r"\begin{") == text.count(r"\end{")
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    columns = {len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines() if line.endswith(r"\\")}
    assert len(columns) == 1
    assert columns.pop() + 1 == len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])


def test_names_are_no_formulas_and_unknown_letters_are_named(tmp_path) -> None:
    """Names are no formulas and letters that latex does not know are written out."""
    metrics = {"image_AUROC": around(0.9)}
    made = [cell("padim", '=HYPERLINK("x")', "-2+3", metrics=metrics), cell("padim", "Prüfling 零", metrics=metrics)]
    read = read_cells(write(tmp_path, *made))
    lines = list(csv.DictReader(io.StringIO(comma_separated(read, rows(read)))))
    assert {line["dataset"] for line in lines} == {'\'=HYPERLINK("x")', "Prüfling 零"}
    assert "'-2+3" in {line["category"] for line in lines}
    body = latex(read, rows(read)).partition("\n")[2]  # a comment stands before
    assert body.isascii()
    assert r"Pr{\"u}fling <U+96F6>" in body


@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex on this machine")
def test_latex_compiles_and_no_table_runs_off_the_page(cells, tmp_path) -> None:
    metrics = dict.fromkeys(("image_AUROC", "image_AP", "pixel_AUROC", "pixel_AP", "pixel_AUPRO"), around(0.9))
    made = [cell("padim", "bottle", f"a category of a long name, {n}", metrics=metrics) for n in range(8)]
    wide = read_cells(write(tmp_path / "wide", *made))
    texts = latex(cells, rows(cells)), latex(wide, rows(wide))
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "a.tex").write_text(head + "\n".join(texts) + r"\end{document}")
    subprocess.run([PDFLATEX, "-interaction=batchmode", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True)
    assert (tmp_path / "a.pdf").stat().st_size > 1000
    assert "Overfull" not in (tmp_path / "a.log").read_text(errors="replace")


def test_wording() -> None:
    assert cost("parameters", 1_250_000) == "1.25 M"
    assert cost("score_ms", 12.345) == "12.3"
    assert cost("score_ms", None) == "–"
    assert [p_value(p) for p in (None, 1e-9, 0.0123, 0.5)] == ["none given", "< 0.0001", "0.0123", "0.50"]
    assert protocol("few-shot-4") == "as one-class, fitted on 4 good parts"
    assert "blur at strength 2" in protocol("robustness-blur-2")
    assert protocol("noisy-0.1-overlap").endswith("share of 0.1 of the training images (overlap)")
    assert protocol("of my own") == ""


def test_a_name_that_begins_in_bold_is_escaped_like_all(tmp_path) -> None:
    name = "**<script>alert(1)</script>"
    made = read_cells(write(tmp_path, cell(name, name, metrics={"image_AUROC": around(0.9)})))
    text = markdown(made, rows(made), [])
    assert r"\*\*\<script>" in text
    assert not re.search(r"(?<!\\)<", text)
