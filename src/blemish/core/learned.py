"""What a method has learned, as a file: hyper-parameters in the header, parameters and buffers as tensors."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from blemish.core.errors import FormatError, NotFitted, WeightsError
from blemish.core.files import from_json
from blemish.core.saved import read_saved, seal, write_saved

loading: ContextVar[bool] = ContextVar("loading", default=False)
"""True while a saved detector is rebuilt: frozen networks then wait for the file's weights and fetch none."""

DAMAGES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
"""What constructors raise for parameters that do not suit them: of another type, or far too large."""


class Learned(nn.Module):
    """A module that is made of its hyper-parameters and what it has learned; it is saved and loaded without pickle.

    Frozen networks inside may be named instead of copied: a submodule with `named()`, which says where its weights are
    found again (None: nowhere), and `find(named, weights)`, which finds them (see `blemish.features.weights`).
    """

    @property
    def params(self) -> dict[str, Any]:
        """The hyper-parameters this detector was made with, read back from its own attributes."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    @property
    def fitted(self) -> bool:
        """Whether nothing that has to be learned is still empty."""
        return all(buffer.numel() > 0 for buffer in self.buffers())

    def require_fit(self) -> None:
        """Check that nothing that has to be learned is still empty.

        Raises:
            NotFitted: something is.
        """
        if not self.fitted:
            name = type(self).__name__
            raise NotFitted(f"this {name} is not fitted: call fit(batches of good parts), or {name}.load(file).")

    @classmethod
    def reference(cls) -> str:
        """The name that a saved file gives this class: "PatchCore", or "package.module:Class" of one that is not ours."""
        ours = cls.__module__.startswith("blemish.models.")
        return cls.__name__ if ours else f"{cls.__module__}:{cls.__qualname__}"

    def save(self, path: Path | str, header: dict[str, str] | None = None, *, embed: bool = False) -> Path:
        """Write hyper-parameters and everything learned to one safetensors file, atomically. No pickle.

        Large frozen networks are named with their hash, not copied (`blemish.features.weights`).

        Args:
            path: File to write.
            header: Text fields to add to the file's own.
            embed: Whether large frozen networks are copied into the file as well.

        Returns:
            The path.

        Raises:
            NotFitted: something that has to be learned is still empty.
            StorageError: the disk is full, or the folder cannot be written.
        """
        self.require_fit()
        meta = {"detector": self.reference(), "params": json.dumps(self.params), **(header or {})}
        named = {} if embed else {name: m.named() for name, m in self.named_modules() if hasattr(m, "named")}
        elsewhere = {name: found for name, found in named.items() if found is not None}
        if elsewhere:
            meta["elsewhere"] = json.dumps(elsewhere)
        tensors = {
            name: value.detach().contiguous().cpu()
            for name, value in self.state_dict().items()
            if not _within(name, elsewhere)
        }
        return write_saved(path, {**meta, "seal": seal(meta, tensors)}, tensors)

    @classmethod
    def load(cls, path: Path | str, weights: Path | str | None = None) -> Self:
        """Rebuild a detector.

        Args:
            path: File that `save` wrote.
            weights: File or folder of the networks that it names; None searches where `blemish.features.weights` says.

        Returns:
            The detector, in eval mode.

        Raises:
            FormatError: the file is absent, damaged, not ours, or holds another method.
            WeightsError: a network that it names cannot be found, or is another one.
        """
        meta, tensors = read_saved(path)
        if meta.get("detector") != cls.reference():
            raise FormatError(f"{path} holds {meta.get('detector', 'no detector')}, not {cls.reference()}.")
        if meta.pop("seal", None) not in (None, seal(meta, tensors)):  # files from before there was one have none
            raise FormatError(
                f"{path} is not as it was written: something in it has changed. Restore it from a copy, or fit again."
            )
        token = loading.set(True)
        try:
            detector = cls(**from_json(meta["params"]))
            elsewhere = from_json(meta.get("elsewhere", "{}"))
            networks: dict[str, Any] = {name: detector.get_submodule(name) for name in elsewhere}
            found = {name: network.find(elsewhere[name], weights) for name, network in networks.items()}
        except DAMAGES as error:
            if isinstance(error, WeightsError):
                raise
            raise FormatError(f"{path}: its parameters do not suit this version of {cls.__name__}: {error}") from error
        finally:
            loading.reset(token)
        for name, state in found.items():
            tensors |= {f"{name}.{key}": value for key, value in state.items()}
        detector._take(tensors, path)
        return detector.eval()

    def adopt(self, other: Self) -> None:
        """Take over what another detector has learned.

        Args:
            other: Detector with the same hyper-parameters.

        Raises:
            FormatError: its tensors do not fit.
        """
        self._take(other.state_dict(), "the other detector")

    def _take(self, tensors: dict[str, Tensor], path: Path | str) -> None:
        own = self.state_dict()
        differ = ", ".join(sorted(own.keys() ^ tensors.keys())[:5])
        for name, module in self.named_modules():
            for key, empty in module.named_buffers(recurse=False):
                place = f"{name}.{key}" if name else key
                if (
                    empty.numel() == 0 and not differ
                ):  # learned buffers start empty and take the size of what was learned
                    setattr(module, key, torch.empty_like(tensors[place]))
        try:
            if differ:
                raise RuntimeError(f"{differ} differ")
            self.load_state_dict(tensors)
        except RuntimeError as error:
            raise FormatError(
                f"{path} does not fit this version of {type(self).__name__}: {error}. "
                "Fit it again, or use the version that wrote it."
            ) from error


def _within(tensor: str, modules: Iterable[str]) -> bool:
    return any(tensor.startswith(f"{name}.") for name in modules)
