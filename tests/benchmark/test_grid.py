"""Grids: what a TOML file stands for, cell by cell, and what is said of a wrong one."""

import contextlib
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.benchmark.cells import Cell
from blemish.benchmark.claims import Claims
from blemish.benchmark.reading import parse, presets, read
from blemish.core.errors import BlemishError, DataError, InputError, UnknownName
from blemish.core.files import write_json
from blemish.data import synthetic
from parts import write_folder

SMALL = {"train": 4, "test_good": 2, "per_defect": 1, "size": 64}
LEAST = {"name": "x", "methods": ["patchcore"], "datasets": [{"kind": "synthetic", "make": SMALL}]}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> str:
    return str(synthetic.make(tmp_path_factory.mktemp("made"), categories=["fabric", "flange"], **SMALL))


def test_a_grid_is_every_combination_once(made, tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"""
methods = ["PatchCore", "ae"]
seeds = [0, 5]
preset = "quick"
holdout = 0.25
protocols = ["one-class", "multi-class", {{kind = "few-shot", k = [1, 2], draw = [0, 1, 2]}}]
[[datasets]]
name = "here"
kind = "synthetic"
root = "{made}"
[params.patchcore]
coreset_sampling_ratio = 0.5
""")
    cells = read(file).cells(tmp_path / "out")
    assert len(cells) == len({cell.sha256 for cell in cells}) == 2 * 2 * (2 + 1 + 6 * 2)
    first = cells[0]
    assert (first.method, first.source.name, first.category, first.protocol.name) == (
        "patchcore",
        "here",
        "fabric",
        "one-class",
    )
    assert (first.params, first.preset, first.image_size) == ({"coreset_sampling_ratio": 0.5, "seed": 0}, "quick", 256)
    quick = next(cell for cell in cells if cell.method == "ae" and cell.seed == 5)
    assert (quick.preset, quick.image_size, quick.batch_size, quick.params["steps"]) == ("quick", 128, 8, 400)
    unified = [cell for cell in cells if cell.protocol.unified]
    assert {(cell.categories, cell.category) for cell in unified} == {(("fabric", "flange"), "all")}
    assert len(unified) == 4


def test_a_cell_survives_json_and_its_identity_is_complete(made, tmp_path) -> None:
    """A cell comes back from json and its identity is all that decides it."""
    grid = parse({**LEAST, "datasets": [{"kind": "synthetic", "root": made, "categories": ["fabric"]}]})
    (cell,) = grid.cells(tmp_path)
    again = Cell.from_dict(json.loads(json.dumps(cell.as_dict())))
    assert again == cell
    assert again.name == cell.name
    assert cell.name.startswith("patchcore-synthetic-fabric-one-class-seed0-")
    elsewhere = dataclasses.replace(cell, source=dataclasses.replace(cell.source, root="/elsewhere"))
    assert elsewhere.sha256 == cell.sha256
    for name, value in {"method": "padim", "seed": 1, "image_size": 64, "holdout": 0.1, "images_sha256": "x"}.items():
        assert dataclasses.replace(cell, **{name: value}).sha256 != cell.sha256


def test_other_images_are_another_cell(tmp_path) -> None:
    root = write_folder(tmp_path / "parts", good=6, bad=2, size=(16, 16))
    grid = parse({**LEAST, "datasets": [{"kind": "folder", "root": str(root), "options": {"mask_above": 1}}]})
    (before,) = grid.cells(tmp_path)
    assert before.categories == (None,)
    assert before.source.options == {"mask_above": 1}
    (root / "test" / "good" / "004.png").unlink()
    (after,) = grid.cells(tmp_path)
    assert after.sha256 != before.sha256


def test_images_are_made_where_the_grid_says_so(tmp_path) -> None:
    grid = parse({**LEAST, "datasets": [{"kind": "synthetic", "make": SMALL, "categories": ["flange"]}]})
    (cell,) = grid.cells(tmp_path)
    assert (tmp_path / "images" / "synthetic" / "flange" / "train" / "good" / "003.png").is_file()
    assert grid.cells(tmp_path) == [cell]


