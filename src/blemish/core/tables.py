"""Tables as text, everything escaped: Markdown, CSV, JSON, and LaTeX as a `longtable` or, with booktabs, as a float."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from blemish.core.errors import UnknownName

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.I)

FORMATS = ("markdown", "csv", "json", "latex")
"""What a table can be written as."""

SPECIALS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
"""Characters that mean something to TeX, or print as something else."""

ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030c": "v ", "\u030a": "r "}
"""Combining marks, and the command that draws them."""

LETTERS = {
    "Æ": r"{\AE}",
    "æ": r"{\ae}",
    "ß": r"{\ss}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "ł": r"{\l}",
    "–": "--",
    "—": "---",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "×": r"{$\times$}",
    "±": r"{$\pm$}",
    "≥": r"{$\geq$}",
    "≤": r"{$\leq$}",
    "†": r"{$\dagger$}",
}
"""Letters and signs that are not an accent on a plain letter."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Attributes:
        title: The title.
        head: Names of the columns.
        body: Rows, each of as many texts as there are columns.
    """

    title: str
    head: Sequence[str]
    body: Sequence[Sequence[str]]

    def written(self, form: str) -> str:
        """Return the table as text.

        Args:
            form: One of FORMATS.

        Returns:
            The text; only LaTeX has the title.

        Raises:
            UnknownName: no such format.
        """
        if form not in FORMATS:
            raise UnknownName("format", form, FORMATS)
        if form == "markdown":
            return markdown_table(self.head, [map(escape_markdown, row) for row in self.body])
        if form == "csv":
            return csv_text([self.head, *self.body])
        if form == "json":
            rows = [dict(zip(self.head, row, strict=True)) for row in self.body]
            return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
        return longtable(self)


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table.

    Args:
        head: Names of the columns, plain text.
        rows: Rows of Markdown.

    Returns:
        The table, one line per row.
    """
    names = [escape_markdown(name) for name in head]
    return "".join("| " + " | ".join(line) + " |\n" for line in [names, ["---"] * len(names), *rows])


def escape_markdown(text: str) -> str:
    """Escape text for Markdown.

    Args:
        text: Plain text.

    Returns:
        Markdown that prints the text as it stands, on one line.
    """
    return re.sub(r"([\\|<`*_]|\[(?=[^\]]*\]\())", r"\\\1", " ".join(text.split()))


def csv_text(lines: Iterable[Iterable[Any]]) -> str:
    """Return lines as CSV.

    Args:
        lines: Lines of values.

    Returns:
        The CSV, with an apostrophe before texts that a spreadsheet would take for a formula (=, +, -, @).
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(_harmless, line) for line in lines)
    return out.getvalue()


def longtable(table: Table, columns: str = "", raw: Sequence[int] = ()) -> str:
    """Return a table as a LaTeX `longtable`.

    Args:
        table: The table; its texts are escaped.
        columns: LaTeX's description of the columns; left-aligned by default.
        raw: Positions of the columns whose texts are LaTeX already and are not escaped.

    Returns:
        The LaTeX.
    """

    def line(row: Sequence[str], names: bool = False) -> str:
        cells = (text if i in raw and not names else escape_latex(text) for i, text in enumerate(row))
        text = " & ".join(cells) + r" \\"
        return "{}" + text if text[0] in "[*" else text  # the end of the line before would take them as its options

    return "\n".join(
        [
            rf"\begin{{longtable}}{{{columns or 'l' * len(table.head)}}}",
            rf"\caption{{{escape_latex(table.title)}}}\\",
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


def booktabs(caption: str, head: Sequence[str], rows: Iterable[Iterable[str]], notes: Iterable[str] = ()) -> str:
    """Return a LaTeX float that shrinks to the width of the line.

    It needs the packages booktabs and graphicx.

    Args:
        caption: Plain text.
        head: Names of the columns, plain text; the first column is aligned left, the others right.
        rows: Rows of LaTeX.
        notes: Footnotes, plain text.

    Returns:
        The LaTeX.
    """
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape_latex(caption)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(map(escape_latex, head)) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}}",
            *(rf"\par\footnotesize {escape_latex(note)}" for note in notes),
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """Escape text for LaTeX: special characters are escaped, letters outside ASCII become commands.

    A character that has no command here is printed as its code point in angle brackets, so nothing is lost silently.

    Args:
        text: Plain text.

    Returns:
        LaTeX that prints the text as it stands.
    """
    return "".join(map(_letter, text))


def _harmless(value: Any) -> Any:
    risky = (
        isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not NUMBER.fullmatch(value)
    )
    return f"'{value}" if risky else value


def _letter(character: str) -> str:
    if character in SPECIALS:
        return SPECIALS[character]
    if character in LETTERS:
        return LETTERS[character]
    if ord(character) < 127:
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[1] in ACCENTS and parts[0].isascii():
        letter = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return f"{{\\{ACCENTS[parts[1]]}{letter}}}"
    return f"<U+{ord(character):04X}>"
