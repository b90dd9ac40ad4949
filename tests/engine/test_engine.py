"""The engine users know: fit, test, predict; run folders that are never overwritten and that resume."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from blemish.core.errors import AlreadyFitted, DataError, InputError
from blemish.data import Folder, MVTec
from blemish.engine import Engine, runs
from blemish.engine import engine as engine_module
from blemish.inference.inspector import Inspector
from blemish.models import AE, PaDiM, Patchcore
from parts import write_folder

pytestmark = pytest.mark.slow

TINY = {"coreset_sampling_ratio": 0.2}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_folder(folder / "bottle", good=60)
    write_folder(folder / "cable", good=30, size=(96, 64))
    return folder


@pytest.fixture(scope="module")
def fitted(root, tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("runs"), false_reject_rate=0.2)
    model, data = Patchcore(**TINY), MVTec(root=root, category="bottle", image_size=(64, 64))
    inspector = engine.fit(model=model, datamodule=data)
    return engine, model, data, inspector


def test_the_quick_start_of_the_rivals_users(fitted) -> None:
    engine, model, datamodule, _ = fitted
    results = engine.test(model=model, datamodule=datamodule)
    assert results[0]["image_AUROC"] >= 0.9
    assert results[0]["pixel_AUROC"] >= 0.9
    assert 0 <= results[0]["pixel_AUPRO"] <= 1


def test_threshold_comes_from_parts_nobody_learned_from(fitted) -> None:
    _, _, data, inspector = fitted
    sets = [{r.key for r in records} for records in (data.train_records, data.held_out_records, data.test_records)]
    assert [len(s) for s in sets] == [32, 8, 28]
    assert len(sets[0] | sets[1] | sets[2]) == 32 + 8 + 28
    assert len(inspector.calibration.good_scores) == 8
    assert all(r.label == 0 for r in data.held_out_records)


def test_report_and_run_folder(fitted) -> None:
    engine, model, data, _ = fitted
    report = engine.report(model, data)
    run = engine.run_of(model)
    assert run.folder.name == "0001"
    assert run.folder.parent.name == "patchcore-mvtec_ad-bottle"
    config = json.loads((run.folder / "run.json").read_text())
    assert config["seed"] == 0
    assert config["environment"]["versions"]["blemish"]
    assert config["environment"]["versions"]["texnet_s"].isdigit()
    assert config["data"]["split_sha256"]
    stored = type(report).load(run.report)
    assert stored.metrics == report.metrics
    assert stored.parts == report.parts
    for metric in report.metrics.values():
        assert metric.low <= metric.value <= metric.high
    assert {part.key for part in report.parts} == {r.key for r in data.test_records}


def test_a_second_fit_is_refused_and_a_fresh_model_gets_a_run(fitted, root) -> None:
    """A second fit of one model is refused and a fresh one gets a new folder."""
    engine, model, data, _ = fitted
    with pytest.raises(AlreadyFitted, match=r"PatchCore\(\*\*model.params\)"):
        engine.fit(model, MVTec(root=root, category="cable", image_size=64))
    before = (engine.run_of(model).folder / "model.safetensors").read_bytes()
    fresh = type(model)(**model.params)
    engine.fit(fresh, data)
    assert engine.run_of(fresh).folder.name == "0002"
    assert (engine.run_of(model).folder / "model.safetensors").read_bytes() == before


def test_one_engine_serves_other_methods_and_categories(fitted, root) -> None:
    engine, model, data, _ = fitted
    other = PaDiM(dims=20)
    cable = MVTec(root=root, category="cable", image_size=64)
    engine.fit(other, cable)
    assert engine.test(other, cable, verbose=False) != engine.test(model, data, verbose=False)
    with pytest.raises(InputError, match="say which: model="):
        engine.test(datamodule=data)


def test_resolutions_are_named_and_differ(fitted, root) -> None:
    engine = fitted[0]
    model, cable = Patchcore(**TINY), MVTec(root=root, category="cable", image_size=64)
    engine.fit(model, cable)
    original, network = (engine.report(model, cable, resolution=r) for r in ("original", "network"))
    assert original.about["resolution"] == "original"
    assert original.metrics["image_AUROC"] == network.metrics["image_AUROC"]
    assert original.metrics["pixel_AUROC"] != network.metrics["pixel_AUROC"]
    with pytest.raises(InputError, match="Known: original, network"):
        engine.report(model, cable, resolution="mine")


def test_predict_from_paths_and_data(fitted) -> None:
    engine, model, data, _ = fitted
    some = [r.image for r in data.test_records[:3]]
    by_list = engine.predict(model, data_path=some)
    assert [p.key for p in by_list] == [str(path) for path in some]
    assert len(engine.predict(model, datamodule=data)) == len(data.test_records)
    assert engine.predict(model, data_path=some[0])[0].score == pytest.approx(by_list[0].score, rel=1e-4)
    assert len(engine.predict(model, data_path=some[0].parent)) > 3
    with pytest.raises(InputError, match="either data_path"):
        engine.predict(model)


def test_a_model_fitted_elsewhere_needs_its_imaging(fitted, tmp_path) -> None:
    """A model fitted elsewhere needs to be told how images are prepared."""
    _, model, data, _ = fitted
    other = Engine(tmp_path)
    with pytest.raises(InputError, match=r"does not know how its images are prepared.*model\.safetensors"):
        other.predict(model, data_path=data.test_records[0].image)
    assert other.test(model, data, verbose=False)[0]["image_AUROC"] >= 0.9


def test_same_seed_same_result(fitted, tmp_path) -> None:
    _, model, data, inspector = fitted
    again = Engine(tmp_path, false_reject_rate=0.2)
    other = again.fit(type(model)(**model.params), MVTec(root=data.root, category="bottle", image_size=(64, 64)))
    assert other.calibration == inspector.calibration


def test_nothing_held_out_no_threshold(root, tmp_path) -> None:
    engine = Engine(tmp_path)
    model, data = Patchcore(**TINY), MVTec(root=root, category="bottle", image_size=64, holdout=0.0)
    assert engine.fit(model, data).calibration is None
    report = engine.report(model, data)
    assert report.decisions == {}
    assert all(part.defective is None for part in report.parts)


KILLED = """
import os, signal, sys
from pathlib import Path
import blemish.engine.engine as engine
from blemish.data import MVTec
from blemish.inference.inspector import Inspector
from blemish.models import Patchcore

