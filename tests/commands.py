"""The command line, called in the test's own process: what a process of its own would print, and its exit code.

A process that imports torch takes seconds; most tests ask what a command answers, not how it ends. Those about ends (pipes
that close, full disks, signals, crashes, missing packages) start processes.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from blemish.cli import main


def blemish(*arguments: object, cwd: Path | None = None, answer: str = "") -> CompletedProcess[str]:
    """Run `blemish ARGUMENTS`; `answer` is what somebody types.

    Args:
        *arguments: The words after `blemish`.
        cwd: The folder in which the command is run.
        answer: Its standard input.

    Returns:
        Exit code and output, as of `subprocess.run`.
    """
    words = [str(each) for each in arguments]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(sys, "argv", ["blemish", *words])
        patch.setattr(sys, "stdin", io.StringIO(answer))
        if cwd is not None:
            patch.chdir(cwd)
        patch.setattr(sys.modules["blemish.cli.app"], "keep_freed_memory", lambda: False)  # it is of the whole process
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        before = dict(os.environ)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            os.environ.clear()
            os.environ.update(before)
    return CompletedProcess(["blemish", *words], code, out.getvalue(), err.getvalue())
