"""The command line: parses, calls, prints. Everything it does can be done from Python as well.

Exit codes: 0 done (inspect: all parts good), 1 inspect found a defective part or cells of bench failed,
2 something went wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from blemish.cli import learning  # noqa: F401 - importing hangs the commands on the app, in the order of `--help`
from blemish.cli import looking  # noqa: F401
from blemish.cli import exporting  # noqa: F401
from blemish.cli import watching  # noqa: F401
from blemish.cli import knowing  # noqa: F401
from blemish.cli import bench  # noqa: F401
from blemish.cli import bench_report  # noqa: F401
from blemish.cli import literature  # noqa: F401
from blemish.cli.app import app
from blemish.cli.printing import ERROR, GOOD, INTERRUPTED
from blemish.errors import BlemishError, MissingExtra

EXTRAS = {"torch": "train", "timm": "train", "torchvision": "train", "jinja2": "report", "matplotlib": "report"}


def main() -> None:
    """Run the command line; errors become one clear paragraph and exit code 2."""
    with stopping():
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # the parser has caught Ctrl-C already
            raise KeyboardInterrupt
        sys.exit(code)


@contextmanager
def stopping() -> Iterator[None]:
    """Turn what goes wrong inside into one clear paragraph and an exit code."""
    try:
        yield
    except (typer.Abort, KeyboardInterrupt):
        _stop(
            "stopped. Nothing is half-written; a stopped fit goes on with `blemish fit ... --resume RUN`.", INTERRUPTED
        )
    except BlemishError as error:
        _stop(str(error), ERROR)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRAS:
            raise
        _stop(str(MissingExtra(f"{error.name}, which this command needs,", EXTRAS[error.name or ""])), ERROR)
    except BrokenPipeError:  # `blemish ... | head` has seen enough
        sys.stderr.close()
        sys.exit(GOOD)
    except Exception as error:
        if not hasattr(error, "format_message"):  # the parser's own complaints about the command
            raise
        error.show()  # type: ignore[attr-defined]
        sys.exit(ERROR)


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(f"blemish: {message}", err=True)
    sys.exit(code)
