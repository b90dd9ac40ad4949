"""A cell in a process of its own: its memory, its crashes and its random numbers are nobody else's.

`measured` starts `python -m blemish.benchmark.process`, which reads the cell from its standard input and answers on its
standard output. The process ends when that input ends: with whoever started it, even if that was killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from blemish.benchmark.cells import failure
from blemish.core.memory import keep_freed_memory

Task = dict[str, Any]
"""The arguments of `blemish.benchmark.measure.measure` as JSON values: cell, device, features, fitted, keep."""


def measured(
    task: Task,
    *,
    limit: float | None = None,
    threads: int | None = None,
    started: Callable[[subprocess.Popen[bytes]], None] = lambda process: None,
) -> dict[str, Any]:
    """Return a cell's result, or how it failed; nothing is raised for what happens in its process.

    Args:
        task: See `Task`.
        limit: The most seconds it may take; None: as many as it likes.
        threads: How many it computes with; None: as many as it likes, or as OMP_NUM_THREADS says.
        started: Called with the process.

    Returns:
        The result, in JSON values.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    command = [sys.executable, "-P", "-m", "blemish.benchmark.process"]  # -P: nothing is imported from where we stand
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the runner, which stops its cells
        )
        late = threading.Event()

        def too_late() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(limit or 0.0, too_late)
        with process:
            started(process)
            if limit is not None:
                clock.start()
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
            with suppress(BrokenPipeError):  # it has died already
                process.stdin.write(json.dumps(task).encode() + b"\n")
                process.stdin.flush()
            answer = process.stdout.read()
            process.wait()
            clock.cancel()
            with suppress(BrokenPipeError):  # what it died before reading
                process.stdin.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    if late.is_set():
        return failure(f"not done after {limit:g} seconds", said[-4000:])
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        return failure(f"its process {_ended(process.returncode)}", said[-4000:])
    return found


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"was ended by {name}{'; was there too little memory?' if name == 'SIGKILL' else ''}"


def main() -> None:
    """Measure the cell on standard input."""
    keep_freed_memory()
    task = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anybody prints is not part of the answer
    try:
        from pathlib import Path

        from blemish.benchmark.cells import Cell
        from blemish.benchmark.measure import measure

        kept = {name: None if task[name] is None else Path(task[name]) for name in ("features", "fitted")}
        found = measure(Cell.from_dict(task["cell"]), device=task["device"], keep=task["keep"], **kept)
        text = json.dumps(found, allow_nan=False, default=str)
    except Exception as error:  # whatever it is, it is this cell's result
        text = json.dumps(failure(f"{type(error).__name__}: {error}", traceback.format_exc()))
    with answer:
        answer.write(text)


def _end_with_input() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock this thread would hold while Python ends
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
