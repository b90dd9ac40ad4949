"""BibTeX: one entry a paper, with unique keys and every special character escaped."""

from __future__ import annotations

from collections.abc import Iterable

from blemish.core.tables import escape_latex
from blemish.literature.facts import venues
from blemish.literature.papers import Publication


def bibtex(papers: Iterable[Publication]) -> str:
    """Return papers as BibTeX.

    Args:
        papers: The papers.

    Returns:
        An entry for each, sorted by key, with a blank line between two.
    """
    return "\n".join(_entry(p) for p in sorted(papers, key=lambda p: p.key))


def _entry(p: Publication) -> str:
    kind = venues()[p.venue].kind if p.venue else ""
    place = {"journal": "journal", "conference": "booktitle", "workshop": "booktitle"}.get(kind, "")
    fields = {
        "title": f"{{{escape_latex(p.title)}}}",  # doubled braces keep capitals
        "author": " and ".join(escape_latex(name.strip()) for name in p.authors.split(",") if name.strip()),
        place: escape_latex(p.venue),
        "year": str(p.year or ""),
        "key": ""
        if p.authors
        else escape_latex(p.name or p.title),  # what is sorted by where the authors are not known
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
