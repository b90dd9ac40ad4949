"""The curve of a training: a CSV file, one row per step, and the same for each logger."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from blemish.core.files import storage_errors, write_text
from blemish.training.loggers import Logger

FLUSH = 50
"""Most rows that are lost when the process is killed."""


class Log:
    """Rows of numbers, appended to a CSV file.

    Args:
        stem: Path of the file without its suffix, .csv.
        columns: Names of the columns after the step's.
        step: Steps taken before; as many rows of an earlier run are kept.
        loggers: What is told each row as well, by the names "01-fit/loss".
    """

    def __init__(self, stem: Path, columns: Sequence[str], step: int, loggers: Sequence[Logger] = ()) -> None:
        self.path, self.columns, self.step = Path(f"{stem}.csv"), tuple(columns), step
        earlier = self.path.read_text(encoding="utf-8").splitlines()[1 : step + 1] if self.path.exists() else []
        write_text(self.path, "\n".join([",".join(("step", *self.columns)), *earlier, ""]))
        with storage_errors(self.path):
            self._stream = self.path.open("a", encoding="utf-8", newline="")
        self._rows = csv.writer(self._stream, lineterminator="\n")
        self._loggers, self._name = loggers, stem.name

    def row(self, values: Mapping[str, float | None]) -> None:
        """Write the next step's row.

        Args:
            values: Values by column; None, or an absent one, leaves its cell empty.
        """
        self.step += 1
        with storage_errors(self.path):
            self._rows.writerow([self.step, *(_short(values.get(name)) for name in self.columns)])
        for logger in self._loggers:
            told = {f"{self._name}/{name}": value for name, value in values.items() if value is not None}
            logger.log_metrics(told, self.step)
        if self.step % FLUSH == 0:
            self.flush()

    def flush(self) -> None:
        """Write buffered rows to the disk."""
        with storage_errors(self.path):
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with storage_errors(self.path):
            self._stream.close()


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.7g}"
