"""How fast an exported model is on this machine: latency percentiles, throughput, memory."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.core.memory import peak_mb
from blemish.imaging.images import Imaging
from blemish.inference.metadata import model_files
from blemish.inference.raw import raw_of
from blemish.inference.runtime import Runtime, plain_inputs

SIDE = 1024
"""Pixels per side of the image that is prepared, where the region of interest needs no more."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Speed and memory of an exported model; all times in milliseconds.

    Attributes:
        file: The model file.
        precision: The model's precision: "fp32", "fp16" or "int8".
        load: Time until the model could be used.
        p50: Median time per image, one image after another, network and scoring only.
        p90: The same, 90th percentile.
        p99: The same, 99th percentile.
        part: (height, width) in pixels of the image for `prepare` and `decide`.
        prepare: Median time to prepare an image that is in memory.
        decide: Median time to enlarge its map and find regions.
        images_per_second: Throughput with batches of `batch_size`.
        batch_size: Images per batch.
        megabytes: Size of the model's files, in MB.
        memory: What the process grew by, in MB.
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
        """Return the attributes as JSON values."""
        return asdict(self)


def profile(
    path: Path | str, *, engine: str = "auto", threads: int | None = None, repeats: int = 100, batch_size: int = 8
) -> Profile:
    """Load an exported model and measure it on synthetic images; nothing is read from disk but the model.

    Args:
        path: Exported model, .onnx or .xml.
        engine: "onnxruntime", "openvino", or "auto" by the file's suffix.
        threads: Cores one image may use; None for all.
        repeats: Images for the percentiles; the other times take a fraction of it.
        batch_size: Images per batch for the throughput.

    Returns:
        The measured times and memory.

    Raises:
        FormatError: see `Runtime`.
    """
    before = peak_mb() or 0.0
    begun = time.perf_counter()
    runtime = Runtime(path, engine=engine, threads=threads)
    runtime.warm_up()
    load = time.perf_counter() - begun
    part = made_part(runtime.imaging)
    one, many = plain_inputs(runtime, 1), plain_inputs(runtime, batch_size)
    if runtime.inputs == ("image",):
        prepared = runtime.imaging(part).transpose(2, 0, 1)[None]
        one, many = {"image": prepared}, {"image": np.repeat(prepared, batch_size, 0)}
    single = _times(lambda: runtime.score(one), repeats)
    together = _times(lambda: runtime.score(many), max(3, repeats // batch_size))
    raw = raw_of(runtime.score(one), 0, (part.shape[0], part.shape[1]), "")
    few = max(3, repeats // 10)
    return Profile(
        file=str(path),
        precision=runtime.exported.precision,
        load=1e3 * load,
        p50=float(np.percentile(single, 50)),
        p90=float(np.percentile(single, 90)),
        p99=float(np.percentile(single, 99)),
        part=(part.shape[0], part.shape[1]),
        prepare=float(np.median(_times(lambda: runtime.imaging(part), few))),
        decide=float(np.median(_times(lambda: runtime.decide("", raw), few))),
        images_per_second=1e3 * batch_size / float(np.median(together)),
        batch_size=batch_size,
        megabytes=sum(file.stat().st_size for file in model_files(runtime.path)) / 1e6,
        memory=(peak_mb() or 0.0) - before,
    )


def made_part(imaging: Imaging) -> NDArray[Any]:
    """Return noise as the model's camera would produce it: large enough, and up to its white level.

    Args:
        imaging: The model's region of interest and white level.

    Returns:
        (H, W, 3) uint8, uint16 or float32.
    """
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
