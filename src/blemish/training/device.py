"""Where tensors are: devices by name, of a module, and for a batch."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from blemish.core.errors import InputError
from blemish.core.types import Batch


def choose_device(name: str) -> torch.device:
    """Return the device of a name: "auto" is a CUDA GPU if there is one, else the processor.

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
    """Return the device a module's parameters or buffers live on; the processor if it has none."""
    for tensor in chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.device("cpu")


def to(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its inputs on `device`; the truth stays where it is."""
    if device.type == "cpu":
        return batch
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.inputs.items()}
    return Batch(moved, batch.label, batch.keys)
