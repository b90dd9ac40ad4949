"""The picture of a cell: the three test parts that say most, with the method's map over each and the defect outlined."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from blemish.data.record import Record
from blemish.evaluation.evaluate import truth_mask
from blemish.evaluation.report import PartResult
from blemish.imaging.parts import preview
from blemish.inference.inspector import Inspector
from blemish.report.pictures import MARKED, explain, outline

SIDE = 160  # pixels
QUALITY = 70


def picture(inspector: Inspector, records: Sequence[Record], parts: Sequence[PartResult]) -> dict[str, Any]:
    """Draw the three test parts that say most, left to right.

    They are the good part with the highest score, and the defective parts with the lowest and the highest: what would
    be rejected wrongly first, what escapes first, and what is found first. The colours of each map go from its median
    to its largest value.

    Args:
        inspector: Gives the maps.
        records: The test records.
        parts: Their results.

    Returns:
        {"webp": base64 of the picture, "shown": [{"key", "kind", "score"}]}.
    """
    by_key = {record.key: record for record in records}
    good, bad = ([part for part in parts if part.label == label] for label in (0, 1))
    chosen = [max(good, key=_score), min(bad, key=_score), max(bad, key=_score)]
    drawn = []
    for part in chosen:
        record = by_key[part.key]
        verdict = next(inspector.stream([record]))
        tile = explain(preview(inspector.imaging, record, inspector.inputs), verdict, None, SIDE)
        truth = truth_mask(record, verdict.map.shape) if verdict.map is not None else None
        tile = tile if truth is None else outline(tile, truth, MARKED)
        drawn.append(np.pad(tile, ((0, SIDE - tile.shape[0]), (0, SIDE - tile.shape[1]), (0, 0)), constant_values=255))
    strip = np.hstack(drawn)
    _, coded = cv2.imencode(".webp", strip[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    shown = [{"key": part.key, "kind": part.kind, "score": part.score} for part in chosen]
    return {"webp": base64.b64encode(coded.tobytes()).decode(), "shown": shown}


def _score(part: PartResult) -> float:
    return part.score
