"""Numbers stay in their columns, recalled ones keep their mark, disputes stand where their number stands, ours add up."""

import csv
import io
import json

import pytest

from blemish.core.errors import DataError, FormatError, UnknownName
from blemish.core.tables import FORMATS, csv_text
from blemish.literature import disputed, disputes, leaderboard, metrics, ours, results, settings, sources
from blemish.literature.facts import datasets
from blemish.literature.results import COLUMNS, KINDS, MARK, RANK, Dispute, Result


def cell(folder, name, *, method="patchcore", dataset="mpdd", category="tubes", seed=0, failed=None, value=0.5, **more):
    said = {"method": method, "dataset": dataset, "category": category, "seed": seed, "protocol": "one-class"} | more
    metric = {} if failed else {"image_AUROC": {"value": value, "low": 0.1, "high": 0.9}, "unheard_of": {"value": 0.1}}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"cell": said, "metrics": metric, "failed": failed}))


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


def test_recalled_numbers_are_left_out_unless_asked_for_and_always_marked() -> None:
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


def test_numbers_stay_numbers_in_csv_and_formulas_do_not_stay_formulas() -> None:
    texts = ["-3.1", "+1e-5", "–", "", "=1+1", "@x", "-x", "97.3"]
    assert csv_text([texts]) == "-3.1,+1e-5,–,,'=1+1,'@x,'-x,97.3\n"


def test_sources_settings_and_metrics_can_be_read() -> None:
    r = results(method="padim", dataset="MVTec AD", metric="image AUROC", setting="one-class")
    assert any(x.value == 95.3 and x.backbone == "WideResNet-50" for x in r)
    assert all(x.cited for x in r)
    assert all(s.id in sources() for s in sources().values())
    assert "one-class" in settings()
    assert metrics()["aupro"].chance == "15"


def test_ours_is_the_mean_over_categories_then_seeds(tmp_path) -> None:
    values = {0: {"tubes": 0.9, "connector": 0.7}, 1: {"tubes": 0.8, "connector": 1.0}}
    for seed, by_category in values.items():
        for category, value in by_category.items():
            cell(tmp_path, f"{category}{seed}", category=category, seed=seed, value=value)
    cell(tmp_path, "half", category="tubes", seed=2, value=0.1)  # a seed that lacks a category says something else
    cell(tmp_path, "broken", category="connector", seed=2, failed="out of memory")
    (tmp_path / "summary.json").write_text('{"rows": []}')
    (found,) = ours(tmp_path)
    per_seed = [100 * (0.9 + 0.7) / 2, 100 * (0.8 + 1.0) / 2]
    assert found.value == pytest.approx(sum(per_seed) / 2)
    assert found.spread == pytest.approx(abs(per_seed[0] - per_seed[1]) / 2**0.5)
    assert (found.seeds, found.categories, found.of_categories, found.left_out, found.failed) == (2, 2, 6, 1, 1)
    assert (found.method, found.dataset, found.metric, found.setting) == (
        "PatchCore",
        "mpdd",
        "image_auroc",
        "one-class",
    )
    assert found.shown == "85.0 ± 7.1 (2 seeds, 2 of 6 categories, 1 incomplete left out, 1 failed)"
    board = leaderboard("mpdd", ours=tmp_path)
    row = next(row for row in board.rows if row.method == "PatchCore")
    assert row.ours == (found,)
    assert row.column("re-run")
    assert found.shown in next(line for line in board.table().body if line[0] == "PatchCore")
    assert not any(row.ours for row in leaderboard("mpdd", setting="zero-shot", ours=tmp_path).rows)


def test_ours_under_other_conditions_are_not_averaged_with_each_other(tmp_path) -> None:
    cell(tmp_path, "a", preset="quick", value=0.8)
    cell(tmp_path, "b", preset="paper", value=0.9)
    cell(tmp_path, "c", preset="paper", value=1.0, image_size=128)
    found = {o.conditions: o.value for o in ours(tmp_path)}
    assert found == {
        "quick": pytest.approx(80),
        "paper": pytest.approx(90),
        "paper, image_size 128": pytest.approx(100),
    }


def test_variants_of_a_method_stay_apart_by_their_parameters(tmp_path) -> None:
    cell(tmp_path, "a", preset="quick", params={"ratio": 0.1, "seed": 0}, value=0.9)
    cell(tmp_path, "b", preset="quick", params={"ratio": 0.01, "seed": 0}, value=0.6)
    cell(tmp_path, "c", preset="quick", params={"ratio": 0.01, "seed": 1}, seed=1, value=0.8)
    cell(tmp_path, "d", preset="quick", params={"seed": 2}, seed=2, value=0.5)
    found = {o.conditions: (o.value, o.seeds) for o in ours(tmp_path)}
    assert found == {
        "quick, ratio 0.1": (pytest.approx(90), 1),
        "quick, ratio 0.01": (pytest.approx(70), 2),
        "quick, ratio by default": (pytest.approx(50), 1),
    }


def test_parameters_that_go_with_the_category_do_not_tear_the_mean_apart(tmp_path) -> None:
    cell(tmp_path, "a", category="tubes", params={"rotate": True}, value=0.9)
    cell(tmp_path, "b", category="connector", params={"rotate": False}, value=0.7)
    (found,) = ours(tmp_path)
    assert (found.value, found.categories) == (pytest.approx(80), 2)


