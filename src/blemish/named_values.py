"""Texts like "steps=400" to arguments of a function, checked against its signature.

A value is JSON (400, 0.1, [1, 2], null), one of Python's words (True, False, None), or else a string.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Any

from blemish.errors import InputError, UnknownName

PYTHON_WORDS = {"True": True, "False": False, "None": None}


def named_values(
    function: Callable[..., Any],
    pairs: Iterable[str],
    kind: str,
    flag: str,
    *,
    unless: Collection[str] = (),
    words: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the arguments of `function` that the pairs name, in the types of its signature.

    `kind` ("parameter of patchcore") and `flag` ("--set") are for the errors; arguments in `unless` cannot be named.
    `words` say what other libraries' words for an argument are here.

    Raises:
        UnknownName: the function has no such argument.
        InputError: a text is no pair, or its value is of another type than the argument.
    """
    hints = typing.get_type_hints(function)
    known = [name for name in inspect.signature(function).parameters if name not in unless]
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"{flag} {pair!r} must be name=value")
        if name not in known:
            raise UnknownName(kind, name, known, f"{name}: {words[name]}." if name in words else "")
        options[name] = _value(text)
        if not _fits(options[name], hints.get(name, Any)):
            raise InputError(f"{flag} {pair!r}: {name} must be {_words(hints[name])}")
    return options


def _value(text: str) -> Any:
    if text in PYTHON_WORDS:
        return PYTHON_WORDS[text]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a bare word is a string


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a value is of a parameter's annotated type; a whole number is a float too, a bool is no number."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin in (list, tuple, Sequence):
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if hint is Any or hint is None or hint is type(None):
        return hint is Any or value is None
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, int | float if hint is float else hint)


def _words(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
