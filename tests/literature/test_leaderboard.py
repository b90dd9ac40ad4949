"""Numbers stay in their columns, recalled ones keep their mark, disputes stand where their number stands."""

import csv
import io
import json

import pytest

from blemish.core.errors import UnknownName
from blemish.core.tables import FORMATS, csv_text
from blemish.literature import disputed, disputes, leaderboard, metrics, results, settings, sources
from blemish.literature.facts import datasets
from blemish.literature.results import COLUMNS, KINDS, MARK, RANK, Dispute, Result


def boards():
    """Every leaderboard that has a recalled number."""
    for r in results(recalled=True):
        if r.recalled:
            yield r, leaderboard(r.dataset, setting=r.setting, metric=r.metric, recalled=True)


def test_kinds_columns_and_ranks_know_each_other() -> None:
    assert set(COLUMNS) == set(KINDS) == set(RANK)


def test_no_number_moves_to_another_column() -> None:
    board = leaderboard("mvtec_ad")
    shown = [r for row in board.rows for r in row.results]
    assert sorted(shown, key=repr) == sorted(
        results(dataset="mvtec_ad", setting="one-class", metric="image_auroc"), key=repr
    )
    for row in board.rows:
        for column in ("published", "quoted", "re-run"):
            for number in row.column(column):
                assert {COLUMNS[kind] for kind in number.sources.values()} & {column}
                assert number.column == column
    assert not any(row.column("recalled") for row in board.rows)
    assert "recalled" not in board.columns


def test_recalled_numbers_are_marked_and_left_out_by_default() -> None:
    """Recalled numbers are left out unless asked for and always marked."""
    assert not any(r.recalled for r in results())
    recalled = [r for r in results(recalled=True) if r.recalled]
    assert len(recalled) >= 10
    for r, board in boards():
        assert r.shown.endswith(MARK)
        for form in FORMATS:
            for every in (False, True):
                assert f"{r.value:.1f}{MARK}" in board.table(every=every).written(form)
        assert any(MARK in note for note in board.notes())
        bare = leaderboard(r.dataset, setting=r.setting, metric=r.metric)
        assert MARK not in bare.table(every=True).written("csv").replace(board.title, "")
        assert all(n["recalled"] for row in board.as_dict()["rows"] for n in row["recalled"])


def test_a_recalled_number_in_a_dispute_says_so() -> None:
    read = {(r.method, r.shown) for r in results()}
    for r in results(recalled=True):
        for d in disputes():
            number = f"{r.value:.1f}"
            if r.recalled and r.method in d.methods and number in d.says and (r.method, number) not in read:
                assert f"{number} (recalled)" in d.says


@pytest.mark.parametrize(
    ("board", "method", "said"),
    [
        (("mvtec_ad", "one-class", "image_auroc"), "PaDiM", "97.9 (recalled) belongs to the EfficientNet-B5"),
        (("mvtec_ad", "few-shot-4", "image_auroc"), "WinCLIP", "95.2 is the 4-shot"),
        (("mvtec_ad", "few-shot-1", "image_auroc"), "AnomalyGPT", "96.3 (recalled) is the 4-shot"),
        (("mvtec_ad", "one-class", "image_auroc"), "FastFlow", "independent runs give 90.5"),
        (("mvtec_ad", "one-class", "image_auroc"), "SimpleNet", "best on the test images"),
        (
            ("visa", "multi-class", "image_auroc"),
            "UniAD",
            "The mean printed for UniAD is 91.5; its categories give 85.5",
        ),
    ],
)
def test_a_dispute_stands_beside_its_number_and_below_the_table(board, method, said) -> None:
    dataset, setting, metric = board
    found = leaderboard(dataset, setting=setting, metric=metric)
    numbers = [i for i, d in enumerate(found.disputes, start=1) if said in d.says]
    assert numbers
    row = next(row for row in found.rows if row.method == method)
    assert set(numbers) <= set(row.disputes)
    line = next(line for line in found.table().body if line[0] == method)
    assert f"[D{numbers[0]}]" in line[-1]
    assert any(note.startswith(f"[D{numbers[0]}] ") and said in note for note in found.notes())


