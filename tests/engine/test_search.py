"""The search over hyper-parameters: judged on planted defects or a labelled validation split, never on test images."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tests.commands import blemish
from tests.parts import write_folder

from blemish import Engine, Inspector, load
from blemish.core.errors import InputError, UnknownName
from blemish.data import Folder
from blemish.engine.search import search
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.planted import KINDS, plant, planted
from blemish.imaging.reading import read, read_mask
from blemish.models import PatchCore


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("parts"))


@pytest.fixture
def data(root):
    return Folder(root, image_size=64, holdout=0.4)


def test_the_best_is_what_a_loop_by_hand_finds(data, tmp_path) -> None:
    """Half of the held-out parts and a spoilt copy of each judge; a tiny memory sees less than a large one."""
    grid = {"coreset_sampling_ratio": [0.002, 0.3], "neighbours": [1, 5]}
    found = search("patchcore", grid, data)
    assert [candidate.params for candidate in found.candidates] == [
        {"coreset_sampling_ratio": ratio, "neighbours": count} for ratio in (0.002, 0.3) for count in (1, 5)
    ]
    assert found.best["coreset_sampling_ratio"] == 0.3
    for candidate in found.candidates:
        assert candidate.score == pytest.approx(np.mean(list(candidate.metrics.values())))
        assert set(candidate.metrics) == {"image_AUROC", "pixel_AUROC"}
    assert found.best == max(found.candidates, key=lambda candidate: candidate.score).params
    assert found.text().startswith("Judged on planted defects, not on test images:\n")
    half = data.held_out_records[::2]
    judging = [*half, *planted(half, data.imaging, tmp_path)]
    for candidate in found.candidates:
        by_hand = PatchCore(**candidate.params).fit(data.batches(data.train_records))
        report = evaluate(Inspector(by_hand, data.imaging), judging)
        assert {name: report.metrics[name].value for name in candidate.metrics} == pytest.approx(candidate.metrics)
    again = search("patchcore", grid, data)
    assert again.candidates == found.candidates


def test_nothing_of_the_test_images_is_read(data, monkeypatch) -> None:
    """What judges neither decides the threshold afterwards, nor are test images looked at."""
    test = {record.image for record in data.test_records}
    seen: list[object] = []
    from blemish.imaging import images

    real = images.read
    monkeypatch.setattr(images, "read", lambda source, **more: seen.append(source) or real(source, **more))
    found = search("patchcore", {"coreset_sampling_ratio": [0.01, 0.1]}, data)
    assert seen
    assert not test & set(seen)
    left = {record.key for record in found.data.held_out_records}
    held = {record.key for record in data.held_out_records}
    assert left < held
    assert len(left) == len(held) // 2
    assert [r.key for r in found.data.train_records] == [r.key for r in data.train_records]
    assert [r.key for r in found.data.test_records] == [r.key for r in data.test_records]


def test_a_model_says_that_its_parameters_were_searched(data, tmp_path) -> None:
    found = search("patchcore", {"coreset_sampling_ratio": [0.01, 0.1]}, data)
    inspector = Engine(tmp_path).fit(PatchCore(**found.best), found.data, verbose=False)
    said = load(inspector.save(tmp_path / "model.safetensors")).provenance.data["search"]
    assert said == {
        "grid": {"coreset_sampling_ratio": [0.01, 0.1]},
        "best": found.best,
        "judged_by": "planted",
    }


def test_labelled_validation_images_judge(root, tmp_path, capsys) -> None:
    own = tmp_path / "own"
    shutil.copytree(root, own)
    bad = sorted(path for path in (own / "test").rglob("*.png") if path.parent.name != "good")
    (own / "validation" / "turned").mkdir(parents=True)
    for path in bad[:4]:
        path.rename(own / "validation" / "turned" / path.name)
    data = Folder(own, image_size=64, holdout=0.4)
    found = search("patchcore", {"coreset_sampling_ratio": [0.01, 0.1]}, data, judge="validation")
    assert found.judged_by == "validation"
    assert "the labelled validation split" in found.text()
    Engine(tmp_path / "runs").fit(PatchCore(**found.best), found.data)
    assert "4 defective validation parts serve a search alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "message", "given"),
    [
        (InputError, "has nothing to try", {"grid": {}}),
        (InputError, "has nothing to try", {"grid": {"neighbours": []}}),
        (UnknownName, "Did you mean 'neighbours'", {"grid": {"neighbour": [1]}}),
        (UnknownName, "judge 'test'", {"judge": "test"}),
        (InputError, "no defective validation images", {"judge": "validation"}),
    ],
)
def test_what_cannot_be_searched_is_refused(data, kind, message, given) -> None:
    with pytest.raises(kind, match=message):
        search(**{"method": "patchcore", "grid": {"neighbours": [1]}, "data": data, **given})


def test_too_few_held_out_parts_are_refused(root) -> None:
    with pytest.raises(InputError, match=r"at least 4 held-out good parts.*there are 2"):
        search("patchcore", {"neighbours": [1]}, Folder(root, image_size=64, holdout=0.1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_defect_lies_where_its_mask_says(kind) -> None:
    image = read(np.random.default_rng(0).integers(60, 190, (70, 90, 3)).astype(np.uint8))
    for seed in range(20):
        spoilt, mask = plant(image, kind, np.random.default_rng(seed))
        assert spoilt.shape == image.shape
        assert spoilt.min() >= 0
        assert spoilt.max() <= 1
        assert 0 < mask.mean() < 0.5
        change = np.abs(spoilt - image).max(axis=2)
        assert change[mask].mean() > 0.01
        assert change[mask].mean() > 10 * change[~mask].mean()
        again = plant(image, kind, np.random.default_rng(seed))
        assert np.array_equal(again[0], spoilt)


def test_planted_copies_are_records_of_defective_parts(data, tmp_path) -> None:
    good = data.held_out_records
    found = planted(good, data.imaging, tmp_path)
    assert [record.kind for record in found] == [KINDS[i % 3] for i in range(len(good))]
    for before, record in zip(good, found, strict=True):
        assert (record.label, record.split, record.category) == (1, "test", before.category)
        mask = read_mask(record.masks[0], above=record.mask_above)
        change = np.abs(read(record.image) - read(before.image)).max(axis=2)
        assert change[mask].mean() > change[~mask].mean()


@pytest.mark.slow
def test_the_command_line_searches_and_fits_the_best(root, tmp_path) -> None:
    done = blemish(
        "fit", root, "--image-size", "64", "--holdout", "0.4", "-o", tmp_path,
        "--search", "coreset_sampling_ratio=[0.002, 0.3]", "-s", "neighbours=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Judged on planted defects" in done.stdout
    (model,) = tmp_path.rglob("model.safetensors")
    assert load(model).detector.params["coreset_sampling_ratio"] == 0.3
    assert load(model).detector.params["neighbours"] == 1
    run = json.loads((model.parent / "run.json").read_text())
    assert run["data"]["search"]["best"] == {"coreset_sampling_ratio": 0.3}
    for wrong, said in (
        ("coreset_sampling_ratio=0.1", "must be name=[value, ...]"),
        ("coreset_sampling_ratio=[true]", "coreset_sampling_ratio"),
        ("coreset=[0.1]", "coreset_sampling_ratio"),
    ):
        done = blemish("fit", root, "--search", wrong, "-o", tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
    done = blemish("fit", root, "--search", "neighbours=[1, 2]", "--resume", model.parent, "-o", tmp_path)
    assert "--set name=value" in done.stderr
