"""Published numbers stand beside ours with what differs by name, and with no difference where there is none to give."""

import pytest

from benchmark.results.made_cells import STAMPS, around, cell, write
from blemish.benchmark.results import read_cells, rows
from blemish.benchmark.results.published import beside, title
from blemish.benchmark.results.texts import markdown
from blemish.core import registry
from blemish.literature import results

MVTEC = registry.dataset("mvtec_ad").card


def found(
    folder, method="padim", categories=MVTEC.categories, value=0.9, metric="image_AUROC", kind="published", **other
):
    made = [cell(method, "mvtec_ad", c, metrics={metric: around(value)}, **other) for c in categories]
    cells = read_cells(write(folder, *made))
    return [one for one in beside(cells, rows(cells)) if one.kind == kind]


def test_the_difference_is_ours_minus_theirs_in_points(tmp_path) -> None:
    reported = [r for r in registry.method_card("padim").reported if r.dataset == "MVTec AD"]
    (one,) = found(tmp_path)
    theirs = next(r for r in reported if r.metric == "image_AUROC")
    assert (one.published, one.source, one.setting) == (theirs.value, theirs.source, theirs.setting)
    assert one.difference == pytest.approx(90.0 - theirs.value)
    text = "\n".join(one.differs)
    assert "image size: theirs 224 px, ours not recorded" in text
    assert "backbone: theirs WideResNet-50, ours texnet_s" in text
    assert "training images: theirs 3629, ours not recorded" in text
    assert "split: theirs the data set's own, ours split-mvtec_" in text
    assert "moments are gathered in one pass" in text
    assert not one.differs[0].startswith("categories")


