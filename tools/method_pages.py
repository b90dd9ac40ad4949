"""Write docs/methods.md and a page for each method, from its file, its card, and what was measured.

Numbers come from the cards (what others published, with their settings) and from docs/measured/ (what we measured:
methods.csv by benchmarks/methods.py, demo.csv by tools/method_figures.py). None is written by hand.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measured_table
import method_source
from blemish.core import registry
from blemish.core.card import Card, Reported
from blemish.literature.entries import known_name
from blemish.literature.results import disputes_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
CHANCE = 0.5  # of an AUROC
Measured = tuple[str, int, dict[str, Any]]  # data set, seed, cell
LONGEST = 100  # characters of a line of code


def index() -> str:
    """Return the page that lists all methods."""
    lines = [
        "# Methods\n",
        "Each has a page: how it works, its maps, its parameters, and the numbers published and measured here.\n",
    ]
    lines += ["| method | family | idea | paper | year |", "|---|---|---|---|---|"]
    for name in registry.methods():
        card = registry.method_card(name)
        paper = f"[{card.paper.title}]({card.paper.url})"
        lines += [f"| [{card.name}](methods/{name}.md) | {card.family} | {card.idea} | {paper} | {card.paper.year} |"]
    lines += ["\nAll of them on real images, in one table: [methods measured](methods-measured.md)."]
    lines += ["Which settings they are trained with, and how to stop and resume: [training](training.md).\n"]
    return "\n".join(lines)


def page(name: str, docs: Path = DOCS) -> str:
    """Return one method's page; what was measured is read from `docs`/measured."""
    card, source = registry.method_card(name), method_source.read(name)
    lines = [f"# {card.name}\n", f"**{sentence(card.idea)}**\n"]
    lines += [f"Family: {card.family}. On the command line: `--method {name}`. [All methods](../methods.md)\n"]
    lines += ["## How it works\n", sentence(source.sentence) + "\n", source.explanation + "\n"]
    lines += figure(name, card, source, docs)
    lines += quick_start(name, card, source)
    lines += parameters(card, source)
    lines += facts(card)
    lines += numbers(card, source, list(cells(name, docs)))
    return "\n".join(lines)


def figure(name: str, card: Card, source: method_source.Source, docs: Path) -> list[str]:
    """Show the maps on the demo's images, how they were made, and whether they are better than chance."""
    kept = [row for row in measured_table.read(docs / "measured" / "demo.csv") if row["method"] == name]
    if not kept:
        return ["## What it sees\n", "No figure has been made yet: `make method-figures`.\n"]
    made = kept[0]
    kinds = ", ".join(shown.partition("/")[0].replace("_", " ") for shown in made["shown"])
    image, pixel = (made["metrics"].get(metric) for metric in ("image_AUROC", "pixel_AUROC"))
    said = [
        f"Three test parts of the demo's `{made['category']}` ({kinds}), the true defect outlined; below them the map,"
    ]
    said += [
        "one scale of colours for the three. Above each its raw score and the decision at the threshold. The threshold"
    ]
    share = f"{100 * made['false_reject_rate']:g} %"
    said += [
        f"was chosen on {made['held_out']} good parts held out, so that at most {share} of new good parts are rejected."
    ]
    if int(made["false_reject_rate"] * (made["held_out"] + 1)) <= 1:
        said += ["With so few it lies just above the highest of them, so one that scores high lets defects pass."]
    said += [f"Fitted on {made['train']} good parts: {fitted(made, card, source)}."]
    if made["changed"]:
        changed = ", ".join(f"`{key}={value!r}`" for key, value in made["changed"].items())
        said += [f"**Smaller than `quick`, because the method is slow: {changed}.**"]
    rates = [made["decisions"][rate] for rate in ("escape_rate", "false_reject_rate")]
    said += [f"On all {made['test']} test parts: image AUROC {within(image)}, pixel AUROC {within(pixel)};"]
    passed, rejected = (f"{rate['count']} of {rate['of']}" for rate in rates)
    said += [f"{passed} defects passed, {rejected} good parts were rejected."]
    if image["low"] <= CHANCE:
        said += ["**Its image scores are not distinguishable from chance here**: the interval reaches one half."]
    if pixel and pixel["low"] <= CHANCE:
        said += ["**Its maps are not distinguishable from chance here**: the interval reaches one half."]
    said += ["The demo is easier than a factory; this shows what a map looks like, not how good a method is.\n"]
    alternative = f"{card.name}: three parts and their maps"
    return ["## What it sees\n", f"![{alternative}](../images/methods/{name}.webp)\n", "\n".join(said)]


