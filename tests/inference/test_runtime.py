"""Runtime: an exported file gives the inspector's verdicts, without torch, and damaged files say what they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.core.errors import FormatError, InputError, UnknownName
from blemish.export import to_onnx
from blemish.imaging.images import Imaging
from blemish.inference.calibration import from_good
from blemish.inference.inspector import Inspector
from blemish.inference.loading import load
from blemish.inference.metadata import Exported, onnx_texts
from blemish.inference.profile import made_part, profile
from blemish.inference.provenance import Provenance
from blemish.inference.runtime import Runtime
from blemish.models import PatchCore
from parts import Parts, deface, stripes, write_png

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced_once")]

SIZE = (64, 64)


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    detector = PatchCore(coreset_sampling_ratio=0.2).fit(Parts(stripes(16, SIZE, seed=0)))
    found = Inspector(detector, Imaging(SIZE, roi=(0, 8, 90, 120)), provenance=Provenance(data={"seed": 3}))
    raws = [raw for _, raw in found.raw([image.permute(1, 2, 0).numpy() for image in stripes(40, (128, 96), seed=1)])]
    found.calibration = from_good([r.score for r in raws], 0.05, pixel_peaks=[float(r.map.max()) for r in raws])
    return found


@pytest.fixture(scope="module")
def file(inspector, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    onnx.save(to_onnx(inspector), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    for i, image in enumerate(stripes(3, (128, 96), seed=5)):
        write_png(root / f"good{i}.png", image)
    for i, image in enumerate(deface(stripes(3, (128, 96), seed=6), seed=7)[0]):
        write_png(root / f"bad{i}.png", image)
    (root / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return root


def test_verdicts_are_the_inspectors(inspector, file, folder) -> None:
    own, other = inspector.inspect(folder), Runtime(file).inspect(folder)
    assert [v.key for v in own] == [v.key for v in other]
    assert {v.defective for v in own} == {True, False, None}
    for a, b in zip(own, other, strict=True):
        assert (a.error, a.defective, a.p_value, a.threshold) == (b.error, b.defective, b.p_value, b.threshold)
        if a.error is None:
            assert b.score == pytest.approx(a.score, rel=1e-5)
            assert [r.box for r in a.regions] == [r.box for r in b.regions]
            np.testing.assert_allclose(b.map, a.map, rtol=0, atol=1e-5 * a.map.max())


def test_the_file_knows_what_the_inspector_knew(inspector, file) -> None:
    runtime = load(file)
    assert isinstance(runtime, Runtime)
    assert runtime.imaging.as_dict() == inspector.imaging.as_dict()
    assert runtime.calibration == inspector.calibration
    assert runtime.backbones == inspector.backbones
    assert runtime.provenance == inspector.provenance
    assert runtime.settings["method"] == "PatchCore"
    assert runtime.settings["params"]["coreset_sampling_ratio"] == 0.2
    assert {"blemish", "torch", "onnx"} <= set(runtime.settings["versions"])


def test_a_threshold_can_be_chosen_anew_on_the_line(inspector, file) -> None:
    good = [image.permute(1, 2, 0).numpy() for image in stripes(30, (128, 96), seed=11)]
    runtime, again = Runtime(file), Inspector(inspector.detector, inspector.imaging)
    assert runtime.calibrate(good, false_reject_rate=0.1).threshold == pytest.approx(
        again.calibrate(good, false_reject_rate=0.1).threshold, rel=1e-5
    )


def test_openvino_reads_the_same_file(file, folder) -> None:
    own, other = Runtime(file).inspect(folder), Runtime(file, engine="openvino", threads=1).inspect(folder)
    for a, b in zip(own, other, strict=True):
        assert a.defective == b.defective
        assert a.error is not None or b.score == pytest.approx(a.score, rel=1e-4)


def test_openvino_refuses_int8_that_was_not_compared(file, tmp_path) -> None:
    """Openvino is not let near int8 that nobody compared there."""
    small = onnx.load(file)
    next(prop for prop in small.metadata_props if prop.key == "blemish.precision").value = '"int8"'
    onnx.save(small, tmp_path / "int8.onnx")
    assert Runtime(tmp_path / "int8.onnx").exported.precision == "int8"
    with pytest.raises(InputError, match="compared with the model in ONNX Runtime"):
        Runtime(tmp_path / "int8.onnx", engine="openvino")


def test_no_torch_is_needed(file, folder) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'torchvision', 'numba', 'onnx', 'onnxscript', 'matplotlib', 'jinja2'):\n"
        "    sys.modules[name] = None\n"
        "from blemish.cli import main\n"
        "main()\n"
    )
    call = [sys.executable, "-c", code, "inspect", str(file), str(folder), "--json", "--out", str(folder / "out")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    verdicts = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
    assert verdicts.count("defective") == 3
    assert verdicts.count("good") == 3
    assert verdicts.count("error") == 1
    assert done.returncode == 2, done.stderr
    assert len(list((folder / "out").rglob("*.png"))) == 3


def test_latency_measures_something(file) -> None:
    found = profile(file, threads=1, repeats=3, batch_size=2)
    assert 0 < found.p50 <= found.p90 <= found.p99
    assert found.images_per_second > 0
    assert found.precision == "fp32"
    assert found.megabytes == pytest.approx(file.stat().st_size / 1e6)
    assert found.part == (1024, 1024)
    json.dumps(found.as_dict(), allow_nan=False)


def test_latency_takes_parts_as_the_models_camera_gives_them(file, tmp_path) -> None:
    told = onnx.load(file)
    imaging = next(prop for prop in told.metadata_props if prop.key == "blemish.imaging")
    imaging.value = json.dumps({**json.loads(imaging.value), "white": 4095, "roi": [10, 100, 1100, 1300]})
    onnx.save(told, tmp_path / "camera.onnx")
    assert profile(tmp_path / "camera.onnx", threads=1, repeats=3, batch_size=2).part == (1300, 1100)


@pytest.mark.parametrize(
    ("white", "kind", "most"),
    [(None, np.uint8, 255), (4095, np.uint16, 4095), (200.4, np.uint16, 200), (1e5, np.float32, 1e5)],
)
def test_a_made_part_reaches_the_white_level_and_can_be_read(white, kind, most) -> None:
    imaging = Imaging(size=(64, 64), white=white, roi=(0, 0, 8, 1200))
    part = made_part(imaging)
    assert (part.shape, part.dtype) == ((1200, 1024, 3), kind)
    assert 0.99 * most < part.max() <= most
    assert imaging(part).shape == (64, 64, 3)


def test_what_is_no_exported_file_says_so(file, tmp_path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        Runtime(tmp_path / "none.onnx")
    with pytest.raises(FormatError, match=r"end in \.onnx or \.xml"):
        Runtime(tmp_path / "model.safetensors")
    (tmp_path / "text.onnx").write_text("this is no network")
    with pytest.raises(FormatError, match="not a readable ONNX file"):
        Runtime(tmp_path / "text.onnx")
    strange = onnx.load(file)
    del strange.metadata_props[:]
    onnx.save(strange, tmp_path / "strange.onnx")
    with pytest.raises(FormatError, match="was not exported by blemish"):
        Runtime(tmp_path / "strange.onnx")
    renamed = onnx.load(file)
    for output in renamed.graph.output:
        old, output.name = output.name, f"other_{output.name}"
        renamed.graph.node.append(onnx.helper.make_node("Identity", [old], [output.name]))
    onnx.save(renamed, tmp_path / "renamed.onnx")
    with pytest.raises(FormatError, match="computes other_map, other_score, and no 'score'"):
        Runtime(tmp_path / "renamed.onnx")
    (tmp_path / "cut.onnx").write_bytes(file.read_bytes()[:-500])
    with pytest.raises(FormatError):
        Runtime(tmp_path / "cut.onnx")


def test_a_newer_format_is_refused(file, tmp_path) -> None:
    newer = onnx.load(file)
    next(prop for prop in newer.metadata_props if prop.key == "blemish.format").value = "99"
    onnx.save(newer, tmp_path / "newer.onnx")
    with pytest.raises(FormatError, match=r"has format 99.*Upgrade"):
        Runtime(tmp_path / "newer.onnx")


@pytest.mark.parametrize("name", ["imaging", "calibration"])
@pytest.mark.parametrize("value", ["{", "[1, 2]", '"text"'])
def test_damaged_metadata_is_named(file, name, value) -> None:
    with pytest.raises(FormatError):
        Exported.from_texts({**onnx_texts(file), f"blemish.{name}": value}, file)
    with pytest.raises(FormatError, match="damaged metadata"):
        Exported.from_texts({**onnx_texts(file), "blemish.unknown": "1"}, file)


def test_options_that_do_not_suit(file) -> None:
    with pytest.raises(UnknownName, match="onnxruntime"):
        Runtime(file, engine="onnxrutime")
    with pytest.raises(UnknownName, match="CPUExecutionProvider"):
        Runtime(file, providers=["CPUExecutionProvder"])
    with pytest.raises(UnknownName, match="CPU"):
        Runtime(file, engine="openvino", device="XPU")
    with pytest.raises(InputError, match="threads is 0"):
        Runtime(file, threads=0)
    with pytest.raises(InputError, match="OpenVINO takes a device"):
        Runtime(file, engine="openvino", providers=["CPUExecutionProvider"])
    with pytest.raises(InputError, match="ONNX Runtime takes providers"):
        Runtime(file, device="CPU")
    with pytest.raises(InputError, match="device 'cuda:0' is for saved inspectors"):
        load(file, device="cuda:0")
    with pytest.raises(InputError, match="engine 'openvino' is for exported files"):
        load("model.safetensors", engine="openvino")


@settings(max_examples=60)
@given(data=st.data())
def test_no_bytes_break_the_reader_of_metadata(data, file, tmp_path_factory) -> None:
    whole = file.read_bytes()
    start = data.draw(st.integers(0, 200))
    changed = data.draw(st.binary(min_size=0, max_size=30))
    length = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    path = tmp_path_factory.getbasetemp() / "fuzzed.onnx"
    path.write_bytes((whole[:start] + changed + whole[start + len(changed) :])[:length])
    try:
        texts = onnx_texts(path)
    except FormatError:
        return
    assert all(isinstance(text, str) for text in [*texts, *texts.values()])


@pytest.mark.parametrize("name", ["format", "params", "imaging", "calibration", "precision", "provenance", "versions"])
@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5_000])
def test_metadata_that_no_reader_can_follow_is_refused(file, name, value) -> None:
    with pytest.raises(FormatError, match="damaged metadata"):
        Exported.from_texts({**onnx_texts(file), f"blemish.{name}": value}, file)


@pytest.mark.parametrize(
    ("name", "value"), [("provenance", "[1]"), ("precision", "{}"), ("params", "null"), ("method", "1")]
)
def test_metadata_of_other_kinds_of_values_is_refused(file, name, value) -> None:
    with pytest.raises(FormatError, match=f"damaged metadata: .*{name} is"):
        Exported.from_texts({**onnx_texts(file), f"blemish.{name}": value}, file)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [(["blemish"], "text", "was not exported by blemish"), (["blemish", "bin_sha256"], "text", r"is not the \.bin")],
)
def test_an_openvino_file_that_says_something_else_is_refused(file, tmp_path, path, value, message) -> None:
    openvino = pytest.importorskip("openvino")
    model = openvino.convert_model(str(file))
    model.set_rt_info(value, path)
    openvino.save_model(model, str(tmp_path / "odd.xml"))
    with pytest.raises(FormatError, match=message):
        Runtime(tmp_path / "odd.xml")
