"""Engine: fit, test, predict, export in the words users of other libraries know; each fit in a run folder of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from blemish.core.arguments import known_arguments
from blemish.core.detector import Detector
from blemish.core.errors import AlreadyFitted, InputError
from blemish.core.prediction import Prediction
from blemish.data.datamodule import DataModule
from blemish.engine import runs
from blemish.engine.arguments import require_data, require_detector, require_paths
from blemish.engine.fit_data import FitData, adapt_data, fit_data, fitted_text
from blemish.engine.reporting import report_on
from blemish.engine.runs import Run
from blemish.evaluation.report import Report, Resolution
from blemish.export import SUFFIX, Parity
from blemish.export import export as write_export
from blemish.features.frozen import Precision
from blemish.imaging.images import Imaging
from blemish.inference.calibration import Calibration
from blemish.inference.inspection import Inspection
from blemish.inference.inspector import Inspector
from blemish.inference.loading import is_exported, load
from blemish.inference.provenance import Provenance
from blemish.training.device import choose_device
from blemish.training.loggers import Logger, check_loggers, reported
from blemish.training.processes import rank, told
from blemish.training.random_state import seeded
from blemish.training.session import session

Model = Detector | Inspection | Path | str
"""A model that is used: one that this engine fitted, an inspector or an exported one (`Runtime`), or the file of either."""


class _Known(NamedTuple):
    """What an engine remembers of a model it fitted; not the model itself, which its user may let go."""

    run: Run
    imaging: Imaging
    calibration: Calibration | None
    provenance: Provenance


class Engine:
    """Fits, tests and uses detectors. One engine serves any number of models and categories.

    A model to test, to predict with or to export is one that this engine fitted, an `Inspector`, or the file of a saved
    one; an exported model (`Runtime`, .onnx, .xml) can be tested and predicts as well, on the CPU. All but the first
    bring their threshold and their way to prepare images, which a datamodule's (`image_size`, `crop`, ...) does not
    replace. Without a model it is the only one that this engine has fitted.

    The curve and the checkpoints of a training are in the run's folder "training". Started by torchrun on several
    processes, each takes its share of every step; process 0 writes.

    Args:
        root: Folder in which run folders are made.
        seed: The model's own: give it to the model (and to the datamodule, whose seed decides what is held out). Given
            here as well it must be the same; for a model without a seed it decides what is random in its fit, 0 by
            default.
        device: "auto" (a CUDA GPU if there is one), "cpu" or "cuda:0".
        false_reject_rate: Share of good parts that may be rejected, in (0, 1); the threshold is chosen for it from the
            data's held-out good images.
        confidence: How sure that rate must be, in (0, 1); None: right on average.
        precision: Of training: "float32", or "bfloat16", which computes losses in half precision.
        patience: Training stops when the loss on half of the held-out good images has not improved for so many checks
            (every 100 steps); the threshold is then chosen from the other half. None: never.
        embed: Whether saved models hold large frozen networks as well, which otherwise are named with their hash.
        logger: Where runs are reported besides their folders: "mlflow", "wandb", "tensorboard", an object with the methods
            of Lightning's loggers, or a list of such.

    Raises:
        InputError: a rate outside (0, 1), or a device that is not there.
    """

    @known_arguments("Engine")
    def __init__(
        self,
        root: Path | str = "runs",
        *,
        seed: int | None = None,
        device: str = "auto",
        false_reject_rate: float = 0.01,
        confidence: float | None = None,
        precision: Precision = "float32",
        patience: int | None = None,
        embed: bool = False,
        logger: str | Logger | Sequence[str | Logger] | None = None,
    ) -> None:
        for name, share in (("false_reject_rate", false_reject_rate), ("confidence", confidence)):
            if share is not None and not 0 < share < 1:  # now, not after an hour of fitting
                raise InputError(f"{name} is {share}; it must lie between 0 and 1, for example 0.01")
        self.root, self.seed = Path(root), seed
        self.device = choose_device(device)
        self.false_reject_rate, self.confidence = false_reject_rate, confidence
        self.precision: Precision = precision
        self.patience, self.embed, self.loggers = patience, embed, check_loggers(logger)
        self._runs: WeakKeyDictionary[Detector, _Known] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<Engine, runs in {self.root}, on {self.device}, {len(self._runs)} fitted>"

    @known_arguments("Engine.fit")
    def fit(
        self,
        model: Detector,
        datamodule: DataModule,
        *,
        auxiliary: DataModule | None = None,
        resume: Path | str | None = None,
        folder: Path | str | None = None,
        verbose: bool = True,
    ) -> Inspector:
        """Fit `model` on what it learns from, choose its threshold on good parts, and save both in a run folder.

        A method that learns from good parts is fitted on the training images, task after task where the datamodule has
        several (`Continual`); a transductive one on the test images without their truth; one that learns from nothing is
        not fitted, and all good images serve the threshold.

        Args:
            model: A detector that is not fitted.
            datamodule: The images, of one category or of several for one model.
            auxiliary: Labelled parts of other products, for a method that learns from them.
            resume: Folder of a run that was stopped: what it had finished is not done again.
            folder: The run's folder, where it shall be no new one below the engine's `root`; a run that is there is
                resumed.
            verbose: Whether to print the threshold, what it guarantees and where the model is.

        Returns:
            The fitted model with its threshold, if images were held out for one.

        Raises:
            AlreadyFitted: `model` has been fitted; one detector has one fit.
            InputError: `resume` is a run of something else, the engine has another seed than the model, what is given is no
                model and datamodule, or the parts lack what the model looks at or learns from.
            CannotAdapt: the datamodule has several tasks, and the model cannot learn on.
        """
        require_detector(model, "fit(model, datamodule)")
        require_data(datamodule, "fit(model, datamodule)")
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
        given, seed = fit_data(model, datamodule, auxiliary=auxiliary, patience=self.patience), self._seed(model)
        config = {"method": model.reference(), "params": model.params, "seed": seed, "data": given.source}
        config |= {"false_reject_rate": self.false_reject_rate, "confidence": self.confidence}
        config |= {"precision": self.precision, "patience": self.patience}
        run = self._start(model, datamodule, config, resume=resume, folder=folder)
        return self._done(self._learn(model, datamodule, given, run, seed), given, run, verbose)

    def _start(
        self,
        model: Detector,
        datamodule: DataModule,
        config: dict[str, Any],
        *,
        resume: Path | str | None,
        folder: Path | str | None,
    ) -> Run:
        """Return the run that is resumed, or a new one; all processes the same."""
        data = datamodule.name.rpartition(":")[2].lower()  # of another package's its class
        name = "-".join([type(model).__name__.lower(), data, *datamodule.named])
        if resume is None and rank() == 0:
            run = runs.start(self.root, name, config) if folder is None else runs.start_at(Path(folder), config)
            resume = run.folder
        return runs.resume(told(str(resume)), config)

    def _done(self, inspector: Inspector, given: FitData, run: Run, verbose: bool) -> Inspector:
        """Remember what was fitted, and say it."""
        self._runs[inspector.detector] = _Known(run, inspector.imaging, inspector.calibration, inspector.provenance)
        if verbose and rank() == 0:
            print(f"{fitted_text(inspector, given)}\nModel: {run.model}")
        return inspector

    def _seed(self, model: Detector) -> int:
        """Return the seed of what is random in a fit: the model's own, or else the engine's."""
        own = getattr(model, "seed", None)
        if not isinstance(own, int):
            return 0 if self.seed is None else self.seed
        if self.seed not in (None, own):
            name = type(model).__name__
            raise InputError(
                f"the engine's seed is {self.seed}, the model's is {own}, and a model draws by its own. Give it to the "
                f"model, {name}(seed={self.seed}), and leave the engine's out."
            )
        return own

    def _learn(self, model: Detector, datamodule: DataModule, given: FitData, run: Run, seed: int) -> Inspector:
        """Fit, or take over what the run has fitted, and choose the threshold."""
        if run.model.exists():
            done = Inspector.load(run.model, method=type(model))
            model.adopt(done.detector)
            inspector = Inspector(model.to(self.device), datamodule.imaging, done.calibration, done.provenance)
        else:
            model.to(self.device)
            with self._reported(run) as loggers:
                for logger in loggers:
                    logger.log_hyperparams(run.config)
                training = session(
                    run.folder / "training",
                    precision=self.precision,
                    validation=given.validation,
                    patience=self.patience or 1,
                    settings={"data": given.source, "seed": seed},
                    loggers=loggers,
                )
                with training, seeded(seed):
                    for number, task in enumerate(given.tasks):
                        (model.adapt if number else model.fit)(task)
            inspector = Inspector(model, datamodule.imaging, provenance=given.provenance(model, seed))
            self._save(inspector, run)
        self._choose_threshold(inspector, given, run)
        return inspector

    def _choose_threshold(self, inspector: Inspector, given: FitData, run: Run) -> None:
        if inspector.calibration is None and given.threshold:
            inspector.calibrate(given.threshold, false_reject_rate=self.false_reject_rate, confidence=self.confidence)
            self._save(inspector, run)

    def _reported(self, run: Run) -> AbstractContextManager[list[Logger]]:
        """Open the loggers of a run; only process 0 reports."""
        return reported(self.loggers if rank() == 0 else (), run.folder)

    def _save(self, inspector: Inspector, run: Run) -> None:
        if rank() == 0:
            inspector.save(run.model, embed=self.embed)

    @known_arguments("Engine.adapt")
    def adapt(
        self,
        model: Model,
        datamodule: DataModule,
        *,
        earlier: DataModule | None = None,
        folder: Path | str | None = None,
        verbose: bool = True,
    ) -> Inspector:
        """Let a fitted model learn further good parts, of its product or of another, and choose its threshold anew.

        Its scores are other ones afterwards, so no earlier threshold stays. The held-out parts of `datamodule` decide, and
        with `earlier` those of the earlier products: each category gets a threshold of its own. A file that `model` names
        stays as it is; what was learned is saved in a new run folder.

        Args:
            model: See the class; not an exported one.
            datamodule: The further parts; they are prepared as the model's own were.
            earlier: The data that the model was fitted on.
            folder: The run's folder, where it shall be no new one below the engine's `root`.
            verbose: Whether to print the threshold, what it guarantees and where the model is.

        Returns:
            The model, with what it has learned and its threshold.

        Raises:
            CannotAdapt: the method has no way to learn on.
            InputError: the model is an exported one, or the parts lack what it looks at.
        """
        known, _ = self._known(model, None, "adapt")
        if not isinstance(known, Inspector):
            raise InputError(
                "an exported model learns nothing further. Adapt the saved one (.safetensors) it was made from."
            )
        detector, before = known.detector, known.provenance
        if type(detector).adapt is Detector.adapt:
            detector.adapt(())  # says that it cannot, before anything is read
        data = require_data(datamodule, "adapt(model, datamodule)").prepared_as(known.imaging)
        given = adapt_data(detector, data)
        if earlier is not None:
            given = replace(given, threshold=[*given.threshold, *earlier.held_out_records])
        seed = self._seed(detector)
        config = {"method": detector.reference(), "params": detector.params, "seed": seed, "adapted": dict(before.data)}
        config |= {"data": given.source, "model": str(model) if isinstance(model, str | Path) else None}
        run = self._start(detector, data, config, resume=None, folder=folder)
        with self._reported(run) as loggers:
            for logger in loggers:
                logger.log_hyperparams(run.config)
            training = session(run.folder / "training", precision=self.precision, settings=config, loggers=loggers)
            with training, seeded(seed):
                detector.adapt(given.tasks[0])
        after = given.provenance(detector, seed)
        content = None if before.learned_content is None else (*before.learned_content, *(after.learned_content or ()))
        provenance = replace(
            before,
            learned=(*before.learned, *after.learned),
            learned_content=content,
            calibrated=(),
            unread=before.unread + after.unread,
            adapted=(*before.adapted, given.source),
        )
        inspector = Inspector(detector, known.imaging, provenance=provenance)
        self._save(inspector, run)
        self._choose_threshold(inspector, given, run)
        return self._done(inspector, given, run, verbose)

    @known_arguments("Engine.report")
    def report(
        self,
        model: Model | None = None,
        datamodule: DataModule | None = None,
        *,
        resolution: Resolution = "original",
        out: Path | str | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Report:
        """Measure `model` on the test images of `datamodule`, see `blemish.evaluation.evaluate`.

        Where all of its images are for testing (`Folder(..., test_share=1)`), those that the model was trained on, or
        its threshold chosen from, are left out with a note. report.json and, for people, report.html are written; a
        report of something else that is there stays, the new one is numbered.

        Args:
            model: See the class.
            datamodule: The images.
            resolution: At which size pixels are compared: "original" (each image's own) or "network" (the network's
                input).
            out: Folder for the report: by default the model's run folder, or that of its file. An inspector that this
                engine did not fit has none, and nothing is written.
            about: Added to the report beside method, parameters, data and seed.

        Returns:
            The report.

        Raises:
            InputError: no datamodule is given, or the model is none that can be tested.
        """
        if datamodule is None:
            raise InputError(
                "give the datamodule whose test images are to be measured: test(model=..., datamodule=...)"
            )
        inspection, beside = self._known(model, require_data(datamodule, "test(model, datamodule)"), "test")
        said = {**({"model": str(model)} if isinstance(model, str | Path) else {}), **(about or {})}
        folder = beside if out is None else Path(out)
        found, _ = report_on(inspection, datamodule, resolution=resolution, out=folder, about=said)
        run = self.run_of(inspection.detector) if isinstance(inspection, Inspector) else None
        if run is not None:
            with self._reported(run) as loggers:
                for logger in loggers:
                    logger.log_metrics({f"test/{name}": value.value for name, value in found.metrics.items()})
        return found

    @known_arguments("Engine.test")
    def test(
        self,
        model: Model | None = None,
        datamodule: DataModule | None = None,
        *,
        resolution: Resolution = "original",
        out: Path | str | None = None,
        verbose: bool = True,
    ) -> list[dict[str, float]]:
        """Return the metrics of `report` as one dictionary in a list: results[0]["image_AUROC"], ["pixel_AUROC"], ...

        Args:
            model: See the class.
            datamodule: The images.
            resolution: As in `report`.
            out: As in `report`.
            verbose: Whether to print the report.

        Returns:
            One dictionary of metrics, each in [0, 1].
        """
        found = self.report(model, datamodule, resolution=resolution, out=out)
        if verbose:
            print(found.text())
        return [{name: value.value for name, value in found.metrics.items()}]

    @known_arguments("Engine.predict")
    def predict(
        self,
        model: Model | None = None,
        datamodule: DataModule | None = None,
        *,
        data_path: Path | str | Sequence[Path | str] | None = None,
    ) -> list[Prediction]:
        """Inspect images.

        All maps are kept in memory; for very many images iterate over `Inspector.stream` instead.

        Args:
            model: See the class.
            datamodule: Its test images are inspected, where no `data_path` is given.
            data_path: A file, a folder, or a list of files.

        Returns:
            A verdict for each image.

        Raises:
            InputError: neither or both of them are given.
        """
        if datamodule is not None:
            require_data(datamodule, "predict(model, datamodule) or predict(model, data_path=...)")
        inspector, _ = self._known(model, datamodule, "predict")
        if (data_path is None) == (datamodule is None):
            raise InputError(
                "give either data_path (a file, a folder or a list) or datamodule, not both and not neither"
            )
        if datamodule is not None:
            return list(inspector.stream(datamodule.test_records, batch_size=datamodule.eval_batch_size))
        found = inspector.inspect(require_paths(data_path))
        return found if isinstance(found, list) else [found]

    @known_arguments("Engine.export")
    def export(
        self,
        model: Model | None = None,
        path: Path | str | None = None,
        *,
        format: Literal["onnx", "openvino"] = "onnx",
        precision: Literal["fp32", "fp16", "int8"] = "fp32",
        good: Sequence[Any] = (),
        images: Sequence[Any] = (),
    ) -> Parity:
        """Write `model` to a file that needs no torch, see `blemish.export.export`.

        Args:
            model: See the class.
            path: File to write; by default model.onnx, or model.xml for OpenVINO, in the model's run folder or next to
                its file.
            format: "onnx" or "openvino".
            precision: "fp32", "fp16", or "int8", which needs good images.
            good: Good parts, from which int8 takes the ranges of its activations.
            images: Parts on which both are compared; by default generated ones.

        Returns:
            How well the file agrees with the model.

        Raises:
            InputError: the model is exported already, or has no folder and no `path` is given.
        """
        inspector, beside = self._known(model, None, "export")
        if not isinstance(inspector, Inspector):
            raise InputError(
                "this model is exported already. Export the saved one (.safetensors) that it was made from."
            )
        if path is None:
            if beside is None:
                raise InputError("this inspector has no folder of its own; say which file to write: path='part.onnx'")
            path = beside / f"model{SUFFIX.get(format, '.onnx')}"
        return write_export(inspector, path, format=format, precision=precision, good=good, images=images)

    def run_of(self, model: Detector) -> Run | None:
        """Return the run folder this engine made for `model`, or None.

        Args:
            model: A detector.

        Returns:
            The run, or None where this engine did not fit it.
        """
        return self._runs[model].run if model in self._runs else None

    def _known(self, model: Model | None, datamodule: DataModule | None, asked: str) -> tuple[Inspection, Path | None]:
        """Return what inspects for `model`, and the folder that belongs to it."""
        if isinstance(model, str | Path):
            device = "cpu" if is_exported(model) else str(self.device)
            return load(model, device=device), Path(model).parent
        if isinstance(model, Inspector):
            model.detector.to(self.device)
            run = self.run_of(model.detector)
            return model, None if run is None else run.folder
        if isinstance(model, Inspection):
            return model, None
        if model is None:
            if len(self._runs) != 1:
                raise InputError(f"this engine has fitted {len(self._runs)} models; say which: model=...")
            model = next(iter(self._runs))
        model = require_detector(model, f"{asked}(model, ...)")
        known = self._runs.get(model)
        imaging = datamodule.imaging if datamodule is not None else known.imaging if known is not None else None
        if imaging is None:
            raise InputError(
                "this engine did not fit this model, so it does not know how its images are prepared. "
                f"Give the inspector that fit returned, or a saved one's file: {asked}('runs/.../model.safetensors', ...)"
            )
        model.to(self.device)
        if known is None:
            return Inspector(model, imaging), None
        if imaging.as_dict() != known.imaging.as_dict():
            raise InputError(
                f"this model was fitted on images prepared as {known.imaging}, the datamodule prepares them as {imaging}; "
                "its threshold would mean nothing. Use the same image_size, crop, roi, ignore and white."
            )
        return Inspector(model, imaging, known.calibration, known.provenance), known.run.folder
