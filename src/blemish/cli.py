"""The command line: parses, calls, prints. Everything it does can be done from Python as well.

Exit codes: 0 done (inspect: all parts good), 1 inspect found a defective part, 2 something went wrong.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import blemish
from blemish.errors import BlemishError, InputError, MissingExtra
from blemish.named_values import named_values

if TYPE_CHECKING:
    from blemish.data.datamodule import DataModule
    from blemish.inspector import Inspector
    from blemish.types import Prediction

GOOD, DEFECTIVE, ERROR, INTERRUPTED = 0, 1, 2, 130
SAID_ELSEWHERE = {"self", "root", "category", "seed"}  # arguments that have an option of their own, or none
EXTRAS = {"torch": "train", "timm": "train", "torchvision": "train", "jinja2": "report", "matplotlib": "report"}

app = typer.Typer(
    name="blemish",
    help="Learn what a good part looks like from good parts only, then find, localise and explain defects.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


class Protocol(StrEnum):
    """How pixels are compared, see `blemish test --help`."""

    original = "original"
    paper = "paper"


Root = Annotated[Path, typer.Argument(help="Folder of the parts: only good ones, or good and defective in subfolders.")]
DatasetOption = Annotated[str, typer.Option("--dataset", "-d", help="How the folder is laid out: see `blemish list`.")]
CategoryOption = Annotated[str | None, typer.Option("--category", "-c", help="Category, if the data set has several.")]
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


PresetOption = Annotated[
    str | None,
    typer.Option(help="Settings of a trained method: quick (minutes on two cores) or paper. [default: neither]"),
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


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        typer.echo(blemish.__version__)
        raise typer.Exit


@app.command()
def fit(
    root: Root,
    dataset: DatasetOption = "folder",
    category: CategoryOption = None,
    data_option: DataOption = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Method: see `blemish list`.")] = "patchcore",
    option: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="A parameter of the method, name=value; may be repeated.")
    ] = None,
    preset: PresetOption = None,
    image_size: PresetSizeOption = None,
    batch_size: PresetBatchOption = None,
    crop: CropOption = None,
    roi: RoiOption = None,
    ignore: IgnoreOption = None,
    white: WhiteOption = None,
    max_pixels: PixelsOption = 80_000_000,
    holdout: HoldoutOption = 0.2,
    precision: Annotated[str, typer.Option(help="Of training: float32 or bfloat16.")] = "float32",
    patience: PatienceOption = None,
    false_reject_rate: RateOption = 0.01,
    confidence: Annotated[
        float | None,
        typer.Option(help="How sure the false-reject rate must be, 0 to 1, e.g. 0.95. [default: right on average]"),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder in which run folders are made.")] = Path("runs"),
    resume: Annotated[Path | None, typer.Option(help="Folder of a stopped run to finish. [default: a new run]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from good parts and choose the threshold; prints where the model is."""
    from blemish import catalogue
    from blemish.card import Preset
    from blemish.engine import Engine
    from blemish.training_session import distributed
    from blemish.training_session.processes import rank

    settings = Preset(256, 32) if preset is None else catalogue.preset(method, preset)
    data = _data_class(dataset)(
        root,
        category,
        image_size=image_size or settings.image_size,
        train_batch_size=batch_size or settings.batch_size,
        crop=crop,
        roi=None if roi is None else _box(roi),
        ignore=ignore,
        white=white,
        max_pixels=max_pixels,
        holdout=holdout,
        seed=seed,
        **_data_options(dataset, data_option or []),
    )
    detector = catalogue.method(method)(**{**settings.params, **_options(method, option or [], seed)})
    engine = Engine(
        out,
        seed=seed,
        device=device,
        false_reject_rate=false_reject_rate,
        confidence=confidence,
        precision=precision,  # type: ignore[arg-type]  # the session checks it
        patience=patience,
    )
    with distributed():
        inspector = engine.fit(detector, data, resume=resume)
        if rank() > 0:
            return None
    run = engine.run_of(detector)
    assert run is not None  # noqa: S101 - fit made it
    if as_json:
        stored = None if inspector.calibration is None else inspector.calibration.as_dict()
        return _print_json({"model": str(run.model), "run": str(run.folder), "calibration": stored})
    _say_fitted(data, inspector, run.model)


