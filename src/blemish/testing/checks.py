"""The contract of a detector as checks that anybody's method can be put through, see `check_detector`."""

from __future__ import annotations

import inspect
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blemish.core import registry
from blemish.core.detector import Detector
from blemish.core.errors import BlemishError, CannotAdapt, ExportError, MissingExtra, NotFitted
from blemish.core.inputs import KINDS
from blemish.core.types import Batch, Scores
from blemish.data.datamodule import DataModule
from blemish.data.reader import Loader
from blemish.data.record import Record
from blemish.engine.engine import Engine
from blemish.export import export
from blemish.inference.inspector import Inspector
from blemish.inference.loading import load
from blemish.metrics import auroc
from blemish.testing.parts import MadeParts, make_parts

CATEGORIES = ("stripes", "other")
"""The product, and another one: for auxiliary parts and to adapt to."""


@dataclass
class CheckReport:
    """What a detector was put through.

    Attributes:
        checks: By check "passed", or why it does not concern this method.
        image_auroc: Of the made parts: how well it tells dented from good ones.
        pixel_auroc: Of their pixels; None of a method that does not localise.
    """

    checks: dict[str, str] = field(default_factory=dict)
    image_auroc: float = float("nan")
    pixel_auroc: float | None = None

    def __str__(self) -> str:
        wide = max(map(len, self.checks), default=0)
        lines = [f"{name.ljust(wide)}  {said}" for name, said in self.checks.items()]
        pixels = "" if self.pixel_auroc is None else f", pixel AUROC {self.pixel_auroc:.3f}"
        return "\n".join([*lines, f"image AUROC {self.image_auroc:.3f}{pixels}, on made parts"])


def check_detector(
    method: type[Detector], *, size: tuple[int, int] = (64, 64), sees: float = 0.7, seed: int = 0, **params: Any
) -> CheckReport:
    """Put a method through all that the contract promises: made, fitted, scored, saved, loaded, adapted, exported.

    It is fitted on made parts (`make_parts`) of the kinds of input that it names, through the Engine, as a user's would be.

    Args:
        method: The class.
        size: (height, width) of the parts in pixels, a multiple of 8.
        sees: The least image AUROC that it must reach on the made parts; 0 for one that knows nothing of them, such as one
            with random weights in place of a language model's.
        seed: Of the made parts.
        **params: Its hyper-parameters: those with which it is quick.

    Returns:
        What was checked, what does not concern the method and why, and how much it saw.

    Raises:
        AssertionError: the contract is broken; the message names the check and what is expected.
    """
    with tempfile.TemporaryDirectory(prefix="blemish-check-") as folder:
        make_parts(Path(folder) / "parts", method.inputs, categories=CATEGORIES, size=size, seed=seed)
        checks = _Checks(method, params, size, Path(folder))
        for check in (
            checks.parameters,
            checks.unfitted,
            checks.fit,
            checks.scores,
            checks.company,
            checks.repeated,
            checks.saved,
            checks.sizes,
            checks.adapted,
            checks.exported,
        ):
            checks.run(check)
        report = checks.report
        _expect(
            report.image_auroc >= sees,
            "sees",
            f"its image AUROC on made parts is {report.image_auroc:.3f}, below {sees}: it has learned nothing, or takes "
            "good parts for defective ones. Scores are higher the more anomalous a part is (sees=0 turns this off)",
        )
        return report


def _expect(holds: bool, check: str, said: str) -> None:
    if not holds:
        raise AssertionError(f"{check}: {said}.")


