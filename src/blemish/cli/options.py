"""What several commands ask for: options, and the texts that are turned into values."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.core.arguments import DATA, WORK, named_values
from blemish.core.errors import InputError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blemish.data.datamodule import DataModule
    from blemish.inference.provenance import Provenance

SAID_ELSEWHERE = {"self", "root", "category", "seed"}
"""Arguments that have an option of their own, or none."""


class Resolution(StrEnum):
    """At which size pixels are compared, see `blemish test --help`."""

    original = "original"
    network = "network"


Root = Annotated[Path, typer.Argument(help="Folder of the parts: only good ones, or good and defective in subfolders.")]
DatasetOption = Annotated[str, typer.Option("--dataset", "-d", help="How the folder is laid out: see `blemish list`.")]
CategoryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--category", "-c", help="Category, if the data set has several; repeated, or all: one model of them."
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="File or folder of frozen networks that the model only names. [default: BLEMISH_WEIGHTS, hub cache]"
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option("--method", "-m", help="The method in the file, if another package has it: package.module:Class."),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        help="How parts are divided: few-shot:k=4, noisy:share=0.1, unlabelled, continual. [default: one-class]"
    ),
]
SearchOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Values to try of a parameter, name=[value, ...]; repeated: every combination. The best is fitted."
    ),
]
JudgeOption = Annotated[
    str, typer.Option(help="What a search is judged on: planted defects, or the labelled validation split.")
]
LoggerOption = Annotated[
    list[str] | None, typer.Option(help="Report the run to mlflow, wandb or tensorboard as well; may be repeated.")
]
RunsOption = Annotated[Path, typer.Option("--out", "-o", help="Folder in which run folders are made.")]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(help="How sure the false-reject rate must be, 0 to 1, e.g. 0.95. [default: right on average]"),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data-option", "-D", help="An option of the data set, name=value; may be repeated (good=passed)."),
]
SizeOption = Annotated[int, typer.Option(min=8, max=8192, help="Side of the network's square input, in pixels.")]
CropOption = Annotated[
    int | None, typer.Option(min=8, help="Centre crop after resizing, in pixels a side. [default: none]")
]
RoiOption = Annotated[
    str | None, typer.Option(help="Region of interest left,top,right,bottom in pixels. [default: all]")
]
IgnoreOption = Annotated[Path | None, typer.Option(help="Mask image: what is not black is ignored. [default: none]")]
WhiteOption = Annotated[
    float | None,
    typer.Option(help="Sensor value shown as white, e.g. 4095 for 12 bits. [default: the file type's largest]"),
]
PixelsOption = Annotated[int, typer.Option(min=1, help="Largest image that is read, in pixels in all.")]
HoldoutOption = Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of good parts kept for the threshold.")]
RateOption = Annotated[float, typer.Option(help="Share of good parts that may be rejected, 0 to 1.")]
SeedOption = Annotated[int, typer.Option(help="Decides everything random.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, or cuda:0.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text for people.")]
EngineOption = Annotated[str, typer.Option(help="Of exported models: auto, onnxruntime or openvino.")]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="Cores an exported model may use for an image. [default: all]")
]
OnOption = Annotated[str, typer.Option(help="local, or ray.")]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray's cluster: auto, or ray://HOST:10001. [default: one made of this machine]")
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        help="Settings of a trained method: quick (minutes on two cores) or paper. "
        "[default: the paper's length of training, on inputs of 256 pixels]"
    ),
]
DemoPresetOption = Annotated[
    str | None,
    typer.Option(help="Settings of a trained method: quick or paper. [default: quick, if the method has it]"),
]
PresetSizeOption = Annotated[
    int | None, typer.Option(min=8, max=8192, help="Side of the network's input. [default: the preset's, or 256]")
]
PresetBatchOption = Annotated[
    int | None, typer.Option(min=1, help="Images of a training step. [default: the preset's, or 32]")
]
PatienceOption = Annotated[
    int | None,
    typer.Option(min=1, help="Stop after so many checks of held-out good parts without gain. [default: never]"),
]


def data_class(name: str) -> type[DataModule]:
    """Return the data set's class; without loading anything before it is asked for.

    Args:
        name: The data set's name.

    Returns:
        The class; nothing is loaded before.
    """
    from blemish.core import registry

    return registry.dataset(name)


def data_module(
    root: Path,
    dataset: str,
    category: list[str] | None,
    options: Mapping[str, Any],
    *,
    protocol: str | Mapping[str, Any] | None = None,
    **settings: Any,
) -> DataModule:
    """Return the parts that are named.

    Args:
        root: Folder of the data set.
        dataset: Its name.
        category: As `--category`: none, one, several, or "all".
        options: Of the data set.
        protocol: As `--protocol`, or as `Protocol.as_dict` describes it.
        **settings: Further arguments of the data module.

    Returns:
        The parts, divided by the protocol.
    """
    named = category[0] if category and len(category) == 1 else category or None
    data = data_class(dataset)(root, named, **settings, **options)
    if protocol is None:
        return data
    from blemish.evaluation.protocol_data import ProtocolData
    from blemish.evaluation.settings import parse
    from blemish.evaluation.settings import protocol as protocol_of

    return ProtocolData(data, parse(protocol) if isinstance(protocol, str) else protocol_of(protocol))


def data_like(
    made_from: Provenance,
    root: Path,
    dataset: str,
    category: list[str] | None,
    options: Mapping[str, Any],
    *,
    protocol: bool = True,
) -> DataModule:
    """Return parts that are divided as those of a model were: the same must stay apart.

    Args:
        made_from: The model's provenance; its options, category and protocol hold for the same data set.
        root: Folder of the data set.
        dataset: Its name.
        category: As `--category`.
        options: Of the data set; they go before the model's.
        protocol: Whether the model's protocol is kept.

    Returns:
        The parts.
    """
    same = made_from.dataset == dataset
    asked = made_from.category
    known = [asked] if isinstance(asked, str) else asked
    return data_module(
        root,
        dataset,
        category or (known if same else None),
        {**(made_from.options if same else {}), **options},
        protocol=made_from.data.get("protocol") if same and protocol else None,
        **made_from.split,
    )


def templates(pairs: list[str]) -> dict[str, str]:
    """Return the files of `--input` by kind.

    Args:
        pairs: Texts like "points=../xyz/{stem}.tiff".

    Returns:
        Templates by kind of input.

    Raises:
        InputError: a text is no pair, or a kind is given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not value or name in found:
            raise InputError(f"--input {pair!r} must be kind=path, each kind once, e.g. points='../xyz/{{stem}}.tiff'")
        found[name] = value
    return found


