"""Means over categories and seeds, and when a number may be called the best."""

import numpy as np
import pytest

from benchmark.results.made_cells import around, cell, write
from blemish.benchmark.results import read_cells, rows
from blemish.metrics.comparison import over_seeds


def table(folder, *cells):
    return {(r.method, r.setting.protocol): r for r in rows(read_cells(write(folder, *cells)))}


def plain(method, value, seed=0, category="a", half=0.001, **other):
    return cell(method, category=category, seed=seed, metrics={"image_AUROC": around(value, half)}, **other)


def test_the_mean_is_over_categories_and_then_over_seeds(tmp_path) -> None:
    values = {(0, "a"): 0.9, (0, "b"): 0.7, (1, "a"): 0.92, (1, "b"): 0.74}
    row = table(tmp_path, *(plain("padim", v, s, c) for (s, c), v in values.items()))["padim", "one-class"]
    number = row.numbers["image_AUROC"]
    assert number.over_seeds[:4] == pytest.approx(over_seeds([0.8, 0.83])[:4])
    assert (number.low, number.high) == pytest.approx((0.814, 0.816))
    assert number.bounds == (number.over_seeds.low, number.over_seeds.high)
    assert (row.categories, row.of, row.runs) == (("a", "b"), 2, ("0", "1"))


def test_seeds_that_lack_a_category_are_left_out_and_said(tmp_path) -> None:
    made = [plain("padim", 0.9, 0, "a"), plain("padim", 0.7, 0, "b"), plain("padim", 0.99, 1, "a")]
    number = table(tmp_path, *made)["padim", "one-class"].numbers["image_AUROC"]
    assert number.value == pytest.approx(0.8)
    assert number.over_seeds.seeds == 1
    assert number.notes == ("1 of 2 seeds left out: not every category has them",)
    number = table(tmp_path / "none", made[1], made[2])["padim", "one-class"].numbers["image_AUROC"]
    assert number.value == pytest.approx((0.7 + 0.99) / 2)
    assert number.notes == ("no seed has every category",)
    assert number.bounds is None


def test_a_metric_missing_in_categories_is_not_compared(tmp_path) -> None:
    """A metric that some categories lack is said and not compared with whole ones."""

    def made(method, category, auroc, aupimo=None):
        metrics = {"image_AUROC": around(auroc, 0.001)}
        metrics |= {} if aupimo is None else {"pixel_AUPIMO": around(aupimo, 0.001)}
        return cell(method, category=category, metrics=metrics)

    whole = made("patchcore", "easy", 0.9, 0.93), made("patchcore", "hard", 0.9, 0.2)
    short = made("padim", "easy", 0.9, 0.95), made("padim", "hard", 0.5)
    found = table(tmp_path, *whole, *short)
    number = found["padim", "one-class"].numbers["pixel_AUPIMO"]
    assert (number.value, number.categories) == (0.95, ("easy",))
    assert number.notes == ("1 of 2 categories: it is missing in hard",)
    assert not number.best, "patchcore's mean holds the hard category too"
    assert found["patchcore", "one-class"].numbers["pixel_AUPIMO"].notes == ()
    other = made("stpm", "easy", 0.8, 0.5), made("stpm", "hard", 0.4)
    found = table(tmp_path / "alike", *short, *other)
    assert found["padim", "one-class"].numbers["pixel_AUPIMO"].best, "both have it for the same category"


def test_seeds_that_lack_a_metric_everywhere_are_said(tmp_path) -> None:
    made = [plain("padim", 0.9, s) for s in range(3)]
    for one in made[:2]:
        one["metrics"]["pixel_AUPIMO"] = around(0.5)
    row = table(tmp_path, *made)["padim", "one-class"]
    assert row.numbers["pixel_AUPIMO"].notes == ("1 of 3 seeds left out: not every category has them",)
    assert row.numbers["image_AUROC"].notes == ()
    assert row.seeds(row.numbers) == (2, 3)
    assert row.seeds(["image_AUROC", "pixel_AUROC"]) == (3, 3)


