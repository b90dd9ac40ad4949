"""Testing measures what is there: masks as they are drawn, nothing left out, the same numbers as the exact metrics."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from blemish import metrics
from blemish.core.errors import DataError, ImageError, InputError
from blemish.data import MVTec
from blemish.data.record import Record
from blemish.evaluation.evaluate import evaluate, truth_mask
from blemish.evaluation.report import PIMO_INTERVAL
from blemish.imaging.images import Imaging
from blemish.imaging.reading import read_mask
from blemish.inference.calibration import from_good
from blemish.inference.inspection import Inspection, Raw
from blemish.inference.inspector import Inspector
from blemish.inference.provenance import Provenance
from blemish.models import PatchCore
from parts import write_folder

from parts import Parts, stripes  # isort: skip

SIZE = (64, 64)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "bottle", good=24, bad=6, size=(96, 64))
    detector = PatchCore(coreset_sampling_ratio=0.2).fit(Parts(stripes(8, SIZE, 0)))
    inspector = Inspector(detector, Imaging(size=SIZE))
    return inspector, MVTec(root, "bottle", image_size=64)


def test_metrics_are_the_exact_ones_of_the_restored_maps(task) -> None:
    inspector, data = task
    report = evaluate(inspector, data.test_records)
    verdicts = inspector.inspect([r.image for r in data.test_records])
    labels = [r.label for r in data.test_records]
    scores = [v.score for v in verdicts]
    maps = [v.map for v in verdicts]
    masks = [read_mask(r.masks[0]) if r.masks else np.zeros((96, 64), bool) for r in data.test_records]
    assert report.metrics["image_AUROC"].value == pytest.approx(metrics.auroc(labels, scores), abs=1e-12)
    pixels = metrics.auroc(np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps]))
    assert report.metrics["pixel_AUROC"].value == pytest.approx(pixels, abs=1e-5)
    assert report.metrics["pixel_AUPRO"].value == pytest.approx(metrics.aupro(maps, masks), abs=1e-4)
    assert [p.score for p in report.parts] == pytest.approx(scores, rel=1e-5)
    assert report.about["resolution"] == "original"


def test_paper_protocol_compares_at_the_networks_size(task) -> None:
    inspector, data = task
    report = evaluate(inspector, data.test_records, resolution="network")
    maps = [raw.map for _, raw in inspector.raw(data.test_records)]
    masks = [inspector.imaging.prepare_mask(truth_mask(r, (96, 64))) for r in data.test_records]  # nearest, at 64 x 64
    assert report.metrics["pixel_AUPRO"].value == pytest.approx(metrics.aupro(maps, masks), abs=1e-4)


def test_decisions_follow_the_threshold(task) -> None:
    inspector, data = task
    report = evaluate(inspector, data.test_records)
    scores = sorted(p.score for p in report.parts if p.label == 0)
    judged = Inspector(inspector.detector, inspector.imaging, from_good(scores[:4], 0.2))
    found = evaluate(judged, data.test_records)
    threshold = found.decisions["threshold"]
    assert found.decisions["false_reject_rate"]["count"] == sum(
        p.score >= threshold for p in found.parts if not p.label
    )
    assert found.decisions["escape_rate"]["count"] == sum(p.score < threshold for p in found.parts if p.label)
    assert [p.defective for p in found.parts] == [p.score >= threshold for p in found.parts]
    assert found.kinds[0]["kind"] == "turned"
    assert found.kinds[0]["count"] == 6


def test_a_defective_part_without_a_mask_is_named(task, tmp_path) -> None:
    """A defective part without a mask counts at image level and is named."""
    inspector, data = task
    records = list(data.test_records)
    bad = next(i for i, r in enumerate(records) if r.label == 1)
    whole = evaluate(inspector, records)
    records[bad] = replace(records[bad], masks=())
    without = evaluate(inspector, records)
    assert without.metrics["image_AUROC"] == whole.metrics["image_AUROC"]
    assert without.metrics["pixel_AUROC"] != whole.metrics["pixel_AUROC"]
    assert any(records[bad].key in note for note in without.notes)
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((96, 64), np.uint8))
    records[bad] = replace(records[bad], masks=(tmp_path / "empty.png",))
    assert any("or an empty one" in note for note in evaluate(inspector, records).notes)


def test_a_defect_that_vanishes_makes_no_good_image(tmp_path) -> None:
    """AUPIMO's thresholds come from good images: a defect found where the small mask has nothing would raise them all."""
    rng = np.random.default_rng(0)
    records, maps = [], {}
    for i in range(24):
        bad, lost = i >= 16, i == 23
        place, mask = tmp_path / f"{i}.png", tmp_path / f"mask{i}.png"
        cv2.imwrite(str(place), np.zeros((256, 256, 3), np.uint8))
        truth = np.zeros((256, 256), np.uint8)
        truth[(slice(130, 131), slice(126, 127)) if lost else (slice(80, 120), slice(80, 120))] = 255
        cv2.imwrite(str(mask), truth)
        maps[place] = rng.random((128, 128)).astype(np.float32)
        if bad:
            maps[place][40:60, 40:60] += 5 if lost else 2
        masks = (mask,) if bad else ()
        records.append(Record(place.name, {"image": place}, "hole" if bad else "good", int(bad), "test", masks=masks))
    assert not Imaging(size=(128, 128)).prepare_mask(truth_mask(records[23], (256, 256))).any()

    class Made:
        imaging, calibration, provenance, backbones = Imaging(size=(128, 128)), None, Provenance(), {}
        decide = Inspection.decide

        def raw(self, sources, batch_size):
            return ((r, Raw(float(maps[r.image].max()), maps[r.image], (256, 256))) for r in sources)

    found, without = (evaluate(Made(), some, resolution="network") for some in (records, records[:23]))
    assert found.metrics["pixel_AUPIMO"] == without.metrics["pixel_AUPIMO"]
    assert found.metrics["pixel_AUPIMO"].value > 0.9
    assert found.metrics["pixel_AUROC"].value < without.metrics["pixel_AUROC"].value, "papers count its pixels"
    (note,) = found.notes
    assert note.startswith("The defects of 1 parts vanish")
    assert "23.png" in note
    assert PIMO_INTERVAL in found.text()
    assert evaluate(Made(), records).notes == [], "at the images' own size it is there"


