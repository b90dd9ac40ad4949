"""An inspector's network and scoring as one ONNX graph: image in, raw score and map out."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import blemish
from blemish.core import registry
from blemish.core.detector import Detector
from blemish.core.errors import ExportError, MissingExtra
from blemish.core.inputs import KINDS
from blemish.core.quiet import quiet
from blemish.core.types import Scores
from blemish.inference.inspector import Inspector
from blemish.inference.metadata import Exported

OPSET = 18
EXAMPLES = 3  # images the graph is traced with; any number may follow


class _Answers(nn.Module):
    """A detector whose output is a plain tuple: its tensors in the order of `_outputs`."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_outputs(self.detector(*inputs)).values())


def _outputs(scores: Scores) -> dict[str, Tensor]:
    """Return the tensors of scores by the names of the graph's outputs."""
    found = {"score": scores.image, **({} if scores.map is None else {"map": scores.map})}
    for name, branch in scores.branches.items():
        found |= {f"branch.{name}.{kind}": value for kind, value in _outputs(branch).items()}
    return found


def to_onnx(inspector: Inspector) -> Any:
    """Convert an inspector to an ONNX graph.

    Its inputs are those that the detector looks at (`blemish.core.inputs`): `image` is (B, 3, h, w) float32 RGB in
    [0, 1], for any B; h and w are the network's input size. Outputs are `score` (B,) and, if the method has maps, `map`
    (B, h, w); of a branch `branch.NAME.score` and `branch.NAME.map`. Everything else that a runtime needs is in the model's
    metadata, see `blemish.inference.metadata`.

    Args:
        inspector: The inspector to convert.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ExportError: the method cannot be exported, as its card states, or because it is told texts or answers in words.
        MissingExtra: onnx or onnxscript is not installed.
    """
    card = registry.method_card(inspector.detector.reference())
    if card.not_exported:
        raise ExportError(
            f"{card.name} cannot be exported: {card.not_exported}. "
            "Inspect with the model itself (`blemish inspect`), or choose a method that `blemish list` does not mark so."
        )
    if texts := [name for name in inspector.inputs if not KINDS[name].channels]:
        raise ExportError(
            f"{card.name} cannot be exported: it is told the {', '.join(texts)} of each part as a text, and a graph takes "
            "numbers. Inspect with the model itself (`blemish inspect`)."
        )
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch needs it
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name}, which export needs,", "export") from error
    detector = inspector.detector.eval()
    device = next((tensor.device for tensor in detector.state_dict().values()), torch.device("cpu"))
    model = _traced(detector.cpu(), inspector.imaging.input_size, card.name)
    detector.to(device)
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if first.HasField("dim_value"):
            raise ExportError(
                f"{card.name} was traced for {first.dim_value} images at once only: a bug, please report it."
            )
        first.dim_param = "batch"
    model.producer_name, model.producer_version = "blemish", blemish.__version__
    branches = branches_of(output.name for output in model.graph.output)
    onnx.helper.set_model_props(model, describe(inspector, branches=branches).as_texts())
    onnx.checker.check_model(model)
    return model


def branches_of(outputs: Iterable[str]) -> list[str]:
    """Return the names of the branches whose scores are among a graph's outputs.

    Args:
        outputs: Names of outputs, as `to_onnx` gives them.

    Returns:
        The names, in order.
    """
    ends = ("branch.", ".score")
    return [
        name.removeprefix(ends[0]).removesuffix(ends[1])
        for name in outputs
        if name.startswith(ends[0]) and name.endswith(ends[1])
    ]


def describe(inspector: Inspector, precision: str = "fp32", branches: Sequence[str] = ()) -> Exported:
    """Return the metadata of an exported file.

    Args:
        inspector: The exported inspector.
        precision: "fp32", "fp16" or "int8".
        branches: Names of what the scores are made of.

    Returns:
        The metadata, with the versions of the packages that wrote it.
    """
    import onnx

    versions = {"blemish": blemish.__version__, "python": platform.python_version(), "torch": torch.__version__}
    return Exported(
        method=inspector.detector.reference(),
        params=inspector.detector.params,
        imaging=inspector.imaging,
        calibration=inspector.calibration,
        precision=precision,
        backbones=inspector.backbones,
        provenance=inspector.provenance,
        inputs=inspector.inputs,
        branches=tuple(branches),
        versions={**versions, "onnx": onnx.__version__},
    )


def _traced(detector: Detector, size: tuple[int, int], name: str) -> Any:
    examples = tuple(torch.full((EXAMPLES, KINDS[kind].channels, *size), 0.5) for kind in detector.inputs)
    answers = _Answers(detector).eval()
    with quiet("torch.onnx", "onnxscript", "onnx_ir"), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's warnings about its own internals
        found = detector(*examples)  # constants that depend on the size alone are cached before the trace
        if found.words is not None:
            raise ExportError(
                f"{name} cannot be exported: it answers in words as well, and a graph gives numbers. Inspect with the "
                "model itself (`blemish inspect`)."
            )
        try:
            program = torch.onnx.export(
                answers,
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(detector.inputs),
                output_names=list(_outputs(found)),
                dynamic_shapes={"inputs": tuple({0: torch.export.Dim.DYNAMIC} for _ in examples)},
                verbose=False,
            )
        except Exception as error:  # the exporter has no type of its own for what it cannot trace or translate
            raise ExportError(
                f"{name} cannot be exported: {_cause(error)}. Write forward in operations that ONNX has, whatever the "
                "values are, or say on the method's CARD why it cannot be (not_exported)."
            ) from error
    assert program is not None  # noqa: S101 - it is None only where a file is written
    return program.model_proto


def _cause(error: BaseException) -> str:
    """Return the first line of what was at the root of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")[:240]
