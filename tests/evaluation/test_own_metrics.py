"""What a data set's own paper measures, on made trees, against the definitions written out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from blemish.core.errors import DataError, UnknownName
from blemish.data import MVTecAD2, MVTecLOCO
from blemish.engine.reporting import report_on
from blemish.evaluation.evaluate import evaluate
from blemish.imaging.images import Imaging
from blemish.imaging.reading import encode_png, read_mask, read_mask_values
from blemish.inference.inspection import Inspection
from blemish.inference.provenance import Provenance
from blemish.inference.raw import RawScores
from blemish.metrics import auroc

SIZE = (24, 32)
CONFIG = [
    {"defect_name": "missing", "pixel_value": 255, "saturation_threshold": 20, "relative_saturation": False},
    {"defect_name": "swapped", "pixel_value": 254, "saturation_threshold": 0.5, "relative_saturation": True},
    {"defect_name": "broken", "pixel_value": 253, "saturation_threshold": 1.0, "relative_saturation": True},
]


class Bright(Inspection):
    """The map is how bright a pixel is, the score its mean."""

    backbones, inputs = {}, ("image",)
    settings = {"method": "Bright", "params": {}}

    def __init__(self) -> None:
        self.imaging, self.provenance, self.calibration = Imaging(size=SIZE), Provenance(), None

    def score(self, inputs):
        maps = inputs["image"].mean(1)
        return RawScores(maps.mean((1, 2)).astype(np.float64), maps)


def png(path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))


@pytest.fixture(scope="module")
def loco(tmp_path_factory):
    """Pushpins with 6 good test images, 4 logical anomalies of two instances each, and 4 structural ones."""
    place = tmp_path_factory.mktemp("loco") / "pushpins"
    rng = np.random.default_rng(0)

    def image(name: str, boxes: list[tuple[slice, slice]]) -> None:
        pixels = rng.integers(0, 150, (*SIZE, 3), dtype=np.uint8)
        for box in boxes:
            pixels[box] = rng.integers(60, 256, pixels[box].shape)
        png(place / f"{name}.png", pixels)

    for i in range(4):
        image(f"train/good/{i:03}", [])
    for i in range(2):
        image(f"validation/good/{i:03}", [])
    for i in range(6):
        image(f"test/good/{i:03}", [])
    kinds = {"logical_anomalies": (255, 254), "structural_anomalies": (253, 253)}
    for kind, values in kinds.items():
        for i in range(4):
            boxes = [
                (slice(2, 7), slice(1 + i, 9 + i)),
                (slice(12 + i, 20), slice(15, 30 - 2 * i)),
            ]
            image(f"test/{kind}/{i:03}", boxes)
            for j, (box, value) in enumerate(zip(boxes, values, strict=True)):
                mask = np.zeros(SIZE, np.uint8)
                mask[box] = value
                png(place / "ground_truth" / kind / f"{i:03}" / f"{j:03}.png", mask)
    (place / "defects_config.json").write_text(json.dumps(CONFIG))
    return place.parent


def spro_by_hand(records, imaging, kind: str, limit: float) -> float:
    """Return the area under the sPRO curve: every threshold, every instance, as the paper defines it."""
    maps, truths, instances = [], [], []
    config = {entry["pixel_value"]: entry for entry in CONFIG}
    for record in records:
        if record.label == 1 and not record.kind.startswith(kind):
            continue
        map, truth, own = imaging.read(record.image).mean(2), np.zeros(SIZE, bool), []
        for path in record.masks:
            values = read_mask_values(path)
            entry, area = config[values.max()], (values > 0).sum()
            full = entry["saturation_threshold"]
            own.append((values > 0, int(full * area) if entry["relative_saturation"] else min(full, area)))
            truth |= values > 0
        maps.append(map)
        truths.append(truth)
        instances.append(own)
    good = np.concatenate([map[~truth] for map, truth in zip(maps, truths, strict=True)])
    points = [(0.0, 0.0)]
    for threshold in sorted({float(v) for map in maps for v in map.ravel()}, reverse=True):
        overlap = [
            min((map[mask] >= threshold).sum() / full, 1)
            for map, own in zip(maps, instances, strict=True)
            for mask, full in own
        ]
        points.append(((good >= threshold).mean(), np.mean(overlap)))
    fpr, spro = np.array(points).T
    inside = fpr <= limit
    end = np.interp(limit, fpr, spro)
    x, y = [*fpr[inside], limit], [*spro[inside], end]
    return float(np.trapezoid(y, x) / limit)


def test_loco_is_measured_as_its_paper_defines(loco) -> None:
    data, inspector = MVTecLOCO(loco, "pushpins", image_size=SIZE), Bright()
    records = data.test_records
    found, _ = report_on(inspector, data)
    for kind in ("logical", "structural"):
        for name, limit in (("AU_sPRO_05", 0.05), ("AU_sPRO_1", 0.1), ("AU_sPRO_3", 0.3), ("AU_sPRO_whole", 1.0)):
            expected = spro_by_hand(records, inspector.imaging, kind, limit)
            assert found.metrics[f"{name}_{kind}"].value == pytest.approx(expected, abs=2e-3), name
        some = [r for r in records if r.label == 0 or r.kind.startswith(kind)]
        scores = [float(inspector.imaging.read(r.image).mean()) for r in some]
        assert found.metrics[f"image_AUROC_{kind}"].value == pytest.approx(auroc([r.label for r in some], scores))
    for name in ("AU_sPRO_05", "AU_sPRO_01", "AU_sPRO_3"):
        both = [found.metrics[f"{name}_{kind}"].value for kind in ("logical", "structural")]
        assert found.metrics[name].value == pytest.approx(np.mean(both))
    assert found.metrics["AU_sPRO_05_logical"].value != found.metrics["AU_sPRO_05_structural"].value
    assert "AU_sPRO_05_logical" in found.text()
    assert "AU_sPRO_05" not in evaluate(inspector, records).metrics, "it belongs to the data set"


def test_a_saturation_is_a_share_or_a_number_of_pixels(loco) -> None:
    data = MVTecLOCO(loco, "pushpins", image_size=SIZE)
    logical = next(r for r in data.test_records if r.kind == "logical_anomalies")
    areas = [int(read_mask(path).sum()) for path in logical.masks]
    assert data.saturations(logical) == [20.0, float(areas[1] // 2)]
    assert data.saturations(next(r for r in data.test_records if r.label == 0)) is None
    other = replace(logical, masks=(*logical.masks[:1], logical.masks[1].parent / "002.png"))
    png(other.masks[1], np.full(SIZE, 7, np.uint8))
    with pytest.raises(DataError, match="has the pixel value 7"):
        data.saturations(other)
    other.masks[1].unlink()


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    place = tmp_path_factory.mktemp("ad2") / "fabric"
    rng = np.random.default_rng(1)
    for split, kind, count in (("train", "good", 4), ("validation", "good", 3), ("test_public", "good", 3)):
        for i in range(count):
            png(place / split / kind / f"{i:03}_regular.png", rng.integers(0, 120, (*SIZE, 3), dtype=np.uint8))
    for i in range(4):
        pixels, mask = rng.integers(0, 120, (*SIZE, 3), dtype=np.uint8), np.zeros(SIZE, np.uint8)
        pixels[4:12, 5 + i : 15] += 100
        mask[4:14, 5:15] = 255
        png(place / "test_public" / "bad" / f"{i:03}_regular.png", pixels)
        png(place / "test_public" / "ground_truth" / "bad" / f"{i:03}_regular_mask.png", mask)
    return place.parent


def test_seg_f1_counts_pixels_at_the_validation_threshold(fabric) -> None:
    data, inspector = MVTecAD2(fabric, "fabric", image_size=SIZE), Bright()
    found, _ = report_on(inspector, data)
    every = np.concatenate([inspector.imaging.read(r.image).mean(2).ravel() for r in data.held_out_records])
    threshold = every.astype(float).mean() + 3 * every.astype(float).std()
    hit = marked = bad = 0
    for record in data.test_records:
        map = inspector.imaging.read(record.image).mean(2) >= threshold
        truth = read_mask(record.masks[0]) if record.masks else np.zeros(SIZE, bool)
        hit, marked, bad = hit + (map & truth).sum(), marked + map.sum(), bad + truth.sum()
    assert 0.1 < 2 * hit / (marked + bad) < 0.99
    assert found.metrics["SegF1"].value == pytest.approx(2 * hit / (marked + bad))
    assert found.metrics["SegF1"].low < found.metrics["SegF1"].value < found.metrics["SegF1"].high


def test_without_validation_images_a_note_says_why(fabric, tmp_path) -> None:
    class Without(MVTecAD2):
        held_out_records = []

    found = evaluate(Bright(), Without(fabric, "fabric").test_records, data=Without(fabric, "fabric"))
    assert "SegF1" not in found.metrics
    assert any("No SegF1: there are no validation images" in note for note in found.notes)

    class Unknown(MVTecAD2):
        card = replace(MVTecAD2.card, metrics=("SegF2",))

    with pytest.raises(UnknownName, match="Did you mean 'SegF1'"):
        evaluate(Bright(), Unknown(fabric, "fabric").test_records, data=Unknown(fabric, "fabric"))
