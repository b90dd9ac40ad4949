"""BibTeX: one entry a paper, with unique keys and every special character escaped."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from blemish.literature.facts import venues
from blemish.literature.papers import Publication

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
}
"""Characters that mean something to TeX."""

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
}
"""Letters and signs that are not an accent on a plain letter."""


def escape(text: str) -> str:
    """Return text that TeX prints as it is: specials escaped, letters outside ASCII as commands.

    A character that has no command here is printed as its code point in angle brackets, so that nothing is lost silently.
    """
    return "".join(_letter(character) for character in text)


def bibtex(papers: Iterable[Publication]) -> str:
    """Return the papers as BibTeX, sorted by key, one blank line between entries."""
    return "\n".join(_entry(p) for p in sorted(papers, key=lambda p: p.key))


def _entry(p: Publication) -> str:
    kind = venues()[p.venue].kind if p.venue else ""
    place = {"journal": "journal", "conference": "booktitle", "workshop": "booktitle"}.get(kind, "")
    fields = {
        "title": f"{{{escape(p.title)}}}",  # doubled braces keep capitals
        "author": " and ".join(escape(name.strip()) for name in p.authors.split(",") if name.strip()),
        place: escape(p.venue),
        "year": str(p.year or ""),
        "key": "" if p.authors else escape(p.name or p.title),  # what is sorted by where the authors are not known
        "eprint": p.arxiv,
        "archiveprefix": "arXiv" if p.arxiv else "",
        "doi": _url(p.doi),
        "url": _url(p.link),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if name and value]
    word = {"journal": "article", "conference": "inproceedings", "workshop": "inproceedings"}.get(kind, "misc")
    return "\n".join([f"@{word}{{{p.key},", *lines, "}", ""])


def _url(link: str) -> str:
    r"""Return a link whose percent, hash and brace characters survive both BibTeX and `\url`."""
    return link.replace("{", "%7B").replace("}", "%7D").replace("\\", "%5C").replace(" ", "%20")


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
