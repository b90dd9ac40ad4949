"""Finding a method, a data set, a metric or a setting under any of the names that people use."""

from __future__ import annotations

from functools import cache

from blemish.errors import UnknownName
from blemish.literature.store import entries

KEYS = {"methods": "name", "datasets": "id", "metrics": "id", "settings": "id"}
"""The kinds of thing that have aliases, and the field that is their one name here."""

WORDS = {"methods": "method", "datasets": "data set", "metrics": "metric", "settings": "setting"}


def fold(name: str) -> str:
    """Return a name without case, spaces and signs. A plus is kept as a word: RD++ is not RD."""
    return "".join(letter for letter in name.lower().replace("+", "plus") if letter.isalnum())


@cache
def known_names(kind: str) -> dict[str, str]:
    """Return folded name -> the one name, over names and aliases of "methods", "datasets", "metrics" or "settings"."""
    found: dict[str, str] = {}
    for entry in entries(kind):
        own = entry[KEYS[kind]]
        for name in (own, entry.get("name", own), *entry.get("aliases", ())):
            found.setdefault(fold(name), own)
    return found


def look_up(kind: str, name: str) -> str | None:
    """Return the one name of what is called `name`, or None if nothing is."""
    return known_names(kind).get(fold(name))


def known_name(method: str) -> str:
    """Return the name that published numbers of a method go by, or what was given if none were published."""
    return look_up("methods", method) or method


def find(kind: str, name: str) -> str:
    """Return the one name of what is called `name`.

    Raises:
        UnknownName: nothing is called so; the message suggests the nearest.
    """
    found = look_up(kind, name)
    if found is None:
        raise UnknownName(WORDS[kind], name, sorted({str(entry[KEYS[kind]]) for entry in entries(kind)}))
    return found
