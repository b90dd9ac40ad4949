"""Arguments that do not exist here: the nearest that do, and what the words of other libraries are called here."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from blemish.errors import InputError, UnknownName

P = ParamSpec("P")
R = TypeVar("R")

HABITS = {
    "Training is as long as the model's `steps`, gradient steps, as in STPM(steps=400); a memory bank takes none.": (
        *("epochs", "max_epochs", "min_epochs", "num_epochs", "n_epochs", "max_steps", "min_steps", "iterations"),
    ),
    "The learning rate is the model's `lr`.": ("learning_rate",),
    "PatchCore counts its `neighbours`.": ("num_neighbors", "n_neighbors", "num_neighbours", "k"),
    "Weights from the hub are asked for by `pretrained`.": ("pre_trained",),
    "PaDiM keeps `dims` of the channels.": ("n_features",),
    "Where to compute is the Engine's `device`: 'auto', 'cpu' or 'cuda:0'; several GPUs are torchrun's.": (
        *("accelerator", "devices", "device", "gpus", "strategy", "num_nodes"),
    ),
    "Half precision is the Engine's `precision`.": ("precision",),
    "Run folders are made in the Engine's `root`.": ("default_root_dir", "root_dir", "project_path"),
    "Checkpoints and curves are in the run's folder by themselves; training stops early with the Engine's `patience`.": (
        *("callbacks", "logger", "enable_checkpointing", "log_every_n_steps", "enable_progress_bar"),
    ),
    "Nothing is to be set: pixels are measured where there are masks.": ("task",),
    "Scores stay raw; the threshold is chosen on good parts held out, for the Engine's `false_reject_rate`.": (
        *("normalization", "threshold", "image_threshold", "pixel_threshold", "post_processor"),
    ),
    "Every test measures all metrics.": ("metrics", "image_metrics", "pixel_metrics", "evaluator"),
    "Engine.test draws its pictures in report.html.": ("visualizer", "visualizers"),
    "The datamodule prepares images: its `image_size`, `crop`, `roi`, `ignore`.": (
        *("image_size", "input_size", "transform", "transforms", "pre_processor", "augmentations"),
    ),
    "The datamodule has `train_batch_size` and `eval_batch_size`.": ("batch_size", "train_batch_size"),
    "fit goes on with `resume`, the folder of the stopped run; test and predict take a saved file as `model`.": (
        *("ckpt_path", "checkpoint", "weights_path"),
    ),
    "Give a `datamodule`, for images of your own blemish.data.Folder; predict takes paths as `data_path` too.": (
        *("dataset", "dataloaders", "train_dataloaders", "val_dataloaders", "data", "datamodules"),
    ),
    "Predictions are always returned; Inspector.stream does not keep them.": ("return_predictions",),
    "The kind of file is `format`, the file `path`.": ("export_type", "export_root", "model_file_name"),
}
"""What to use here, by the words that others use."""

_HERE = {word: here for here, words in HABITS.items() for word in words}


def known_arguments(kind: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of `kind` ("Engine.fit"): keywords it does not have are refused as every unknown name is.

    Raises (when the function is called):
        UnknownName: it has no such argument; the message says what other libraries' word for it is called here.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return function
        names = [name for name in parameters if name != "self"]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_unknown(kind, kwargs, names)
            return function(*args, **kwargs)

        return checked

    return decorate


def refuse_unknown(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise UnknownName for the first of the given names that is not known to `kind`."""
    known = list(known)
    for name in given:
        if name not in known:
            raise UnknownName(f"argument of {kind}", name, known, _HERE.get(name, ""))


def known_hyperparameters(made: type) -> None:
    """Let a class's own constructor, if it has one, refuse keywords that it does not have, and numbers that are none."""
    if "__init__" in vars(made):
        checked = known_arguments(made.__name__)(_finite(vars(made)["__init__"]))
        setattr(made, "__init__", checked)  # noqa: B010 - mypy forbids the other way


def _finite(constructor: Callable[P, R]) -> Callable[P, R]:
    """Refuse NaN and infinity, which pass comparisons with a bound and end a fit much later, or never."""
    signature = inspect.signature(constructor)

    @wraps(constructor)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind_partial(*args, **kwargs).arguments.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"{name} is {value}; it must be a finite number")
        return constructor(*args, **kwargs)

    return checked
