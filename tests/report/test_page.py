"""The report shows mistakes first, loads nothing, and escapes what it prints."""

import re

import numpy as np
import pytest

from blemish.data import MVTec
from blemish.engine import Engine
from blemish.evaluation.report import PartResult
from blemish.models import PatchCore
from blemish.report import write_page
from blemish.report.page import choose_examples, write_index
from blemish.report.pictures import FOUND, fitting, heat, outline, thumbnail
from parts import write_folder


def part(key: str, label: int, score: float, defective: bool) -> PartResult:
    return PartResult(key, key, "good" if label == 0 else "crack", label, score, 0.1, defective)


def test_mistakes_come_first_the_worst_before_others() -> None:
    """Mistakes come first and the worst of them before others."""
    parts = [
        part("fine", 0, 0.1, False),
        part("alarm", 0, 0.7, True),
        part("worse alarm", 0, 0.9, True),
        part("escape", 1, 0.4, False),
        part("worse escape", 1, 0.2, False),
        part("caught", 1, 0.8, True),
    ]
    groups = {group.title: [p.key for p in group.parts] for group in choose_examples(parts, 8)}
    assert list(groups)[:2] == ["False alarms", "Escapes"]
    assert groups["False alarms"] == ["worse alarm", "alarm"]
    assert groups["Escapes"] == ["worse escape", "escape"]
    assert groups["Closest calls among caught defects"] == ["caught"]
    assert groups["Most suspicious good parts"] == ["fine"]
    assert sum(map(len, groups.values())) == len(parts)
    assert [len(group.parts) for group in choose_examples(parts, 1)] == [1, 1, 1, 0, 1]
    assert [group.of for group in choose_examples(parts, 1)] == [2, 2, 1, 1, 1]


def test_page_and_index(tmp_path) -> None:
    root = tmp_path / "<b>data"
    write_folder(root / "bottle", good=24, bad=4)
    engine, model = Engine(tmp_path / "runs", false_reject_rate=0.3), PatchCore(coreset_sampling_ratio=0.2)
    data = MVTec(root, "bottle", image_size=64)
    inspector = engine.fit(model, data)
    report = engine.report(model, data)
    page = write_page(tmp_path / "report.html", report, inspector, {r.key: r for r in data.test_records})
    text = page.read_text()
    assert f"{report.metrics['pixel_AUROC'].value:.4f}" in text
    assert report.calibration["guarantee"].split(";")[0] in text
    assert "turned" in text
    assert "<b>data" not in text, "paths must be escaped"
    assert not re.search(r'(src|href)="[^d#]', text), "the page must load nothing"
    assert text.count("<figure ") == 12
    assert text.count("<svg") == 3 + 2 * 12
    index = write_index(tmp_path / "index.html", {"bottle": (report, page)}).read_text()
    assert 'href="report.html"' in index


def test_pictures() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((200, 400, 3), dtype=np.float32)
    small = thumbnail(image, 100)
    assert small.shape == (50, 100, 3)
    assert fitting((50, 40), 320) == (50, 40)
    map = np.zeros((200, 400), np.float32)
    assert np.array_equal(heat(small, map, threshold=1.0), small), (
        "a map far below the threshold leaves the part as it is"
    )
    map[40:80, 40:80] = 3.0
    warm = heat(small, map, threshold=1.0).astype(int) - small
    assert np.abs(warm[12:18, 12:18]).mean() > 20
    assert np.abs(warm[30:, 50:]).max() == 0
    mask = map > 1
    drawn = outline(small, mask, FOUND)
    changed = (drawn != small).any(axis=2)
    assert changed.any()
    assert not changed[30:, 30:].any()
    assert not np.shares_memory(drawn, small)


@pytest.mark.parametrize("threshold", [1.0, -0.3, -1.9])
def test_heat_means_the_same_whatever_the_sign_of_the_threshold(threshold) -> None:
    """Maps of FastFlow and CFLOW are never above 0; shifted by the threshold, they are coloured alike."""
    grey = np.full((16, 16, 3), 128, np.uint8)

    def look(share: float, threshold: float) -> np.ndarray:
        return heat(grey, np.full((16, 16), threshold + share * abs(threshold), np.float32), threshold)[8, 8].astype(
            int
        )

    for share in (-0.5, -0.26, 0.0, 0.1, 0.26, 0.6, 0.76):
        np.testing.assert_allclose(look(share, threshold), look(share, 1.0), atol=1)
    assert np.array_equal(look(-0.26, threshold), grey[8, 8]), "below, the part is left as it is"
    steps = [np.abs(look(share, threshold) - look(share - 0.2, threshold)).max() for share in (0.0, 0.2, 0.4, 0.6)]
    assert min(steps) > 10, "from the threshold on it gets hotter, and does not jump to red"


def test_a_threshold_of_0_is_a_threshold() -> None:
    grey = np.full((16, 16, 3), 128, np.uint8)
    map = np.full((16, 16), -1, np.float32)
    map[:, 8:] = np.linspace(-0.6, 0.7, 8, dtype=np.float32)
    shown = heat(grey, map, 0.0)
    assert np.array_equal(shown[:, :8], grey[:, :8])
    assert (shown[0, 8:] != 128).any(-1).tolist() == (map[0, 8:] > -0.25 * 1.5).tolist()
    assert np.array_equal(heat(grey, np.zeros((16, 16), np.float32), 0.0), grey)


def test_kinds_may_have_any_name() -> None:
    from blemish.report.figures import distributions

    assert "5$^$" in distributions({"good": [1.0, 2.0], "5$^$": [3.0], "划痕": [4.0]}, 2.5)


def test_a_missing_library_is_named(tmp_path, monkeypatch) -> None:
    import sys

    from blemish.core.errors import MissingExtra
    from blemish.report import figures

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"blemish\[report\]"):
        figures.curve([0, 1], [0, 1], ("x", "y"))
