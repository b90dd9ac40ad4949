"""The report as one self-contained HTML page: false alarms and escapes come first."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import ImageError, InputError
from blemish.core.files import write_text
from blemish.core.prediction import Prediction
from blemish.data.record import GOOD, Record
from blemish.evaluation.evaluate import truth_mask
from blemish.evaluation.report import HEADLINES, PIMO_INTERVAL, PartResult, Report
from blemish.imaging.parts import preview
from blemish.inference.inspection import Inspection
from blemish.report import figures
from blemish.report.pictures import Pixels, contour, fitting, heat_ends, heat_layer, thumbnail, warmth
from blemish.report.tables import write_tables
from blemish.report.templates import template

TITLES = {
    "image_AUROC": "image AUROC",
    "image_AP": "image average precision",
    "image_F1Max": "image F1-max",
    "pixel_AUROC": "pixel AUROC",
    "pixel_AP": "pixel average precision",
    "pixel_F1Max": "pixel F1-max",
    "pixel_AUPRO": "AUPRO (FPR to 0.3)",
    "pixel_AUPRO_05": "AUPRO (FPR to 0.05)",
    "pixel_AUPIMO": "AUPIMO",
}

SIDE = 640
"""Pixels of the longer side of a part's picture, which is shown small and enlarged by a click."""

OUTCOMES = {
    (1, True): "caught",
    (1, False): "escaped",
    (0, True): "false alarm",
    (0, False): "passed",
}
"""What became of a part, by its label and whether it was rejected."""


class Group(NamedTuple):
    """Parts shown together.

    Attributes:
        title: Heading.
        meaning: Which parts they are.
        parts: The first of them.
        of: How many there are.
    """

    title: str
    meaning: str
    parts: list[PartResult]
    of: int


def write_page(
    path: Path,
    report: Report,
    inspector: Inspection,
    records: Mapping[str, Record] | Iterable[Record],
    *,
    examples: int = 8,
) -> Path:
    """Write the report's page and, next to it, its tables parts.csv and regions.csv.

    The pictures are drawn anew. The tables of a page that is not called report.html begin with its name, so that
    several pages fit in one folder.

    Args:
        path: File to write.
        report: The results of the test.
        inspector: Inspects the examples again for their pictures.
        records: The tested records, alone or by key.
        examples: Parts shown per group.

    Returns:
        The page's file.

    Raises:
        ImageError: an example cannot be inspected, or its file cannot be read now.
        InputError: records of parts in the report are missing.
        MissingExtra: jinja2 or matplotlib is not installed.
        StorageError: the page or a table cannot be written.
    """
    known = dict(records) if isinstance(records, Mapping) else {record.key: record for record in records}
    if missing := [part.key for part in report.parts if part.key not in known]:
        raise InputError(
            f"records lacks {len(missing)} of the report's {len(report.parts)} parts, the first {missing[0]!r}. "
            "Give the records that were tested: datamodule.test_records"
        )
    chosen = [group for group in choose_examples(report.parts, examples) if group.parts]
    shown = [part for group in chosen for part in group.parts]
    verdicts = inspector.stream([known[part.key] for part in shown])
    pictures = {part.key: _example(part, inspector, known[part.key], next(verdicts)) for part in shown}
    tables = write_tables(path.parent, report, "" if path.stem == "report" else f"{path.stem}-")
    return write_text(
        path,
        template("page.html").render(
            report=report,
            title=_title(report),
            titles=TITLES,
            pimo=PIMO_INTERVAL,
            distributions=figures.distributions(_scores_by_kind(report), report.decisions.get("threshold")),
            curves=_curves(report),
            groups=chosen,
            pictures=pictures,
            parts=sorted(report.parts, key=lambda part: -part.score),
            kinds=list(dict.fromkeys([GOOD, *(kind["kind"] for kind in report.kinds)])),
            outcomes=OUTCOMES,
            found=_found(report),
            key=_key(inspector.calibration.pixel_threshold if inspector.calibration else None),
            json_name=path.with_suffix(".json").name,
            tables=[table.name for table in tables],
            localises=any(part.peak is not None for part in report.parts),
            about=json.dumps(report.about, indent=2, default=str),
            settings=report.about.get("environment", {}),
        ),
    )


def write_index(path: Path, pages: Mapping[str, tuple[Report, Path]], whole: Report | None = None) -> Path:
    """Write one page that links the reports of several categories, with the table of their results.

    Args:
        path: File to write.
        pages: Each category's report and page, which is below the folder of `path`.
        whole: The report of them all, where one model serves them.

    Returns:
        The page's file.

    Raises:
        MissingExtra: jinja2 is not installed.
        StorageError: the page cannot be written.
    """
    links = {name: quote(page.relative_to(path.parent).as_posix()) for name, (_, page) in pages.items()}
    reports = {name: report for name, (report, _) in pages.items()}
    shown = [name for name in HEADLINES if any(name in report.metrics for report in reports.values())]
    found = template("index.html").render(reports=reports, links=links, titles=TITLES, metrics=shown, whole=whole)
    return write_text(path, found)


def write_pages(path: Path, report: Report, inspector: Inspection, records: Mapping[str, Record]) -> Path:
    """Write the page of a report; of several categories a page of each, and one that links them.

    Args:
        path: File to write; the page of a category has its name added.
        report: The results of the test.
        inspector: Inspects the examples again for their pictures.
        records: The tested records by key.

    Returns:
        The page's file.

    Raises:
        ImageError: as `write_page`.
        InputError: as `write_page`.
        MissingExtra: as `write_page`.
        StorageError: as `write_page`.
    """
    if not report.categories:
        return write_page(path, report, inspector, records)
    pages = {
        name: (own, write_page(path.with_name(f"{path.stem}-{name.replace('/', '-')}.html"), own, inspector, records))
        for name, own in report.categories.items()
    }
    return write_index(path, pages, report)


