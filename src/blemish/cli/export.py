"""The command that makes a file for the line: export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import (
    CategoryOption,
    DataOption,
    DatasetOption,
    JsonOption,
    data_like,
    data_options,
    parts_of,
)
from blemish.cli.printing import print_json
from blemish.core.errors import InputError
from blemish.core.files import printable

if TYPE_CHECKING:
    from blemish.data import DataModule
    from blemish.inference.inspector import Inspector
    from blemish.inference.provenance import Provenance


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit`.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write. [default: beside the model, by format]")
    ] = None,
    format: Annotated[str, typer.Option(help="onnx (one file) or openvino (.xml and .bin).")] = "onnx",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 (half the size), or int8 (smaller, maybe faster; needs good images).")
    ] = "fp32",
    data: Annotated[
        Path | None,
        typer.Option(help="Data set to compare on and adjust int8 to. [default: what the model was fitted on]"),
    ] = None,
    dataset: DatasetOption = "folder",
    category: CategoryOption = None,
    data_option: DataOption = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of images to compare on. [default: the data set's, or made ones]")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest share by which a score may differ. [default: 1e-4 fp32, 1e-2 fp16, 5e-2 int8]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model for the line, without torch; shows that it answers as the model does, or fails."""
    from blemish.export import SUFFIX
    from blemish.export import export as write
    from blemish.inference.inspector import Inspector

    inspector = Inspector.load(model)
    good, test = _parts(inspector, data, dataset, category, data_option or [])
    if precision == "int8" and not good:
        raise InputError(
            "int8 needs good images to take the ranges of its activations from; name them with --data FOLDER"
        )
    compared = parts_of(images, inspector.inputs) if images is not None else test or good
    place = out or model.with_suffix(SUFFIX.get(format, ".onnx"))
    parity = write(
        inspector,
        place,
        format=format,  # type: ignore[arg-type]  # it checks
        precision=precision,  # type: ignore[arg-type]
        good=good,
        images=compared,
        test=test,
        tolerance=tolerance,
    )
    if as_json:
        return print_json({"model": str(place), "parity": parity.as_dict()})
    typer.echo(parity.text())
    typer.echo(f"Model: {place}")
    typer.echo(f"Next:  blemish inspect {place} IMAGES")


def _parts(
    inspector: Inspector, root: Path | None, dataset: str, category: list[str] | None, options: list[str]
) -> tuple[list[Any], list[Any]]:
    """Return records of good parts to adjust to, and of parts of known truth (none if there are not both kinds)."""
    if root is None:
        found = _fitted_on(inspector.provenance)
        if found is None:
            return [], []
    else:
        found = data_like(inspector.provenance, root, dataset, category, data_options(dataset, options))
    test = found.test_records
    return found.train_records, test if {0, 1} <= {record.label for record in test} else []


def _fitted_on(made_from: Provenance) -> DataModule | None:
    """Return the data that the model was fitted on, or None, and say which.

    The folder is kept as it was typed, and may be another one by now, or seen from here: the split has to be the same, and
    every part that was learned from has to have its name and size.
    """
    if not made_from.data:
        return None
    root = printable(str(made_from.data.get("root")))
    try:
        found = data_like(made_from, Path(str(made_from.data["root"])), made_from.dataset, None, {})
        used = {record.fingerprint for record in (*found.train_records, *found.held_out_records)}
        same = found.split_sha256 == made_from.data.get("split_sha256")
        same = same and (not made_from.learned or used <= set(made_from.learned))
    except (InputError, LookupError, TypeError, AttributeError):  # the model's own words, which may be anything
        same = False
    if not same:
        typer.echo(
            f"{root} does not hold, seen from this folder, what the model was fitted on. Without it, made "
            "images are compared; name the data with --data.",
            err=True,
        )
        return None
    typer.echo(f"Comparing on what the model was fitted and tested on: {root}", err=True)
    return found
