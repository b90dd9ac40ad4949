"""Our numbers for leaderboards: means over categories, then over runs; cells under other conditions stay apart."""

import json

import pytest

from blemish.benchmark.results.ours import ours
from blemish.core.errors import DataError
from blemish.literature import leaderboard
from blemish.literature.facts import datasets


def cell(folder, name, *, method="patchcore", dataset="mpdd", category="tubes", seed=0, failed=None, value=0.5, **more):
    said = {"method": method, "dataset": dataset, "category": category, "seed": seed, "protocol": "one-class"} | more
    metric = {} if failed else {"image_AUROC": {"value": value, "low": 0.1, "high": 0.9}, "unheard_of": {"value": 0.1}}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"cell": said, "metrics": metric, "failed": failed}))


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
    board = leaderboard("mpdd", ours=ours(tmp_path))
    row = next(row for row in board.rows if row.method == "PatchCore")
    assert row.ours == (found,)
    assert row.column("re-run")
    assert found.shown in next(line for line in board.table().body if line[0] == "PatchCore")
    assert not any(row.ours for row in leaderboard("mpdd", setting="zero-shot", ours=ours(tmp_path)).rows)


def test_ours_under_other_conditions_are_kept_apart(tmp_path) -> None:
    """Ours under other conditions are not averaged with each other."""
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


def test_parameters_of_a_category_do_not_split_the_mean(tmp_path) -> None:
    """Parameters that go with the category do not tear the mean apart."""
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
    board = leaderboard("magnetic_tile", ours=ours(tmp_path))
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


def test_seeds_of_different_categories_are_not_averaged(tmp_path) -> None:
    """Seeds of different categories are not averaged with each other."""
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
    with pytest.raises(DataError, match="holds no cell"):
        ours(tmp_path)
    cell(tmp_path / "x", "a", value=98.0)
    with pytest.raises(DataError, match=r"a\.json .* image_AUROC 98\.0, which must be a share from 0 to 1"):
        ours(tmp_path / "x")
    cell(tmp_path / "y", "a")
    cell(tmp_path / "y", "b")
    with pytest.raises(DataError, match="the same cell"):
        ours(tmp_path / "y")
    cell(tmp_path / "z", "a", method=None)
    with pytest.raises(DataError, match="says no method"):
        ours(tmp_path / "z")
    (tmp_path / "z" / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json is not readable as JSON"):
        ours(tmp_path / "z")
    cell(tmp_path / "z", "b")
    with pytest.raises(DataError, match=r"1 files in .* could not be read, the first: .*a\.json is not readable"):
        ours(tmp_path / "z")


def test_the_same_failure_twice_is_an_error(tmp_path) -> None:
    """The same failure twice is an error and others are counted."""
    cell(tmp_path, "a", value=0.9)
    cell(tmp_path, "b", failed="out of memory", holdout=0.2)
    cell(tmp_path, "c", failed="out of memory", holdout=0.3)
    (found,) = ours(tmp_path)
    assert (found.value, found.failed) == (pytest.approx(90), 2)
    cell(tmp_path, "d", failed="out of memory", holdout=0.3)
    with pytest.raises(DataError, match=r"d\.json and c\.json .* the same cell"):
        ours(tmp_path)


def test_resolution_is_a_condition_in_older_files_too(tmp_path) -> None:
    """Where pixels are compared is a condition in older files too."""
    cell(tmp_path, "a", resolution="original", value=0.9)
    cell(tmp_path, "b", pixels="original", seed=1, value=0.7)
    cell(tmp_path, "c", resolution="network", value=0.5, train_images=20)
    assert {o.conditions: (o.value, o.seeds) for o in ours(tmp_path)} == {
        "resolution original": (pytest.approx(80), 2),
        "train_images 20, resolution network": (pytest.approx(50), 1),
    }


def test_a_name_from_a_result_file_begins_no_tag_in_markdown(tmp_path) -> None:
    cell(tmp_path / "out", "a", method="<img src=x>", dataset="mpdd")
    text = leaderboard("mpdd", ours=ours(tmp_path / "out")).table().written("markdown")
    assert r"| \<img src=x> |" in text


@pytest.mark.parametrize("more", [{"params": [1]}, {"source": "x"}, {"seed": [1]}, {"draw": "1"}])
def test_result_files_of_other_kinds_of_values_are_named(tmp_path, more) -> None:
    cell(tmp_path / "out", "a", **more)
    with pytest.raises(DataError, match=r"a\.json .* must be"):
        ours(tmp_path / "out")
