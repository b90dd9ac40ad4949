"""The metadata of an exported file: everything but the network, as texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blemish.core.errors import FormatError, InputError
from blemish.core.files import from_json
from blemish.core.inputs import kinds
from blemish.imaging.images import Imaging
from blemish.inference.calibration import Calibration
from blemish.inference.provenance import Provenance

FORMAT = 2
"""The version of the exported file. A reader refuses what is newer than itself; 1 called the provenance "about"."""

PREFIX = "blemish."

KINDS = {
    **dict.fromkeys(("method", "precision"), str),
    **dict.fromkeys(("params", "backbones", "versions"), dict),
    **dict.fromkeys(("inputs", "branches"), list),
}
"""Types of the values that are kept unchanged."""

WEIGHTS = "bin_sha256"
"""The name under which an OpenVINO .xml keeps the SHA-256 of the .bin it was written with."""


def model_files(path: Path | str) -> list[Path]:
    """Return the files that a model consists of.

    Args:
        path: The file that is opened.

    Returns:
        The file itself, and for OpenVINO's .xml its .bin.
    """
    path = Path(path)
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


@dataclass(frozen=True, slots=True)
class Exported:
    """The part of an inspector that is not its network.

    Attributes:
        method: The detector's class name.
        params: The detector's hyper-parameters.
        imaging: How images are prepared.
        calibration: The threshold and its guarantee, or None.
        precision: "fp32", "fp16" or "int8".
        backbones: SHA-256 of the frozen networks' weights, by their position in the detector.
        provenance: What the model was made from.
        versions: Versions of the packages that wrote the file.
        inputs: Kinds of input that the network looks at, the names of its inputs.
        branches: Names of what its scores are made of.
    """

    method: str
    params: dict[str, Any]
    imaging: Imaging
    calibration: Calibration | None
    precision: str = "fp32"
    backbones: dict[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    versions: dict[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("image",)
    branches: tuple[str, ...] = ()

    def as_texts(self) -> dict[str, str]:
        """Return the attributes as texts by name, each a JSON value."""
        values = {
            "format": FORMAT,
            "method": self.method,
            "params": self.params,
            "imaging": self.imaging.as_dict(),
            "calibration": None if self.calibration is None else self.calibration.as_dict(),
            "precision": self.precision,
            "backbones": self.backbones,
            "provenance": self.provenance.as_dict(),
            "versions": self.versions,
            "inputs": self.inputs,
            "branches": self.branches,
        }
        return {PREFIX + name: json.dumps(value, default=str) for name, value in values.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], path: Path | str) -> Exported:
        """Read what `as_texts` wrote.

        Args:
            texts: A model file's metadata.
            path: That file, named in errors.

        Returns:
            The values in it.

        Raises:
            FormatError: something is missing or damaged, or a newer version wrote it.
        """
        if PREFIX + "format" not in texts:
            raise FormatError(
                f"{path} was not exported by blemish: it does not say how images are prepared. "
                "Make one: blemish export MODEL.safetensors"
            )
        try:
            values = {name[len(PREFIX) :]: from_json(text) for name, text in texts.items() if name.startswith(PREFIX)}
        except (TypeError, ValueError) as error:
            raise FormatError(f"{path} has damaged metadata: {error}. Export it again.") from error
        written = values.pop("format")
        if not isinstance(written, int) or written > FORMAT:
            raise FormatError(
                f"{path} has format {written}, written by blemish {values.get('versions', {}).get('blemish', '?')}; "
                f"this one reads up to {FORMAT}. Upgrade: pip install -U blemish"
            )
        try:
            for name, kind in KINDS.items():
                if name in values and not isinstance(values[name], kind):
                    raise TypeError(f"{name} is {type(values[name]).__name__}, not {kind.__name__}")
            stored = values.pop("calibration")
            values["provenance"] = Provenance.from_dict(values.pop("about", values.get("provenance", {})))
            values |= {name: tuple(values[name]) for name in ("inputs", "branches") if name in values}
            kinds(values.get("inputs", ("image",)), str(path))
            return cls(
                imaging=Imaging.from_dict(values.pop("imaging")),
                calibration=None if stored is None else Calibration.from_dict(stored),
                **values,
            )
        except (KeyError, TypeError, AttributeError, InputError, FormatError) as error:
            raise FormatError(f"{path} has damaged metadata: {error}. Export it again.") from error


def onnx_texts(path: Path | str) -> dict[str, str]:
    """Return an ONNX file's metadata by reading its outermost fields only, whatever its size.

    ModelProto keeps metadata in field 14, entries of key (1) and value (2); the graph (field 7) is skipped.

    Args:
        path: ONNX file.

    Returns:
        The metadata's texts by key.

    Raises:
        FormatError: the file is absent or no ONNX file.
    """
    texts: dict[str, str] = {}
    try:
        with Path(path).open("rb") as file:
            end = file.seek(0, 2)
            file.seek(0)
            while file.tell() < end:
                number, wire = divmod(_varint(file.read), 8)
                if wire == 0:
                    _varint(file.read)
                    continue
                if wire != 2:
                    raise ValueError(f"field {number} has kind {wire}")
                length = _varint(file.read)
                if file.tell() + length > end:
                    raise ValueError("it is cut off")
                if number == 14:
                    key, value = _entry(file.read(length))
                    texts[key] = value
                else:
                    file.seek(length, 1)
    except FileNotFoundError as error:
        raise FormatError(f"{path} does not exist. Check the path, or make it with `blemish export`.") from error
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} is not a readable ONNX file: {error}. Copy it again, or export again.") from error
    return texts


def _entry(content: bytes) -> tuple[str, str]:
    found, at = {1: "", 2: ""}, 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        return content[at - count : at]

    while at < len(content):
        number, wire = divmod(_varint(take), 8)
        if wire != 2 or number not in found:
            raise ValueError("an entry of its metadata is damaged")
        found[number] = take(_varint(take)).decode()
    return found[1], found[2]


def _varint(take: Callable[[int], bytes]) -> int:
    value = shift = 0
    while True:
        byte = take(1)
        if not byte or shift > 63:
            raise ValueError("it is cut off")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
