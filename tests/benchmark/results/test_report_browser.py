"""The page in a real browser: sorting and filtering by the address and by clicks, and nothing written to the console."""

import json
import re
import shutil
import subprocess

import pytest

from benchmark.results.made_cells import around, cell, write
from blemish.benchmark.results import read_cells, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page is not looked at"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VALUES = {"padim": 0.95, "stpm": 0.7, "ae": 0.85, "patchcore": 0.999}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    made = [cell(m, metrics={"image_AUROC": around(v)}, costs={"score_ms": 100 * v}) for m, v in VALUES.items()]
    made += [
        cell("draem", metrics={"pixel_AUROC": around(0.9)}),
        cell("ae", "btad", metrics={"image_AUROC": around(0.6)}),
    ]
    (path,) = write_report(read_cells(write(folder / "cells", *made)), folder / "out", ["html"])
    return path


def dom(page, fragment="", script="") -> str:
    """Return the page as the browser holds it, after a script that a reader's clicks stand for."""
    if script:
        text = page.read_text(encoding="utf-8")
        page = page.with_name("clicked.html")
        page.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={page.parent / 'profile'}",
        "--virtual-time-budget=2000",
        "--dump-dom",
    ]
    done = subprocess.run(
        [*command, "--enable-logging=stderr", page.as_uri() + fragment],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    return done.stdout


def shown(text) -> list[str]:
    body = re.search(r'<table id="results-table">.*?<tbody>(.*?)</tbody>', text, re.S)[1]
    lines = re.findall(r'<tr ([^>]*)>\s*<th scope="row" data-value="([^"]*)"', body)
    return [name for attributes, name in lines if "hidden" not in attributes]


def sorted_head(text) -> dict[str, str]:
    heads = re.findall(r"<th [^>]*>", text)
    pairs = [(re.search(r'data-key="([^"]*)"', h), re.search(r'aria-sort="([^"]*)"', h)) for h in heads]
    return {key[1]: direction[1] for key, direction in pairs if key and direction}


def test_the_address_sorts_and_what_is_missing_stays_last(page) -> None:
    plain = dom(page)
    assert shown(plain) == ["AE", "AE", "DRAEM", "PaDiM", "PatchCore", "STPM"]
    assert sorted_head(plain) == {}
    down = dom(page, "#sort=image_AUROC")
    assert shown(down) == ["PatchCore", "PaDiM", "AE", "STPM", "AE", "DRAEM"]
    assert sorted_head(down) == {"image_AUROC": "descending"}
    up = dom(page, "#sort=image_AUROC&dir=ascending")
    assert shown(up) == ["AE", "STPM", "AE", "PaDiM", "PatchCore", "DRAEM"]
    assert sorted_head(up) == {"image_AUROC": "ascending"}
    assert shown(dom(page, "#sort=score_ms"))[:2] == ["STPM", "AE"], "what costs least comes first"
    assert shown(dom(page, "#sort=nothing")) == shown(plain)
    assert shown(dom(page, "#published")) == shown(plain)


def test_the_address_filters(page) -> None:
    text = dom(page, "#sort=image_AUROC&dataset=synthetic&find=a")
    assert shown(text) == ["PatchCore", "PaDiM", "AE", "DRAEM"]
    assert "4 of 6 rows" in text
    assert re.search(r'<form id="controls" class="controls"(?! hidden)', text)


def test_clicks_sort_both_ways_and_are_remembered(page) -> None:
    click = "document.querySelector('th[data-key=image_AUROC] button').click();"
    note = "document.title = JSON.stringify([location.hash, document.activeElement.tagName]);"
    text = dom(page, script=click + click + note)
    assert sorted_head(text) == {"image_AUROC": "ascending"}
    assert shown(text)[:2] == ["AE", "STPM"]
    title = re.search(r"<title>(.*?)</title>", text)[1].replace("&amp;", "&")
    assert json.loads(title)[0] == "#sort=image_AUROC&dir=ascending"


def test_headings_are_reached_by_the_keyboard(page) -> None:
    script = """
      const button = document.querySelector('th[data-key=image_AUROC] button');
      button.focus();
      document.title = [document.activeElement === button, button.tabIndex, getComputedStyle(button).cursor].join(' ');
    """
    assert "<title>true 0 pointer</title>" in dom(page, script=script)


def test_nothing_sticks_out_on_a_phone(page) -> None:
    script = "document.title = [document.documentElement.scrollWidth, innerWidth].join(' ');"
    text = page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>")
    narrow = page.with_name("narrow.html")
    narrow.write_text(text, encoding="utf-8")
    frame = page.with_name("frame.html")  # a window is never narrower than about 500 pixels, a frame is
    frame.write_text(
        '<iframe src="narrow.html" width="390" height="800"></iframe><script>'
        "addEventListener('message', (e) => { document.title = e.data; });</script>",
        encoding="utf-8",
    )
    narrow.write_text(
        text.replace("document.title = ", "parent.postMessage(").replace(
            ".join(' ');</script>", ".join(' '), '*');</script>"
        ),
        encoding="utf-8",
    )
    width, inner = map(int, re.search(r"<title>(\d+ \d+)</title>", dom(frame))[1].split())
    assert width <= inner <= 390
