"""From files to verdicts, whether the scores come from torch (`Inspector`) or an exported file (`Runtime`).

Reading, preparing, batching, thresholds, masks and regions are the same code for both, so they cannot differ. No torch.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from blemish.core.decision import defective
from blemish.core.errors import ImageError, InputError
from blemish.core.files import printable
from blemish.core.inputs import Inputs
from blemish.core.prediction import Branch, Peak, Prediction
from blemish.core.read_ahead import read_ahead
from blemish.imaging import regions
from blemish.imaging.images import Imaging
from blemish.imaging.parts import PreparedPart, files_of, prepare_part, stack
from blemish.inference.calibrating import Rule, Scored, choose
from blemish.inference.calibration import Calibration
from blemish.inference.provenance import Provenance
from blemish.inference.raw import Raw, RawScores, raw_of
from blemish.inference.sources import contents, key_of, parts_below, with_inputs

Source = Any
"""A file, bytes, an array, a mapping of a part's inputs, or a Record: see `Inspection.inspect`."""
S = TypeVar("S")


class Inspection(ABC):
    """The way to prepare parts, a network that scores them, and a threshold (or none yet).

    Attributes:
        imaging: How files are prepared for the network.
        calibration: The threshold and its guarantee, or None; of a model of several categories one for each as well.
        provenance: What the model was made from.
    """

    imaging: Imaging
    calibration: Calibration | None
    provenance: Provenance

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

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The kinds of input that the model looks at, see `blemish.core.inputs`."""

    @abstractmethod
    def score(self, inputs: Inputs) -> RawScores:
        """Return what the network says of prepared parts.

        Args:
            inputs: By kind: (B, C, h, w) float32, or a list of B texts, as `imaging.parts.stack` returns them.

        Returns:
            Raw scores (B,) and raw maps (B, h, w), of the parts and of the branches.
        """

    @overload
    def inspect(
        self,
        source: list[Any] | tuple[Any, ...],
        *,
        batch_size: int = 8,
        inputs: Mapping[str, str] | None = None,
        category: str | None = None,
    ) -> list[Prediction]: ...
    @overload
    def inspect(
        self,
        source: Path | str | bytes | Mapping[str, Any] | NDArray[Any],
        *,
        batch_size: int = 8,
        inputs: Mapping[str, str] | None = None,
        category: str | None = None,
    ) -> Prediction | list[Prediction]: ...

    def inspect(
        self,
        source: Any,
        *,
        batch_size: int = 8,
        inputs: Mapping[str, str] | None = None,
        category: str | None = None,
    ) -> Prediction | list[Prediction]:
        """Inspect one part, a list of them, or all in a folder and below.

        All maps are kept in memory; for very many images iterate over `stream` instead.

        Args:
            source: A file, its content as bytes, an array, a mapping of a part's inputs ({"image": "a.png",
                "points": "a.tiff", "category": "bottle"}), a list of these, or a folder. Arrays are (H, W) grey or
                (H, W, 3) RGB (`cv2.imread` returns BGR), uint8, uint16 or float in [0, 1]. Masks in the folder, known by
                their names, are left out with a warning.
            batch_size: Parts per forward pass.
            inputs: For files and folders, by kind the further file of a part, relative to its own folder, with {stem},
                {name}, {suffix} or {parent} of its file: {"points": "../xyz/{stem}.tiff"}.
            category: The parts' category, for a model of several; None takes it from the folder that is named so.

        Returns:
            One Prediction for one part; for a list or a folder a list, where an unreadable part is a Prediction with
            `error`.

        Raises:
            ImageError: the one part given cannot be read.
            DataError: the folder holds no image.
            InputError: something that the model looks at is missing, or it is given what it does not look at.
        """
        if isinstance(source, str | Path) and Path(source).is_dir():
            parts, masks = parts_below(Path(source), self.inputs)
            if masks:
                warnings.warn(f"{masks}; to inspect them all the same, give a list of files", stacklevel=2)
            return list(self.stream(self.completed(parts, inputs, category), batch_size=batch_size))
        if isinstance(source, list | tuple):
            return list(self.stream(self.completed(source, inputs, category), batch_size=batch_size))
        only = next(self.stream(self.completed([source], inputs, category)))
        if only.error is not None:
            raise ImageError(only.error)
        return only

    @property
    def categories(self) -> tuple[str, ...]:
        """The products that the model is for, as far as their names are known."""
        if self.calibration is not None and self.calibration.categories:
            return tuple(self.calibration.categories)
        said = self.provenance.category
        if isinstance(said, str):
            return () if said == "all" else (said,)
        return tuple(said or ())

    def completed(
        self, sources: Iterable[Any], inputs: Mapping[str, str] | None = None, category: str | None = None
    ) -> list[Any]:
        """Return parts with their further files and their category.

        Args:
            sources: As in `inspect`; only paths are completed by `inputs`.
            inputs: As in `inspect`.
            category: As in `inspect`.

        Returns:
            Sources for `stream`.

        Raises:
            InputError: `inputs` are given for what is no path, or for a kind that the model does not look at.
        """
        known = self.categories
        if category is None and len(known) == 1 and "category" in self.inputs:
            category = known[0]  # the one product that it is for
        found: list[Any] = []
        given = list(sources)
        if all(isinstance(source, str | Path) for source in given):
            return with_inputs(map(Path, given), self.inputs, inputs or {}, category, known)
        if inputs:
            raise InputError(
                "inputs completes paths; give arrays, bytes and mappings with all that belongs to the part"
            )
        for source in given:
            named = {"category": category} if category else {}
            found.append({**files_of(source, self.inputs), **named} if named else source)
        return found

    def stream(self, sources: Iterable[Source], *, batch_size: int = 8) -> Iterator[Prediction]:
        """Inspect parts one after another, reading ahead; only a few are in memory at a time.

        Args:
            sources: Files, bytes, arrays or mappings, as in `inspect`.
            batch_size: Parts per forward pass.

        Yields:
            The verdict on each source, in order; an unreadable part is a Prediction with `error`.
        """
        for index, (source, raw) in enumerate(self.raw(sources, batch_size=batch_size)):
            key = key_of(source, index)
            yield Prediction(key, error=str(raw)) if isinstance(raw, ImageError) else self.decide(key, raw)

    def decide(self, key: str, raw: Raw) -> Prediction:
        """Turn raw scores into a verdict: p-value, decision, and regions and peak at the image's original size.

        Args:
            key: Name of the image in the verdict.
            raw: The detector's output for it.

        Returns:
            The verdict; without a calibration it has a score, a map and a peak only. A part of a known category is
            decided by that category's threshold.
        """
        map = None if raw.map is None else self.imaging.restore(raw.map, raw.original)
        valid = self.imaging.valid(raw.original)
        said: dict[str, Any] = {"category": raw.category, "words": raw.words}
        said["branches"] = {
            name: Branch(branch.score, None if branch.map is None else self.imaging.restore(branch.map, raw.original))
            for name, branch in raw.branches.items()
        }
        calibration = None if self.calibration is None else self.calibration.of(raw.category)
        if calibration is None:
            return Prediction(key, raw.score, map=map, peak=None if map is None else regions.peak(map, valid), **said)
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
            **said,
        )

    def raw(self, sources: Iterable[S], *, batch_size: int = 8) -> Iterator[tuple[S, Raw | ImageError]]:
        """Score images without deciding on them.

        Args:
            sources: Files, bytes, arrays, mappings or Records.
            batch_size: Parts per forward pass.

        Yields:
            (source, raw scores) in order, with an ImageError in place of the scores of an unreadable part.
        """
        pending: list[tuple[S, PreparedPart]] = []
        for source, ready in read_ahead(self._prepare, sources, ahead=2 * batch_size):
            if isinstance(ready, ImageError):
                yield from self._score(pending)
                pending = []
                yield source, ready
                continue
            pending.append((source, ready))
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

        Pixels are marked at the rate at which good parts are rejected. Of parts of several categories each category gets a
        threshold of its own, beside the one of all. `provenance` records which files the threshold was chosen from, so that
        a test on them is noticed; arrays leave no trace. If training images are among the files, the calibration gets a
        `note`: nothing is guaranteed then.

        Args:
            good: Files, arrays, mappings or Records of good parts.
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
        rule = Rule(false_reject_rate, escape_rate, confidence, costs, threshold)
        rule.check(defects is not None)
        used: list[str] = []
        spoilt: list[str] = []
        found = self.calibration_scores(_noting(good, used))
        bad = [] if defects is None else self.calibration_scores(_noting(defects, spoilt))
        if both := len(set(used) & set(spoilt)):
            raise InputError(
                f"{both} of the {len(spoilt)} files given as defective are given as good as well. Name folders of which "
                "neither lies in the other."
            )
        return self._keep(choose(rule, found, bad), [*used, *spoilt])

    def calibration_scores(self, sources: Iterable[Any], batch_size: int = 8) -> list[Scored]:
        """Return what a threshold is chosen from; unreadable parts are skipped with a warning, as in training.

        Args:
            sources: Files, arrays, mappings or Records of parts.
            batch_size: Parts per forward pass.

        Returns:
            Of each part the raw image score, the peak of its restored map (None without maps), and its category.
        """
        scored: list[Scored] = []
        unreadable: list[ImageError] = []
        for _, raw in self.raw(sources, batch_size=batch_size):
            if isinstance(raw, ImageError):
                unreadable.append(raw)
                continue
            peak = None if raw.map is None else float(self.imaging.restore(raw.map, raw.original).max())
            scored.append(Scored(raw.score, peak, raw.category))
        if unreadable:
            warnings.warn(
                f"{len(unreadable)} images were skipped while choosing the threshold. "
                f"The first: {printable(str(unreadable[0]))}",
                stacklevel=3,
            )
        return scored

    def _keep(self, chosen: Calibration, used: list[str]) -> Calibration:
        learned = set(self.provenance.learned_content or ())
        if both := sum(content in learned for content in used):
            said = (
                f"{both} of the {len(used)} files that the threshold was chosen from are copies of files that the model "
                "has learned from, which score lower than new parts: nothing is guaranteed. Calibrate on other parts."
            )
            chosen = replace(chosen, note=f"{said} {chosen.note}".rstrip())
        self.calibration = chosen
        self.provenance = replace(self.provenance, calibrated=tuple(used))
        return chosen

    def _prepare(self, source: Any) -> PreparedPart:
        return prepare_part(self.imaging, source, self.inputs)

    def _score(self, parts: list[tuple[S, PreparedPart]]) -> Iterator[tuple[S, Raw]]:
        if not parts:
            return
        found = self.score(stack([part for _, part in parts]))
        for i, (source, part) in enumerate(parts):
            category = files_of(source, self.inputs).get("category", "")
            yield source, raw_of(found, i, part.original, category)


def _noting(sources: Iterable[S], used: list[str]) -> Iterator[S]:
    """Yield the sources, and add the content keys of those that are files to `used`."""
    for source in sources:
        used += contents([source])
        yield source