class _Checks:
    """The checks, in order; each returns why it does not concern the method, or None."""

    def __init__(self, method: type[Detector], params: dict[str, Any], size: tuple[int, int], folder: Path) -> None:
        self.method, self.params, self.size, self.folder = method, params, size, folder
        self.report = CheckReport()
        self.data, self.other = (self._data(category) for category in CATEGORIES)
        self.learns = method.fit is not Detector.fit
        pairs = zip(*([r for r in self.data.test_records if r.label == label] for label in (0, 1)), strict=True)
        self.tested: list[Record] = [record for pair in pairs for record in pair]  # good and defective in turn
        self.inspector: Inspector  # once it is fitted

    def run(self, check: Callable[[], str | None]) -> None:
        self.report.checks[check.__name__] = check() or "passed"

    def make(self) -> Detector:
        return self.method(**self.params)

    def parameters(self) -> None:
        for parameter in list(inspect.signature(self.method.__init__).parameters.values())[1:]:
            has = parameter.default is not parameter.empty or parameter.name in self.params
            _expect(has, "parameters", f"{parameter.name} has no default, and no value is given for the checks")
        detector = self.make()
        try:
            params = detector.params
            again = json.loads(json.dumps(params))
        except AttributeError as error:
            raise AssertionError(f"parameters: each is kept under its own name: {error}.") from error
        except TypeError as error:
            raise AssertionError(f"parameters: they are plain numbers, texts and lists: {error}.") from error
        _expect(again == params, "parameters", f"{params} become {again} as JSON")
        _expect({k: params[k] for k in self.params} == self.params, "parameters", f"{params} are not the ones given")
        _expect(self.method(**params).params == params, "parameters", f"made anew of {params} it has others")

    def unfitted(self) -> str | None:
        detector = self.make()
        if not self.learns:
            _expect(detector.fitted, "unfitted", "it has no fit of its own, but a buffer that is empty")
            return "it has nothing to learn"
        _expect(
            not detector.fitted,
            "unfitted",
            "it says that it is fitted before it is. What is learned is a buffer that starts empty: "
            'self.register_buffer("memory", torch.empty(0))',
        )
        try:
            self._answer(detector, 1)
        except NotFitted:
            return None
        except Exception as error:
            raise AssertionError(f"unfitted: forward raises {error!r}; begin it with self.require_fit().") from error
        raise AssertionError("unfitted: forward scores before fit; begin it with self.require_fit().")

    def fit(self) -> None:
        detector = self.make()
        engine = Engine(self.folder / "runs")
        auxiliary = self.other if self.method.learns_from == "auxiliary" else None
        with _quietly():
            self.inspector = engine.fit(detector, self.data, auxiliary=auxiliary, verbose=False)
        _expect(self.inspector.detector is detector, "fit", "the fitted model is another object")
        _expect(detector.fitted, "fit", "after it a buffer is still empty")
        _expect(
            not any(tensor.is_inference() for tensor in detector.state_dict().values()),
            "fit",
            "it keeps an inference tensor, which cannot be loaded into; use torch.no_grad() in fit",
        )

    def scores(self) -> None:
        inputs = self._inputs(3)
        before = {name: value.clone() for name, value in inputs.items() if isinstance(value, Tensor)}
        with torch.inference_mode():
            found = self.inspector.detector(**inputs)
        for name, value in before.items():
            same = torch.equal(value.nan_to_num(), inputs[name].nan_to_num())
            _expect(same, "scores", f"forward writes into its input {name}")
        self._check_scores(found, 3, self.size)
        batch = self._batch(len(self.tested), truth=True)
        answers, truth = self._answer(self.inspector.detector, len(self.tested)), batch.truth
        self.report.image_auroc = auroc(truth.label.numpy(), answers.image.numpy())
        if answers.map is not None:
            masks = np.stack([np.zeros(self.size, bool) if m is None else m.any(0).numpy() for m in truth.masks])
            self.report.pixel_auroc = auroc(masks, answers.map.numpy())

    def company(self) -> None:
        together = self._answer(self.inspector.detector, 4)
        for i, one in enumerate(self._singly(4)):
            alone = self._of(self.inspector.detector, one)
            close = torch.allclose(alone.image[0], together.image[i], rtol=1e-3, atol=1e-5)
            _expect(close, "company", f"part {i} scores {alone.image[0]:.6g} alone, {together.image[i]:.6g} in a batch")
            if alone.map is not None and together.map is not None:
                close = torch.allclose(alone.map[0], together.map[i], rtol=1e-3, atol=1e-4)
                _expect(close, "company", f"the map of part {i} depends on the other parts of its batch")

    def repeated(self) -> None:
        torch.manual_seed(1234)  # the world's random state must not matter
        with _quietly():
            auxiliary = self.other if self.method.learns_from == "auxiliary" else None
            again = Engine(self.folder / "again").fit(self.make(), self.data, auxiliary=auxiliary, verbose=False)
        first, second = (self._answer(one.detector, 4).image for one in (self.inspector, again))
        _expect(
            torch.allclose(first, second, rtol=1e-4, atol=1e-6),
            "repeated",
            f"fitted twice on the same parts it scores {first.tolist()} and {second.tolist()}; what is random in fit comes "
            "from its own generator, or is seeded by the Engine (torch, numpy, random)",
        )

    def saved(self) -> None:
        path = self.inspector.save(self.folder / "model.safetensors")
        again = Inspector.load(path, method=self.method)
        _expect(again.detector.params == self.inspector.detector.params, "saved", "a loaded one has other parameters")
        first, second = (self._answer(one.detector, 4) for one in (self.inspector, again))
        same = torch.equal(first.image, second.image)
        same = same and (first.map is None or (second.map is not None and torch.equal(first.map, second.map)))
        _expect(same, "saved", "a loaded one scores differently; everything learned is a parameter or a buffer")

    def sizes(self) -> str | None:
        height, width = self.size[0] + 32, self.size[1] + 64
        inputs = {
            name: torch.nn.functional.interpolate(value, (height, width)) if isinstance(value, Tensor) else value
            for name, value in self._inputs(2).items()
        }
        try:
            found = self._of(self.inspector.detector, inputs)
        except BlemishError as error:
            return f"another size is refused: {error}"
        except Exception as error:
            raise AssertionError(
                f"sizes: at {height} x {width} forward raises {error!r}; it scores other sizes, or raises InputError."
            ) from error
        self._check_scores(found, 2, (height, width))
        return None

    def adapted(self) -> str | None:
        known = Inspector.load(self.folder / "model.safetensors", method=self.method)
        before = self._answer(known.detector, 4).image
        try:
            with _quietly():
                after = Engine(self.folder / "adapted").adapt(known, self.other, verbose=False)
        except CannotAdapt:
            return "it cannot adapt, and says so"
        answers = self._answer(after.detector, 4)
        self._check_scores(answers, 4, self.size)
        _expect(bool(before.isfinite().all()), "adapted", "its scores were not finite before")
        path = after.save(self.folder / "adapted.safetensors")
        again = self._answer(Inspector.load(path, method=self.method).detector, 4).image
        _expect(torch.equal(again, answers.image), "adapted", "what it learned further is not saved")
        return None

    def exported(self) -> str | None:
        path = self.folder / "model.onnx"
        try:
            with _quietly():
                export(self.inspector, path, images=self.tested, tolerance=1e-3)
        except MissingExtra as error:
            return str(error)
        except ExportError as error:
            texts = any(not KINDS[name].channels for name in self.method.inputs)
            speaks = self._answer(self.inspector.detector, 1).words is not None
            if texts or speaks or registry.method_card(self.method.reference()).not_exported:
                return str(error)
            raise AssertionError(
                f"exported: {error} If that cannot be mended, say why on the method's CARD (not_exported)."
            ) from error
        verdicts = load(path).stream(self.tested[:2])
        _expect(all(np.isfinite(verdict.score) for verdict in verdicts), "exported", "the exported one scores nothing")
        return None

    def _check_scores(self, found: Scores, count: int, size: tuple[int, int]) -> None:
        _expect(isinstance(found, Scores), "scores", f"forward returns {type(found).__name__}; it must be Scores")
        for name, scores in {"": found, **found.branches}.items():
            what = f"branch {name}'s " if name else ""
            shape = tuple(scores.image.shape)
            _expect(shape == (count,), "scores", f"{what}image has shape {shape}; it must be ({count},)")
            _expect(bool(scores.image.isfinite().all()), "scores", f"{what}image is not finite")
            if scores.map is not None:
                shape, wanted = tuple(scores.map.shape), (count, *size)
                _expect(
                    shape == wanted, "scores", f"{what}map has shape {shape}; it must be {wanted}, the input's size"
                )
                _expect(bool(scores.map.isfinite().all()), "scores", f"{what}map is not finite")
        words = found.words
        _expect(words is None or len(words) == count, "scores", f"words are {words}; there must be one of each part")

    def _data(self, category: str) -> DataModule:
        return MadeParts(self.folder / "parts", category, image_size=self.size, train_batch_size=8, holdout=0.25)

    def _inputs(self, count: int) -> dict[str, Any]:
        """Return the inputs of the first test parts, good and defective in turn."""
        given = self._batch(count).inputs
        return {name: given[name] for name in self.method.inputs}

    def _batch(self, count: int, *, truth: bool = False) -> Batch:
        records = self.tested[:count]
        loader = Loader(records, self.data.imaging, inputs=self.method.inputs, batch_size=count, truth=truth)
        return next(iter(loader))

    def _singly(self, count: int) -> Iterator[dict[str, Any]]:
        inputs = self._inputs(count)
        for i in range(count):
            yield {name: value[i : i + 1] for name, value in inputs.items()}

    def _answer(self, detector: Detector, count: int) -> Scores:
        return self._of(detector, self._inputs(count))

    def _of(self, detector: Detector, inputs: Mapping[str, Any]) -> Scores:
        with torch.inference_mode():
            found: Scores = detector.eval()(**inputs)
        return found


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide what a fit or an export warns of: few parts, no defect to compare on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
