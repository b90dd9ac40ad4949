"""PatchCore: remember what good patches look like; a patch far from all remembered ones is a defect.

A frozen network describes each patch of an image by its mid-level features, averaged over the patch's neighbourhood.
The descriptions of all good images are reduced to a coreset that still covers them (greedy k-centre) and kept as the
memory bank. A patch scores its distance to the nearest memory, an image scores as its most distant patch, and the grid
of patch scores, enlarged and smoothed, is the map.

Where paper and official code differ:
- The code scores squared distances, the paper distances. We take distances: the ranking of patches is the same, and the
  map is not dominated by its largest value when it is smoothed.
- The paper re-weights the image score by the neighbours of the nearest memory (equation 7), the code does not. Neither
  does `reweight="none"`, the default; `reweight="paper"` is the equation, with the nearest memory itself counted among
  its neighbours, which keeps the weight in [0, 1).
- `pooling="official"` is the code's way to describe a patch (its 3 x 3 neighbourhood unrolled and pooled to 1024
  numbers a layer, then 1024 in all); `pooling="average"` keeps each channel's mean over the neighbourhood and
  concatenates the layers, which is lighter and what most re-implementations do.
- The code picks the coreset's first point by the mean distance to ten random ones. So do we.

The paper's own setting is a WideResNet-50 with `layers=["layer2", "layer3"]`, `pooling="official"`, `reweight="paper"`,
images scaled to 256 and cropped to 224, and 25, 10 or 1 % of the patches.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.core.card import Card, Paper, Reported
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.progress import progress
from blemish.core.types import Batch, Scores
from blemish.features import extractor
from blemish.ops.coreset import CoresetStream
from blemish.ops.maps import describe, peak, smooth
from blemish.ops.neighbours import Leads, Norms, Search, leads, nearest, norms_of, ordered, worth_searching
from blemish.training.device import device_of, to

CARD = Card(
    name="PatchCore",
    idea="distance of each patch to a thinned memory of good patches",
    family="memory bank",
    paper=Paper(
        title="Towards Total Recall in Industrial Anomaly Detection",
        authors="Karsten Roth, Latha Pemula, Joaquin Zepeda, Bernhard Schölkopf, Thomas Brox, Peter Gehler",
        year=2022,
        venue="CVPR",
        url="https://arxiv.org/abs/2106.08265",
    ),
    code="https://github.com/amazon-science/patchcore-inspection",
    code_licence="Apache-2.0",
    differs=("plain instead of squared distances", "average pooling by default; the official one is an option"),
    reported=(
        Reported("MVTec AD", "image_AUROC", 99.16, "official repository", "WideResNet-50, 224 px, 10 % coreset"),
        Reported("MVTec AD", "pixel_AUROC", 98.1, "official repository", "WideResNet-50, 224 px, 10 % coreset"),
        Reported("MVTec AD", "AUPRO", 93.4, "paper", "WideResNet-50, 224 px, 25 % coreset"),
    ),
)


class PatchCore(Detector):
    """Nearest-neighbour distance to a coreset of good patches.

    Args:
        backbone: The frozen network, see `blemish.features.extractor`; the paper's is "wide_resnet50_2".
        layers: Names of its layers, or strides as numbers; None: 8 and 16. The paper's are "layer2" and "layer3".
        weights: Local .safetensors file of its weights; None takes the pretrained ones.
        pretrained: Whether its weights are pretrained; if not, they are random, always the same.
        pooling: How a patch is described: "average", or "official" as in the official code.
        patch_size: Side of a patch's neighbourhood in cells, odd; the paper's is 3.
        coreset_sampling_ratio: Share of the patches that the bank keeps, in (0, 1]; the paper has 0.25, 0.1 and 0.01.
        coreset_size: Number of patches that the bank keeps instead, at least 1 (all where there are fewer); None: the
            share.
        projection: Random dimensions in which the coreset is selected, at least 1.
        neighbours: A patch scores its mean distance to so many nearest memories, at least 1 (all where there are
            fewer).
        reweight: "none", or "paper" for the paper's weight of the image score.
        reweight_neighbours: Memories that weight uses, at least 2 (all where there are fewer).
        sigma: Standard deviation of the map's Gaussian smoothing in input pixels, at least 0; the paper's is 4.
        seed: Random state of the coreset.
        memory: GiB of patches that `fit` may hold, above 0; selecting from them takes about twice as much in addition.
            Beyond it the coreset is selected while reading, see `blemish.ops.coreset.CoresetStream`.

    Raises:
        InputError: a parameter is out of its range.
    """

    bank: Tensor  # (M, C)
    norms: Tensor  # (M,) squared distances of the memories to their centre
    around: Tensor  # (M, b): the memories nearest to each, itself first; with reweight="paper" only
    lead_centre: Tensor  # (C,) what makes the search fast: blemish.ops.neighbours.Leads
    lead_axes: Tensor  # (C, L)

    def __init__(
        self,
        backbone: str = "texnet_s",
        layers: list[str] | list[int] | None = None,
        weights: str | None = None,
        pretrained: bool = True,
        pooling: Literal["average", "official"] = "average",
        patch_size: int = 3,
        coreset_sampling_ratio: float = 0.1,
        coreset_size: int | None = None,
        projection: int = 128,
        neighbours: int = 1,
        reweight: Literal["none", "paper"] = "none",
        reweight_neighbours: int = 9,
        sigma: float = 4.0,
        seed: int = 0,
        memory: float = 2.0,
    ) -> None:
        super().__init__()
        self.backbone, self.layers, self.weights, self.pretrained = backbone, layers, weights, pretrained
        self.pooling, self.patch_size = pooling, patch_size
        self.coreset_sampling_ratio, self.coreset_size, self.projection = (
            coreset_sampling_ratio,
            coreset_size,
            projection,
        )
        self.neighbours, self.reweight, self.reweight_neighbours = neighbours, reweight, reweight_neighbours
        self.sigma, self.seed, self.memory = sigma, seed, memory
        self._check()
        self.features = extractor(
            backbone, (8, 16) if layers is None else layers, weights=weights, pretrained=pretrained
        )
        learned = ("bank", "norms", "lead_centre", "lead_axes")
        for name in (*learned, "around") if reweight == "paper" else learned:
            self.register_buffer(name, torch.empty(0))
        self._search: Search | None = None  # made of the buffers when it is first needed
        # The buffers may be overwritten in place.
        self.register_load_state_dict_post_hook(_forget_search)  # type: ignore[no-untyped-call]

    def fit(self, data: Iterable[Batch]) -> Self:
        """Fill the memory bank: describe every good patch, keep a coreset.

        Memory: the patches, 4 bytes x channels x cells per image and at most `memory` GiB, and while the coreset is
        selected their projections to `projection` numbers.
        """
        device, stream = device_of(self), None
        with torch.inference_mode():
            for batch in progress(data, "features"):
                patches = self.describe(to(batch, device).image)[0].flatten(0, 2).clone()
                if stream is None:
                    limit = max(1, int(self.memory * 2**30 / (4 * patches.shape[1])))
                    share, size = self.coreset_sampling_ratio, self.coreset_size
                    stream = CoresetStream(share, size, limit=limit, projection=self.projection, seed=self.seed)
                stream.add(patches)
        if stream is None:
            raise InputError("PatchCore.fit got no images. Check that the training folder holds good images.")
        self._remember(stream.bank())
        return self

    def _remember(self, bank: Tensor) -> None:
        """Keep the bank and what can be computed from it in advance."""
        if not bank.isfinite().all():
            raise InputError("the network's features are not finite numbers; check the weights and the images.")
        self.bank, self._search = bank[ordered(bank).to(bank.device)], None
        for name, value in leads(self.bank)._asdict().items():
            setattr(self, f"lead_{name}", value.to(bank.device))
        self.norms = norms_of(self.bank, self.lead_centre).squared
        if self.reweight == "paper":
            if len(bank) < 2:
                raise InputError(
                    "reweight='paper' needs a bank of at least 2 patches; raise coreset_size or add good images"
                )
            self.around = self._nearest(self.bank, min(self.reweight_neighbours, len(bank)))[1]

    def forward(self, image: Tensor) -> Scores:
        """Score by the distance to the bank; the image scores as its worst patch."""
        self.require_fit()
        patches, (b, h, w) = self.describe(image)  # B, h, w, C
        flat = patches.flatten(0, 2)
        squared, indices = self._nearest(flat, min(self.neighbours, len(self.bank)))
        grid = squared.sqrt().mean(1).view(b, h, w)
        score = peak(grid)
        if self.reweight == "paper":
            worst = grid.flatten(1).argmax(1) + torch.arange(b, device=grid.device) * (h * w)
            score = score * self._weight(flat[worst], indices[worst, 0])
        return Scores(score, smooth(grid, (image.shape[2], image.shape[3]), self.sigma))

    def describe(self, image: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
        """Return each patch's description.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].

        Returns:
            (B, h, w, C) on the grid of the shallowest layer, and (B, h, w).
        """
        maps = self.features(image)
        b, _, h, w = maps[0].shape
        if self.pooling == "official":
            return self._official(maps, h, w), (b, h, w)
        return describe(maps, self.patch_size), (b, h, w)

    def _official(self, maps: list[Tensor], h: int, w: int) -> Tensor:
        side, parts = self.patch_size, []
        for m in maps:
            b, c, rows, cols = m.shape
            unrolled = F.unfold(m, side, padding=side // 2).view(b, c * side * side, rows, cols)
            if (rows, cols) != (h, w):
                unrolled = F.interpolate(unrolled, size=(h, w), mode="bilinear", align_corners=False)
            vectors = unrolled.permute(0, 2, 3, 1).reshape(b * h * w, 1, c * side * side)
            parts.append(F.adaptive_avg_pool1d(vectors, 1024))
        pooled = F.adaptive_avg_pool1d(torch.cat(parts, dim=1).flatten(1)[:, None], 1024)
        return pooled.view(b, h, w, 1024)

    def _nearest(self, patches: Tensor, k: int) -> tuple[Tensor, Tensor]:
        if worth_searching(patches, self.bank) and (self._search is None or self._search.bank is not self.bank):
            self._search = Search(self.bank, Leads(self.lead_centre, self.lead_axes))
        # An exported graph computes the norms of its own bank, which may be rounded to half precision.
        norms = norms_of(self.bank, self.lead_centre).squared if torch.compiler.is_exporting() else self.norms
        return nearest(patches, self.bank, k, norms=Norms(self.lead_centre, norms), search=self._search)

    def _weight(self, patch: Tensor, memory: Tensor) -> Tensor:
        """Equation 7: one minus the softmax share of the nearest memory among its own neighbours; patch is (B, C)."""
        around = self.bank[self.around[memory]]  # B, b, C; the first is the memory itself
        distances = torch.linalg.vector_norm(patch[:, None] - around, dim=2)
        return 1 - torch.softmax(distances, dim=1)[:, 0]

    def _take(self, tensors: dict[str, Tensor], path: Path | str) -> None:
        if "bank_norms" in tensors and "lead_centre" in tensors:  # a file from before norms were taken about the centre
            tensors = {**tensors, "norms": norms_of(tensors["bank"], tensors["lead_centre"]).squared}
            del tensors["bank_norms"]
        super()._take(tensors, path)

    def _check(self) -> None:
        if not 0 < self.coreset_sampling_ratio <= 1:
            raise InputError(f"coreset_sampling_ratio is {self.coreset_sampling_ratio}; it must lie in (0, 1]")
        if self.coreset_size is not None and self.coreset_size < 1:
            raise InputError(f"coreset_size is {self.coreset_size}; it must be at least 1")
        if self.patch_size < 1 or self.patch_size % 2 == 0:
            raise InputError(f"patch_size is {self.patch_size}; it must be odd: 1, 3, 5, ...")
        if self.pooling not in ("average", "official") or self.reweight not in ("none", "paper"):
            raise InputError(
                f"pooling is {self.pooling!r} ('average' or 'official'), reweight is {self.reweight!r} ('none' or 'paper')"
            )
        if self.projection < 1 or self.sigma < 0 or self.memory <= 0:
            raise InputError(
                f"projection is {self.projection} (at least 1), sigma is {self.sigma} (at least 0), "
                f"memory is {self.memory} GiB (above 0)"
            )
        if self.neighbours < 1 or self.reweight_neighbours < 2:
            raise InputError("neighbours must be at least 1 and reweight_neighbours at least 2")


def _forget_search(model: PatchCore, _: object) -> None:
    model._search = None