def test_roots_can_be_said_from_outside(made, tmp_path) -> None:
    values = {**LEAST, "datasets": [{"kind": "synthetic", "root": "nowhere"}]}
    with pytest.raises(DataError, match="nowhere does not exist"):
        parse(values).cells(tmp_path)
    assert len(parse(values, {"synthetic": made}).cells(tmp_path)) == 2
    with pytest.raises(UnknownName, match=r"data set of the grid 'synthetik'. Did you mean 'synthetic'"):
        parse(values, {"synthetik": made})


@pytest.mark.parametrize("name", list(presets()))
def test_the_presets_are_grids_and_say_what_they_are_for(name) -> None:
    assert read(name).name == name
    assert presets()[name].startswith("# ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": ["ae"]}, "unknown key of the grid 'method'. Did you mean 'methods'"),
        ({"methods": ["patchcor"]}, "unknown method 'patchcor'. Did you mean 'patchcore'"),
        ({"methods": []}, r"methods is \[\]; it must be a list that is not empty"),
        ({"seeds": [0, "1"]}, "an entry of seeds is '1'; it must be a whole number from 0"),
        ({"preset": "quik", "methods": ["ae"]}, "unknown preset of methods 'quik'. Did you mean 'quick'"),
        ({"image_size": 4}, "image_size is 4; it must be a whole number from 8 to 8192"),
        ({"holdout": 1}, "holdout is 1; it must be a number from 0 to below 1"),
        ({"resolution": "networks"}, "unknown resolution 'networks'. Did you mean 'network'"),
        ({"protocols": ["one-clas"]}, "unknown protocol 'one-clas'. Did you mean 'one-class'"),
        ({"protocols": [{"kind": "few-shot", "k": [1, 0]}]}, "k of few-shot is 0; it must be at least 1"),
        (
            {"protocols": ["one-class", {"kind": "few-shot", "k": []}]},
            r"k of protocols is \[\]; it must be a list that is",
        ),
        ({"preset": "quik"}, "unknown preset of methods 'quik'. Did you mean 'quick'"),
        ({"params": {"patchcore": {"seed": 1}}}, "params.patchcore has a seed: all cells would share it"),
        ({"protocols": [3]}, "protocols holds 3; a protocol is a name, or a table"),
        ({"params": {"padim": {}}}, "unknown method of params 'padim'"),
        ({"params": {"patchcore": {"neighbour": 2}}}, "parameter of patchcore 'neighbour'. Did you mean 'neighbours'"),
        ({"params": {"patchcore": {"neighbours": "x"}}}, "neighbours must be int"),
        ({"search": {"patchcore": {"neighbours": [1]}}}, "search needs held-out good parts"),
        (
            {"search": {"patchcore": {"neighbour": [1]}}},
            "parameter of patchcore 'neighbour'. Did you mean 'neighbours'",
        ),
        ({"search": {"patchcore": {"neighbours": ["x"]}}}, "neighbours must be int"),
        ({"search": {"patchcore": {"neighbours": 3}}}, "search.neighbours is 3; it must be a list"),
        ({"search": {"stpm": {"steps": [3]}}}, "one of the grid's methods"),
        ({"judge": "test"}, "unknown judge 'test'"),
        ({"datasets": [{"root": "x"}]}, r"datasets holds .*; each is a table"),
        ({"datasets": [{"kind": "mvtec", "root": "x"}]}, "unknown data set 'mvtec'. Did you mean 'mvtec_ad'"),
        ({"datasets": [{"kind": "visa"}]}, "data set 'visa' has no root"),
        ({"datasets": [{"kind": "visa", "root": "x", "make": {}}]}, "only those of kind 'synthetic' can be made"),
        (
            {"datasets": [{"kind": "synthetic", "make": {"trains": 3}}]},
            "argument of make 'trains'. Did you mean 'train'",
        ),
        (
            {"datasets": [{"kind": "visa", "root": "x", "categories": ["cashe"]}]},
            "category of visa 'cashe'. Did you mean 'cashew'",
        ),
        ({"name": "../../elsewhere"}, r"name is '\.\./\.\./elsewhere'; a folder is called so"),
        ({"name": ".."}, r"name is '\.\.'; a folder is called so"),
        ({"datasets": [{"kind": "synthetic", "name": "a/../..", "make": {}}]}, "name of a data set is 'a/../..'"),
        ({"datasets": [{"kind": "visa", "root": "x"}] * 2}, "two data sets of the grid are called 'visa'"),
    ],
)
def test_errors_name_the_key_the_value_and_the_nearest(change, message) -> None:
    with pytest.raises(InputError, match=message):
        parse({**LEAST, **change})