def test_what_is_recorded_and_equal_is_not_named(tmp_path) -> None:
    stamps = {**STAMPS, "image_size": 224, "weights": {"wide_resnet50_2": "f00"}}
    (one,) = found(tmp_path, stamps=stamps)
    assert not any(text.startswith(("image size", "backbone")) for text in one.differs)
    counts = sum(MVTEC.counts[c].train_good for c in MVTEC.categories)
    each = {"train_images": counts // len(MVTEC.categories)}
    (one,) = found(tmp_path / "images", stamps={**stamps, **each})
    assert any(text.startswith("training images: theirs 3629, ours 36") for text in one.differs)


def test_some_categories_give_no_difference(tmp_path) -> None:
    (one,) = found(tmp_path, categories=["bottle"])
    assert one.difference is None
    assert one.differs[0] == "categories: ours 1 of 15, so there is no difference to give"
    made = [cell("padim", "mvtec_ad", c, metrics={"image_AUROC": around(0.9)}) for c in MVTEC.categories]
    made[0]["metrics"]["pixel_AUROC"] = around(0.9)
    cells = read_cells(write(tmp_path / "metric", *made))
    ours = {one.metric: one.difference for one in beside(cells, rows(cells)) if one.kind == "published"}
    assert ours["pixel_AUROC"] is None, "the row has all categories, this metric one of them"
    assert ours["image_AUROC"] is not None


def test_presets_and_pixels_are_named(tmp_path) -> None:
    (one,) = found(tmp_path, "stpm", metric="pixel_AUROC")
    text = "\n".join(one.differs)
    preset = registry.method_card("stpm").presets["quick"]
    assert f"our preset 'quick' (steps {preset.params['steps']}; batches of {preset.batch_size})" in text
    assert f"ours {preset.image_size} px" in text
    assert "pixels: ours compared at a size that was not recorded" in text
    (paper,) = found(tmp_path / "paper", "stpm", metric="pixel_AUROC", preset="paper")
    assert not any(text.startswith("training:") for text in paper.differs)
    aupro = found(tmp_path / "aupro", "padim", metric="pixel_AUPRO")
    assert [one.metric for one in aupro] == ["pixel_AUPRO"], "cards call it AUPRO"


def test_only_one_class_results_of_known_methods_stand_beside(tmp_path) -> None:
    assert found(tmp_path / "1", protocol="multi-class") == []
    assert found(tmp_path / "2", method="my_own_method") == []
    cells = read_cells(write(tmp_path / "3", cell("padim", "my parts", metrics={"image_AUROC": around(0.9)})))
    assert beside(cells, rows(cells)) == []
    assert title("padim") == "PaDiM"
    assert title("my_own_method") == "my_own_method"


def test_what_others_ran_stands_apart_with_conditions(tmp_path) -> None:
    """What others ran stands apart with its conditions and doubts."""
    again = found(tmp_path, kind="re-run")
    known = [
        r
        for r in results(method="padim", dataset="mvtec_ad", metric="image_auroc", setting="one-class")
        if r.column == "re-run"
    ]
    assert [one.published for one in again] == sorted((r.value for r in known), reverse=True)
    assert len(again) > 3
    (one,) = [one for one in again if one.setting == "WideResNet-50, 224 px, 550 random channels"]
    assert one.difference == pytest.approx(90.0 - one.published)
    assert "backbone: theirs WideResNet-50, ours texnet_s" in one.differs
    tiles = read_cells(write(tmp_path / "tiles", cell("draem", "magnetic_tile", metrics={"image_AUROC": around(0.6)})))
    (one,) = beside(tiles, rows(tiles))
    assert (one.kind, one.published) == ("re-run", 78.2)
    assert any(text.startswith("disputed: IM-IAD") or "IM-IAD" in text for text in one.differs)


def test_only_what_the_authors_printed_is_called_published(tmp_path) -> None:
    for method, metric in (("fastflow", "image_AUROC"), ("ganomaly", "image_AUROC"), ("ae", "pixel_AUROC")):
        kinds = {}
        for kind in ("published", "quoted", "re-run"):
            each = found(tmp_path / method / kind, method, metric=metric, kind=kind)
            kinds[kind] = [(one.published, one.source) for one in each]
        assert all(source in ("paper", "official repository") for _, source in kinds["published"]), method
        numbers = [(round(value, 1), source.partition(",")[0]) for kind in kinds for value, source in kinds[kind]]
        assert method == "fastflow" or len(set(numbers)) == len(numbers), "no number stands there under two kinds"
    (paper,) = found(tmp_path / "disputed", "fastflow")
    assert paper.published == 99.4
    assert any(text.startswith("disputed: 99.4 is as published; independent runs") for text in paper.differs)
    ports = [one.published for one in found(tmp_path / "ports", "fastflow", kind="re-run")]
    assert ports.count(96.3) == 1, "it is on the card and in the literature"


def test_recalled_numbers_stand_beside_nothing(tmp_path) -> None:
    assert any(r.source.startswith("recalled") for r in registry.method_card("anogan").reported)
    for kind in ("published", "quoted"):
        assert found(tmp_path / kind, "anogan", metric="pixel_AUROC", kind=kind) == []


def test_few_shot_and_multi_class_meet_their_own_setting(tmp_path) -> None:
    """Few shot and multi class rows stand beside their own setting."""
    for i, setting in enumerate(("few-shot-4", "multi-class")):
        printed = results(method="patchcore", dataset="mvtec_ad", metric="image_auroc", setting=setting)
        whole = {"by_category": {c: {"image_AUROC": around(0.9)} for c in MVTEC.categories}}
        made = cell("patchcore", "mvtec_ad", "all", protocol=setting, **whole)
        if setting != "multi-class":
            made = [
                cell("patchcore", "mvtec_ad", c, protocol=setting, metrics={"image_AUROC": around(0.9)})
                for c in MVTEC.categories
            ]
        cells = read_cells(write(tmp_path / str(i), *(made if isinstance(made, list) else [made])))
        beside_ours = beside(cells, rows(cells))
        assert sorted((one.kind, one.published) for one in beside_ours) == sorted((r.column, r.value) for r in printed)
        assert printed
        assert {one.protocol for one in beside_ours} == {setting}
        assert all(one.difference == pytest.approx(90 - one.published) for one in beside_ours)
        assert any("theirs are not known" in text for text in beside_ours[0].differs) == (setting == "few-shot-4")
        assert any(text.startswith("training images: theirs 60,") for text in beside_ours[0].differs) == (
            setting == "few-shot-4"
        )
        assert f"| MVTec AD, {setting} |" in markdown(cells, rows(cells), beside_ours)
    assert found(tmp_path / "three", "patchcore", protocol="few-shot-3", kind="re-run") == []


def test_a_data_set_named_by_the_grid_is_known_by_its_kind(tmp_path) -> None:
    """A data set under a name of the grid is known by its kind."""
    made = cell("draem", "my tiles", "a", metrics={"image_AUROC": around(0.6)})
    made["cell"]["source"] = {"name": "my tiles", "kind": "magnetic_tile"}
    cells = read_cells(write(tmp_path, made))
    assert [one.published for one in beside(cells, rows(cells))] == [78.2]
    made["cell"]["source"]["kind"] = "folder"
    plain = read_cells(write(tmp_path / "folder", made))
    assert beside(plain, rows(plain)) == []