stage = sys.argv[3]
def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)
if stage == "learning":
    Patchcore.fit = die
elif stage == "calibrating":
    Inspector.calibration_scores = die
elif stage == "saving":
    import blemish.core.saved as saved
    def half(tensors, path, metadata):
        Path(path).write_bytes(b"half a file"); die()
    saved.save_file = half
data = MVTec(root=sys.argv[1], category="bottle", image_size=64)
model = Patchcore(coreset_sampling_ratio=0.2)
engine.Engine(sys.argv[2], false_reject_rate=0.2).fit(model, data)
"""


@pytest.mark.parametrize("stage", ["learning", "saving", "calibrating"])
def test_a_killed_fit_resumes_to_the_same_model(fitted, root, tmp_path, stage) -> None:
    """A killed fit leaves no half model and resumes to the same."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(root), str(tmp_path), stage], check=False)
    assert done.returncode == -signal.SIGKILL
    folder = tmp_path / "patchcore-mvtec_ad-bottle" / "0001"
    assert (folder / "run.json").exists()
    assert (folder / "model.safetensors").exists() == (stage == "calibrating")
    if stage == "calibrating":
        assert Inspector.load(folder / "model.safetensors").calibration is None
    data = MVTec(root=root, category="bottle", image_size=64)
    model = Patchcore(**TINY)
    resumed = Engine(tmp_path, false_reject_rate=0.2).fit(model, data, resume=folder)
    assert resumed.calibration == fitted[3].calibration
    assert Inspector.load(folder / "model.safetensors").calibration == fitted[3].calibration
    assert sorted(os.listdir(folder.parent)) == ["0001"]  # noqa: PTH208


def test_resuming_something_else_is_refused(fitted, root, tmp_path) -> None:
    engine, model, _, _ = fitted
    folder = engine.run_of(model).folder
    with pytest.raises(InputError, match=r"other settings or data: params\.neighbours is 1 there, 2 here"):
        Engine(tmp_path, false_reject_rate=0.2).fit(
            Patchcore(**{**TINY, "neighbours": 2}), MVTec(root=root, category="bottle", image_size=64), resume=folder
        )
    with pytest.raises(DataError, match="nothing to resume"):
        runs.resume(tmp_path, {})


