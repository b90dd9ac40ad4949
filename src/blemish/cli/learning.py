"""Commands that make a model: fit, calibrate, test, demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import (
    CategoryOption,
    CropOption,
    DataOption,
    DatasetOption,
    DemoPresetOption,
    DeviceOption,
    HoldoutOption,
    IgnoreOption,
    JsonOption,
    PatienceOption,
    PixelsOption,
    PresetBatchOption,
    PresetOption,
    PresetSizeOption,
    Protocol,
    RateOption,
    RoiOption,
    Root,
    SeedOption,
    WhiteOption,
    box,
    data_class,
    data_options,
    method_options,
)
from blemish.cli.printing import print_json
from blemish.errors import InputError

if TYPE_CHECKING:
    from blemish.data.datamodule import DataModule
    from blemish.inspector import Inspector


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
    data = data_class(dataset)(
        root,
        category,
        image_size=image_size or settings.image_size,
        train_batch_size=batch_size or settings.batch_size,
        crop=crop,
        roi=None if roi is None else box(roi),
        ignore=ignore,
        white=white,
        max_pixels=max_pixels,
        holdout=holdout,
        seed=seed,
        **data_options(dataset, data_option or []),
    )
    detector = catalogue.method(method)(**{**settings.params, **method_options(method, option or [], seed)})
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
        if rank() == 0 and not as_json:
            _say_length(method, detector.params, data, hint=preset is None and resume is None)
        inspector = engine.fit(detector, data, resume=resume)
        if rank() > 0:
            return None
    run = engine.run_of(detector)
    assert run is not None  # noqa: S101 - fit made it
    if as_json:
        stored = None if inspector.calibration is None else inspector.calibration.as_dict()
        return print_json({"model": str(run.model), "run": str(run.folder), "calibration": stored})
    _say_fitted(data, inspector, run.model)


def _say_length(method: str, params: Mapping[str, Any], data: DataModule, *, hint: bool) -> None:
    """Say how long a training takes before it begins, and, with `hint`, which preset would take less."""
    from blemish import catalogue

    length = catalogue.training(params, data.imaging.input_size[0], data.train_batch_size)
    if not length:
        return
    said, quick = f"{method} is trained: {length}.", catalogue.method_card(method).presets.get("quick")
    if hint and quick is not None and quick.params.get("steps", params["steps"]) < params["steps"]:
        shorter = catalogue.training({**params, **quick.params}, quick.image_size, quick.batch_size)
        said += f" Shorter: --preset quick, {shorter}."
    typer.echo(said, err=True)


def _say_fitted(data: DataModule, inspector: Inspector, model: Path) -> None:
    calibration = inspector.calibration
    typer.echo(f"Learnt from {len(data.train_records)} good parts.")
    if calibration is None:
        typer.echo("No threshold: nothing was held out to choose it from (--holdout).")
    else:
        typer.echo(f"Threshold {calibration.threshold:.6g}, from {len(calibration.good_scores)} held-out good parts.")
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
    from blemish.inspector import Inspector

    inspector = Inspector.load(model)
    inspector.calibrate(
        _parts_below(good),
        None if defective is None else _parts_below(defective),
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
    options = data_options(dataset, data_option or [])
    if learnt.get("dataset") == dataset:
        options = {**learnt.get("options", {}), **options}
        category = category or learnt.get("category")
    split = {"seed": learnt.get("seed", 0), "holdout": learnt.get("holdout", 0.2)}
    data = data_class(dataset)(root, category, **split, **options)
    data.imaging = inspector.imaging
    about = {"method": type(inspector.detector).__name__, "params": inspector.detector.params, "model": str(model)}
    found = evaluate(inspector, data.test_records, protocol=protocol.value, about={**about, "data": data.describe()})
    folder = out or model.parent
    write_json(folder / "report.json", found.as_dict())
    page = write_page(folder / "report.html", found, inspector, {r.key: r for r in data.test_records})
    if as_json:
        return print_json({**found.as_dict(), "page": str(page)})
    typer.echo(found.text())
    typer.echo(f"Report: {page}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for images, models and reports.")] = Path(
        "blemish-demo"
    ),
    category: Annotated[list[str] | None, typer.Option("--category", "-c", help="Only these. [default: all]")] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Method: see `blemish list`.")] = "patchcore",
    preset: DemoPresetOption = None,
    seed: SeedOption = 0,
) -> None:
    """Make a synthetic inspection task, fit, test and report: no network, no data set, no GPU."""
    from blemish.demo import run_demo

    page = run_demo(out, categories=category, method=method, preset=preset, seed=seed)
    typer.echo(f"Report: {page}")


def _parts_below(folder: Path) -> list[Path]:
    """Return the images in a folder and below without the masks among them, which are no parts; says how many those are."""
    from blemish.data.folder import without_masks
    from blemish.inspection import images_below

    found = images_below(folder)
    parts = without_masks(folder, found)
    if len(parts) < len(found):
        typer.echo(f"{len(found) - len(parts)} masks in {folder} are no parts and were left out.", err=True)
    return parts


def _costs(escape: float | None, reject: float | None, share: float | None) -> tuple[float, float, float] | None:
    if escape is None and reject is None and share is None:
        return None
    if escape is None or reject is None or share is None:
        raise InputError("costs need all three: --cost-escape, --cost-false-reject and --defect-share")
    return escape, reject, share
