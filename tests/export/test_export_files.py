"""Export: one file that answers as the inspector does, or none; smaller ones that say what they cost."""

from __future__ import annotations

import json
import math

import numpy as np
import onnx
import pytest
import torch

import blemish.export as exporting
from blemish.core.errors import ExportError, FormatError, InputError, UnknownName
from blemish.core.files import read_json
from blemish.data import Folder
from blemish.export import export, to_onnx
from blemish.export.images import made_images
from blemish.export.parity import Difference, Parity, compare
from blemish.export.precision import QUANTISED, _answers, damaged, halved, quantised
from blemish.imaging.images import Imaging
from blemish.inference.calibration import from_good
from blemish.inference.inspector import Inspector
from blemish.inference.runtime import Runtime
from blemish.models import PaDiM, PatchCore
from parts import Parts, deface, stripes, write_folder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]

SIZE = (64, 64)


def calibrated(detector) -> Inspector:
    found = Inspector(detector, Imaging(SIZE))
    raws = [raw for _, raw in found.raw([image.permute(1, 2, 0).numpy() for image in stripes(40, SIZE, seed=1)])]
    found.calibration = from_good([raw.score for raw in raws], 0.05, pixel_peaks=[float(r.map.max()) for r in raws])
    return found


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return calibrated(PatchCore(coreset_sampling_ratio=0.2).fit(Parts(stripes(16, SIZE, seed=0))))


@pytest.fixture(scope="module")
def model(inspector) -> onnx.ModelProto:
    return to_onnx(inspector)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Folder:
    return Folder(write_folder(tmp_path_factory.mktemp("data")), image_size=SIZE)


def test_the_graph_has_the_promised_shape(model) -> None:
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    assert image.name == "image"
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert dims == ["batch", 3, *SIZE]
    assert [output.name for output in model.graph.output] == ["score", "map"]
    assert [len(output.type.tensor_type.shape.dim) for output in model.graph.output] == [1, 3]
    assert {value.type.tensor_type.elem_type for value in (image, *model.graph.output)} == {onnx.TensorProto.FLOAT}
    assert model.producer_name == "blemish"


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_it_passes_on_images_that_exports_stumble_on(inspector, tmp_path, format) -> None:
    path = tmp_path / f"part{exporting.SUFFIX[format]}"
    parity = export(inspector, path, format=format)
    assert parity.passed
    assert (parity.images, parity.source) == (8, "made")
    assert parity.changed == []
    assert parity.score.relative < 1e-5
    assert parity.map is not None
    assert parity.map.relative < 1e-5
    left = sorted(p.name for p in tmp_path.iterdir())
    assert (
        left
        == {"onnx": ["part.onnx", "part.parity.json"], "openvino": ["part.bin", "part.parity.json", "part.xml"]}[format]
    )
    stored = read_json(tmp_path / "part.parity.json")
    assert stored == json.loads(json.dumps(parity.as_dict()))
    assert stored["passed"]
    image = deface(stripes(1, SIZE, seed=5), seed=6)[0][0].permute(1, 2, 0).numpy()
    verdict, own = Runtime(path).inspect(image), inspector.inspect(image)
    assert verdict.defective
    assert verdict.score == pytest.approx(own.score, rel=1e-5)
    assert verdict.regions[0].box == own.regions[0].box


def test_a_file_that_answers_differently_is_not_written(inspector, tmp_path, monkeypatch) -> None:
    def wrong(inspector):
        model = to_onnx(inspector)
        bank = max(model.graph.initializer, key=lambda tensor: math.prod(tensor.dims))
        values = onnx.numpy_helper.to_array(bank) + 0.05
        bank.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), bank.name))
        return model

    monkeypatch.setattr(exporting, "to_onnx", wrong)
    with pytest.raises(ExportError, match="does not answer as the model does"):
        export(inspector, tmp_path / "part.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["part.parity.failed.json"]
    assert not read_json(tmp_path / "part.parity.failed.json")["passed"]


def test_a_failed_export_leaves_the_earlier_file(inspector, tmp_path) -> None:
    """An export that fails leaves the file of before and its report."""
    path = tmp_path / "part.onnx"
    export(inspector, path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ExportError, match="was not written"):
        export(inspector, path, tolerance=1e-12)
    failed = tmp_path / "part.parity.failed.json"
    assert not read_json(failed)["passed"]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p != failed} == before
    export(inspector, path)
    assert {p.name for p in tmp_path.iterdir()} == set(before)


