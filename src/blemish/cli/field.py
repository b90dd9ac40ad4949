"""Commands that say what is known: list, info, download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import JsonOption, data_class
from blemish.cli.printing import DEFECTIVE, ERROR, GOOD, print_json, print_tree
from blemish.core.card import Card, Paper
from blemish.core.errors import BlemishError


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the methods and the data sets that exist."""
    from blemish.cli.describe import plain
    from blemish.core import registry

    cards = {name: _card(name) for name in registry.known_methods()}
    sets = {name: found.card for name, found in registry.datasets().items()}
    if as_json:
        methods = {name: plain(card) for name, card in cards.items()}
        return print_json({"methods": methods, "datasets": {name: card.name for name, card in sets.items()}})
    typer.echo("Methods (--method)")
    for name, card in cards.items():
        paper = f"{card.paper.authors.split(',')[0]} et al., {card.paper.year}" if card.paper.url else card.paper.title
        typer.echo(f"  {name:<16} {card.idea} [{paper}]")
    typer.echo("Data sets (--dataset)")
    for name, dataset_card in sets.items():
        typer.echo(f"  {name:<16} {dataset_card.name}; {dataset_card.licence}")


def _card(name: str) -> Card:
    """Return a method's card; another package may be broken, and that is no reason to list nothing."""
    from blemish.core import registry

    try:
        return registry.method_card(name)
    except (BlemishError, ImportError) as error:
        return Card(name, f"cannot be loaded: {error}", "own", Paper("another package", "", 0))


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A method, a data set, or a model file.")],
    root: Annotated[
        Path | None, typer.Option(help="A copy of the data set to check against what is known of it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is known of a method, a data set or a model file; with --root, check a data set on disk."""
    from blemish.cli.describe import describe

    found, complete = describe(name, root)
    if as_json:
        print_json(found)
    else:
        print_tree(found)
    raise typer.Exit(GOOD if complete else DEFECTIVE)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="The data set: see `blemish list`.")],
    root: Annotated[Path, typer.Argument(help="Folder to put it in.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked.")] = False,
) -> None:
    """Download a data set: shows its licence, resumes, verifies the checksum, extracts safely."""
    from blemish.data.download import download as fetch

    card = data_class(name).card
    typer.echo(f"{card.name}: {card.licence}\nHome: {card.home}")
    if not yes and not typer.confirm("Do you accept this licence?"):
        raise typer.Exit(ERROR)
    typer.echo(f"Ready: {fetch(card, root, progress=_download_bar())}")


def _download_bar() -> Any:
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar.start()
    task = bar.add_task("download", total=None)

    def show(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total)
        if total is not None and done >= total:
            bar.stop()

    return show
