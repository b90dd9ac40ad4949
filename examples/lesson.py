"""A lesson: three methods look at the same made parts, offline, in a few minutes on two cores.

    python examples/lesson.py
    python examples/lesson.py --category fabric --out my-lesson

PatchCore remembers what good patches look like, AE learns to redraw good parts, FastFlow learns how likely their features
are. Each learns from the same good parts; none sees a defect before the test. For some of the test parts lesson/ then holds
a picture of the part, of AE's redrawing, and of where each method finds something. A question for the class: AE redraws
dirt away, and yet it finds far fewer defects than the others. What do its scores of good parts look like?

Needs: pip install 'blemish[train]'
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from blemish import Inspector
from blemish.core import registry
from blemish.core.card import Preset
from blemish.data import Synthetic, synthetic
from blemish.engine import Engine
from blemish.report import picture

mpl.use("Agg")  # pictures are written, not shown
import matplotlib.pyplot as plt

METHODS = ("patchcore", "ae", "fastflow")
NOT_TRAINED = Preset(image_size=128, batch_size=8)


def main(out: Path, category: str, steps: int | None = None) -> None:
    """Make the parts, fit each method, draw what it finds, and print how often it was right."""
    images = synthetic.make(out / "images", categories=[category], train=60)
    engine = Engine(out / "runs", false_reject_rate=0.05)
    inspectors = {}
    for name in METHODS:
        inspectors[name], data = fit(engine, name, images, category, steps)
    print(f"\n{'method':<10} {'threshold':>10} {'defects found':>14} {'good parts rejected':>20}")
    for name, inspector in inspectors.items():
        print(f"{name:<10} {inspector.calibration.threshold:>10.4g} {found(inspector, data)}")
    for record in one_of_each_kind(data):
        print("picture:", draw(inspectors, record.image, out / f"{record.kind}.png"))


def fit(engine: Engine, name: str, images: Path, category: str, steps: int | None) -> tuple[Inspector, Synthetic]:
    """Fit one method, with its quick preset if it is trained; a third of the good parts choose the threshold."""
    quick = registry.method_card(name).presets.get("quick", NOT_TRAINED)
    params = dict(quick.params)
    if steps is not None and "steps" in params:
        params["steps"] = steps
    data = Synthetic(images, category, image_size=quick.image_size, train_batch_size=quick.batch_size, holdout=1 / 3)
    print(f"{name} learns from {len(data.train_records)} good parts", flush=True)
    return engine.fit(registry.method(name)(**params), data), data


def found(inspector: Inspector, data: Synthetic) -> str:
    """Count right and wrong verdicts on the test parts."""
    records = data.test_records
    verdicts = inspector.inspect([record.image for record in records])
    defective = [v.defective for v, record in zip(verdicts, records, strict=True) if record.label]
    good = [v.defective for v, record in zip(verdicts, records, strict=True) if not record.label]
    return f"{f'{sum(defective)} of {len(defective)}':>14} {f'{sum(good)} of {len(good)}':>20}"


def one_of_each_kind(data: Synthetic) -> list:
    """Return the first test part of each kind, good ones too."""
    return list({record.kind: record for record in reversed(data.test_records)}.values())


def draw(inspectors: dict[str, Inspector], file: Path, to: Path) -> Path:
    """Draw a part, what AE makes of it, and where each method finds something, side by side."""
    panels = {"the part": inspectors["patchcore"].imaging.read(file), "redrawn by ae": redrawn(inspectors["ae"], file)}
    for name, inspector in inspectors.items():
        verdict = inspector.inspect(file)
        panels[f"{name}: {verdict.score:.3g}, {verdict.verdict}"] = picture(verdict, inspector)
    figure, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 3.3), layout="constrained")
    for place, (title, pixels) in zip(axes, panels.items(), strict=True):
        place.imshow(pixels)
        place.set_title(title, fontsize=9)
        place.axis("off")
    figure.savefig(to, dpi=120)
    plt.close(figure)
    return to


def redrawn(inspector: Inspector, file: Path) -> np.ndarray:
    """Return how the autoencoder draws a part that it has put into a short code."""
    ae = inspector.detector
    x = torch.from_numpy(inspector.imaging(file)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return ae.decoder(ae.encoder(x.to(next(ae.parameters()).device)))[0].permute(1, 2, 0).cpu().numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("lesson"), help="folder for images, models and pictures")
    parser.add_argument("--category", default="bottle_cap", choices=sorted(synthetic.CATEGORIES))
    parser.add_argument("--steps", type=int, help="steps of a training, instead of the quick preset's 400")
    given = parser.parse_args()
    main(given.out, given.category, given.steps)
