"""Every entry of the data files keeps to the schema, agrees with what else we know, and travels in the package."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import blemish
from blemish import literature
from blemish.core import registry
from blemish.core.errors import FormatError
from blemish.literature import fields
from blemish.literature.entries import KEYS, data_folder, entries, find, fold, known_names, located
from blemish.literature.facts import dataset, datasets
from blemish.literature.schema import KINDS, laid_out, problems
from blemish.literature.taxonomy import paper_of

SOURCE = Path(blemish.__path__[0])
DATA = SOURCE / "literature" / "data"


def copy(tmp_path: Path) -> Path:
    for path in DATA.rglob("*.json*"):
        place = tmp_path / path.relative_to(DATA)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return tmp_path


def change(path: Path, number: int, **fields: object) -> None:
    """Change one line; a field given as None is taken out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entry = json.loads(lines[number]) | fields
    lines[number] = json.dumps({name: value for name, value in entry.items() if value is not None}, ensure_ascii=False)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_every_entry_is_sound_sorted_and_in_its_file() -> None:
    assert problems(data_folder()) == []
    for name, text in laid_out(data_folder()).items():
        assert (DATA / name).read_text(encoding="utf-8") == text, name


def test_there_is_as_much_as_there_should_be_and_it_stays_small() -> None:
    assert len(entries("papers")) >= 679
    assert len(entries("results")) + len(entries("recalled")) >= 6000
    assert all(len(entries(kind)) > 10 for kind in KINDS)
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 2.5e6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sheet", "changed", "said"),
    [
        ("results/visa.jsonl", {"value": 101.0}, "must be a number from -100 to 100"),
        ("results/visa.jsonl", {"value": -1.0}, "is below 0"),
        ("results/visa.jsonl", {"value": True}, "must be a number"),
        ("results/visa.jsonl", {"method": "Nobody"}, "is no known method"),
        ("results/visa.jsonl", {"setting": "one class"}, "is no known setting"),
        ("results/visa.jsonl", {"sources": {"ader": "heard"}}, "is no known kind of source"),
        ("results/visa.jsonl", {"sources": {}}, "must be an object that is not empty"),
        ("results/visa.jsonl", {"sources": {"ader": "memory"}}, "belongs in recalled.jsonl"),
        ("results/visa.jsonl", {"note": "x"}, "is no field of results"),
        ("results/visa.jsonl", {"metric": None}, "metric is missing"),
        ("recalled.jsonl", {"sources": {"ader": "benchmark"}}, "belongs in results/"),
        ("papers/flow.jsonl", {"year": 1492}, "must be a whole number from 1950"),
        ("papers/flow.jsonl", {"title": " Flow"}, "blanks at an end"),
        ("papers/flow.jsonl", {"code": "github.com/x"}, "must begin with https://"),
        ("papers/flow.jsonl", {"arxiv": "21.1"}, "must look like 2106.08265"),
        ("papers/flow.jsonl", {"arxiv": "2106.08265"}, "arxiv 2106.08265 is there twice"),
        ("papers/flow.jsonl", {"family": "flows"}, "is no known place"),
        ("papers/flow.jsonl", {"venue": "CVPRR"}, "is no known venue"),
        ("papers/flow.jsonl", {"arxiv": None, "url": None, "doi": None}, "has no link"),
        ("methods.jsonl", {"aliases": ["PatchCore"]}, "already leads to"),
        ("methods.jsonl", {"paper": "nobody2020"}, "is no known paper"),
        ("datasets.jsonl", {"images": 0}, "must be a whole number from 1"),
        ("disputes.jsonl", {"about": "taste"}, "is no known fact"),
    ],
)
def test_the_schema_finds_what_is_wrong(tmp_path, sheet, changed, said) -> None:
    folder = copy(tmp_path)
    change(folder / sheet, 1, **changed)
    found = problems(folder)
    assert any(said in line and line.startswith(sheet.rpartition("/")[2]) for line in found), found


