"""What a detector may look at. Each kind of input is described here, once; all else asks this table.

`imaging` reads and prepares files as a kind says, `data` and `inference` batch them, a `Detector` names the kinds that its
`forward` takes, an exported graph has one input for each. A further kind of aligned map is one more line of `KINDS`.

All files of a part show the same view, pixel on pixel: they have one height and width, are cut and resized alike, and a map
of scores goes back to that size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import InputError, UnknownName

Inputs = Mapping[str, Any]
"""The inputs of a batch by kind: an array or tensor (B, C, H, W), or a list of B texts."""


@dataclass(frozen=True, slots=True)
class InputKind:
    """One kind of input.

    Attributes:
        name: The argument of `forward`, and the name of a part's file.
        values: What a value is, with its unit.
        channels: Channels C of the tensor (B, C, H, W); 0 for a text of each part.
        measured: False for brightness, which is interpolated when it is resized; True for measurements, of which the
            nearest is taken, and which are NaN where the sensor saw nothing.
    """

    name: str
    values: str
    channels: int
    measured: bool = False

    def stack(self, values: Sequence[Any]) -> NDArray[np.float32] | list[str]:
        """Batch prepared values.

        Args:
            values: (H, W, C) float32 of one size, or texts; one of each part.

        Returns:
            (B, C, H, W) float32, or the list of texts.
        """
        if not self.channels:
            return [str(value) for value in values]
        return np.ascontiguousarray(np.stack(values).transpose(0, 3, 1, 2))


KINDS: Mapping[str, InputKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            InputKind("image", "RGB in [0, 1]", 3),
            InputKind("points", "x, y, z in the file's unit of length, NaN where there is no point", 3, measured=True),
            InputKind("depth", "distance in the file's unit of length, NaN where there is none", 1, measured=True),
            InputKind("category", "the name of the product or material", 0),
        )
    }
)


def kinds(names: Iterable[str], asked_by: str) -> tuple[InputKind, ...]:
    """Return kinds of input by name.

    Args:
        names: Their names.
        asked_by: Who takes them, for the message.

    Returns:
        The kinds, in order.

    Raises:
        UnknownName: there is no such kind.
        InputError: none is named, one is named twice, or all are texts.
    """
    found = []
    for name in names:
        if name not in KINDS:
            raise UnknownName(f"input of {asked_by}", name, KINDS)
        found.append(KINDS[name])
    if len(set(found)) < len(found) or not any(kind.channels for kind in found):
        raise InputError(
            f"inputs of {asked_by} are {list(names)}; name each once, and at least one that has pixels: "
            f"{', '.join(name for name, kind in KINDS.items() if kind.channels)}"
        )
    return tuple(found)


def main_input(names: Sequence[str]) -> str:
    """Return the input that a lone file stands for: the first that has pixels.

    Args:
        names: Names of kinds.

    Returns:
        The name.
    """
    return next(name for name in names if KINDS[name].channels)