def test_a_search_is_part_of_what_a_cell_is(made, tmp_path) -> None:
    """Cells without one are named as they always were."""
    plain = {"name": "x", "methods": ["padim"], "datasets": [{"kind": "synthetic", "root": made}]}
    wanted = {"padim": {"dims": [5, 10]}}
    one = parse({**plain, "holdout": 0.3}).cells(tmp_path)[0]
    assert "search" not in one.as_dict()
    searching = parse({**plain, "holdout": 0.3, "search": wanted}).cells(tmp_path)[0]
    assert searching.search == wanted["padim"]
    assert Cell.from_dict(json.loads(json.dumps(searching.as_dict()))) == searching
    assert len({one.sha256, searching.sha256, dataclasses.replace(searching, judge="validation").sha256}) == 3


def test_what_is_missing_is_said(tmp_path) -> None:
    with pytest.raises(InputError, match="the grid has no datasets"):
        parse({"name": "x", "methods": "all"})
    with pytest.raises(UnknownName, match=r"unknown preset of the benchmark 'quick'. Did you mean 'quick-look'"):
        read("quick")
    with pytest.raises(InputError, match=r"the grid .*none.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "windows.toml").write_bytes('methods = ["padim"] # geprüft'.encode("cp1252"))
    with pytest.raises(InputError, match=r"windows.toml is not UTF-8, which TOML is: .* Save it as UTF-8"):
        read(tmp_path / "windows.toml")
    (tmp_path / "bad.toml").write_text("methods = [")
    with pytest.raises(InputError, match="is not TOML"):
        read(tmp_path / "bad.toml")


def test_a_grid_may_begin_with_an_editors_mark(tmp_path) -> None:
    (tmp_path / "notepad.toml").write_text(presets()["quick-look"], encoding="utf-8-sig")
    assert read(tmp_path / "notepad.toml").methods == read("quick-look").methods


def test_long_names_make_files_that_can_be_written(made, tmp_path) -> None:
    for name in ("x" * 400, "零件" * 100):
        grid = parse(
            {**LEAST, "datasets": [{"name": name, "kind": "synthetic", "root": made, "categories": ["fabric"]}]}
        )
        (cell,) = grid.cells(tmp_path)
        assert cell.sha256[:12] in cell.name
        write_json(cell.path(tmp_path), {})
        with contextlib.closing(Claims(tmp_path / "claims")) as claims:
            assert claims.claim(cell.name)
        write_json(tmp_path / "fitted" / cell.learning.name / "run.json", {})


VALUE = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", "all", "ae", "quick"])
VALUE = VALUE | st.lists(VALUE, max_size=2) | st.dictionaries(st.sampled_from(["kind", "k", "patchcore"]), VALUE)
KEYS = st.sampled_from(
    ["name", "methods", "seeds", "protocols", "preset", "image_size", "params", "datasets", "resolution"]
)


@given(st.dictionaries(KEYS, VALUE, max_size=3))
def test_no_values_do_anything_but_make_a_grid_or_a_clear_error(values) -> None:
    with contextlib.suppress(BlemishError):
        assert parse({**LEAST, **values}).methods
