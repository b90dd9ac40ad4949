"""The contract of every method: learn from good parts (`fit`), answer with raw scores (`forward`). Nothing else.

A detector is a torch module. Its constructor takes plain keyword hyper-parameters, keeps each under its own name and
touches no data. Everything it learns is a parameter or a buffer; a buffer that is still empty means "not fitted".
Inputs are RGB in [0, 1]; normalisation belongs to the weights, in `features`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from blemish.core.arguments import known_hyperparameters
from blemish.core.errors import FormatError, InputError, NotFitted
from blemish.core.files import from_json, write_atomically
from blemish.core.types import Batch, Scores

loading: ContextVar[bool] = ContextVar("loading", default=False)
"""True while a saved detector is rebuilt: frozen networks then wait for the file's weights and fetch none."""


DAMAGES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
"""What constructors raise for parameters that do not suit them: of another type, or far too large."""


class Detector(nn.Module, ABC):
    """Learns what good looks like; answers how far a part is from it."""

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    """Names of `forward`'s arguments, looked up in `Batch.inputs`."""

    fits_on: ClassVar[str] = "train"
    """Which split `fit` sees: "train" (good parts), or "test" (unlabelled) for transductive methods."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known_hyperparameters(cls)

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_check_images, with_kwargs=True)

    def fit(self, data: Iterable[Batch]) -> Self:
        """Learn from good parts; by default there is nothing to learn.

        A detector is fitted once; a fresh one is `type(d)(**d.params)`.

        Args:
            data: Batches of good parts; may be iterated more than once.

        Returns:
            The detector itself.
        """
        return self

    @abstractmethod
    def forward(self, image: Tensor) -> Scores:
        """Score images.

        Args:
            image: (B, 3, H, W) float32 RGB in [0, 1].

        Returns:
            Raw scores: (B,) of the images and, from methods that localise, (B, H, W) of their pixels.

        Raises:
            InputError: before it is called: `image` is no tensor, or has another shape or integer values.
            NotFitted: `fit` was not called, for methods that learn.
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

    def save(self, path: Path | str, header: dict[str, str] | None = None) -> Path:
        """Write hyper-parameters and everything learned to one safetensors file, atomically. No pickle.

        Args:
            path: File to write.
            header: Text fields to add to the file's own.

        Returns:
            The path.

        Raises:
            NotFitted: something that has to be learned is still empty.
            StorageError: the disk is full, or the folder cannot be written.
        """
        self.require_fit()
        meta = {"detector": type(self).__name__, "params": json.dumps(self.params), **(header or {})}
        tensors = {name: value.detach().contiguous().cpu() for name, value in self.state_dict().items()}
        return write_saved(path, {**meta, "seal": _seal(meta, tensors)}, tensors)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Rebuild a detector.

        Args:
            path: File that `save` wrote.

        Returns:
            The detector, in eval mode.

        Raises:
            FormatError: the file is absent, damaged, not ours, or holds another method.
        """
        meta, tensors = read_saved(path)
        if meta.get("detector") != cls.__name__:
            raise FormatError(f"{path} holds {meta.get('detector', 'no detector')}, not {cls.__name__}.")
        if meta.pop("seal", None) not in (None, _seal(meta, tensors)):  # files from before there was one have none
            raise FormatError(
                f"{path} is not as it was written: something in it has changed. Restore it from a copy, or fit again."
            )
        token = loading.set(True)
        try:
            detector = cls(**from_json(meta["params"]))
        except DAMAGES as error:
            raise FormatError(f"{path}: its parameters do not suit this version of {cls.__name__}: {error}") from error
        finally:
            loading.reset(token)
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
        if own.keys() != tensors.keys():
            differ = sorted(own.keys() ^ tensors.keys())
            raise FormatError(
                f"{path} does not fit this version of {type(self).__name__}: {', '.join(differ[:5])} differ. "
                "Fit it again, or use the version that wrote it."
            )
        for name, module in self.named_modules():
            for key, empty in module.named_buffers(recurse=False):
                if empty.numel() == 0:  # learned buffers start empty and take the size of what was learned
                    setattr(module, key, torch.empty_like(tensors[f"{name}.{key}" if name else key]))
        try:
            self.load_state_dict(tensors)
        except RuntimeError as error:
            raise FormatError(
                f"{path} does not fit this version of {type(self).__name__}: {error}. "
                "Fit it again, or use the version that wrote it."
            ) from error


def _check_images(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse what are no images, by type and shape alone: inspecting values would make a GPU wait."""
    image = named.get("image", *given[:1])
    if not isinstance(image, Tensor):
        raise InputError(
            f"image is {type(image).__name__}; it must be a tensor (B, 3, height, width), float32 RGB in [0, 1]. Files "
            "and arrays are looked at by an Inspector: Inspector.load(file).inspect(image)"
        )
    if image.ndim != 4 or image.shape[1] != 3:
        one = "For one image: image[None]." if image.ndim == 3 and image.shape[0] == 3 else "Channels come second."
        raise InputError(f"image has shape {tuple(image.shape)}; it must be (B, 3, height, width). {one}")
    if not image.is_floating_point():
        raise InputError(
            f"image holds {image.dtype} values; they must be float32 in [0, 1]. For 0 to 255: image.float() / 255"
        )


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


def _seal(meta: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Return the hash of a saved file's whole content: safetensors itself notices no byte that has changed."""
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
