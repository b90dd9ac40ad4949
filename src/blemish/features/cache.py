"""Features of frozen networks, computed once and kept on disk for every method and seed that requests the same ones.

Inside the block of a `FeatureCache` a `Features` looks its maps up before it computes them; methods need no change. An
image is identified by the SHA-256 of its prepared pixels, a network by its weights, structure and layers, the version
of torch and the kind of device. Only images that were announced are kept: what a method generates or augments in
training would fill the disk and never be requested again.

The size of the batch is part of the address, and a batch of which one image is missing is computed whole. Convolutions
may round differently in batches of different sizes (here: by 3e-6 for one image alone); so what is looked up is, bit
for bit, what would have been computed, and a result does not depend on which run came first.
"""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from blemish.core.errors import StorageError
from blemish.core.saved import write_saved
from blemish.features.frozen import Features, caching

LIMIT = 8 * 2**30
"""Bytes that a cache may take on disk; beyond that the least recently used files are removed."""


class FeatureCache:
    """Maps of frozen networks in a folder that several processes may share.

    Args:
        folder: The folder.
        known: Digests (see `digests`) of the images whose maps are kept.
        limit: Most bytes on disk.

    Attributes:
        looked_up: Number of images whose maps were read from disk.
        computed: Number of images whose maps were computed.
    """

    def __init__(self, folder: Path | str, known: Collection[str], limit: int = LIMIT) -> None:
        self.folder, self.known, self.limit = Path(folder), frozenset(known), limit
        self.looked_up = self.computed = 0
        self._networks: WeakKeyDictionary[Features, str] = WeakKeyDictionary()
        self._shelves: dict[Path, dict[str, Any]] = {}
        self._full = False

    @contextmanager
    def open(self) -> Iterator[FeatureCache]:
        """Make every `Features` inside the block use this cache.

        Yields:
            The cache.
        """
        token = caching.set(self)
        try:
            yield self
        finally:
            caching.reset(token)

    def __call__(self, features: Features, image: Tensor) -> list[Tensor]:
        """Return the maps of a batch, (B, 3, H, W): those kept if all are, else as computed now."""
        if image.requires_grad:  # a gradient must flow through the network
            return features.compute(image)
        names = digests(image)
        if not self.known.issuperset(names):
            self.computed += len(names)
            return features.compute(image)
        shelf = self.folder / self._network(features, image) / str(len(image))
        found = self._find(shelf, names)
        if found is not None:
            self.looked_up += len(names)
            kept = zip(*(self._maps(found[name], name, features) for name in names), strict=True)
            return [torch.stack(maps).to(image.device) for maps in kept]
        self.computed += len(names)
        maps = features.compute(image)
        self._keep(shelf, names, maps)
        return maps

    def _network(self, features: Features, image: Tensor) -> str:
        """Return the hash of all that determines a map except the image itself."""
        if features not in self._networks:
            said = f"{features.sha256} {features.layers} {features.net!r}"
            self._networks[features] = hashlib.sha256(said.encode()).hexdigest()
        said = f"{self._networks[features]} {features.precision} {tuple(image.shape[1:])} {image.dtype} "
        said += f"{image.device.type} {torch.__version__}"
        return hashlib.sha256(said.encode()).hexdigest()[:24]

    def _find(self, shelf: Path, names: list[str]) -> dict[str, Any] | None:
        """Return the open files that hold the images' maps, or None if one is missing."""
        known = self._shelves.setdefault(shelf, {})
        if any(name not in known for name in names):
            self._read_shelf(shelf, known)
        return {name: known[name] for name in names} if all(name in known for name in names) else None

    def _read_shelf(self, shelf: Path, known: dict[str, Any]) -> None:
        seen = known.setdefault("files", set())
        for path in sorted(shelf.glob("*.safetensors")):
            if path.name in seen:
                continue
            seen.add(path.name)
            try:
                file = safe_open(path, framework="pt")
            except OSError:  # removed by another process, or another user's: computed again
                continue
            except SafetensorError:  # damaged: computed again
                with suppress(OSError):
                    path.unlink()
                continue
            with suppress(OSError):  # another user's keeps its time
                os.utime(path)  # used now: not the next to be removed
            for key in file.keys():  # type: ignore[no-untyped-call]  # noqa: SIM118 - not a dictionary
                known[key.partition(".")[0]] = file

    def _maps(self, file: Any, name: str, features: Features) -> list[Tensor]:
        return [file.get_tensor(f"{name}.{i}") for i in range(len(features.layers))]

    def _keep(self, shelf: Path, names: list[str], maps: list[Tensor]) -> None:
        known = self._shelves[shelf]
        missing = {name: at for at, name in enumerate(names) if name not in known}
        tensors = {f"{name}.{i}": map[at].cpu() for name, at in missing.items() for i, map in enumerate(maps)}
        tensors = {key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
        if self._full:
            return
        try:
            self._make_room(sum(value.nbytes for value in tensors.values()))
            write_saved(shelf / f"{uuid.uuid4().hex}.safetensors", {}, tensors)
        except StorageError as error:
            self._full = True
            warnings.warn(f"features are no longer kept, only computed: {error}", stacklevel=2)

    def _make_room(self, wanted: int) -> None:
        """Remove the least recently used files until `wanted` more bytes fit."""
        files = []
        for path in self.folder.rglob("*.safetensors"):
            with suppress(OSError):
                found = path.stat()
                files.append((found.st_mtime_ns, found.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total + wanted <= self.limit:
                break
            with suppress(OSError):  # another user's, which only they may remove
                path.unlink(missing_ok=True)
                total -= size


def digests(images: Tensor) -> list[str]:
    """Hash the values of each image of a batch.

    Args:
        images: (B, C, H, W).

    Returns:
        B SHA-256 hashes as hexadecimal digits.
    """
    return [hashlib.sha256(image.numpy()).hexdigest() for image in images.detach().cpu().contiguous()]