def test_a_single_image_and_a_folder_without_defects(tmp_path) -> None:
    from parts import stripes, write_png

    write_png(tmp_path / "one" / "a.png", stripes(1, (64, 64), 0)[0])
    with pytest.raises(DataError, match="1 good images to learn from; at least 4"):
        Engine(tmp_path / "runs").fit(Patchcore(**TINY), Folder(tmp_path / "one", image_size=64))
    for i, image in enumerate(stripes(12, (64, 64), 0)):
        write_png(tmp_path / "good" / f"{i}.png", image)
    engine, model, data = Engine(tmp_path / "runs"), Patchcore(**TINY), Folder(tmp_path / "good", image_size=64)
    inspector = engine.fit(model, data)
    assert inspector.calibration.note, "so few parts cannot guarantee 1 %, and that must be said"
    with pytest.raises(InputError, match="needs good and defective parts"):
        engine.test(model, data)


def test_an_engine_forgets_models_that_nobody_holds(root, tmp_path) -> None:
    import gc
    import weakref

    engine, model = Engine(tmp_path), Patchcore(**TINY)
    engine.fit(model, MVTec(root=root, category="bottle", image_size=64))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_other_imaging_than_the_fit_had_is_refused(fitted, root) -> None:
    engine, model, _, _ = fitted
    with pytest.raises(InputError, match="its threshold would mean nothing"):
        engine.test(model, MVTec(root=root, category="bottle", image_size=96))


def test_several_categories_without_a_name_are_refused(root) -> None:
    with pytest.raises(InputError, match=r"name one of them.*: bottle, cable"):
        _ = MVTec(root=root, image_size=64).train_records


def test_testing_on_learned_parts_is_said(fitted) -> None:
    from blemish.evaluation.evaluate import evaluate

    engine, model, data, inspector = fitted
    assert not any("flatter" in note for note in engine.report(model, data).notes)
    stolen = [*data.test_records, *data.train_records[:5], *data.held_out_records[:2]]
    assert any("7 of 35 tested parts" in note and "flatter" in note for note in evaluate(inspector, stolen).notes)


def test_training_images_are_known_under_other_names(fitted, tmp_path) -> None:
    """`fit parts/good`, then `test parts`: the same files have other names, seen from another folder."""
    from blemish.data.record import Record
    from blemish.evaluation.evaluate import evaluate

    _, _, data, inspector = fitted
    copies = [tmp_path / f"{i}.png" for i in range(6)]
    for copy, record in zip(copies, [*data.train_records[:4], *data.held_out_records[:2]], strict=True):
        copy.write_bytes(record.image.read_bytes())
    stolen = [*data.test_records, *(Record(copy.name, {"image": copy}, split="test") for copy in copies)]
    notes = [note for note in evaluate(inspector, stolen).notes if "flatter" in note]
    assert len(notes) == 2, notes
    assert "4 of 34 tested parts" in notes[0]
    assert "files of 2 of 34 tested parts are ones that the threshold was chosen from (4.png, 5.png)" in notes[1]
    again = Inspector(inspector.detector, inspector.imaging, provenance=inspector.provenance)
    assert again.calibrate(copies[4:], false_reject_rate=0.4).note == ""
    note = again.calibrate(copies, false_reject_rate=0.4).note
    assert "4 of the 6 files" in note
    assert "nothing is guaranteed" in note


def test_parameters_that_cannot_be_saved_stop_before_the_fit(root, tmp_path) -> None:
    model = Patchcore(**{**TINY, "coreset_size": np.int64(10)})
    with pytest.raises(InputError, match="cannot be saved"):
        Engine(tmp_path).fit(model, MVTec(root=root, category="bottle", image_size=64))
    assert not list(tmp_path.iterdir())


def test_an_unreadable_held_out_image_is_skipped_with_a_warning(tmp_path) -> None:
    data = MVTec(write_folder(tmp_path / "d" / "bottle", good=45).parent, "bottle", image_size=64)
    data.held_out_records[0].image.write_bytes(b"")
    with pytest.warns(UserWarning, match="1 images were skipped while choosing the threshold"):
        inspector = Engine(tmp_path / "runs").fit(Patchcore(**TINY), data)
    assert len(inspector.calibration.good_scores) == len(data.held_out_records) - 1