def _say_fitted(data: DataModule, inspector: Inspector, model: Path) -> None:
    calibration = inspector.calibration
    typer.echo(f"Learnt from {len(data.train_records)} good parts.")
    if calibration is None:
        typer.echo("No threshold: nothing was held out to choose it from (--holdout).")
    else:
        typer.echo(f"Threshold {calibration.threshold:.6g}, from {len(data.held_out_records)} held-out good parts.")
        typer.echo(calibration.guarantee)
        if calibration.note:
            typer.echo(f"Note: {calibration.note}")
    typer.echo(f"Model: {model}")
    typer.echo(f"Next:  blemish inspect {model} IMAGES")


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit`.")],
    good: Annotated[Path, typer.Option(help="Folder of good parts that the model has not learnt from.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the model with its new threshold.")],
    defective: Annotated[Path | None, typer.Option(help="Folder of defective parts. [default: none]")] = None,
    false_reject_rate: Annotated[
        float | None, typer.Option(help="Wanted share of good parts rejected, 0 to 1.")
    ] = None,
    escape_rate: Annotated[float | None, typer.Option(help="Wanted share of defects passed, 0 to 1.")] = None,
    confidence: Annotated[float | None, typer.Option(help="How sure the wanted rate must be, 0 to 1.")] = None,
    cost_escape: Annotated[float | None, typer.Option(help="Cost of a defect that is passed, in any currency.")] = None,
    cost_false_reject: Annotated[
        float | None, typer.Option(help="Cost of a good part rejected, same currency.")
    ] = None,
    defect_share: Annotated[float | None, typer.Option(help="Share of defective parts in production, 0 to 1.")] = None,
) -> None:
    """Choose the threshold anew: for a false-reject rate, an escape rate, or the lowest cost. Never on test parts."""
    from blemish.inspector import Inspector, images_below

    inspector = Inspector.load(model)
    inspector.calibrate(
        images_below(good),
        None if defective is None else images_below(defective),
        false_reject_rate=false_reject_rate,
        escape_rate=escape_rate,
        confidence=confidence,
        costs=_costs(cost_escape, cost_false_reject, defect_share),
    )
    typer.echo(f"Model: {inspector.save(out)}")
    assert inspector.calibration is not None  # noqa: S101 - just made
    typer.echo(f"Threshold {inspector.calibration.threshold:.6g}. {inspector.calibration.guarantee}")
    if inspector.calibration.note:
        typer.echo(f"Note: {inspector.calibration.note}")


@app.command()
def test(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit`.")],
    root: Root,
    dataset: DatasetOption = "folder",
    category: CategoryOption = None,
    data_option: DataOption = None,
    protocol: Annotated[
        Protocol,
        typer.Option(help="Pixel metrics at the images' own resolution, or, as in papers, at the network's input."),
    ] = Protocol.original,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for report.json and report.html. [default: beside the model]"),
    ] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure a model on parts of known truth; writes a report."""
    from blemish.engine.evaluate import evaluate
    from blemish.files import write_json
    from blemish.inspector import Inspector
    from blemish.report import write_page

    inspector = Inspector.load(model, device)
    learnt = inspector.about.get("data", {})  # a plain folder is split by the seed: the same parts must stay apart
    options = _data_options(dataset, data_option or [])
    if learnt.get("dataset") == dataset:
        options = {**learnt.get("options", {}), **options}
        category = category or learnt.get("category")
    split = {"seed": learnt.get("seed", 0), "holdout": learnt.get("holdout", 0.2)}
    data = _data_class(dataset)(root, category, **split, **options)
    data.imaging = inspector.imaging
    about = {"method": type(inspector.detector).__name__, "params": inspector.detector.params, "model": str(model)}
    found = evaluate(inspector, data.test_records, protocol=protocol.value, about={**about, "data": data.describe()})
    folder = out or model.parent
    write_json(folder / "report.json", found.as_dict())
    page = write_page(folder / "report.html", found, inspector, {r.key: r for r in data.test_records})
    if as_json:
        return _print_json({**found.as_dict(), "page": str(page)})
    typer.echo(found.text())
    typer.echo(f"Report: {page}")


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit`.")],
    sources: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for pictures of defective parts. [default: none]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images looked at together.")] = 8,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: faster, scores differ by about 1 %.")
    ] = "float32",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Look at parts: one line (or JSON object) each. Exits with 0 all good, 1 some defective, 2 some not decided."""
    from blemish.inspector import Inspector, images_below

    inspector = Inspector.load(model, device).accelerate(precision=precision)  # type: ignore[arg-type]  # it checks
    roots = {str(p): s if s.is_dir() else p.parent for s in sources for p in (images_below(s) if s.is_dir() else [s])}
    counts = {"good": 0, "defective": 0, "error": 0, "no threshold": 0}
    for verdict in inspector.stream(map(Path, roots), batch_size=batch_size):
        counts[_word(verdict)] += 1
        typer.echo(json.dumps(verdict.as_dict()) if as_json else _line(verdict))
        if out is not None and verdict.defective:
            from blemish.report.pictures import save_overlay

            pixel_threshold = inspector.calibration.pixel_threshold if inspector.calibration else None
            place = out / Path(verdict.key).relative_to(roots[verdict.key])
            save_overlay(place.with_name(f"{place.name}.png"), verdict, inspector.imaging, pixel_threshold)
    if not as_json:
        typer.echo(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    if counts["no threshold"]:
        raise InputError(f"{model} has no threshold, so nothing was decided. Choose one: blemish calibrate {model} ...")
    raise typer.Exit(ERROR if counts["error"] else DEFECTIVE if counts["defective"] else GOOD)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for images, models and reports.")] = Path(
        "blemish-demo"
    ),
    category: Annotated[list[str] | None, typer.Option("--category", "-c", help="Only these. [default: all]")] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Method: see `blemish list`.")] = "patchcore",
    seed: SeedOption = 0,
) -> None:
    """Make a synthetic inspection task, fit, test and report: no network, no data set, no GPU."""
    from blemish.demo import run_demo

    page = run_demo(out, categories=category, method=method, seed=seed)
    typer.echo(f"Report: {page}")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the methods and the data sets that exist."""
    from blemish import catalogue
    from blemish.describe import plain

    cards = {name: catalogue.method_card(name) for name in catalogue.methods()}
    sets = {name: found.card for name, found in catalogue.datasets().items()}
    if as_json:
        methods = {name: plain(card) for name, card in cards.items()}
        return _print_json({"methods": methods, "datasets": {name: card.name for name, card in sets.items()}})
    typer.echo("Methods (--method)")
    for name, card in cards.items():
        typer.echo(f"  {name:<16} {card.idea} [{card.paper.authors.split(',')[0]} et al., {card.paper.year}]")
    typer.echo("Data sets (--dataset)")
    for name, dataset_card in sets.items():
        typer.echo(f"  {name:<16} {dataset_card.name}; {dataset_card.licence}")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A method, a data set, or a model file.")],
    root: Annotated[
        Path | None, typer.Option(help="A copy of the data set to check against what is known of it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is known of a method, a data set or a model file; with --root, check a data set on disk."""
    from blemish.describe import describe

    found, complete = describe(name, root)
    if as_json:
        _print_json(found)
    else:
        _print_tree(found)
    raise typer.Exit(GOOD if complete else DEFECTIVE)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="The data set: see `blemish list`.")],
    root: Annotated[Path, typer.Argument(help="Folder to put it in.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked.")] = False,
) -> None:
    """Download a data set: shows its licence, resumes, verifies the checksum, extracts safely."""
    from blemish.data.download import download as fetch

    card = _data_class(name).card
    typer.echo(f"{card.name}: {card.licence}\nHome: {card.home}")
    if not yes and not typer.confirm("Do you accept this licence?"):
        raise typer.Exit(ERROR)
    typer.echo(f"Ready: {fetch(card, root, progress=_download_bar())}")


