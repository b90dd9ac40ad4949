"""Differences between two trees of plain values, for the error about settings that changed in between."""

from __future__ import annotations

from typing import Any


def differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Return as text the first three values in which two trees of plain values differ.

    Args:
        there: The stored tree.
        here: The present tree.

    Returns:
        "a.b is 1 there, 2 here; ..."; empty if the trees are equal.
    """
    old, new = _flat(there), _flat(here)
    differ = [name for name in {**new, **old} if old.get(name, "absent") != new.get(name, "absent")]
    return "; ".join(f"{n} is {old.get(n, 'absent')} there, {new.get(n, 'absent')} here" for n in differ[:3])


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict | list):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    flat: dict[str, Any] = {}
    for key, each in items:
        flat |= _flat(each, f"{name}.{key}" if name else str(key))
    return flat
