"""Inspector: from any source to a verdict at the image's own size, and a file that is what was fitted."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from blemish.core.errors import DataError, FormatError, ImageError, InputError, NotFitted, UnknownName
from blemish.core.saved import read_saved, write_saved
from blemish.imaging.images import Imaging
from blemish.inference.calibration import from_good
from blemish.inference.inspector import Inspector
from blemish.inference.provenance import Provenance
from blemish.inference.sources import images_below
from blemish.models import PaDiM, PatchCore
from parts import Parts, deface, stripes, write_folder, write_png

SIZE = (64, 64)


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    detector = PatchCore(coreset_sampling_ratio=0.2).fit(Parts(stripes(16, SIZE, seed=0)))
    found = Inspector(detector, Imaging(size=SIZE), provenance=Provenance(data={"seed": 3}))
    held = [image.permute(1, 2, 0).numpy() for image in stripes(40, SIZE, seed=1)]
    raws = [raw for _, raw in found.raw(held)]
    peaks = [float(raw.map.max()) for raw in raws]
    found.calibration = from_good([raw.score for raw in raws], 0.05, pixel_peaks=peaks)
    return found


@pytest.fixture(scope="module")
def parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    good = stripes(1, (128, 96), seed=5)
    bad, mask = deface(good, seed=6)
    return (*(images[0].permute(1, 2, 0).numpy() for images in (good, bad)), mask[0].numpy())


def test_a_defect_is_found_where_it_is(inspector) -> None:
    image, mask = deface(stripes(1, SIZE, seed=5), seed=6)
    verdict = inspector.inspect(image[0].permute(1, 2, 0).numpy())
    assert verdict.defective
    assert verdict.score >= verdict.threshold
    assert verdict.p_value == pytest.approx(1 / 41)
    assert verdict.map.shape == verdict.mask.shape == SIZE
    assert verdict.regions
    first = verdict.regions[0]
    assert mask[0, first.peak_at[1], first.peak_at[0]]
    assert first.peak == verdict.map.max()
    good = inspector.inspect(stripes(1, SIZE, seed=7)[0].permute(1, 2, 0).numpy())
    assert not good.defective
    assert good.score < good.threshold
    assert good.p_value > 0.05


def test_maps_have_the_size_of_the_image(inspector, parts) -> None:
    for image in parts[:2]:
        verdict = inspector.inspect(image)
        assert verdict.map.shape == image.shape[:2] == verdict.mask.shape


def test_every_source_says_the_same(inspector, tmp_path) -> None:
    images = torch.cat([stripes(3, SIZE, seed=8), deface(stripes(2, SIZE, seed=9), 1)[0]])
    paths = []
    for i, image in enumerate(images):
        write_png(tmp_path / "line" / f"{i}.png", image)
        paths.append(tmp_path / "line" / f"{i}.png")
    (tmp_path / "line" / "notes.txt").write_text("not an image")
    (tmp_path / "line" / ".hidden.png").write_text("not an image")
    one_by_one = [inspector.inspect(path) for path in paths]
    for others in (
        inspector.inspect(paths),
        inspector.inspect(tmp_path / "line"),
        inspector.inspect(str(tmp_path / "line")),
    ):
        assert [p.key for p in others] == [str(path) for path in paths]
        np.testing.assert_allclose([p.score for p in others], [p.score for p in one_by_one], rtol=1e-4)
        assert [p.defective for p in others] == [p.defective for p in one_by_one]
    assert [p.defective for p in one_by_one] == [False, False, False, True, True]


def test_unreadable_images_are_verdicts_of_their_own(inspector, tmp_path) -> None:
    write_png(tmp_path / "a.png", stripes(1, SIZE, 1)[0])
    (tmp_path / "b.png").write_bytes(b"")
    write_png(tmp_path / "c.png", stripes(1, SIZE, 2)[0])
    verdicts = inspector.inspect(tmp_path)
    assert [v.error is None for v in verdicts] == [True, False, True]
    assert "b.png is empty" in verdicts[1].error
    assert verdicts[1].as_dict() == {"key": str(tmp_path / "b.png"), "verdict": "error", "error": verdicts[1].error}
    with pytest.raises(ImageError, match=r"b\.png is empty"):
        inspector.inspect(tmp_path / "b.png")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        inspector.inspect(tmp_path / "none")


def test_verdicts_are_json(inspector, parts) -> None:
    found = json.loads(json.dumps(inspector.inspect(parts[1]).as_dict()))
    assert found["verdict"] in ("good", "defective")
    assert set(found) == {"key", "verdict", "score", "p_value", "threshold", "peak", "peak_at", "regions"}


def test_half_precision_is_bounded_and_can_be_undone(inspector, parts) -> None:
    """Half precision stays within its bound and can be taken back."""
    before = inspector.inspect(parts[1])
    try:
        half = inspector.accelerate(precision="bfloat16").inspect(parts[1])
        assert half.map.dtype == np.float32
        assert half.score != before.score
        assert half.score == pytest.approx(before.score, rel=0.02)
    finally:
        inspector.accelerate()
    assert inspector.inspect(parts[1]).score == before.score
    with pytest.raises(UnknownName, match="bfloat16"):
        inspector.accelerate(precision="bfloat61")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler; there is none")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_says_the_same(inspector, parts, tmp_path) -> None:
    compiled = Inspector.load(inspector.save(tmp_path / "m.safetensors")).accelerate(compiled=True)
    assert compiled.inspect(parts[1]).score == pytest.approx(inspector.inspect(parts[1]).score, rel=1e-4)
    Inspector.load(compiled.save(tmp_path / "again.safetensors"))  # compiling changes nothing that is saved


def test_without_a_threshold_there_is_no_decision(inspector, parts) -> None:
    bare = Inspector(inspector.detector, inspector.imaging)
    verdict = bare.inspect(parts[1])
    assert (verdict.p_value, verdict.threshold, verdict.defective, verdict.mask) == (None, None, None, None)
    assert verdict.map is not None


def test_what_is_saved_is_what_was_fitted(inspector, parts, tmp_path) -> None:
    path = inspector.save(tmp_path / "m.safetensors")
    loaded = Inspector.load(path)
    for image in parts[:2]:
        one, two = inspector.inspect(image), loaded.inspect(image)
        assert one.as_dict() == two.as_dict()
        np.testing.assert_array_equal(one.map, two.map)
    assert loaded.provenance == inspector.provenance
    assert loaded.calibration == inspector.calibration


def test_thresholds_by_every_rule(inspector) -> None:
    def arrays(images: torch.Tensor) -> list[np.ndarray]:
        return [image.permute(1, 2, 0).numpy() for image in images]

    good = arrays(stripes(60, SIZE, seed=31))
    bad = arrays(deface(stripes(60, SIZE, seed=32), seed=33)[0])
    judge = Inspector(inspector.detector, inspector.imaging)
    by_rate = judge.calibrate(good, false_reject_rate=0.1)
    assert sum(v.defective for v in judge.inspect(good)) <= 6
    by_escape = judge.calibrate(good, bad, escape_rate=0.05)
    assert sum(not v.defective for v in judge.inspect(bad)) == 0
    dear_escapes = judge.calibrate(good, bad, costs=(1000.0, 1.0, 0.5))
    dear_rejects = judge.calibrate(good, bad, costs=(1.0, 1000.0, 0.5))
    assert dear_escapes.threshold <= dear_rejects.threshold
    assert {c.rule for c in (by_rate, by_escape, dear_rejects)} == {"false_reject_rate", "escape_rate", "costs"}
    peaks = sorted(float(v.map.max()) for v in judge.inspect(good))
    rejected = sum(s >= by_escape.threshold for s in by_escape.good_scores)
    marked = sum(peak >= by_escape.pixel_threshold for peak in peaks)
    assert marked == max(1, rejected) - 1, "pixels are marked on fewer good parts than are rejected"
    assert all(c.pixel_threshold > 0 for c in (by_rate, by_escape, dear_escapes))
    for wrong in ({}, {"false_reject_rate": 0.1, "escape_rate": 0.1}):
        with pytest.raises(InputError, match="exactly one"):
            judge.calibrate(good, **wrong)
    with pytest.raises(InputError, match="need defective parts"):
        judge.calibrate(good, escape_rate=0.1)
    for rule in ({"false_reject_rate": 0.1}, {"threshold": 1.0}):
        with pytest.raises(InputError, match="the defective ones given would not count"):
            judge.calibrate(good, bad, **rule)
    with pytest.raises(InputError, match=r"confidence is 0\.9, but costs guarantee nothing"):
        judge.calibrate(good, bad, costs=(1.0, 1.0, 0.5), confidence=0.9)


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_model_whole(inspector, tmp_path) -> None:
    """The disk is made full for a process of its own, by a limit on what it may write."""
    import subprocess
    import sys

    path = inspector.save(tmp_path / "m.safetensors")
    before = path.read_bytes()
    code = (
        "import resource, signal, sys\n"
        "from blemish.core.errors import StorageError\n"
        "from blemish.inference.inspector import Inspector\n"
        "inspector = Inspector.load(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    inspector.save(sys.argv[1])\nexcept StorageError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_an_unfitted_detector_is_refused() -> None:
    with pytest.raises(NotFitted):
        Inspector(PaDiM(pretrained=False), Imaging())


def change_header(path, **changes) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = {**file.metadata(), "seal": None, **changes}  # as if it had been saved so
    save_file(load_file(path), path, metadata={k: v for k, v in header.items() if v is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "99"}, "format 99, written by blemish 0.1.0; this is .*Upgrade"),
        ({"format": "one"}, "format one"),
        ({"format": None}, "not a blemish inspector"),
        ({"detector": "PatchCoar"}, "Did you mean 'patchcore'"),
        ({"detector": "PaDiM"}, "PaDiM"),
        ({"imaging": "{"}, "damaged header"),
        ({"imaging": '{"size": [64, 64]}'}, "imaging settings are damaged"),
        ({"calibration": '{"threshold": 1}'}, "calibration"),
        ({"params": '{"backbone": "texnet_s", "zoom": 3}'}, "zoom"),
        ({"backbones": '{"features": "0000"}'}, "not those it was saved with"),
    ],
)
def test_unknown_files_are_refused_with_the_reason(inspector, tmp_path, changes, message) -> None:
    """Files it does not understand are refused with the reason."""
    path = inspector.save(tmp_path / "m.safetensors")
    change_header(path, **changes)
    with pytest.raises((FormatError, ValueError), match=message):
        Inspector.load(path)


@pytest.mark.parametrize("where", ["threshold", "memory bank"])
def test_one_byte_that_has_changed_is_noticed(inspector, tmp_path, where) -> None:
    path = inspector.save(tmp_path / "m.safetensors")
    content = bytearray(path.read_bytes())
    if where == "threshold":
        at = content.index(b'threshold\\": ') + len(b'threshold\\": ')
        content[at] = ord("9") if content[at] != ord("9") else ord("8")
    else:
        content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match="something in it has changed"):
        Inspector.load(path)


def test_other_files_and_cut_off_files_are_refused(inspector, tmp_path) -> None:
    path = inspector.save(tmp_path / "m.safetensors")
    data = path.read_bytes()
    for content in (b"", b"hello", data[:50], data[: len(data) // 2], data[:-1]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"m\.safetensors"):
            Inspector.load(path)
    with pytest.raises(FormatError, match="does not exist"):
        Inspector.load(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(FormatError, match="not a blemish inspector"):
        Inspector.load(path)


def test_ignored_areas_never_raise_an_alarm(inspector) -> None:
    """Region of interest and ignored places never raise an alarm."""
    image = stripes(1, SIZE, seed=5)[0].permute(1, 2, 0).numpy()
    dirty = image.copy()
    dirty[:20, :20] = 1.0
    ignore = np.zeros(SIZE, bool)
    ignore[:24, :24] = True
    imaging = Imaging(size=SIZE, ignore=ignore)
    masked = [imaging.prepare(s.permute(1, 2, 0).numpy()) for s in stripes(16, SIZE, seed=0)]
    batches = Parts(torch.from_numpy(np.stack(masked)).permute(0, 3, 1, 2))
    detector = PatchCore(coreset_sampling_ratio=0.2).fit(batches)
    blind = Inspector(detector, imaging)
    assert blind.inspect(dirty).score == blind.inspect(image).score
    assert inspector.inspect(dirty).score > 1.5 * inspector.inspect(image).score


def test_folders_written_by_the_tests_are_what_they_say(tmp_path) -> None:
    root = write_folder(tmp_path, good=9, bad=2)
    assert len(list(root.rglob("*.png"))) == 13


def test_a_folder_that_cannot_be_read_is_never_left_out(tmp_path, monkeypatch) -> None:
    """A folder that cannot be looked into is named and never left out."""
    for name in ("a.png", "shut/b.png", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "absent")
    for wrong, message in (("absent", "does not exist"), ("a.png", "is no folder")):
        with pytest.raises(DataError, match=message):
            images_below(tmp_path / wrong)
    assert images_below(tmp_path) == [tmp_path / "a.png", tmp_path / "shut" / "b.png"]
    for kind in ("shut", ".hidden"):
        scandir = os.scandir

        def refuses(path, kind=kind, scandir=scandir):
            if str(path).endswith(kind):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", refuses)
            if kind == ".hidden":
                assert len(images_below(tmp_path)) == 2
                continue
            with pytest.raises(DataError, match="shut cannot be looked into: Permission denied"):
                images_below(tmp_path)


def test_a_file_that_cannot_be_read_is_never_left_out(tmp_path, monkeypatch) -> None:
    """A file that cannot be asked what it is is named and never left out."""
    (tmp_path / "a.png").write_bytes(b"")
    status = Path.stat

    def refuses(path, **options):
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied", str(path))
        return status(path, **options)

    monkeypatch.setattr(Path, "stat", refuses)
    with pytest.raises(DataError, match=r"a\.png cannot be looked into: Permission denied"):
        images_below(tmp_path)


def test_what_is_no_saved_model_is_named_for_what_it_is(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"empty is a folder\. No model is in it\.$"):
        Inspector.load(tmp_path / "empty")
    for number in ("0001", "0002"):
        (tmp_path / "runs" / number).mkdir(parents=True)
        (tmp_path / "runs" / number / "model.safetensors").write_bytes(b"any")
    with pytest.raises(FormatError, match=r"runs is a folder\. Name a model in it: .*0001.model\.safetensors, .*0002"):
        Inspector.load(tmp_path / "runs")
    (tmp_path / "model.onnx").write_bytes(b"any")
    with pytest.raises(FormatError, match=r"model\.onnx is an exported model; .* ends in \.safetensors\."):
        Inspector.load(tmp_path / "model.onnx")


DEEP, LONG = "[" * 100_000, "9" * 5_000


@pytest.mark.parametrize("field", ["params", "imaging", "calibration", "backbones", "provenance"])
@pytest.mark.parametrize("value", [DEEP, LONG])
def test_a_header_that_no_reader_can_follow_is_refused(inspector, tmp_path, field, value) -> None:
    changed(inspector, tmp_path / "odd.safetensors", {field: value})
    with pytest.raises(FormatError, match=r"odd\.safetensors"):
        Inspector.load(tmp_path / "odd.safetensors")


@pytest.mark.parametrize(
    "fields",
    [
        {"format": LONG},
        {"provenance": "[1]"},
        {"params": json.dumps({"backbone": ["texnet_s"]})},
        {"detector": "AE", "params": json.dumps({"width": 2**40})},
    ],
)
def test_a_header_of_other_kinds_of_values_is_refused(inspector, tmp_path, fields) -> None:
    changed(inspector, tmp_path / "odd.safetensors", fields)
    with pytest.raises(FormatError, match=r"odd\.safetensors"):
        Inspector.load(tmp_path / "odd.safetensors")


def changed(inspector, path, fields) -> None:
    """Save an inspector with other fields in its header, as anybody can write it: without a seal."""
    header, tensors = read_saved(inspector.save(path))
    del header["seal"]
    write_saved(path, {**header, **fields}, tensors)
