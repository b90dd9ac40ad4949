"""From files to verdicts, whatever computes the scores: the network in torch (`Inspector`) or an exported file (`Runtime`).

Reading, preparing, batching, thresholds, masks and regions are the same code for both, so they cannot differ. No torch.
"""

from __future__ import annotations

import os
import stat
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.decision import defective
from blemish.core.errors import DataError, ImageError, InputError
from blemish.core.files import content_of, printable
from blemish.core.read_ahead import read_ahead
from blemish.core.types import Peak, Prediction
from blemish.imaging import regions
from blemish.imaging.images import SUFFIXES, Imaging, named
from blemish.imaging.mask_names import without_masks
from blemish.inference.calibration import Calibration, above_rank, from_costs, from_escape_rate, from_given, from_good

Source = Path | str | ArrayLike
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Raw:
    """What the detector said of one image: raw score and map at the network's size, and the image's original size."""

    score: float
    map: NDArray[np.float32] | None
    original: tuple[int, int]


class Inspection(ABC):
    """The way to prepare images, something that scores them, and a threshold (or none yet).

    `about` says in JSON values what the model was fitted on ("learned", and the content of the files that are
    not held out, "learned_content") and which files its threshold was chosen from ("calibrated"); it decides nothing.
    """

    imaging: Imaging
    calibration: Calibration | None
    about: dict[str, Any]

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.imaging.input_size))
        threshold = "no threshold" if self.calibration is None else f"threshold {self.calibration.threshold:.4g}"
        return f"<{type(self).__name__} of {size} pixels, {threshold}>"

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What scores, as JSON values: the name of its "method", its "params", and what else its file says of it."""

    @property
    @abstractmethod
    def backbones(self) -> dict[str, str]:
        """The SHA-256 of the weights of every frozen network inside, by its place in the detector."""

    @abstractmethod
    def score(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """Return raw scores (B,) and maps (B, h, w), or None without maps, of prepared images (B, h, w, 3)."""

    @overload
    def inspect(self, source: Sequence[Source], *, batch_size: int = 8) -> list[Prediction]: ...
    @overload
    def inspect(self, source: Path | str | NDArray[Any], *, batch_size: int = 8) -> Prediction | list[Prediction]: ...

    def inspect(self, source: Any, *, batch_size: int = 8) -> Prediction | list[Prediction]:
        """Look at one image (a file, or an array of RGB), a list of them, or all images of parts in a folder and below.

        Arrays are (H, W) grey or (H, W, 3) red, green, blue, of bytes, 16-bit numbers or floats in [0, 1]: `cv2.imread`
        gives blue, green, red. Masks in the folder, known by their names, are left out with a warning. One source gives
        one Prediction and raises its errors; a list or a folder gives a list, in which an unreadable image is a Prediction
        with `error`. All maps are kept; for very many images iterate over `stream` instead.

        Raises:
            ImageError: the one image given cannot be read.
            DataError: the folder holds no image.
        """
        if isinstance(source, str | Path) and Path(source).is_dir():
            parts, masks = parts_below(Path(source))
            if masks:
                warnings.warn(f"{masks}; to inspect them all the same, give a list of files", stacklevel=2)
            return list(self.stream(parts, batch_size=batch_size))
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
            yield Prediction(key, error=str(raw)) if isinstance(raw, ImageError) else self.decide(key, raw)

    def decide(self, key: str, raw: Raw) -> Prediction:
        """Turn raw scores into a verdict: p-value, decision, and regions and peak at the image's original size."""
        map = None if raw.map is None else self.imaging.restore(raw.map, raw.original)
        valid = self.imaging.valid(raw.original)
        calibration = self.calibration
        if calibration is None:
            return Prediction(key, raw.score, map=map, peak=None if map is None else regions.peak(map, valid))
        mask = None
        if map is not None and calibration.pixel_threshold is not None:
            mask = np.asarray(defective(map, calibration.pixel_threshold)) & valid
        found = () if map is None or mask is None else regions.find(map, mask)
        highest = Peak(found[0].peak, found[0].peak_at) if found else None
        if map is not None and highest is None:
            highest = regions.peak(map, valid)
        return Prediction(
            key=key,
            score=raw.score,
            p_value=calibration.p_value(raw.score),
            threshold=calibration.threshold,
            defective=bool(defective(raw.score, calibration.threshold)),
            map=map,
            mask=mask,
            regions=found,
            peak=highest,
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
        threshold: float | None = None,
    ) -> Calibration:
        """Choose the threshold on parts that the detector has not learned from, by exactly one rule, and keep it.

        `about` says afterwards which files it was chosen from, so that a test on them is noticed; arrays leave no trace.

        `good` and `defects` are files, arrays or Records. The rules: `false_reject_rate` (good parts alone suffice),
        `escape_rate`, `costs` = (cost of an escape, cost of a false reject, share of defective parts), or `threshold`, one
        that was fixed beforehand; see `calibration`. Pixels are marked at the rate at which good parts are rejected.

        Files that the detector has learned from get a `note`: nothing is guaranteed then.

        Raises:
            InputError: no rule or several, what a rule needs is missing, what it cannot use is given, a file is given both
                as good and as defective, or there are too few readable parts.
        """
        if sum(rule is not None for rule in (false_reject_rate, escape_rate, costs, threshold)) != 1:
            raise InputError("give exactly one of: false_reject_rate, escape_rate, costs, threshold")
        if (false_reject_rate is not None or threshold is not None) and defects is not None:
            raise InputError(
                f"a {'threshold' if false_reject_rate is None else 'false_reject_rate'} looks at good parts alone, so the "
                "defective ones given would not count. Leave them out, or ask for an escape_rate or costs."
            )
        if costs is not None and confidence is not None:
            raise InputError(
                f"confidence is {confidence}, but costs guarantee nothing to be sure of. Leave it out, or ask for a "
                "false_reject_rate or an escape_rate."
            )
        used: list[str] = []
        scores, peaks = self.calibration_scores(_noting(good, used))
        if false_reject_rate is not None:
            return self._keep(from_good(scores, false_reject_rate, confidence, pixel_peaks=peaks), used)
        if threshold is not None:
            given = from_given(scores, threshold, 0.95 if confidence is None else confidence)
            return self._keep(self._with_pixels(given, scores, peaks), used)
        if defects is None:
            raise InputError("an escape rate or costs need defective parts as well; give some, or a false_reject_rate")
        spoilt: list[str] = []
        bad, _ = self.calibration_scores(_noting(defects, spoilt))
        if both := len(set(used) & set(spoilt)):
            raise InputError(
                f"{both} of the {len(spoilt)} files given as defective are given as good as well. Name folders of which "
                "neither lies in the other."
            )
        used += spoilt
        if escape_rate is not None:
            chosen = from_escape_rate(scores, bad, escape_rate, 0.95 if confidence is None else confidence)
        else:
            assert costs is not None  # noqa: S101 - one rule is given
            chosen = from_costs(scores, bad, *costs)
        return self._keep(self._with_pixels(chosen, scores, peaks), used)

    def _with_pixels(self, chosen: Calibration, scores: list[float], peaks: list[float] | None) -> Calibration:
        if peaks is None:
            return chosen
        rejected = sum(defective(score, chosen.threshold) for score in scores)
        return replace(chosen, pixel_threshold=above_rank(peaks, max(1, rejected)))

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
                f"{len(unreadable)} images were skipped while choosing the threshold. "
                f"The first: {printable(str(unreadable[0]))}",
                stacklevel=3,
            )
        return scores, peaks or None

    def _keep(self, chosen: Calibration, used: list[str]) -> Calibration:
        learned = set(self.about.get("learned_content", ()))
        if both := sum(content in learned for content in used):
            said = (
                f"{both} of the {len(used)} files that the threshold was chosen from are copies of files that the model "
                "has learned from, which score lower than new parts: nothing is guaranteed. Calibrate on other parts."
            )
            chosen = replace(chosen, note=f"{said} {chosen.note}".rstrip())
        self.calibration = chosen
        self.about = {**self.about, "calibrated": used}
        return chosen

    def _prepare(self, source: Any) -> tuple[NDArray[np.float32], tuple[int, int]]:
        source = getattr(source, "image", source)
        image = self.imaging.read(source)
        with named(source):
            return self.imaging.prepare(image), (image.shape[0], image.shape[1])

    def _score(self, parts: list[tuple[S, NDArray[np.float32], tuple[int, int]]]) -> Iterator[tuple[S, Raw]]:
        if not parts:
            return
        values, maps = self.score(np.stack([image for _, image, _ in parts]))
        for i, (source, _, original) in enumerate(parts):
            yield source, Raw(float(values[i]), None if maps is None else maps[i], original)


