"""One model of several categories: a threshold and a report of each, and what all of them did together."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.commands import blemish

from blemish import Engine, load
from blemish.core.errors import InputError
from blemish.data import Folder, Synthetic
from blemish.data.synthetic import make
from blemish.evaluation.report import Report
from blemish.models import PatchCore
from blemish.report import write_pages

NAMES = ["fabric", "flange"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    root = make(folder / "images", categories=NAMES, train=24, seed=0)
    data = Synthetic(root, "all", image_size=64, holdout=0.5)
    engine = Engine(folder / "runs", false_reject_rate=0.1)
    inspector = engine.fit(PatchCore(coreset_sampling_ratio=0.1), data, verbose=False)
    return engine, inspector, data, engine.report(inspector, data), root


def test_each_category_has_its_threshold_and_decides_by_it(fitted) -> None:
    _, inspector, data, report, _ = fitted
    assert set(inspector.calibration.categories) == set(NAMES)
    assert len({own.threshold for own in inspector.calibration.categories.values()}) == 2
    assert sum(len(own.good_scores) for own in inspector.calibration.categories.values()) == len(
        inspector.calibration.good_scores
    )
    for part in report.parts:
        own = inspector.calibration.categories[part.category]
        assert part.defective == (part.score >= own.threshold)
    record = data.test_records[0]
    by_record, by_name, by_folder = (
        next(inspector.stream([record])),
        inspector.inspect(record.image, category=record.category),
        inspector.inspect(record.image),
    )
    assert by_record.threshold == by_name.threshold == by_folder.threshold
    assert by_record.threshold == inspector.calibration.categories[record.category].threshold
    assert inspector.inspect(np.zeros((64, 64, 3), np.uint8)).threshold == inspector.calibration.threshold


def test_the_report_is_the_mean_and_holds_each(fitted) -> None:
    _, _, data, report, _ = fitted
    assert set(report.categories) == set(NAMES)
    for name in ("image_AUROC", "pixel_AUROC", "pixel_AUPRO"):
        each = [own.metrics[name].value for own in report.categories.values()]
        assert report.metrics[name].value == pytest.approx(np.mean(each))
    escapes = [own.decisions["escape_rate"]["count"] for own in report.categories.values()]
    assert report.decisions["escape_rate"]["count"] == sum(escapes)
    assert report.decisions["escape_rate"]["of"] == sum(r.label == 1 for r in data.test_records)
    assert report.decisions["threshold"] is None
    assert {kind["kind"].split("/")[0] for kind in report.kinds} == set(NAMES)
    text = report.text()
    assert text.splitlines()[0].startswith("category")
    assert all(any(line.startswith(name) for line in text.splitlines()) for name in NAMES)
    assert "mean of 2 categories" in text


def test_a_saved_report_of_several_is_read_back(fitted) -> None:
    engine, inspector, _, report, _ = fitted
    run = engine.run_of(inspector.detector)
    again = Report.load(run.report)
    assert again.text() == report.text()
    assert again.categories["fabric"].parts == report.categories["fabric"].parts
    assert json.dumps(again.as_dict(), default=str) == json.dumps(report.as_dict(), default=str)
    pages = {path.name for path in run.folder.glob("*.html")}
    assert pages == {"report.html", "report-fabric.html", "report-flange.html"}
    index = run.page.read_text()
    assert 'href="report-flange.html"' in index
    assert f"{report.metrics['image_AUROC'].value:.4f}" in index


def test_names_of_categories_make_files_and_links(fitted, tmp_path) -> None:
    """A product in a folder of folders, and one with signs that mean something in an address."""
    _, inspector, data, report, _ = fitted
    odd = dict(zip(("line 1/cap#2", "50 % nut"), report.categories.values(), strict=True))
    page = write_pages(
        tmp_path / "report.html", replace(report, categories=odd), inspector, {r.key: r for r in data.test_records}
    )
    assert {path.name for path in tmp_path.glob("*.html")} == {
        "report.html",
        "report-line 1-cap#2.html",
        "report-50 % nut.html",
    }
    text = page.read_text()
    assert 'href="report-line%201-cap%232.html"' in text
    assert 'href="report-50%20%25%20nut.html"' in text


def test_the_thresholds_are_kept_by_the_file_and_the_export(fitted, tmp_path) -> None:
    pytest.importorskip("onnx")
    engine, inspector, data, _, _ = fitted
    saved = load(inspector.save(tmp_path / "model.safetensors"))
    engine.export(inspector, tmp_path / "model.onnx")
    for model in (saved, load(tmp_path / "model.onnx")):
        found = [verdict.threshold for verdict in model.stream(data.test_records[:3])]
        assert found == [inspector.calibration.categories[r.category].threshold for r in data.test_records[:3]]


def test_the_command_line_fits_all_and_inspects_by_folder(fitted, tmp_path) -> None:
    """From the command line: one model, thresholds and a report by category."""
    root = fitted[4]
    done = blemish(
        "fit", root, "-d", "synthetic", "-c", "all", "--image-size", "64", "--holdout", "0.5", "-o", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "fabric: threshold" in done.stdout
    assert "flange: threshold" in done.stdout
    (model,) = tmp_path.rglob("model.safetensors")
    done = blemish("test", model, root, "-d", "synthetic")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("category")
    both = blemish("test", model, root, "-d", "synthetic", "-c", "fabric", "-c", "flange", "-o", tmp_path / "both")
    assert both.stdout.splitlines()[:3] == done.stdout.splitlines()[:3]
    done = blemish("inspect", model, root / "fabric" / "test" / "good", "--json")
    thresholds = {json.loads(line)["threshold"] for line in done.stdout.splitlines()}
    assert thresholds == {load(model).calibration.categories["fabric"].threshold}
    done = blemish("inspect", model, root / "fabric" / "test" / "good", "--json", "-c", "flange")
    assert {json.loads(line)["category"] for line in done.stdout.splitlines()} == {"flange"}


def test_a_folder_of_own_products_is_all_of_them(fitted, tmp_path) -> None:
    root = fitted[4]
    data = Folder(root, "all", image_size=64)
    assert data.categories == NAMES
    assert len(data.train_records) == len(Folder(root / "fabric").train_records) * 2
    with pytest.raises(InputError, match="none twice"):
        Folder(root, ["fabric", "fabric"])
    assert data.describe()["category"] == "all"
