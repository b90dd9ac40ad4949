"""A table of texts, written as Markdown, CSV, JSON or LaTeX with everything escaped."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from blemish.errors import UnknownName
from blemish.literature.bibtex import escape

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.I)

FORMATS = ("markdown", "csv", "json", "latex")
"""What a table can be written as."""


@dataclass(frozen=True, slots=True)
class Table:
    """A title, the names of the columns, and rows of as many texts."""

    title: str
    head: Sequence[str]
    body: Sequence[Sequence[str]]

    def written(self, form: str) -> str:
        """Return the table in one of FORMATS, without its title.

        Raises:
            UnknownName: no such format.
        """
        if form not in FORMATS:
            raise UnknownName("format", form, FORMATS)
        return {"markdown": markdown, "csv": comma_separated, "json": as_json, "latex": latex}[form](self)


def markdown(table: Table) -> str:
    """Return the table as Markdown; bars, line breaks and what could begin a tag of HTML are escaped."""
    lines = [table.head, ["---"] * len(table.head), *table.body]
    return "".join("| " + " | ".join(_markdown(text) for text in line) + " |\n" for line in lines)


def comma_separated(table: Table) -> str:
    """Return the table as CSV with a line of names; see `csv_text`."""
    return csv_text([table.head, *table.body])


def csv_text(lines: Iterable[Iterable[Any]]) -> str:
    """Return lines as CSV; an apostrophe stands before texts that a spreadsheet would take for a formula (=, +, -, @)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(_harmless, line) for line in lines)
    return out.getvalue()


def as_json(table: Table) -> str:
    """Return the rows as a JSON list of objects."""
    rows = [dict(zip(table.head, row, strict=True)) for row in table.body]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def latex(table: Table, columns: str = "", raw: Sequence[int] = ()) -> str:
    """Return the table as a `longtable`, every text escaped but those of the columns in `raw`, which are LaTeX already.

    `columns` is LaTeX's description of the columns; left-aligned by default.
    """

    def line(row: Sequence[str], names: bool = False) -> str:
        cells = (text if i in raw and not names else escape(text) for i, text in enumerate(row))
        text = " & ".join(cells) + r" \\"
        return "{}" + text if text[0] in "[*" else text  # the end of the line before would take them as its options

    return "\n".join(
        [
            rf"\begin{{longtable}}{{{columns or 'l' * len(table.head)}}}",
            rf"\caption{{{escape(table.title)}}}\\",
            r"\hline",
            line(table.head, names=True),
            r"\hline",
            r"\endhead",
            *(line(row) for row in table.body),
            r"\hline",
            r"\end{longtable}",
            "",
        ]
    )


def _harmless(value: Any) -> Any:
    risky = (
        isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not NUMBER.fullmatch(value)
    )
    return f"'{value}" if risky else value


def _markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "\\<").replace("\n", " ")
