"""Files: written atomically (to a temporary file in the same folder, then one rename), read as JSON, and hashed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blemish.core.errors import FormatError, StorageError


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


UMASK = _umask()
"""Read once: that takes setting it, and another thread could create a file in between."""


def write_atomically(path: Path | str, write: Callable[[Path], None]) -> Path:
    """Write a temporary file in the same folder, then rename it into place.

    After a crash, a kill or a full disk `path` holds either its old content or all of the new one.

    Args:
        path: File to write; missing folders are made.
        write: Called with the path of the temporary file, which it fills.

    Returns:
        The path.

    Raises:
        StorageError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            write(part)
            with part.open("rb+") as stream:
                os.fsync(stream.fileno())
            part.chmod(0o666 & ~UMASK)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text atomically.

    Args:
        path: File to write.
        text: The text; bytes of files' names in it that are no text are escaped.

    Returns:
        The path.

    Raises:
        StorageError: as `write_atomically`.
    """
    return write_atomically(path, lambda part: _spill(part, text.encode(errors="backslashreplace")))


def write_json(path: Path | str, value: Any) -> Path:
    """Write a value as indented JSON atomically.

    Args:
        path: File to write.
        value: The value; objects that JSON does not know are written as text.

    Returns:
        The path.

    Raises:
        ValueError: it holds NaN or infinity, which are not JSON.
        StorageError: as `write_atomically`.
    """
    return write_text(path, json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Args:
        path: File to read.

    Returns:
        The value.

    Raises:
        FormatError: the file is not JSON.
    """
    try:
        return from_json(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is not readable as JSON: {error}. Delete it, or restore it from a copy.") from error


def from_json(text: str) -> Any:
    """Parse a JSON text.

    Args:
        text: The text.

    Returns:
        The value.

    Raises:
        ValueError: it is not JSON, or nested more deeply than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def sha256(*paths: Path) -> str:
    """Return the SHA-256 of the content of files, one after the other.

    Args:
        *paths: The files, in order.

    Returns:
        The hash, in hexadecimal.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def content_of(path: Path | str) -> str:
    """Return a key by which a file's content is recognised under any name.

    Args:
        path: The file.

    Returns:
        Its size in bytes, a colon, and the first 16 digits of its SHA-256.

    Raises:
        OSError: the file cannot be read.
    """
    path = Path(path)
    return f"{path.stat().st_size}:{sha256(path)[:16]}"


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn the operating system's errors in the block into one that says what to do.

    Args:
        path: What the block writes.

    Yields:
        Nothing.

    Raises:
        StorageError: the block raised an OSError.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. "
            "Free some space, choose another place, or check the folder's permissions; nothing was left half-written."
        ) from error


def _spill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def printable(path: str) -> str:
    """Return a file's name on one line.

    Args:
        path: The name.

    Returns:
        The name, control characters and bytes that are no text escaped.
    """
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path)
    return shown.encode("utf-8", "backslashreplace").decode()
