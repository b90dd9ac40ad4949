"""What the journal says of one part: the verdict, and which file, when, by which model, with which picture."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from blemish.types import Prediction
from blemish.watching.part import Part


def line_of(part: Part, verdict: Prediction, model: str, **more: str | None) -> dict[str, Any]:
    """Return the JSON values of a part's line; `model` is the model file's SHA-256, `more` further entries.

    JSON knows no infinity: an infinite threshold (all pass, or none) becomes null; the verdict says how it was applied.
    """
    return {
        "part": part._asdict(),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **_finite(verdict.as_dict()),
        "model": model,
        **more,
    }


def checked(verdict: Prediction) -> Prediction:
    """Return the verdict, or an error in its place if the score is not a number: such a part is not decided."""
    if verdict.error is None and not math.isfinite(verdict.score):
        return replace(
            Prediction(verdict.key), error=f"{verdict.key}: the model's score is {verdict.score}, no number."
        )
    return verdict


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