def test_the_schema_finds_duplicates_and_disorder(tmp_path) -> None:
    """The schema finds what is twice misplaced or out of order."""
    folder = copy(tmp_path)
    visa = folder / "results" / "visa.jsonl"
    lines = visa.read_text(encoding="utf-8").splitlines()
    visa.write_text("\n".join([*lines, lines[0]]) + "\n", encoding="utf-8")
    assert any("is there twice" in line for line in problems(folder))
    visa.write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n", encoding="utf-8")
    assert any("out of order" in line for line in problems(folder))
    visa.write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    btad = folder / "results" / "btad.jsonl"
    btad.write_text(btad.read_text(encoding="utf-8") + lines[0] + "\n", encoding="utf-8")
    assert any("belongs in results/visa.jsonl" in line for line in problems(folder))


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def filed_again(folder: Path, method: str, number: int = 0, **fields: object) -> list[str]:
    """Put one of a method's entries there once more with some fields changed; return what is wrong now."""
    path = folder / "results" / "mvtec_ad.jsonl"
    entry = [e for e in lines_of(path) if e["method"] == method][number] | fields
    path.write_text(path.read_text(encoding="utf-8") + json.dumps(entry, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, text in laid_out(folder).items():
        (folder / name).write_text(text, encoding="utf-8")
    return problems(folder)


def test_one_number_of_one_source_stands_in_one_setting(tmp_path) -> None:
    (said,) = filed_again(copy(tmp_path), "FoundAD", setting="one-class")
    assert "anomalib/foundad gives FoundAD" in said
    assert "in few-shot-1 and one-class" in said


def test_one_aupro_of_anomalib_is_not_also_another_aupro(tmp_path) -> None:
    (said,) = filed_again(copy(tmp_path), "AnomalyVFM", metric="aupro")
    assert "in zero-shot and zero-shot as aupro_anomalib" in said


@pytest.mark.slow
def test_numbers_under_equal_conditions_are_told_apart(tmp_path) -> None:
    """Numbers under the same conditions are told apart or allowed."""
    folder = copy(tmp_path)
    (said,) = filed_again(folder, "FoundAD", value=12.5)
    assert "FoundAD 12.5 and" in said
    assert "under the same conditions" in said
    allowed = folder / "allowed.jsonl"
    more = {"source": "anomalib/foundad", "method": "FoundAD", "dataset": "mvtec_ad", "says": "for this test"}
    allowed.write_text(json.dumps(more) + "\n" + allowed.read_text(encoding="utf-8"), encoding="utf-8")
    assert problems(folder) == []


def test_what_nothing_needs_is_not_allowed(tmp_path) -> None:
    folder = copy(tmp_path)
    change(folder / "allowed.jsonl", 0, value=1.5)
    found = problems(folder)
    assert any("allowed.jsonl:1: allows what nothing needs" in line for line in found)
    assert any("CFA 67.6 in few-shot-4-augmented and few-shot-8-augmented" in line for line in found)


def test_settings_are_those_of_the_sources() -> None:
    """anomalib's FoundAD saw 1, 2 or 4 good images, its AnomalyVFM none, and MuSc all test images together."""
    found = literature.results()
    assert {r.setting for r in found if r.method == "FoundAD"} == {"few-shot-1", "few-shot-2", "few-shot-4"}
    assert all("one model for all categories" in r.detail for r in found if r.method == "FoundAD")
    assert {r.setting for r in found if r.method == "AnomalyVFM"} == {"zero-shot"}
    assert {r.setting for r in found if r.method == "MuSc"} == {"zero-shot-batched"}
    assert not [r for r in found if r.metric == "aupro" and any(source.startswith("anomalib/") for source in r.sources)]
    four = literature.results(method="FoundAD", dataset="visa", setting="4-shot")
    assert {(r.metric, r.value) for r in four} == {("image_auroc", 93.6), ("image_aupr", 92.0), ("pixel_auroc", 98.7)}


def test_a_line_that_is_no_entry_is_named(tmp_path) -> None:
    folder = copy(tmp_path)
    (folder / "venues.jsonl").write_text('{"name": "A"}\n{"name"\n', encoding="utf-8")
    with pytest.raises(FormatError, match=r"venues\.jsonl:2 is not JSON"):
        list(located("venues", folder))
    (folder / "venues.jsonl").write_text("[]\n", encoding="utf-8")
    with pytest.raises(FormatError, match="is list, not an object"):
        list(located("venues", folder))


@pytest.mark.parametrize("value", [None, 3, "", "http://a b.de", "ftp://a.de", "https://localhost", "https://a.de/{x}"])
def test_bad_links_are_refused(value) -> None:
    assert fields.link(value)
    assert not fields.link("https://a.de/x?y=1#z")


def test_names_are_found_under_every_alias() -> None:
    for kind, key in KEYS.items():
        for entry in entries(kind):
            for name in (entry[key], entry[key].upper(), *entry.get("aliases", ())):
                assert find(kind, name) == entry[key]
    assert fold("RD++") != fold("RD")
    assert find("methods", "stfpm") == "STPM"
    assert find("metrics", "pixel_AUPRO") == find("metrics", "PRO") == "aupro"
    assert find("settings", "few-shot 4") == "few-shot-4"
    with pytest.raises(blemish.core.errors.UnknownName, match="Did you mean 'PatchCore'"):
        find("methods", "patchcoer")
    assert len(known_names("methods")) > len(entries("methods"))


def test_counts_agree_with_the_cards_of_our_readers() -> None:
    compared = 0
    for name, found in registry.datasets().items():
        counts = found.card.counts
        if name not in datasets() or not counts:
            continue
        facts = datasets()[name]
        for field, ours in (
            ("train_good", "train_good"),
            ("test_good", "test_good"),
            ("test_anomalous", "test_defective"),
        ):
            values = [getattr(c, ours) for c in counts.values()]
            if None not in values and getattr(facts, field) and field not in facts.recalled:
                assert getattr(facts, field) == sum(values), f"{name}: {field}"
                compared += 1
    assert compared >= 15


def test_counts_add_up() -> None:
    for d in datasets().values():
        if d.normal and d.anomalous:
            assert d.images == d.normal + d.anomalous, d.id
        if d.train_good and d.test_good and d.normal and not d.recalled:
            assert d.normal == d.train_good + d.validation_good + d.test_good, d.id


def test_the_data_load_from_a_package_that_is_not_a_folder(tmp_path) -> None:
    archive = tmp_path / "blemish.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in SOURCE.rglob("*"):
            if path.suffix in (".py", ".json", ".jsonl") and "features" not in path.parts:
                packed.write(path, path.relative_to(SOURCE.parent).as_posix())
    code = "import blemish; from blemish import literature as l; print(blemish.__file__, len(l.papers()), len(l.results()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(archive)}
    )
    where, papers, results = done.stdout.split()
    assert where.startswith(str(archive))
    assert int(papers) == len(literature.papers())
    assert int(results) == len(literature.results())


def test_what_a_card_says_of_a_data_set_is_said_there_alone(tmp_path) -> None:
    folder = copy(tmp_path)
    sheet = folder / "datasets.jsonl"
    entries = [json.loads(line) for line in sheet.read_text("utf-8").splitlines()]
    mine = next(entry for entry in entries if entry["id"] == "btad")
    assert "licence" not in mine
    mine["licence"] = "CC0"
    sheet.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), "utf-8")
    assert [p for p in problems(folder) if "licence is said by the data set's card" in p]
    card = registry.dataset("btad").card
    assert dataset("BTAD").licence == card.licence
    assert dataset("BTAD").train_good == sum(counts.train_good for counts in card.counts.values()) == 1799
    assert dataset("magnetic_tile").train_good == 0  # its division is ours, not the makers'


def test_the_paper_of_every_method_is_in_the_literature() -> None:
    """One paper: the same title or link, and the same year, or that of its preprint."""
    for name in registry.methods():
        card = registry.method_card(name)
        paper = paper_of(name, card)
        assert paper is not None
        assert card.paper.year - 1 <= paper.year <= card.paper.year
