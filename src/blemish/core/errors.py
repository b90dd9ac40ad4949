"""Every error blemish raises on purpose: what was given, what is allowed, what to do next.

BlemishError
├── InputError (ValueError)        a value that cannot be used
│   ├── UnknownName                a name that does not exist, with the nearest that do
│   ├── ImageError                 an image file or array that cannot be read
│   └── DataError                  a data set or folder that is not laid out as expected
├── NotFitted (RuntimeError)       used before `fit`
├── AlreadyFitted (RuntimeError)   fitted a second time
├── CannotAdapt (RuntimeError)     asked to learn further parts by a method that cannot
├── TruthWithheld (RuntimeError)   a fit that looks at labels it does not declare to learn from
├── WeightsError (RuntimeError)    pretrained weights that cannot be had, or are not what was asked for
├── FormatError (ValueError)       a saved file that is not ours, damaged, or from another version
├── ExportError (RuntimeError)     a model that cannot be exported, or whose export answers differently
├── StorageError (OSError)         a disk that is full, a folder that may not be written
├── DownloadError (RuntimeError)   a download that failed or does not match its checksum
└── MissingExtra (ImportError)     an optional dependency that is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BlemishError(Exception):
    """The root of every error raised on purpose."""


class InputError(BlemishError, ValueError):
    """A value that cannot be used; the message names it and what is allowed."""


class UnknownName(InputError):
    """A name that does not exist.

    Args:
        kind: What was named ("method").
        value: The name given.
        allowed: The names that exist; the message suggests the nearest.
        hint: Sentence that ends the message.
    """

    def __init__(self, kind: str, value: str, allowed: Iterable[str], hint: str = "") -> None:
        self.kind, self.value, self.allowed = kind, value, tuple(allowed)
        near = nearest(value, self.allowed)
        many = len(self.allowed) - 40
        shown = ", ".join(self.allowed[:40]) + (f" and {many} more" if many > 0 else "")
        text = f"unknown {kind} {value!r}."
        if near:
            text += f" Did you mean {' or '.join(repr(name) for name in near)}?"
        text += f" Known: {shown or 'none'}."
        super().__init__(f"{text} {hint}".rstrip())


class ImageError(InputError):
    """An image that cannot be read: absent, truncated, too large, of an unknown kind."""


class DataError(InputError):
    """A data set or folder that is not laid out as expected; the message says what was looked for."""


class NotFitted(BlemishError, RuntimeError):
    """A detector was used before `fit`."""


class AlreadyFitted(BlemishError, RuntimeError):
    """A detector was fitted twice; one detector has one fit."""


class CannotAdapt(BlemishError, RuntimeError):
    """A method was asked to learn further parts, and cannot without forgetting the earlier ones."""


class TruthWithheld(BlemishError, RuntimeError):
    """A fit looked at labels or masks that its method does not declare to learn from."""


class WeightsError(BlemishError, RuntimeError):
    """Pretrained weights that cannot be had, or are not those that were asked for."""


class FormatError(BlemishError, ValueError):
    """A saved file that is not ours, is damaged, or was written by a version this one does not understand."""


class ExportError(BlemishError, RuntimeError):
    """A model that cannot be exported, or whose exported file does not give the same answers."""


class StorageError(BlemishError, OSError):
    """Something could not be written; nothing half-written was left behind."""


class DownloadError(BlemishError, RuntimeError):
    """A download that failed, or whose content does not match its checksum."""


class MissingExtra(BlemishError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it.

    Args:
        what: The dependency.
        extra: The extra of blemish that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed. Install it with: pip install 'blemish[{extra}]'")


def nearest(value: str, allowed: Iterable[str], count: int = 2) -> list[str]:
    """Return the names that look most like another; case and punctuation do not matter.

    Args:
        value: The name given.
        allowed: The names that exist.
        count: Most names to return.

    Returns:
        The names, best first; none if no name is similar.
    """
    by_fold = {_fold(name): name for name in allowed}
    return [by_fold[key] for key in difflib.get_close_matches(_fold(value), by_fold, n=count, cutoff=0.6)]


def _fold(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