def _noting(sources: Iterable[S], used: list[str]) -> Iterator[S]:
    """Yield the sources, and note by what those that are files are known again."""
    for source in sources:
        used += contents([getattr(source, "image", source)])
        yield source


def contents(sources: Iterable[Any]) -> list[str]:
    """Return by what the files among the sources are known again; those that cannot be read are left to their reader."""
    found = []
    for source in sources:
        if isinstance(source, str | Path):
            with suppress(OSError):
                found.append(content_of(source))
    return found


def respelled(about: dict[str, Any]) -> dict[str, Any]:
    """Return what a model's file says about it by today's names: earlier ones spelled "learned" with a t."""
    return {name.replace("earnt", "earned"): value for name, value in about.items()}


def parts_below(folder: Path) -> tuple[list[Path], str]:
    """Return the images of parts in a folder and below, sorted, and what is to be said of the masks left out, or "".

    Raises:
        DataError: as `images_below`.
    """
    found = images_below(folder)
    parts = without_masks(folder, found)
    masks = len(found) - len(parts)
    return parts, f"{masks} masks in {folder} are no parts and were left out" if masks else ""


def images_below(folder: Path) -> list[Path]:
    """Return all image files in a folder and below, sorted; hidden ones are left out.

    Raises:
        DataError: there is none, or a folder or file below cannot be looked into: its parts would count as good.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}. Check the path.")
    found: list[Path] = []
    try:
        for place, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = (Path(place, name) for name in names if not name.startswith("."))
            found += (path for path in paths if path.suffix.lower() in SUFFIXES and _is_file(path))
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be looked into: {error.strerror}. Allow reading it, or name the images to look at."
        ) from error
    if not found:
        raise DataError(f"{folder} holds no image; looked for {', '.join(SUFFIXES)} in it and below.")
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _is_file(path: Path) -> bool:
    """Return whether it is one, or a link to one; raises OSError where that cannot be asked."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):  # a link to nothing
        return False
