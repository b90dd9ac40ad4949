"""The application that the commands are hung on."""

from __future__ import annotations

from typing import Annotated

import typer

import blemish
from blemish.core.memory import keep_freed_memory

app = typer.Typer(
    name="blemish",
    help="Learn what a good part looks like from good parts only, then find, localise and explain defects.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    keep_freed_memory()
    if version:
        typer.echo(blemish.__version__)
        raise typer.Exit
