"""Files of tensors: a text header and named tensors in one safetensors file, sealed by a hash of both. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from blemish.core.errors import FormatError
from blemish.core.files import write_atomically


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the hash of tensors in the order of their names: name, type, shape, values.

    Args:
        tensors: Tensors by name.

    Returns:
        The SHA-256, in hexadecimal.
    """
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def seal(meta: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Return the hash of a saved file's whole content: safetensors itself notices no byte that has changed.

    Args:
        meta: The header, without the seal.
        tensors: Tensors by name.

    Returns:
        The SHA-256, in hexadecimal.
    """
    said = json.dumps([sorted(meta.items()), tensors_sha256(tensors)])
    return hashlib.sha256(said.encode()).hexdigest()


def write_saved(path: Path | str, meta: dict[str, str], tensors: dict[str, Tensor]) -> Path:
    """Write a text header and tensors to one safetensors file, atomically.

    Args:
        path: File to write.
        meta: Text header, by field.
        tensors: Tensors by name.

    Returns:
        The path.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """

    def write(part: Path) -> None:
        try:
            save_file(tensors, part, metadata=meta)
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OSError(str(error)) from error

    return write_atomically(path, write)


def read_saved(path: Path | str, *, tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file's text header and its tensors.

    Args:
        path: File to read.
        tensors: Whether to read the tensors, too.

    Returns:
        (header, tensors), both by name, on the CPU; no tensors if they are not wanted.

    Raises:
        FormatError: the file is absent, damaged or not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if tensors else ()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise FormatError(f"{path} does not exist. Check the path, or make it with `blemish fit`.") from error
    except (SafetensorError, OSError) as error:
        raise FormatError(f"{path} is {_what_else(Path(path), error)}") from error


def _what_else(path: Path, error: Exception) -> str:
    """Describe a path that is no readable safetensors file, and what to do about it."""
    if path.is_dir():
        inside = sorted(path.rglob("*.safetensors"))[-3:]
        return f"a folder. {'Name a model in it: ' + ', '.join(map(str, inside)) if inside else 'No model is in it'}."
    if path.suffix.lower() in (".onnx", ".xml"):
        return "an exported model; this needs the saved one that it was made from, which ends in .safetensors."
    return f"not a readable safetensors file ({error}). Copy it again, or fit again."