def test_two_cells_in_one_place_are_an_error_that_names_both(tmp_path) -> None:
    cell(tmp_path, "a", holdout=0.0, value=0.9)
    cell(tmp_path, "b", holdout=0.2, value=0.6)
    with pytest.raises(DataError, match=r"a\.json and .*b\.json hold .* differ only in holdout; put one of them"):
        ours(tmp_path)


def test_one_detector_for_all_categories_counts_for_as_many(tmp_path) -> None:
    every = list(datasets()["mpdd"].categories)
    cell(tmp_path, "all", category="all", categories=every, protocol="multi-class")
    cell(tmp_path, "some", category="all", categories=every[:2], protocol="multi-class", method="padim")
    whole, some = sorted(ours(tmp_path), key=lambda o: -o.categories)
    assert (whole.categories, whole.shown) == (6, "50.0 (1 seed)")
    assert some.shown == "50.0 (1 seed, 2 of 6 categories)"


def test_a_set_with_a_name_of_its_own_is_found_by_its_reader(tmp_path) -> None:
    cell(tmp_path, "own", dataset="line 3", category=None, source={"kind": "magnetic_tile", "name": "line 3"})
    cell(tmp_path, "folder", dataset="nuts", category=None, source={"kind": "folder", "name": "nuts"})
    found = {o.dataset: o.shown for o in ours(tmp_path)}
    assert found == {"magnetic_tile": "50.0 (1 seed, named line 3)", "nuts": "50.0 (1 seed)"}
    board = leaderboard("magnetic_tile", ours=tmp_path)
    assert [o.shown for row in board.rows for o in row.ours] == ["50.0 (1 seed, named line 3)"]
    assert "ours: 1 of other data sets, not shown: nuts 1." in board.notes()


def test_the_spread_is_over_draws_each_the_mean_of_its_seeds(tmp_path) -> None:
    for draw, value in enumerate((0.6, 0.8, 1.0)):
        for seed, more in enumerate((-0.02, 0.0)):
            cell(tmp_path, f"d{draw}{seed}", value=value + more, draw=draw, seed=seed, params={"seed": seed})
    (found,) = ours(tmp_path)
    assert found.value == pytest.approx(79)
    assert (found.seeds, found.draws) == (6, 3)
    assert found.spread == pytest.approx(20), "three draws of 59, 79 and 99, not six runs"
    assert found.shown.startswith("79.0 ± 20.0 (3 draws, ")
    for path in tmp_path.glob("d[12]*"):
        path.unlink()
    (one,) = ours(tmp_path)
    assert (one.seeds, one.draws, one.spread) == (2, 0, pytest.approx(2**0.5)), "seeds of a single draw are seeds"


def test_seeds_of_different_categories_are_not_averaged_with_each_other(tmp_path) -> None:
    for seed, categories in {0: ("tubes", "connector"), 1: ("tubes", "bracket_black")}.items():
        for category in categories:
            value = {"tubes": 0.9, "connector": 0.3, "bracket_black": 0.6}[category]
            cell(tmp_path, f"{category}{seed}", category=category, seed=seed, value=value)
    (found,) = ours(tmp_path)
    assert found.value == pytest.approx(60), "the mean of three categories, not of 60 and 75"
    assert (found.seeds, found.categories, found.spread) == (0, 3, None)
    assert found.shown == "60.0 (no seed has every category, 3 of 6 categories)"
    cell(tmp_path, "bracket0", category="bracket_black", seed=0, value=0.6)
    (whole,) = ours(tmp_path)
    assert (whole.shown, whole.seeds) == ("60.0 (1 seed, 3 of 6 categories, 1 incomplete left out)", 1)


def test_results_of_ours_that_cannot_be_used_are_errors(tmp_path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        ours(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no result"):
        ours(tmp_path)
    cell(tmp_path / "x", "a", value=98.0)
    with pytest.raises(DataError, match="shares of 1"):
        ours(tmp_path / "x")
    cell(tmp_path / "y", "a")
    cell(tmp_path / "y", "b")
    with pytest.raises(DataError, match="the same cell"):
        ours(tmp_path / "y")
    cell(tmp_path / "z", "a", method=None)
    with pytest.raises(DataError, match="says no method"):
        ours(tmp_path / "z")
    (tmp_path / "z" / "a.json").write_text("{")
    with pytest.raises(FormatError):
        ours(tmp_path / "z")


def test_a_name_from_a_result_file_begins_no_tag_in_markdown(tmp_path) -> None:
    cell(tmp_path / "out", "a", method="<img src=x>", dataset="mpdd")
    text = leaderboard("mpdd", ours=tmp_path / "out").table().written("markdown")
    assert r"| \<img src=x> |" in text


@pytest.mark.parametrize("more", [{"params": [1]}, {"source": "x"}, {"seed": [1]}, {"draw": "1"}])
def test_result_files_of_other_kinds_of_values_are_named(tmp_path, more) -> None:
    cell(tmp_path / "out", "a", **more)
    with pytest.raises(DataError, match=r"a\.json: .* must be"):
        ours(tmp_path / "out")
