"""A model that needs no torch, and ways to wait for what a watcher does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blemish.core.errors import ImageError
from blemish.core.prediction import Prediction
from blemish.imaging.images import Imaging
from blemish.imaging.reading import encode_png
from blemish.inference.calibration import Calibration, from_good


class Brightness:
    """Scores a part by its mean brightness: white ones are rejected."""

    inputs = ("image",)

    def completed(self, sources):
        return list(sources)

    def __init__(self) -> None:
        self.imaging = Imaging(size=(16, 16))
        self.calibration: Calibration | None = from_good([i / 100 for i in range(50)], 0.05, pixel_peaks=[0.5] * 50)
        self.read: list[str] = []

    def stream(self, sources: Iterable[Any], *, batch_size: int = 8) -> Iterator[Prediction]:
        for source in sources:
            self.read.append(str(source))
            try:
                image = self.imaging.read(source)
            except ImageError as error:
                yield Prediction(str(source), error=str(error))
                continue
            map = image.mean(axis=2)
            score, threshold = float(map.mean()), self.calibration.threshold
            yield Prediction(
                str(source), score, self.calibration.p_value(score), threshold, score >= threshold, map, map > threshold
            )


def png(value: int, size: int = 32) -> bytes:
    return encode_png(np.full((size, size, 3), value, np.uint8))


def noise(seed: int, size: int = 64) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 60, (size, size, 3), dtype=np.uint8))


def lines(out: Path) -> list[dict[str, Any]]:
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for a condition; the limit only ends a test that has failed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")
