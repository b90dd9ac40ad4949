"""A grid: methods x data sets x categories x seeds x protocols, read from TOML; and the cells it stands for.

name = "mine"                            # names the folder of the results
methods = ["patchcore", "padim"]         # or "all"
seeds = [0, 1, 2]
preset = "quick"                         # settings of trained methods: "quick" or "paper"; default: the constructors'
image_size = 128                         # default: the preset's, 256 for methods without one
batch_size = 8                           # default: the preset's, 32 for methods without one
holdout = 0.2                            # good images kept for a threshold; default 0: none, all are learned from
false_reject_rate = 0.01                 # for which that threshold is chosen
patience = 10                            # training stops after so many checks without improvement; needs a holdout
train_images = 160                       # at most so many good images are learned from; default: all
resolution = "original"                  # maps are compared at the images' size, or at the network's: "network"
limit_minutes = 90                       # a cell that takes longer has failed; default: none
protocols = ["one-class", {kind = "few-shot", k = [1, 2], draw = [0, 1, 2]}]   # a list stands for each of its values

[[datasets]]
kind = "mvtec_ad"
root = "datasets/MVTec"                  # relative to the folder in which the command is run
categories = ["bottle", "cable"]         # default: all that are there
name = "mine"                            # in tables and file names; default: its kind
options = {}                             # further arguments of its reader: {test_share = 0.3} of a folder
# make = {}                              # of kind "synthetic" instead of root: made in OUT, with these arguments

[params.patchcore]                       # parameters of a method beside its preset's
neighbours = 9

[search.patchcore]                       # values to try: the best by planted defects, never by test images, is measured
coreset_sampling_ratio = [0.01, 0.1]     # needs a holdout; judge = "validation" at the top: by labelled validation images
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from blemish.benchmark.cells import Cell, Source
from blemish.core import registry
from blemish.core.card import Preset
from blemish.data import synthetic
from blemish.data.record import Record
from blemish.evaluation.report import Resolution
from blemish.evaluation.settings import Protocol

PLAIN = Preset(256, 32)
"""Settings of methods that are not trained, and of all where no preset is wanted."""


@dataclass(frozen=True)
class Grid:
    """What is to be measured; `cells` says it one by one. `blemish.benchmark.reading` reads and checks it."""

    name: str
    methods: tuple[str, ...]
    sources: tuple[tuple[Source, tuple[str, ...] | None], ...]
    seeds: tuple[int, ...] = (0,)
    protocols: tuple[Protocol, ...] = (Protocol(),)
    preset: str | None = None
    image_size: int | None = None
    batch_size: int | None = None
    holdout: float = 0.0
    false_reject_rate: float = 0.01
    train_images: int | None = None
    patience: int | None = None
    resolution: Resolution = "original"
    limit_minutes: float | None = None
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    search: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)
    judge: str = "planted"

    def cells(self, out: Path | str) -> list[Cell]:
        """Return every cell, those that share images next to each other; images that are to be made are made now.

        Args:
            out: Folder of the results.

        Returns:
            The cells.

        Raises:
            DataError: a data set is not where the grid says, or not laid out as its card says.
        """
        found = []
        for source, asked in self.sources:
            placed = _placed(source, asked, Path(out))
            images = {seed: _images(placed, asked, seed) for seed in self.seeds}
            categories = tuple(images[self.seeds[0]])
            for made in self.protocols:
                for chosen in [categories] if made.unified else [(one,) for one in categories]:
                    for seed, method in itertools.product(self.seeds, self.methods):
                        found.append(self._cell(method, placed, chosen, seed, made, images[seed]))
        return found

    def _cell(
        self,
        method: str,
        source: Source,
        categories: tuple[str | None, ...],
        seed: int,
        made: Protocol,
        images: Mapping[str | None, list[Record]],
    ) -> Cell:
        presets = registry.method_card(method).presets
        preset = presets.get(self.preset, PLAIN) if self.preset else PLAIN
        params = {**preset.params, **self.params.get(method, {})}
        if "seed" in inspect.signature(registry.method(method)).parameters:
            params.setdefault("seed", seed)
        return Cell(
            method=method,
            params=params,
            source=source,
            categories=categories,
            seed=seed,
            protocol=made,
            preset=self.preset,  # also of methods that are not trained: they stand beside those that are
            image_size=self.image_size or preset.image_size,
            batch_size=self.batch_size or preset.batch_size,
            holdout=self.holdout,
            false_reject_rate=self.false_reject_rate,
            train_images=self.train_images,
            patience=self.patience,
            resolution=self.resolution,
            search=self.search.get(method, {}),
            judge=self.judge,
            images_sha256=_sha256([record for category in categories for record in images[category]]),
        )


def _placed(source: Source, categories: tuple[str, ...] | None, out: Path) -> Source:
    """Return the source with its images in place: those that are made are made now."""
    if source.make is None:
        return replace(source, root=os.path.abspath(source.root))  # noqa: PTH100 - links keep their names
    root = Path(os.path.abspath(source.root or out / "images" / source.name))  # noqa: PTH100 - as above
    synthetic.make(root, categories=categories, **source.make)
    return replace(source, root=str(root))


def _images(source: Source, categories: tuple[str, ...] | None, seed: int) -> dict[str | None, list[Record]]:
    """Return the records of each category; of a data set that has none, under None."""
    data = registry.dataset(source.kind)
    index: Callable[..., list[Record]] = data.index
    options = dict(source.options)
    if "seed" in inspect.signature(index).parameters:
        options.setdefault("seed", seed)
    if categories is not None:
        return {category: index(source.root, category, **options) for category in categories}
    records = index(source.root, None, **options)
    if not data.card.categories:
        return {None: records}
    found: dict[str | None, list[Record]] = {}
    for record in records:
        found.setdefault(record.category, []).append(record)
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def _sha256(records: list[Record]) -> str:
    lines = sorted(json.dumps([r.fingerprint, r.split, r.label, r.kind, len(r.masks)]) for r in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
