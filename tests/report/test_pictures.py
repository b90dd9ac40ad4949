"""A verdict to look at: its picture, and how it is printed."""

import sys

import numpy as np
import pytest

from blemish.core.errors import ImageError, InputError
from blemish.core.prediction import Prediction
from blemish.imaging.images import Imaging
from blemish.imaging.reading import encode_png
from blemish.inference.calibration import from_good
from blemish.inference.inspection import Inspection
from blemish.inference.provenance import Provenance
from blemish.inference.raw import RawScores
from blemish.report import picture

SIZE = (16, 24)


class Bright(Inspection):
    """Finds what is bright."""

    backbones = {}
    inputs = ("image",)
    settings = {"method": "Bright", "params": {}}

    def __init__(self) -> None:
        self.imaging, self.provenance = Imaging(SIZE), Provenance()
        self.calibration = from_good([0.2] * 30, 0.05, None, pixel_peaks=[0.2] * 30)

    def score(self, inputs):
        maps = inputs["image"].mean(1)
        return RawScores(maps.max((1, 2)).astype(np.float64), maps)


@pytest.fixture
def part() -> np.ndarray:
    pixels = np.full((40, 60, 3), 20, np.uint8)
    pixels[10:20, 30:40] = (255, 255, 200)
    return pixels


def test_a_verdict_is_drawn_with_its_heat_and_outline(part, tmp_path) -> None:
    file = tmp_path / "part.png"
    file.write_bytes(encode_png(part))
    inspector = Bright()
    verdict = inspector.inspect(file)
    drawn = picture(verdict, inspector)
    assert drawn.shape == part.shape
    assert drawn.dtype == np.uint8
    assert (drawn[12:18, 32:38] != part[12:18, 32:38]).any(-1).all(), "heat lies on what was found"
    assert np.array_equal(drawn[30:, :20], part[30:, :20]), "and nothing on the rest"
    assert picture(verdict, inspector, side=30).shape == (20, 30, 3)
    assert np.array_equal(picture(inspector.inspect(part), inspector, part), drawn)


def test_what_cannot_be_drawn_is_said(part) -> None:
    inspector = Bright()
    verdict = inspector.inspect(part)
    with pytest.raises(InputError, match=r"on 'array 0', which is no file.*picture\(verdict, inspector, image\)"):
        picture(verdict, inspector)
    with pytest.raises(InputError, match=r"map is \(40, 60\) and the image \(20, 60\)"):
        picture(verdict, inspector, part[:20])
    with pytest.raises(ImageError, match="gone"):
        picture(Prediction("x.png", error="x.png is gone"), inspector)


def test_pictures_need_no_torch() -> None:
    import subprocess

    code = "import sys; sys.modules['torch'] = None; from blemish.report import picture"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_verdict_prints_as_a_line_and_as_a_table(part) -> None:
    """A verdict is printed in one short line and as a table in a notebook."""
    verdict = Bright().inspect(part)
    assert len(repr([verdict] * 3)) < 400
    said = "score 0.9281, threshold 0.2, p_value 0.03226, regions 1, map 40 x 60"
    assert repr(verdict) == f"<Prediction array 0, defective, {said}>"
    assert repr(Prediction("a", 1.5)) == "<Prediction a, score 1.5>"
    assert repr(Prediction("a", error="a is empty")) == "<Prediction a, error a is empty>"
    shown = verdict._repr_html_()
    for said in ("array 0", "<td>defective</td>", "<th>region 1</th>"):
        assert said in shown
    assert "&lt;b&gt;" in Prediction("<b>", 1.0)._repr_html_()
    assert "no threshold" in Prediction("a", 1.0)._repr_html_()
    assert "a is empty" in Prediction("a", error="a is empty")._repr_html_()