def test_an_unreadable_image_to_learn_from_is_not_counted(tmp_path, capsys) -> None:
    data = MVTec(write_folder(tmp_path / "d" / "bottle", good=45).parent, "bottle", image_size=64)
    data.train_records[0].image.write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 24 images were skipped"):
        inspector = Engine(tmp_path / "runs").fit(Patchcore(**TINY), data)
    assert capsys.readouterr().out.startswith("Learned from 23 good parts; 1 more could not be read.\n")
    assert inspector.provenance.unread == 1


# --- methods that are trained

TRAINED = {"halvings": 3, "latent": 8, "width": 8, "steps": 12, "lr": 5e-3}


def test_a_killed_training_goes_on_where_it_stopped(root, tmp_path, monkeypatch) -> None:
    def data() -> MVTec:
        return MVTec(root=root, category="bottle", image_size=64, train_batch_size=8)

    whole = AE(**TRAINED)
    Engine(tmp_path / "whole").fit(whole, data())
    killed, steps = AE(**TRAINED), iter(range(12))
    residual = killed.residual

    def interrupted(image: torch.Tensor) -> torch.Tensor:
        if killed.training and next(steps) == 7:
            raise KeyboardInterrupt
        return residual(image)

    killed.residual = interrupted
    monkeypatch.setattr(engine_module, "session", partial(engine_module.session, save_every=0.0))
    with pytest.raises(KeyboardInterrupt):
        Engine(tmp_path / "killed").fit(killed, data())
    (folder,) = (tmp_path / "killed").glob("*/0001")
    assert (folder / "training" / "01-fit.safetensors").exists()
    again = AE(**TRAINED)
    Engine(tmp_path / "killed").fit(again, data(), resume=folder)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    rows = (folder / "training" / "01-fit.csv").read_text().splitlines()
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(1, 13))


def test_patience_uses_half_of_the_held_out_images(tmp_path) -> None:
    """Patience stops by one half of the held out parts and the threshold comes from the other."""
    parts = write_folder(tmp_path / "d" / "bottle", good=60)
    data = MVTec(root=parts.parent, category="bottle", image_size=64, train_batch_size=8)
    few = MVTec(root=parts.parent, category="bottle", image_size=64, holdout=0.02)
    with pytest.raises(InputError, match="at least 4 held-out"):
        Engine(tmp_path / "few", patience=1).fit(AE(**TRAINED), few)
    model = AE(**{**TRAINED, "steps": 350, "lr": 1e-30})  # nothing is learned, so the second check brings nothing
    inspector = Engine(tmp_path / "runs", patience=1).fit(model, data)
    assert len(model.losses) == 200
    assert len(inspector.calibration.good_scores) == len(data.held_out_records) // 2


def test_unknown_device() -> None:
    with pytest.raises(InputError, match="'auto', 'cpu' or 'cuda:0'"):
        Engine(device="gpu3")


def test_a_fit_in_a_folder_of_ones_own_is_resumed_there(root, tmp_path) -> None:
    data = MVTec(root=root, category="bottle", image_size=64)
    place = tmp_path / "mine"
    one = Engine(tmp_path / "runs").fit(Patchcore(**TINY), data, folder=place, verbose=False)
    assert (place / "model.safetensors").exists()
    assert not (tmp_path / "runs").exists()
    before = (place / "model.safetensors").stat().st_mtime_ns
    two = Engine(tmp_path / "runs").fit(Patchcore(**TINY), data, folder=place, verbose=False)
    assert (place / "model.safetensors").stat().st_mtime_ns == before
    assert two.calibration == one.calibration
    with pytest.raises(InputError, match="was started with other settings or data"):
        Engine(tmp_path / "runs").fit(Patchcore(**{**TINY, "seed": 5}), data, folder=place)


def test_the_word_protocol_is_answered_with_resolution(fitted, root) -> None:
    engine, model, data, _ = fitted
    with pytest.raises(InputError, match="protocol: `resolution`: 'original' or 'network'"):
        engine.test(model, data, protocol="paper")
