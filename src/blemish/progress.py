"""A progress bar with the time left, on standard error, where somebody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")


def progress(
    items: Iterable[T],
    label: str,
    total: int | None = None,
    *,
    done: int = 0,
    note: Callable[[], str] | None = None,
) -> Iterator[T]:
    """Yield the items with a progress bar on standard error; silent where nobody watches (no terminal).

    `done` of the `total` were finished before. `note` is asked after each item what to write beside the label. Of several
    processes that torchrun started only the first shows a bar.
    """
    if not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if total is None and isinstance(items, Sized):
        total = len(items)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)
        for item in items:
            yield item
            bar.update(task, advance=1, description=f"{label} {note()}" if note else label)
