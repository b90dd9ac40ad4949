"""A progress bar with the time left, on standard error, where somebody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

DAY = 24 * 3600.0


def progress(
    items: Iterable[T],
    label: str,
    total: int | None = None,
    *,
    done: int = 0,
    note: Callable[[], str] | None = None,
    left: Callable[[], float | None] | None = None,
) -> Iterator[T]:
    """Yield the items with a progress bar on standard error; silent where nobody watches (no terminal).

    `done` of the `total` were finished before. `note` is asked after each item what to write beside the label, `left`
    how many seconds are left; without it the mean of the last items says. Of several processes that torchrun started only
    the first shows a bar.
    """
    if not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if total is None and isinstance(items, Sized):
        total = len(items)
    remaining = TimeRemainingColumn() if left is None else TextColumn("{task.fields[left]}", style="progress.remaining")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), remaining
    # rich forgets what is older than this, 30 s by itself: items that take longer would have no time left
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=DAY) as bar:
        task = bar.add_task(label, total=total, completed=done, left=clock(None))
        for item in items:
            yield item
            said = f"{label} {note()}" if note else label
            bar.update(task, advance=1, description=said, left=clock(left() if left else None))


def clock(seconds: float | None) -> str:
    """Return seconds as hours, minutes and seconds, 1:02:03; None as -:--:--."""
    return "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
