"""A toy that no graph can hold, and says why on its card."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.core.card import Card, Paper
from blemish.core.detector import Detector
from blemish.core.types import Scores
from blemish.testing import TinyFinder, TinySegmenter

CARD = Card(
    name="Grounded",
    idea="cuts out what prompts find",
    family="foundation",
    paper=Paper("none", "", 2026),
    not_exported="what is found differs in number from image to image",
)


class Grounded(Detector):
    """Finds what prompts name and cuts it out, as GroundedSAM does."""

    learns_from = "nothing"

    def __init__(self, prompts: list[str] | None = None) -> None:
        super().__init__()
        self.prompts = ["scratch", "dent", "stain"] if prompts is None else prompts
        self.finder, self.segmenter = TinyFinder(), TinySegmenter()

    def forward(self, image: Tensor) -> Scores:
        maps = []
        for one in image:
            found = self.finder.find(one, self.prompts)
            maps.append((self.segmenter.segment(one, found.boxes) * found.scores[:, None, None]).amax(0))
        map = torch.stack(maps)
        return Scores(map.flatten(1).amax(1), map)
