"""Commands that look at parts: inspect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import (
    AddressOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    MethodOption,
    OnOption,
    ThreadsOption,
    WeightsOption,
    parts_of,
    templates,
    where,
)
from blemish.cli.printing import DEFECTIVE, ERROR, GOOD, line, word
from blemish.core.errors import InputError, StorageError

if TYPE_CHECKING:
    from blemish.core.prediction import Prediction
    from blemish.inference.inspection import Inspection


class _Pictures:
    """The pictures of a run's defective parts, in the folder that `--out` names; verdicts are worth more than they are."""

    def __init__(self, out: Path, inspector: Inspection, roots: Mapping[str, Path]) -> None:
        self.out, self.inspector, self.roots = out, inspector, roots
        self.folder: Path | None = None
        self.unwritten: list[str] = []

    def draw(self, verdict: Prediction) -> None:
        """Write a part's picture; where that is not possible, remember why."""
        from blemish.imaging.parts import preview
        from blemish.report.pictures import folder_of_run, save_overlay

        calibration = self.inspector.calibration
        threshold = None if calibration is None else calibration.pixel_threshold
        try:
            self.folder = self.folder or folder_of_run(self.out)
            place = self.folder / Path(verdict.key).relative_to(self.roots[verdict.key])
            image = preview(self.inspector.imaging, verdict.key, self.inspector.inputs)
            save_overlay(place.with_name(f"{place.name}.png"), verdict, image, threshold)
        except StorageError as error:
            self.unwritten.append(str(error))

    def settle(self) -> None:
        """Say where the pictures are, if not in `out` itself; raise StorageError if some could not be written."""
        if self.folder not in (None, self.out):
            typer.echo(f"{self.out} holds pictures of an earlier run; those of this one are in {self.folder}", err=True)
        if self.unwritten:
            raise StorageError(
                f"{len(self.unwritten)} pictures could not be written; the verdicts stand. The first: {self.unwritten[0]}"
            )


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit` or `blemish export`.")],
    sources: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for pictures of defective parts; run-2, ... in it if it has some. [default: none]",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images looked at together.")] = 8,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: faster, scores differ by about 1 %.")
    ] = "float32",
    device: DeviceOption = "cpu",
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    input: Annotated[
        list[str] | None,
        typer.Option(
            help="A further file of each part, kind=path from its folder, may be repeated: points='../xyz/{stem}.tiff'."
        ),
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", "-c", help="The parts' category. [default: a folder's name]")
    ] = None,
    weights: WeightsOption = None,
    method: MethodOption = None,
    on: OnOption = "local",
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at parts: one line (or JSON object) each. Exits with 0 all good, 1 some defective, 2 some not decided."""
    from blemish.inference.loading import load

    settings: dict[str, Any] = {"device": device, "precision": precision, "engine": engine, "threads": threads}
    settings |= {"weights": weights, "method": method}
    inspector = load(model, **settings)
    roots = {
        str(p): s if s.is_dir() else p.parent
        for s in sources
        for p in (parts_of(s, inspector.inputs) if s.is_dir() else [s])
    }
    parts = inspector.completed(map(Path, roots), templates(input or []), category)
    counts = {"good": 0, "defective": 0, "error": 0, "no threshold": 0}
    if where(on) == "ray":
        from blemish.inference.ray_backend import inspect_on_ray

        maps = out is not None
        verdicts = inspect_on_ray(model, parts, address=address, batch_size=batch_size, maps=maps, **settings)
    elif address is not None:
        raise InputError(f"--address {address!r} is Ray's; add --on ray")
    else:
        verdicts = inspector.stream(parts, batch_size=batch_size)
    pictures = None if out is None else _Pictures(out, inspector, roots)
    for verdict in verdicts:
        counts[word(verdict)] += 1
        typer.echo(json.dumps(verdict.as_dict()) if as_json else line(verdict))
        if pictures is not None and verdict.defective:
            pictures.draw(verdict)
    if not as_json:
        typer.echo(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    if pictures is not None:
        pictures.settle()
    if counts["no threshold"]:
        raise InputError(f"{model} has no threshold, so nothing was decided. Choose one: blemish calibrate {model} ...")
    raise typer.Exit(ERROR if counts["error"] else DEFECTIVE if counts["defective"] else GOOD)
