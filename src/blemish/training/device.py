"""Devices: by name, of a module, and for a batch."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from blemish.core.errors import InputError
from blemish.core.types import Batch


def choose_device(name: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: "cpu", "cuda:0", or "auto" for a CUDA GPU if there is one, else the CPU.

    Returns:
        The device.

    Raises:
        InputError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not known; use 'auto', 'cpu' or 'cuda:0'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: this machine has no usable CUDA GPU; use 'cpu' or 'auto'")
    return device


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module.

    Args:
        module: The module.

    Returns:
        The device of its first parameter or buffer; the CPU if it has none.
    """
    for tensor in chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.device("cpu")


def to(batch: Batch, device: torch.device) -> Batch:
    """Move the inputs of a batch to a device; its texts and its ground truth stay where they are.

    Args:
        batch: The batch.
        device: Where the inputs go.

    Returns:
        The batch with its inputs there.
    """
    if device.type == "cpu":
        return batch
    moved = {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.inputs.items()
    }
    return Batch(moved, batch.keys, batch.known)
