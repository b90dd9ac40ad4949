"""How fast an exported model is on this machine: latency percentiles, throughput, memory."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.imaging.images import Imaging
from blemish.inference.metadata import model_files
from blemish.inference.runtime import Runtime

SIDE = 1024
"""Pixels a side of the part that is prepared, where the region of interest needs no more."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Times in milliseconds, memory in MB.

    `p50` to `p99` are of one image after another, network and scoring only; `prepare` is the median time of preparing one
    image of `part` = (height, width) pixels in memory and `decide` of enlarging its map and finding regions.
    `images_per_second` is with batches of `batch_size`. `load` is the time until the model could be used, `memory` what the
    process grew by.
    """

    file: str
    precision: str
    load: float
    p50: float
    p90: float
    p99: float
    part: tuple[int, int]
    prepare: float
    decide: float
    images_per_second: float
    batch_size: int
    megabytes: float
    memory: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def latency(
    path: Path | str, *, engine: str = "auto", threads: int | None = None, repeats: int = 100, batch_size: int = 8
) -> Latency:
    """Load an exported model and measure it on made images; nothing is read from disk but the model.

    Raises:
        FormatError: see `Runtime`.
    """
    grown = _memory()
    begun = time.perf_counter()
    runtime = Runtime(path, engine=engine, threads=threads)
    runtime.warm_up()
    load = time.perf_counter() - begun
    part = made_part(runtime.imaging)
    prepared = runtime.imaging(part)
    single = _times(lambda: runtime.score(prepared[None]), repeats)
    many = np.repeat(prepared[None], batch_size, 0)
    together = _times(lambda: runtime.score(many), max(3, repeats // batch_size))
    raw = next(runtime.raw([part]))[1]
    few = max(3, repeats // 10)
    return Latency(
        file=str(path),
        precision=runtime.exported.precision,
        load=1e3 * load,
        p50=float(np.percentile(single, 50)),
        p90=float(np.percentile(single, 90)),
        p99=float(np.percentile(single, 99)),
        part=(part.shape[0], part.shape[1]),
        prepare=float(np.median(_times(lambda: runtime.imaging(part), few))),
        decide=float(np.median(_times(lambda: runtime.decide("", raw), few))),  # type: ignore[arg-type]
        images_per_second=1e3 * batch_size / float(np.median(together)),
        batch_size=batch_size,
        megabytes=sum(file.stat().st_size for file in model_files(runtime.path)) / 1e6,
        memory=_memory() - grown,
    )


def made_part(imaging: Imaging) -> NDArray[Any]:
    """Return noise (height, width, 3) as the model's camera would give it: large enough, and up to its white level."""
    _, _, right, bottom = imaging.roi or (0, 0, SIDE, SIDE)
    shape, rng = (max(SIDE, bottom), max(SIDE, right), 3), np.random.default_rng(0)
    if imaging.white is None:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if imaging.white > np.iinfo(np.uint16).max:  # only floats reach so far
        return rng.random(shape, dtype=np.float32) * np.float32(imaging.white)
    return rng.integers(0, round(imaging.white), shape, dtype=np.uint16, endpoint=True)


def _times(work: Any, repeats: int) -> list[float]:
    """Return how long each call took, in milliseconds, after one that does not count."""
    work()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append(1e3 * (time.perf_counter() - begun))
    return found


def _memory() -> float:
    """Return the most memory the process has held, in MB; 0 where the system does not say."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
