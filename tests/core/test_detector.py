"""What a class declares is checked when it is defined; what a detector is given, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blemish.core.detector import Detector
from blemish.core.errors import CannotAdapt, InputError, TruthWithheld, UnknownName
from blemish.core.inputs import KINDS, kinds, main_input
from blemish.core.types import Batch, Scores, Truth


class Told(Detector):
    inputs = ("image", "points", "category")

    def forward(self, image, points, category):
        return Scores(torch.tensor([float(len(name)) for name in category]))


IMAGE, POINTS = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("declared", "kind", "said"),
    [
        ({"inputs": ("imag",)}, UnknownName, "unknown input of Bad 'imag'. Did you mean 'image'"),
        ({"inputs": ("category",)}, InputError, "at least one that has pixels: image, points, depth"),
        ({"inputs": ("image", "image")}, InputError, "name each once"),
        ({"inputs": ("points",)}, InputError, r"Bad.forward takes \['image'\], but inputs is \('points',\)"),
        (
            {"learns_from": "bad"},
            UnknownName,
            "Known: good, unlabelled, auxiliary, nothing",
        ),
        ({"learns_from": "nothing", "fit": lambda self, data: self}, InputError, "has a fit, which nobody would call"),
    ],
)
def test_what_cannot_be_declared_is_refused(declared, kind, said) -> None:
    with pytest.raises(kind, match=said):
        type("Bad", (Detector,), {"forward": lambda self, image: None, **declared})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": IMAGE}, "Told looks at image, points, category; points is missing"),
        ({"image": IMAGE, "points": POINTS}, "category is missing"),
        (
            {"image": IMAGE, "points": POINTS, "category": "nut"},
            "category is 'nut'; it must be a list of texts",
        ),
        ({"image": IMAGE, "points": POINTS[:, :1], "category": ["a", "b"]}, r"points has shape \(2, 1, 8, 8\)"),
        ({"image": IMAGE, "points": POINTS.long(), "category": ["a", "b"]}, "points holds torch.int64 values"),
    ],
)
def test_what_is_no_input_is_refused(given, said) -> None:
    with pytest.raises(InputError, match=said):
        Told()(**given)


def test_inputs_are_taken_by_place_or_by_name() -> None:
    told = Told()
    by_place, by_name = told(IMAGE, POINTS, ["a", "bb"]), told(category=["a", "bb"], points=POINTS, image=IMAGE)
    assert by_place.image.tolist() == by_name.image.tolist() == [1, 2]
    assert told.fitted
    assert told.fit([]) is told
    with pytest.raises(CannotAdapt, match="Told cannot learn further parts"):
        told.adapt([])


def test_the_truth_is_withheld_unless_it_is_declared() -> None:
    inputs = {"image": IMAGE, "category": ["a", "b"]}
    with pytest.raises(TruthWithheld, match='declares learns_from = "auxiliary"'):
        _ = Batch(inputs).truth
    truth = Truth(torch.tensor([0, 1]), (None, None))
    batch = Batch(inputs, ("x", "y"), truth)
    assert batch.truth is truth
    assert "truth" not in repr(batch)
    assert "known" not in repr(batch)
    some = batch.take([1])
    assert (some.keys, some.category, len(some)) == (("y",), ["b"], 1)
    assert some.known is None
    assert Batch({"image": IMAGE}).category == ["", ""]


def test_a_kind_of_input_is_batched_as_it_says() -> None:
    stacked = KINDS["points"].stack([np.full((4, 5, 3), i, np.float32) for i in range(2)])
    assert stacked.shape == (2, 3, 4, 5)
    assert stacked[1].min() == 1
    assert KINDS["category"].stack(["a", "b"]) == ["a", "b"]
    assert main_input(("category", "points")) == "points"
    assert [kind.measured for kind in kinds(("image", "depth"), "x")] == [False, True]
