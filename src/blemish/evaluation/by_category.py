"""One report of several: the mean of the metrics, and what the thresholds of all categories did together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from blemish import metrics
from blemish.evaluation.report import Report
from blemish.metrics import Confusion


def combined(reports: Mapping[str, Report]) -> Report:
    """Return the report of all categories, with that of each in it.

    Args:
        reports: Their reports by category, of one model, at least two.

    Returns:
        Means of the metrics that all have, and decisions counted over all.
    """
    every = list(reports.values())
    parts = [part for report in every for part in report.parts]
    shared = [name for name in every[0].metrics if all(name in report.metrics for report in every)]
    absent = sorted({name for report in every for name in report.metrics} - set(shared))
    notes = list(dict.fromkeys(note for report in every for note in report.notes))
    if absent:
        notes.append(f"No mean of {', '.join(absent)}: not every category has it.")
    about = {**every[0].about, "seconds": round(sum(report.about["seconds"] for report in every), 3)}
    about["images_per_second"] = round(len(parts) / max(about["seconds"], 1e-9), 2)
    return Report(
        metrics={name: metrics.mean_interval([report.metrics[name] for report in every]) for name in shared},
        decisions=_decisions(every),
        kinds=[kind for name, report in reports.items() for kind in _named(name, report)],
        parts=parts,
        curves={},
        calibration=None,
        about=about,
        notes=notes,
        categories=dict(reports),
    )


def _decisions(reports: Sequence[Report]) -> dict[str, Any]:
    """Return what the thresholds did, counted over all parts; nothing where one category has no threshold."""
    if not all(report.decisions for report in reports):
        return {}
    each = [report.decisions["confusion"] for report in reports]
    counts = Confusion(**{name: sum(one[name] for one in each) for name in each[0]})
    return {"threshold": None, **metrics.rates_of(counts), "confusion": asdict(counts)}


def _named(category: str, report: Report) -> list[dict[str, Any]]:
    return [{**kind, "kind": f"{category}/{kind['kind']}"} for kind in report.kinds]