@pytest.mark.parametrize(("what", "said"), [("score", "the score of array 0"), ("map", "the map of array 0")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_no_agreement(inspector, tmp_path, monkeypatch, what, said, value) -> None:
    def broken(self, inputs):
        found = Inspector.score(inspector, inputs)
        (found.score if what == "score" else found.map).flat[0] = value
        return found

    monkeypatch.setattr(Runtime, "score", broken)
    with pytest.raises(ExportError, match=f"{said} is not finite in the exported file"):
        export(inspector, tmp_path / "part.onnx")
    assert list(tmp_path.iterdir()) == []


def test_in_fp32_no_decision_may_differ() -> None:
    near = Difference(1e-9, 1e-9, 1.0)
    settings = {"images": 3, "source": "given", "score": near, "map": near, "tolerance": 1e-4}
    assert Parity("fp32", changed=[], **settings).passed
    assert Parity("fp32", changed=None, **settings).passed
    assert not Parity("fp32", changed=["a.png"], **settings).passed
    assert Parity("int8", changed=["a.png"], **settings).passed
    assert not Parity("fp32", changed=[], **{**settings, "map": Difference(1.0, 1.0, 10.0)}).passed
    assert "a.png" in Parity("fp32", changed=["a.png"], **settings).text()


def test_differences_are_what_a_loop_says(inspector) -> None:
    """Against another model, so that there is something to find."""
    other = calibrated(PatchCore(coreset_sampling_ratio=0.05, seed=3).fit(Parts(stripes(16, SIZE, seed=0))))
    other.calibration = inspector.calibration
    images = [image.permute(1, 2, 0).numpy() for image in deface(stripes(5, (80, 96), seed=5), seed=6)[0]]
    score, map, changed = compare(inspector, other, images)
    own, theirs = inspector.inspect(images), other.inspect(images)
    scores = [abs(a.score - b.score) for a, b in zip(own, theirs, strict=True)]
    maps = np.array([np.abs(a.map - b.map) for a, b in zip(own, theirs, strict=True)])
    assert max(scores) > 0
    assert score.largest == pytest.approx(max(scores), rel=1e-4)  # the batches may differ, and with them the roundings
    assert score.mean == pytest.approx(sum(scores) / 5, rel=1e-4)
    assert score.scale == max(abs(a.score) for a in own)
    assert map.largest == pytest.approx(maps.max(), rel=1e-6)
    assert map.mean == pytest.approx(maps.mean(), rel=1e-5)
    assert changed == [
        f"image {i}" for i, (a, b) in enumerate(zip(own, theirs, strict=True)) if a.defective != b.defective
    ]
    with pytest.raises(InputError, match="none of 1 images"):
        compare(inspector, other, [np.zeros((3, 3, 3, 3), np.uint8)])


def test_an_xml_opens_with_its_own_bin_only(inspector, tmp_path) -> None:
    export(inspector, tmp_path / "part.xml", format="openvino")
    own = (tmp_path / "part.bin").read_bytes()
    (tmp_path / "part.bin").write_bytes(bytes([own[0] ^ 1]) + own[1:])  # as long, and of another model
    with pytest.raises(FormatError, match=r"part\.bin is not the \.bin that .*part\.xml was exported with; copy both"):
        Runtime(tmp_path / "part.xml")
    (tmp_path / "part.bin").write_bytes(own)
    assert "bin_sha256" not in Runtime(tmp_path / "part.xml").settings


def test_an_xml_from_before_the_hash_was_kept_still_opens(inspector, tmp_path) -> None:
    path = tmp_path / "part.xml"
    export(inspector, path, format="openvino")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    left = [line for line in lines if "bin_sha256" not in line]
    assert len(left) == len(lines) - 1
    path.write_text("".join(left), encoding="utf-8")
    own = (tmp_path / "part.bin").read_bytes()
    (tmp_path / "part.bin").write_bytes(bytes([own[0] ^ 1]) + own[1:])
    assert Runtime(path).exported.method == "PatchCore"


def test_half_precision_halves_the_file_and_little_else(inspector, data, tmp_path) -> None:
    whole = export(inspector, tmp_path / "whole.onnx")
    half = export(inspector, tmp_path / "half.onnx", precision="fp16", test=data.test_records)
    assert half.passed
    assert 0.45 < half.bytes[1] / whole.bytes[1] < 0.6
    assert half.bytes[0] == whole.bytes[1]
    assert whole.score.relative < half.score.relative < 1e-2
    assert half.held_out["parts"] == len(data.test_records)
    own, other = half.held_out["image_AUROC"]
    assert own == pytest.approx(other, abs=0.02)
    assert "pixel_AUPRO" in half.held_out
    assert Runtime(tmp_path / "half.onnx").exported.precision == "fp16"


def test_half_precision_leaves_what_it_cannot_hold(model) -> None:
    large = onnx.ModelProto()
    large.CopyFrom(model)
    bank = max(large.graph.initializer, key=lambda tensor: math.prod(tensor.dims))
    bank.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bank) * np.float32(1e6), bank.name))
    kinds = {tensor.name: tensor.data_type for tensor in halved(large).graph.initializer}
    assert kinds[bank.name] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.FLOAT16 in kinds.values()


