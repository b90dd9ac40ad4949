"""Engine: fit, test and predict in the words users of other libraries know; each fit in a run folder of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from blemish.calibration import Calibration
from blemish.data.datamodule import DataModule
from blemish.data.reader import Loader
from blemish.data.record import Record
from blemish.detector import Detector
from blemish.engine import run as runs
from blemish.engine.evaluate import Protocol, Report, evaluate
from blemish.engine.run import Run
from blemish.errors import AlreadyFitted, InputError
from blemish.features.frozen import Precision
from blemish.files import write_json
from blemish.imaging import Imaging
from blemish.inspection import contents
from blemish.inspector import Inspector
from blemish.training import choose_device, seeded
from blemish.training_session import session
from blemish.training_session.processes import rank, told
from blemish.types import Prediction


class _Known(NamedTuple):
    """What an engine remembers of a model it fitted; not the model itself, which its user may let go."""

    run: Run
    imaging: Imaging
    calibration: Calibration | None
    about: dict[str, Any]


class Engine:
    """Fits, tests and uses detectors. One engine serves any number of models and categories.

    `root` is where run folders are made. `seed` decides everything random in `fit`. `device` is "auto" (a CUDA GPU if
    there is one), "cpu" or "cuda:0". `false_reject_rate` is the share of good parts that may be rejected; the threshold
    is chosen for it from the data's held-out good images, and `confidence`, if given, is how sure that must be.

    For methods that are trained: `precision` "bfloat16" computes losses in half precision. With `patience`, training stops
    when the loss on half of the held-out good images has not improved for that many checks (every 100 steps); the threshold
    is then chosen from the other half. The curve and the checkpoints of the training are in the run's folder "training".
    Started by torchrun on several processes, each takes its share of every step; process 0 writes.
    """

    def __init__(
        self,
        root: Path | str = "runs",
        *,
        seed: int = 0,
        device: str = "auto",
        false_reject_rate: float = 0.01,
        confidence: float | None = None,
        precision: Precision = "float32",
        patience: int | None = None,
    ) -> None:
        for name, share in (("false_reject_rate", false_reject_rate), ("confidence", confidence)):
            if share is not None and not 0 < share < 1:  # now, not after an hour of fitting
                raise InputError(f"{name} is {share}; it must lie between 0 and 1, for example 0.01")
        self.root, self.seed = Path(root), seed
        self.device = choose_device(device)
        self.false_reject_rate, self.confidence = false_reject_rate, confidence
        self.precision: Precision = precision
        self.patience = patience
        self._runs: WeakKeyDictionary[Detector, _Known] = WeakKeyDictionary()

    def fit(self, model: Detector, datamodule: DataModule, *, resume: Path | str | None = None) -> Inspector:
        """Fit `model` on the good images of `datamodule`, choose its threshold, and save both in a new run folder.

        `resume` is the folder of a run that was stopped: what it had finished is not done again.

        Raises:
            AlreadyFitted: `model` has been fitted; one detector has one fit.
            InputError: `resume` is a run of something else.
        """
        if model in self._runs or (model.fitted and type(model).fit is not Detector.fit):
            name = type(model).__name__
            raise AlreadyFitted(
                f"this {name} is fitted already, and a second fit would mix two kinds of parts. "
                f"Make a fresh one for each category: {name}(**model.params)"
            )
        try:
            json.dumps(model.params)
        except TypeError as error:  # now, not when an hour's fit is to be saved
            raise InputError(
                f"a parameter of {type(model).__name__} cannot be saved: {error}. Use plain numbers, texts and lists."
            ) from error
        config = {
            "method": type(model).__name__,
            "params": model.params,
            "seed": self.seed,
            "data": datamodule.describe(),
        }
        config |= {"false_reject_rate": self.false_reject_rate, "confidence": self.confidence}
        config |= {"precision": self.precision, "patience": self.patience}
        name = "-".join(filter(None, [type(model).__name__.lower(), datamodule.name, datamodule.category]))
        if resume is None and rank() == 0:
            resume = runs.start(self.root, name, config).folder
        run = runs.resume(told(str(resume)), config)
        inspector = self._learn(model, datamodule, run)
        self._runs[model] = _Known(run, inspector.imaging, inspector.calibration, inspector.about)
        return inspector

    def _learn(self, model: Detector, datamodule: DataModule, run: Run) -> Inspector:
        if run.model.exists():
            done = Inspector.load(run.model)
            model.adopt(done.detector)
            inspector = Inspector(model.to(self.device), datamodule.imaging, done.calibration, done.about)
        else:
            model.to(self.device)
            stop, _ = self._held_out(datamodule)
            training = session(
                run.folder / "training",
                precision=self.precision,
                held_out=stop,
                patience=self.patience or 1,
                plan={"data": datamodule.describe(), "seed": self.seed},
            )
            with training, seeded(self.seed):
                model.fit(datamodule.train())
            inspector = Inspector(model, datamodule.imaging, about=self._about(datamodule))
            self._save(inspector, run)
        if inspector.calibration is None and datamodule.held_out_records:
            choose = self._held_out(datamodule)[1]
            inspector.calibrate(choose, false_reject_rate=self.false_reject_rate, confidence=self.confidence)
            self._save(inspector, run)
        return inspector

    def _held_out(self, datamodule: DataModule) -> tuple[Loader | None, list[Record]]:
        """Return what early stopping looks at, if it is asked for, and the parts that the threshold is chosen from."""
        records = datamodule.held_out_records
        if self.patience is None:
            return None, records
        if len(records) < 4:
            raise InputError(
                f"patience needs at least 4 held-out good images, half to stop by and half for the threshold; there are "
                f"{len(records)}. Hold out more (holdout), or train without patience."
            )
        size = datamodule.train_batch_size
        return Loader(records[::2], datamodule.imaging, batch_size=size, on_error="skip"), records[1::2]

    def _save(self, inspector: Inspector, run: Run) -> None:
        if rank() == 0:
            inspector.save(run.model)

    def _about(self, datamodule: DataModule) -> dict[str, Any]:
        used = [*datamodule.train_records, *datamodule.held_out_records]
        chosen_from = {record.key for record in self._held_out(datamodule)[1]}
        learnt = contents(record.image for record in used if record.key not in chosen_from)
        about = {"data": datamodule.describe(), "seed": self.seed}
        return {**about, "learnt": [r.fingerprint for r in used], "learnt_content": learnt}

    def report(
        self, model: Detector | None = None, datamodule: DataModule | None = None, *, protocol: Protocol = "original"
    ) -> Report:
        """Measure `model` on the test images of `datamodule`, see `blemish.engine.evaluate`; kept in its run folder."""
        if datamodule is None:
            raise InputError(
                "give the datamodule whose test images are to be measured: test(model=..., datamodule=...)"
            )
        model, inspector, run = self._known(model, datamodule)
        about = {
            "method": type(model).__name__,
            "params": model.params,
            "data": datamodule.describe(),
            "seed": self.seed,
        }
        found = evaluate(
            inspector, datamodule.test_records, protocol=protocol, batch_size=datamodule.eval_batch_size, about=about
        )
        if run is not None:
            write_json(run.report, found.as_dict())
        return found

    def test(
        self,
        model: Detector | None = None,
        datamodule: DataModule | None = None,
        *,
        protocol: Protocol = "original",
        verbose: bool = True,
    ) -> list[dict[str, float]]:
        """Return the metrics of `report` as one dictionary in a list: results[0]["image_AUROC"], ["pixel_AUROC"], ..."""
        found = self.report(model, datamodule, protocol=protocol)
        if verbose:
            print(found.text())
        return [{name: value.value for name, value in found.metrics.items()}]

    def predict(
        self,
        model: Detector | None = None,
        datamodule: DataModule | None = None,
        *,
        data_path: Path | str | Sequence[Path | str] | None = None,
    ) -> list[Prediction]:
        """Inspect the images at `data_path` (a file, a folder, a list of files), or the test images of `datamodule`.

        All maps are kept in memory; for very many images iterate over `Inspector.stream` instead.
        """
        _, inspector, _ = self._known(model, datamodule)
        if (data_path is None) == (datamodule is None):
            raise InputError(
                "give either data_path (a file, a folder or a list) or datamodule, not both and not neither"
            )
        if datamodule is not None:
            return inspector.inspect([r.image for r in datamodule.test_records], batch_size=datamodule.eval_batch_size)
        assert data_path is not None  # noqa: S101 - one of the two is given
        if isinstance(data_path, str | Path):
            found = inspector.inspect(Path(data_path))
            return found if isinstance(found, list) else [found]
        return inspector.inspect([Path(path) for path in data_path])

    def run_of(self, model: Detector) -> Run | None:
        """Return the run folder this engine made for `model`, or None."""
        return self._runs[model].run if model in self._runs else None

    def _known(self, model: Detector | None, datamodule: DataModule | None) -> tuple[Detector, Inspector, Run | None]:
        """Return the model, its inspector (with the imaging of `datamodule` if there is one) and its run."""
        if model is None:
            if len(self._runs) != 1:
                raise InputError(f"this engine has fitted {len(self._runs)} models; say which: model=...")
            model = next(iter(self._runs))
        known = self._runs.get(model)
        imaging = datamodule.imaging if datamodule is not None else known.imaging if known is not None else None
        if imaging is None:
            raise InputError(
                "this engine did not fit this model, so it does not know how its images are prepared. "
                "Give a datamodule, or load what was saved: blemish.inspector.Inspector.load(file)"
            )
        model.to(self.device)
        if known is None:
            return model, Inspector(model, imaging), None
        if imaging.as_dict() != known.imaging.as_dict():
            raise InputError(
                f"this model was fitted on images prepared as {known.imaging}, the datamodule prepares them as {imaging}; "
                "its threshold would mean nothing. Use the same image_size, crop, roi, ignore and white."
            )
        return model, Inspector(model, imaging, known.calibration, known.about), known.run
