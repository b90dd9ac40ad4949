"""The one way from a part's files to a detector's inputs: read, checked against each other, prepared, batched. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from blemish.core.errors import ImageError, InputError
from blemish.core.inputs import KINDS, Inputs, main_input
from blemish.imaging.images import Imaging
from blemish.imaging.reading import Image, named, read_measurement


class PreparedPart(NamedTuple):
    """A part, ready to be batched.

    Attributes:
        inputs: By kind: (h, w, C) float32 at the network's size, or a text.
        original: (height, width) of its files, in pixels.
    """

    inputs: dict[str, Any]
    original: tuple[int, int]


def files_of(source: Any, wanted: Sequence[str]) -> dict[str, Any]:
    """Return what a source gives, by kind of input.

    Args:
        source: A Record, a mapping from kinds to files, bytes, arrays or texts, or one file, content or array, which
            stands for the first of `wanted` that has pixels.
        wanted: The kinds that are looked at.

    Returns:
        Files, bytes, arrays and texts by kind.

    Raises:
        InputError: a mapping names a kind that does not exist.
    """
    files = getattr(source, "files", None)
    if isinstance(files, Mapping):
        return {**files, "category": source.category}
    if isinstance(source, Mapping):
        for name in source:
            if name not in KINDS:
                raise InputError(f"a part has no {name!r}; it can have {', '.join(KINDS)}")
        return dict(source)
    return {main_input(wanted): source}


def require(given: Mapping[str, Any], wanted: Sequence[str]) -> None:
    """Check that a part has all that is looked at.

    Args:
        given: What it has, by kind.
        wanted: The kinds that are looked at.

    Raises:
        InputError: something is missing.
    """
    missing = next((name for name in wanted if _is_empty(given.get(name))), None)
    if missing is None:
        return
    looks, asked = " and ".join(wanted), ", ".join(f"{name!r}: ..." for name in wanted)
    said = f"--input {missing}='../{missing}/{{stem}}.tiff'" if KINDS[missing].channels else "--category NAME"
    raise InputError(
        f"this model looks at {looks}, and the {missing} of a part is missing. Give all of them, {{{asked}}}; on the "
        f"command line: {said}"
    )


def prepare_part(imaging: Imaging, source: Any, wanted: Sequence[str]) -> PreparedPart:
    """Read and prepare a part.

    Args:
        imaging: How its files are cut and resized, all alike.
        source: See `files_of`.
        wanted: The kinds that are looked at.

    Returns:
        The part.

    Raises:
        InputError: something that is looked at is missing.
        ImageError: a file cannot be read, or two are of different sizes.
    """
    given = files_of(source, wanted)
    require(given, wanted)
    inputs: dict[str, Any] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for kind in (KINDS[name] for name in wanted):
        value = given[kind.name]
        if not kind.channels:
            inputs[kind.name] = str(value)
            continue
        if kind.measured:
            read = read_measurement(value, kind.channels, max_pixels=imaging.max_pixels)
        else:
            read = imaging.read(value)
        with named(value):
            inputs[kind.name] = imaging.prepare_measurement(read) if kind.measured else imaging.prepare(read)
        sizes[kind.name] = read.shape[0], read.shape[1]
    if len(set(sizes.values())) > 1:
        said = ", ".join(
            f"{name} {_called(given[name])} has {width} x {height}" for name, (height, width) in sizes.items()
        )
        raise ImageError(f"the files of a part must show it pixel on pixel, in one size: {said}.")
    return PreparedPart(inputs, next(iter(sizes.values())))


def stack(parts: Sequence[PreparedPart]) -> Inputs:
    """Batch prepared parts.

    Args:
        parts: Parts of one size with the same inputs.

    Returns:
        (B, C, h, w) float32 arrays, and lists of B texts, by kind.
    """
    return {name: KINDS[name].stack([part.inputs[name] for part in parts]) for name in parts[0].inputs}


def preview(imaging: Imaging, source: Any, wanted: Sequence[str]) -> Image:
    """Return a part as people look at it.

    Args:
        imaging: How its files are read.
        source: See `files_of`.
        wanted: The kinds that a model looks at.

    Returns:
        (H, W, 3) float32 RGB in [0, 1]: its image, or of a part without one the last channel of its measurements, from
        black at the lowest to white at the highest 1 %, mid-grey where there is nothing.

    Raises:
        ImageError: its file cannot be read.
    """
    given = files_of(source, wanted)
    if "image" in given:
        return imaging.read(given["image"])
    kind = KINDS[main_input(wanted)]
    values = read_measurement(given[kind.name], kind.channels, max_pixels=imaging.max_pixels)[..., -1]
    low, high = np.nanpercentile(values, (1, 99))
    grey = np.nan_to_num((values - low) / max(high - low, np.finfo(np.float32).tiny), nan=0.5).clip(0, 1)
    return np.repeat(grey[..., None].astype(np.float32), 3, axis=2)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)


def _called(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else "given"
