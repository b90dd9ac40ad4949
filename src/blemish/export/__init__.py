"""Export: an inspector becomes one file that needs no torch and is shown to give the same results as the inspector."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from blemish.core.errors import ExportError, InputError, MissingExtra, UnknownName
from blemish.core.files import sha256, storage_errors, write_json
from blemish.export.graph import branches_of, describe, to_onnx
from blemish.export.images import made_parts
from blemish.export.parity import TOLERANCE, Parity, compare, held_out, milliseconds
from blemish.export.precision import halved, quantised
from blemish.inference.inspector import Inspector
from blemish.inference.metadata import WEIGHTS
from blemish.inference.runtime import Runtime

__all__ = ["Parity", "export", "to_onnx"]

Format = Literal["onnx", "openvino"]
Precision = Literal["fp32", "fp16", "int8"]
SUFFIX = {"onnx": ".onnx", "openvino": ".xml"}
CALIBRATED_ON = 32  # good images, besides as many damaged copies, that set the ranges of int8


def export(
    inspector: Inspector,
    path: Path | str,
    *,
    format: Format = "onnx",
    precision: Precision = "fp32",
    good: Sequence[Any] = (),
    images: Sequence[Any] = (),
    test: Sequence[Any] = (),
    tolerance: float | None = None,
) -> Parity:
    """Write an inspector as one .onnx file, or as OpenVINO's .xml and .bin, and measure how well it agrees.

    The file appears only if it passes, and with it the report, NAME.parity.json. An export that fails leaves an earlier
    file and its report as they are; its own report is NAME.parity.failed.json, until an export passes.

    Args:
        inspector: The inspector to export.
        path: File to write, ending in .onnx or .xml as the format does.
        format: "onnx" or "openvino".
        precision: "fp32"; "fp16", weights in half precision; or "int8", convolutions in 8-bit integers.
        good: Good images (files, arrays or Records): the first 32 set the ranges of int8's activations, and nothing
            else.
        images: Images on which both are compared; by default synthetic ones, see `blemish.export.images`.
        test: Records of good and defective parts; what the precision costs on them is reported.
        tolerance: How far a score or a map value may be off, as a share of the largest, in (0, 1); by default 1e-4 in
            fp32, 1e-2 in fp16 and 5e-2 in int8.

    Returns:
        The comparison, which passed.

    Raises:
        ExportError: the method cannot be exported, or the file gives other results than the inspector, or NaN.
        InputError: int8 without `good`, a name that does not end as the format does, an impossible tolerance.
        MissingExtra: the packages that export needs are not installed.
        StorageError: the folder cannot be written.
        UnknownName: there is no such format or precision.
    """
    path = _checked(Path(path), format, precision, tolerance)
    if precision == "int8" and not len(good):
        raise InputError("int8 needs good images to take the ranges of its activations from; give a folder of them")
    if precision == "int8" and inspector.inputs != ("image",):
        raise InputError(f"int8 is for images; this model looks at {', '.join(inspector.inputs)}. Export in fp16.")
    allowed = TOLERANCE[precision] if tolerance is None else tolerance
    sources, said = (
        (list(images), "given") if len(images) else (made_parts(inspector.imaging, inspector.inputs), "made")
    )
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
            whole = to_onnx(inspector)
            before = _write(whole, Path(folder) / "fp32", format)
            kept: tuple[str, ...] = ()
            place = before
            if precision != "fp32":
                if precision == "fp16":
                    model = halved(whole)
                else:
                    prepared = [
                        inspector.imaging(getattr(s, "image", s)).transpose(2, 0, 1) for s in good[:CALIBRATED_ON]
                    ]
                    model, kept = quantised(whole, prepared, allowed)
                _say(model, inspector, precision)
                place = _write(model, Path(folder) / precision, format)
            del whole
            parity = _parity(inspector, place, before, sources, said, test, precision, allowed, kept)
            failed = path.with_suffix(".parity.failed.json")
            if not parity.passed:
                write_json(failed, parity.as_dict())
                raise ExportError(
                    f"the exported file does not answer as the model does, so {path} was not written.\n{parity.text()}\n"
                    "Allow more (tolerance) if you can live with it, or export in fp32."
                )
            write_json(place.with_suffix(".parity.json"), parity.as_dict())
            for part in sorted(place.parent.iterdir(), key=lambda part: part == place):  # the file to open comes last
                shutil.move(part, path.with_name(path.stem + part.name.removeprefix(place.stem)))
            failed.unlink(missing_ok=True)
    return parity


def _parity(
    inspector: Inspector,
    place: Path,
    before: Path,
    sources: list[Any],
    said: str,
    test: Sequence[Any],
    precision: str,
    allowed: float,
    kept: tuple[str, ...],
) -> Parity:
    exported = Runtime(place)
    score, map, changed = compare(inspector, exported, sources)
    first = inspector if place == before else Runtime(before)
    size = inspector.detector.state_dict().values() if place == before else None
    return Parity(
        precision=precision,
        images=len(sources),
        source=said,
        score=score,
        map=map,
        changed=changed,
        tolerance=allowed,
        held_out=held_out(inspector, exported, test) if len(test) else {},
        bytes=(sum(t.nbytes for t in size) if size is not None else _size(before), _size(place)),
        milliseconds=(milliseconds(first), milliseconds(exported)),
        kept=kept,
    )


def _write(model: Any, folder: Path, format: Format) -> Path:
    """Write a graph into a folder of its own; return the file to open."""
    import onnx

    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(model, path)
    if format == "onnx":
        return path
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtra("openvino", "openvino") from error
    texts = {prop.key: prop.value for prop in model.metadata_props}
    converted = openvino.convert_model(str(path))
    for name, text in texts.items():
        converted.set_rt_info(text, ["blemish", name.removeprefix("blemish.")])
    xml = folder / "model.xml"
    for _ in range(2):  # the .xml names its .bin by hash, known once that is written
        openvino.save_model(converted, str(xml), compress_to_fp16=False)
        converted.set_rt_info(json.dumps(sha256(xml.with_suffix(".bin"))), ["blemish", WEIGHTS])
    path.unlink()
    return xml


def _say(model: Any, inspector: Inspector, precision: str) -> None:
    """Put the inspector's metadata into a graph, in place of what was there."""
    import onnx

    del model.metadata_props[:]
    branches = branches_of(output.name for output in model.graph.output)
    onnx.helper.set_model_props(model, describe(inspector, precision, branches).as_texts())


def _checked(path: Path, format: str, precision: str, tolerance: float | None) -> Path:
    if format not in SUFFIX:
        raise UnknownName("format", format, SUFFIX)
    if precision not in TOLERANCE:
        raise UnknownName("precision", precision, TOLERANCE)
    if path.suffix != SUFFIX[format]:
        raise InputError(f"{path} must end in {SUFFIX[format]}, for format {format!r}")
    if tolerance is not None and not 0 < tolerance < 1:
        raise InputError(f"tolerance is {tolerance}; it is a share of the largest score, between 0 and 1")
    return path


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in path.parent.iterdir())
