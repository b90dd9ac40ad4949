"""PatchCore: fitting 200 images with a 10 % coreset, and scoring batches of 8 against banks of 1 % and of 16,384 patches.

    python benchmarks/patchcore.py --data FOLDER --weights mobilenetv2_100.safetensors --rival PYTHON

Scoring is also given as a multiple of the backbone's forward pass alone: what is above 1 is the price of everything else.
The two are timed by turns, with the search alone, by each means that the processor has.
Both sides re-weight the image score by nine neighbours (equation 7), the rival's default.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from blemish.core.memory import keep_freed_memory
from blemish.core.types import Batch
from blemish.models import PatchCore
from blemish.ops import byte_tiles
from blemish.ops.neighbours import Leads, Search
from side_by_side import Images, Options, Row, backbone, by_turns, finish, images, options, peak, rival, seconds


class Held:
    """Images in memory as batches of 8."""

    def __init__(self, held: Images) -> None:
        self.held = torch.from_numpy(held)

    def __iter__(self):
        for some in self.held.split(8):
            yield Batch({"image": some})


def model(given: Options, **changes: object) -> PatchCore:
    made = PatchCore(pretrained=False, reweight="paper", **changes)
    made.features = backbone(given)
    return made


def fitting(given: Options, held: Images) -> Row:
    model(given).fit(Held(held[:16]))  # loads and compiles what a first fit loads
    with peak() as rose:
        ours = seconds(lambda: model(given).fit(Held(held)), 1, warm=False)
    theirs = rival(given, "patchcore_fit", {"images": held}, ratio=0.1, measured=100)
    note = f"ours peak {rose[0]:,.0f} MB"
    if theirs is not None:
        note += f", rival {theirs['peak']:,.0f} MB (process); its coreset scaled from 100 centres"
    return Row(
        f"PatchCore fit, {len(held)} images, 10 % coreset", ours, theirs and theirs["seconds"], "s", ">= 5x", note
    )


def scoring(given: Options, held: Images, part: Images, size: int, goal: str) -> list[Row]:
    fitted = model(given, coreset_size=size).fit(Held(held)).eval()
    batch = torch.from_numpy(part)
    with torch.inference_mode():
        patches = fitted.describe(batch)[0].flatten(0, 2)
        fitted(batch)  # makes the search ready, by the fastest way; the others are for comparison
        ways = [*byte_tiles.means(), "floats"]
        searches = [Search(fitted.bank, Leads(fitted.lead_centre, fitted.lead_axes), by=way) for way in ways]
        works = [
            lambda: fitted(batch),
            lambda: fitted.features(batch),
            *(partial(search, patches) for search in searches),
        ]
        whole, forward, *searching = by_turns(works, 4 * given.repeats)
        scores = fitted(batch).image.numpy()
        slow = plain(fitted, batch).numpy()
    bank = fitted.bank.numpy()
    theirs = rival(given, "patchcore_score", {"images": part, "bank": bank}, repeats=given.repeats)
    note = f"ours {whole / forward:.2f}x the forward pass ({forward * 125:.1f} ms an image)"
    if theirs is not None:
        note += f", rival's {theirs['seconds'] / theirs['forward']:.2f}x of {theirs['forward'] * 125:.1f} ms"
    note += f"; largest relative difference to float64: {np.abs(scores / slow - 1).max():.1e}"
    work = f"PatchCore scoring, batch of 8, bank of {size:,}, ms an image"
    return [
        Row(work, whole * 125, theirs and theirs["seconds"] * 125, "ms", "", note),
        Row(f"whole inspection / forward pass, bank of {size:,}", whole / forward, None, "x", goal),
        *(
            Row(f"of it the search among {size:,}, by {way}, ms an image", time * 125, None, "ms", "", "")
            for way, time in zip(ways, searching, strict=True)
        ),
    ]


def plain(fitted: PatchCore, batch: Tensor) -> Tensor:
    """The image scores, everything after the features in float64 and by the full matrix of distances."""
    found = []
    for image in batch:
        patches = fitted.describe(image[None])[0].flatten(0, 2).double()
        distances = torch.cdist(patches, fitted.bank.double(), compute_mode="donot_use_mm_for_euclid_dist")
        values, memories = distances.min(1)
        worst = int(values.argmax())
        bank = fitted.bank.double()
        around = (bank - bank[memories[worst]]).norm(dim=1).argsort()[:9]
        share = torch.softmax((patches[worst] - bank[around]).norm(dim=1), 0)[0]
        found.append((1 - share) * values[worst])
    return torch.stack(found)


def main() -> None:
    given = options(__doc__)
    keep_freed_memory()  # as the command line does
    name = "magnetic_tile" if given.data else "made fabric"
    held = images(given, name, 208)
    rows = [fitting(given, held[:200])]
    rows += scoring(given, held[:200], held[200:], 2048, "<= 1.25x")
    rows += scoring(given, held[:200], held[200:], 16384, "<= 1.6x")
    finish(rows, given)


if __name__ == "__main__":
    main()