def test_runs_of_one_draw_are_one_of_n(tmp_path) -> None:
    """Four seeds of a draw learn from the same parts: they say nothing of other draws."""
    values = {draw: [0.5 + draw / 10 + seed / 1000 for seed in range(4)] for draw in range(3)}
    made = [plain("padim", v, s, protocol="few-shot-2") for each in values.values() for s, v in enumerate(each)]
    for i, one in enumerate(made):
        one["cell"]["draw"] = i // 4
    number = table(tmp_path, *made)["padim", "few-shot-2"].numbers["image_AUROC"]
    assert number.over_seeds == pytest.approx(over_seeds([np.mean(each) for each in values.values()]))
    assert number.over_seeds.seeds == 3
    number = table(tmp_path / "one", *made[:4])["padim", "few-shot-2"].numbers["image_AUROC"]
    assert number.over_seeds == pytest.approx(over_seeds(values[0])), "of one draw it speaks of other seeds"


def test_one_model_for_all_is_reported_by_category(tmp_path) -> None:
    inside = {"a": {"image_AUROC": around(0.9)}, "b": {"image_AUROC": around(0.6)}}
    pooled = {"image_AUROC": around(0.1)}
    row = table(tmp_path, cell("padim", protocol="multi-class", metrics=pooled, by_category=inside))[
        "padim", "multi-class"
    ]
    assert row.numbers["image_AUROC"].value == pytest.approx(0.75)
    assert row.categories == ("a", "b")
    measured = {name: {"metrics": metrics, "decisions": {}, "scores": {}} for name, metrics in inside.items()}
    row = table(tmp_path / "as measured", cell("padim", protocol="multi-class", by_category=measured))[
        "padim", "multi-class"
    ]
    assert row.numbers["image_AUROC"].value == pytest.approx(0.75), "the runner writes metrics and scores by category"


def best(found):
    return {method for (method, _), row in found.items() if row.numbers and row.numbers["image_AUROC"].best}


def test_the_best_is_marked_only_beyond_both_intervals(tmp_path) -> None:
    far = [plain("padim", 0.95 + s / 1000, s) for s in range(3)], [plain("stpm", 0.8 + s / 1000, s) for s in range(3)]
    assert best(table(tmp_path / "far", *far[0], *far[1])) == {"padim"}
    wide = [plain("stpm", 0.8 + s / 1000, s, half=0.16) for s in range(3)]
    assert best(table(tmp_path / "images", *far[0], *wide)) == set(), "the intervals over images overlap"
    shaky = [plain("stpm", v, s) for s, v in enumerate((0.7, 0.8, 0.9))]
    assert best(table(tmp_path / "seeds", *far[0], *shaky)) == set(), "the intervals over seeds overlap"
    bare = [{**c, "metrics": {"image_AUROC": 0.9}} for c in (far[0][0], far[1][0])]
    assert best(table(tmp_path / "bare", *bare)) == set(), "without any interval nothing is marked"
    assert best(table(tmp_path / "alone", *far[0])) == set()


def test_the_best_is_sought_among_comparable_rows_only(tmp_path) -> None:
    far = [plain("padim", 0.95), plain("stpm", 0.8)]
    other_split = {**plain("ae", 0.5), "stamps": {"split": "another"}}
    assert best(table(tmp_path / "split", *far, other_split)) == set()
    partial = [plain("padim", 0.95, category="b"), plain("stpm", 0.8, category="b"), plain("ae", 0.999)]
    assert best(table(tmp_path / "partial", *far, *partial)) == {"padim"}, "ae has one of two categories"
    presets = [plain("padim", 0.95), plain("stpm", 0.8, preset="paper")]
    assert best(table(tmp_path / "presets", *presets)) == set()


def test_failures_are_counted_and_cost_nothing(tmp_path) -> None:
    costs = {"fit_seconds": 3.0}
    done = cell("padim", category="a", metrics={"image_AUROC": around(0.9)}, costs=costs)
    failed = cell("padim", category="b", failed={"error": "x"}, costs={"fit_seconds": 100.0})
    row = table(tmp_path, done, failed, cell("stpm", category="a", failed={"error": "y"}))["padim", "one-class"]
    assert (row.failures, row.costs, row.categories, row.of) == (1, costs, ("a",), 2)
    lost = table(tmp_path / "lost", cell("stpm", failed={"error": "y"}))["stpm", "one-class"]
    assert (lost.numbers, lost.failures, lost.categories, lost.seeds(["image_AUROC"])) == ({}, 1, (), (0, 0))
    inside = {name: {"image_AUROC": around(0.9)} for name in "ab"}
    found = table(
        tmp_path / "unified",
        cell("padim", category="all", protocol="multi-class", by_category=inside),
        cell("stpm", category="all", protocol="multi-class", failed={"error": "z"}),
    )
    assert {row.of for row in found.values()} == {2}, "all, which a failed one is of, is no category"
