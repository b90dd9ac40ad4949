"""The application that the commands are hung on."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import blemish
from blemish.core.memory import keep_freed_memory

GROUPS = {
    "Learn": {
        "demo": "make parts, fit, test and report: nothing is needed",
        "download": "download a data set",
        "fit": "learn from good parts and choose the threshold",
        "adapt": "let a model learn further parts, or another product",
        "calibrate": "choose the threshold anew",
    },
    "Inspect": {
        "inspect": "inspect images or folders, a line or JSON object each",
        "watch": "inspect images as they are written to a folder",
        "export": "write a model that needs no torch",
    },
    "Measure": {
        "test": "measure a model on labelled parts and write a report",
        "profile": "measure the latency of exported models",
        "benchmark": "measure methods x data sets x seeds x protocols",
        "benchmark-report": "write the tables and pages of a benchmark",
    },
    "Field": {
        "list": "list the methods and the data sets",
        "info": "describe a method, a data set or a model file",
        "papers": "list papers: filter, sort, cite",
        "taxonomy": "show the methods of the field as a tree",
        "leaderboard": "show published numbers and ours on a data set",
        "survey": "write the skeleton of a survey",
    },
}
"""The commands as `blemish --help` shows them: by group, each with what it does."""


class _Grouped(TyperGroup):
    """Shows its commands in GROUPS."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for commands in GROUPS.values() for name in commands]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        wide = max(map(len, self.list_commands(ctx)))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(wide), text) for name, text in commands.items()])


app = typer.Typer(
    name="blemish",
    cls=_Grouped,
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
