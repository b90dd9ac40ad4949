"""From files to verdicts, whether the scores come from torch (`Inspector`) or an exported file (`Runtime`).

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
    """The detector's output for one image.

    Attributes:
        score: Raw image score.
        map: (h, w) raw map at the network's size, or None without maps.
        original: (height, width) of the image in pixels.
    """

    score: float
    map: NDArray[np.float32] | None
    original: tuple[int, int]


class Inspection(ABC):
    """The way to prepare images, a network that scores them, and a threshold (or none yet).

    Attributes:
        imaging: How images are prepared for the network.
        calibration: The threshold and its guarantee, or None.
        about: What the model was made from, as JSON values that decide nothing: "learned" (training images),
            "learned_content" (content of the files that were not held out) and "calibrated" (content of the files that
            the threshold was chosen from).
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
        """JSON values that describe the network: its "method", its "params", and what else its file holds about it."""

    @property
    @abstractmethod
    def backbones(self) -> dict[str, str]:
        """The SHA-256 of the weights of every frozen network inside, by its position in the detector."""

    @abstractmethod
    def score(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """Return the raw scores and maps of prepared images.

        Args:
            images: (B, h, w, 3) float32 as `imaging.prepare` returns them.

        Returns:
            Raw image scores (B,) and raw maps (B, h, w), or None without maps.
        """

    @overload
    def inspect(self, source: Sequence[Source], *, batch_size: int = 8) -> list[Prediction]: ...
    @overload
    def inspect(self, source: Path | str | NDArray[Any], *, batch_size: int = 8) -> Prediction | list[Prediction]: ...

    def inspect(self, source: Any, *, batch_size: int = 8) -> Prediction | list[Prediction]:
        """Inspect one image, a list of them, or all images of parts in a folder and below.

        All maps are kept in memory; for very many images iterate over `stream` instead.

        Args:
            source: A file, an array, a list of these, or a folder. Arrays are (H, W) grey or (H, W, 3) RGB
                (`cv2.imread` returns BGR), uint8, uint16 or float in [0, 1]. Masks in the folder, known by their names,
                are left out with a warning.
            batch_size: Images per forward pass.

        Returns:
            One Prediction for one image; for a list or a folder a list, where an unreadable image is a Prediction with
            `error`.

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
        """Inspect images one after another, reading ahead; only a few are in memory at a time.

        Args:
            sources: Files or arrays, as in `inspect`.
            batch_size: Images per forward pass.

        Yields:
            The verdict on each source, in order; an unreadable image is a Prediction with `error`.
        """
        for index, (source, raw) in enumerate(self.raw(sources, batch_size=batch_size)):
            key = str(source) if isinstance(source, str | Path) else f"array {index}"
            yield Prediction(key, error=str(raw)) if isinstance(raw, ImageError) else self.decide(key, raw)

    def decide(self, key: str, raw: Raw) -> Prediction:
        """Turn raw scores into a verdict: p-value, decision, and regions and peak at the image's original size.

        Args:
            key: Name of the image in the verdict.
            raw: The detector's output for it.

        Returns:
            The verdict; without a calibration it has a score, a map and a peak only.
        """
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
        """Score images without deciding on them.

        Args:
            sources: Files, arrays or Records.
            batch_size: Images per forward pass.

        Yields:
            (source, raw scores) in order, with an ImageError in place of the scores of an unreadable image.
        """
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
        """Choose the threshold on held-out parts, by exactly one rule, and keep it; see `calibration`.

        Pixels are marked at the rate at which good parts are rejected. `about` records which files the threshold was
        chosen from, so that a test on them is noticed; arrays leave no trace. If training images are among the files,
        the calibration gets a `note`: nothing is guaranteed then.

        Args:
            good: Files, arrays or Records of good parts.
            defects: The same of defective parts; for `escape_rate` and `costs` only.
            false_reject_rate: Rule: wanted share of rejected good parts, in (0, 1).
            escape_rate: Rule: wanted share of defects that pass, in (0, 1).
            confidence: Confidence of the guarantee, in (0, 1); not for `costs`. By default 0.95, but None for
                `false_reject_rate`: on average.
            costs: Rule: (cost of an escape, cost of a false reject, share of defective parts in production).
            threshold: Rule: a raw image score that was fixed beforehand.

        Returns:
            The calibration that was kept.

        Raises:
            InputError: no rule or several, what a rule needs is missing, what it cannot use is given, a file is given
                both as good and as defective, or there are too few readable parts.
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
        """Return what a threshold is chosen from; unreadable images are skipped with a warning, as in training.

        Args:
            sources: Files, arrays or Records of parts.
            batch_size: Images per forward pass.

        Returns:
            The parts' raw image scores, and the peak of each part's restored map, or None without maps.
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
    """Yield the sources, and add the content keys of those that are files to `used`."""
    for source in sources:
        used += contents([getattr(source, "image", source)])
        yield source


def contents(sources: Iterable[Any]) -> list[str]:
    """Return the keys by which the content of files is recognised under any name.

    Args:
        sources: Files or arrays; arrays and files that cannot be read are skipped.

    Returns:
        A key for each readable file, in order.
    """
    found = []
    for source in sources:
        if isinstance(source, str | Path):
            with suppress(OSError):
                found.append(content_of(source))
    return found


def respelled(about: dict[str, Any]) -> dict[str, Any]:
    """Return `about` with the names of this version; earlier ones spelled "learned" with a t.

    Args:
        about: What a model's file holds as `about`.

    Returns:
        The same values by today's names.
    """
    return {name.replace("earnt", "earned"): value for name, value in about.items()}


def parts_below(folder: Path) -> tuple[list[Path], str]:
    """Return the images of parts in a folder and below, without the masks of defects.

    Args:
        folder: Folder to search.

    Returns:
        The files, sorted, and a message about the masks left out, or "".

    Raises:
        DataError: as `images_below`.
    """
    found = images_below(folder)
    parts = without_masks(folder, found)
    masks = len(found) - len(parts)
    return parts, f"{masks} masks in {folder} are no parts and were left out" if masks else ""


def images_below(folder: Path) -> list[Path]:
    """Return all image files in a folder and below, except hidden ones.

    Args:
        folder: Folder to search.

    Returns:
        The files, sorted.

    Raises:
        DataError: there is no image, or a folder or file below cannot be read: its parts would count as good.
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
    """Return whether the path is a file or a link to one; raises OSError where that cannot be determined."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):  # a link to nothing
        return False
