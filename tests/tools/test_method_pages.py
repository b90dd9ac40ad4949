"""The methods' pages: nothing of card, signature or measurement is left out, and unlike things are not put side by side."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from blemish.core import registry
from blemish.engine import Engine
from blemish.imaging.reading import read
from parts import write_folder

DOCS = Path(__file__).parents[2] / "docs"
QUICK = {"image_size": 128, "batch_size": 8, "steps": 400}
INTERVAL = {"value": 0.91249, "low": 0.9, "high": 0.925}


def written(name: str) -> str:
    return (DOCS / "methods" / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_pages_are_those_of_the_methods() -> None:
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} == set(registry.methods())
    index = (DOCS / "methods.md").read_text(encoding="utf-8")
    for name in registry.methods():
        card = registry.method_card(name)
        assert f"| [{card.name}](methods/{name}.md) | {card.family} | {card.idea} | [{card.paper.title}](" in index


@pytest.mark.parametrize("name", registry.methods())
def test_a_page_names_every_parameter_and_its_meaning(name) -> None:
    quick = registry.method_card(name).presets.get("quick")
    head = ["parameter", "type", "default", *(["`quick`"] if quick else []), "meaning"]
    table = rows(written(name))
    assert head in table, "a preset that the method does not have has no column"
    start = table.index(head) + 2
    parameters = inspect.signature(registry.method(name)).parameters
    found = {row[0].strip("`"): row[1:] for row in table[start : start + len(parameters)]}
    assert list(found) == list(parameters)
    for key, (_, default, *preset, meaning) in found.items():
        assert ast.literal_eval(default.strip("`")) == parameters[key].default
        assert meaning.endswith(".")
        if quick is not None and key in quick.params:
            assert ast.literal_eval(preset[0].strip("`")) == quick.params[key]
    assert "Args:" not in written(name)


@pytest.mark.parametrize("name", registry.methods())
def test_a_page_gives_the_card_and_every_published_number(name) -> None:
    """A page gives the card and every published number with its source."""
    text, card = written(name), registry.method_card(name)
    for said in (card.idea[1:], card.paper.url, card.paper.venue, str(card.paper.year), card.code, *card.differs):
        assert said in text
    assert f"| its licence | {card.code_licence} |" in text or not card.code
    assert card.reported
    for each in card.reported:
        said = [each.source, each.dataset, each.metric, str(each.value)]
        assert any(row[:4] == said and row[4].startswith(each.setting) for row in rows(text))


@pytest.mark.parametrize("name", registry.methods())
def test_a_page_shows_what_is_kept_of_our_measurements(scripts, name) -> None:
    found = [row for row in rows(written(name)) if row[0] == "here"]
    table = scripts["measured_table"].read(DOCS / "measured" / "methods.csv")
    kept = [row for row in table if row["method"] == name]
    for cell in kept:
        for metric, value in cell.get("metrics", {}).items():
            assert any(row[2] == metric and row[3].startswith(f"{100 * value['value']:.1f} ") for row in found)
    assert bool(found) == bool(kept)


@pytest.mark.parametrize("name", registry.methods())
def test_the_figure_is_there_and_small_and_its_facts_are_said(scripts, name) -> None:
    figure = DOCS / "images" / "methods" / f"{name}.webp"
    assert figure.stat().st_size <= 60 * 1024
    assert read(figure).shape[1] in range(380, 480)
    table, text = scripts["measured_table"].read(DOCS / "measured" / "demo.csv"), written(name)
    (facts,) = [row for row in table if row["method"] == name]
    assert f"](../images/methods/{name}.webp)" in text
    for metric in facts["metrics"].values():
        if metric is not facts["metrics"]["pixel_AUPRO"]:
            assert f"AUROC {metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})" in text
    assert facts["changed"] == scripts["method_figures"].preset(name)[1], "the figure is of what the script would draw"
    for key, value in facts["changed"].items():
        assert f"`{key}={value!r}`" in text, "what was made smaller is said"


@pytest.mark.parametrize("name", registry.methods())
def test_the_quick_start_takes_the_preset(name) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", written(name), flags=re.S)
    calls = {ast.unparse(node.func): node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)}
    found = registry.method(name)
    given = {word.arg: ast.literal_eval(word.value) for word in calls[found.__name__].keywords}
    inspect.signature(found).bind(**given)
    quick = registry.method_card(name).presets.get("quick")
    assert (f"blemish fit parts --method {name} --preset quick\n" in written(name)) == (quick is not None)
    if quick is not None:
        assert given == dict(quick.params)
        sizes = {word.arg: ast.literal_eval(word.value) for word in calls["Folder"].keywords}
        assert sizes == {"image_size": quick.image_size, "train_batch_size": quick.batch_size}


@pytest.mark.slow
def test_a_quick_start_runs_as_printed(tmp_path, monkeypatch, capsys) -> None:
    write_folder(tmp_path / "parts", good=15, bad=3)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", written("patchcore"), flags=re.S)
    exec(code, {"Engine": Engine})  # noqa: S102
    assert "image_AUROC" in capsys.readouterr().out


def test_cells_say_how_they_were_fitted(scripts, tmp_path) -> None:
    """The card's quick preset by its name; anything else, an older preset's cell say, in full. Failures are said."""
    pages = scripts["method_pages"]
    quick = {"image_size": 128, "batch_size": 8, **registry.method_card("stpm").presets["quick"].params}
    kept = {"metrics": {"image_AUROC": INTERVAL}, "train": 36, "test": 60}

    def keep(dataset: str, cell: dict, seed: int = 0) -> None:
        key = {"method": "stpm", "dataset": dataset, "seed": seed}
        scripts["measured_table"].put(tmp_path / "measured" / "methods.csv", key, cell)

    keep("paper-one", {**kept, "preset": quick}, seed=3)
    keep("two", {**kept, "preset": {**quick, "steps": 10_001}})
    unsure = {"image_AUROC": {**INTERVAL, "low": 0.48}}
    keep("chance", {**kept, "metrics": unsure, "preset": quick})
    keep("zero", {"failed": "not done after 15 minutes"})
    found = {row[1]: row for row in rows(pages.page("stpm", tmp_path)) if row[0] == "here"}
    assert found["paper-one"][3] == "91.2 (90.0 to 92.5)"
    assert found["paper-one"][4].startswith("128 px, batches of 8, `quick`, 400 steps")
    assert found["paper-one"][4].endswith("seed 3; trained on 36 good images, tested on 60")
    assert "`steps=10_001`" in found["two"][4]
    assert "quick" not in found["two"][4]
    assert found["chance"][3] == "91.2 (48.0 to 92.5); **not distinguishable from chance**"
    assert found["zero"][2] == "failed: not done after 15 minutes"
    assert "We have not measured it" in pages.page("padim", tmp_path)


@pytest.mark.parametrize(("low", "said"), [(0.5, True), (0.51, False)])
def test_chance_is_called_chance(scripts, tmp_path, low, said) -> None:
    rate = {"count": 1, "of": 9}
    facts = {"category": "cap", "shown": ["good/000"], "preset": QUICK, "changed": {"steps": 7}, "train": 40}
    facts |= {
        "held_out": 20,
        "false_reject_rate": 0.05,
        "test": 30,
        "metrics": {"image_AUROC": {**INTERVAL, "low": low}},
    }
    facts |= {"decisions": {"escape_rate": rate, "false_reject_rate": rate}}
    scripts["measured_table"].put(tmp_path / "measured" / "demo.csv", {"method": "stpm"}, facts)
    text = scripts["method_pages"].page("stpm", tmp_path)
    assert ("image scores are not distinguishable from chance" in text) == said
    assert "it has no maps" in text
    assert "so that at most 5 % of new good parts are rejected" in text
    assert "Smaller than `quick`, because the method is slow: `steps=7`." in text


@pytest.mark.slow
def test_checking_tells_what_is_stale_and_writing_mends_it(scripts, tmp_path, monkeypatch, capsys) -> None:
    docs = scripts["docs"]
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    monkeypatch.setattr("sys.argv", ["docs.py"])
    assert docs.main() == 0
    (tmp_path / "methods" / "gone.md").write_text("a method that was taken away")
    (tmp_path / "methods" / "ae.md").write_text("by hand")
    monkeypatch.setattr("sys.argv", ["docs.py", "--check"])
    assert docs.main() == 1
    assert "methods/gone.md, methods/ae.md" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["docs.py"])
    assert docs.main() == 0
    assert not (tmp_path / "methods" / "gone.md").exists()
    monkeypatch.setattr("sys.argv", ["docs.py", "--check"])
    assert docs.main() == 0


def test_docstrings_become_markdown(scripts) -> None:
    source = scripts["method_source"]
    assert source.markdown("a * b < c, `x * y`\n\n        f * g") == "a \\* b &lt; c, `x * y`\n\n        f * g"
    make = ast.parse("def f(self, a: int = 2, *, b: str | None = 'x', c=20_000): ...").body[0]
    arguments = "Args:\n    a: Said on\n        two lines: so.\n    b: x * y.\n    c: Last."
    text, meanings = source.documented(f"A class.\n\nMore.\n\n{arguments}\n\nRaises:\n    Error: d: no.")
    assert text == "A class.\n\nMore."
    assert meanings == {"a": "Said on two lines: so.", "b": "x * y.", "c": "Last."}
    found = [(p.name, p.type, p.default, p.meaning) for p in source.parameters(make.args, meanings)]
    assert found[0] == ("a", "int", "2", "Said on two lines: so.")
    assert found[1:] == [("b", "str | None", '"x"', "x \\* y."), ("c", "", "20_000", "Last.")]
    with pytest.raises(ValueError, match="needs one"):
        source.parameters(ast.parse("def f(self, a, b=1): ...").body[0].args, meanings)
    with pytest.raises(ValueError, match="does not document c in Args"):
        source.parameters(make.args, {"a": "A.", "b": "B."})
    assert source.documented("A class without sections.") == ("A class without sections.", {})
