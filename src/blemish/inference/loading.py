"""Open a model file, whatever kind it is: a saved inspector (needs torch) or an exported one (does not)."""

from __future__ import annotations

from pathlib import Path

from blemish.core.errors import InputError
from blemish.inference.inspection import Inspection


def is_exported(path: Path | str) -> bool:
    """Return whether a file is an exported model, which needs no torch and runs on the CPU.

    Args:
        path: Model file; only its suffix counts.

    Returns:
        True for .onnx and .xml.
    """
    return Path(path).suffix.lower() in (".onnx", ".xml")


def load(
    path: Path | str,
    *,
    device: str = "cpu",
    precision: str = "float32",
    engine: str = "auto",
    threads: int | None = None,
    weights: Path | str | None = None,
    method: str | None = None,
) -> Inspection:
    """Load a model file of either kind.

    Args:
        path: .safetensors, .onnx, or OpenVINO's .xml.
        device: For saved inspectors: "cpu", "cuda:0", or "auto": a CUDA GPU if there is one.
        precision: For saved inspectors: "float32" or "bfloat16".
        engine: For exported files: "onnxruntime", "openvino", or "auto" by the file's suffix.
        threads: For exported files: cores one image may use; None for all.
        weights: For saved inspectors: file or folder of the frozen networks that the file names.
        method: For saved inspectors: the method that the file is to hold, where another package has it.

    Returns:
        An `Inspector` for .safetensors, a `Runtime` for .onnx and .xml.

    Raises:
        FormatError: the file is absent, damaged or not ours.
        InputError: an option does not suit the kind of file.
        MissingExtra: what the file needs is not installed.
    """
    if is_exported(path):
        for name, value, usual in (("device", device, ("cpu", "auto")), ("precision", precision, ("float32",))):
            if value not in usual:
                raise InputError(
                    f"{name} {value!r} is for saved inspectors; {path} runs as it was exported, on the CPU"
                )
        from blemish.inference.runtime import Runtime

        return Runtime(path, engine=engine, threads=threads)
    if engine != "auto":
        raise InputError(f"engine {engine!r} is for exported files (.onnx, .xml); {path} is not one")
    from blemish.inference.inspector import Inspector

    return Inspector.load(path, device, weights=weights, method=method).accelerate(precision=precision)  # type: ignore[arg-type]  # it checks
