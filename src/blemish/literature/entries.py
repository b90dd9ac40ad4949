"""The data files of the package: JSON lines, one entry a line, next to the code; and the names that entries go by.

A method, a data set, a metric or a setting is found under any of the names that people use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from blemish.core.errors import FormatError, UnknownName

FOLDERS = ("papers", "results")
"""Kinds of entry that are split over several files of a folder; every other kind is one file."""


def data_folder() -> Traversable:
    """Return the folder of the data files inside the installed package."""
    return files("blemish.literature") / "data"


@cache
def entries(kind: str) -> tuple[dict[str, Any], ...]:
    """Return every entry of one kind.

    Args:
        kind: "papers", "results", "recalled", "methods", ...

    Returns:
        The entries in the order of the files; lists are tuples, so that entries can be frozen.

    Raises:
        FormatError: a line is not a JSON object; the message names the file and the line.
    """
    return tuple(
        {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
        for _, entry in located(kind, data_folder())
    )


def located(kind: str, folder: Traversable) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read every entry of one kind below a data folder.

    Args:
        kind: "papers", "results", "recalled", "methods", ...
        folder: The data folder.

    Yields:
        ("file:line", entry), lists as lists.

    Raises:
        FormatError: a line is not a JSON object; the message names the file and the line.
    """
    if kind in FOLDERS:
        sheets = sorted((f for f in (folder / kind).iterdir() if f.name.endswith(".jsonl")), key=lambda f: f.name)
    else:
        sheets = [folder / f"{kind}.jsonl"]
    for sheet in sheets:
        for number, line in enumerate(sheet.read_text(encoding="utf-8").splitlines(), start=1):
            yield f"{sheet.name}:{number}", _entry(line, f"{sheet.name}:{number}")


@cache
def tree() -> dict[str, Any]:
    """Return the taxonomy as it is written: {"tree": [...], "card_families": {...}}."""
    found = json.loads((data_folder() / "taxonomy.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)  # noqa: S101 - a file of our own, checked by the tests
    return found


def _entry(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise FormatError(f"{where} is not JSON: {error}. Every line is one entry; repair it.") from error
    if not isinstance(entry, dict):
        raise FormatError(f"{where} is {type(entry).__name__}, not an object. Every line is one entry; repair it.")
    return entry


KEYS = {"methods": "name", "datasets": "id", "metrics": "id", "settings": "id"}
"""The kinds of thing that have aliases, and the field that is their one name here."""

WORDS = {"methods": "method", "datasets": "data set", "metrics": "metric", "settings": "setting"}


def fold(name: str) -> str:
    """Return a name without case, spaces and signs. A plus is kept as a word: RD++ is not RD.

    Args:
        name: The name in any spelling.

    Returns:
        Its letters and digits in lower case.
    """
    return "".join(letter for letter in name.lower().replace("+", "plus") if letter.isalnum())


@cache
def known_names(kind: str) -> dict[str, str]:
    """Return what every name and alias of one kind leads to.

    Args:
        kind: "methods", "datasets", "metrics" or "settings".

    Returns:
        The one name, by folded names.
    """
    found: dict[str, str] = {}
    for entry in entries(kind):
        own = entry[KEYS[kind]]
        for name in (own, entry.get("name", own), *entry.get("aliases", ())):
            found.setdefault(fold(name), own)
    return found


def look_up(kind: str, name: str) -> str | None:
    """Return the one name of something, if it is known.

    Args:
        kind: "methods", "datasets", "metrics" or "settings".
        name: Any of its names.

    Returns:
        The one name, or None if nothing is called so.
    """
    return known_names(kind).get(fold(name))


def known_name(method: str) -> str:
    """Return the name that published numbers of a method go by.

    Args:
        method: Any name of the method.

    Returns:
        The one name, or what was given if no numbers were published.
    """
    return look_up("methods", method) or method


def find(kind: str, name: str) -> str:
    """Return the one name of something.

    Args:
        kind: "methods", "datasets", "metrics" or "settings".
        name: Any of its names.

    Returns:
        The one name.

    Raises:
        UnknownName: nothing is called so; the message suggests the nearest.
    """
    found = look_up(kind, name)
    if found is None:
        raise UnknownName(WORDS[kind], name, sorted({str(entry[KEYS[kind]]) for entry in entries(kind)}))
    return found


@cache
def node_ids() -> tuple[str, ...]:
    """Return the ids of all places, from the top."""
    return tuple(_ids(tree()["tree"]))


def _ids(written: list[dict[str, Any]]) -> Iterator[str]:
    for node in written:
        yield node["id"]
        yield from _ids(node.get("children", []))
