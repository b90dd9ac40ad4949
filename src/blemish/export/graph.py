"""An inspector's network and scoring as one ONNX graph: image in, raw score and map out."""

from __future__ import annotations

import platform
import warnings
from typing import Any

import torch
from torch import Tensor, nn

import blemish
from blemish.core import registry
from blemish.core.detector import Detector
from blemish.core.errors import ExportError, MissingExtra
from blemish.core.quiet import quiet
from blemish.inference.inspector import Inspector
from blemish.inference.metadata import Exported

OPSET = 18
EXAMPLES = 3  # images the graph is traced with; any number may follow


class _Answers(nn.Module):
    """A detector whose output is a plain tuple, without the map if there is none."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        score, map = self.detector(image)
        return (score,) if map is None else (score, map)


def to_onnx(inspector: Inspector) -> Any:
    """Convert an inspector to an ONNX graph.

    The input `image` is (B, 3, h, w) float32 RGB in [0, 1], for any B; h and w are the network's input size. Outputs
    are `score` (B,) and, if the method has maps, `map` (B, h, w). Everything else that a runtime needs is in the
    model's metadata, see `blemish.inference.metadata`.

    Args:
        inspector: The inspector to convert.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ExportError: the method cannot be exported, as its card states.
        MissingExtra: onnx or onnxscript is not installed.
    """
    card = registry.method_card(type(inspector.detector).__name__)
    if card.not_exported:
        raise ExportError(
            f"{card.name} cannot be exported: {card.not_exported}. "
            "Inspect with the model itself (`blemish inspect`), or choose a method that `blemish list` does not mark so."
        )
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch needs it
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name}, which export needs,", "export") from error
    detector = inspector.detector.eval()
    device = next((tensor.device for tensor in detector.state_dict().values()), torch.device("cpu"))
    model = _traced(detector.cpu(), inspector.imaging.input_size)
    detector.to(device)
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if first.HasField("dim_value"):
            raise ExportError(
                f"{card.name} was traced for {first.dim_value} images at once only: a bug, please report it."
            )
        first.dim_param = "batch"
    model.producer_name, model.producer_version = "blemish", blemish.__version__
    onnx.helper.set_model_props(model, describe(inspector).as_texts())
    onnx.checker.check_model(model)
    return model


def describe(inspector: Inspector, precision: str = "fp32") -> Exported:
    """Return the metadata of an exported file.

    Args:
        inspector: The exported inspector.
        precision: "fp32", "fp16" or "int8".

    Returns:
        The metadata, with the versions of the packages that wrote it.
    """
    import onnx

    versions = {"blemish": blemish.__version__, "python": platform.python_version(), "torch": torch.__version__}
    return Exported(
        method=type(inspector.detector).__name__,
        params=inspector.detector.params,
        imaging=inspector.imaging,
        calibration=inspector.calibration,
        precision=precision,
        backbones=inspector.backbones,
        about=inspector.about,
        versions={**versions, "onnx": onnx.__version__},
    )


def _traced(detector: Detector, size: tuple[int, int]) -> Any:
    example = torch.full((EXAMPLES, 3, *size), 0.5)
    answers = _Answers(detector).eval()
    with quiet("torch.onnx", "onnxscript", "onnx_ir"), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's warnings about its own internals
        found = answers(example)  # constants that depend on the size alone are cached before the trace
        names = ["score", "map"][: len(found)]
        program = torch.onnx.export(
            answers,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=names,
            dynamic_shapes={"image": {0: torch.export.Dim.DYNAMIC}},
            verbose=False,
        )
    assert program is not None  # noqa: S101 - it is None only where a file is written
    return program.model_proto
