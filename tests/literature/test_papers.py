"""Papers are found by every condition, and BibTeX prints them as they are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.core.errors import InputError, UnknownName
from blemish.core.tables import ACCENTS, LETTERS, SPECIALS, escape_latex
from blemish.literature import bibtex, paper, papers
from blemish.literature.papers import Publication, years


def test_every_condition_narrows_as_a_plain_loop_would() -> None:
    every = papers()
    assert [p.year or 0 for p in every] == sorted((p.year or 0 for p in every), reverse=True)
    found = papers(family="embedding", year="2021-2023", venue="cvpr", code=True, text="anomaly")
    slow = [
        p
        for p in every
        if any(f.startswith("embedding/") for f in (p.family, *p.also))
        and p.year in (2021, 2022, 2023)
        and "CVPR" in p.venue.split()
        and p.code
        and "anomaly" in f"{p.title} {p.authors} {p.name} {p.key}".lower()
    ]
    assert set(found) == set(slow)
    assert 3 < len(found) < len(every)


def test_text_is_found_without_its_accents() -> None:
    assert (
        {p.key for p in papers(text="Scholkopf")} == {p.key for p in papers(text="SCHÖLKOPF")} >= {"roth2022patchcore"}
    )


def test_a_place_counts_with_all_below_it() -> None:
    """A place counts with all below it and under its short name."""
    assert papers(family="memory-bank") == papers(family="embedding/memory-bank") == papers(family="Memory bank")
    assert set(papers(family="memory-bank")) < set(papers(family="embedding"))
    assert len(papers(code=True)) + len(papers(code=False)) == len(papers())


@pytest.mark.parametrize(
    ("text", "range_"),
    [("2021", (2021, 2021)), ("2021-2023", (2021, 2023)), ("2021-", (2021, 9999)), ("-2021", (0, 2021))],
)
def test_years(text, range_) -> None:
    assert years(text) == range_


@pytest.mark.parametrize("text", ["-", "21", "2023-2021", "20212023", "2021-22", "x"])
def test_years_that_cannot_be_read_are_refused(text) -> None:
    with pytest.raises(InputError, match="year"):
        papers(year=text)


def test_unknown_names_are_errors_with_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'flow'"):
        papers(family="flows")
    with pytest.raises(UnknownName, match="sort"):
        papers(sort="stars")
    with pytest.raises(UnknownName, match="Did you mean 'roth2022patchcore'"):
        paper("roth2022patchcor")


def unescape(text: str) -> str:
    """The slow way back: try every command at every place."""
    commands = {command: letter for letter, command in SPECIALS.items()}
    out = ""
    while text:
        for command, letter in commands.items():
            if text.startswith(command):
                out, text = out + letter, text[len(command) :]
                break
        else:
            out, text = out + text[0], text[1:]
    return out


def bare_specials(text: str) -> str:
    """What is left of TeX's special characters when every command that escapes one is taken away."""
    for command in sorted([*SPECIALS.values(), *LETTERS.values()], key=len, reverse=True):
        text = text.replace(command, "")
    marks = "|".join(re.escape(mark) for mark in ACCENTS.values())
    text = re.sub(r"\{\\(" + marks + r")\\?[a-zA-Z]\}", "", text)
    return "".join(letter for letter in text if letter in SPECIALS)


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32)))
def test_escaped_text_comes_back_and_holds_nothing_special(text) -> None:
    assert unescape(escape_latex(text)) == text
    assert bare_specials(escape_latex(text)) == ""


@given(st.text())
def test_escaped_text_is_always_ascii_with_balanced_braces(text) -> None:
    escaped = escape_latex(text)
    assert escaped.isascii()
    assert escaped.count("{") == escaped.count("}")


def test_letters_outside_ascii_are_commands() -> None:
    assert escape_latex("Schölkopf, DRÆM, Škoč – ï") == r"Sch{\"o}lkopf, DR{\AE}M, {\v S}ko{\v c} -- {\"\i}"
    assert escape_latex("缺陷") == "<U+7F3A><U+9677>"


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Read BibTeX by counting braces."""
    found: dict[str, dict[str, str]] = {}
    for entry in re.split(r"^@", text, flags=re.M)[1:]:
        assert entry.count("{") == entry.count("}"), entry
        kind, key = re.match(r"(article|inproceedings|misc)\{([a-z0-9-]+),\n", entry).groups()
        assert key not in found, f"{key} is there twice"
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, flags=re.M))
        assert len(fields) == entry.count("\n  "), entry
        found[key] = fields | {"kind": kind}
    return found


def test_bibtex_has_every_paper_once_and_nothing_unescaped() -> None:
    found = parsed(bibtex(papers()))
    assert set(found) == {p.key for p in papers()}
    for key, fields in found.items():
        title = fields["title"]
        assert title.startswith("{")
        assert title.endswith("}")
        assert bare_specials(title[1:-1]) == "", key
        for name in ("author", "journal", "booktitle", "key"):
            assert bare_specials(fields.get(name, "")) == "", key
        assert ("journal" in fields) == (fields["kind"] == "article")
        assert "author" in fields or "key" in fields, key


def test_bibtex_of_hostile_text() -> None:
    hostile = Publication(
        key="a", title=r"50% of {A & B}_1 \cite{x} #~^$", family="flow", authors="A_B, C{D", url="https://a.de/x_y%7B"
    )
    fields = parsed(bibtex([hostile]))["a"]
    assert unescape(fields["title"][1:-1]) == hostile.title
    assert fields["author"] == r"A\_B and C\textbraceleft{}D"
    assert fields["url"] == hostile.url
