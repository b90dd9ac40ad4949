"""A search over hyper-parameters by grid, judged on planted defects or labelled validation images, never on test images."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from blemish.core import registry
from blemish.core.errors import InputError, UnknownName
from blemish.core.progress import progress
from blemish.data.datamodule import DataModule
from blemish.data.record import Record
from blemish.engine.engine import Engine
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.planted import Judge, planted
from blemish.evaluation.protocol_data import ProtocolData
from blemish.evaluation.settings import Protocol, Subsets
from blemish.training.random_state import seeded

JUDGED: tuple[str, ...] = ("image_AUROC", "pixel_AUROC")


@dataclass(frozen=True)
class Candidate:
    """One combination of the grid.

    Attributes:
        params: Its hyper-parameters, those of the grid alone.
        score: What it was judged by: the mean of image AUROC and, of methods that localise, pixel AUROC.
        metrics: The metrics by name.
    """

    params: dict[str, Any]
    score: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        best: The hyper-parameters that score highest; of equals the first of the grid.
        candidates: All of them, in the order of the grid.
        data: The data to fit the best on: the held-out parts that judged are no longer in it, so its threshold keeps its
            guarantee.
        judged_by: "planted" or "validation".
    """

    best: dict[str, Any]
    candidates: list[Candidate]
    data: ProtocolData
    judged_by: str

    def as_dict(self) -> dict[str, Any]:
        """Return what was found as JSON values, without the data."""
        return {
            "best": self.best,
            "judged_by": self.judged_by,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }

    def text(self) -> str:
        """Return the table for a terminal."""
        by = "planted defects" if self.judged_by == "planted" else "the labelled validation split"
        rows = [f"Judged on {by}, not on test images:"]
        for candidate in self.candidates:
            said = ", ".join(f"{name} = {value}" for name, value in candidate.params.items())
            values = "  ".join(f"{name} {value:.4f}" for name, value in candidate.metrics.items())
            rows.append(f"{'*' if candidate.params == self.best else ' '} {candidate.score:.4f}  {said}  ({values})")
        return "\n".join(rows)


def search(
    method: str,
    grid: Mapping[str, Sequence[Any]],
    data: DataModule,
    *,
    params: Mapping[str, Any] | None = None,
    judge: Judge = "planted",
    device: str = "auto",
    seed: int = 0,
) -> SearchResult:
    """Fit a method with every combination of a grid, and tell which sees most.

    Args:
        method: The method's name.
        grid: By hyper-parameter the values to try.
        data: The data; half of its held-out good parts judge, or its labelled validation images.
        params: Hyper-parameters that are the same in all.
        judge: "planted": on spoilt copies of good parts (`evaluation.planted`); "validation": on the data set's own
            validation images, where some are defective.
        device: As for the engine.
        seed: Of the planted defects; each model draws by its own.

    Returns:
        The best, all candidates, and the data to fit the best on.

    Raises:
        InputError: the grid is empty, a hyper-parameter is not the method's, or there are too few parts to judge on.
        UnknownName: no such method or judge.
    """
    make = registry.method(method)
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if not grid or not combinations:
        raise InputError(f"the grid {dict(grid)} has nothing to try; give lists: coreset_sampling_ratio = [0.01, 0.1]")
    for combination in combinations:  # now, not after the first fits
        make(**{**(params or {}), **combination})
    with tempfile.TemporaryDirectory(prefix="blemish-search-") as folder:
        subsets, left = _subsets(data, judge, Path(folder), seed)
        judged = _divided(data, subsets)
        found = []
        for number, combination in progress(enumerate(combinations), "search", total=len(combinations)):
            with seeded(seed):
                model = make(**{**(params or {}), **combination})
            engine = Engine(Path(folder) / f"run-{number}", device=device)
            report = evaluate(engine.fit(model, judged, verbose=False), judged.test_records)
            metrics = {name: report.metrics[name].value for name in JUDGED if name in report.metrics}
            found.append(Candidate(combination, sum(metrics.values()) / len(metrics), metrics))
    best = max(found, key=lambda candidate: candidate.score)
    chosen = {"grid": {name: list(values) for name, values in grid.items()}, "best": best.params, "judged_by": judge}
    return SearchResult(best.params, found, _divided(data, left, chosen), judge)


def _subsets(data: DataModule, judge: str, folder: Path, seed: int) -> tuple[Subsets, Subsets]:
    """Return what the search fits and judges on, and what the best is fitted on afterwards."""
    held_out = data.held_out_records
    if judge not in get_args(Judge):
        raise UnknownName("judge", judge, get_args(Judge))
    bad = [record for record in data.records if record.split == "validation" and record.label == 1]
    if judge == "validation" and not bad:
        raise InputError(
            f"{data.root} has no defective validation images to judge on. Judge on planted defects (planted), or put some "
            "into validation/<kind of defect>."
        )
    if len(held_out) < 4:
        raise InputError(
            f"a search needs at least 4 held-out good parts, half to judge on and half for the threshold; there are "
            f"{len(held_out)}. Hold out more (holdout)."
        )
    half, rest = held_out[::2], held_out[1::2]
    spoilt: list[Record] = bad if judge == "validation" else planted(half, data.imaging, folder / "planted", seed)
    return Subsets(data.train_records, [], [*half, *spoilt]), Subsets(data.train_records, rest, data.test_records)


class _Divided(ProtocolData):
    """Parts that a search has divided; it says so, for a model's provenance."""

    searched: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), **({"search": self.searched} if self.searched else {})}


def _divided(data: DataModule, subsets: Subsets, searched: dict[str, Any] | None = None) -> ProtocolData:
    found = _Divided(data, data.protocol if isinstance(data, ProtocolData) else Protocol())
    found.subsets, found.searched = subsets, searched or {}
    return found
