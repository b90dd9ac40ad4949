"""The one comparison, at fit and at use, for parts and for pixels: `score >= threshold` is defective."""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import InputError


@overload
def defective(score: float, threshold: float) -> bool: ...
@overload
def defective(score: NDArray[Any], threshold: float) -> NDArray[np.bool_]: ...


def defective(score: float | NDArray[Any], threshold: float) -> bool | NDArray[np.bool_]:
    """Decide whether scores are defective: `score >= threshold`, compared in float64.

    Args:
        score: Raw score, or an array of them.
        threshold: Raw score; a part or pixel that reaches it is defective.

    Returns:
        True for defective; for an array a bool array of its shape.

    Raises:
        InputError: a score or the threshold is NaN, which no comparison would notice.
    """
    # NumPy would round the threshold to a float32 array's type, and a threshold just above a score down onto it.
    values = np.asarray(score, dtype=np.float64)
    if math.isnan(threshold) or np.isnan(values).any():
        raise InputError("a score or the threshold is NaN; only numbers can be compared. Fit or calibrate again.")
    found: NDArray[np.bool_] = values >= np.float64(threshold)
    return found if isinstance(score, np.ndarray) and score.ndim else bool(found)
