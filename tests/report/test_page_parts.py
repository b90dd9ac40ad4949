"""A defect analyst sees which parts are missed, where and why: pictures that enlarge, a table of all, places, counts."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace

import cv2
import numpy as np
import pytest

from blemish.cli.printing import line
from blemish.core.errors import InputError
from blemish.core.files import write_json
from blemish.data.record import Record
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.report import REGIONS, PartResult, Report
from blemish.imaging.images import Imaging
from blemish.imaging.reading import encode_png
from blemish.inference.calibration import from_good
from blemish.inference.inspection import Inspection
from blemish.inference.provenance import Provenance
from blemish.inference.raw import Raw, RawScores
from blemish.report import write_page
from blemish.report.page import choose_examples
from blemish.report.pictures import contour, fitting, folder_of_run, heat, heat_layer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = (96, 128)


class Bright(Inspection):
    """A part is as anomalous as its brightest pixel; its map is how bright it is."""

    backbones = {}
    inputs = ("image",)
    settings = {"method": "Bright", "params": {}}

    def __init__(self) -> None:
        self.imaging, self.provenance = Imaging(size=SIZE), Provenance()
        self.calibration = replace(from_good([0.1, 0.2, 0.3], 0.5), threshold=0.5, pixel_threshold=0.7)

    def score(self, inputs):
        maps = inputs["image"].mean(1)
        return RawScores(maps.max((1, 2)).astype(np.float64), maps)


def write(folder, key: str, kind: str, bright: float, mask: bool = True) -> Record:
    """Write a dark part with a bright rectangle, 20 wide and 10 high at (40, 30): its defect, if it is no good part."""
    name = f"{abs(hash((key, kind)))}.png"
    pixels, truth = np.full((*SIZE, 3), 20, np.uint8), np.zeros(SIZE, np.uint8)
    pixels[30:40, 40:60], truth[30:40, 40:60] = int(bright * 255), 255
    (folder / name).write_bytes(encode_png(pixels))
    (folder / f"mask-{name}").write_bytes(encode_png(truth))
    masks = (folder / f"mask-{name}",) if mask and kind != "good" else ()
    return Record(key, {"image": folder / name}, kind, int(kind != "good"), "test", masks=masks)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[Record]:
    folder = tmp_path_factory.mktemp("parts")
    found = [write(folder, f"g{i}.png", "good", 0.2 + i / 50) for i in range(4)]
    found += [write(folder, "alarm.png", "good", 0.8), write(folder, "bare.png", "scratch", 0.9, mask=False)]
    found += [write(folder, f"escape{i}.png", "stain", 0.3 + i / 50) for i in range(3)]
    found += [write(folder, f"caught{i}.png", "scratch", 0.8 + i / 50) for i in range(4)]
    return [*found, write(folder, "=1+1", "-scratch", 0.95), write(folder, "unplaced.png", "scratch", 0.6)]


@pytest.fixture(scope="module")
def report(records) -> Report:
    return evaluate(Bright(), records, about={"method": "Bright"})


@pytest.fixture(scope="module")
def page(records, report, tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("page") / "report.html", report, Bright(), records, examples=2)


def by_key(report: Report) -> dict[str, PartResult]:
    return {part.key: part for part in report.parts}


def test_a_report_says_where_each_part_and_its_defect_are(report, tmp_path) -> None:
    """A report says where each part was looked at and where its defect is."""
    parts = by_key(report)
    caught, escape, bare, good = (parts[f"{name}.png"] for name in ("caught0", "escape0", "bare", "g0"))
    assert [r.box for r in caught.regions] == [(40, 30, 60, 40)]
    assert (caught.region_count, caught.regions[0].area, caught.hit) == (1, 200, True)
    assert (caught.true_area, caught.true_box) == (200, (40, 30, 60, 40))
    assert caught.peak == pytest.approx(0.8, abs=0.01)
    assert 40 <= caught.peak_at[0] < 60
    assert 30 <= caught.peak_at[1] < 40
    assert (escape.regions, escape.region_count, escape.hit, escape.true_area) == ((), 0, False, 200)
    assert escape.peak == pytest.approx(0.3, abs=0.01)
    assert (bare.region_count, bare.hit, bare.true_box) == (1, None, None)
    assert (good.hit, good.true_area) == (None, None)
    saved = write_json(tmp_path / "report.json", report.as_dict())
    region = next(p for p in json.loads(saved.read_text())["parts"] if p["key"] == "caught0.png")["regions"][0]
    verdict = Bright().inspect(caught.image)
    assert region == verdict.as_dict()["regions"][0], "as `inspect --json` names them"
    assert Report.load(saved).parts == report.parts
    old = {k: v for k, v in report.as_dict()["parts"][0].items() if k in PartResult.__slots__[:7]}
    assert PartResult.from_dict(old).regions == ()


def test_the_highest_regions_of_a_noisy_map_are_kept(tmp_path) -> None:
    """Of a noisy map the highest regions are kept and the report says so."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[::3, ::3] = np.linspace(190, 255, 32 * 43).astype(np.uint8).reshape(32, 43)[..., None]
    records = [write(tmp_path, "g.png", "good", 0.1), write(tmp_path, "n.png", "noise", 0.9)]
    records[1].image.write_bytes(encode_png(pixels))
    found = evaluate(Bright(), records)
    noisy = found.parts[1]
    assert noisy.region_count == 32 * 43
    assert len(noisy.regions) == REGIONS
    assert min(region.peak for region in noisy.regions) > 0.98
    assert any(f"the {REGIONS} highest are listed: n.png" in note for note in found.notes)


