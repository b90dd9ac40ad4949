"""Reading the data files of the package: JSON lines, one entry a line, beside the code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from blemish.errors import FormatError

FOLDERS = ("papers", "results")
"""Kinds of entry that are split over several files of a folder; every other kind is one file."""


def data_folder() -> Traversable:
    """Return the folder of the data files inside the installed package."""
    return files("blemish.literature") / "data"


@cache
def entries(kind: str) -> tuple[dict[str, Any], ...]:
    """Return every entry of one kind ("papers", "results", "recalled", "methods", ...), in the order of the files.

    Lists are tuples here, so that entries can be frozen.

    Raises:
        FormatError: a line is not a JSON object; the message names the file and the line.
    """
    return tuple(
        {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
        for _, entry in located(kind, data_folder())
    )


def located(kind: str, folder: Traversable) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file:line", entry) for every entry of one kind below a data folder.

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
