"""Commands that measure one model: test, on parts of known truth, and profile, its speed on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.app import app
from blemish.cli.options import (
    CategoryOption,
    DataOption,
    DatasetOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    MethodOption,
    Resolution,
    Root,
    ThreadsOption,
    WeightsOption,
    data_like,
    data_options,
)
from blemish.cli.printing import ERROR, INTERRUPTED, print_json
from blemish.core.files import printable


@app.command()
def test(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit` or `blemish export`.")],
    root: Root,
    dataset: DatasetOption = "folder",
    category: CategoryOption = None,
    data_option: DataOption = None,
    resolution: Annotated[
        Resolution,
        typer.Option(help="Pixel metrics at the images' own resolution, or, as in papers, at the network's input."),
    ] = Resolution.original,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for report.json, report.html and tables. [default: beside the model]"),
    ] = None,
    weights: WeightsOption = None,
    foreign: MethodOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure a model on parts of known truth; writes a report."""
    from blemish.engine.reporting import report_on
    from blemish.inference.loading import load

    looks = load(model, device=device, weights=weights, method=foreign)
    made_from, options = looks.provenance, data_options(dataset, data_option or [])
    if dataset == "folder" and "test_share" not in options and made_from.learned_content is not None:
        options["test_share"] = 1  # tested whole, but for the parts that the model knows, where nobody has divided it
    data = data_like(made_from, root, dataset, category, options)
    found, page = report_on(
        looks, data, resolution=resolution.value, out=out or model.parent, about={"model": str(model)}
    )
    if as_json:
        return print_json({**found.as_dict(), "page": page and str(page)})
    typer.echo(found.text())
    if page is not None:
        typer.echo(f"Report: {page}")


@app.command()
def profile(
    models: Annotated[list[Path], typer.Argument(help="Files made by `blemish export`.")],
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    repeats: Annotated[int, typer.Option(min=3, help="Images timed one after another.")] = 100,
    batch_size: Annotated[int, typer.Option(min=1, help="Images looked at together, for the throughput.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Measure exported models on this machine: latency percentiles, throughput, memory."""
    import json
    import subprocess
    import sys

    found = []
    for model in models:  # each in a process of its own, so that memory is its own
        call = {"path": str(model), "engine": engine, "threads": threads, "repeats": repeats, "batch_size": batch_size}
        done = subprocess.run(
            [sys.executable, "-P", "-c", _MEASURE, json.dumps(call)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            typer.echo(done.stderr, err=True, nl=False)
            raise typer.Exit(done.returncode if done.returncode == INTERRUPTED else ERROR)
        found.append(json.loads(done.stdout))
    if as_json:
        return print_json(found)
    typer.echo(
        f"{'precision':<9} {'load':>7} {'p50':>7} {'p90':>7} {'p99':>7} {'prepare':>8} {'decide':>7} {'part':>11} "
        f"{'img/s':>7} {'file':>8} {'memory':>8}"
    )
    for row in found:
        part = "{1} x {0}".format(*row["part"])
        typer.echo(
            f"{printable(row['precision']):<9} {row['load']:7.0f} {row['p50']:7.1f} {row['p90']:7.1f} {row['p99']:7.1f} "
            f"{row['prepare']:8.1f} {row['decide']:7.1f} {part:>11} {row['images_per_second']:7.1f} "
            f"{row['megabytes']:5.1f} MB {row['memory']:5.0f} MB  {row['file']}"
        )
    typer.echo(
        "Times in ms. prepare and decide: one part of so many pixels (width x height), besides the network's own time."
    )


_MEASURE = """
import json, sys
from blemish.cli import stopping
from blemish.inference.profile import profile
with stopping():
    print(json.dumps(profile(**json.loads(sys.argv[1])).as_dict()), flush=True)
"""