def test_a_part_rejected_without_a_region_has_a_place(records, page) -> None:
    record = next(record for record in records if record.key == "unplaced.png")
    verdict = Bright().inspect(record.image)
    assert verdict.defective
    assert verdict.regions == ()
    said = verdict.as_dict()
    x, y = said["peak_at"]
    assert said["peak"] == pytest.approx(0.6, abs=0.01) == verdict.map[y, x]
    assert f"no region reaches the pixel threshold; the map peaks at {x},{y}" in line(verdict)
    assert "no region reaches" not in line(replace(verdict, mask=None)), "nobody has marked any"
    assert "no region reaches the pixel threshold; the map peaks at" in page.read_text()


def test_a_place_outside_the_region_of_interest_is_no_peak() -> None:
    inspector = Bright()
    inspector.imaging = Imaging(size=(8, 8), roi=(8, 8, 16, 16))
    flat = inspector.decide("x", Raw(0.1, np.full((8, 8), 0.1, np.float32), (16, 16)))
    assert min(flat.peak.at) >= 8
    inspector.calibration = None
    assert min(inspector.decide("x", Raw(0.1, np.full((8, 8), 0.1, np.float32), (16, 16))).peak.at) >= 8
    assert inspector.decide("x", Raw(0.1, None, (16, 16))).peak is None


def test_the_text_has_confusion_matrix_and_recall_by_kind(report) -> None:
    """The text has the confusion matrix and the recall of each kind."""
    text = report.text()
    assert re.search(r"^ +passed +rejected\ngood +4 +1\ndefective +3 +7$", text, re.M)
    assert re.search(r"^recall +0.7000 .* 7 of 10 defective parts are rejected$", text, re.M)
    assert re.search(r"^precision +0.8750 .* 7 of 8 rejected parts are defective$", text, re.M)
    assert re.search(r"^stain +3 .* +3  0.0000   0.0000 to 0.7076$", text, re.M)
    bare = replace(report, decisions={}, kinds=[{**kind, "escapes": None} for kind in report.kinds])
    assert bare.rates() == []
    assert "recall" not in bare.text().split("kind  ")[0]


def test_the_page_says_how_many_there_are_and_lists_them_all(report, page) -> None:
    text = page.read_text()
    assert re.search(r'Escapes <span class="soft count">2 of 3</span>', text)
    assert re.search(r'False alarms <span class="soft count">1</span>', text)
    groups = {group.title: (len(group.parts), group.of) for group in choose_examples(report.parts, 2)}
    assert groups["Closest calls among caught defects"] == (2, 7)
    rows = re.findall(r'<tr data-kind="([^"]*)" data-verdict="([^"]*)"><td data-value="([^"]*)"', text)
    assert [key for _, _, key in rows] == [p.key for p in sorted(report.parts, key=lambda part: -part.score)]
    assert ("stain", "escaped", "escape0.png") in rows
    assert ("good", "false alarm", "alarm.png") in rows
    assert 'class="matrix"' in text
    assert "7 of 8 rejected parts are defective" in text
    assert "It begins below the threshold" in text
    assert "pixel threshold 0.7" in text
    assert "no heat below 0.525" in text
    assert "full from 1.225" in text
    assert not re.search(r'(src|href)="[^d#]', text), "the page must load nothing"


