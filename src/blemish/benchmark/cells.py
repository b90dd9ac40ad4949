"""A cell: one method on one category, with one seed, under one protocol. Its name holds a hash of all that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from blemish.evaluation.report import Resolution
from blemish.evaluation.settings import Protocol, protocol

LONGEST = 200
"""Bytes of a name beside its hash: with what is put around it while a file is written it stays below 255."""


COSTS = "costs.json"
"""Beside a fitted detector: what fitting it cost."""


@dataclass(frozen=True)
class Source:
    """Where a cell's images are. `kind` is the data set's name in the registry, `name` what results call it.

    `options` go to the data set's `index`. `make` are the arguments of `blemish.data.synthetic.make` where the images are
    made on the spot, None where they lie there already.
    """

    name: str
    kind: str
    root: str
    options: Mapping[str, Any] = field(default_factory=dict)
    make: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Cell:
    """What is to be measured. `categories` are one (None in it: the data set has none), or, for a unified detector, all.

    `params` are the method's, those of its preset included. `train_images` is the largest number of good images learned
    from, None for all. `images_sha256` stands for the images: names, sizes, splits and labels of every record. `search`
    holds values to try of further parameters, and `judge` says by what the best are chosen (`blemish.engine.search`).
    """

    method: str
    params: Mapping[str, Any]
    source: Source
    categories: tuple[str | None, ...]
    seed: int
    protocol: Protocol
    preset: str | None
    image_size: int
    batch_size: int
    holdout: float
    false_reject_rate: float
    train_images: int | None
    patience: int | None
    resolution: Resolution
    images_sha256: str
    search: Mapping[str, list[Any]] = field(default_factory=dict)
    judge: str = "planted"

    @property
    def category(self) -> str | None:
        """The category, None for a data set without, "all" for a unified detector."""
        return "all" if self.protocol.unified else self.categories[0]

    def as_dict(self) -> dict[str, Any]:
        """Return the cell as JSON values; `Cell.from_dict` reads them back."""
        return {
            **{
                name: value
                for name, value in vars(self).items()
                if name not in ("source", "protocol", "search", "judge")
            },
            **({"search": self.search, "judge": self.judge} if self.search else {}),
            "categories": list(self.categories),
            "source": asdict(self.source),
            "dataset": self.source.name,
            "category": self.category,
            "protocol": self.protocol.name,
            "draw": self.protocol.drawn,
            "protocol_settings": self.protocol.as_dict(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Cell:
        """Return the cell that `as_dict` described.

        Args:
            stored: Its JSON values.

        Returns:
            The cell.
        """
        given = {
            key: stored[key] for key in cls.__dataclass_fields__ if key in stored or key not in ("search", "judge")
        }
        given["source"] = Source(**stored["source"])
        given["categories"] = tuple(stored["categories"])
        given["protocol"] = protocol(stored["protocol_settings"])
        return cls(**given)

    @property
    def learning(self) -> Cell:
        """The cell that learns the same: several cells may test one detector, under robustness for instance."""
        return replace(self, protocol=self.protocol.learning)

    @property
    def sha256(self) -> str:
        """The hash of everything that decides the result but the code; where the images lie does not."""
        decides = self.as_dict()
        del decides["source"]["root"]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """A name for files: what a reader looks for, and the hash that tells cells apart."""
        said = [self.method, self.source.name, self.category or "", self.protocol.kind, f"seed{self.seed}"]
        plain = "-".join("".join(c if c.isalnum() or c in "-_." else "_" for c in text) for text in said if text)
        return f"{plain.encode()[:LONGEST].decode(errors='ignore')}-{self.sha256[:12]}"

    def path(self, out: Path) -> Path:
        """Return the file of the result below `out`.

        Args:
            out: Folder of the results.

        Returns:
            The path.
        """
        return out / "cells" / f"{self.name}.json"


def is_fitted(folder: Path) -> bool:
    """Return whether a run folder holds a fitted detector and what fitting it cost.

    Args:
        folder: The folder, which need not exist.

    Returns:
        Whether both are there.
    """
    return (folder / "model.safetensors").exists() and (folder / COSTS).exists()


def failure(error: str, trace: str = "") -> dict[str, Any]:
    """Return the result of a cell that failed.

    Args:
        error: The error in a line.
        trace: Where it was raised.

    Returns:
        As a result, with empty values.
    """
    empty = ("metrics", "scores", "decisions", "by_category", "costs", "stamps", "picture")
    return {**{key: {} for key in empty}, "notes": [], "failed": {"error": error, "traceback": trace}}