def test_int8_computes_in_integers_and_says_what_it_costs(inspector, data, tmp_path) -> None:
    parity = export(
        inspector,
        tmp_path / "part.onnx",
        precision="int8",
        good=data.train_records,
        test=data.test_records,
        tolerance=0.2,
    )
    assert parity.held_out["image_AUROC"][1] > 0.9
    stored = onnx.load(tmp_path / "part.onnx")
    integers = [
        t for t in stored.graph.initializer if t.data_type == onnx.TensorProto.INT8 and "zero_point" not in t.name
    ]
    layers = [node for node in to_onnx(inspector).graph.node if node.op_type in QUANTISED]
    whole = {node.input[1] for node in layers if node.name not in parity.kept}  # two layers may share their weights
    assert len(integers) == len(whole) > 0
    scales = {t.name: t for t in stored.graph.initializer if t.name.endswith("weight_scale")}
    assert max(math.prod(t.dims) for t in scales.values()) > 1, "one scale an output channel"
    assert parity.bytes[1] < 0.7 * parity.bytes[0]
    assert Runtime(tmp_path / "part.onnx").exported.precision == "int8"


def test_int8_is_the_same_on_every_processor_and_engine(inspector, model, data, tmp_path) -> None:
    """Int8 means the same on every processor and in both engines."""
    images = [image.numpy() for image in stripes(3, SIZE, seed=2)]
    stored = {
        t.name: onnx.numpy_helper.to_array(t) for t in quantised(model, images, tolerance=0.9)[0].graph.initializer
    }
    weights = [t for name, t in stored.items() if t.dtype == np.int8 and "zero_point" not in name]
    assert max(np.abs(t.astype(int)).max() for t in weights) <= 64, "two products of 8 bits overflow without VNNI"
    points = [int(t) for name, t in stored.items() if t.dtype == np.uint8 and "zero_point" in name]
    assert points
    assert set(points) <= {127, 128}, "OpenVINO pads with the middle of a range"
    parity = export(
        inspector,
        tmp_path / "part.xml",
        format="openvino",
        precision="int8",
        good=data.train_records[:4],
        test=data.test_records,
        tolerance=0.1,
    )
    assert parity.held_out["image_AUROC"][1] > 0.9
    assert Runtime(tmp_path / "part.xml").exported.precision == "int8"


def test_layers_that_hurt_stay_in_float32(inspector, model) -> None:
    images = [image.numpy() for image in stripes(3, SIZE, seed=2)]
    _, none = quantised(model, images, tolerance=0.9)
    _, some = quantised(model, images, tolerance=1e-4)
    assert none == ()
    assert some