def main() -> None:
    """Run the command line; errors become one clear paragraph and exit code 2."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # the parser has caught Ctrl-C already
            raise KeyboardInterrupt
        sys.exit(code)
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


def _data_class(name: str) -> type[DataModule]:
    from blemish import catalogue

    return catalogue.dataset(name)


def _box(text: str) -> tuple[int, int, int, int]:
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--roi {text!r} must be left,top,right,bottom in whole pixels, e.g. 100,50,900,700"
        ) from error
    return left, top, right, bottom


def _options(method: str, pairs: list[str], seed: int) -> dict[str, Any]:
    import inspect as python

    from blemish import catalogue

    constructor = catalogue.method(method).__init__
    options = named_values(constructor, pairs, f"parameter of {method}", "--set", unless=SAID_ELSEWHERE - {"seed"})
    if "seed" in python.signature(constructor).parameters:
        options.setdefault("seed", seed)
    return options


def _data_options(dataset: str, pairs: list[str]) -> dict[str, Any]:
    index = _data_class(dataset).index
    return named_values(index, pairs, f"option of data set {dataset}", "--data-option", unless=SAID_ELSEWHERE)


def _costs(escape: float | None, reject: float | None, share: float | None) -> tuple[float, float, float] | None:
    if escape is None and reject is None and share is None:
        return None
    if escape is None or reject is None or share is None:
        raise InputError("costs need all three: --cost-escape, --cost-false-reject and --defect-share")
    return escape, reject, share


def _word(verdict: Prediction) -> str:
    if verdict.error is not None:
        return "error"
    return "no threshold" if verdict.defective is None else "defective" if verdict.defective else "good"


def _line(verdict: Prediction) -> str:
    if verdict.error is not None:
        return f"error      {verdict.error}"
    p_value = "" if verdict.p_value is None else f"  p {verdict.p_value:.3g}"
    where = "".join(f"  {r.box[0]},{r.box[1]}-{r.box[2]},{r.box[3]}" for r in verdict.regions[:3])
    return f"{_word(verdict):<10} score {verdict.score:.5g}{p_value}  {verdict.key}{where}"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


def _print_tree(value: dict[str, Any], indent: int = 0) -> None:
    for key, content in value.items():
        if isinstance(content, dict):
            typer.echo(f"{' ' * indent}{key}:")
            _print_tree(content, indent + 2)
        elif isinstance(content, list | tuple):
            typer.echo(f"{' ' * indent}{key}:")
            for item in content:
                typer.echo(f"{' ' * (indent + 2)}- {item}")
        else:
            typer.echo(f"{' ' * indent}{key}: {content}")


def _download_bar() -> Any:
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar.start()
    task = bar.add_task("download", total=None)

    def show(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total)
        if total is not None and done >= total:
            bar.stop()

    return show
