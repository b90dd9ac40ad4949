"""The engines that run an exported network: ONNX Runtime, or OpenVINO. Each is imported only when it is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from blemish.core.errors import FormatError, InputError, MissingExtra, UnknownName
from blemish.core.files import sha256
from blemish.inference.metadata import PREFIX, WEIGHTS, onnx_texts

Arrays = dict[str, NDArray[Any]]


class Session(Protocol):
    """A loaded network.

    Attributes:
        texts: The model's metadata.
        outputs: Names of the network's outputs.
    """

    texts: dict[str, str]
    outputs: list[str]

    def run(self, inputs: Arrays) -> Arrays:
        """Run the network.

        Args:
            inputs: (B, C, H, W) float32 by the name of the network's input, prepared.

        Returns:
            The network's outputs by name: "score" (B,), and "map" (B, H, W) unless it has none.
        """


class OnnxSession:
    """A network in ONNX Runtime.

    Args:
        path: .onnx file.
        threads: Cores one image may use; None for all.
        providers: Execution providers by ONNX Runtime's names; by default the CPU.

    Raises:
        UnknownName: a provider is not available here.
        FormatError: the file cannot be loaded.
    """

    def __init__(self, path: Path, threads: int | None = None, providers: Sequence[str] | None = None) -> None:
        import onnxruntime

        self.texts = onnx_texts(path)
        available = onnxruntime.get_available_providers()
        for provider in providers or ():
            if provider not in available:
                raise UnknownName("provider of ONNX Runtime", provider, available)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=list(providers or ["CPUExecutionProvider"])
            )
        except Exception as error:  # its errors have no common class of their own
            raise FormatError(f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {error}") from error
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """Run the network.

        Args:
            inputs: (B, C, H, W) float32 by the name of the network's input, prepared.

        Returns:
            The network's outputs by name: "score" (B,), and "map" (B, H, W) unless it has none.
        """
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))


class OpenVinoSession:
    """A network in OpenVINO.

    Args:
        path: Exported .xml with its .bin next to it, or an .onnx file.
        threads: Cores one image may use; None for all.
        device: Device by OpenVINO's name.

    Raises:
        MissingExtra: OpenVINO is not installed.
        UnknownName: the device is not available here.
        FormatError: the file cannot be loaded, or the .bin is another model's.
        InputError: the file is an .onnx in int8.
    """

    def __init__(self, path: Path, threads: int | None = None, device: str = "CPU") -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingExtra("openvino", "openvino") from error
        core = openvino.Core()
        if device.split(".", maxsplit=1)[0] not in core.available_devices:
            raise UnknownName("device of OpenVINO", device, core.available_devices)
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(str(path))
            self.texts = onnx_texts(path) if path.suffix == ".onnx" else openvino_texts(model)
            _check_weights(path, self.texts.pop(PREFIX + WEIGHTS, None))
            if path.suffix == ".onnx" and self.texts.get(f"{PREFIX}precision") == '"int8"':
                raise InputError(  # observed: scores in another order, image AUROC at chance
                    f"{path} is in int8, and was compared with the model in ONNX Runtime. OpenVINO computes such "
                    "graphs otherwise: use ONNX Runtime, or export with --format openvino, which is compared there."
                )
            self.outputs = [name for output in model.outputs for name in output.get_names()]
            self._model = core.compile_model(model, device, settings)
        except RuntimeError as error:
            raise FormatError(f"{path} cannot be loaded by OpenVINO {openvino.__version__}: {error}") from error
        self._request = self._model.create_infer_request()

    def run(self, inputs: Arrays) -> Arrays:
        """Run the network.

        Args:
            inputs: (B, C, H, W) float32 by the name of the network's input, prepared.

        Returns:
            The network's outputs by name: "score" (B,), and "map" (B, H, W) unless it has none.
        """
        found = self._request.infer(inputs, share_inputs=True)
        return {name: value.copy() for output, value in found.items() for name in output.get_names()}


def openvino_texts(model: Any) -> dict[str, str]:
    """Return the metadata that `blemish.export` put into an OpenVINO model.

    Args:
        model: An `openvino.Model`.

    Returns:
        The texts by name; empty if there are none.
    """
    if not model.has_rt_info(["blemish"]):
        return {}
    found = model.get_rt_info(["blemish"]).value
    return {PREFIX + name: text for name, text in found.items()} if isinstance(found, dict) else {}


def _check_weights(path: Path, stored: str | None) -> None:
    """Refuse an .xml next to another model's .bin; files written before the hash was kept are not checked."""
    weights = path.with_suffix(".bin")
    if stored is not None and stored != json.dumps(sha256(weights)):
        raise FormatError(f"{weights} is not the .bin that {path} was exported with; copy both files, or export again.")


def open_session(
    path: Path,
    engine: str = "auto",
    *,
    threads: int | None = None,
    providers: Sequence[str] | None = None,
    device: str | None = None,
) -> Session:
    """Load an exported file: .onnx with ONNX Runtime unless OpenVINO is asked for, .xml with OpenVINO.

    Args:
        path: Exported model, .onnx or .xml.
        engine: "onnxruntime", "openvino", or "auto" by the file's suffix.
        threads: Cores one image may use, 1 or more; None for all.
        providers: For ONNX Runtime only; by default the CPU.
        device: For OpenVINO only; by default "CPU".

    Returns:
        The loaded network.

    Raises:
        UnknownName: there is no such engine, provider or device.
        InputError: an option belongs to the other engine, or threads is below 1.
        FormatError: the file is absent, damaged or of another kind.
        MissingExtra: the engine is not installed.
    """
    if engine not in ("auto", "onnxruntime", "openvino"):
        raise UnknownName("engine", engine, ("auto", "onnxruntime", "openvino"))
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; it must be at least 1")
    if path.suffix not in (".onnx", ".xml"):
        raise FormatError(
            f"{path} is no exported model: those end in .onnx or .xml. Make one: blemish export MODEL.safetensors"
        )
    if not path.is_file():
        raise FormatError(f"{path} does not exist. Check the path, or make it with `blemish export`.")
    if engine == "openvino" or path.suffix == ".xml":
        if engine == "onnxruntime":
            raise InputError(
                f"{path} is an OpenVINO model; ONNX Runtime reads .onnx. Export it again with --format onnx"
            )
        if providers:
            raise InputError(f"providers {list(providers)} are ONNX Runtime's; OpenVINO takes a device: CPU, GPU, ...")
        return OpenVinoSession(path, threads, device or "CPU")
    if device is not None:
        raise InputError(f"device {device!r} is OpenVINO's; ONNX Runtime takes providers. Choose engine='openvino'.")
    return OnnxSession(path, threads, providers)
