"""Others' numbers next to ours, with the difference and what differs between the two.

One-class results that the authors published are on a method's card, with their protocol. What they published in other
settings, and what benchmarks and third parties got when they ran the method, is in the literature. Every number keeps
its kind; what is only recalled is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from blemish.benchmark.results.cells import METRICS, ONE_CLASS, CellResult, Results
from blemish.benchmark.results.rows import Number, Row
from blemish.core import registry
from blemish.core.card import Card, DatasetCard, Reported
from blemish.core.errors import UnknownName
from blemish.literature.entries import known_name, look_up
from blemish.literature.results import Result, disputed, results

OURS = {"AUPRO": "pixel_AUPRO"}
"""Names that cards use for what our metrics call otherwise."""

AUTHORS = ("paper", "official repository")
"""How the source of a card's number begins if the authors printed it."""

RECALLED = "recalled"
"""How it begins if nobody has read the number again."""

THEIRS = re.compile(r"one-class|multi-class|few-shot-(?P<k>\d+)")
"""Protocols that mean the same as the literature's setting of that name."""

BACKBONES = re.compile(
    r"(?:Wide)?ResNet-?\d+(?:-\d)?|EfficientNet-B\d|CaiT-M\d+|AlexNet|DeiT-\w+|ViT-\S+|DINOv2\S*|VGG-?\d+|CLIP\S*", re.I
)
SIZE = re.compile(r"(\d+) px")


@dataclass(frozen=True, slots=True)
class Beside:
    """One number of others next to ours.

    Attributes:
        method: The method's name in the registry.
        dataset: The data set's own name.
        protocol: Our protocol.
        preset: Our preset.
        metric: Our metric.
        kind: "published" (by the authors), "quoted" (in somebody else's table) or "re-run" (by somebody else).
        published: Their number in percent.
        source: Where it was printed.
        setting: What is known of its conditions.
        ours: Our number, 0 to 1.
        difference: Ours minus theirs in points, None if it means nothing.
        differs: What differs between the two, and what is disputed.
    """

    method: str
    dataset: str
    protocol: str
    preset: str
    metric: str
    kind: str
    published: float
    source: str
    setting: str
    ours: Number
    difference: float | None
    differs: tuple[str, ...]


@cache
def card_of(method: str) -> Card | None:
    """Return a method's card.

    Args:
        method: Its name in the registry.

    Returns:
        The card, or None for a method that this version does not know.
    """
    try:
        return registry.method_card(method)
    except UnknownName:
        return None


def title(method: str) -> str:
    """Return a method's name as its paper spells it.

    Args:
        method: Its name in the registry.

    Returns:
        The name on its card; the given one for a method that this version does not know.
    """
    card = card_of(method)
    return method if card is None else card.name


def beside(cells: Results, table: Sequence[Row]) -> list[Beside]:
    """Return every number of others that a row of ours can be compared with: one-class, multi-class and few-shot ones.

    Args:
        cells: The cells.
        table: Their table.

    Returns:
        The numbers by data set, protocol, method, preset, metric and kind, the highest first.
    """
    found = [one for row in table if THEIRS.fullmatch(row.setting.protocol) for one in _of_row(row, cells.cells)]
    protocols = list(dict.fromkeys(row.setting.protocol for row in table))

    def key(one: Beside) -> tuple[str, int, str, str, str, str, float]:
        at = protocols.index(one.protocol)
        return one.dataset, at, one.method, one.preset, one.metric, one.kind, -one.published

    return sorted(found, key=key)


def _of_row(row: Row, cells: Sequence[CellResult]) -> Iterator[Beside]:
    own = [c for c in cells if (c.method, c.setting) == (row.method, row.setting) and c.failed is None]
    card, data = card_of(row.method), next((_dataset(c.kind) for c in own), None)
    if card is None or data is None:
        return
    for kind, reported, doubts in _theirs(card, data, row.setting.protocol):
        metric = reported.metric
        if metric not in row.numbers:
            continue
        ours = row.numbers[metric]
        partial = _partial(ours, data)
        differs = _differences(row, card, data, reported, own, metric)
        yield Beside(
            method=row.method,
            dataset=data.name,
            protocol=row.setting.protocol,
            preset=row.setting.preset,
            metric=metric,
            kind=kind,
            published=reported.value,
            source=reported.source,
            setting=reported.setting,
            ours=ours,
            difference=None if partial else 100 * ours.value - reported.value,
            differs=(*([partial] if partial else []), *differs, *(f"disputed: {doubt}" for doubt in doubts)),
        )


