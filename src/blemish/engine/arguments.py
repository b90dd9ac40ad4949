"""What an engine is handed: a model, a datamodule, paths; each other thing is refused by what it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.data.datamodule import DataModule
from blemish.inference.inspection import Inspection


def require_detector(model: object, call: str) -> Detector:
    """Return the model, which must be an instance of a method.

    Args:
        model: What the user gave.
        call: How the call is meant, for the error: "fit(model, datamodule)".

    Returns:
        The model.

    Raises:
        InputError: it is something else; the message says how `call` ("fit(model, datamodule)") is meant.
    """
    if isinstance(model, Detector):
        return model
    if isinstance(model, type) and issubclass(model, Detector):
        raise InputError(f"model is the class {model.__name__}, not a model of it. Make one: {model.__name__}()")
    if isinstance(model, Inspection):
        raise InputError("model is an inspector, which is fitted already. Make a fresh model of blemish.models to fit.")
    turned = " The datamodule comes second." if isinstance(model, DataModule) else ""
    raise InputError(f"model is {_named(model)}; it must be a method of blemish.models.{turned} Call {call}.")


def require_data(datamodule: object, call: str) -> DataModule:
    """Return the datamodule, which must be an instance of a data set.

    Args:
        datamodule: What the user gave.
        call: How the call is meant, for the error.

    Returns:
        The datamodule.

    Raises:
        InputError: it is something else; the message says how `call` is meant.
    """
    if isinstance(datamodule, DataModule):
        return datamodule
    if isinstance(datamodule, type) and issubclass(datamodule, DataModule):
        name = datamodule.__name__
        raise InputError(f"datamodule is the class {name}, not a datamodule of it. Make one: {name}(root)")
    folder = " For a folder: blemish.data.Folder(root)." if isinstance(datamodule, str | Path) else ""
    raise InputError(
        f"datamodule is {_named(datamodule)}; it must be a data set or Folder of blemish.data.{folder} Call {call}."
    )


def require_paths(data_path: object) -> Path | list[Path]:
    """Return the path or the paths.

    Args:
        data_path: What the user gave.

    Returns:
        A path, or a list of paths.

    Raises:
        InputError: they are something else, such as arrays.
    """
    if isinstance(data_path, str | Path):
        return Path(data_path)
    given: list[object] = list(data_path) if isinstance(data_path, Iterable) else [data_path]
    paths = [Path(path) for path in given if isinstance(path, str | Path)]
    if len(paths) == len(given):
        return paths
    wrong = next(path for path in given if not isinstance(path, str | Path))
    raise InputError(
        f"data_path holds {_named(wrong)}; it must be a file, a folder or a list of files. Arrays, (H, W, 3), are "
        "inspected by an Inspector, which fit and Inspector.load return: inspector.inspect([array, ...])"
    )


def _named(thing: object) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"
