"""What we know about a method or a data set, as frozen data beside its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Paper:
    """A publication: enough to find and cite it."""

    title: str
    authors: str
    year: int
    venue: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """A number somebody printed, in percent; `source` says who printed it, `setting` under which conditions."""

    dataset: str
    metric: str
    value: float
    source: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings for one purpose: the side of the network's input in pixels, images a batch, changed parameters."""

    image_size: int
    batch_size: int
    params: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Card:
    """What a method is. `family` is for tables only; no code branches on it.

    `presets` holds "paper" (what the paper trains with; its parameters are the constructor's defaults) and "quick" (a few
    minutes on two cores) for methods that are trained. `not_exported` says why a method cannot be exported, if it cannot.
    """

    name: str
    idea: str
    family: str
    paper: Paper
    code: str = ""
    code_licence: str = ""
    differs: tuple[str, ...] = ()
    reported: tuple[Reported, ...] = ()
    presets: Mapping[str, Preset] = field(default_factory=lambda: MappingProxyType({}))
    not_exported: str = ""


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that can be downloaded. An empty `url` means it must be fetched by hand from the data set's home page.

    `size` is in bytes. `checksum` is "sha256:..." or "md5:...", empty if nobody published one.
    """

    name: str
    url: str = ""
    size: int = 0
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images a category holds; `None` where the source does not say."""

    train_good: int | None = None
    test_good: int | None = None
    test_defective: int | None = None
    validation_good: int | None = None
    kinds: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """What a data set is, where it comes from, and what a complete copy holds. `paper` is None where there is none."""

    name: str
    paper: Paper | None
    licence: str
    home: str
    categories: tuple[str, ...]
    layout: tuple[str, ...]
    masks: str
    counts: Mapping[str, Counts] = field(default_factory=lambda: MappingProxyType({}))
    counts_source: str = ""
    archives: tuple[Archive, ...] = ()
    disagreements: tuple[str, ...] = ()
