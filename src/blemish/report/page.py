"""The report as one self-contained HTML page: what was stopped wrongly and what slipped through come first."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from blemish.data.record import GOOD, Record
from blemish.engine.evaluate import PIMO_INTERVAL, Part, Report, truth_mask
from blemish.errors import ImageError
from blemish.files import write_text
from blemish.inspection import Inspection
from blemish.report import figures
from blemish.report.pictures import MARKED, Pixels, explain, outline, thumbnail
from blemish.report.templates import template
from blemish.types import Prediction

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


def write_page(
    path: Path, report: Report, inspector: Inspection, records: Mapping[str, Record], *, examples: int = 8
) -> Path:
    """Write the report's page. The pictures are made anew by `inspector` from `records` (by key), `examples` a group.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
        StorageError: the page cannot be written.
    """
    chosen = [group for group in choose_examples(report.parts, examples) if group[2]]
    verdicts = inspector.stream([records[part.key].image for _, _, parts in chosen for part in parts])
    groups = [
        {
            "title": title,
            "meaning": meaning,
            "parts": [_example(part, inspector, records[part.key], next(verdicts)) for part in parts],
        }
        for title, meaning, parts in chosen
    ]
    return write_text(
        path,
        template("page.html").render(
            report=report,
            title=_title(report.about.get("method", ""), report.about.get("data", {})),
            titles=TITLES,
            pimo=PIMO_INTERVAL,
            distributions=figures.distributions(_scores_by_kind(report), report.decisions.get("threshold")),
            curves=_curves(report),
            groups=groups,
            about=json.dumps(report.about, indent=2, default=str),
            settings=report.about.get("environment", {}),
        ),
    )


def write_index(path: Path, pages: Mapping[str, tuple[Report, Path]]) -> Path:
    """Write one page that links the reports of several categories, with the table of their results."""
    links = {name: page.relative_to(path.parent).as_posix() for name, (_, page) in pages.items()}
    reports = {name: report for name, (report, _) in pages.items()}
    return write_text(path, template("index.html").render(reports=reports, links=links, titles=TITLES))


def choose_examples(parts: list[Part], count: int) -> list[tuple[str, str, list[Part]]]:
    """Group parts for the eye, at most `count` each: mistakes first (worst first), then the clear and the close cases."""
    good = sorted((p for p in parts if p.label == 0), key=lambda p: -p.score)
    bad = sorted((p for p in parts if p.label == 1), key=lambda p: p.score)
    false_alarms = [p for p in good if p.defective]
    escapes = [p for p in bad if p.defective is False]
    caught = [p for p in bad if p.defective is not False]
    passed = [p for p in good if not p.defective]
    return [
        ("False alarms", "good parts that were rejected, the most certain mistake first", false_alarms[:count]),
        ("Escapes", "defective parts that were passed, the lowest score first", escapes[:count]),
        (
            "Closest calls among caught defects",
            "defective parts with the lowest scores above the threshold",
            caught[:count],
        ),
        ("Clearest defects", "defective parts with the highest scores", caught[count:][::-1][:count]),
        ("Most suspicious good parts", "good parts with the highest scores that were rightly passed", passed[:count]),
    ]


def _title(method: str, data: Mapping[str, Any]) -> str:
    dataset = Path(data.get("root", "")).name if data.get("dataset") == "folder" else data.get("dataset")
    return " · ".join(filter(None, [method, dataset, data.get("category")]))


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


def _example(part: Part, inspector: Inspection, record: Record, verdict: Prediction) -> dict[str, Any]:
    if verdict.error is not None:
        raise ImageError(verdict.error)
    image = inspector.imaging.read(record.image)
    plain = thumbnail(image)
    truth = truth_mask(record, (image.shape[0], image.shape[1]))
    marked = outline(plain, truth, MARKED) if truth is not None and truth.any() else plain
    threshold = inspector.calibration.pixel_threshold if inspector.calibration else None
    return {"part": part, "image": _jpeg(marked), "heat": _jpeg(explain(image, verdict, threshold))}


def _jpeg(pixels: Pixels) -> str:
    _, coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
