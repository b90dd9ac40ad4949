"""Commands that make a model: demo, fit, adapt, calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli.app import app
from blemish.cli.options import (
    CategoryOption,
    ConfidenceOption,
    CropOption,
    DataOption,
    DatasetOption,
    DemoPresetOption,
    DeviceOption,
    HoldoutOption,
    IgnoreOption,
    JsonOption,
    JudgeOption,
    LoggerOption,
    MethodOption,
    PatienceOption,
    PixelsOption,
    PresetBatchOption,
    PresetOption,
    PresetSizeOption,
    ProtocolOption,
    RateOption,
    RoiOption,
    Root,
    RunsOption,
    SearchOption,
    SeedOption,
    WeightsOption,
    WhiteOption,
    box,
    data_like,
    data_module,
    data_options,
    grid_options,
    method_options,
    parts_of,
)
from blemish.cli.printing import print_json
from blemish.core.errors import InputError

if TYPE_CHECKING:
    from blemish.data.datamodule import DataModule
    from blemish.engine import Engine
    from blemish.inference.inspector import Inspector


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
    from blemish.cli.demo import run_demo

    page = run_demo(out, categories=category, method=method, preset=preset, seed=seed)
    typer.echo(f"Report: {page}")


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
    protocol: ProtocolOption = None,
    auxiliary: Annotated[
        Path | None,
        typer.Option(help="Labelled parts of other products, for a method that learns from them; same layout."),
    ] = None,
    auxiliary_category: Annotated[
        list[str] | None, typer.Option(help="Their category, if there are several; repeated, or all.")
    ] = None,
    search: SearchOption = None,
    judge: JudgeOption = "planted",
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
    confidence: ConfidenceOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    embed: Annotated[
        bool,
        typer.Option("--embed", help="Save large frozen networks too. [default: name and hash of those above 64 MiB]"),
    ] = False,
    logger: LoggerOption = None,
    out: RunsOption = Path("runs"),
    resume: Annotated[Path | None, typer.Option(help="Folder of a stopped run to finish. [default: a new run]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from good parts and choose the threshold; prints where the model is."""
    from blemish.core import registry
    from blemish.core.card import Preset
    from blemish.engine import Engine
    from blemish.training.processes import rank
    from blemish.training.session import distributed

    settings = Preset(256, 32) if preset is None else registry.preset(method, preset)
    options = data_options(dataset, data_option or [])
    prepared: dict[str, Any] = {
        "image_size": image_size or settings.image_size,
        "train_batch_size": batch_size or settings.batch_size,
        "crop": crop,
        "roi": None if roi is None else box(roi),
        "ignore": ignore,
        "white": white,
        "max_pixels": max_pixels,
        "holdout": holdout,
        "seed": seed,
    }
    data = data_module(root, dataset, category, options, protocol=protocol, **prepared)
    others = None if auxiliary is None else data_module(auxiliary, dataset, auxiliary_category, options, **prepared)
    params = {**settings.params, **method_options(method, option or [], seed)}
    if search:
        if resume is not None:
            raise InputError(
                "a search is not resumed. Search in a new run, or resume with what it found: --set name=value"
            )
        params, data = _searched(method, params, data, search, judge, device=device, seed=seed, quiet=as_json)
    detector = registry.method(method)(**params)
    engine = Engine(
        out,
        seed=detector.params.get("seed", seed),
        device=device,
        false_reject_rate=false_reject_rate,
        confidence=confidence,
        precision=precision,  # type: ignore[arg-type]  # the session checks it
        patience=patience,
        embed=embed,
        logger=logger,
    )
    with distributed():
        if rank() == 0 and not as_json:
            _say_length(method, detector.params, data, hint=preset is None and resume is None)
        inspector = engine.fit(detector, data, auxiliary=others, resume=resume, verbose=not as_json)
        if rank() == 0:
            _say_model(engine, inspector, as_json)