def quick_start(name: str, card: Card, source: method_source.Source) -> list[str]:
    """Return the command line and the Python lines that fit the method, with its preset where it has one."""
    quick, made = card.presets.get("quick"), source.class_name
    preset = "" if quick is None else " --preset quick"
    lines = ["## Quick start\n", "```", f"blemish fit parts --method {name}{preset}", "```\n", "```python"]
    lines += [
        "from blemish.data import Folder",
        "from blemish.engine import Engine",
        f"from blemish.models import {made}\n",
    ]
    if quick is None:
        given, sizes = [f"{p.name}={p.default}" for p in source.parameters[:3]], "image_size=256"
    else:
        given = [f"{key}={literal(value)}" for key, value in quick.params.items()]
        sizes = f"image_size={quick.image_size}, train_batch_size={quick.batch_size}"
    model = f"model = {made}({', '.join(given)})"
    if len(model) > LONGEST:
        model = "\n".join([f"model = {made}(", *(f"    {each}," for each in given), ")"])
    lines += [f'datamodule = Folder("parts", {sizes})', model]
    lines += ["engine = Engine()", "engine.fit(model=model, datamodule=datamodule)"]
    lines += ["print(engine.test(model=model, datamodule=datamodule))", "```\n"]
    if quick is not None:
        lines += [
            "`quick` is minutes on two cores; `--preset paper` has the paper's size, batches and length of training.\n"
        ]
    return lines


