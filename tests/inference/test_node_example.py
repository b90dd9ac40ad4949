"""The example in node prepares and decides as Runtime does. Its packages are installed by `make node-example`, not here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from blemish.export import to_onnx
from blemish.imaging.images import Imaging
from blemish.inference.calibration import from_good
from blemish.inference.inspector import Inspector
from blemish.inference.runtime import Runtime
from blemish.models import PatchCore
from parts import Parts, stripes

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"
NODE = shutil.which("node")
SIZE = (64, 64)

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (EXAMPLE / "node_modules" / "onnxruntime-node").exists(),
        reason="examples/node has no packages; install them: make node-example",
    ),
]

SHAPES = {
    "the network's size": (64, 64),
    "twice as large": (128, 128),
    "much larger, oblong": (301, 117),
    "smaller": (40, 50),
    "one axis shrinks, the other grows": (50, 150),
}


@pytest.fixture(scope="module")
def detector() -> PatchCore:
    return PatchCore(coreset_sampling_ratio=0.2).fit(Parts(stripes(12, SIZE, seed=0)))


def exported(detector: PatchCore, imaging: Imaging, path: Path) -> Runtime:
    """Export with a threshold that about half of a few images reach."""
    inspector = Inspector(detector, imaging)
    some = [image.permute(1, 2, 0).numpy() for image in stripes(9, (300, 300), seed=3)]
    inspector.calibration = from_good([raw.score for _, raw in inspector.raw(some)], 0.5)
    onnx.save(to_onnx(inspector), path)
    return Runtime(path, threads=1)


def image(shape: tuple[int, int], seed: int, bits: int = 8, grey: bool = False) -> np.ndarray:
    """Stripes with fine noise, so that how an image is shrunk shows in its score."""
    rng = np.random.default_rng(seed)
    unit = stripes(1, shape, seed=seed)[0].permute(1, 2, 0).numpy() + rng.normal(0, 0.2, (*shape, 3))
    values = (unit.clip(0, 1) * (2**bits - 1)).round().astype(np.uint16 if bits > 8 else np.uint8)
    return values[..., 0] if grey else values


def write(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return path


def run(*words: object) -> tuple[int, list[dict], str]:
    done = subprocess.run(
        [str(NODE), str(EXAMPLE / "inspect.mjs"), *map(str, words), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def agree(runtime: Runtime, model: Path, files: list[Path]) -> list[dict]:
    code, found, errors = run(model, *files)
    assert code in (0, 1), errors
    for verdict, path in zip(found, files, strict=True):
        own = runtime.inspect(path)
        assert verdict["score"] == pytest.approx(own.score, rel=1e-4), path.name
        assert verdict["verdict"] == ("defective" if own.defective else "good"), path.name
        assert verdict["p_value"] == pytest.approx(own.p_value)
        assert verdict["threshold"] == own.threshold
    return found


def test_scores_are_those_of_runtime_whatever_the_size(detector, tmp_path) -> None:
    runtime = exported(detector, Imaging(SIZE), tmp_path / "model.onnx")
    files = [write(tmp_path / f"{i}.png", image(shape, seed=i)) for i, shape in enumerate(SHAPES.values())]
    files.append(write(tmp_path / "grey.png", image((200, 130), seed=20, grey=True)))
    files.append(write(tmp_path / "deep.png", image((200, 130), seed=21, bits=16)))
    flat = stripes(1, SIZE, seed=5)[0].permute(1, 2, 0).numpy()
    files.append(write(tmp_path / "good.png", (flat * 255).round().astype(np.uint8)))
    decided = {verdict["verdict"] for verdict in agree(runtime, tmp_path / "model.onnx", files)}
    assert decided == {"good", "defective"}  # otherwise comparing decisions says nothing


def test_everything_that_imaging_can_be_told(detector, tmp_path) -> None:
    ignore = np.zeros((31, 21), bool)  # of odd sides no two pixels are equally near
    ignore[5:9, 4:15] = True
    imaging = Imaging((80, 72), crop=SIZE, roi=(10, 20, 140, 190), ignore=ignore, white=4095)
    runtime = exported(detector, imaging, tmp_path / "model.onnx")
    files = [
        write(tmp_path / "colour.png", image((200, 150), seed=1, bits=12)),
        write(tmp_path / "grey.png", image((190, 140), seed=2, bits=12, grey=True)),
        write(tmp_path / "too bright.png", image((200, 150), seed=3, bits=13)),
    ]
    agree(runtime, tmp_path / "model.onnx", files)


def test_what_cannot_be_decided_is_an_error(detector, tmp_path) -> None:
    exported(detector, Imaging(SIZE), tmp_path / "model.onnx")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    good = write(tmp_path / "good.png", image(SIZE, seed=1))
    code, found, _ = run(tmp_path / "model.onnx", tmp_path / "torn.png", good)
    assert code == 2
    assert [verdict["verdict"] == "error" for verdict in found] == [True, False]
    (tmp_path / "text.onnx").write_text("this is no network")
    code, found, errors = run(tmp_path / "text.onnx", good)
    assert (code, found) == (2, [])
    assert "no ONNX file" in errors or "cut off" in errors
