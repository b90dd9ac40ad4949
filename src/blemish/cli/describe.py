"""What is known of a name: a method, a data set (and a copy of it on disk), or a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blemish.core import registry
from blemish.core.errors import InputError, UnknownName
from blemish.core.files import from_json


def describe(name: str, root: Path | None = None) -> tuple[dict[str, Any], bool]:
    """Return what is known of a method, a data set (and a copy of it on disk), or a model file.

    Args:
        name: Its name, or the file.
        root: A copy of the data set to check.

    Returns:
        JSON values, and False if the copy is not complete.

    Raises:
        UnknownName: there is no such method, data set or file.
        InputError: `root` is given for something that is not a data set.
    """
    if name.endswith(".onnx"):
        from blemish.inference.metadata import PREFIX, onnx_texts

        return {key.removeprefix(PREFIX): _json_or_text(text) for key, text in onnx_texts(name).items()}, True
    if name.endswith(".safetensors") or Path(name).is_file():
        return _model_file(name), True
    try:
        found = registry.dataset(name)
    except InputError:  # another kind of name; a reference may be a method's
        if root is not None:
            raise
    else:
        card = plain(found.card)
        if root is None:
            return card, True
        from blemish.data.completeness import completeness, count

        if not found.card.categories:
            return {"name": found.card.name, "copy": plain(count(found.index(root)))}, True
        counted = completeness(found.card, found.index, root)
        return {"name": found.card.name, "licence": found.card.licence, "copy": counted.as_dict()}, counted.complete
    try:
        return _method(name), True
    except UnknownName:
        known = [*registry.known_methods(), *registry.datasets()]
        raise UnknownName("method, data set or file", name, known) from None


def _method(name: str) -> dict[str, Any]:
    """Return a method's card, with what is disputed about the numbers in it."""
    from blemish.literature.entries import known_name
    from blemish.literature.results import disputes_of

    card = registry.method_card(name)
    doubts = {d.says: None for r in card.reported for d in disputes_of(known_name(name), r.dataset, r.metric)}
    return plain(card) | ({"disputed": list(doubts)} if doubts else {})


def _model_file(path: str) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
    return {key: _json_or_text(value) for key, value in header.items()}


def _json_or_text(value: str) -> Any:
    try:
        return from_json(value)
    except ValueError:
        return value


def plain(card: Any) -> dict[str, Any]:
    """Return a card as JSON values; mapping proxies become dictionaries.

    Args:
        card: A card, or a part of one.

    Returns:
        Dictionaries, lists and plain values.
    """
    from dataclasses import fields, is_dataclass

    def inside(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: inside(getattr(value, field.name)) for field in fields(value)}
        if hasattr(value, "items"):
            return {key: inside(content) for key, content in value.items()}
        return [inside(item) for item in value] if isinstance(value, tuple | list) else value

    described: dict[str, Any] = inside(card)
    return {key: value for key, value in described.items() if value not in ("", [], {}, None)}
