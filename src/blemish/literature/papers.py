"""The papers of the field: what is needed to find and cite them, and their place in the taxonomy."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from blemish.core.errors import InputError, UnknownName
from blemish.literature.entries import entries

SORTS = ("year", "title", "venue", "family", "key")
"""What a list of papers can be sorted by; years newest first."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One paper. Texts are empty where our sources have nothing.

    Attributes:
        key: Its BibTeX key.
        title: Its title.
        family: Its place in the taxonomy.
        authors: Names with commas between.
        also: Further places.
        placed_by: How it was placed: "curated" by hand, "list" by the list of papers it comes from, "title" by words of
            the title, "card" by a method of ours, "none" not at all.
        name: The method's short name.
        venue: Where it was published.
        year: When, None if unknown.
        arxiv: Its number at arXiv.
        doi: Its DOI.
        url: Its address.
        code: Address of the code.
        domain: "medical" for related work.
        supervision: "supervised" or "semi/weakly-supervised" if it learns from defects.
    """

    key: str
    title: str
    family: str
    authors: str = ""
    also: tuple[str, ...] = ()
    placed_by: str = ""
    name: str = ""
    venue: str = ""
    year: int | None = None
    arxiv: str = ""
    doi: str = ""
    url: str = ""
    code: str = ""
    domain: str = ""
    supervision: str = ""

    @property
    def link(self) -> str:
        """Where to read it: arXiv if it is there, the publisher otherwise."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    @property
    def families(self) -> tuple[str, ...]:
        """Every place in the taxonomy, the main one first."""
        return (self.family, *self.also)


@cache
def every_paper() -> tuple[Publication, ...]:
    """Return all papers, in the order of the files."""
    return tuple(Publication(**entry) for entry in entries("papers"))


def paper(key: str) -> Publication:
    """Return one paper.

    Args:
        key: Its BibTeX key.

    Returns:
        The paper.

    Raises:
        UnknownName: no paper has this key; the message suggests the nearest.
    """
    for found in every_paper():
        if found.key == key:
            return found
    raise UnknownName("paper", key, [found.key for found in every_paper()], "See `blemish papers --text WORD`.")


def papers(
    *,
    family: str = "",
    year: str | int = "",
    venue: str = "",
    code: bool | None = None,
    text: str = "",
    sort: str = "year",
) -> tuple[Publication, ...]:
    """Return the papers that meet every condition given.

    Args:
        family: A place in the taxonomy ("flow", "embedding", "embedding/memory-bank"); deeper places count, and so do
            further places of a paper.
        year: One year or a range with both ends included ("2021-2023", "2024-", "-2019").
        venue: A word of the venue's name, in any case.
        code: Papers with (True) or without (False) code; None for both.
        text: Occurs in the title, the authors, the short name or the key, without case and accents.
        sort: One of SORTS; years newest first.

    Returns:
        The papers, sorted.

    Raises:
        UnknownName: no such place in the taxonomy, or no such sort.
        InputError: the year cannot be read.
    """
    if sort not in SORTS:
        raise UnknownName("sort", sort, SORTS)
    first, last = years(str(year))
    places = _places(family)
    found = [
        p
        for p in every_paper()
        if (not family or any(f == q or f.startswith(q + "/") for f in p.families for q in places))
        and (not year or (p.year is not None and first <= p.year <= last))
        and (not venue or venue.lower() in _words(p.venue))
        and (code is None or bool(p.code) == code)
        and _bare(text) in _bare(f"{p.title}\n{p.authors}\n{p.name}\n{p.key}")
    ]
    return tuple(sorted(found, key=lambda p: _order(p, sort)))


def years(text: str) -> tuple[int, int]:
    """Return the ends of a range of years.

    Args:
        text: "2021", "2021-2023", "2021-", "-2023" or "" (all).

    Returns:
        The first and the last year, both included.

    Raises:
        InputError: the text is none of these, or the range runs backwards.
    """
    if not text:
        return 0, 9999
    match = re.fullmatch(r"(\d{4})?(-)?(\d{4})?", text)
    if match is None or (match[1] and match[3] and not match[2]) or text == "-":
        raise InputError(f"year {text!r} must be one year or a range: 2021, 2021-2023, 2021- or -2023")
    first, last = int(match[1] or 0), int(match[3] or (9999 if match[2] else match[1]))
    if first > last:
        raise InputError(f"year {text!r} runs backwards; write {last}-{first}")
    return first, last


def _places(family: str) -> tuple[str, ...]:
    """Return the ids that `family` names: a full id, or the last part of one ("memory-bank")."""
    from blemish.literature.entries import node_ids

    folded = family.lower().replace(" ", "-")
    known = node_ids()
    found = tuple(i for i in known if folded in (i, i.rpartition("/")[2]))
    if family and not found:
        raise UnknownName("family", family, known, "See `blemish taxonomy`.")
    return found


def _bare(text: str) -> str:
    """Return text in lower case, without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))


def _words(venue: str) -> set[str]:
    return {venue.lower(), *re.split(r"[\s/-]+", venue.lower())} - {""}


def _order(p: Publication, sort: str) -> tuple[int, str, str, str]:
    newest, first = (-(p.year or 0), "") if sort == "year" else (0, str(getattr(p, sort)).lower())
    return newest, first, p.title.lower(), p.key