def _theirs(card: Card, data: DatasetCard, protocol: str) -> Iterator[tuple[str, Reported, list[str]]]:
    """Yield the kind of each number of others on a data set, the number by our metric's name, and what is disputed."""
    name, known = known_name(card.name), look_up("datasets", data.name)
    metrics = {look_up("metrics", metric): metric for metric in METRICS}
    printed = results(dataset=known, setting=protocol) if known and look_up("settings", protocol) else ()
    same = [r for r in printed if r.method == name and r.inputs in ("", "rgb") and r.metric in metrics]
    again = [r for r in same if r.column == "re-run"]
    for one in card.reported if protocol == ONE_CLASS else ():
        if one.dataset.lower() != data.name.lower() or one.source.startswith(RECALLED):
            continue
        kind = "paper" if one.source.partition(",")[0] in AUTHORS else "quoted"
        metric = OURS.get(one.metric, one.metric)
        said = Result(name, known or "", look_up("metrics", metric) or "", protocol, one.value, sources={"": kind})
        if kind == "paper" or not any(r.metric == said.metric and abs(r.value - said.value) < 0.051 for r in again):
            yield said.column, Reported(data.name, metric, one.value, one.source, one.setting), _doubts(said)
    for result in again if protocol == ONE_CLASS else same:
        reported = Reported(data.name, metrics[result.metric], result.value, result.cited, result.conditions)
        yield result.column, reported, _doubts(result)


def _doubts(result: Result) -> list[str]:
    return [dispute.says for dispute in disputed([result]) if dispute.touches(result)]


def _dataset(name: str) -> DatasetCard | None:
    try:
        return registry.dataset(name).card
    except UnknownName:
        return None


def _partial(ours: Number, data: DatasetCard) -> str:
    done, of = len(set(ours.categories) & set(data.categories)), len(data.categories)
    return f"categories: ours {done} of {of}, so there is no difference to give" if of and done < of else ""


def _differences(
    row: Row, card: Card, data: DatasetCard, reported: Reported, own: Sequence[CellResult], metric: str
) -> Iterator[str]:
    preset = card.presets.get(row.setting.preset)
    theirs = SIZE.search(reported.setting)
    ours = _stamp(own, "image_size") or (str(preset.image_size) if preset else "")
    if not (theirs and ours == theirs[1]):
        yield f"image size: theirs {theirs[1] + ' px' if theirs else 'not stated'}, ours {_px(ours)}"
    network = BACKBONES.search(reported.setting)
    mine = _weights(own) or (str(preset.params.get("backbone", "")) if preset else "")
    if not (network and _fold(network[0]) in _fold(mine)):
        theirs_text = network[0] if network else "not stated"
        yield f"backbone: theirs {theirs_text}, ours {mine or 'not recorded'}"
    if preset is not None and row.setting.preset != "paper":
        changed = ", ".join(f"{key} {value}" for key, value in preset.params.items()) or "nothing else"
        yield f"training: our preset {row.setting.preset!r} ({changed}; batches of {preset.batch_size})"
    yield from _images(row, data, own)
    if metric.startswith("pixel"):
        compared = _stamp(own, "resolution") or _stamp(own, "pixels") or "at a size that was not recorded"
        yield f"pixels: ours compared {compared}, most papers at the network's input"
    if card.differs:
        yield f"method: ours has {'; '.join(card.differs)}"
    if "best epoch" in reported.setting:
        yield "choice: theirs is the best epoch on the test images, ours the last"


def _images(row: Row, data: DatasetCard, own: Sequence[CellResult]) -> Iterator[str]:
    counts = [data.counts[name].train_good for name in row.categories if name in data.counts]
    known = [count for count in counts if count is not None]
    official = str(sum(known)) if known and len(known) == len(row.categories) else "all good ones"
    drawn = THEIRS.fullmatch(row.setting.protocol)
    if drawn and drawn["k"]:
        official = str(int(drawn["k"]) * len(row.categories))
        yield "parts: which ones were learned from decides much, and theirs are not known"
    learned = _learned(own)
    if learned is None or str(learned) != official:
        yield f"training images: theirs {official}, ours {'not recorded' if learned is None else learned}"
    splits = {str(cell.stamps["split"])[:12] for cell in own if cell.stamps.get("split")}
    named = f"{', '.join(sorted(splits)[:3])}{', ...' if len(splits) > 3 else ''}" if splits else "not recorded"
    yield f"split: theirs the data set's own, ours {named}"


def _learned(own: Sequence[CellResult]) -> int | None:
    """Return how many training images one seed had in all categories, if the cells record it."""
    if not own or not all(isinstance(cell.stamps.get("train_images"), int) for cell in own):
        return None
    return sum(int(cell.stamps["train_images"]) for cell in own if cell.run == own[0].run)


def _stamp(own: Sequence[CellResult], name: str) -> str:
    found = sorted({str(cell.stamps[name]) for cell in own if cell.stamps.get(name)})
    return ", ".join(found)


def _weights(own: Sequence[CellResult]) -> str:
    names: set[str] = set()
    for cell in own:
        weights: Any = cell.stamps.get("weights")
        if isinstance(weights, Mapping):
            names |= {str(name) for name in weights}
        elif weights:
            names.add(str(weights)[:24])
    return ", ".join(sorted(names))


def _px(size: str) -> str:
    return f"{size} px" if size else "not recorded"


def _fold(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
