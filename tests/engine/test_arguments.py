"""What an engine is handed: models in each form, seeds, and the words and habits that other libraries leave."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from blemish.core.errors import InputError, UnknownName
from blemish.data import Folder, MVTec
from blemish.engine import Engine
from blemish.inference.inspector import Inspector
from blemish.inference.runtime import Runtime
from blemish.models import AE, PaDiM, PatchCore
from parts import stripes, write_folder, write_png

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]

TINY = {"coreset_sampling_ratio": 0.2}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "bottle", good=60).parent


def bottle(root: Path, size: int = 64) -> MVTec:
    return MVTec(root=root, category="bottle", image_size=size)


@pytest.fixture(scope="module")
def saved(root, tmp_path_factory) -> Path:
    engine, model = Engine(tmp_path_factory.mktemp("runs"), false_reject_rate=0.2), PatchCore(**TINY)
    engine.fit(model, bottle(root))
    return engine.run_of(model).model


# --- one model, in each form


def test_saved_files_and_inspectors_are_models(saved, root, tmp_path) -> None:
    """A saved file and its inspector are models with their threshold and imaging."""
    engine, inspector, other_size = Engine(), Inspector.load(saved), bottle(root, 96)
    by_file = engine.report(saved, other_size, out=tmp_path / "by file")
    by_object = engine.report(inspector, other_size)
    assert by_file.decisions["threshold"] == by_object.decisions["threshold"] == inspector.calibration.threshold
    assert by_file.metrics == by_object.metrics
    assert by_file.about["data"]["imaging"] == inspector.imaging.as_dict(), "the inspector's, which was used"
    assert by_file.about["model"] == str(saved)
    assert other_size.imaging.size == (96, 96), "the datamodule is left as it is"
    image = other_size.test_records[0].image
    (by_engine,) = engine.predict(str(saved), data_path=image)
    assert by_engine.threshold == inspector.calibration.threshold
    assert by_engine.score == engine.predict(inspector, data_path=[image])[0].score == inspector.inspect(image).score
    assert engine.test(inspector, other_size, verbose=False)[0] == {n: m.value for n, m in by_file.metrics.items()}


def test_the_report_is_next_to_the_model_or_where_asked(saved, root, tmp_path) -> None:
    """The report lies beside the model or where it shall and else nowhere."""
    file = shutil.copy(saved, tmp_path / "part.safetensors")
    Engine().test(file, bottle(root), verbose=False)
    written = {"report.html", "report.json", "parts.csv", "regions.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {"part.safetensors", *written}
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 8
    assert json.loads((tmp_path / "report.json").read_text())["decisions"]["threshold"] > 0
    Engine().report(Inspector.load(saved), bottle(root), out=tmp_path / "other")
    assert {path.name for path in (tmp_path / "other").iterdir()} == written


def test_a_file_is_exported_beside_itself(saved, tmp_path) -> None:
    pytest.importorskip("onnx")
    file = shutil.copy(saved, tmp_path / "model.safetensors")
    assert Engine().export(file).passed
    assert (tmp_path / "model.onnx").exists()
    with pytest.raises(InputError, match=r"has no folder of its own.*path='part\.onnx'"):
        Engine().export(Inspector.load(file))


def test_an_exported_file_is_tested_but_not_exported_again(saved, root, tmp_path) -> None:
    """An exported file is tested and predicts but is not exported again."""
    pytest.importorskip("onnx")
    file = shutil.copy(saved, tmp_path / "model.safetensors")
    engine, data = Engine(), bottle(root)
    engine.export(file)
    line = tmp_path / "model.onnx"
    own, by_file, by_object = (engine.report(m, data, out=tmp_path / "out") for m in (file, line, Runtime(line)))
    assert by_file.metrics == by_object.metrics
    assert by_file.decisions == own.decisions
    assert by_file.about["precision"] == "fp32"
    assert "precision" not in own.about
    image = data.test_records[0].image
    (found,) = engine.predict(line, data_path=image)
    assert found.score == engine.predict(Runtime(line), data_path=[image])[0].score
    assert found.score == pytest.approx(engine.predict(file, data_path=image)[0].score, rel=1e-5)
    with pytest.raises(InputError, match=r"exported already\. Export the saved one"):
        engine.export(line)


# --- seeds


def test_another_seed_than_the_models_is_refused(root, tmp_path) -> None:
    """Another seed than the models is refused and the models is recorded."""
    with pytest.raises(InputError, match=r"engine's seed is 1, the model's is 0.*PatchCore\(seed=1\)"):
        Engine(tmp_path, seed=1).fit(PatchCore(**TINY), bottle(root))
    assert not list(tmp_path.iterdir()), "said before anything is done"
    for engine in (Engine(tmp_path), Engine(tmp_path, seed=7)):
        model = PatchCore(**TINY, seed=7)
        inspector = engine.fit(model, bottle(root), verbose=False)
        assert engine.run_of(model).config["seed"] == inspector.provenance.seed == 7


# --- what is said


def test_fit_says_threshold_guarantee_and_place(root, tmp_path, capsys) -> None:
    engine, model = Engine(tmp_path, false_reject_rate=0.2), PatchCore(**TINY)
    inspector = engine.fit(model, bottle(root))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Learned from 32 good parts."
    assert f"Threshold {inspector.calibration.threshold:.6g}, from 8 held-out good parts." in said
    assert inspector.calibration.guarantee in said
    assert said[-1] == f"Model: {engine.run_of(model).model}"
    engine.fit(PatchCore(**TINY), bottle(root), verbose=False)
    assert capsys.readouterr().out == ""


# --- words of other libraries

WORDS = [
    ("max_epochs", "the model's `steps`"),
    ("accelerator", "the Engine's `device`"),
    ("devices", "the Engine's `device`"),
    ("callbacks", "the Engine's `patience`"),
    ("default_root_dir", "the Engine's `root`"),
    ("loggers", "the Engine's `logger`"),
    ("task", "where there are masks"),
    ("normalization", "`false_reject_rate`"),
]


@pytest.mark.parametrize(("word", "here"), WORDS)
def test_an_engine_says_what_the_word_is_here(word, here) -> None:
    with pytest.raises(InputError, match=rf"Engine has no argument '{word}'\. {word}: .*{re.escape(here)}"):
        Engine(**{word: 1})


def test_other_words_get_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"argument of Engine 'false_reject_rat'\. Did you mean 'false_reject_rate'"):
        Engine(false_reject_rat=0.1)


@pytest.mark.parametrize(
    ("call", "word", "here"),
    [
        ("fit", "ckpt_path", "`resume`"),
        ("fit", "train_dataloaders", "`datamodule`"),
        ("test", "ckpt_path", "a saved file as `model`"),
        ("test", "dataset", "`datamodule`"),
        ("predict", "dataset", "`data_path`"),
        ("predict", "return_predictions", "always returned"),
        ("export", "export_type", "`format`"),
    ],
)
def test_so_do_its_calls(call, word, here) -> None:
    with pytest.raises(InputError, match=rf"Engine\.{call} has no argument '{word}'\. {word}: .*{re.escape(here)}"):
        getattr(Engine(), call)(**{word: None})


@pytest.mark.parametrize(
    ("model", "word", "here"),
    [
        (PatchCore, "num_neighbors", "`reweight_neighbours`"),
        (PatchCore, "pre_trained", "`pretrained`"),
        (AE, "epochs", "`steps`"),
        (AE, "learning_rate", "`lr`"),
        (AE, "device", "the Engine's `device`"),
        (PaDiM, "n_features", "`dims`"),
        (PaDiM, "image_size", "the datamodule"),
    ],
)
def test_so_do_models(model, word, here) -> None:
    with pytest.raises(InputError, match=rf"{model.__name__} has no argument '{word}'\. {word}: .*{re.escape(here)}"):
        model(**{word: 3})


# --- the wrong things


def test_the_wrong_things_are_named(root, saved) -> None:
    engine, data = Engine(), bottle(root)
    with pytest.raises(
        InputError, match=r"model is a MVTecAD.*The datamodule comes second. Call fit\(model, datamodule\)"
    ):
        engine.fit(data, PatchCore(**TINY))
    with pytest.raises(InputError, match=r"model is the class PatchCore.*Make one: PatchCore\(\)"):
        engine.fit(PatchCore, data)
    with pytest.raises(InputError, match=r"datamodule is the class MVTecAD.*MVTecAD\(root\)"):
        engine.fit(PatchCore(**TINY), MVTec)
    with pytest.raises(InputError, match=r"datamodule is a str.*blemish\.data\.Folder\(root\)"):
        engine.test(saved, "parts")
    with pytest.raises(InputError, match="model is an inspector, which is fitted already"):
        engine.fit(Inspector.load(saved), data)
    for arrays in (np.zeros((8, 8, 3)), [np.zeros((8, 8, 3))]):
        with pytest.raises(InputError, match=r"data_path holds a ndarray.*inspector\.inspect"):
            engine.predict(saved, data_path=arrays)


def test_a_report_of_other_data_is_not_overwritten(root, tmp_path) -> None:
    parts = root / "bottle"
    model, there = PatchCore(coreset_sampling_ratio=0.2), tmp_path / "other"
    data, other = Folder(parts, image_size=64), Folder(write_folder(there, good=12), image_size=64)
    engine = Engine(tmp_path / "runs")
    inspector = engine.fit(model, data, verbose=False)
    run = engine.run_of(model)
    first = engine.report(model, data)
    engine.report(inspector, other)
    again = engine.report(model, data)
    assert {path.name for path in run.folder.glob("report*.*")} == {
        *("report.html", "report.json", "report-2.html", "report-2.json", "report-2-parts.csv", "report-2-regions.csv"),
    }
    assert json.loads((run.folder / "report.json").read_text())["about"]["data"]["root"] == str(parts)
    assert json.loads((run.folder / "report-2.json").read_text())["about"]["data"]["root"] == str(there)
    assert again.metrics == first.metrics


def test_known_parts_of_a_test_folder_are_left_out(root, tmp_path) -> None:
    """Of a folder that is for testing known parts are left out."""
    parts = root / "bottle"
    engine = Engine(tmp_path / "runs")
    inspector = engine.fit(PatchCore(coreset_sampling_ratio=0.2), Folder(parts, image_size=64), verbose=False)
    flat = tmp_path / "flat"
    for kind, folder in (("good", parts / "train" / "good"), ("turned", parts / "test" / "turned")):
        shutil.copytree(folder, flat / kind)
    for i, image in enumerate(stripes(3, (64, 64), seed=500)):
        write_png(flat / "good" / f"new-{i}.png", image)
    found = engine.report(inspector, Folder(flat, test_share=1))
    assert sum(part.label == 0 for part in found.parts) == 3
    assert any("were left out" in note for note in found.notes)
    shutil.rmtree(flat / "turned")
    for path in flat.glob("good/new-*"):
        path.unlink()
    with pytest.raises(InputError, match="has learned from all"):
        engine.report(inspector, Folder(flat, test_share=1))


def test_what_is_printed_in_an_interactive_session_is_short(saved, root, tmp_path) -> None:
    inspector = Inspector.load(saved)
    threshold = inspector.calibration.threshold
    assert repr(inspector) == f"<Inspector of 64 x 64 pixels, threshold {threshold:.4g}>"
    assert repr(bottle(root)) == f"<MVTecAD {root}, bottle, 64 x 64 pixels>"
    assert repr(Engine(tmp_path, device="cpu")) == f"<Engine, runs in {tmp_path}, on cpu, 0 fitted>"
    assert len(repr(inspector.calibration)) < 600
