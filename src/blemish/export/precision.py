"""Smaller and faster copies of an exported graph: weights in half precision, or 8-bit integers where harmless."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.core.progress import progress

Images = NDArray[np.float32]

SMALL = 1024  # tensors of fewer numbers gain nothing
LARGEST = 6e4  # half precision ends at 65,504
QUANTISED = ("Conv", "Gemm")


def halved(model: Any) -> Any:
    """Store an ONNX model's weights in half precision; it still computes in float32.

    The file is about half as large and no faster. Tensors with numbers beyond half precision's range stay as they are.

    Args:
        model: An `onnx.ModelProto`; it is left unchanged.

    Returns:
        The smaller copy.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    small = onnx.ModelProto()
    small.CopyFrom(model)
    graph, casts = small.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < SMALL or np.abs(values).max() > LARGEST:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.whole", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    for known in [info for info in graph.value_info if info.name in {cast.output[0] for cast in casts}]:
        graph.value_info.remove(known)
    onnx.checker.check_model(small)
    return small


def quantised(model: Any, images: Sequence[Images], tolerance: float) -> tuple[Any, tuple[str, ...]]:
    """Quantise an ONNX model: its convolutions compute in 8-bit integers where that does no harm.

    Ranges of activations are taken from the images and from damaged copies of them: a defect drives activations beyond
    what good parts do, and what is beyond a range is cut off. They are symmetric about 0: OpenVINO computes
    convolutions incorrectly if their padding has another zero point. Ranges of weights are those of each output
    channel, in 7 of the 8 bits: processors without VNNI add two products in 16 bits, where those of 8 bits overflow,
    and a file must give the same results on all. Where the tolerance is exceeded, the layers that change the results
    most, each measured alone, are left in float32: one, two, four, ... until it is met. What stays in float32 is
    stored in half precision.

    Args:
        model: An `onnx.ModelProto`; it is left unchanged.
        images: Prepared images of good parts, (3, h, w) float32 each.
        tolerance: How far scores or maps of these images may change, as a share of the largest.

    Returns:
        The quantised copy and the names of the layers left in float32.
    """
    import onnx
    from onnxruntime.quantization import shape_inference

    with tempfile.TemporaryDirectory(prefix="blemish-int8-") as folder:
        whole, ready = Path(folder) / "whole.onnx", Path(folder) / "ready.onnx"
        onnx.save(model, whole)  # given the model itself, quant_pre_process would lose tensors of some graphs
        shape_inference.quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        images = [*images, *damaged(images)]
        truth = _answers(ready, images)

        def change(kept: Sequence[str]) -> tuple[float, Any]:
            found = _quantise(ready, Path(folder) / "int8.onnx", images, kept)
            pairs = zip(_answers(Path(folder) / "int8.onnx", images), truth, strict=True)
            return max(float(np.abs(own - other).max() / np.abs(other).max()) for own, other in pairs), found

        layers = _layers(ready)
        worst, found = change(())
        if worst <= tolerance or not layers:
            return halved(found), ()
        alone = {
            layer: change([other for other in layers if other != layer])[0] for layer in progress(layers, "layers")
        }
        order = sorted(layers, key=lambda layer: -alone[layer])
        count = 1
        while count < len(layers):
            worst, found = change(order[:count])
            if worst <= tolerance:
                break
            count *= 2
        return halved(found), tuple(order[: min(count, len(layers))])


def damaged(images: Sequence[Images], seed: int = 0) -> list[Images]:
    """Return damaged copies of images: each has a few rectangles of black, white, noise, or a fine checkerboard.

    Args:
        images: (3, h, w) float32 each, in [0, 1].
        seed: Seed of the damage.

    Returns:
        Copies in the same order.
    """
    rng = np.random.default_rng(seed)
    found = []
    for image in images:
        copy = image.copy()
        _, h, w = copy.shape
        for kind in rng.permutation(4)[: rng.integers(1, 4)]:
            height, width = (int(rng.integers(max(1, side // 16), side // 3 + 1)) for side in (h, w))
            top, left = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
            y, x = np.mgrid[:height, :width]
            fills = (0.0, 1.0, rng.uniform(0, 1, (3, height, width)), (x // 2 + y // 2) % 2)
            copy[:, top : top + height, left : left + width] = fills[kind]
        found.append(copy)
    return found


def _layers(path: Path) -> list[str]:
    import onnx

    return [node.name for node in onnx.load(path).graph.node if node.op_type in QUANTISED]


def _quantise(source: Path, target: Path, images: Sequence[Images], kept: Sequence[str]) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.waiting = iter(images)

        def get_next(self) -> dict[str, Images] | None:
            image = next(self.waiting, None)
            return None if image is None else {"image": image[None]}

    quantize_static(
        str(source),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        extra_options={"ActivationSymmetric": True},
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=list(QUANTISED),
        nodes_to_exclude=list(kept),
    )
    return onnx.load(target)


def _answers(path: Path, images: Sequence[Images]) -> list[NDArray[np.float32]]:
    """Return the scores (N,) and, if the graph has them, the maps (N, h, w) of images."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = [session.run(None, {"image": image[None]}) for image in images]
    return [np.concatenate(values) for values in zip(*found, strict=True)]
