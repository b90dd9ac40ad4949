"""The methods' figures: what is drawn of a part and its map, and that a stopped run goes on."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from blemish.core import registry
from blemish.core.prediction import Prediction
from blemish.data.record import Record
from blemish.imaging.reading import encode_png, read


def part(root: Path, kind: str, *, marked: bool) -> Record:
    image, mask = np.full((64, 64, 3), 40, np.uint8), np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 255
    (root / f"{kind}.png").write_bytes(encode_png(image))
    (root / f"{kind}_mask.png").write_bytes(encode_png(mask))
    return Record(
        f"{kind}.png", {"image": root / f"{kind}.png"}, kind, int(marked), masks=(root / f"{kind}_mask.png",) * marked
    )


def verdict(score: float, map: np.ndarray | None) -> Prediction:
    return Prediction("x", score, defective=score >= 2, map=map)


def test_a_figure_has_one_scale_and_outlines_the_truth(scripts, tmp_path) -> None:
    """A figure has one scale of colours and outlines the truth."""
    draw = scripts["method_figures"].picture
    parts = [part(tmp_path, kind, marked=kind != "good") for kind in ("good", "hole", "dirt")]
    maps = [np.full((64, 64), value, np.float32) for value in (0.0, 0.5, 1.0)]
    content = draw(parts, [verdict(score, map) for score, map in zip((1.0, 2.0, 3.0), maps, strict=True)], 2.0)
    (tmp_path / "figure.webp").write_bytes(content)
    pixels = read(tmp_path / "figure.webp")
    height, width = pixels.shape[:2]
    assert 380 < width < 480
    assert len(content) < 60 * 1024
    below = pixels[height // 2 :, : int(0.85 * width)]
    means = [third[60:-60].mean() for third in np.array_split(below, 3, axis=1)]
    assert means[0] < means[1] < means[2], "the same colour means the same score"
    green = (pixels[..., 1] > 0.8) & (pixels[..., 0] < 0.5) & (pixels[..., 2] < 0.7)
    left, middle, right = (half.sum() for half in np.array_split(green[:, : int(0.87 * width)], 3, axis=1))
    assert left == 0
    assert min(middle, right) > 30


def test_a_method_without_maps_is_drawn_too(scripts, tmp_path) -> None:
    parts = [part(tmp_path, "good", marked=False)] * 3
    content = scripts["method_figures"].picture(parts, [verdict(1.0, None)] * 3, 2.0)
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None


def test_the_outline_runs_around_what_it_marks(scripts) -> None:
    mask = np.zeros((40, 40), bool)
    mask[20, 20] = True
    grown = scripts["method_figures"].grown(mask)
    assert grown[20, 14:27].all()
    assert not grown[20, 13]
    assert not grown[20, 27]


def test_what_does_not_fit_is_compressed_more_or_refused(scripts, monkeypatch) -> None:
    figures = scripts["method_figures"]
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    best = len(figures.encoded(noise))
    monkeypatch.setattr(figures, "HIGHEST", best - 1)
    assert len(figures.encoded(noise)) < best
    monkeypatch.setattr(figures, "HIGHEST", 10)
    with pytest.raises(AssertionError, match="takes"):
        figures.encoded(noise)


def test_the_preset_is_quick_but_for_what_is_called_changed(scripts) -> None:
    figures = scripts["method_figures"]
    for name in registry.methods():
        preset, changed = figures.preset(name)
        quick = registry.method_card(name).presets.get("quick", figures.PLAIN)
        got = {"image_size": preset.image_size, "batch_size": preset.batch_size, **preset.params}
        assert got == {"image_size": quick.image_size, "batch_size": quick.batch_size, **quick.params, **changed}
        assert bool(changed) == (name in figures.CHEAPER)


@pytest.mark.slow
def test_a_run_draws_what_is_missing_and_names_what_failed(scripts, tmp_path, monkeypatch, capsys) -> None:
    figures = scripts["method_figures"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "TRAIN", 6)
    monkeypatch.setattr(figures, "HELD_OUT", 0.5)
    asked = ["method_figures.py", "--docs", str(tmp_path), "--images", str(tmp_path / "images")]
    monkeypatch.setattr(sys, "argv", [*asked, "--one", "padim"])
    assert figures.main() == 0
    (facts,) = scripts["measured_table"].read(tmp_path / "measured" / "demo.csv")
    assert facts["decisions"]["escape_rate"]["of"] + facts["decisions"]["false_reject_rate"]["of"] == 36
    assert (facts["train"], facts["held_out"], facts["test"]) == (3, 3, 36)
    assert (tmp_path / "images" / "methods" / "padim.webp").stat().st_size < 60 * 1024
    monkeypatch.setattr(figures, "attempt", lambda call, limit: f"failed: {call[-5]}")
    monkeypatch.setattr(sys, "argv", [*asked, "--methods", "padim", "stpm"])
    assert figures.main() == 1
    assert capsys.readouterr().out == "stpm         failed: stpm\n"


def test_a_time_limit_and_an_error_are_said(scripts) -> None:
    attempt = scripts["method_figures"].attempt
    assert attempt([sys.executable, "-c", "import time; time.sleep(60)"], 0.01) == "failed: not done after 0.01 minutes"
    assert (
        attempt([sys.executable, "-c", "raise ValueError('no such thing')"], 1) == "failed: ValueError: no such thing"
    )
    killed = "import os; os.kill(os.getpid(), 9)"
    assert attempt([sys.executable, "-c", killed], 1) == "failed: its process ended with -9"
    assert attempt([sys.executable, "-c", ""], 1) == ""
