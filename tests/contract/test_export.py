"""Every method is exported and answers the same, or declares on its card why it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from blemish.core import registry
from blemish.core.errors import ExportError
from blemish.export import to_onnx
from blemish.imaging.images import Imaging
from blemish.inference.inspector import Inspector
from blemish.inference.runtime import Runtime
from parts import Parts, deface, stripes
from tiny import brief

pytestmark = pytest.mark.slow

SIZE = (64, 64)
SHALLOW = {"cflow": {"blocks": 1}, "csflow": {"blocks": 1}, "fastflow": {"flow_steps": 2}}
"""A flow's blocks are alike; tracing takes as long as there are many."""
NEAR = 1e-4
"""Of the largest score or map value: float32 sums in another order, through networks tens of layers deep."""


@pytest.mark.parametrize("name", registry.methods())
def test_the_exported_method_answers_as_the_method_does(name, tmp_path: Path) -> None:
    card = registry.method_card(name)
    inspector = Inspector(brief(name, **SHALLOW.get(name, {})).fit(Parts(stripes(24, SIZE, seed=0))), Imaging(SIZE))
    if card.not_exported:
        with pytest.raises(ExportError, match=f"{card.name} cannot be exported: {card.not_exported[:30]}"):
            to_onnx(inspector)
        return
    model = to_onnx(inspector)
    onnx.save(model, tmp_path / "model.onnx")
    exported = Runtime(tmp_path / "model.onnx")
    good, bad = stripes(3, SIZE, seed=5), deface(stripes(4, SIZE, seed=6), seed=7)[0]
    for images in (good[:1], torch.cat([good, bad])):
        prepared = {"image": images.numpy()}
        own, own_map = inspector.score(prepared)[:2]
        other, other_map = exported.score(prepared)[:2]
        assert own.shape == other.shape == (len(images),)
        np.testing.assert_allclose(other, own, rtol=0, atol=NEAR * np.abs(own).max())
        assert (own_map is None) == (other_map is None)
        if own_map is not None:
            np.testing.assert_allclose(other_map, own_map, rtol=0, atol=NEAR * np.abs(own_map).max())
    assert inspector.detector.training is False
    assert exported.exported.method == card.name


def test_what_cannot_be_exported_says_so_before_anybody_tries() -> None:
    declared = {name for name in registry.methods() if registry.method_card(name).not_exported}
    assert declared == {"anoddpm", "anogan", "differnet"}