@app.command()
def adapt(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit`; it stays as it is.")],
    root: Root,
    dataset: DatasetOption = "folder",
    category: CategoryOption = None,
    data_option: DataOption = None,
    holdout: HoldoutOption = 0.2,
    earlier: Annotated[
        Path | None,
        typer.Option(
            help="The folder it was fitted on: its held-out parts decide as well. [default: the new ones alone]"
        ),
    ] = None,
    false_reject_rate: RateOption = 0.01,
    confidence: ConfidenceOption = None,
    weights: WeightsOption = None,
    foreign: MethodOption = None,
    logger: LoggerOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    out: RunsOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Let a fitted model learn further good parts, of its product or another, and choose its threshold anew."""
    from blemish.engine import Engine
    from blemish.inference.inspector import Inspector

    options = data_options(dataset, data_option or [])
    inspector = Inspector.load(model, weights=weights, method=foreign)
    made_from = inspector.provenance
    before = None
    if earlier is not None:
        before = data_like(made_from, earlier, made_from.dataset or dataset, None, {})
    data = data_module(root, dataset, category, options, holdout=holdout, seed=seed)
    engine = Engine(out, device=device, false_reject_rate=false_reject_rate, confidence=confidence, logger=logger)
    adapted = engine.adapt(inspector, data, earlier=before, verbose=not as_json)
    _say_model(engine, adapted, as_json)


def _say_model(engine: Engine, inspector: Inspector, as_json: bool) -> None:
    """Say where the model is."""
    run = engine.run_of(inspector.detector)
    assert run is not None  # noqa: S101 - it was just made
    if as_json:
        stored = None if inspector.calibration is None else inspector.calibration.as_dict()
        print_json({"model": str(run.model), "run": str(run.folder), "calibration": stored})
    else:
        typer.echo(f"Next:  blemish inspect {run.model} IMAGES")


def _searched(
    method: str,
    params: dict[str, Any],
    data: DataModule,
    grid: list[str],
    judge: str,
    *,
    device: str,
    seed: int,
    quiet: bool,
) -> tuple[dict[str, Any], DataModule]:
    """Return the best hyper-parameters of a grid, and the data that is left to fit them on."""
    import os

    from blemish.engine.search import search

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("a search runs on one process. Search first; then fit with what it found: --set name=value")
    chosen: Any = judge  # search checks it
    found = search(method, grid_options(method, grid), data, params=params, judge=chosen, device=device, seed=seed)
    if not quiet:
        typer.echo(found.text())
    return {**params, **found.best}, found.data


def _say_length(method: str, params: Mapping[str, Any], data: DataModule, *, hint: bool) -> None:
    """Say how long a training takes before it begins, and, with `hint`, which preset would take less."""
    from blemish.core import registry

    length = registry.training(params, data.imaging.input_size[0], data.train_batch_size)
    if not length:
        return
    said, quick = f"{method} is trained: {length}.", registry.method_card(method).presets.get("quick")
    if hint and quick is not None and quick.params.get("steps", params["steps"]) < params["steps"]:
        shorter = registry.training({**params, **quick.params}, quick.image_size, quick.batch_size)
        said += f" Shorter: --preset quick, {shorter}."
    typer.echo(said, err=True)


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="Model file made by `blemish fit`.")],
    good: Annotated[Path, typer.Option(help="Folder of good parts that the model has not learned from.")],
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
    threshold: Annotated[float | None, typer.Option(help="A threshold that was fixed beforehand.")] = None,
) -> None:
    """Choose the threshold anew: by a false-reject or escape rate, the lowest cost, or a given one. Never on test parts."""
    from blemish.inference.inspector import Inspector

    inspector = Inspector.load(model)
    inspector.calibrate(
        parts_of(good, inspector.inputs),
        None if defective is None else parts_of(defective, inspector.inputs),
        false_reject_rate=false_reject_rate,
        escape_rate=escape_rate,
        confidence=confidence,
        costs=_costs(cost_escape, cost_false_reject, defect_share),
        threshold=threshold,
    )
    typer.echo(f"Model: {inspector.save(out)}")
    assert inspector.calibration is not None  # noqa: S101 - just made
    typer.echo(f"Threshold {inspector.calibration.threshold:.6g}. {inspector.calibration.guarantee}")
    if inspector.calibration.note:
        typer.echo(f"Note: {inspector.calibration.note}")


def _costs(escape: float | None, reject: float | None, share: float | None) -> tuple[float, float, float] | None:
    if escape is None and reject is None and share is None:
        return None
    if escape is None or reject is None or share is None:
        raise InputError("costs need all three: --cost-escape, --cost-false-reject and --defect-share")
    return escape, reject, share
