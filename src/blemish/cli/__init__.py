"""The command line: parses, calls, prints. Everything it does can be done from Python as well.

Exit codes: 0 done (inspect: all parts good), 1 inspect found a defective part or cells of benchmark failed,
2 something went wrong: a mistake, a crash, or output that nobody takes.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import typer

from blemish.cli import benchmark, export, field, inspect, learn, literature, measure, watch  # noqa: F401 - they add commands
from blemish.cli.app import app
from blemish.cli.printing import ERROR, GOOD, INTERRUPTED, let_go, shown
from blemish.core.errors import BlemishError, MissingExtra

EXTRAS = {"torch": "train", "timm": "train", "torchvision": "train", "jinja2": "report", "matplotlib": "report"}


def main() -> None:
    """Run the command line; errors become one clear paragraph and exit code 2.

    Raises:
        SystemExit: always, with the exit code.
    """
    with stopping():
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # the parser has caught Ctrl-C already
            raise KeyboardInterrupt
        print(end="", flush=True)  # what cannot be printed shows here, not after the exit code is chosen
    _end(code or GOOD)


@contextmanager
def stopping() -> Iterator[None]:
    """Turn errors inside into one clear paragraph, or a traceback if unexpected, and an exit code.

    Never 1: that is what a defective part ends with.

    Yields:
        Nothing.
    """
    try:
        yield
    except (typer.Abort, KeyboardInterrupt):
        _stop(
            "stopped. Nothing is half-written; a stopped fit goes on with `blemish fit ... --resume RUN`.", INTERRUPTED
        )
    except BlemishError as error:
        _stop(str(error), ERROR)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer and rich end with 1 when they meet one
            _stop_unread()
        raise
    except BrokenPipeError:
        _stop_unread()
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get((error.name or "").partition(".")[0])):
            _stop(str(MissingExtra(f"{error.name}, which this command needs,", extra)), ERROR)
        with suppress(OSError):
            if hasattr(error, "format_message"):  # the parser's own complaints about the command
                error.show()  # type: ignore[attr-defined]
            else:
                traceback.print_exc()
        _end(ERROR)


def _stop_unread() -> NoReturn:
    _stop("stopped: a pipe was closed before everything was said, so not everything was done.", ERROR)


def _stop(message: str, code: int) -> NoReturn:
    with suppress(OSError):  # nobody reads that either
        typer.echo(f"blemish: {shown(message)}", err=True)
    _end(code)


def _end(code: int) -> NoReturn:
    """End with this exit code; the interpreter would put its own in place if a stream could not be emptied."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: it was closed before we began
        try:
            stream.flush()
        except (OSError, ValueError):
            let_go(stream)
    sys.exit(code)
