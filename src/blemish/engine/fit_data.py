"""What a method is fitted on, as its `learns_from` says, and what its threshold is chosen from: never the same parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.data.datamodule import DataModule
from blemish.data.reader import Loader
from blemish.data.record import Record
from blemish.inference.inspector import Inspector
from blemish.inference.provenance import Provenance
from blemish.inference.sources import contents


@dataclass(frozen=True)
class FitData:
    """The parts of a fit by their use.

    Attributes:
        tasks: Batches to learn from, task after task: `fit` is given the first, `adapt` each further one. Empty for a
            method that learns from nothing.
        threshold: Good parts that the threshold is chosen from.
        validation: Batches of good parts that early stopping validates on, or None.
        source: The data, as JSON values.
    """

    tasks: tuple[Loader, ...]
    threshold: list[Record]
    validation: Loader | None
    source: dict[str, Any]

    @property
    def count(self) -> int:
        """The parts that are learned from."""
        return sum(len(task.records) for task in self.tasks)

    @property
    def unread(self) -> int:
        """How many of them could not be read, once they have been learned from."""
        return sum(len(task.skipped) for task in self.tasks)

    def provenance(self, model: Detector, seed: int) -> Provenance:
        """Return what a model that was fitted on these parts was made from.

        Args:
            model: The model, fitted.
            seed: Of what was random in its fit.

        Returns:
            The provenance, by which each part is known again.
        """
        given = [record for task in self.tasks for record in task.records]
        given += [] if self.validation is None else self.validation.records
        return Provenance(
            self.source,
            seed,
            learned=tuple(record.fingerprint for record in [*given, *self.threshold]),
            learned_content=tuple(contents(given)),
            unread=self.unread,
            learns_from=model.learns_from,
        )


def fit_data(
    model: Detector, data: DataModule, *, auxiliary: DataModule | None = None, patience: int | None = None
) -> FitData:
    """Choose what a method is fitted on.

    Args:
        model: The method, not fitted.
        data: The parts of the product.
        auxiliary: Labelled parts of other products, for a method that learns from them.
        patience: Of early stopping; None for none.

    Returns:
        The parts by their use.

    Raises:
        InputError: the parts lack what the method looks at, their size suits no network of it, auxiliary parts are missing,
            not asked for, or of the same product, or patience has too few held-out parts.
    """
    _check(model, data)
    if (auxiliary is None) == (model.learns_from == "auxiliary"):
        raise InputError(_on_auxiliary(model, auxiliary))
    source = data.describe()
    if auxiliary is not None:
        _check(model, auxiliary)
        both = {record.fingerprint for record in data.records} & {record.fingerprint for record in auxiliary.records}
        if both:
            raise InputError(
                f"{len(both)} of the {len(auxiliary.records)} auxiliary parts are parts of the product itself; "
                f"{type(model).__name__} is to see defects of other products only. Name another data set or category."
            )
        labelled = [replace(r, split="train") for r in auxiliary.records if r.label is not None]
        batches = auxiliary.batches(labelled, inputs=model.inputs, truth=True)
        source |= {"auxiliary": auxiliary.describe()}
        return FitData((batches,), _all_good(data), None, source)
    if model.learns_from == "nothing":
        return FitData((), _all_good(data), None, source)
    if model.learns_from == "unlabelled":
        given = data.unlabelled_records
        known = {record.fingerprint for record in given}
        threshold = [record for record in _all_good(data) if record.fingerprint not in known]
        return FitData((data.batches(given, inputs=model.inputs),), threshold, None, source)
    validation, threshold = _held_out(model, data, patience)
    tasks = tuple(data.batches(task, inputs=model.inputs) for task in data.tasks)
    return FitData(tasks, threshold, validation, source)


def adapt_data(model: Detector, data: DataModule) -> FitData:
    """Choose what a fitted method learns on from.

    Args:
        model: The method, fitted.
        data: Further parts of the product, or those of another.

    Returns:
        The parts by their use; the threshold's are not learned from.

    Raises:
        InputError: the parts lack what the method looks at.
    """
    _check(model, data)
    batches = data.batches(data.train_records, inputs=model.inputs)
    return FitData((batches,), data.held_out_records, None, data.describe())


def fitted_text(inspector: Inspector, given: FitData) -> str:
    """Return what there is to say after a fit.

    Args:
        inspector: The fitted model with its threshold.
        given: What it was fitted on.

    Returns:
        Lines for a terminal.
    """
    learns_from, unread = inspector.provenance.learns_from, inspector.provenance.unread
    if learns_from == "nothing":
        return f"The method learns from nothing.\n{_threshold(inspector, given)}"
    what = {"auxiliary": "labelled parts of other products", "unlabelled": "unlabelled parts"}
    learned = f"Learned from {given.count - given.unread} {what.get(learns_from, 'good parts')}"
    learned += f"; {unread} more could not be read." if unread else "."
    if spoilt := given.source["counts"].get("validation_defective"):
        learned += f" {spoilt} defective validation parts serve a search alone (judge validation)."
    return f"{learned}\n{_threshold(inspector, given)}"


def _check(model: Detector, data: DataModule) -> None:
    name, there = type(model).__name__, data.inputs
    missing = [kind for kind in model.inputs if kind not in there]
    if missing:
        raise InputError(
            f"{name} looks at {', '.join(model.inputs)}; the parts of {data.root} have "
            f"{', '.join(sorted(there)) or 'nothing in common'}: {', '.join(missing)} is missing. Use a data set that has "
            "it (mvtec_3d_ad has points), or a method that does without."
        )
    model.check_size(*data.imaging.input_size)


def _on_auxiliary(model: Detector, auxiliary: DataModule | None) -> str:
    name = type(model).__name__
    if auxiliary is None:
        return (
            f"{name} learns from labelled parts of other products. Give them as well: fit(model, datamodule, "
            "auxiliary=MVTec(root, 'screw')); on the command line: --auxiliary FOLDER"
        )
    return f"{name} learns from {model.learns_from} parts; the auxiliary data would be read by nothing. Leave them out."


def _all_good(data: DataModule) -> list[Record]:
    return [*data.held_out_records, *(replace(r, split="validation") for r in data.train_records if r.label == 0)]


def _held_out(model: Detector, data: DataModule, patience: int | None) -> tuple[Loader | None, list[Record]]:
    """Return the batches that early stopping validates on, if it is asked for, and the records for the threshold."""
    records: Sequence[Record] = data.held_out_records
    if patience is None:
        return None, list(records)
    if len(records) < 4:
        raise InputError(
            f"patience needs at least 4 held-out good images, half to stop by and half for the threshold; there are "
            f"{len(records)}. Hold out more (holdout), or train without patience."
        )
    validation = Loader(
        records[::2], data.imaging, inputs=model.inputs, batch_size=data.train_batch_size, on_error="skip"
    )
    return validation, list(records[1::2])


def _threshold(inspector: Inspector, given: FitData) -> str:
    """Return what there is to say of a model's threshold."""
    calibration = inspector.calibration
    if calibration is None and given.tasks and inspector.detector.learns_from == "unlabelled":
        return "No threshold: every good part was fitted on, and none is left to choose it from."
    if calibration is None:
        return "No threshold: nothing was held out to choose it from (holdout)."
    lines = [f"Threshold {calibration.threshold:.6g}, from {len(calibration.good_scores)} held-out good parts."]
    lines += [calibration.guarantee, *([f"Note: {calibration.note}"] if calibration.note else [])]
    for name, own in calibration.categories.items():
        lines.append(f"{name}: threshold {own.threshold:.6g}, from {len(own.good_scores)} good parts. {own.guarantee}")
    return "\n".join(lines)