def test_every_dispute_about_numbers_touches_one() -> None:
    every = results(recalled=True)
    for d in disputes():
        assert d.about or any(d.touches(r) for r in every), d.id
        assert not d.about or d.dataset in datasets(), d.id
    counts = {d.dataset: d.says for d in disputes() if d.about == "count"}
    assert "2,830 files are 2,540 images and 290 masks" in [
        d.says.rstrip(".") for d in disputes() if d.dataset == "btad"
    ]
    assert "1,064" in counts["mpdd"]


def test_a_dispute_touches_only_what_agrees_with_every_field() -> None:
    r = Result("A", "visa", "aupro", "one-class", 90.0, sources={"ader": "benchmark"})
    full = {"methods": ("A",), "dataset": "visa", "metric": "aupro", "settings": ("one-class",), "value": 90.04}
    full |= {"column": "re-run", "source": "ader"}
    assert Dispute("x", "y", **full).touches(r)
    others = {"methods": ("B",), "dataset": "btad", "metric": "mad", "settings": ("zero-shot",), "value": 90.1}
    for name, other in (others | {"column": "published", "source": "musc", "about": "count"}).items():
        assert not Dispute("x", "y", **(full | {name: other})).touches(r), name


def test_a_wrong_mean_is_found_and_rounding_is_not() -> None:
    values = {"01": 90.0, "02": 91.0, "03": 92.0}
    right = Result("A", "btad", "aupro", "one-class", 91.08, by_category=values, sources={"ader": "benchmark"})
    wrong = Result("A", "btad", "aupro", "one-class", 92.0, by_category=values, sources={"ader": "benchmark"})
    partial = Result("A", "visa", "aupro", "one-class", 92.0, by_category=values, sources={"ader": "benchmark"})
    assert not [d for d in disputed([right, partial]) if d.id.startswith("mean-")]
    assert [d.says for d in disputed([wrong]) if d.id.startswith("mean-")] == [
        "The mean printed for A is 92.0; its categories give 91.0."
    ]


def test_sorting_puts_the_best_of_the_chosen_column_first() -> None:
    for sort in ("published", "re-run"):
        rows = leaderboard("mvtec_ad", sort=sort).rows
        best = [max((r.value for r in row.column(sort)), default=-1.0) for row in rows]
        assert best == sorted(best, reverse=True)
    lower = leaderboard("mvtec_ad", setting="continual", metric="forgetting_image_auroc", sort="re-run").rows
    best = [min(r.value for r in row.column("re-run")) for row in lower]
    assert best == sorted(best)
    names = [row.method.lower() for row in leaderboard("visa", sort="method").rows]
    assert names == sorted(names)
    with pytest.raises(UnknownName, match="column"):
        leaderboard("visa", sort="speed")


def test_tables_read_back_the_same_in_every_format() -> None:
    board = leaderboard("btad", metric="aupro")
    table = board.table(every=True)
    assert list(csv.reader(io.StringIO(table.written("csv")))) == [list(table.head), *map(list, table.body)]
    assert [list(row.values()) for row in json.loads(table.written("json"))] == list(map(list, table.body))
    assert len(table.written("markdown").splitlines()) == len(table.body) + 2
    with pytest.raises(UnknownName, match="format"):
        table.written("pdf")


def test_numbers_stay_numbers_in_csv_and_formulas_do_not() -> None:
    """Numbers stay numbers in csv and formulas do not stay formulas."""
    texts = ["-3.1", "+1e-5", "–", "", "=1+1", "@x", "-x", "97.3"]
    assert csv_text([texts]) == "-3.1,+1e-5,–,,'=1+1,'@x,'-x,97.3\n"


def test_sources_settings_and_metrics_can_be_read() -> None:
    r = results(method="padim", dataset="MVTec AD", metric="image AUROC", setting="one-class")
    assert any(x.value == 95.3 and x.backbone == "WideResNet-50" for x in r)
    assert all(x.cited for x in r)
    assert all(s.id in sources() for s in sources().values())
    assert "one-class" in settings()
    assert metrics()["aupro"].chance == "15"
