"""Inspecting: a verdict becomes a line of the journal and, for a defective part, a picture; throughput is measured.

A line holds the verdict, and which file, when, by which model, with which picture. A picture's name follows from the
file's state: inspected again, it replaces itself.
"""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Any

from blemish.core.prediction import Prediction
from blemish.imaging.reading import Image
from blemish.report.pictures import save_overlay
from blemish.watch.backlog import FileState


def line_of(file: FileState, verdict: Prediction, model: str, **more: str | None) -> dict[str, Any]:
    """Return the JSON values of a file's line.

    JSON has no infinity: an infinite threshold (all pass, or none) becomes null; the verdict shows how it was applied.

    Args:
        file: The file's state; "part" in the line.
        verdict: The verdict on it.
        model: SHA-256 of the model file.
        **more: Further entries.

    Returns:
        The line, with the present time.
    """
    return {
        "part": file._asdict(),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **_finite(verdict.as_dict()),
        "model": model,
        **more,
    }


def checked(verdict: Prediction) -> Prediction:
    """Replace a verdict whose score is not a finite number by an error: nothing is decided on it.

    Args:
        verdict: The model's verdict.

    Returns:
        The verdict itself, or the error.
    """
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
"""Bytes; a longer file name becomes a digest in its picture's name. Most file systems allow 255 in all."""


def overlay_name(file: FileState) -> str:
    """Return the path of a file's picture.

    Args:
        file: The file's state.

    Returns:
        Path below the folder of results, with forward slashes.
    """
    place, tag = PurePosixPath(file.path), file.digest.hex()[:8]
    name = place.name if len(os.fsencode(place.name)) <= LONGEST else file.digest.hex()
    return str(PurePosixPath(FOLDER) / place.parent / f"{name}.{tag}.png")


def write_overlay(out: Path, file: FileState, verdict: Prediction, image: Image, threshold: float | None) -> str:
    """Write the picture of a defective part.

    Args:
        out: The folder of results.
        file: The file's state.
        verdict: The verdict on it.
        image: (H, W, 3) float32 RGB in [0, 1], the part as people look at it.
        threshold: Pixel threshold of the model, or None.

    Returns:
        Path of the picture below `out`, with forward slashes.

    Raises:
        StorageError: it cannot be written.
    """
    name = overlay_name(file)
    (out / name).unlink(missing_ok=True)  # from an attempt before a crash
    save_overlay(out / name, verdict, image, threshold)
    return name


def sweep_up(out: Path) -> None:
    """Remove half-written pictures left by a kill.

    Args:
        out: The folder of results.
    """
    for file in (out / FOLDER).rglob(".*.part"):
        file.unlink(missing_ok=True)


WINDOW = 30.0
"""Seconds over which the throughput is measured."""


@dataclass(frozen=True, slots=True)
class Status:
    """How fast a watcher is, what it has done and what waits.

    Attributes:
        waiting: Files that are not finished.
        rate: Parts per second, lately.
        oldest: Seconds since the file that has waited longest was found; 0 if none waits.
        good: Lines with this verdict written by this process.
        defective: The same.
        error: The same.
        unseen: Folders that cannot be read, of whose files nothing is known.
        paused: Why writing has to wait, or None.
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
    """Parts per second over the last half minute."""

    def __init__(self) -> None:
        self._start = monotonic()
        self._times: deque[float] = deque(maxlen=5000)

    def part(self) -> None:
        """Count one part, now."""
        self._times.append(monotonic())

    @property
    def rate(self) -> float:
        """Parts per second."""
        now = monotonic()
        while self._times and self._times[0] < now - WINDOW:
            self._times.popleft()
        if not self._times:
            return 0.0
        whole = len(self._times) == self._times.maxlen
        span = now - (self._times[0] if whole else max(self._start, now - WINDOW))
        return len(self._times) / max(span, 1e-3)
