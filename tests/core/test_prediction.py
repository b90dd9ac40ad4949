"""A verdict survives JSON; what is no verdict is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from blemish.core.errors import FormatError
from blemish.core.prediction import Branch, Peak, Prediction, Region

WHOLE = Prediction(
    "line/7.png",
    3.25,
    0.02,
    2.5,
    True,
    np.zeros((4, 6), np.float32),
    np.ones((4, 6), bool),
    (Region((1, 2, 3, 4), 2, 5.5, (1, 3)),),
    peak=Peak(5.5, (1, 3)),
    category="bottle",
    branches={"structural": Branch(3.0), "logical": Branch(0.25)},
    words="a dent at the rim",
)


@pytest.mark.parametrize(
    "verdict",
    [
        WHOLE,
        Prediction("a", 1.0),
        Prediction("b", error="cut off", category="nut"),
        Prediction("c", 1.0, 0.5, 2.0, False),
    ],
)
def test_a_verdict_survives_json(verdict) -> None:
    again = Prediction.from_dict(json.loads(json.dumps(verdict.as_dict())))
    assert again.as_dict() == verdict.as_dict()
    assert (again.verdict, again.category, again.words) == (verdict.verdict, verdict.category, verdict.words)
    assert again.regions == verdict.regions
    assert again.map is None
    assert repr(again)


@pytest.mark.parametrize(
    "change",
    [{"verdict": "fine"}, {"score": None}, {"regions": [3]}, {"regions": None}, {"peak_at": "x"}, {"branches": [1]}],
)
def test_what_is_no_verdict_is_refused(change) -> None:
    with pytest.raises(FormatError, match="this is no verdict"):
        Prediction.from_dict({**WHOLE.as_dict(), **change})
    with pytest.raises(FormatError, match="'key'"):
        Prediction.from_dict({})