def choose_examples(parts: list[PartResult], count: int) -> list[Group]:
    """Choose the parts to show: mistakes first (worst first), then the clear and the close cases.

    Args:
        parts: All tested parts.
        count: Parts per group at most.

    Returns:
        Five groups; a group may be empty.
    """
    good = sorted((p for p in parts if p.label == 0), key=lambda p: -p.score)
    bad = sorted((p for p in parts if p.label == 1), key=lambda p: p.score)
    false_alarms = [p for p in good if p.defective]
    escapes = [p for p in bad if p.defective is False]
    caught = [p for p in bad if p.defective is not False]
    passed = [p for p in good if not p.defective]
    return [
        Group(
            "False alarms",
            "good parts that were rejected, the most certain mistake first",
            false_alarms[:count],
            len(false_alarms),
        ),
        Group("Escapes", "defective parts that were passed, the lowest score first", escapes[:count], len(escapes)),
        Group(
            "Closest calls among caught defects",
            "defective parts with the lowest scores above the threshold",
            caught[:count],
            len(caught),
        ),
        Group("Clearest defects", "defective parts with the highest scores", caught[count:][::-1][:count], len(caught)),
        Group(
            "Most suspicious good parts",
            "good parts with the highest scores that were rightly passed",
            passed[:count],
            len(passed),
        ),
    ]


def _title(report: Report) -> str:
    method, data = report.about.get("method", ""), report.about.get("data", {})
    dataset = Path(data.get("root", "")).name if data.get("dataset") == "folder" else data.get("dataset")
    category = data.get("category")
    if category == "all" or isinstance(category, list):  # the page is of one of them
        category = report.parts[0].category
    return " · ".join(filter(None, [method, dataset, category]))


def _scores_by_kind(report: Report) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {GOOD: [p.score for p in report.parts if p.label == 0]}
    for part in sorted((p for p in report.parts if p.label == 1), key=lambda p: p.kind):
        groups.setdefault(part.kind, []).append(part.score)
    return groups


def _curves(report: Report) -> list[tuple[str, str]]:
    drawn = []
    if "roc" in report.curves:
        roc, value = report.curves["roc"], report.metrics["image_AUROC"].value
        labels = ("false-reject rate", "share of defects caught")
        drawn.append(("ROC of parts", figures.curve(roc["x"], roc["y"], labels, note=f"AUROC {value:.4f}")))
    if "pro" in report.curves:
        pro, value = report.curves["pro"], report.metrics["pixel_AUPRO"].value
        labels = ("share of good pixels marked", "mean overlap with defects")
        drawn.append(("PRO of regions", figures.curve(pro["x"], pro["y"], labels, 0.3, f"AUPRO {value:.4f}")))
    return drawn


def _found(report: Report) -> dict[str, tuple[int, int]]:
    """Return by kind in how many parts a region overlaps the marked defect, and for how many this is known."""
    found: dict[str, tuple[int, int]] = {}
    for part in report.parts:
        if part.hit is not None:
            hits, asked = found.get(part.kind, (0, 0))
            found[part.kind] = hits + part.hit, asked + 1
    return found


def _key(threshold: float | None) -> dict[str, Any]:
    """Return the colours of the heat as a picture, and at which scores they begin, reach the threshold and are full."""
    share = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (4, 1))
    colours, alpha = warmth(share)
    bar = (200 * (1 - alpha) + colours * alpha).round().astype(np.uint8)
    ends = heat_ends(threshold, abs(threshold)) if threshold else None  # for 0 they differ from map to map
    return {"bar": _coded(bar, ".png"), "threshold": threshold, "ends": ends}


def _example(part: PartResult, inspector: Inspection, record: Record, verdict: Prediction) -> dict[str, Any]:
    """Return a part's picture once, and what is drawn over it: heat, and outlines as paths of SVG."""
    if verdict.error is not None:
        raise ImageError(verdict.error)
    image = preview(inspector.imaging, record, inspector.inputs)
    original = (image.shape[0], image.shape[1])
    height, width = size = fitting(original, SIDE)
    truth = truth_mask(record, original)
    threshold = inspector.calibration.pixel_threshold if inspector.calibration else None
    scale = width / original[1]
    return {
        "width": width,
        "height": height,
        "image": _coded(thumbnail(image, SIDE), ".jpg"),
        "heat": None if verdict.map is None else _coded(heat_layer(verdict.map, threshold), ".png"),
        "found": "" if verdict.mask is None else contour(verdict.mask, size),
        "marked": "" if truth is None else contour(truth, size),
        "peak": None if part.peak_at is None else [round((at + 0.5) * scale, 1) for at in part.peak_at],
    }


def _coded(pixels: Pixels, form: str) -> str:
    """Return RGB or RGBA pixels as an address that holds the picture itself."""
    order = [2, 1, 0, 3][: pixels.shape[2]]
    settings = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 82], ".png": [cv2.IMWRITE_PNG_COMPRESSION, 9]}[form]
    coded: NDArray[np.uint8] = cv2.imencode(form, np.ascontiguousarray(pixels[..., order]), settings)[1]
    kind = {".jpg": "jpeg", ".png": "png"}[form]
    return f"data:image/{kind};base64,{base64.b64encode(coded.tobytes()).decode()}"
