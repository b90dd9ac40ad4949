"""How verdicts and cards are printed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import typer

from blemish.core.files import printable

if TYPE_CHECKING:
    from blemish.core.prediction import Prediction

GOOD, DEFECTIVE, ERROR, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


def word(verdict: Prediction) -> str:
    """Return the verdict in a word.

    Args:
        verdict: The verdict.

    Returns:
        "good", "defective", "error" or "no threshold".
    """
    return verdict.verdict or "no threshold"


def line(verdict: Prediction) -> str:
    """Return the verdict as a line for people.

    Args:
        verdict: The verdict.

    Returns:
        One line.
    """
    if verdict.error is not None:
        return f"error      {printable(verdict.error)}"
    p_value = "" if verdict.p_value is None else f"  p {verdict.p_value:.3g}"
    where = "".join(f"  {r.box[0]},{r.box[1]}-{r.box[2]},{r.box[3]}" for r in verdict.regions[:3])
    if verdict.defective and verdict.mask is not None and not verdict.regions and verdict.peak is not None:
        x, y = verdict.peak.at
        where = f"  no region reaches the pixel threshold; the map peaks at {x},{y}"
    return f"{word(verdict):<10} score {verdict.score:.5g}{p_value}  {printable(verdict.key)}{where}"


def print_json(value: Any) -> None:
    """Print JSON for machines.

    Args:
        value: JSON values.
    """
    typer.echo(json.dumps(value, indent=2, default=str))


def shown(text: str) -> str:
    """Return text in which nothing is left that a terminal would obey; lines are kept.

    Args:
        text: From anywhere, such as names of files.

    Returns:
        Printable text.
    """
    return "\n".join(map(printable, text.split("\n")))


def print_tree(value: dict[str, Any], indent: int = 0) -> None:
    """Print nested values, indented, for people.

    Args:
        value: Nested dictionaries and lists.
        indent: Spaces before each line.
    """
    for name, content in value.items():
        key = printable(name)
        if isinstance(content, dict):
            typer.echo(f"{' ' * indent}{key}:")
            print_tree(content, indent + 2)
        elif isinstance(content, list | tuple):
            typer.echo(f"{' ' * indent}{key}:")
            for item in content:
                typer.echo(f"{' ' * (indent + 2)}- {printable(str(item))}")
        else:
            typer.echo(f"{' ' * indent}{key}: {printable(str(content))}")


def let_go(stream: TextIO) -> None:
    """Redirect a stream that takes nothing any more to nowhere, with what is still in its buffer.

    Args:
        stream: Standard output or standard error.
    """
    with suppress(OSError, ValueError):  # it has no file of the system's, or is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
