"""The command that stays: watch."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import DeviceOption
from blemish.cli.printing import DEFECTIVE, ERROR, GOOD, INTERRUPTED, let_go
from blemish.core.errors import InputError

if TYPE_CHECKING:
    from blemish.watch import Looks, Status, Watch

SAY_EVERY = 60.0
"""Seconds between two status lines where there is no terminal."""


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="Folder into which images are written, in it or below.")],
    model: Annotated[Path, typer.Option("--model", "-m", help="Model file made by `blemish fit` or `blemish export`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results.jsonl and pictures of rejects.")],
    once: Annotated[bool, typer.Option("--once", help="Look at what is there, then stop.")] = False,
    pattern: Annotated[
        list[str] | None,
        typer.Option(help="Only these names, e.g. 'top_*.png'; may be repeated. [default: all images]"),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only files written since: now, 2h, 3d, or 2026-01-31T06:00. [default: all]")
    ] = None,
    settle: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds without change after which a file is complete; 0 if renamed into place."),
    ] = 1.0,
    give_up: Annotated[
        float, typer.Option(min=0.0, help="Seconds more after which an unreadable file is reported as an error.")
    ] = 30.0,
    poll: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks over the folder, at least.")] = 0.5,
    content_hash: Annotated[bool, typer.Option("--content-hash", help="Write each file's SHA-256 as well.")] = False,
    rotate: Annotated[
        float | None, typer.Option(min=0.001, help="Begin a new results file at this size, in MB. [default: never]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images looked at together.")] = 8,
    device: DeviceOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines of results.jsonl as well.")] = False,
) -> None:
    """Inspect images as they are completed, each exactly once, until stopped; a restart goes on where it was.

    Stopped by Ctrl-C or SIGTERM it finishes the images in hand and exits with 0. With --once it exits like inspect: 0 all
    good, 1 some defective, 2 some not decided.
    """
    from blemish.watch import Watch

    looks, model_hash = load_model(model, device)
    if looks.calibration is None:
        raise InputError(f"{model} has no threshold, so nothing is decided. Choose one: blemish calibrate {model} ...")
    watcher = Watch(
        folder,
        looks,
        out,
        model_hash=model_hash,
        batch_size=batch_size,
        settle=settle,
        give_up=give_up,
        poll=poll,
        patterns=pattern or (),
        since=moment(since),
        content_hash=content_hash,
        rotate_bytes=None if rotate is None else int(rotate * 1e6),
        say=say,
        show=Showing(out, as_json),
    )
    with stopped_by_signals(watcher.stop) as stopped, status_line(watcher):
        status = watcher.run(once=once)
    say(status.text)
    if not once:
        raise typer.Exit(GOOD)
    if stopped.is_set():
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(ERROR if status.error or status.unseen else DEFECTIVE if status.defective else GOOD)


def load_model(path: Path, device: str) -> tuple[Looks, str]:
    """Return what looks at parts, and the SHA-256 of its file, of both files one after the other with OpenVINO's.

    Args:
        path: The model's file.
        device: "cpu", "auto" or "cuda:0".

    Returns:
        What inspects parts, and the SHA-256 of its file (of both files one after the other with OpenVINO's).
    """
    from blemish.core.files import sha256
    from blemish.inference.loading import load
    from blemish.inference.metadata import model_files

    return load(path, device=device), sha256(*model_files(path))


def moment(text: str | None) -> float:
    """Return the moment that `--since` names.

    Args:
        text: "now", a length of time ago (90m, 2h, 3d), or an ISO date and time; None for the beginning.

    Returns:
        Seconds since 1970.

    Raises:
        InputError: it is something else.
    """
    if text is None:
        return 0.0
    if text == "now":
        return time.time()
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    try:
        if text[-1:] in units:
            return time.time() - timedelta(**{units[text[-1]]: float(text[:-1])}).total_seconds()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise InputError(f"--since {text!r} must be now, a time ago like 90m, 2h or 3d, or 2026-01-31T06:00") from error


def shown(line: dict[str, Any]) -> str:
    """Return a line of the journal for people.

    Args:
        line: JSON values.

    Returns:
        One line of text.
    """
    from blemish.core.files import printable

    path = printable(line["part"]["path"])
    if line["verdict"] == "error":
        return f"error      {path}: {printable(line['error'])}"
    where = "".join("  {},{}-{},{}".format(*region["box"]) for region in line["regions"][:3])
    return f"{line['verdict']:<10} score {line['score']:.5g}  p {line['p_value']:.3g}  {path}{where}"


def say(message: str) -> None:
    """Print a message; that nobody can read it ends no watcher.

    Args:
        message: The message.
    """
    with suppress(OSError):
        typer.echo(f"blemish: {message}", err=True)


class Showing:
    """Prints lines of the journal until they cannot be printed, which is reported once and ends no watcher.

    Args:
        out: Folder of the journal.
        as_json: Whether lines are printed as JSON.
    """

    def __init__(self, out: Path, as_json: bool) -> None:
        self.out, self.as_json, self.gone = out, as_json, False

    def __call__(self, line: dict[str, Any]) -> None:
        """Print one line."""
        if self.gone:
            return
        try:
            typer.echo(json.dumps(line) if self.as_json else shown(line))
        except OSError as error:
            self.gone = True
            let_go(sys.stdout)
            say(
                f"stdout takes nothing any more ({error.strerror or error}), so nothing more is printed there. "
                f"Watching goes on; every result is in the journal in {self.out}."
            )


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[Event]:
    """Let SIGTERM and Ctrl-C stop the watcher inside the block; a second one ends the process at once.

    Args:
        stop: Called at the first signal.

    Yields:
        An event that is set with it.
    """
    stopped = Event()
    kinds = [signal.SIGINT, signal.SIGTERM]

    def hear(number: int, frame: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        stop()

    before = [signal.signal(kind, hear) for kind in kinds]
    try:
        yield stopped
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def status_line(watcher: Watch) -> Iterator[None]:
    """Show the status while the block runs: a line that renews itself in a terminal, one a minute elsewhere.

    Args:
        watcher: The watcher.

    Yields:
        Nothing.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(
            console=Console(stderr=True),
            get_renderable=lambda: Text(watcher.status.text, no_wrap=True, overflow="ellipsis"),
            refresh_per_second=2,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        ):
            yield
        return
    ended = Event()
    thread = Thread(target=_say_status, args=(watcher, ended), name="blemish-status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _say_status(watcher: Watch, ended: Event) -> None:
    said: Status | None = None
    while not ended.wait(SAY_EVERY):
        status = watcher.status
        if status != said:
            say(status.text)
        said = status
