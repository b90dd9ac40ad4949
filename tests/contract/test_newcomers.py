"""Every kind of method that the contract lets in, from somebody else's module: in Python and from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests import newcomers
from tests.commands import blemish

from blemish import Engine, load
from blemish.core.detector import Detector
from blemish.core.errors import CannotAdapt, FormatError, InputError
from blemish.core.inputs import KINDS
from blemish.core.registry import method
from blemish.features.protocols import LanguageModel, ObjectFinder, Segmenter, TextEncoder
from blemish.models import PaDiM
from blemish.testing import MadeParts, check_detector, make_parts
from blemish.testing.networks import TinyFinder, TinyLanguageModel, TinySegmenter, TinyTextEncoder

pytestmark = pytest.mark.slow

SEES = {"ZeroShot": 0, "Grounded": 0, "TwoBranchesWithWords": 0}
"""What knows nothing of the parts, or not enough."""
NOT_EXPORTED = {
    "ZeroShot": "it is told the category of each part as a text",
    "TwoBranchesWithWords": "words",
    "Grounded": "what is found differs in number from image to image",
}
"""Toys that no graph can hold, with the reason that is given."""
PLACES = {"Grounded": "tests.grounded"}
TOYS = [
    "Adapting",
    "Auxiliary",
    "Grounded",
    "ImageAndPoints",
    "PointsAlone",
    "Transductive",
    "TwoBranchesWithWords",
    "ZeroShot",
]


def reference(name: str) -> str:
    return f"{PLACES.get(name, 'tests.newcomers')}:{name}"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_parts(tmp_path_factory.mktemp("parts"), ("image", "points"), categories=("stripes", "other"))


@pytest.mark.parametrize("name", TOYS)
def test_a_newcomer_keeps_the_contract(name) -> None:
    report = check_detector(method(reference(name)), sees=SEES.get(name, 0.7))
    assert report.checks["saved"] == "passed"
    said = report.checks["exported"]
    assert said == "passed" if name not in NOT_EXPORTED else NOT_EXPORTED[name] in said
    adapts = report.checks["adapted"]
    assert adapts == "passed" if name == "Adapting" else "cannot adapt" in adapts


@pytest.mark.parametrize("name", TOYS)
def test_a_newcomer_works_from_the_command_line(name, root, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    )
    made, named = "blemish.testing.parts:MadeParts", reference(name)
    others = ["--auxiliary", root, "--auxiliary-category", "other"] if name == "Auxiliary" else []
    done = blemish(
        "fit", root, "-d", made, "-c", "stripes", "-m", named, "--image-size", "64", "-o", tmp_path, *others
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (model,) = tmp_path.rglob("model.safetensors")
    parts = root / "stripes" / "test" / "dent"
    lone = "points" if name == "PointsAlone" else "image"
    given = ["--input", "points=../points/{stem}.npy"] if name == "ImageAndPoints" else []
    given += ["--category", "stripes"] if name == "ZeroShot" else []
    done = blemish("inspect", model, parts / lone, "--json", "--method", named, *given)
    assert done.returncode in (0, 1), done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 4
    known = load(model, method=named)
    records = MadeParts(root, "stripes", image_size=64).test_records[:4]
    own = list(known.stream(records))
    assert [one["score"] for one in found] == pytest.approx([one.score for one in own], rel=1e-5)
    if name == "TwoBranchesWithWords":
        assert {one["words"] for one in found} <= {"bright defect", "dark defect"}
        assert set(found[0]["branches"]) == {"structural", "logical"}
    if name == "ImageAndPoints":
        assert max(found[0]["branches"].values()) == pytest.approx(found[0]["score"], rel=1e-5)
    done = blemish("test", model, root, "-d", made, "-c", "stripes", "--method", named, "-o", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    assert "image_AUROC" in done.stdout


def test_what_a_file_names_is_not_imported_unasked(root, tmp_path) -> None:
    """In a process that does not know the other package; asked for, or registered, it is."""
    data = MadeParts(root, "stripes", image_size=64)
    inspector = Engine(tmp_path).fit(newcomers.PointsAlone(), data, verbose=False)
    model = inspector.save(tmp_path / "model.safetensors")
    command = [
        sys.executable,
        "-m",
        "blemish",
        "inspect",
        str(model),
        str(root / "stripes" / "test" / "dent" / "points"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "--method tests.newcomers:PointsAlone" in done.stderr
    command += ["--method", "tests.newcomers:PointsAlone"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode in (0, 1), done.stderr


def test_a_zero_shot_method_is_told_the_product(root, tmp_path) -> None:
    """It is not fitted, every good part serves the threshold, and another category gives another score."""
    data = MadeParts(root, "stripes", image_size=64)
    inspector = Engine(tmp_path).fit(newcomers.ZeroShot(), data, verbose=False)
    assert len(inspector.calibration.good_scores) == 24, "the training and the held-out ones"
    image = data.test_records[0].image
    scores = {name: inspector.inspect(image, category=name).score for name in ("stripes", "cable")}
    assert len(set(scores.values())) == 2
    assert inspector.inspect(image).score == scores["stripes"], "it is for one product, and knows its name"
    both = Engine(tmp_path).fit(newcomers.ZeroShot(), MadeParts(root, "all", image_size=64), verbose=False)
    assert both.inspect(image).score == both.inspect(image, category="stripes").score, "the name of a folder"
    with pytest.raises(InputError, match="on the command line: --category NAME"):
        both.inspect(np.zeros((64, 64, 3), np.uint8))


def test_a_transductive_method_sees_the_test_parts_unlabelled(root, tmp_path, monkeypatch) -> None:
    """It is fitted on exactly the test parts, without their truth, and the threshold comes from others."""
    seen: list[str] = []

    def fit(self, data):
        for batch in data:
            seen.extend(batch.keys)
            assert batch.known is None
        return real(self, data)

    real = newcomers.Transductive.fit
    monkeypatch.setattr(newcomers.Transductive, "fit", fit)
    data = MadeParts(root, "stripes", image_size=64)
    inspector = Engine(tmp_path).fit(newcomers.Transductive(), data, verbose=False)
    assert sorted(seen) == sorted(record.key for record in data.test_records)
    assert len(inspector.calibration.good_scores) == 24


def test_adapting_learns_a_second_product_and_keeps_the_first(root, tmp_path) -> None:
    first, second = (MadeParts(root, name, image_size=64, holdout=0.25) for name in ("stripes", "other"))
    engine = Engine(tmp_path)
    before = engine.fit(newcomers.Adapting(), first, verbose=False)
    strange = [verdict.score for verdict in before.stream(second.held_out_records)]
    known = [verdict.score for verdict in before.stream(first.held_out_records)]
    rows = len(before.detector.memory)
    after = engine.adapt(before, second, earlier=first, verbose=False)
    assert len(after.detector.memory) == 2 * rows
    familiar = [verdict.score for verdict in after.stream(second.held_out_records)]
    assert all(now <= then for now, then in zip(familiar, strange, strict=True))
    assert np.mean(familiar) < np.mean(strange)
    assert np.mean([verdict.score for verdict in after.stream(first.held_out_records)]) <= np.mean(known)
    assert set(after.calibration.categories) == {"stripes", "other"}
    assert len(after.provenance.learned) > len(before.provenance.learned)
    again = load(after.save(tmp_path / "both.safetensors"), method="tests.newcomers:Adapting")
    assert len(again.detector.memory) == 2 * rows


def test_the_command_line_adapts_or_says_that_it_cannot(root, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    made, method = "blemish.testing.parts:MadeParts", "tests.newcomers:Adapting"
    blemish("fit", root, "-d", made, "-c", "stripes", "-m", method, "--image-size", "64", "-o", tmp_path / "first")
    (model,) = (tmp_path / "first").rglob("model.safetensors")
    given = ("adapt", model, root, "-d", made, "-c", "other", "-o", tmp_path / "second")
    done = blemish(*given, "--method", method, "--earlier", root)
    assert done.returncode == 0, done.stderr
    assert "other: threshold" in done.stdout
    assert "stripes: threshold" in done.stdout
    (adapted,) = (tmp_path / "second").rglob("model.safetensors")
    assert len(load(adapted, method=method).detector.memory) > len(load(model, method=method).detector.memory)
    run = Engine(tmp_path / "third")
    padim = run.fit(PaDiM(dims=5), MadeParts(root, "stripes", image_size=64), verbose=False)
    done = blemish("adapt", padim.save(tmp_path / "padim.safetensors"), root, "-d", made, "-c", "other")
    assert done.returncode == 2
    assert "PaDiM cannot learn further parts: what it learned would be lost. Fit a fresh one" in done.stderr


def test_a_sequence_of_tasks_goes_through_the_engine(root, tmp_path) -> None:
    """The protocol `continual`: fitted on the first category, adapted to the second; a method that cannot is refused."""
    from blemish.evaluation.protocol_data import ProtocolData
    from blemish.evaluation.settings import parse

    data = ProtocolData(MadeParts(root, ["stripes", "other"], image_size=64), parse("continual"))
    inspector = Engine(tmp_path).fit(newcomers.Adapting(), data, verbose=False)
    assert set(inspector.calibration.categories) == {"stripes", "other"}
    with pytest.raises(CannotAdapt, match="PaDiM cannot learn further parts"):
        Engine(tmp_path).fit(PaDiM(dims=5), data, verbose=False)


def test_what_a_method_looks_at_must_be_there(root, tmp_path) -> None:
    make_parts(tmp_path / "images", ("image",))
    data = MadeParts(tmp_path / "images", "stripes", image_size=64)
    with pytest.raises(
        InputError, match=r"PointsAlone looks at points; the parts of .* have category, image: points is"
    ):
        Engine(tmp_path).fit(newcomers.PointsAlone(), data)
    with pytest.raises(InputError, match=r"unknown input of Thermal 'thermal'.*Known: image, points, depth, category"):

        class Thermal(Detector):
            inputs = ("thermal",)

            def forward(self, thermal):
                raise NotImplementedError

    inspector = Engine(tmp_path).fit(
        newcomers.ImageAndPoints(), MadeParts(root, "stripes", image_size=64), verbose=False
    )
    with pytest.raises(InputError, match="points"):
        inspector.inspect(MadeParts(root, "stripes").test_records[0].image)
    path = inspector.save(tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match="Adapting"):
        load(path, method="tests.newcomers:Adapting")


def test_the_tiny_networks_are_what_the_protocols_say() -> None:
    for network, protocol in (
        (TinyTextEncoder(), TextEncoder),
        (TinyFinder(), ObjectFinder),
        (TinySegmenter(), Segmenter),
        (TinyLanguageModel(), LanguageModel),
    ):
        assert isinstance(network, protocol)
    import torch

    image = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    found = TinyFinder().find(image, ["scratch", "dent"])
    assert found.boxes.shape == (2, 4)
    assert found.prompts.tolist() == [0, 1]
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    masks = TinySegmenter().segment(image, found.boxes)
    assert masks.shape == (2, 40, 60)
    for mask, (left, top, right, bottom) in zip(masks, found.boxes.round().int().tolist(), strict=True):
        assert mask.sum() == mask[top:bottom, left:right].sum() > 0
    texts = TinyTextEncoder(8).encode(["a cable", "a nut", "a cable"])
    assert texts.shape == (3, 8)
    assert torch.equal(texts[0], texts[2])
    assert not torch.equal(texts[0], texts[1])
    assert set(KINDS) == {"image", "points", "depth", "category"}
