"""Run folders: one for each fit, never overwritten, written atomically, resumed where a kill left them.

runs/patchcore-mvtec_ad-bottle/0001/
    run.json           what was asked for, the seed, the versions; written before anything is computed
    training/          curves and checkpoints of the phases of a trained method
    model.safetensors  the inspector; without a threshold until it is calibrated
    report.json        what testing found; report-2.json, ... of other data
    report.html        the same for people
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from blemish.core.differences import differences
from blemish.core.environment import environment
from blemish.core.errors import DataError, FormatError, InputError
from blemish.core.files import read_json, storage_errors, write_json


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder and what it was asked to do."""

    folder: Path
    config: dict[str, Any]

    @property
    def model(self) -> Path:
        """The inspector's file."""
        return self.folder / "model.safetensors"

    @property
    def report(self) -> Path:
        """The test's result as JSON."""
        return self.folder / "report.json"

    @property
    def page(self) -> Path:
        """The test's result as a page."""
        return self.folder / "report.html"


def start(root: Path, name: str, config: dict[str, Any]) -> Run:
    """Make the next folder of that name below `root` and write `config` and the environment to it.

    Args:
        root: Folder of all runs.
        name: Folder of the runs of this kind.
        config: What is asked for, in JSON values.

    Returns:
        The run.

    Raises:
        StorageError: the folder cannot be made or written.
    """
    parent = root / name
    with storage_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        number = max((int(p.name) for p in parent.iterdir() if p.name.isdecimal()), default=0)
        while True:
            number += 1
            try:
                (parent / f"{number:04d}").mkdir()
                break
            except FileExistsError:  # another process took this number
                continue
    run = Run(parent / f"{number:04d}", {**config, "environment": environment()})
    write_json(run.folder / "run.json", run.config)
    return run


def start_at(folder: Path, config: dict[str, Any]) -> Run:
    """Make a run in this very folder, unless there is one, which `resume` then compares with `config`.

    Args:
        folder: The run's folder; it need not exist.
        config: What is asked for, in JSON values.

    Returns:
        The run.

    Raises:
        StorageError: the folder cannot be made or written.
    """
    run = Run(folder, {**config, "environment": environment()})
    if not (folder / "run.json").exists():
        write_json(folder / "run.json", run.config)
    return run


def report_place(folder: Path, about: Mapping[str, Any]) -> Path:
    """Return where the JSON of a report goes: report.json, numbered where one of something else is there.

    Args:
        folder: Folder of the reports.
        about: What the new report says of itself.

    Returns:
        The path.
    """
    names = chain(["report.json"], (f"report-{number}.json" for number in count(2)))
    places = (folder / name for name in names)
    return next(place for place in places if not place.exists() or _reports_the_same(place, about))


def _reports_the_same(place: Path, about: Mapping[str, Any]) -> bool:
    try:
        stored = read_json(place)["about"]
        there, new = (
            [said.get(key) for key in ("model", "method", "params", "resolution")] for said in (stored, about)
        )
        data, wanted = ([said["data"].get(key) for key in ("dataset", "root", "category")] for said in (stored, about))
    except (FormatError, KeyError, TypeError, AttributeError):
        return False
    return bool(there == _plain(new) and data == _plain(wanted))


def resume(folder: Path | str, config: dict[str, Any]) -> Run:
    """Return the run in `folder`, after checking that it was asked to do the same.

    Args:
        folder: The run's folder.
        config: What is asked for, in JSON values.

    Returns:
        The run.

    Raises:
        DataError: the folder holds no run.
        InputError: the run was asked to do something else.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise DataError(f"{folder} holds no run.json, so there is nothing to resume. Start without resuming.")
    stored = read_json(folder / "run.json")
    wanted = _plain(config)
    if shown := differences({key: stored.get(key) for key in wanted}, wanted):
        raise InputError(
            f"{folder} was started with other settings or data: {shown}. Resume with the same, or start a new run."
        )
    return Run(folder, stored)


def _plain(value: Any) -> Any:
    """Return the value as JSON would read it back."""
    import json

    return json.loads(json.dumps(value, default=str))
