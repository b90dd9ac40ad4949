"""Commands that look at parts: inspect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import (
    AddressOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    OnOption,
    ThreadsOption,
    parts_below,
    where,
)
from blemish.cli.printing import DEFECTIVE, ERROR, GOOD, line, word
from blemish.errors import InputError, StorageError


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
    on: OnOption = "local",
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at parts: one line (or JSON object) each. Exits with 0 all good, 1 some defective, 2 some not decided."""
    from blemish.loading import load

    settings: dict[str, Any] = {"device": device, "precision": precision, "engine": engine, "threads": threads}
    inspector = load(model, **settings)
    roots = {str(p): s if s.is_dir() else p.parent for s in sources for p in (parts_below(s) if s.is_dir() else [s])}
    counts = {"good": 0, "defective": 0, "error": 0, "no threshold": 0}
    if where(on) == "ray":
        from blemish.engine.bulk import inspect_on_ray

        maps = out is not None
        verdicts = inspect_on_ray(model, list(roots), address=address, batch_size=batch_size, maps=maps, **settings)
    elif address is not None:
        raise InputError(f"--address {address!r} is Ray's; add --on ray")
    else:
        verdicts = inspector.stream(map(Path, roots), batch_size=batch_size)
    unwritten: list[str] = []
    pictures: Path | None = None
    for verdict in verdicts:
        counts[word(verdict)] += 1
        typer.echo(json.dumps(verdict.as_dict()) if as_json else line(verdict))
        if out is not None and verdict.defective:
            from blemish.report.pictures import folder_of_run, save_overlay

            pixel_threshold = inspector.calibration.pixel_threshold if inspector.calibration else None
            try:
                pictures = pictures or folder_of_run(out)
                place = pictures / Path(verdict.key).relative_to(roots[verdict.key])
                save_overlay(place.with_name(f"{place.name}.png"), verdict, inspector.imaging, pixel_threshold)
            except StorageError as error:  # verdicts are worth more than pictures
                unwritten.append(str(error))
    if not as_json:
        typer.echo(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    if pictures not in (None, out):
        typer.echo(f"{out} holds pictures of an earlier run; those of this one are in {pictures}", err=True)
    if unwritten:
        raise StorageError(
            f"{len(unwritten)} pictures could not be written; the verdicts stand. The first: {unwritten[0]}"
        )
    if counts["no threshold"]:
        raise InputError(f"{model} has no threshold, so nothing was decided. Choose one: blemish calibrate {model} ...")
    raise typer.Exit(ERROR if counts["error"] else DEFECTIVE if counts["defective"] else GOOD)
