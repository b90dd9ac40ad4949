"""Inspecting: a verdict becomes a line of the journal and, for a defective part, a picture; how fast it goes."""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Any

from blemish.core.types import Prediction
from blemish.imaging.images import Imaging
from blemish.report.pictures import save_overlay
from blemish.watch.find import FileState


def line_of(part: FileState, verdict: Prediction, model: str, **more: str | None) -> dict[str, Any]:
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


FOLDER = "overlays"
LONGEST = 150
"""Bytes of a file's name that are kept in its picture's name; most file systems allow 255 in all."""


def overlay_name(part: FileState) -> str:
    """Return where the picture lies below the folder of results, with forward slashes."""
    place, tag = PurePosixPath(part.path), part.digest.hex()[:8]
    name = place.name if len(os.fsencode(place.name)) <= LONGEST else part.digest.hex()
    return str(PurePosixPath(FOLDER) / place.parent / f"{name}.{tag}.png")


def write_overlay(out: Path, part: FileState, verdict: Prediction, imaging: Imaging, threshold: float | None) -> str:
    """Write the picture below `out` and return its place there.

    Raises:
        StorageError: it cannot be written.
        ImageError: the part's file cannot be read any more.
    """
    name = overlay_name(part)
    (out / name).unlink(missing_ok=True)  # from an attempt before a crash
    save_overlay(out / name, verdict, imaging, threshold)
    return name


def sweep_up(out: Path) -> None:
    """Remove half-written pictures that a kill has left below `out`."""
    for part in (out / FOLDER).rglob(".*.part"):
        part.unlink(missing_ok=True)


WINDOW = 30.0
"""Seconds over which the speed is counted."""


@dataclass(frozen=True, slots=True)
class Status:
    """`waiting` files, `rate` in parts a second lately, `oldest` in seconds since the file that waits longest was found.

    `good`, `defective` and `error` count the lines written by this process; `unseen` the folders that cannot be looked
    into, of whose parts nothing is known; `paused` says why nothing goes on, if so.
    """

    waiting: int
    rate: float
    oldest: float
    good: int
    defective: int
    error: int
    unseen: int = 0
    paused: str | None = None

    @property
    def text(self) -> str:
        """The status on one line."""
        done = f"{self.good} good, {self.defective} defective, {self.error} errors"
        waits = f"{self.waiting} waiting" + (f", the oldest for {self.oldest:.0f} s" if self.waiting else "")
        unseen = f"; {self.unseen} folders cannot be seen" if self.unseen else ""
        return f"{done}; {waits}; {self.rate:.1f} parts/s{unseen}" + (f"; paused: {self.paused}" if self.paused else "")


class Throughput:
    """Parts a second over the last half minute."""

    def __init__(self) -> None:
        self._start = monotonic()
        self._times: deque[float] = deque(maxlen=5000)

    def part(self) -> None:
        """Count one part, now."""
        self._times.append(monotonic())

    @property
    def rate(self) -> float:
        """Parts a second."""
        now = monotonic()
        while self._times and self._times[0] < now - WINDOW:
            self._times.popleft()
        if not self._times:
            return 0.0
        whole = len(self._times) == self._times.maxlen
        span = now - (self._times[0] if whole else max(self._start, now - WINDOW))
        return len(self._times) / max(span, 1e-3)
