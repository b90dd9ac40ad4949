"""The report's parts and regions as CSV, for spreadsheets: one row per part, one row per region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blemish.core.files import printable, write_text
from blemish.core.tables import csv_text
from blemish.evaluation.report import PartResult, Report

PLACE = ("left", "top", "right", "bottom")
PARTS = [
    *("key", "image", "kind", "label", "score", "p_value", "verdict", "regions", "peak", "peak_x", "peak_y"),
    *("true_area", *(f"true_{side}" for side in PLACE), "hit"),
]
REGIONS = ["key", "kind", "label", "region", *PLACE, "area", "peak", "peak_x", "peak_y"]


def write_tables(folder: Path, report: Report, prefix: str = "") -> list[Path]:
    """Write parts.csv and regions.csv, each whole or not at all.

    What is not known is an empty cell. Positions are in pixels of the image, right and bottom exclusive, as in
    report.json.

    Args:
        folder: Folder to write into.
        report: The results of the test.
        prefix: Put before both names.

    Returns:
        The two files.

    Raises:
        StorageError: they cannot be written.
    """
    regions = [row for part in report.parts for row in _regions(part)]
    tables = {"parts.csv": [PARTS, *map(_part, report.parts)], "regions.csv": [REGIONS, *regions]}
    return [write_text(folder / f"{prefix}{name}", csv_text(lines)) for name, lines in tables.items()]


def _part(part: PartResult) -> list[Any]:
    verdict = {None: None, True: "defective", False: "good"}[part.defective]
    truth = [part.true_area, *(part.true_box or [None] * 4), None if part.hit is None else int(part.hit)]
    return [
        *(printable(text) for text in (part.key, part.image, part.kind)),
        *(part.label, part.score, part.p_value, verdict, part.region_count),
        *(part.peak, *(part.peak_at or [None] * 2), *truth),
    ]


def _regions(part: PartResult) -> list[list[Any]]:
    own = [printable(part.key), printable(part.kind), part.label]
    return [
        [*own, number, *region.box, region.area, region.peak, *region.peak_at]
        for number, region in enumerate(part.regions, 1)
    ]
