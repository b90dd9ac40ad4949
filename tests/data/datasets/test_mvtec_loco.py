from __future__ import annotations

import json

import pytest

from blemish.core.errors import DataError, FormatError
from blemish.data.datasets.mvtec_loco import Saturation, index, saturation

NAMES = (
    *("pushpins/train/good/000.png", "pushpins/validation/good/000.png", "pushpins/test/good/000.png"),
    *("pushpins/test/logical_anomalies/000.png", "pushpins/test/structural_anomalies/000.png"),
    *(f"pushpins/ground_truth/logical_anomalies/000/00{i}.png" for i in range(3)),
    "pushpins/ground_truth/structural_anomalies/000/000.png",
)
CONFIG = [
    {"defect_name": "missing", "pixel_value": 253, "saturation_threshold": 6300, "relative_saturation": False},
    {"defect_name": "bent", "pixel_value": 251, "saturation_threshold": 1.0, "relative_saturation": True},
]


def test_one_mask_for_each_instance(draw):
    records = {r.key: r for r in index(draw(*NAMES))}
    assert [m.name for m in records["pushpins/test/logical_anomalies/000.png"].masks] == [
        *("000.png", "001.png", "002.png"),
    ]
    structural = records["pushpins/test/structural_anomalies/000.png"]
    assert (structural.kind, structural.label, len(structural.masks)) == ("structural_anomalies", 1, 1)
    assert records["pushpins/validation/good/000.png"].split == "validation"
    assert [r.masks for r in records.values() if not r.label] == [(), (), ()]


def test_defective_image_without_masks(draw):
    root = draw(*NAMES, "pushpins/test/logical_anomalies/007.png")
    assert {r.key: r for r in index(root)}["pushpins/test/logical_anomalies/007.png"].masks == ()


def test_saturation(draw):
    root = draw(*NAMES)
    with pytest.raises(DataError, match=r"defects_config\.json is missing"):
        saturation(root, "pushpins")
    config = root / "pushpins/defects_config.json"
    config.write_text(json.dumps(CONFIG))
    assert saturation(root, "pushpins") == {
        253: Saturation("missing", 6300, relative=False),
        251: Saturation("bent", 1.0, relative=True),
    }
    config.write_text(json.dumps([{"pixel_value": 1}]))
    with pytest.raises(DataError, match="must be a list of defect_name"):
        saturation(root, "pushpins")
    config.write_text("[")
    with pytest.raises(FormatError, match="not readable as JSON"):
        saturation(root, "pushpins")
