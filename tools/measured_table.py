"""Nested results as one CSV table, a row each: docs/measured/methods.csv and demo.csv, which the methods' pages show.

A dictionary inside a result becomes columns with dots (`metrics.image_AUROC.low`), but those in WHOLE, which have other
names in every row, stay JSON in one column. An empty field means that the result has no such entry.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blemish.core.files import write_text
from blemish.core.tables import csv_text

WHOLE = ("preset", "changed")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table as they were given to `put`; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [nested(row) for row in csv.DictReader(stream)]


def put(path: Path, key: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Write a result into a table, in place of that with the same key; rows are sorted by their keys."""
    rows = [row for row in read(path) if {name: row.get(name) for name in key} != key]
    rows = sorted([*rows, {**key, **result}], key=lambda row: [row[name] for name in key])
    flat = [dict(columns(row)) for row in rows]
    head = list(dict.fromkeys(name for row in flat for name in row))
    write_text(path, csv_text([head, *([row.get(name, "") for name in head] for row in flat)]))


def columns(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the columns of a row and their text."""
    for name, value in row.items():
        if isinstance(value, Mapping) and name not in WHOLE:
            yield from columns(value, f"{above}{name}.")
        else:
            plain = isinstance(value, str) and decoded(value) == value != ""
            yield above + name, value if plain else json.dumps(value, allow_nan=False)


def nested(row: Mapping[str, str]) -> dict[str, Any]:
    """Return what `columns` was given."""
    found: dict[str, Any] = {}
    for column, text in row.items():
        if text:
            *above, name = column.split(".")
            inside = found
            for each in above:
                inside = inside.setdefault(each, {})
            inside[name] = decoded(text)
    return found


def decoded(text: str) -> Any:
    """Return the value of a JSON text, or a text that is none as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
