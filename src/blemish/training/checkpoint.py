"""Nested state in one safetensors file: tensors as tensors, all else as JSON. No pickle.

The states of optimisers and schedules, and of Python's, numpy's and torch's random numbers, are dictionaries, lists and
tuples of numbers and tensors. JSON has neither tuples nor tensors nor keys that are numbers, so each of these is
written as an object of one field that says what it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blemish.core.errors import FormatError, InputError
from blemish.core.saved import read_saved, write_saved


def write_state(path: Path | str, state: Any) -> Path:
    """Write a state atomically.

    Args:
        path: File to write.
        state: Mappings, lists and tuples, nested, of plain values, numpy arrays and tensors.

    Returns:
        The path.

    Raises:
        InputError: something in it is neither a plain value nor a tensor.
        StorageError: it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_pack(state, "state", tensors))
    return write_saved(path, {"state": text}, tensors)


def read_state(path: Path | str) -> Any:
    """Read a state.

    Args:
        path: File that `write_state` wrote.

    Returns:
        The state, its tensors on the CPU.

    Raises:
        FormatError: the file is absent, damaged, or not one of these.
    """
    meta, tensors = read_saved(path)
    if "state" not in meta:
        raise FormatError(f"{path} holds no state of a training. Delete it, or give another folder.")
    return _unpack(json.loads(meta["state"]), tensors)


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().clone(memory_format=torch.contiguous_format)  # tied weights: one copy each
        return {"tensor": path}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "kind": str(value.dtype)}
    if isinstance(value, Mapping):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {kind: [[key, _pack(each, f"{path}.{key}", tensors)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        packed = [_pack(each, f"{path}.{i}", tensors) for i, each in enumerate(value)]
        return packed if isinstance(value, list) else {"tuple": packed}
    raise InputError(f"{path} is a {type(value).__name__}; a checkpoint holds plain values and tensors only")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "array" in value:
        return np.array(value["array"], dtype=value["kind"])
    if "tuple" in value:
        return tuple(_unpack(each, tensors) for each in value["tuple"])
    if "counter" in value:
        return Counter(dict(value["counter"]))
    return {key: _unpack(each, tensors) for key, each in value["dict"]}
