"""Runs in other tools' trackers: MLflow, Weights & Biases, TensorBoard, or whatever has the methods of a Lightning logger.

A run there has the name of the run's folder, its hyper-parameters, the curve of each training step by step, and what a
test found. A run that is resumed is the same run there.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from blemish.core.errors import InputError, UnknownName
from blemish.core.files import write_text

METHODS = ("log_hyperparams", "log_metrics", "finalize")
"""What a logger must have."""

BATCH = 900
"""Values that MLflow is sent at once; it takes 1000."""


class Logger(Protocol):
    """What a run is reported to: three of the methods of a Lightning logger, so that any such serves."""

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Report what decides the run.

        Args:
            params: Plain values by name, which may be nested.
        """

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Report what was measured.

        Args:
            metrics: Values by name.
            step: Of a training, counted from 1; None for a test.
        """

    def finalize(self, status: str) -> None:
        """Send what is left.

        Args:
            status: "success" or "failed".
        """


class TensorBoard(Logger):
    """Event files in the run's folder.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """As a table in the tab Text."""
        rows = [f"| {name} | {value} |" for name, value in _flat(params).items()]
        self._writer.add_text("run", "\n".join(["| name | value |", "|---|---|", *rows]))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As scalars."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def finalize(self, status: str) -> None:
        """Close the file."""
        self._writer.close()


class MLflow(Logger):
    """A run in the experiment and on the server that MLflow's own settings name (MLFLOW_TRACKING_URI, ...).

    Args:
        folder: The run's folder; the run's id is kept in it.
    """

    def __init__(self, folder: Path) -> None:
        import mlflow

        def start() -> str:
            with mlflow.start_run(run_name=_name(folder), nested=mlflow.active_run() is not None) as run:
                return str(run.info.run_id)

        self._id, self._client = _kept(folder / "mlflow-run-id", start), mlflow.MlflowClient()
        self._values: list[Any] = []
        self._client.update_run(self._id, status="RUNNING")

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """As parameters."""
        from mlflow.entities import Param

        pairs = [Param(name, str(value)) for name, value in _flat(params).items()]
        for start in range(0, len(pairs), 100):  # at most so many at once
            self._client.log_batch(self._id, params=pairs[start : start + 100])

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As metrics, sent by the hundreds."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._values += [Metric(name, float(value), now, step or 0) for name, value in metrics.items()]
        if len(self._values) >= BATCH - 20:
            self._send()

    def finalize(self, status: str) -> None:
        """Send what is left and say how it ended."""
        self._send()
        self._client.set_terminated(self._id, "FINISHED" if status == "success" else "FAILED")

    def _send(self) -> None:
        for start in range(0, len(self._values), BATCH):
            self._client.log_batch(self._id, metrics=self._values[start : start + BATCH])
        self._values.clear()


class WeightsAndBiases(Logger):
    """A run in the project that WANDB_PROJECT names, "blemish" by default.

    Args:
        folder: The run's folder; the run's id is kept in it.
    """

    def __init__(self, folder: Path) -> None:
        import wandb

        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "blemish"),
            id=_kept(folder / "wandb-run-id", lambda: uuid.uuid4().hex[:8]),
            name=_name(folder),
            dir=str(folder),
            resume="allow",
            reinit="create_new",
        )

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """As the run's configuration."""
        self._run.config.update(dict(params), allow_val_change=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As values over a step of their own: each training of a method begins at 1."""
        if step is None:
            self._run.summary.update(dict(metrics))
            return
        own = f"{next(iter(metrics)).rpartition('/')[0]}/step"
        for name in metrics:
            self._run.define_metric(name, step_metric=own)
        self._run.log({**metrics, own: step})

    def finalize(self, status: str) -> None:
        """Send what is left and say how it ended."""
        self._run.finish(exit_code=0 if status == "success" else 1)


KNOWN: Mapping[str, tuple[Any, str]] = {
    "tensorboard": (TensorBoard, "tensorboard"),
    "mlflow": (MLflow, "mlflow"),
    "wandb": (WeightsAndBiases, "wandb"),
}
"""By name what reports there, and the package that it needs."""


def check_loggers(asked: str | Logger | Sequence[str | Logger] | None) -> tuple[str | Logger, ...]:
    """Return what a user names, as a tuple.

    Args:
        asked: One or several of the names in `KNOWN`, or objects with the methods of `Logger`.

    Returns:
        The same, checked.

    Raises:
        UnknownName: no tracker has such a name.
        InputError: an object is no logger.
    """
    several = () if asked is None else tuple(asked) if isinstance(asked, list | tuple) else (asked,)
    for one in several:
        if isinstance(one, str) and one not in KNOWN:
            raise UnknownName("logger", one, KNOWN)
        if not isinstance(one, str) and not all(hasattr(one, name) for name in METHODS):
            raise InputError(
                f"logger is {one!r}; it must be one of {', '.join(KNOWN)}, or an object with "
                f"{', '.join(METHODS)}, as Lightning's loggers are"
            )
    return several


@contextlib.contextmanager
def reported(asked: Sequence[str | Logger], folder: Path) -> Iterator[list[Logger]]:
    """Open the loggers of one run, and tell them in the end how it went.

    Args:
        asked: As `check_loggers` returns it.
        folder: The run's folder.

    Yields:
        The loggers.

    Raises:
        InputError: the package of one of them is not installed.
    """
    loggers: list[Logger] = []
    status = "failed"
    try:
        loggers.extend(_open(one, folder) if isinstance(one, str) else one for one in asked)
        yield loggers
        status = "success"
    finally:
        for logger in loggers:
            logger.finalize(status)


def _open(name: str, folder: Path) -> Logger:
    made, package = KNOWN[name]
    try:
        found: Logger = made(folder)
    except ImportError as error:
        raise InputError(f"logger {name!r} needs the package {package}. Install it: pip install {package}") from error
    return found


def _kept(place: Path, new: Callable[[], str]) -> str:
    """Return the run's id in a tracker, made once and kept in the run's folder."""
    if not place.exists():
        write_text(place, new())
    return place.read_text(encoding="utf-8").strip()


def _name(folder: Path) -> str:
    """Return what a run is called where its folder's root is not seen: patchcore-folder-cable/0001."""
    return f"{folder.resolve().parent.name}/{folder.name}"


def _flat(params: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values by names with dots between."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat
