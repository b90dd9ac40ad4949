"""What a cell measures: the same as by hand, the same with and without the cache, category by category if unified."""

import base64
import dataclasses
import json
from itertools import count

import cv2
import numpy as np
import pytest
import torch

from blemish.benchmark import measure as measuring
from blemish.benchmark.cells import Cell
from blemish.benchmark.measure import measure
from blemish.benchmark.reading import parse
from blemish.core.errors import InputError
from blemish.data import Folder, synthetic
from blemish.data.split import split_hash
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.settings import FewShot, Noisy, Robustness
from blemish.features.frozen import Features
from blemish.inference.inspector import Inspector
from blemish.models.patchcore import PatchCore
from blemish.training.device import to
from blemish.training.random_state import seeded
from grids import TINY, cells

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cell(tmp_path_factory) -> Cell:
    (only,) = cells(tmp_path_factory.mktemp("measure"), seeds=[3])
    return only


def test_a_cell_is_what_one_would_do_by_hand(cell) -> None:
    data = Folder(cell.source.root, image_size=32, train_batch_size=4, holdout=0, seed=3)
    with seeded(3):
        model = PatchCore(**TINY, seed=3).fit(data.train())
    report = evaluate(Inspector(model, data.imaging), data.test_records, batch_size=4, seed=3)
    found = measure(cell)
    assert found["metrics"] == {name: value._asdict() for name, value in report.metrics.items()}
    assert found["scores"]["scores"] == [part.score for part in report.parts]
    assert found["scores"]["labels"] == [part.label for part in report.parts]
    assert found["failed"] is None
    assert found["by_category"] == {}
    stamps = found["stamps"]
    assert stamps["split"] == split_hash([*data.train_records, *data.test_records])
    assert stamps["weights"] == {"texnet_s": model.features.sha256}
    assert stamps["counts"] == {"train": 8, "held_out": 0, "test": 7}
    assert stamps["seed"] == 3
    assert stamps["versions"]["torch"] == torch.__version__
    costs = found["costs"]
    assert costs["parameters"] == sum(p.numel() for p in model.parameters())
    assert costs["fit_seconds"] > 0
    assert costs["score_ms"] > 0
    json.dumps(found, allow_nan=False)


def test_held_out_parts_give_a_threshold(cell) -> None:
    found = measure(dataclasses.replace(cell, holdout=0.5, false_reject_rate=0.25))
    assert found["stamps"]["counts"]["held_out"] == 4
    assert 0 <= found["decisions"]["false_reject_rate"]["value"] <= 1
    assert measure(cell)["decisions"] == {}


def test_the_protocol_decides_who_is_learned_from_and_tested(cell) -> None:
    counts = {}
    for name, made in {"few": FewShot(2), "with": Noisy(0.1, True), "without": Noisy(0.1)}.items():
        counts[name] = measure(dataclasses.replace(cell, protocol=made))["stamps"]["counts"]
    assert counts["few"] == {"train": 2, "held_out": 0, "test": 7}
    assert counts["with"] == {"train": 9, "held_out": 0, "test": 7}
    assert counts["without"] == {"train": 9, "held_out": 0, "test": 6}
    at_most = measure(dataclasses.replace(cell, train_images=3))
    assert at_most["stamps"]["counts"]["train"] == 3


def test_changed_images_score_otherwise_unchanged_the_same(cell) -> None:
    """Changed images are scored otherwise and an unchanged one the same."""
    plain = np.array(measure(cell)["scores"]["scores"])
    none = measure(dataclasses.replace(cell, protocol=Robustness("brightness", 1.0)))["scores"]
    dark = measure(dataclasses.replace(cell, protocol=Robustness("brightness", 0.4)))["scores"]
    np.testing.assert_allclose(none["scores"], plain, rtol=1e-3)
    labels = np.array(dark["labels"])
    assert (np.array(dark["scores"])[labels == 0] > plain[labels == 0]).all()


@pytest.mark.parametrize("method", ["patchcore", "fastflow"])
def test_the_cache_changes_no_score_and_spares_the_second_pass(cell, tmp_path, monkeypatch, method) -> None:
    """Scores are the same with and without the cache and the second time nothing is computed."""
    params = TINY if method == "patchcore" else {"steps": 6, "flow_steps": 1}
    cell = dataclasses.replace(cell, method=method, params={**params, "seed": 3})
    plain = measure(cell)
    first = measure(cell, features=tmp_path)
    assert first["stamps"]["features"]["computed"] > 0
    sizes = []
    compute = Features.compute
    monkeypatch.setattr(Features, "compute", lambda self, image: sizes.append(len(image)) or compute(self, image))
    second = measure(cell, features=tmp_path)
    assert plain["scores"] == first["scores"] == second["scores"]
    assert plain["metrics"] == first["metrics"] == second["metrics"]
    assert second["stamps"]["features"]["computed"] == 0
    assert sizes == [1] * 3 + [8] * 4  # the parts that are drawn, then the random images on which time is taken
    assert plain["costs"]["fit_looked_up"] == 0
    assert second["costs"]["fit_looked_up"] >= 8  # its time to fit is not the method's own: that is said


def test_another_seed_finds_the_features_of_the_first(cell, tmp_path) -> None:
    measure(cell, features=tmp_path)
    other = dataclasses.replace(cell, seed=4, params={**TINY, "seed": 4})
    assert measure(other, features=tmp_path)["stamps"]["features"] == {"looked_up": 15, "computed": 0}


def test_a_detector_that_several_cells_test_is_fitted_once(cell, tmp_path, monkeypatch) -> None:
    fits = []
    fit = PatchCore.fit
    monkeypatch.setattr(PatchCore, "fit", lambda self, data: fits.append(1) or fit(self, data))
    blurred, plain = dataclasses.replace(cell, protocol=Robustness("blur", 2.0)), cell
    alone = [measure(blurred), measure(plain)]
    assert len(fits) == 2
    shared = [measure(blurred, fitted=tmp_path), measure(plain, fitted=tmp_path)]
    assert len(fits) == 3
    for one, other in zip(alone, shared, strict=True):
        assert one["scores"] == other["scores"]
        assert one["metrics"] == other["metrics"]
    assert [one["stamps"]["fitted"] for one in shared] == ["here", "for another cell"]
    assert shared[1]["costs"]["fit_seconds"] == shared[0]["costs"]["fit_seconds"]  # the fit was as dear for both
    assert measure(dataclasses.replace(cell, seed=4), fitted=tmp_path)["stamps"]["fitted"] == "here"
    assert measure(dataclasses.replace(cell, protocol=FewShot(2)), fitted=tmp_path)["stamps"]["fitted"] == "here"


def test_an_unreadable_kept_detector_is_fitted_anew(cell, tmp_path) -> None:
    """A kept detector that cannot be read is fitted anew and that is said."""
    whole = measure(cell, fitted=tmp_path)
    (file,) = tmp_path.glob("*/model.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    again = measure(cell, fitted=tmp_path)
    assert any("fitted anew" in note for note in again["notes"])
    assert again["scores"] == whole["scores"]
    assert measure(cell, fitted=tmp_path)["stamps"]["fitted"] == "for another cell"


def test_an_interrupted_training_resumes_to_the_same_scores(cell, tmp_path, monkeypatch) -> None:
    """An interrupted training is resumed with the same scores."""
    params = {"steps": 6, "flow_steps": 1, "seed": 3}
    cell = dataclasses.replace(cell, method="fastflow", params=params)
    whole = measure(cell)
    read = count()

    def torn(batch, device):
        if next(read) == 4:
            raise KeyboardInterrupt
        return to(batch, device)

    with monkeypatch.context() as patch:
        patch.setattr("blemish.training.optimise.to", torn)
        with pytest.raises(KeyboardInterrupt):
            measure(cell, fitted=tmp_path)
    found = measure(cell, fitted=tmp_path)
    assert found["scores"] == whole["scores"]
    assert any("was interrupted and resumed" in note for note in found["notes"])
    assert "fit_seconds" not in found["costs"]
    rows = next(tmp_path.glob("*/training/01-*.csv")).read_text().splitlines()
    assert len(rows) == 1 + 6


def test_a_fit_that_no_other_cell_tests_is_removed(cell, tmp_path) -> None:
    measure(cell, fitted=tmp_path, keep=False)
    assert list(tmp_path.iterdir()) == []


def test_patience_stops_by_half_of_the_held_out_images(cell, tmp_path) -> None:
    params = {"steps": 6, "flow_steps": 1, "seed": 3}
    measure(dataclasses.replace(cell, method="fastflow", params=params, holdout=0.5, patience=1), fitted=tmp_path)
    head, *rows = next(tmp_path.glob("*/training/01-*.csv")).read_text().splitlines()
    assert head.split(",")[-1] == "validation"
    assert rows[-1].split(",")[-1] != ""
    with pytest.raises(InputError, match="patience needs at least 4 held-out good images"):
        measure(dataclasses.replace(cell, patience=1))


def test_a_unified_detector_is_measured_by_category(tmp_path, monkeypatch) -> None:
    """A unified detector is one for all and measured category by category."""
    made = synthetic.make(
        tmp_path / "made", categories=["fabric", "flange"], train=4, test_good=2, per_defect=1, size=64
    )
    grid = {"name": "x", "methods": ["patchcore"], "image_size": 32, "protocols": ["multi-class"]}
    grid |= {"datasets": [{"kind": "synthetic", "root": str(made)}], "params": {"patchcore": TINY}}
    (cell,) = parse(grid).cells(tmp_path)
    fitted = []
    fit = PatchCore.fit
    monkeypatch.setattr(PatchCore, "fit", lambda self, data: fitted.append(len(data.records)) or fit(self, data))
    found = measure(cell)
    assert fitted == [8]
    each = found["by_category"]
    assert set(each) == {"fabric", "flange"}
    both = [each[name]["metrics"]["image_AUROC"]["value"] for name in each]
    assert found["metrics"]["image_AUROC"]["value"] == pytest.approx(sum(both) / 2)
    assert found["scores"]["scores"] == [s for one in each.values() for s in one["scores"]["scores"]]
    alone = dataclasses.replace(cell, categories=("fabric",))
    assert set(measure(alone)["by_category"]) == {"fabric"}


def test_what_a_method_raises_is_raised(cell) -> None:
    with pytest.raises(InputError):
        measure(dataclasses.replace(cell, params={"coreset_sampling_ratio": 2.0}))
    assert measuring._finite({"a": {"b": float("nan")}, "c": 1.5}) == {"a": {"b": None}, "c": 1.5}


def test_the_picture_shows_the_three_parts_that_say_most(cell) -> None:
    found = measure(cell)
    kinds, scores = (found["scores"][key] for key in ("kinds", "scores"))
    good, bad = ([s for s, k in zip(scores, kinds, strict=True) if (k == "good") is wanted] for wanted in (True, False))
    assert [one["score"] for one in found["picture"]["shown"]] == [max(good), min(bad), max(bad)]
    coded = np.frombuffer(base64.b64decode(found["picture"]["webp"]), np.uint8)
    assert cv2.imdecode(coded, cv2.IMREAD_COLOR).shape == (160, 480, 3)
