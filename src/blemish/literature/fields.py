"""What a field of an entry may hold: small checks that return what is wrong, "" if nothing is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container
from typing import Any
from urllib.parse import urlparse

Check = Callable[[Any], str]
"""Takes a value, returns what is wrong with it, "" if nothing is."""


def text(value: Any) -> str:
    """Check that a value is a text that is not empty, in one line, without blanks at its ends.

    Args:
        value: The value.

    Returns:
        What is wrong with it, "" if nothing is.
    """
    if not isinstance(value, str) or not value:
        return "must be a text that is not empty; leave the field out if there is nothing to say"
    return "has a line break or blanks at an end" if value != " ".join(value.split()) else ""


def matching(pattern: str, example: str) -> Check:
    """Return the check for texts of one form.

    Args:
        pattern: Regular expression that the whole text matches.
        example: A good text, for the message.

    Returns:
        The check.
    """

    def check(value: Any) -> str:
        good = isinstance(value, str) and re.fullmatch(pattern, value) is not None
        return "" if good else f"must look like {example}"

    return check


def link(value: Any) -> str:
    """Check that a value is a whole address of the web.

    Args:
        value: The value.

    Returns:
        What is wrong with it, "" if nothing is.
    """
    if not isinstance(value, str) or re.search(r"[\s<>\"{}|\\^`]", value):
        return "must be a link without blanks and brackets"
    parts = urlparse(value)
    return "" if parts.scheme in ("http", "https") and "." in parts.netloc else "must begin with https:// and a host"


def one_of(allowed: Container[str], kind: str) -> Check:
    """Return the check for words of a closed list.

    Args:
        allowed: The words.
        kind: What they are, for the message.

    Returns:
        The check.
    """
    return lambda value: "" if isinstance(value, str) and value in allowed else f"is no known {kind}"


def number(low: float, high: float) -> Check:
    """Return the check for finite numbers inside a range.

    Args:
        low: Its lower end, included.
        high: Its upper end, included.

    Returns:
        The check.
    """

    def check(value: Any) -> str:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if good and low <= value <= high else f"must be a number from {low:g} to {high:g}"

    return check


def whole(low: int, high: int) -> Check:
    """Return the check for whole numbers inside a range.

    Args:
        low: Its lower end, included.
        high: Its upper end, included.

    Returns:
        The check.
    """

    def check(value: Any) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if good else f"must be a whole number from {low} to {high}"

    return check


def true(value: Any) -> str:
    """Check that a value is true; a false one is left out of its entry.

    Args:
        value: The value.

    Returns:
        What is wrong with it, "" if nothing is.
    """
    return "" if value is True else "must be true, or be left out"


def many(check: Check) -> Check:
    """Return the check for lists that are not empty and repeat nothing.

    Args:
        check: The check of every item.

    Returns:
        The check.
    """

    def checked(value: Any) -> str:
        if not isinstance(value, list) or not value:
            return "must be a list that is not empty; leave the field out if there is nothing to say"
        wrong = [f"{item!r} {said}" for item in value if (said := check(item))]
        return "; ".join(wrong) or ("repeats itself" if len(set(value)) < len(value) else "")

    return checked


def mapping(keys: Check, values: Check) -> Check:
    """Return the check for objects that are not empty and sorted by key.

    Args:
        keys: The check of every key.
        values: The check of every value.

    Returns:
        The check.
    """

    def checked(value: Any) -> str:
        if not isinstance(value, dict) or not value:
            return "must be an object that is not empty"
        wrong = [f"{k!r} {said}" for k in value if (said := keys(k))]
        wrong += [f"{k!r}: {v!r} {said}" for k, v in value.items() if (said := values(v))]
        return "; ".join(wrong) or ("" if list(value) == sorted(value) else "is not sorted by key")

    return checked
