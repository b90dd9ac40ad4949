"""Inspector: imaging + detector + threshold. What is saved, exported and served; what looks at a part.

It is one safetensors file: the detector's tensors, and in the header how images are prepared, how the threshold was
chosen, the hash of the frozen backbone and the versions that wrote it.
"""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

import blemish
from blemish import regions
from blemish.calibration import Calibration, above_rank, defective, from_costs, from_escape_rate, from_good
from blemish.catalogue import method
from blemish.data.reader import read_ahead
from blemish.data.record import Record
from blemish.detector import Detector, read_saved
from blemish.errors import DataError, FormatError, ImageError, InputError, UnknownName
from blemish.features import Features
from blemish.features.frozen import Precision
from blemish.imaging import SUFFIXES, Imaging, named
from blemish.training import choose_device, device_of
from blemish.types import Prediction

FORMAT = 1
"""The version of the saved file. A reader refuses what is newer than itself."""

Source = Path | str | ArrayLike
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Raw:
    """What the detector said of one image: raw score and map at the network's size, and the image's original size."""

    score: float
    map: NDArray[np.float32] | None
    original: tuple[int, int]


class Inspector:
    """A fitted detector, the way to prepare its images, and a threshold (or none yet).

    `about` says in JSON values what it was fitted on; it travels in the file and decides nothing.
    """

    def __init__(
        self,
        detector: Detector,
        imaging: Imaging,
        calibration: Calibration | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        detector.require_fit()
        self.detector, self.imaging, self.calibration = detector.eval(), imaging, calibration
        self.about = about or {}

    @overload
    def inspect(self, source: Sequence[Source], *, batch_size: int = 8) -> list[Prediction]: ...
    @overload
    def inspect(self, source: Path | str | NDArray[Any], *, batch_size: int = 8) -> Prediction | list[Prediction]: ...

    def inspect(self, source: Any, *, batch_size: int = 8) -> Prediction | list[Prediction]:
        """Look at one image (a file or an array), a list of them, or all images in a folder and below.

        One source gives one Prediction and raises its errors; a list or a folder gives a list, in which an unreadable
        image is a Prediction with `error`. All maps are kept; for very many images iterate over `stream` instead.

        Raises:
            ImageError: the one image given cannot be read.
            DataError: the folder holds no image.
        """
        if isinstance(source, str | Path) and Path(source).is_dir():
            return list(self.stream(images_below(Path(source)), batch_size=batch_size))
        if isinstance(source, list | tuple):
            return list(self.stream(source, batch_size=batch_size))
        only = next(self.stream([source]))
        if only.error is not None:
            raise ImageError(only.error)
        return only

    def stream(self, sources: Iterable[Source], *, batch_size: int = 8) -> Iterator[Prediction]:
        """Yield the verdict on each source in order, reading ahead; holds only a few images at a time."""
        for index, (source, raw) in enumerate(self.raw(sources, batch_size=batch_size)):
            key = str(source) if isinstance(source, str | Path) else f"array {index}"
            yield Prediction(key, error=str(raw)) if isinstance(raw, ImageError) else self.judge(key, raw)

    def judge(self, key: str, raw: Raw) -> Prediction:
        """Turn raw scores into a verdict: p-value, decision, and regions at the image's original size."""
        map = None if raw.map is None else self.imaging.restore(raw.map, raw.original)
        calibration = self.calibration
        if calibration is None:
            return Prediction(key, raw.score, map=map)
        mask = None
        if map is not None and calibration.pixel_threshold is not None:
            mask = np.asarray(defective(map, calibration.pixel_threshold)) & self.imaging.valid(raw.original)
        return Prediction(
            key=key,
            score=raw.score,
            p_value=calibration.p_value(raw.score),
            threshold=calibration.threshold,
            defective=bool(defective(raw.score, calibration.threshold)),
            map=map,
            mask=mask,
            regions=() if map is None or mask is None else regions.find(map, mask),
        )

    def raw(self, sources: Iterable[S], *, batch_size: int = 8) -> Iterator[tuple[S, Raw | ImageError]]:
        """Yield (source, raw scores) in order; a source is a file, an array, or a Record."""
        pending: list[tuple[S, NDArray[np.float32], tuple[int, int]]] = []
        for source, ready in read_ahead(self._prepare, sources, ahead=2 * batch_size):
            if isinstance(ready, ImageError):
                yield from self._score(pending)
                pending = []
                yield source, ready
                continue
            pending.append((source, *ready))
            if len(pending) == batch_size:
                yield from self._score(pending)
                pending = []
        yield from self._score(pending)

    def calibrate(
        self,
        good: Iterable[Any],
        defects: Iterable[Any] | None = None,
        *,
        false_reject_rate: float | None = None,
        escape_rate: float | None = None,
        confidence: float | None = None,
        costs: tuple[float, float, float] | None = None,
    ) -> Calibration:
        """Choose the threshold on parts that the detector has not learnt from, by exactly one rule, and keep it.

        `good` and `defects` are files, arrays or Records. The rules: `false_reject_rate` (good parts alone suffice),
        `escape_rate`, or `costs` = (cost of an escape, cost of a false reject, share of defective parts); see
        `blemish.calibration`. Pixels are marked at the rate at which good parts are rejected.

        Raises:
            InputError: no rule or several, a rule that needs `defects` without them, or too few readable parts.
        """
        if sum(rule is not None for rule in (false_reject_rate, escape_rate, costs)) != 1:
            raise InputError("give exactly one of: false_reject_rate, escape_rate, costs")
        scores, peaks = self.calibration_scores(good)
        if false_reject_rate is not None:
            self.calibration = from_good(scores, false_reject_rate, confidence, pixel_peaks=peaks)
            return self.calibration
        if defects is None:
            raise InputError("an escape rate or costs need defective parts as well; give some, or a false_reject_rate")
        bad, _ = self.calibration_scores(defects)
        if escape_rate is not None:
            chosen = from_escape_rate(scores, bad, escape_rate, 0.95 if confidence is None else confidence)
        else:
            assert costs is not None  # noqa: S101 - one rule is given
            chosen = from_costs(scores, bad, *costs)
        if peaks is not None:
            rejected = sum(defective(score, chosen.threshold) for score in scores)
            chosen = replace(chosen, pixel_threshold=above_rank(peaks, max(1, rejected)))
        self.calibration = chosen
        return chosen

    def calibration_scores(self, sources: Iterable[Any], batch_size: int = 8) -> tuple[list[float], list[float] | None]:
        """Return the raw scores of good parts and the peak of each part's restored map (None without maps).

        Unreadable images are left out with a warning, as they are while learning.
        """
        scores: list[float] = []
        peaks: list[float] = []
        unreadable: list[ImageError] = []
        for _, raw in self.raw(sources, batch_size=batch_size):
            if isinstance(raw, ImageError):
                unreadable.append(raw)
                continue
            scores.append(raw.score)
            if raw.map is not None:
                peaks.append(float(self.imaging.restore(raw.map, raw.original).max()))
        if unreadable:
            warnings.warn(
                f"{len(unreadable)} images were skipped while choosing the threshold. The first: {unreadable[0]}",
                stacklevel=3,
            )
        return scores, peaks or None

    def save(self, path: Path | str) -> Path:
        """Write everything to one safetensors file, atomically."""
        header = {
            "blemish": blemish.__version__,
            "format": str(FORMAT),
            "imaging": json.dumps(self.imaging.as_dict()),
            "calibration": json.dumps(None if self.calibration is None else self.calibration.as_dict()),
            "backbones": json.dumps(self.backbones),
            "about": json.dumps(self.about, default=str),
            "versions": json.dumps({"python": platform.python_version(), "torch": torch.__version__}),
        }
        return self.detector.save(path, header)

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> Inspector:
        """Rebuild an inspector from the file that `save` wrote.

        Raises:
            FormatError: the file is absent, damaged, not ours, from a newer version, or its backbone is not the one it
                was saved with.
        """
        header, _ = read_saved(path, tensors=False)
        if "format" not in header or "detector" not in header:
            raise FormatError(
                f"{path} is not a blemish inspector: its header says nothing of one. Make one: `blemish fit`."
            )
        if not header["format"].isdecimal() or int(header["format"]) > FORMAT:
            raise FormatError(
                f"{path} has format {header['format']}, written by blemish {header.get('blemish', '?')}; this is "
                f"{blemish.__version__}, which reads up to {FORMAT}. Upgrade: pip install -U blemish"
            )
        try:
            detector = method(header["detector"]).load(path).to(choose_device(device))
            stored = json.loads(header["calibration"])
            inspector = cls(
                detector,
                Imaging.from_dict(json.loads(header["imaging"])),
                None if stored is None else Calibration.from_dict(stored),
                json.loads(header.get("about", "{}")),
            )
            backbones = json.loads(header["backbones"])
        except (KeyError, json.JSONDecodeError) as error:
            raise FormatError(f"{path} has a damaged header: {error}. Restore it from a copy, or fit again.") from error
        if inspector.backbones != backbones:
            raise FormatError(
                f"{path}: the backbone's weights are not those it was saved with. Restore it from a copy."
            )
        return inspector

    def accelerate(self, *, precision: Precision = "float32", compiled: bool = False) -> Self:
        """Let the frozen networks work faster, from now on; nothing of it is saved.

        `precision` "bfloat16" computes in half precision where the processor gains by it. Scores then differ by about a
        hundredth from those that the threshold was chosen on: choose it anew (`calibrate`) after this. `compiled` has
        torch compile the networks, which takes a while at the first image of each batch size and needs a C++ compiler.
        """
        if precision not in ("float32", "bfloat16"):
            raise UnknownName("precision", precision, ("float32", "bfloat16"))
        for module in self.detector.modules():
            if isinstance(module, Features):
                module.precision = precision
                if compiled:
                    module.net.compile()
        return self

    @property
    def backbones(self) -> dict[str, str]:
        """The SHA-256 of the weights of every frozen network inside, by its place in the detector."""
        return {name: m.sha256 for name, m in self.detector.named_modules() if isinstance(m, Features)}

    def _prepare(self, source: Any) -> tuple[NDArray[np.float32], tuple[int, int]]:
        source = getattr(source, "image", source)
        image = self.imaging.read(source)
        with named(source):
            return self.imaging.prepare(image), (image.shape[0], image.shape[1])

    def _score(self, parts: list[tuple[S, NDArray[np.float32], tuple[int, int]]]) -> Iterator[tuple[S, Raw]]:
        if not parts:
            return
        images = torch.from_numpy(np.stack([image for _, image, _ in parts]).transpose(0, 3, 1, 2).copy())
        with torch.inference_mode():
            scores = self.detector(images.to(device_of(self.detector)))
        values = scores.image.double().cpu().numpy()
        maps = None if scores.map is None else scores.map.float().cpu().numpy()
        for i, (source, _, original) in enumerate(parts):
            yield source, Raw(float(values[i]), None if maps is None else maps[i], original)


def fingerprint(record: Record) -> str:
    """Return a name for a record's file by which it is known again: its key and its size in bytes."""
    size = record.image.stat().st_size if record.image.is_file() else -1
    return f"{record.key}:{size}"


def images_below(folder: Path) -> list[Path]:
    """Return all image files in a folder and below, sorted; hidden ones are left out.

    Raises:
        DataError: there is none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise DataError(f"{folder} holds no image; looked for {', '.join(SUFFIXES)} in it and below.")
    return found