def test_a_page_without_a_threshold_says_what_its_colours_are(records, tmp_path) -> None:
    inspector = Bright()
    inspector.calibration = None
    text = write_page(tmp_path / "report.html", evaluate(inspector, records), inspector, records).read_text()
    assert "Each picture has its own scale" in text
    assert 'class="matrix"' not in text


def test_records_may_be_a_list_and_those_that_lack_are_named(records, report, tmp_path) -> None:
    with pytest.raises(InputError, match=r"lacks 14 of the report's 15 parts.*test_records"):
        write_page(tmp_path / "report.html", report, Bright(), records[:1])
    with pytest.raises(InputError, match="lacks 15"):
        write_page(tmp_path / "report.html", report, Bright(), {})


def test_tables_for_spreadsheets_lie_beside_the_page(report, page, records, tmp_path) -> None:
    with (page.parent / "parts.csv").open(newline="") as stream:
        parts = {row["key"]: row for row in csv.DictReader(stream)}
    assert len(parts) == len(report.parts)
    assert parts["caught0.png"]["true_left"] == "40"
    assert parts["caught0.png"]["hit"] == "1"
    assert parts["bare.png"]["hit"] == ""
    assert float(parts["escape0.png"]["score"]) == by_key(report)["escape0.png"].score
    assert parts["'=1+1"]["kind"] == "'-scratch", "no spreadsheet may take a name for a formula"
    with (page.parent / "regions.csv").open(newline="") as stream:
        regions = list(csv.DictReader(stream))
    assert len(regions) == sum(len(part.regions) for part in report.parts)
    assert (regions[0]["right"], regions[0]["area"]) == ("60", "200")
    other = write_page(tmp_path / "bottle.html", report, Bright(), records, examples=1)
    assert {p.name for p in other.parent.iterdir()} == {"bottle.html", "bottle-parts.csv", "bottle-regions.csv"}


def test_heat_laid_over_a_part_is_the_heat_of_its_picture() -> None:
    rng = np.random.default_rng(0)
    part = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    map = cv2.GaussianBlur(rng.random(SIZE, dtype=np.float32), (0, 0), 6)
    layer = heat_layer(map, 0.5).astype(float)
    assert layer.shape == (*SIZE, 4)
    cover = layer[..., 3:] / 255
    np.testing.assert_allclose(part * (1 - cover) + layer[..., :3] * cover, heat(part, map, 0.5), atol=1.5)
    assert heat_layer(np.zeros((900, 1200), np.float32), None).shape[:2] == fitting((900, 1200), 160)


def test_the_smallest_region_is_outlined_on_a_small_picture() -> None:
    mask = np.zeros((3000, 4000), bool)
    assert contour(mask, (480, 640)) == ""
    mask[1502, 2003] = True
    assert contour(mask, (480, 640)) == "M320.5 240.5Z"


def test_each_run_that_finds_pictures_has_a_folder_of_its_own(tmp_path) -> None:
    out = tmp_path / "rejects"
    assert folder_of_run(out) == out
    out.mkdir()
    (out / "notes.txt").write_text("")
    assert folder_of_run(out) == out
    (out / "0.png.png").write_bytes(b"")
    assert [folder_of_run(out).name for _ in range(2)] == ["run-2", "run-3"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page is not looked at")
def test_a_click_enlarges_and_the_table_sorts_and_filters(page, tmp_path) -> None:
    """A click enlarges a part and the table sorts and filters."""
    script = """
      document.querySelectorAll(".parts button.open")[1].click();
      document.querySelector("#large [value=heat]").click();
      const box = document.getElementById("large");
      box.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
      const kind = document.querySelector("#controls [name=kind]");
      kind.value = "stain"; kind.dispatchEvent(new Event("input"));
      document.querySelector("th[data-key=score] button").click();
      document.title = [box.open, box.className, box.querySelectorAll("svg").length, box.querySelector("b").textContent,
        document.getElementById("shown").textContent,
        ...[...document.querySelectorAll("#results-table tbody tr:not([hidden])")].map((r) => r.cells[0].innerText)
      ].join("|");
    """
    copy = tmp_path / "clicked.html"
    copy.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--enable-logging=stderr"]
    command = [CHROMIUM, *flags, "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert [text for text in done.stderr.splitlines() if "CONSOLE" in text] == []
    (title,) = re.findall("<title>(.*?)</title>", done.stdout)
    said = "true|no-heat|2|escape1.png|3 of 15 rows|escape0.png|escape1.png|escape2.png"
    assert title == said