def test_layers_that_hurt_the_map_alone_stay_in_float32_too(model, tmp_path) -> None:
    images = [image.numpy() for image in stripes(3, SIZE, seed=2)]
    onnx.save(model, tmp_path / "whole.onnx")
    onnx.save(quantised(model, images, tolerance=0.9)[0], tmp_path / "int8.onnx")
    truth, found = (_answers(tmp_path / f"{name}.onnx", [*images, *damaged(images)]) for name in ("whole", "int8"))
    score, map = (float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(truth, found, strict=True))
    assert score < map  # otherwise this says nothing
    assert quantised(model, images, tolerance=(score + map) / 2)[1]


def test_damage_covers_more_than_good_parts() -> None:
    images = [image.numpy() for image in stripes(6, SIZE, seed=2)]
    copies = damaged(images)
    for image, copy in zip(images, copies, strict=True):
        share = (image != copy).any(0).mean()
        assert 0 < share < 0.9
        assert copy.min() >= 0
        assert copy.max() <= 1
        assert copy.dtype == np.float32
    again = damaged(images)
    assert all(np.array_equal(a, b) for a, b in zip(copies, again, strict=True))


def test_made_images_are_what_they_are_for() -> None:
    images = made_images(Imaging(SIZE))
    assert {image.dtype for image in images} == {np.dtype(np.uint8), np.dtype(np.uint16)}
    assert {image.ndim for image in images} == {2, 3}
    assert all(max(image.shape[:2]) > 4 * SIZE[0] for image in images)
    assert any(image.shape[0] != image.shape[1] for image in images)
    fine = images[0].astype(float)
    assert np.abs(np.diff(fine, axis=1)).mean() > 10, "neighbouring pixels differ: antialiasing decides what is left"
    wide = made_images(Imaging(SIZE, roi=(0, 0, 1500, 1450), white=4095))
    assert all(image.shape[0] >= 1450 and image.shape[1] >= 1500 for image in wide)
    assert all(image.dtype == np.uint16 and image.max() <= 4095 for image in wide)


def test_what_cannot_be_done_is_said(inspector, tmp_path) -> None:
    with pytest.raises(UnknownName, match="onnx"):
        export(inspector, tmp_path / "a.onnx", format="onx")
    with pytest.raises(UnknownName, match="fp16"):
        export(inspector, tmp_path / "a.onnx", precision="fp15")
    with pytest.raises(InputError, match=r"must end in \.xml"):
        export(inspector, tmp_path / "a.onnx", format="openvino")
    with pytest.raises(InputError, match="tolerance is 2"):
        export(inspector, tmp_path / "a.onnx", tolerance=2)
    with pytest.raises(InputError, match="int8 needs good images"):
        export(inspector, tmp_path / "a.onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_the_detector_is_left_as_it_was(inspector) -> None:
    before = {name: value.clone() for name, value in inspector.detector.state_dict().items()}
    image = stripes(1, SIZE, seed=5)[0].permute(1, 2, 0).numpy()
    score = inspector.inspect(image).score
    to_onnx(inspector)
    assert inspector.inspect(image).score == score
    assert all(torch.equal(before[name], value) for name, value in inspector.detector.state_dict().items())


def test_a_large_bank_is_ranked_in_parts(monkeypatch, tmp_path) -> None:
    from blemish.ops import neighbours

    monkeypatch.setattr(neighbours, "PART", 64)
    detector = PatchCore(coreset_sampling_ratio=0.2, neighbours=3, reweight="paper")
    inspector = Inspector(detector.fit(Parts(stripes(16, SIZE, seed=0))), Imaging(SIZE))
    assert len(detector.bank) > 3 * 64
    assert export(inspector, tmp_path / "part.onnx").score.relative < 1e-5


def test_padim_exports_at_its_own_size(tmp_path) -> None:
    inspector = calibrated(PaDiM(dims=20).fit(Parts(stripes(40, SIZE, seed=0))))
    assert export(inspector, tmp_path / "part.onnx").passed
