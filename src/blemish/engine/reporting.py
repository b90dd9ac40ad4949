"""A test, whole: choose the parts that are new to the model, measure, and write what was found. No torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from blemish.core.errors import MissingExtra
from blemish.core.files import write_json
from blemish.data.datamodule import DataModule
from blemish.engine.runs import report_place
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.new_parts import new_parts
from blemish.evaluation.report import Report, Resolution
from blemish.inference.inspection import Inspection
from blemish.report import write_pages


def report_on(
    inspection: Inspection,
    datamodule: DataModule,
    *,
    resolution: Resolution = "original",
    out: Path | None = None,
    about: Mapping[str, Any] | None = None,
) -> tuple[Report, Path | None]:
    """Measure on the test images, and write what was found.

    Where all images are for testing (`Folder(..., test_share=1)`), those that the model was trained on, or its
    threshold chosen from, are left out with a note. report.json, report.html and tables are written, with several
    categories a page of each as well; a report of
    something else that is there stays, the new one is numbered.

    Args:
        inspection: The model.
        datamodule: The images.
        resolution: At which size pixels are compared, see `blemish.evaluation.evaluate`.
        out: Folder for the report; None writes nothing.
        about: Added to the report beside method, parameters, data and seed.

    Returns:
        The report, and its page (None if none was written).
    """
    settings = inspection.settings
    said = {
        **settings,
        "data": {**datamodule.describe(), "imaging": inspection.imaging.as_dict()},
        "seed": settings["params"].get("seed") if inspection.provenance.seed is None else inspection.provenance.seed,
        **(about or {}),
    }
    records, note = datamodule.test_records, ""
    if len(records) == len(datamodule.records):
        records, note = new_parts(records, inspection.provenance)
    found = evaluate(
        inspection, records, resolution=resolution, batch_size=datamodule.eval_batch_size, about=said, data=datamodule
    )
    found = replace(found, notes=[*found.notes, *filter(None, [note])])
    if out is None:
        return found, None
    place = report_place(out, found.about)
    write_json(place, found.as_dict())
    page = place.with_suffix(".html")
    try:
        write_pages(page, found, inspection, {record.key: record for record in records})
    except MissingExtra as error:  # the numbers are there, and are worth more than the page
        warnings.warn(f"{page} was not written: {error}", stacklevel=3)
        return found, None
    return found, page