def box(text: str) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of `--roi`.

    Args:
        text: Four whole numbers with commas between.

    Returns:
        In pixels.

    Raises:
        InputError: it is something else.
    """
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--roi {text!r} must be left,top,right,bottom in whole pixels, e.g. 100,50,900,700"
        ) from error
    return left, top, right, bottom


def method_options(method: str, pairs: list[str], seed: int) -> dict[str, Any]:
    """Return the parameters of `--set`, with the seed if the method takes one.

    Args:
        method: The method's name.
        pairs: Texts like "steps=400".
        seed: Of `--seed`.

    Returns:
        Parameters by name.
    """
    import inspect as python

    from blemish.core import registry

    constructor = registry.method(method).__init__
    options = named_values(
        constructor, pairs, f"parameter of {method}", "--set", unless=SAID_ELSEWHERE - {"seed"}, words=WORK
    )
    if "seed" in python.signature(constructor).parameters:
        options.setdefault("seed", seed)
    return options


def grid_options(method: str, pairs: list[str]) -> dict[str, list[Any]]:
    """Return the values of `--search` by parameter.

    Args:
        method: The method's name.
        pairs: Texts like "coreset_sampling_ratio=[0.01, 0.1]".

    Returns:
        The values to try, each of the parameter's type.

    Raises:
        InputError: a text holds no list, a parameter is named twice, or a value does not suit it.
        UnknownName: the method has no such parameter.
    """
    import json

    grid: dict[str, list[Any]] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, list) or not values or name in grid:
            raise InputError(
                f"--search {pair!r} must be name=[value, ...], each parameter once, e.g. coreset_sampling_ratio=[0.01,0.1]"
            )
        grid[name] = [method_options(method, [f"{name}={json.dumps(value)}"], 0)[name] for value in values]
    return grid


def data_options(dataset: str, pairs: list[str]) -> dict[str, Any]:
    """Return the options of `--data-option`.

    Args:
        dataset: The data set's name.
        pairs: Texts like "good=passed".

    Returns:
        Options by name.
    """
    index = data_class(dataset).index
    return named_values(
        index, pairs, f"option of data set {dataset}", "--data-option", unless=SAID_ELSEWHERE, words=DATA
    )


def where(on: str) -> str:
    """Return "local" or "ray" of `--on`.

    Args:
        on: What was typed.

    Returns:
        "local" or "ray".

    Raises:
        UnknownName: it is neither.
    """
    if on not in ("local", "ray"):
        raise UnknownName("place", on, ("local", "ray"))
    return on


def parts_of(folder: Path, inputs: Sequence[str]) -> list[Path]:
    """Return the main files of parts in a folder and below; reports how many masks were left out.

    Args:
        folder: The folder.
        inputs: The kinds that the model looks at.

    Returns:
        Their paths, sorted.
    """
    from blemish.inference.sources import parts_below

    parts, masks = parts_below(folder, inputs)
    if masks:
        typer.echo(f"{masks}.", err=True)
    return parts
