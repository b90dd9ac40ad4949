"""Where the weights of a frozen network come from, and how a saved model that only names them finds them again.

Small networks are copied into every model file. Above LIMIT a file holds a reference instead: source, file name, size,
licence and SHA-256. The weights are then looked for where the user says, in the folders of BLEMISH_WEIGHTS, and in the
hub's cache; they are taken only if their hash is the one in the reference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from blemish.core.errors import WeightsError
from blemish.core.files import sha256

LIMIT = 64 * 2**20
"""Bytes of the weights of a network above which a model file names them."""

VARIABLE = "BLEMISH_WEIGHTS"
"""The environment variable with the folders that weights are looked for in, separated as in PATH."""


@dataclass(frozen=True)
class Origin:
    """Where a network comes from, and what its makers say of it.

    Attributes:
        name: The network's name, as `extractor` takes it.
        source: Where its weights come from: "embedded", "random", "own", a file, or "hub:" and the hub's id.
        license: As its makers name it; "" where they do not say.
        interpolation: How its makers resize images.
        input_size: (height, width) in pixels that it was trained on, or None.
        patch: Side of its patches in pixels, of which the sides of an image must be multiples; 1 for any.
        file: The weights as a file, or None where there is none.
        load: Makes the network with the weights of a file; None where it cannot.
    """

    name: str = ""
    source: str = "own"
    license: str = ""
    interpolation: str = ""
    input_size: tuple[int, int] | None = None
    patch: int = 1
    file: Path | None = field(default=None, compare=False)
    load: Callable[[Path], nn.Module] | None = field(default=None, compare=False, repr=False)

    def reference(self) -> dict[str, Any] | None:
        """Return by what the weights are found again, as JSON values; None where there is no file of them."""
        if self.file is None or self.load is None:
            return None
        return {
            "backbone": self.name,
            "source": self.source,
            "file": self.file.name,
            "bytes": self.file.stat().st_size,
            "license": self.license,
            "sha256": sha256(self.file),
        }


def locate(reference: Mapping[str, Any], given: Path | str | None = None) -> Path:
    """Find a file of weights by its hash.

    Args:
        reference: What `Origin.reference` returned.
        given: The file, or a folder to search with all below it; None searches BLEMISH_WEIGHTS and the hub's cache.

    Returns:
        The file.

    Raises:
        WeightsError: there is no such file, or the one given holds other weights.
    """
    wanted = str(reference["sha256"])
    if given is not None and Path(given).is_file():
        found = sha256(Path(given))
        if found != wanted:
            raise WeightsError(
                f"{given} does not hold the weights that the model was fitted with: its SHA-256 is {found[:16]}..., the "
                f"model's {reference['backbone']} is {wanted[:16]}.... Give that file, {_called(reference)}."
            )
        return Path(given)
    places = [Path(given)] if given is not None else _folders()
    searched = [*(_below(place, reference) for place in places), *([] if given is not None else [_cached(reference)])]
    other = ""
    for candidates in searched:
        for path in candidates:
            if sha256(path) == wanted:
                return path
            other = f" {path} has that name, but other weights."
    raise WeightsError(
        f"the model needs the weights of {reference['backbone']}, which are too large to be in its file: "
        f"{_called(reference)}. They are not in {', '.join(map(str, places)) or f'{VARIABLE}, which is not set'}"
        f"{'' if given is not None else ', nor in the cache of the hub'}.{other} Put the file into a folder and name it "
        f"(weights=..., --weights, or {VARIABLE}); or save the model with all its weights (fit --embed, save(embed=True))."
    )


def _folders() -> list[Path]:
    return [Path(place) for place in os.environ.get(VARIABLE, "").split(os.pathsep) if place]


def _below(place: Path, reference: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the files that may hold the weights: of the same size, or at least of the same name."""
    files = sorted(place.rglob("*.safetensors")) if place.is_dir() else [place] if place.is_file() else []
    same = [path for path in files if path.stat().st_size == reference["bytes"]]
    yield from (*same, *(path for path in files if path.name == reference["file"] and path not in same))


def _cached(reference: Mapping[str, Any]) -> Iterator[Path]:
    source = str(reference["source"])
    if not source.startswith("hub:"):
        return
    path = cached(source.removeprefix("hub:"), str(reference["file"]))
    if path is not None:
        yield path


def cached(repo: str, file: str) -> Path | None:
    """Return a file of the hub that was fetched before, without asking the hub.

    Args:
        repo: The hub's id, "timm/resnet18.a1_in1k".
        file: Name of the file.

    Returns:
        The file, or None.
    """
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return None
    found = try_to_load_from_cache(repo, file)
    return Path(found) if isinstance(found, str) else None


def _called(reference: Mapping[str, Any]) -> str:
    size = f"{int(reference['bytes']) / 1e6:.0f} MB"
    known = f", licence {reference['license']}" if reference.get("license") else ""
    return f"{reference['file']} of {reference['source']} ({size}, SHA-256 {reference['sha256']}{known})"