def parameters(card: Card, source: method_source.Source) -> list[str]:
    """Return the class's text and the table of its parameters, with what its quick preset changes if it has one."""
    quick = card.presets.get("quick")
    columns = ["parameter", "type", "default", *(["`quick`"] if quick else []), "meaning"]
    lines = ["## Parameters\n", source.class_text + "\n", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for each in source.parameters:
        row = [f"`{each.name}`", f"`{escaped(each.type)}`", f"`{each.default}`"]
        if quick:
            row += [f"`{literal(quick.params[each.name])}`" if each.name in quick.params else ""]
        lines += [f"| {' | '.join([*row, escaped(each.meaning)])} |"]
    return [*lines, ""]


def escaped(text: str) -> str:
    """Return text for a table's cell: its bars are escaped."""
    return text.replace("|", r"\|")


def facts(card: Card) -> list[str]:
    """Return the card: paper, venue, year, official code and its licence, what differs."""
    paper = card.paper
    lines = ["## Card\n", "| | |", "|---|---|", f"| paper | [{paper.title}]({paper.url}) |"]
    lines += [f"| authors | {paper.authors} |", f"| venue | {paper.venue} |", f"| year | {paper.year} |"]
    lines += [f"| code | {f'<{card.code}>' if card.code else 'none from the authors that we know of'} |"]
    lines += [f"| its licence | {card.code_licence or 'none'} |"] if card.code else []
    return [*lines, "", *(["Ours differs:\n", *(f"- {each}" for each in card.differs), ""] if card.differs else [])]


def numbers(card: Card, source: method_source.Source, found: list[Measured]) -> list[str]:
    """Return what others published and what we measured, each with its protocol."""
    lines = ["## Published, and measured here\n"]
    if found:
        lines += [
            "**Not the same experiment**: data, image size, training and network differ, as each row says. No row of"
        ]
        lines += [
            "ours repeats a row of theirs. All methods side by side: [methods measured](../methods-measured.md).\n"
        ]
    lines += ["| by | data | metric | % | protocol |", "|---|---|---|---|---|"]
    lines += [f"| {r.source} | {r.dataset} | {r.metric} | {r.value} | {their_protocol(r)} |" for r in card.reported]
    for dataset, seed, cell in found:
        if "failed" in cell:
            lines += [f"| here | {dataset} | failed: {cell['failed']} | | seed {seed} |"]
            continue
        images = f"trained on {cell['train']} good images, tested on {cell['test']}"
        said = f"{fitted(cell, card, source)}; seed {seed}; {images}"
        for metric, value in cell["metrics"].items():
            chance = "; **not distinguishable from chance**" if "AUROC" in metric and value["low"] <= CHANCE else ""
            lines += [f"| here | {dataset} | {metric} | {percent(value)}{chance} | {said} |"]
    known = known_name(card.name)
    doubts = dict.fromkeys(d.says for r in card.reported for d in disputes_of(known, r.dataset, r.metric))
    lines += ["", *(f"- Disputed: {says}" for says in doubts)] if doubts else []
    if not found:
        return [*lines, "\nWe have not measured it on real images yet.\n"]
    lines += ["\nOurs compare pixels at the images' own size, keep the last step, and choose nothing on test images."]
    return [*lines, "Brackets are 95 % intervals over the test images.\n", *training(card, source)]


def training(card: Card, source: method_source.Source) -> list[str]:
    """Return what the two presets train with, side by side; nothing for methods that are not trained."""
    if not {"paper", "quick"} <= set(card.presets):
        return []
    paper, quick = card.presets["paper"], card.presets["quick"]
    defaults = {each.name: each.default for each in source.parameters}
    rows: list[tuple[str, Any, Any]] = [("side of the input, pixels", paper.image_size, quick.image_size)]
    rows += [("images a batch", paper.batch_size, quick.batch_size)]
    rows += [(f"`{key}`", defaults[key], literal(value)) for key, value in quick.params.items()]
    lines = ["What is trained, by the paper and here:\n", "| | `paper` | `quick` |", "|---|---|---|"]
    lines += [f"| {what} | {theirs} | {here} |" for what, theirs, here in rows]
    if "backbone" in defaults:
        lines += [
            f"\nBoth take {defaults['backbone']} unless another `backbone` is named; no published number is made with it."
        ]
    return [*lines, ""]


def their_protocol(reported: Reported) -> str:
    """Return the setting of a published number, and how many good training images its data set has."""
    return "; ".join(filter(None, [reported.setting or "setting not reported", learned_from(reported.dataset)]))


def learned_from(dataset: str) -> str:
    """Return how many good training images the categories of a data set have, if its card counts them."""
    for found in registry.datasets().values():
        counts = [each.train_good for each in found.card.counts.values() if each.train_good is not None]
        if found.card.name == dataset and counts:
            low, high = min(counts), max(counts)
            return f"{low} to {high} good training images a category, {statistics.mean(counts):.0f} on average"
    return ""


def cells(name: str, docs: Path = DOCS) -> Iterator[Measured]:
    """Yield (data set, seed, cell) of what benchmarks/methods.py measured of a method."""
    for row in measured_table.read(docs / "measured" / "methods.csv"):
        if row["method"] == name:
            yield row["dataset"], row["seed"], row


def fitted(cell: dict[str, Any], card: Card, source: method_source.Source) -> str:
    """Return how a method was fitted, in a few words: sizes, preset, steps, frozen network.

    `cell["preset"]` holds the sizes and the changed parameters. They are spelt out where they are not the card's `quick`.
    """
    given = dict(cell["preset"])
    side, batch = given.pop("image_size"), given.pop("batch_size")
    known = {each.name: each.default for each in source.parameters}
    quick = card.presets.get("quick")
    if quick is not None and (side, batch, given) == (quick.image_size, quick.batch_size, dict(quick.params)):
        how = "`quick`"
    else:
        how = f"`{', '.join(f'{key}={literal(value)}' for key, value in given.items())}`" if given else "defaults"
    length = [f"{given['steps']} steps"] if "steps" in given else []
    network = [str(given.get("backbone", known["backbone"])).strip('"')] if "backbone" in known else []
    return ", ".join([f"{side} px", f"batches of {batch}", how, *length, *network])


def within(value: dict[str, float] | None) -> str:
    """Return a value with its 95 % interval."""
    return (
        "none (it has no maps)"
        if value is None
        else f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    )


def percent(value: dict[str, float]) -> str:
    """Return a share in percent with its 95 % interval."""
    return f"{100 * value['value']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def literal(value: Any) -> str:
    """Return a value as one writes it in Python, with double quotes and grouped digits."""
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:_}" if type(value) is int and abs(value) >= 10_000 else repr(value)


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    return text[0].upper() + text[1:].rstrip(".") + "."
