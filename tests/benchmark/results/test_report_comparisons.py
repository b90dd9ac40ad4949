"""Contests take comparable numbers only and say whom they leave out; images are compared only when they are the same."""

import numpy as np
import pytest

from benchmark.results.made_cells import around, cell, scored, write
from blemish.benchmark.results import read_cells
from blemish.benchmark.results.comparisons import contests, same_images
from blemish.metrics import auroc
from blemish.metrics.comparison import delong, friedman, wilcoxon

NAMES = [f"c{i:02d}" for i in range(10)]


def made(method, values, seed=0, **other):
    return [
        cell(method, category=c, seed=seed, metrics={"image_AUROC": around(v)}, **other)
        for c, v in zip(NAMES, values, strict=False)
    ]


def contest(folder, *cells):
    return contests(read_cells(write(folder, *cells)), ["image_AUROC"], ["one-class"])


def test_a_contest_is_the_tests_of_the_metrics(tmp_path) -> None:
    rng = np.random.default_rng(0)
    values = {
        m: np.round(rng.uniform(low, low + 0.1, 10), 3) for m, low in (("ae", 0.5), ("padim", 0.8), ("stpm", 0.82))
    }
    (found,) = contest(tmp_path, *(c for m, v in values.items() for seed in (0, 1) for c in made(m, v, seed)))
    assert found.friedman == friedman(np.stack(list(values.values()), axis=1))
    assert list(found.ranks)[-1] == "ae"
    assert found.ranks["ae"] == 3.0
    pair = next(p for p in found.pairs if {p.first, p.second} == {"padim", "stpm"})
    assert pair.wilcoxon == wilcoxon(values[pair.first], values[pair.second])
    assert pair.holm_wilcoxon >= pair.wilcoxon.p
    assert [set(g) for g in found.groups] == [{"padim", "stpm"}]
    assert found.pairs_note == ""


def test_who_does_not_take_part_is_named(tmp_path) -> None:
    few = made("ae", [0.5] * 4)
    almost = made("stpm", [0.8] * 9)
    (found,) = contest(tmp_path, *made("padim", [0.9] * 10), *almost, *few)
    assert set(found.ranks) == {"padim", "stpm"}
    assert len(found.categories) == 9
    assert found.left_out == ("ae (has 4 of 10 categories)", "synthetic/c09 (not every method has it)")


def test_nothing_is_said_where_the_categories_are_few(tmp_path) -> None:
    (found,) = contest(tmp_path, *made("padim", [0.9] * 4), *made("stpm", [0.8] * 4))
    assert found.friedman.p is None
    assert found.groups is None
    assert found.pairs[0].wilcoxon.p is None
    many = [c for i, m in enumerate(("ae", "padim", "stpm", "draem", "vae")) for c in made(m, [0.5 + i / 10] * 6)]
    (found,) = contest(tmp_path / "many", *many)
    assert found.pairs[0].wilcoxon.p == pytest.approx(2 / 64)
    assert "no difference could be significant" in found.pairs_note
    assert contest(tmp_path / "one", *made("padim", [0.9] * 4)) == []
    assert contest(tmp_path / "apart", *made("padim", [0.9]), *made("stpm", [0.9], dataset="btad")) == []


def test_the_same_images_are_compared_and_others_are_not(tmp_path) -> None:
    rng = np.random.default_rng(0)
    first = [scored("padim", 2.5, rng, category="a", seed=s) for s in range(3)]
    second = [scored("ae", 0.5, rng, category="a", seed=s) for s in range(3)]
    second[2]["stamps"] = {"split": "other images"}
    (found,) = same_images(read_cells(write(tmp_path, *first, *second)), ["one-class"])
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.seeds) == ("ae", "padim", 2)
    labels = first[0]["scores"]["labels"]
    expected = delong(labels, *([c["scores"]["scores"] for c in side[:2]] for side in (second, first)))
    assert pair.difference == expected
    assert pair.difference.value == pytest.approx(
        np.mean([auroc(labels, c["scores"]["scores"]) for c in second[:2]])
        - np.mean([auroc(labels, c["scores"]["scores"]) for c in first[:2]])
    )
    assert pair.difference.p < 0.05


def test_images_not_known_to_be_the_same_are_not_compared(tmp_path) -> None:
    """Images that are not known to be the same are not compared."""
    rng = np.random.default_rng(0)

    def reasons(folder, one, other):
        (found,) = same_images(read_cells(write(folder, one, other)), ["one-class"])
        assert not found.pairs
        return list(found.not_compared)

    a, b = scored("padim", 2, rng), scored("ae", 1, rng)
    assert reasons(tmp_path / "1", {**a, "stamps": {}}, b) == ["the cells do not say which images they tested"]
    assert reasons(tmp_path / "2", {**a, "stamps": {"split": "x"}}, b) == ["they tested other images"]
    assert reasons(tmp_path / "3", a, scored("ae", 1, rng, seed=1)) == ["no seed in common"]
    for one in (a, b):
        one["scores"]["keys"] = [str(i) for i in range(40)]
    (found,) = same_images(read_cells(write(tmp_path / "4", {**a, "stamps": {"split": "x"}}, b)), ["one-class"])
    assert len(found.pairs) == 1, "the images' own names say more than the split's hash"


def test_a_unified_model_is_compared_by_category(tmp_path) -> None:
    """Pooled, scores that lie 20 apart in two categories make the better method the worse one."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)

    def unified(method, apart, away):
        inside = {}
        for name, start in (("a", 0), ("b", away)):
            scores = rng.normal(size=40) + apart * labels + start
            inside[name] = {"metrics": {"image_AUROC": around(auroc(labels, scores))}}
            keys = [f"{name}{i}" for i in range(40)]
            inside[name]["scores"] = {"keys": keys, "labels": labels.tolist(), "scores": scores.tolist()}
        both = {key: [v for one in inside.values() for v in one["scores"][key]] for key in ("keys", "labels", "scores")}
        return cell(method, category="all", protocol="multi-class", by_category=inside, scores=both)

    good, poor = unified("padim", 3.0, 20), unified("stpm", 1.0, 0)
    found = same_images(read_cells(write(tmp_path, good, poor)), ["multi-class"])
    assert [one.category for one in found] == ["a", "b"]
    for one in found:
        (pair,) = one.pairs
        assert (pair.first, pair.second, pair.difference.good) == ("padim", "stpm", 20)
        inside = [c["by_category"][one.category]["scores"]["scores"] for c in (good, poor)]
        assert pair.difference == delong(labels, *inside)
        assert pair.difference.value > 0.1
        assert pair.difference.p < 0.05
    for one in good["by_category"].values():
        del one["scores"]  # an older cell
    assert same_images(read_cells(write(tmp_path / "older", good, poor)), ["multi-class"]) == []
