"""The command that writes a benchmark's results: bench-report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.app import app
from blemish.cli.options import JsonOption
from blemish.cli.printing import print_json


@app.command("bench-report")
def bench_report(
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
