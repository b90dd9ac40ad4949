"""Commands that measure many methods on many data sets: benchmark, and benchmark-report, which writes its pages."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import AddressOption, DeviceOption, JsonOption, OnOption, where
from blemish.cli.printing import DEFECTIVE, GOOD, print_json
from blemish.core.errors import InputError
from blemish.core.files import printable

if TYPE_CHECKING:
    from blemish.benchmark.backends import Backend
    from blemish.benchmark.grid import Grid
    from blemish.benchmark.results import Row


@app.command()
def benchmark(
    grid: Annotated[str, typer.Argument(help="A grid, .toml, or a preset's name: quick-look, protocols, methods ...")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results. [default: runs/benchmark/NAME]")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Where a data set lies, NAME=FOLDER; may be repeated. [default: the grid's]"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Results measured side by side on this machine.")] = 1,
    on: OnOption = "local",
    address: AddressOption = None,
    cpus: Annotated[float, typer.Option(min=0.1, help="Cores a cell asks Ray for.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs a cell asks Ray for.")] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do cells that failed once more.")] = False,
    keep_features: Annotated[
        bool, typer.Option("--keep-features/--no-features", help="Compute features of frozen networks once for all.")
    ] = True,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure methods x data sets x categories x seeds x protocols; goes on where it was stopped or killed.

    Exits with 0 if every cell is done, 1 if some failed, 2 if nothing could be run.
    """
    from blemish.benchmark.reading import read
    from blemish.benchmark.results import read_cells, rows
    from blemish.benchmark.runner import Runner
    from blemish.core.progress import progress
    from blemish.training.device import choose_device

    if grid.endswith((".onnx", ".xml")):
        raise InputError(f"{grid} is an exported model; its speed is measured by: blemish profile {grid}")
    on, asked = where(on), read(grid, dict(_root(text) for text in data or []))
    folder = out or Path("runs") / "benchmark" / asked.name
    if on == "local":  # a device that is not there is one mistake, not a failure of every cell
        choose_device(device)
    cells = asked.cells(folder)
    place = _place(asked, on, jobs, address, cpus, gpus)
    runner = Runner(cells, folder, place, retry_failed=retry_failed, device=device, features=keep_features)
    if not as_json and runner.before:
        typer.echo(f"{runner.before} of {runner.total} cells are there already.")
    names = {cell.name for cell in cells}
    others = sum(path.stem not in names for path in (folder / "cells").glob("*.json"))
    if others and not as_json:
        typer.echo(
            f"{others} cells of another grid, or of this one before it was changed, lie in {folder / 'cells'}. They stay "
            "and do not count here; benchmark-report reads them too. To keep them apart choose another folder (--out)."
        )
    with closing(iter(runner)) as running:  # Ctrl-C, wherever it comes, ends the cells that still run
        found = list(progress(running, "cells", total=runner.total, left=runner.left))
    failed = [result for result in found if result["failed"]]
    table = rows(read_cells(folder / "cells", only=names))
    if as_json:
        counts = {"cells": len(found), "failed": len(failed), "other_cells": others, "folder": str(folder)}
        print_json({**counts, "table": [_as_json(row) for row in table]})
    else:
        _say(folder, table, found, failed)
    raise typer.Exit(DEFECTIVE if failed else GOOD)


@app.command("benchmark-report")
def benchmark_report(
    folder: Annotated[Path, typer.Argument(help="Folder of the benchmark's cells, one JSON file each.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results. [default: FOLDER/report]")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", "-f", help="html, markdown, latex, csv, or several with commas between.")
    ] = "html,markdown,latex,csv",
    as_json: JsonOption = False,
) -> None:
    """Write a benchmark's results: a static page, Markdown, LaTeX, CSV. Missing and failed cells are shown as such."""
    from blemish.benchmark.results import read_cells, write_report

    cells = read_cells(folder)
    chosen = [name.strip() for name in formats.split(",") if name.strip()]
    files = write_report(cells, out or folder / "report", chosen)
    if as_json:
        return print_json(
            {
                "cells": len(cells.cells),
                "failed": [cell.file for cell in cells.failed],
                "unread": dict(cells.unread),
                "files": [str(path) for path in files],
            }
        )
    typer.echo(f"{len(cells.cells)} cells, {len(cells.failed)} failed, {len(cells.unread)} files could not be read.")
    for path in files:
        typer.echo(f"Written: {path}")


def _root(text: str) -> tuple[str, str]:
    name, found, folder = text.partition("=")
    if not found or not name or not folder:
        raise InputError(f"--data {text!r} must be NAME=FOLDER, with the name of a data set of the grid")
    return name, folder


def _place(grid: Grid, on: str, jobs: int, address: str | None, cpus: float, gpus: float) -> Backend:
    from blemish.benchmark.backends import LocalBackend, RayBackend

    limit = None if grid.limit_minutes is None else 60 * grid.limit_minutes
    if on == "ray":
        if jobs != 1:
            raise InputError(f"--jobs {jobs} is for this machine alone; on Ray, --cpus and --gpus of a cell decide")
        return RayBackend(address, cpus=cpus, gpus=gpus, limit=limit)
    if cpus != 1 or gpus != 0:
        raise InputError("--cpus and --gpus are what a cell asks Ray for; add --on ray, or give --jobs")
    if address is not None:
        raise InputError(f"--address {address!r} is Ray's; add --on ray")
    return LocalBackend(jobs, limit)


def _as_json(row: Row) -> dict[str, Any]:
    from blemish.benchmark.results.formatting import notes

    return {
        **row.setting._asdict(),
        "method": row.method,
        "runs": len(row.runs),
        "categories": len(row.categories),
        "of": row.of,
        "failed": row.failures,
        **{name: number.value for name, number in row.numbers.items()},
        "n": {name: number.over_seeds.seeds for name, number in row.numbers.items()},
        "notes": notes(row, row.numbers),
    }


def _say(folder: Path, table: list[Row], found: list[dict[str, Any]], failed: list[dict[str, Any]]) -> None:
    from blemish.benchmark.results.formatting import notes, seeds

    head = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")
    typer.echo(f"{'data set':<16} {'protocol':<22} {'method':<14} {'n':>4} " + " ".join(f"{n:>11}" for n in head))
    for row in table:
        name = f"{row.setting.dataset:<16} {row.setting.protocol:<22} {row.method:<14}"
        numbers = [row.numbers.get(metric) for metric in head]
        values = " ".join(f"{'-':>11}" if one is None else f"{one.value:11.4f}" for one in numbers)
        typer.echo(f"{name} {seeds(row, head):>4} {values}")
        for note in notes(row, head):
            typer.echo(f"    note: {note}")
    for result in failed:
        cell = result["cell"]
        named = " ".join(str(cell[k]) for k in ("method", "dataset", "category", "protocol") if cell[k])
        typer.echo(printable(f"failed: {named} seed {cell['seed']}: {result['failed']['error']}"), err=True)
    if failed:
        typer.echo(
            f"{len(failed)} of {len(found)} cells failed. Once more: the same command with --retry-failed", err=True
        )
    typer.echo(f"Results: {folder / 'cells'}")
    typer.echo(f"Next:  blemish benchmark-report {folder}")