def test_parts_of_unknown_truth_are_refused(task) -> None:
    inspector, data = task
    records = list(data.test_records)
    records[0] = replace(records[0], label=None)
    with pytest.raises(InputError, match=f"the label of 1 parts is None.*{records[0].key}"):
        evaluate(inspector, records)


def flattering(report) -> list[str]:
    return [note for note in report.notes if "flatter" in note]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["records", "files"])
def test_testing_on_the_parts_of_the_calibration_is_noticed(task, tmp_path, by) -> None:
    """The command calibrates on files, tests on records, and the files may lie elsewhere under other names."""
    inspector, data = task
    judged = Inspector(inspector.detector, inspector.imaging, provenance=Provenance(learned=("train/good/x.png:10",)))
    good, bad = ([r for r in data.test_records if r.label == label] for label in (0, 1))
    copies = [tmp_path / f"copy{i}.png" for i in range(8)]
    for copy, record in zip(copies, [*good[:4], *bad[:4]], strict=True):
        shutil.copyfile(record.image, copy)
    judged.calibrate(
        *((good[:4], bad[:4]) if by == "records" else (copies[:4], [str(c) for c in copies[4:]])), costs=(9, 1, 0.5)
    )
    saved = Inspector.load(judged.save(tmp_path / "model.safetensors"))
    (note,) = flattering(evaluate(saved, data.test_records))
    assert note.startswith(
        f"The files of 8 of {len(data.test_records)} tested parts are ones that the threshold was chosen"
    )
    assert good[0].key in note
    judged.calibrate(good[:4], false_reject_rate=0.5)
    assert flattering(evaluate(judged, [*good[4:], *bad])) == [], (
        "what an earlier threshold was chosen from does not count"
    )
    judged.calibrate([np.zeros((8, 8, 3), np.float32) + i / 9 for i in range(4)], false_reject_rate=0.5)
    assert (judged.provenance.learned, judged.provenance.calibrated) == (("train/good/x.png:10",), ())


def test_several_masks_are_one_truth(tmp_path, task) -> None:
    record = next(r for r in task[1].test_records if r.label == 1)
    one = np.zeros((96, 64), np.uint8)
    one[3, 4] = 7
    cv2.imwrite(str(tmp_path / "second.png"), one)
    both = truth_mask(replace(record, masks=(*record.masks, tmp_path / "second.png")), (96, 64))
    np.testing.assert_array_equal(both, read_mask(record.masks[0]) | (one > 0))


def test_what_cannot_be_measured_is_an_error(task, tmp_path) -> None:
    inspector, data = task
    records = list(data.test_records)
    with pytest.raises(InputError, match="8 good and 0 defective"):
        evaluate(inspector, [r for r in records if r.label == 0])
    cv2.imwrite(str(tmp_path / "small.png"), np.ones((9, 9), np.uint8))
    wrong = [replace(r, masks=(tmp_path / "small.png",)) if r.label else r for r in records]
    with pytest.raises(DataError, match=r"is 9 x 9 pixels, its image .* is 64 x 96"):
        evaluate(inspector, wrong)
    gone = [replace(records[0], files={"image": tmp_path / "gone.png"}), *records[1:]]
    with pytest.raises(ImageError, match="does not exist"):
        evaluate(inspector, gone)


def test_outside_the_region_of_interest_nothing_counts(task) -> None:
    inspector, data = task
    ignore = np.zeros((96, 64), bool)
    ignore[:48] = True
    blind = Inspector(inspector.detector, Imaging(size=SIZE, ignore=ignore))
    report = evaluate(blind, data.test_records)
    maps = [v.map[48:] for v in blind.inspect([r.image for r in data.test_records])]
    masks = [truth_mask(r, (96, 64))[48:] for r in data.test_records]
    expected = metrics.auroc(np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps]))
    assert report.metrics["pixel_AUROC"].value == pytest.approx(expected, abs=1e-5)
