"""Arguments checked against what a function takes: keywords, texts like "steps=400", and other libraries' names.

A text's value is JSON (400, 0.1, [1, 2], null), one of Python's constants (True, False, None), or else a string.
"""

from __future__ import annotations

import inspect
import json
import math
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType, UnionType
from typing import Any, ParamSpec, TypeVar

from blemish.core.errors import InputError, UnknownName

P = ParamSpec("P")
R = TypeVar("R")


def _each(words: str, here: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), here)


WORK = {
    **_each("epochs max_epochs min_epochs num_epochs n_epochs", "a training is as long as the model's `steps`"),
    **_each("max_steps min_steps iterations", "a training is as long as the model's `steps`"),
    "learning_rate": "the model's `lr`",
    **_each(
        "num_neighbors num_neighbours n_neighbors k", "`neighbours`; those of the weight are `reweight_neighbours`"
    ),
    "pre_trained": "the model's `pretrained`",
    "n_features": "PaDiM's `dims`",
    **_each("accelerator devices device gpus", "the Engine's `device`: 'auto', 'cpu' or 'cuda:0'"),
    **_each("strategy num_nodes", "leave it out, torchrun starts several processes"),
    "precision": "the Engine's `precision`",
    **_each("default_root_dir root_dir project_path", "the Engine's `root`"),
    "callbacks": "leave them out; training stops early with the Engine's `patience`",
    **_each("loggers", "the Engine's `logger`"),
    **_each("enable_checkpointing log_every_n_steps enable_progress_bar", "leave it out, all is in the run's folder"),
    "protocol": "`resolution`: 'original' or 'network'",
    "task": "leave it out, pixels are measured where there are masks",
    **_each("normalization post_processor", "leave it out, scores stay raw and `false_reject_rate` sets the threshold"),
    **_each("threshold image_threshold pixel_threshold", "chosen on good parts, for the Engine's `false_reject_rate`"),
    **_each("metrics image_metrics pixel_metrics evaluator", "leave it out, every test measures all"),
    **_each("visualizer visualizers", "leave it out, Engine.test draws report.html"),
    **_each("image_size input_size transform transforms", "the datamodule's `image_size`, `crop`, `roi`, `ignore`"),
    **_each("pre_processor augmentations", "the datamodule's `image_size`, `crop`, `roi`, `ignore`"),
    **_each("batch_size train_batch_size", "the datamodule's `train_batch_size` and `eval_batch_size`"),
    **_each("ckpt_path checkpoint weights_path", "a saved file as `model`; fit goes on with `resume`, a run's folder"),
    **_each(
        "dataset dataloaders train_dataloaders val_dataloaders data", "a `datamodule`; predict takes `data_path` too"
    ),
    "datamodules": "one `datamodule`",
    "return_predictions": "leave it out, they are always returned; Inspector.stream does not keep them",
    "export_type": "`format`",
    **_each("export_root model_file_name", "`path`"),
}
"""Other libraries' names for arguments of models and engines, and what each is here."""

DATA = {
    "name": "leave it out, every fit has a run folder with a number",
    "normal_dir": "say `good`",
    "abnormal_dir": "say `defective`",
    "normal_test_dir": "good images to test on go to test/good beside train/good; else `test_share` draws them",
    "mask_dir": "say `masks`",
    **_each("normal_split_ratio test_split_ratio", "say `test_share`"),
    "test_split_mode": "leave it out, `test_share` of the good images are tested where no folder is called test",
    **_each(
        "val_split_mode val_split_ratio",
        "no threshold is chosen on test images; `holdout` of the good ones are kept for it",
    ),
    "extensions": "leave it out, every image is found",
    **_each("num_workers persistent_workers pin_memory", "leave it out, threads read the images ahead"),
    "task": "leave it out, pixels are measured where there are masks",
    **_each("transform train_transform eval_transform augmentations", "`image_size`, `crop`, `roi`, `ignore`, `white`"),
    **_each("train_augmentations val_augmentations test_augmentations", "leave it out, methods that turn images do it"),
    "center_crop": "say `crop`",
}
"""Other libraries' names for arguments of data sets, and what each is here."""


def refuse_unknown(kind: str, given: Iterable[str], known: Iterable[str], words: Mapping[str, str]) -> None:
    """Refuse the names of arguments that are not known, all at once.

    Args:
        kind: What takes the arguments, for the message ("Engine.fit").
        given: Names of the arguments given.
        known: Names of the arguments that exist.
        words: Other libraries' names for arguments, and what each is here.

    Raises:
        InputError: some are unknown, all of them in `words`; the message says what they are here.
        UnknownName: one is unknown and not in `words`; the message suggests the nearest.
    """
    known = list(dict.fromkeys(known))
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    said = [f"{name}: {words[name]}." for name in unknown if name in words]
    strange = [name for name in unknown if name not in words]
    if strange:
        said += [f"{name!r} is unknown too." for name in strange[1:]]
        raise UnknownName(f"argument of {kind}", strange[0], known, " ".join(said))
    named = f"argument {unknown[0]!r}" if len(unknown) == 1 else f"arguments {', '.join(map(repr, unknown))}"
    raise InputError(f"{kind} has no {named}. {' '.join(said)} Known: {', '.join(known)}.")


def known_arguments(kind: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a decorator by which keywords that a function does not have are refused by `refuse_unknown`.

    Args:
        kind: What the function is called in the message ("Engine.fit").

    Returns:
        The decorator; a function that takes any keyword is left as it is.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return function
        names = [name for name in parameters if name != "self"]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_unknown(kind, kwargs, names, WORK)
            return function(*args, **kwargs)

        return checked

    return decorate


def known_hyperparameters(made: type) -> None:
    """Let a class's own constructor, if it has one, refuse keywords that it does not have, and NaN and infinity.

    Args:
        made: The class; it is changed in place.
    """
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


PYTHON_WORDS = {"True": True, "False": False, "None": None}


def named_values(
    function: Callable[..., Any],
    pairs: Iterable[str],
    kind: str,
    flag: str,
    *,
    unless: Collection[str] = (),
    words: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Parse texts into arguments of a function, in the types of its signature.

    Args:
        function: Its signature has the names and types.
        pairs: Texts name=value.
        kind: What the names are, for the messages ("parameter of patchcore").
        flag: Option that the texts were given with, for the messages ("--set").
        unless: Arguments that cannot be named.
        words: Other libraries' names for arguments, and what each is here.

    Returns:
        The values by name.

    Raises:
        UnknownName: the function has no such argument.
        InputError: a text is no pair, or its value is of another type than the argument.
    """
    hints = typing.get_type_hints(function)
    known = [name for name in inspect.signature(function).parameters if name not in unless]
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"{flag} {pair!r} must be name=value")
        if name not in known:
            raise UnknownName(kind, name, known, f"{name}: {words[name]}." if name in words else "")
        options[name] = _value(text)
        if not _fits(options[name], hints.get(name, Any)):
            raise InputError(f"{flag} {pair!r}: {name} must be {_words(hints[name])}")
    return options


def _value(text: str) -> Any:
    if text in PYTHON_WORDS:
        return PYTHON_WORDS[text]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a bare word is a string


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a parameter's annotated type; an integer is a float too, a bool is neither."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin in (list, tuple, Sequence):
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if hint is Any or hint is None or hint is type(None):
        return hint is Any or value is None
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, int | float if hint is float else hint)


def _words(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
