"""What a field of an entry may hold: small checks that answer with what is wrong, or with nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container
from typing import Any
from urllib.parse import urlparse

Check = Callable[[Any], str]
"""Takes a value, returns what is wrong with it, "" if nothing is."""


def text(value: Any) -> str:
    """A text that is not empty, in one line, without blanks at its ends."""
    if not isinstance(value, str) or not value:
        return "must be a text that is not empty; leave the field out if there is nothing to say"
    return "has a line break or blanks at an end" if value != " ".join(value.split()) else ""


def matching(pattern: str, example: str) -> Check:
    """A text of one form."""

    def check(value: Any) -> str:
        good = isinstance(value, str) and re.fullmatch(pattern, value) is not None
        return "" if good else f"must look like {example}"

    return check


def link(value: Any) -> str:
    """A whole address of the web."""
    if not isinstance(value, str) or re.search(r"[\s<>\"{}|\\^`]", value):
        return "must be a link without blanks and brackets"
    parts = urlparse(value)
    return "" if parts.scheme in ("http", "https") and "." in parts.netloc else "must begin with https:// and a host"


def one_of(allowed: Container[str], kind: str) -> Check:
    """A word of a closed list."""
    return lambda value: "" if isinstance(value, str) and value in allowed else f"is no known {kind}"


def number(low: float, high: float) -> Check:
    """A finite number inside a range, both ends included."""

    def check(value: Any) -> str:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if good and low <= value <= high else f"must be a number from {low:g} to {high:g}"

    return check


def whole(low: int, high: int) -> Check:
    """A whole number inside a range, both ends included."""

    def check(value: Any) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if good else f"must be a whole number from {low} to {high}"

    return check


def true(value: Any) -> str:
    """True; what is false is left out."""
    return "" if value is True else "must be true, or be left out"


def many(check: Check) -> Check:
    """A list that is not empty, without repetition, of things that pass a check."""

    def checked(value: Any) -> str:
        if not isinstance(value, list) or not value:
            return "must be a list that is not empty; leave the field out if there is nothing to say"
        wrong = [f"{item!r} {said}" for item in value if (said := check(item))]
        return "; ".join(wrong) or ("repeats itself" if len(set(value)) < len(value) else "")

    return checked


def mapping(keys: Check, values: Check) -> Check:
    """An object that is not empty, sorted by key, whose keys and values pass their checks."""

    def checked(value: Any) -> str:
        if not isinstance(value, dict) or not value:
            return "must be an object that is not empty"
        wrong = [f"{k!r} {said}" for k in value if (said := keys(k))]
        wrong += [f"{k!r}: {v!r} {said}" for k, v in value.items() if (said := values(v))]
        return "; ".join(wrong) or ("" if list(value) == sorted(value) else "is not sorted by key")

    return checked
