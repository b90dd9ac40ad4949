"""Others' numbers beside ours, with the difference and by name what differs between the two.

What authors published stands on a method's card, with its protocol. What benchmarks and third parties got when they ran the
method stands in the literature, and is kept apart by its kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from blemish import catalogue
from blemish.card import Card, DatasetCard, Reported
from blemish.errors import UnknownName
from blemish.literature.disputes import disputed
from blemish.literature.names import known_name, look_up
from blemish.literature.results import results
from blemish.report.benchmark.cells import METRICS, ONE_CLASS, Cell, Cells
from blemish.report.benchmark.rows import Number, Row

OURS = {"AUPRO": "pixel_AUPRO"}
"""Names that cards use for what our metrics call otherwise."""

BACKBONES = re.compile(
    r"(?:Wide)?ResNet-?\d+(?:-\d)?|EfficientNet-B\d|CaiT-M\d+|AlexNet|DeiT-\w+|ViT-\S+|DINOv2\S*|VGG-?\d+|CLIP\S*", re.I
)
SIZE = re.compile(r"(\d+) px")


@dataclass(frozen=True, slots=True)
class Beside:
    """One number of others and ours, both in percent.

    `kind` is "published" (by the authors) or "re-run" (by somebody else). `difference` is ours minus theirs in points, None
    if it means nothing.
    """

    method: str
    dataset: str
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
    """Return a method's card, or None for a method that this version does not know."""
    try:
        return catalogue.method_card(method)
    except UnknownName:
        return None


def title(method: str) -> str:
    """Return a method's name as its paper spells it."""
    card = card_of(method)
    return method if card is None else card.name


def beside(cells: Cells, table: Sequence[Row]) -> list[Beside]:
    """Return every number of others that one of our one-class rows can stand beside, by data set, method and metric."""
    found = [one for row in table if row.setting.protocol == ONE_CLASS for one in _of_row(row, cells.cells)]
    return sorted(found, key=lambda one: (one.dataset, one.method, one.preset, one.metric, one.kind, -one.published))


def _of_row(row: Row, cells: Sequence[Cell]) -> Iterator[Beside]:
    own = [c for c in cells if (c.method, c.setting) == (row.method, row.setting) and c.failed is None]
    card, data = card_of(row.method), next((_dataset(c.kind) for c in own), None)
    if card is None or data is None:
        return
    for kind, reported, doubts in _theirs(card, data):
        metric = reported.metric
        if metric not in row.numbers:
            continue
        ours = row.numbers[metric]
        partial = _partial(ours, data)
        differs = _differences(row, card, data, reported, own, metric)
        yield Beside(
            method=row.method,
            dataset=data.name,
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


def _theirs(card: Card, data: DatasetCard) -> Iterator[tuple[str, Reported, list[str]]]:
    """Yield the kind of each number of others on a data set, the number under our metric's name, and what is disputed."""
    for one in card.reported:
        if one.dataset.lower() == data.name.lower():
            yield "published", replace(one, metric=OURS.get(one.metric, one.metric)), []
    known, metrics = look_up("datasets", data.name), {look_up("metrics", name): name for name in METRICS}
    if known is None:
        return
    for result in results(dataset=known, setting=ONE_CLASS):
        same = result.method == known_name(card.name) and result.inputs in ("", "rgb")
        if same and result.column == "re-run" and result.metric in metrics:
            doubts = [d.says for d in disputed([result]) if d.touches(result)]
            yield (
                "re-run",
                Reported(data.name, metrics[result.metric], result.value, result.cited, result.conditions),
                doubts,
            )


def _dataset(name: str) -> DatasetCard | None:
    try:
        return catalogue.dataset(name).card
    except UnknownName:
        return None


def _partial(ours: Number, data: DatasetCard) -> str:
    done, of = len(set(ours.categories) & set(data.categories)), len(data.categories)
    return f"categories: ours {done} of {of}, so there is no difference to give" if of and done < of else ""


def _differences(
    row: Row, card: Card, data: DatasetCard, reported: Reported, own: Sequence[Cell], metric: str
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
        compared = _stamp(own, "pixels") or "at a size that was not recorded"
        yield f"pixels: ours compared {compared}, most papers at the network's input"
    if card.differs:
        yield f"method: ours has {'; '.join(card.differs)}"
    if "best epoch" in reported.setting:
        yield "choice: theirs is the best epoch on the test images, ours the last"


def _images(row: Row, data: DatasetCard, own: Sequence[Cell]) -> Iterator[str]:
    counts = [data.counts[name].train_good for name in row.categories if name in data.counts]
    known = [count for count in counts if count is not None]
    official = str(sum(known)) if known and len(known) == len(row.categories) else "all good ones"
    learnt = _learnt(own)
    if learnt is None or str(learnt) != official:
        yield f"training images: theirs {official}, ours {'not recorded' if learnt is None else learnt}"
    splits = {str(cell.stamps["split"])[:12] for cell in own if cell.stamps.get("split")}
    named = f"{', '.join(sorted(splits)[:3])}{', ...' if len(splits) > 3 else ''}" if splits else "not recorded"
    yield f"split: theirs the data set's own, ours {named}"


def _learnt(own: Sequence[Cell]) -> int | None:
    """Return how many images one seed learnt from in all categories, if the cells say."""
    if not own or not all(isinstance(cell.stamps.get("train_images"), int) for cell in own):
        return None
    return sum(int(cell.stamps["train_images"]) for cell in own if cell.run == own[0].run)


def _stamp(own: Sequence[Cell], name: str) -> str:
    found = sorted({str(cell.stamps[name]) for cell in own if cell.stamps.get(name)})
    return ", ".join(found)


def _weights(own: Sequence[Cell]) -> str:
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
