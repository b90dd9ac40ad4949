"""Methods by categories: means, ranks, what is missing, in Markdown and LaTeX."""

import pytest

from benchmark.results.made_cells import around, cell, write
from blemish.benchmark.results import read_cells, rows
from blemish.benchmark.results.side_by_side import leading, side_by_side, whole
from blemish.benchmark.results.texts import latex, markdown

VALUES = {"padim": (0.9, 0.8), "stpm": (0.7, 0.85), "ae": (0.6, 0.5)}


def made(dataset="synthetic", values=VALUES, seeds=(0, 1), protocol="one-class"):
    return [
        cell(method, dataset, category, s, protocol, metrics={"image_AUROC": around(value + s / 100)})
        for method, own in values.items()
        for category, value in zip("ab", own, strict=False)
        for s in seeds
    ]


def tables(folder, *cells):
    read = read_cells(write(folder, *cells))
    return read, side_by_side(read, leading(read), whole(read))


def test_means_over_seeds_and_average_ranks(tmp_path) -> None:
    _, (one,) = tables(tmp_path, *made())
    assert one.columns == ("a", "b")
    assert [line.method for line in one.lines] == ["padim", "stpm", "ae"]
    assert one.lines[0].values == pytest.approx((0.905, 0.805))
    assert one.lines[0].mean == pytest.approx(0.855)
    assert [line.rank for line in one.lines] == [1.5, 1.5, 3.0]
    assert one.note.startswith(
        "Ranks are the average over 2 categories, 1 the best; no p-value by Friedman's test (too few: "
    )


def test_data_sets_are_named_where_there_are_several(tmp_path) -> None:
    _, (one,) = tables(tmp_path, *made(), *made("btad"), cell("ae", "paper", metrics={"image_AUROC": around(0.5)}))
    assert one.columns == ("btad/a", "btad/b", "paper", "synthetic/a", "synthetic/b")


def test_a_mean_of_other_categories_is_none(tmp_path) -> None:
    few = cell("draem", category="a", metrics={"image_AUROC": around(0.99)})
    read, (one,) = tables(tmp_path, *made(), few)
    last = one.lines[-1]
    assert (last.method, last.values, last.mean, last.rank) == ("draem", (0.99, None), None, None)
    assert last.fewer == (True, False)
    assert "Left out of the ranks: draem (has 1 of 2 categories)." in one.note
    text = markdown(read, rows(read), [])
    assert "| method | a | b | mean | rank |" in text
    assert "| DRAEM | 99.00† | – | – | – |" in text
    assert "| PaDiM | 90.50 | 80.50 | 85.50 | 1.50 |" in text
    assert r"PaDiM & 90.50 & 80.50 & 85.50 & 1.50 \\" in latex(read, rows(read))
    assert r"DRAEM & 99.00{$\dagger$} & -- & -- & -- \\" in latex(read, rows(read))


def test_the_critical_difference_follows_friedman(tmp_path) -> None:
    """The critical difference is said where friedman finds one."""
    values = {m: tuple(level + i / 100 for i in range(9)) for m, level in (("padim", 0.8), ("stpm", 0.7), ("ae", 0.5))}
    cells = [
        cell(method, category=f"c{i}", metrics={"image_AUROC": around(value)})
        for method, own in values.items()
        for i, value in enumerate(own)
    ]
    _, (one,) = tables(tmp_path, *cells)
    assert "By Nemenyi's test two methods differ whose ranks are 1.10 or more apart." in one.note


def test_a_single_category_or_method_has_nothing_beside_it(tmp_path) -> None:
    assert tables(tmp_path / "one", *made(values={"padim": (0.9, 0.8)}))[1] == []
    assert tables(tmp_path / "two", *made(values={"padim": (0.9,), "ae": (0.8,)}))[1] == []


def test_levels_of_a_protocol_are_left_to_their_curves(tmp_path) -> None:
    _, found = tables(tmp_path, *made(), *made(protocol="few-shot-4"))
    assert [one.protocol for one in found] == ["one-class"]
