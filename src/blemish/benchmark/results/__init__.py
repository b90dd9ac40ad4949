"""The results of a benchmark: read from a folder of cells, written as a page, Markdown, LaTeX and CSV. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blemish.benchmark.results.cells import Results, read_cells
from blemish.benchmark.results.published import Beside, beside
from blemish.benchmark.results.rows import Row, rows
from blemish.core.errors import InputError, UnknownName
from blemish.core.files import write_text

__all__ = ["FORMATS", "Results", "Row", "read_cells", "rows", "write_report"]

FORMATS = {"html": "index.html", "markdown": "results.md", "latex": "results.tex", "csv": "results.csv"}
"""The formats, and the file of each."""


def write_report(cells: Results, out: Path | str, formats: Sequence[str] = tuple(FORMATS)) -> list[Path]:
    """Write the results of a benchmark, one file a format.

    Args:
        cells: The cells.
        out: Folder for the files.
        formats: Some of FORMATS.

    Returns:
        The files, in the order of the formats.

    Raises:
        InputError: no format is given.
        UnknownName: a format is not one of FORMATS.
        MissingExtra: the page was asked for and jinja2 or matplotlib is not installed.
        StorageError: a file cannot be written.
    """
    if not formats:
        raise InputError(f"no format is given; give one of {', '.join(FORMATS)}, or several")
    for name in formats:
        if name not in FORMATS:
            raise UnknownName("format", name, FORMATS)
    table = rows(cells)
    published = beside(cells, table)
    return [write_text(Path(out) / FORMATS[name], _text(name, cells, table, published)) for name in formats]


def _text(name: str, cells: Results, table: list[Row], published: list[Beside]) -> str:
    from blemish.benchmark.results import texts

    if name == "html":
        from blemish.benchmark.results.page import page

        return page(cells, table, published)
    if name == "markdown":
        return texts.markdown(cells, table, published)
    return texts.latex(cells, table) if name == "latex" else texts.comma_separated(cells, table)
